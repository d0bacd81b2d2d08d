"""Books by level: rows of venue messages in, the top of the book after each whole message out."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import F8, I1, I2, I4, I8, U1, U2, ArrayOperator, kernel
from operators.market.books.l2_state import (
    BOOK_FIELDS,
    BookTerms,
    L2State,
    best,
    covered,
    is_whole,
    key_of,
)
from operators.market.books.sides import (
    ASK,
    BID,
    KEY,
    QTY,
    blank_sides,
    clear,
    find,
    insert,
    is_tight,
    remove,
    with_room,
)
from operators.market.books.words import BookReason, BookState
from operators.records import Record, blank_records
from schemas.instruments import InstrumentArrays
from schemas.kinds import Flag, Kind
from schemas.rows import MarketRows, empty, take

LEVELS_MAX = 31_250  # a side: two of them at 16 bytes a level are the budget of 1 MB a book

_BOOK, _STATUS = int(Kind.BOOK), int(Kind.BOOK_STATUS)
_LAST, _SNAPSHOT = int(Flag.MSG_LAST), int(Flag.SNAPSHOT)
_GAP, _RESYNC = int(BookState.GAP), int(BookState.RESYNC)
_CHECKSUM_FAIL, _HALTED = int(BookState.CHECKSUM_FAIL), int(BookState.HALTED)
_NO_SNAPSHOT, _UNFINISHED = int(BookReason.NO_SNAPSHOT), int(BookReason.UNFINISHED)
_BAD_ROW = int(BookReason.BAD_ROW)

MORE, DONE, ROOM = 0, 1, 2  # what `take_level` says
STATUS, NONE = 3, 4  # and `advance` besides
AT, BOOK, _MADE = 0, 1, 2  # a cursor: the next row, the book or side told of, rows made so far


class BookTopRows(NamedTuple):
    """A book after one whole message. Prices and quantities are null where there is none."""

    seq: I8  # of the message's last row, as are the next five
    lane: I2
    symbol: I4
    ts_event_ns: I8
    ts_recv_ns: I8
    venue_seq: I8
    synced: U1  # 0: the book may not be used; then the columns from `crossed` on are null or 0
    reason: U2  # BookReason, why it is not synced
    snapshot: U1  # 1: the message was a snapshot
    epoch: I8  # snapshots taken so far: changes within an epoch follow one another
    crossed: U1  # 1: the best bid is not below the best ask
    bid_px: F8
    bid_qty: F8
    ask_px: F8
    ask_qty: F8
    covered_bid: F8  # prices from here ...
    covered_ask: F8  # ... to here are known; beyond, only what changed since the snapshot
    n_bids: I4  # levels held
    n_asks: I4
    evicted: I8  # levels dropped for want of room since the beginning, both sides


_NOTHING = empty(BookTopRows)  # made once: most calls with one row end no message, and it is 8 us


class L2Books(ArrayOperator[L2State]):
    """Rebuilds the book of every instrument from the rows of its venue's messages.

    Parameters
    ----------
    instruments : InstrumentArrays
        The table; `lane` and `symbol` of a row point into it. Other rows are passed over.
    terms : BookTerms
        What each feed shows of the book.
    levels_max : int, > 0
        Levels a side that are held.

    Notes
    -----
    In: MarketRows; those of kind BOOK are used: side (of the level), price, qty (0 removes it,
    also one that is not there), flags. Out: BookTopRows, one for each of them with MSG_LAST.
    BOOK_STATUS rows say what rows of the book cannot: a message that never reached the log, a wrong
    checksum. GAP, CHECKSUM_FAIL, RESYNC and HALTED leave the book gapped.
    Messages: a book may be read when none is half in it, so changes appear with MSG_LAST. Rows of
    one message share venue_seq, source and the flag SNAPSHOT, and their source_row (where it is not
    -1) has no hole. A row that does not carry on ends the message before: the book is gapped
    (UNFINISHED), and what comes behind a hole is no message either: its beginning may be missing.
    A row with a price or quantity that no level has, without side, or about a single
    order (`code` is an OrderAction: `L3Books` reads those) spoils its message (BAD_ROW). A gapped
    book ignores changes until a snapshot comes, which replaces it.
    Depth: every level is kept. A subscription limited to N levels keeps the best N after each
    message, as the venue does. At `levels_max` the furthest level goes, which `evicted` counts
    and `covered` shows.
    Chunks: any split gives the same bytes. State: 168 bytes a book, and 16 for each of its places,
    256 a side at first, doubled as needed; not less when levels go. Errors: ValueError as above.
    """

    def __init__(
        self, instruments: InstrumentArrays, terms: BookTerms, *, levels_max: int = LEVELS_MAX
    ) -> None:
        if levels_max < 1:
            raise ValueError(f"levels_max must be at least 1, was {levels_max}")
        self._base, self._count = instruments.base, instruments.n_of_lane
        self._terms, self._levels_max = terms, levels_max
        if terms.depth.size != instruments.lane.size:
            raise ValueError(
                f"terms must be those of {instruments.lane.size} instruments, "
                f"not of {terms.depth.size}"
            )

    def initial(self) -> L2State:
        n = self._terms.depth.size
        books = blank_records(BOOK_FIELDS, n)
        books.reason[:] = _NO_SNAPSHOT
        return L2State(books, *blank_sides(n, columns=2))

    def step(self, state: L2State, rows: MarketRows) -> tuple[L2State, BookTopRows]:
        n = int(np.count_nonzero((rows.kind == _BOOK) & (rows.flags & _LAST != 0)))
        out = empty(BookTopRows, n) if n else _NOTHING
        columns = book_columns(rows)
        cursor = np.zeros(3, np.int64)
        known = (self._base, self._count)
        while not _fold(state, self._terms, self._levels_max, known, columns, cursor, out):
            state = self.roomier(state, int(cursor[BOOK]))
        made = int(cursor[_MADE])
        return state, out if made == out.seq.size else take(out, slice(0, made))

    def roomier(self, state: L2State, s: int) -> L2State:
        """The state with more room on side `s`: what a kernel asks for with ROOM."""
        return state._replace(pool=with_room(state.sides, state.pool, s, self._levels_max))


class BookColumns(NamedTuple):
    """The columns of MarketRows that books read: half of them, and a call costs by these."""

    kind: U1
    flags: U1
    lane: I2
    symbol: I4
    side: I1
    price: F8
    qty: F8
    venue_seq: I8
    source: I2
    source_row: I8
    seq: I8
    ts_event_ns: I8
    ts_recv_ns: I8
    code: U1
    reason: U2


def book_columns(rows: MarketRows) -> BookColumns:
    """The same arrays."""
    return BookColumns(
        rows.kind, rows.flags, rows.lane, rows.symbol, rows.side, rows.price, rows.qty,
        rows.venue_seq, rows.source, rows.source_row, rows.seq, rows.ts_event_ns, rows.ts_recv_ns,
        rows.code, rows.reason,
    )  # fmt: skip


@kernel
def lose(book: Record, reason: int) -> None:
    """The book is gapped and waits for a snapshot; also for gaps that only the feed shows."""
    book.synced = book.open = 0
    book.reason = reason


@kernel
def carries_on(book: Record, loading: bool, venue_seq: int, source: int, source_row: int) -> bool:
    """Whether a row can be of the message that the book is in."""
    return bool(
        book.venue_seq == venue_seq
        and book.source == source
        and (book.loading != 0) == loading
        and (source_row < 0 or source_row == book.source_row + 1)
    )


@kernel
def take_level(
    state: L2State,
    terms: BookTerms,
    levels_max: int,
    k: int,
    flags: int,
    side: int,
    price: float,
    qty: float,
    venue_seq: int,
    source: int,
    source_row: int,
) -> int:
    """One row of book `k`.

    Gives MORE inside a message and DONE at its end. ROOM: nothing has changed; call again with the
    state that `L2Books.roomier` makes for the side, 2 * k + BID or ASK.
    """
    book = state.books[k]
    s = 2 * k + (BID if side > 0 else ASK)
    if is_tight(state.sides[s], levels_max):
        return ROOM
    loading = flags & _SNAPSHOT != 0
    headless = False
    if book.open and not carries_on(book, loading, venue_seq, source, source_row):
        if source == book.source and source_row >= 0 and source_row != book.source_row + 1:
            headless = True  # what is missing may be its beginning
        lose(book, _UNFINISHED)
    if not book.open:
        book.open, book.loading = 1, 1 if loading else 0
        book.broken = _UNFINISHED if headless else 0
        book.venue_seq, book.source = venue_seq, source
        if loading:
            clear(state.sides[2 * k + BID])
            clear(state.sides[2 * k + ASK])
    book.source_row = source_row
    if side * side != 1 or not 0.0 < price < math.inf or not 0.0 <= qty < math.inf:
        book.broken = _BAD_ROW
    elif book.synced or loading:
        _put(state, s, key_of(price, s), qty, levels_max)
    if flags & _LAST == 0:
        return MORE
    _finish(state, terms, k)
    return DONE


@kernel
def _put(state: L2State, s: int, key: float, qty: float, levels_max: int) -> None:
    """Set the quantity of a level, make it or remove it."""
    side, pool = state.sides[s], state.pool
    place = find(pool[KEY], side.first, side.n, key)
    if place < side.first + side.n and pool[KEY, place] == key:
        if qty > 0.0:
            pool[QTY, place] = qty
        else:
            remove(side, pool, place)
    elif qty > 0.0:
        full = side.n == levels_max
        if not full or place < side.first + side.n:  # else the new level is the furthest itself
            side.n -= 1 if full else 0
            place = insert(side, pool, place)
            pool[KEY, place], pool[QTY, place] = key, qty
        if full:
            side.evicted += 1
            side.cover = min(side.cover, pool[KEY, side.first + side.n - 1])


@kernel
def _finish(state: L2State, terms: BookTerms, k: int) -> None:
    """The message is whole."""
    book = state.books[k]
    book.open = 0
    if book.broken:
        lose(book, book.broken)
        return
    if book.loading:
        book.synced, book.reason = 1, 0
        book.epoch += 1
    if not book.synced:
        return
    for s in range(2 * k, 2 * k + 2):
        side = state.sides[s]
        if terms.depth[k] > 0:
            side.n = min(side.n, terms.depth[k])
            side.cover = _bound(state, s, terms.depth[k])
        elif book.loading:
            side.cover = min(side.cover, _bound(state, s, terms.snapshot_depth[k]))


@kernel
def _bound(state: L2State, s: int, limit: int) -> float:
    """The key up to which a side is known that shows at most `limit` levels, 0 for all."""
    side = state.sides[s]
    if limit == 0 or side.n < limit:
        return math.inf
    return float(state.pool[KEY, side.first + side.n - 1])


@kernel
def advance(
    state: L2State,
    terms: BookTerms,
    levels_max: int,
    known: tuple[I4, I4],
    rows: BookColumns,
    cursor: I8,
) -> int:
    """Take rows from the cursor on, up to and with one that tells of a book.

    Gives DONE, or STATUS behind a row about a book's state; the book is then cursor[BOOK], the row
    the one before cursor[AT]. NONE: there are no more rows. ROOM: the row at the cursor, and what
    follows it, waits for the state that `L2Books.roomier` makes for the side cursor[BOOK].
    """
    base, count = known
    kinds, lanes, symbols, flags = rows.kind, rows.lane, rows.symbol, rows.flags
    for i in range(cursor[AT], kinds.size):
        kind, lane, symbol = kinds[i], lanes[i], symbols[i]
        if kind not in (_BOOK, _STATUS):
            continue
        if not 0 <= lane < base.size or not 0 <= symbol < count[lane]:
            continue
        k = base[lane] + symbol
        if kind == _STATUS:
            if rows.code[i] in (_GAP, _RESYNC, _CHECKSUM_FAIL, _HALTED):
                lose(state.books[k], rows.reason[i])
            cursor[AT], cursor[BOOK] = i + 1, k
            return STATUS
        price = rows.price[i] if rows.code[i] == 0 else math.nan  # a row about an order: no level
        told = take_level(
            state, terms, levels_max, k, flags[i], rows.side[i], price, rows.qty[i],
            rows.venue_seq[i], rows.source[i], rows.source_row[i],
        )  # fmt: skip
        if told == ROOM:
            cursor[AT], cursor[BOOK] = i, 2 * k + (BID if rows.side[i] > 0 else ASK)
            return ROOM
        if told == DONE:
            cursor[AT], cursor[BOOK] = i + 1, k
            return DONE
    cursor[AT] = kinds.size
    return NONE


@kernel
def _fold(
    state: L2State,
    terms: BookTerms,
    levels_max: int,
    known: tuple[I4, I4],
    rows: BookColumns,
    cursor: I8,
    out: BookTopRows,
) -> bool:
    """Take rows from the cursor on; false where a side needs room before the last."""
    while True:
        told = advance(state, terms, levels_max, known, rows, cursor)
        if told == DONE:
            _emit(state, cursor[BOOK], rows, cursor[AT] - 1, out, cursor[_MADE])
            cursor[_MADE] += 1
        elif told != STATUS:
            return bool(told == NONE)


@kernel
def _emit(state: L2State, k: int, rows: BookColumns, i: int, out: BookTopRows, m: int) -> None:
    book = state.books[k]
    out.seq[m], out.lane[m], out.symbol[m] = rows.seq[i], rows.lane[i], rows.symbol[i]
    out.ts_event_ns[m], out.ts_recv_ns[m] = rows.ts_event_ns[i], rows.ts_recv_ns[i]
    out.venue_seq[m], out.epoch[m], out.reason[m] = rows.venue_seq[i], book.epoch, book.reason
    out.snapshot[m] = book.loading
    out.evicted[m] = state.sides[2 * k + BID].evicted + state.sides[2 * k + ASK].evicted
    if not is_whole(state, k):
        return
    bid_px, bid_qty = best(state, 2 * k + BID)
    ask_px, ask_qty = best(state, 2 * k + ASK)
    out.synced[m], out.crossed[m] = 1, bid_px >= ask_px
    out.bid_px[m], out.bid_qty[m], out.ask_px[m], out.ask_qty[m] = bid_px, bid_qty, ask_px, ask_qty
    out.covered_bid[m] = covered(state, 2 * k + BID)
    out.covered_ask[m] = covered(state, 2 * k + ASK)
    out.n_bids[m], out.n_asks[m] = state.sides[2 * k + BID].n, state.sides[2 * k + ASK].n
