"""Collects log rows into blocks, and hands each block to the store."""

from collections.abc import Mapping
from typing import NamedTuple

from flows.log.api import Partition
from flows.log.codec import Table, rows_from
from flows.log.reader import Position, Window
from flows.store.columns import to_arrow
from flows.store.folder import StoreFolder
from flows.store.layout import block_end, cells
from schemas.rows import concat
from schemas.topics import topic_named


class _Open(NamedTuple):
    """The block of a partition that is not full yet."""

    parts: list[Table]
    n_rows: int
    n_stored: int  # of them are in files


class Blocks:
    """Rows of any windows into files that depend on the rows alone.

    A block is written when it is full or its lane has ended; only then the position moves on. So
    after a kill at any point the same block is read, and written, again. `flush` writes what there
    is of open blocks, to the same files, which later hold more.

    Memory: one open block per topic and lane, at most `flows.store.layout.block_rows`.
    """

    def __init__(self, store: StoreFolder) -> None:
        self._store = store
        self._open: dict[Partition, _Open] = {}

    def take(
        self,
        window: Window,
        *,
        before: Mapping[Partition, Position],
        after: Mapping[Partition, Position],
    ) -> None:
        """Add the rows that a reader released between two of its positions."""
        for partition, rows in window.items():
            self._take(partition, rows, before[partition])
            if after[partition].ended:
                self._close(partition, after[partition])

    def flush(self) -> None:
        """Everything taken is in the store when this returns."""
        for partition, block in self._open.items():
            if block.n_stored < block.n_rows:
                self._write(partition, block)
                self._open[partition] = block._replace(n_stored=block.n_rows)

    def _take(self, partition: Partition, rows: Table, before: Position) -> None:
        while row_count(rows):
            room = block_end(partition[0], _seq(rows, 0)) - _seq(rows, 0)
            part, rows = rows_from(rows, 0, room), rows_from(rows, room)
            block = self._open.get(partition, _Open([], 0, 0))
            block = block._replace(
                parts=[*block.parts, part], n_rows=block.n_rows + row_count(part)
            )
            self._open[partition] = block
            if row_count(part) == room:
                # The message that holds the next row does not lie before that of this window.
                self._close(partition, before._replace(last_seq=_seq(part, -1)))

    def _close(self, partition: Partition, position: Position) -> None:
        if partition in self._open:
            self._write(partition, self._open.pop(partition))
        self._store.reached({partition: position})

    def _write(self, partition: Partition, block: _Open) -> None:
        parts = block.parts
        rows = [r for p in parts for r in p] if isinstance(parts[0], list) else concat(parts)
        topic, instruments = topic_named(partition[0]), self._store.instruments
        self._store.write(
            (cell.path, to_arrow(cell.rows, topic, instruments, self._store.signals))
            for cell in cells(partition, rows, instruments)
        )


def row_count(rows: Table) -> int:
    """Rows of a table, or of a list of JSON rows."""
    return len(rows) if isinstance(rows, list) else int(rows.seq.size)


def _seq(rows: Table, i: int) -> int:
    return int(rows[i]["seq"]) if isinstance(rows, list) else int(rows.seq[i])
