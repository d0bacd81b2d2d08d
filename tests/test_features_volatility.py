"""Volatility: RiskMetrics, unrolled."""

import math

import numpy as np
import pytest

from operators.features.volatility import Volatility
from tests.check_operator import check_operator
from tests.feature_cases import of, prices, random_prices


def test_against_the_weighted_sum_of_all_squared_returns() -> None:
    rows = random_prices(1500, seed=11)
    operator = Volatility(3)
    _, out = operator.step(operator.initial(), rows)
    for k in range(3):
        x = of(k, rows, rows.log_mid)
        returns = np.diff(x)
        sigma = [math.nan]
        for t in range(1, x.size):
            weights = 0.06 * 0.94 ** np.arange(t - 1, -1, -1)
            weights[0] = 0.94 ** (t - 1)  # the first square starts the mean with full weight
            sigma.append(math.sqrt(np.sum(weights * returns[:t] ** 2)))
        np.testing.assert_array_equal(of(k, rows, out.log_return), [np.nan, *returns])
        np.testing.assert_allclose(of(k, rows, out.sigma), sigma, rtol=1e-12)
    assert np.isnan(out.sigma[rows.k < 0]).all()
    assert np.isnan(out.log_return[rows.k < 0]).all()


# fmt: off
CASES = [  # log prices, sigma of the last tick
    ("one tick",              [0.0],                     math.nan),
    ("the first return",      [0.0, 0.02],               0.02),
    ("a fall is as large",    [0.0, -0.02],              0.02),
    ("equal returns stay",    [0.0, 0.02, 0.04, 0.06],   0.02),
    ("standing still fades",  [0.0, 0.02, 0.02],         0.02 * math.sqrt(0.94)),
    ("no move at all",        [0.0, 0.0, 0.0],           0.0),
    ("a move out of silence", [0.0, 0.0, 0.02],          0.02 * math.sqrt(0.06)),
]
# fmt: on


@pytest.mark.parametrize(("what", "log_prices", "sigma"), CASES, ids=[c[0] for c in CASES])
def test_case(what: str, log_prices: list[float], sigma: float) -> None:
    operator = Volatility(1)
    _, out = operator.step(operator.initial(), prices(np.exp(log_prices)))
    assert out.sigma[-1] == pytest.approx(sigma, rel=1e-12, nan_ok=True)


def test_every_promise_of_an_operator() -> None:
    check_operator(Volatility(3), random_prices(3000, seed=12), without_numba=True)
