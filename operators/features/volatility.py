"""Volatility per tick: the exponentially weighted mean of squared log returns."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import ArrayOperator, kernel
from operators.features.prices import PriceRows
from schemas.rows import F8, I4

LAMBDA = 0.94  # RiskMetrics' daily value, here per tick: half-life 11.2 ticks


class VolatilityRows(NamedTuple):
    """One row per price row; NaN at the first tick and where there is no tick."""

    log_return: F8  # ln(mid / mid before)
    sigma: F8  # EWMA volatility per tick


class VolatilityState(NamedTuple):
    """One entry per instrument, NaN until known."""

    log_mid: F8
    variance: F8


class Volatility(ArrayOperator[VolatilityState]):
    """RiskMetrics volatility of the log returns from tick to tick.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.

    Notes
    -----
    In: PriceRows, of which k and log_mid are used. Out: VolatilityRows, shape (n,).
    The variance starts at the first return squared, then v = 0.94 v + 0.06 r^2 (no mean is taken).
    Time: ticks, no clock. Chunks: any split of the same rows gives the same bytes.
    State: 16 bytes per instrument. Warm-up: 2 ticks.
    Source: J.P. Morgan/Reuters (1996), RiskMetrics Technical Document, section 5.2.
    """

    def __init__(self, n_instruments: int) -> None:
        self.n_instruments = n_instruments

    def initial(self) -> VolatilityState:
        return VolatilityState(*np.full((2, self.n_instruments), np.nan))

    def step(
        self, state: VolatilityState, rows: PriceRows
    ) -> tuple[VolatilityState, VolatilityRows]:
        out = VolatilityRows(*np.empty((2, rows.k.size)))
        _walk(state, rows.k, rows.log_mid, out)
        return state, out


@kernel
def _walk(memory: VolatilityState, rows_k: I4, log_mid: F8, out: VolatilityRows) -> None:
    for i in range(rows_k.size):
        out.log_return[i] = out.sigma[i] = np.nan
        k = rows_k[i]
        if not 0 <= k < memory.log_mid.size:
            continue
        step = log_mid[i] - memory.log_mid[k]
        memory.log_mid[k] = log_mid[i]
        if math.isnan(step):  # the first tick
            continue
        square, variance = step * step, memory.variance[k]
        started = not math.isnan(variance)
        variance = LAMBDA * variance + (1.0 - LAMBDA) * square if started else square
        memory.variance[k] = variance
        out.log_return[i], out.sigma[i] = step, math.sqrt(variance)
