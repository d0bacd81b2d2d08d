"""Promise: confidence is a probability, pooled, bounded and paid for as the papers say."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.governor.confidence import P_EDGE, kelly_binary, pooled, reversion_confidence

# fmt: off
KELLY = [  # Kelly 1956, f = p - (1 - p) / b
    # what                                p      b     fraction of the bank
    ("the reference's example",           0.6,   0.8,  0.10),
    ("break-even at 1 / (1 + b)",         1/1.8, 0.8,  0.0),
    ("below break-even: no bet",          0.55,  0.8,  0.55 - 0.45 / 0.8),
    ("an even coin",                      0.5,   1.0,  0.0),
    ("sure to win",                       1.0,   0.8,  1.0),
]
# fmt: on


@pytest.mark.parametrize(("what", "p", "b", "fraction"), KELLY, ids=[c[0] for c in KELLY])
def test_kelly(what: str, p: float, b: float, fraction: float) -> None:
    assert kelly_binary(p, b) == pytest.approx(fraction, abs=1e-12)


def test_break_even_is_55_56_percent_at_a_payout_of_80_percent() -> None:
    below, above = 0.5555, 0.5556
    assert kelly_binary(below, 0.8) < 0.0 < kelly_binary(above, 0.8)


@pytest.mark.parametrize(("p", "b"), [(0.6, 0.8), (0.7, 0.857), (0.9, 0.5)])
def test_kelly_grows_fastest(p: float, b: float) -> None:
    grid = np.arange(0.0, 0.9999, 1e-4)
    growth = p * np.log1p(b * grid) + (1.0 - p) * np.log1p(-grid)
    assert grid[np.argmax(growth)] == pytest.approx(kelly_binary(p, b), abs=1e-4)


# fmt: off
POOL = [
    # what                              p      evidence        pooled
    ("no evidence changes nothing",     0.7,   0.0,            0.7),
    ("an indifferent model",            0.5,   math.log(3.0),  0.75),
    ("log odds add up",                 0.75,  math.log(3.0),  0.9),
    ("evidence against",                0.75,  -math.log(3.0), 0.5),
    ("a model that is sure is not",     1.0,   0.0,            1.0 - P_EDGE),
    ("nor in the other direction",      0.0,   0.0,            P_EDGE),
]
# fmt: on


@pytest.mark.parametrize(("what", "p", "evidence", "expected"), POOL, ids=[c[0] for c in POOL])
def test_pool(what: str, p: float, evidence: float, expected: float) -> None:
    assert pooled(p, evidence) == pytest.approx(expected, abs=1e-12)


@given(st.fractions(Fraction(1, 100), Fraction(99, 100)), st.fractions(Fraction(1, 20), 20))
def test_the_pool_multiplies_odds(p: Fraction, factor: Fraction) -> None:
    odds = p / (1 - p) * factor
    assert pooled(float(p), math.log(factor)) == pytest.approx(float(odds / (1 + odds)), rel=1e-12)


@pytest.mark.parametrize(("stretch", "expected"), [(0.0, 0.0), (1.0, 0.5), (2.0, 0.8), (3.0, 0.9)])
def test_cantelli_at_whole_deviations(stretch: float, expected: float) -> None:
    assert reversion_confidence(stretch) == pytest.approx(expected)


@pytest.mark.parametrize("stretch", [0.5, 1.0, 2.0, 3.0])
def test_cantelli_is_reached_by_its_worst_case_and_kept_by_others(stretch: float) -> None:
    bound = 1.0 - reversion_confidence(stretch)  # share that may lie that far out on one side
    # two points: z with probability 1 / (1 + z^2), -1 / z with the rest; mean 0, variance 1
    low = -1.0 / stretch
    assert bound * stretch + (1.0 - bound) * low == pytest.approx(0.0)
    assert bound * stretch**2 + (1.0 - bound) * low**2 == pytest.approx(1.0)
    random = np.random.default_rng(8)
    for draws in (random.normal(size=100_000), random.exponential(size=100_000)):
        z = (draws - draws.mean()) / draws.std()
        assert (z >= stretch).mean() <= bound + 1e-12
