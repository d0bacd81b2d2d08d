"""Flow toxicity: volume buckets, by the aggressors and by the price change of the bucket."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from operators.features.flow.events import FlowEvents
from operators.features.flow.rows import TRADE, FlowRows
from operators.features.flow.toxicity import (
    BULK,
    PAPER,
    SHORT,
    SIGMA_FADE,
    SIGNED,
    Buckets,
    Toxicity,
    bulk_share,
)
from schemas.rows import F8
from tests.check_operator import check_operator
from tests.flow_cases import (
    SECOND_NS,
    flow_rows,
    hand_made,
    mixed_flow,
    of,
    recorded,
    trade,
    values,
)

FIVE = Buckets(n=5, per_day=10)


def toxicity(daily_qty: float = 100.0, buckets: Buckets = FIVE) -> Toxicity:
    return Toxicity(np.full(3, daily_qty), buckets=buckets)


# fmt: off
FLOWS = [  # buckets of 10; trades as (quantity, side); toxicity after the last
    ("all buys",               [(10, 1)] * 5,                     1.0),
    ("all sells",              [(3, -1)] * 17,                    1.0),
    ("alternating equal",      [(5, 1), (5, -1)] * 5,             0.0),
    ("alternating buckets",    [(10, 1), (10, -1)] * 3,           1.0),
    ("three to one",           [(7.5, 1), (2.5, -1)] * 5,         0.5),
    ("one trade fills all",    [(5, -1), (47, 1)],                (0 + 4 * 10) / 50),
    ("one that fills many",    [(5, -1), (5e9, 1)],               1.0),
    ("no aggressor is known",  [(10, 0)] * 5,                     0.0),
    ("four buckets",           [(49.9, 1)],                       math.nan),
    ("only the last five",     [(10, 1)] * 9 + [(5, 1), (5, -1)] * 5, 0.0),
]
# fmt: on


@pytest.mark.parametrize(("what", "flow", "expected"), FLOWS, ids=[f[0] for f in FLOWS])
def test_signed_flow(what: str, flow: list[tuple[float, int]], expected: float) -> None:
    rows = hand_made(*(trade(100.0, q, s) for q, s in flow))
    assert values(toxicity(), rows)["toxicity"][-1] == pytest.approx(expected, nan_ok=True)


def test_bulk_share_is_the_normal_distribution_of_the_change() -> None:
    assert bulk_share(0.5, 1.0) == pytest.approx(0.69146, abs=5e-6)
    assert bulk_share(0.0, 0.0) == 0.5
    assert (bulk_share(1.0, 0.0), bulk_share(-1.0, 0.0)) == (1.0, 0.0)
    for change in np.linspace(-4.0, 4.0, 41):
        assert bulk_share(change, 0.7) == pytest.approx(norm.cdf(change / 0.7), rel=1e-13)


def by_definition(qty: F8, sign: F8, price: F8, size: float, n: int) -> tuple[F8, F8]:
    """Both toxicities after each trade: every bucket cut out of the whole volume anew.

    Cumulative volumes at the buckets' edges are interpolated between trades.
    """
    edge_of = np.floor(np.cumsum(qty) / size + 1e-12).astype(int)
    v = np.concatenate([[0.0], np.cumsum(qty)])
    buys = np.concatenate([[0.0], np.cumsum(qty * (1.0 + sign) / 2.0)])
    edges = size * np.arange(edge_of[-1] + 1)
    bought = np.diff(np.interp(edges, v, buys))
    signed = np.abs(2.0 * bought - size)
    closes = price[np.searchsorted(edge_of, np.arange(1, edge_of[-1] + 1))]
    changes, bulk, square = np.diff(closes), [], math.nan
    for change in changes:
        if not math.isnan(square):
            share = 0.5 if change == 0.0 else norm.cdf(change / math.sqrt(square))
            bulk.append(abs(2.0 * share - 1.0) * size)
            square += SIGMA_FADE * (change**2 - square)
        else:
            bulk.append(math.nan)
            square = change**2 if change != 0.0 else math.nan
    known = [b for b in bulk if not math.isnan(b)]
    skipped = edge_of[-1] - len(known)

    def mean(found: list[float], upto: int) -> float:
        return sum(found[upto - n : upto]) / (n * size) if upto >= n else math.nan

    return (
        np.array([mean(list(signed), e) for e in edge_of]),
        np.array([mean(known, max(0, e - skipped)) for e in edge_of]),
    )


def test_against_buckets_cut_out_of_the_whole_volume() -> None:
    rows = flow_rows(mixed_flow(4000, seed=11))
    found = values(toxicity(daily_qty=80.0), rows)
    for k in range(3):
        traded = of(k, rows, rows.event) & TRADE > 0
        qty, sign, price = (of(k, rows, c)[traded] for c in (rows.qty, rows.sign, rows.price))
        signed, bulk = by_definition(qty, sign, price, 8.0, FIVE.n)
        assert np.isfinite(bulk).sum() > 100
        for name, expected in (("toxicity", signed), ("toxicity_bvc", bulk)):
            shown = of(k, rows, found[name])[traded]
            np.testing.assert_allclose(shown, expected, rtol=1e-7, atol=1e-9)


def test_volume_is_conserved_exactly() -> None:
    """With whole numbers the buckets and what is in the open one are all that was traded."""
    random = np.random.default_rng(12)
    qty = random.integers(1, 60, 500)
    rows = hand_made(*(trade(100.0, int(q), 1) for q in qty))
    operator = toxicity(daily_qty=70.0)
    state, _ = operator.step(operator.initial(), rows)
    assert state.n[0, SIGNED] * 7 + state.filled[0] == qty.sum()
    assert state.buys[0] == state.filled[0]
    assert (state.ring[0, SIGNED] == 7.0).all()
    assert state.n[0, BULK] == 0  # no bucket's price differs


def test_short_measures_its_bucket_and_then_keeps_it() -> None:
    """
    0 s                 30 s
    |--30 x 4 = 120 traded-|-- buckets of 120 / 30 = 4, one trade each ...
    """
    rows = hand_made(*(trade(100.0, 4.0, 1) for _ in range(91)))
    operator = toxicity(daily_qty=math.nan, buckets=SHORT)
    state, block = operator.step(operator.initial(), rows)
    assert state.bucket[0] == 4.0
    shown = np.flatnonzero(np.isfinite(block.values[:, SIGNED]))
    assert shown[0] == 30 + 30 - 1
    assert block.values[-1, SIGNED] == 1.0


def test_without_a_daily_volume_the_papers_is_null_and_a_wrong_one_is_refused() -> None:
    rows = flow_rows(mixed_flow(500, seed=13))
    assert np.isnan(values(toxicity(math.nan, PAPER), rows)["toxicity"]).all()
    for wrong in (0.0, -1.0, math.inf):
        with pytest.raises(ValueError, match="daily_qty must be positive, or NaN"):
            toxicity(wrong)


# fmt: off
BINANCE = [
    ("binance_usdm_BTCUSDT_20240808T2354", "0.1", "0.001"),
    ("binance_usdm_ETHUSDT_20240808T2354", "0.01", "0.001"),
    ("binance_spot_BTCUSDT_20240808T2354", "0.01", "0.00001"),
    ("binance_spot_ETHUSDT_20240808T2354", "0.01", "0.0001"),
    ("binance_coinm_BTCUSD_PERP_20240808T2354", "0.1", "1"),
]
# fmt: on


@pytest.mark.parametrize(("name", "tick", "lot"), BINANCE, ids=[b[0] for b in BINANCE])
def test_short_is_warm_within_two_minutes_on_binance(
    data_path: Callable[[str], Path], name: str, tick: str, lot: str
) -> None:
    table, rows = recorded(data_path, name, tick=tick, lot=lot)
    events = FlowEvents(table.arrays())
    _, flow = events.step(events.initial(), rows)
    operator = Toxicity(np.array([math.nan]), buckets=SHORT)
    _, block = operator.step(operator.initial(), flow)
    shown = block.values[:, SIGNED]
    first = int(np.argmax(np.isfinite(shown)))
    assert np.isfinite(shown[first:]).all()
    assert (flow.ts_ns[first] - flow.ts_ns[0]) / SECOND_NS < 120.0
    assert ((shown[first:] >= 0.0) & (shown[first:] <= 1.0)).all()


@pytest.mark.parametrize("buckets", [FIVE, SHORT], ids=["share of a day", "measured"])
def test_every_promise_of_an_operator(buckets: Buckets) -> None:
    rows: FlowRows = flow_rows(mixed_flow(2500, seed=14))
    check_operator(toxicity(80.0, buckets), rows)
