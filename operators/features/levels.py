"""The best levels of each instrument's book, beside the rows after which it may be read."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from operators.arrays import F8, I4, I8, ArrayOperator, kernel
from operators.features.flow.depth import DEPTH
from operators.features.flow.rows import ASK_PX, ASK_QTY, BID_PX, BID_QTY
from operators.market.books.l2 import (
    AT,
    BOOK,
    DONE,
    LEVELS_MAX,
    NONE,
    STATUS,
    BookColumns,
    L2Books,
    advance,
    book_columns,
)
from operators.market.books.l2_state import BookTerms, L2State, covered, levels
from operators.market.books.sides import ASK, BID
from schemas.instruments import InstrumentArrays
from schemas.rows import MarketRows


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
        columns = book_columns(rows)
        cursor = np.zeros(2, np.int64)
        known = (self._base, self._count)
        while not _fold(state, self._terms, known, columns, cursor, out):
            state = self._books.roomier(state, int(cursor[BOOK]))
        return state, LevelsBlock(out)


@kernel
def _fold(
    state: L2State, terms: BookTerms, known: tuple[I4, I4], rows: BookColumns, cursor: I8, out: F8
) -> bool:
    """Take rows from the cursor on; false where a side needs room before the last."""
    while True:
        told = advance(state, terms, LEVELS_MAX, known, rows, cursor)
        if told not in (DONE, STATUS):
            return bool(told == NONE)
        _show(state, cursor[BOOK], out[cursor[AT] - 1])


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
