"""The liquidity-shock index: how unusual spread, depth and price impact are, the worst of them."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.flow.regression import Regression, add_point, blank_regression, slope
from operators.features.flow.rows import TOP, TRADE, FlowRows, show, show_nothing
from operators.features.scores import Scores, blank_scores, fade_of, score
from operators.features.signal import Signal, SignalInput
from schemas.rows import F8, I4, I8

BAR_NS = 10_000_000_000
IMPACT_HALF_LIFE = 30.0  # bars: 5 min, so that lambda can change
IMPACT_MIN = 10  # bars before there is a lambda
HALF_LIFE = 360.0  # bars: an hour, of what is usual
BARS_MIN = 30
SPREAD, DEPTH, IMPACT, SHOCK = 0, 1, 2, 3


class ShockState(NamedTuple):
    """One entry per instrument."""

    bar: I8  # number of the open bar
    mid: F8  # last mid so far, quote units
    open_mid: F8  # last mid of the bar before
    quotes: F8  # (instruments, 2) quotes of the open bar with prices, and with sizes
    sums: F8  # (instruments, 2) over those: relative spread, ln of the sizes
    signed: F8  # volume of the open bar, buys minus sells
    traded: I8  # trades of the open bar
    line: Regression  # change of the mid on signed volume
    points: I8
    spread: Scores
    depth: Scores
    impact: Scores
    held: F8


class Shock(Signal[ShockState]):
    """The largest of the z-scores of spread, thinness and Kyle's lambda.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.

    Notes
    -----
    In: SignalInput; quotes and trades. Bars are 10 s of market time and end with the first quote or
    trade after it; each is scored against those before, half-life an hour.
    Out: shock_spread_z, of the mean relative spread of a bar's quotes; shock_depth_z, of the mean
    of ln(bid size + ask size) at the best prices; shock_impact_z, of the slope of the mid's change
    on signed volume, half-life 5 min; liquidity_shock, the largest of the first, the second with
    its sign turned, and the third, of those that are known.
    Nulls: until 30 bars with such quotes, or with a lambda (itself after 10 bars with trades), and
    while there is no scatter. A bar without any leaves the z-score as it was.
    Time: venue time. Chunks: any split gives the same bytes. State: 264 bytes per instrument.
    Source: Kyle (1985), Continuous Auctions and Insider Trading; Brunnermeier, Pedersen (2009),
    Market Liquidity and Funding Liquidity.
    """

    NAMES = ("shock_spread_z", "shock_depth_z", "shock_impact_z", "liquidity_shock")

    def __init__(self, n_instruments: int) -> None:
        self.n_instruments = n_instruments

    def initial(self) -> ShockState:
        n = self.n_instruments
        return ShockState(
            bar=np.zeros(n, np.int64), mid=np.full(n, np.nan), open_mid=np.full(n, np.nan),
            quotes=np.zeros((n, 2)), sums=np.zeros((n, 2)), signed=np.zeros(n),
            traded=np.zeros(n, np.int64), line=blank_regression(n), points=np.zeros(n, np.int64),
            spread=blank_scores(n), depth=blank_scores(n), impact=blank_scores(n),
            held=np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: ShockState, rows: SignalInput, values: F8, columns: I8) -> None:
        _walk(state, rows.k, rows.flow, values, columns)


_FADE, _IMPACT_FADE = fade_of(HALF_LIFE), fade_of(IMPACT_HALF_LIFE)


@kernel
def _end(memory: ShockState, k: int) -> None:
    """The open bar ends: what it had is scored, and the worst is the index."""
    held, quotes, sums = memory.held[k], memory.quotes[k], memory.sums[k]
    if quotes[0] > 0.0:
        held[SPREAD] = score(memory.spread, k, _FADE, BARS_MIN, sums[0] / quotes[0])
    if quotes[1] > 0.0:
        held[DEPTH] = score(memory.depth, k, _FADE, BARS_MIN, sums[1] / quotes[1])
    change = memory.mid[k] - memory.open_mid[k]
    if memory.traded[k] > 0 and not np.isnan(change):
        add_point(memory.line, k, _IMPACT_FADE, memory.signed[k], change)
        memory.points[k] += 1
        if memory.points[k] >= IMPACT_MIN:
            impact = slope(memory.line, k)
            if not np.isnan(impact):
                held[IMPACT] = score(memory.impact, k, _FADE, BARS_MIN, impact)
    worst = np.nan
    for sign, j in ((1.0, SPREAD), (-1.0, DEPTH), (1.0, IMPACT)):
        z = sign * held[j]
        if not np.isnan(z) and not z <= worst:  # worst may be NaN
            worst = z
    held[SHOCK] = worst
    memory.open_mid[k] = memory.mid[k]
    quotes[0] = quotes[1] = sums[0] = sums[1] = memory.signed[k] = 0.0
    memory.traded[k] = 0


@kernel
def _walk(memory: ShockState, rows_k: I4, flow: FlowRows, values: F8, columns: I8) -> None:
    for i in range(rows_k.size):
        k = rows_k[i]
        if not 0 <= k < memory.bar.size:
            show_nothing(values, i, columns)
            continue
        event = flow.event[i]
        if event & (TOP | TRADE):
            bar = flow.ts_ns[i] // BAR_NS
            if bar > memory.bar[k]:
                _end(memory, k)
                memory.bar[k] = bar
            if not np.isnan(flow.mid[i]):
                memory.mid[k] = flow.mid[i]
        if event & TOP:
            spread = (flow.ask_px[i] - flow.bid_px[i]) / flow.mid[i]
            depth = flow.bid_qty[i] + flow.ask_qty[i]
            if not np.isnan(spread):
                memory.quotes[k, 0] += 1.0
                memory.sums[k, 0] += spread
            if depth > 0.0:
                memory.quotes[k, 1] += 1.0
                memory.sums[k, 1] += math.log(depth)
        if event & TRADE:
            memory.signed[k] += flow.sign[i] * flow.qty[i]
            memory.traded[k] += 1
        show(values, i, columns, memory.held, k)
