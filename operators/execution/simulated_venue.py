"""A venue that fills orders against the recorded market: spread, latency, fees, expiries.

It runs on the venue's clock. An order sent at t arrives at t minus the clock offset plus the order
latency and meets the rows of its instrument from that venue time on. The report is due at venue
time plus offset plus response latency, and never before the row that released it.

What fills at what: a market order at the best opposite price of the first row it meets; a stop
likewise once its price is touched (so gaps are paid); a limit order only when the market trades
through it, at its own price, or at once at the market where it arrives crossing. Sizes are small
beside the market's: there is no queue, no partial fill and no impact.
"""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import inlined, kernel
from operators.execution.orders import ORDER_FIELDS, OrderType
from operators.records import InstrumentRecords, Record, Records, blank_records
from operators.risk.worth import round_money
from schemas.instruments import InstrumentKind
from schemas.kinds import Flag, Kind, ReportCode, Role
from schemas.reasons import Reason
from schemas.rows import I8

TRADE, QUOTE, END = int(Kind.TRADE), int(Kind.QUOTE), int(Flag.END)
MARKET, STOP_ORDER, CONTRACT = int(OrderType.MARKET), int(OrderType.STOP), int(OrderType.BINARY)
FLATTEN = int(Role.FLATTEN)
FILLED, FILLED_MAKER = int(ReportCode.FILLED), int(ReportCode.FILLED_MAKER)
REJECTED, REFUNDED = int(ReportCode.REJECTED), int(ReportCode.REFUNDED)
WON, LOST = int(ReportCode.SETTLED_WON), int(ReportCode.SETTLED_LOST)
INVERSE = int(InstrumentKind.INVERSE)
GONE = -2  # watches nothing: a cancelled order, dropped when the walk comes by
ORDERS_MAX = 256  # 64 envelopes of at most four orders
REPORTS_MAX = 1024
SETTLE_AGE_NS_MAX = 60_000_000_000  # an older quote refunds a binary contract
WORK_FIELDS = ORDER_FIELDS | {
    "arrive_ns": "<i8",  # venue time, like all that follows
    "arrived": "<i8",  # 1 once it met a row
    "expire_ns": "<i8",
    "settle_ns": "<i8",  # of `settle_px`
    "strike_px": "<f8",
    "settle_px": "<f8",  # last mid at or before expiry
}
REPORT_FIELDS = {
    "due_ns": "<i8",  # our time
    "lane": "<i8",
    "row": "<i8",
    "side": "<i8",
    "code": "<i8",
    "role": "<i8",
    "reason": "<i8",
    "ref_id": "<i8",
    "ts_event_ns": "<i8",
    "price": "<f8",
    "qty": "<f8",
    "fee": "<f8",
}
NEVER = 2**62


class VenueRules(NamedTuple):
    """How long messages take."""

    order_latency_ns: int = 20_000_000
    response_latency_ns: int = 20_000_000


class VenueState(NamedTuple):
    """Working orders and reports on their way, the oldest first.

    `watched` and `next_expiry_ns` say what a row can touch, so that most rows touch nothing.
    """

    n_orders: I8  # (1,)
    orders: Records  # (ORDERS_MAX,) WORK_FIELDS
    n_reports: I8  # (1,)
    reports: Records  # (REPORTS_MAX,) REPORT_FIELDS
    watched: I8  # (ORDERS_MAX,) instrument row of each order, GONE if cancelled
    next_expiry_ns: I8  # (1,) our time at which the first binary contract may settle


def initial_venue() -> VenueState:
    """No order yet."""
    return VenueState(
        n_orders=np.zeros(1, np.int64),
        orders=blank_records(WORK_FIELDS, ORDERS_MAX),
        n_reports=np.zeros(1, np.int64),
        reports=blank_records(REPORT_FIELDS, REPORTS_MAX),
        watched=np.full(ORDERS_MAX, GONE, np.int64),
        next_expiry_ns=np.full(1, NEVER, np.int64),
    )


@kernel
def venue_take_order(
    rules: VenueRules, instruments: InstrumentRecords, state: VenueState, order: Record
) -> None:
    """An order sets out for the venue."""
    n = state.n_orders[0]
    if n >= ORDERS_MAX:
        raise RuntimeError("simulated venue: more orders than envelopes can have")
    work = state.orders[n]
    work.lane, work.ref_id, work.role = order.lane, order.ref_id, order.role
    work.order_type, work.row, work.side = order.order_type, order.row, order.side
    work.qty, work.price, work.hold_ns = order.qty, order.price, order.hold_ns
    work.sent_ns, work.market_seq = order.sent_ns, order.market_seq
    work.linked, work.reason = order.linked, order.reason
    offset_ns = instruments.of[order.row].clock_offset_ns
    work.arrive_ns = order.sent_ns - offset_ns + rules.order_latency_ns
    work.arrived, work.expire_ns, work.settle_ns = 0, 0, 0
    work.strike_px, work.settle_px = np.nan, np.nan
    state.watched[n] = order.row
    state.n_orders[0] = n + 1


@inlined
def venue_row(
    rules: VenueRules, instruments: InstrumentRecords, state: VenueState, row: Record
) -> None:
    """A row of the lane's market reaches the venue: orders arrive, fill, expire.

    Not so the row that ends the lane: the report that it caused would stand behind it.
    """
    if state.n_orders[0] == 0 or row["flags"] & END:
        return
    k = -1
    if row.kind in (TRADE, QUOTE) and not math.isnan(row.mid):
        k = instruments.base[row.lane] + row.symbol
    if row.ts_recv_ns > state.next_expiry_ns[0] or _is_watched(state, k):
        _walk(rules, instruments, state, row, k)


@inlined
def _is_watched(state: VenueState, k: int) -> bool:
    for m in range(state.n_orders[0]):  # noqa: SIM110 - numba compiles no generator
        if state.watched[m] == k:
            return True
    return False


@kernel
def _walk(
    rules: VenueRules, instruments: InstrumentRecords, state: VenueState, row: Record, k: int
) -> None:
    """Every order that the row can touch, the oldest first."""
    bid, ask = row.bid_px, row.ask_px
    if k >= 0 and not instruments.of[k].has_quotes:
        bid = row.price - 0.5 * instruments.of[k].tick
        ask = row.price + 0.5 * instruments.of[k].tick
    expiring = row.ts_recv_ns > state.next_expiry_ns[0]
    orders, watches, n_orders = state.orders, state.watched, state.n_orders
    m = 0
    while m < n_orders[0]:
        watched, done = watches[m], False
        if watched == GONE:
            done = True
        elif watched == k or expiring:
            order = orders[m]
            if order.order_type == CONTRACT:
                if order.lane == row.lane:
                    mid = 0.5 * (bid + ask)
                    done = _contract(rules, instruments, state, order, k, mid, row)
            elif watched == k:
                done = _work(rules, instruments, state, order, m, bid, ask, row)
        if done:
            _drop(state, m)
        else:
            m += 1
    if expiring:
        _reckon(instruments, state)


@kernel
def _reckon(instruments: InstrumentRecords, state: VenueState) -> None:
    """When the first contract may settle, in our time."""
    state.next_expiry_ns[0] = NEVER
    for m in range(state.n_orders[0]):
        order = state.orders[m]
        if order.order_type == CONTRACT and order.arrived:
            ours_ns = order.expire_ns + instruments.of[order.row].clock_offset_ns
            state.next_expiry_ns[0] = min(state.next_expiry_ns[0], ours_ns)


@inlined
def _work(
    rules: VenueRules,
    instruments: InstrumentRecords,
    state: VenueState,
    order: Record,
    m: int,
    bid: float,
    ask: float,
    row: Record,
) -> bool:
    """Market, limit and stop orders; True when the order is done."""
    if row.ts_event_ns < order.arrive_ns:  # also later: a late trade was before the order's time
        return False
    arriving = order.arrived == 0
    order.arrived = 1
    side, limit = order.side, order.price
    best = ask if side > 0 else bid
    if order.order_type == MARKET:
        code, reason, price = FILLED, order.reason, best
        if math.isnan(best):
            code, reason, price = REJECTED, Reason.VENUE_NO_MARKET.value, np.nan
        elif order.role == FLATTEN and order.linked and not _cancel_linked(state, m):
            code, reason, price = REJECTED, Reason.VENUE_REDUCE_ONLY.value, np.nan
        _report(rules, instruments, state, order, row, code, reason, price)
        return True
    code, price = 0, limit
    if order.order_type == STOP_ORDER:
        if (best - limit) * side >= 0.0:  # the best opposite price has reached the stop
            code, price = FILLED, best
    elif arriving and (limit - best) * side >= 0.0:
        code, price = FILLED, best
    elif (limit - best) * side > 0.0 or (row.kind == TRADE and (limit - row.price) * side > 0.0):
        code = FILLED_MAKER
    if code == 0:
        return False
    _report(rules, instruments, state, order, row, code, order.reason, price)
    _cancel_linked(state, m)
    return True


@kernel
def _cancel_linked(state: VenueState, m: int) -> bool:
    """Cancel the other orders of a stop and target pair; whether there were any."""
    order, found = state.orders[m], False
    for n in range(state.n_orders[0]):
        other = state.orders[n]
        mate = other.ref_id == order.ref_id and other.linked and other.role != FLATTEN
        if n != m and mate and state.watched[n] != GONE:
            state.watched[n] = GONE
            found = True
    return found


@inlined
def _contract(
    rules: VenueRules,
    instruments: InstrumentRecords,
    state: VenueState,
    order: Record,
    k: int,
    mid: float,
    row: Record,
) -> bool:
    """A binary contract: struck at the mid on arrival, settled once the lane's clock passes."""
    if k == order.row:
        if order.arrived == 0 and row.ts_event_ns >= order.arrive_ns:
            order.arrived, order.strike_px = 1, mid
            order.expire_ns = row.ts_event_ns + order.hold_ns
            order.settle_px, order.settle_ns = mid, row.ts_event_ns
            _report(rules, instruments, state, order, row, FILLED, 0, mid)
            _reckon(instruments, state)
        elif row.ts_event_ns <= order.expire_ns and (
            row.kind == QUOTE or not instruments.of[k].has_quotes
        ):  # a late trade carries the mid of a quote that may stand after the expiry
            order.settle_px, order.settle_ns = mid, row.ts_event_ns
    if order.arrived == 0:
        return False
    if row.ts_recv_ns - instruments.of[order.row].clock_offset_ns <= order.expire_ns:
        return False
    gain = (order.settle_px - order.strike_px) * order.side
    if order.expire_ns - order.settle_ns > SETTLE_AGE_NS_MAX:
        code, reason = REFUNDED, Reason.VENUE_REFUND_STALE.value
    elif gain == 0.0:
        code, reason = REFUNDED, Reason.VENUE_REFUND_TIE.value
    elif gain > 0.0:
        code, reason = WON, 0
    else:
        code, reason = LOST, 0
    _report(rules, instruments, state, order, row, code, reason, order.settle_px)
    return True


@kernel
def _report(
    rules: VenueRules,
    instruments: InstrumentRecords,
    state: VenueState,
    order: Record,
    row: Record,
    code: int,
    reason: int,
    price: float,
) -> None:
    """Put a report on its way; it is due in our time, at or after the row that released it."""
    n = state.n_reports[0]
    if n >= REPORTS_MAX:
        raise RuntimeError("simulated venue: more reports waiting than orders can cause")
    report, instrument = state.reports[n], instruments.of[order.row]
    settled = code in (WON, LOST, REFUNDED)
    event_ns = order.expire_ns if settled else row.ts_event_ns
    due_ns = event_ns + instrument.clock_offset_ns + rules.response_latency_ns
    report.due_ns, report.ts_event_ns = max(due_ns, row.ts_recv_ns), event_ns
    report.lane, report.row, report.side = order.lane, order.row, order.side
    report.code, report.role, report.reason = code, order.role, reason
    report.ref_id, report.price, report.qty, report.fee = order.ref_id, price, order.qty, 0.0
    if order.order_type != CONTRACT and code in (FILLED, FILLED_MAKER):
        report.fee = _fee(instrument, code, order.qty, price)
    state.n_reports[0] = n + 1


@kernel
def _fee(instrument: Record, code: int, qty: float, price: float) -> float:
    """In the quote asset, or the base asset of an inverse contract; positive is paid."""
    fraction = instrument.fee_maker if code == FILLED_MAKER else instrument.fee_taker
    size = qty * instrument.contract_size
    amount = size / price if instrument.kind == INVERSE else size * price
    return round_money(amount * fraction)


@inlined
def next_report(state: VenueState, ts_recv_ns: int, lane: int) -> int:
    """The waiting report that stands first before (`ts_recv_ns`, `lane`) in the order; -1: none.

    A report of the same time and lane as a row stands before it.
    """
    best = -1
    for n in range(state.n_reports[0]):
        due_ns, at = state.reports[n].due_ns, state.reports[n].lane
        if due_ns < ts_recv_ns or (due_ns == ts_recv_ns and at <= lane):
            first = state.reports[best]
            if best < 0 or (due_ns, at) < (first.due_ns, first.lane):
                best = n
    return best


@kernel
def drop_report(state: VenueState, n: int) -> None:
    """Report `n` has been delivered."""
    last = state.n_reports[0] - 1
    for m in range(n, last):
        state.reports[m] = state.reports[m + 1]
    state.n_reports[0] = last


@kernel
def close_lane(state: VenueState, lane: int) -> None:
    """The venue serves a lane no more: none of its orders is answered, no waiting report leaves.

    Orders and reports of the other lanes keep their order. When the first contract may settle is
    left as it was: a time too early costs a walk, and the walk reckons it anew.
    """
    m = 0
    while m < state.n_orders[0]:
        if state.orders[m].lane == lane:
            _drop(state, m)
        else:
            m += 1
    n = 0
    while n < state.n_reports[0]:
        if state.reports[n].lane == lane:
            drop_report(state, n)
        else:
            n += 1


@kernel
def _drop(state: VenueState, m: int) -> None:
    last = state.n_orders[0] - 1
    for n in range(m, last):
        state.orders[n] = state.orders[n + 1]
        state.watched[n] = state.watched[n + 1]
    state.n_orders[0] = last
