"""The one source of every flow that reads the log."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from bytewax.inputs import FixedPartitionedSource

from flows.log.api import Log, Partition
from flows.log.reader import LaneReader, Position, Window
from flows.log.stop import GracefulPart, hushed

DRY_POLLS = 32  # in a row; by then what was read before has left the flow
WAIT_S = 0.05  # at most, for a message; a stop is heard in between
ALL = "all"  # one part and one key for all lanes of a process: they share one order

State = dict[Partition, Position]
Item = tuple[str, Window]
Polled = Callable[[LaneReader, Window], None]


def _nobody(reader: LaneReader, window: Window) -> None:
    """Nobody wants to know."""


class LaneSource(FixedPartitionedSource[Item, State]):
    """Windows of log rows, as items ("all", {(topic, lane): rows}).

    Parameters are those of `LaneReader`; `batch_rows` is about how many rows one item holds, and
    `polled(reader, window)` is told of each poll.
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

    def list_parts(self) -> list[str]:
        return [ALL]

    @hushed
    def build_part(self, step_id: str, for_part: str, resume_state: State | None) -> "_LanePart":
        reader = LaneReader(
            self._log, self._inputs, state=resume_state, merge=self._merge, ends=self._ends
        )
        return _LanePart(reader, self._batch_rows, self._polled)


class _LanePart(GracefulPart[Item, State]):
    def __init__(self, reader: LaneReader, batch_rows: int, polled: Polled) -> None:
        self._reader, self._batch_rows, self._polled = reader, batch_rows, polled
        self._n_dry = 0

    def poll(self) -> Iterable[Item]:
        window = self._reader.window(self._batch_rows)
        self._polled(self._reader, window)
        if window:
            self._n_dry = 0
            return [(ALL, window)]
        if self._reader.done():
            raise StopIteration
        self._n_dry += 1
        if self._n_dry > DRY_POLLS:  # earlier it would hold up rows on their way through the flow
            self._reader.wait(WAIT_S)
        return []

    def state(self) -> State:
        return self._reader.state()

    def close(self) -> None:
        self._reader.close()
