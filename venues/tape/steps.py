"""The smallest power of ten that every number of a market is a multiple of."""

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from schemas.rows import F8, I4

# Finer than any market's step: what does not fit is computed, not quoted, or passed a sum.
PRICE_DECIMALS_MAX, SIZE_DECIMALS_MAX = 10, 8
_POWERS = np.array([10.0**d for d in range(PRICE_DECIMALS_MAX + 1)])
_SLACK = 2.0**-51  # two roundings: the number's own and the one of scaling it


class Steps:
    """Decimals seen so far per market, from 0 to a maximum; the step is 10^-decimals."""

    def __init__(self, decimals_max: int) -> None:
        self._max = decimals_max
        self._decimals: NDArray[np.int8] = np.full(0, -1, np.int8)  # -1: no number seen

    def add(self, market: I4, value: F8) -> None:
        """Take in positive finite numbers of markets 0.. ; everything else is passed over."""
        usable = (value > 0.0) & (value < np.inf) & (market >= 0)
        if not usable.all():
            market, value = market[usable], value[usable]
        if not value.size:
            return
        if int(market.max()) >= self._decimals.size:
            more = int(market.max()) + 1 - self._decimals.size
            self._decimals = np.concatenate([self._decimals, np.full(more, -1, np.int8)])
        now = self._decimals[market]
        odd = ~_fits(value, _POWERS[np.maximum(now, 0)]) & (now < self._max) | (now < 0)
        market, value = market[odd], value[odd]
        for decimals in range(self._max + 1):
            if not value.size:
                break
            fits = _fits(value, _POWERS[decimals]) | (decimals == self._max)
            np.maximum.at(self._decimals, market[fits], np.int8(decimals))
            market, value = market[~fits], value[~fits]

    def decimals(self, market: int) -> int | None:
        """Decimals of a market, None if it showed no number."""
        seen = int(self._decimals[market]) if market < self._decimals.size else -1
        return None if seen < 0 else seen


def step_text(decimals: int) -> str:
    """10^-decimals as a plain decimal text: 2 gives "0.01"."""
    return format(Decimal(1).scaleb(-decimals), "f")


def _fits(value: F8, power: F8 | np.float64) -> NDArray[np.bool_]:
    scaled = value * power
    return np.asarray(np.abs(scaled - np.rint(scaled)) <= scaled * _SLACK)
