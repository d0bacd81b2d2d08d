"""Funding, open interest in money, and the sign table of both with the price."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from operators.features.derivatives.funding import Funding
from operators.features.derivatives.positioning import SLOTS, STRETCHED, Positioning
from operators.features.derivatives.rates import HALF_LIFE, RATES_MIN
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

HOURS_8 = 28_800.0  # s
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


def z_of(*given: dict[str, Any]) -> F8:
    return run(TABLE, Funding(TABLE.arrays()), rows(*given))["funding_z"]


def settlements(rates: F8, late_s: F8 | float = 0.0) -> list[dict[str, Any]]:
    """One row per 8 h, so many seconds behind the hour."""
    at = HOURS_8 * np.arange(1, rates.size + 1) + late_s
    return [funding(rate, at=s) for rate, s in zip(rates.tolist(), at.tolist(), strict=True)]


def test_funding_z_against_all_rates_before() -> None:
    rates = np.random.default_rng(3).normal(1e-4, 5e-5, 60)
    expected = z_by_hand(rates, HALF_LIFE, RATES_MIN)
    np.testing.assert_allclose(z_of(*settlements(rates)), expected, rtol=1e-8)


def test_settlements_may_be_stamped_beside_the_hour() -> None:
    random = np.random.default_rng(8)
    rates, late_s = random.normal(1e-4, 5e-5, 60), random.uniform(-10.0, 10.0, 60)
    exact = z_of(*settlements(rates))
    np.testing.assert_array_equal(z_of(*settlements(rates, late_s)), exact)


def test_rows_of_one_interval_are_one_rate() -> None:
    """A row each second for an hour: no interval is over, however many rows there were."""
    rates = np.random.default_rng(9).normal(1e-4, 5e-5, 3600).tolist()
    assert np.isnan(z_of(*(funding(rate, at=s) for s, rate in enumerate(rates)))).all()


def test_each_interval_counts_by_its_last_rate() -> None:
    """Rows at random times: against those last of each slot before, by a dictionary of slots."""
    random = np.random.default_rng(10)
    seconds = np.sort(random.uniform(0.0, 40 * HOURS_8, 400))
    rates = random.normal(1e-4, 5e-5, 400)
    last: dict[float, float] = {}
    expected = []
    for at, rate in zip(seconds.tolist(), rates.tolist(), strict=True):
        slot = (at + 60.0) // HOURS_8
        before = [known for number, known in last.items() if number < slot]
        expected.append(z_by_hand(np.array([*before, rate]), HALF_LIFE, RATES_MIN)[-1])
        last[slot] = rate
    given = [funding(r, at=s) for r, s in zip(rates.tolist(), seconds.tolist(), strict=True)]
    np.testing.assert_allclose(z_of(*given), expected, rtol=1e-8)
    shown = run(TABLE, Funding(TABLE.arrays()), rows(*given))["funding_rate_8h"]
    np.testing.assert_array_equal(shown, rates)  # at once


CALM = settlements(np.tile([1.1e-4, 0.9e-4], 6))  # the last at 96 h, of 96 to 104 h
# fmt: off
CHANGES = [  # rows after those (hours, interval in hours, rate), which of them count, once over
    ("a later row of the same interval", [(97, 8, 2)],                              [0]),
    ("two of the next",                  [(104, 8, 2), (105, 8, 3)],                [-1, 1]),
    ("8 h to 4 h at a settlement",       [(104, 4, 2), (108, 4, 3), (112, 4, 4)],   [-1, 0, 1, 2]),
    ("8 h to 4 h amid an interval",      [(97, 4, 2), (100, 4, 3), (104, 4, 4)],    [0, 1, 2]),
    ("4 h to 1 h",                       [(104, 4, 2), (105, 1, 3), (106, 1, 4)],   [-1, 0, 1, 2]),
    ("8 h to 1 h amid an interval",      [(98.5, 1, 2), (98.7, 1, 3), (99, 1, 4)],  [-1, 1, 2]),
    ("1 h to 8 h amid an interval",      [(104, 1, 2), (105, 1, 3), (105.5, 8, 4), (106.5, 8, 5)],
                                                                                    [-1, 0, 3]),
    ("1 h to 8 h once an hour is over",  [(104, 1, 2), (105, 1, 3), (106, 8, 4), (111, 8, 5)],
                                                                                    [-1, 0, 1, 3]),
    ("rows that differ take no turns",   [(104, 8, 2), (105.1, 1, 3), (105.2, 8, 4), (105.3, 1, 5)],
                                                                                    [-1, 0, 3]),
    ("a late row counts as of now",      [(104, 8, 2), (90, 8, 3)],                 [-1, 1]),
    ("and ends no interval",             [(104, 8, 2), (90, 8, 3), (105, 8, 4)],    [-1, 2]),
    ("intervals without a row are none", [(160, 8, 2), (400, 8, 3)],                [-1, 0, 1]),
    ("a length that is a little off",    [(104, 8.0005, 2), (112, 7.9995, 3)],      [-1, 0, 1]),
]
# fmt: on


@pytest.mark.parametrize(("what", "told", "counted"), CHANGES, ids=[c[0] for c in CHANGES])
def test_intervals_that_change_count_once(
    what: str, told: list[tuple[float, float, float]], counted: list[int]
) -> None:
    """What counted is seen in the z-score of a rate of long after; -1 is the last of CALM."""
    more = [funding(rate * 1e-4, hours * 3600.0, at=at * 3600.0) for at, hours, rate in told]
    found = z_of(*CALM, *more, funding(1.5e-4, at=500 * 3600.0))[-1]
    rates = [row["price"] * (HOURS_8 / row["ref"]) for row in (*more, CALM[-1])]
    settled = [row["price"] for row in CALM[:-1]] + [rates[i] for i in counted]
    expected = z_by_hand(np.array([*settled, 1.5e-4]), HALF_LIFE, RATES_MIN)[-1]
    assert found == pytest.approx(expected, rel=1e-9)


def story(price: float, open_interest: float, last_rate: float) -> dict[str, float]:
    """Everything stands for a day, rates scatter about 1e-4; then all three move."""
    calm = [1e-4 + (-1) ** i * 1e-5 for i in range(12)]
    before: list[dict[str, Any]] = [
        mark(100.0, 100.0, at=0), interest(1000.0, at=0),
        *(funding(rate, 3600.0, at=3600 * (1 + i)) for i, rate in enumerate(calm)),
    ]  # fmt: skip
    day = 86_400.0
    after = [funding(last_rate, 3600.0, at=day), interest(open_interest, at=day + 1),
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
    rates = [funding(1e-4 + i * 1e-6, 1800.0, at=1800 * (1 + i)) for i in range(12)]
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
