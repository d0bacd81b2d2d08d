"""Hyperliquid: the whole book of 20 levels a side with every message."""

from typing import ClassVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from schemas.kinds import Kind, Side
from venues.frames.fields import MS_NS, DefectError, Id, Ms, Name, Price, Qty, Rate
from venues.frames.funding import HYPERLIQUID_S
from venues.frames.parsed import Book, Event
from venues.frames.parser import Draft, FrameParser
from venues.frames.venue import Proof, Venue, control, data, unused


class _Outer(Struct):
    channel: Name
    data: Raw | UnsetType = UNSET


class _Level(Struct):
    px: Price
    sz: Qty


class _About(Struct):
    coin: Name


class _Book(Struct):
    coin: Name
    levels: tuple[list[_Level], list[_Level]]
    time: Ms


class _Bbo(Struct):
    coin: Name
    time: Ms
    bbo: tuple[_Level | None, _Level | None]


class _Trade(Struct):
    coin: Name
    px: Price
    side: str
    sz: Qty
    tid: Id
    time: Ms


class _Figures(Struct):
    mark: Price = field(name="markPx")
    oracle: Price = field(name="oraclePx")
    open_interest: Qty = field(name="openInterest")
    funding: Rate


class _Context(Struct):
    coin: Name
    ctx: _Figures


_OUTER = msgspec.json.Decoder(_Outer)
_RAWS = msgspec.json.Decoder(list[Raw])
_ABOUT = msgspec.json.Decoder(_About)
_BOOK = msgspec.json.Decoder(_Book, strict=False)
_BBO = msgspec.json.Decoder(_Bbo, strict=False)
_TRADE = msgspec.json.Decoder(_Trade, strict=False)
_CONTEXT = msgspec.json.Decoder(_Context, strict=False)
RECENT = "/info?type=recentTrades"  # as the label of an answer
_SIDES = {"B": Side.BUY, "A": Side.SELL}


class HyperliquidParser(FrameParser):
    """A lost message costs time, not truth: the next one is the whole book again."""

    venue = Venue(
        "hyperliquid",
        "Hyperliquid",
        Proof("every message is the whole book"),
        (
            data("l2Book", "BOOK", "20 levels a side, as a snapshot"),
            data("trades", "TRADE", "trades"),
            data("POST recentTrades", "TRADE", "last trades"),
            data("bbo", "QUOTE", "best bid and ask"),
            data("activeAssetCtx", "MARK, OPEN_INTEREST, FUNDING", "figures, without a time"),
            control("subscriptionResponse", "answer to a subscription"),
            control("pong", "answer to a ping"),
            control("error", "an error answer"),
            unused("candle", "the bar so far"),
            unused("allMids", "mid prices"),
        ),
    )
    handlers: ClassVar = {}

    def read(self, frame: bytes, draft: Draft, label: str) -> None:
        if label.startswith(RECENT):
            self.dispatch("POST recentTrades", Raw(frame), draft)
            return
        outer = _OUTER.decode(frame)
        body = Raw(b"null") if outer.data is UNSET else outer.data
        self.dispatch(outer.channel, body, draft)

    def _book(self, body: Raw, draft: Draft) -> None:
        draft.symbol = self.symbol(_ABOUT.decode(body).coin)
        found = _BOOK.decode(body)
        bids, asks = ([(one.px, one.sz) for one in side] for side in found.levels)
        draft.elements = len(bids) + len(asks)
        draft.add(
            Book(
                self.symbol(found.coin), found.time * MS_NS, snapshot=True, bids=bids, asks=asks,
                depth=20,
            )
        )  # fmt: skip

    def _bbo(self, body: Raw, draft: Draft) -> None:
        found = _BBO.decode(body)
        nan = float("nan")
        (bid_px, bid_qty), (ask_px, ask_qty) = (
            (side.px, side.sz) if side else (nan, nan) for side in found.bbo
        )
        draft.elements = 1
        draft.add(
            Event(
                Kind.QUOTE, self.symbol(found.coin), found.time * MS_NS,
                bid_px=bid_px, bid_qty=bid_qty, ask_px=ask_px, ask_qty=ask_qty,
            )
        )  # fmt: skip

    def _trades(self, body: Raw, draft: Draft) -> None:
        def event(t: _Trade) -> Event:
            if t.side not in _SIDES:
                raise DefectError(f"side {t.side!r} is neither A nor B")
            return Event(
                Kind.TRADE, self.symbol(t.coin), t.time * MS_NS, t.tid, _SIDES[t.side], t.px, t.sz
            )

        self.each(_RAWS.decode(body), _TRADE, draft, event)

    def _context(self, body: Raw, draft: Draft) -> None:
        found = _CONTEXT.decode(body)
        symbol, ctx = self.symbol(found.coin), found.ctx
        self.figures(
            [
                Event(Kind.MARK, symbol, 0, price=ctx.mark, ref=ctx.oracle),
                Event(Kind.OPEN_INTEREST, symbol, 0, qty=ctx.open_interest),
                Event(Kind.FUNDING, symbol, 0, price=ctx.funding, ref=HYPERLIQUID_S),
            ],
            draft,
        )


HyperliquidParser.handlers = {
    "l2Book": HyperliquidParser._book,
    "trades": HyperliquidParser._trades,
    "POST recentTrades": HyperliquidParser._trades,
    "bbo": HyperliquidParser._bbo,
    "activeAssetCtx": HyperliquidParser._context,
}
