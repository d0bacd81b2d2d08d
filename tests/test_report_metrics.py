"""Metrics of a run against closed forms and slow, obvious code."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.report.charts import thin
from console.report.data import Curve
from console.report.latency import percentiles
from console.report.metrics import (
    buy_and_hold,
    count_decisions,
    engine_results,
    equity_curve,
    max_drawdown,
    sharpe,
)
from console.report.sampler import PriceSampler
from console.report.trips import build_trips
from schemas.instruments import InstrumentKind, InstrumentTable
from schemas.kinds import Kind, ReportCode, Role
from schemas.reasons import Reason
from tests.test_report_synthetic import (
    BALANCE,
    MINUTE_NS,
    START_NS,
    decisions,
    instrument,
    run_data,
)

DAY_NS = 1440 * MINUTE_NS


def curve(values: list[float], step_ns: int = MINUTE_NS) -> Curve:
    return Curve(START_NS + step_ns * np.arange(len(values)), np.array(values))


# fmt: off
DRAWDOWNS = [
    ("nothing",            [],                         0.0),
    ("only up",            [1.0, 2.0, 3.0],            0.0),
    ("half lost",          [100.0, 50.0],              0.5),
    ("from the last peak", [100.0, 90.0, 200.0, 150.], 0.25),
    ("recovered",          [100.0, 80.0, 120.0],       0.2),
]
# fmt: on


@pytest.mark.parametrize(
    ("values", "fall"), [c[1:] for c in DRAWDOWNS], ids=[c[0] for c in DRAWDOWNS]
)
def test_max_drawdown(values: list[float], fall: float) -> None:
    assert max_drawdown(np.array(values)) == pytest.approx(fall)


@given(st.lists(st.floats(1.0, 1e6), min_size=1, max_size=40))
@settings(derandomize=True, deadline=None)
def test_max_drawdown_is_the_worst_pair(values: list[float]) -> None:
    pairs = ((a, b) for i, a in enumerate(values) for b in values[i:])
    worst = max(1.0 - b / a for a, b in pairs)
    assert max_drawdown(np.array(values)) == pytest.approx(max(worst, 0.0), abs=1e-12)


def test_sharpe_of_alternating_returns_has_a_closed_form() -> None:
    """Returns a, b, a, b ... of n each: mean (a+b)/2, sample deviation |a-b|/2 sqrt(2n/(2n-1))."""
    a, b, n = 0.002, -0.001, 50
    values = BALANCE * np.cumprod([1.0] + [1.0 + a, 1.0 + b] * n)
    deviation = abs(a - b) / 2.0 * math.sqrt(2 * n / (2 * n - 1))
    expected = (a + b) / 2.0 / deviation * math.sqrt(365.25 * 1440)
    found = sharpe(curve(values.tolist()))
    assert found.value == pytest.approx(expected, rel=1e-9)
    assert "100 returns of 1 minute over 1.67 hours; so short a span" in found.note


def test_sharpe_does_not_depend_on_how_often_equity_was_written() -> None:
    values = BALANCE * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 1e-3, 200)))
    once = curve(values.tolist())
    every = Curve(np.repeat(once.ts_recv_ns, 3), np.repeat(once.value, 3))
    within = every._replace(ts_recv_ns=every.ts_recv_ns + np.tile([0, 7, 9], 200))
    within.ts_recv_ns[-3:] = within.ts_recv_ns[-3]
    assert sharpe(within).value == sharpe(once).value


def test_sharpe_of_a_long_run_uses_a_coarser_grid() -> None:
    values = BALANCE * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 1e-3, 400)))
    found = sharpe(curve(values.tolist(), DAY_NS))
    assert "over 399 days" in found.note
    assert "of 1 hour " in found.note
    assert "short" not in found.note
    returns = np.diff(values) / values[:-1]  # the other 23 hours of a day have none
    n = returns.size * 24
    mean = returns.sum() / n
    deviation = math.sqrt(((returns - mean) ** 2).sum() / (n - 1) + (n - 399) * mean**2 / (n - 1))
    assert found.value == pytest.approx(mean / deviation * math.sqrt(365.25 * 24), rel=1e-9)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([], "no equity"),
        ([1.0] * 10, "fewer than 30 returns of 1 minute"),
        ([5.0] * 100, "moved in no whole"),
        ([5.0, -1.0] * 50, "not positive"),
    ],
)
def test_sharpe_says_why_there_is_none(values: list[float], why: str) -> None:
    found = sharpe(curve(values))
    assert found.value is None
    assert why in found.note


def test_equity_starts_with_the_balance_and_skips_rows_without_it() -> None:
    rows = [
        {"ts_recv_ns": START_NS + k, "equity": e, "kind": kind, "reason": 50}
        for k, (e, kind) in enumerate(
            [(BALANCE, Kind.DECISION), (math.nan, Kind.PROGRESS), (90_000.0, Kind.PROGRESS)]
        )
    ]
    found = equity_curve(run_data(rows))
    assert found.value.tolist() == [BALANCE, BALANCE, 90_000.0]
    marked = equity_curve(run_data(rows, equity_end=91_000.0))
    assert marked.value[-1] == 91_000.0
    assert equity_curve(run_data()).value.size == 0


def test_buy_and_hold_is_the_price_ratio_and_nothing_for_the_desk_currency() -> None:
    prices = {0: ([START_NS, START_NS + 5], [1.25, 1.50])}
    held = buy_and_hold(run_data(prices=prices))
    assert held is not None
    assert held.value.tolist() == pytest.approx([BALANCE, BALANCE * 1.2])
    assert buy_and_hold(run_data()) is None
    yen = InstrumentTable(1, "USD", (instrument(0, "USDJPY", InstrumentKind.SPOT),))
    dollars = buy_and_hold(run_data(prices={0: ([0, 5], [100.0, 150.0])}, table=yen))
    assert dollars is not None  # dollars held in dollars stay what they are
    assert dollars.value.tolist() == pytest.approx([BALANCE, BALANCE])
    lira = InstrumentTable(1, "USD", (instrument(0, "EURTRY", InstrumentKind.SPOT),))
    assert buy_and_hold(run_data(prices={0: ([0, 5], [10.0, 15.0])}, table=lira)) is None


def test_engines_count_wins_after_fees_and_leave_refunds_aside() -> None:
    """Spot: +10, +1 less 2 of fees, a refused entry. Binary: won, refunded."""
    made: list[dict[str, Any]] = [
        {"approved": 1, "engine": e, "side": 1, "ts_recv_ns": START_NS} for e in (1, 1, 1, 0, 0)
    ]
    plan: list[tuple[int, Role, int, float, float, float, ReportCode]] = [
        (0, Role.ENTRY, 1, 100.0, 1.0, 0.0, ReportCode.FILLED),
        (0, Role.TARGET, -1, 110.0, 1.0, 0.0, ReportCode.FILLED),
        (1, Role.ENTRY, 1, 100.0, 1.0, 1.0, ReportCode.FILLED),
        (1, Role.TARGET, -1, 101.0, 1.0, 1.0, ReportCode.FILLED_MAKER),
        (2, Role.ENTRY, 1, math.nan, 1.0, 0.0, ReportCode.REJECTED),
        (3, Role.BINARY, 1, 100.0, 40.0, 0.0, ReportCode.FILLED),
        (3, Role.BINARY, 1, 101.0, 40.0, 0.0, ReportCode.SETTLED_WON),
        (4, Role.BINARY, 1, 100.0, 40.0, 0.0, ReportCode.FILLED),
        (4, Role.BINARY, 1, 100.0, 40.0, 0.0, ReportCode.REFUNDED),
    ]
    told = [
        {
            "ref_id": i, "role": int(role), "side": side, "price": px, "qty": qty, "ref": fee,
            "code": int(code), "ts_recv_ns": START_NS + 60_000_000_000 * k,
        }
        for k, (i, role, side, px, qty, fee, code) in enumerate(plan)
    ]  # fmt: skip
    found = engine_results(build_trips(run_data(made, told)))
    spot, binary, arbitrage = found["spot"], found["binary"], found["arbitrage"]
    assert (spot.trades, spot.closed, spot.open, spot.rejected) == (3, 2, 0, 1)
    assert (spot.win_rate, binary.closed, binary.win_rate) == (0.5, 2, 1.0)
    assert [spot.pnl, spot.fees, binary.pnl] == pytest.approx([9.0, 2.0, 34.0])
    assert spot.avg_hold_s == pytest.approx(60.0)
    refund_only = engine_results(build_trips(run_data(made, told))[4:])["binary"]
    assert (refund_only.closed, refund_only.win_rate) == (1, None)
    assert (arbitrage.trades, arbitrage.win_rate, arbitrage.pnl) == (0, None, 0.0)


def test_decisions_are_trades_and_non_trades_by_reason() -> None:
    reasons = [Reason.SPOT_NO_SWING, Reason.HALTED, Reason.SPOT_NO_SWING]
    rows: list[dict[str, Any]] = [{"reason": int(r)} for r in reasons]
    rows += [{"approved": 1}, {"kind": int(Kind.PROGRESS)}]
    found = count_decisions(decisions(rows))
    assert found == (4, 1, {"SPOT_NO_SWING": 2, "HALTED": 1})
    with pytest.raises(ValueError, match="1 decisions did not trade and name no reason"):
        count_decisions(decisions([{"reason": 0}]))


def test_percentiles_are_values_that_occurred() -> None:
    sample = np.arange(1.0, 101.0)
    assert percentiles(sample) == {"p50": 51.0, "p99": 100.0, "max": 100.0}
    assert percentiles(np.empty(0)) == {"p50": None, "p99": None, "max": None}


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 50)), min_size=1, max_size=300))
@settings(derandomize=True, deadline=None)
def test_thinning_keeps_ends_and_extremes_in_order(points: list[tuple[int, int]]) -> None:
    ts = np.sort(np.array([t for t, _ in points], np.int64))
    value = np.array([float(v) for _, v in points])
    kept_ts, kept = thin(ts, value, 20)
    assert kept.size <= 20
    assert (np.diff(kept_ts) >= 0).all()
    assert (kept.min(), kept.max()) == (value.min(), value.max())
    assert (kept[0], kept[-1]) == (value[0], value[-1])


@pytest.mark.parametrize("batch", [1, 7, 5_000])
def test_price_sampler_keeps_extremes_at_any_batching(batch: int) -> None:
    random = np.random.default_rng(5)
    n = 20_000
    ts = START_NS + np.cumsum(random.integers(0, 10**9, n))
    row = random.integers(-1, 4, n).astype(np.int32)  # -1 and 3 are not in the table
    mid = np.where(random.random(n) < 0.01, np.nan, 100.0 + np.cumsum(random.normal(0, 1, n)))
    sampler = PriceSampler(3)
    for i in range(0, n if batch > 1 else 3_000, batch):
        part = slice(i, i + batch)
        sampler.add(table_row=row[part], ts_recv_ns=ts[part], mid=mid[part])
    seen = slice(0, n if batch > 1 else 3_000)
    found = sampler.samples()
    assert sorted(found) == [0, 1, 2]
    for k, sample in found.items():
        mine = (row[seen] == k) & np.isfinite(mid[seen])
        path, when = mid[seen][mine], ts[seen][mine]
        assert (sample.mid.min(), sample.mid.max()) == (path.min(), path.max())
        assert (sample.mid[-1], sample.ts_recv_ns[-1]) == (path[-1], when[-1])
        assert (np.diff(sample.ts_recv_ns) >= 0).all()
        pairs = set(zip(when.tolist(), path.tolist(), strict=True))
        assert set(zip(sample.ts_recv_ns.tolist(), sample.mid.tolist(), strict=True)) <= pairs
        assert sample.mid.size <= 2 * 2048 + 1


def test_price_sampler_of_many_instruments_stays_small() -> None:
    sampler = PriceSampler(18_000)
    assert sampler._ts.nbytes + sampler._px.nbytes <= 32 * 18_000 * 32
    assert PriceSampler(0).samples() == {}
