"""The liquidity-shock index and the windows about scheduled happenings."""

import math
from typing import Any

import numpy as np
import pytest

from operators.features.cross.macro import Macro
from operators.features.cross.shock import BAR_NS, BARS_MIN, HALF_LIFE, Shock
from operators.features.feature import Happenings
from operators.features.flow.rows import TOP
from operators.features.scores import blank_scores, fade_of, score
from schemas.rows import take
from tests.check_operator import check_operator
from tests.derivative_cases import (
    MINUTE_NS,
    START_NS,
    Whole,
    market_of,
    mixed,
    quote,
    rows,
    run,
    table,
    trade,
)
from tests.flow_cases import flow_rows, instruments, mixed_flow

TABLE = table(market_of(0), market_of(1, base="ETH"), market_of(0, lane=1))


def calm_then(spread: float, size: float, impact: float, bars: int = 80) -> dict[str, float]:
    """A quiet market, then one bar with this spread, size and price impact; the last values."""
    random = np.random.default_rng(1)
    made, mid = [], 100.0
    for i in range(bars + 1):
        last = i == bars
        width = spread if last else 0.02 + 0.002 * random.random()
        sizes = size if last else 5.0 + random.random()
        signed = random.normal(0.0, 1.0) or 1.0
        moved = (impact if last else 0.01 + 0.001 * random.random()) * signed
        sign = 1 if signed > 0 else -1
        made.append(trade(mid, 50.0 * abs(signed) if last else abs(signed), side=sign, at=10 * i))
        mid += moved * (50.0 if last else 1.0)
        made.append(quote(mid, spread=width, bid_qty=sizes / 2, ask_qty=sizes / 2, at=10 * i + 5))
    made.append(quote(mid, spread=0.02, at=10 * bars + 10))
    found = run(TABLE, Shock(3), rows(*made))
    return {name: float(column[-1]) for name, column in found.items()}


# fmt: off
SHOCKS = [  # spread, size, impact of the last bar; which z-score is the index, with which sign
    ("a wide spread",   0.20, 5.5, 0.0105, "shock_spread_z", 1.0),
    ("a thin book",     0.021, 0.1, 0.0105, "shock_depth_z", -1.0),
    ("a heavy impact",  0.021, 5.5, 0.1,   "shock_impact_z", 1.0),
]
# fmt: on


@pytest.mark.parametrize(("what", "spread", "size", "impact", "worst", "sign"), SHOCKS,
                         ids=[s[0] for s in SHOCKS])  # fmt: skip
def test_the_worst_is_the_index(
    what: str, spread: float, size: float, impact: float, worst: str, sign: float
) -> None:
    found = calm_then(spread, size, impact)
    assert found["liquidity_shock"] == sign * found[worst]
    assert found["liquidity_shock"] > 10.0
    assert found["liquidity_shock"] == max(
        found["shock_spread_z"], -found["shock_depth_z"], found["shock_impact_z"]
    )


def test_scores_against_bars_cut_out_of_the_whole() -> None:
    given = mixed_flow(6000, seed=2)
    flow = flow_rows(given)
    from operators.features.signal import SignalInput
    from schemas.rows import MarketRows, empty

    market = empty(MarketRows, flow.k.size)
    shown = Shock(3)
    values = shown.step(shown.initial(), SignalInput(market, flow.k, flow))[1].values
    assert instruments().lane.size == 3
    for k in (0, 2):
        mine = np.flatnonzero((flow.k == k) & (flow.event > 0) & (flow.event != 4))
        bar = flow.ts_ns[mine] // BAR_NS
        spreads, depths = blank_scores(1), blank_scores(1)
        fade, z = fade_of(HALF_LIFE), [math.nan, math.nan]
        for b in np.unique(bar):
            inside = mine[bar == b]
            np.testing.assert_allclose(values[inside[-1], :2], z, rtol=1e-8)
            told = inside[flow.event[inside] & TOP > 0]
            width = (flow.ask_px[told] - flow.bid_px[told]) / flow.mid[told]
            sizes = flow.bid_qty[told] + flow.ask_qty[told]
            if np.isfinite(width).any():
                z[0] = score(spreads, 0, fade, BARS_MIN, float(np.nanmean(width)))
            if (sizes > 0).any():
                z[1] = score(depths, 0, fade, BARS_MIN, float(np.log(sizes[sizes > 0]).mean()))
        assert np.isfinite(z).all()


def test_index_is_of_what_is_known() -> None:
    """Quotes without sizes, no trades: the spread alone."""
    random = np.random.default_rng(3)
    made = [quote(100.0, spread=0.02 + 0.01 * random.random(), bid_qty=math.nan, at=10 * i)
            for i in range(40)]  # fmt: skip
    found = run(TABLE, Shock(3), rows(*made))
    assert np.isnan(found["shock_depth_z"]).all()
    assert np.isnan(found["shock_impact_z"]).all()
    np.testing.assert_array_equal(found["liquidity_shock"], found["shock_spread_z"])
    assert np.isfinite(found["liquidity_shock"]).sum() == 40 - BARS_MIN - 1


def happening(*minutes: float, weight: int = 3) -> Happenings:
    ts = np.array([START_NS + round(m * MINUTE_NS) for m in minutes], np.int64)
    return Happenings(ts, np.full(ts.size, weight, np.int8))


# fmt: off
WINDOWS = [  # minute of the row; minutes to and since those at 100 and 300; window
    ("long before",           0.0,   100.0,    math.nan, 0.0),
    ("just before the window", 69.9, 30.1,     math.nan, 0.0),
    ("the window opens",      70.0,  30.0,     math.nan, 1.0),
    ("at the moment",         100.0, 0.0,      math.nan, 1.0),
    ("right after",           100.5, 199.5,    0.5,      1.0),
    ("the window closes",     160.0, 140.0,    60.0,     1.0),
    ("closed",                160.5, 139.5,    60.5,     0.0),
    ("after the last",        400.0, math.nan, 100.0,    0.0),
]
# fmt: on


@pytest.mark.parametrize(("what", "minute", "to_next", "since", "window"), WINDOWS,
                         ids=[w[0] for w in WINDOWS])  # fmt: skip
def test_windows(what: str, minute: float, to_next: float, since: float, window: float) -> None:
    operator = Macro(3, happening(100.0, 300.0))
    found = run(TABLE, operator, rows(quote(1.0, at=minute * 60)))
    shown = [float(found[name][0]) for name in operator.NAMES]
    assert shown == pytest.approx([to_next, since, window], nan_ok=True)


def test_windows_row_by_row_are_those_looked_up_in_the_whole() -> None:
    moments = np.sort(np.random.default_rng(4).integers(0, 20_000, 30)).astype(float)
    market = mixed(TABLE, 1500, seed=5, seconds=900.0)
    found = run(TABLE, Macro(3, happening(*moments)), market)
    known = np.isfinite(found["macro_window"])
    assert known.sum() > 1300
    for k, (lane, symbol) in enumerate(((0, 0), (0, 1), (1, 0))):
        mine = np.flatnonzero((market.lane == lane) & (market.symbol == symbol))
        now = (np.maximum.accumulate(market.ts_event_ns[mine]) - START_NS) / MINUTE_NS
        for i, minute in zip(mine, now, strict=True):
            ahead, behind = moments[moments >= minute], moments[moments < minute]
            near = (ahead.size and ahead[0] - minute <= 30) or (
                behind.size and minute - behind[-1] <= 60
            )
            assert found["macro_window"][i] == float(bool(near)), k
            if ahead.size:
                assert found["macro_next_min"][i] == pytest.approx(ahead[0] - minute)


def test_only_high_importance_counts() -> None:
    market = rows(quote(1.0))
    for given in (happening(), happening(5.0, weight=2)):
        assert np.isnan(list(run(TABLE, Macro(3, given), market).values())).all()


def test_happenings_must_be_sorted() -> None:
    with pytest.raises(ValueError, match="must be sorted by time"):
        Macro(3, happening(2.0, 1.0))


OPERATORS: dict[str, Any] = {"shock": Shock(3), "macro": Macro(3, happening(*range(0, 9000, 250)))}


@pytest.mark.parametrize("name", OPERATORS)
def test_every_promise_of_an_operator(name: str) -> None:
    market = mixed(TABLE, 3000, seed=6, seconds=8.0)
    for column, found in run(TABLE, OPERATORS[name], market).items():
        assert np.isfinite(found).sum() > 300, column
    check_operator(Whole(TABLE, OPERATORS[name]), market, without_numba=True)


@pytest.mark.parametrize("name", OPERATORS)
def test_one_instrument_knows_nothing_of_the_others(name: str) -> None:
    market = mixed(TABLE, 2000, seed=7, seconds=8.0)
    together = run(TABLE, OPERATORS[name], market)
    mine = (market.lane == 0) & (market.symbol == 1)
    for column, found in run(TABLE, OPERATORS[name], take(market, mine)).items():
        np.testing.assert_array_equal(found, together[column][mine])
