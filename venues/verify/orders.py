"""Verifies a tape of single orders, beside a file of the venue's snapshots where there is one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from operators.market.books.words import BookReason, BookState, OrderAction
from schemas.kinds import Flag
from schemas.rows import I8, U1, MarketRows, take
from venues.frames.venue import Proof, Venue, data, unused
from venues.tape.columns import Mask
from venues.tape.orders import FAULTS, ORDER_FEEDS, OrderChunk, OrderFeed, OrderTape
from venues.verify.books import Rebuilding
from venues.verify.evidence import checks_of_venues
from venues.verify.rebuilt import RebuiltBook
from venues.verify.report import BookReport, Check, Count, FileReport, Outcome, StreamReport
from venues.verify.row_by_row import ByRow
from venues.verify.snapshots import ByTime, Market, snapshots_of
from venues.verify.tolerance import Beside, Tolerance, tolerance_of

CHUNK_ROWS = 65_536

Progress = Callable[[int], None]  # rows read since the last call

_NAMES = [OrderAction.CHANGE, OrderAction.REDUCE, OrderAction.DELETE, OrderAction.EXECUTE]
_LAST, _SNAPSHOT = np.uint8(Flag.MSG_LAST), np.uint8(Flag.SNAPSHOT)
_NOWHERE = "unknown symbol"


def verify_orders(
    path: Path, snapshots: Path | None = None, progress: Progress = lambda rows: None
) -> FileReport:
    """Read a tape of layout `orders_l3` once and say what holds.

    Parameters
    ----------
    path : Path
    snapshots : Path, optional
        A file of layout `book_snapshots` of the same markets.
    progress : callable

    Notes
    -----
    Each row of the file is one of: data for the book, superseded (about an order that was deleted
    before), known and unused, or quarantined; a quarantined row loses its book. Memory: one chunk
    of rows, one of snapshots, and the books.

    Raises
    ------
    TapeError
        A file cannot be read, or is not of its layout, or the venue's words are not known.
    """
    tape = OrderTape(path)
    run = _Run(tape, snapshots)
    for chunk in tape.read(CHUNK_ROWS):
        run.add(chunk)
        progress(chunk.word.size)
    return run.report()


@dataclass
class _Book:
    """One book of the tape, and what it is compared with."""

    venue: str
    one: Rebuilding
    by_time: ByTime | None = None
    by_row: ByRow | None = None
    given: int = 0  # rows
    trades: int = 0  # so far
    trades_before: int = -1  # when the book became crossed; -1: it is not


class _Run:
    def __init__(self, tape: OrderTape, snapshots: Path | None) -> None:
        self._tape, self._snapshots = tape, snapshots
        self._books: dict[int, _Book] = {}  # by the tape's place of the market
        self._rows: dict[int, int] = {}  # good ones, by the place of their word
        self._faults: dict[tuple[str, int], tuple[int, int]] = {}  # number of them, first row

    def add(self, chunk: OrderChunk) -> None:
        """Take whole messages of the tape."""
        self._count(chunk)
        for k in np.unique(chunk.rows.symbol[chunk.rows.symbol >= 0]).tolist():
            mine = np.flatnonzero(chunk.rows.symbol == k)
            if k not in self._books:
                self._books[k] = _book(self._tape.markets[k], self._snapshots)
            bad = chunk.fault[mine] > 0
            ends, begin = _ends(chunk.message[mine], bad), 0
            for end in sorted({*ends, mine.size}):
                part = mine[begin:end]
                trade = self._trades[chunk.word[part]] & (chunk.fault[part] == 0)
                _apply(self._books[k], take(chunk.rows, part), ~bad[begin:end], trade)
                begin = end
                if end in ends:
                    _spoil(self._books[k].one, int(chunk.rows.source_row[part[-1]]))

    def report(self) -> FileReport:
        """What was found, once all rows are through."""
        by_venue: dict[str, list[_Book]] = {}
        for book in self._books.values():
            _finish(book)
            by_venue.setdefault(book.venue, []).append(book)
        books = {name: [_report(book) for book in each] for name, each in by_venue.items()}
        evidence = {name: [one.one.evidence for one in each] for name, each in by_venue.items()}
        streams = self._streams(by_venue)
        return FileReport(
            file=str(self._tape.path),
            venues=tuple(by_venue),
            frames=0,
            streams=streams,
            books=tuple(report for each in books.values() for report in each),
            checks=(
                self._accounts(streams),
                *checks_of_venues(evidence, books, lambda name: (Proof(), _rule(name))),
            ),
            counts=self._counts(by_venue),
            against=(str(self._snapshots),) if self._snapshots else (),
        )

    def _count(self, chunk: OrderChunk) -> None:
        word, n = np.unique(chunk.word[chunk.fault == 0], return_counts=True)
        for one, rows in zip(word.tolist(), n.tolist(), strict=True):
            self._rows[one] = self._rows.get(one, 0) + rows
        for i in np.flatnonzero(chunk.fault).tolist():
            symbol = int(chunk.rows.symbol[i])
            venue = self._tape.markets[symbol][0] if symbol >= 0 else _NOWHERE
            key = venue, int(chunk.fault[i])
            n_before, first = self._faults.get(key, (0, int(chunk.rows.source_row[i])))
            self._faults[key] = n_before + 1, first

    def _streams(self, by_venue: dict[str, list[_Book]]) -> tuple[StreamReport, ...]:
        made = []
        for name in {**by_venue, **{venue: [] for venue, _ in self._faults}}:
            words = [(w, self._rows.get(k, 0)) for k, w in enumerate(self._tape.words)
                     if w.venue == name]  # fmt: skip
            told = sum(n for word, n in words if word.action)
            ghosts = sum(book.one.book.ghosts for book in by_venue.get(name, []))
            bad = sum(n for (venue, _), (n, _) in self._faults.items() if venue == name)
            rows = told - ghosts
            made.append(
                StreamReport(name, "orders", told + bad, rows, ghosts, 0, 0, bad, rows, rows, 0)
            )
            made += [
                StreamReport(name, word.text, n, 0, 0, 0, n, 0, 0, 0, 0)
                for word, n in words if not word.action and n
            ]  # fmt: skip
        return tuple(made)

    def _counts(self, by_venue: dict[str, list[_Book]]) -> tuple[Count, ...]:
        made = [
            Count("quarantined", f"{FAULTS[why]} (first in row {first + 1:,})", n, ())
            for (_, why), (n, first) in self._faults.items()
        ]
        ghosts = sum(book.one.book.ghosts for each in by_venue.values() for book in each)
        if ghosts:
            made.append(Count("superseded", "the order was deleted before", ghosts, ()))
        for k, word in enumerate(self._tape.words):
            if not word.action and word.known and self._rows.get(k):
                why = ORDER_FEEDS[word.venue].unused[word.text]
                made.append(Count("unused", why, self._rows[k], ()))
        return tuple(made)

    def _accounts(self, streams: tuple[StreamReport, ...]) -> Check:
        """Rows are counted by their words, by the file itself, and where books take them."""
        n_rows = self._tape.n_rows
        known = sum(s.data + s.superseded + s.unused + s.quarantined for s in streams)
        told, given = sum(s.data + s.superseded for s in streams), self._given
        if known != n_rows or told != given:
            says = f"{n_rows:,} rows in the file, but {known:,} are accounted for; "
            says += f"{told:,} are about books, which took {given:,}"
            return Check("accounts", Outcome.FAILED, says, n_rows, known)
        return Check("accounts", Outcome.PASSED, f"{n_rows:,} rows add up", n_rows, n_rows)

    @property
    def _trades(self) -> Mask:
        """Which of the tape's words are trades that may end an auction; the last is no word."""
        return np.array([*(word.trades for word in self._tape.words), False])

    @property
    def _given(self) -> int:
        return sum(book.given for book in self._books.values())


def _book(market: Market, snapshots: Path | None) -> _Book:
    venue, symbol = market
    rule = _rule(venue)
    by_row = rule.beside is Beside.ROW and _has(snapshots, market)
    feed = ORDER_FEEDS[venue]
    rebuilt = RebuiltBook(
        symbol, by_order=True, begins_empty=not (feed.opening or by_row), cut_snapshots=False
    )
    one = Rebuilding(symbol, rebuilt)
    one.state = BookState.NONE if feed.opening or by_row else BookState.UNPROVABLE
    one.evidence.named.is_asked, one.evidence.unproven = True, feed.numbers
    made = _Book(venue, one)
    if snapshots is None:
        return made
    if by_row:
        made.by_row = ByRow(rebuilt, snapshots_of(snapshots, market))
    elif rule.beside is Beside.TIME:
        made.by_time = ByTime(snapshots_of(snapshots, market), rule)
    else:
        one.evidence.shown.rows = sum(each.row.size for each in snapshots_of(snapshots, market))
    return made


def _has(snapshots: Path | None, market: Market) -> bool:
    """Whether a file has snapshots of a market."""
    return snapshots is not None and any(each.row.size for each in snapshots_of(snapshots, market))


def _apply(book: _Book, rows: MarketRows, good: Mask, trade: Mask) -> None:
    used = good & (rows.code > 0)
    book.given += int(np.count_nonzero(used))
    if book.by_row is not None:
        _row_by_row(book.one, book.by_row, rows, used)
        return
    traded = book.trades + np.cumsum(trade)
    book.trades += int(np.count_nonzero(trade))
    rows, traded = take(rows, used), traded[used]
    _judge(book.one, rows.flags, rows.code)
    tops = book.one.book.step(rows)
    ends = np.flatnonzero(rows.flags & _LAST)
    _auctions(book, tops.crossed == 1, traded[ends])
    if book.by_time is not None:
        book.by_time.add(tops, rows.ts_event_ns[ends])


def _auctions(book: _Book, crossed: Mask, traded: I8) -> None:
    """Count messages after which the book is crossed, and was not traded since it became so."""
    for k in np.flatnonzero(crossed).tolist():
        begins = not crossed[k - 1] if k else book.trades_before < 0
        if begins:
            book.trades_before = int(traded[k])
        is_auction = ORDER_FEEDS[book.venue].trade and traded[k] == book.trades_before
        book.one.evidence.auction += bool(is_auction)
    if crossed.size and not crossed[-1]:
        book.trades_before = -1


def _row_by_row(one: Rebuilding, by_row: ByRow, rows: MarketRows, used: Mask) -> None:
    for i in range(used.size):
        row = take(rows, slice(i, i + 1))
        if not used[i]:
            row.code[:] = 0
        begun = by_row.has_begun
        by_row.step(row, usable=not one.is_lost)
        if by_row.has_begun and not begun:
            one.state = BookState.UNPROVABLE
            one.evidence.snapshots += 1
        if used[i]:
            _judge(one, row.flags, row.code)


def _judge(one: Rebuilding, flags: U1, code: U1) -> None:
    """Count messages, before and after the opening book is known."""
    found, begin = one.evidence, 0
    last, opening = flags & _LAST != 0, flags & _SNAPSHOT != 0
    if one.is_lost:
        begin = int(np.argmax(opening)) if opening.any() else flags.size
        found.without_base += int(np.count_nonzero(last[:begin]))
        one.state = BookState.UNPROVABLE if opening.any() else one.state
    found.snapshots += int(np.count_nonzero(last & opening))
    found.unnumbered += int(np.count_nonzero((last & ~opening)[begin:]))
    found.named.rows += int(np.count_nonzero(np.isin(code[begin:], _NAMES)))


def _spoil(one: Rebuilding, row: int) -> None:
    one.evidence.unreadable += 1
    one.evidence.fault(f"refused in the message that ends in row {row + 1:,}")
    one.lose(BookState.GAP, BookReason.BAD_ROW)


def _ends(message: I8, bad: Mask) -> list[int]:
    """Where the messages end that have a bad row."""
    spoilt = np.isin(message, message[bad])
    last = np.ones(message.size, np.bool_)
    last[:-1] = message[1:] != message[:-1]
    return [int(end) + 1 for end in np.flatnonzero(spoilt & last)]


def _finish(book: _Book) -> None:
    found = book.one.evidence
    beside = book.by_row or book.by_time
    if beside is not None:
        found.shown = beside.finish()
    rebuilt = book.one.book
    found.named.unknown = rebuilt.unknown + rebuilt.ghosts + rebuilt.repeated
    found.named.has_opening = found.snapshots > 0


def _report(book: _Book) -> BookReport:
    return book.one.report(_venue(book.venue, ORDER_FEEDS[book.venue]), _rule(book.venue))


def _venue(name: str, feed: OrderFeed) -> Venue:
    types = [data(word, "BOOK", action.name) for word, action in feed.words.items()]
    types += [unused(word, why) for word, why in feed.unused.items()]
    return Venue(name, feed.title, Proof(), tuple(types), starts_empty=not feed.opening)


def _rule(venue: str) -> Tolerance:
    return tolerance_of(ORDER_FEEDS[venue].tolerance)
