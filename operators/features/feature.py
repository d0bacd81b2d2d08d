"""What the registry says of one feature, and what its operator must be told to compute it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from operators.features.flow.depth import DEPTH
from operators.features.signal import Signal
from schemas.instruments import InstrumentArrays, InstrumentTable
from schemas.rows import F8, I1, I8

TRADES = "trades"
QUOTES, MIDS, PRICE = "best quote", "mids", "any price"  # the book's where a market has no quotes
BOOK = f"book, {DEPTH} levels"  # who reads it gets books rebuilt, which costs


class Happenings(NamedTuple):
    """Scheduled events of the world, sorted by time; known before the run begins."""

    ts_ns: I8  # UTC
    weight: I1  # 1 low, 2 medium, 3 high importance


NO_HAPPENINGS = Happenings(np.zeros(0, np.int64), np.zeros(0, np.int8))


class Terms(NamedTuple):
    """What operators must know beforehand."""

    table: InstrumentTable
    instruments: InstrumentArrays  # the same as numbers
    daily_qty: F8  # (instruments,) what usually trades in a day, instrument's units; NaN: not known
    happenings: Happenings

    @classmethod
    def of(
        cls,
        table: InstrumentTable,
        *,
        daily_qty: F8 | None = None,
        happenings: Happenings = NO_HAPPENINGS,
    ) -> "Terms":
        """The terms of a table; ValueError if `daily_qty` is not one number per instrument."""
        n = len(table.instruments)
        if daily_qty is None:
            daily_qty = np.full(n, np.nan)
        if daily_qty.shape != (n,):
            raise ValueError(f"daily_qty must be ({n},), was {daily_qty.shape}")
        return cls(table, table.arrays(), daily_qty, happenings)


Make = Callable[[Terms], Signal[Any]]


@dataclass(frozen=True)
class Feature:
    """One column."""

    name: str
    operator: Make  # features with the same one are computed together
    inputs: tuple[str, ...]  # what rows it reads, in words: QUOTES, TRADES, BOOK, "funding", ...
    unit: str
    warm_up_ns: int  # market time that must pass at least; 0 where other things decide
    warm_up: str  # the whole of it, in words
    null: str  # when it is null once warm
    source: str
