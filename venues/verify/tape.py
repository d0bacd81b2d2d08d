"""Verifies a tape of a book, beside a tape of the venue's quotes where there is one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from operators.market.books.l2 import BookTopRows
from operators.market.books.words import BookReason, BookState
from schemas.kinds import Flag, Side
from schemas.rows import I8, MarketRows, concat, empty, take
from venues.frames.parsed import Link
from venues.frames.sequence import Chain, Verdict, judge
from venues.frames.venue import Venue
from venues.tape import TapeError, TapeFeed, open_tapes
from venues.tape.columns import Mask, batches, integers, open_parquet
from venues.tape.layouts import SNAPSHOTS, book_layout_of
from venues.verify.books import Rebuilding, by_key, quotes_of
from venues.verify.evidence import checks_of_venues
from venues.verify.quotes import Agreement, ByNumber, Quotes, Tops
from venues.verify.rebuilt import Known, Levels, RebuiltBook, tops_of
from venues.verify.report import Check, FileReport, Outcome, StreamReport
from venues.verify.snapshots import ByTime, snapshots_of
from venues.verify.tolerance import Beside, Match, tolerance_of
from venues.verify.venues import venue_of

CHUNK_ROWS = 65_536

Progress = Callable[[int], None]  # rows read since the last call
Market = tuple[str, str]  # venue, symbol


def layout_name(path: Path) -> str:
    """The layout of a Parquet file by its columns; TapeError if none fits."""
    return book_layout_of(path, open_parquet(path).schema_arrow).name


def verify_tape(
    path: Path,
    quotes: Path | None = None,
    progress: Progress = lambda rows: None,
    *,
    snapshots: Path | None = None,
) -> FileReport:
    """Read a tape of layout `book` once and say what holds.

    Parameters
    ----------
    path : Path
    quotes : Path, optional
        A tape of layout `quotes` whose column `seq` has the numbers of the venue's book.
    progress : callable
    snapshots : Path, optional
        A file of layout `book_snapshots` of the same markets.

    Notes
    -----
    A message follows the one before if its `prev_seq` is the other's `seq`. Memory: one chunk of
    rows, the books, and quotes that wait for their message, all bounded.

    Raises
    ------
    TapeError
        A file cannot be read, or is not of its layout.
    NoParserError
        The tape is of a venue that is not listed.
    """
    if layout_name(path) == SNAPSHOTS.name:
        raise TapeError(
            "it holds snapshots, which show what a book was like and are none themselves",
            str(path),
            "Give the tape of the same market's orders (orders_l3) or book too, of the same period",
        )
    feed = open_tapes([path])
    kind = feed.description[0].kind
    if kind != "book":
        raise TapeError(f"it is a tape of {kind}, not of a book", str(path), "Give its book too")
    for one in feed.table.instruments:
        venue_of(one.venue)
    tape = _Tape(path, feed, quotes, snapshots)
    for rows in feed.read(0, CHUNK_ROWS):
        tape.add(rows)
        progress(rows.seq.size)
    return tape.report(feed.n_rows)


def compare(top: BookTopRows, quotes: Path) -> Agreement:
    """The tops of one book against a tape of its venue's quotes, by number, in price and size.

    No change may differ, also none right after a snapshot.
    """
    tops, begin = tops_of(top), 0
    compares = ByNumber(sizes=True, settle_changes=-1)
    for _, every in _QuoteTape(quotes).until(None):
        each = _numbered(every)
        if not each.seq.size:
            continue
        stop = max(begin, int(np.searchsorted(tops.number, each.number[-1])))
        compares.add(take(tops, slice(begin, stop)), each)
        begin = stop
    compares.add(take(tops, slice(begin, None)), empty(Quotes))
    return compares.finish()


@dataclass
class _Market:
    """One book of the tape, and what it is compared with."""

    venue: Venue
    one: Rebuilding
    compares: ByNumber | None
    snapshots_follow: bool
    by_time: ByTime | None = None
    chain: Chain = field(default_factory=Chain)


@dataclass
class _Message:
    """The message that the reader is in."""

    market: _Market | None = None  # None: of a symbol that the venue's names do not have
    is_late: bool = False  # the book has it already: passed over
    is_bad: bool = False  # a row of it was refused
    is_audit: bool = False  # a snapshot that must show the book
    known: Known | None = None  # then: the book before it
    shown: list[MarketRows] = field(default_factory=list)  # and its rows so far


@dataclass
class _Sums:
    """What became of one venue's rows."""

    messages: int = 0
    late: int = 0  # messages
    late_rows: int = 0
    rows: int = 0
    refused: int = 0


class _Tape:
    def __init__(
        self, path: Path, feed: TapeFeed, quotes: Path | None, snapshots: Path | None
    ) -> None:
        self._path = path
        self._against = tuple(str(one) for one in (quotes, snapshots) if one)
        self._numbers = _Numbers(path)
        self._quotes = _QuoteTape(quotes) if quotes else None
        self._message, self._inside = _Message(), False
        self._sums: dict[str, _Sums] = {}
        self._markets = {
            (one.lane, one.symbol): _market(one.venue, one.name, snapshots)
            for one in feed.table.instruments
        }

    def add(self, rows: MarketRows) -> None:
        """Take the next rows of the tape."""
        last = rows.flags & np.uint8(Flag.MSG_LAST) != 0
        prev, bad = self._numbers.take(rows.seq.size), rows.reason != 0
        starts = np.flatnonzero(np.concatenate([[not self._inside], last[:-1]])).tolist()
        kept, begin = np.ones(rows.seq.size, np.bool_), 0
        if self._quotes is not None:
            self._compare(self._quotes.until(int(rows.ts_event_ns[-1])))
        for first, stop in _spans(starts, rows.seq.size):
            if not (first == 0 and self._inside):
                gap = self._open(rows, first, int(prev[first]))
                if gap is not None:
                    self._apply(rows, kept, begin, first)
                    gap.one.lose(BookState.GAP, BookReason.SEQUENCE_GAP)
                    begin = first
                if self._message.is_audit and self._message.market is not None:
                    self._apply(rows, kept, begin, first)
                    book, begin = self._message.market.one.book, first
                    self._message.known = book.known(book.held)
            message = self._message
            message.is_bad |= bool(bad[first:stop].any())
            if message.known is not None:
                message.shown.append(take(rows, slice(first, stop)))
                if last[stop - 1] and not message.is_bad:
                    _audit(message)
            self._count(message, bad[first:stop])
            kept[first:stop] = not message.is_late
            if last[stop - 1] and message.is_bad and message.market is not None:
                self._apply(rows, kept, begin, stop)
                self._spoil(message.market, stop - 1, rows)
                begin = stop
        self._apply(rows, kept, begin, rows.seq.size)
        self._inside = not last[-1]

    def report(self, n_rows: int) -> FileReport:
        """What was found, once all rows are through."""
        if self._quotes is not None:
            self._compare(self._quotes.until(None))
        for market in self._markets.values():
            if market.compares is not None:
                market.one.evidence.agreement = market.compares.finish()
            if market.by_time is not None:
                market.one.evidence.shown = market.by_time.finish()
        by_venue: dict[str, list[Rebuilding]] = {}
        for market in self._markets.values():
            by_venue.setdefault(market.venue.name, []).append(market.one)
        books = {
            name: [one.report(venue_of(name), tolerance_of(name)) for one in each]
            for name, each in by_venue.items()
        }
        evidence = {name: [one.evidence for one in each] for name, each in by_venue.items()}
        return FileReport(
            file=str(self._path),
            venues=tuple(by_venue),
            frames=0,
            streams=tuple(_stream(name, sums) for name, sums in self._sums.items()),
            books=tuple(report for each in books.values() for report in each),
            checks=(self._accounts(n_rows), *checks_of_venues(evidence, books)),
            against=self._against,
        )

    def _open(self, rows: MarketRows, at: int, prev: int) -> _Market | None:
        """A message begins; gives its market if the book must forget what it has."""
        market = self._markets.get((int(rows.lane[at]), int(rows.symbol[at])))
        self._message = _Message(market)
        if market is None:
            return None
        number, snapshot = int(rows.venue_seq[at]), bool(rows.flags[at] & Flag.SNAPSHOT)
        link = Link(number, number, prev if prev >= 0 else None) if number >= 0 else None
        one, found, before = market.one, market.one.evidence, market.chain
        market.chain, verdict = judge(before, link, snapshot=snapshot)
        where = f"row {int(rows.source_row[at]) + 1:,}"
        sums = self._sums.setdefault(market.venue.name, _Sums())
        sums.messages += 1
        if verdict in (Verdict.DUPLICATE, Verdict.STALE):
            self._message.is_late = True
            sums.late += 1
            return None
        if verdict == Verdict.NEEDS_SNAPSHOT:
            one.without_base(link, where)
            return None if one.is_lost else market
        if verdict == Verdict.GAP:
            found.gaps += 1
            found.fault(f"first at {where}")
            one.number = number
            return market
        self._message.is_audit = snapshot and not one.is_lost and _follows(market, before, number)
        found.snapshots += snapshot
        proven = link is not None and link.prev is not None
        found.chained += proven and not snapshot
        found.unnumbered += not proven and not snapshot
        one.state = BookState.SYNCED if link is not None else BookState.UNPROVABLE
        if not snapshot and not proven:
            one.state = BookState.UNPROVABLE
        return None

    def _spoil(self, market: _Market, at: int, rows: MarketRows) -> None:
        found = market.one.evidence
        found.unreadable += 1
        found.fault(f"refused in the message that ends in row {int(rows.source_row[at]) + 1:,}")
        market.chain = Chain()
        market.one.lose(BookState.GAP, BookReason.BAD_ROW)

    def _count(self, message: _Message, bad: Mask) -> None:
        venue = message.market.venue.name if message.market else "unknown symbol"
        sums, refused = self._sums.setdefault(venue, _Sums()), int(np.count_nonzero(bad))
        if message.is_late:
            sums.late_rows += bad.size
        else:
            sums.rows += bad.size - refused
            sums.refused += refused

    def _apply(self, rows: MarketRows, kept: Mask, begin: int, stop: int) -> None:
        part = take(rows, begin + np.flatnonzero(kept[begin:stop]))
        for mine in by_key(part, part.lane.astype(np.int64) << 32 | part.symbol):
            market = self._markets.get((int(mine.lane[0]), int(mine.symbol[0])))
            if market is None:
                continue
            tops = market.one.book.step(mine)
            if market.compares is not None:
                market.compares.add(tops, empty(Quotes))
            if market.by_time is not None:
                ends = np.flatnonzero(mine.flags & np.uint8(Flag.MSG_LAST))
                market.by_time.add(tops, mine.ts_event_ns[ends])

    def _compare(self, quotes: Iterator[tuple[Market, Quotes]]) -> None:
        found = {(m.venue.name, m.one.symbol): m for m in self._markets.values()}
        for key, each in quotes:
            market = found.get(key)
            if market is not None:
                numbered = _numbered(each)
                market.one.evidence.quotes += numbered.seq.size
                market.one.evidence.loose_quotes += each.seq.size - numbered.seq.size
                if market.compares is not None:
                    market.compares.add(empty(Tops), numbered)

    def _accounts(self, n_rows: int) -> Check:
        known = sum(s.rows + s.refused + s.late_rows for s in self._sums.values())
        refused = sum(s.refused for s in self._sums.values())
        if known != n_rows:
            says = f"{n_rows:,} rows in the file, but {known:,} are accounted for"
            return Check("accounts", Outcome.FAILED, says, n_rows, known)
        says = f"{n_rows:,} rows add up" + (f", {refused:,} of them refused" if refused else "")
        return Check("accounts", Outcome.PASSED, says, n_rows, n_rows)


class _Numbers:
    """The column prev_seq in file order; -1 where it has no number."""

    def __init__(self, path: Path) -> None:
        self._parts = batches(path, ["ts_ns", "prev_seq"])  # ts_ns: prev_seq may not be there
        self._left = np.zeros(0, np.int64)

    def take(self, n: int) -> I8:
        while self._left.size < n:
            batch = next(self._parts)
            number, given = integers(batch, "prev_seq")
            number = number if given is None else np.where(given, number, -1)
            self._left = np.concatenate([self._left, number])
        taken, self._left = self._left[:n], self._left[n:]
        return taken


class _QuoteTape:
    """A tape of quotes, read as far as the book has come."""

    def __init__(self, path: Path) -> None:
        feed = open_tapes([path])
        if feed.description[0].kind != "quotes":
            raise TapeError("it is not a tape of quotes", str(path), "Give the venue's quotes")
        self._names = {(i.lane, i.symbol): (i.venue, i.name) for i in feed.table.instruments}
        self._chunks = feed.read(0, CHUNK_ROWS)
        self._ts_ns = -1  # of the last one read
        self._ended = False

    def until(self, ts_ns: int | None) -> Iterator[tuple[Market, Quotes]]:
        """The quotes up to a time of the venue, and some more; all that are left for None."""
        while not self._ended and (ts_ns is None or self._ts_ns < ts_ns):
            rows = next(self._chunks, None)
            if rows is None:
                self._ended = True
                return
            self._ts_ns = int(rows.ts_event_ns[-1])
            good = take(rows, np.flatnonzero(rows.reason == 0))
            for mine in by_key(good, good.lane.astype(np.int64) << 32 | good.symbol):
                yield self._names[int(mine.lane[0]), int(mine.symbol[0])], quotes_of(mine)


def _numbered(quotes: Quotes) -> Quotes:
    return take(quotes, np.flatnonzero(quotes.number >= 0))


def _market(venue: str, name: str, snapshots: Path | None) -> _Market:
    rule = tolerance_of(venue)
    rebuilt = RebuiltBook(
        name, by_order=False, begins_empty=False, cut_snapshots=rule.cut_snapshots
    )
    compares = None
    if rule.match is Match.NUMBER:
        compares = ByNumber(sizes=rule.sizes, settle_changes=rule.settle_changes)
    made = _Market(venue_of(venue), Rebuilding(name, rebuilt), compares, rule.snapshots_follow)
    if snapshots is not None and rule.beside is Beside.TIME:
        made.by_time = ByTime(snapshots_of(snapshots, (venue, name)), rule)
    elif snapshots is not None:
        each = snapshots_of(snapshots, (venue, name))
        made.one.evidence.shown.rows = sum(one.row.size for one in each)
    return made


def _follows(market: _Market, before: Chain, number: int) -> bool:
    """Whether a snapshot shows the book as it is: it has the number of the message before."""
    if number >= 0:
        return number == before.last
    return market.snapshots_follow


def _audit(message: _Message) -> None:
    """Compare a whole snapshot with the book before it."""
    assert message.market is not None
    assert message.known is not None
    rows, found = concat(message.shown), message.market.one.evidence
    sides: list[Levels] = []
    for side in (Side.BUY, Side.SELL):
        mine = np.flatnonzero((rows.side == side) & (rows.qty > 0.0))
        order = mine[np.argsort(-side * rows.price[mine], kind="stable")]
        sides.append(list(zip(rows.price[order].tolist(), rows.qty[order].tolist(), strict=True)))
    found.audits += 1
    if not message.known.agrees(*sides):
        found.audits_failed += 1
        found.fault(f"first at row {int(rows.source_row[0]) + 1:,}")


def _spans(starts: list[int], n: int) -> Iterator[tuple[int, int]]:
    """First row and end of each message, also of one that goes on from before."""
    bounds = [*starts, n] if starts and starts[0] == 0 else [0, *starts, n]
    return pairwise(bounds)


def _stream(venue: str, sums: _Sums) -> StreamReport:
    return StreamReport(
        venue, "book", sums.messages, sums.messages - sums.late, sums.late, 0, 0, 0,
        sums.rows + sums.refused, sums.rows, sums.refused,
    )  # fmt: skip
