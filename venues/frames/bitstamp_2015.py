"""Bitstamp's feed of 2015: orders one by one, recorded with the event's name beside the frame."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar

import msgspec
from msgspec import Struct

from operators.market.books.words import OrderAction
from schemas.kinds import Kind, Side
from venues.frames.fields import DefectError, Id, Price, Qty
from venues.frames.parsed import Book, Event
from venues.frames.parser import Draft, FrameParser
from venues.frames.venue import Proof, Venue, data

DELETED_MAX = 65_536  # ids remembered: hours of the busiest day, and late changes come within ms


class _Order(Struct):
    id: Id
    price: Price
    amount: Qty
    order_type: int


class _Trade(Struct):
    id: Id
    price: Price
    amount: Qty


class _Top(Struct):
    bids: list[tuple[Price, Qty]]
    asks: list[tuple[Price, Qty]]


_ORDER = msgspec.json.Decoder(_Order, strict=False)
_TRADE = msgspec.json.Decoder(_Trade, strict=False)
_TOP = msgspec.json.Decoder(_Top, strict=False)


class Bitstamp2015Parser(FrameParser):
    """Orders are book rows with the order's id; amount is what remains of the order.

    An order that is created or changed after it was deleted stays deleted: the feed swaps such
    messages within some ms, and brought back the order would cross the book for good. The
    exchange's times are whole seconds, and for changes those of the creation, so rows have the
    receive time. There is no opening book; it fills over the first minutes.
    """

    venue = Venue(
        "bitstamp_2015",
        "Bitstamp, feed of 2015",
        Proof(),
        (
            data("order_created", "BOOK", "an order enters the book"),
            data("order_changed", "BOOK", "what remains of an order"),
            data("order_deleted", "BOOK", "an order leaves, filled or cancelled"),
            data(
                "order_book", "QUOTE", "best prices of the venue's own snapshot, to check against"
            ),
            data("trade", "TRADE", "one trade, side not told"),
        ),
        "order by order; no opening book",
        starts_empty=True,
    )
    handlers: ClassVar = {}

    def __init__(self, instruments: Sequence[str] | None = ("BTCUSD",)) -> None:
        super().__init__(instruments)
        self.deleted: OrderedDict[int, None] = OrderedDict()

    def read(self, frame: bytes, draft: Draft, label: str) -> None:
        draft.symbol = self.only_symbol()
        self.dispatch(label or "(no event beside the frame)", frame, draft)

    def _created(self, body: bytes, draft: Draft) -> None:
        self._alive(_ORDER.decode(body), OrderAction.ADD, draft)

    def _changed(self, body: bytes, draft: Draft) -> None:
        self._alive(_ORDER.decode(body), OrderAction.CHANGE, draft)

    def _deleted(self, body: bytes, draft: Draft) -> None:
        found = _ORDER.decode(body)
        found.amount = 0.0  # it says what was left of the order
        self._order(found, OrderAction.DELETE, draft)
        self.deleted[found.id] = None
        if len(self.deleted) > DELETED_MAX:
            self.deleted.popitem(last=False)

    def _alive(self, found: _Order, action: OrderAction, draft: Draft) -> None:
        if found.id in self.deleted:
            draft.supersede("the order was deleted before")
        else:
            self._order(found, action, draft)

    def _order(self, found: _Order, action: OrderAction, draft: Draft) -> None:
        if found.order_type not in (0, 1):
            raise DefectError(f"order_type {found.order_type} is neither 0 (buy) nor 1 (sell)")
        one = [(found.price, found.amount)]
        bid = found.order_type == 0
        draft.elements = 1
        draft.add(
            Book(
                draft.symbol, 0, snapshot=False, bids=one if bid else [], asks=[] if bid else one,
                orders=[found.id],
                actions=[action],
            )
        )  # fmt: skip

    def _top(self, body: bytes, draft: Draft) -> None:
        found = _TOP.decode(body)
        nan = float("nan")
        (bid_px, bid_qty), (ask_px, ask_qty) = (
            side[0] if side else (nan, nan) for side in (found.bids, found.asks)
        )
        draft.elements = 1
        draft.add(
            Event(
                Kind.QUOTE, self.only_symbol(), 0,
                bid_px=bid_px, bid_qty=bid_qty, ask_px=ask_px, ask_qty=ask_qty,
            )
        )  # fmt: skip

    def _trade(self, body: bytes, draft: Draft) -> None:
        found = _TRADE.decode(body)
        draft.elements = 1
        draft.add(
            Event(
                Kind.TRADE, self.only_symbol(), 0, found.id, Side.UNKNOWN, found.price, found.amount
            )
        )


Bitstamp2015Parser.handlers = {
    "order_created": Bitstamp2015Parser._created,
    "order_changed": Bitstamp2015Parser._changed,
    "order_deleted": Bitstamp2015Parser._deleted,
    "order_book": Bitstamp2015Parser._top,
    "trade": Bitstamp2015Parser._trade,
}
