"""Bybit: version 5 (books by N levels), and the book and trade topics of 2021."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from schemas.kinds import Kind, Side
from venues.frames.bars import bar_event
from venues.frames.fields import (
    MS_NS,
    US_NS,
    DefectError,
    Hours,
    Id,
    Ms,
    Name,
    Price,
    Qty,
    Rate,
    Us,
)
from venues.frames.funding import BYBIT_S
from venues.frames.parsed import NO_SEQ, Book, Event, Link
from venues.frames.parser import Draft, FrameParser
from venues.frames.venue import Proof, Venue, control, data, unused

DEPTH_2021 = 25
RECENT = "/v5/market/recent-trade"  # path of the last trades
_DEPTHS = {"1": 1, "25": 25, "50": 50, "100": 100, "200": 200, "500": 500, "1000": 1000}


class _Outer(Struct):
    topic: str = ""
    type: str = ""
    op: str = ""
    success: bool | UnsetType = UNSET
    data: Raw | UnsetType = UNSET
    ts: Ms | UnsetType = UNSET
    cts: Ms | UnsetType = UNSET  # matching engine
    cross_seq: Id | UnsetType = UNSET
    timestamp_e6: Us | UnsetType = UNSET


class _Book(Struct):
    s: Name
    b: list[tuple[Price, Qty]]
    a: list[tuple[Price, Qty]]
    u: Id


class _Trade(Struct):
    T: Ms
    s: Name
    S: str
    v: Qty
    p: Price
    i: str = ""


class _Recent(Struct):
    id: str = field(name="execId")
    symbol: Name
    price: Price
    size: Qty
    side: str
    time: Ms


class _Result(Struct):
    trades: list[Raw] = field(name="list", default_factory=list)


class _Answer(Struct):
    code: int = field(name="retCode")
    message: str = field(name="retMsg", default="")
    result: _Result = field(default_factory=_Result)


class _Ticker(Struct):
    """A delta has only what changed."""

    symbol: Name
    mark: Price | UnsetType = field(name="markPrice", default=UNSET)
    index: Price | UnsetType = field(name="indexPrice", default=UNSET)
    open_interest: Qty | UnsetType = field(name="openInterest", default=UNSET)
    funding_rate: str = field(name="fundingRate", default="")  # "" for dated contracts
    funding_hours: str = field(name="fundingIntervalHour", default="")  # since 2025; "" for dated


class _Bar(Struct):
    start: Ms
    end: Ms
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Qty
    confirm: bool


class _OldLevel(Struct):
    price: Price
    side: str
    size: Qty = 0.0  # a deleted level has none


class _OldSnapshot(Struct):
    order_book: list[_OldLevel]


class _OldDelta(Struct):
    delete: list[_OldLevel]
    update: list[_OldLevel]
    insert: list[_OldLevel]


class _OldTrade(Struct):
    symbol: Name
    price: Price
    size: Qty
    side: str
    trade_time_ms: Ms


_OUTER = msgspec.json.Decoder(_Outer, strict=False)
_ANSWER = msgspec.json.Decoder(_Answer)
_RAWS = msgspec.json.Decoder(list[Raw])
_BOOK = msgspec.json.Decoder(_Book, strict=False)
_TRADE = msgspec.json.Decoder(_Trade, strict=False)
_RECENT = msgspec.json.Decoder(_Recent, strict=False)
_TICKER = msgspec.json.Decoder(_Ticker, strict=False)
_BARS = msgspec.json.Decoder(list[_Bar], strict=False)
_OLD_LEVELS = msgspec.json.Decoder(list[_OldLevel], strict=False)
_OLD_SNAPSHOT = msgspec.json.Decoder(_OldSnapshot, strict=False)
_OLD_DELTA = msgspec.json.Decoder(_OldDelta, strict=False)
_OLD_TRADE = msgspec.json.Decoder(_OldTrade, strict=False)
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}


class BybitParser(FrameParser):
    """A book has the N levels a side of its topic; the topics of 2021 have 25."""

    venue = Venue(
        "bybit",
        "Bybit v5, and the topics of 2021",
        Proof("u follows the u before; the books of 2021 are unprovable"),
        (
            data("orderbook", "BOOK", "snapshot, then changed levels"),
            data("publicTrade", "TRADE", "trades"),
            data("tickers", "MARK, OPEN_INTEREST, FUNDING", "the figures that changed"),
            data("kline", "BAR", "a bar; only confirmed ones, the bar so far is superseded"),
            data("GET recent-trade", "TRADE", "last trades"),
            data("orderBookL2_25", "BOOK", "2021: snapshot, then changed levels"),
            data("trade", "TRADE", "2021: trades"),
            control("subscribe", "answer to a subscription"),
            control("ping", "answer to a ping"),
            control("pong", "answer to a ping"),
            unused("liquidation", "liquidation orders"),
            unused("allLiquidation", "liquidation orders"),
        ),
    )
    handlers: ClassVar = {}

    def __init__(self, instruments: Sequence[str] | None = None) -> None:
        super().__init__(instruments)
        self._interval_s: dict[int, float] = {}  # of funding, by symbol: snapshots say it
        self._marks: dict[int, tuple[float, float]] = {}  # mark and index, by symbol

    def read(self, frame: bytes, draft: Draft, label: str) -> None:
        if label.partition("?")[0] == RECENT:
            self.dispatch("GET recent-trade", frame, draft)
            return
        outer = _OUTER.decode(frame)
        if not outer.topic:
            answer = "subscribe" if outer.success is not UNSET else "(no topic)"
            self.dispatch(outer.op or answer, outer, draft)
            return
        name, *parts = outer.topic.split(".")
        self.dispatch(name, outer, draft, parts)

    def _book(self, outer: _Outer, draft: Draft, parts: list[str]) -> None:
        if len(parts) != 2 or parts[0] not in _DEPTHS:
            raise DefectError(f"topic {outer.topic!r} is not orderbook.N.SYMBOL")
        draft.symbol = self.symbol(parts[1])
        found = _BOOK.decode(_data(outer))
        if parts[1] != found.s:
            raise DefectError(f"s {found.s!r} is not the topic's {parts[1]!r}")
        if outer.ts is UNSET:
            raise DefectError("Object missing required field `ts`")
        draft.elements = len(found.b) + len(found.a)
        draft.add(
            Book(
                draft.symbol, (outer.ts if outer.cts is UNSET else outer.cts) * MS_NS,
                # u = 1 is the first message after the venue's service restarted
                snapshot=_is_snapshot(outer) or found.u == 1,
                bids=found.b, asks=found.a, link=Link(found.u, found.u, found.u - 1),
                depth=_DEPTHS[parts[0]],
            )
        )  # fmt: skip

    def _trades(self, outer: _Outer, draft: Draft, parts: list[str]) -> None:
        def event(t: _Trade) -> Event:
            return Event(
                Kind.TRADE, self.symbol(t.s), t.T * MS_NS, _number(t.i), _side(t.S), t.p, t.v
            )

        self.each(_RAWS.decode(_data(outer)), _TRADE, draft, event)

    def _recent(self, body: bytes, draft: Draft) -> None:
        answer = _ANSWER.decode(body)
        if answer.code:
            raise DefectError(f"retCode {answer.code}: {answer.message}")

        def event(t: _Recent) -> Event:
            return Event(
                Kind.TRADE, self.symbol(t.symbol), t.time * MS_NS, _number(t.id), _side(t.side),
                t.price, t.size,
            )  # fmt: skip

        self.each(answer.result.trades, _RECENT, draft, event)

    def _ticker(self, outer: _Outer, draft: Draft, parts: list[str]) -> None:
        found = _TICKER.decode(_data(outer))
        if outer.ts is UNSET:
            raise DefectError("Object missing required field `ts`")
        symbol, at = self.symbol(found.symbol), outer.ts * MS_NS
        events = []
        mark, index = self._marks.get(symbol, (float("nan"), float("nan")))
        if found.mark is not UNSET or found.index is not UNSET:
            mark = mark if found.mark is UNSET else found.mark
            index = index if found.index is UNSET else found.index
            self._marks[symbol] = mark, index
            if mark > 0.0:  # an index before any mark is not a row
                events.append(Event(Kind.MARK, symbol, at, price=mark, ref=index))
        if found.open_interest is not UNSET:
            events.append(Event(Kind.OPEN_INTEREST, symbol, at, qty=found.open_interest))
        if found.funding_hours:
            hours = msgspec.convert(found.funding_hours, Hours, strict=False)
            self._interval_s[symbol] = hours * 3600.0
        if found.funding_rate:
            rate = msgspec.convert(found.funding_rate, Rate, strict=False)
            interval_s = self._interval_s.get(symbol, BYBIT_S)
            events.append(Event(Kind.FUNDING, symbol, at, price=rate, ref=interval_s))
        self.figures(events, draft)

    def _bars(self, outer: _Outer, draft: Draft, parts: list[str]) -> None:
        found = _BARS.decode(_data(outer))
        closed = [bar for bar in found if bar.confirm]
        if not closed:
            draft.supersede("the bar is still open")
            return
        if len(parts) != 2:
            raise DefectError(f"topic {outer.topic!r} is not kline.INTERVAL.SYMBOL")
        symbol = self.symbol(parts[1])
        bars = [
            bar_event(
                symbol,
                open_ms=bar.start,
                close_ms=bar.end,
                prices=(bar.open, bar.high, bar.low, bar.close),
                volume=bar.volume,
            )
            for bar in closed
        ]
        self.figures(bars, draft)

    def _old_book(self, outer: _Outer, draft: Draft, parts: list[str]) -> None:
        if len(parts) != 1 or outer.cross_seq is UNSET or outer.timestamp_e6 is UNSET:
            raise DefectError(
                "Object missing one of `topic` with a symbol, `cross_seq`, `timestamp_e6`"
            )
        draft.symbol = self.symbol(parts[0])
        snapshot = _is_snapshot(outer)
        levels = _old_levels(_data(outer), snapshot=snapshot)
        draft.elements = len(levels)
        draft.add(
            Book(
                draft.symbol, outer.timestamp_e6 * US_NS, snapshot=snapshot,
                bids=[(one.price, one.size) for one in levels if _side(one.side) is Side.BUY],
                asks=[(one.price, one.size) for one in levels if _side(one.side) is Side.SELL],
                link=Link(outer.cross_seq, outer.cross_seq, None), depth=DEPTH_2021,
            )
        )  # fmt: skip

    def _old_trades(self, outer: _Outer, draft: Draft, parts: list[str]) -> None:
        def event(t: _OldTrade) -> Event:
            return Event(
                Kind.TRADE, self.symbol(t.symbol), t.trade_time_ms * MS_NS,
                side=_side(t.side), price=t.price, qty=t.size,
            )  # fmt: skip

        self.each(_RAWS.decode(_data(outer)), _OLD_TRADE, draft, event)


class BybitLinearParser(BybitParser):
    """USDT and USDC contracts: the same frames, from another address."""

    venue = replace(BybitParser.venue, name="bybit_linear", title="Bybit linear, v5")


class BybitInverseParser(BybitParser):
    """Coin-margined contracts: the same frames, from another address."""

    venue = replace(
        BybitParser.venue,
        name="bybit_inverse",
        title="Bybit inverse, v5",
        notes="quantities are USD",
    )


BybitParser.handlers = {
    "orderbook": BybitParser._book,
    "publicTrade": BybitParser._trades,
    "GET recent-trade": BybitParser._recent,
    "tickers": BybitParser._ticker,
    "kline": BybitParser._bars,
    "orderBookL2_25": BybitParser._old_book,
    "trade": BybitParser._old_trades,
}


def _data(outer: _Outer) -> Raw:
    if outer.data is UNSET:
        raise DefectError("Object missing required field `data`")
    return outer.data


def _is_snapshot(outer: _Outer) -> bool:
    if outer.type not in ("snapshot", "delta"):
        raise DefectError(f"type {outer.type!r} is neither snapshot nor delta")
    return outer.type == "snapshot"


def _old_levels(body: Raw, *, snapshot: bool) -> list[_OldLevel]:
    """Snapshots are a list (coin-margined) or an object around it (USDT-margined)."""
    if not snapshot:
        found = _OLD_DELTA.decode(body)
        for one in found.delete:
            one.size = 0.0
        return [*found.delete, *found.update, *found.insert]
    if bytes(body)[:1] == b"[":
        return _OLD_LEVELS.decode(body)
    return _OLD_SNAPSHOT.decode(body).order_book


def _number(name: str) -> int:
    """Spot markets number their trades; derivatives name them by a UUID, of which 63 bits stay."""
    if len(name) < 20 and name.isascii() and name.isdigit():
        return int(name) if int(name) < 2**63 else NO_SEQ
    return int(name.replace("-", ""), 16) % 2**63 if _UUID.fullmatch(name) else NO_SEQ


def _side(text: str) -> Side:
    if text not in _SIDES:
        raise DefectError(f"side {text!r} is neither Buy nor Sell")
    return _SIDES[text]
