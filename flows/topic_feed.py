"""A recorded log as a feed: source rows and states of books, for a backtest of a recorded span.

Left out are reports, operators' commands and heartbeats: the backtest makes its own. A span that
begins inside the log has its books with it: before its own rows come those of each book from its
newest snapshot on, and all that was said of books: books and their health are what they were.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.books import RECORDED
from flows.log.api import Log
from flows.log.errors import LogError
from flows.log.lane_source import WAIT_S
from flows.log.reader import ALWAYS_NS, LaneReader, merge_windows
from flows.replay.extent import Recorded, market_now
from schemas.instruments import InstrumentTable
from schemas.kinds import Flag, Kind
from schemas.rows import MarketRows, take
from schemas.topics import MARKET
from venues.feed import SourceInfo, rebatch

WINDOW_ROWS = 32_768


@dataclass(frozen=True)
class TopicFeed:
    """The source rows of `market.v1` and what stands there of their books, by (`ts_recv_ns`, lane,
    `seq`). See `venues.feed.Feed`.

    `source` and `source_row` are those of the recorded run. The first `n_before` rows are of times
    before the span: they make its books. Memory: one window of rows.
    """

    table: InstrumentTable
    n_rows: int
    simulated: bool
    description: list[SourceInfo]
    log: Log
    run: Recorded
    from_ns: int
    to_ns: int
    n_before: int = 0
    books: "BookBegins" = field(default_factory=lambda: BookBegins({}))
    has_recv: bool = field(default=True, init=False)  # whatever stood on the log is taken as it is

    @property
    def names(self) -> list[str]:
        """The recorded run's sources."""
        return [source.name for source in self.description]

    def read(self, start: int, batch_rows: int) -> Iterator[MarketRows]:
        """Rows from merged position `start` on; what stands before is read and passed over."""
        windows = _windows(self.log, self.run, self.from_ns, self.to_ns, self.books)
        return rebatch(windows, skip_rows=start, batch_rows=batch_rows)


def open_topic(
    log: Log,
    *,
    from_ns: int | None = None,
    to_ns: int | None = None,
    at_par: Sequence[str] | None = None,
) -> TopicFeed:
    """The source rows and states of books of a recorded run, up to where its log ends now.

    Parameters
    ----------
    log : Log
        Stays open as long as the feed is read; who opened it closes it.
    from_ns, to_ns : int or None
        `ts_recv_ns`: the first row of the span, and the first that no longer is.
    at_par : sequence of str, optional
        Assets that count as one USD each; those of the recorded run if not given.

    Raises
    ------
    LogError
        The log holds no run, or no source row inside the cut.
    """
    run = market_now(log)
    first, last = from_ns or 0, ALWAYS_NS if to_ns is None else to_ns
    books = BookBegins.before(first, _read(log, run, last)) if first else BookBegins({})
    counts = np.zeros(len(run.record.sources), np.int64)
    n_rows = n_before = n_inside = 0
    for rows in _windows(log, run, first, last, books):
        counts += np.bincount(rows.source[rows.source >= 0], minlength=counts.size)
        n_inside += int(np.count_nonzero((rows.source >= 0) & (rows.ts_recv_ns >= first)))
        n_rows += rows.seq.size
        n_before += int(np.count_nonzero(rows.ts_recv_ns < first))
    if not n_inside:
        raise LogError(
            f"{MARKET.name} of run {run.record.run_id}: no source row stands in the span that was "
            "asked for; widen --from and --to"
        )
    sources = [SourceInfo(**source) for source in run.record.sources]
    table = run.table
    if at_par is not None and tuple(at_par) != table.at_par:
        table = InstrumentTable.of(table.lanes, table.instruments, at_par=at_par)
    return TopicFeed(
        table=table,
        n_rows=n_rows,
        simulated=run.record.simulated,
        description=[
            replace(each, kind=RECORDED, rows=int(n))
            for each, n in zip(sources, counts, strict=True)
        ],
        log=log,
        run=run,
        from_ns=first,
        to_ns=last,
        n_before=n_before,
        books=books,
    )


class BookBegins(NamedTuple):
    """From where on each book's rows before a span are needed."""

    seq: Mapping[tuple[int, int], int]  # (lane, symbol) to that of the row; others need none

    @classmethod
    def before(cls, from_ns: int, windows: Iterable[MarketRows]) -> "BookBegins":
        """The first row of each book's newest whole snapshot; of a book of single orders without
        one, which began empty, its first row.
        """
        found: dict[tuple[int, int], int] = {}
        opened: dict[tuple[int, int], int] = {}  # first row of a snapshot that has no end yet
        for rows in windows:
            if rows.ts_recv_ns[0] >= from_ns:
                break
            rows = take(rows, (rows.kind == Kind.BOOK) & (rows.ts_recv_ns < from_ns))
            for lane, symbol in {*zip(rows.lane.tolist(), rows.symbol.tolist(), strict=True)}:
                mine = (rows.lane == lane) & (rows.symbol == symbol)
                _note(take(rows, mine), (lane, symbol), found, opened)
        return cls(found)

    def needs(self, rows: MarketRows) -> NDArray[np.bool_]:
        """Which of the rows before the span belong to it."""
        wanted: NDArray[np.bool_] = rows.kind == Kind.BOOK_STATUS
        for (lane, symbol), seq in self.seq.items():
            mine = (rows.kind == Kind.BOOK) & (rows.lane == lane) & (rows.symbol == symbol)
            wanted |= mine & (rows.seq >= seq)
        return wanted


def _note(
    rows: MarketRows,
    book: tuple[int, int],
    found: dict[tuple[int, int], int],
    opened: dict[tuple[int, int], int],
) -> None:
    """Rows of one book: where its newest snapshot begins."""
    if rows.code[0] != 0:
        found.setdefault(book, int(rows.seq[0]))
    of_snapshot = np.flatnonzero(rows.flags & Flag.SNAPSHOT)
    ends = np.flatnonzero(rows.flags[of_snapshot] & Flag.MSG_LAST)
    if of_snapshot.size:
        opened.setdefault(book, int(rows.seq[of_snapshot[0]]))
    if ends.size:
        newest = of_snapshot[ends[-2] + 1] if ends.size > 1 else None
        found[book] = opened[book] if newest is None else int(rows.seq[newest])
        del opened[book]
        if ends[-1] + 1 < of_snapshot.size:
            opened[book] = int(rows.seq[of_snapshot[ends[-1] + 1]])


def _windows(
    log: Log, run: Recorded, from_ns: int, to_ns: int, books: BookBegins
) -> Iterator[MarketRows]:
    """Source rows and states of books inside the cut, behind what makes its books, in order."""
    for rows in _read(log, run, to_ns):
        wanted = (rows.source >= 0) | (rows.kind == Kind.BOOK_STATUS)
        before = rows.ts_recv_ns < from_ns
        if before.any():
            wanted &= ~before | books.needs(rows)
        mine = take(rows, wanted)
        mine.seq[:] = 0
        if mine.seq.size:
            yield mine


def _read(log: Log, run: Recorded, to_ns: int) -> Iterator[MarketRows]:
    """All rows before a time that are certain, in order."""
    inputs = [(MARKET.name, lane) for lane in run.table.active_lanes()]
    before_ns = min(to_ns, run.certain_before_ns(MARKET))
    reader = LaneReader(log, inputs, state=None, merge=True, ends=run.ends)
    try:
        while not reader.done():
            window = reader.window(WINDOW_ROWS)
            if not window:
                reader.wait(WAIT_S)
                continue
            rows = merge_windows(window)
            if rows.ts_recv_ns[0] >= before_ns:
                return
            yield take(rows, rows.ts_recv_ns < before_ns)
    finally:
        reader.close()
