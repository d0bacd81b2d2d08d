"""The sinks of a replay: as many recorded rows as were made again, compared one by one."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from flows.log.api import Log, Partition
from flows.log.codec import rows_from
from flows.log.lane_source import ALL
from flows.log.reader import ALWAYS_NS
from flows.log.stop import hushed
from flows.parcel import Parcel
from flows.replay.cursor import Cursor
from flows.replay.extent import Recorded, lanes_of
from flows.replay.found import DifferentError, Span, Verification
from flows.stages import FIELDS
from schemas.digest import Difference, first_difference, first_difference_json
from schemas.kinds import Kind
from schemas.rows import take
from schemas.topics import DECISIONS, FEATURES, LEDGER, PROPOSALS, SIGNALS, Encoding, Topic

LANE_TOPICS = (FEATURES, SIGNALS, PROPOSALS)  # functions of their lane alone: none waits for others


class ParcelSink(FixedPartitionedSink[Parcel, None]):
    """Hands each parcel to a function; nothing is stored."""

    def __init__(self, take_in: Callable[[Parcel], None]) -> None:
        self._take_in = take_in

    def list_parts(self) -> list[str]:
        return [ALL]

    def part_fn(self, item_key: str) -> int:
        return 0

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_ParcelPart":
        return _ParcelPart(self._take_in)


class _ParcelPart(StatefulSinkPartition[Parcel, None]):
    def __init__(self, take_in: Callable[[Parcel], None]) -> None:
        self._take_in = take_in

    @hushed
    def write_batch(self, values: list[Parcel]) -> None:
        for parcel in values:
            self._take_in(parcel)

    def snapshot(self) -> None:
        return None


class Comparison:
    """Some topics of a recorded run beside the same rows, made again.

    Parameters
    ----------
    log : Log
    run : Recorded
    topics : sequence of Topic
    lanes : sequence of int
        Of topics that have lanes.
    span : Span
    found : Verification
        Where equal rows are counted.

    Notes
    -----
    A log that goes on was asked for its ends at one moment, when its writers were at different
    places: rows made again beyond the recorded ones are no difference then. Recorded rows beyond
    those made again are, up to the time from which nothing is made again.
    """

    def __init__(
        self,
        log: Log,
        run: Recorded,
        topics: Sequence[Topic],
        *,
        lanes: Sequence[int],
        span: Span,
        found: Verification,
    ) -> None:
        self._topics, self._span, self._found = topics, span, found
        self._strict = run.ended
        self._settled_ns = run.settled_ns
        self._cursors: dict[Partition, Cursor] = {
            (topic.name, lane): Cursor(log, topic, lane, run.ends)
            for topic in topics
            for lane in lanes_of(topic, run.table)
            if topic.partitions == "single" or lane in lanes
        }

    def take_in(self, parcel: Parcel) -> None:
        """Compare one batch; DifferentError at the first row that differs."""
        for topic in self._topics:
            rows = getattr(parcel, FIELDS[topic])
            for lane, mine in _by_lane(topic, rows):
                self._same(topic, lane, mine)

    def finish(self) -> None:
        """Nothing is recorded beyond what was made again."""
        for cursor in self._cursors.values():
            rest = cursor.next(1)
            if cursor.poison is not None and not self._span.bounded:
                raise cursor.poison
            settled_ns = ALWAYS_NS if cursor.topic in LANE_TOPICS else self._settled_ns
            if rest is not None and _times(rest)[0] < min(self._span.to_ns, settled_ns):
                raise DifferentError(cursor.topic, cursor.n_read - 1, extra(rest))

    def close(self) -> None:
        """Let go of the log."""
        for cursor in self._cursors.values():
            cursor.close()

    def _same(self, topic: Topic, lane: int, rows: Any) -> None:
        n = _size(rows)
        cursor = self._cursors[(topic.name, lane)]
        start = cursor.n_read
        recorded = cursor.next(n)
        n_read = cursor.n_read - start
        if cursor.poison is not None and n_read < n:  # equal up to what cannot be read?
            self._equal(topic, start, recorded, rows_from(rows, 0, n_read))
            due = extra(rows_from(rows, n_read))
            why = {"unreadable": str(cursor.poison)}
            found = Difference(n_read, ("unreadable",), why, due.recorded)
            raise DifferentError(topic, start + n_read, found)
        if n_read < n and not self._strict:
            rows = rows_from(rows, 0, n_read)
        self._equal(topic, start, recorded, rows)

    def _equal(self, topic: Topic, start: int, recorded: Any, rows: Any) -> None:
        if _size(rows) == 0:
            return
        times = np.array(_times(rows))
        inside = np.flatnonzero((times >= self._span.from_ns) & (times < self._span.to_ns))
        if inside.size == 0:
            return
        difference = _difference(recorded, rows, inside)
        if difference is not None:
            place = start + int(inside[difference.row])
            raise DifferentError(topic, place, difference)
        self._found.add(topic, inside.size)
        if topic is DECISIONS:
            decided = rows.kind[inside] == Kind.DECISION
            self._found.decisions += int(np.count_nonzero(decided))
        elif topic is LEDGER:
            self._found.journal_rows += inside.size


def extra(recorded: Any) -> Difference:
    """The first of these rows, which the other side has not."""
    if isinstance(recorded, list):
        return Difference(0, tuple(recorded[0]), recorded[0], None)
    found = first_difference(recorded, take(recorded, slice(0, 0)))
    assert found is not None
    return found


def _difference(recorded: Any, rows: Any, inside: Any) -> Difference | None:
    n_recorded = 0 if recorded is None else _size(recorded)
    there = inside[inside < n_recorded]
    if isinstance(rows, list):
        left = [recorded[i] for i in there] if there.size else []
        return first_difference_json(left, [rows[i] for i in inside])
    left_rows = take(rows, slice(0, 0)) if recorded is None else take(recorded, there)
    return first_difference(left_rows, take(rows, inside))


def _by_lane(topic: Topic, rows: Any) -> list[tuple[int, Any]]:
    if _size(rows) == 0:
        return []
    if topic.partitions == "single":
        return [(0, rows)]
    if topic.encoding is Encoding.JSON:
        lanes = sorted({row["lane"] for row in rows})
        return [(lane, [row for row in rows if row["lane"] == lane]) for lane in lanes]
    return [(lane, take(rows, rows.lane == lane)) for lane in np.unique(rows.lane).tolist()]


def _times(rows: Any) -> Any:
    return [row["ts_recv_ns"] for row in rows] if isinstance(rows, list) else rows.ts_recv_ns


def _size(rows: Any) -> int:
    return len(rows) if isinstance(rows, list) else int(rows.seq.size)
