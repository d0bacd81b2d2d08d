"""The queue before an order that we might have placed: how much of it is left, and who is filled.

Each second an order of next to nothing is imagined at the end of the queue at each best price, and
followed for ten seconds: the feed says of every real order before it whether it is still there.
"""

from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.flow.rows import show, show_nothing
from operators.features.orders.events import (
    FILLED,
    GONE,
    JOINED,
    LEFT,
    LOST,
    WHOLE,
    OrderEvents,
)
from operators.features.signal import Signal, SignalInput
from operators.records import Record, Records, blank_records
from schemas.rows import F8, I4, I8

SECOND_NS = 1_000_000_000
FOLLOWED_NS = 10 * SECOND_NS
PLACES = 11  # imagined orders a side, one of each second: before this one 10 may still be followed
SHOWN_NS = 5 * SECOND_NS  # younger ones say little of how a queue goes
FADE = 0.5 ** (1.0 / 60.0)  # half-life of 60 orders: a minute of a busy market
ENDED_MIN = 30
_FREE, _WAITS, _FILLED = 0, 1, 2
_AHEAD_QTY, _AHEAD_COUNT, _AHEAD_SHARE, _FILL = 0, 1, 2, 3
_COLUMNS = 4  # a side

_PLACE_FIELDS = {
    "state": "<i8",
    "placed_ns": "<i8",  # venue time
    "rank": "<i8",  # of its queue those with a smaller one stand before it
    "price": "<f8",
    "qty": "<f8",  # before it
    "count": "<i8",  # orders before it
    "at_first": "<f8",  # `qty` when it was placed
}
_SIDE_FIELDS = {
    "second": "<i8",  # number of the last one in which an order was placed
    "ended": "<i8",  # orders that were followed to their end
    "filled": "<f8",  # fading share of those that were filled
}


class QueueState(NamedTuple):
    """Sides of each instrument, bids first."""

    places: Records  # (2 * instruments * PLACES,) _PLACE_FIELDS; second t at t % PLACES
    sides: Records  # (2 * instruments,) _SIDE_FIELDS
    now_ns: I8  # (instruments,) venue time
    tells: I8  # (instruments,) 1: the feed has said of something that it was filled
    held: F8


class QueuePosition(Signal[QueueState]):
    """Where an order stands that joined the best price 5 to 10 s ago, and how many were filled.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.

    Notes
    -----
    In: SignalInput, of which `orders` and venue times are read. Out: SignalBlock of four columns a
    side: queue_*_ahead_qty and queue_*_ahead_count, quantity and orders that still stand before the
    oldest imagined order which waits, at its own price; queue_*_ahead_share, that quantity over
    what stood there when it was placed; queue_*_fill_share, of the orders placed and then followed
    for 10 s the share that was filled meanwhile, half-life 60 of them.
    Placed: with the first whole message of a second, at the end of the best price's queue; it never
    moves. Who joins that price later, or moves there, stands behind.
    Filled: an order of its side behind it, at a worse price or not shown at its price was filled,
    or one of the other side came to rest at its price or better: with nothing to fill, an imagined
    order does not change who else is filled, so real ones are filled a little less.
    Nulls: the first three where no imagined order of 5 s or more waits, and while the book is not
    known; the share until 30 orders have been followed, and on feeds that do not say what was
    filled. A gap ends those that wait, and they count for nothing.
    Time: venue time. Chunks: any split gives the same bytes. State: 1.2 kB per instrument; a row
    about an order costs 22 comparisons.
    Source: Lo, MacKinlay, Zhang (2002), Econometric Models of Limit-Order Executions, follow
    imagined orders through recorded ones; Moallemi, Yuan (2017), A Model for Queue Position
    Valuation in a Limit Order Book, for what the place is worth.
    """

    NAMES = tuple(
        f"queue_{side}_{what}"
        for side in ("bid", "ask")
        for what in ("ahead_qty", "ahead_count", "ahead_share", "fill_share")
    )

    def __init__(self, n_instruments: int) -> None:
        self.n_instruments = n_instruments

    def initial(self) -> QueueState:
        n = self.n_instruments
        return QueueState(
            blank_records(_PLACE_FIELDS, 2 * n * PLACES), blank_records(_SIDE_FIELDS, 2 * n),
            np.zeros(n, np.int64), np.zeros(n, np.int64), np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: QueueState, rows: SignalInput, values: F8, columns: I8) -> None:
        _walk(state, rows.k, rows.market.ts_event_ns, rows.orders, values, columns)


@kernel
def _walk(
    memory: QueueState, rows_k: I4, ts_ns: I8, events: OrderEvents, values: F8, columns: I8
) -> None:
    m = 0
    for i in range(rows_k.size):
        k = rows_k[i]
        if not 0 <= k < memory.now_ns.size:
            show_nothing(values, i, columns)
            continue
        told = m < events.at.size and events.at[m] == i
        if told or memory.now_ns[k] > 0:
            memory.now_ns[k] = max(memory.now_ns[k], ts_ns[i])
            for s in range(2 * k, 2 * k + 2):
                _end_old(memory, s, memory.now_ns[k])
            if told:
                _take(memory, k, events, m)
                m += 1
            for s in range(2 * k, 2 * k + 2):
                _hold(memory, k, s)
        show(values, i, columns, memory.held, k)


@kernel
def _end_old(memory: QueueState, s: int, now_ns: int) -> None:
    """Orders that were followed for long enough count, in the order in which they were placed."""
    side = memory.sides[s]
    for back in range(PLACES - 1, -1, -1):
        one = memory.places[s * PLACES + (side.second - back) % PLACES]
        if one.state != _FREE and now_ns - one.placed_ns >= FOLLOWED_NS:
            side.ended += 1
            weight = max(1.0 / side.ended, 1.0 - FADE)
            hit = 1.0 if one.state == _FILLED else 0.0
            side.filled += weight * (hit - side.filled)
            one.state = _FREE


@kernel
def _take(memory: QueueState, k: int, events: OrderEvents, m: int) -> None:
    what = events.what[m]
    if what & LOST:
        for j in range(2 * k * PLACES, (2 * k + 2) * PLACES):
            memory.places[j].state = _FREE
    elif what & (LEFT | FILLED | JOINED):
        if what & FILLED:
            memory.tells[k] = 1
        for asks in range(2):
            direction = -1.0 if asks else 1.0  # of a better price
            mine = (events.side[m] > 0) == (asks == 0)
            for j in range((2 * k + asks) * PLACES, (2 * k + asks + 1) * PLACES):
                if memory.places[j].state == _WAITS:
                    _follow(memory.places[j], events, m, mine, direction)
    if what & WHOLE:
        _place(memory, k, 2 * k, events.bid_px[m], events.bid_qty[m], events.bid_count[m],
               events.rank[m])  # fmt: skip
        _place(memory, k, 2 * k + 1, events.ask_px[m], events.ask_qty[m], events.ask_count[m],
               events.rank[m])  # fmt: skip


@kernel
def _follow(one: Record, events: OrderEvents, m: int, mine: bool, direction: float) -> None:
    """What a row about a real order does to an imagined one that waits."""
    what = events.what[m]
    if not mine:
        if what & JOINED and direction * (one.price - events.joined_px[m]) >= 0.0:
            one.state = _FILLED
        return
    away = direction * (one.price - events.left_px[m])  # > 0: at a worse price
    before = events.left_rank[m] < one.rank
    if what & FILLED and (away > 0.0 or (away == 0.0 and not before)):
        one.state = _FILLED
    elif what & LEFT and away == 0.0 and before:
        one.qty = max(one.qty - events.left_qty[m], 0.0)
        if what & GONE:
            one.count -= 1
            if one.count == 0:
                one.qty = 0.0  # without what rounding has left


@kernel
def _place(
    memory: QueueState, k: int, s: int, price: float, qty: float, count: float, rank: int
) -> None:
    """Imagine an order at the best price, once a second."""
    side, now_ns = memory.sides[s], memory.now_ns[k]
    second = now_ns // SECOND_NS
    if np.isnan(price) or second <= side.second:
        return
    side.second = second
    one = memory.places[s * PLACES + second % PLACES]
    one.state, one.placed_ns, one.rank, one.price = _WAITS, now_ns, rank, price
    one.qty, one.count, one.at_first = qty, int(count), qty


@kernel
def _hold(memory: QueueState, k: int, s: int) -> None:
    held, side, first = memory.held[k], memory.sides[s], (s - 2 * k) * _COLUMNS
    for j in range(first + _AHEAD_QTY, first + _FILL + 1):
        held[j] = np.nan
    for back in range(PLACES - 1, -1, -1):
        one = memory.places[s * PLACES + (side.second - back) % PLACES]
        if one.state == _WAITS:
            if memory.now_ns[k] - one.placed_ns >= SHOWN_NS:
                held[first + _AHEAD_QTY], held[first + _AHEAD_COUNT] = one.qty, one.count
                held[first + _AHEAD_SHARE] = one.qty / one.at_first
            break
    if memory.tells[k] and side.ended >= ENDED_MIN:
        held[first + _FILL] = side.filled
