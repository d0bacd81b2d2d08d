"""Kraken spot, websocket version 1: arrays that end in channel and pair, checksummed books."""

from typing import ClassVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from schemas.kinds import Kind, Side
from venues.frames.fields import (
    DefectError,
    Digits,
    Name,
    Price,
    Qty,
    SecondsText,
    level,
    seconds_ns,
)
from venues.frames.parsed import Book, Event
from venues.frames.parser import Draft, FrameParser
from venues.frames.venue import Checksum, Proof, Venue, control, data, unused


class _Control(Struct):
    event: Name


class _Level(Struct, array_like=True):
    price: Digits
    qty: Digits
    time: SecondsText


class _Snapshot(Struct, forbid_unknown_fields=True):
    asks: list[_Level] = field(name="as")
    bids: list[_Level] = field(name="bs")


class _Update(Struct, forbid_unknown_fields=True):
    asks: list[_Level] = field(name="a", default_factory=list)
    bids: list[_Level] = field(name="b", default_factory=list)
    checksum: str = field(name="c", default="")


class _Is(Struct):
    """Tells a snapshot from a change."""

    asks: Raw | UnsetType = field(name="as", default=UNSET)


class _Trade(Struct, array_like=True):
    price: Price
    qty: Qty
    time: SecondsText
    side: str


class _Top(Struct, array_like=True):
    price: Price
    lots: Raw
    qty: Qty


class _Ticker(Struct):
    ask: _Top = field(name="a")
    bid: _Top = field(name="b")


_RAWS = msgspec.json.Decoder(list[Raw])
_TEXT = msgspec.json.Decoder(Name)
_CONTROL = msgspec.json.Decoder(_Control)
_IS = msgspec.json.Decoder(_Is)
_SNAPSHOT = msgspec.json.Decoder(_Snapshot)
_UPDATE = msgspec.json.Decoder(_Update)
_TRADE = msgspec.json.Decoder(_Trade, strict=False)
_TICKER = msgspec.json.Decoder(_Ticker, strict=False)
_SIDES = {"b": Side.BUY, "s": Side.SELL}


class KrakenV1Parser(FrameParser):
    """A change of both sides comes as two objects; its checksum is in the last one."""

    venue = Venue(
        "kraken_v1",
        "Kraken spot v1",
        Proof(checksum=Checksum.KRAKEN),
        (
            data("book", "BOOK", "snapshot, then changed levels, with a checksum each"),
            data("trade", "TRADE", "trades, without ids"),
            data("ticker", "QUOTE", "best bid and ask, without a time"),
            control("heartbeat", "nothing happened for a second"),
            control("systemStatus", "the venue's state"),
            control("subscriptionStatus", "answer to a subscription"),
            control("pong", "answer to a ping"),
            control("error", "an error answer"),
            unused("spread", "best bid and ask with the time of the change"),
            unused("ohlc", "the bar so far"),
        ),
        "the book is cut to the subscribed depth after each message",
    )
    handlers: ClassVar = {}

    def read(self, frame: bytes, draft: Draft, label: str) -> None:
        if frame.lstrip()[:1] != b"[":
            self.dispatch(_CONTROL.decode(frame).event, frame, draft)
            return
        parts = _RAWS.decode(frame)
        if len(parts) < 4:
            raise DefectError(f"Expected `array` of 4 or 5, got {len(parts)}")
        channel, pair = _TEXT.decode(parts[-2]), _TEXT.decode(parts[-1])
        name, _, option = channel.partition("-")
        self.dispatch(name, parts[1:-2], draft, pair, option)

    def _book(self, bodies: list[Raw], draft: Draft, pair: str, option: str) -> None:
        draft.symbol = self.symbol(pair)
        if not option.isascii() or not option.isdigit() or len(option) > 4:
            raise DefectError(f"channel book-{option} names no depth")
        snapshot = any(_IS.decode(body).asks is not UNSET for body in bodies)
        found = [(_SNAPSHOT if snapshot else _UPDATE).decode(body) for body in bodies]
        bids = [one for part in found for one in part.bids]
        asks = [one for part in found for one in part.asks]
        checksum = "".join(part.checksum for part in found if isinstance(part, _Update))
        if checksum and not (checksum.isascii() and checksum.isdigit() and len(checksum) <= 10):
            raise DefectError(f"checksum {checksum!r} is no number")
        draft.elements = len(bids) + len(asks)
        draft.add(
            Book(
                draft.symbol,
                max((seconds_ns(one.time) for one in (*bids, *asks)), default=0),
                snapshot=snapshot,
                bids=[level(one.price, one.qty, "$.b") for one in bids],
                asks=[level(one.price, one.qty, "$.a") for one in asks],
                checksum=int(checksum) if checksum else None,
                depth=int(option),
                bid_texts=[(one.price, one.qty) for one in bids],
                ask_texts=[(one.price, one.qty) for one in asks],
            )
        )

    def _trades(self, bodies: list[Raw], draft: Draft, pair: str, option: str) -> None:
        symbol = self.symbol(pair)

        def event(found: _Trade) -> Event:
            if found.side not in _SIDES:
                raise DefectError(f"side {found.side!r} is neither b nor s")
            return Event(
                Kind.TRADE, symbol, seconds_ns(found.time), side=_SIDES[found.side],
                price=found.price, qty=found.qty,
            )  # fmt: skip

        for body in bodies:
            self.each(_RAWS.decode(body), _TRADE, draft, event)

    def _ticker(self, bodies: list[Raw], draft: Draft, pair: str, option: str) -> None:
        symbol = self.symbol(pair)
        for body in bodies:
            found = _TICKER.decode(body)
            draft.elements += 1
            draft.add(
                Event(
                    Kind.QUOTE, symbol, 0, bid_px=found.bid.price, bid_qty=found.bid.qty,
                    ask_px=found.ask.price, ask_qty=found.ask.qty,
                )
            )  # fmt: skip


KrakenV1Parser.handlers = {
    "book": KrakenV1Parser._book,
    "trade": KrakenV1Parser._trades,
    "ticker": KrakenV1Parser._ticker,
}
