"""Promise: the regime state is Omni's formulas without units, and the heuristic reads it so."""

import math

import numpy as np
import pytest

from operators.governor.choice import preferred_engine, rank_of
from operators.governor.lane import LaneRules
from operators.regime.state import regime_state
from schemas.kinds import Engine

WINDOW = 256
BINARY, SPOT, ARBITRAGE = Engine
RULES = LaneRules()


def score(log_prices: np.ndarray) -> tuple[float, float, float]:
    change, std = float(log_prices[-1] - log_prices[0]), float(np.std(log_prices))
    vol, trend, reversion = regime_state(change, std, std)
    return float(vol), float(trend), float(reversion)


@pytest.mark.parametrize("slope", [1e-6, -1e-6, 0.01, -3.0])
def test_a_straight_line_scores_3_45_at_any_slope(slope: float) -> None:
    # n points apart by d: change (n - 1) d, deviation d sqrt((n^2 - 1) / 12)
    closed = (WINDOW - 1) / math.sqrt((WINDOW**2 - 1) / 12)
    assert closed == pytest.approx(3.45, abs=0.005)
    vol, trend, reversion = score(slope * np.arange(WINDOW))
    assert (vol, trend, reversion) == pytest.approx((1.0, closed, 1.0 - closed))
    assert trend > RULES.trend_strength_min, "a straight line must count as a trend"


def test_one_random_walk_in_twenty_scores_above_3_84() -> None:
    random = np.random.default_rng(5)
    walks = np.cumsum(random.normal(size=(20_000, WINDOW)), axis=1)
    scores = [score(walk)[1] for walk in walks[:200]]
    all_scores = np.abs(walks[:, -1] - walks[:, 0]) / np.std(walks, axis=1)
    np.testing.assert_allclose(scores, all_scores[:200])
    # the 95th percentile of 20,000 draws has a standard error of about 0.01
    assert np.quantile(all_scores, 0.95) == pytest.approx(3.84, abs=0.04)


def test_the_formulas_are_the_definitions() -> None:
    random = np.random.default_rng(6)
    for _ in range(200):
        log_prices = np.cumsum(random.normal(0.0, 1e-3, WINDOW))
        slow = float(random.uniform(1e-4, 1e-2))
        change, std = float(log_prices[-1] - log_prices[0]), float(np.std(log_prices))
        expected = (std / slow, abs(change) / std, 1.0 - abs(change) / std)
        assert regime_state(change, std, slow) == pytest.approx(expected, rel=1e-14)


# fmt: off
FLAT = [  # a window without movement divides by nothing
    # what                      change  std   slow    vol   trend  reversion
    ("all is flat",             0.0,    0.0,  0.0,    0.0,  0.0,   1.0),
    ("flat after a storm",      0.0,    0.0,  1e-3,   0.0,  0.0,   1.0),
    ("usual",                   0.0,    1e-3, 1e-3,   1.0,  0.0,   1.0),
    ("twice as volatile",       2e-3,   2e-3, 1e-3,   2.0,  1.0,   0.0),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "change", "std", "slow", "vol", "trend", "reversion"), FLAT, ids=[c[0] for c in FLAT]
)
def test_flat_windows(
    what: str, change: float, std: float, slow: float, vol: float, trend: float, reversion: float
) -> None:
    assert regime_state(change, std, slow) == pytest.approx((vol, trend, reversion))


def test_units_do_not_matter() -> None:
    walk = np.cumsum(np.random.default_rng(7).normal(size=WINDOW))
    assert score(walk)[1] == pytest.approx(score(1e4 * walk)[1])


V, T = RULES.vol_score_min, RULES.trend_strength_min
# fmt: off
CHOICE = [
    # what                                     vol       trend     first
    ("volatile and directed: binary is first", V + 1e-9, T + 1e-9, BINARY),
    ("volatile, no trend",                     V + 1e-9, T,        BINARY),
    ("directed",                               V,        T + 1e-9, SPOT),
    ("neither; both thresholds are excluded",  V,        T,        ARBITRAGE),
    ("nothing known",                          math.nan, math.nan, ARBITRAGE),
]
# fmt: on


@pytest.mark.parametrize(("what", "vol", "trend", "first"), CHOICE, ids=[c[0] for c in CHOICE])
def test_the_heuristic(what: str, vol: float, trend: float, first: Engine) -> None:
    assert preferred_engine(vol, trend, V, T) == first


@pytest.mark.parametrize(
    ("first", "order"),
    [
        (BINARY, [BINARY, SPOT, ARBITRAGE]),
        (SPOT, [SPOT, BINARY, ARBITRAGE]),
        (ARBITRAGE, [ARBITRAGE, BINARY, SPOT]),
    ],
)
def test_the_others_follow_in_written_order(first: Engine, order: list[Engine]) -> None:
    assert sorted(Engine, key=lambda engine: rank_of(engine, first)) == order
    assert sorted(rank_of(engine, first) for engine in Engine) == [0, 1, 2]
