"""Fill probability: the curve through the rates of trades, and the mid's reach."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from operators.features.flow.fills import (
    BAR_NS,
    BARS_MIN,
    BINS,
    CHANGES_MIN,
    FADE,
    SECOND_NS,
    STEP_BPS,
    TOUCH_S,
    VARIANCE_FADE,
    Fills,
    touch_probability,
)
from operators.features.flow.rows import TOP, TRADE, FlowRows
from tests.check_operator import check_operator
from tests.flow_cases import at, flow_rows, hand_made, mixed_flow, of, quote, trade, values


def test_published_first_passage_and_the_edges() -> None:
    assert touch_probability(1.0, 2.0, 0.5) == pytest.approx(0.47950, abs=5e-6)
    assert touch_probability(0.0, 2.0, 0.5) == 1.0
    assert touch_probability(1.0, 0.0, 0.5) == 0.0
    for delta in (0.1, 1.0, 3.0):
        expected = 2.0 * norm.cdf(-delta / (0.7 * math.sqrt(10.0)))
        assert touch_probability(delta, 0.7, 10.0) == pytest.approx(expected, rel=1e-12)


def test_first_passage_is_what_simulated_walks_do() -> None:
    """Half-steps of time overshoot less: 4,000 steps miss at most 2 % of the crossings."""
    random = np.random.default_rng(40)
    steps = random.normal(0.0, 2.0 * math.sqrt(0.5 / 4000), (4000, 4000))
    crossed = (np.cumsum(steps, axis=1).max(axis=1) >= 1.0).mean()
    assert crossed == pytest.approx(touch_probability(1.0, 2.0, 0.5), abs=0.03)


def test_planted_curve_is_found() -> None:
    """Trades of both sides reach at least d with rate A exp(-k d) a side: A = 5, k = 1.5 per bp."""
    random = np.random.default_rng(41)
    times = np.sort(random.uniform(0.0, 1200.0, random.poisson(2 * 5.0 * 1200)))
    distance = random.exponential(1.0 / 1.5, times.size)
    side = random.choice([-1, 1], times.size)
    rows: list[Any] = [quote(9_999.0, 10_001.0, ts_event_ns=at(s)) for s in range(1200)]
    rows += [
        trade(10_000.0 + s * d, 1.0, int(s), ts_event_ns=at(t))  # 1 bp is 1.0
        for t, d, s in zip(times, distance, side, strict=True)
    ]
    rows.sort(key=lambda row: int(row["ts_event_ns"]))
    found = values(Fills(3), hand_made(*rows))
    assert found["fill_rate"][-1] == pytest.approx(5.0, rel=0.1)
    assert found["fill_decay"][-1] == pytest.approx(1.5, rel=0.1)
    assert found["fill_touch"][-1] == 0.0  # the mid never moved


def curve(rows: FlowRows, upto_bar: int) -> tuple[float, float]:
    """A and k from all trades of the bars before this one."""
    bar = rows.ts_ns // BAR_NS
    bars = np.arange(bar[0], upto_bar)
    if bars.size < BARS_MIN:
        return math.nan, math.nan
    traded = (rows.event & TRADE > 0) & (rows.sign != 0) & np.isfinite(rows.bid_px)
    distance = rows.sign * (rows.price - rows.mid) / rows.mid * 1e4
    age = bars.size - 1 - np.arange(bars.size)
    weights = FADE**age
    at_bps = np.arange(BINS) * STEP_BPS
    reached = np.array([
        sum(w * np.count_nonzero(distance[traded & (bar == b)] >= d)
            for w, b in zip(weights, bars, strict=True))
        for d in at_bps
    ])  # fmt: skip
    rate = reached / (2 * 10.0 * weights.sum())
    if (rate > 0).sum() < 3:
        return math.nan, math.nan
    slope, level = np.polyfit(at_bps[rate > 0], np.log(rate[rate > 0]), 1)
    return math.exp(level), -slope


def test_curve_against_all_trades_counted_anew() -> None:
    rows = flow_rows(mixed_flow(3000, seed=42))
    found = values(Fills(3), rows)
    for k in (0, 2):
        mine = FlowRows(*(of(k, rows, column) for column in rows))
        rate, decay = (of(k, rows, found[name]) for name in ("fill_rate", "fill_decay"))
        for i in range(0, mine.k.size, 41):
            expected = curve(mine, mine.ts_ns[i] // BAR_NS)
            np.testing.assert_allclose([rate[i], decay[i]], expected, rtol=1e-9)
        assert np.isfinite(rate).mean() > 0.5


def test_reach_against_the_mids_of_each_second() -> None:
    rows = flow_rows(mixed_flow(3000, seed=43))
    found = values(Fills(3), rows)["fill_touch"]
    for k in (0, 2):
        mine = FlowRows(*(of(k, rows, column) for column in rows))
        shown = of(k, rows, found)
        told = mine.event & TOP > 0
        second = mine.ts_ns // SECOND_NS
        for i in range(0, mine.k.size, 41):
            so_far = np.flatnonzero(told[: i + 1])
            so_far = so_far[second[so_far] < second[so_far[-1]]] if so_far.size else so_far
            seconds = np.unique(second[so_far])
            # The last mid by the end of each second, which may be that of one before.
            known = so_far[np.isfinite(mine.mid[so_far])]
            seconds = seconds[seconds >= second[known[0]]] if known.size else seconds[:0]
            mids = mine.mid[known[np.searchsorted(second[known], seconds, side="right") - 1]]
            changes, spans = np.diff(mids), np.diff(seconds)
            half = (mine.ask_px[i] - mine.bid_px[i]) / 2.0
            if changes.size < CHANGES_MIN or math.isnan(half):
                assert math.isnan(shown[i])
                continue
            weights = VARIANCE_FADE ** np.arange(changes.size - 1, -1, -1.0)
            variance = (weights * changes**2).sum() / (weights * spans).sum()
            z = half / math.sqrt(variance * TOUCH_S)
            assert shown[i] == pytest.approx(2.0 * norm.cdf(-z), rel=1e-9)


def test_every_promise_of_an_operator() -> None:
    check_operator(Fills(3), flow_rows(mixed_flow(2500, seed=44)))
