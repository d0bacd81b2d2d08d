"""Funding, open interest in money, and the sign table of both with the price."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from operators.features.derivatives.funding import HALF_LIFE, RATES_MIN, Funding
from operators.features.derivatives.positioning import SLOTS, STRETCHED, Positioning
from operators.features.scores import blank_scores, fade_of, score
from schemas.instruments import InstrumentKind
from schemas.kinds import Kind
from schemas.rows import F8
from tests.check_operator import check_operator
from tests.derivative_cases import (
    HOUR_NS,
    START_NS,
    Whole,
    funding,
    interest,
    mark,
    market_of,
    mixed,
    quote,
    rows,
    run,
    table,
)

LINEAR, INVERSE = InstrumentKind.LINEAR, InstrumentKind.INVERSE
TABLE = table(market_of(0), market_of(1, LINEAR), market_of(2, INVERSE, contract_size="100"))


def z_by_hand(x: F8, half_life: float, n_min: int) -> F8:
    """Each value against the fading mean and deviation of those before, added up anew."""
    found = np.full(x.size, np.nan)
    for i in range(n_min, x.size):
        weights = 0.5 ** (np.arange(i - 1, -1, -1.0) / half_life)
        mean = np.average(x[:i], weights=weights)
        deviation = math.sqrt(np.average((x[:i] - mean) ** 2, weights=weights))
        found[i] = (x[i] - mean) / deviation
    return found


def test_score_is_that_of_all_values_before() -> None:
    x = np.random.default_rng(1).normal(5.0, 2.0, 80)
    scores = blank_scores(1)
    found = [score(scores, 0, fade_of(15.0), 10, value) for value in x]
    np.testing.assert_allclose(found, z_by_hand(x, 15.0, 10), rtol=1e-9)


def test_score_is_that_of_pandas() -> None:
    import pandas as pd

    x = np.random.default_rng(2).normal(-1.0, 0.3, 60)
    scores = blank_scores(1)
    found = [score(scores, 0, fade_of(20.0), 5, value) for value in x]
    fading = pd.Series(x).ewm(halflife=20.0, adjust=True)
    expected = (x - fading.mean().shift(1)) / fading.std(bias=True).shift(1)
    np.testing.assert_allclose(found[5:], expected[5:], rtol=1e-9)


def test_score_without_scatter_and_of_what_is_no_number() -> None:
    scores = blank_scores(1)
    found = [score(scores, 0, 0.9, 2, value) for value in (3.0, 3.0, 3.0, math.nan, math.inf, 4.0)]
    assert np.isnan(found).all()
    assert scores.n[0] == 4
    assert score(scores, 0, 0.9, 2, 5.0) > 0.0


@pytest.mark.parametrize("half_life", [0.0, -1.0, math.nan])
def test_half_life_must_be_positive(half_life: float) -> None:
    with pytest.raises(ValueError, match="half_life must be positive"):
        fade_of(half_life)


# fmt: off
NOTIONAL = [  # symbol, open interest, price, worth in quote units
    ("coins of a linear contract",        1, 250.0, 60_000.0, 250.0 * 60_000.0),
    ("contracts of 100 USD of an inverse", 2, 250.0, 60_000.0, 25_000.0),
    ("inverse needs no price",            2, 250.0, math.nan, 25_000.0),
    ("linear needs one",                  1, 250.0, math.nan, math.nan),
]
# fmt: on


@pytest.mark.parametrize(("what", "symbol", "qty", "price", "worth"), NOTIONAL,
                         ids=[n[0] for n in NOTIONAL])  # fmt: skip
def test_open_interest_in_money(
    what: str, symbol: int, qty: float, price: float, worth: float
) -> None:
    market = rows(mark(price, price, symbol=symbol), interest(qty, symbol=symbol))
    found = run(TABLE, Funding(TABLE.arrays()), market)["open_interest_notional"]
    np.testing.assert_equal(found, [math.nan, worth])


def test_contract_size_counts_for_linear_contracts() -> None:
    gold = table(market_of(0, LINEAR, base="XAU", contract_size="100"))
    found = run(gold, Funding(gold.arrays()), rows(quote(1300.0), interest(224_878.0)))
    assert found["open_interest_notional"][-1] == 224_878.0 * 100.0 * 1300.0


def test_rate_is_scaled_to_eight_hours() -> None:
    market = rows(funding(1e-4), funding(1e-4, 3600.0), funding(math.nan), funding(2e-4, 0.0))
    found = run(TABLE, Funding(TABLE.arrays()), market)["funding_rate_8h"]
    np.testing.assert_allclose(found, [1e-4, 8e-4, 8e-4, 8e-4], rtol=1e-12)


def test_funding_z_against_all_rates_before() -> None:
    rates = np.random.default_rng(3).normal(1e-4, 5e-5, 60)
    found = run(TABLE, Funding(TABLE.arrays()), rows(*(funding(rate) for rate in rates)))
    expected = z_by_hand(rates, HALF_LIFE, RATES_MIN)
    np.testing.assert_allclose(found["funding_z"], expected, rtol=1e-8)


def story(price: float, open_interest: float, last_rate: float) -> dict[str, float]:
    """Everything stands for a day, rates scatter about 1e-4; then all three move."""
    calm = [1e-4 + (-1) ** i * 1e-5 for i in range(12)]
    before: list[dict[str, Any]] = [
        mark(100.0, 100.0, at=0), interest(1000.0, at=0),
        *(funding(rate, at=60 * (1 + i)) for i, rate in enumerate(calm)),
    ]  # fmt: skip
    day = 86_400.0
    after = [funding(last_rate, at=day), interest(open_interest, at=day + 1),
             mark(price, 100.0, at=day + 2)]  # fmt: skip
    operator = Positioning(3)
    found = run(TABLE, operator, rows(*before, *after))
    return {name: float(column[-1]) for name, column in found.items()}


# fmt: off
CELLS = [  # price, open interest, funding: rises or falls; cell; verdict where funding is stretched
    ("longs give up, shorts pay",      -1, -1, -1, 0, +1),
    ("a liquidation is under way",     -1, -1, +1, 1, 0),
    ("shorts crowd in",                -1, +1, -1, 2, +1),
    ("longs build against the fall",   -1, +1, +1, 3, -1),
    ("a squeeze is under way",         +1, -1, -1, 4, 0),
    ("a rise without new money",       +1, -1, +1, 5, -1),
    ("shorts build against the rise",  +1, +1, -1, 6, +1),
    ("longs crowd in",                 +1, +1, +1, 7, -1),
]
# fmt: on


@pytest.mark.parametrize(("what", "price", "oi", "rate", "cell", "verdict"), CELLS,
                         ids=[c[0] for c in CELLS])  # fmt: skip
def test_truth_table(what: str, price: int, oi: int, rate: int, cell: int, verdict: int) -> None:
    stretched = story(100.0 + price, 1000.0 + 10.0 * oi, 1e-4 + rate * 5e-5)
    assert stretched["funding_oi_cell"] == cell
    assert stretched["funding_oi_divergence"] == verdict
    calm = story(100.0 + price, 1000.0 + 10.0 * oi, 1e-4 + rate * 1e-5)
    assert calm["funding_oi_cell"] == cell
    assert calm["funding_oi_divergence"] == 0.0


def test_table_covers_all_cells_and_swapping_longs_and_shorts_swaps_the_verdict() -> None:
    verdicts = {(p, o, f): v for _, p, o, f, _, v in CELLS}
    assert set(verdicts) == set(itertools.product((-1, 1), repeat=3))
    for (p, o, f), verdict in verdicts.items():
        assert verdicts[-p, o, -f] == -verdict


# fmt: off
UNMOVED = [("price", 100.0, 1010.0), ("open interest", 101.0, 1000.0)]
# fmt: on


@pytest.mark.parametrize(("what", "price", "oi"), UNMOVED, ids=[u[0] for u in UNMOVED])
def test_what_has_not_moved_has_no_sign(what: str, price: float, oi: float) -> None:
    found = story(price, oi, 2e-4)
    assert math.isnan(found["funding_oi_cell"])
    assert math.isnan(found["funding_oi_divergence"])


def test_window_compares_with_what_was_known_when_it_began() -> None:
    """ln open interest of 8 h ago, by slots of 15 min, and its z-score slot by slot."""
    random = np.random.default_rng(4)
    slot_ns, n = 8 * HOUR_NS // SLOTS, 400
    levels = 1000.0 * np.exp(np.cumsum(random.normal(0.0, 0.01, n)))
    seconds = np.arange(n) * slot_ns / 1e9
    market = rows(quote(100.0), *(interest(q, at=s) for q, s in zip(levels, seconds, strict=True)))
    found = run(TABLE, Positioning(3, suffix="_x"), market)["open_interest_z_x"][1:]
    growth = np.log(levels[SLOTS:] / levels[:-SLOTS])
    expected = z_by_hand(growth, 672.0, SLOTS)
    np.testing.assert_allclose(found[SLOTS + 1 :], expected[:-1], rtol=1e-8)  # once a slot is over
    assert np.isnan(found[: SLOTS + 1]).all()


def test_nothing_before_the_window_has_passed() -> None:
    early = [mark(100.0, 100.0, at=0), interest(1000.0, at=0)]
    rates = [funding(1e-4 + i * 1e-6, at=60 + i) for i in range(12)]
    market = rows(*early, *rates, interest(1100.0, at=7 * 3600), mark(101.0, 100.0, at=7 * 3600),
                  mark(102.0, 100.0, at=8 * 3600))  # fmt: skip
    cells = run(TABLE, Positioning(3), market)["funding_oi_cell"]
    assert np.isnan(cells[:-1]).all()
    assert cells[-1] == 7


@pytest.mark.parametrize("window_ns", [0, -32, 33])
def test_window_must_have_slots(window_ns: int) -> None:
    with pytest.raises(ValueError, match="window_ns must be a positive multiple of 32, was"):
        Positioning(3, window_ns=window_ns)


def test_threshold_is_the_documented_one() -> None:
    assert STRETCHED == 2.0


@pytest.mark.parametrize("operator", [Funding(TABLE.arrays()), Positioning(3, window_ns=HOUR_NS)],
                         ids=["funding", "positioning"])  # fmt: skip
def test_every_promise_of_an_operator(operator: Any) -> None:
    market = mixed(TABLE, 2500, seed=5)
    found = run(TABLE, operator, market)
    for name, column in found.items():
        assert np.isfinite(column).sum() > 100, name
        nobody = (market.symbol == 99) | (market.lane == -1)
        assert np.isnan(column[nobody]).all(), name
    check_operator(Whole(TABLE, operator), market, without_numba=True)


def test_one_instrument_knows_nothing_of_the_others() -> None:
    from schemas.rows import take

    market = mixed(TABLE, 2000, seed=6)
    alone = (market.lane == 0) & (market.symbol == 2)
    for operator in (Funding(TABLE.arrays()), Positioning(3)):
        together = run(TABLE, operator, market)
        for name, column in run(TABLE, operator, take(market, alone)).items():
            np.testing.assert_array_equal(column, together[name][alone])


def test_recorded_days_fall_into_cells(data_path: Any) -> None:
    """Daily open interest and funding of a perpetual over the liquidation day."""
    import pyarrow.parquet as pq

    rates = pq.read_table(
        data_path("funding/coinalyze_daily_20250728_20251025.parquet")
    ).to_pylist()
    levels = pq.read_table(data_path("open_interest/coinalyze_daily_2021_2025.parquet")).to_pylist()
    name, made = "ETHUSD_PERP", []
    for row in rates:
        if row["symbol"] == name:
            made.append((row["ts_ns"], {"kind": Kind.FUNDING, "price": row["rate"],
                                        "ref": float(row["interval_s"])}))  # fmt: skip
    first = min(ts for ts, _ in made)
    random = np.random.default_rng(7)
    for row in levels:
        if row["symbol"] == name and row["ts_ns"] >= first:
            made.append((row["ts_ns"] + 1, {"kind": Kind.OPEN_INTEREST, "qty": row["oi"]}))
            made.append((row["ts_ns"] + 2, mark(4000.0 * math.exp(random.normal(0, 0.01)), 4000.0)))
    made.sort(key=lambda each: each[0])
    market = rows(*({**row, "symbol": 2, "at": (ts - START_NS) / 1e9} for ts, row in made))
    found = run(TABLE, Positioning(3), market)["funding_oi_cell"]
    assert np.unique(found[np.isfinite(found)]).size >= 6
