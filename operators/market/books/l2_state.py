"""The levels of each instrument's book, and how other kernels read them."""

from typing import NamedTuple

import numpy as np

from operators.arrays import F8, I8, kernel
from operators.market.books.sides import BID, KEY, QTY, find
from operators.records import Records

BOOK_FIELDS = {
    "synced": "<i8",  # 1: the levels are the venue's, as far as rows can tell
    "open": "<i8",  # 1: inside a message
    "loading": "<i8",  # 1: that message is a snapshot
    "broken": "<i8",  # a BookReason: a row of that message is bad, or its beginning is missing
    "reason": "<i8",  # a BookReason, why it is not synced
    "epoch": "<i8",  # snapshots taken so far
    "venue_seq": "<i8",  # of the present or last message, as are the next two
    "source": "<i8",
    "source_row": "<i8",  # of its last row
}


class L2State(NamedTuple):
    """Books by level of all instruments of the table; book k is that of the table's row k."""

    books: Records  # (instruments,) BOOK_FIELDS
    sides: Records  # (2 * instruments,) SIDE_FIELDS
    pool: F8  # (2, places): keys and quantities


class BookTerms(NamedTuple):
    """What the feed of each instrument shows of the venue's book; 0 is all of it."""

    depth: I8  # (instruments,) levels a side that the subscription is limited to
    snapshot_depth: I8  # (instruments,) levels a side at which the venue cuts its snapshots

    @classmethod
    def full(cls, instruments: int) -> "BookTerms":
        """Every level of every book, in snapshots and changes."""
        return cls(np.zeros(instruments, np.int64), np.zeros(instruments, np.int64))


@kernel
def is_whole(state: L2State, k: int) -> bool:
    """Whether book `k` may be read: it is synced, and no message is half in it."""
    return bool(state.books[k].synced and not state.books[k].open)


@kernel
def levels(state: L2State, s: int, price: F8, qty: F8) -> int:
    """Write the best levels of side `s` = 2 * k + BID or ASK, as many as the arrays hold.

    The first is the best. Places without a level become NaN. Gives the number of levels written;
    0 unless the book is whole. A level beyond `covered` may have others missing before it.
    """
    n = 0
    if is_whole(state, s // 2):
        side = state.sides[s]
        n = min(side.n, price.size)
        for i in range(n):
            key = state.pool[KEY, side.first + i]
            price[i], qty[i] = price_of(key, s), state.pool[QTY, side.first + i]
    for i in range(n, price.size):
        price[i] = qty[i] = np.nan
    return int(n)


@kernel
def best(state: L2State, s: int) -> tuple[float, float]:
    """Price and quantity of the best level of side `s`; NaN where the side is empty.

    Only of a whole book.
    """
    side = state.sides[s]
    if side.n == 0:
        return np.nan, np.nan
    return price_of(state.pool[KEY, side.first], s), float(state.pool[QTY, side.first])


@kernel
def qty_at(state: L2State, s: int, price: float) -> float:
    """Quantity at a price of side `s`; 0 where it has no such level. Only of a whole book."""
    side, key = state.sides[s], key_of(price, s)
    place = find(state.pool[KEY], side.first, side.n, key)
    if place < side.first + side.n and state.pool[KEY, place] == key:
        return float(state.pool[QTY, place])
    return 0.0


@kernel
def covered(state: L2State, s: int) -> float:
    """The price up to which every level of side `s` is known.

    -inf (bids) and +inf (asks) where the whole side is; NaN before the first snapshot. Both bounds
    hold for both sides: the bids and asks between them are the venue's, those outside are only
    the ones that changed since the snapshot.
    """
    return price_of(state.sides[s].cover, s)


@kernel
def key_of(price: float, s: int) -> float:
    return -price if s % 2 == BID else price


@kernel
def price_of(key: float, s: int) -> float:
    return -key if s % 2 == BID else key
