"""Ticks: which market rows move an instrument's state, and at which price."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import ArrayOperator, kernel
from schemas.instruments import InstrumentArrays
from schemas.kinds import Kind
from schemas.rows import F8, I4, I8, U1, MarketRows

NO_TICK = -1  # `k` of a row that moves no state
TRADE, QUOTE = int(Kind.TRADE), int(Kind.QUOTE)


class PriceRows(NamedTuple):
    """One row per market row: the price that the feature operators walk over.

    Where `k` is NO_TICK the floats are NaN and no operator may change its state.
    """

    k: I4  # the instrument's row in the instrument table, or NO_TICK
    ts_event_ns: I8  # venue clock
    mid: F8  # quote units, positive and finite
    log_mid: F8  # ln(mid)
    bid: F8  # what a long position could be sold at; the trade's price where no quotes
    ask: F8  # what a short position could be bought back at; likewise
    n_ticks: F8  # ticks of this instrument so far, this one included


class QuoteRows(NamedTuple):
    """One row per market row: the quote that goes with it into `features.v1`."""

    bid_px: F8  # quote units; ticks: last valid quote, NaN where none; other rows: their own
    ask_px: F8
    spread: F8  # quote units; NaN unless the row is a tick with a price


class PricesState(NamedTuple):
    """One entry per instrument."""

    bid: F8  # last valid quote, NaN where none
    ask: F8
    n_ticks: I8


class Prices(ArrayOperator[PricesState]):
    """Turns market rows into ticks with a price.

    Parameters
    ----------
    instruments : InstrumentArrays
        `base`, `count` (per lane) and `has_quotes` (per instrument) are used.

    Notes
    -----
    In: MarketRows, shape (n,). Out: PriceRows and QuoteRows, shape (n,) each.
    A trade or quote of a known instrument is a tick. Where the instrument has quotes, its price is
    the mid of the last valid quote: both sides finite, the bid not above the ask, and their mean
    positive (its logarithm is taken). Any other quote, one with Flag.CROSSED too, makes the last
    one void until the next valid quote. Where it has none, the price is that of the trade, and the
    spread is 0.
    Nulls: a tick without such a price changes no count and gives NO_TICK.
    Time: rows in log order; `ts_event_ns` is only passed on.
    Chunks: any split of the same rows gives the same bytes. State: 24 bytes per instrument.
    """

    def __init__(self, instruments: InstrumentArrays) -> None:
        self.instruments = instruments

    def initial(self) -> PricesState:
        n = self.instruments.has_quotes.size
        return PricesState(np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.int64))

    def step(
        self, state: PricesState, rows: MarketRows
    ) -> tuple[PricesState, tuple[PriceRows, QuoteRows]]:
        n = rows.kind.size
        prices = PriceRows(np.empty(n, np.int32), rows.ts_event_ns, *np.empty((5, n)))
        quotes = QuoteRows(*np.empty((3, n)))
        known = self.instruments
        _walk(known.base, known.n_of_lane, known.has_quotes, state, rows, prices, quotes)
        return state, (prices, quotes)


@kernel
def _walk(
    base: I4,
    count: I4,
    has_quotes: U1,
    memory: PricesState,
    rows: MarketRows,
    prices: PriceRows,
    quotes: QuoteRows,
) -> None:
    # Columns of so wide a table are read twice as fast through names taken before the loop.
    kinds, lanes, symbols = rows.kind, rows.lane, rows.symbol
    price, bid_px, ask_px = rows.price, rows.bid_px, rows.ask_px
    for i in range(kinds.size):
        prices.k[i] = NO_TICK
        prices.mid[i] = prices.log_mid[i] = prices.bid[i] = prices.ask[i] = np.nan
        prices.n_ticks[i] = quotes.spread[i] = np.nan
        quotes.bid_px[i], quotes.ask_px[i] = bid_px[i], ask_px[i]
        kind, lane, symbol = kinds[i], lanes[i], symbols[i]
        if kind != TRADE and kind != QUOTE:
            continue
        if not 0 <= lane < base.size or not 0 <= symbol < count[lane]:
            continue  # an instrument that is not in the table
        k = base[lane] + symbol
        if has_quotes[k]:
            if kind == QUOTE:
                middle = (bid_px[i] + ask_px[i]) / 2.0
                # False where a side is NaN or infinite
                valid = 0.0 < middle < np.inf and bid_px[i] <= ask_px[i]
                memory.bid[k] = bid_px[i] if valid else np.nan
                memory.ask[k] = ask_px[i] if valid else np.nan
            bid, ask = memory.bid[k], memory.ask[k]
            quotes.bid_px[i], quotes.ask_px[i] = bid, ask
        else:
            bid = ask = price[i] if kind == TRADE else np.nan
            quotes.bid_px[i] = quotes.ask_px[i] = np.nan
        mid = (bid + ask) / 2.0
        if not 0.0 < mid < np.inf:
            continue
        memory.n_ticks[k] += 1
        prices.k[i] = k
        prices.mid[i], prices.log_mid[i] = mid, math.log(mid)
        prices.bid[i], prices.ask[i], quotes.spread[i] = bid, ask, ask - bid
        prices.n_ticks[i] = float(memory.n_ticks[k])
