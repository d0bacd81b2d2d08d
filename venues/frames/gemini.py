"""Gemini, websocket version 2, and the REST books and trades of version 1."""

from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from schemas.kinds import Kind, Side
from venues.frames.fields import (
    MS_NS,
    Amount,
    DefectError,
    Id,
    Minutes,
    Ms,
    Name,
    Ns,
    Price,
    Qty,
    Rate,
)
from venues.frames.parsed import Book, Event
from venues.frames.parser import Draft, FrameParser
from venues.frames.venue import Proof, Venue, control, data, unused


class _Peek(Struct):
    type: str = ""
    result: str = ""


class _About(Struct):
    symbol: str


class _Updates(Struct):
    symbol: Name
    changes: list[tuple[str, Price, Qty]]
    trades: Raw | UnsetType = UNSET  # only in the first message: it is the snapshot


class _Trade(Struct):
    symbol: Name
    event_id: Id
    timestamp: Ms
    price: Price
    quantity: Qty
    side: str


class _Level(Struct):
    price: Price
    amount: Qty


class _RestBook(Struct):
    bids: list[_Level]
    asks: list[_Level]


class _Figures(Struct):
    symbol: Name  # BTCGUSDPERP, or BTC-GUSD-PERP
    changes: list[Raw]


class _Mark(Struct):
    timestamp: Ns
    mark_price: Price
    spot_index: Price


class _Funding(Struct):
    timestamp: Ns
    funding_amount: Amount  # dollars for a position of one coin, positive where longs pay
    funding_interval_in_minutes: Minutes


class _RiskStats(Struct):
    open_interest: Qty


class _RestTrade(Struct):
    timestampms: Ms
    tid: Id
    price: Price
    amount: Qty
    type: str


_PEEK = msgspec.json.Decoder(_Peek)
_RAWS = msgspec.json.Decoder(list[Raw])
_ABOUT = msgspec.json.Decoder(_About)
_UPDATES = msgspec.json.Decoder(_Updates, strict=False)
_TRADE = msgspec.json.Decoder(_Trade, strict=False)
_REST_BOOK = msgspec.json.Decoder(_RestBook, strict=False)
_FIGURES = msgspec.json.Decoder(_Figures)
_MARK = msgspec.json.Decoder(_Mark, strict=False)
_FUNDING = msgspec.json.Decoder(_Funding, strict=False)
_RISK_STATS = msgspec.json.Decoder(_RiskStats, strict=False)
_REST_TRADE = msgspec.json.Decoder(_RestTrade, strict=False)
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_CROSSES = {"auction": Side.UNKNOWN, "block": Side.UNKNOWN}  # trades without an aggressor


class GeminiParser(FrameParser):
    """The first message of a symbol is its snapshot; the trades in it came before and are none."""

    venue = Venue(
        "gemini",
        "Gemini v2",
        Proof(),
        (
            data("l2_updates", "BOOK", "snapshot, then changed levels; without times"),
            data("trade", "TRADE", "one trade"),
            data("GET book", "BOOK", "snapshot, 50 levels a side unless asked for more"),
            data("GET trades", "TRADE", "last trades"),
            data("mark_price_updates", "MARK", "a perpetual's mark and index price"),
            data("funding_amount_updates", "FUNDING", "its funding, as a share of the last mark"),
            data("GET riskstats", "OPEN_INTEREST", "its open interest, without a time"),
            control("heartbeat", "every five seconds"),
            control("subscribed", "answer to a subscription"),
            control("error", "an error answer"),
            unused("auction_open", "auctions"),
            unused("auction_indicative_price", "auctions"),
            unused("auction_outcome", "auctions"),
            unused("candles", "bars so far"),
            unused("GET auction", "auctions"),
            unused("GET pubticker", "statistics"),
            unused("GET ticker", "statistics"),
            unused("GET symbols", "what instruments exist"),
        ),
    )
    handlers: ClassVar = {}

    def __init__(self, instruments: Sequence[str] | None = None) -> None:
        super().__init__(instruments)
        self._marks: dict[int, float] = {}  # last mark price, by symbol

    def subject(self, frame: bytes) -> str:
        return _ABOUT.decode(frame).symbol

    def read(self, frame: bytes, draft: Draft, label: str) -> None:
        if frame.lstrip()[:1] == b"{":
            peek = _PEEK.decode(frame)
            if peek.result == "error":
                self.dispatch("error", frame, draft)
                return
            if not label:
                name = "candles" if peek.type.startswith("candles_") else peek.type
                self.dispatch(name or "(no type)", frame, draft)
                return
        self._read_rest(frame, draft, label)

    def _read_rest(self, frame: bytes, draft: Draft, label: str) -> None:
        """Path: /v1/trades/btcusd"""
        try:
            parts = urlsplit(label).path.strip("/").split("/")
        except ValueError as error:
            raise DefectError(f"label {label!r}: {error}") from None
        what, symbol = [*parts, "", "", ""][1:3]
        self.dispatch(f"GET {what}", frame, draft, symbol.upper())

    def _updates(self, body: bytes, draft: Draft) -> None:
        found = _UPDATES.decode(body)
        draft.symbol = self.symbol(found.symbol)
        for side, _, _ in found.changes:
            _side(side)
        draft.elements = len(found.changes)
        draft.add(
            Book(
                draft.symbol, 0, snapshot=found.trades is not UNSET,
                bids=[(price, qty) for side, price, qty in found.changes if side == "buy"],
                asks=[(price, qty) for side, price, qty in found.changes if side == "sell"],
            )
        )  # fmt: skip

    def _trade(self, body: bytes, draft: Draft) -> None:
        found = _TRADE.decode(body)
        draft.elements = 1
        draft.add(
            Event(
                Kind.TRADE, self.symbol(found.symbol), found.timestamp * MS_NS, found.event_id,
                _side(found.side), found.price, found.quantity,
            )
        )  # fmt: skip

    def _rest_book(self, body: bytes, draft: Draft, symbol: str) -> None:
        draft.symbol = self.symbol(symbol)
        found = _REST_BOOK.decode(body)
        draft.elements = len(found.bids) + len(found.asks)
        draft.add(
            Book(
                draft.symbol, 0, snapshot=True,
                bids=[(one.price, one.amount) for one in found.bids],
                asks=[(one.price, one.amount) for one in found.asks],
            )
        )  # fmt: skip

    def _rest_trades(self, body: bytes, draft: Draft, symbol: str) -> None:
        index = self.symbol(symbol)

        def event(t: _RestTrade) -> Event:
            side = _CROSSES[t.type] if t.type in _CROSSES else _side(t.type)
            return Event(Kind.TRADE, index, t.timestampms * MS_NS, t.tid, side, t.price, t.amount)

        self.each(_RAWS.decode(body), _REST_TRADE, draft, event)

    def _mark_prices(self, body: bytes, draft: Draft) -> None:
        found = _FIGURES.decode(body)
        symbol = self.symbol(found.symbol.replace("-", ""))

        def event(m: _Mark) -> Event:
            self._marks[symbol] = m.mark_price
            return Event(Kind.MARK, symbol, m.timestamp, price=m.mark_price, ref=m.spot_index)

        self.each(found.changes, _MARK, draft, event)

    def _funding_amounts(self, body: bytes, draft: Draft) -> None:
        """The venue tells dollars for a coin; the rate is their share of the last mark price."""
        found = _FIGURES.decode(body)
        symbol = self.symbol(found.symbol.replace("-", ""))

        def event(f: _Funding) -> Event:
            if symbol not in self._marks:
                raise DefectError("an amount is no rate before a mark price is known")
            rate = msgspec.convert(f.funding_amount / self._marks[symbol], Rate)
            interval_s = f.funding_interval_in_minutes * 60.0
            return Event(Kind.FUNDING, symbol, f.timestamp, price=rate, ref=interval_s)

        self.each(found.changes, _FUNDING, draft, event)

    def _risk_stats(self, body: bytes, draft: Draft, symbol: str) -> None:
        found = _RISK_STATS.decode(body)
        self.figures(
            [Event(Kind.OPEN_INTEREST, self.symbol(symbol), 0, qty=found.open_interest)], draft
        )


GeminiParser.handlers = {
    "l2_updates": GeminiParser._updates,
    "trade": GeminiParser._trade,
    "mark_price_updates": GeminiParser._mark_prices,
    "funding_amount_updates": GeminiParser._funding_amounts,
    "GET book": GeminiParser._rest_book,
    "GET trades": GeminiParser._rest_trades,
    "GET riskstats": GeminiParser._risk_stats,
}


def _side(text: str) -> Side:
    if text not in _SIDES:
        raise DefectError(f"side {text!r} is neither buy nor sell")
    return _SIDES[text]
