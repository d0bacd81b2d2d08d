"""What comes back to ingest through the log: execution reports and operators' commands."""

from collections.abc import Mapping
from typing import NamedTuple

from flows.control import control_rows
from flows.log.api import Log, Partition
from flows.log.codec import JsonRow
from flows.log.errors import LogError
from flows.log.reader import LaneReader, Position
from flows.place import Phase, Place
from operators.execution.report_rows import is_drained, report_rows
from schemas.instruments import InstrumentTable
from schemas.rows import MarketRows, concat, empty
from schemas.topics import CONTROL, REPORTS

CONTROL_PARTITION = (CONTROL.name, 0)


class Inbox:
    """Reads `reports.v1` and `control.v1` from where the lanes stand.

    Parameters
    ----------
    log : Log
    table : InstrumentTable
    places : mapping of lane to Place
        Of every active lane. Commands go to the lowest of them.
    """

    def __init__(self, log: Log, table: InstrumentTable, places: Mapping[int, Place]) -> None:
        self._table = table
        self._control_lane = min(places)
        self.drained = {lane for lane, each in places.items() if each.phase >= Phase.DRAINED}
        state: dict[Partition, Position] = {
            (REPORTS.name, lane): place.reports for lane, place in places.items()
        }
        self._hears = places[self._control_lane].phase is not Phase.ENDED
        if self._hears:  # else a command would stand behind its lane's END row
            state[CONTROL_PARTITION] = places[self._control_lane].control
        self._reader = LaneReader(log, list(state), state=state, merge=False)

    def take(self, max_rows: int) -> MarketRows:
        """Rows of kind REPORT and CONTROL that have arrived; their receive time is to be set."""
        parts = [empty(MarketRows)]
        for (topic, lane), rows in self._reader.window(max_rows).items():
            if topic == CONTROL.name:
                parts.append(self._commands(rows))
                continue
            parts.append(self._reports(rows))
            if any(is_drained(row) for row in rows):
                self.drained.add(lane)
        return concat([part for part in parts if part.seq.size] or parts[:1])

    def _reports(self, rows: list[JsonRow]) -> MarketRows:
        try:
            return report_rows(rows, self._table)
        except ValueError as error:
            raise LogError(f"{error}; the log is damaged, or another program wrote to it") from None

    def _commands(self, rows: list[JsonRow]) -> MarketRows:
        out = control_rows(rows, self._table)
        out.lane[:], out.ts_event_ns[:] = self._control_lane, [row["ts_recv_ns"] for row in rows]
        return out

    def place(self, lane: int) -> "Standing":
        """How far the lane's inputs have been taken."""
        state = self._reader.state()
        hears = self._hears and lane == self._control_lane
        control = state[CONTROL_PARTITION] if hears else Position()
        return Standing(state[(REPORTS.name, lane)], control)

    def wait(self, seconds: float) -> None:
        """Return when something may have arrived, at the latest after so long."""
        self._reader.wait(seconds)

    def behind(self) -> dict[Partition, int]:
        """Messages that have not been read."""
        return self._reader.behind()

    def close(self) -> None:
        self._reader.close()


class Standing(NamedTuple):
    """The inbox's part of a `Place`."""

    reports: Position
    control: Position
