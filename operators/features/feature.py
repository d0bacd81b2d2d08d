"""What the registry says of one feature, and what its operator must be told to compute it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from operators.features.flow.depth import DEPTH
from operators.features.signal import Signal
from schemas.instruments import InstrumentArrays, InstrumentTable
from schemas.rows import F8, I1, I4, I8

TRADES = "trades"
QUOTES, MIDS, PRICE = "best quote", "mids", "any price"  # the book's where a market has no quotes
BOOK = f"book, {DEPTH} levels"  # who reads it gets books rebuilt, which costs
ORDERS = "orders one by one"


class Happenings(NamedTuple):
    """Scheduled events of the world, sorted by time; known before the run begins."""

    ts_ns: I8  # UTC
    weight: I1  # 1 low, 2 medium, 3 high importance


class Sessions(NamedTuple):
    """Opening hours of trading places, place after place; known before the run begins.

    Of a place every session ends before the next one opens, with at most one rest inside of it.
    """

    first: I8  # (places + 1,) where each place begins in the arrays below
    open_ns: I8  # (sessions,) UTC
    rest_ns: I8  # when its rest begins; where it has none, that and `resume_ns` are its close
    resume_ns: I8
    close_ns: I8


class FundFlows(NamedTuple):
    """Net money into the exchange-traded funds of an asset, sorted by (asset, known_ns)."""

    assets: tuple[str, ...]  # base assets
    asset: I4  # (n,) index into them
    known_ns: I8  # UTC, from when on the figure counts as known
    net_usd: F8  # of one trading day, all funds of the asset together; negative is money leaving


_NO_TIMES: I8 = np.zeros(0, np.int64)
NO_HAPPENINGS = Happenings(_NO_TIMES, np.zeros(0, np.int8))
NO_SESSIONS = Sessions(np.zeros(1, np.int64), *[_NO_TIMES] * 4)
NO_FUND_FLOWS = FundFlows((), np.zeros(0, np.int32), _NO_TIMES, np.zeros(0))


class Terms(NamedTuple):
    """What operators must know beforehand."""

    table: InstrumentTable
    instruments: InstrumentArrays  # the same as numbers
    daily_qty: F8  # (instruments,) what usually trades in a day, instrument's units; NaN: not known
    happenings: Happenings
    sessions: Sessions = NO_SESSIONS
    fund_flows: FundFlows = NO_FUND_FLOWS

    @classmethod
    def of(
        cls,
        table: InstrumentTable,
        *,
        daily_qty: F8 | None = None,
        happenings: Happenings = NO_HAPPENINGS,
        sessions: Sessions = NO_SESSIONS,
        fund_flows: FundFlows = NO_FUND_FLOWS,
    ) -> "Terms":
        """The terms of a table; ValueError if `daily_qty` is not one number per instrument."""
        n = len(table.instruments)
        if daily_qty is None:
            daily_qty = np.full(n, np.nan)
        if daily_qty.shape != (n,):
            raise ValueError(f"daily_qty must be ({n},), was {daily_qty.shape}")
        return cls(table, table.arrays(), daily_qty, happenings, sessions, fund_flows)


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
