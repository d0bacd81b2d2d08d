"""OKX, version 5: books numbered and checksummed over the written digits."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from schemas.kinds import Kind, Side
from venues.frames.fields import (
    MS_NS,
    DefectError,
    Digits,
    Id,
    Ms,
    Name,
    Price,
    Qty,
    Rate,
    level,
    words,
)
from venues.frames.parsed import Book, Event, Link
from venues.frames.parser import INSTRUMENTS_MAX, UNREADABLE, Draft, FrameParser
from venues.frames.venue import Checksum, Proof, Venue, control, data, unused

HISTORY = "/api/v5/market/history-trades"  # path of older trades
DEPTHS = {"books": 400, "books-l2-tbt": 400, "books50-l2-tbt": 50}


class _Arg(Struct):
    channel: Name
    inst_id: Name | UnsetType = field(name="instId", default=UNSET)


class _Outer(Struct):
    event: str = ""
    arg: _Arg | UnsetType = UNSET
    action: str = ""
    data: list[Raw] | UnsetType = UNSET


class _Answer(Struct):
    code: str
    msg: str = ""
    data: list[Raw] | UnsetType = UNSET


class _Level(Struct, array_like=True):
    price: Digits
    qty: Digits


class _Book(Struct):
    asks: list[_Level]
    bids: list[_Level]
    ts: Ms
    checksum: int | UnsetType = UNSET
    seq: int | UnsetType = field(name="seqId", default=UNSET)
    prev: int | UnsetType = field(name="prevSeqId", default=UNSET)  # -1 in a snapshot


class _Trade(Struct):
    inst_id: Name = field(name="instId")
    trade_id: Id = field(name="tradeId")
    px: Price
    sz: Qty
    side: str
    ts: Ms


class _Ticker(Struct):
    inst_id: Name = field(name="instId")
    bid: Price = field(name="bidPx")
    bid_qty: Qty = field(name="bidSz")
    ask: Price = field(name="askPx")
    ask_qty: Qty = field(name="askSz")
    ts: Ms


class _Funding(Struct):
    inst_id: Name = field(name="instId")
    rate: Rate = field(name="fundingRate")
    time: Ms = field(name="fundingTime")
    next_time: Ms = field(name="nextFundingTime")
    ts: Ms


class _Mark(Struct):
    inst_id: Name = field(name="instId")
    mark: Price = field(name="markPx")
    ts: Ms


class _Index(Struct):
    inst_id: Name = field(name="instId")  # of the index: BTC-USDT
    price: Price = field(name="idxPx")


class _OpenInterest(Struct):
    inst_id: Name = field(name="instId")
    oi: Qty
    ts: Ms


_OUTER = msgspec.json.Decoder(_Outer)
_ANSWER = msgspec.json.Decoder(_Answer)
_BOOK = msgspec.json.Decoder(_Book, strict=False)
_TRADE = msgspec.json.Decoder(_Trade, strict=False)
_TICKER = msgspec.json.Decoder(_Ticker, strict=False)
_FUNDING = msgspec.json.Decoder(_Funding, strict=False)
_MARK = msgspec.json.Decoder(_Mark, strict=False)
_INDEX = msgspec.json.Decoder(_Index, strict=False)
_OI = msgspec.json.Decoder(_OpenInterest, strict=False)
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}


class OkxParser(FrameParser):
    """Quantities are contracts for derivatives, base units for spot."""

    venue = Venue(
        "okx",
        "OKX v5",
        Proof("prevSeqId is the seqId before (given since 2023)", Checksum.OKX),
        (
            data("books", "BOOK", "400 levels a side: snapshot, then changes, with a checksum"),
            data("books-l2-tbt", "BOOK", "the same, at once"),
            data("books50-l2-tbt", "BOOK", "the same, 50 levels a side"),
            data("trades", "TRADE", "trades; of one order at one price, as one"),
            data("trades-all", "TRADE", "each trade"),
            data("GET history-trades", "TRADE", "older trades"),
            data("tickers", "QUOTE", "best bid and ask"),
            data("funding-rate", "FUNDING", "next rate"),
            data("mark-price", "MARK", "mark price, with the last index price"),
            data("index-tickers", "", "index price, for the marks behind it"),
            data("open-interest", "OPEN_INTEREST", "open interest, in contracts"),
            control("subscribe", "answer to a subscription"),
            control("unsubscribe", "answer to the end of one"),
            control("channel-conn-count", "connections in use"),
            control("notice", "the venue asks for a new connection"),
            control("pong", "answer to a ping, as bare text"),
            control("error", "an error answer"),
            unused("books5", "five levels, several times a second"),
            unused("bbo-tbt", "the best level, as a book"),
            unused("instruments", "what instruments exist"),
            unused("candle", "the bar so far"),
        ),
        "quantities of derivatives are contracts",
    )
    handlers: ClassVar = {}

    def __init__(self, instruments: Sequence[str] | None = None) -> None:
        super().__init__(instruments)
        self._index_prices: dict[str, float] = {}

    def read(self, frame: bytes, draft: Draft, label: str) -> None:
        if frame == b"pong":
            self.dispatch("pong", frame, draft)
            return
        if label.partition("?")[0] == HISTORY:
            self.dispatch("GET history-trades", frame, draft)
            return
        outer = _OUTER.decode(frame)
        if outer.event or outer.arg is UNSET:
            self.dispatch(outer.event or "(no arg)", outer, draft)
            return
        name = outer.arg.channel
        self.dispatch("candle" if name.startswith("candle") else name, outer, draft)

    def _books(self, outer: _Outer, draft: Draft) -> None:
        assert outer.arg is not UNSET
        if outer.arg.inst_id is UNSET:
            raise DefectError("Object missing required field `instId` - at `$.arg`")
        if outer.action not in ("snapshot", "update"):
            raise DefectError(f"action {outer.action!r} is neither snapshot nor update")
        draft.symbol = self.symbol(outer.arg.inst_id)
        for raw in _data(outer):
            try:
                made = _book(
                    raw, draft.symbol, snapshot=outer.action == "snapshot",
                    depth=DEPTHS[outer.arg.channel],
                )  # fmt: skip
            except UNREADABLE as error:
                draft.elements += 1  # how many levels it had is not known
                draft.refuse(1, f"{draft.stream}: {words(error)}", book=draft.symbol)
            else:
                draft.elements += len(made.bids) + len(made.asks)
                draft.add(made)

    def _history(self, body: bytes, draft: Draft) -> None:
        answer = _ANSWER.decode(body)
        if answer.code != "0":
            raise DefectError(f"code {answer.code}: {answer.msg}")
        self._trades(answer, draft)

    def _trades(self, outer: _Outer | _Answer, draft: Draft) -> None:
        def event(t: _Trade) -> Event:
            if t.side not in _SIDES:
                raise DefectError(f"side {t.side!r} is neither buy nor sell")
            return Event(
                Kind.TRADE, self.symbol(t.inst_id), t.ts * MS_NS, t.trade_id, _SIDES[t.side],
                t.px, t.sz,
            )  # fmt: skip

        self.each(_data(outer), _TRADE, draft, event)

    def _tickers(self, outer: _Outer, draft: Draft) -> None:
        def event(t: _Ticker) -> Event:
            return Event(
                Kind.QUOTE, self.symbol(t.inst_id), t.ts * MS_NS,
                bid_px=t.bid, bid_qty=t.bid_qty, ask_px=t.ask, ask_qty=t.ask_qty,
            )  # fmt: skip

        self.each(_data(outer), _TICKER, draft, event)

    def _funding(self, outer: _Outer, draft: Draft) -> None:
        def event(f: _Funding) -> Event:
            interval_s = (f.next_time - f.time) / 1000
            if interval_s <= 0.0:
                raise DefectError(f"nextFundingTime {f.next_time} is not after {f.time}")
            return Event(
                Kind.FUNDING, self.symbol(f.inst_id), f.ts * MS_NS, price=f.rate, ref=interval_s
            )

        self.each(_data(outer), _FUNDING, draft, event)

    def _marks(self, outer: _Outer, draft: Draft) -> None:
        def event(m: _Mark) -> Event:
            index = "-".join(m.inst_id.split("-")[:2])
            ref = self._index_prices.get(index, float("nan"))
            return Event(Kind.MARK, self.symbol(m.inst_id), m.ts * MS_NS, price=m.mark, ref=ref)

        self.each(_data(outer), _MARK, draft, event)

    def _indices(self, outer: _Outer, draft: Draft) -> None:
        """No rows: an index is several contracts', and each mark has the last one."""
        for one in [_INDEX.decode(raw) for raw in _data(outer)]:
            if one.inst_id not in self._index_prices and len(self._index_prices) >= INSTRUMENTS_MAX:
                raise DefectError(f"index {one.inst_id!r} is one more than {INSTRUMENTS_MAX}")
            self._index_prices[one.inst_id] = one.price

    def _open_interest(self, outer: _Outer, draft: Draft) -> None:
        def event(o: _OpenInterest) -> Event:
            return Event(Kind.OPEN_INTEREST, self.symbol(o.inst_id), o.ts * MS_NS, qty=o.oi)

        self.each(_data(outer), _OI, draft, event)


OkxParser.handlers = {
    "books": OkxParser._books,
    "books-l2-tbt": OkxParser._books,
    "books50-l2-tbt": OkxParser._books,
    "trades": OkxParser._trades,
    "trades-all": OkxParser._trades,
    "GET history-trades": OkxParser._history,
    "tickers": OkxParser._tickers,
    "funding-rate": OkxParser._funding,
    "mark-price": OkxParser._marks,
    "index-tickers": OkxParser._indices,
    "open-interest": OkxParser._open_interest,
}


def _data(outer: _Outer | _Answer) -> list[Raw]:
    if outer.data is UNSET:
        raise DefectError("Object missing required field `data`")
    return outer.data


def _book(raw: Raw, symbol: int, *, snapshot: bool, depth: int) -> Book:
    found = _BOOK.decode(raw)
    # where messages are numbered the venue has begun to send 0 instead of a checksum
    numbered = found.seq is not UNSET
    checksum = (
        None if found.checksum is UNSET or (numbered and not found.checksum) else found.checksum
    )
    return Book(
        symbol, found.ts * MS_NS, snapshot=snapshot,
        bids=[level(one.price, one.qty, "$.bids") for one in found.bids],
        asks=[level(one.price, one.qty, "$.asks") for one in found.asks],
        link=_link(found), checksum=checksum, depth=depth,
        bid_texts=[(one.price, one.qty) for one in found.bids],
        ask_texts=[(one.price, one.qty) for one in found.asks],
    )  # fmt: skip


def _link(found: _Book) -> Link | None:
    if found.seq is UNSET or found.prev is UNSET:
        return None
    if not (0 <= found.seq < 2**63 and -1 <= found.prev < 2**63):
        raise DefectError(f"seqId {found.seq} after {found.prev} is out of range")
    return Link(found.seq, found.seq, found.prev)
