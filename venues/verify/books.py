"""The books of one venue in a recording: judged frames in, rebuilt books and their evidence out."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.market.books.words import BookReason, BookState
from schemas.kinds import NO_SYMBOL, Kind
from schemas.rows import MarketRows, empty, take
from venues.frames.parsed import Book, Link, Parsed, market_rows
from venues.frames.sequence import Verdict
from venues.frames.synchroniser import Judged
from venues.frames.venue import Venue
from venues.verify.evidence import Evidence, checks_of
from venues.verify.quotes import ByNumber, ByOrder, Quotes, Tops, matcher
from venues.verify.rebuilt import RebuiltBook
from venues.verify.report import BookReport, Place, utc_ms
from venues.verify.tolerance import Tolerance, tolerance_of

CHUNK_ROWS = 32_768  # rows that books take at once

_STALE = (Verdict.DUPLICATE, Verdict.STALE)
_BASELESS = (Verdict.GAP, Verdict.NEEDS_SNAPSHOT)


@dataclass
class Rebuilding:
    """One book on its way."""

    symbol: str
    book: RebuiltBook
    state: BookState = BookState.NONE
    depth: int = 0
    number: int = -1  # of the last change that could not be applied
    applied: int = -1  # number of the last message that could
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def is_lost(self) -> bool:
        return self.state in (BookState.NONE, BookState.GAP, BookState.CHECKSUM_FAIL)

    def lose(self, state: BookState, reason: BookReason) -> None:
        self.state = state
        self.book.lose(state, reason)

    def without_base(self, link: Link | None, where: str) -> None:
        """A change cannot be applied; that the numbers of such changes follow is still seen."""
        found = self.evidence
        found.without_base += 1
        if link is None or link.prev is None:
            return
        if self.number >= 0 and link.prev > self.number:
            found.gaps += 1
            found.fault(f"first at {where}")
        self.number = max(self.number, link.last)

    def report(self, venue: Venue, rule: Tolerance) -> BookReport:
        found, book = self.evidence, self.book
        found.synced, found.crossed, found.outside = book.synced, book.crossed, book.outside
        usable = self.state in (BookState.SYNCED, BookState.UNPROVABLE)
        state = BookState.CROSSED if usable and book.crossed_at_end else self.state
        return BookReport(
            venue=venue.name, symbol=self.symbol, by_order=book.by_order,
            state=state.name.lower(), snapshots=found.snapshots, messages=book.messages,
            synced=found.synced, gaps=found.gaps, unreadable=found.unreadable,
            without_base=found.without_base, crossed=found.crossed,
            covered_share=None if book.by_order else found.covered_share,
            held=book.held, evicted=book.evicted, ghosts=book.ghosts,
            checks=checks_of(found, venue.proof, rule),
        )  # fmt: skip


class VenueBooks:
    """Rebuilds every book of one venue's frames, and compares them with its quotes.

    Parameters
    ----------
    venue : Venue
    names : list[str]
        The parser's instruments; it may grow.

    Notes
    -----
    Rows wait until there are CHUNK_ROWS of them, or until a book has to forget what it has.
    """

    def __init__(self, venue: Venue, names: list[str]) -> None:
        self.venue, self._names = venue, names
        self.rule = tolerance_of(venue.name)
        self.books: dict[tuple[int, bool], Rebuilding] = {}  # by symbol, and whether by order
        self.rows = 0  # made so far, also of messages that were not applied
        self._matchers: dict[int, ByNumber | ByOrder] = {}
        self._quotes: dict[int, int] = {}
        self._waiting: list[Parsed] = []
        self._waiting_rows = 0

    def add(self, judged: Judged, place: Place) -> None:
        """Take one frame that the synchroniser has decided."""
        if judged.connection == Verdict.GAP:
            self._lose_all(f"the connection's numbers skip at {said(place)}")
        for symbol in judged.parsed.broken:
            self._unreadable(symbol, f"not readable at {said(place)}: {judged.parsed.reason}")
        parsed, failed = judged.parsed, []
        if parsed.books:
            for book, verdict in zip(parsed.books, judged.verdicts, strict=True):
                one = self._of(book)
                self._judged(one, book, verdict, judged, place)
                failed += [one] if verdict == Verdict.CHECKSUM_FAIL else []
            if any(verdict in _STALE for verdict in judged.verdicts):
                parsed = self._without_stale(parsed, judged.verdicts)
        if parsed.parts:
            self._waiting.append(parsed)
            self._waiting_rows += parsed.n_rows
        if failed or self._waiting_rows >= CHUNK_ROWS:
            self._apply()
        for one in failed:
            one.lose(BookState.CHECKSUM_FAIL, BookReason.CHECKSUM)

    def finish(self) -> list[BookReport]:
        """Apply and compare what still waits; a report for each book."""
        self._apply()
        for (symbol, _), one in self.books.items():
            one.evidence.quotes = self._quotes.get(symbol, 0)
            compares = self._matchers.get(symbol)
            if compares is not None:
                one.evidence.agreement = compares.finish()
        return [one.report(self.venue, self.rule) for one in self.books.values()]

    def _of(self, book: Book) -> Rebuilding:
        return self._book(book.symbol, by_order=bool(book.orders))

    def _book(self, symbol: int, *, by_order: bool) -> Rebuilding:
        key = symbol, by_order
        if key not in self.books:
            name, empty_start = self._names[symbol], self.venue.starts_empty
            rebuilt = RebuiltBook(
                name, by_order=by_order, begins_empty=empty_start,
                cut_snapshots=self.rule.cut_snapshots,
            )  # fmt: skip
            state = BookState.UNPROVABLE if empty_start else BookState.NONE
            self.books[key] = Rebuilding(name, rebuilt, state)
        return self.books[key]

    def _judged(
        self, one: Rebuilding, book: Book, verdict: Verdict, judged: Judged, place: Place
    ) -> None:
        found = one.evidence
        rule_given = book.checksum is not None and self.venue.proof.provable
        found.checksums += rule_given and verdict in (Verdict.OK, Verdict.CHECKSUM_FAIL)
        if verdict in _STALE:
            return
        if verdict in _BASELESS:
            if verdict == Verdict.GAP:
                found.gaps += 1
                found.fault(f"first at {said(place)}")
                one.number = book.link.last if book.link else -1
            else:
                one.without_base(book.link, said(place))
            if not one.is_lost:
                self._apply()
                one.lose(BookState.GAP, BookReason.SEQUENCE_GAP)
            return
        if book.snapshot:
            self._compare(one, book, place)
            found.snapshots += 1
            one.number = -1
            if book.depth != one.depth:
                self._apply()
                one.depth = book.depth
                one.book.cut_to(book.depth)
        elif _is_chained(book, judged):
            found.chained += 1
        elif verdict == Verdict.UNPROVABLE:
            found.unnumbered += 1
        if verdict == Verdict.CHECKSUM_FAIL:
            found.checksum_fails += 1
            found.fault(f"first at {said(place)}")
            return
        one.applied = book.link.last if book.link else -1
        proven = verdict == Verdict.OK and self.venue.proof.provable
        one.state = BookState.SYNCED if proven else BookState.UNPROVABLE

    def _compare(self, one: Rebuilding, snapshot: Book, place: Place) -> None:
        """A further snapshot that has the number of the book's last message must be the book."""
        if one.is_lost or one.book.by_order or snapshot.link is None:
            return
        if snapshot.link.last != one.applied or one.applied < 0:
            return
        self._apply()
        found = one.evidence
        found.audits += 1
        known = one.book.known(max(len(snapshot.bids), len(snapshot.asks)))
        if not known.agrees(list(snapshot.bids), list(snapshot.asks)):
            found.audits_failed += 1
            found.fault(f"first at {said(place)}")

    def _unreadable(self, symbol: int, fault: str) -> None:
        if symbol != NO_SYMBOL and not any(key[0] == symbol for key in self.books):
            self._book(symbol, by_order=False)
        self._apply()
        for (mine, _), one in self.books.items():
            if symbol in (mine, NO_SYMBOL):
                one.evidence.unreadable += 1
                one.evidence.fault(fault)
                one.lose(BookState.GAP, BookReason.BAD_ROW)

    def _lose_all(self, fault: str) -> None:
        self._apply()
        for one in self.books.values():
            one.evidence.gaps += 1
            one.evidence.fault(fault)
            one.lose(BookState.GAP, BookReason.SEQUENCE_GAP)

    def _without_stale(self, parsed: Parsed, verdicts: tuple[Verdict, ...]) -> Parsed:
        """The frame without those of its book messages that the books have already."""
        told, kept = iter(verdicts), []
        for part in parsed.parts:
            if isinstance(part, Book) and next(told) in _STALE:
                self.rows += part.n_rows
            else:
                kept.append(part)
        return replace(parsed, parts=tuple(kept))

    def _apply(self) -> None:
        """Give the rows that wait to their books, and the quotes among them to who compares."""
        if not self._waiting:
            return
        rows = market_rows(self._waiting)
        n = rows.seq.size
        place = np.arange(self.rows, self.rows + n)
        rows = rows._replace(seq=place, source_row=place)
        self.rows += n
        self._waiting, self._waiting_rows = [], 0
        for mine in by_key(rows, rows.symbol):
            self._apply_one(mine)

    def _apply_one(self, rows: MarketRows) -> None:
        symbol = int(rows.symbol[0])
        is_book, is_quote = rows.kind == Kind.BOOK, rows.kind == Kind.QUOTE
        tops = empty(Tops)
        for by_order in (True, False):  # a symbol rarely has both: then the levels are compared
            mine = np.flatnonzero(is_book & ((rows.code > 0) == by_order))
            if mine.size:
                tops = self.books[symbol, by_order].book.step(take(rows, mine))
        quotes = quotes_of(take(rows, np.flatnonzero(is_quote)))
        self._quotes[symbol] = self._quotes.get(symbol, 0) + quotes.seq.size
        if symbol not in self._matchers:
            made = matcher(self.rule)
            if made is None:
                return
            self._matchers[symbol] = made
        self._matchers[symbol].add(tops, quotes)


def quotes_of(rows: MarketRows) -> Quotes:
    """Rows of kind QUOTE as what tops are compared with."""
    return Quotes(
        rows.seq, rows.ts_recv_ns, rows.venue_seq, rows.bid_px, rows.bid_qty, rows.ask_px,
        rows.ask_qty,
    )  # fmt: skip


def by_key(rows: MarketRows, key: NDArray[np.integer[Any]]) -> Iterator[MarketRows]:
    """The rows of each value of the key, in their order."""
    order = np.argsort(key, kind="stable")
    if order.size:
        for index in np.split(order, np.flatnonzero(np.diff(key[order])) + 1):
            yield take(rows, index)


def said(place: Place) -> str:
    """Where something happened, for people."""
    if not place.ts_recv_ns:
        return f"line {place.line:,}"
    return f"line {place.line:,} ({utc_ms(place.ts_recv_ns)})"


def _is_chained(book: Book, judged: Judged) -> bool:
    """Whether numbers prove that nothing is missing before this change."""
    numbered = book.link is not None and book.link.prev is not None
    return numbered or judged.connection == Verdict.OK
