"""Momentum: how far the price has left its own exponential mean, in units of volatility."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import ArrayOperator, kernel
from schemas.rows import F8, I4

MEAN_FADE = 1.0 - 0.5 ** (1.0 / 64.0)  # half-life of 64 ticks
GRADIENT_FADE = 1.0 - 0.5 ** (1.0 / 16.0)  # half-life of 16 ticks
SCALE = 8.0  # sqrt(64): volatility per tick to volatility per half-life of the mean
# Sigma forgets a move within 11 ticks, the mean within 64: where quotes stand still for thousands
# of ticks their ratio grows without end (1e117 on a tape of equity quotes). Moving markets: 5.
MOMENTUM_MAX = 8.0


class MomentumPrices(NamedTuple):
    """One row per tick or other market row: what momentum is made of."""

    k: I4  # the instrument's row, or NO_TICK
    log_mid: F8  # ln(mid)
    sigma: F8  # volatility per tick, NaN until known


class MomentumRows(NamedTuple):
    """One row per row in; NaN until known, and where there is no tick."""

    momentum: F8  # (ln(mid) - its mean) / (8 sigma) within -8 .. 8, 0 where sigma is 0
    momentum_gradient: F8  # exponential mean of the change of momentum per tick


class MomentumState(NamedTuple):
    """One entry per instrument, NaN until known."""

    mean: F8  # exponential mean of ln(mid)
    momentum: F8
    gradient: F8


class Momentum(ArrayOperator[MomentumState]):
    """Momentum and its gradient.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.

    Notes
    -----
    In: MomentumPrices. Out: MomentumRows, shape (n,).
    The mean starts at the first ln(mid) and includes the present tick; the gradient starts at the
    first change of momentum.
    Time: ticks, no clock. Chunks: any split of the same rows gives the same bytes.
    State: 24 bytes per instrument. Warm-up: momentum 2 ticks, gradient 3.
    """

    def __init__(self, n_instruments: int) -> None:
        self.n_instruments = n_instruments

    def initial(self) -> MomentumState:
        return MomentumState(*np.full((3, self.n_instruments), np.nan))

    def step(
        self, state: MomentumState, rows: MomentumPrices
    ) -> tuple[MomentumState, MomentumRows]:
        out = MomentumRows(*np.empty((2, rows.k.size)))
        _walk(state, rows, out)
        return state, out


@kernel
def _walk(memory: MomentumState, rows: MomentumPrices, out: MomentumRows) -> None:
    for i in range(rows.k.size):
        out.momentum[i] = out.momentum_gradient[i] = np.nan
        k, x, sigma = rows.k[i], rows.log_mid[i], rows.sigma[i]
        if not 0 <= k < memory.mean.size:
            continue
        mean = memory.mean[k]
        mean = x if math.isnan(mean) else mean + MEAN_FADE * (x - mean)
        memory.mean[k] = mean
        if math.isnan(sigma):
            continue
        momentum = (x - mean) / (sigma * SCALE) if sigma > 0.0 else 0.0
        momentum = min(max(momentum, -MOMENTUM_MAX), MOMENTUM_MAX)
        change = momentum - memory.momentum[k]
        memory.momentum[k] = momentum
        out.momentum[i] = momentum
        if math.isnan(change):  # the first momentum
            continue
        gradient = memory.gradient[k]
        started = not math.isnan(gradient)
        gradient = gradient + GRADIENT_FADE * (change - gradient) if started else change
        memory.gradient[k] = out.momentum_gradient[i] = gradient
