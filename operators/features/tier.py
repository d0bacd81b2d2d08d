"""The feature tier: market rows in, feature rows out, one for one."""

from typing import NamedTuple

import numpy as np

from operators.arrays import ArrayOperator
from operators.features.atr import Atr, AtrState
from operators.features.bars import Bars, BarsState
from operators.features.momentum import Momentum, MomentumPrices, MomentumState
from operators.features.price_window import PriceWindow, PriceWindowState
from operators.features.prices import Prices, PricesState
from operators.features.swings import SwingPrices, Swings, SwingsState
from operators.features.volatility import Volatility, VolatilityState
from schemas.instruments import InstrumentArrays
from schemas.rows import FeatureRows, MarketRows

N_MODEL_COLUMNS = 6  # p_up to p_volatile: the sequence tier's


class FeaturesState(NamedTuple):
    """The states of the operators that the tier is made of."""

    prices: PricesState
    window: PriceWindowState
    volatility: VolatilityState
    bars: BarsState
    atr: AtrState
    swings: SwingsState
    momentum: MomentumState


class Features(ArrayOperator[FeaturesState]):
    """Every feature of a tick, per instrument.

    Parameters
    ----------
    instruments : InstrumentArrays
        The instruments of the rows to come.

    Notes
    -----
    In: MarketRows, shape (n,). Out: FeatureRows, shape (n,), same order and `seq`.
    Nulls: features are NaN unless the row is a tick with a price (see `Prices`) and the feature is
    past its warm-up; the model's columns are always NaN here, for the sequence tier to fill.
    Columns up to `ref` are the very arrays of the input, shared, not copied.
    Time: log order, and `ts_event_ns` for bars. Chunks: any split gives the same bytes.
    State: 2313 bytes per instrument, and 4.5 KB of headers in `dump`.
    """

    def __init__(self, instruments: InstrumentArrays) -> None:
        n = instruments.has_quotes.size
        self.prices = Prices(instruments)
        self.window = PriceWindow(n)
        self.volatility = Volatility(n)
        self.bars = Bars(n)
        self.atr = Atr(n)
        self.swings = Swings(n)
        self.momentum = Momentum(n)

    def initial(self) -> FeaturesState:
        return FeaturesState(
            prices=self.prices.initial(),
            window=self.window.initial(),
            volatility=self.volatility.initial(),
            bars=self.bars.initial(),
            atr=self.atr.initial(),
            swings=self.swings.initial(),
            momentum=self.momentum.initial(),
        )

    def step(self, state: FeaturesState, rows: MarketRows) -> tuple[FeaturesState, FeatureRows]:
        _, (price, quote) = self.prices.step(state.prices, rows)
        _, window = self.window.step(state.window, price)
        _, volatility = self.volatility.step(state.volatility, price)
        _, bar = self.bars.step(state.bars, price)
        _, atr = self.atr.step(state.atr, bar)
        swing_in = SwingPrices(price.k, price.ts_event_ns, price.mid, atr.atr)
        _, swing = self.swings.step(state.swings, swing_in)
        momentum_in = MomentumPrices(price.k, price.log_mid, volatility.sigma)
        _, momentum = self.momentum.step(state.momentum, momentum_in)
        model = np.full((N_MODEL_COLUMNS, rows.seq.size), np.nan)
        out = FeatureRows(
            rows.seq, rows.lane, rows.kind, rows.flags, rows.symbol, rows.ts_event_ns,
            rows.ts_recv_ns, rows.side, rows.code, rows.role, rows.reason, rows.ref_id,
            rows.price, rows.qty, rows.ref, quote.bid_px, quote.ask_px, price.mid, quote.spread,
            *volatility[:1], *window, *volatility[1:], *atr, *swing, *momentum, price.n_ticks,
            *model,
        )  # fmt: skip
        return state, out
