"""Bitfinex, websocket version 2: channels by number; books by price, or order by order (R0)."""

import re
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from operators.market.books.words import OrderAction
from schemas.kinds import Kind, Side
from venues.frames.fields import MS_NS, DefectError, Id, Ms, Name, Price, Qty, Rate, SignedQty
from venues.frames.funding import BITFINEX_S
from venues.frames.parsed import Book, Event, Link
from venues.frames.parser import Draft, FrameParser
from venues.frames.venue import Proof, Venue, control, data, unused

CHANNELS_MAX = 1024  # the venue allows 30 on a connection
ORDERS_MAX = 10_000  # of an R0 channel; the venue shows at most 250 a side
RAW = "R0"
HISTORY = re.compile(r"/v2/trades/([^/?]+)/hist")  # path of older trades


class _Channel(NamedTuple):
    name: str
    symbol: str
    prec: str


class _Control(Struct):
    event: Name
    channel: str = ""
    chanId: Id | UnsetType = UNSET  # noqa: N815 (the venue's name)
    symbol: Name | UnsetType = UNSET
    prec: str = ""
    key: str = ""  # of a status channel: deriv:SYMBOL


class _Level(Struct, array_like=True):
    price: Price
    count: Id  # orders at the price; 0 removes it
    amount: SignedQty


class _Order(Struct, array_like=True):
    id: Id
    price: Qty  # 0 removes the order
    amount: SignedQty


class _Trade(Struct, array_like=True):
    id: Id
    time: Ms
    amount: SignedQty
    price: Price


class _Status(Struct, array_like=True):
    """Of a derivative. Places without a name are null, or of no use here."""

    time: Ms
    _1: object
    mid: object
    spot: Price | None  # of the venue's own spot market
    _4: object
    insurance: object
    _6: object
    next_time: object
    accrued: object  # of the next 8 h so far
    step: object
    _10: object
    funding: Rate | None  # of the present 8 h
    _12: object
    _13: object
    mark: Price | None
    _15: object
    _16: object
    open_interest: Qty | None


class _Ticker(Struct, array_like=True):
    bid: Price
    bid_qty: Qty
    ask: Price
    ask_qty: Qty


_RAWS = msgspec.json.Decoder(list[Raw])
_ID = msgspec.json.Decoder(Id)
_CONTROL = msgspec.json.Decoder(_Control)
_LEVEL = msgspec.json.Decoder(_Level)
_LEVELS = msgspec.json.Decoder(list[_Level])
_ORDER = msgspec.json.Decoder(_Order)
_ORDERS = msgspec.json.Decoder(list[_Order])
_TRADE = msgspec.json.Decoder(_Trade)
_STATUS = msgspec.json.Decoder(_Status)
_TICKER = msgspec.json.Decoder(_Ticker)
_DERIVATIVE = "deriv:"


class BitfinexParser(FrameParser):
    """Which channel is which is learnt from the answers to the subscriptions.

    With the connection's flag 65536 every frame ends in a number, heartbeats too. An order that
    leaves an R0 book comes without its price, so the open orders' prices are kept.
    """

    venue = Venue(
        "bitfinex",
        "Bitfinex v2",
        Proof("with flag 65536: each frame's number follows the one before, over all channels"),
        (
            data("book", "BOOK", "snapshot, then one changed level a frame; without times"),
            data("book R0", "BOOK", "the same order by order"),
            data("te", "TRADE", "one trade, at once"),
            data("ticker", "QUOTE", "best bid and ask, without a time"),
            data("status", "MARK, OPEN_INTEREST, FUNDING", "a derivative's figures"),
            data("GET hist", "TRADE", "older trades"),
            data("tu", "", "the trade of an earlier te, with its final id"),
            data("trades", "", "trades from before the subscription"),
            control("hb", "nothing happened in the channel"),
            control("info", "the session's version, maintenance"),
            control("conf", "answer to flags"),
            control("subscribed", "answer to a subscription, with the channel's number"),
            control("unsubscribed", "answer to the end of one"),
            control("pong", "answer to a ping"),
            control("error", "an error answer"),
            unused("cs", "checksum of the book, with flag 131072"),
            unused("candles", "bars so far"),
            unused("funding", "any channel of a lending market (symbols f...)"),
        ),
        "R0 recordings have no times at all: for books only, never merged",
    )
    handlers: ClassVar = {}

    def __init__(self, instruments: Sequence[str] | None = None) -> None:
        super().__init__(instruments)
        self.channels: dict[int, _Channel] = {}
        self.orders: dict[int, dict[int, tuple[float, bool]]] = {}  # channel: id: price, is bid

    def read(self, frame: bytes, draft: Draft, label: str) -> None:
        if path := HISTORY.match(label):
            draft.symbol = self.symbol(path[1])
            self.dispatch("GET hist", frame, draft)
            return
        if frame.lstrip()[:1] != b"[":
            self._control(frame, draft)
            return
        parts = _RAWS.decode(frame)
        if not 2 <= len(parts) <= 4:
            raise DefectError(f"Expected `array` of 2 to 4, got {len(parts)}")
        number = _ID.decode(parts[0])
        word = _word(parts[1])
        bare = 3 if word in ("te", "tu", "cs") else 2  # parts of a frame without its number
        if len(parts) < bare:
            raise DefectError(f"Expected `array` of {bare} for {word}, got {len(parts)}")
        if len(parts) > bare:
            last = _ID.decode(parts[bare])
            draft.link = Link(last, last, last - 1)
        if word in ("hb", "cs"):
            self.dispatch(word, parts, draft)
            return
        channel = self.channels.get(number)
        if channel is None:
            raise DefectError(f"channel {number} was not subscribed")
        draft.symbol = self.symbol(channel.symbol)
        name = word or channel.name
        if channel.symbol.startswith("f"):
            name = "funding"
        elif name == "book" and channel.prec == RAW:
            name = "book R0"
        self.dispatch(name, parts[bare - 1], draft, number)

    def _control(self, frame: bytes, draft: Draft) -> None:
        found = _CONTROL.decode(frame)
        self.dispatch(found.event, found, draft)
        symbol = found.symbol
        if found.key.startswith(_DERIVATIVE):
            symbol = found.key.removeprefix(_DERIVATIVE)
        if found.event == "subscribed" and found.chanId is not UNSET and symbol is not UNSET:
            if len(self.channels) >= CHANNELS_MAX and found.chanId not in self.channels:
                raise DefectError(f"channel {found.chanId} would be one of over {CHANNELS_MAX}")
            self.channels[found.chanId] = _Channel(found.channel, symbol, found.prec)

    def _book(self, body: Raw, draft: Draft, number: int) -> None:
        snapshot = _is_list_of_lists(body)
        found = _LEVELS.decode(body) if snapshot else [_LEVEL.decode(body)]
        if any(one.amount == 0.0 for one in found):
            raise DefectError("Expected an amount other than 0: its sign is the side")
        draft.elements = len(found)
        sized = [
            (one.price, abs(one.amount) if one.count else 0.0, one.amount > 0) for one in found
        ]
        draft.add(
            Book(
                draft.symbol, 0, snapshot=snapshot,
                bids=[(price, qty) for price, qty, bid in sized if bid],
                asks=[(price, qty) for price, qty, bid in sized if not bid],
            )
        )  # fmt: skip

    def _orders(self, body: Raw, draft: Draft, number: int) -> None:
        snapshot = _is_list_of_lists(body)
        found = _ORDERS.decode(body) if snapshot else [_ORDER.decode(body)]
        open_orders = {} if snapshot else self.orders.setdefault(number, {})
        rows: list[tuple[bool, float, float, int]] = []
        for one in found:
            known = open_orders.get(one.id)
            if one.price == 0.0 and known is None:
                raise DefectError(f"order {one.id} leaves, but was not known")
            if one.amount == 0.0:
                raise DefectError("Expected an amount other than 0: its sign is the side")
            price, bid = (one.price, one.amount > 0) if one.price else known or (0.0, False)
            rows.append((bid, price, abs(one.amount) if one.price else 0.0, one.id))
        if len(open_orders) + len(rows) > ORDERS_MAX:
            raise DefectError(f"the book would have more than {ORDERS_MAX} orders")
        for bid, price, qty, order in rows:
            if qty:
                open_orders[order] = price, bid
            else:
                open_orders.pop(order, None)
        self.orders[number] = open_orders
        draft.elements = len(found)
        rows.sort(key=lambda row: not row[0])  # bids first; stable
        draft.add(
            Book(
                draft.symbol, 0, snapshot=snapshot,
                bids=[(price, qty) for bid, price, qty, _ in rows if bid],
                asks=[(price, qty) for bid, price, qty, _ in rows if not bid],
                orders=[order for _, _, _, order in rows],
                actions=[_SET if qty else _DELETE for _, _, qty, _ in rows],
            )
        )  # fmt: skip

    def _trade(self, body: Raw, draft: Draft, number: int) -> None:
        made = _traded(_TRADE.decode(body), draft.symbol)
        draft.elements = 1
        draft.add(made)

    def _history(self, body: bytes, draft: Draft) -> None:
        self.each(_RAWS.decode(body), _TRADE, draft, lambda t: _traded(t, draft.symbol))

    def _update(self, body: Raw, draft: Draft, number: int) -> None:
        draft.supersede("the trade was told by te")

    def _trades(self, body: Raw, draft: Draft, number: int) -> None:
        draft.supersede("trades from before the subscription")

    def _status(self, body: Raw, draft: Draft, number: int) -> None:
        """The venue's own spot market stands in for the index, which it does not tell."""
        found, symbol = _STATUS.decode(body), draft.symbol
        at, spot = found.time * MS_NS, float("nan") if found.spot is None else found.spot
        events = []
        if found.mark is not None:
            events.append(Event(Kind.MARK, symbol, at, price=found.mark, ref=spot))
        if found.open_interest is not None:
            events.append(Event(Kind.OPEN_INTEREST, symbol, at, qty=found.open_interest))
        if found.funding is not None:
            events.append(Event(Kind.FUNDING, symbol, at, price=found.funding, ref=BITFINEX_S))
        self.figures(events, draft)

    def _ticker(self, body: Raw, draft: Draft, number: int) -> None:
        found = _TICKER.decode(body)
        draft.elements = 1
        draft.add(
            Event(
                Kind.QUOTE, draft.symbol, 0, bid_px=found.bid, bid_qty=found.bid_qty,
                ask_px=found.ask, ask_qty=found.ask_qty,
            )
        )  # fmt: skip


BitfinexParser.handlers = {
    "book": BitfinexParser._book,
    "book R0": BitfinexParser._orders,
    "te": BitfinexParser._trade,
    "GET hist": BitfinexParser._history,
    "tu": BitfinexParser._update,
    "trades": BitfinexParser._trades,
    "ticker": BitfinexParser._ticker,
    "status": BitfinexParser._status,
}

_SET, _DELETE = OrderAction.SET, OrderAction.DELETE
_WORD = msgspec.json.Decoder(str)


def _traded(found: _Trade, symbol: int) -> Event:
    if found.amount == 0.0:
        raise DefectError("Expected an amount other than 0: its sign is the side")
    return Event(
        Kind.TRADE, symbol, found.time * MS_NS, found.id,
        Side.BUY if found.amount > 0 else Side.SELL, found.price, abs(found.amount),
    )  # fmt: skip


def _word(raw: Raw) -> str:
    """The text in a frame's second place, "" where a list stands there."""
    return _WORD.decode(raw) if bytes(raw)[:1] == b'"' else ""


def _is_list_of_lists(raw: Raw) -> bool:
    return bytes(raw).replace(b" ", b"")[:2] in (b"[[", b"[]")
