"""Market structure of bars: swings, breaks, gaps, order blocks, stop clusters, liquidity grabs."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import inlined, kernel
from operators.features.atr import atr_now
from operators.features.flow.rows import show, show_nothing
from operators.features.signal import Signal, SignalInput
from operators.features.structure.candles import BAR_NS, DOWN, SIGN, UP, bar_length
from operators.features.structure.clusters import BANDWIDTH_ATR, find_cluster, swing_range
from operators.features.structure.memory import (
    BAR_CLOSED,
    GRABBED,
    PIVOT,
    StructureMemory,
    advance,
    blank_memory,
)
from operators.features.swings import DOWN as LEG_DOWN
from operators.features.swings import UNKNOWN
from operators.records import Record
from schemas.rows import F8, I4, I8, U1

ATR = 0
ZIGZAG_PX, ZIGZAG_SIDE, ZIGZAG_AGE, ZIGZAG_KNOWN = 1, 2, 3, 4
SWING_PX, SWING_AGE = (5, 7), (6, 8)  # of UP, DOWN; so all pairs
TREND, BOS, BOS_AGE, CHOCH, CHOCH_AGE = 9, 10, 11, 12, 13
GAP_LOW, GAP_HIGH = (14, 16), (15, 17)
BLOCK_LOW, BLOCK_HIGH = (18, 20), (19, 21)
CLUSTER_PX, CLUSTER_STRENGTH, CLUSTER_CHANCE = (22, 25), (23, 26), (24, 27)
GRAB, GRAB_AGE = 28, 29


class StructureState(NamedTuple):
    """What is remembered, and what is shown."""

    memory: StructureMemory
    grab_bar: I8  # (instruments,) number of the last grab's bar
    held: F8


class Structure(Signal[StructureState]):
    """What the turning points of bars say about trend, levels and stops.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.
    bar_ns : int, > 0
        Length of a bar, market time.

    Notes
    -----
    In: SignalInput. Out: SignalBlock, all prices in quote units.
    Bars: open, high, low, close of the mids (the last trade's price in a market without quotes),
    aligned to multiples of their length since 1970 UTC. A bar closes with the instrument's first
    flow row after it; bars without a price do not exist. Only the zigzag moves within a bar.
    bar_atr: Wilder's, 14 bars (see `Atr`).
    zigzag_px, zigzag_side (+1 a high, -1 a low): the last pivot of the mids that a reversal of 3
    bar_atr has proven (see `Swings`); zigzag_age_ns since the price was there, zigzag_known_ns
    since that was proven.
    swing_high_px, swing_low_px and their ..._age_ns: the last fractal swings (see `fractals`), five
    bars on each side, so known five bars late; the age counts from the extreme itself.
    structure_trend, bos, choch (+1, -1): trend, and side of the last break with and against it (see
    `breaks`); ..._age_bars: bars that have closed since, 0 at the bar.
    fvg_bull_low, fvg_bull_high: the nearest open fair value gap below the price (see `gaps`), bear:
    above; open until a bar reaches it.
    order_block_bull_low, ..._high: the nearest open order block, likewise (see `blocks`).
    stop_cluster_above_px and ..._strength: where swing highs beyond the last close lie closest
    together, and how many, weighed (see `clusters`); ..._chance: a bound on the probability that so
    many would by chance, so a cluster is one where that is small, say 0.05. Below: of swing lows.
    liquidity_grab (+1 below a swing low, so bullish; -1 above a swing high; 0 both with one bar)
    and its age in bars: the last one (see `grabs`).
    Of gaps and blocks the 16 nearest of each side are kept, of swings for clusters the last 32.
    Nulls: what has not been yet; gap and block where none is open, cluster without a swing there.
    Time: venue time, never backwards. Chunks: any split gives the same bytes.
    State: 3.7 kB per instrument. Errors: ValueError if bar_ns is not positive.
    """

    NAMES = (
        "bar_atr", "zigzag_px", "zigzag_side", "zigzag_age_ns", "zigzag_known_ns",
        "swing_high_px", "swing_high_age_ns", "swing_low_px", "swing_low_age_ns",
        "structure_trend", "bos", "bos_age_bars", "choch", "choch_age_bars",
        "fvg_bull_low", "fvg_bull_high", "fvg_bear_low", "fvg_bear_high",
        "order_block_bull_low", "order_block_bull_high",
        "order_block_bear_low", "order_block_bear_high",
        "stop_cluster_above_px", "stop_cluster_above_strength", "stop_cluster_above_chance",
        "stop_cluster_below_px", "stop_cluster_below_strength", "stop_cluster_below_chance",
        "liquidity_grab", "liquidity_grab_age_bars",
    )  # fmt: skip

    def __init__(self, n_instruments: int, *, bar_ns: int = BAR_NS) -> None:
        self.n_instruments = n_instruments
        self.bar_ns = bar_length(bar_ns)

    def initial(self) -> StructureState:
        n = self.n_instruments
        return StructureState(
            blank_memory(n), np.zeros(n, np.int64), np.full((n, len(self.NAMES)), np.nan)
        )

    def fill(self, state: StructureState, rows: SignalInput, values: F8, columns: I8) -> None:
        flow = rows.flow
        _walk(
            state, self.bar_ns, rows.k, flow.k, flow.event, flow.ts_ns, flow.mid, flow.qty,
            values, columns,
        )  # fmt: skip


@kernel
def _walk(
    state: StructureState, bar_ns: int, rows_k: I4, flow_k: I4, event: U1, ts_ns: I8, mid: F8,
    qty: F8, values: F8, columns: I8,
) -> None:  # fmt: skip
    m, held = state.memory, state.held
    for i in range(rows_k.size):
        k = rows_k[i]
        if not 0 <= k < held.shape[0]:
            show_nothing(values, i, columns)
            continue
        if flow_k[i] == k:
            known = advance(m, bar_ns, k, ts_ns[i], event[i], mid[i], qty[i])
            if known & BAR_CLOSED:
                _hold_bar(state, k, known)
            if known & PIVOT:
                held[k, ZIGZAG_PX] = m.zigzag.pivot[k]
                held[k, ZIGZAG_SIDE] = 1.0 if m.zigzag.leg[k] == LEG_DOWN else -1.0
            _hold_ages(m, k, ts_ns[i], held)
        show(values, i, columns, held, k)


@inlined
def _hold_ages(m: StructureMemory, k: int, ts_ns: int, held: F8) -> None:
    if m.zigzag.leg[k] != UNKNOWN:
        held[k, ZIGZAG_AGE] = ts_ns - m.zigzag.pivot_ns[k]
        held[k, ZIGZAG_KNOWN] = ts_ns - m.zigzag.confirmed_ns[k]
    for side in range(2):
        if not math.isnan(m.level[k, side].px):
            held[k, SWING_AGE[side]] = ts_ns - m.level[k, side].ns


@kernel
def _hold_bar(state: StructureState, k: int, known: int) -> None:
    """What a closed bar has changed; on the side of DOWN high and low change places."""
    m, held, structure = state.memory, state.held[k], state.memory.structure[k]
    atr, number = atr_now(m.atr, k), structure.bar
    held[ATR] = atr
    if structure.trend != 0:
        held[TREND] = structure.trend
    if structure.bos != 0:
        held[BOS], held[BOS_AGE] = structure.bos, number - structure.bos_bar
    if structure.choch != 0:
        held[CHOCH], held[CHOCH_AGE] = structure.choch, number - structure.choch_bar
    for side in range(2):
        level = m.level[k, side]
        if not math.isnan(level.px):  # the sign of a NaN is not the same with and without numba
            held[SWING_PX[side]] = SIGN[side] * level.px
        _hold_zone(held, GAP_LOW[side], GAP_HIGH[side], m.gaps[k, side], side)
        _hold_zone(held, BLOCK_LOW[side], BLOCK_HIGH[side], m.blocks[k, side], side)
        px, held[CLUSTER_STRENGTH[side]], held[CLUSTER_CHANCE[side]] = find_cluster(
            m.stops[k, side], m.seen[k, side].close, BANDWIDTH_ATR * atr, swing_range(m.stops[k])
        )
        held[CLUSTER_PX[side]] = np.nan if math.isnan(px) else SIGN[side] * px
    above, below = known & (GRABBED << UP) != 0, known & (GRABBED << DOWN) != 0
    if above or below:
        held[GRAB], state.grab_bar[k] = int(below) - int(above), number
    if not math.isnan(held[GRAB]):
        held[GRAB_AGE] = number - state.grab_bar[k]


@kernel
def _hold_zone(held: F8, low: int, high: int, zones: Record, side: int) -> None:
    """The nearest open zone of a side."""
    held[low] = held[high] = np.nan
    if zones.n > 0:
        nearest = zones.n - 1
        held[low if side == UP else high] = SIGN[side] * zones.low[nearest]
        held[high if side == UP else low] = SIGN[side] * zones.high[nearest]
