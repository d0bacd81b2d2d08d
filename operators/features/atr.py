"""Average true range of closed bars."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import ArrayOperator, inlined, kernel
from operators.features.bars import BarRows
from schemas.rows import F8, I8

PERIOD = 14  # bars, Wilder's own


class AtrRows(NamedTuple):
    """One row per bar row; NaN until 15 bars have closed, and where there is no tick."""

    atr: F8  # quote units, of the bars that have closed so far


class AtrState(NamedTuple):
    """One entry per instrument."""

    close: F8  # of the bar before, NaN until one has closed
    n: I8  # true ranges so far
    mean: F8  # quote units; their sum while there are fewer than 14


class Atr(ArrayOperator[AtrState]):
    """Wilder's average true range, 14 bars.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.

    Notes
    -----
    In: BarRows. Out: AtrRows, shape (n,).
    TR = max(high, close before) - min(low, close before), so the first bar has none. The first
    average is the mean of 14 true ranges, then (13 * average + TR) / 14.
    Time: closed bars only; the open bar has no say.
    Chunks: any split of the same rows gives the same bytes. State: 24 bytes per instrument.
    Source: Wilder (1978), New Concepts in Technical Trading Systems.
    """

    def __init__(self, n_instruments: int) -> None:
        self.n_instruments = n_instruments

    def initial(self) -> AtrState:
        n = self.n_instruments
        return AtrState(np.full(n, np.nan), np.zeros(n, np.int64), np.zeros(n))

    def step(self, state: AtrState, rows: BarRows) -> tuple[AtrState, AtrRows]:
        out = AtrRows(np.empty(rows.k.size))
        _walk(state, rows, out.atr)
        return state, out


@inlined
def add_bar(memory: AtrState, k: int, high: float, low: float, close: float) -> None:
    """Take the next closed bar of instrument `k`."""
    before = memory.close[k]
    memory.close[k] = close
    if not math.isnan(before):
        true_range = max(high, before) - min(low, before)
        n = memory.n[k] = memory.n[k] + 1
        if n < PERIOD:
            memory.mean[k] += true_range
        elif n == PERIOD:
            memory.mean[k] = (memory.mean[k] + true_range) / PERIOD
        else:
            memory.mean[k] = ((PERIOD - 1) * memory.mean[k] + true_range) / PERIOD


@inlined
def atr_now(memory: AtrState, k: int) -> float:
    """Quote units; NaN until 15 bars have closed."""
    return memory.mean[k] if memory.n[k] >= PERIOD else np.nan


@kernel
def _walk(memory: AtrState, rows: BarRows, atr: F8) -> None:
    for i in range(atr.size):
        atr[i] = np.nan
        k = rows.k[i]
        if not 0 <= k < memory.n.size:
            continue
        if rows.closed[i]:
            add_bar(memory, k, rows.high[i], rows.low[i], rows.close[i])
        atr[i] = atr_now(memory, k)
