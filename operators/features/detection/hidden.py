"""Executions of size that was not shown, in order-by-order feeds, where the venue says so."""

from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.detection.found import AlarmKind, Found, blank_found, tell
from operators.features.detection.rows import mask
from operators.features.flow.rows import show, show_nothing
from operators.features.flow.windows import Windows, add, blank_windows, roll
from operators.features.signal import Signal, SignalInput
from operators.market.books.words import OrderAction
from schemas.instruments import InstrumentArrays
from schemas.kinds import Flag, Kind
from schemas.rows import F8, I8, U1

ORDERS = 512  # whose shown size is remembered, per instrument; the newest keeps a shared place
_BOOK = int(Kind.BOOK)
_SNAPSHOT = int(Flag.SNAPSHOT)
_ADD, _CHANGE, _SET = int(OrderAction.ADD), int(OrderAction.CHANGE), int(OrderAction.SET)
_REDUCE, _DELETE = int(OrderAction.REDUCE), int(OrderAction.DELETE)
_EXECUTE, _HIDDEN_EXECUTION = int(OrderAction.EXECUTE), int(OrderAction.EXECUTE_HIDDEN)
_FILL = int(OrderAction.FILL)
_HIDDEN = int(AlarmKind.HIDDEN)
_MIX = 0x9E3779B1  # 2^32 over the golden ratio: neighbours land far apart


class HiddenState(NamedTuple):
    """One entry per instrument."""

    order_id: I8  # (instruments, ORDERS)
    shown: F8  # (instruments, ORDERS) what is left of the order; NaN: the place is free
    windows: Windows  # hidden volume against bids, against asks
    now_ns: I8
    held: F8


class _Terms(NamedTuple):
    half_lot: F8
    excluded: U1


class HiddenOrders(Signal[HiddenState]):
    """Volume of executions against orders that were not shown, or of more than they showed.

    Parameters
    ----------
    instruments : InstrumentArrays
    excluded : uint8, shape (instruments,), or None
        1 for instruments without order-by-order rows that can be trusted: all null.

    Notes
    -----
    In: SignalInput; rows of kind BOOK whose `code` is an OrderAction: side of the order, price,
    qty, ref_id (order). Out: SignalBlock of hidden_bid_qty and hidden_ask_qty, instrument's units:
    hidden volume of the present slot of 250 ms and the 39 before it, by the side of the resting
    order. Hidden is every EXECUTE_HIDDEN, and what an EXECUTE or FILL takes beyond the order's
    shown size.
    Orders that are not remembered, or were never seen, are believed to have shown all.
    Nulls: before the first row about an order, so always on feeds by level.
    Time: venue time. Chunks: any split gives the same bytes. State: 9 kB per instrument.
    Errors: ValueError where `excluded` has another shape.
    Source: the venues' own messages; Zotikov, Antonov (2021) for what a native iceberg is.
    """

    NAMES = ("hidden_bid_qty", "hidden_ask_qty")

    def __init__(self, instruments: InstrumentArrays, *, excluded: U1 | None = None) -> None:
        self._terms = _Terms(instruments.lot / 2.0, mask(excluded, instruments.lane.size))

    def initial(self) -> HiddenState:
        n = self._terms.half_lot.size
        return HiddenState(
            np.zeros((n, ORDERS), np.int64), np.full((n, ORDERS), np.nan), blank_windows(n, 2),
            np.zeros(n, np.int64), np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: HiddenState, rows: SignalInput, values: F8, columns: I8) -> None:
        self.watch(state, rows, values, columns, blank_found(0))

    def watch(
        self, state: HiddenState, rows: SignalInput, values: F8, columns: I8, found: Found
    ) -> None:
        """As `fill`, and note each hidden execution: price, hidden size; strength 1."""
        _walk(state, self._terms, rows, values, columns, found)

    def places(self, rows: SignalInput) -> int:
        """Alarms that these rows can cause at most."""
        return int(rows.k.size)


@kernel
def _walk(
    memory: HiddenState, terms: _Terms, rows: SignalInput, values: F8, columns: I8, found: Found
) -> None:
    market = rows.market
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < terms.half_lot.size:
            show_nothing(values, i, columns)
            continue
        memory.now_ns[k] = max(memory.now_ns[k], market.ts_event_ns[i])
        roll(memory.windows, k, memory.now_ns[k])
        told = market.kind[i] == _BOOK and market.code[i] != 0 and not terms.excluded[k]
        if told:
            hidden = _take(
                memory, k, market.flags[i], market.code[i], market.ref_id[i], market.qty[i]
            )  # fmt: skip
            if hidden > terms.half_lot[k]:
                side = 1 if market.side[i] > 0 else -1
                add(memory.windows, k, 0 if side > 0 else 1, hidden)
                tell(
                    found, i, _HIDDEN, side, market.price[i], hidden, 1.0, market.ts_recv_ns[i]
                )  # fmt: skip
        if told or not np.isnan(memory.held[k, 0]):
            memory.held[k, 0] = memory.windows.total[k, 0]
            memory.held[k, 1] = memory.windows.total[k, 1]
        show(values, i, columns, memory.held, k)


@kernel
def _take(memory: HiddenState, k: int, flags: int, action: int, order_id: int, qty: float) -> float:
    """One row about an order; gives what it shows to have been hidden."""
    if action == _HIDDEN_EXECUTION:
        return qty if 0.0 < qty < np.inf else 0.0
    at = int((((order_id ^ (order_id >> 31)) & 0x7FFFFFFF) * _MIX >> 20) & (ORDERS - 1))
    mine = memory.order_id[k, at] == order_id
    if action in (_ADD, _CHANGE, _SET):
        memory.order_id[k, at], memory.shown[k, at] = order_id, qty
        return 0.0
    if not mine or np.isnan(memory.shown[k, at]):
        return 0.0
    left = 0.0 if action == _DELETE else memory.shown[k, at] - qty
    memory.shown[k, at] = left if left > 0.0 else np.nan
    return max(-left, 0.0) if action in (_EXECUTE, _FILL) else 0.0
