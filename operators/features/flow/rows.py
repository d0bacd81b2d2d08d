"""What every order-flow feature reads and writes: one flow row and one row of values each."""

from typing import NamedTuple, TypeVar

import numpy as np

from operators.arrays import ArrayOperator, inlined
from schemas.rows import F8, I4, I8, U1

NONE, TRADE, TOP, LEVELS = 0, 1, 2, 4  # bits of `event`
BID_PX, BID_QTY, ASK_PX, ASK_QTY = 0, 1, 2, 3  # second axis of `levels`
NO_INSTRUMENT = -1  # `k` of a row that is not about an instrument's flow


class FlowRows(NamedTuple):
    """One row per market row. Where `k` is NO_INSTRUMENT no feature may change its state."""

    k: I4  # the instrument's row in the instrument table, or NO_INSTRUMENT
    event: U1  # TRADE, TOP (the best quote was told), LEVELS (a book message ended), or both
    ts_ns: I8  # venue clock, never before the instrument's row before
    price: F8  # of the trade, quote units; NaN where there is none
    qty: F8  # of the trade, instrument's units
    sign: F8  # of the trade: +1 the buyer was the aggressor, -1 the seller, 0 not known
    notional: F8  # of the trade, quote units
    bid_px: F8  # best quote as of this row, quote units; NaN unless bid and ask are known
    bid_qty: F8  # NaN where the quote has no size
    ask_px: F8
    ask_qty: F8
    mid: F8  # of that quote; the last trade's price in a market without quotes
    levels: F8  # (n, 4, levels) the book where `event` has LEVELS: BID_PX, ...; NaN: not known


class FlowBlock(NamedTuple):
    """One row of float64 values per flow row: columns are the names of the operator."""

    values: F8  # (n, features), C-contiguous; NaN is null


def mask(excluded: U1 | None, n: int) -> U1:
    """The mask of excluded instruments, none by default. ValueError if it has another shape."""
    if excluded is None:
        return np.zeros(n, np.uint8)
    if excluded.shape != (n,):
        raise ValueError(f"excluded must be ({n},), was {excluded.shape}")
    return excluded


A = TypeVar("A", bound=tuple[object, ...])


class FlowFeature(ArrayOperator[A]):
    """An operator that knows the present values of its features for each instrument.

    Every row with an instrument shows all of them as of that row, others show NaN. So a state has
    the present values, `held`, shape (instruments, features); `fill` writes those columns that are
    wanted.
    """

    NAMES: tuple[str, ...]

    def step(self, state: A, rows: FlowRows) -> tuple[A, FlowBlock]:
        values = np.empty((rows.k.size, len(self.NAMES)))
        self.fill(state, rows, values, np.arange(len(self.NAMES)))
        return state, FlowBlock(values)

    def fill(self, state: A, rows: FlowRows, values: F8, columns: I8) -> None:
        """Change the state by these rows; feature j goes to column `columns[j]`, not if < 0."""
        raise TypeError(f"{type(self).__name__} must say how it is computed")


@inlined
def show(values: F8, i: int, columns: I8, held: F8, k: int) -> None:
    """Row `i` gets what instrument `k` has now."""
    for j in range(columns.size):
        if columns[j] >= 0:
            values[i, columns[j]] = held[k, j]


@inlined
def show_nothing(values: F8, i: int, columns: I8) -> None:
    """Row `i` is about no instrument."""
    for j in range(columns.size):
        if columns[j] >= 0:
            values[i, columns[j]] = np.nan
