"""The ordinary flow of orders: who comes how often in which regime, and how big."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from schemas.rows import F8, I8
from venues.lob.engine.hawkes import HawkesTerms

TYPES = 6  # of each venue: limit orders, market orders and cancels, each to buy and to sell
LIMIT, MARKET, CANCEL = 0, 1, 2  # type = venue * TYPES + 2 * what + side
MEDIAN_LOTS = 100.0  # of a limit order
SIGMA_LIMIT = 0.7  # of its logarithm
MARKET_LOTS = 100.0  # median of a market order
SIGMA_MARKET = 0.9
TARGET_ORDERS = 40.0  # resting a side: a cancel takes out more where there are more
DISTANCE_TAIL = 0.3  # a limit order is k ticks or more from the opposite best with k ** -tail
DISTANCE_MAX = 40.0  # ticks
DECAY_HZ = 8.0
_BASE_HZ = (7.0, 1.60, 3.0)  # limit, market, cancel: a side of a venue, in a calm market
_REGIME_MEAN_S = 120.0


class Regime(IntEnum):
    """What a market does for a while."""

    CALM = 0
    TREND = 1
    VOLATILE = 2


# How often limit, market and cancel orders come, as multiples of calm: of the side that the regime
# goes with, and of the other.
_WITH = {Regime.CALM: (1.0, 1.0, 1.0), Regime.TREND: (1.1, 1.5, 1.1),
         Regime.VOLATILE: (1.6, 2.2, 1.7)}  # fmt: skip
_AGAINST = {Regime.CALM: (1.0, 1.0, 1.0), Regime.TREND: (1.1, 0.9, 1.1),
            Regime.VOLATILE: (1.6, 2.2, 1.7)}  # fmt: skip


class Spells(NamedTuple):
    """Regimes one after the other."""

    regime: I8
    direction: I8  # +1 up, -1 down; of a trend
    until_s: F8


@dataclass(frozen=True)
class LobVenue:
    """One venue of the asset."""

    venue: str
    name: str
    share: float  # how busy, against the first
    lag_s: float  # until it notices what the others do
    latency_ns: int  # mean of what a message needs beyond 1 ms, the least
    offset_ns: int  # our clock minus the venue's, at the start
    drift_ppb: float  # by which that grows
    numbered: bool  # its messages have numbers, so that a lost one shows


_MS = 1_000_000
VENUES = (
    LobVenue("sim_a", "BTCUSD", 1.0, 0.020, 2 * _MS, 7 * _MS, 8_000.0, True),
    LobVenue("sim_b", "BTCUSD_LIN", 0.8, 0.150, 4 * _MS, -35 * _MS, -21_000.0, True),
    LobVenue("sim_c", "BTCUSD", 0.6, 0.350, 8 * _MS, 120 * _MS, 33_000.0, False),
)  # lag_s of the first: it leads, and still hears of the others


def spells(random: np.random.Generator, total_s: float, *, calm_only: bool) -> Spells:
    """Regimes from the start to the end; the first is calm."""
    regime, direction, until_s = [Regime.CALM], [0], []
    now_s = total_s if calm_only else float(random.exponential(_REGIME_MEAN_S))
    while now_s < total_s:
        until_s.append(now_s)
        regime.append(Regime(int(random.integers(len(Regime)))))
        up = 1 if random.random() < 0.5 else -1
        direction.append(up if regime[-1] == Regime.TREND else 0)
        now_s += 1.0 + float(random.exponential(_REGIME_MEAN_S))
    until_s.append(total_s)
    return Spells(np.array(regime, np.int64), np.array(direction, np.int64), np.array(until_s))


def hawkes_terms(venues: tuple[LobVenue, ...], of: Spells) -> HawkesTerms:
    """Arrivals of all venues in these regimes."""
    base = np.empty((of.regime.size, len(venues), 3, 2))
    for s, (regime, direction) in enumerate(zip(of.regime, of.direction, strict=True)):
        for side in (0, 1):
            with_it = direction == (1 if side == 0 else -1)
            base[s, :, :, side] = (_WITH if with_it else _AGAINST)[Regime(int(regime))]
    base *= np.array(_BASE_HZ)[None, None, :, None]
    base *= np.array([one.share for one in venues])[None, :, None, None]
    n = len(venues) * TYPES
    branching = np.zeros((n, n))
    for to, one in enumerate(venues):
        for of_venue in range(len(venues)):
            at = np.ix_(range(to * TYPES, to * TYPES + TYPES),
                        range(of_venue * TYPES, of_venue * TYPES + TYPES))  # fmt: skip
            branching[at] = _OWN if to == of_venue else _OTHERS * one.share
    group = np.repeat(np.arange(len(venues)), TYPES)
    return HawkesTerms(
        base.reshape(of.regime.size, n), of.until_s, branching, DECAY_HZ, group,
        np.array([one.lag_s for one in venues]),
    )  # fmt: skip


# Events that one event brings about; rows: what comes, columns: what came. Order: limit buy, limit
# sell, market buy, market sell, cancel buy, cancel sell.
_OWN = np.array(
    [
        [0.25, 0.05, 0.15, 0.30, 0.15, 0.05],
        [0.05, 0.25, 0.30, 0.15, 0.05, 0.15],  # a market buy brings sellers' limit orders
        [0.01, 0.01, 0.30, 0.03, 0.01, 0.02],
        [0.01, 0.01, 0.03, 0.30, 0.02, 0.01],
        [0.15, 0.05, 0.02, 0.25, 0.20, 0.05],  # a market sell brings cancels of bids
        [0.05, 0.15, 0.25, 0.02, 0.05, 0.20],
    ]
)
_OTHERS = np.array([
    [0.02, 0.00, 0.04, 0.00, 0.00, 0.00],
    [0.00, 0.02, 0.00, 0.04, 0.00, 0.00],
    [0.00, 0.00, 0.06, 0.00, 0.00, 0.00],
    [0.00, 0.00, 0.00, 0.06, 0.00, 0.00],
    [0.00, 0.00, 0.00, 0.04, 0.02, 0.00],
    [0.00, 0.00, 0.04, 0.00, 0.00, 0.02],
])  # fmt: skip
