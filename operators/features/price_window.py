"""The last 256 prices: change, standard deviation and the three volatility proxies."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import ArrayOperator, kernel
from operators.features.prices import PriceRows
from schemas.rows import F8, I4, I8

WINDOW = 256  # ticks; also the window of vol_fx
WINDOW_BINARY = 64  # ticks
WINDOW_DEX = 16  # ticks
SLOW_FADE = 1.0 - 0.5 ** (1.0 / 2048.0)  # half-life of 2048 ticks: eight windows
# A sum of squares below this share of its own past peak has lost too many digits and is counted
# anew. It must stay below 1/256, the least that a fresh count can give, or it would never stop.
LOST_SHARE = 1e-3


class WindowRows(NamedTuple):
    """One row per price row; NaN until the window has its ticks, and where there is no tick."""

    window_change: F8  # ln(last / first) of the last 256 ticks
    window_std: F8  # population standard deviation of ln(mid) over them
    window_std_slow: F8  # exponential mean of window_std, half-life 2048 ticks
    vol_fx: F8  # |ln(last / first)| of the last 256 ticks
    vol_binary: F8  # of the last 64
    vol_dex: F8  # of the last 16


class PriceWindowState(NamedTuple):
    """One entry per instrument; sums run over the window, about `anchor`."""

    ring: F8  # (n, 256) ln(mid), tick t at t % 256
    n: I8  # ticks so far
    anchor: F8  # a recent ln(mid): squares of small differences keep their digits
    total: F8  # sum of (x - anchor)
    squares: F8  # sum of (x - anchor) ** 2
    peak: F8  # largest `squares` since it was last counted anew
    slow: F8  # NaN until the window was full once


class PriceWindow(ArrayOperator[PriceWindowState]):
    """Ring of the last 256 log prices per instrument.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.

    Notes
    -----
    In: PriceRows, of which k and log_mid are used. Out: WindowRows, shape (n,).
    Each tick costs O(1): the sums are updated by the tick that comes and the one that goes, and
    counted anew over the ring each time it wraps, and when they have shrunk so far that rounding
    would show. The standard deviation is within 1e-9 of the two-pass value, for ever.
    Time: ticks, no clock. Chunks: any split of the same rows gives the same bytes.
    State: 2096 bytes per instrument. Warm-up: 256 ticks.
    """

    def __init__(self, n_instruments: int) -> None:
        self.n_instruments = n_instruments

    def initial(self) -> PriceWindowState:
        n = self.n_instruments
        zero = np.zeros(n)
        return PriceWindowState(
            ring=np.zeros((n, WINDOW)), n=np.zeros(n, np.int64), anchor=zero, total=zero.copy(),
            squares=zero.copy(), peak=zero.copy(), slow=np.full(n, np.nan),
        )  # fmt: skip

    def step(self, state: PriceWindowState, rows: PriceRows) -> tuple[PriceWindowState, WindowRows]:
        out = WindowRows(*np.empty((len(WindowRows._fields), rows.k.size)))
        _walk(state, rows.k, rows.log_mid, out)
        return state, out


@kernel
def _walk(memory: PriceWindowState, rows_k: I4, log_mid: F8, out: WindowRows) -> None:
    for i in range(rows_k.size):
        out.window_change[i] = out.window_std[i] = out.window_std_slow[i] = np.nan
        out.vol_fx[i] = out.vol_binary[i] = out.vol_dex[i] = np.nan
        k = rows_k[i]
        if not 0 <= k < memory.n.size:
            continue
        x, ring, n = log_mid[i], memory.ring[k], memory.n[k]
        if n == 0:
            memory.anchor[k] = x
        spot = n % WINDOW
        come = x - memory.anchor[k]
        go = ring[spot] - memory.anchor[k] if n >= WINDOW else 0.0
        total = memory.total[k] + (come - go)
        squares = memory.squares[k] + (come * come - go * go)
        ring[spot] = x
        n += 1
        memory.n[k], memory.total[k], memory.squares[k] = n, total, squares
        memory.peak[k] = max(memory.peak[k], squares)
        if n >= WINDOW_DEX:
            out.vol_dex[i] = math.fabs(x - ring[(n - WINDOW_DEX) % WINDOW])
        if n >= WINDOW_BINARY:
            out.vol_binary[i] = math.fabs(x - ring[(n - WINDOW_BINARY) % WINDOW])
        if n < WINDOW:
            continue
        change = x - ring[n % WINDOW]
        spread = squares - total * total / WINDOW
        if spot == WINDOW - 1 or spread < LOST_SHARE * memory.peak[k]:
            spread = _count_anew(memory, k, x)
        std = math.sqrt(max(spread, 0.0) / WINDOW)
        slow = memory.slow[k]
        slow = std if math.isnan(slow) else slow + SLOW_FADE * (std - slow)
        memory.slow[k] = slow
        out.window_change[i], out.vol_fx[i] = change, math.fabs(change)
        out.window_std[i], out.window_std_slow[i] = std, slow


@kernel
def _count_anew(memory: PriceWindowState, k: int, anchor: float) -> float:
    """Sums over the full ring about its newest value; the sum of squares about the mean."""
    ring = memory.ring[k]
    total, squares = 0.0, 0.0
    for j in range(WINDOW):
        d = ring[j] - anchor
        total += d
        squares += d * d
    memory.anchor[k], memory.total[k] = anchor, total
    memory.squares[k] = memory.peak[k] = squares
    return squares - total * total / WINDOW
