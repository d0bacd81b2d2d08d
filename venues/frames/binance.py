"""Binance: spot, USDT-margined and coin-margined, which differ in little but times and chaining."""

from typing import ClassVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from schemas.kinds import Kind, Side
from venues.frames.bars import bar_event
from venues.frames.binance_rest import REST, REST_TYPES, BinanceRestParser, PathLabel
from venues.frames.fields import MS_NS, DefectError, Id, Ms, Name, Price, Qty, Rate
from venues.frames.parsed import Book, Event, Link
from venues.frames.parser import Draft
from venues.frames.venue import Proof, Venue, control, data, unused

_TYPES = (
    data("depthUpdate", "BOOK", "changed levels, absolute quantities"),
    data("bookTicker", "QUOTE", "best bid and ask"),
    data("trade", "TRADE", "one trade"),
    data("aggTrade", "TRADE", "trades of one order at one price, as one"),
    data("kline", "BAR", "a bar; only closed ones, the bar so far is superseded"),
    data("markPriceUpdate", "MARK, FUNDING", "mark and index price, next funding rate"),
    control("subscribed", "answer to a subscription"),
    control("error", "an error answer"),
    unused("24hrTicker", "rolling statistics"),
    unused("24hrMiniTicker", "rolling statistics"),
    unused("avgPrice", "five-minute average"),
    unused("forceOrder", "liquidation orders, a sample of them"),
    unused("continuous_kline", "bars of a rolled contract"),
    unused("indexPriceUpdate", "index price alone"),
    unused("contractInfo", "listings"),
    *REST_TYPES,
)


class _Outer(Struct):
    """The combined stream's wrapper, or the message itself."""

    stream: str = ""
    data: Raw | UnsetType = UNSET
    e: str = ""
    id: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    code: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    last_update_id: Raw | UnsetType = field(default=UNSET, name="lastUpdateId")
    best_bid: Raw | UnsetType = field(default=UNSET, name="B")


class _Symbol(Struct):
    s: str = ""


class _About(_Symbol):
    data: _Symbol = field(default_factory=_Symbol)


class _Depth(Struct):
    s: Name
    U: Id
    u: Id
    b: list[tuple[Price, Qty]]
    a: list[tuple[Price, Qty]]
    E: Ms
    T: Ms | UnsetType = UNSET  # matching time: derivatives only
    pu: Id | UnsetType = UNSET  # last number of the message before: derivatives only


class _Quote(Struct):
    s: Name
    u: Id
    b: Price
    B: Qty
    a: Price
    A: Qty
    T: Ms | UnsetType = UNSET
    E: Ms | UnsetType = UNSET


class _Trade(Struct):
    s: Name
    p: Price
    q: Qty
    T: Ms
    m: bool  # the buyer was the maker, so the aggressor sold
    t: Id | UnsetType = UNSET
    a: Raw | UnsetType = UNSET  # id of an aggregate trade; of the seller's order on spot


class _Bar(Struct):
    t: Ms
    T: Ms
    o: Price
    h: Price
    l: Price  # noqa: E741 (the venue's name)
    c: Price
    v: Qty
    x: bool  # closed


class _Kline(Struct):
    s: Name
    k: _Bar


class _Mark(Struct):
    s: Name
    E: Ms
    p: Price
    i: Price | UnsetType = UNSET
    r: str = ""  # also "" for delivery contracts, which have no funding


_OUTER = msgspec.json.Decoder(_Outer)
_ABOUT = msgspec.json.Decoder(_About)
_DEPTH = msgspec.json.Decoder(_Depth, strict=False)
_QUOTE = msgspec.json.Decoder(_Quote, strict=False)
_TRADE = msgspec.json.Decoder(_Trade, strict=False)
_ID = msgspec.json.Decoder(Id)
_KLINE = msgspec.json.Decoder(_Kline, strict=False)
_MARK = msgspec.json.Decoder(_Mark, strict=False)


class BinanceParser(BinanceRestParser):
    """The three markets' common reader; times are milliseconds."""

    handlers: ClassVar = {}

    def subject(self, frame: bytes) -> str:
        found = _ABOUT.decode(frame)
        return found.s or found.data.s

    def read(self, frame: bytes, draft: Draft, label: str) -> None:
        if label:
            self._read_rest(frame, draft, PathLabel.of(label))
            return
        outer = _OUTER.decode(frame)
        body, kind = bytes(frame), outer
        if outer.data is not UNSET:
            body, kind = bytes(outer.data), _OUTER.decode(outer.data)
        if kind.last_update_id is not UNSET:
            self._read_rest(body, draft, PathLabel("depth", "", {}))
            return
        self.dispatch(_type_name(kind, outer.stream), body, draft)

    def _read_rest(self, frame: bytes, draft: Draft, label: PathLabel) -> None:
        if frame.lstrip()[:1] == b"{" and _OUTER.decode(frame).code is not UNSET:
            self.dispatch("error", frame, draft)
            return
        self.dispatch(label.name, frame, draft, label)

    def _depth(self, body: bytes, draft: Draft) -> None:
        found = _DEPTH.decode(body)
        if found.u < found.U:
            raise DefectError(f"u {found.u} is below U {found.U}")
        prev = found.U - 1 if found.pu is UNSET else found.pu
        if prev > found.u:
            raise DefectError(f"pu {prev} is above u {found.u}")
        time_ms = found.E if found.T is UNSET else found.T
        draft.elements = len(found.b) + len(found.a)
        draft.add(
            Book(
                self.symbol(found.s), time_ms * MS_NS, snapshot=False, bids=found.b, asks=found.a,
                link=Link(found.U, found.u, prev),
            )
        )  # fmt: skip

    def _quote(self, body: bytes, draft: Draft) -> None:
        found = _QUOTE.decode(body)
        time_ms = found.T or found.E or 0
        draft.elements = 1
        draft.add(
            Event(
                Kind.QUOTE, self.symbol(found.s), time_ms * MS_NS, found.u,
                bid_px=found.b, bid_qty=found.B, ask_px=found.a, ask_qty=found.A,
            )
        )  # fmt: skip

    def _trade(self, body: bytes, draft: Draft) -> None:
        found = _TRADE.decode(body)
        draft.elements = 1
        draft.add(self._trade_event(found, _trade_id(found)))

    def _trade_event(self, found: _Trade, number: int) -> Event:
        side = Side.SELL if found.m else Side.BUY
        return Event(
            Kind.TRADE, self.symbol(found.s), found.T * MS_NS, number, side, found.p, found.q
        )

    def _kline(self, body: bytes, draft: Draft) -> None:
        found = _KLINE.decode(body)
        bar = found.k
        if not bar.x:
            draft.supersede("the bar is still open")
            return
        draft.elements = 1
        draft.add(
            bar_event(
                self.symbol(found.s),
                open_ms=bar.t,
                close_ms=bar.T,
                prices=(bar.o, bar.h, bar.l, bar.c),
                volume=bar.v,
            )
        )

    def _mark(self, body: bytes, draft: Draft) -> None:
        found = _MARK.decode(body)
        symbol, time_ns = self.symbol(found.s), found.E * MS_NS
        index = float("nan") if found.i is UNSET else found.i
        events = [Event(Kind.MARK, symbol, time_ns, price=found.p, ref=index)]
        if found.r:
            rate = msgspec.convert(found.r, Rate, strict=False)
            interval_s = self.interval_s(found.s)
            events.append(Event(Kind.FUNDING, symbol, time_ns, price=rate, ref=interval_s))
        self.figures(events, draft)


BinanceParser.handlers = {
    "depthUpdate": BinanceParser._depth,
    "bookTicker": BinanceParser._quote,
    "trade": BinanceParser._trade,
    "aggTrade": BinanceParser._trade,
    "kline": BinanceParser._kline,
    "markPriceUpdate": BinanceParser._mark,
    **REST,
}


def _type_name(kind: _Outer, stream: str) -> str:
    if kind.e:
        return kind.e
    if kind.best_bid is not UNSET:  # spot's bookTicker alone does not say what it is
        return "bookTicker"
    if kind.code is not UNSET or kind.error is not UNSET:
        return "error"
    if kind.result is not UNSET and kind.id is not UNSET:
        return "subscribed"
    return stream.partition("@")[2] or "(no e)"


def _trade_id(found: _Trade) -> int:
    if found.t is not UNSET:
        return found.t
    if found.a is not UNSET:
        return _ID.decode(found.a)
    raise DefectError("Object missing required field `t`")


class BinanceSpotParser(BinanceParser):
    """Spot: a message's U is the number after the last u."""

    venue = Venue(
        "binance_spot",
        "Binance spot",
        Proof("U follows the u before"),
        _TYPES,
        "bookTicker has no time: the receive time stands in",
    )


class BinanceUsdmParser(BinanceParser):
    """USDT-margined: a message's pu is the last u."""

    venue = Venue("binance_usdm", "Binance USDT-margined", Proof("pu is the u before"), _TYPES)


class BinanceCoinmParser(BinanceParser):
    """Coin-margined: a message's pu is the last u; quantities are contracts."""

    venue = Venue(
        "binance_coinm",
        "Binance coin-margined",
        Proof("pu is the u before"),
        _TYPES,
        "quantities are contracts",
    )
