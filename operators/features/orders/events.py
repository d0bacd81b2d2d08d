"""What rows about single orders did to the queues of a book: columns that features walk."""

from typing import NamedTuple

from operators.arrays import F8, I1, I4, I8, U1
from schemas.rows import empty

# Bits of `what`.
LEFT = 1  # quantity left a queue: `left_*`
GONE = 2  # with LEFT: nothing of the order is left there
FILLED = 4  # the row says that something was filled: at `left_px`, of the order of `left_rank`
JOINED = 8  # an order stands at the end of a queue: `joined_*`
NEW = 16  # with JOINED: it was nowhere before
WHOLE = 32  # a message is whole, and the columns of the best levels are the book's
LOST = 64  # what was known of this book's queues is void: it is gapped, or a snapshot replaces it


class OrderEvents(NamedTuple):
    """One row per market row about an order, and per status of a book that has orders."""

    at: I8  # (m,) the market row of the batch, rising
    k: I4  # its instrument
    what: U1
    side: I1  # of the order: +1 bids, -1 asks
    ts_ns: I8  # venue clock, never before the book's row before
    rank: I8  # that the next order to join any queue will get
    left_px: F8
    left_qty: F8
    left_first: F8  # with which that order had joined this queue
    left_rank: I8  # smaller ranks of a queue stand before larger ones
    filled_qty: F8  # of what left, or of hidden size; 0 where a fill is told before the size leaves
    joined_px: F8
    joined_qty: F8
    bid_px: F8  # NaN, as the next seven, where the side is empty, the book crossed or not known
    bid_qty: F8
    bid_count: F8  # orders
    bid_age_s: F8  # mean time since they joined
    ask_px: F8
    ask_qty: F8
    ask_count: F8
    ask_age_s: F8


NO_EVENTS = empty(OrderEvents)
