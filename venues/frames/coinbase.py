"""Coinbase Exchange: level2 without numbers, matches with the maker's side."""

from typing import ClassVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Raw, Struct

from schemas.kinds import Kind, Side
from venues.frames.fields import DefectError, Id, Name, Price, Qty, Stamp, stamp_ns
from venues.frames.parsed import Book, Event
from venues.frames.parser import Draft, FrameParser
from venues.frames.venue import Proof, Venue, control, data, unused


class _Peek(Struct):
    type: Name


class _About(Struct):
    product_id: str


class _Snapshot(Struct):
    product_id: Name
    bids: list[tuple[Price, Qty]]
    asks: list[tuple[Price, Qty]]


class _Update(Struct):
    product_id: Name
    changes: list[tuple[str, Price, Qty]]
    time: Stamp


class _Match(Struct):
    product_id: Name
    trade_id: Id
    side: str
    size: Qty
    price: Price
    time: Stamp


class _RestBook(Struct):
    """Levels have a third part, the number of orders."""

    bids: list[tuple[Price, Qty, Raw]]
    asks: list[tuple[Price, Qty, Raw]]


class _RestTrade(Struct):
    trade_id: Id
    side: str
    size: Qty
    price: Price
    time: Stamp


class _Ticker(Struct):
    product_id: Name
    sequence: Id
    best_bid: Price
    best_ask: Price
    time: Stamp
    best_bid_size: Qty | None = None  # since 2022
    best_ask_size: Qty | None = None


_PEEK = msgspec.json.Decoder(_Peek)
_ABOUT = msgspec.json.Decoder(_About)
_SNAPSHOT = msgspec.json.Decoder(_Snapshot, strict=False)
_UPDATE = msgspec.json.Decoder(_Update, strict=False)
_MATCH = msgspec.json.Decoder(_Match, strict=False)
_TICKER = msgspec.json.Decoder(_Ticker, strict=False)
_REST_BOOK = msgspec.json.Decoder(_RestBook, strict=False)
_REST_TRADE = msgspec.json.Decoder(_RestTrade, strict=False)
_RAWS = msgspec.json.Decoder(list[Raw])
_TAKER = {"buy": Side.SELL, "sell": Side.BUY}  # the feed names the maker's side


class CoinbaseParser(FrameParser):
    """Nothing numbers level2: 98 of 100 lost updates would never cross the book."""

    venue = Venue(
        "coinbase",
        "Coinbase Exchange",
        Proof(),
        (
            data("snapshot", "BOOK", "all levels, without a time"),
            data("l2update", "BOOK", "changed levels"),
            data("match", "TRADE", "one trade"),
            data("ticker", "QUOTE", "best bid and ask with each trade"),
            data("last_match", "", "the trade before the subscription"),
            data("GET book", "BOOK", "all levels, to compare a book with"),
            data("GET trades", "TRADE", "older trades, the newest first"),
            control("subscriptions", "answer to a subscription"),
            control("heartbeat", "once a second"),
            control("error", "an error answer"),
            unused("status", "what products exist"),
            unused("received", "full channel"),
            unused("open", "full channel"),
            unused("done", "full channel"),
            unused("change", "full channel"),
            unused("activate", "full channel"),
        ),
    )
    handlers: ClassVar = {}

    def subject(self, frame: bytes) -> str:
        return _ABOUT.decode(frame).product_id

    def read(self, frame: bytes, draft: Draft, label: str) -> None:
        if label:
            self._read_rest(frame, draft, label)
            return
        self.dispatch(_PEEK.decode(frame).type, frame, draft)

    def _read_rest(self, frame: bytes, draft: Draft, label: str) -> None:
        """Path: /products/BTC-USD/book?level=2"""
        try:
            parts = urlsplit(label).path.strip("/").split("/")
        except ValueError as error:
            raise DefectError(f"label {label!r}: {error}") from None
        name, what = [*parts, "", "", ""][1:3]
        self.dispatch(f"GET {what}", frame, draft, name)

    def _snapshot(self, body: bytes, draft: Draft) -> None:
        found = _SNAPSHOT.decode(body)
        draft.elements = len(found.bids) + len(found.asks)
        draft.add(
            Book(self.symbol(found.product_id), 0, snapshot=True, bids=found.bids, asks=found.asks)
        )

    def _update(self, body: bytes, draft: Draft) -> None:
        found = _UPDATE.decode(body)
        draft.symbol = self.symbol(found.product_id)
        bids = [(price, qty) for side, price, qty in found.changes if side == "buy"]
        asks = [(price, qty) for side, price, qty in found.changes if side == "sell"]
        draft.elements = len(found.changes)
        if len(bids) + len(asks) != draft.elements:
            other = next(side for side, _, _ in found.changes if side not in _TAKER)
            raise DefectError(f"side {other!r} is neither buy nor sell")
        draft.add(Book(draft.symbol, stamp_ns(found.time), snapshot=False, bids=bids, asks=asks))

    def _match(self, body: bytes, draft: Draft) -> None:
        found = _MATCH.decode(body)
        if found.side not in _TAKER:
            raise DefectError(f"side {found.side!r} is neither buy nor sell")
        draft.elements = 1
        draft.add(
            Event(
                Kind.TRADE, self.symbol(found.product_id), stamp_ns(found.time), found.trade_id,
                _TAKER[found.side], found.price, found.size,
            )
        )  # fmt: skip

    def _last_match(self, body: bytes, draft: Draft) -> None:
        draft.supersede("the trade before the subscription")

    def _ticker(self, body: bytes, draft: Draft) -> None:
        found = _TICKER.decode(body)
        draft.elements = 1
        nan = float("nan")
        draft.add(
            Event(
                Kind.QUOTE, self.symbol(found.product_id), stamp_ns(found.time), found.sequence,
                bid_px=found.best_bid, ask_px=found.best_ask,
                bid_qty=nan if found.best_bid_size is None else found.best_bid_size,
                ask_qty=nan if found.best_ask_size is None else found.best_ask_size,
            )
        )  # fmt: skip

    def _rest_book(self, body: bytes, draft: Draft, name: str) -> None:
        draft.symbol = self.symbol(name)
        found = _REST_BOOK.decode(body)
        draft.elements = len(found.bids) + len(found.asks)
        draft.add(
            Book(
                draft.symbol, 0, snapshot=True,
                bids=[(price, qty) for price, qty, _ in found.bids],
                asks=[(price, qty) for price, qty, _ in found.asks],
            )
        )  # fmt: skip

    def _rest_trades(self, body: bytes, draft: Draft, name: str) -> None:
        symbol = self.symbol(name)

        def event(t: _RestTrade) -> Event:
            if t.side not in _TAKER:
                raise DefectError(f"side {t.side!r} is neither buy nor sell")
            return Event(
                Kind.TRADE, symbol, stamp_ns(t.time), t.trade_id, _TAKER[t.side], t.price, t.size
            )

        self.each(_RAWS.decode(body), _REST_TRADE, draft, event)


CoinbaseParser.handlers = {
    "snapshot": CoinbaseParser._snapshot,
    "l2update": CoinbaseParser._update,
    "match": CoinbaseParser._match,
    "last_match": CoinbaseParser._last_match,
    "ticker": CoinbaseParser._ticker,
    "GET book": CoinbaseParser._rest_book,
    "GET trades": CoinbaseParser._rest_trades,
}
