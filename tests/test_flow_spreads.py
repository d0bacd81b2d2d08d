"""Effective and realised spread, impact, and Roll's measure."""

import math
from typing import Any

import numpy as np
import pytest

from operators.features.flow.rows import TRADE, FlowRows
from operators.features.flow.spreads import HALF_LIFE_NS, HORIZON_NS, SLOT_NS, TRADES_MIN, Spreads
from schemas.rows import F8
from tests.check_operator import check_operator
from tests.flow_cases import (
    SECOND_NS,
    at,
    flow_rows,
    hand_made,
    mixed_flow,
    of,
    quote,
    trade,
    values,
)

FOREVER = 10**18  # a half-life of 32 years: nothing fades in these tests


def test_constant_market() -> None:
    """Buys at the ask of 99.99 / 100.01: effective 2 bps, all of it realised, no impact."""
    rows: list[Any] = [quote(99.99, 100.01)]
    rows += [trade(100.01, 1.0, 1) for _ in range(TRADES_MIN + 2)]
    rows += [quote(99.99, 100.01, ts_event_ns=at(TRADES_MIN + 20))]
    found = values(Spreads(3), hand_made(*rows))
    last = [found[name][-1] for name in Spreads.NAMES]
    np.testing.assert_allclose(last, [2.0, 2.0, 0.0, 0.0], rtol=1e-9, atol=1e-9)


def test_the_mid_moves_away_from_who_sold() -> None:
    """Each buy at 2 bps is followed by a rise of 3: realised 2 - 6 = -4."""
    rows: list[Any] = []
    mid = 100.0
    for i in range(TRADES_MIN + 1):
        rows.append(quote(mid - 0.01, mid + 0.01, ts_event_ns=at(20 * i)))
        rows.append(trade(mid + 0.01, 1.0, 1, ts_event_ns=at(20 * i)))
        mid *= 1.0003
        rows.append(quote(mid - 0.01, mid + 0.01, ts_event_ns=at(20 * i + 1)))
    found = values(Spreads(3), hand_made(*rows))
    assert found["impact_bps"][-1] == pytest.approx(6.0, rel=1e-9)
    effective, realised = found["spread_effective_bps"][-1], found["spread_realised_bps"][-1]
    assert realised == pytest.approx(effective - 6.0, rel=1e-9)


def matured(rows: FlowRows) -> list[tuple[int, float, float, float]]:
    """Each trade that counts: the row that judges it, its effective, its realised, its impact."""
    found = []
    for i in np.flatnonzero(rows.event & TRADE):
        due = (rows.ts_ns[i] // SLOT_NS + 1) * SLOT_NS + HORIZON_NS
        later = np.flatnonzero(rows.ts_ns >= due)
        if rows.sign[i] == 0 or math.isnan(rows.bid_px[i]) or not later.size:
            continue
        price, mid, then = rows.price[i], rows.mid[i], rows.mid[later[0] - 1]  # last before `due`
        if not math.isnan(then):
            s = 2.0 * rows.sign[i] / mid * 1e4
            found.append((int(later[0]), s * (price - mid), s * (price - then), s * (then - mid)))
    return found


def test_against_every_trade_judged_alone() -> None:
    rows = flow_rows(mixed_flow(4000, seed=25))
    found = values(Spreads(3, half_life_ns=FOREVER), rows)
    for k in (0, 2):
        each = matured(FlowRows(*(of(k, rows, column) for column in rows)))
        table = np.array(sorted(each))
        shown = np.stack([of(k, rows, found[n]) for n in Spreads.NAMES[:3]], axis=1)
        n_then = np.searchsorted(table[:, 0], np.arange(shown.shape[0]), side="right")
        assert n_then[-1] > 2 * TRADES_MIN
        for row in range(0, shown.shape[0], 7):
            n = n_then[row]
            expected = table[:n, 1:].mean(axis=0) if n >= TRADES_MIN else [math.nan] * 3
            np.testing.assert_allclose(shown[row], expected, rtol=1e-6, atol=1e-6)


def test_effective_is_realised_plus_impact() -> None:
    found = values(Spreads(3), flow_rows(mixed_flow(4000, seed=26)))
    effective, realised, impact = (found[name] for name in Spreads.NAMES[:3])
    assert np.isfinite(effective).sum() > 1000
    np.testing.assert_allclose(effective, realised + impact, rtol=1e-9, atol=1e-9)


def test_a_market_without_quotes_has_no_spread_to_compare_with() -> None:
    rows = hand_made(*(trade(10.0 + 0.01 * (i % 2), symbol=1) for i in range(300)))
    found = values(Spreads(3), rows)
    assert np.isnan(found["spread_effective_bps"]).all()
    assert found["roll_spread"][-1] == pytest.approx(0.02, rel=0.01)


def bounces(c: float, n: int, seed: int) -> F8:
    """Roll's model: an efficient price walks, trades print it plus or minus c at random."""
    random = np.random.default_rng(seed)
    walk = 100.0 + np.cumsum(random.normal(0.0, 0.02, n))
    result: F8 = walk + c * random.choice([-1.0, 1.0], n)
    return result


def test_rolls_measure_is_the_covariance_and_finds_the_bounce() -> None:
    price = bounces(0.05, 20_000, seed=27)
    rows = hand_made(*(trade(p, ts_event_ns=at(0.01 * i)) for i, p in enumerate(price)))
    found = values(Spreads(3, half_life_ns=FOREVER), rows)["roll_spread"]
    changes = np.diff(price)
    covariance = np.cov(changes[1:], changes[:-1], bias=True)[0, 1]
    assert found[-1] == pytest.approx(2.0 * math.sqrt(-covariance), rel=1e-6)
    assert found[-1] == pytest.approx(2 * 0.05, rel=0.05)
    np.testing.assert_array_equal(np.isfinite(found), np.arange(price.size) >= TRADES_MIN + 1)


def test_rolls_measure_is_0_where_prices_run() -> None:
    price = 100.0 + np.cumsum(np.repeat([0.0, 0.01, 0.03], 100))
    found = values(Spreads(3), hand_made(*(trade(p) for p in price)))["roll_spread"]
    assert found[-1] == 0.0


def test_old_trades_fade_by_half_in_a_half_life() -> None:
    """100 trades at 2 bps; a half-life later 100 at 6 bps: (2 / 2 + 6) / 1.5, about 4.67."""
    rows: list[Any] = []
    for start, half in ((0.0, 0.01), (100.0, 0.03)):
        rows.append(quote(100 - half, 100 + half, ts_event_ns=at(start)))
        rows += [trade(100 + half, 1.0, 1, ts_event_ns=at(start)) for _ in range(TRADES_MIN)]
    rows.append(quote(99.0, 101.0, ts_event_ns=at(200)))
    found = values(Spreads(3, half_life_ns=100 * SECOND_NS), hand_made(*rows))
    assert found["spread_effective_bps"][-1] == pytest.approx(14.0 / 3.0, rel=1e-3)


def test_half_life_must_be_positive() -> None:
    with pytest.raises(ValueError, match="half_life_ns must be positive, was 0"):
        Spreads(3, half_life_ns=0)


def test_every_promise_of_an_operator() -> None:
    rows = flow_rows(mixed_flow(2500, seed=28))
    assert HALF_LIFE_NS == 86_400 * SECOND_NS
    assert np.isfinite(values(Spreads(3), rows)["impact_bps"]).any()
    check_operator(Spreads(3), rows)
