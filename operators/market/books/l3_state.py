"""Open orders by id, and their queues by price."""

from typing import NamedTuple

import numpy as np

from operators.arrays import F8, I8, kernel
from operators.market.books.l2_state import key_of, price_of
from operators.market.books.sides import KEY, QTY, find, insert, remove
from operators.records import Record, Records

ORDER_FIELDS = {
    "order_id": "<i8",
    "s": "<i8",  # side: 2 * k + BID or ASK; NOBODY: the place is free
    "dead": "<i8",  # 1: deleted, remembered for a while
    "key": "<f8",  # price as a key, see `sides`
    "qty": "<f8",  # left
    "prev": "<i8",  # the order before it in its queue, or among the dead; NOBODY
    "next": "<i8",
    "rank": "<i8",  # counts those that joined a queue: who stands before whom in one of them
    "joined_ns": "<i8",  # venue time at which it joined its queue; of a snapshot's, that of it
    "first": "<f8",  # quantity with which it did
    "owed": "<f8",  # was filled, but the row that takes it off has not come
}
BOOK_FIELDS = {
    "synced": "<i8",  # 1: nothing is known to be missing since it began
    "open": "<i8",  # 1: inside a message
    "loading": "<i8",  # 1: that message is a snapshot
    "broken": "<i8",  # 1: a row of that message is bad
    "reason": "<i8",  # BookReason
    "epoch": "<i8",  # snapshots taken so far; 0: it began empty
    "venue_seq": "<i8",  # of the present or last message
    "n_orders": "<i8",
    "ghosts": "<i8",  # rows that would have brought a deleted order back
    "unknown": "<i8",  # rows about orders that were never seen
    "repeated": "<i8",  # orders added or deleted twice
    "evicted": "<i8",  # orders dropped for want of room
    "began_ns": "<i8",  # venue time of its first row; 0: there was none
    "now_ns": "<i8",  # the latest so far
}
N_ORDERS, TAIL, JOINED = 2, 3, 4  # columns of the pool beside KEY and QTY
COLUMNS = 5
NOBODY = -1
FREE, USED, DEAD_HEAD, DEAD_TAIL, N_DEAD, RANK = 0, 1, 2, 3, 4, 5  # places of `counts`
COUNTS = 6

_MIX = 0x9E3779B1  # 2^32 over the golden ratio: neighbours land far apart
_LOW = 0x7FFFFFFF  # 31 bits: times _MIX they stay below 2^63


class L3State(NamedTuple):
    """Order-by-order books of all instruments of the table."""

    books: Records  # (instruments,) BOOK_FIELDS
    sides: Records  # (2 * instruments,) SIDE_FIELDS
    pool: F8  # (5, places): KEY, QTY (sum of the level), N_ORDERS, TAIL of the queue, and JOINED:
    # the sum of joined_ns less began_ns
    orders: Records  # (places,) ORDER_FIELDS
    table: I8  # (a power of two, at least twice the orders) order + 1 by hash of its id, 0: none
    counts: I8  # (6,) first free order, orders used so far, first, last and number of the dead,
    # the next rank


@kernel
def order_of(state: L3State, k: int, order_id: int) -> int:
    """Where an order of book `k` is in `orders`, also a dead one; NOBODY if there is none."""
    mask = state.table.size - 1
    at = _hash(k, order_id, mask)
    while state.table[at] != 0:
        found = state.table[at] - 1
        order = state.orders[found]
        if order.order_id == order_id and order.s // 2 == k:
            return int(found)
        at = (at + 1) & mask
    return NOBODY


@kernel
def queue_ahead(state: L3State, k: int, order_id: int) -> tuple[int, float]:
    """Orders and quantity that stand before an order at its price; (-1, NaN) if it is not open."""
    found = order_of(state, k, order_id)
    if found == NOBODY or state.orders[found].dead:
        return NOBODY, np.nan
    n, qty = 0, 0.0
    before = state.orders[found].prev
    while before != NOBODY:
        n += 1
        qty += state.orders[before].qty
        before = state.orders[before].prev
    return n, qty


@kernel
def order_levels(state: L3State, s: int, price: F8, qty: F8, n_orders: F8) -> int:
    """Write price, quantity and number of orders of the best levels of side `s` = 2 * k + BID or
    ASK, as many as the arrays hold; places without a level become NaN. Gives the number written.
    """
    side, pool = state.sides[s], state.pool
    n = min(side.n, price.size)
    for i in range(n):
        place = side.first + i
        price[i], qty[i] = price_of(pool[KEY, place], s), pool[QTY, place]
        n_orders[i] = pool[N_ORDERS, place]
    for i in range(n, price.size):
        price[i] = qty[i] = n_orders[i] = np.nan
    return int(n)


@kernel
def best_age_ns(state: L3State, s: int) -> float:
    """Mean time since the orders of the best level of side `s` joined; NaN where it is empty."""
    side, book = state.sides[s], state.books[s // 2]
    if side.n == 0:
        return np.nan
    since_ns = state.pool[JOINED, side.first] / state.pool[N_ORDERS, side.first]
    age_ns: float = float(book.now_ns - book.began_ns) - since_ns
    return age_ns


@kernel
def link(state: L3State, slot: int) -> None:
    """Put an order at the end of the queue at its price."""
    order, pool = state.orders[slot], state.pool
    side, book = state.sides[order.s], state.books[order.s // 2]
    order.rank, order.joined_ns, order.first = state.counts[RANK], book.now_ns, order.qty
    state.counts[RANK] += 1
    since_ns = float(book.now_ns - book.began_ns)
    place = find(pool[KEY], side.first, side.n, order.key)
    order.next = NOBODY
    if place < side.first + side.n and pool[KEY, place] == order.key:
        order.prev = int(pool[TAIL, place])
        state.orders[order.prev].next = slot
        pool[QTY, place] += order.qty
        pool[N_ORDERS, place] += 1.0
        pool[JOINED, place] += since_ns
    else:
        place = insert(side, pool, place)
        order.prev = NOBODY
        pool[KEY, place], pool[QTY, place], pool[N_ORDERS, place] = order.key, order.qty, 1.0
        pool[JOINED, place] = since_ns
    pool[TAIL, place] = slot


@kernel
def unlink(state: L3State, slot: int) -> None:
    """Take an order out of its queue; an empty level goes."""
    order, pool = state.orders[slot], state.pool
    side = state.sides[order.s]
    place = find(pool[KEY], side.first, side.n, order.key)
    if order.prev == NOBODY and order.next == NOBODY:
        remove(side, pool, place)
        return
    pool[QTY, place] -= order.qty
    pool[N_ORDERS, place] -= 1.0
    pool[JOINED, place] -= float(order.joined_ns - state.books[order.s // 2].began_ns)
    if order.prev != NOBODY:
        state.orders[order.prev].next = order.next
    if order.next == NOBODY:
        pool[TAIL, place] = order.prev
    else:
        state.orders[order.next].prev = order.prev


@kernel
def shrink(state: L3State, slot: int, qty: float) -> None:
    """Leave `qty` of an order; it keeps its place in the queue."""
    order, pool = state.orders[slot], state.pool
    side = state.sides[order.s]
    place = find(pool[KEY], side.first, side.n, order.key)
    pool[QTY, place] += qty - order.qty
    order.qty = qty


@kernel
def has_free_order(state: L3State) -> bool:
    return bool(state.counts[FREE] != NOBODY or state.counts[USED] < state.orders.size)


@kernel
def make_order(state: L3State, s: int, order_id: int, price: float, qty: float) -> int:
    """A new order that stands in no queue yet. There must be a free one."""
    slot = state.counts[FREE]
    if slot == NOBODY:
        slot = state.counts[USED]
        state.counts[USED] += 1
    else:
        state.counts[FREE] = state.orders[slot].next
    order = state.orders[slot]
    order.order_id, order.s, order.dead = order_id, s, 0
    order.key, order.qty, order.prev, order.next = key_of(price, s), qty, NOBODY, NOBODY
    order.owed = 0.0
    enter(state.orders[slot], slot, state.table)
    return int(slot)


@kernel
def bury(state: L3State, slot: int, kept: int) -> None:
    """An order that stands in no queue any more is dead; the oldest of more than `kept` goes."""
    order, counts = state.orders[slot], state.counts
    order.dead, order.prev, order.next = 1, counts[DEAD_TAIL], NOBODY
    if counts[DEAD_TAIL] == NOBODY:
        counts[DEAD_HEAD] = slot
    else:
        state.orders[counts[DEAD_TAIL]].next = slot
    counts[DEAD_TAIL] = slot
    counts[N_DEAD] += 1
    if counts[N_DEAD] > kept:
        forget(state, counts[DEAD_HEAD])


@kernel
def exhume(state: L3State, slot: int) -> None:
    """A dead order is no longer among the dead, and in no queue."""
    order, counts = state.orders[slot], state.counts
    if order.prev == NOBODY:
        counts[DEAD_HEAD] = order.next
    else:
        state.orders[order.prev].next = order.next
    if order.next == NOBODY:
        counts[DEAD_TAIL] = order.prev
    else:
        state.orders[order.next].prev = order.prev
    counts[N_DEAD] -= 1
    order.dead = 0


@kernel
def forget(state: L3State, slot: int) -> None:
    """A dead order is free for another."""
    exhume(state, slot)
    release(state, slot)


@kernel
def release(state: L3State, slot: int) -> None:
    """An order in no queue leaves the table; those that its place pushed on move back."""
    table, orders = state.table, state.orders
    mask = table.size - 1
    hole = _hash(orders[slot].s // 2, orders[slot].order_id, mask)
    while table[hole] != slot + 1:
        hole = (hole + 1) & mask
    at = (hole + 1) & mask
    while table[at] != 0:
        home = _hash(orders[table[at] - 1].s // 2, orders[table[at] - 1].order_id, mask)
        if ((at - home) & mask) >= ((at - hole) & mask):
            table[hole] = table[at]
            hole = at
        at = (at + 1) & mask
    table[hole] = 0
    orders[slot].s, orders[slot].next = NOBODY, state.counts[FREE]
    state.counts[FREE] = slot


@kernel
def enter(order: Record, slot: int, table: I8) -> None:
    """Put an order into the table."""
    mask = table.size - 1
    at = _hash(order.s // 2, order.order_id, mask)
    while table[at] != 0:
        at = (at + 1) & mask
    table[at] = slot + 1


@kernel
def _hash(k: int, order_id: int, mask: int) -> int:
    mixed = (order_id ^ (order_id >> 31) ^ (np.int64(k) * _MIX)) & _LOW
    return int(((mixed * _MIX) >> 20) & mask)
