"""Bars of mids and traded quantity, and each seen upright and upside down."""

import math

import numpy as np

from operators.arrays import inlined, kernel
from operators.features.flow.rows import TOP, TRADE
from operators.records import Record, Records, blank_records

BAR_NS = 60_000_000_000
NONE_OPEN = np.iinfo(np.int64).max  # `end_ns` while there is no open bar
UP, DOWN = 0, 1  # upright, and upside down: prices times SIGN, so that a low is a high
SIGN = (1, -1)

# Prices of the bar are mids, so that a quiet market has bars and the spread makes none; in a market
# without quotes the mid is the last trade's price.
OPEN_BAR = {
    "start_ns": "<i8",
    "end_ns": "<i8",  # exclusive
    "open": "<f8",
    "high": "<f8",
    "high_ns": "<i8",  # when it was first there
    "low": "<f8",
    "low_ns": "<i8",
    "close": "<f8",
    "qty": "<f8",  # traded, instrument's units
}
SEEN = {  # of a closed bar from one side; `high` is the further end, whichever way it is seen
    "start_ns": "<i8",
    "open": "<f8",
    "high": "<f8",
    "high_ns": "<i8",
    "low": "<f8",
    "close": "<f8",
}


def blank_candles(instruments: int) -> Records:
    """Open bars of which none is open."""
    candles = blank_records(OPEN_BAR, instruments)
    candles["end_ns"] = NONE_OPEN
    return candles


def bar_length(bar_ns: int) -> int:
    """The same number; ValueError unless it is positive."""
    if bar_ns <= 0:
        raise ValueError(f"bar_ns must be positive, was {bar_ns}")
    return bar_ns


@inlined
def tick(bar: Record, bar_ns: int, ts_ns: int, event: int, mid: float, qty: float) -> bool:
    """Add a row to the open bar, which begins with the first price; True where it has a price."""
    priced = event & (TRADE | TOP) != 0 and not math.isnan(mid)
    if priced:
        if bar.end_ns == NONE_OPEN:
            bar.start_ns = ts_ns // bar_ns * bar_ns
            bar.end_ns = bar.start_ns + bar_ns
            bar.open = bar.high = bar.low = mid
            bar.high_ns = bar.low_ns = ts_ns
            bar.qty = 0.0
        elif mid > bar.high:
            bar.high, bar.high_ns = mid, ts_ns
        elif mid < bar.low:
            bar.low, bar.low_ns = mid, ts_ns
        bar.close = mid
    if event & TRADE != 0 and bar.end_ns != NONE_OPEN:
        bar.qty += qty
    return priced


@kernel
def look(bar: Record, up: Record, down: Record) -> None:
    """See a bar from both sides."""
    up.start_ns = down.start_ns = bar.start_ns
    up.open, up.high, up.low, up.close = bar.open, bar.high, bar.low, bar.close
    down.open, down.high, down.low, down.close = -bar.open, -bar.low, -bar.high, -bar.close
    up.high_ns, down.high_ns = bar.high_ns, bar.low_ns
