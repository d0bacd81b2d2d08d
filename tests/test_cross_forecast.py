"""The liquidity of the next hour: profile, regression, and whether it beats yesterday."""

import math
from functools import cache
from typing import Any

import numpy as np
import pytest

from operators.features.cross.forecast import (
    BIN_NS,
    BINS,
    HOUR,
    PAIRS_MIN,
    PROFILE_SHARE,
    Forecast,
    ForecastState,
)
from operators.features.cross.least_squares import RIDGE, SIZE, add_pair, solve
from schemas.kinds import Kind
from schemas.rows import F8, MarketRows, concat, empty, take
from tests.check_operator import check_operator
from tests.derivative_cases import START_NS, Whole, market_of, mixed, run, table
from venues.tape import open_tapes

TABLE = table(market_of(0))
FIRST_BIN = START_NS // BIN_NS  # of a day: START_NS is midnight


def shares_of(inputs: F8, y: F8, fade: float) -> F8:
    squares, products = np.zeros((SIZE, SIZE)), np.zeros(SIZE)
    for row, value in zip(inputs, y, strict=True):
        add_pair(squares, products, fade, row, value)
    scratch = np.empty((SIZE, SIZE + 1))
    solve(squares, products, scratch)
    return scratch[:, SIZE].copy()


@pytest.mark.parametrize("fade", [1.0, 0.98])
def test_least_squares_are_numpys(fade: float) -> None:
    random = np.random.default_rng(1)
    inputs = np.column_stack([np.ones(300), random.normal(2.0, 1.0, (300, 3))])
    y = inputs @ [0.5, -1.0, 2.0, 0.1] + random.normal(0.0, 0.1, 300)
    root = np.sqrt(fade ** np.arange(299, -1, -1.0))
    expected = np.linalg.lstsq(inputs * root[:, None], y * root, rcond=None)[0]
    np.testing.assert_allclose(shares_of(inputs, y, fade), expected, rtol=1e-5)


def test_least_squares_of_inputs_without_spread_are_finite() -> None:
    found = shares_of(np.tile([1.0, 0.0, 2.0, 2.0], (50, 1)), np.full(50, 3.0), 0.5)
    assert np.isfinite(found).all()
    assert found @ [1.0, 0.0, 2.0, 2.0] == pytest.approx(3.0, rel=1e-4)


def spreads(logs: F8) -> MarketRows:
    """A quote in the middle of each bin whose ln spread in bps is this; NaN: no quote."""
    told = np.flatnonzero(np.isfinite(logs))
    made = empty(MarketRows, told.size)
    made.kind[:], made.flags[:] = Kind.QUOTE, 1
    made.ts_event_ns[:] = made.ts_recv_ns[:] = START_NS + told * BIN_NS + BIN_NS // 2
    half = np.exp(logs[told]) / 2e4
    made.bid_px[:], made.ask_px[:] = 100.0 * (1.0 - half), 100.0 * (1.0 + half)
    return made


def season() -> F8:
    """What is usual at each 5 min of a day: twice as much in the afternoon as at night."""
    return 1.0 + 0.7 * np.sin(2.0 * np.pi * np.arange(BINS) / BINS)


def autoregressive(n: int, phi: float, deviation: float, seed: int) -> F8:
    """An AR(1) with this standard deviation."""
    random = np.random.default_rng(seed)
    x, shocks = np.zeros(n), random.normal(0.0, deviation * math.sqrt(1.0 - phi * phi), n)
    for i in range(1, n):
        x[i] = phi * x[i - 1] + shocks[i]
    return x


def slow_forecast(logs: F8, half_life_days: float) -> F8:
    """At the first row of each bin the forecast of the mean over the hour from there on.

    Written from the description, with whole arrays and NumPy's least squares: profile, deviations,
    their means by hour, day and week, and all pairs so far in each bin.
    """
    n = logs.size
    x, usual_after = np.full(n, np.nan), np.full((n, BINS), np.nan)
    usual = np.full(BINS, np.nan)
    for b in range(1, n):  # of the first bin the start is lost
        at = b % BINS
        if np.isfinite(logs[b]):
            if np.isnan(usual[at]):
                usual[at] = logs[b]
            else:
                x[b] = logs[b] - usual[at]
                usual[at] += max(PROFILE_SHARE, 1.0 / (b // BINS + 1)) * x[b]
        usual_after[b] = usual
    filled = np.where(np.isnan(x), 0.0, x)
    inputs, came = np.full((n, SIZE), np.nan), np.full(n, np.nan)
    for b in range(HOUR - 1, n):
        came[b] = x[b + 1 - HOUR : b + 1].mean()
        hours_end = (b + 1) // HOUR * HOUR
        days_end = (b + 1) // BINS * BINS
        day = filled[max(hours_end - 24 * HOUR, 0) : hours_end].sum() / (24 * HOUR)
        week = filled[max(days_end - 7 * BINS, 0) : days_end].sum() / (7 * BINS)
        inputs[b] = 1.0, came[b], day, week
    found = np.full(n + 1, np.nan)
    pairs = [b for b in range(HOUR, n) if np.isfinite(came[b] + inputs[b - HOUR].sum())]
    for done, b in enumerate(pairs, 1):
        if done < PAIRS_MIN or done % 97:
            continue
        known = np.array(pairs[:done])
        root = 0.5 ** ((done - 1 - np.arange(done)) / (half_life_days * BINS) / 2.0)
        ridge = math.sqrt(RIDGE) * np.eye(SIZE)
        left = np.concatenate([inputs[known - HOUR] * root[:, None], ridge])
        right = np.concatenate([came[known] * root, np.zeros(SIZE)])
        shares = np.linalg.lstsq(left, right, rcond=None)[0]
        ahead = usual_after[b][(b + 1 + np.arange(HOUR)) % BINS]
        found[b + 1] = ahead.mean() + shares @ inputs[b]
    return found


@pytest.mark.parametrize("half_life_days", [math.inf, 3.0])
def test_forecast_is_that_of_whole_arrays(half_life_days: float) -> None:
    n = 12 * BINS
    logs = np.tile(season(), 12) + autoregressive(n, 0.95, 0.3, seed=2)
    logs[5 * BINS + 40 : 5 * BINS + 47] = np.nan  # half an hour, and later a day, of silence
    logs[8 * BINS : 9 * BINS] = np.nan
    shown = run(TABLE, Forecast(1, half_life_days=half_life_days), spreads(logs))
    found = np.full(n, np.nan)
    found[np.isfinite(logs)] = np.log(shown["spread_next_hour_bps"])
    expected = slow_forecast(logs, half_life_days)[:n]
    checked = np.isfinite(expected) & np.isfinite(logs)
    assert checked.sum() > 15
    np.testing.assert_allclose(found[checked], expected[checked], atol=1e-8)


@cache
def long_run(phi: float, seasonal: bool, seed: int) -> tuple[F8, F8, ForecastState]:
    """60 days of ln spreads, the forecasts of each bin's coming hour, and the state at the end."""
    n = 60 * BINS
    logs = np.tile(season() * seasonal, 60) + autoregressive(n, phi, 0.4, seed)
    whole = Whole(TABLE, Forecast(1, half_life_days=math.inf))
    state, block = whole.step(whole.initial(), spreads(logs))
    return logs, np.log(block.values[:, 2]), state.own


@cache
def closed_form(phi: float) -> tuple[F8, float]:
    """Shares of the hour's, day's and week's mean in the best linear forecast of an AR(1).

    And the share of the variance that such a forecast misses. From its autocovariance phi^lag, at
    bins all over the day, whose whole hours and days ended some time ago.
    """
    size = 8 * BINS
    lags = np.arange(size)
    covariance = np.power(phi, np.abs(lags[:, None] - lags[None, :]), dtype=np.float64)
    ahead = np.stack([phi ** (lags + step) for step in range(1, HOUR + 1)]).mean(axis=0)
    squares, products = np.zeros((3, 3)), np.zeros(3)
    phases = range(0, BINS, 25)  # of the day, and of the hour
    for b in phases:
        weights = np.zeros((size, 3))  # of x so many bins ago
        weights[:HOUR, 0] = 1.0 / HOUR
        since_hour, since_day = (b + 1) % HOUR, (b + 1) % BINS
        weights[since_hour : since_hour + 24 * HOUR, 1] = 1.0 / (24 * HOUR)
        weights[since_day : since_day + 7 * BINS, 2] = 1.0 / (7 * BINS)
        squares += weights.T @ covariance @ weights
        products += weights.T @ ahead
    found: F8 = np.linalg.solve(squares, products).astype(np.float64)
    hour = covariance[:HOUR, :HOUR].mean()
    return found, float(hour - found @ products / len(phases))


def test_shares_are_those_of_the_closed_form() -> None:
    phi = 0.98
    _, _, state = long_run(phi, False, 3)
    scratch = np.empty((SIZE, SIZE + 1))
    solve(state.squares[0, 2], state.products[0, 2], scratch)
    shares, (expected, _) = scratch[:, SIZE], closed_form(phi)
    assert shares[1] == pytest.approx(expected[0], abs=0.06)
    assert shares[2] == pytest.approx(expected[1], abs=0.12)
    assert abs(shares[0]) < 0.05


def test_errors_are_near_the_least_that_is_possible() -> None:
    """What knows the last hour, day and week misses more than what knows the last bin: phi^k x.

    The profile adds to it: a share of 0.05 of each day has a fortieth of the variance.
    """
    phi = 0.98
    logs, forecast, _ = long_run(phi, False, 3)
    later = slice(20 * BINS, 59 * BINS)
    came = np.array([logs[b : b + HOUR].mean() for b in range(logs.size)])
    best = np.concatenate([[math.nan], logs[:-1]]) * np.mean(phi ** np.arange(1.0, HOUR + 1))
    errors = [float(np.mean((guess - came)[later] ** 2)) for guess in (forecast, best)]
    least = 0.4**2 * (closed_form(phi)[1] + PROFILE_SHARE / (2.0 - PROFILE_SHARE))
    assert errors[1] < errors[0]
    assert errors[0] == pytest.approx(least, rel=0.15)


def diebold_mariano(worse: F8, better: F8, lags: int) -> float:
    """The statistic for squared errors, with the long-run variance of Newey and West."""
    gap = worse**2 - better**2
    centred = gap - gap.mean()
    variance = float(centred @ centred) / gap.size
    for lag in range(1, lags + 1):
        weight = 1.0 - lag / (lags + 1.0)
        variance += 2.0 * weight * float(centred[lag:] @ centred[:-lag]) / gap.size
    return float(gap.mean() / math.sqrt(variance / gap.size))


@pytest.mark.parametrize("seed", [4, 5])
def test_it_beats_yesterday_and_the_profile(seed: int) -> None:
    """Against the same hour of the day before, and against the mean of that hour so far."""
    logs, forecast, _ = long_run(0.97, True, seed)
    came = np.array([logs[b : b + HOUR].mean() for b in range(logs.size)])
    days = came[: 59 * BINS].reshape(59, BINS)
    later = slice(10 * BINS, 58 * BINS)
    before = np.cumsum(days, axis=0) / np.arange(1, 60)[:, None]
    naive = np.concatenate([np.full(BINS, math.nan), came[:-BINS]])
    profile = np.concatenate([np.full(2 * BINS, math.nan), before.ravel()])[: logs.size]
    error = (forecast - came)[later]
    for rival in (naive, profile):
        rivals = (rival - came)[later]
        assert diebold_mariano(rivals, error, lags=36) > 3.0
    assert diebold_mariano(error, error * 1.2, lags=36) < -3.0  # the test itself can lose


def test_volume_is_the_sum_over_the_hour_and_depth_the_level() -> None:
    """The same day again and again: both come true to the digit."""
    n, usual = 4 * BINS, np.exp(season())
    made = empty(MarketRows, 2 * n)
    made.flags[:] = 1
    made.kind[0::2], made.kind[1::2] = Kind.QUOTE, Kind.TRADE
    made.ts_event_ns[:] = START_NS + np.arange(2 * n) * (BIN_NS // 2)
    made.ts_recv_ns[:] = made.ts_event_ns
    made.bid_px[:], made.ask_px[:], made.price[:], made.side[:] = 100.0, 100.1, 100.0, 1
    made.bid_qty[:] = made.ask_qty[:] = np.repeat(np.tile(usual, 4), 2) / 2.0
    made.qty[:] = np.repeat(np.tile(usual, 4), 2) * 3.0
    found = run(TABLE, Forecast(1), made)
    hour = usual[:HOUR]  # the last day but one hour: forecasts at midnight are of its first hour
    at = 2 * 3 * BINS
    assert found["volume_next_hour"][at] == pytest.approx(3.0 * hour.sum(), rel=1e-6)
    assert found["depth_next_hour"][at] == pytest.approx(math.exp(np.log(hour).mean()), rel=1e-6)
    assert found["spread_next_hour_bps"][at] == pytest.approx(0.1 / 100.05 * 1e4, rel=1e-6)


def test_nothing_before_two_days_and_an_hour() -> None:
    logs = np.tile(season(), 4) + autoregressive(4 * BINS, 0.9, 0.1, seed=6)
    found = run(TABLE, Forecast(1), spreads(logs))["spread_next_hour_bps"]
    first = int(np.flatnonzero(np.isfinite(found))[0])
    assert 2 * BINS < first <= 2 * BINS + 2 * HOUR + 1


def test_state_stays_bounded_and_finite_over_silence() -> None:
    operator = Forecast(1)
    logs = np.tile(season(), 30)
    logs[5 * BINS : 16 * BINS] = np.nan
    whole = Whole(TABLE, operator)
    state, block = whole.step(whole.initial(), spreads(logs))
    assert len(operator.dump(operator.initial())) < 16_384
    assert len(operator.dump(state.own)) == len(operator.dump(operator.initial()))
    assert np.isfinite(block.values[-1, 2])
    assert np.isfinite(state.own.squares).all()


def test_half_life_must_be_positive() -> None:
    with pytest.raises(ValueError, match="half_life_days must be positive, was 0"):
        Forecast(1, half_life_days=0)


def test_every_promise_of_an_operator() -> None:
    of = table(market_of(0), market_of(1, base="ETH"))
    market: Any = mixed(of, 20_000, seed=7, seconds=22.0)
    quiet = np.flatnonzero(np.diff(market.ts_recv_ns) > 10 * BIN_NS)
    for at in quiet:  # its silences of days are kept to one
        if at != quiet[0]:
            gap = market.ts_recv_ns[at + 1] - market.ts_recv_ns[at]
            market.ts_recv_ns[at + 1 :] -= gap
            market.ts_event_ns[at + 1 :] -= gap
    found = run(of, Forecast(2), market)
    assert np.isfinite(found["spread_next_hour_bps"]).sum() > 100
    check_operator(Whole(of, Forecast(2)), market, without_numba=True)
    mine = (market.lane == 0) & (market.symbol == 1)
    for name, column in run(of, Forecast(2), take(market, mine)).items():
        np.testing.assert_array_equal(column, found[name][mine])


def test_recorded_spread_is_foreseen_better_than_by_yesterday(data_path: Any) -> None:
    """A week of EURUSD, hour by hour, from the third day on."""
    feed = open_tapes([data_path("quotes/oanda_EURUSD_20140501_20140509.parquet")])
    market = concat(list(feed.read(0, feed.n_rows)))
    forecast = run(feed.table, Forecast(1), market)["spread_next_hour_bps"]
    number = market.ts_event_ns // BIN_NS
    bins, first = np.unique(number, return_index=True)
    width = (market.ask_px - market.bid_px) / ((market.ask_px + market.bid_px) / 2.0) * 1e4
    logs = np.full(int(bins[-1] - bins[0]) + 1, np.nan)
    logs[bins - bins[0]] = np.log(np.add.reduceat(width, first) / np.diff([*first, width.size]))
    guess = np.full(logs.size, np.nan)
    guess[bins - bins[0]] = np.log(forecast[first])
    came = np.array([logs[b : b + HOUR].mean() for b in range(logs.size)])
    yesterday = np.concatenate([np.full(BINS, np.nan), came[:-BINS]])
    both = np.isfinite(guess + came + yesterday)
    assert both.sum() > 3 * BINS
    errors = [float(np.mean((each - came)[both] ** 2)) for each in (guess, yesterday)]
    assert errors[0] < 0.7 * errors[1], errors
