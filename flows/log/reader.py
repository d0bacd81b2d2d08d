"""The reader rule and the log-determined merge, the same for every profile and every flow.

Within a partition rows are taken by `seq`: what was seen is dropped, a hole stops the reader.
Between partitions rows are ordered by (`ts_recv_ns`, lane, `seq`), which only the log determines:
how much a poll returns decides when rows are released, never their order.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from flows.log.api import Log, Partition
from flows.log.codec import Table, decode, rows_from
from flows.log.errors import GapError, LogError, TimeOrderError
from flows.log.message import Message
from schemas.kinds import Flag
from schemas.rows import I8, concat, take

MESSAGES_PER_POLL = 16  # per partition: at most 32,768 rows, 9 MB, beyond the buffer's bound
BUFFER_CHUNKS = 512  # the same for small messages, of which each costs 10 kB
BUFFER_WINDOWS = 2  # an input that is this many windows ahead waits for the others
NEVER_NS = -(2**63)
ALWAYS_NS = 2**63 - 1

Window = dict[Partition, Table]


class Position(NamedTuple):
    """How far one input has been released; what recovery stores.

    No time is needed: the last row of an open input is never released by the merge (its time may
    repeat), so a resumed reader reads it again, and an idle lane blocks nobody.
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
        all inputs (times may repeat, so a row at that time might still come). An input that has
        ended does not hold the others up. False: each input runs on its own.
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
        self._ends = ends
        self._turn = -1
        self._reader = log.reader({p: i.position.offset for p, i in self._inputs.items()})
        self._close_inputs()

    def window(self, max_rows: int) -> Window:
        """The next rows per input, about `max_rows` in all; empty if nothing is certain yet.

        Rows of one time stay together, so a window may be larger by the rows that share its last.
        """
        self._poll(max_rows)
        if not self._merge:
            return self._window_each(max_rows)
        open_ns = [i.read_ts_ns for i in self._inputs.values() if not (i.closed or i.ended)]
        bound_ns = min(open_ns, default=ALWAYS_NS + 1) - 1
        ready = [t for i in self._inputs.values() for t in i.times_until(bound_ns, max_rows)]
        if sum(t.size for t in ready) > max_rows:
            # The max_rows earliest lie within the first max_rows of each input.
            bound_ns = int(np.partition(np.concatenate(ready), max_rows - 1)[max_rows - 1])
        found = {p: i.pop(bound_ns, ALWAYS_NS) for p, i in self._inputs.items()}
        return {p: rows for p, rows in found.items() if rows is not None}

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

    def _window_each(self, max_rows: int) -> Window:
        """Of some inputs, another first each time: none waits until the others are read."""
        found: Window = {}
        left = max_rows
        inputs = list(self._inputs.items())
        self._turn = (self._turn + 1) % len(inputs)
        for partition, each in inputs[self._turn :] + inputs[: self._turn]:
            rows = each.pop(ALWAYS_NS, left) if left > 0 else None
            if rows is not None:
                found[partition] = rows
                left -= _size(rows)
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
    parts = [rows for _, rows in sorted(window.items(), key=lambda item: item[0][1])]
    if len(parts) == 1:
        return parts[0]
    rows = concat(parts)
    # Each part is in order already, so a stable sort by time leaves lanes, then seq, behind it.
    return take(rows, np.argsort(rows.ts_recv_ns, kind="stable"))


class _Input:
    """One partition: what has been read of it, and what of that is not released yet."""

    def __init__(self, partition: Partition, position: Position) -> None:
        self.partition = partition
        self.position = position
        self.closed = False  # nothing of it is to be read any more
        self.ended = position.ended  # its END row has been read
        self.chunks: deque[tuple[int, Table, I8]] = deque()  # offset, rows, their times
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
        rows = rows_from(decode(message, offset=offset), self.read_seq + 1 - message.first_seq)
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

    def pop(self, bound_ns: int, limit: int) -> Table | None:
        """Release the rows up to the bound, at most `limit`."""
        parts: list[Table] = []
        while self.chunks and limit > 0:
            offset, rows, ts_ns = self.chunks[0]
            k = min(_count(ts_ns, bound_ns), limit)
            if k == 0:
                break
            whole = k == ts_ns.size
            parts.append(rows if whole else rows_from(rows, 0, k))
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
                self.chunks[0] = (offset, rows_from(rows, k), ts_ns[k:])
        return _join(parts) if parts else None


def _count(ts_ns: I8, bound_ns: int) -> int:
    """How many of the rising times are at or below the bound."""
    if int(ts_ns[-1]) <= bound_ns:
        return ts_ns.size
    return int(np.searchsorted(ts_ns, bound_ns, side="right"))


def _times(rows: Table) -> I8:
    if isinstance(rows, list):
        return np.array([row["ts_recv_ns"] for row in rows], np.int64)
    times: I8 = rows.ts_recv_ns
    return times


def _ends_lane(rows: Table) -> bool:
    flags = getattr(rows, "flags", None)
    return flags is not None and bool(flags[-1] & Flag.END)


def _join(parts: list[Table]) -> Table:
    if isinstance(parts[0], list):
        return [row for part in parts for row in part]
    return concat(parts)


def _size(rows: Table) -> int:
    return len(rows) if isinstance(rows, list) else int(rows.seq.size)
