"""Promise: commands for a desk of workers are written once each, and lanes have one worker."""

from collections.abc import Sequence

import pytest

from flows.control import is_taken, send_to_desk
from flows.lane_locks import lane_locks
from flows.log.errors import LogLockedError
from flows.log.memory import MemoryLog
from flows.stages import STAGES
from schemas.kinds import Control
from schemas.topics import CONTROL
from tests.worker_desk import rows_of


def test_commands_are_numbered_and_a_repeated_attempt_writes_nothing() -> None:
    log = MemoryLog()
    for command, ts_ns in [(Control.HALT, 5), (Control.HALT, 5), (Control.RESUME, 5)]:
        writer = send_to_desk(log, command, ts_ns=ts_ns)
        assert not is_taken(writer, [0])
        writer.close()
    rows = [(row["seq"], row["command"]) for row in rows_of(log, CONTROL, 0)]
    assert rows == [(0, "HALT"), (1, "RESUME")]


def test_a_command_about_a_book_names_it_and_no_other_does() -> None:
    log = MemoryLog()
    for which, book in [
        (Control.HALT_BOOK, "a:X"),
        (Control.HALT_BOOK, "b:Y"),
        (Control.HALT, None),
    ]:
        send_to_desk(log, which, ts_ns=5, book=book).close()
        send_to_desk(log, which, ts_ns=5, book=book).close()  # the attempt before was not answered
    rows = [(row["command"], row.get("instrument")) for row in rows_of(log, CONTROL, 0)]
    assert rows == [("HALT_BOOK", "a:X"), ("HALT_BOOK", "b:Y"), ("HALT", None)]
    with pytest.raises(ValueError, match="HALT must not name a book"):
        send_to_desk(log, Control.HALT, ts_ns=6, book="a:X")
    with pytest.raises(ValueError, match="RESUME_BOOK must name a book"):
        send_to_desk(log, Control.RESUME_BOOK, ts_ns=6)


def written(stage: str, lanes: Sequence[int]) -> list[tuple[str, int]]:
    return [
        (topic.name, lane)
        for topic in STAGES[stage].writes
        for lane in ([0] if topic.partitions == "single" else lanes)
    ]


@pytest.mark.parametrize(
    ("one", "other", "at_once"),
    [
        (("features", [0, 1]), ("features", [1, 2]), False),
        (("features", [0, 1]), ("features", [2, 3]), True),
        (("decide", [0, 1]), ("decide-portfolio", [0, 1]), False),
        (("decide", [0, 1]), ("decide-lane", [1]), False),
        (("decide-lane", [0]), ("decide-portfolio", [0]), True),
        (("execute", [0]), ("account", [0]), True),
    ],
)
def test_who_may_work_at_once(
    one: tuple[str, list[int]],
    other: tuple[str, list[int]],
    at_once: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    desk = str(tmp_path_factory.mktemp("desk"))  # a name of its own
    with lane_locks("brokers", desk, written(*one)):
        if at_once:
            with lane_locks("brokers", desk, written(*other)):
                pass
        else:
            with (
                pytest.raises(LogLockedError, match="on this machine works on it already"),
                lane_locks("brokers", desk, written(*other)),
            ):
                pass
