"""Absorption and exhaustion, and the running quantile below them."""

import math
from typing import Any

import numpy as np
import pytest

from operators.features.flow.absorption import BAR_NS, BARS_MIN, Absorption
from operators.features.flow.quantile import SIZE, observe, quantile
from operators.features.flow.rows import FlowRows
from schemas.rows import F8, I8
from tests.check_operator import check_operator
from tests.flow_cases import TICK, flow_rows, hand_made, mixed_flow, quote, trade, values

SEED = 22
PAPER = [  # the example of Jain, Chlamtac (1985), table I: 20 observations, the median
    0.02, 0.15, 0.74, 3.39, 0.83, 22.37, 10.15, 15.43, 38.62, 15.92,
    34.60, 10.28, 1.47, 0.40, 0.05, 11.39, 0.27, 0.42, 0.09, 11.37,
]  # fmt: skip


def observed(p: float, numbers: Any) -> F8:
    memory = np.zeros(SIZE)
    for x in numbers:
        observe(memory, p, x)
    return memory


def test_markers_of_the_papers_example() -> None:
    memory = observed(0.5, PAPER)
    np.testing.assert_allclose(memory[:5], [0.02, 0.49, 4.44, 17.20, 38.62], atol=0.005)
    np.testing.assert_array_equal(memory[5:], [1, 6, 10, 16, 20, 20])


@pytest.mark.parametrize("p", [0.5, 0.95])
def test_running_quantile_is_near_the_whole_ones(p: float) -> None:
    numbers = np.random.default_rng(SEED).exponential(size=5000)
    assert quantile(observed(p, numbers)) == pytest.approx(np.quantile(numbers, p), rel=0.05)


def bars(flow: Any, changes: Any) -> FlowRows:
    """Bars of 3 s, one trade of this signed volume each, and the mid at its end has moved so."""
    mid = 100.0 + np.cumsum(np.round(changes, 2))
    start = BAR_NS * 500_000_000
    rows = [quote(99.99, 100.01, ts_event_ns=start - 1)]
    for i, (q, m) in enumerate(zip(flow, mid, strict=True)):
        at_ns = start + i * BAR_NS
        rows.append(trade(100.0, abs(q), 1 if q > 0 else -1, ts_event_ns=at_ns))
        rows.append(quote(round(m - 0.01, 2), round(m + 0.01, 2), ts_event_ns=at_ns + 1))
    rows.append(quote(1.0, 2.0, ts_event_ns=start + len(mid) * BAR_NS))
    return hand_made(*rows)


def judged(rows: FlowRows) -> dict[str, F8]:
    """The columns as they stand once each bar has closed."""
    found = values(Absorption(TICK), rows)
    return {name: column[3::2] for name, column in found.items()}


def planted(seed: int, *, shuffled: bool = False) -> tuple[FlowRows, I8]:
    """4,000 bars: the mid moves 0.05 per unit of volume and 0.06 by chance.

    One bar in a hundred has volume of its 95 % quantile at least, and the mid stays: absorbed.
    """
    random = np.random.default_rng(seed)
    n = 4000
    flow = random.normal(0.0, 3.0, n)
    changes = 0.05 * flow + random.normal(0.0, 0.06, n)
    at = np.sort(random.choice(np.arange(200, n), n // 100, replace=False))
    flow[at] = random.choice([-1.0, 1.0], at.size) * random.uniform(7.5, 10.0, at.size)
    changes[at] = 0.0
    if shuffled:
        flow = np.abs(flow) * random.choice([-1.0, 1.0], n)
    return bars(flow, changes), at


def test_planted_absorption_is_found() -> None:
    rows, at = planted(SEED)
    found = np.flatnonzero(np.nan_to_num(judged(rows)["absorption"]))
    hits = np.intersect1d(found, at).size
    assert hits / at.size >= 0.9
    assert hits / found.size >= 0.9


def test_absorbed_selling_holds_the_price_up() -> None:
    rows, at = planted(SEED)
    sign = judged(rows)["absorption"][at]
    sold = rows.sign[1::2][at] < 0
    assert (sign[sold] >= 0).all()
    assert (sign[~sold] <= 0).all()


def test_nothing_is_absorbed_where_signs_mean_nothing() -> None:
    rows, _ = planted(SEED, shuffled=True)
    assert not np.nan_to_num(judged(rows)["absorption"]).any()


def test_residual_against_the_regression_of_the_bars_before() -> None:
    random = np.random.default_rng(23)
    flow = random.normal(0.0, 3.0, 120)
    changes = np.round(0.05 * flow + random.normal(0.0, 0.06, 120), 2)
    found = judged(bars(flow, changes))["impact_residual"]
    assert np.isnan(found[:BARS_MIN]).all()
    for i in range(BARS_MIN, 120):
        weights = 0.5 ** (np.arange(i - 1, -1, -1.0) / 600.0)
        b, a = np.polyfit(flow[:i], changes[:i], 1, w=np.sqrt(weights))
        rest = changes[:i] - a - b * flow[:i]
        n = weights.sum() ** 2 / (weights**2).sum()
        deviation = math.sqrt(np.average(rest**2, weights=weights) * n / (n - 2))
        z = math.copysign(1.0, flow[i]) * (changes[i] - a - b * flow[i]) / deviation
        assert found[i] == pytest.approx(z, rel=1e-6)


# fmt: off
LAST_BARS = [  # after 400 bars of 2 ticks per unit and volumes up to 10: the last one; absorption
    ("buying of high volume, no move",    (9.9, 0),    -1.0),
    ("selling of high volume, no move",   (-9.9, 0),    1.0),
    ("it moves a tick",                   (9.9, 1),    -1.0),
    ("it moves two",                      (9.9, 2),     0.0),
    ("it moves a tick the other way",     (9.9, -1),   -1.0),
    ("volume as on many other bars",      (8.0, 0),     0.0),
    ("little volume",                     (1.0, 0),     0.0),
    ("the move that was to be expected",  (9.9, 20),    0.0),
]
# fmt: on


@pytest.mark.parametrize(("what", "bar", "absorbed"), LAST_BARS, ids=[b[0] for b in LAST_BARS])
def test_absorption(what: str, bar: tuple[float, float], absorbed: float) -> None:
    random = np.random.default_rng(SEED)
    flow = random.uniform(-10.0, 10.0, 400)
    changes = 0.02 * flow + random.normal(0.0, 0.01, 400)
    rows = bars([*flow, bar[0]], [*changes, bar[1] / 100])
    assert judged(rows)["absorption"][-1] == absorbed


WARM = [(1.0, 0.01), (-1.0, -0.01)] * (BARS_MIN // 2)
# fmt: off
PUSHES = [  # the last three bars (signed volume, change in ticks); exhaustion
    ("buyers run out",          [(9, 6), (6, 4), (3, 1)],       -1.0),
    ("sellers run out",         [(-9, -6), (-6, -4), (-3, 0)],   1.0),
    ("volume does not fall",    [(9, 6), (9, 4), (3, 1)],        0.0),
    ("nor in the end",          [(9, 6), (6, 4), (7, 1)],        0.0),
    ("the move does not fall",  [(9, 6), (6, 6), (3, 1)],        0.0),
    ("nor does it in the end",  [(9, 6), (6, 4), (3, 4)],        0.0),
    ("one is against it",       [(9, 6), (-6, 4), (3, 1)],       0.0),
    ("the price turned",        [(9, 6), (6, 4), (3, -1)],       0.0),
    ("it grows",                [(3, 1), (6, 4), (9, 6)],        0.0),
]
# fmt: on


@pytest.mark.parametrize(("what", "pushes", "exhausted"), PUSHES, ids=[p[0] for p in PUSHES])
def test_exhaustion(what: str, pushes: list[tuple[float, float]], exhausted: float) -> None:
    flow, changes = zip(*WARM, *((q, ticks / 100) for q, ticks in pushes), strict=True)
    assert judged(bars(flow, changes))["exhaustion"][-1] == exhausted


def test_bars_without_trades_keep_what_was_said() -> None:
    flow, changes = zip(*WARM, (9, 0.06), (6, 0.04), (3, 0.01), strict=True)
    rows = bars(flow, changes)
    late = rows.ts_ns.copy()
    late[-1] += 10 * BAR_NS
    found = values(Absorption(TICK), rows._replace(ts_ns=late))["exhaustion"]
    assert found[-1] == -1.0


def test_every_promise_of_an_operator() -> None:
    rows = flow_rows(mixed_flow(2500, seed=24))
    assert np.isfinite(values(Absorption(TICK), rows)["impact_residual"]).any()
    check_operator(Absorption(TICK), rows)
