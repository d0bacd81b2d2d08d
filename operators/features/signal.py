"""What every feature of the market layer reads and writes: market rows in, held values out."""

from typing import NamedTuple, TypeVar

import numpy as np

from operators.arrays import ArrayOperator
from operators.features.flow.rows import FlowRows
from operators.features.orders.events import NO_EVENTS, OrderEvents
from schemas.rows import F8, I4, I8, MarketRows


class SignalInput(NamedTuple):
    """Rows of the log, and what the operators before have made of them, one for one."""

    market: MarketRows
    k: I4  # the row's instrument in the table, of any market data; NO_INSTRUMENT for other rows
    flow: FlowRows  # trades, quotes and books as flow; its own `k` is NO_INSTRUMENT elsewhere
    orders: OrderEvents = NO_EVENTS  # what rows about single orders did; `at` counts market rows


class SignalBlock(NamedTuple):
    """One row of float64 values per market row: columns are the names of the operator."""

    values: F8  # (n, features), C-contiguous; NaN is null


A = TypeVar("A", bound=tuple[object, ...])


class Signal(ArrayOperator[A]):
    """An operator that knows the present values of its features for each instrument.

    Every row with an instrument shows all of them as of that row, others show NaN. So a state has
    the present values, `held`, shape (instruments, features); `fill` writes those columns that are
    wanted, usually by `show` and `show_nothing` of `operators.features.flow.rows`.
    """

    NAMES: tuple[str, ...]

    def step(self, state: A, rows: SignalInput) -> tuple[A, SignalBlock]:
        values = np.empty((rows.k.size, len(self.NAMES)))
        self.fill(state, rows, values, np.arange(len(self.NAMES)))
        return state, SignalBlock(values)

    def fill(self, state: A, rows: SignalInput, values: F8, columns: I8) -> None:
        """Change the state by these rows; feature j goes to column `columns[j]`, not if < 0."""
        raise TypeError(f"{type(self).__name__} must say how it is computed")
