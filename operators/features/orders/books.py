"""Books order by order, rebuilt from the log's own rows for the features that read queues."""

import numpy as np

from operators.arrays import F8, I1, I2, I4, I8, U1, U2, ArrayOperator, kernel
from operators.features.flow.rows import ASK_PX, ASK_QTY, BID_PX, BID_QTY
from operators.features.orders.events import (
    FILLED,
    GONE,
    JOINED,
    LEFT,
    LOST,
    NEW,
    NO_EVENTS,
    WHOLE,
    OrderEvents,
)
from operators.market.books.l2_state import price_of
from operators.market.books.l3 import (
    ENOUGH,
    ORDERS_MAX,
    L3Books,
    end_orders,
    lose_orders,
    room_for,
    take_order,
)
from operators.market.books.l3_state import (
    N_ORDERS,
    NOBODY,
    RANK,
    L3State,
    best_age_ns,
    order_levels,
    order_of,
)
from operators.market.books.sides import ASK, BID, KEY, QTY
from operators.market.books.words import BookReason, BookState, OrderAction
from schemas.instruments import InstrumentArrays
from schemas.kinds import Flag, Kind
from schemas.rows import MarketRows, empty, take

# A book that began without a snapshot lacks the orders from before. On the recording of 2015 its
# best prices are the venue's in 99.8 % of the snapshots from then on; see `trifecta book`.
BEGUN_EMPTY_NS = 1_800_000_000_000

_BOOK, _STATUS = int(Kind.BOOK), int(Kind.BOOK_STATUS)
_LAST, _SNAPSHOT = int(Flag.MSG_LAST), int(Flag.SNAPSHOT)
_GAP, _RESYNC = int(BookState.GAP), int(BookState.RESYNC)
_CHECKSUM_FAIL, _HALTED = int(BookState.CHECKSUM_FAIL), int(BookState.HALTED)
_NO_SNAPSHOT = int(BookReason.NO_SNAPSHOT)
_EXECUTE, _HIDDEN = int(OrderAction.EXECUTE), int(OrderAction.EXECUTE_HIDDEN)
_FILL = int(OrderAction.FILL)
_BEHIND_ALL = np.iinfo(np.int64).max  # what is not shown is filled after what is
_AT, _MADE, _TIGHT = 0, 1, 2  # a cursor: the next row, rows made so far, what needs room
_Columns = tuple[U1, U1, I2, I4, I1, F8, F8, I8, I8, U1, U2, I8]


class OrderBooks(ArrayOperator[L3State]):
    """Rebuilds books order by order, and says what each row did.

    Parameters
    ----------
    instruments : InstrumentArrays
        The table; `lane` and `symbol` of a row point into it. Other rows are passed over.

    Notes
    -----
    In: MarketRows; rows of kind BOOK whose `code` is an OrderAction, and BOOK_STATUS. Out:
    OrderEvents. `levels`, shape (n, 4, levels), gets the best levels of these books at the rows
    where `BookLevels` shows those of books by level, so that features of flow and depth see both.
    Books: as in `L3Books`, whose kernel this is, of all instruments together. One without a
    snapshot begins empty, and its best levels are null for 30 minutes; events are told at once.
    A status row GAP, CHECKSUM_FAIL, RESYNC or HALTED leaves a book gapped until a snapshot, but
    RESYNC for want of any snapshot.
    Chunks: any split of the rows gives the same events, but for `at`, which counts from the first
    row of the batch. State: as that of `L3Books`; nothing of note where no row is about an order.
    """

    def __init__(self, instruments: InstrumentArrays) -> None:
        self._books = L3Books(instruments, begins_empty=True)
        self._base, self._count = instruments.base, instruments.n_of_lane

    def initial(self) -> L3State:
        return self._books.initial()

    def step(
        self, state: L3State, rows: MarketRows, levels: F8 | None = None
    ) -> tuple[L3State, OrderEvents]:
        places = int(np.count_nonzero((rows.kind == _BOOK) & (rows.code > 0)))
        told = places + int(np.count_nonzero(rows.kind == _STATUS))
        if not told:
            return state, NO_EVENTS
        levels = np.empty((rows.seq.size, 4, 0)) if levels is None else levels
        columns = (
            rows.kind, rows.flags, rows.lane, rows.symbol, rows.side, rows.price, rows.qty,
            rows.venue_seq, rows.ts_event_ns, rows.code, rows.reason, rows.ref_id,
        )  # fmt: skip
        out, cursor = empty(OrderEvents, told), np.zeros(3, np.int64)
        known, scratch = (self._base, self._count), np.empty(levels.shape[2])
        while True:
            _fold(state, known, columns, cursor, out, levels, scratch)
            if cursor[_AT] == rows.seq.size:
                break
            state = self._books.roomier(state, int(cursor[_TIGHT]))
        made = int(cursor[_MADE])
        return state, out if made == told else take(out, slice(0, made))


@kernel
def _fold(
    state: L3State,
    known: tuple[I4, I4],
    rows: _Columns,
    cursor: I8,
    out: OrderEvents,
    levels: F8,
    scratch: F8,
) -> None:
    """Take rows from the cursor on; before the last only where room is needed."""
    base, count = known
    kinds, flags, lanes, symbols, side, price, qty, venue_seq, ts_ns, code, reason, order_id = rows
    for i in range(cursor[_AT], kinds.size):
        kind, lane, symbol = kinds[i], lanes[i], symbols[i]
        if kind not in (_BOOK, _STATUS) or (kind == _BOOK and code[i] == 0):
            continue
        if not 0 <= lane < base.size or not 0 <= symbol < count[lane]:
            continue
        k = base[lane] + symbol
        book, m = state.books[k], cursor[_MADE]
        if kind == _STATUS:
            if book.began_ns == 0:
                continue
            _begin_event(state, k, i, side[i], out, m)
            cursor[_MADE] += 1
            if code[i] in (_GAP, _RESYNC, _CHECKSUM_FAIL, _HALTED) and not (
                book.epoch == 0 and reason[i] == _NO_SNAPSHOT
            ):
                lose_orders(book, reason[i])
                out.what[m] |= LOST
            elif book.open == 0:
                _show(state, k, out, m, levels[i], scratch)
            continue
        s = 2 * k + (BID if side[i] > 0 else ASK)
        tight = room_for(state, s, ORDERS_MAX)
        if tight != ENOUGH:
            cursor[_AT], cursor[_TIGHT] = i, tight
            return
        _begin_event(state, k, i, side[i], out, m)
        cursor[_MADE] += 1
        loading, was_synced = flags[i] & _SNAPSHOT != 0, book.synced
        slot = order_of(state, k, order_id[i])
        was_open = slot != NOBODY and state.orders[slot].dead == 0
        if was_open:
            _remember(state, slot, out, m)
        owed = state.orders[slot].owed if was_open else 0.0
        take_order(
            state, k, flags[i], venue_seq[i], ts_ns[i], code[i], side[i], order_id[i], price[i],
            qty[i],
        )  # fmt: skip
        out.ts_ns[m], out.rank[m] = book.now_ns, state.counts[RANK]
        if flags[i] & _LAST:
            end_orders(book)
        if loading or (was_synced and not book.synced):
            out.what[m] = LOST
        elif book.synced:
            _tell(state, k, order_id[i], was_open, code[i], price[i], qty[i], owed, out, m)
        if flags[i] & _LAST and book.synced:
            _show(state, k, out, m, levels[i], scratch)
    cursor[_AT] = kinds.size


@kernel
def _begin_event(state: L3State, k: int, i: int, side: int, out: OrderEvents, m: int) -> None:
    out.at[m], out.k[m], out.side[m] = i, k, 1 if side > 0 else -1
    out.ts_ns[m], out.rank[m] = state.books[k].now_ns, state.counts[RANK]


@kernel
def _remember(state: L3State, slot: int, out: OrderEvents, m: int) -> None:
    """Where an open order stood before the row."""
    order = state.orders[slot]
    out.side[m] = 1 if order.s % 2 == BID else -1
    out.left_px[m], out.left_qty[m] = price_of(order.key, order.s), order.qty
    out.left_first[m], out.left_rank[m] = order.first, order.rank


@kernel
def _tell(
    state: L3State,
    k: int,
    order_id: int,
    was_open: bool,
    action: int,
    price: float,
    qty: float,
    owed: float,
    out: OrderEvents,
    m: int,
) -> None:
    """What the row did: the order before it is in `out`, the one behind it in `state`."""
    slot, what, left = order_of(state, k, order_id), 0, 0.0
    is_open = slot != NOBODY and state.orders[slot].dead == 0
    if was_open:
        left = out.left_qty[m]
        stays = is_open and state.orders[slot].rank == out.left_rank[m]
        if stays:
            left -= state.orders[slot].qty
        what |= 0 if stays else LEFT | GONE
        what |= LEFT if left > 0.0 else 0
    out.left_qty[m] = left
    if is_open and not (was_open and state.orders[slot].rank == out.left_rank[m]):
        order = state.orders[slot]
        what |= JOINED if was_open else JOINED | NEW
        out.joined_px[m], out.joined_qty[m] = price_of(order.key, order.s), order.qty
    filled = owed
    if action == _FILL:
        filled = 0.0  # told, but it stands there until the next row
    elif action == _EXECUTE and was_open:
        filled = min(qty, left)
    elif action in (_EXECUTE, _HIDDEN):  # of an order from before, or never shown
        filled, out.left_px[m] = qty, price
        out.left_rank[m] = _BEHIND_ALL if action == _HIDDEN else 0
    out.filled_qty[m] = filled
    if filled > 0.0 or action == _FILL:
        what |= FILLED
    out.what[m] = what


@kernel
def _show(state: L3State, k: int, out: OrderEvents, m: int, levels: F8, scratch: F8) -> None:
    """The best levels of a book that may be read, if it is known for long enough."""
    book = state.books[k]
    if not book.synced or (
        book.epoch == 0 and book.now_ns - book.began_ns < BEGUN_EMPTY_NS
    ):  # fmt: skip
        return
    out.what[m] |= WHOLE
    bids, asks, pool = state.sides[2 * k + BID], state.sides[2 * k + ASK], state.pool
    if levels.shape[1] > 0:
        order_levels(state, 2 * k + BID, levels[BID_PX], levels[BID_QTY], scratch)
        order_levels(state, 2 * k + ASK, levels[ASK_PX], levels[ASK_QTY], scratch)
    if bids.n > 0 and asks.n > 0 and -pool[KEY, bids.first] >= pool[KEY, asks.first]:
        return
    if bids.n > 0:
        out.bid_px[m] = -pool[KEY, bids.first]
        out.bid_qty[m], out.bid_count[m] = pool[QTY, bids.first], pool[N_ORDERS, bids.first]
        out.bid_age_s[m] = best_age_ns(state, 2 * k + BID) / 1e9
    if asks.n > 0:
        out.ask_px[m] = pool[KEY, asks.first]
        out.ask_qty[m], out.ask_count[m] = pool[QTY, asks.first], pool[N_ORDERS, asks.first]
        out.ask_age_s[m] = best_age_ns(state, 2 * k + ASK) / 1e9
