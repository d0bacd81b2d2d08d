"""Promise: ingest as a worker writes every source row and every report once, wherever it dies.

Its rounds are driven by hand here: at any of them it may die, each lane having reached the log up
to another message, and the next life goes on from what is there.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.encode import encode
from flows.log.codec import encode_json
from flows.log.errors import LogError
from flows.log.memory import MemoryLog
from flows.log.message import Message
from flows.log.reader import Position
from flows.log.stop import STOP
from flows.log.writer import Writer
from flows.place import Phase, Place
from flows.rounds import _part_ends, rounds_on
from operators.market.books.l2_state import BookTerms
from operators.market.gate import Gate
from operators.market.sequencer import Sequencer
from schemas.kinds import Control, Flag, Kind
from schemas.rows import MarketRows, concat, empty, take
from schemas.topics import CONTROL, MARKET, QUARANTINE, REPORTS
from tests.runs import EURUSD
from tests.worker_desk import rows_of
from venues.feed import SourceInfo
from venues.simulator import Simulator
from venues.tape import open_tapes


@pytest.fixture(autouse=True, scope="module")
def _no_waiting() -> Iterator[None]:
    """Rounds follow one another at once."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ROUND_S", "IDLE_S", "CLOSING_S"):
            patch.setattr(f"flows.rounds.{name}", 0.0)
        yield


CODE = "test"
ROWS = 5000
ROUNDS_MOST = 100_000


@cache
def feed() -> Simulator:
    """Several instruments on several lanes."""
    found = Simulator(seed=3, n_rows=ROWS, rate_hz=50.0)
    assert len(found.table.active_lanes()) > 1
    return found


def lanes() -> list[int]:
    return feed().table.active_lanes()


def rounds(log: MemoryLog, writer: Writer, *, speed: float | None) -> Iterator[list[Message]]:
    """One life of ingest: the messages of a round at a time, until it ends by itself."""
    STOP.arm()
    table = feed().table
    source, numbering = rounds_on(log, writer, feed(), speed=speed, polled=lambda *told: None)
    part = source.build_part("rounds", "all", None)
    gate = Gate(table.arrays(), len(feed().names))
    state = gate.initial()
    while True:
        try:
            items = list(part.next_batch())
        except StopIteration:
            return
        for _, parcel in items:
            state, (good, _) = gate.step(state, parcel.market)
            done = numbering.number(replace(parcel, market=good))
            packed = {lane: place.pack() for lane, place in parcel.places.items()}
            yield encode(MARKET, done.market, CODE, positions=packed.__getitem__)


def report(lane: int, seq: int) -> dict[str, Any]:
    """A fill as execute writes it; its envelope's number tells it from all others."""
    first = next(each for each in feed().table.instruments if each.lane == lane)
    return {
        "seq": seq, "lane": lane, "ts_event_ns": 1, "ts_recv_ns": 2, "ref_id": seq,
        "client_id": f"{lane}-{seq}-ENTRY", "instrument": first.id, "role": "ENTRY",
        "code": "FILLED", "side": "BUY", "qty": "1", "price": "1", "fee": "0", "reason": "OK",
    }  # fmt: skip


class Answers:
    """Execute, as far as ingest can see: reports now and then, and DRAINED after a last call."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._n = dict.fromkeys(lanes(), 0)
        self.drained: set[int] = set()

    def after(self, round_number: int, messages: list[Message], writer: Writer) -> None:
        """What it does about the messages of a round."""
        called = {m.lane for m in messages if Place.of(m).phase >= Phase.CALLED}
        for lane in lanes():
            if lane in self.drained:
                continue
            if lane in called:
                row = {"seq": self._n[lane], "lane": lane, "ts_event_ns": 3, "ts_recv_ns": 3}
                self._write(writer, lane, {**row, "code": "DRAINED"})
                self.drained.add(lane)
            elif round_number % self._every == lane % self._every:
                self._write(writer, lane, report(lane, self._n[lane]))

    def _write(self, writer: Writer, lane: int, row: dict[str, Any]) -> None:
        writer.append(encode_json(REPORTS, lane=lane, rows=[row], code_version=CODE))
        self._n[lane] += 1


def live(
    log: MemoryLog, answers: Answers, *, n_rounds: int, lost: dict[int, bool], speed: float | None
) -> bool:
    """One life of at most that many rounds; of its last one only some lanes reach the log.

    Returns whether it ended by itself.
    """
    writer = log.writer()
    try:
        n = 0
        for n, messages in enumerate(rounds(log, writer, speed=speed), 1):
            if n == n_rounds:
                kept = [m for m in messages if not lost.get(m.lane, False)]
                writer.append(kept)
                return False
            writer.append(messages)
            answers.after(n, messages, writer)
            assert n < ROUNDS_MOST, "it does not come to an end"
        return n < n_rounds
    finally:
        writer.close()


def check(log: MemoryLog) -> None:
    """Everything stands once, in order, with its own time; and every lane is closed by END."""
    market = {lane: rows_of(log, MARKET, lane) for lane in lanes()}
    for lane, rows in market.items():
        np.testing.assert_array_equal(rows.seq, np.arange(rows.seq.size))
        assert np.all(np.diff(rows.ts_recv_ns) >= 0)
        assert rows.flags[-1] & Flag.END
        assert np.count_nonzero(rows.flags & Flag.END) == 1
        assert np.count_nonzero(rows.flags & Flag.LAST_CALL) == 1
        answered = [r["ref_id"] for r in rows_of(log, REPORTS, lane) if r["code"] == "FILLED"]
        assert rows.ref_id[rows.kind == Kind.REPORT].tolist() == answered
    ends = {int(rows.ts_recv_ns[-1]) for rows in market.values()}
    assert len(ends) == 1  # so that the highest lane's END row is the last of all
    logged = concat(list(market.values()))
    logged = take(logged, np.flatnonzero(logged.source >= 0))
    logged = take(logged, np.lexsort((logged.source_row, logged.source)))
    tape = concat(list(feed().read(0, 1000)))
    tape = take(tape, np.lexsort((tape.source_row, tape.source)))
    for name in MarketRows._fields:
        if name != "seq":
            np.testing.assert_array_equal(getattr(logged, name), getattr(tape, name), err_msg=name)


@pytest.mark.parametrize("speed", [None, 1e5])
def test_one_life_writes_everything_once(speed: float | None) -> None:
    log = MemoryLog()
    answers = Answers(every=1)  # also while the last second of the tape goes by
    assert live(log, answers, n_rounds=10**9, lost={}, speed=speed)
    assert answers.drained == set(lanes())
    check(log)


def test_time_never_goes_back_when_the_tape_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    first_ns = 1_399_033_800_100_000_000  # 2014-05-02T12:30:00.1, so that a second is not over
    short = open_tapes([EURUSD], from_ns=first_ns, to_ns=first_ns + 1_500_000_000)
    monkeypatch.setitem(globals(), "feed", lambda: short)
    monkeypatch.setattr("flows.rounds.ROUND_S", 0.0005)  # else there are tens of thousands
    log = MemoryLog()
    live(log, Answers(every=1), n_rounds=10**9, lost={}, speed=2.0)
    check(log)


@settings(max_examples=30, deadline=None)
@given(
    lives=st.lists(
        st.tuples(st.integers(1, 6), st.lists(st.booleans(), min_size=8, max_size=8)), max_size=6
    ),
    every=st.integers(1, 4),
    paced=st.booleans(),
)
def test_any_deaths_lose_and_double_nothing(
    lives: list[tuple[int, list[bool]]], every: int, paced: bool
) -> None:
    log = MemoryLog()
    answers = Answers(every)
    speed = 2e5 if paced else None
    for n_rounds, lost in lives:
        live(log, answers, n_rounds=n_rounds, lost=dict(enumerate(lost)), speed=speed)
    live(log, answers, n_rounds=10**9, lost={}, speed=speed)
    check(log)


def test_what_ends_together_ends_together_after_a_death_between() -> None:
    log = MemoryLog()
    answers = Answers(every=2)
    writer = log.writer()
    for n, messages in enumerate(rounds(log, writer, speed=None)):
        ends = [m for m in messages if Place.of(m).phase is Phase.ENDED]
        writer.append(ends[-1:] or messages)  # of the last round only the highest lane's
        answers.after(n, messages, writer)
        if ends:
            break
    writer.close()
    live(log, answers, n_rounds=10**9, lost={}, speed=None)
    check(log)


def test_a_command_after_the_lowest_lane_has_ended_is_left_out() -> None:
    log = MemoryLog()
    answers = Answers(every=2)
    writer = log.writer()
    for n, messages in enumerate(rounds(log, writer, speed=None)):
        ends = [m for m in messages if Place.of(m).phase is Phase.ENDED]
        writer.append(ends[:1] or messages)  # of the last round only the lowest lane's
        answers.after(n, messages, writer)
        if ends:
            break
    row = {"seq": 0, "ts_recv_ns": 7, "command": Control.HALT.name}
    writer.append(encode_json(CONTROL, lane=0, rows=[row], code_version=CODE))
    writer.close()
    live(log, answers, n_rounds=10**9, lost={}, speed=None)
    check(log)


def test_commands_stand_in_the_lowest_lane_once() -> None:
    log = MemoryLog()
    answers = Answers(every=3)
    writer = log.writer()
    rows = [
        {"seq": n, "ts_recv_ns": 7, "command": each.name}
        for n, each in enumerate([Control.HALT, Control.RESUME])
    ]
    writer.append(encode_json(CONTROL, lane=0, rows=rows, code_version=CODE))
    writer.close()
    for _ in range(3):
        live(log, answers, n_rounds=2, lost={}, speed=None)
    live(log, answers, n_rounds=10**9, lost={}, speed=None)
    found = {lane: rows_of(log, MARKET, lane) for lane in lanes()}
    codes = {lane: each.code[each.kind == Kind.CONTROL].tolist() for lane, each in found.items()}
    assert codes == {lane: [1, 2] if lane == min(lanes()) else [] for lane in lanes()}
    check(log)


def test_a_place_survives_its_bytes() -> None:
    place = Place(7, Position(3, 2), Position(1, 0), Phase.CALLED)
    message = Message("market.v1", 0, 0, 0, 1, 0, 0, 1, CODE, place.pack(), b"")
    assert Place.of(message) == place
    assert Place.of(None) == Place()


def test_another_writers_message_is_refused() -> None:
    message = Message("market.v1", 2, 5, 5, 1, 0, 0, 1, CODE, bytes(8), b"")
    with pytest.raises(LogError, match=r"market.v1 lane 2, seq 5: .* --deployment"):
        Place.of(message)


class Venue:
    """A live feed whose messages lie ready; more than a round takes at once."""

    names: ClassVar = ["venue"]
    simulated = False
    description: ClassVar[list[SourceInfo]] = []

    def __init__(self, stamps_ns: list[int], *, per_message: int) -> None:
        self.table = feed().table
        self.terms = BookTerms.full(len(self.table.instruments))
        n = len(stamps_ns)
        rows = take(next(feed().read(0, n)), slice(0, n))
        rows.ts_recv_ns[:] = stamps_ns
        rows.lane[:] = min(lanes())
        rows.flags[:] = 0
        rows.flags[per_message - 1 :: per_message] = Flag.MSG_LAST
        self._rows = rows

    def take(self, max_rows: int) -> MarketRows:
        now, self._rows = take(self._rows, slice(0, max_rows)), take(
            self._rows, slice(max_rows, None)
        )  # fmt: skip
        return now

    def resync(self, lane: int, symbol: int) -> None:
        raise AssertionError("no row of it is refused")

    resume = resync

    def close(self) -> None:
        pass


def live_round(log: MemoryLog, venue: Venue, n_rounds: int) -> None:
    """So many rounds of a venue's rows, on the log."""
    STOP.arm()
    writer = log.writer()
    source, numbering = rounds_on(log, writer, venue, speed=None, polled=lambda *told: None)
    part = source.build_part("rounds", "all", None)
    while n_rounds:
        for _, parcel in part.next_batch():
            rows = numbering.number(parcel).market
            packed = {lane: place.pack() for lane, place in parcel.places.items()}
            writer.append(encode(MARKET, rows, CODE, positions=packed.__getitem__))
            n_rounds -= 1
    part.close()
    writer.close()


def test_live_rows_never_go_back_and_messages_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.rounds.SOURCE_ROWS", 7)
    log = MemoryLog()
    back_ns = [10**18 + 50, 10**18 + 50, 10**18 - 5] * 10  # ours repeat, or go back, in between
    live_round(log, Venue(back_ns, per_message=3), 6)
    live_round(log, Venue(back_ns, per_message=10), 6)  # after a restart; messages are cut
    rows = rows_of(log, MARKET, min(lanes()))
    source = np.flatnonzero(rows.source >= 0)
    assert source.size == 60
    assert np.all(np.diff(rows.ts_recv_ns) >= 0)
    ours = np.flatnonzero(rows.source < 0)
    before = rows.flags[ours[ours > 0] - 1]
    assert np.all(before & Flag.MSG_LAST)  # nothing of ours stands inside a message
    assert ours.size > 4


def test_a_live_message_of_several_rounds_has_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else rows of other lanes would stand inside it where lanes are merged."""
    monkeypatch.setattr("flows.rounds.SOURCE_ROWS", 7)
    log = MemoryLog()
    live_round(log, Venue([10**18] * 30, per_message=10), 6)  # behind our clock: they are moved
    rows = rows_of(log, MARKET, min(lanes()))
    times = rows.ts_recv_ns[rows.source >= 0].reshape(3, 10)
    assert np.all(times == times[:, :1])
    assert np.all(np.diff(rows.ts_recv_ns) >= 0)


@pytest.mark.parametrize(
    ("positions", "ends"),
    [
        (range(3), []),
        (range(11), [4, 8]),
        ([0, 1, 2, 3, 3, 3, 4], [3]),  # what a row causes stands with it
        ([0, 0, 0, 0, 0, 0, 0, 1, 2], [7]),  # also if that is more than a part
        ([0] * 9, []),
    ],
)
def test_parts_end_between_two_positions(
    positions: list[int], ends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.rounds.PART_ROWS", 4)
    rows = empty(MarketRows, len(positions))
    rows.seq[:] = positions
    assert _part_ends(rows) == ends


def test_a_live_feed_s_refused_rows_are_numbered_on() -> None:
    """Those of the lives before do not come again; of a tape they do."""
    log = MemoryLog()
    writer = log.writer()
    refused = take(next(feed().read(0, 3)), slice(0, 3))
    refused.lane[:], refused.seq[:] = lanes()[-1], np.arange(3)
    writer.append(encode(QUARANTINE, refused, CODE))
    venue = Venue([10**18], per_message=1)
    for each, first in ((venue, 3), (feed(), 0)):
        _, numbering = rounds_on(log, writer, each, speed=None, polled=lambda *told: None)
        operator = Sequencer(each.table.lanes, numbering.refused)
        _, again = operator.step(operator.initial(), refused)
        assert again.seq.tolist() == [first, first + 1, first + 2]
