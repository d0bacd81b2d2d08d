"""Is a message the next one? A pure state machine over the numbers that a venue gives it.

A chain is one book's numbering at its venue, or one connection's. `judge` compares what a message
must follow with what came last.
"""

from enum import IntEnum
from typing import NamedTuple

from venues.frames.parsed import Link


class Verdict(IntEnum):
    """What a message is to its book."""

    OK = 0  # follows what came before, as its number proves; or a snapshot
    UNPROVABLE = 1  # to be applied, but a lost message before it could not be seen
    DUPLICATE = 2  # the last message again
    STALE = 3  # older than what the book has: contained in its snapshot, or out of order
    GAP = 4  # at least one message is missing: the book needs a snapshot
    NEEDS_SNAPSHOT = 5  # a change, and the book has no base to change
    CHECKSUM_FAIL = 6  # the book after the message is not the venue's: it needs a snapshot


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
