"""The books of one connection: which messages may change them, and which are late, lost or early.

`Synchroniser` runs the chains of `sequence.judge`, keeps the numbered changes that come before
their snapshot, drops what the snapshot contains, verifies checksums, and says so frame by frame.
"""

from collections import deque
from dataclasses import replace
from typing import NamedTuple

from venues.frames.digits import DigitBook
from venues.frames.parsed import Book, FrameClass, Link, Parsed
from venues.frames.sequence import Chain, Verdict, judge
from venues.frames.venue import Checksum, Venue

HELD_MAX = 4096  # frames that wait for snapshots: about seven minutes of one book at 10 a second


class Judged(NamedTuple):
    """A frame with its final class, and the verdict of each book message in it, in order."""

    parsed: Parsed
    verdicts: tuple[Verdict, ...]  # also of messages that the frame lost by being superseded
    connection: Verdict  # of the frame's own number; UNPROVABLE where frames have none


class Synchroniser:
    """The chains and checksums of one connection.

    Parameters
    ----------
    venue : Venue
        Its proof says what can be checked.
    held_max : int
        Frames that may wait for snapshots.

    Notes
    -----
    A numbered change that precedes its book's snapshot waits. When the snapshot comes it follows
    with the snapshot's receive time, or as SUPERSEDED if the snapshot contains it; past `held_max`
    the oldest is given out as NEEDS_SNAPSHOT, as all that wait are by `flush`. Everything else is
    given out at once. A gap, a failed checksum or a quarantined message ends a book's chain until
    its next snapshot; a gap in the connection's own numbers ends all of them.
    """

    def __init__(self, venue: Venue, *, held_max: int = HELD_MAX) -> None:
        self.venue = venue
        self.held_max = held_max
        self._start = Chain(synced=venue.starts_empty)
        self._books: dict[int, Chain] = {}
        self._digits: dict[int, DigitBook] = {}
        self._connection = Chain()
        self._held: deque[Parsed] = deque()

    def accept(self, parsed: Parsed) -> list[Judged]:
        """The frames that are decided now, in the order in which their rows may be used."""
        connection = self._number(parsed.link)
        if connection in _REPLACED:
            return [Judged(_superseded(parsed, connection), (), connection)]
        if connection == Verdict.GAP:
            self._break(-1)
        for symbol in parsed.broken:
            self._break(symbol)
        if self._must_wait(parsed):
            self._held.append(parsed)
            if len(self._held) <= self.held_max:
                return []
            return [self._decide(self._held.popleft(), Verdict.UNPROVABLE)]
        decided = [self._decide(parsed, connection)]
        if any(book.snapshot for book in parsed.books):
            decided += self._release(parsed.ts_recv_ns)
        return decided

    def lose(self, symbol: int) -> None:
        """A book is wrong for a reason of the caller's: its numbered changes wait from now on."""
        self._break(symbol)

    def flush(self) -> list[Judged]:
        """What still waits; no snapshot came for it."""
        decided = [self._decide(parsed, Verdict.UNPROVABLE) for parsed in self._held]
        self._held.clear()
        return decided

    def _number(self, link: Link | None) -> Verdict:
        """The first frame of a connection starts its numbering; after a gap it goes on."""
        if link is None:
            return Verdict.UNPROVABLE
        chain, verdict = judge(self._connection, link, snapshot=not self._connection.synced)
        self._connection = Chain(link.last, synced=True) if verdict == Verdict.GAP else chain
        return verdict

    def _break(self, symbol: int) -> None:
        for one in [symbol] if symbol >= 0 else list(self._books):
            self._books[one] = Chain()

    def _must_wait(self, parsed: Parsed) -> bool:
        """Numbered changes only: without numbers nobody knows which of them a snapshot contains."""
        books = parsed.books
        return bool(books) and all(
            book.link is not None and not book.snapshot and not self._chain(book.symbol).synced
            for book in books
        )

    def _release(self, ts_recv_ns: int) -> list[Judged]:
        decided, waiting = [], deque[Parsed]()
        for parsed in self._held:
            if self._must_wait(parsed):
                waiting.append(parsed)
            else:
                now = replace(parsed, ts_recv_ns=ts_recv_ns)
                decided.append(self._decide(now, Verdict.UNPROVABLE))
        self._held = waiting
        return decided

    def _decide(self, parsed: Parsed, connection: Verdict) -> Judged:
        verdicts = tuple(self._judge(book, connection) for book in parsed.books)
        if verdicts and all(verdict in _REPLACED for verdict in verdicts):
            only_books = len(verdicts) == len(parsed.parts)
            parsed = _superseded(parsed, verdicts[0]) if only_books else parsed
        return Judged(parsed, verdicts, connection)

    def _judge(self, book: Book, connection: Verdict) -> Verdict:
        chain, verdict = judge(self._chain(book.symbol), book.link, snapshot=book.snapshot)
        if verdict == Verdict.UNPROVABLE and connection == Verdict.OK:
            verdict = Verdict.OK  # the connection's numbers prove that nothing is missing
        self._books[book.symbol] = chain
        if verdict in (Verdict.OK, Verdict.UNPROVABLE):
            return self._verify(book, verdict)
        return verdict

    def _verify(self, book: Book, verdict: Verdict) -> Verdict:
        rule = self.venue.proof.checksum
        if rule is Checksum.NONE:
            return verdict
        digits = self._digits.setdefault(book.symbol, DigitBook(rule))
        holds = digits.apply(book)
        if holds is None:
            return verdict
        if not holds:
            self._books[book.symbol] = Chain()
        return Verdict.OK if holds else Verdict.CHECKSUM_FAIL

    def _chain(self, symbol: int) -> Chain:
        return self._books.get(symbol, self._start)


_REPLACED = {
    Verdict.DUPLICATE: "the last message again",
    Verdict.STALE: "older than what is known",
}


def _superseded(parsed: Parsed, verdict: Verdict) -> Parsed:
    if parsed.kind != FrameClass.DATA:
        return parsed
    return replace(
        parsed,
        kind=FrameClass.SUPERSEDED,
        reason=_REPLACED[verdict],
        elements=0,
        parts=(),
        refused=(),
    )
