"""Kraken Futures, websocket version 1: one changed level per message, numbered per product."""

import re
from typing import ClassVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from schemas.kinds import Kind, Side
from venues.frames.fields import MS_NS, DefectError, Id, Ms, Name, Price, Qty, Rate
from venues.frames.funding import KRAKEN_FUTURES_S
from venues.frames.parsed import Book, Event, Link
from venues.frames.parser import Draft, FrameParser
from venues.frames.venue import Proof, Venue, control, data, unused


class _Peek(Struct):
    event: str = ""
    feed: str = ""


class _About(Struct):
    product_id: str


class _Level(Struct):
    price: Price
    qty: Qty


class _Snapshot(Struct):
    product_id: Name
    timestamp: Ms
    seq: Id
    bids: list[_Level]
    asks: list[_Level]


class _Change(Struct):
    product_id: Name
    side: str
    seq: Id
    price: Price
    qty: Qty
    timestamp: Ms


class _Trade(Struct):
    product_id: Name
    side: str
    seq: Id
    time: Ms
    qty: Qty
    price: Price


class _Taker(Struct):
    direction: str


class _Execution(Struct):
    timestamp: Ms
    price: Price
    quantity: Qty
    taker: _Taker = field(name="takerOrder")


class _Named(Struct):
    execution: _Execution


class _ExecutionEvent(Struct):
    named: _Named = field(name="Execution")


class _Element(Struct):
    event: _ExecutionEvent


class _Executions(Struct):
    elements: list[Raw]


class _TickerLite(Struct):
    product_id: Name
    bid: Price
    ask: Price


class _Ticker(Struct):
    product_id: Name
    time: Ms
    bid: Price
    ask: Price
    bid_size: Qty
    ask_size: Qty
    mark: Price = field(name="markPrice")
    index: Price
    open_interest: Qty = field(name="openInterest")
    funding_rate: Rate | UnsetType = field(name="relative_funding_rate", default=UNSET)


_PEEK = msgspec.json.Decoder(_Peek)
_ABOUT = msgspec.json.Decoder(_About)
_SNAPSHOT = msgspec.json.Decoder(_Snapshot)
_CHANGE = msgspec.json.Decoder(_Change)
_TRADE = msgspec.json.Decoder(_Trade)
_EXECUTIONS = msgspec.json.Decoder(_Executions)
_ELEMENT = msgspec.json.Decoder(_Element, strict=False)
_LITE = msgspec.json.Decoder(_TickerLite)
_TICKER = msgspec.json.Decoder(_Ticker)
EXECUTIONS = re.compile(r"/api/history/v3/market/([^/?]+)/executions")  # path of older trades
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}


class KrakenFuturesParser(FrameParser):
    """Quantities are contracts. Times are milliseconds."""

    venue = Venue(
        "kraken_futures",
        "Kraken Futures",
        Proof("seq follows the seq before"),
        (
            data("book_snapshot", "BOOK", "all levels"),
            data("book", "BOOK", "one changed level"),
            data("trade", "TRADE", "one trade"),
            data("ticker_lite", "QUOTE", "best prices without sizes or time"),
            data("ticker", "QUOTE, MARK, OPEN_INTEREST, FUNDING", "best bid and ask, figures"),
            data("GET executions", "TRADE", "older trades, without their numbers"),
            data("trade_snapshot", "", "trades from before the subscription"),
            control("info", "the session's version"),
            control("subscribed", "answer to a subscription"),
            control("unsubscribed", "answer to the end of one"),
            control("alert", "an error answer"),
            control("error", "an error answer"),
            unused("heartbeat", "the venue's clock"),
        ),
        "quantities are contracts",
    )
    handlers: ClassVar = {}

    def subject(self, frame: bytes) -> str:
        return _ABOUT.decode(frame).product_id

    def read(self, frame: bytes, draft: Draft, label: str) -> None:
        if path := EXECUTIONS.match(label):
            self.dispatch("GET executions", frame, draft, path[1])
            return
        peek = _PEEK.decode(frame)
        self.dispatch(peek.event or peek.feed or "(no feed)", frame, draft)

    def _snapshot(self, body: bytes, draft: Draft) -> None:
        found = _SNAPSHOT.decode(body)
        draft.elements = len(found.bids) + len(found.asks)
        draft.add(
            Book(
                self.symbol(found.product_id), found.timestamp * MS_NS, snapshot=True,
                bids=[(one.price, one.qty) for one in found.bids],
                asks=[(one.price, one.qty) for one in found.asks],
                link=Link(found.seq, found.seq, found.seq - 1),
            )
        )  # fmt: skip

    def _change(self, body: bytes, draft: Draft) -> None:
        found = _CHANGE.decode(body)
        one = [(found.price, found.qty)]
        bid = _side(found.side) is Side.BUY
        draft.elements = 1
        draft.add(
            Book(
                self.symbol(found.product_id), found.timestamp * MS_NS, snapshot=False,
                bids=one if bid else [], asks=[] if bid else one,
                link=Link(found.seq, found.seq, found.seq - 1),
            )
        )  # fmt: skip

    def _trade(self, body: bytes, draft: Draft) -> None:
        found = _TRADE.decode(body)
        draft.elements = 1
        draft.add(
            Event(
                Kind.TRADE, self.symbol(found.product_id), found.time * MS_NS, found.seq,
                _side(found.side), found.price, found.qty,
            )
        )  # fmt: skip

    def _executions(self, body: bytes, draft: Draft, product: str) -> None:
        symbol = self.symbol(product)

        def event(one: _Element) -> Event:
            e = one.event.named.execution
            return Event(
                Kind.TRADE, symbol, e.timestamp * MS_NS, side=_side(e.taker.direction.lower()),
                price=e.price, qty=e.quantity,
            )  # fmt: skip

        self.each(_EXECUTIONS.decode(body).elements, _ELEMENT, draft, event)

    def _trade_snapshot(self, body: bytes, draft: Draft) -> None:
        draft.supersede("trades from before the subscription")

    def _lite(self, body: bytes, draft: Draft) -> None:
        found = _LITE.decode(body)
        draft.elements = 1
        draft.add(
            Event(Kind.QUOTE, self.symbol(found.product_id), 0, bid_px=found.bid, ask_px=found.ask)
        )

    def _ticker(self, body: bytes, draft: Draft) -> None:
        found = _TICKER.decode(body)
        symbol, time_ns = self.symbol(found.product_id), found.time * MS_NS
        quote = Event(
            Kind.QUOTE, symbol, time_ns, bid_px=found.bid, bid_qty=found.bid_size,
            ask_px=found.ask, ask_qty=found.ask_size,
        )  # fmt: skip
        events = [
            quote,
            Event(Kind.MARK, symbol, time_ns, price=found.mark, ref=found.index),
            Event(Kind.OPEN_INTEREST, symbol, time_ns, qty=found.open_interest),
        ]
        if found.funding_rate is not UNSET:  # a perpetual
            rate = found.funding_rate
            events.append(Event(Kind.FUNDING, symbol, time_ns, price=rate, ref=KRAKEN_FUTURES_S))
        self.figures(events, draft)


KrakenFuturesParser.handlers = {
    "book_snapshot": KrakenFuturesParser._snapshot,
    "book": KrakenFuturesParser._change,
    "trade": KrakenFuturesParser._trade,
    "GET executions": KrakenFuturesParser._executions,
    "trade_snapshot": KrakenFuturesParser._trade_snapshot,
    "ticker_lite": KrakenFuturesParser._lite,
    "ticker": KrakenFuturesParser._ticker,
}


def _side(text: str) -> Side:
    if text not in _SIDES:
        raise DefectError(f"side {text!r} is neither buy nor sell")
    return _SIDES[text]
