"""Confirmed swings (ZigZag): turning points that a reversal of 3 ATR has proven."""

from typing import NamedTuple

import numpy as np

from operators.arrays import ArrayOperator, inlined, kernel
from schemas.rows import F8, I1, I4, I8

REVERSAL_ATR = 3.0  # below 2 the spread alone makes swings; above 4 a day of FX has a handful
UNKNOWN, DOWN, UP = 0, -1, 1


class SwingPrices(NamedTuple):
    """One row per tick or other market row: what swings are made of."""

    k: I4  # the instrument's row, or NO_TICK
    ts_event_ns: I8  # venue clock
    mid: F8  # quote units
    atr: F8  # quote units, NaN until known


class SwingRows(NamedTuple):
    """One row per row in; quote units; NaN until known, and where there is no tick."""

    pivot_px: F8  # last confirmed swing
    pivot_before_px: F8  # the swing before it
    swing_extreme_px: F8  # furthest price since pivot_px


class SwingsState(NamedTuple):
    """One entry per instrument, NaN and 0 until known.

    While the leg is UNKNOWN the first high and the first low are both candidates; later only the
    one that the leg runs to. `high_back` is the lowest price since `high`, `low_back` the highest
    since `low`: where the next leg starts once the candidate is confirmed.
    """

    leg: I1  # UNKNOWN, DOWN (the last pivot is a high) or UP
    high: F8
    high_ns: I8  # venue time of `high`
    high_back: F8
    high_back_ns: I8
    low: F8
    low_ns: I8
    low_back: F8
    low_back_ns: I8
    pivot: F8
    pivot_ns: I8  # venue time at which the price was there
    confirmed_ns: I8  # venue time at which that was known: act on this one only
    pivot_before: F8


class Swings(ArrayOperator[SwingsState]):
    """Alternating high and low pivots, each confirmed by a reversal of at least 3 ATR.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.

    Notes
    -----
    In: SwingPrices. Out: SwingRows, shape (n,).
    A leg runs to its furthest price (the earliest tick that reached it). A tick whose mid lies 3
    ATR or more, as the ATR then is, from that price confirms it as a pivot and starts the opposite
    leg at the furthest price since. At most one pivot per tick; where the first high and the first
    low are proven by the same tick, the earlier one is taken. A pivot is never moved or withdrawn.
    Nulls: no pivot while the ATR is unknown or 0; extremes are followed all the same.
    Time: rows in log order; venue times are kept, not compared (but for the first pivot).
    Chunks: any split of the same rows gives the same bytes. State: 97 bytes per instrument.
    """

    def __init__(self, n_instruments: int) -> None:
        self.n_instruments = n_instruments

    def initial(self) -> SwingsState:
        n = self.n_instruments
        price = iter(np.full((6, n), np.nan))
        time_ns = iter(np.zeros((6, n), np.int64))
        return SwingsState(
            leg=np.zeros(n, np.int8),
            high=next(price), high_ns=next(time_ns),
            high_back=next(price), high_back_ns=next(time_ns),
            low=next(price), low_ns=next(time_ns),
            low_back=next(price), low_back_ns=next(time_ns),
            pivot=next(price), pivot_ns=next(time_ns), confirmed_ns=next(time_ns),
            pivot_before=next(price),
        )  # fmt: skip

    def step(self, state: SwingsState, rows: SwingPrices) -> tuple[SwingsState, SwingRows]:
        out = SwingRows(*np.empty((3, rows.k.size)))
        _walk(state, rows, out)
        return state, out


@inlined
def follow(m: SwingsState, k: int, t: int, x: float, atr: float) -> bool:
    """Take the next price of instrument `k`; True where it proves a pivot."""
    if m.leg[k] != DOWN:
        if not x <= m.high[k]:  # a new high, or the first tick
            m.high[k], m.high_ns[k] = x, t
            m.high_back[k], m.high_back_ns[k] = x, t
        elif x < m.high_back[k]:
            m.high_back[k], m.high_back_ns[k] = x, t
    if m.leg[k] != UP:
        if not x >= m.low[k]:
            m.low[k], m.low_ns[k] = x, t
            m.low_back[k], m.low_back_ns[k] = x, t
        elif x > m.low_back[k]:
            m.low_back[k], m.low_back_ns[k] = x, t
    reversal = REVERSAL_ATR * atr
    proven = False
    if reversal > 0.0:
        high_proven = m.leg[k] != DOWN and m.high[k] - x >= reversal
        low_proven = m.leg[k] != UP and x - m.low[k] >= reversal
        if high_proven and (not low_proven or m.high_ns[k] <= m.low_ns[k]):
            proven = True
            m.pivot_before[k] = m.pivot[k]
            m.pivot[k], m.pivot_ns[k], m.confirmed_ns[k] = m.high[k], m.high_ns[k], t
            m.leg[k] = DOWN
            m.low[k], m.low_ns[k] = m.high_back[k], m.high_back_ns[k]
            m.low_back[k], m.low_back_ns[k] = x, t
        elif low_proven:
            proven = True
            m.pivot_before[k] = m.pivot[k]
            m.pivot[k], m.pivot_ns[k], m.confirmed_ns[k] = m.low[k], m.low_ns[k], t
            m.leg[k] = UP
            m.high[k], m.high_ns[k] = m.low_back[k], m.low_back_ns[k]
            m.high_back[k], m.high_back_ns[k] = x, t
    return proven


@kernel
def _walk(m: SwingsState, rows: SwingPrices, out: SwingRows) -> None:
    for i in range(rows.k.size):
        out.pivot_px[i] = out.pivot_before_px[i] = out.swing_extreme_px[i] = np.nan
        k, t, x = rows.k[i], rows.ts_event_ns[i], rows.mid[i]
        if not 0 <= k < m.leg.size:
            continue
        follow(m, k, t, x, rows.atr[i])
        if m.leg[k] != UNKNOWN:
            out.pivot_px[i], out.pivot_before_px[i] = m.pivot[k], m.pivot_before[k]
            out.swing_extreme_px[i] = m.low[k] if m.leg[k] == DOWN else m.high[k]
