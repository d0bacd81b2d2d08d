"""How fast orders come and go, and how many leave without having been filled."""

from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.flow.rows import show, show_nothing
from operators.features.flow.windows import NEVER, WINDOW_NS, Windows, add, blank_windows, roll
from operators.features.orders.events import FILLED, GONE, JOINED, LEFT, LOST, NEW, OrderEvents
from operators.features.signal import Signal, SignalInput
from schemas.rows import F8, I4, I8

ARRIVED, LAPSED, CANCELLED, DONE = 0, 2, 4, 5  # sums; the first two for bids, then asks
_SUMS = 6
_SHARE = 4  # column
_WINDOW_S = WINDOW_NS / 1e9


class OrderRatesState(NamedTuple):
    """One entry per instrument."""

    windows: Windows
    now_ns: I8
    since_ns: I8  # venue time from which on every row about an order came; NEVER
    tells: I8  # 1: the feed has said of something that it was filled
    held: F8


class OrderRates(Signal[OrderRatesState]):
    """Arrivals and cancellations per second, and the cancelled share of what leaves.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.

    Notes
    -----
    In: SignalInput, of which `orders` and venue times are read. Out: SignalBlock of
    order_bid_arrivals and order_ask_arrivals, new orders per second; order_bid_cancels and
    order_ask_cancels, orders per second that leave without their last part having been filled, be
    it to another price; order_cancel_share, of the quantity that left by either way the part that
    was not filled, from 0 to 1. Windows: the present slot of 250 ms and the 39 before it.
    Nulls: until 10 s after the first row about an order, after a gap or a snapshot; the share also
    where nothing left in the window, and on feeds that never say what was filled.
    Time: venue time. Chunks: any split gives the same bytes. State: 2 kB per instrument.
    Source: Cont, Stoikov, Talreja (2010), A Stochastic Model for Order Book Dynamics, for the
    rates; Hasbrouck, Saar (2009), Technology and Liquidity Provision, for what cancels so soon.
    """

    NAMES = (
        "order_bid_arrivals", "order_ask_arrivals", "order_bid_cancels", "order_ask_cancels",
        "order_cancel_share",
    )  # fmt: skip

    def __init__(self, n_instruments: int) -> None:
        self.n_instruments = n_instruments

    def initial(self) -> OrderRatesState:
        n = self.n_instruments
        return OrderRatesState(
            blank_windows(n, _SUMS), np.zeros(n, np.int64), np.full(n, NEVER),
            np.zeros(n, np.int64), np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: OrderRatesState, rows: SignalInput, values: F8, columns: I8) -> None:
        _walk(state, rows.k, rows.market.ts_event_ns, rows.orders, values, columns)


@kernel
def _walk(
    memory: OrderRatesState, rows_k: I4, ts_ns: I8, events: OrderEvents, values: F8, columns: I8
) -> None:
    m = 0
    for i in range(rows_k.size):
        k = rows_k[i]
        if not 0 <= k < memory.now_ns.size:
            show_nothing(values, i, columns)
            continue
        told = m < events.at.size and events.at[m] == i
        if told or memory.since_ns[k] != NEVER:
            memory.now_ns[k] = max(memory.now_ns[k], ts_ns[i])
            roll(memory.windows, k, memory.now_ns[k])
            if told:
                _take(memory, k, events, m)
                m += 1
            _hold(memory, k)
        show(values, i, columns, memory.held, k)


@kernel
def _take(memory: OrderRatesState, k: int, events: OrderEvents, m: int) -> None:
    what, asks, windows = events.what[m], 0 if events.side[m] > 0 else 1, memory.windows
    if what & LOST:
        memory.since_ns[k] = memory.now_ns[k]
        windows.slots[k] = 0.0
        windows.total[k] = 0.0
        return
    if memory.since_ns[k] == NEVER:
        memory.since_ns[k] = memory.now_ns[k]
    if what & JOINED and what & NEW:
        add(windows, k, ARRIVED + asks, 1.0)
    filled = events.filled_qty[m] if what & FILLED else 0.0
    if what & FILLED:
        memory.tells[k] = 1
        add(windows, k, DONE, filled)
    if what & LEFT and events.left_qty[m] > filled:
        add(windows, k, CANCELLED, events.left_qty[m] - filled)
        if what & GONE:
            add(windows, k, LAPSED + asks, 1.0)


@kernel
def _hold(memory: OrderRatesState, k: int) -> None:
    held, total = memory.held[k], memory.windows.total[k]
    if memory.now_ns[k] - memory.since_ns[k] < WINDOW_NS:
        held[:] = np.nan
        return
    for j in range(4):
        held[j] = total[j] / _WINDOW_S
    left = total[CANCELLED] + total[DONE]
    held[_SHARE] = total[CANCELLED] / left if memory.tells[k] and left > 0.0 else np.nan
