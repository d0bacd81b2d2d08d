"""Who is in a hurry: cumulative volume delta, and the imbalance of the last trades."""

from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.flow.rows import TRADE, FlowFeature, FlowRows, show, show_nothing
from operators.features.flow.windows import Windows, add, blank_windows, roll
from schemas.rows import F8, I8

DAY_NS = 86_400_000_000_000
CVD, IMBALANCE = 0, 1
_SIGNED, _ALL = 0, 1  # the two sums of the window
_NO_DAY = np.iinfo(np.int64).min


class AggressorsState(NamedTuple):
    """One entry per instrument."""

    windows: Windows
    day: I8  # number of the UTC day that the delta belongs to
    held: F8


class Aggressors(FlowFeature[AggressorsState]):
    """Volume of buying minus volume of selling aggressors.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.

    Notes
    -----
    In: FlowRows. Out: FlowBlock of cvd, instrument's units, since 00:00 UTC (or since the first
    row, where that is later); trade_imbalance, from -1 to 1: signed over all volume of the present
    slot of 250 ms and the 39 before it. A trade without a known aggressor counts as volume only.
    Nulls: cvd before the first trade; trade_imbalance where the window has no trade.
    Time: venue time; the day begins anew with the first row after midnight.
    Chunks: any split gives the same bytes. State: 688 bytes per instrument.
    Source: Lee, Ready (1991) for the sign; Chordia, Roll, Subrahmanyam (2002), Order Imbalance,
    Liquidity, and Market Returns.
    """

    NAMES = ("cvd", "trade_imbalance")

    def __init__(self, n_instruments: int) -> None:
        self.n_instruments = n_instruments

    def initial(self) -> AggressorsState:
        n = self.n_instruments
        return AggressorsState(
            blank_windows(n, 2), np.full(n, _NO_DAY), np.full((n, len(self.NAMES)), np.nan)
        )

    def fill(self, state: AggressorsState, rows: FlowRows, values: F8, columns: I8) -> None:
        _walk(state, rows, values, columns)


@kernel
def _walk(memory: AggressorsState, rows: FlowRows, values: F8, columns: I8) -> None:
    held, windows = memory.held, memory.windows
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < held.shape[0]:
            show_nothing(values, i, columns)
            continue
        roll(windows, k, rows.ts_ns[i])
        day = rows.ts_ns[i] // DAY_NS
        if day != memory.day[k]:
            memory.day[k] = day
            held[k, CVD] *= 0.0  # NaN stays: no trade yet
        if rows.event[i] & TRADE:
            signed = rows.sign[i] * rows.qty[i]
            held[k, CVD] = signed if np.isnan(held[k, CVD]) else held[k, CVD] + signed
            add(windows, k, _SIGNED, signed)
            add(windows, k, _ALL, rows.qty[i])
        volume = windows.total[k, _ALL]
        held[k, IMBALANCE] = windows.total[k, _SIGNED] / volume if volume > 0.0 else np.nan
        show(values, i, columns, held, k)
