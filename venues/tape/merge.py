"""Streams in receive order become one: a merge that holds only a few chunks of each."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.rows import I8, MarketRows

ENDLESS_NS = np.iinfo(np.int64).max


class _Head:
    """What is read of one stream and not given out yet."""

    def __init__(self, chunks: Iterable[MarketRows]) -> None:
        self._chunks = iter(chunks)
        self.rows: MarketRows | None = None
        self.last_ns = 0  # of what is read; ENDLESS_NS once there is no more
        self.more()

    def more(self) -> None:
        found = next((chunk for chunk in self._chunks if chunk.seq.size), None)
        if found is None:
            self.last_ns = ENDLESS_NS
            return
        self.rows = found if self.rows is None else _columns([self.rows, found])
        self.last_ns = int(self.rows.ts_recv_ns[-1])

    def until(self, ts_ns: int) -> MarketRows | None:
        """Give out the rows before a time; those of that time may have followers elsewhere."""
        rows = self.rows
        if rows is None:
            return None
        n = int(np.searchsorted(rows.ts_recv_ns, ts_ns, side="left"))
        if ts_ns == ENDLESS_NS or n == rows.seq.size:
            self.rows = None
            return rows
        self.rows = MarketRows._make(column[n:] for column in rows)
        return MarketRows._make(column[:n] for column in rows) if n else None


def merge(streams: list[Iterable[MarketRows]]) -> Iterator[MarketRows]:
    """Rows of all streams by (ts_recv_ns, lane, source, source_row), in blocks of any length.

    Each stream must be in order of ts_recv_ns, and of source_row where it gives equal times.
    Memory: two chunks of each stream, and the rows of one instant however many these are. Blocks
    are owned, contiguous and writable.
    """
    heads = [_Head(stream) for stream in streams]
    while True:
        horizon = min((head.last_ns for head in heads), default=ENDLESS_NS)
        parts = [part for head in heads if (part := head.until(horizon)) is not None]
        if parts:
            yield _sorted(parts)
        if horizon == ENDLESS_NS:
            return
        for head in heads:
            if head.last_ns == horizon:
                head.more()


def _sorted(parts: list[MarketRows]) -> MarketRows:
    rows = _columns(parts)
    order = _order(rows)
    return MarketRows._make(_owned(column, order) for column in rows)


def _order(rows: MarketRows) -> NDArray[np.int64] | None:
    """The sorting permutation, None if there is nothing to sort."""
    first_ns = int(rows.ts_recv_ns[0])
    lanes = int(rows.lane.max()) + 1
    if _constant(rows.source):
        span = int(rows.ts_recv_ns.max()) - first_ns
        if span < ENDLESS_NS // (2 * lanes) and _grows(rows.source_row):
            key: I8 = (rows.ts_recv_ns - first_ns) * lanes + rows.lane
            return None if _grows(key) else np.argsort(key, kind="stable")
    return np.lexsort((rows.source_row, rows.source, rows.lane, rows.ts_recv_ns))


def _grows(values: I8) -> bool:
    return bool((values[1:] >= values[:-1]).all())


def _constant(column: NDArray[Any]) -> bool:
    return column.strides[0] == 0


def _columns(parts: list[MarketRows]) -> MarketRows:
    """Chunks one after the other; columns that all share one value stay views of it."""
    if len(parts) == 1:
        return parts[0]
    n = sum(part.seq.size for part in parts)
    return MarketRows._make(_joined(list(columns), n) for columns in zip(*parts, strict=True))


def _joined(columns: list[NDArray[Any]], n: int) -> NDArray[Any]:
    first = columns[0][:1]
    if all(_constant(column) and column[:1].tobytes() == first.tobytes() for column in columns):
        return np.broadcast_to(first[0], (n,))
    return np.concatenate(columns)


def _owned(column: NDArray[Any], order: NDArray[np.int64] | None) -> NDArray[Any]:
    if _constant(column):
        return np.full(column.size, column[0])
    return column.copy() if order is None else column[order]
