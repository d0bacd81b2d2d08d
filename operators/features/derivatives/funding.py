"""Funding and open interest: what a position costs, and what all of them are worth."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.flow.rows import show, show_nothing
from operators.features.scores import Scores, blank_scores, fade_of, score
from operators.features.signal import Signal, SignalInput
from operators.features.told import (
    FUNDING,
    OPEN_INTEREST,
    ToldRows,
    price_of,
    told_rows,
)
from schemas.instruments import InstrumentArrays, InstrumentKind
from schemas.rows import F8, I8, U1

PERIOD_S = 28_800.0  # rates are shown per 8 h, whatever the venue's interval
HALF_LIFE = 90.0  # settlements: a month of 8 h
RATES_MIN = 10
RATE, STRETCH, NOTIONAL = 0, 1, 2


class FundingState(NamedTuple):
    """One entry per instrument."""

    price: F8  # last known, quote units
    interest: F8  # last open interest, instrument's units
    rates: Scores
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
    funding_z, its z-score against the rates before, half-life 90 settlements;
    open_interest_notional, quote units: contracts times contract size, times the price unless the
    contract is inverse (each of those is worth its size).
    Nulls: before the first rate; the z-score until 10 rates came before, and where these were all
    the same; the notional until open interest and, but for inverse contracts, a price are known. A
    rate or quantity that is not finite, or an interval that is not positive, counts for nothing.
    Time: none. Chunks: any split gives the same bytes. State: 72 bytes per instrument.
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
            np.full(n, np.nan), np.full(n, np.nan), blank_scores(n),
            np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: FundingState, rows: SignalInput, values: F8, columns: I8) -> None:
        _walk(state, self._size, self._inverse, told_rows(rows), values, columns)


_FADE = fade_of(HALF_LIFE)


@kernel
def rate_of(rows: ToldRows, i: int) -> float:
    """The rate that row `i` tells, per 8 h; NaN if it tells none."""
    if rows.kind[i] != FUNDING or not 0.0 < rows.ref[i] < np.inf:
        return np.nan
    rate = rows.price[i] * (PERIOD_S / rows.ref[i])
    return rate if math.fabs(rate) < np.inf else np.nan


@kernel
def stretch_of(rates: Scores, k: int, rows: ToldRows, i: int, before: float) -> float:
    """The z-score of the last rate as of row `i`: a new one if the row tells a rate."""
    rate = rate_of(rows, i)
    return before if np.isnan(rate) else score(rates, k, _FADE, RATES_MIN, rate)


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
