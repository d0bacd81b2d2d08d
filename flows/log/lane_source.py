"""The one source of every flow that reads the log."""

from collections.abc import Iterable, Mapping, Sequence

from bytewax.inputs import FixedPartitionedSource

from flows.log.api import Log, Partition
from flows.log.reader import LaneReader, Position, Window
from flows.log.stop import GracefulPart, hushed

ALL = "all"  # one part and one key for all lanes of a process: they share one order

State = dict[Partition, Position]
Item = tuple[str, Window]


class LaneSource(FixedPartitionedSource[Item, State]):
    """Windows of log rows, as items ("all", {(topic, lane): rows}).

    Parameters are those of `LaneReader`; `batch_rows` is about how many rows one item holds.
    """

    def __init__(
        self,
        log: Log,
        inputs: Sequence[Partition],
        *,
        merge: bool,
        batch_rows: int,
        ends: Mapping[Partition, int] | None = None,
    ) -> None:
        if batch_rows < 1:
            raise ValueError(f"batch_rows must be positive, was {batch_rows}")
        self._log, self._inputs, self._merge = log, list(inputs), merge
        self._batch_rows, self._ends = batch_rows, ends

    def list_parts(self) -> list[str]:
        return [ALL]

    @hushed
    def build_part(self, step_id: str, for_part: str, resume_state: State | None) -> "_LanePart":
        reader = LaneReader(
            self._log, self._inputs, state=resume_state, merge=self._merge, ends=self._ends
        )
        return _LanePart(reader, self._batch_rows)


class _LanePart(GracefulPart[Item, State]):
    def __init__(self, reader: LaneReader, batch_rows: int) -> None:
        self._reader, self._batch_rows = reader, batch_rows

    def poll(self) -> Iterable[Item]:
        window = self._reader.window(self._batch_rows)
        if window:
            return [(ALL, window)]
        if self._reader.done():
            raise StopIteration
        return []

    def state(self) -> State:
        return self._reader.state()

    def close(self) -> None:
        self._reader.close()
