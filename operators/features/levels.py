"""The best levels of each instrument's book, beside the rows after which it may be read."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from operators.arrays import F8, I4, I8, ArrayOperator, kernel
from operators.features.flow.depth import DEPTH
from operators.features.flow.rows import ASK_PX, ASK_QTY, BID_PX, BID_QTY
from operators.market.books.l2 import (
    DONE,
    LEVELS_MAX,
    ROOM,
    BookColumns,
    L2Books,
    lose,
    take_level,
)
from operators.market.books.l2_state import BookTerms, L2State, covered, levels
from operators.market.books.sides import ASK, BID
from operators.market.books.words import BookState
from schemas.instruments import InstrumentArrays
from schemas.kinds import Kind
from schemas.rows import MarketRows

_BOOK, _STATUS = int(Kind.BOOK), int(Kind.BOOK_STATUS)
_GAP, _RESYNC = int(BookState.GAP), int(BookState.RESYNC)
_CHECKSUM_FAIL, _HALTED = int(BookState.CHECKSUM_FAIL), int(BookState.HALTED)
_AT, _TIGHT = 0, 1  # a cursor: the next row, the side that needs room


class LevelsBlock(NamedTuple):
    """What `operators.features.flow.events.flow_input` takes as levels."""

    levels: F8  # (n, 4, DEPTH): BID_PX, BID_QTY, ASK_PX, ASK_QTY, the best first; NaN: not known


def cut_books(depth: Sequence[int]) -> BookTerms:
    """Books of whose snapshots only the range is known: what lies beyond may be missing in them.

    Parameters
    ----------
    depth : sequence of int
        Per instrument the levels a side that its subscription is cut to; 0: not cut.
    """
    return BookTerms(np.array(depth, np.int64), np.ones(len(depth), np.int64))


class BookLevels(ArrayOperator[L2State]):
    """Rebuilds books and shows their best levels.

    Parameters
    ----------
    instruments : InstrumentArrays
        The table; `lane` and `symbol` of a row point into it. Other rows are passed over.
    terms : BookTerms
        What each feed shows of the book.

    Notes
    -----
    In: MarketRows. Out: LevelsBlock, one row for each; known are those of BOOK rows with MSG_LAST
    and of BOOK_STATUS rows. A level is NaN where the book has none there, where it lies beyond
    what the feed covers, and where the book may not be used (`L2Books`, whose kernel this is).
    Chunks: any split gives the same bytes. State: as that of `L2Books`.
    """

    def __init__(self, instruments: InstrumentArrays, terms: BookTerms) -> None:
        self._books = L2Books(instruments, terms)
        self._base, self._count = instruments.base, instruments.n_of_lane
        self._terms = terms

    def initial(self) -> L2State:
        return self._books.initial()

    def step(self, state: L2State, rows: MarketRows) -> tuple[L2State, LevelsBlock]:
        out = np.full((rows.seq.size, 4, DEPTH), np.nan)
        columns = BookColumns(
            rows.kind, rows.flags, rows.lane, rows.symbol, rows.side, rows.price, rows.qty,
            rows.venue_seq, rows.source, rows.source_row, rows.seq, rows.ts_event_ns,
            rows.ts_recv_ns, rows.code, rows.reason,
        )  # fmt: skip
        cursor = np.zeros(2, np.int64)
        known = (self._base, self._count)
        while True:
            _fold(state, self._terms, known, columns, cursor, out)
            if cursor[_AT] == rows.seq.size:
                return state, LevelsBlock(out)
            state = self._books.roomier(state, int(cursor[_TIGHT]))


@kernel
def _fold(
    state: L2State, terms: BookTerms, known: tuple[I4, I4], rows: BookColumns, cursor: I8, out: F8
) -> None:
    """Take rows from the cursor on; before the last only where a side needs room."""
    base, count = known
    kinds, lanes, symbols, flags = rows.kind, rows.lane, rows.symbol, rows.flags
    for i in range(cursor[_AT], kinds.size):
        kind, lane, symbol = kinds[i], lanes[i], symbols[i]
        if kind not in (_BOOK, _STATUS):
            continue
        if not 0 <= lane < base.size or not 0 <= symbol < count[lane]:
            continue
        k = base[lane] + symbol
        if kind == _STATUS:
            if rows.code[i] in (_GAP, _RESYNC, _CHECKSUM_FAIL, _HALTED):
                lose(state.books[k], rows.reason[i])
            _show(state, k, out[i])
            continue
        price = rows.price[i] if rows.code[i] == 0 else np.nan  # a row about an order: no level
        told = take_level(
            state, terms, LEVELS_MAX, k, flags[i], rows.side[i], price, rows.qty[i],
            rows.venue_seq[i], rows.source[i], rows.source_row[i],
        )  # fmt: skip
        if told == ROOM:
            cursor[_AT], cursor[_TIGHT] = i, 2 * k + (BID if rows.side[i] > 0 else ASK)
            return
        if told == DONE:
            _show(state, k, out[i])
    cursor[_AT] = kinds.size


@kernel
def _show(state: L2State, k: int, out: F8) -> None:
    """The best levels of a book, as far as its feed covers them."""
    levels(state, 2 * k + BID, out[BID_PX], out[BID_QTY])
    levels(state, 2 * k + ASK, out[ASK_PX], out[ASK_QTY])
    lowest, highest = covered(state, 2 * k + BID), covered(state, 2 * k + ASK)
    for level in range(out.shape[1]):
        if out[BID_PX, level] < lowest:
            out[BID_PX, level] = out[BID_QTY, level] = np.nan
        if out[ASK_PX, level] > highest:
            out[ASK_PX, level] = out[ASK_QTY, level] = np.nan
