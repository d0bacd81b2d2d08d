"""How likely a resting order is filled: the rate of trades by distance, and the mid's reach."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.flow.rows import TOP, TRADE, FlowFeature, FlowRows, show, show_nothing
from schemas.rows import F8, I8

BAR_NS = 10_000_000_000  # the curve is fitted anew after each
BAR_S = BAR_NS / 1e9
BINS = 10  # distances from the mid: 0, STEP_BPS, 2 STEP_BPS, ...
STEP_BPS = 0.25
BINS_MIN = 3  # with trades, for a line
FADE = 0.5 ** (1.0 / 180.0)  # half-life of 180 bars: 30 min
_LOG_FADE = math.log(FADE)
BARS_MIN = 6  # a minute
SECOND_NS = 1_000_000_000
VARIANCE_FADE = 0.5 ** (1.0 / 300.0)  # half-life of 300 s
CHANGES_MIN = 60
TOUCH_S = 10.0  # horizon of fill_touch
RATE, DECAY, TOUCH = 0, 1, 2


class FillsState(NamedTuple):
    """One entry per instrument."""

    bar: I8  # number of the open bar
    bars: I8  # closed so far
    reached: F8  # (instruments, BINS) trades that reached each distance, fading by bars
    open_reached: F8  # (instruments, BINS) of the open bar
    span_s: F8  # market time behind `reached`, fading alike
    second: I8  # number of the present second
    sampled: I8  # number of the second that `sample` ended
    sample: F8  # last mid of that second, NaN before the first
    mid: F8  # last mid so far
    changes: I8  # of the mid from second to second
    weight: F8  # seconds in `variance`, fading
    variance: F8  # mean squared change per second, quote units squared
    held: F8


class Fills(FlowFeature[FillsState]):
    """The fill rate A exp(-k distance) and the chance that the mid reaches the best quote.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.

    Notes
    -----
    In: FlowRows. Out: FlowBlock of fill_rate, A, per second and side, and fill_decay, k, per bp:
    the least-squares line through the logarithm of how often trades reach 0, 0.25, ... 2.25 bps
    from the mid on the aggressor's side, where any do. Both sides count for one curve, fitted after
    each bar of 10 s of market time; half-life 180 bars, quiet ones among them.
    fill_touch: the probability that the mid, a Brownian motion, moves by half the quoted spread to
    a given side within 10 s, 2 Phi(-delta / (sigma sqrt T)); sigma from changes of the mid between
    seconds with quotes, half-life 300 of them.
    The place in the queue is not known here, and a sweep counts once for each of its prints.
    Nulls: the first two until 6 bars and while fewer than 3 distances have been reached; fill_touch
    until 60 changes, and where there is no quote.
    Time: venue time. Chunks: any split gives the same bytes. State: 264 bytes per instrument.
    Source: Avellaneda, Stoikov (2008), High-frequency Trading in a Limit Order Book, for the curve.
    """

    NAMES = ("fill_rate", "fill_decay", "fill_touch")

    def __init__(self, n_instruments: int) -> None:
        self.n_instruments = n_instruments

    def initial(self) -> FillsState:
        n = self.n_instruments
        nan, zero, count = np.full(n, np.nan), np.zeros(n), np.zeros(n, np.int64)
        return FillsState(
            bar=count, bars=count.copy(), reached=np.zeros((n, BINS)),
            open_reached=np.zeros((n, BINS)), span_s=zero, second=count.copy(),
            sampled=count.copy(), sample=nan, mid=nan.copy(), changes=count.copy(),
            weight=zero.copy(), variance=zero.copy(), held=np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: FillsState, rows: FlowRows, values: F8, columns: I8) -> None:
        _walk(state, rows, values, columns)


@kernel
def touch_probability(delta: float, sigma: float, horizon_s: float) -> float:
    """That a Brownian motion of `sigma` per root second reaches `delta` within the horizon."""
    if delta <= 0.0 or sigma <= 0.0:
        return 1.0 if delta <= 0.0 else 0.0
    return math.erfc(delta / (sigma * math.sqrt(2.0 * horizon_s)))


@kernel
def _close_bar(memory: FillsState, k: int, bar: int) -> None:
    """Take in the open bar and the quiet ones between it and this, and fit the line."""
    closed = bar - memory.bar[k]
    quiet = math.exp((closed - 1) * _LOG_FADE)
    span_s = FADE * memory.span_s[k] + BAR_S
    memory.span_s[k] = quiet * span_s + (1.0 - quiet) / (1.0 - FADE) * BAR_S
    memory.bars[k] += closed
    n, x, y, xx, xy = 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(BINS):
        memory.reached[k, j] = quiet * (FADE * memory.reached[k, j] + memory.open_reached[k, j])
        memory.open_reached[k, j] = 0.0
        if memory.reached[k, j] > 0.0:
            at, rate = j * STEP_BPS, math.log(memory.reached[k, j] / (2.0 * memory.span_s[k]))
            n, x, y, xx, xy = n + 1.0, x + at, y + rate, xx + at * at, xy + at * rate
    held = memory.held[k]
    if memory.bars[k] < BARS_MIN or n < BINS_MIN:
        held[RATE] = held[DECAY] = np.nan
        return
    slope = (n * xy - x * y) / (n * xx - x * x)
    held[RATE], held[DECAY] = math.exp((y - slope * x) / n), -slope


@kernel
def _close_second(memory: FillsState, k: int) -> None:
    """The present second has ended at `mid`."""
    mid, second = memory.mid[k], memory.second[k]
    if np.isnan(mid):
        return
    change = mid - memory.sample[k]
    if not np.isnan(change):
        seconds = float(second - memory.sampled[k])
        memory.weight[k] = VARIANCE_FADE * memory.weight[k] + seconds
        share = seconds / memory.weight[k]
        memory.variance[k] += share * (change * change / seconds - memory.variance[k])
        memory.changes[k] += 1
    memory.sample[k], memory.sampled[k] = mid, second


@kernel
def _walk(memory: FillsState, rows: FlowRows, values: F8, columns: I8) -> None:
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < memory.bar.size:
            show_nothing(values, i, columns)
            continue
        bar, second = rows.ts_ns[i] // BAR_NS, rows.ts_ns[i] // SECOND_NS
        if bar != memory.bar[k]:
            if memory.bar[k] != 0:
                _close_bar(memory, k, bar)
            memory.bar[k] = bar
        mid, half = rows.mid[i], (rows.ask_px[i] - rows.bid_px[i]) / 2.0
        if rows.event[i] & TOP:
            if second != memory.second[k]:
                _close_second(memory, k)
                memory.second[k] = second
            if not np.isnan(mid):
                memory.mid[k] = mid
        if rows.event[i] & TRADE and rows.sign[i] != 0.0 and not np.isnan(half):
            distance = rows.sign[i] * (rows.price[i] - mid) / mid * 1e4
            for j in range(BINS):
                if distance >= j * STEP_BPS:
                    memory.open_reached[k, j] += 1.0
        warm = memory.changes[k] >= CHANGES_MIN and not np.isnan(half)
        memory.held[k, TOUCH] = (
            touch_probability(half, math.sqrt(memory.variance[k]), TOUCH_S) if warm else np.nan
        )
        show(values, i, columns, memory.held, k)
