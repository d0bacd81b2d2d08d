"""Answers of exchanges that are asked through ccxt, in its own words; see `venues.live.ccxt`."""

from typing import ClassVar

import msgspec
from msgspec import Raw, Struct

from schemas.kinds import Kind, Side
from venues.frames.fields import MS_NS, DefectError, Name, Price, Qty
from venues.frames.parsed import NO_TIME, Book, Event, Link
from venues.frames.parser import Draft, FrameParser
from venues.frames.venue import Proof, Venue, control, data

DEPTH = 20  # levels a side that are asked for; exchanges that send more are cut


class _Outer(Struct):
    type: str
    symbol: str = ""


class _Book(Struct):
    symbol: Name
    bids: list[tuple[Price, Qty]]
    asks: list[tuple[Price, Qty]]
    time: int | None = None  # ms
    nonce: int | None = None


class _Trade(Struct):
    price: Price
    qty: Qty
    side: str | None = None  # the taker's
    time: int | None = None


class _Trades(Struct):
    symbol: Name
    trades: list[Raw]


class _Ticker(Struct):
    symbol: Name
    bid: Price
    ask: Price
    bid_qty: Qty | None = None
    ask_qty: Qty | None = None
    time: int | None = None


_OUTER = msgspec.json.Decoder(_Outer)
_BOOK = msgspec.json.Decoder(_Book)
_TRADES = msgspec.json.Decoder(_Trades)
_TRADE = msgspec.json.Decoder(_Trade)
_TICKER = msgspec.json.Decoder(_Ticker)
_SIDES = {"buy": Side.BUY, "sell": Side.SELL, None: Side.UNKNOWN}
_NAN = float("nan")


class CcxtParser(FrameParser):
    """Every book is a whole one, and what happened between two of them is not known."""

    venue = Venue(
        "ccxt",
        "Exchanges that only ccxt knows",
        Proof(),
        (
            data("book", "BOOK", f"up to {DEPTH} levels a side, as a snapshot"),
            data("trades", "TRADE", "trades since the last answer, each once"),
            data("ticker", "QUOTE", "best bid and ask, where the exchange says them"),
            control("same", "an answer that says what the last one said"),
        ),
        notes="polled: each row joins several changes, so the instruments are `conflated`",
    )
    handlers: ClassVar = {}

    def read(self, frame: bytes, draft: Draft, label: str) -> None:
        self.dispatch(_OUTER.decode(frame).type, frame, draft)

    def subject(self, frame: bytes) -> str:
        return _OUTER.decode(frame).symbol

    def _book(self, body: bytes, draft: Draft) -> None:
        found = _BOOK.decode(body)
        bids, asks = found.bids[:DEPTH], found.asks[:DEPTH]
        link = None if found.nonce is None else Link(found.nonce, found.nonce, None)
        draft.elements = len(bids) + len(asks)
        draft.add(
            Book(
                self.symbol(found.symbol), _ns(found.time), snapshot=True, bids=bids, asks=asks,
                link=link, depth=DEPTH,
            )
        )  # fmt: skip

    def _trades(self, body: bytes, draft: Draft) -> None:
        found = _TRADES.decode(body)
        symbol = self.symbol(found.symbol)

        def event(trade: _Trade) -> Event:
            if trade.side not in _SIDES:
                raise DefectError(f"side {trade.side!r} is neither buy nor sell")
            side = _SIDES[trade.side]
            return Event(
                Kind.TRADE, symbol, _ns(trade.time), side=side, price=trade.price, qty=trade.qty
            )

        self.each(found.trades, _TRADE, draft, event)

    def _ticker(self, body: bytes, draft: Draft) -> None:
        found = _TICKER.decode(body)
        quote = Event(
            Kind.QUOTE, self.symbol(found.symbol), _ns(found.time),
            bid_px=found.bid, bid_qty=_NAN if found.bid_qty is None else found.bid_qty,
            ask_px=found.ask, ask_qty=_NAN if found.ask_qty is None else found.ask_qty,
        )  # fmt: skip
        self.figures([quote], draft)


CcxtParser.handlers = {
    "book": CcxtParser._book,
    "trades": CcxtParser._trades,
    "ticker": CcxtParser._ticker,
}


def _ns(ms: int | None) -> int:
    """NO_TIME where the exchange gives none: the receive time then stands in."""
    if ms is None:
        return NO_TIME
    if not 0 < ms <= (2**63 - 1) // MS_NS:
        raise DefectError(f"time {ms} ms is not between 1970 and 2262")
    return ms * MS_NS
