"""Momentum: the weighted sums, unrolled."""

import math

import numpy as np
import pytest

from operators.features.momentum import Momentum, MomentumPrices, MomentumRows
from operators.features.volatility import Volatility
from tests.check_operator import check_operator
from tests.feature_cases import of, prices, random_prices
from tests.feature_definitions import exponential_mean

BOUND = 8.0


def inputs(n: int, seed: int) -> MomentumPrices:
    rows = random_prices(n, seed)
    operator = Volatility(3)
    _, volatility = operator.step(operator.initial(), rows)
    return MomentumPrices(rows.k, rows.log_mid, volatility.sigma)


def run(rows: MomentumPrices, instruments: int = 1) -> MomentumRows:
    operator = Momentum(instruments)
    return operator.step(operator.initial(), rows)[1]


def test_against_the_weighted_sums() -> None:
    rows = inputs(4000, seed=31)
    out = run(rows, instruments=3)
    for k in range(3):
        x, sigma = of(k, rows, rows.log_mid), of(k, rows, rows.sigma)
        with np.errstate(invalid="ignore", divide="ignore"):
            momentum = (x - exponential_mean(x, 64)) / (sigma * 8)
        momentum = np.clip(np.where(sigma == 0.0, 0.0, momentum), -BOUND, BOUND)
        gradient = exponential_mean(np.diff(momentum[1:]), 16)
        np.testing.assert_allclose(of(k, rows, out.momentum), momentum, rtol=1e-8, atol=1e-9)
        found = of(k, rows, out.momentum_gradient)
        assert np.isnan(found[:2]).all()
        np.testing.assert_allclose(found[2:], gradient, rtol=1e-8, atol=1e-9)
    for column in out:
        assert np.isnan(column[rows.k < 0]).all()


def of_ticks(log_mid: list[float], sigma: list[float]) -> MomentumRows:
    rows = prices(np.exp(log_mid))
    return run(MomentumPrices(rows.k, np.array(log_mid), np.array(sigma)))


# The mean of a price that jumps by 1 from 0 has come 1 - 2 ** (-1 / 64) of the way.
LEFT = 0.5 ** (1.0 / 64.0)

# fmt: off
CASES = [  # ln(mid), sigma; momentum and gradient of the last tick
    ("no volatility yet",         [0.0],            [math.nan],           (math.nan, math.nan)),
    ("the first return",          [0.0, 1.0],       [math.nan, 1.0],      (LEFT / 8, math.nan)),
    ("a fall is the mirror",      [0.0, -1.0],      [math.nan, 1.0],      (-LEFT / 8, math.nan)),
    ("half the volatility",       [0.0, 1.0],       [math.nan, 0.5],      (LEFT / 4, math.nan)),
    ("no volatility at all",      [0.0, 0.0],       [math.nan, 0.0],      (0.0, math.nan)),
    ("sigma 0 away from the mean", [0.0, 1.0],      [math.nan, 0.0],      (0.0, math.nan)),
    ("the first change",          [0.0, 0.0, 1.0],  [math.nan, 1.0, 1.0], (LEFT / 8, LEFT / 8)),
    ("never above the bound",     [0.0, 1.0],       [math.nan, 1e-9],     (BOUND, math.nan)),
    ("never below it",            [0.0, -1.0],      [math.nan, 1e-9],     (-BOUND, math.nan)),
]
# fmt: on


@pytest.mark.parametrize(("what", "log_mid", "sigma", "expected"), CASES, ids=[c[0] for c in CASES])
def test_case(
    what: str, log_mid: list[float], sigma: list[float], expected: tuple[float, float]
) -> None:
    out = of_ticks(log_mid, sigma)
    found = (out.momentum[-1], out.momentum_gradient[-1])
    assert found == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_a_tape_that_stands_still_after_a_move_stays_within_the_bound() -> None:
    rows = prices(np.concatenate([[1.0], np.full(20_000, 1.001)]))
    volatility = Volatility(1)
    _, out = volatility.step(volatility.initial(), rows)
    found = run(MomentumPrices(rows.k, rows.log_mid, out.sigma))
    assert np.nanmax(np.abs(found.momentum)) <= BOUND
    assert np.nanmax(np.abs(found.momentum_gradient)) <= BOUND


def test_every_promise_of_an_operator() -> None:
    check_operator(Momentum(3), inputs(3000, seed=32), without_numba=True)
