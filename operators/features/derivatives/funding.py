"""Funding and open interest: what a position costs, and what all of them are worth."""

from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.derivatives.rates import Rates, blank_rates, rate_of, stretch_of
from operators.features.flow.rows import show, show_nothing
from operators.features.signal import Signal, SignalInput
from operators.features.told import (
    OPEN_INTEREST,
    ToldRows,
    price_of,
    told_rows,
)
from schemas.instruments import InstrumentArrays, InstrumentKind
from schemas.rows import F8, I8, U1

RATE, STRETCH, NOTIONAL = 0, 1, 2


class FundingState(NamedTuple):
    """One entry per instrument."""

    price: F8  # last known, quote units
    interest: F8  # last open interest, instrument's units
    rates: Rates
    held: F8


class Funding(Signal[FundingState]):
    """The funding rate, how unusual it is, and the open interest in money.

    Parameters
    ----------
    instruments : InstrumentArrays
        `kind` and `contract_size` are used.

    Notes
    -----
    In: SignalInput; rows of kind FUNDING, OPEN_INTEREST, and whatever has a price (mid of quotes or
    trades, mark, a bar's close; the last of them counts).
    Out: funding_rate_8h, the last rate scaled to 8 h, a fraction, positive where longs pay;
    funding_z, its z-score against the last rate of each funding interval before, half-life 90
    intervals: however often a venue tells a rate, each interval counts once, when it is over;
    open_interest_notional, quote units: contracts times contract size, times the price unless the
    contract is inverse (each of those is worth its size).
    Nulls: before the first rate; the z-score until 10 intervals with rates are over, and where
    these were all the same; the notional until open interest and, but for inverse contracts, a
    price are known. A rate or quantity that is not finite, or an interval that is not positive or
    not said, counts for nothing.
    Time: venue time of the rates, never back; a settlement counts for the interval that begins with
    it, though it be stamped up to 60 s before. Intervals are taken to the minute and may change.
    Chunks: any split gives the same bytes. State: 96 bytes per instrument.
    Source: He, Manela, Ross, von Wachter (2022), Fundamentals of Perpetual Futures; fading means as
    in RiskMetrics (1996).
    """

    NAMES = ("funding_rate_8h", "funding_z", "open_interest_notional")

    def __init__(self, instruments: InstrumentArrays) -> None:
        self._size = instruments.contract_size
        self._inverse = (instruments.kind == InstrumentKind.INVERSE).astype(np.uint8)

    def initial(self) -> FundingState:
        n = self._size.size
        return FundingState(
            np.full(n, np.nan), np.full(n, np.nan), blank_rates(n),
            np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: FundingState, rows: SignalInput, values: F8, columns: I8) -> None:
        _walk(state, self._size, self._inverse, told_rows(rows), values, columns)


@kernel
def _walk(
    memory: FundingState, size: F8, inverse: U1, rows: ToldRows, values: F8, columns: I8
) -> None:
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < size.size:
            show_nothing(values, i, columns)
            continue
        held, price, rate = memory.held[k], price_of(rows, i), rate_of(rows, i)
        if not np.isnan(price):
            memory.price[k] = price
        if rows.kind[i] == OPEN_INTEREST and 0.0 < rows.qty[i] < np.inf:
            memory.interest[k] = rows.qty[i]
        if not np.isnan(rate):
            held[RATE] = rate
        held[STRETCH] = stretch_of(memory.rates, k, rows, i, held[STRETCH])
        worth = memory.interest[k] * size[k]
        held[NOTIONAL] = worth if inverse[k] else worth * memory.price[k]
        show(values, i, columns, memory.held, k)
