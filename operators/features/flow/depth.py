"""The book's levels: weighted imbalance, and order-flow imbalance level by level."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.flow.ofi import contribution
from operators.features.flow.rows import (
    ASK_PX,
    ASK_QTY,
    BID_PX,
    BID_QTY,
    LEVELS,
    FlowFeature,
    FlowRows,
    mask,
    show,
    show_nothing,
)
from operators.features.flow.windows import NEVER, WINDOW_NS, Windows, add, blank_windows, roll
from schemas.rows import F8, I8, U1

DEPTH = 5  # levels a side
WEIGHTS = tuple(math.exp(-0.5 * level) for level in range(DEPTH))
_WEIGHTS = np.array(WEIGHTS)


class DepthState(NamedTuple):
    """One entry per instrument."""

    windows: Windows
    before: F8  # (instruments, DEPTH, 4) the levels before: bid price, quantity, ask price, ...
    since_ns: I8  # (instruments, DEPTH) from when on a level has been known, NEVER where not
    held: F8


class Depth(FlowFeature[DepthState]):
    """Imbalance of the best five levels, and the order-flow imbalance of each over 10 s.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.
    excluded : uint8, shape (instruments,), or None
        1 for instruments whose feed joins changes: the ofi_level_* are null for ever.

    Notes
    -----
    In: FlowRows with at least DEPTH levels. Out: FlowBlock of imbalance_levels, from -1 to 1: the
    imbalance of quantities weighted exp(-0.5 level), the best level being 0; ofi_level_1 (the best)
    to ofi_level_5, instrument's units, e as for the best quote but at each level, summed over the
    present slot of 250 ms and the 39 before it.
    Nulls: imbalance_levels where one of the ten levels is not known; ofi_level_m until level m of
    both sides has been known for 10 s without a break. A feed that bundles changes (100 ms on
    Binance) hides those that cancel each other, so these see less than ofi_best.
    Time: venue time. Chunks: any split gives the same bytes. State: 1.9 kB per instrument.
    Errors: ValueError where rows have fewer levels.
    Source: Cartea, Jaimungal, Penalva (2015); Xu, Gould, Howison (2019), Multi-Level Order-Flow
    Imbalance in a Limit Order Book.
    """

    NAMES = ("imbalance_levels", *(f"ofi_level_{1 + level}" for level in range(DEPTH)))

    def __init__(self, n_instruments: int, *, excluded: U1 | None = None) -> None:
        self.n_instruments = n_instruments
        self._excluded = mask(excluded, n_instruments)

    def initial(self) -> DepthState:
        n = self.n_instruments
        return DepthState(
            blank_windows(n, DEPTH), np.full((n, DEPTH, 4), np.nan), np.full((n, DEPTH), NEVER),
            np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: DepthState, rows: FlowRows, values: F8, columns: I8) -> None:
        if rows.levels.shape[2] < DEPTH:
            raise ValueError(
                f"features of the book need {DEPTH} levels a side, the rows have "
                f"{rows.levels.shape[2]}: give `levels` to flow_input"
            )
        _walk(state, _WEIGHTS, self._excluded, rows, values, columns)


@kernel
def _imbalance(weights: F8, book: F8) -> float:
    bids, asks = 0.0, 0.0
    for level in range(DEPTH):
        bids += weights[level] * book[BID_QTY, level]
        asks += weights[level] * book[ASK_QTY, level]
    both = bids + asks
    return (bids - asks) / both if both > 0.0 else np.nan


@kernel
def _walk(
    memory: DepthState, weights: F8, excluded: U1, rows: FlowRows, values: F8, columns: I8
) -> None:
    held = memory.held
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < held.shape[0]:
            show_nothing(values, i, columns)
            continue
        ts_ns, since = rows.ts_ns[i], memory.since_ns[k]
        roll(memory.windows, k, ts_ns)
        if rows.event[i] & LEVELS:
            book = rows.levels[i]
            held[k, 0] = _imbalance(weights, book)
            for level in range(DEPTH):
                bid_px, bid_qty = book[BID_PX, level], book[BID_QTY, level]
                ask_px, ask_qty = book[ASK_PX, level], book[ASK_QTY, level]
                e = contribution(memory.before[k, level], bid_px, bid_qty, ask_px, ask_qty)
                if not np.isnan(e):
                    add(memory.windows, k, level, e)
                if np.isnan(bid_px + bid_qty + ask_px + ask_qty):
                    since[level] = NEVER
                elif since[level] == NEVER and not excluded[k]:
                    since[level] = ts_ns
        for level in range(DEPTH):
            warm = since[level] <= ts_ns - WINDOW_NS
            held[k, 1 + level] = memory.windows.total[k, level] if warm else np.nan
        show(values, i, columns, held, k)
