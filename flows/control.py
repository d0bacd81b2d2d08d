"""Operators' commands: how they reach a running desk, and where they stand in its log.

A command arrives at a moment that no tape knows. So its place, a number of source rows, is written
to `control.v1` before the command takes effect, and a run that is derived again puts it there.
A desk of workers needs no place: commands go to `control.v1`, and ingest gives them one.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from flows.log.api import Log
from flows.log.codec import JsonRow, decode, encode_json
from flows.log.errors import LogError
from flows.log.writer import Writer
from flows.place import Place
from flows.recovery import code_version
from schemas.kinds import NO_ID, NO_SYMBOL, Control, Flag, Kind
from schemas.rows import MarketRows, empty
from schemas.topics import CONTROL, MARKET

COMMANDS = "control.jsonl"  # in the run's folder; one line per command


def send_command(run_dir: Path, command: Control, *, ts_ns: int) -> None:
    """Ask a run to take a command in; it does so with its next batch."""
    file = run_dir / COMMANDS
    torn = file.exists() and not file.read_bytes().endswith(b"\n")
    line = json.dumps({"command": command.name, "ts_ns": ts_ns}) + "\n"
    with file.open("a") as out:
        out.write("\n" + line if torn else line)


def send_to_desk(log: Log, command: Control, *, ts_ns: int) -> Writer:
    """Write a command for ingest to `control.v1`; `is_taken` then asks whether ingest has read it.

    `log` must fence its writer, by an id that all who send commands share: two at once would take
    the same `seq`. LogLockedError if another was just sent: call it again, with the same time; a
    command of that time is written once. The caller closes the writer.
    """
    writer = log.writer()
    sent = ((row["ts_recv_ns"], row["command"]) for row in _read_all(log))
    if (ts_ns, command.name) in sent:  # by the attempt before, which was not told so
        return writer
    row: JsonRow = {
        "seq": writer.last_seq(CONTROL.name, 0) + 1,
        "ts_recv_ns": ts_ns,
        "command": command.name,
    }
    writer.append(encode_json(CONTROL, lane=0, rows=[row], code_version=code_version()))
    writer.flush()
    return writer


def is_taken(writer: Writer, lanes: Iterable[int]) -> bool:
    """Whether the last command stands in the market's log, given the desk's active lanes."""
    place = Place.of(writer.last(MARKET.name, min(lanes)))
    return place.control.last_seq >= writer.last_seq(CONTROL.name, 0)


class ControlBox:
    """Commands of one run: those on its log, and those that arrive.

    Parameters
    ----------
    run_dir : Path or None
        Where new commands arrive; None for runs that nobody can reach.
    log, writer :
        The run's log.
    lanes : int
    code_version : str

    Notes
    -----
    After a crash the log is ahead of the state that the run goes on from. Until every lane has come
    to where its log ends no new command is taken in: its place has been written over already.
    """

    def __init__(
        self, run_dir: Path | None, log: Log, writer: Writer, *, lanes: int, code_version: str
    ) -> None:
        self._file = None if run_dir is None else run_dir / COMMANDS
        self._writer, self._code_version = writer, code_version
        self._known = _read_all(log)
        self._read = len(self._known)  # commands taken from the file
        ends = {lane: writer.last_seq(MARKET.name, lane) for lane in range(lanes)}
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
        rows = empty(MarketRows, len(here))
        rows.kind[:], rows.flags[:], rows.symbol[:] = Kind.CONTROL, Flag.MSG_LAST, NO_SYMBOL
        rows.code[:] = [Control[row["command"]] for row in here]
        rows.ts_event_ns[:] = rows.ts_recv_ns[:] = [row["ts_recv_ns"] for row in here]
        rows.lane[:] = [row["lane"] for row in here]
        rows.ref_id[:] = NO_ID
        rows.venue_seq[:] = rows.source[:] = rows.source_row[:] = -1
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
                "command": _command(lines[seq], self._file),
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


def _command(line: str, file: Path) -> str:
    try:
        return Control[json.loads(line)["command"]].name
    except (ValueError, KeyError, TypeError) as error:
        raise LogError(
            f"{file}: {line!r} is no command; remove the line, and use 'trifecta halt' or 'resume'"
        ) from error


def _read_all(log: Log) -> list[JsonRow]:
    partition = (CONTROL.name, 0)
    reader = log.reader({partition: 0})
    rows: list[JsonRow] = []
    end = log.ends([partition])[partition]
    while reader.position(partition) < end:
        for offset, message in reader.poll(64):
            rows += decode(message, offset=offset)
    reader.close()
    return rows
