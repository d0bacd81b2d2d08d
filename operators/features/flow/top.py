"""The best quote: imbalance, microprice, spread."""

from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.flow.rows import TOP, FlowFeature, FlowRows, show, show_nothing
from schemas.rows import F8, I8

IMBALANCE, MICROPRICE, SPREAD = 0, 1, 2


class BestQuoteState(NamedTuple):
    """Present values per instrument."""

    held: F8


class BestQuote(FlowFeature[BestQuoteState]):
    """Imbalance and microprice of the best quote, and the quoted spread.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.

    Notes
    -----
    In: FlowRows. Out: FlowBlock of imbalance_best, (Qb - Qa) / (Qb + Qa), from -1 to 1;
    microprice, (Pa Qb + Pb Qa) / (Qb + Qa), quote units, Stoikov's first order (it leans to the
    side with less on offer, and is no martingale); spread_quoted_bps, of the mid.
    Nulls: all where there is no quote; the first two also where a size is missing or both are 0.
    Time: none. Chunks: any split gives the same bytes. State: 24 bytes per instrument.
    Warm-up: the first quote.
    Source: Cartea, Jaimungal, Penalva (2015), Algorithmic and High-Frequency Trading; Stoikov
    (2018), The Micro-Price.
    """

    NAMES = ("imbalance_best", "microprice", "spread_quoted_bps")

    def __init__(self, n_instruments: int) -> None:
        self.n_instruments = n_instruments

    def initial(self) -> BestQuoteState:
        return BestQuoteState(np.full((self.n_instruments, len(self.NAMES)), np.nan))

    def fill(self, state: BestQuoteState, rows: FlowRows, values: F8, columns: I8) -> None:
        _walk(state, rows, values, columns)


@kernel
def _walk(memory: BestQuoteState, rows: FlowRows, values: F8, columns: I8) -> None:
    held = memory.held
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < held.shape[0]:
            show_nothing(values, i, columns)
            continue
        if rows.event[i] & TOP:
            bid_px, bid_qty = rows.bid_px[i], rows.bid_qty[i]
            ask_px, ask_qty = rows.ask_px[i], rows.ask_qty[i]
            both = bid_qty + ask_qty
            if not both > 0.0:
                both = np.nan
            held[k, IMBALANCE] = (bid_qty - ask_qty) / both
            held[k, MICROPRICE] = (ask_px * bid_qty + bid_px * ask_qty) / both
            held[k, SPREAD] = (ask_px - bid_px) / ((ask_px + bid_px) / 2.0) * 1e4
        show(values, i, columns, held, k)
