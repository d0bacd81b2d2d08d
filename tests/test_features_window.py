"""PriceWindow: the same numbers as NumPy over each window, for ever."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.features.price_window import PriceWindow, WindowRows
from operators.features.prices import PriceRows
from tests.check_operator import check_operator
from tests.feature_cases import of, prices, random_prices
from tests.feature_definitions import WINDOW, change_over, std_over

HALF_LIFE = 2048


def run(rows: PriceRows, instruments: int = 1) -> WindowRows:
    operator = PriceWindow(instruments)
    return operator.step(operator.initial(), rows)[1]


def test_every_column_against_its_definition() -> None:
    rows = random_prices(6000, seed=3)
    out = run(rows, instruments=3)
    for k in range(3):
        x = of(k, rows, rows.log_mid)
        std = np.full(x.size, np.nan)
        std[WINDOW - 1 :] = std_over(x, np.arange(WINDOW - 1, x.size))
        weight = 1.0 - 0.5 ** (1.0 / HALF_LIFE)
        slow, slows = np.nan, []
        for value in std:
            slow = value if np.isnan(slow) else (1.0 - weight) * slow + weight * value
            slows.append(slow)
        np.testing.assert_array_equal(of(k, rows, out.window_change), change_over(x, 256))
        np.testing.assert_allclose(of(k, rows, out.window_std), std, rtol=1e-9)
        np.testing.assert_allclose(of(k, rows, out.window_std_slow), slows, rtol=1e-9)
        np.testing.assert_array_equal(of(k, rows, out.vol_fx), np.abs(change_over(x, 256)))
        np.testing.assert_array_equal(of(k, rows, out.vol_binary), np.abs(change_over(x, 64)))
        np.testing.assert_array_equal(of(k, rows, out.vol_dex), np.abs(change_over(x, 16)))
    for column in out:
        assert np.isnan(column[rows.k < 0]).all()


def test_slow_mean_closes_half_its_gap_in_2048_ticks() -> None:
    x = np.resize([1e-5, -1e-5], 400 + WINDOW + HALF_LIFE)  # each window has the same std ...
    x[400:] *= 3.0  # ... and from 400 + 256 on three times that
    out = run(prices(np.exp(x)))
    gap = out.window_std - out.window_std_slow
    full = 400 + WINDOW - 1
    assert out.window_std[full:] == pytest.approx(3 * out.window_std[300], rel=1e-6)
    assert out.window_std_slow[300] == pytest.approx(out.window_std[255], rel=1e-6)
    assert gap[full + HALF_LIFE] == pytest.approx(gap[full] / 2, rel=1e-6)


@pytest.mark.parametrize("price", [1.38, 61_000.0])
def test_no_drift_after_a_million_ticks(price: float) -> None:
    random = np.random.default_rng(5)
    x = prices(price + 1e-5 * random.standard_normal(1_000_000))
    out = run(x)
    at = np.concatenate([np.arange(990_000, 1_000_000), random.integers(255, 990_000, 2000)])
    np.testing.assert_allclose(out.window_std[at], std_over(x.log_mid, at), rtol=1e-9)


def test_a_jump_that_leaves_the_window_leaves_no_trace() -> None:
    random = np.random.default_rng(6)
    mid = 1.38 + 1e-7 * random.standard_normal(3000)
    mid[[400, 700, 1003]] = 5.0  # not at a multiple of 256, where the sums are new anyway
    mid[1500:] *= 2.0
    x = prices(mid)
    at = np.arange(WINDOW - 1, 3000)
    np.testing.assert_allclose(run(x).window_std[at], std_over(x.log_mid, at), rtol=1e-9)


def test_sums_are_counted_anew_each_time_the_ring_wraps() -> None:
    rows = prices(1.38 + 1e-4 * np.random.default_rng(8).standard_normal(40 * WINDOW))
    wraps = run(rows).window_std[WINDOW - 1 :: WINDOW]
    fresh = [run(prices(part)).window_std[-1] for part in rows.mid.reshape(-1, WINDOW)]
    np.testing.assert_array_equal(wraps, fresh)  # to the bit: nothing is left of earlier ticks


def test_counting_anew_after_a_jump_is_not_repeated_for_ever() -> None:
    mid = 1.38 + 1e-7 * np.random.default_rng(9).standard_normal(1000)
    mid[300] = 5.0
    operator = PriceWindow(1)
    state, _ = operator.step(operator.initial(), prices(mid))
    assert state.peak[0] < 1e-9  # the jump's share, 0.4, would call for a new count at each tick


def test_a_flat_window_is_exactly_zero() -> None:
    out = run(prices(np.concatenate([np.linspace(1.0, 2.0, 300), np.full(400, 1.38)])))
    assert (out.window_std[300 + WINDOW - 1 :] == 0.0).all()
    assert (out.window_std[WINDOW - 1 : 300 + WINDOW - 1] > 0.0).all()


@given(
    st.lists(st.tuples(st.integers(1, 400), st.floats(-12, 0), st.floats(-3, 3)), max_size=8),
    st.integers(0, 2**32 - 1),
)
def test_any_mix_of_calm_and_storm(spans: list[tuple[int, float, float]], seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = [np.zeros(300)] + [
        level + 10.0**size * random.standard_normal(n) for n, size, level in spans
    ]
    x = prices(np.exp(np.concatenate(parts)))
    at = np.arange(WINDOW - 1, x.mid.size)
    expected = std_over(x.log_mid, at)
    # The reference itself rounds: 1e-15 of the price level.
    np.testing.assert_allclose(run(x).window_std[at], expected, rtol=1e-9, atol=1e-15)


def test_every_promise_of_an_operator() -> None:
    check_operator(PriceWindow(3), random_prices(3000, seed=7), without_numba=True)
