"""What one connection says: frames parsed, judged, and told as rows and events of books.

This is the reader's half of a session. A gap, a failed checksum, a book message that cannot be
read, a frozen book and one that an audit finds wrong all end in the same way: the book is lost, and
a snapshot is asked for. Trades that did not come are fetched.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from operators.market.books.words import BookEvent, BookReason
from schemas.kinds import Kind
from venues.frames import Book, Event, FrameClass, Judged, Parsed, Synchroniser, Verdict, parser_for
from venues.live.audit import BookAudit, Found
from venues.live.handover import Received, What
from venues.live.missed import STREAM, TradeCounts, TradeTail
from venues.live.session import Pace, Session
from venues.live.venue import LiveVenue
from venues.live.watch import S_NS, BookWatch, Due

LOGGED = 20  # frames in quarantine that are logged for each connection; all are counted

_log = logging.getLogger(__name__)
_REPLACED = (Verdict.DUPLICATE, Verdict.STALE)
_LOST = {
    Due.FROZEN: BookReason.STALE,
    Due.CROSSED: BookReason.CROSSED,
    Due.UNAUDITED: BookReason.UNAUDITED,
}
_USED = (Verdict.OK, Verdict.UNPROVABLE)


class Happened(NamedTuple):
    """An event of one book."""

    book: int  # of the connection, in the order of its names
    ts_recv_ns: int
    event: BookEvent
    reason: BookReason = BookReason.OK  # OK for the event's own


@dataclass
class Counts(TradeCounts):
    """What came of a connection's frames since the feed began.

    frames = classes' total + too_old + frames that wait for a snapshot now.
    """

    frames: int = 0
    classes: Counter[FrameClass] = field(default_factory=Counter)
    elements: int = 0  # of data frames, = rows + refused
    rows: int = 0
    refused: int = 0  # elements that broke a rule of their venue
    halted_rows: int = 0  # rows of halted books, which are not given out
    gaps: int = 0  # changes that the venue's numbers prove missing
    checksum_fails: int = 0
    broken: int = 0  # book messages that could not be read
    frozen: int = 0  # books that stayed silent while their markets traded
    crossed: int = 0  # books that stayed crossed
    spoiled: int = 0  # book messages that the quality gate refused
    snapshots: int = 0
    too_old: int = 0  # snapshots that did not reach the changes held
    asked: int = 0  # snapshots asked for because a book was lost
    early: int = 0  # figures that came before what tells how to read them
    audits: int = 0  # books compared with a snapshot
    audits_failed: int = 0  # no snapshot came to compare with, or one that was too old
    differed: int = 0  # books that an audit found wrong
    unaudited: int = 0  # books that no audit confirmed for too long
    halts: int = 0
    lost_connections: int = 0


class Connection:
    """The frames of one venue's session, in order of receipt.

    Parameters
    ----------
    session : Session
        Asked for snapshots.
    stamp : callable
        Makes a receive time later than every one before.
    """

    def __init__(
        self,
        venue: LiveVenue,
        names: Sequence[str],
        *,
        session: Session,
        pace: Pace,
        stamp: Callable[[int], int],
    ) -> None:
        self.venue, self.names = venue, tuple(names)
        self.happened: list[Happened] = []  # the feed takes them out
        self._session, self._stamp = session, stamp
        self._watches = [BookWatch(pace, audit_s=venue.audit_s) for _ in names]
        slack_ns, patience_ns = int(pace.audit_slack_s * S_NS), int(pace.patience_s * S_NS)
        self._audits = [BookAudit(slack_ns=slack_ns, patience_ns=patience_ns) for _ in names]
        self.counts = Counts()
        self._tail = TradeTail(
            names,
            venue.missed,
            ask=lambda path: session.fetch(path, What.TRADES),
            patience_ns=int(pace.missed_s * S_NS),
            counts=self.counts,
        )
        self._why = [BookReason.NO_SNAPSHOT for _ in names]  # each book was last lost
        self._logged = 0
        self._begin()

    def accept(self, item: Received) -> list[Parsed]:
        """The frames that are decided with this item, in the order of their rows."""
        if item.what is What.FRAME:
            return self._frame(item)
        if item.what is What.AUDIT:
            return self._audited(item)
        if item.what is What.TRADES:
            return self._fetched(item)
        at_ns = self._stamp(item.ts_recv_ns)
        if item.what is What.FAILED:
            for audit, path in zip(self._audits, self._audit_paths(), strict=True):
                if path == item.label:
                    audit.failed(at_ns)
            return self._stamped(self._tail.failed(item.label), at_ns)
        if item.what is What.OPENED:
            self._begin()
            if self.venue.source is None or not self.venue.source.resumes:
                self._tail.opened()
            for book, watch in enumerate(self._watches):
                watch.opened(at_ns)
                self._tell(book, at_ns, BookEvent.RESYNC, self._why[book])
            return []
        self.counts.lost_connections += 1
        made = self._settle(self._sync.flush(), at_ns)
        made += self._stamped(self._tail.given_up(), at_ns)
        self._begin()
        at_ns = self._stamp(at_ns)
        for book, watch in enumerate(self._watches):
            watch.closed()
            self._audits[book].cancel()
            self._why[book] = BookReason.DISCONNECTED
            self._tell(book, at_ns, BookEvent.GAP, BookReason.DISCONNECTED)
        return made

    def late(self, now_ns: int) -> list[Parsed]:
        """Trades that have waited for others for too long."""
        return self._stamped(self._tail.late(now_ns), 0)  # behind all that were read

    def alive(self, at_ns: int) -> None:
        """Something came: no book of the connection is stale."""
        for book in range(len(self.names)):
            self._tell(book, at_ns, BookEvent.ALIVE)

    def topped(self, book: int, at_ns: int, *, crossed: bool) -> None:
        """What the top of a book was after a message."""
        watch = self._watches[book]
        (watch.crossed if crossed else watch.uncrossed)(at_ns)

    def spoiled(self, book: int, at_ns: int) -> None:
        """A message of a book was refused by who took it."""
        self.counts.spoiled += 1
        self._sync.lose(book)  # changes wait, or a snapshot from before them would be too old
        self._lose(book, at_ns, BookEvent.GAP, BookReason.BAD_ROW)

    def resumed(self, book: int, at_ns: int) -> None:
        """An operator wants a book back, which was halted here, or by who took its rows."""
        self._sync.lose(book)
        self._watches[book].resumed(at_ns)
        self._audits[book].cancel()
        self._why[book] = BookReason.OPERATOR
        self._tell(book, at_ns, BookEvent.RESUME)
        self._tell(book, at_ns, BookEvent.RESYNC, BookReason.OPERATOR)  # where it was not halted

    def look(self, now_ns: int) -> None:
        """Do what is due by now; call it often."""
        if self.venue.quotes_only:  # the next quote mends what is wrong
            return
        for book, watch in enumerate(self._watches):
            self._audit(book, now_ns)
            due = watch.due(now_ns)
            if due in _LOST:
                self.counts.frozen += due is Due.FROZEN
                self.counts.crossed += due is Due.CROSSED
                self.counts.unaudited += due is Due.UNAUDITED
                self._sync.lose(book)  # or a snapshot of a moment ago would count as too old
                # Nothing is known to be missing where nobody looked: no incident, but no book.
                event = BookEvent.RESYNC if due is Due.UNAUDITED else BookEvent.GAP
                self._lose(book, self._stamp(now_ns), event, _LOST[due])
                due = watch.due(now_ns)
            if due is Due.ASK:
                self.counts.asked += 1
                self._tell(book, self._stamp(now_ns), BookEvent.RESYNC, self._why[book])
                self._bring(book)
            elif due is Due.AUDIT:
                self._audits[book].begin(now_ns)
            elif due is Due.HALT:
                self.counts.halts += 1
                self._tell(book, self._stamp(now_ns), BookEvent.HALT, self._why[book])
                _log.error("live book halted", extra=self._fields(market=self.names[book]))

    def _bring(self, book: int) -> None:
        """Ask for a book's snapshot."""
        name = self.names[book]
        if self.venue.again is not None:
            self._session.say(self.venue.again(name, self._parser))
        elif self.venue.snapshot is not None:
            self._session.fetch(self.venue.snapshot(name))

    def _audit_paths(self) -> list[str]:
        return ["" if self.venue.audit is None else self.venue.audit(n) for n in self.names]

    def _audit(self, book: int, now_ns: int) -> None:
        """Do what an audit needs by now, and what follows from it."""
        found = self._audits[book].look(now_ns)
        if found is Found.ASK:
            self._session.fetch(self._audit_paths()[book], What.AUDIT)
        elif found is Found.UNDECIDED:
            self.counts.audits_failed += 1
        elif found in (Found.AGREES, Found.DIFFERS):
            self.counts.audits += 1
        if found in (Found.AGREES, Found.UNDECIDED):
            self._watches[book].audited(agrees=found is Found.AGREES)
        if found is Found.DIFFERS:
            self.counts.differed += 1
            self._sync.lose(book)
            self._lose(book, self._stamp(now_ns), BookEvent.GAP, BookReason.AUDIT)

    def _audited(self, item: Received) -> list[Parsed]:
        """A snapshot to compare with: none of its rows are given out."""
        at_ns = self._stamp(item.ts_recv_ns)
        parsed = self._parser.parse(item.frame, ts_recv_ns=at_ns, label=item.label)
        self.counts.frames += 1
        self._log(parsed)
        used = parsed.kind is FrameClass.DATA and not parsed.refused
        for book in parsed.books if used else []:
            self._audits[book.symbol].answer(book, at_ns)
        self.counts.classes[FrameClass.SUPERSEDED if used else FrameClass.QUARANTINED] += 1
        return []

    def _fetched(self, item: Received) -> list[Parsed]:
        """Trades that did not come: of an answer, those that are missing are given out."""
        at_ns = self._stamp(item.ts_recv_ns)
        parsed = self._parser.parse(item.frame, ts_recv_ns=at_ns, label=item.label)
        self.counts.frames += 1
        self.counts.classes[parsed.kind] += 1
        self._log(parsed)
        if parsed.kind is not FrameClass.DATA:
            return self._stamped(self._tail.failed(item.label), at_ns)
        trades = [part for part in parsed.parts if isinstance(part, Event)]
        return self._stamped(self._tail.answered(item.label, trades), at_ns)

    def _stamped(self, frames: Sequence[Parsed], at_ns: int) -> list[Parsed]:
        """Frames that waited, with times behind one another; fetched trades are counted here."""
        made = []
        for parsed in frames:
            at_ns = self._stamp(at_ns)
            made.append(replace(parsed, ts_recv_ns=at_ns))
            if parsed.stream == STREAM:
                self.counts.elements += parsed.elements
                self.counts.rows += parsed.n_rows
        return made

    def _begin(self) -> None:
        """Depths, numbers and checksums are those of one connection."""
        self._parser = parser_for(self.venue.name, self.names)
        self._sync = Synchroniser(self._parser.venue)
        self._unread = {  # kinds of figures that wait for the answers of these paths
            path: poll.reads
            for poll in self.venue.polls
            for path in (poll.paths(self.names) if poll.reads is not None else ())
        }

    def _frame(self, item: Received) -> list[Parsed]:
        at_ns = self._stamp(item.ts_recv_ns)
        parsed = self._parser.parse(item.frame, ts_recv_ns=at_ns, label=item.label)
        self.counts.frames += 1
        self._log(parsed)
        if self._unread:
            parsed = self._readable(parsed, item.label)
        if parsed.stream in self.venue.leave:
            self._session.leave()
        if parsed.stream in self.venue.voids:
            for book in range(len(self.names)):
                self._lose(book, at_ns, BookEvent.GAP, BookReason.REORGANISED)
        if self._is_too_old(parsed):
            return []
        for book in parsed.broken:
            self.counts.broken += 1
            for one in [book] if book >= 0 else range(len(self.names)):
                self._lose(one, at_ns, BookEvent.GAP, BookReason.BAD_ROW)
        decided = self._sync.accept(parsed)
        if not any(judged.parsed is parsed for judged in decided):
            self._note_waiting(parsed, at_ns)
        return self._settle(decided, at_ns)

    def _readable(self, parsed: Parsed, path: str) -> Parsed:
        """The frame without figures that nobody has told yet how to read."""
        if parsed.kind is FrameClass.DATA:
            self._unread.pop(path, None)
        kinds = set(self._unread.values())
        kept = tuple(p for p in parsed.parts if isinstance(p, Book) or p.kind not in kinds)
        early = len(parsed.parts) - len(kept)
        if not early:
            return parsed
        self.counts.early += early
        return replace(parsed, elements=parsed.elements - early, parts=kept)

    def _is_too_old(self, parsed: Parsed) -> bool:
        """A snapshot that the venue took before changes that were never seen."""
        books = [book for book in parsed.books if book.snapshot]
        if not any(
            self._watches[book.symbol].refuses(book.link.last if book.link else None)
            for book in books
        ):
            return False
        self.counts.too_old += 1
        for book in books:
            self._watches[book.symbol].too_old(parsed.ts_recv_ns)
        return True

    def _note_waiting(self, parsed: Parsed, at_ns: int) -> None:
        for book in parsed.books:
            watch = self._watches[book.symbol]
            if book.link is not None and not book.snapshot and not watch.synced:
                watch.waits(at_ns, number=book.link.last)

    def _settle(self, decided: Sequence[Judged], at_ns: int) -> list[Parsed]:
        """Count what was decided; frames that had to wait get times behind one another."""
        made = []
        for n, judged in enumerate(decided):
            if n:
                at_ns = self._stamp(at_ns)
            parsed = judged.parsed
            if parsed.ts_recv_ns != at_ns:
                parsed = replace(parsed, ts_recv_ns=at_ns)
            self.counts.classes[parsed.kind] += 1
            if judged.connection is Verdict.GAP:
                self.counts.gaps += 1
                for book in range(len(self.names)):
                    self._lose(book, at_ns, BookEvent.GAP, BookReason.SEQUENCE_GAP)
            parsed = self._tail.without_repeated(self._judge(parsed, judged.verdicts))
            if parsed.kind is FrameClass.DATA:
                self.counts.elements += parsed.elements
                self.counts.refused += sum(refused.elements for refused in parsed.refused)
                kept = self._kept(parsed)
                self.counts.rows += kept.n_rows
                self.counts.halted_rows += parsed.n_rows - kept.n_rows
                ready = self._tail.accept(kept, at_ns)
                made += ready if ready == [kept] else self._stamped(ready, at_ns)
        return made

    def _judge(self, parsed: Parsed, verdicts: Sequence[Verdict]) -> Parsed:
        """Tell what each book message is to its book; messages that books have are taken out."""
        books = parsed.books
        if len(books) != len(verdicts):  # all were superseded, and the frame lost them
            return parsed
        for book, verdict in zip(books, verdicts, strict=True):
            self._message(book, verdict, parsed.ts_recv_ns)
        for part in parsed.parts:
            if isinstance(part, Event) and part.kind is Kind.TRADE:
                self._watches[part.symbol].traded(parsed.ts_recv_ns)
            if isinstance(part, Event) and part.kind is Kind.QUOTE and self.venue.quotes_only:
                self._quoted(part.symbol, parsed.ts_recv_ns)
        if not any(verdict in _REPLACED for verdict in verdicts):
            return parsed
        gone = [b for b, verdict in zip(books, verdicts, strict=True) if verdict in _REPLACED]
        return replace(
            parsed,
            elements=parsed.elements - sum(book.n_rows for book in gone),
            parts=tuple(p for p in parsed.parts if not any(p is book for book in gone)),
        )

    def _message(self, book: Book, verdict: Verdict, at_ns: int) -> None:
        watch = self._watches[book.symbol]
        if verdict in _USED and self.venue.audit_s:
            self._audits[book.symbol].take(book)
        if verdict in _USED and book.snapshot and not (self.venue.whole and watch.synced):
            self.counts.snapshots += 1
            watch.taken(at_ns)
            self._tell(book.symbol, at_ns, BookEvent.SNAPSHOT)
        elif verdict in _USED:
            watch.changed(at_ns)
            self._tell(book.symbol, at_ns, BookEvent.MESSAGE)
        elif verdict is Verdict.GAP:
            self.counts.gaps += 1
            number = book.link.last if book.link else -1
            self._lose(book.symbol, at_ns, BookEvent.GAP, BookReason.SEQUENCE_GAP, number)
        elif verdict is Verdict.CHECKSUM_FAIL:
            self.counts.checksum_fails += 1
            self._lose(book.symbol, at_ns, BookEvent.CHECKSUM_FAIL, BookReason.CHECKSUM)

    def _quoted(self, book: int, at_ns: int) -> None:
        """A quote is all that there is to know of a book without levels."""
        watch = self._watches[book]
        if watch.synced:
            self._tell(book, at_ns, BookEvent.MESSAGE)
            return
        self.counts.snapshots += 1
        watch.taken(at_ns)
        self._tell(book, at_ns, BookEvent.SNAPSHOT)

    def _kept(self, parsed: Parsed) -> Parsed:
        """Without the rows of halted books: no snapshot may bring them back."""
        if not any(watch.halted for watch in self._watches):
            return parsed
        return replace(
            parsed,
            parts=tuple(
                part
                for part in parsed.parts
                if not (isinstance(part, Book) and self._watches[part.symbol].halted)
            ),
        )

    def _lose(
        self, book: int, at_ns: int, event: BookEvent, reason: BookReason, number: int = -1
    ) -> None:
        self._watches[book].lost(at_ns, number=number)
        self._audits[book].cancel()
        self._why[book] = reason
        self._tell(book, at_ns, event, reason)

    def _tell(
        self, book: int, at_ns: int, event: BookEvent, reason: BookReason = BookReason.OK
    ) -> None:
        self.happened.append(Happened(book, at_ns, event, reason))

    def _log(self, parsed: Parsed) -> None:
        if parsed.kind is FrameClass.QUARANTINED and self._logged < LOGGED:
            self._logged += 1
            _log.warning("live frame in quarantine", extra=self._fields(reason=parsed.reason))

    def _fields(self, **more: str) -> dict[str, str]:
        return {"venue": self.venue.name, **more}
