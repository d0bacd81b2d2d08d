"""Absorption as alarms: windows of 3 s that slide, so that none has to fit a bar."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.detection.found import AlarmKind, Found, tell
from operators.features.detection.rows import mask
from operators.features.detection.thresholds import AbsorptionThresholds
from operators.features.flow.quantile import SIZE, observe, quantile
from operators.features.flow.regression import (
    Regression,
    add_point,
    blank_regression,
    scatter,
    slope,
)
from operators.features.flow.rows import TRADE
from operators.features.signal import SignalInput
from schemas.instruments import InstrumentArrays
from schemas.rows import F8, I8, U1

STEP_NS = 500_000_000  # a window begins so often
STEPS = 6  # of a window: 3 s
FADE = 0.5 ** (1.0 / 3600.0)  # half-life of 30 min of windows with trades
_ABSORPTION = int(AlarmKind.ABSORPTION)
_HALF_TICK = 0.5


class AbsorbedState(NamedTuple):
    """One entry per instrument."""

    step: I8  # number of the open step
    signed: F8  # (instruments, STEPS) volume of the last steps, buys minus sells; the open one too
    mids: F8  # (instruments, STEPS) last mid before each of these steps; NaN: not known
    first_ns: I8  # (instruments, STEPS) our clock at the first trade of the step; 0: none
    mid: F8  # last mid so far
    bid_px: F8  # last best prices so far
    ask_px: F8
    line: Regression  # change of the mid on signed volume
    volumes: F8  # (instruments, SIZE) of the running quantile of |signed volume|
    windows: I8  # windows with trades so far
    last: I8  # step that closed the last absorbed window
    direction: F8  # of its volume


class _Terms(NamedTuple):
    tick: F8
    excluded: U1
    limits: AbsorptionThresholds


class Absorbed:
    """Finds the windows in which flow was absorbed; the parts of `Alarms` that have no columns.

    As `operators.features.flow.absorption.Absorption`, but a window of 3 s closes every 500 ms.
    Windows overlap, so the regression and its scatter know each trade six times, which changes
    neither. An alarm is given once; windows absorbed in the same direction that overlap the last
    one are its episode. Price: the best bid (selling was absorbed) or ask as the window closes.
    """

    def __init__(
        self, instruments: InstrumentArrays, thresholds: AbsorptionThresholds, excluded: U1 | None
    ) -> None:
        self._terms = _Terms(instruments.tick, mask(excluded, instruments.lane.size), thresholds)

    def initial(self) -> AbsorbedState:
        n = self._terms.tick.size
        mid, bid_px, ask_px = np.full((3, n), np.nan)
        return AbsorbedState(
            np.zeros(n, np.int64), np.zeros((n, STEPS)), np.full((n, STEPS), np.nan),
            np.zeros((n, STEPS), np.int64), mid, bid_px, ask_px, blank_regression(n),
            np.zeros((n, SIZE)), np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n),
        )  # fmt: skip

    def watch(self, state: AbsorbedState, rows: SignalInput, found: Found) -> None:
        """Note alarms: price, |signed volume| of the window, and minus the residual as strength."""
        _walk(state, self._terms, rows, found)

    def places(self, rows: SignalInput) -> int:
        """Alarms that these rows can cause at most."""
        return int(rows.k.size)


@kernel
def _walk(memory: AbsorbedState, terms: _Terms, rows: SignalInput, found: Found) -> None:
    flow = rows.flow
    for i in range(rows.k.size):
        k = flow.k[i]
        if not 0 <= k < terms.tick.size or terms.excluded[k]:
            continue
        step = flow.ts_ns[i] // STEP_NS
        if step != memory.step[k]:
            _close(memory, terms, k, i, found)
            _open(memory, k, step)
        if not np.isnan(flow.mid[i]):
            memory.mid[k] = flow.mid[i]
            memory.bid_px[k], memory.ask_px[k] = flow.bid_px[i], flow.ask_px[i]
        if flow.event[i] & TRADE:
            at = step % STEPS
            memory.signed[k, at] += flow.sign[i] * flow.qty[i]
            if memory.first_ns[k, at] == 0:
                memory.first_ns[k, at] = rows.market.ts_recv_ns[i]


@kernel
def _open(memory: AbsorbedState, k: int, step: int) -> None:
    """Another step begins; those between were quiet."""
    for back in range(min(step - memory.step[k], STEPS)):
        at = (step - back) % STEPS
        memory.signed[k, at], memory.mids[k, at] = 0.0, memory.mid[k]
        memory.first_ns[k, at] = 0
    memory.step[k] = step


@kernel
def _close(memory: AbsorbedState, terms: _Terms, k: int, i: int, found: Found) -> None:
    """The window that ends with the open step is whole."""
    limits, oldest = terms.limits, (memory.step[k] + 1) % STEPS
    signed, onset_ns = 0.0, 0
    for back in range(STEPS):
        at = (oldest + back) % STEPS
        signed += memory.signed[k, at]
        if onset_ns == 0:
            onset_ns = memory.first_ns[k, at]
    change = memory.mid[k] - memory.mids[k, oldest]
    if signed == 0.0 or np.isnan(change):
        return
    line, direction = memory.line, 1.0 if signed > 0.0 else -1.0
    if memory.windows[k] >= limits.windows_min:
        deviation = scatter(line, k)
        expected = line.y[k] + slope(line, k) * (signed - line.x[k])
        residual = direction * (change - expected) / deviation if deviation > 0.0 else np.nan
        if (
            math.fabs(signed) >= limits.volume_ratio_min * quantile(memory.volumes[k])
            and math.fabs(change) <= (limits.moved_ticks_max + _HALF_TICK) * terms.tick[k]
            and residual <= limits.residual_max
        ):
            is_new = memory.step[k] - memory.last[k] >= STEPS or direction != memory.direction[k]
            memory.last[k], memory.direction[k] = memory.step[k], direction
            price = memory.bid_px[k] if direction < 0.0 else memory.ask_px[k]
            if is_new:
                side = 1 if direction < 0.0 else -1
                tell(
                    found, i, _ABSORPTION, side, memory.mid[k] if np.isnan(price) else price,
                    math.fabs(signed), -residual, onset_ns,
                )  # fmt: skip
    add_point(line, k, FADE, signed, change)
    observe(memory.volumes[k], limits.volume_quantile, math.fabs(signed))
    memory.windows[k] += 1
