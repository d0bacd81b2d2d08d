"""The best orders of both sides: prices, sizes, how many they are, and for how long they stand."""

from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.flow.rows import show, show_nothing
from operators.features.orders.events import LOST, WHOLE, OrderEvents
from operators.features.signal import Signal, SignalInput
from schemas.rows import F8, I4, I8

BID_PX, ASK_PX, BID_QTY, ASK_QTY, BID_COUNT, ASK_COUNT = range(6)
IMBALANCE, BID_AGE, ASK_AGE = 6, 7, 8


class BestOrdersState(NamedTuple):
    """Present values per instrument."""

    held: F8


class BestOrders(Signal[BestOrdersState]):
    """The best level of each side, order by order.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.

    Notes
    -----
    In: SignalInput, of which `orders` is read. Out: SignalBlock of order_bid_px, order_ask_px,
    quote units; order_bid_qty, order_ask_qty, instrument's units; order_bid_count, order_ask_count,
    open orders there; order_count_imbalance, (bids - asks) / (bids + asks) of those; order_bid_age,
    order_ask_age, seconds since the orders there joined their queue, the mean of them, as of the
    book's last message. An order of a snapshot counts from the snapshot: its venue does not say.
    Nulls: before the first snapshot, or 30 minutes of a book without any; while the book is gapped,
    crossed, or has no order on the side.
    Time: venue time. Chunks: any split gives the same bytes. State: 72 bytes per instrument.
    Source: Harris, Panchapagesan (2005), The Information Content of the Limit Order Book; Lo,
    MacKinlay, Zhang (2002), Econometric Models of Limit-Order Executions.
    """

    NAMES = (
        "order_bid_px", "order_ask_px", "order_bid_qty", "order_ask_qty", "order_bid_count",
        "order_ask_count", "order_count_imbalance", "order_bid_age", "order_ask_age",
    )  # fmt: skip

    def __init__(self, n_instruments: int) -> None:
        self.n_instruments = n_instruments

    def initial(self) -> BestOrdersState:
        return BestOrdersState(np.full((self.n_instruments, len(self.NAMES)), np.nan))

    def fill(self, state: BestOrdersState, rows: SignalInput, values: F8, columns: I8) -> None:
        _walk(state.held, rows.k, rows.orders, values, columns)


@kernel
def _walk(held: F8, rows_k: I4, events: OrderEvents, values: F8, columns: I8) -> None:
    m = 0
    for i in range(rows_k.size):
        k = rows_k[i]
        if not 0 <= k < held.shape[0]:
            show_nothing(values, i, columns)
            continue
        if m < events.at.size and events.at[m] == i:
            if events.what[m] & LOST:
                held[k, :] = np.nan
            if events.what[m] & WHOLE:
                _hold(held[k], events, m)
            m += 1
        show(values, i, columns, held, k)


@kernel
def _hold(held: F8, events: OrderEvents, m: int) -> None:
    held[BID_PX], held[ASK_PX] = events.bid_px[m], events.ask_px[m]
    held[BID_QTY], held[ASK_QTY] = events.bid_qty[m], events.ask_qty[m]
    bids, asks = events.bid_count[m], events.ask_count[m]
    held[BID_COUNT], held[ASK_COUNT] = bids, asks
    held[IMBALANCE] = (bids - asks) / (bids + asks)
    held[BID_AGE], held[ASK_AGE] = events.bid_age_s[m], events.ask_age_s[m]
