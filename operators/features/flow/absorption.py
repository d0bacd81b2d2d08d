"""Absorption and exhaustion: flow that no longer moves the price, over bars of 3 s."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.flow.quantile import SIZE, observe, quantile
from operators.features.flow.regression import (
    Regression,
    add_point,
    blank_regression,
    scatter,
    slope,
)
from operators.features.flow.rows import TRADE, FlowFeature, FlowRows, show, show_nothing
from schemas.rows import F8, I8

BAR_NS = 3_000_000_000
FADE = 0.5 ** (1.0 / 600.0)  # half-life of 600 bars: 30 min
BARS_MIN = 30  # bars with trades before a bar is judged: 90 s
HIGH_VOLUME = 0.95  # quantile of |signed volume| that absorbed flow reaches
RESIDUAL_MAX = -2.0  # standard deviations that the price stays behind the regression
ABSORPTION, EXHAUSTION, RESIDUAL = 0, 1, 2
_HALF_TICK = 0.5


class AbsorptionState(NamedTuple):
    """One entry per instrument."""

    bar: I8  # number of the open bar
    mid: F8  # last mid so far
    open_mid: F8  # last mid of the bar before; NaN in the first
    signed: F8  # volume of the open bar, buys minus sells
    line: Regression  # change of the mid on signed volume
    volumes: F8  # (instruments, SIZE) of the running quantile of |signed volume|
    bars: I8  # bars with trades so far
    pushes: F8  # (instruments, 2, 2) the two bars before: signed volume, change of the mid
    held: F8


class Absorption(FlowFeature[AbsorptionState]):
    """Large one-sided volume that leaves the price where it was, and pushes that die down.

    Parameters
    ----------
    tick : float64, shape (instruments,)
        Price step, quote units.

    Notes
    -----
    In: FlowRows. Out: FlowBlock of three columns about the last bar with trades, held until the
    next one closes:
    absorption: +1 selling was absorbed, -1 buying was, else 0. The signed volume q reaches the 95 %
    quantile of |q| so far, the mid moved by at most a tick, and impact_residual is at most -2.
    exhaustion: +1 sellers run out, -1 buyers do, else 0. Three bars in a row with flow in one
    direction and the price not against it, each with less volume and a smaller move than the one
    before.
    impact_residual: the bar's change of the mid less that of the regression of change on signed
    volume, in the direction of its volume and in standard deviations of the scatter. Judged by the
    bars before; half-life 600 bars.
    A bar is 3 s of market time and closes with the first row after it. Bars without trades, without
    a mid at either end or without a known aggressor are passed over.
    Nulls: until 30 bars are behind (then they judge the next); the residual also without scatter.
    Time: venue time. Chunks: any split gives the same bytes. State: 240 bytes per instrument.
    Source: practitioners' terms made testable; quantile of Jain, Chlamtac (1985).
    """

    NAMES = ("absorption", "exhaustion", "impact_residual")

    def __init__(self, tick: F8) -> None:
        self._tick = tick

    def initial(self) -> AbsorptionState:
        n = self._tick.size
        nan = np.full(n, np.nan)
        return AbsorptionState(
            bar=np.zeros(n, np.int64), mid=nan, open_mid=nan.copy(), signed=np.zeros(n),
            line=blank_regression(n), volumes=np.zeros((n, SIZE)), bars=np.zeros(n, np.int64),
            pushes=np.full((n, 2, 2), np.nan), held=np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: AbsorptionState, rows: FlowRows, values: F8, columns: I8) -> None:
        _walk(state, self._tick, rows, values, columns)


@kernel
def _close(memory: AbsorptionState, k: int, tick: float) -> None:
    signed, change = memory.signed[k], memory.mid[k] - memory.open_mid[k]
    if signed == 0.0 or np.isnan(change):
        return
    held, line = memory.held[k], memory.line
    direction = 1.0 if signed > 0.0 else -1.0
    if memory.bars[k] >= BARS_MIN:
        expected = line.y[k] + slope(line, k) * (signed - line.x[k])
        deviation = scatter(line, k)
        held[RESIDUAL] = (
            direction * (change - expected) / deviation if deviation > 0.0 else np.nan
        )  # fmt: skip
        absorbed = (
            math.fabs(signed) >= quantile(memory.volumes[k])
            and math.fabs(change) <= tick + _HALF_TICK * tick  # half: prices are binary fractions
            and held[RESIDUAL] <= RESIDUAL_MAX
        )
        held[ABSORPTION] = -direction if absorbed else 0.0
        held[EXHAUSTION] = -direction if _dies_down(memory.pushes[k], signed, change) else 0.0
    add_point(line, k, FADE, signed, change)
    observe(memory.volumes[k], HIGH_VOLUME, math.fabs(signed))
    memory.bars[k] += 1
    pushes = memory.pushes[k]
    pushes[0, 0], pushes[0, 1] = pushes[1, 0], pushes[1, 1]
    pushes[1, 0], pushes[1, 1] = signed, change


@kernel
def _dies_down(pushes: F8, signed: float, change: float) -> bool:
    """Whether this bar is the third of pushes in its direction that get weaker."""
    direction = 1.0 if signed > 0.0 else -1.0
    first, second, third = direction * pushes[0, 0], direction * pushes[1, 0], direction * signed
    moved, moved_then, moved_last = (
        direction * pushes[0, 1], direction * pushes[1, 1], direction * change
    )  # fmt: skip
    return bool(first > second > third > 0.0 and moved > moved_then > moved_last >= 0.0)


@kernel
def _walk(memory: AbsorptionState, tick: F8, rows: FlowRows, values: F8, columns: I8) -> None:
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < memory.bar.size:
            show_nothing(values, i, columns)
            continue
        bar = rows.ts_ns[i] // BAR_NS
        if bar != memory.bar[k]:
            _close(memory, k, tick[k])
            memory.bar[k], memory.open_mid[k], memory.signed[k] = bar, memory.mid[k], 0.0
        if not np.isnan(rows.mid[i]):
            memory.mid[k] = rows.mid[i]
        if rows.event[i] & TRADE:
            memory.signed[k] += rows.sign[i] * rows.qty[i]
        show(values, i, columns, memory.held, k)
