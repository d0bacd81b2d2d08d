"""Books order by order: rows about orders in, the top of the book after each message out."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import F8, I1, I2, I4, I8, U1, U2, ArrayOperator, kernel
from operators.market.books.l2_state import key_of, price_of
from operators.market.books.l3_state import (
    BOOK_FIELDS,
    COLUMNS,
    DEAD_HEAD,
    N_ORDERS,
    NOBODY,
    ORDER_FIELDS,
    TAIL,
    USED,
    L3State,
    bury,
    enter,
    exhume,
    forget,
    has_free_order,
    link,
    make_order,
    order_of,
    release,
    shrink,
    unlink,
)
from operators.market.books.sides import ASK, BID, KEY, QTY, blank_sides, clear, is_tight, with_room
from operators.market.books.words import BookReason, OrderAction
from operators.records import Record, blank_records
from schemas.instruments import InstrumentArrays
from schemas.kinds import Flag
from schemas.rows import empty, take

ORDERS_MAX = 131_072  # open and remembered orders of all books together: 9 MB with their table
ORDERS_MIN = 1_024
FIRST_ORDERS, FIRST_LEVELS = 64, 16  # places; markets without order rows have these for nothing
ROUNDED = 1e-9  # of what an order joined with: less is what subtracting decimals leaves
DEAD_KEPT = 4_096  # a deleted order's id; on the 2015 recording late rows came within 13 ms

_LAST, _SNAPSHOT = int(Flag.MSG_LAST), int(Flag.SNAPSHOT)
_ADD, _CHANGE = int(OrderAction.ADD), int(OrderAction.CHANGE)
_REDUCE, _DELETE = int(OrderAction.REDUCE), int(OrderAction.DELETE)
_EXECUTE, _HIDDEN = int(OrderAction.EXECUTE), int(OrderAction.EXECUTE_HIDDEN)
_SET, _FILL = int(OrderAction.SET), int(OrderAction.FILL)
_NO_SNAPSHOT, _UNFINISHED = int(BookReason.NO_SNAPSHOT), int(BookReason.UNFINISHED)
_BAD_ROW = int(BookReason.BAD_ROW)
_AT, _MADE, _TIGHT = 0, 1, 2  # a cursor: the next row, rows made so far, the side that needs room
_ORDERS, ENOUGH = -1, -2  # in place of a side: the orders need room; nothing does


class OrderRows(NamedTuple):
    """Rows of order-by-order feeds, in the order of the feed."""

    seq: I8
    lane: I2
    symbol: I4
    flags: U1  # Flag: MSG_LAST, SNAPSHOT
    ts_event_ns: I8
    ts_recv_ns: I8
    venue_seq: I8  # the venue's number of the message, -1 where it gives none
    action: U1  # OrderAction
    side: I1  # of the order
    order_id: I8
    price: F8  # of ADD, CHANGE and SET
    qty: F8  # ADD, CHANGE, SET: what is left; REDUCE, EXECUTE: what goes


class OrderTopRows(NamedTuple):
    """An order-by-order book after one whole message. Null where a side is empty."""

    seq: I8  # of the message's last row, as are the next four
    lane: I2
    symbol: I4
    ts_event_ns: I8
    ts_recv_ns: I8
    synced: U1  # 0: the book may not be used, and prices are null
    reason: U2  # BookReason
    epoch: I8  # snapshots taken so far; 0: it began empty, so older orders are missing
    crossed: U1  # 1: the best bid is not below the best ask
    bid_px: F8
    bid_qty: F8
    bid_orders: F8
    ask_px: F8
    ask_qty: F8
    ask_orders: F8
    n_orders: I8  # open, both sides
    ghosts: I8  # rows so far that would have brought a deleted order back
    unknown: I8  # rows so far about orders that were never seen
    repeated: I8  # orders so far that were added or deleted twice
    evicted: I8  # orders dropped so far for want of room


class L3Books(ArrayOperator[L3State]):
    """Keeps every open order of every instrument in its queue.

    Parameters
    ----------
    instruments : InstrumentArrays
    begins_empty : bool
        Whether books start without a snapshot, for feeds that have none: they fill as orders come,
        and an order from before that is changed comes in with the change.
    orders_max : int, at least 1024
        Open and remembered orders of all books together.

    Notes
    -----
    In: OrderRows. Out: OrderTopRows, one for each row with MSG_LAST.
    Queues: an order enters at the end of its price's queue. CHANGE to a smaller quantity at the
    same price keeps its place, any other change takes it to the end; so does one to more than its
    fills have left, by which a venue shows the next part of an iceberg.
    Ghosts: the last 4,096 deleted orders are remembered. ADD, CHANGE, REDUCE and EXECUTE of one of
    them come late and are passed over, which `ghosts` counts; otherwise the order would never be
    deleted. SET brings it back, as feeds of the best N orders do.
    Fills: FILL changes no quantity; the order owes it to the row that will take it off.
    Rows about orders that were never seen change nothing; `unknown` counts them. ADD of an open
    order changes it. What more is reduced or filled than there is, is nothing.
    Messages: as in `L2Books`, a snapshot replaces the book, and a row that no order can have, or
    the beginning of another message (venue_seq, SNAPSHOT) inside one, leaves the book gapped until
    the next snapshot.
    Room: at `orders_max` the oldest remembered order goes, then the last order of the furthest
    level of the new order's side, which `evicted` counts.
    Sums of a level are kept by adding and subtracting: exact to 1e-12 of the largest so far.
    Chunks: any split gives the same bytes. State: 104 bytes an order, 40 a level, doubled as
    needed.
    Errors: ValueError for a limit below 1024.
    """

    def __init__(
        self,
        instruments: InstrumentArrays,
        *,
        begins_empty: bool = False,
        orders_max: int = ORDERS_MAX,
    ) -> None:
        if orders_max < ORDERS_MIN:
            raise ValueError(f"orders_max must be at least {ORDERS_MIN}, was {orders_max}")
        self._base, self._count = instruments.base, instruments.n_of_lane
        self._n, self._begins_empty, self._orders_max = (
            instruments.lane.size, begins_empty, orders_max,
        )  # fmt: skip

    def initial(self) -> L3State:
        return blank_orders(self._n, begins_empty=self._begins_empty)

    def step(self, state: L3State, rows: OrderRows) -> tuple[L3State, OrderTopRows]:
        out = empty(OrderTopRows, int(np.count_nonzero(rows.flags & _LAST)))
        cursor, known = np.zeros(3, np.int64), (self._base, self._count)
        while True:
            _fold(state, self._orders_max, known, rows, cursor, out)
            if cursor[_AT] == rows.seq.size:
                break
            state = self.roomier(state, int(cursor[_TIGHT]))
        return state, take(out, slice(0, int(cursor[_MADE])))

    def roomier(self, state: L3State, s: int) -> L3State:
        """The state with more room for what `room_for` asks for."""
        if s != _ORDERS:
            return state._replace(pool=with_room(state.sides, state.pool, s, self._orders_max))
        size = min(2 * state.orders.size, self._orders_max)
        orders = blank_records(ORDER_FIELDS, size)
        orders[: state.orders.size] = state.orders
        bits = int(2 * size - 1).bit_length()
        table = np.zeros(1 << bits, np.int64)
        _enter_all(orders, state.table, table)
        return state._replace(orders=orders, table=table)


def blank_orders(books: int, *, begins_empty: bool) -> L3State:
    """So many books without any order."""
    records = blank_records(BOOK_FIELDS, books)
    records.synced[:] = int(begins_empty)
    records.reason[:] = 0 if begins_empty else _NO_SNAPSHOT
    return L3State(
        records,
        *blank_sides(books, COLUMNS, FIRST_LEVELS),
        orders=blank_records(ORDER_FIELDS, FIRST_ORDERS if books else 0),
        table=np.zeros(2 * FIRST_ORDERS if books else 0, np.int64),
        counts=np.array([NOBODY, 0, NOBODY, NOBODY, 0, 0], np.int64),
    )


@kernel
def _enter_all(orders: Record, before: I8, table: I8) -> None:
    for at in range(before.size):
        if before[at] != 0:
            enter(orders[before[at] - 1], before[at] - 1, table)


@kernel
def lose_orders(book: Record, reason: int) -> None:
    """The book is gapped and waits for a snapshot; also for gaps that only the feed shows."""
    book.synced = book.open = 0
    book.reason = reason


@kernel
def room_for(state: L3State, s: int, orders_max: int) -> int:
    """What must be made roomier before a row of side `s` is taken, ENOUGH if nothing."""
    if is_tight(state.sides[s], orders_max):
        return s
    if not has_free_order(state) and state.orders.size < orders_max:
        return _ORDERS
    return ENOUGH


@kernel
def take_order(
    state: L3State,
    k: int,
    flags: int,
    venue_seq: int,
    ts_ns: int,
    action: int,
    side: int,
    order_id: int,
    price: float,
    qty: float,
) -> None:
    """One row of book `k`, whose last row of a message is followed by `end_orders`."""
    book, s = state.books[k], 2 * k + (BID if side > 0 else ASK)
    if book.began_ns == 0:
        book.began_ns = book.now_ns = ts_ns
    book.now_ns = max(book.now_ns, ts_ns)
    _begin(state, k, flags, venue_seq)
    if not _is_sound(action, side, price, qty):
        book.broken = 1
    elif book.synced or book.loading:
        _take(state, k, s, action, order_id, price, qty)


@kernel
def end_orders(book: Record) -> None:
    """The message is whole."""
    book.open = 0
    if book.broken:
        lose_orders(book, _BAD_ROW)
    elif book.loading:
        book.synced, book.reason = 1, 0
        book.epoch += 1


@kernel
def _fold(
    state: L3State,
    orders_max: int,
    known: tuple[I4, I4],
    rows: OrderRows,
    cursor: I8,
    out: OrderTopRows,
) -> None:
    """Take rows from the cursor on; before the last only where room is needed."""
    base, count = known
    for i in range(cursor[_AT], rows.lane.size):
        lane, symbol = rows.lane[i], rows.symbol[i]
        if not 0 <= lane < base.size or not 0 <= symbol < count[lane]:
            continue
        k = base[lane] + symbol
        tight = room_for(state, 2 * k + (BID if rows.side[i] > 0 else ASK), orders_max)
        if tight != ENOUGH:
            cursor[_AT], cursor[_TIGHT] = i, tight
            return
        take_order(
            state, k, rows.flags[i], rows.venue_seq[i], rows.ts_event_ns[i], rows.action[i],
            rows.side[i], rows.order_id[i], rows.price[i], rows.qty[i],
        )  # fmt: skip
        if rows.flags[i] & _LAST:
            end_orders(state.books[k])
            _emit(state, k, rows, i, out, cursor[_MADE])
            cursor[_MADE] += 1
    cursor[_AT] = rows.lane.size


@kernel
def _begin(state: L3State, k: int, flags: int, venue_seq: int) -> None:
    """The message that a row belongs to, perhaps a new one."""
    book, loading = state.books[k], flags & _SNAPSHOT != 0
    if book.open and (book.venue_seq != venue_seq or (book.loading != 0) != loading):
        lose_orders(book, _UNFINISHED)
    if not book.open:
        book.open, book.broken, book.loading = 1, 0, 1 if loading else 0
        book.venue_seq = venue_seq
        if loading:
            _clear(state, k)


@kernel
def _clear(state: L3State, k: int) -> None:
    """Every order of a book goes, open and dead."""
    for slot in range(state.counts[USED]):
        order = state.orders[slot]
        if order.s // 2 == k:
            if order.dead:
                exhume(state, slot)
            release(state, slot)
    clear(state.sides[2 * k + BID])
    clear(state.sides[2 * k + ASK])
    state.books[k].n_orders = 0


@kernel
def _is_sound(action: int, side: int, price: float, qty: float) -> bool:
    if action in (_DELETE, _HIDDEN):
        return True
    if side * side != 1 or not 0.0 <= qty < math.inf or not _ADD <= action <= _FILL:
        return False
    if action in (_REDUCE, _EXECUTE, _FILL):
        return True
    return bool(0.0 < price < math.inf and (qty > 0.0 or action == _CHANGE))


@kernel
def _take(
    state: L3State, k: int, s: int, action: int, order_id: int, price: float, qty: float
) -> None:
    """What one row does to the orders of its book."""
    if action == _HIDDEN:
        return
    book, found = state.books[k], order_of(state, k, order_id)
    if action == _FILL:
        if found != NOBODY and not state.orders[found].dead:
            state.orders[found].owed += qty
        return
    if found != NOBODY and state.orders[found].dead:
        if action == _DELETE:
            book.repeated += 1
        elif action == _SET:
            forget(state, found)
            _open(state, k, s, order_id, price, qty)
        else:
            book.ghosts += 1
        return
    if found == NOBODY:
        if action in (_ADD, _SET):
            _open(state, k, s, order_id, price, qty)
            return
        book.unknown += 1
        if action == _DELETE and has_free_order(state):  # it may still be added, late
            bury(state, make_order(state, s, order_id, 0.0, 0.0), DEAD_KEPT)
        elif action == _CHANGE and book.epoch == 0 and qty > 0.0:
            _open(state, k, s, order_id, price, qty)
        return
    if action == _ADD:
        book.repeated += 1
    if action == _DELETE:
        left = 0.0
    elif action in (_REDUCE, _EXECUTE):
        order = state.orders[found]
        left = order.qty - qty
        left = left if left > ROUNDED * order.first else 0.0
    else:
        left = qty
    if left <= 0.0:
        unlink(state, found)
        bury(state, found, DEAD_KEPT)
        book.n_orders -= 1
    elif action in (_REDUCE, _EXECUTE):
        shrink(state, found, left)
    else:
        _change(state, found, s, key_of(price, s), left)
    state.orders[found].owed = 0.0


@kernel
def _open(state: L3State, k: int, s: int, order_id: int, price: float, qty: float) -> None:
    if not has_free_order(state):
        _make_room(state, s)
    link(state, make_order(state, s, order_id, price, qty))
    state.books[k].n_orders += 1


@kernel
def _change(state: L3State, slot: int, s: int, key: float, qty: float) -> None:
    """A smaller quantity keeps its place in the queue, anything else goes to the end of one."""
    order = state.orders[slot]
    kept = order.qty - order.owed  # more than this is new: the venue filled it up again
    if order.key == key and qty <= kept + ROUNDED * order.first:  # keys of two sides differ in sign
        shrink(state, slot, qty)
        return
    unlink(state, slot)
    order.s, order.key, order.qty = s, key, qty
    link(state, slot)


@kernel
def _make_room(state: L3State, s: int) -> None:
    """Free one order: the longest dead, else the last of the furthest level of side `s`."""
    if state.counts[DEAD_HEAD] != NOBODY:
        forget(state, state.counts[DEAD_HEAD])
        return
    furthest = s
    if state.sides[s].n == 0:  # every order is on another side
        for other in range(state.sides.size):
            furthest = other if state.sides[other].n > state.sides[furthest].n else furthest
    side = state.sides[furthest]
    slot = int(state.pool[TAIL, side.first + side.n - 1])
    book = state.books[furthest // 2]
    book.evicted += 1
    book.n_orders -= 1
    unlink(state, slot)
    release(state, slot)


@kernel
def _emit(state: L3State, k: int, rows: OrderRows, i: int, out: OrderTopRows, m: int) -> None:
    book = state.books[k]
    out.seq[m], out.lane[m], out.symbol[m] = rows.seq[i], rows.lane[i], rows.symbol[i]
    out.ts_event_ns[m], out.ts_recv_ns[m] = rows.ts_event_ns[i], rows.ts_recv_ns[i]
    out.synced[m], out.reason[m], out.epoch[m] = book.synced, book.reason, book.epoch
    out.n_orders[m], out.ghosts[m], out.unknown[m] = book.n_orders, book.ghosts, book.unknown
    out.repeated[m], out.evicted[m] = book.repeated, book.evicted
    if not book.synced:
        return
    pool, bids, asks = state.pool, state.sides[2 * k + BID], state.sides[2 * k + ASK]
    if bids.n > 0:
        out.bid_px[m] = price_of(pool[KEY, bids.first], 2 * k + BID)
        out.bid_qty[m], out.bid_orders[m] = pool[QTY, bids.first], pool[N_ORDERS, bids.first]
    if asks.n > 0:
        out.ask_px[m] = price_of(pool[KEY, asks.first], 2 * k + ASK)
        out.ask_qty[m], out.ask_orders[m] = pool[QTY, asks.first], pool[N_ORDERS, asks.first]
    out.crossed[m] = out.bid_px[m] >= out.ask_px[m]
