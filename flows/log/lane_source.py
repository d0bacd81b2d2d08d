"""The one source of every flow that reads the log."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bytewax.inputs import FixedPartitionedSource

from flows.log.api import Log, Partition
from flows.log.codec import Table
from flows.log.flight import Flight
from flows.log.reader import LaneReader, Position
from flows.log.stop import GracefulPart, hushed

DRY_POLLS = 32  # in a row, of a source without a flight; by then what it read has left the flow
WAIT_S = 0.05  # at most, for a message; a stop is heard in between
ALL = "all"  # one part and one key for all lanes of a process: they share one order

State = dict[Partition, Position]
Tables = dict[str, Table]  # by topic
Item = tuple[str, Tables]
Polled = Callable[[LaneReader, Mapping[Any, Any]], None]


def _nobody(reader: LaneReader, rows: Mapping[Any, Any]) -> None:
    """Nobody wants to know."""


class LaneSource(FixedPartitionedSource[Item, State]):
    """Windows of log rows, as items ("all", {topic: rows}), each topic in one order.

    Parameters are those of `LaneReader`; `batch_rows` is about how many rows one item holds, and
    `polled(reader, tables)` is told of each poll. Where the sink tells `flight` what has landed,
    the source rests as soon as nothing is under way; else it looks every millisecond.
    """

    def __init__(
        self,
        log: Log,
        inputs: Sequence[Partition],
        *,
        merge: bool,
        batch_rows: int,
        ends: Mapping[Partition, int] | None = None,
        polled: Polled = _nobody,
    ) -> None:
        if batch_rows < 1:
            raise ValueError(f"batch_rows must be positive, was {batch_rows}")
        self._log, self._inputs, self._merge = log, list(inputs), merge
        self._batch_rows, self._ends, self._polled = batch_rows, ends, polled
        self.flight = Flight()

    def list_parts(self) -> list[str]:
        return [ALL]

    @hushed
    def build_part(self, step_id: str, for_part: str, resume_state: State | None) -> "_LanePart":
        reader = LaneReader(
            self._log, self._inputs, state=resume_state, merge=self._merge, ends=self._ends
        )
        return _LanePart(reader, self._batch_rows, self._polled, self.flight)


class _LanePart(GracefulPart[Item, State]):
    def __init__(self, reader: LaneReader, batch_rows: int, polled: Polled, flight: Flight) -> None:
        self._reader, self._batch_rows, self._polled = reader, batch_rows, polled
        self._flight = flight

    def poll(self) -> Iterable[Item]:
        tables = self._reader.merged(self._batch_rows)
        self._polled(self._reader, tables)
        if tables:
            self._flight.left()
            return [(ALL, tables)]
        if self._reader.done():
            raise StopIteration
        if self._flight.over:
            # Bytewax asks again a millisecond later: messages of other lanes come in meanwhile.
            self._reader.wait(WAIT_S)
        return []

    def state(self) -> State:
        return self._reader.state()

    def close(self) -> None:
        self._reader.close()
