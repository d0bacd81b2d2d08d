"""Basis, premium, fund flows, and what the table of contracts says."""

import json
import math
from typing import Any

import numpy as np
import pytest

from operators.features.derivatives.basis import Basis, spot_partners
from operators.features.derivatives.fund_flows import DAYS, DAYS_MIN, HALF_LIFE, FundFlow
from operators.features.derivatives.premium import HALF_LIFE as PREMIUM_HALF_LIFE
from operators.features.derivatives.premium import SLOTS_MIN, Premium
from operators.features.derivatives.registry import FEATURES
from operators.features.feature import FundFlows
from operators.features.scores import blank_scores, fade_of, score
from schemas.instruments import InstrumentKind, InstrumentTable
from schemas.kinds import Kind
from schemas.rows import take
from tests.check_operator import check_operator
from tests.derivative_cases import (
    DAY_NS,
    START_NS,
    Whole,
    check_inputs,
    check_registry,
    check_warm_up,
    funding,
    mark,
    market_of,
    mixed,
    quote,
    rows,
    run,
    table,
    terms,
)

SPOT, LINEAR, INVERSE = InstrumentKind.SPOT, InstrumentKind.LINEAR, InstrumentKind.INVERSE
YEAR_NS = 365 * DAY_NS
TABLE = table(
    market_of(0), market_of(1, LINEAR, quote="USDT"), market_of(2, INVERSE, contract_size="100"),
    market_of(3, LINEAR, expiry_ns=START_NS + YEAR_NS // 4), market_of(4, LINEAR, base="ETH"),
)  # fmt: skip

# fmt: off
BASIS = [  # rows, then basis_bps and basis_annual of the last
    ("a perpetual above its spot", [quote(100.0), quote(101.0, symbol=1)], 100.0, math.nan),
    ("dollars of an inverse one compare as they are",
     [quote(100.0), quote(99.5, symbol=2)], -50.0, math.nan),
    ("a future, by the year", [quote(100.0, at=0), quote(103.0, symbol=3, at=0)], 300.0,
     math.log(1.03) * 4.0),
    ("the spot moves later", [quote(100.0), quote(101.0, symbol=1), quote(101.0),
                              funding(1e-4, symbol=1)], 0.0, math.nan),
    ("a mark is a price too", [mark(100.0, 1.0), mark(101.0, 1.0, symbol=1)], 100.0, math.nan),
    ("so is a bar's close", [{"kind": Kind.BAR, "price": 100.0}, quote(101.0, symbol=1)], 100.0,
     math.nan),
    ("5 min apart still count", [quote(100.0, at=0), quote(101.0, symbol=1, at=300)], 100.0,
     math.nan),
    ("more do not", [quote(100.0, at=0), quote(101.0, symbol=1, at=301)], math.nan, math.nan),
    ("spot is not known", [quote(101.0, symbol=1)], math.nan, math.nan),
    ("no spot of that asset", [quote(100.0), quote(100.0, symbol=4)], math.nan, math.nan),
    ("spot itself has none", [quote(101.0, symbol=1), quote(100.0)], math.nan, math.nan),
    ("the last day of a future",
     [quote(100.0, at=91 * 86_400), quote(103.0, symbol=3, at=91 * 86_400)], 300.0, math.nan),
]
# fmt: on


@pytest.mark.parametrize(("what", "given", "bps", "annual"), BASIS, ids=[b[0] for b in BASIS])
def test_basis(what: str, given: list[dict[str, Any]], bps: float, annual: float) -> None:
    found = run(TABLE, Basis(TABLE), rows(*given))
    assert found["basis_bps"][-1] == pytest.approx(bps, nan_ok=True, abs=1e-9)
    assert found["basis_annual"][-1] == pytest.approx(annual, nan_ok=True, rel=1e-4)


def test_spot_is_the_first_of_the_partners() -> None:
    assert spot_partners(TABLE.arrays()).tolist() == [-1, 0, 0, 0, -1]


# fmt: off
PREMIUMS = [
    ("a fund above its net asset value", mark(50.5, 50.0), 100.0),
    ("a perpetual below its index",      mark(28_143.8, 28_156.6), (28_143.8 / 28_156.6 - 1) * 1e4),
    ("no index",                         mark(50.5, math.nan), math.nan),
    ("an index of nothing",              mark(50.5, 0.0), math.nan),
    ("no mark",                          quote(50.5), math.nan),
]
# fmt: on


@pytest.mark.parametrize(("what", "row", "bps"), PREMIUMS, ids=[p[0] for p in PREMIUMS])
def test_premium(what: str, row: dict[str, Any], bps: float) -> None:
    found = run(TABLE, Premium(5), rows(row))["premium_bps"][-1]
    assert found == pytest.approx(bps, nan_ok=True, abs=1e-9)


def test_premium_z_takes_the_first_premium_of_each_minute() -> None:
    random = np.random.default_rng(1)
    bps = random.normal(0.0, 3.0, 600)
    market = rows(*(mark(100.0 * (1.0 + b / 1e4), 100.0, at=20 * i) for i, b in enumerate(bps)))
    found = run(TABLE, Premium(5), market)["premium_z"]
    scores, fade, expected = blank_scores(1), fade_of(PREMIUM_HALF_LIFE), []
    for minute in bps[::3]:
        expected += [score(scores, 0, fade, SLOTS_MIN, minute)] * 3
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.isfinite(found).any()


def flows(n: int = 40, seed: int = 2) -> FundFlows:
    """Daily figures of two assets, known at noon of the next day."""
    random = np.random.default_rng(seed)
    known = START_NS + DAY_NS * np.arange(1, n + 1) + DAY_NS // 2
    return FundFlows(("BTC", "ETH"), np.repeat(np.array([0, 1], np.int32), n),
                     np.concatenate([known, known]), random.normal(1e8, 2e8, 2 * n))  # fmt: skip


def test_flows_are_known_from_their_time_on() -> None:
    given = flows()
    noon = 1.5 * 86_400
    market = rows(quote(1.0, at=noon - 1), quote(1.0, at=noon), quote(1.0, at=noon + 86_399),
                  quote(1.0, at=noon + 86_400), quote(1.0, symbol=4, at=noon + 86_400))  # fmt: skip
    found = run(TABLE, FundFlow(TABLE, given), market)["etf_flow_usd"]
    first, second = given.net_usd[:2]
    np.testing.assert_equal(found, [math.nan, first, first, second, given.net_usd[41]])


def test_sum_and_z_of_flows_know_only_the_days_before() -> None:
    given = flows()
    market = rows(*(quote(1.0, at=(i + 1.5) * 86_400) for i in range(40)))
    found, mine = run(TABLE, FundFlow(TABLE, given), market), given.net_usd[:40]
    scores, fade = blank_scores(1), fade_of(HALF_LIFE)
    for i in range(40):
        week = mine[i + 1 - DAYS : i + 1].sum() if i + 1 >= DAYS else math.nan
        assert found["etf_flow_week_usd"][i] == pytest.approx(week, nan_ok=True)
        z = score(scores, 0, fade, DAYS_MIN, mine[i])
        assert found["etf_flow_z"][i] == pytest.approx(z, nan_ok=True)
    assert np.isfinite(found["etf_flow_z"]).sum() == 40 - DAYS_MIN


def test_an_asset_without_funds_has_no_flows() -> None:
    other = table(market_of(0, base="DOGE"))
    found = run(other, FundFlow(other, flows()), rows(quote(1.0, at=86_400 * 9)))
    assert np.isnan(list(found.values())).all()


# fmt: off
REFUSED = [
    ("not by asset", lambda f: f._replace(asset=f.asset[::-1].copy()), "must be sorted by asset"),
    ("not by time", lambda f: f._replace(known_ns=f.known_ns[::-1].copy()), "must be sorted"),
    ("a figure that is none", lambda f: f._replace(net_usd=f.net_usd * np.nan), "must be finite"),
]
# fmt: on


@pytest.mark.parametrize(("what", "spoil", "said"), REFUSED, ids=[r[0] for r in REFUSED])
def test_flows_that_are_refused(what: str, spoil: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FundFlow(TABLE, spoil(flows()))


def test_table_of_contracts_survives_its_record() -> None:
    option = market_of(5, InstrumentKind.OPTION, quote="BTC", expiry_ns=5, strike="62500.5",
                       right="P")  # fmt: skip
    whole = table(*TABLE.instruments, option)
    assert InstrumentTable.from_json(whole.to_json()) == whole
    spot, future = json.loads(whole.to_json())["instruments"][0::3]
    assert not {"expiry_ns", "strike", "right"} & spot.keys()  # as tables were written before
    assert future["expiry_ns"] == START_NS + YEAR_NS // 4
    assert "strike" not in future


def test_options_are_no_partners_of_what_they_are_on() -> None:
    option = market_of(1, InstrumentKind.OPTION, expiry_ns=5, strike="1", right="P")
    assert (table(market_of(0), option).arrays().partners == -1).all()


OPERATORS = [Basis(TABLE), Premium(5), FundFlow(TABLE, flows())]
GAPS_S = [120.0, 600.0, 1500.0]  # between rows: short for the basis, 25 days for the flows


@pytest.mark.parametrize(("operator", "seconds"), list(zip(OPERATORS, GAPS_S, strict=True)),
                         ids=["basis", "premium", "fund flows"])  # fmt: skip
def test_every_promise_of_an_operator(operator: Any, seconds: float) -> None:
    market = mixed(TABLE, 4000, seed=3, seconds=seconds)
    for name, column in run(TABLE, operator, market).items():
        assert np.isfinite(column).sum() > 20, name
    check_operator(Whole(TABLE, operator), market, without_numba=True)


def test_only_rows_of_its_lane_matter() -> None:
    far = market_of(0, lane=1)
    both = table(*TABLE.instruments, far)
    market = mixed(both, 2000, seed=4, seconds=60.0)
    mine = market.lane == 0
    for operator in (Basis(both), Premium(6)):
        together = run(both, operator, market)
        for name, column in run(both, operator, take(market, mine)).items():
            np.testing.assert_array_equal(column, together[name][mine])


def test_registry_has_each_column_of_each_operator_once() -> None:
    check_registry(FEATURES, terms(TABLE, fund_flows=flows()))


# fmt: off
READS = {
    "funding": {Kind.FUNDING}, "open interest": {Kind.OPEN_INTEREST},
    "any price": {Kind.QUOTE, Kind.TRADE, Kind.MARK, Kind.BAR}, "mark": {Kind.MARK},
    "best quote": {Kind.QUOTE}, "option quotes": {Kind.QUOTE}, "fund flows": set(Kind),
    "its spot market": set(),
}
# fmt: on


def test_inputs_are_what_the_registry_says() -> None:
    market = mixed(TABLE, 2500, seed=5, seconds=240.0)
    check_inputs(FEATURES, terms(TABLE, fund_flows=flows()), market, READS)


@pytest.mark.parametrize("seconds", [20.0, 400.0])
def test_warm_up_in_market_time_is_not_shorter_than_said(seconds: float) -> None:
    shown = ("open_interest_z_1h", "funding_oi_cell_8h", "premium_z") if seconds == 400.0 else ()
    market = mixed(TABLE, 4000, seed=6, seconds=seconds)
    check_warm_up(FEATURES, terms(TABLE, fund_flows=flows()), market, shown=shown)


def test_recorded_marks(data_path: Any) -> None:
    import pyarrow.parquet as pq

    recorded = pq.read_table(data_path("mark_price/binance_usdm_BTCUSDT_20230404T2358.parquet"))
    given = recorded.to_pylist()
    market = rows(*(mark(r["mark_px"], r["index_px"], at=(r["ts_ns"] - START_NS) / 1e9, symbol=1)
                    for r in given))  # fmt: skip
    found = run(TABLE, Premium(5), market)["premium_bps"]
    np.testing.assert_allclose(
        found, [(r["mark_px"] / r["index_px"] - 1.0) * 1e4 for r in given], rtol=1e-9
    )
    assert -20.0 < found.min() < found.max() < 20.0
