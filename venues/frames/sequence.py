"""Is a book message the next one? A pure state machine per chain, and the wait for a snapshot.

A chain is one book's numbering at its venue. `judge` compares what a message must follow with what
came last. `Synchroniser` runs the chains of one connection: it keeps the messages that come before
their snapshot, drops what the snapshot contains, and says so frame by frame.
"""

from collections import deque
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import NamedTuple

from venues.frames.parsed import Book, FrameClass, Link, Parsed

HELD_MAX = 4096  # frames that wait for snapshots: about seven minutes of one book at 10 a second


class Verdict(IntEnum):
    """What a message is to its book."""

    OK = 0  # follows what came before, as its number proves; or a snapshot
    UNPROVABLE = 1  # to be applied, but a lost message before it could not be seen
    DUPLICATE = 2  # the last message again
    STALE = 3  # older than what the book has: contained in its snapshot, or out of order
    GAP = 4  # at least one message is missing: the book needs a snapshot
    NEEDS_SNAPSHOT = 5  # a change, and the book has no base to change


class Chain(NamedTuple):
    """What is known of one book's numbering."""

    last: int = -1  # number of the last message taken, -1 where it had none
    synced: bool = False  # a snapshot came, and no gap since
    fresh: bool = False  # the last message taken was the snapshot


def judge(chain: Chain, link: Link | None, *, snapshot: bool) -> tuple[Chain, Verdict]:
    """The chain after a message, and what the message is.

    A message covers the numbers `first` to `last` and follows `prev`. Right after a snapshot the
    first change may overlap it (`prev` < the snapshot's number < `last`): quantities are absolute,
    so applying the overlap twice is the same as once. Later an overlap is a gap: the numbering
    itself is broken.
    """
    if snapshot:
        last = link.last if link else -1
        if chain.synced and 0 <= last < chain.last:
            return chain, Verdict.STALE
        return Chain(last, synced=True, fresh=True), Verdict.OK
    if not chain.synced:
        return chain, Verdict.NEEDS_SNAPSHOT
    if link is None:
        return chain._replace(fresh=False), Verdict.UNPROVABLE
    if link.prev is None:
        return _ordered(chain, link)
    if link.prev == chain.last:
        return Chain(link.last, synced=True), Verdict.OK
    if link.last <= chain.last:
        return chain, Verdict.DUPLICATE if link.last == chain.last else Verdict.STALE
    if link.prev < chain.last and chain.fresh:
        return Chain(link.last, synced=True), Verdict.OK
    return Chain(), Verdict.GAP


def _ordered(chain: Chain, link: Link) -> tuple[Chain, Verdict]:
    """Numbers that only order: two changes may share one, but none may go back."""
    if link.last < chain.last or (link.last == chain.last and chain.fresh):
        return chain, Verdict.STALE
    return Chain(link.last, synced=True), Verdict.UNPROVABLE


class Judged(NamedTuple):
    """A frame with its final class, and the verdict of each of its books, in order."""

    parsed: Parsed
    verdicts: tuple[Verdict, ...]
    connection: Verdict  # of the frame's own number; UNPROVABLE where frames are not numbered


_REPLACED = {
    Verdict.DUPLICATE: "the last message again",
    Verdict.STALE: "older than what the book has",
}


@dataclass
class Synchroniser:
    """The chains of one connection.

    `accept` gives the frames that are decided, in the order in which their rows may be used: a
    numbered change that precedes its book's snapshot waits for it (at most `held_max` frames, the
    oldest is then given out as NEEDS_SNAPSHOT) and comes out after the snapshot with the
    snapshot's receive time, or as SUPERSEDED where the snapshot contains it. `flush` gives out
    what still waits.
    """

    held_max: int = HELD_MAX
    books: dict[int, Chain] = field(default_factory=dict)
    connection: Chain = Chain()
    held: deque[Parsed] = field(default_factory=deque)

    def accept(self, parsed: Parsed) -> list[Judged]:
        connection = self._connection(parsed.link)
        if connection == Verdict.GAP:
            self.books.clear()
        for symbol in parsed.broken:
            self._break(symbol)
        if self._must_wait(parsed):
            self.held.append(parsed)
            return [self._decide(self.held.popleft())] if len(self.held) > self.held_max else []
        decided = [self._decide(parsed)._replace(connection=connection)]
        if any(book.snapshot for book in parsed.books):
            decided += self._release(parsed.ts_recv_ns)
        return decided

    def flush(self) -> list[Judged]:
        decided = [self._decide(parsed) for parsed in self.held]
        self.held.clear()
        return decided

    def _connection(self, link: Link | None) -> Verdict:
        if link is None:
            return Verdict.UNPROVABLE
        started = self.connection.synced
        self.connection, verdict = judge(self.connection, link, snapshot=not started)
        if verdict == Verdict.GAP:  # the numbering goes on from here; only the books are lost
            self.connection = Chain(link.last, synced=True)
        return verdict

    def _break(self, symbol: int) -> None:
        if symbol < 0:
            self.books.clear()
        self.books.pop(symbol, None)

    def _must_wait(self, parsed: Parsed) -> bool:
        """Numbered changes only: without numbers nobody knows which of them a snapshot contains."""
        books = parsed.books
        return bool(books) and all(
            book.link is not None
            and not book.snapshot
            and not self.books.get(book.symbol, Chain()).synced
            for book in books
        )

    def _release(self, ts_recv_ns: int) -> list[Judged]:
        decided, waiting = [], deque[Parsed]()
        for parsed in self.held:
            if self._must_wait(parsed):
                waiting.append(parsed)
            else:
                decided.append(self._decide(replace(parsed, ts_recv_ns=ts_recv_ns)))
        self.held = waiting
        return decided

    def _decide(self, parsed: Parsed) -> Judged:
        verdicts = tuple(self._judge(book) for book in parsed.books)
        replaced = [_REPLACED[v] for v in verdicts if v in _REPLACED]
        if verdicts and len(replaced) == len(parsed.parts) == len(verdicts):
            parsed = replace(
                parsed, kind=FrameClass.SUPERSEDED, reason=replaced[0], elements=0,
                parts=(), refused=(),
            )  # fmt: skip
        return Judged(parsed, verdicts, Verdict.UNPROVABLE)

    def _judge(self, book: Book) -> Verdict:
        chain = self.books.get(book.symbol, Chain())
        self.books[book.symbol], verdict = judge(chain, book.link, snapshot=book.snapshot)
        return verdict
