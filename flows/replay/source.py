"""The source of a replay: the log's windows up to a fixed end, and up to a time."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bytewax.inputs import FixedPartitionedSource

from flows.log.api import Log, Partition
from flows.log.codec import rows_from
from flows.log.lane_source import ALL, DRY_POLLS, WAIT_S, Tables
from flows.log.reader import LaneReader, Window, merge_topics
from flows.log.stop import GracefulPart, hushed
from schemas.rows import concat

BATCH_ROWS = 8192


class ReplaySource(FixedPartitionedSource[tuple[str, Tables], None]):
    """Windows of all inputs in one order, as items ("all", {topic: rows}).

    Parameters
    ----------
    log : Log
    inputs : sequence of (topic, lane)
        Of numeric rows.
    ends : mapping of (topic, lane) to offset
    to_ns : int
        Rows of that `ts_recv_ns` or later are left out.
    """

    def __init__(
        self, log: Log, inputs: Sequence[Partition], *, ends: Mapping[Partition, int], to_ns: int
    ) -> None:
        self._log, self._inputs, self._ends, self._to_ns = log, list(inputs), ends, to_ns

    def list_parts(self) -> list[str]:
        return [ALL]

    @hushed
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_ReplayPart":
        reader = LaneReader(self._log, self._inputs, state=None, merge=True, ends=self._ends)
        return _ReplayPart(reader, self._to_ns)


class _ReplayPart(GracefulPart[tuple[str, Tables], None]):
    def __init__(self, reader: LaneReader, to_ns: int) -> None:
        self._reader, self._to_ns = reader, to_ns
        self._n_dry = 0

    def poll(self) -> Iterable[tuple[str, Tables]]:
        window = self._gather()
        inside = {
            partition: rows_from(rows, 0, n)
            for partition, rows in window.items()
            if (n := int(rows.ts_recv_ns.searchsorted(self._to_ns)))
        }
        if not inside and (window or self._reader.done()):
            raise StopIteration  # windows follow one another in time
        if inside:
            self._n_dry = 0
            return [(ALL, merge_topics(inside))]
        self._n_dry += 1
        if self._n_dry > DRY_POLLS:
            self._reader.wait(WAIT_S)
        return []

    def _gather(self) -> Window:
        """Windows joined to a batch: a desk that runs live leaves messages of a few rows each."""
        parts: dict[Partition, list[Any]] = {}
        n_rows = 0
        while n_rows < BATCH_ROWS:
            window = self._reader.window(BATCH_ROWS - n_rows)
            if not window:
                break
            for partition, rows in window.items():
                parts.setdefault(partition, []).append(rows)
                n_rows += rows.seq.size
        return {partition: concat(each) for partition, each in parts.items()}

    def state(self) -> None:
        return None

    def close(self) -> None:
        self._reader.close()
