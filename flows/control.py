"""Operators' commands: how they reach a running desk, and where they stand in its log.

A command arrives at a moment that no tape knows. So its place, a number of source rows, is written
to `control.v1` before the command takes effect, and a run that is derived again puts it there.
"""

import json
from pathlib import Path

import numpy as np

from flows.log.api import Log
from flows.log.codec import JsonRow, decode, encode_json
from flows.log.writer import Writer
from schemas.kinds import NO_ID, NO_SYMBOL, Control, Flag, Kind
from schemas.rows import MarketRows, empty
from schemas.topics import CONTROL

COMMANDS = "control.jsonl"  # in the run's folder; one line per command


def send_command(run_dir: Path, command: Control, *, ts_ns: int) -> None:
    """Ask a run to take a command in; it does so with its next batch."""
    with (run_dir / COMMANDS).open("a") as file:
        file.write(json.dumps({"command": command.name, "ts_ns": ts_ns}) + "\n")


class ControlBox:
    """Commands of one run: those on its log, and those that arrive.

    Parameters
    ----------
    run_dir : Path or None
        Where new commands arrive; None for runs that nobody can reach.
    log, writer :
        The run's log.
    code_version : str
    """

    def __init__(self, run_dir: Path | None, log: Log, writer: Writer, code_version: str) -> None:
        self._file = None if run_dir is None else run_dir / COMMANDS
        self._writer, self._code_version = writer, code_version
        self._known = _read_all(log)
        self._last = (0, 0)  # latest (ts_recv_ns, lane) that the source has released

    def stops(self, position: int) -> list[int]:
        """Positions beyond this one at which recorded commands stand, in order."""
        return sorted({int(row["position"]) for row in self._known if row["position"] > position})

    def rows(self, position: int, market: MarketRows) -> MarketRows | None:
        """CONTROL rows that stand behind the source row `position`."""
        if market.seq.size:
            k = int(np.argmax(market.ts_recv_ns))
            latest = int(market.ts_recv_ns[k])
            lanes = market.lane[market.ts_recv_ns == latest]
            self._last = max(self._last, (latest, int(lanes.max())))
        if not self._last[0]:
            return None
        self._receive(position)
        here = [row for row in self._known if row["position"] == position]
        if not here:
            return None
        rows = empty(MarketRows, len(here))
        rows.kind[:], rows.flags[:], rows.symbol[:] = Kind.CONTROL, Flag.MSG_LAST, NO_SYMBOL
        rows.code[:] = [Control[row["command"]] for row in here]
        rows.ts_event_ns[:] = rows.ts_recv_ns[:] = self._last[0]
        rows.lane[:] = self._last[1]
        rows.ref_id[:] = NO_ID
        rows.venue_seq[:] = rows.source[:] = rows.source_row[:] = -1
        return rows

    def _receive(self, position: int) -> None:
        """Record commands that have arrived since, at this position."""
        if self._file is None or not self._file.exists():
            return
        lines = self._file.read_text().splitlines()
        new: list[JsonRow] = [
            {
                "seq": seq,
                "ts_recv_ns": self._last[0],
                "position": position,
                "command": json.loads(lines[seq])["command"],
            }
            for seq in range(len(self._known), len(lines))
        ]
        if new:
            self._writer.append(
                encode_json(CONTROL, lane=0, rows=new, code_version=self._code_version)
            )
            self._writer.flush()
            self._known += new


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
