"""MetaTrader 5 through its bridge: numbered JSON lines, as docs/venues.md describes them.

Times of MT5 are the broker's wall clock, counted as if it were UTC. The bridge says how far that
clock is from UTC, and no tick is read unless that agrees with our own.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta, Struct

from schemas.kinds import NO_SYMBOL, Kind, Side
from venues.frames.fields import MS_NS, S_NS, DefectError, Id, Ms, Name, Qty
from venues.frames.parsed import NO_TIME, Event, Link
from venues.frames.parser import Draft, FrameParser
from venues.frames.venue import Proof, Venue, control, data

PROTOCOL, VERSION = "trifecta-mt5", 1
CLOCKS_NS_MAX = 300 * S_NS  # zones differ by quarter hours, clocks of computers by less
_BID, _ASK, _LAST, _VOLUME, _BUY, _SELL = 2, 4, 8, 16, 32, 64  # bits of MqlTick.flags
_NAN = float("nan")

_Offset = Annotated[int, Meta(ge=-86_400, le=86_400)]
_Decimal = Annotated[str, Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,12})?\Z")]
_Px = Annotated[float, Meta(ge=0.0, le=1e12)]  # 0: none


class _Outer(Struct):
    type: str
    n: Id


class Hello(Struct):
    """The first line of a connection."""

    protocol: str
    version: int
    server: Name
    utc_offset_s: _Offset
    time_msc: Ms


class InstrumentLine(Struct):
    """What the bridge says of a symbol that was subscribed."""

    symbol: Name
    digits: Annotated[int, Meta(ge=0, le=12)]
    point: _Decimal
    contract_size: _Decimal
    volume_step: _Decimal


class ErrorLine(Struct):
    """A symbol that the bridge cannot bring."""

    reason: str
    symbol: str = ""


class _Heartbeat(Struct):
    utc_offset_s: _Offset
    time_msc: Ms


class _Tick(Struct):
    symbol: Name
    time_msc: Ms
    bid: _Px
    ask: _Px
    last: _Px
    volume: Qty  # lots
    flags: Annotated[int, Meta(ge=0, le=255)]


_OUTER = msgspec.json.Decoder(_Outer)
_HELLO = msgspec.json.Decoder(Hello)
_HEARTBEAT = msgspec.json.Decoder(_Heartbeat)
_INSTRUMENT = msgspec.json.Decoder(InstrumentLine)
_TICK = msgspec.json.Decoder(_Tick)
_ERROR = msgspec.json.Decoder(ErrorLine)


class Mt5Parser(FrameParser):
    """Ticks of one connection to a bridge.

    A line that is lost costs a quote, and the next tick is the quote again. A tick that repeats
    the one before, or is older than it, is counted and becomes no row.
    """

    venue = Venue(
        "mt5",
        "MetaTrader 5, through its bridge",
        Proof(),
        (
            data(
                "tick", "QUOTE, TRADE", "best bid and ask; trades where the broker has an exchange"
            ),
            control("hello", "protocol, server, and the zone of its clock"),
            control("instrument", "steps and contract size of a symbol"),
            control("heartbeat", "the server's time and zone, each second"),
            control("error", "a symbol that cannot be had"),
        ),
        notes="lines are numbered; what the broker did not send to the terminal nobody can see",
    )
    handlers: ClassVar = {}

    def __init__(self, instruments: Sequence[str] | None = None) -> None:
        super().__init__(instruments)
        self._offset_ns: int | None = None  # the server's wall clock minus UTC
        self._lots: dict[str, float] = {}  # base units of one lot
        self._before: dict[str, _Tick] = {}

    def read(self, frame: bytes, draft: Draft, label: str) -> None:
        outer = _OUTER.decode(frame)
        draft.link = Link(outer.n, outer.n, outer.n - 1)
        self.dispatch(outer.type, frame, draft)
        if outer.type == "hello":
            self._greeted(hello_of(frame), draft)
        elif outer.type == "heartbeat":
            beat = _HEARTBEAT.decode(frame)
            self._set(beat.utc_offset_s, beat.time_msc, draft)
        elif outer.type == "instrument":
            found = instrument_of(frame)
            self._lots[found.symbol] = float(Decimal(found.contract_size))

    def _greeted(self, hello: Hello, draft: Draft) -> None:
        self._before.clear()
        self._set(hello.utc_offset_s, hello.time_msc, draft)

    def _set(self, offset_s: int, time_msc: int, draft: Draft) -> None:
        """The zone of the server's clock, if with it the server's clock is ours."""
        self._offset_ns = None
        apart_ns = time_msc * MS_NS - offset_s * S_NS - draft.ts_recv_ns
        if draft.ts_recv_ns != NO_TIME and abs(apart_ns) > CLOCKS_NS_MAX:
            draft.is_book, draft.symbol = True, NO_SYMBOL  # every quote so far may be misdated
            raise DefectError(
                f"the server's clock less utc_offset_s = {offset_s} is {apart_ns / 1e9:.0f} s from "
                "ours: its zone is wrong, or one of the clocks"
            )
        self._offset_ns = offset_s * S_NS

    def _tick(self, body: bytes, draft: Draft) -> None:
        tick = _TICK.decode(body)
        symbol = self.symbol(tick.symbol)
        if self._offset_ns is None:
            raise DefectError("a tick while the zone of the server's clock is not known")
        before = self._before.get(tick.symbol)
        if tick == before:
            draft.supersede("the tick before again")
            return
        if before is not None and tick.time_msc < before.time_msc:
            raise DefectError(f"{before.time_msc - tick.time_msc} ms before the last tick")
        ts_ns = tick.time_msc * MS_NS - self._offset_ns
        if draft.ts_recv_ns != NO_TIME and ts_ns > draft.ts_recv_ns + CLOCKS_NS_MAX:
            raise DefectError(f"{(ts_ns - draft.ts_recv_ns) / 1e9:.0f} s in the future")
        events = self._events(tick, symbol, ts_ns)
        self._before[tick.symbol] = tick
        if not events:
            draft.supersede("neither a quote nor a trade")
        self.figures(events, draft)

    def _events(self, tick: _Tick, symbol: int, ts_ns: int) -> list[Event]:
        found = []
        if tick.bid and tick.ask and (tick.flags & (_BID | _ASK) or not tick.flags):
            found.append(Event(Kind.QUOTE, symbol, ts_ns, bid_px=tick.bid, ask_px=tick.ask))
        if tick.flags & (_LAST | _VOLUME) and tick.last and tick.volume:
            if tick.symbol not in self._lots:
                raise DefectError(f"a trade of {tick.symbol} before its contract size")
            side = tick.flags & (_BUY | _SELL)
            found.append(
                Event(
                    Kind.TRADE, symbol, ts_ns,
                    side={_BUY: Side.BUY, _SELL: Side.SELL}.get(side, Side.UNKNOWN),
                    price=tick.last, qty=tick.volume * self._lots[tick.symbol],
                )
            )  # fmt: skip
        return found


Mt5Parser.handlers = {"tick": Mt5Parser._tick}


def type_of(line: bytes) -> str:
    """What kind of line it is; a DecodeError of msgspec or a DefectError if it is none."""
    return _OUTER.decode(line).type


def hello_of(line: bytes) -> Hello:
    """A greeting of this protocol. DefectError for another one."""
    hello = _HELLO.decode(line)
    if (hello.protocol, hello.version) != (PROTOCOL, VERSION):
        raise DefectError(
            f"the bridge speaks {hello.protocol} {hello.version}, not {PROTOCOL} {VERSION}"
        )
    return hello


def instrument_of(line: bytes) -> InstrumentLine:
    """What a bridge says of a symbol."""
    found = _INSTRUMENT.decode(line)
    if not float(found.contract_size) or not float(found.volume_step) or not float(found.point):
        raise DefectError(f"{found.symbol}: contract_size, volume_step and point must be positive")
    return found


def error_of(line: bytes) -> ErrorLine:
    """Why a symbol cannot be had."""
    return _ERROR.decode(line)
