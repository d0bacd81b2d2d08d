"""Deribit, version 2: books chained by change_id."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from schemas.kinds import Kind, Side
from venues.frames.fields import MS_NS, DefectError, Id, Ms, Name, Price, Qty, Rate
from venues.frames.funding import DERIBIT_S
from venues.frames.parsed import Book, Event, Link
from venues.frames.parser import Draft, FrameParser
from venues.frames.venue import Proof, Venue, control, data, unused


class _Params(Struct):
    channel: str = ""
    data: Raw | UnsetType = UNSET


class _Outer(Struct):
    method: str = ""
    params: _Params | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _About(Struct):
    instrument_name: Name


class _Book(Struct):
    type: str
    timestamp: Ms
    instrument_name: Name
    change_id: Id
    bids: list[tuple[str, Price, Qty]]
    asks: list[tuple[str, Price, Qty]]
    prev_change_id: Id | None = None


class _Trades(Struct):
    trades: list[Raw]


class _Trade(Struct):
    timestamp: Ms
    price: Price
    amount: Qty
    direction: str
    instrument_name: Name
    trade_seq: Id


class _Quote(Struct):
    instrument_name: Name
    timestamp: Ms
    best_bid_price: Qty | None  # null or 0 where nobody bids
    best_bid_amount: Qty | None
    best_ask_price: Qty | None
    best_ask_amount: Qty | None


class _Ticker(_Quote):
    mark_price: Price
    index_price: Price
    open_interest: Qty
    current_funding: Rate | UnsetType = UNSET  # perpetuals


_OUTER = msgspec.json.Decoder(_Outer)
_RAWS = msgspec.json.Decoder(list[Raw])
_ABOUT = msgspec.json.Decoder(_About)
_BOOK = msgspec.json.Decoder(_Book)
_TRADES = msgspec.json.Decoder(_Trades)
_TRADE = msgspec.json.Decoder(_Trade)
_QUOTE = msgspec.json.Decoder(_Quote)
_TICKER = msgspec.json.Decoder(_Ticker)
_ACTIONS = frozenset({"new", "change", "delete"})
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_RIGHTS = ("-C", "-P")  # how the names of options end


class DeribitParser(FrameParser):
    """Futures' quantities are USD, options' are contracts of one coin."""

    venue = Venue(
        "deribit",
        "Deribit v2",
        Proof("prev_change_id is the change_id before"),
        (
            data("book", "BOOK", "snapshot, then changed levels"),
            data("trades", "TRADE", "trades"),
            data("quote", "QUOTE", "best bid and ask"),
            data(
                "ticker",
                "QUOTE, MARK, OPEN_INTEREST, FUNDING",
                "figures; best bid and ask, unless quotes come too",
            ),
            data("GET trades", "TRADE", "older trades"),
            control("answer", "answer to a request"),
            control("error", "an error answer"),
            control("heartbeat", "the venue asks whether we live"),
            unused("book grouped", "levels grouped or cut: no changes, no chain"),
            unused("perpetual", "interest of a perpetual"),
            unused("deribit_price_index", "index price"),
            unused("deribit_volatility_index", "volatility index"),
            unused("chart", "bars so far"),
        ),
        "quantities of futures are USD",
    )
    handlers: ClassVar = {}

    def __init__(self, instruments: Sequence[str] | None = None) -> None:
        super().__init__(instruments)
        self._quoted: set[int] = set()  # symbols whose quotes come over a channel of their own

    def read(self, frame: bytes, draft: Draft, label: str) -> None:
        outer = _OUTER.decode(frame)
        if "/get_last_trades_by_instrument" in label and outer.result is not UNSET:
            self.dispatch("GET trades", outer.result, draft)
            return
        if outer.method != "subscription" or outer.params is UNSET:
            answer = "error" if outer.error is not UNSET else "answer"
            none = outer.error is UNSET and outer.result is UNSET
            self.dispatch(outer.method or ("(no method)" if none else answer), outer, draft)
            return
        if outer.params.data is UNSET:
            raise DefectError("Object missing required field `data` - at `$.params`")
        name, *parts = outer.params.channel.split(".")
        if name == "book" and len(parts) > 2:
            name = "book grouped"
        self.dispatch(name, outer.params.data, draft)

    def _book(self, body: Raw, draft: Draft) -> None:
        draft.symbol = self.symbol(_ABOUT.decode(body).instrument_name)
        found = _BOOK.decode(body)
        if found.type not in ("snapshot", "change"):
            raise DefectError(f"type {found.type!r} is neither snapshot nor change")
        snapshot = found.type == "snapshot"
        if not snapshot and found.prev_change_id is None:
            raise DefectError("Object missing required field `prev_change_id`")
        prev = found.change_id if found.prev_change_id is None else found.prev_change_id
        draft.elements = len(found.bids) + len(found.asks)
        draft.add(
            Book(
                draft.symbol, found.timestamp * MS_NS, snapshot=snapshot,
                bids=[_level(*one) for one in found.bids],
                asks=[_level(*one) for one in found.asks],
                link=Link(found.change_id, found.change_id, prev),
            )
        )  # fmt: skip

    def _rest_trades(self, body: Raw, draft: Draft) -> None:
        self._each_trade(_TRADES.decode(body).trades, draft)

    def _trades(self, body: Raw, draft: Draft) -> None:
        self._each_trade(_RAWS.decode(body), draft)

    def _each_trade(self, trades: list[Raw], draft: Draft) -> None:
        def event(t: _Trade) -> Event:
            if t.direction not in _SIDES:
                raise DefectError(f"direction {t.direction!r} is neither buy nor sell")
            return Event(
                Kind.TRADE, self.symbol(t.instrument_name), t.timestamp * MS_NS, t.trade_seq,
                _SIDES[t.direction], t.price, t.amount,
            )  # fmt: skip

        self.each(trades, _TRADE, draft, event)

    def _quote(self, body: Raw, draft: Draft) -> None:
        top = self._top(_QUOTE.decode(body))
        self._quoted.add(top.symbol)
        self.figures([top], draft)

    def _ticker(self, body: Raw, draft: Draft) -> None:
        """Its quote counts where no other channel has them: two of unlike age would take turns."""
        found = _TICKER.decode(body)
        top = self._top(found)
        symbol, at = top.symbol, top.ts_event_ns
        # an option's mark is no price of the index: it has none to be compared with
        index = float("nan") if found.instrument_name[-2:] in _RIGHTS else found.index_price
        events = [
            *([] if symbol in self._quoted else [top]),
            Event(Kind.MARK, symbol, at, price=found.mark_price, ref=index),
            Event(Kind.OPEN_INTEREST, symbol, at, qty=found.open_interest),
        ]
        if found.current_funding is not UNSET:  # accrues continuously, stated for eight hours
            rate = found.current_funding
            events.append(Event(Kind.FUNDING, symbol, at, price=rate, ref=DERIBIT_S))
        self.figures(events, draft)

    def _top(self, found: _Quote) -> Event:
        bid = _side_of(found.best_bid_price, found.best_bid_amount)
        ask = _side_of(found.best_ask_price, found.best_ask_amount)
        return Event(
            Kind.QUOTE, self.symbol(found.instrument_name), found.timestamp * MS_NS,
            bid_px=bid[0], bid_qty=bid[1], ask_px=ask[0], ask_qty=ask[1],
        )  # fmt: skip


DeribitParser.handlers = {
    "book": DeribitParser._book,
    "trades": DeribitParser._trades,
    "GET trades": DeribitParser._rest_trades,
    "quote": DeribitParser._quote,
    "ticker": DeribitParser._ticker,
}


def _level(action: str, price: float, qty: float) -> tuple[float, float]:
    if action not in _ACTIONS:
        raise DefectError(f"action {action!r} is none of {sorted(_ACTIONS)}")
    return price, 0.0 if action == "delete" else qty


def _side_of(price: float | None, qty: float | None) -> tuple[float, float]:
    nan = float("nan")
    return (price, nan if qty is None else qty) if price else (nan, nan)
