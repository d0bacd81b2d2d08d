"""Binance's REST answers: snapshots and what backfills are made of."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from schemas.kinds import Kind, Side
from venues.frames.bars import bar_event
from venues.frames.fields import MS_NS, DefectError, Hours, Id, Ms, Name, Price, Qty, Rate
from venues.frames.funding import BINANCE_S
from venues.frames.parsed import Book, Event, Link
from venues.frames.parser import Draft, FrameParser
from venues.frames.venue import MessageType, data, unused

_UNUSED = (
    "avgPrice", "basis", "continuousKlines", "exchangeInfo", "globalLongShortAccountRatio",
    "indexInfo", "indexPriceKlines", "markPriceKlines",
    "openInterestHist", "takerBuySellVol", "takerlongshortRatio", "topLongShortAccountRatio",
    "topLongShortPositionRatio", "24hr", "price",
)  # fmt: skip

REST_TYPES: tuple[MessageType, ...] = (
    data("GET depth", "BOOK", "snapshot, 1000 levels a side at most"),
    data("GET trades", "TRADE", "last trades"),
    data("GET historicalTrades", "TRADE", "older trades"),
    data("GET aggTrades", "TRADE", "aggregate trades"),
    data("GET klines", "BAR", "bars; one that was open when it came is refused"),
    data("GET bookTicker", "QUOTE", "best bid and ask"),
    data("GET fundingRate", "FUNDING", "settled rates"),
    data("GET fundingInfo", "", "funding intervals of the contracts that may have their own"),
    data("GET openInterest", "OPEN_INTEREST", "open interest"),
    data("GET premiumIndex", "MARK", "mark and index price"),
    *(unused(f"GET {name}", "statistics, or what instruments exist") for name in _UNUSED),
)


class PathLabel(NamedTuple):
    """What was asked: the last part of the path, its symbol, and the whole query."""

    path: str
    symbol: str
    query: dict[str, str]

    @classmethod
    def of(cls, label: str) -> "PathLabel":
        """From a URL, or a path and query. DefectError if it is neither."""
        try:
            parts = urlsplit(label)
        except ValueError as error:
            raise DefectError(f"label {label!r}: {error}") from None
        query = dict(parse_qsl(parts.query))
        path = parts.path.rstrip("/").rpartition("/")[2]
        return cls(path, query.get("symbol", "").upper(), query)

    @property
    def name(self) -> str:
        return f"GET {self.path}"


class _Depth(Struct):
    last_update_id: Id = field(name="lastUpdateId")
    bids: list[tuple[Price, Qty]]
    asks: list[tuple[Price, Qty]]
    T: Ms | UnsetType = UNSET
    symbol: Name | UnsetType = UNSET


class _Trade(Struct):
    id: Id
    price: Price
    qty: Qty
    time: Ms
    is_buyer_maker: bool = field(name="isBuyerMaker")


class _AggTrade(Struct):
    a: Id
    p: Price
    q: Qty
    T: Ms
    m: bool


class _Bar(Struct, array_like=True):
    open_ms: Ms
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Qty
    close_ms: Ms


class _Quote(Struct):
    symbol: Name
    bid: Price = field(name="bidPrice")
    bid_qty: Qty = field(name="bidQty")
    ask: Price = field(name="askPrice")
    ask_qty: Qty = field(name="askQty")
    time: Ms | UnsetType = UNSET


class _Funding(Struct):
    symbol: Name
    rate: Rate = field(name="fundingRate")
    time: Ms = field(name="fundingTime")


class _FundingInfo(Struct):
    symbol: Name
    hours: Hours = field(name="fundingIntervalHours")


class _OpenInterest(Struct):
    symbol: Name
    qty: Qty = field(name="openInterest")
    time: Ms


class _Premium(Struct):
    symbol: Name
    mark: Price = field(name="markPrice")
    index: Price = field(name="indexPrice")
    time: Ms


_RAWS = msgspec.json.Decoder(list[Raw])
_DEPTH = msgspec.json.Decoder(_Depth, strict=False)
_TRADE = msgspec.json.Decoder(_Trade, strict=False)
_AGG = msgspec.json.Decoder(_AggTrade, strict=False)
_BAR = msgspec.json.Decoder(_Bar, strict=False)
_QUOTE = msgspec.json.Decoder(_Quote, strict=False)
_FUNDING = msgspec.json.Decoder(_Funding, strict=False)
_INFOS = msgspec.json.Decoder(list[_FundingInfo], strict=False)
_OI = msgspec.json.Decoder(_OpenInterest, strict=False)
_PREMIUM = msgspec.json.Decoder(_Premium, strict=False)


class BinanceRestParser(FrameParser):
    """What the answers say that later frames need: funding intervals.

    Contracts that `fundingInfo` does not list are settled each 8 h, as all were in recordings
    without it. The list may have changed with each answer.
    """

    def __init__(self, instruments: Sequence[str] | None = None) -> None:
        super().__init__(instruments)
        self.own_interval_s: dict[str, float] = {}

    def interval_s(self, name: str) -> float:
        """Between two settlements of a contract."""
        return self.own_interval_s.get(name, BINANCE_S)


def _symbol(parser: FrameParser, label: PathLabel) -> int:
    return parser.symbol(label.symbol) if label.symbol else parser.only_symbol()


def _several(body: bytes) -> list[Raw]:
    """One object, or a list of them."""
    return _RAWS.decode(body) if body.lstrip()[:1] == b"[" else [Raw(body)]


def _depth(parser: FrameParser, body: bytes, draft: Draft, label: PathLabel) -> None:
    found = _DEPTH.decode(body)
    symbol = parser.symbol(found.symbol) if found.symbol is not UNSET else _symbol(parser, label)
    number = found.last_update_id
    draft.elements = len(found.bids) + len(found.asks)
    draft.add(
        Book(
            symbol, (found.T or 0) * MS_NS, snapshot=True, bids=found.bids, asks=found.asks,
            link=Link(number, number, number),
        )
    )  # fmt: skip


def _trades(parser: FrameParser, body: bytes, draft: Draft, label: PathLabel) -> None:
    symbol = _symbol(parser, label)

    def event(t: _Trade) -> Event:
        side = Side.SELL if t.is_buyer_maker else Side.BUY
        return Event(Kind.TRADE, symbol, t.time * MS_NS, t.id, side, t.price, t.qty)

    parser.each(_RAWS.decode(body), _TRADE, draft, event)


def _agg_trades(parser: FrameParser, body: bytes, draft: Draft, label: PathLabel) -> None:
    symbol = _symbol(parser, label)

    def event(t: _AggTrade) -> Event:
        return Event(Kind.TRADE, symbol, t.T * MS_NS, t.a, Side.SELL if t.m else Side.BUY, t.p, t.q)

    parser.each(_RAWS.decode(body), _AGG, draft, event)


def _bars(parser: FrameParser, body: bytes, draft: Draft, label: PathLabel) -> None:
    symbol = _symbol(parser, label)

    def event(bar: _Bar) -> Event:
        if draft.ts_recv_ns and bar.close_ms * MS_NS > draft.ts_recv_ns:
            raise DefectError("the bar is still open")
        return bar_event(
            symbol,
            open_ms=bar.open_ms,
            close_ms=bar.close_ms,
            prices=(bar.open, bar.high, bar.low, bar.close),
            volume=bar.volume,
        )

    parser.each(_RAWS.decode(body), _BAR, draft, event)


def _quotes(parser: FrameParser, body: bytes, draft: Draft, label: PathLabel) -> None:
    def event(q: _Quote) -> Event:
        return Event(
            Kind.QUOTE, parser.symbol(q.symbol), (q.time or 0) * MS_NS,
            bid_px=q.bid, bid_qty=q.bid_qty, ask_px=q.ask, ask_qty=q.ask_qty,
        )  # fmt: skip

    parser.each(_several(body), _QUOTE, draft, event)


def _funding(parser: BinanceRestParser, body: bytes, draft: Draft, label: PathLabel) -> None:
    def event(f: _Funding) -> Event:
        symbol, at = parser.symbol(f.symbol), f.time * MS_NS
        return Event(Kind.FUNDING, symbol, at, price=f.rate, ref=parser.interval_s(f.symbol))

    parser.each(_several(body), _FUNDING, draft, event)


def _funding_info(parser: BinanceRestParser, body: bytes, draft: Draft, label: PathLabel) -> None:
    found = _INFOS.decode(body)
    parser.own_interval_s = {one.symbol: one.hours * 3600.0 for one in found}


def _open_interest(parser: FrameParser, body: bytes, draft: Draft, label: PathLabel) -> None:
    def event(o: _OpenInterest) -> Event:
        return Event(Kind.OPEN_INTEREST, parser.symbol(o.symbol), o.time * MS_NS, qty=o.qty)

    parser.each(_several(body), _OI, draft, event)


def _premium(parser: FrameParser, body: bytes, draft: Draft, label: PathLabel) -> None:
    def event(p: _Premium) -> Event:
        return Event(Kind.MARK, parser.symbol(p.symbol), p.time * MS_NS, price=p.mark, ref=p.index)

    parser.each(_several(body), _PREMIUM, draft, event)


REST: dict[str, Callable[..., Any]] = {
    "GET depth": _depth,
    "GET trades": _trades,
    "GET historicalTrades": _trades,
    "GET aggTrades": _agg_trades,
    "GET klines": _bars,
    "GET bookTicker": _quotes,
    "GET fundingInfo": _funding_info,
    "GET fundingRate": _funding,
    "GET openInterest": _open_interest,
    "GET premiumIndex": _premium,
}
