"""Kraken spot, websocket version 2: books with a checksum over the written digits."""

from decimal import Decimal
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from schemas.kinds import Kind, Side
from venues.frames.fields import (
    S_NS,
    DefectError,
    Id,
    Name,
    Price,
    Qty,
    Stamp,
    level,
    stamp_ns,
    words,
    written,
)
from venues.frames.parsed import Book, Event
from venues.frames.parser import UNREADABLE, Draft, FrameParser
from venues.frames.venue import Checksum, Proof, Venue, control, data, unused

DEPTH_DEFAULT = 10  # levels a side where the subscription names none
DEPTHS = frozenset({10, 25, 100, 500, 1000})


class _Outer(Struct):
    channel: str = ""
    type: str = ""
    data: list[Raw] | UnsetType = UNSET
    method: str = ""
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _Subscribed(Struct):
    channel: str = ""
    symbol: Name | UnsetType = UNSET
    depth: int = DEPTH_DEFAULT


class _Level(Struct):
    price: Raw
    qty: Raw


class _About(Struct):
    symbol: Name


class _Book(Struct):
    symbol: Name
    bids: list[_Level]
    asks: list[_Level]
    checksum: Id
    timestamp: Stamp | UnsetType = UNSET  # snapshots had none for years


class _Trade(Struct):
    symbol: Name
    side: str
    price: Price
    qty: Qty
    trade_id: Id
    timestamp: Stamp


class _Ticker(Struct):
    symbol: Name
    bid: Price
    bid_qty: Qty
    ask: Price
    ask_qty: Qty
    timestamp: Stamp | UnsetType = UNSET


class _RestTrade(Struct, array_like=True):
    price: Price
    qty: Qty
    time_s: Raw
    side: str
    type: str
    misc: str
    trade_id: Id


class _RestTrades(Struct):
    """Trades by the venue's name of the pair, and beside them where the next page begins."""

    result: dict[str, Raw]


_OUTER = msgspec.json.Decoder(_Outer)
_SUBSCRIBED = msgspec.json.Decoder(_Subscribed)
_ABOUT = msgspec.json.Decoder(_About)
_BOOK = msgspec.json.Decoder(_Book)
_TRADE = msgspec.json.Decoder(_Trade)
_TICKER = msgspec.json.Decoder(_Ticker)
_REST_TRADES = msgspec.json.Decoder(_RestTrades)
_REST_TRADE = msgspec.json.Decoder(_RestTrade, strict=False)
_RAWS = msgspec.json.Decoder(list[Raw])
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_REST_SIDES = {"b": Side.BUY, "s": Side.SELL}
_REST_NAMES = {"BTC": "XBT", "DOGE": "XDG"}


class KrakenParser(FrameParser):
    """The book's depth is learnt from the answer to its subscription."""

    venue = Venue(
        "kraken",
        "Kraken spot v2",
        Proof(checksum=Checksum.KRAKEN),
        (
            data("book", "BOOK", "snapshot, then changed levels, with a checksum each"),
            data("trade", "TRADE", "trades; the snapshot repeats the last ones"),
            data("ticker", "QUOTE", "best bid and ask"),
            data("GET Trades", "TRADE", "older trades"),
            control("heartbeat", "nothing happened for a second"),
            control("status", "the venue's state"),
            control("subscribe", "answer to a subscription, with the book's depth"),
            control("unsubscribe", "answer to the end of a subscription"),
            control("pong", "answer to a ping"),
            control("error", "an error answer"),
            unused("ohlc", "the bar so far; no message says that it is closed"),
            unused("instrument", "what instruments exist"),
            unused("level3", "orders of accounts that log in"),
        ),
        "the book is cut to the subscribed depth after each message",
    )
    handlers: ClassVar = {}

    def __init__(self, instruments: list[str] | None = None) -> None:
        super().__init__(instruments)
        self.depth: dict[str, int] = {}  # per subscribed symbol

    def read(self, frame: bytes, draft: Draft, label: str) -> None:
        if label:
            self._read_rest(frame, draft, label)
            return
        outer = _OUTER.decode(frame)
        if outer.channel:
            self.dispatch(outer.channel, outer, draft)
            return
        self.dispatch(
            outer.method or ("error" if outer.error is not UNSET else "(no channel)"), outer, draft
        )
        if outer.method == "subscribe" and outer.result is not UNSET:
            self._subscribed(_SUBSCRIBED.decode(outer.result))

    def _subscribed(self, found: _Subscribed) -> None:
        if found.channel != "book" or found.symbol is UNSET:
            return
        if found.depth not in DEPTHS:
            raise DefectError(f"depth {found.depth} is not one of {sorted(DEPTHS)}")
        self.symbol(found.symbol)
        self.depth[found.symbol] = found.depth

    def _elements(self, outer: _Outer) -> list[Raw]:
        if outer.type not in ("snapshot", "update"):
            raise DefectError(f"type {outer.type!r} is neither snapshot nor update")
        if outer.data is UNSET:
            raise DefectError("Object missing required field `data`")
        return outer.data

    def _books(self, outer: _Outer, draft: Draft) -> None:
        for raw in self._elements(outer):
            draft.symbol = self.symbol(_ABOUT.decode(raw).symbol)
            try:
                made = self._book(raw, draft.symbol, snapshot=outer.type == "snapshot")
            except UNREADABLE as error:
                draft.elements += 1  # how many levels it had is not known
                draft.refuse(1, f"book: {words(error)}", book=draft.symbol)
            else:
                draft.elements += len(made.bids) + len(made.asks)
                draft.add(made)

    def _book(self, raw: Raw, symbol: int, *, snapshot: bool) -> Book:
        found = _BOOK.decode(raw)
        bid_texts = _texts(found.bids, "$.bids")
        ask_texts = _texts(found.asks, "$.asks")
        return Book(
            symbol,
            0 if found.timestamp is UNSET else stamp_ns(found.timestamp),
            snapshot=snapshot,
            bids=[level(*pair, "$.bids") for pair in bid_texts],
            asks=[level(*pair, "$.asks") for pair in ask_texts],
            checksum=found.checksum,
            depth=self.depth.get(found.symbol, DEPTH_DEFAULT),
            bid_texts=bid_texts,
            ask_texts=ask_texts,
        )

    def _trades(self, outer: _Outer, draft: Draft) -> None:
        elements = self._elements(outer)
        if outer.type == "snapshot":
            draft.supersede("trades from before the subscription")
            return
        self.each(elements, _TRADE, draft, self._trade)

    def _trade(self, found: _Trade) -> Event:
        if found.side not in _SIDES:
            raise DefectError(f"side {found.side!r} is neither buy nor sell")
        return Event(
            Kind.TRADE, self.symbol(found.symbol), stamp_ns(found.timestamp), found.trade_id,
            _SIDES[found.side], found.price, found.qty,
        )  # fmt: skip

    def _read_rest(self, frame: bytes, draft: Draft, label: str) -> None:
        """Path: /0/public/Trades?pair=XBTUSD&since=0"""
        try:
            parts = urlsplit(label)
        except ValueError as error:
            raise DefectError(f"label {label!r}: {error}") from None
        pair = parse_qs(parts.query).get("pair", [""])[0]
        self.dispatch(f"GET {parts.path.rpartition('/')[2]}", frame, draft, pair)

    def _rest_trades(self, body: bytes, draft: Draft, pair: str) -> None:
        names = [name for name in self.instruments if rest_pair(name) == pair]
        if len(names) != 1:
            raise DefectError(f"pair {pair!r} is not one of this feed's instruments")
        symbol = self.symbol(names[0])
        found = [raw for name, raw in _REST_TRADES.decode(body).result.items() if name != "last"]
        if len(found) != 1:
            raise DefectError(f"Expected trades of one pair, got {len(found)}")

        def event(t: _RestTrade) -> Event:
            if t.side not in _REST_SIDES:
                raise DefectError(f"side {t.side!r} is neither b nor s")
            at_ns = int(Decimal(written(bytes(t.time_s), "$[2]")) * S_NS)
            return Event(Kind.TRADE, symbol, at_ns, t.trade_id, _REST_SIDES[t.side], t.price, t.qty)

        self.each(_RAWS.decode(found[0]), _REST_TRADE, draft, event)

    def _tickers(self, outer: _Outer, draft: Draft) -> None:
        self.each(self._elements(outer), _TICKER, draft, self._ticker)

    def _ticker(self, found: _Ticker) -> Event:
        return Event(
            Kind.QUOTE, self.symbol(found.symbol),
            0 if found.timestamp is UNSET else stamp_ns(found.timestamp),
            bid_px=found.bid, bid_qty=found.bid_qty, ask_px=found.ask, ask_qty=found.ask_qty,
        )  # fmt: skip


KrakenParser.handlers = {
    "book": KrakenParser._books,
    "trade": KrakenParser._trades,
    "ticker": KrakenParser._tickers,
    "GET Trades": KrakenParser._rest_trades,
}


def rest_pair(name: str) -> str:
    """BTC/USD as REST requests name it: XBTUSD."""
    return "".join(_REST_NAMES.get(part, part) for part in name.split("/"))


def _texts(levels: list[_Level], where: str) -> list[tuple[str, str]]:
    return [
        (
            written(bytes(found.price), f"{where}[{k}].price"),
            written(bytes(found.qty), f"{where}[{k}].qty"),
        )
        for k, found in enumerate(levels)
    ]
