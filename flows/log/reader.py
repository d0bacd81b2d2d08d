"""The reader rule and the log-determined merge, the same for every profile and every flow.

Within a partition rows are taken by `seq`: what was seen is dropped, a hole stops the reader.
Between partitions rows are ordered by (`ts_recv_ns`, lane, `seq`), which only the log determines:
how much a poll returns decides when rows are released, never their order.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from flows.log.api import Log, Partition
from flows.log.codec import Table, decode_words, rows_from
from flows.log.errors import GapError, LogError, TimeOrderError
from flows.log.message import Message
from flows.log.words import Words, join, to_rows
from schemas.kinds import Flag
from schemas.rows import I8, concat, take

MESSAGES_PER_POLL = 16  # per partition: at most 32,768 rows, 9 MB, beyond the buffer's bound
BUFFER_CHUNKS = 512  # the same for small messages, of which each costs 10 kB
BUFFER_WINDOWS = 2  # an input that is this many windows ahead waits for the others
NEVER_NS = -(2**63) + 1  # what is one less is an int64 as well
ALWAYS_NS = 2**63 - 1

Window = dict[Partition, Table]
_Part = Table | Words  # of a chunk: small messages stay words until they leave
_Parts = dict[Partition, list[_Part]]
_END = int(Flag.END)


class Position(NamedTuple):
    """How far one input has been released; what recovery stores.

    No time is needed: of an open input that others need not wait for, the merge never releases the
    last row. So a resumed reader reads it again, and an idle lane blocks nobody.
    """

    offset: int = 0  # of the message that holds the next row
    last_seq: int = -1
    ended: bool = False  # its END row has been released


class LaneReader:
    """Rows of several partitions of one log, in windows.

    Parameters
    ----------
    log : Log
    inputs : sequence of (topic, lane)
    state : mapping of (topic, lane) to Position, or None
        What `state()` returned; None starts at the first message. It may know more inputs: lanes
        that another process has taken over.
    merge : bool
        True: windows follow one another in the order (`ts_recv_ns`, lane, `seq`) over all inputs.
        Released is what no input can overtake any more: rows strictly below the least last time of
        all inputs (times may repeat, so a row at that time might still come), and those at that
        time of lanes up to the lowest that may still bring some. So the lowest lane's heartbeat
        leaves with the rows of its round, not one round later. Of several topics a time stays
        together. An input that has ended does not hold the others up. False: each input runs on
        its own.
    ends : mapping of (topic, lane) to offset, or None
        Bounded replay: where each input ends, as `log.ends()` said at the start. None reads on.

    Raises
    ------
    GapError, PoisonMessageError, RetentionError, TimeOrderError
    """

    def __init__(
        self,
        log: Log,
        inputs: Sequence[Partition],
        *,
        state: Mapping[Partition, Position] | None,
        merge: bool,
        ends: Mapping[Partition, int] | None = None,
    ) -> None:
        if state is not None and not set(inputs) <= set(state):
            raise LogError(
                f"the recovery state reads {sorted(state)}, this flow {sorted(inputs)}; "
                "start with the same lanes and topics, or with a new recovery directory"
            )
        self._inputs = {
            partition: _Input(partition, Position() if state is None else state[partition])
            for partition in inputs
        }
        self._merge = merge and len(inputs) > 1  # one input alone is in order by itself
        self._ties = len({topic for topic, _ in inputs}) == 1  # lanes alone order rows of one time
        self._ends = ends
        self._turn = -1
        self._reader = log.reader({p: i.position.offset for p, i in self._inputs.items()})
        self._close_inputs()

    def window(self, max_rows: int) -> Window:
        """The next rows per input, about `max_rows` in all; empty if nothing is certain yet.

        Rows of one time stay together, so a window may be larger by the rows that share its last.
        """
        return {partition: _joined(parts) for partition, parts in self._parts(max_rows).items()}

    def merged(self, max_rows: int) -> dict[str, Table]:
        """The same rows, of each topic as one table by (`ts_recv_ns`, lane, `seq`)."""
        parts = self._parts(max_rows)
        by_topic: dict[str, list[list[_Part]]] = {}
        for partition in sorted(parts, key=itemgetter(1)):
            by_topic.setdefault(partition[0], []).append(parts[partition])
        return {topic: _merged(lanes) for topic, lanes in by_topic.items()}

    def _parts(self, max_rows: int) -> _Parts:
        self._poll(max_rows)
        if not self._merge:
            return self._parts_each(max_rows)
        bounds_ns = self._bounds_ns()
        ready = [t for p, i in self._inputs.items() for t in i.times_until(bounds_ns[p], max_rows)]
        most_ns = ALWAYS_NS
        if sum(t.size for t in ready) > max_rows:
            # The max_rows earliest lie within the first max_rows of each input.
            most_ns = int(np.partition(np.concatenate(ready), max_rows - 1)[max_rows - 1])
        found = {p: i.pop(min(bounds_ns[p], most_ns), ALWAYS_NS) for p, i in self._inputs.items()}
        return {p: parts for p, parts in found.items() if parts}

    def wait(self, seconds: float) -> None:
        """Return when something may have arrived, at the latest after so long."""
        self._reader.wait(seconds)

    def behind(self) -> dict[Partition, int]:
        """Messages of each input that stand on the log and have not been read."""
        return {partition: self._reader.behind(partition) for partition in self._inputs}

    def done(self) -> bool:
        """Every input has ended and all its rows are released."""
        return all(i.closed and not i.chunks for i in self._inputs.values())

    def state(self) -> dict[Partition, Position]:
        """How far the rows are released, per input: what a restarted reader goes on from."""
        return {p: i.position for p, i in self._inputs.items()}

    def close(self) -> None:
        self._reader.close()

    def _bounds_ns(self) -> dict[Partition, int]:
        """Up to which time no row of another input can stand before those of this one any more."""
        still = [(i.read_ts_ns, p[1]) for p, i in self._inputs.items() if not (i.closed or i.ended)]
        if not still:
            return dict.fromkeys(self._inputs, ALWAYS_NS)
        least_ns, lane = min(still)
        return {p: least_ns - (p[1] > lane or not self._ties) for p in self._inputs}

    def _parts_each(self, max_rows: int) -> _Parts:
        """Of some inputs, another first each time: none waits until the others are read."""
        found: _Parts = {}
        left = max_rows
        inputs = list(self._inputs.items())
        self._turn = (self._turn + 1) % len(inputs)
        for partition, each in inputs[self._turn :] + inputs[: self._turn]:
            parts = each.pop(ALWAYS_NS, left) if left > 0 else []
            if parts:
                found[partition] = parts
                left -= sum(map(_size, parts))
        return found

    def _poll(self, max_rows: int) -> None:
        limit = BUFFER_WINDOWS * max_rows
        paused = {p for p, i in self._inputs.items() if i.closed or i.is_full(limit)}
        if len(paused) == len(self._inputs):
            return
        for offset, message in self._reader.poll(MESSAGES_PER_POLL, paused):
            partition = (message.topic, message.lane)
            if self._ends is None or offset < self._ends[partition]:
                self._inputs[partition].add(offset, message, check_time=self._merge)
        self._close_inputs()

    def _close_inputs(self) -> None:
        for partition, each in self._inputs.items():
            if self._ends is None:
                each.closed = each.ended
            else:
                each.closed = self._reader.position(partition) >= self._ends[partition]


def merge_windows(window: Mapping[Partition, Any]) -> Any:
    """One table of a window whose inputs have one row type, by (`ts_recv_ns`, lane, `seq`).

    One topic, at least one lane.
    """
    return _merged([[rows] for _, rows in sorted(window.items(), key=lambda item: item[0][1])])


def merge_topics(window: Mapping[Partition, Any]) -> dict[str, Table]:
    """The same for each topic of a window."""
    by_topic: dict[str, Window] = {}
    for (topic, lane), rows in window.items():
        by_topic.setdefault(topic, {})[(topic, lane)] = rows
    return {topic: merge_windows(each) for topic, each in by_topic.items()}


class _Input:
    """One partition: what has been read of it, and what of that is not released yet."""

    def __init__(self, partition: Partition, position: Position) -> None:
        self.partition = partition
        self.position = position
        self.closed = False  # nothing of it is to be read any more
        self.ended = position.ended  # its END row has been read
        self.chunks: deque[tuple[int, _Part, I8]] = deque()  # offset, rows, their times
        self.n_rows = 0
        self.read_seq = position.last_seq
        self.read_ts_ns = NEVER_NS

    def add(self, offset: int, message: Message, *, check_time: bool) -> None:
        if message.last_seq <= self.read_seq:
            return  # written twice, by a restarted writer or a second one
        topic, lane = self.partition
        if message.first_seq > self.read_seq + 1:
            raise GapError(
                who="reader",
                topic=topic,
                lane=lane,
                expected=self.read_seq + 1,
                found=message.first_seq,
            )
        if self.ended:
            raise LogError(f"{topic} lane {lane}, offset {offset}: rows follow the lane's END row")
        rows = decode_words(message, offset=offset)
        if message.first_seq <= self.read_seq:
            rows = _cut(rows, self.read_seq + 1 - message.first_seq)
        ts_ns = _times(rows)
        if check_time and int(ts_ns[0]) < self.read_ts_ns:
            raise TimeOrderError(
                f"{topic} lane {lane}, seq {self.read_seq + 1}, offset {offset}: ts_recv_ns "
                f"{int(ts_ns[0])} is earlier than {self.read_ts_ns} of the row before"
            )
        self.chunks.append((offset, rows, ts_ns))
        self.n_rows += ts_ns.size
        self.read_seq, self.read_ts_ns = message.last_seq, int(ts_ns[-1])
        self.ended = _ends_lane(rows)

    def is_full(self, rows: int) -> bool:
        """Enough is held for the windows to come."""
        return self.n_rows >= rows or len(self.chunks) >= BUFFER_CHUNKS

    def times_until(self, bound_ns: int, limit: int) -> list[I8]:
        """Times of the buffered rows up to the bound; more than `limit` if there are more."""
        found: list[I8] = []
        n = 0
        for _, _, ts_ns in self.chunks:
            k = _count(ts_ns, bound_ns)
            found.append(ts_ns[:k])
            n += k
            if k < ts_ns.size or n > limit:
                break
        return found

    def pop(self, bound_ns: int, limit: int) -> list[_Part]:
        """Release the rows up to the bound, at most `limit`."""
        parts: list[_Part] = []
        while self.chunks and limit > 0:
            offset, rows, ts_ns = self.chunks[0]
            k = min(_count(ts_ns, bound_ns), limit)
            if k == 0:
                break
            whole = k == ts_ns.size
            parts.append(rows if whole else _cut(rows, 0, k))
            limit -= k
            self.n_rows -= k
            self.position = Position(
                offset=offset + 1 if whole else offset,
                last_seq=self.position.last_seq + k,
                ended=whole and _ends_lane(rows),
            )
            if whole:
                self.chunks.popleft()
            else:
                self.chunks[0] = (offset, _cut(rows, k), ts_ns[k:])
        return parts


def _count(ts_ns: I8, bound_ns: int) -> int:
    """How many of the rising times are at or below the bound."""
    if int(ts_ns[-1]) <= bound_ns:
        return ts_ns.size
    return int(ts_ns.searchsorted(bound_ns, side="right"))


def _times(rows: _Part) -> I8:
    if isinstance(rows, list):
        return np.array([row["ts_recv_ns"] for row in rows], np.int64)
    if isinstance(rows, Words):
        return rows.column("ts_recv_ns")
    times: I8 = rows.ts_recv_ns
    return times


def _ends_lane(rows: _Part) -> bool:
    if isinstance(rows, Words):
        return "flags" in rows.table._fields and bool(rows.column("flags")[-1] & _END)
    flags = getattr(rows, "flags", None)
    return flags is not None and bool(flags[-1] & _END)


def _cut(rows: _Part, start: int, stop: int | None = None) -> _Part:
    return rows.part(start, stop) if isinstance(rows, Words) else rows_from(rows, start, stop)


def _joined(parts: list[_Part]) -> Table:
    """The parts of one input as one table."""
    if isinstance(parts[0], list):
        return [row for part in parts for row in part]
    if all(isinstance(part, Words) for part in parts):
        return to_rows(join(parts))
    return concat([to_rows(part) if isinstance(part, Words) else part for part in parts])


def _merged(lanes: list[list[_Part]]) -> Table:
    """The parts of each lane, in the order of lanes, as one table in the order of time."""
    if len(lanes) == 1:
        return _joined(lanes[0])
    # Each lane is in order already, so a stable sort by time leaves lanes, then seq, behind it.
    parts = [part for lane in lanes for part in lane]
    if all(isinstance(part, Words) for part in parts):
        words = join(parts)
        order = words.column("ts_recv_ns").argsort(kind="stable")
        return to_rows(Words(words.table, words.array[order]))
    rows = _joined(parts)
    return take(rows, np.argsort(rows.ts_recv_ns, kind="stable"))


def _size(rows: _Part) -> int:
    if isinstance(rows, Words):
        return len(rows.array)
    return len(rows) if isinstance(rows, list) else int(rows.seq.size)
