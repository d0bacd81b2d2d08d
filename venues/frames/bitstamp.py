"""Bitstamp, websocket version 2, and the REST books and trades that it starts from."""

from typing import ClassVar
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from schemas.kinds import Kind, Side
from venues.frames.fields import S_NS, US_NS, DefectError, Id, Price, Qty, Seconds, Us
from venues.frames.parsed import Book, Event, Link
from venues.frames.parser import Draft, FrameParser
from venues.frames.venue import Proof, Venue, control, data, unused


class _Outer(Struct):
    event: str = ""
    channel: str = ""
    data: Raw | UnsetType = UNSET


class _Diff(Struct):
    microtimestamp: Us
    bids: list[tuple[Price, Qty]]
    asks: list[tuple[Price, Qty]]


class _RestBook(Struct):
    timestamp: Seconds
    bids: list[tuple[Price, Qty]]
    asks: list[tuple[Price, Qty]]
    microtimestamp: Us | UnsetType = UNSET  # since 2019


class _Trade(Struct):
    id: Id
    amount_str: Qty
    price_str: Price
    type: int
    microtimestamp: Us


class _Transaction(Struct):
    date: Seconds
    tid: Id
    price: Price
    amount: Qty
    type: int


_OUTER = msgspec.json.Decoder(_Outer)
_RAWS = msgspec.json.Decoder(list[Raw])
_DIFF = msgspec.json.Decoder(_Diff, strict=False)
_REST_BOOK = msgspec.json.Decoder(_RestBook, strict=False)
_TRADE = msgspec.json.Decoder(_Trade, strict=False)
_TRANSACTION = msgspec.json.Decoder(_Transaction, strict=False)
_SIDES = {0: Side.BUY, 1: Side.SELL}


class BitstampParser(FrameParser):
    """Microtimestamps order the diffs, and tell which of them the REST snapshot contains."""

    venue = Venue(
        "bitstamp",
        "Bitstamp v2",
        Proof(),
        (
            data("diff_order_book", "BOOK", "changed levels"),
            data("live_trades", "TRADE", "one trade"),
            data("GET order_book", "BOOK", "snapshot"),
            data("GET transactions", "TRADE", "last trades"),
            control("bts:subscription_succeeded", "answer to a subscription"),
            control("bts:unsubscription_succeeded", "answer to the end of one"),
            control("bts:heartbeat", "answer to a ping"),
            control("bts:request_reconnect", "the venue asks for a new connection"),
            control("bts:error", "an error answer"),
            unused("order_book", "the 100 best levels, several times a second"),
            unused("detail_order_book", "the 100 best orders"),
            unused("live_orders", "order by order"),
            unused("GET ohlc", "bars"),
            unused("GET ticker", "statistics"),
            unused("GET trading-pairs-info", "what instruments exist"),
        ),
        "the snapshot comes by REST",
    )
    handlers: ClassVar = {}

    def read(self, frame: bytes, draft: Draft, label: str) -> None:
        if label:
            self._read_rest(frame, draft, label)
            return
        outer = _OUTER.decode(frame)
        if outer.event not in ("data", "trade") and not outer.event.startswith("order_"):
            self.dispatch(outer.event, outer, draft)
            return
        if outer.data is UNSET:
            raise DefectError("Object missing required field `data`")
        name, _, pair = outer.channel.rpartition("_")
        self.dispatch(name, outer.data, draft, pair)

    def _read_rest(self, frame: bytes, draft: Draft, label: str) -> None:
        """Path: /api/v2/order_book/btcusd/"""
        try:
            parts = urlsplit(label).path.strip("/").split("/")
        except ValueError as error:
            raise DefectError(f"label {label!r}: {error}") from None
        what, pair = [*parts, "", "", "", ""][2:4]
        self.dispatch(f"GET {what}", frame, draft, pair)

    def _diff(self, body: Raw, draft: Draft, pair: str) -> None:
        draft.symbol = self.symbol(pair)
        found = _DIFF.decode(body)
        draft.elements = len(found.bids) + len(found.asks)
        at = found.microtimestamp
        draft.add(
            Book(
                draft.symbol, at * US_NS, snapshot=False, bids=found.bids, asks=found.asks,
                link=Link(at, at, None),
            )
        )  # fmt: skip

    def _rest_book(self, body: bytes, draft: Draft, pair: str) -> None:
        draft.symbol = self.symbol(pair)
        found = _REST_BOOK.decode(body)
        at = found.microtimestamp
        draft.elements = len(found.bids) + len(found.asks)
        draft.add(
            Book(
                draft.symbol, found.timestamp * S_NS if at is UNSET else at * US_NS,
                snapshot=True, bids=found.bids, asks=found.asks,
                link=None if at is UNSET else Link(at, at, None),
            )
        )  # fmt: skip

    def _trade(self, body: Raw, draft: Draft, pair: str) -> None:
        found = _TRADE.decode(body)
        draft.elements = 1
        draft.add(
            Event(
                Kind.TRADE, self.symbol(pair), found.microtimestamp * US_NS, found.id,
                _side(found.type), found.price_str, found.amount_str,
            )
        )  # fmt: skip

    def _transactions(self, body: bytes, draft: Draft, pair: str) -> None:
        symbol = self.symbol(pair)

        def event(t: _Transaction) -> Event:
            return Event(Kind.TRADE, symbol, t.date * S_NS, t.tid, _side(t.type), t.price, t.amount)

        self.each(_RAWS.decode(body), _TRANSACTION, draft, event)


BitstampParser.handlers = {
    "diff_order_book": BitstampParser._diff,
    "live_trades": BitstampParser._trade,
    "GET order_book": BitstampParser._rest_book,
    "GET transactions": BitstampParser._transactions,
}


def _side(number: int) -> Side:
    if number not in _SIDES:
        raise DefectError(f"type {number} is neither 0 (buy) nor 1 (sell)")
    return _SIDES[number]
