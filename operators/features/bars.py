"""Five-second bars of venue time."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import ArrayOperator, kernel
from operators.features.prices import PriceRows
from schemas.rows import F8, I4, I8, U1

BAR_NS = 5_000_000_000


class BarRows(NamedTuple):
    """One row per price row: the bar that this tick closed, else NaN. Quote units."""

    k: I4  # the instrument's row, or NO_TICK
    closed: U1  # 1 where this tick closed a bar
    high: F8  # highest ask
    low: F8  # lowest bid
    close: F8  # last mid


class BarsState(NamedTuple):
    """The open bar of each instrument; `close` is NaN until the first tick."""

    end_ns: I8  # venue time at which it ends, exclusive
    high: F8
    low: F8
    close: F8


class Bars(ArrayOperator[BarsState]):
    """Closes a bar at the first tick whose venue time lies in a later one.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.

    Notes
    -----
    In: PriceRows. Out: BarRows, shape (n,).
    High is the highest ask and low the lowest bid, not the mid: a range that holds the spread is
    what a position can be marked at, and a stop narrower than it would be hit by standing still.
    Time: bar = floor(ts_event_ns / 5e9). A tick with an earlier time counts into the open bar:
    bars never go back. Bars without ticks do not exist.
    Chunks: any split of the same rows gives the same bytes. State: 32 bytes per instrument.
    """

    def __init__(self, n_instruments: int) -> None:
        self.n_instruments = n_instruments

    def initial(self) -> BarsState:
        n = self.n_instruments
        return BarsState(np.zeros(n, np.int64), *np.full((3, n), np.nan))

    def step(self, state: BarsState, rows: PriceRows) -> tuple[BarsState, BarRows]:
        n = rows.k.size
        out = BarRows(rows.k, np.empty(n, np.uint8), *np.empty((3, n)))
        _walk(state, rows.k, rows.ts_event_ns, rows.mid, rows.bid, rows.ask, out)
        return state, out


@kernel
def _walk(
    memory: BarsState, rows_k: I4, ts_event_ns: I8, mid: F8, bid: F8, ask: F8, out: BarRows
) -> None:
    for i in range(rows_k.size):
        out.closed[i] = 0
        out.high[i] = out.low[i] = out.close[i] = np.nan
        k = rows_k[i]
        if not 0 <= k < memory.end_ns.size:
            continue
        first = math.isnan(memory.close[k])
        if first or ts_event_ns[i] >= memory.end_ns[k]:
            if not first:
                out.closed[i] = 1
                out.high[i], out.low[i] = memory.high[k], memory.low[k]
                out.close[i] = memory.close[k]
            memory.end_ns[k] = (ts_event_ns[i] // BAR_NS + 1) * BAR_NS
            memory.high[k], memory.low[k] = ask[i], bid[i]
        else:
            memory.high[k] = max(memory.high[k], ask[i])
            memory.low[k] = min(memory.low[k], bid[i])
        memory.close[k] = mid[i]
