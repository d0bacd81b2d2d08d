"""Orders as records: what execute sends, and what a venue works on."""

from enum import IntEnum

from operators.arrays import kernel
from operators.records import Record, Records


class OrderType(IntEnum):
    """How an order meets the market."""

    MARKET = 1
    LIMIT = 2
    STOP = 3  # rests at the venue; becomes a market order when its price is touched
    BINARY = 4  # a fixed-expiry contract; `qty` is the stake


ORDER_FIELDS = {
    "lane": "<i8",
    "ref_id": "<i8",  # the envelope; (lane, ref_id, role) is the client id, used again only
    # for the order that follows a rejected one
    "role": "<i8",  # Role
    "order_type": "<i8",  # OrderType
    "row": "<i8",  # instrument row
    "side": "<i8",
    "qty": "<f8",  # base units or contracts; stake of a binary
    "price": "<f8",  # limit or stop price; NaN for market orders
    "hold_ns": "<i8",  # a binary's life, else 0
    "sent_ns": "<i8",  # ts_recv_ns of the row that caused it
    "market_seq": "<i8",  # that row
    "linked": "<i8",  # 1: of a stop and target pair, or ends that pair; one fill cancels the rest
    "reason": "<i8",  # why it was sent; becomes the reason of its fill
}


@kernel
def put_order(
    out: Records,
    n: int,
    lane: int,
    ref_id: int,
    role: int,
    order_type: int,
    row: int,
    side: int,
    qty: float,
    price: float,
    sent_ns: int,
    market_seq: int,
) -> Record:
    """Write one order to `out[n]` and return it; the rest of its fields are 0."""
    order = out[n]
    order.lane, order.ref_id, order.role, order.order_type = lane, ref_id, role, order_type
    order.row, order.side, order.qty, order.price = row, side, qty, price
    order.sent_ns, order.market_seq = sent_ns, market_seq
    order.hold_ns, order.linked, order.reason = 0, 0, 0
    return order
