"""Order-flow imbalance at the best quote."""

from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.flow.rows import TOP, FlowFeature, FlowRows, mask, show, show_nothing
from operators.features.flow.windows import NEVER, WINDOW_NS, Windows, add, blank_windows, roll
from schemas.rows import F8, I8, U1


class OfiState(NamedTuple):
    """One entry per instrument."""

    windows: Windows
    before: F8  # (instruments, 4) the quote before: bid price, quantity, ask price, quantity
    since_ns: I8  # from when on every quote has been known, NEVER where it is not
    held: F8


class Ofi(FlowFeature[OfiState]):
    """Orders that came minus orders that went, bids against asks, over the last 10 s.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.
    excluded : uint8, shape (instruments,), or None
        1 for instruments whose feed joins changes: null for ever.

    Notes
    -----
    In: FlowRows. Out: FlowBlock of ofi_best, instrument's units: the sum of e over the window, with
    e = [Pb >= Pb'] Qb - [Pb <= Pb'] Qb' - [Pa <= Pa'] Qa + [Pa >= Pa'] Qa' from quote to quote.
    The window is the present slot of 250 ms of market time and the 39 before it.
    Nulls: until quotes with sizes have been known for 10 s without a break; it needs every one of
    them, so after a quote without price or size the 10 s begin anew.
    Time: venue time. Chunks: any split gives the same bytes. State: 384 bytes per instrument.
    Source: Cont, Kukanov, Stoikov (2014), The Price Impact of Order Book Events.
    """

    NAMES = ("ofi_best",)

    def __init__(self, n_instruments: int, *, excluded: U1 | None = None) -> None:
        self.n_instruments = n_instruments
        self._excluded = mask(excluded, n_instruments)

    def initial(self) -> OfiState:
        n = self.n_instruments
        return OfiState(
            blank_windows(n, 1), np.full((n, 4), np.nan), np.full(n, NEVER), np.full((n, 1), np.nan)
        )

    def fill(self, state: OfiState, rows: FlowRows, values: F8, columns: I8) -> None:
        _walk(state, self._excluded, rows, values, columns)


@kernel
def contribution(
    before: F8, bid_px: float, bid_qty: float, ask_px: float, ask_qty: float
) -> float:  # fmt: skip
    """What one quote after another contributes, and `before` becomes the new one.

    NaN where one of the two is not known in price and quantity.
    """
    e = 0.0
    if bid_px >= before[0]:
        e += bid_qty
    if bid_px <= before[0]:
        e -= before[1]
    if ask_px <= before[2]:
        e -= ask_qty
    if ask_px >= before[2]:
        e += before[3]
    known = before[0] + before[1] + before[2] + before[3]
    before[0], before[1], before[2], before[3] = bid_px, bid_qty, ask_px, ask_qty
    known += bid_px + bid_qty + ask_px + ask_qty
    return np.nan if np.isnan(known) else e


@kernel
def _walk(memory: OfiState, excluded: U1, rows: FlowRows, values: F8, columns: I8) -> None:
    held = memory.held
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < held.shape[0]:
            show_nothing(values, i, columns)
            continue
        ts_ns = rows.ts_ns[i]
        roll(memory.windows, k, ts_ns)
        if rows.event[i] & TOP:
            bid_px, bid_qty = rows.bid_px[i], rows.bid_qty[i]
            ask_px, ask_qty = rows.ask_px[i], rows.ask_qty[i]
            e = contribution(memory.before[k], bid_px, bid_qty, ask_px, ask_qty)
            if not np.isnan(e):
                add(memory.windows, k, 0, e)
            if np.isnan(bid_px + bid_qty + ask_px + ask_qty):
                memory.since_ns[k] = NEVER
            elif memory.since_ns[k] == NEVER and not excluded[k]:
                memory.since_ns[k] = ts_ns
        warm = memory.since_ns[k] <= ts_ns - WINDOW_NS
        held[k, 0] = memory.windows.total[k, 0] if warm else np.nan
        show(values, i, columns, held, k)
