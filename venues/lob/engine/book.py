"""Books that match: orders rest in queues by price, and the first of the best price is the first
to be filled.

Prices are whole ticks on a grid, sizes whole lots. A side is BID or ASK, that of a resting order;
the side of one that takes is the side where it would rest.
"""

from typing import NamedTuple

import numpy as np

from operators.arrays import I4, I8, kernel
from operators.market.books.words import OrderAction
from operators.records import Record, Records, blank_records

BID, ASK = 0, 1
GRID = 65_536  # ticks: prices are 0 to GRID - 1
ORDERS = 8_192  # resting at a venue at most
NOBODY = -1  # owner of an ordinary order
NONE = -1  # no order
ADDED, TRADED, CANCELLED = 0, 1, 2
TOUCHED = 4_096  # prices that one action can change
TOLD = 2 * ORDERS + 8  # a fill and what is left, of every order
ACTION, SERIAL, SIDE, TICK, LOTS = range(5)  # columns of `told`
_ADD, _CHANGE = int(OrderAction.ADD), int(OrderAction.CHANGE)
_DELETE, _FILL = int(OrderAction.DELETE), int(OrderAction.FILL)
ORDER_FIELDS = {
    "side": "<i8",
    "tick": "<i8",
    "lots": "<i8",  # that are shown
    "reserve": "<i8",  # lots behind them; each time `lots` are gone, `display` of these are shown
    "display": "<i8",
    "owner": "<i8",
    "next": "<i8",  # behind it in the queue
    "prev": "<i8",
    "place": "<i8",  # in `Books.alive`
    "serial": "<i8",  # counts the orders of its venue from 1: what the venue calls it
}
FILL_FIELDS = {
    "tick": "<i8",
    "lots": "<i8",
    "order": "<i8",
    "owner": "<i8",
    "done": "<i8",  # 1: nothing of the resting order is left
}


class Books(NamedTuple):
    """One book for each venue."""

    head: I4  # (venues, GRID) the first order of the queue
    tail: I4
    lots: I8  # (venues, GRID) shown
    best: I8  # (venues, 2) best bid and ask; -1 and GRID where there is none
    orders: Records  # (venues, ORDERS) ORDER_FIELDS
    alive: I4  # (venues, 2, ORDERS) the orders of a side, in no order
    n_alive: I8  # (venues, 2) how many
    free: I4  # (venues, ORDERS) a stack of unused places
    n_free: I8  # (venues,)
    flows: I8  # (venues, 3) lots ADDED, TRADED and CANCELLED so far, with those not shown
    made: I8  # (venues,) orders so far


class Outcome(NamedTuple):
    """What one action did."""

    fills: Records  # (ORDERS,) FILL_FIELDS
    touched: I8  # (TOUCHED,) prices whose size is another
    n: I8  # (3,) how many of all three
    told: I8  # (TOLD, 5) what a venue that tells single orders says; no places: it does not


def blank_books(venues: int) -> Books:
    """Empty books."""
    free = np.tile(np.arange(ORDERS - 1, -1, -1, dtype=np.int32), (venues, 1))
    return Books(
        head=np.full((venues, GRID), NONE, np.int32), tail=np.full((venues, GRID), NONE, np.int32),
        lots=np.zeros((venues, GRID), np.int64), best=np.tile(np.array([-1, GRID]), (venues, 1)),
        orders=blank_records(ORDER_FIELDS, venues * ORDERS).reshape(venues, ORDERS),
        alive=np.zeros((venues, 2, ORDERS), np.int32), n_alive=np.zeros((venues, 2), np.int64),
        free=free, n_free=np.full(venues, ORDERS, np.int64),
        flows=np.zeros((venues, 3), np.int64), made=np.zeros(venues, np.int64),
    )  # fmt: skip


def blank_outcome(*, by_order: bool = False) -> Outcome:
    """Room for what one action does; `by_order`: also order by order."""
    return Outcome(
        blank_records(FILL_FIELDS, ORDERS), np.zeros(TOUCHED, np.int64), np.zeros(3, np.int64),
        np.zeros((TOLD if by_order else 0, 5), np.int64),
    )  # fmt: skip


@kernel
def rest(
    books: Books, v: int, side: int, tick: int, lots: int, reserve: int, owner: int, out: Outcome
) -> int:
    """An order at the end of its queue; gives its number, or NONE where it has no place.

    That is off the grid, beyond ORDERS, or at a price where it would be matched.
    """
    crosses = tick >= books.best[v, ASK] if side == BID else tick <= books.best[v, BID]
    if crosses or not 0 < tick < GRID - 1 or lots <= 0 or books.n_free[v] == 0:
        return NONE
    books.n_free[v] -= 1
    number = int(books.free[v, books.n_free[v]])
    order = books.orders[v, number]
    order.side, order.tick, order.lots, order.reserve = side, tick, lots, reserve
    order.display, order.owner = lots, owner
    order.place = books.n_alive[v, side]
    books.alive[v, side, order.place] = number
    books.n_alive[v, side] += 1
    _append(books, v, number)
    books.lots[v, tick] += lots
    books.flows[v, ADDED] += lots + reserve
    books.made[v] += 1
    order.serial = books.made[v]
    _tell(out, _ADD, order, lots)
    if side == BID:
        books.best[v, BID] = max(books.best[v, BID], tick)
    else:
        books.best[v, ASK] = min(books.best[v, ASK], tick)
    _touch(out, tick)
    return number


@kernel
def take(books: Books, v: int, side: int, lots: int, limit: int, out: Outcome) -> int:
    """Match up to `lots` against the other side, at `limit` or better; gives how many were.

    A reserve shows up at the end of its queue as soon as its order's lots are gone.
    """
    other, left = 1 - side, lots
    while left > 0 and books.n_alive[v, other] > 0 and out.n[0] < out.fills.size:
        tick = books.best[v, other]
        if (side == BID and tick > limit) or (side == ASK and tick < limit):
            break
        number = int(books.head[v, tick])
        order = books.orders[v, number]
        filled = min(left, order.lots)
        left -= filled
        order.lots -= filled
        books.lots[v, tick] -= filled
        _touch(out, tick)
        done = order.lots == 0 and order.reserve == 0
        fill = out.fills[out.n[0]]
        fill.tick, fill.lots, fill.order, fill.owner = tick, filled, number, order.owner
        fill.done = 1 if done else 0
        out.n[0] += 1
        _tell(out, _FILL, order, filled)
        if done:
            _tell(out, _DELETE, order, 0)
            _drop(books, v, number)
        elif order.lots == 0:
            shown = min(order.display, order.reserve)
            order.lots, order.reserve = shown, order.reserve - shown
            books.lots[v, tick] += shown
            _unlink(books, v, number)
            _append(books, v, number)
        if not done:
            _tell(out, _CHANGE, order, order.lots)
    books.flows[v, TRADED] += lots - left
    return lots - left


@kernel
def cancel(books: Books, v: int, number: int, out: Outcome) -> int:
    """Take an order out; gives how many lots it had left, with those not shown."""
    order = books.orders[v, number]
    left = order.lots + order.reserve
    books.lots[v, order.tick] -= order.lots
    books.flows[v, CANCELLED] += left
    _touch(out, order.tick)
    _tell(out, _DELETE, order, order.lots)
    _drop(books, v, number)
    return int(left)


@kernel
def lots_ahead(books: Books, v: int, number: int) -> int:
    """Lots shown that would be filled before an order: at better prices, and before it in line."""
    order = books.orders[v, number]
    lots, step = 0, 1 if order.side == BID else -1
    for away in range(1, abs(books.best[v, order.side] - order.tick) + 1):
        lots += books.lots[v, order.tick + step * away]
    before = order.prev
    while before != NONE:
        lots += books.orders[v, before].lots
        before = books.orders[v, before].prev
    return int(lots)


@kernel
def lots_of_side(books: Books, v: int, side: int) -> int:
    """Lots shown on a side."""
    lots = 0
    for i in range(books.n_alive[v, side]):
        lots += books.orders[v, books.alive[v, side, i]].lots
    return int(lots)


@kernel
def _drop(books: Books, v: int, number: int) -> None:
    order = books.orders[v, number]
    side, tick = int(order.side), int(order.tick)
    _unlink(books, v, number)
    last = books.n_alive[v, side] - 1
    moved = books.alive[v, side, last]
    books.alive[v, side, order.place] = moved
    books.orders[v, moved].place = order.place
    books.n_alive[v, side] = last
    books.free[v, books.n_free[v]] = number
    books.n_free[v] += 1
    if books.head[v, tick] != NONE or tick != books.best[v, side]:
        return
    if last == 0:
        books.best[v, side] = -1 if side == BID else GRID
        return
    step = -1 if side == BID else 1
    while books.head[v, tick] == NONE:
        tick += step
    books.best[v, side] = tick


@kernel
def _append(books: Books, v: int, number: int) -> None:
    order = books.orders[v, number]
    last = books.tail[v, order.tick]
    order.prev, order.next = last, NONE
    if last == NONE:
        books.head[v, order.tick] = number
    else:
        books.orders[v, last].next = number
    books.tail[v, order.tick] = number


@kernel
def _unlink(books: Books, v: int, number: int) -> None:
    order = books.orders[v, number]
    if order.prev == NONE:
        books.head[v, order.tick] = order.next
    else:
        books.orders[v, order.prev].next = order.next
    if order.next == NONE:
        books.tail[v, order.tick] = order.prev
    else:
        books.orders[v, order.next].prev = order.prev


@kernel
def _touch(out: Outcome, tick: int) -> None:
    for i in range(out.n[1]):
        if out.touched[i] == tick:
            return
    out.touched[out.n[1]] = tick
    out.n[1] += 1


@kernel
def _tell(out: Outcome, action: int, order: Record, lots: int) -> None:
    """What a venue says of an order; a reserve that shows up is a change of it."""
    if out.told.shape[0] == 0:
        return
    row = out.told[out.n[2]]
    row[ACTION], row[SERIAL], row[SIDE] = action, order.serial, order.side
    row[TICK], row[LOTS] = order.tick, lots
    out.n[2] += 1
