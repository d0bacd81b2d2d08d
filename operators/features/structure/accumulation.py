"""Accumulation and distribution: on which side of the bars' ranges the volume closed."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.flow.rows import show, show_nothing
from operators.features.signal import Signal, SignalInput
from operators.features.structure.candles import (
    BAR_NS,
    NONE_OPEN,
    bar_length,
    blank_candles,
    tick,
)
from operators.records import Record, Records, blank_records
from schemas.rows import F8, I4, I8, U1

FAST, SLOW = 3, 10  # bars of the oscillator, Chaikin's own
CHANGES = 20  # of the close, for the efficiency: a third of an hour
# Twenty steps of a random walk have an efficiency of 1 / sqrt(20) = 0.22 or so; above 0.3 the price
# is going somewhere, and volume at the bars' ends follows it rather than prepares a move.
TREND_FROM = 0.3
LINE, OSCILLATOR, EFFICIENCY, ACCUMULATION = 0, 1, 2, 3

LINES = {
    "bars": "<i8",  # with the line, so from the first with volume
    "line": "<f8",
    "fast": "<f8",  # exponential means of the line
    "slow": "<f8",
    "closes": "<i8",  # so far
    "close": f"{CHANGES + 1}<f8",  # the last ones, number n at n % 21
}


class AccumulationState(NamedTuple):
    """One entry per instrument."""

    bar: Records  # the open one
    lines: Records
    held: F8


class Accumulation(Signal[AccumulationState]):
    """Chaikin's accumulation/distribution line and oscillator, and the state of the market.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.
    bar_ns : int, > 0
        Length of a bar, market time.

    Notes
    -----
    In: SignalInput. Out: SignalBlock, about closed bars (those of `Structure`: mids, and traded
    quantity):
    ad_line, instrument's units: the sum of ((close - low) - (high - close)) / (high - low) times
    quantity over all bars since the first one with a trade; a bar without range adds nothing.
    ad_oscillator, the same unit: its exponential mean over 3 bars minus that over 10, both begun at
    the line's first value.
    bar_efficiency, 0 to 1: Kaufman's, the change of the close over 20 bars by the sum of its
    changes' sizes; 0 where there were none.
    accumulation: the sign of the oscillator, +1 accumulation, -1 distribution, while the efficiency
    is below 0.3, and 0 above: a trend is neither.
    Nulls: line and oscillator until there is a trade, so for ever in a market without trades.
    Time: venue time, never backwards. Chunks: any split gives the same bytes.
    State: 310 bytes per instrument. Errors: ValueError if bar_ns is not positive.
    Source: Chaikin's line as in Achelis (2000), Technical Analysis from A to Z; Kaufman (1995),
    Smarter Trading.
    """

    NAMES = ("ad_line", "ad_oscillator", "bar_efficiency", "accumulation")

    def __init__(self, n_instruments: int, *, bar_ns: int = BAR_NS) -> None:
        self.n_instruments = n_instruments
        self.bar_ns = bar_length(bar_ns)

    def initial(self) -> AccumulationState:
        n = self.n_instruments
        return AccumulationState(
            blank_candles(n), blank_records(LINES, n), np.full((n, len(self.NAMES)), np.nan)
        )

    def fill(self, state: AccumulationState, rows: SignalInput, values: F8, columns: I8) -> None:
        flow = rows.flow
        _walk(
            state, self.bar_ns, rows.k, flow.k, flow.event, flow.ts_ns, flow.mid, flow.qty,
            values, columns,
        )  # fmt: skip


@kernel
def _walk(
    state: AccumulationState, bar_ns: int, rows_k: I4, flow_k: I4, event: U1, ts_ns: I8, mid: F8,
    qty: F8, values: F8, columns: I8,
) -> None:  # fmt: skip
    held = state.held
    for i in range(rows_k.size):
        k = rows_k[i]
        if not 0 <= k < held.shape[0]:
            show_nothing(values, i, columns)
            continue
        if flow_k[i] == k:
            bar = state.bar[k]
            if ts_ns[i] >= bar.end_ns:
                _close(bar, state.lines[k], held[k])
                bar.end_ns = NONE_OPEN
            tick(bar, bar_ns, ts_ns[i], event[i], mid[i], qty[i])
        show(values, i, columns, held, k)


@kernel
def _close(bar: Record, lines: Record, held: F8) -> None:
    if lines.bars > 0 or bar.qty > 0.0:
        _add_volume(bar, lines)
        held[LINE] = lines.line
        if lines.bars >= SLOW:
            held[OSCILLATOR] = lines.fast - lines.slow
    held[EFFICIENCY] = _efficiency(lines, bar.close)
    if held[EFFICIENCY] >= TREND_FROM:
        held[ACCUMULATION] = held[OSCILLATOR] * 0.0  # NaN stays
    else:
        held[ACCUMULATION] = np.sign(held[OSCILLATOR]) + held[EFFICIENCY] * 0.0


@kernel
def _add_volume(bar: Record, lines: Record) -> None:
    if bar.high > bar.low:
        lines.line += (
            ((bar.close - bar.low) - (bar.high - bar.close)) / (bar.high - bar.low) * bar.qty
        )
    if lines.bars == 0:
        lines.fast = lines.slow = lines.line
    lines.fast += 2.0 / (FAST + 1) * (lines.line - lines.fast)
    lines.slow += 2.0 / (SLOW + 1) * (lines.line - lines.slow)
    lines.bars += 1


@kernel
def _efficiency(lines: Record, close: float) -> float:
    """Take the next close."""
    n = lines.closes
    lines.close[n % (CHANGES + 1)] = close
    lines.closes += 1
    if n < CHANGES:
        return np.nan
    path = 0.0
    for j in range(n - CHANGES, n):
        path += math.fabs(lines.close[(j + 1) % (CHANGES + 1)] - lines.close[j % (CHANGES + 1)])
    change = math.fabs(close - lines.close[(n - CHANGES) % (CHANGES + 1)])
    return change / path if path > 0.0 else 0.0
