"""The tier as a whole: one row for one row, nulls in their places, real quotes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from operators.features.prices import PriceRows
from operators.features.tier import Features, FeaturesState
from schemas.kinds import Kind
from schemas.rows import FeatureRows, MarketRows, dtypes, take
from tests.check_operator import check_operator
from tests.feature_cases import instruments, market, mixed_market, quote, recorded_quotes, trade
from tests.feature_definitions import (
    atr_by_definition,
    change_over,
    exponential_mean,
    std_over,
    swings_by_definition,
)

OANDA = "quotes/oanda_EURUSD_20140501_20140509.parquet"
PASSED = (
    "seq", "lane", "kind", "flags", "symbol", "ts_event_ns", "ts_recv_ns", "side", "code", "role",
    "reason", "ref_id", "price", "qty", "ref",
)  # fmt: skip
MODEL = ("p_up", "vol_ratio", "p_trend_up", "p_trend_down", "p_range", "p_volatile")
COMPUTED = FeatureRows._fields[FeatureRows._fields.index("mid") :]
STATE_BYTES_MAX = 16_384  # per instrument


def run(rows: MarketRows) -> tuple[FeaturesState, FeatureRows]:
    operator = Features(instruments())
    return operator.step(operator.initial(), rows)


def test_columns_have_the_types_of_the_log() -> None:
    _, out = run(mixed_market(500, seed=40))
    assert {name: c.dtype for name, c in out._asdict().items()} == dtypes(FeatureRows)
    assert {len(column) for column in out} == {500}
    assert all(column.flags.c_contiguous for column in out)


def test_each_market_row_gives_its_own_feature_row() -> None:
    rows = mixed_market(3000, seed=41)
    rows.ref[:] = np.arange(3000.0)
    _, out = run(rows)
    for name in PASSED:
        np.testing.assert_array_equal(getattr(out, name), getattr(rows, name), err_msg=name)
    other = ~np.isin(rows.kind, [Kind.TRADE, Kind.QUOTE])
    assert other.any()
    np.testing.assert_array_equal(out.bid_px[other], rows.bid_px[other])
    for name in COMPUTED:
        assert np.isnan(getattr(out, name)[other]).all(), name
    for name in MODEL:
        assert np.isnan(getattr(out, name)).all(), name


def test_rows_that_are_no_ticks_move_nothing() -> None:
    rows = mixed_market(3000, seed=42)
    _, out = run(rows)
    ticks = ~np.isnan(out.mid)
    # A one-sided quote is no tick, but it voids the quote before it: it has to stay.
    stays = ticks | np.isin(rows.kind, [Kind.QUOTE])
    assert 0 < stays.sum() < 3000
    _, alone = run(take(rows, stays))
    for name, column in take(out, stays)._asdict().items():
        np.testing.assert_array_equal(getattr(alone, name), column, err_msg=name)


def test_ticks_are_counted_per_instrument() -> None:
    _, out = run(market([quote(1, 3), trade(2, symbol=1), quote(1, 3), trade(2), {"kind": 4}]))
    np.testing.assert_array_equal(out.n_ticks, [1, 1, 2, 3, np.nan])


def test_state_is_small_and_fixed() -> None:
    operator = Features(instruments())
    saved = len(operator.dump(run(mixed_market(3000, seed=43))[0]))
    assert saved == len(operator.dump(operator.initial()))
    assert saved / 3 < STATE_BYTES_MAX


def test_every_promise_of_an_operator() -> None:
    rows = mixed_market(5000, seed=44)
    _, out = run(rows)
    for name in COMPUTED[: -len(MODEL)]:  # the rows are long enough to fill every feature
        assert np.isfinite(getattr(out, name)).mean() > 0.2, name
    check_operator(Features(instruments()), rows, without_numba=True)


def test_recorded_quotes_against_every_definition(data_path: Callable[[str], Path]) -> None:
    rows = recorded_quotes(data_path(OANDA), 50_000)
    _, out = run(rows)
    mid = (rows.bid_px + rows.ask_px) / 2
    x, n = np.log(mid), mid.size
    full = np.arange(255, n)
    np.testing.assert_array_equal(out.mid, mid)
    np.testing.assert_array_equal(out.spread, rows.ask_px - rows.bid_px)
    np.testing.assert_array_equal(out.n_ticks, np.arange(1.0, n + 1))
    np.testing.assert_allclose(out.log_return[1:], np.diff(x), atol=1e-15)
    for column, length in ((out.vol_fx, 256), (out.vol_binary, 64), (out.vol_dex, 16)):
        np.testing.assert_allclose(column, np.abs(change_over(x, length)), atol=1e-15)
    np.testing.assert_allclose(out.window_change, change_over(x, 256), atol=1e-15)
    np.testing.assert_allclose(out.window_std[full], std_over(x, full), rtol=1e-9)

    prices = PriceRows(rows.symbol, rows.ts_event_ns, mid, x, rows.bid_px, rows.ask_px, out.n_ticks)
    np.testing.assert_allclose(out.atr, atr_by_definition(prices), rtol=1e-12)
    assert out.atr[-1] == pytest.approx(2e-4, rel=0.9)  # a few pips in five seconds

    pivots, extremes = swings_by_definition(mid[:20_000], out.atr[:20_000])
    known = ~np.isnan(out.pivot_px[:20_000])
    changes = np.flatnonzero(np.diff(out.pivot_px[:20_000][known]) != 0) + 1
    assert len(pivots) > 10
    np.testing.assert_array_equal(out.pivot_px[:20_000][known][[0, *changes]], mid[pivots])
    np.testing.assert_array_equal(out.swing_extreme_px[:20_000], extremes)

    head = 3000
    returns = np.diff(x[:head])
    sigma = [np.sqrt(returns[0] ** 2)]
    for r in returns[1:]:
        sigma.append(np.sqrt(0.94 * sigma[-1] ** 2 + 0.06 * r**2))
    np.testing.assert_allclose(out.sigma[1:head], sigma, rtol=1e-9)
    momentum = (x[:head] - exponential_mean(x[:head], 64))[1:] / (8 * np.array(sigma))
    np.testing.assert_allclose(out.momentum[1:head], momentum, rtol=1e-6, atol=1e-8)
    gradient = exponential_mean(np.diff(momentum), 16)
    np.testing.assert_allclose(out.momentum_gradient[2:head], gradient, rtol=1e-6, atol=1e-8)


def test_every_promise_on_recorded_quotes(data_path: Callable[[str], Path]) -> None:
    check_operator(Features(instruments()), recorded_quotes(data_path(OANDA), 50_000))
