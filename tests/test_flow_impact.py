"""Kyle's lambda with its error, Amihud's illiquidity, and the fading regression below them."""

import math
from typing import Any

import numpy as np
import pytest

from operators.features.flow.impact import BAR_NS, BARS_MIN, Impact
from operators.features.flow.regression import (
    add_point,
    blank_regression,
    scatter,
    slope,
    slope_error,
)
from operators.features.flow.rows import TOP, TRADE, FlowRows
from schemas.rows import F8, take
from tests.check_operator import check_operator
from tests.flow_cases import at, flow_rows, hand_made, mixed_flow, quote, trade, values


def fitted(x: F8, y: F8, fade: float) -> tuple[float, float, float]:
    line = blank_regression(1)
    for a, b in zip(x, y, strict=True):
        add_point(line, 0, fade, a, b)
    return slope(line, 0), slope_error(line, 0), scatter(line, 0)


def least_squares(x: F8, y: F8, weights: F8) -> tuple[float, float, float]:
    """Slope, its error and the scatter, by NumPy over all points."""
    root = np.sqrt(weights)
    design = np.stack([np.ones(x.size), x], axis=1) * root[:, None]
    (_, b), rest, *_ = np.linalg.lstsq(design, y * root, rcond=None)
    n = weights.sum() ** 2 / (weights**2).sum()
    variance = rest[0] / weights.sum() * n / (n - 2)
    mean = np.average(x, weights=weights)
    spread = np.average((x - mean) ** 2, weights=weights)
    return b, math.sqrt(variance / (n * spread)), math.sqrt(variance)


@pytest.mark.parametrize("half_life", [math.inf, 30.0])
def test_regression_is_numpys_least_squares(half_life: float) -> None:
    random = np.random.default_rng(17)
    x = random.normal(5.0, 3.0, 200)
    y = 61_000.0 + 0.3 * x + random.normal(0.0, 0.5, 200)
    fade = 0.5 ** (1.0 / half_life)
    weights = fade ** np.arange(199, -1, -1.0)
    np.testing.assert_allclose(fitted(x, y, fade), least_squares(x, y, weights), rtol=1e-7)


def test_error_without_fading_is_the_textbooks() -> None:
    from scipy.stats import linregress

    random = np.random.default_rng(18)
    x, y = random.normal(size=(2, 50))
    found = linregress(x, y)
    np.testing.assert_allclose(fitted(x, y, 1.0)[:2], [found.slope, found.stderr], rtol=1e-10)


def test_regression_without_spread_or_points_is_null() -> None:
    assert np.isnan(fitted(np.ones(9), np.arange(9.0), 1.0)).all()
    assert np.isnan(fitted(np.array([1.0, 2.0]), np.zeros(2), 1.0)[1:]).all()
    assert np.isnan(fitted(np.zeros(0), np.zeros(0), 1.0)).all()


def auction(bars: int, seed: int) -> tuple[F8, F8]:
    """Kyle's single auction with S = 2 and su = 3, again and again: order flow, price change.

    The insider sees v ~ N(0, S^2) and trades beta v with beta = su / S; noise adds N(0, su^2).
    The market maker's regression has lambda = S / (2 su) = 1/3.
    """
    random = np.random.default_rng(seed)
    value, noise = random.normal(0.0, 2.0, bars), random.normal(0.0, 3.0, bars)
    return 1.5 * value + noise, value


def one_bar_each(flow: F8, changes: F8) -> FlowRows:
    """Bars of one trade of this signed volume and a quote that has moved by this much."""
    rows: list[Any] = [quote(99_999.0, 100_001.0, ts_event_ns=at(0))]
    mid = 100_000.0 + np.cumsum(changes)
    for i, (q, m) in enumerate(zip(flow, mid, strict=True)):
        start = at(10 * (i + 1))
        rows.append(trade(m, abs(q), 1 if q > 0 else -1, ts_event_ns=start))
        rows.append(quote(m - 1.0, m + 1.0, ts_event_ns=start + 1))
    rows.append(quote(1.0, 2.0, ts_event_ns=at(10 * (flow.size + 1))))
    return hand_made(*rows)


def test_lambda_of_a_simulated_kyle_auction() -> None:
    flow, value = auction(4000, seed=19)
    found = values(Impact(3, half_life_bars=math.inf), one_bar_each(flow, value))
    slope_, error = found["kyle_lambda"][-1], found["kyle_lambda_error"][-1]
    expected = least_squares(flow, value, np.ones(flow.size))
    np.testing.assert_allclose([slope_, error], expected[:2], rtol=1e-6)
    assert abs(slope_ - 1.0 / 3.0) < 3.0 * error
    assert error < 0.01


def bars_of(rows: FlowRows) -> tuple[F8, F8, F8, F8, F8]:
    """Of each bar of these rows: its number, last mid before it, last mid, signed volume, notional.

    Quotes and trades of one instrument.
    """
    mid, traded = rows.mid, rows.event & TRADE > 0
    signed = np.where(traded, rows.qty * rows.sign, 0.0)
    notional = np.where(traded, rows.notional, 0.0)
    number = rows.ts_ns // BAR_NS
    found = []
    known = math.nan
    for b in np.unique(number):
        here = np.flatnonzero(number == b)
        mids = mid[here][np.isfinite(mid[here])]
        last = mids[-1] if mids.size else known
        found.append((b, known, last, signed[here].sum(), notional[here].sum()))
        known = last
    return tuple(np.array(column) for column in zip(*found, strict=True))  # type: ignore[return-value]


def test_both_against_bars_cut_out_of_the_whole() -> None:
    rows = flow_rows(mixed_flow(9000, seed=20))
    found = values(Impact(3, half_life_bars=20.0), rows)
    for k in range(3):
        kept = (rows.k == k) & (rows.event & (TOP | TRADE) > 0)
        mine = take(rows, kept)
        number, first, last, signed, notional = bars_of(mine)
        shown = {name: column[kept] for name, column in found.items()}
        opened = np.searchsorted(mine.ts_ns // BAR_NS, number)  # first row of each
        counted = np.isfinite(last - first)
        assert counted.sum() > 2 * BARS_MIN
        for j in range(1, number.size):
            past = counted[:j]
            at_row = opened[j]
            if past.sum() < BARS_MIN:
                assert np.isnan(shown["kyle_lambda"][at_row])
                continue
            x, y = signed[:j][past], (last - first)[:j][past]
            weights = 0.5 ** (np.arange(x.size - 1, -1, -1.0) / 20.0)
            expected = least_squares(x, y, weights)
            assert shown["kyle_lambda"][at_row] == pytest.approx(expected[0], rel=1e-6)
            assert shown["kyle_lambda_error"][at_row] == pytest.approx(expected[1], rel=1e-6)
            traded = past & (notional[:j] > 0)
            if traded.sum() >= BARS_MIN:
                each = np.abs(np.log(last / first)[:j][traded]) / notional[:j][traded] * 1e10
                fading = 0.5 ** (np.arange(each.size - 1, -1, -1.0) / 8640.0)
                mean = np.average(each, weights=fading)
                assert shown["amihud_bps"][at_row] == pytest.approx(mean, rel=1e-9)


def test_constant_flow_has_no_lambda() -> None:
    found = values(Impact(3), one_bar_each(np.ones(40), np.zeros(40)))
    assert np.isnan(found["kyle_lambda"]).all()
    assert found["amihud_bps"][-1] == 0.0


def test_half_life_must_be_positive() -> None:
    with pytest.raises(ValueError, match="half_life_bars must be positive, was 0"):
        Impact(3, half_life_bars=0)


def test_every_promise_of_an_operator() -> None:
    rows = flow_rows(mixed_flow(2500, seed=21))
    assert np.isfinite(values(Impact(3), rows)["kyle_lambda"]).any()
    check_operator(Impact(3), rows)
