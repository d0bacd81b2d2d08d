"""What volume does to the price: Kyle's lambda and Amihud's illiquidity, over bars of 10 s."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.flow.regression import (
    Regression,
    add_point,
    blank_regression,
    slope,
    slope_error,
)
from operators.features.flow.rows import TOP, TRADE, FlowFeature, FlowRows, show, show_nothing
from schemas.rows import F8, I8

BAR_NS = 10_000_000_000
HALF_LIFE_BARS = 180.0  # 30 min of bars, for lambda
AMIHUD_HALF_LIFE_BARS = 8640.0  # a day of bars
BARS_MIN = 30  # bars before either is shown: 5 min
LAMBDA, ERROR, AMIHUD = 0, 1, 2
PER_MILLION_BPS = 1e10  # |ln return| per quote unit to basis points per million of them


class ImpactState(NamedTuple):
    """One entry per instrument."""

    bar: I8  # number of the open bar
    mid: F8  # last mid so far, quote units
    open_mid: F8  # last mid of the bar before; NaN in the first
    signed: F8  # volume of the open bar, buys minus sells
    notional: F8  # of all trades of it, quote units
    line: Regression  # change of the mid on signed volume
    bars: I8  # (instruments, 2) bars in lambda and in Amihud's mean
    amihud: F8  # exponential mean so far
    amihud_weight: F8
    held: F8


class Impact(FlowFeature[ImpactState]):
    """Kyle's lambda with its standard error, and Amihud's illiquidity.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.
    half_life_bars : float
        Bars after which a bar counts half in lambda; math.inf forgets nothing.

    Notes
    -----
    In: FlowRows. Out: FlowBlock of kyle_lambda, the slope of the bar's change of the mid on its
    signed volume (quote units per instrument's unit), and kyle_lambda_error; amihud_bps, the
    exponential mean of |ln return| per notional, basis points per million quote units.
    A bar is 10 s of market time and closes with the first quote or trade after it; its change goes
    from the last mid before it to its last. Spans without either make no bar. Lambda takes each
    bar, Amihud those with trades, half-life 8640 bars.
    Nulls: until 30 such bars; bars without a mid at either end count for nothing. Lambda also while
    every bar has the same volume. Both are associations: what moves price also calls for volume.
    Time: venue time. Chunks: any split gives the same bytes. State: 152 bytes per instrument.
    Errors: ValueError if half_life_bars is not positive.
    Source: Kyle (1985), Continuous Auctions and Insider Trading; Amihud (2002), Illiquidity and
    Stock Returns.
    """

    NAMES = ("kyle_lambda", "kyle_lambda_error", "amihud_bps")

    def __init__(self, n_instruments: int, *, half_life_bars: float = HALF_LIFE_BARS) -> None:
        if not half_life_bars > 0.0:
            raise ValueError(f"half_life_bars must be positive, was {half_life_bars}")
        self.n_instruments = n_instruments
        self._fade = 0.5 ** (1.0 / half_life_bars)

    def initial(self) -> ImpactState:
        n = self.n_instruments
        nan, zero = np.full(n, np.nan), np.zeros(n)
        return ImpactState(
            bar=np.zeros(n, np.int64), mid=nan, open_mid=nan.copy(), signed=zero,
            notional=zero.copy(), line=blank_regression(n), bars=np.zeros((n, 2), np.int64),
            amihud=zero.copy(), amihud_weight=zero.copy(),
            held=np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: ImpactState, rows: FlowRows, values: F8, columns: I8) -> None:
        _walk(state, self._fade, rows, values, columns)


_AMIHUD_FADE = 0.5 ** (1.0 / AMIHUD_HALF_LIFE_BARS)


@kernel
def _close(memory: ImpactState, k: int, fade: float) -> None:
    held, change = memory.held[k], memory.mid[k] - memory.open_mid[k]
    if not np.isnan(change):
        add_point(memory.line, k, fade, memory.signed[k], change)
        memory.bars[k, 0] += 1
        if memory.bars[k, 0] >= BARS_MIN:
            held[LAMBDA], held[ERROR] = slope(memory.line, k), slope_error(memory.line, k)
    if not np.isnan(change) and memory.notional[k] > 0.0:
        moved = math.fabs(math.log(memory.mid[k] / memory.open_mid[k]))
        found = moved / memory.notional[k] * PER_MILLION_BPS
        weight = _AMIHUD_FADE * memory.amihud_weight[k] + 1.0
        memory.amihud_weight[k] = weight
        memory.bars[k, 1] += 1
        memory.amihud[k] += (found - memory.amihud[k]) / weight
        if memory.bars[k, 1] >= BARS_MIN:
            held[AMIHUD] = memory.amihud[k]


@kernel
def _walk(memory: ImpactState, fade: float, rows: FlowRows, values: F8, columns: I8) -> None:
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < memory.bar.size:
            show_nothing(values, i, columns)
            continue
        bar = rows.ts_ns[i] // BAR_NS
        if bar != memory.bar[k] and rows.event[i] & (TRADE | TOP):
            _close(memory, k, fade)
            memory.bar[k], memory.open_mid[k] = bar, memory.mid[k]
            memory.signed[k] = memory.notional[k] = 0.0
        if not np.isnan(rows.mid[i]):
            memory.mid[k] = rows.mid[i]
        if rows.event[i] & TRADE:
            memory.signed[k] += rows.sign[i] * rows.qty[i]
            memory.notional[k] += rows.notional[i]
        show(values, i, columns, memory.held, k)
