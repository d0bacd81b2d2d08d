"""What a market row must hold to enter the log: one suite per kind and class, declared as data.

Two engines judge by it: the inline gate (`operators.market.gate`) takes its bounds from here and
asks in this order, Great Expectations (`console.quality`) runs the suites over what was recorded.
Both accept the same rows. What a check needs to remember stands in columns beside the row (`Seen`),
so that each row is judged on its own.
"""

import sys
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.instruments import InstrumentKind
from schemas.kinds import Kind, Side
from schemas.reasons import Reason
from schemas.rows import I8, U1, U2, MarketRows, arrow_schema, dtypes

TIME_MAX_NS = 7_258_118_400_000_000_000  # the year 2200; sums of later times could overflow
PRICE_MAX = 1e15  # quote units; the sum of two, and their product with QTY_MAX, stay finite
CHANCE_MAX = 1.0  # quote units: what an event contract pays at most
QTY_MAX = 1e18
RATE_MAX = 1.0  # of the notional: a funding rate as high as that is an error
SECONDS_MAX = 1e9  # 31 years: the longest bar or funding interval
FLOAT_MAX = sys.float_info.max

# Completeness: the share of a stream's session that its rows cover; see `schemas.markets`.
COMPLETE_FOR_TRAINING = 0.99
COMPLETE_FOR_BACKTEST = 0.95


class MarketClass(Enum):
    """Markets that differ in what may be missing, and in what a price can be."""

    PLAIN = "plain"
    EVENT = "event"  # contracts that pay 0 or 1: no bid, or no ask, is what the book says
    OPTION = "option"  # nobody needs to have an order far from the money
    LOOSE = "loose"  # bid and ask are of different moments or places, so that quotes may cross


class Seen(NamedTuple):
    """What the gate remembered when it judged a row, in columns beside it."""

    instrument_kind: U1  # InstrumentKind; 0: not in the table
    newest_recv_ns: I8  # `ts_recv_ns` of the last row accepted from this source; see below
    newest_event_ns: I8  # `ts_event_ns` of the last one accepted of this symbol, source and kind
    message_reason: U2  # MESSAGE_REFUSED behind a refused row of the same book message, else OK
    may_cross: U1  # 1: a crossed quote of this instrument is kept
    mark: U1  # Flag.CROSSED, if the gate flags the row with it, else 0

    # Where nothing was accepted before, and for the rows of a snapshot, times are the least int64.


class Check(Enum):
    """What an expectation asks of a row."""

    NOT_NULL = "is there"
    NULL = "is not there"
    BETWEEN = "lies between"  # null passes
    IN_SET = "is one of"  # null passes
    AT_LEAST = "is not below"  # another column; a null on either side passes


@dataclass(frozen=True)
class Expectation:
    """One line of a suite.

    `low` and `high` of BETWEEN belong to it unless they are `above` or `below`. Floats have both
    bounds, and finite ones, so neither NaN nor an infinity lies between.
    """

    column: str
    check: Check
    reason: Reason | None  # of a row that fails; None: the number in the column
    low: float | int | None = None
    high: float | int | None = None
    above: bool = False  # low itself fails
    below: bool = False  # high itself fails
    values: tuple[IntEnum, ...] = ()  # numbers that have names
    other: str = ""  # of AT_LEAST: the column that must not be above this one

    @property
    def words(self) -> str:
        """The expectation as a sentence; unique within its suite."""
        if self.high == TIME_MAX_NS:
            return f"{self.column} is before 2200"
        if self.check is Check.BETWEEN:
            left = right = ""
            if self.low is not None and self.low != -FLOAT_MAX:
                left = f"{self.low:g} <{'' if self.above else '='} "
            if self.high is not None and self.high != FLOAT_MAX:
                right = f" <{'' if self.below else '='} {self.high:g}"
            return f"{left}{self.column}{right}" if left or right else f"{self.column} is finite"
        if self.check is Check.IN_SET:
            *others, last = (value.name for value in self.values)
            return f"{self.column} is {', '.join(others)}{' or ' * bool(others)}{last}"
        if self.check is Check.AT_LEAST:
            return f"{self.column} >= {self.other}"
        return f"{self.column} {self.check.value}"


class Null(Enum):
    """Whether a column of a kind may be null."""

    NEVER = "never"
    MAY = "may be"
    ALWAYS = "always"


@dataclass(frozen=True)
class Value:
    """What a column of floats holds in the rows of a kind."""

    null: Null
    low: float = -FLOAT_MAX
    high: float = FLOAT_MAX
    above: bool = False
    below: bool = False
    low_reason: Reason = Reason.NOT_POSITIVE
    null_means: str = ""  # where it may be null


_NEVER, _MAY = Null.NEVER, Null.MAY
_PRICE = Value(_NEVER, 0.0, PRICE_MAX, above=True)
_CHANCE = Value(_NEVER, 0.0, CHANCE_MAX, above=True)
_NO_INDEX = "the feed gives no index"
_NO_PRICE = Value(_MAY, 0.0, PRICE_MAX, above=True, null_means=_NO_INDEX)
_NO_CHANCE = Value(_MAY, 0.0, CHANCE_MAX, above=True, null_means=_NO_INDEX)
_NOBODY = "nobody has an order there"
_NO_ORDER = Value(_MAY, 0.0, CHANCE_MAX, above=True, null_means=_NOBODY)
_NO_OFFER = Value(_MAY, 0.0, PRICE_MAX, above=True, null_means=_NOBODY)
_QTY = Value(_NEVER, 0.0, QTY_MAX)
_NO_QTY = Value(_MAY, 0.0, QTY_MAX, null_means="the feed gives no size")
_RATE = Value(_NEVER, -RATE_MAX, RATE_MAX, above=True, below=True, low_reason=Reason.OUT_OF_RANGE)
_NO_SECONDS = Value(_MAY, 0.0, SECONDS_MAX, above=True, null_means="the feed gives no length")
_EMPTY = Value(Null.ALWAYS)


def _values(price: Value, no_price: Value) -> dict[Kind, dict[str, Value]]:
    """Columns of each kind; those that are not named are always null."""
    return {
        Kind.TRADE: {"price": price, "qty": _NO_QTY},
        Kind.QUOTE: {"bid_px": price, "bid_qty": _NO_QTY, "ask_px": price, "ask_qty": _NO_QTY},
        Kind.BOOK: {"price": price, "qty": _QTY},
        Kind.BAR: {
            "open": price, "high": price, "low": price, "price": price, "qty": _NO_QTY,
            "ref": _NO_SECONDS,
        },
        Kind.FUNDING: {"price": _RATE, "ref": _NO_SECONDS},
        Kind.OPEN_INTEREST: {"qty": _QTY},
        Kind.MARK: {"price": price, "ref": no_price},
    }  # fmt: skip


# FX brokers give no sizes at all, and bars that became quotes often none: sizes may be null in
# quotes. A quote of an event contract or of an option may lack a side, or both: the market has no
# order there, and a desk that never heard of it would go on with the quote before.
_OF_CLASS = {
    MarketClass.PLAIN: _values(_PRICE, _NO_PRICE),
    MarketClass.EVENT: _values(_CHANCE, _NO_CHANCE)
    | {
        Kind.QUOTE: {
            "bid_px": _NO_ORDER, "bid_qty": _NO_QTY, "ask_px": _NO_ORDER, "ask_qty": _NO_QTY,
        }
    },
    MarketClass.OPTION: _values(_PRICE, _NO_PRICE)
    | {
        Kind.QUOTE: {
            "bid_px": _NO_OFFER, "bid_qty": _NO_QTY, "ask_px": _NO_OFFER, "ask_qty": _NO_QTY,
        }
    },
    MarketClass.LOOSE: _values(_PRICE, _NO_PRICE),
}  # fmt: skip
_MAY_CROSS = (Kind.QUOTE, MarketClass.LOOSE)
_NOT_BELOW = {  # kind: column, the column that must not be above it, and what is wrong if it is
    Kind.QUOTE: (("ask_px", "bid_px", Reason.CROSSED_QUOTE),),
    Kind.BAR: tuple(
        (high, low, Reason.OUT_OF_RANGE)
        for high, low in (("open", "low"), ("price", "low"), ("high", "open"), ("high", "price"))
    ),
}
_SIDES = {
    Kind.TRADE: tuple(Side),
    Kind.BOOK: (Side.SELL, Side.BUY),
}
KINDS = tuple(_OF_CLASS[MarketClass.PLAIN])  # rows of any other kind are our own, and pass


def of_class(group: MarketClass, seen: Seen) -> NDArray[np.bool_]:
    """Which rows are of markets of a class; of PLAIN too those of instruments nobody knows."""
    kinds = {
        MarketClass.EVENT: InstrumentKind.EVENT, MarketClass.OPTION: InstrumentKind.OPTION,
    }  # fmt: skip
    if group in kinds:
        return np.asarray(seen.instrument_kind == kinds[group])
    own: NDArray[np.bool_] = np.isin(seen.instrument_kind, list(kinds.values()))
    loose: NDArray[np.bool_] = seen.may_cross != 0
    return ~own & (loose if group is MarketClass.LOOSE else ~loose)


def values_of(kind: Kind, group: MarketClass) -> dict[str, Value]:
    """What every column of floats of `MarketRows` holds in rows of a kind."""
    used = _OF_CLASS[group][kind]
    floats = [name for name, dtype in dtypes(MarketRows).items() if dtype.kind == "f"]
    return {name: used.get(name, _EMPTY) for name in floats}


@cache
def suite(kind: Kind, group: MarketClass) -> tuple[Expectation, ...]:
    """All that is expected of a kind's rows, in the order in which it is asked.

    A row is accepted if nothing fails; else its reason is that of the first that does. Columns are
    those of `MarketRows` and `Seen`.
    """
    values = values_of(kind, group)
    given = {name: value for name, value in values.items() if value.null is not Null.ALWAYS}
    return (
        *_typed(),
        Expectation("reason", Check.IN_SET, None, values=(Reason.OK,)),
        Expectation(
            "instrument_kind", Check.IN_SET, Reason.UNKNOWN_SYMBOL,
            values=tuple(InstrumentKind),
        ),
        *_timed(),
        *_needed(values),
        *(_between(name, Value(_MAY), Reason.NOT_FINITE) for name in given),
        *_low(given, Reason.NOT_POSITIVE),
        *([] if (kind, group) == _MAY_CROSS else _ordered(kind, Reason.CROSSED_QUOTE)),
        *_low(given, Reason.OUT_OF_RANGE),
        *_high(given),
        *_ordered(kind, Reason.OUT_OF_RANGE),
        *(
            Expectation(name, Check.NULL, Reason.OUT_OF_RANGE)
            for name in values
            if name not in given
        ),
        *_sided(kind),
        Expectation(
            "ts_recv_ns", Check.AT_LEAST, Reason.RECV_REGRESSED, other="newest_recv_ns"
        ),
        Expectation(
            "ts_event_ns", Check.AT_LEAST, Reason.EVENT_REGRESSED, other="newest_event_ns"
        ),
        *_whole(kind),
    )  # fmt: skip


def suites() -> dict[tuple[Kind, MarketClass], tuple[Expectation, ...]]:
    """Every suite."""
    return {(kind, group): suite(kind, group) for kind in KINDS for group in MarketClass}


def _typed() -> list[Expectation]:
    """Columns that the log's schema calls never null; only a foreign writer could break it."""
    return [
        Expectation(
            field.name,
            Check.NOT_NULL,
            Reason.NULL_TIME if field.name.startswith("ts_") else Reason.OUT_OF_RANGE,
        )
        for field in arrow_schema(MarketRows)
        if not field.nullable
    ]


def _timed() -> list[Expectation]:
    columns = ("ts_event_ns", "ts_recv_ns")
    return [Expectation(name, Check.BETWEEN, Reason.NULL_TIME, low=0) for name in columns] + [
        Expectation(name, Check.BETWEEN, Reason.OUT_OF_RANGE, high=TIME_MAX_NS) for name in columns
    ]


def _needed(values: dict[str, Value]) -> list[Expectation]:
    return [
        Expectation(name, Check.NOT_NULL, Reason.NULL_PRICE)
        for name, value in values.items()
        if value.null is Null.NEVER
    ]


def _between(name: str, value: Value, reason: Reason) -> Expectation:
    return Expectation(
        name, Check.BETWEEN, reason, low=value.low, high=value.high, above=value.above,
        below=value.below,
    )  # fmt: skip


def _low(given: dict[str, Value], reason: Reason) -> list[Expectation]:
    return [
        _between(name, Value(_MAY, low=value.low, above=value.above), reason)
        for name, value in given.items()
        if value.low_reason is reason
    ]


def _high(given: dict[str, Value]) -> list[Expectation]:
    return [
        _between(name, Value(_MAY, high=value.high, below=value.below), Reason.OUT_OF_RANGE)
        for name, value in given.items()
    ]


def _ordered(kind: Kind, reason: Reason) -> list[Expectation]:
    return [
        Expectation(high, Check.AT_LEAST, why, other=low)
        for high, low, why in _NOT_BELOW.get(kind, ())
        if why is reason
    ]


def _sided(kind: Kind) -> list[Expectation]:
    sides = _SIDES.get(kind)
    return [Expectation("side", Check.IN_SET, Reason.BAD_SIDE, values=sides)] if sides else []


def _whole(kind: Kind) -> list[Expectation]:
    """A book takes whole messages: what follows a refused row of one is refused as well."""
    whole = Expectation("message_reason", Check.IN_SET, None, values=(Reason.OK,))
    return [whole] if kind is Kind.BOOK else []
