"""`trifecta halt` and `trifecta resume`: an operator's word to a run or to a desk of workers."""

import shlex
from pathlib import Path
from time import monotonic, sleep, time_ns

from cli.errors import Refused, talk
from cli.run_dir import desk_of, open_log, running, running_pid
from flows.books import RECORDED
from flows.control import is_taken, send_command, send_to_desk
from flows.log.api import Log
from flows.log.errors import LogLockedError
from flows.log.writer import Writer
from flows.recorded import recorded_run
from schemas.instruments import InstrumentTable
from schemas.kinds import Control, Kind
from schemas.topics import CONTROL
from venues.tape.layouts import LAYOUTS

ANSWER_S = 10.0  # how long to wait for the run to record it
NAP_S = 0.05
NAMES_SHOWN = 8
BOOKLESS = frozenset(layout.name for layout in LAYOUTS if layout.kind != Kind.BOOK)
PARTITION = (CONTROL.name, 0)
EFFECT = {
    Control.HALT: "from that row on no decision is approved; 'trifecta resume' lifts it",
    Control.RESUME: "from that row on the desk may trade again",
    Control.HALT_BOOK: "from the next row of its lane on nobody uses the book, if it has one; "
    "'trifecta resume --book' lifts it",
    Control.RESUME_BOOK: "the book waits for its next snapshot, which a live venue is asked for; "
    "quoting returns 30 s after it",
}


def tell(folder: Path | None, command: Control, *, book: str | None = None) -> int:
    """Send a command and wait until the run has written it into its log; returns the exit code."""
    console, said = talk(), _said(command, book)
    folder = running(folder)
    desk = desk_of(folder)
    if desk is not None:
        return tell_desk(desk[1], command, book=book, servers=desk[0])
    log = open_log(folder)
    try:
        _check_book(log, book)
        before = log.ends([PARTITION])[PARTITION]
        send_command(folder, command, ts_ns=time_ns(), book=book)
        until_s = monotonic() + ANSWER_S
        while log.ends([PARTITION])[PARTITION] == before:
            if running_pid(folder) is None:
                console.print(
                    f"{said} sent to {folder}, but the run ended before it took it; it "
                    "holds if the run goes on",
                    style="yellow",
                    soft_wrap=True,
                )
                return 0
            if monotonic() > until_s:
                console.print(
                    f"{said} sent to {folder}; the run takes it with its next rows",
                    style="yellow",
                    soft_wrap=True,
                )
                return 0
            sleep(NAP_S)
    finally:
        log.close()
    console.print(f"{said} is in the log of {folder}: {EFFECT[command]}", soft_wrap=True)
    return 0


def tell_desk(
    deployment: str, command: Control, *, book: str | None = None, servers: str | None = None
) -> int:
    """Write a command for a desk of workers and wait until ingest has taken it in."""
    from flows.log.kafka import KafkaLog

    console, said = talk(), _said(command, book)
    name = deployment or "the desk"
    log = KafkaLog(servers, deployment=deployment, fence=True, writer_id="control")
    try:
        table = _check_book(log, book)
        writer = _sent(log, command, book)
        try:
            until_s = monotonic() + ANSWER_S
            while not is_taken(writer, table.active_lanes()):
                if monotonic() > until_s:
                    console.print(
                        f"{said} is written for {name}; its ingest takes it when it runs, "
                        "unless the desk has come to its end",
                        style="yellow",
                        soft_wrap=True,
                    )
                    return 0
                sleep(NAP_S)
        finally:
            writer.close()
    finally:
        log.close()
    effect = EFFECT[command].replace("'", '"')  # the name may be ''
    effect = effect.replace("resume", f"resume --deployment {shlex.quote(deployment)}")
    console.print(f"{said} is in the log of {name}: {effect}", soft_wrap=True)
    return 0


def _check_book(log: Log, book: str | None) -> InstrumentTable:
    """The run's table; Refused if it has no such instrument, or takes its books' states as read."""
    record, table = recorded_run(log)
    names = [one.id for one in table.instruments]
    if book is not None and book not in names:
        shown = ", ".join(names[:NAMES_SHOWN]) + (" ..." if len(names) > NAMES_SHOWN else "")
        raise Refused(f"--book must be an instrument of the run, was {book!r}; it has {shown}")
    if book is not None and all(source["kind"] in BOOKLESS for source in record.sources):
        raise Refused(
            f"no tape of this run has an order book, of {book} neither; halt the whole run"
        )
    if book is not None and any(source["kind"] == RECORDED for source in record.sources):
        raise Refused(
            "this run reads a recorded log, and the states of its books with it; halt the whole "
            "run, without --book"
        )
    return table


def _said(command: Control, book: str | None) -> str:
    return command.name if book is None else f"{command.name} of {book}"


def _sent(log: Log, command: Control, book: str | None) -> Writer:
    """Written, also when others send commands at this moment."""
    ts_ns, until_s = time_ns(), monotonic() + ANSWER_S
    while True:
        try:
            return send_to_desk(log, command, ts_ns=ts_ns, book=book)
        except LogLockedError:
            if monotonic() > until_s:
                raise
