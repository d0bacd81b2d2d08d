"""What every source of market rows looks like to the desk: tapes and the simulator alike."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from operators.market.books.l2_state import BookTerms
from schemas.instruments import InstrumentTable
from schemas.rows import MarketRows


@dataclass(frozen=True)
class SourceInfo:
    """One source of a feed, for the run's first record and its report."""

    name: str
    kind: str  # the layout of a tape, or "simulated"
    rows: int  # inside the cut
    first_ns: int  # period of the whole source, venue clock
    last_ns: int
    sha256: str  # of the file; of the settings for a simulated source
    book_depth: int = 0  # levels a side that a live book's subscription is cut to; 0: not cut
    cadence_s: int = 0  # the longest bar of a tape whose quotes were made from bars, else 0


class Feed(Protocol):
    """Market rows of a deployment in one total order, readable from any position.

    `read` gives MarketRows with seq = 0, ordered by (ts_recv_ns, lane, source, source_row), from
    merged position `start` on, in batches of exactly `batch_rows` (the last may be shorter). The
    same position gives the same rows whatever `start` and `batch_rows` were. Every row of every
    source is there: a defect that the reader sees is in `reason`, and its `ts_recv_ns` is the last
    one known of its source, so that the order always holds.
    """

    @property
    def table(self) -> InstrumentTable: ...

    @property
    def names(self) -> list[str]:
        """The sources; MarketRows.source is the index."""

    @property
    def n_rows(self) -> int: ...

    @property
    def simulated(self) -> bool: ...

    @property
    def has_recv(self) -> bool:
        """False: receive times are venue times plus an assumed latency."""

    @property
    def description(self) -> list[SourceInfo]: ...

    def read(self, start: int, batch_rows: int) -> Iterator[MarketRows]: ...


@runtime_checkable
class LiveFeed(Protocol):
    """Market rows of venues that are connected now.

    `take` gives what has arrived since the last call, without waiting: MarketRows with seq = 0 in
    order of receipt, `ts_recv_ns` the moment of receipt, the rows of one venue message together and
    its last one flagged MSG_LAST. A message longer than `max_rows` is cut; its rest comes first the
    next time. Each instrument has a book, and BOOK_STATUS rows of the feed say how far it can be
    trusted; `resync` brings a new snapshot of one that lost a message behind `take`.
    """

    @property
    def table(self) -> InstrumentTable: ...

    @property
    def terms(self) -> BookTerms:
        """What each feed shows of its book, in the order of the table."""

    @property
    def names(self) -> list[str]:
        """The connections; MarketRows.source is the index."""

    @property
    def simulated(self) -> bool: ...

    @property
    def description(self) -> list[SourceInfo]: ...

    def take(self, max_rows: int) -> MarketRows: ...

    def resync(self, lane: int, symbol: int) -> None: ...

    def resume(self, lane: int, symbol: int) -> None:
        """An operator wants a book back: ask for a snapshot, also where it was given up."""

    def close(self) -> None: ...


def rebatch(
    blocks: Iterable[MarketRows], *, skip_rows: int, batch_rows: int
) -> Iterator[MarketRows]:
    """Cut blocks of any length into batches of exactly `batch_rows`, after dropping some."""
    if batch_rows < 1:
        raise ValueError(f"batch_rows must be at least 1, was {batch_rows}")
    if skip_rows < 0:
        raise ValueError(f"start must not be negative, was {skip_rows}")
    held: list[MarketRows] = []
    n_held = 0
    for block in blocks:
        n = block.seq.size
        at = min(skip_rows, n)
        skip_rows -= at
        while n_held + n - at >= batch_rows:
            cut = at + batch_rows - n_held
            yield _join([*held, _cut(block, at, cut)])
            held, n_held, at = [], 0, cut
        if at < n:
            held.append(_cut(block, at, n))
            n_held += n - at
    if n_held:
        yield _join(held)


def _cut(rows: MarketRows, start: int, stop: int) -> MarketRows:
    return MarketRows._make(column[start:stop] for column in rows)


def _join(parts: list[MarketRows]) -> MarketRows:
    if len(parts) == 1:
        return parts[0]
    return MarketRows._make(np.concatenate(columns) for columns in zip(*parts, strict=True))
