"""Operators' commands: how they reach a running desk, and where they stand in its log.

A command arrives at a moment that no tape knows. So its place, a number of source rows, is written
to `control.v1` before the command takes effect, and a run that is derived again puts it there.
A desk of workers needs no place: commands go to `control.v1`, and ingest gives them one.

Commands are about the desk, or about one book, which they then name as `instrument`. The latter
pass the intake like rows of a source, since they change what is said of books.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flows.log.api import Log
from flows.log.codec import JsonRow, decode, encode_json
from flows.log.errors import LogError
from flows.log.writer import Writer
from flows.place import Place
from flows.recovery import code_version
from schemas.instruments import InstrumentTable
from schemas.kinds import NO_ID, NO_SYMBOL, Control, Flag, Kind
from schemas.rows import MarketRows, empty
from schemas.topics import CONTROL, MARKET

COMMANDS = "control.jsonl"  # in the run's folder; one line per command
BOOK_COMMANDS = (Control.HALT_BOOK, Control.RESUME_BOOK)


def send_command(run_dir: Path, command: Control, *, ts_ns: int, book: str | None = None) -> None:
    """Ask a run to take a command in; it does so with its next batch.

    `book` is the instrument that one of BOOK_COMMANDS is about.
    """
    file = run_dir / COMMANDS
    torn = file.exists() and not file.read_bytes().endswith(b"\n")
    line = json.dumps({**_words(command, book), "ts_ns": ts_ns}) + "\n"
    with file.open("a") as out:
        out.write("\n" + line if torn else line)


def send_to_desk(log: Log, command: Control, *, ts_ns: int, book: str | None = None) -> Writer:
    """Write a command for ingest to `control.v1`; `is_taken` then asks whether ingest has read it.

    `log` must fence its writer, by an id that all who send commands share: two at once would take
    the same `seq`. LogLockedError if another was just sent: call it again, with the same time; a
    command of that time is written once. The caller closes the writer.
    """
    words = _words(command, book)
    writer = log.writer()
    sent = [
        row["ts_recv_ns"] == ts_ns and words == _words(_control(row), row.get("instrument"))
        for row in commands_of(log)
    ]
    if any(sent):  # by the attempt before, which was not told so
        return writer
    row: JsonRow = {
        "seq": writer.last_seq(CONTROL.name, 0) + 1,
        "ts_recv_ns": ts_ns,
        **words,
    }
    writer.append(encode_json(CONTROL, lane=0, rows=[row], code_version=code_version()))
    writer.flush()
    return writer


def is_taken(writer: Writer, lanes: Iterable[int]) -> bool:
    """Whether the last command stands in the market's log, given the desk's active lanes."""
    place = Place.of(writer.last(MARKET.name, min(lanes)))
    return place.control.last_seq >= writer.last_seq(CONTROL.name, 0)


def control_rows(rows: Sequence[JsonRow], table: InstrumentTable) -> MarketRows:
    """Rows of `control.v1` as CONTROL rows of the market, in the lane 0 and without times.

    LogError for one that is no command.
    """
    books = {one.id: k for k, one in enumerate(table.instruments)}
    out = empty(MarketRows, len(rows))
    out.kind[:], out.flags[:], out.symbol[:] = Kind.CONTROL, Flag.MSG_LAST, NO_SYMBOL
    out.venue_seq[:] = out.source[:] = out.source_row[:] = -1
    out.code[:] = np.array([_control(row) for row in rows], np.uint8)
    out.ref_id[:] = [books.get(row.get("instrument", ""), NO_ID) for row in rows]
    return out


def about_books(rows: MarketRows) -> Any:
    """Which of these rows are commands about a book: a mask."""
    return (rows.kind == Kind.CONTROL) & np.isin(rows.code, BOOK_COMMANDS)


def commands_of(log: Log) -> list[JsonRow]:
    """All rows of `control.v1` as of now."""
    partition = (CONTROL.name, 0)
    reader = log.reader({partition: 0})
    rows: list[JsonRow] = []
    end = log.ends([partition])[partition]
    while reader.position(partition) < end:
        for offset, message in reader.poll(64):
            rows += decode(message, offset=offset)
    reader.close()
    return rows


class ControlBox:
    """Commands of one run: those on its log, and those that arrive.

    Parameters
    ----------
    run_dir : Path or None
        Where new commands arrive; None for runs that nobody can reach.
    log, writer :
        The run's log.
    table : InstrumentTable
    code_version : str

    Notes
    -----
    After a crash the log is ahead of the state that the run goes on from. Until every lane has come
    to where its log ends no new command is taken in: its place has been written over already.
    """

    def __init__(
        self,
        run_dir: Path | None,
        log: Log,
        writer: Writer,
        *,
        table: InstrumentTable,
        code_version: str,
    ) -> None:
        self._file = None if run_dir is None else run_dir / COMMANDS
        self._writer, self._code_version = writer, code_version
        self._table = table
        self._known = commands_of(log)
        self._read = len(self._known)  # commands taken from the file
        ends = {lane: writer.last_seq(MARKET.name, lane) for lane in range(table.lanes)}
        self._behind = {lane: seq for lane, seq in ends.items() if seq >= 0}
        self._latest = (0, 0)  # (ts_recv_ns, lane) of the last row that the source has released

    def stops(self, position: int) -> list[int]:
        """Positions beyond this one at which recorded commands stand, in order."""
        return sorted({int(row["position"]) for row in self._known if row["position"] > position})

    def released(self, market: MarketRows) -> None:
        """The source has let these rows go."""
        if market.seq.size:
            latest_ns = int(market.ts_recv_ns.max())
            lane = int(market.lane[market.ts_recv_ns == latest_ns].max())
            self._latest = max(self._latest, (latest_ns, lane))

    def written(self, market: MarketRows) -> None:
        """These rows are on their way to the log, or stand there already."""
        for lane, seq in list(self._behind.items()):
            if np.any((market.lane == lane) & (market.seq >= seq)):
                del self._behind[lane]

    def due(self, position: int, taken: int) -> MarketRows | None:
        """CONTROL rows that stand behind source row `position`, beyond the first `taken`."""
        self._receive(position)
        here = [row for row in self._known[taken:] if row["position"] <= position]
        if not here:
            return None
        rows = control_rows(here, self._table)
        rows.ts_event_ns[:] = rows.ts_recv_ns[:] = [row["ts_recv_ns"] for row in here]
        rows.lane[:] = [row["lane"] for row in here]
        return rows

    def _receive(self, position: int) -> None:
        """Record commands that have arrived since, at this position."""
        if self._file is None or self._behind or not self._latest[0] or not self._file.exists():
            return
        lines = [line for line in self._file.read_text().split("\n")[:-1] if line]  # whole ones
        new: list[JsonRow] = [
            {
                "seq": seq,
                "ts_recv_ns": self._latest[0],
                "lane": self._latest[1],
                "position": position,
                **_read_line(lines[seq], self._file),
            }
            for seq in range(self._read, len(lines))
        ]
        if new:
            self._writer.append(
                encode_json(CONTROL, lane=0, rows=new, code_version=self._code_version)
            )
            self._writer.flush()
            self._known += new
            self._read += len(new)


def _words(command: Control, book: str | None) -> JsonRow:
    if (book is None) == (command in BOOK_COMMANDS):
        raise ValueError(f"{command.name} must {'' if book is None else 'not '}name a book")
    return {"command": command.name} | ({} if book is None else {"instrument": book})


def _read_line(line: str, file: Path) -> JsonRow:
    try:
        row = json.loads(line)
        return _words(Control[row["command"]], row.get("instrument"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LogError(
            f"{file}: {line!r} is no command; remove the line, and use 'trifecta halt' or 'resume'"
        ) from error


def _control(row: JsonRow) -> Control:
    try:
        return Control[row["command"]]
    except KeyError as error:
        raise LogError(
            f"{CONTROL.name} lane 0, seq {row['seq']}: {row.get('command')!r} is no command"
        ) from error
