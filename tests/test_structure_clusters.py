"""Stop clusters: planted equal highs are found, uniform noise has none, and the definition."""

import math
from typing import Any

import numpy as np
import pytest

from operators.features.structure.candles import DOWN, UP
from operators.features.structure.clusters import (
    STOPS,
    SWINGS,
    add_swing,
    chance_of,
    find_cluster,
    round_step,
    swing_range,
    take_stops,
)
from operators.features.structure.structure import Structure
from operators.records import blank_records
from schemas.rows import F8
from tests.structure_cases import Bar, mirrored, per_bar, walk
from tests.structure_definitions import chance, cluster

NAN = math.nan
NOISE = 400  # draws


def stops_of(highs: Any, lows: Any = ()) -> Any:
    both = blank_records(STOPS, 2)
    for px in highs:
        add_swing(both[UP], float(px))
    for px in lows:
        add_swing(both[DOWN], -float(px))
    return both


def found_in(
    highs: Any, lows: Any, *, close: float, bandwidth: float
) -> tuple[float, float, float]:
    both = stops_of(highs, lows)
    return find_cluster(both[UP], close, bandwidth, swing_range(both))


# fmt: off
ROUND = [  # price, distance of round numbers
    (1.3871, 0.01), (0.0042, 0.00001), (99.9, 0.1), (100.0, 1.0), (150.0, 1.0), (999.0, 1.0),
    (1000.0, 10.0), (61_234.5, 100.0), (-150.0, 1.0),
]
# fmt: on


@pytest.mark.parametrize(("px", "step"), ROUND)
def test_round_numbers_have_three_digits(px: float, step: float) -> None:
    assert round_step(px) == pytest.approx(step, rel=1e-12)


@pytest.mark.parametrize("share", [1e-6, 0.001, 0.02, 0.1, 0.5, 0.9, 1.0])
def test_chance_is_the_binomial_tail(share: float) -> None:
    for m in range(1, SWINGS + 1):
        for together in range(1, m + 1):
            expected = chance(m, together, share)
            assert chance_of(m, together, share) == pytest.approx(expected, rel=1e-9)


def noise(random: np.random.Generator) -> tuple[F8, F8]:
    return random.uniform(100.0, 110.0, SWINGS), random.uniform(100.0, 110.0, SWINGS)


BANDWIDTHS = pytest.mark.parametrize("bandwidth", [0.01, 0.03, 0.1, 0.3])


def chances_of_noise(bandwidth: float) -> F8:
    random = np.random.default_rng(1)
    draws = (noise(random) for _ in range(NOISE))
    return np.array([found_in(*d, close=99.0, bandwidth=bandwidth)[2] for d in draws])


@BANDWIDTHS
@pytest.mark.parametrize("level", [0.01, 0.05, 0.1, 0.25])
def test_uniform_noise_gives_no_cluster(bandwidth: float, level: float) -> None:
    """No more often than said; three standard deviations of the count are allowed."""
    share = np.mean(chances_of_noise(bandwidth) <= level)
    assert share <= level + 3 * math.sqrt(level * (1 - level) / NOISE)


@BANDWIDTHS
def test_planted_equal_highs_are_a_cluster(bandwidth: float) -> None:
    """As few of 32 highs as must do, within half a bandwidth of each other."""
    random = np.random.default_rng(2)
    n = next(n for n in range(2, SWINGS) if chance(SWINGS, n, 2 * bandwidth / 10.0) <= 0.02)
    assert n <= 9
    found, chances = 0, []
    for _ in range(100):
        highs, lows = noise(random)
        planted = random.uniform(102.2, 102.8)
        highs[:n] = planted + random.uniform(-0.25, 0.25, n) * bandwidth
        px, _, by_chance = found_in(highs, lows, close=99.0, bandwidth=bandwidth)
        found += abs(px - planted) <= bandwidth and by_chance <= 0.05
        chances.append(by_chance)
    assert found >= 90
    assert np.mean(chances_of_noise(bandwidth) <= np.median(chances)) <= 0.05, "bootstrap p"


def test_a_lone_swing_far_from_round_numbers_counts_one_and_one_on_them_more() -> None:
    far = [0.0, 1000.0]
    for px, each in ((102.5, 1.0), (103.0, 1.5)):
        found = found_in([px] * 3 + far, [], close=101.0, bandwidth=0.05)
        np.testing.assert_allclose(found[:2], (px, 3 * each), rtol=1e-9)


def test_the_stronger_place_wins_and_a_round_number_makes_it_stronger() -> None:
    far = [0.0, 1000.0]
    both = [102.5] * 3 + [103.0] * 3 + far
    assert found_in(both, [], close=99.0, bandwidth=0.05)[0] == 103.0
    assert found_in([*both, 102.5, 102.5], [], close=99.0, bandwidth=0.05)[0] == 102.5
    assert found_in(both, [], close=103.0, bandwidth=0.05)[0] == 1000.0, "beyond the close only"


def test_swings_are_taken_by_a_bar_more_than_a_bandwidth_beyond() -> None:
    both = stops_of([102.5] * 3 + [0.0, 1000.0])
    for high, stands in ((102.55, True), (102.549, True), (102.56, False)):
        take_stops(both[UP], high, 0.05)
        px, _, _ = find_cluster(both[UP], 99.0, 0.05, swing_range(both))
        assert (px == 102.5) == stands


def test_only_the_last_swings_are_remembered() -> None:
    highs = [102.5] * 3 + list(np.linspace(0.0, 1000.0, SWINGS - 1))
    assert found_in(highs[: SWINGS - 1], [], close=99.0, bandwidth=0.05)[0] == 102.5
    assert found_in(highs, [], close=99.0, bandwidth=0.05)[1] < 2.2, "two of the three are left"


@pytest.mark.parametrize("bandwidth", [NAN, 0.0])
def test_no_bandwidth_no_cluster(bandwidth: float) -> None:
    assert np.isnan(found_in([102.5] * 5 + [0.0], [], close=99.0, bandwidth=bandwidth)).all()


def test_swings_of_one_price_alone_may_be_chance() -> None:
    assert found_in([102.5] * 5, [], close=99.0, bandwidth=0.05)[2] == 1.0


def range_bound(n_tops: int) -> list[Bar]:
    """Tops of one height, bottoms of many: each leg fourteen bars long."""
    bars, x = [], 150.0
    for top in range(n_tops):
        bottom = 140.0 - 3.0 * (top * 7 % 5)
        for goal in (160.3, bottom):
            for step in range(14):
                to = x + (goal - x) / (14 - step)
                bars.append(Bar(x, max(x, to), min(x, to), to))
                x = to
    return bars


@pytest.mark.parametrize("side", [1, -1], ids=["above", "below"])
def test_equal_highs_of_bars(side: int) -> None:
    bars = range_bound(8) if side > 0 else mirrored(range_bound(8), 300.0)
    shown = per_bar(Structure(3), bars)
    name = "above" if side > 0 else "below"
    px, strength, by_chance = (
        shown[f"stop_cluster_{name}_{what}"] for what in ("px", "strength", "chance")
    )
    assert px[-1] == pytest.approx(160.3 if side > 0 else 139.7, rel=1e-9)
    assert 6 <= strength[-1] <= 1.5 * 8
    assert by_chance[-1] < 1e-3
    assert (by_chance[18:40] > 0.05).all(), "one top is none"


def test_any_walk_any_prefix_by_definition() -> None:
    n, seen = 400, 0
    for seed in range(5):
        bars = walk(n, seed, low=9_600, high=9_640)  # 150 to 150.6, so tops are near each other
        shown = per_bar(Structure(3), bars)
        for last in range(16, n, 24):
            for side, name in ((1, "above"), (-1, "below")):
                whats = ("px", "strength", "chance")
                found = [shown[f"stop_cluster_{name}_{what}"][last] for what in whats]
                expected = cluster(bars[: last + 1], side)
                np.testing.assert_allclose(found, expected, rtol=1e-9)
                seen += found[1] > 2.5
    assert seen >= 20
