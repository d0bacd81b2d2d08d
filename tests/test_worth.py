"""Promise: one place knows what a quantity is worth, for every kind of instrument, to the digit."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.records import instrument_records
from operators.risk.worth import (
    base_units,
    floor_lots,
    flow,
    notional,
    rate,
    round_money,
    worth,
)
from schemas.instruments import InstrumentKind
from tests.desk_cases import NAN, instrument, table

SPOT, LINEAR, INVERSE = InstrumentKind.SPOT, InstrumentKind.LINEAR, InstrumentKind.INVERSE
KINDS = instrument_records(
    table(
        instrument(0, kind=SPOT),
        instrument(1, kind=LINEAR, contract_size="0.01"),
        instrument(2, kind=INVERSE, contract_size="100", settle="EUR"),
    ).arrays()
)


class Value(NamedTuple):
    """What 10 units are worth."""

    notional: float
    base: float
    buying_brings: float


# fmt: off
UNITS = [
    # kind     row price   10 units are
    ("spot",     0, 50.0,  Value(notional=500.0,  base=10.0, buying_brings=-500.0)),
    ("linear",   1, 50.0,  Value(notional=5.0,    base=0.1,  buying_brings=-5.0)),
    ("inverse",  2, 50.0,  Value(notional=1000.0, base=20.0, buying_brings=20.0)),
]
TRIPS = [  # bought 10 at 50, worth at 60
    # kind     row price now   quote units
    ("spot",     0, 60.0,      100.0),
    ("linear",   1, 60.0,      1.0),
    # 1,000 dollars are 20 base at 50 and 16.67 at 60: 3.33 base won, at 60 each
    ("inverse",  2, 60.0,      200.0),
]
# fmt: on


@pytest.mark.parametrize(("kind", "row", "price", "value"), UNITS, ids=[c[0] for c in UNITS])
def test_ten_units(kind: str, row: int, price: float, value: Value) -> None:
    assert notional(KINDS, row, 10.0, price) == pytest.approx(value.notional)
    assert base_units(KINDS, row, 10.0, price) == pytest.approx(value.base)
    assert flow(KINDS, row, 10.0, price) == pytest.approx(value.buying_brings)
    assert flow(KINDS, row, -10.0, price) == pytest.approx(-value.buying_brings)


@pytest.mark.parametrize(("kind", "row", "price", "profit"), TRIPS, ids=[c[0] for c in TRIPS])
def test_open_and_closed_are_worth_the_same(
    kind: str, row: int, price: float, profit: float
) -> None:
    come = flow(KINDS, row, 10.0, 50.0)
    assert worth(KINDS, row, come, 10.0, price) == pytest.approx(profit)
    closed = come + flow(KINDS, row, -10.0, price)
    assert worth(KINDS, row, closed, 0.0, price) == pytest.approx(profit)
    sold = flow(KINDS, row, -10.0, 50.0)
    assert worth(KINDS, row, sold, -10.0, price) == pytest.approx(-profit)


PRICES = st.integers(1, 10**6).map(lambda ticks: Fraction(ticks, 100))


@given(st.sampled_from([0, 1, 2]), st.integers(1, 1000), st.sampled_from([-1, 1]), PRICES, PRICES)
def test_worth_is_the_textbook_profit(
    row: int, qty: int, side: int, enter: Fraction, now: Fraction
) -> None:
    size = [Fraction(1), Fraction(1, 100), Fraction(100)][row]
    if row == 2:  # Q contracts of C dollars win Q C (1 / enter - 1 / now) base units
        expected = side * qty * size * (1 / enter - 1 / now) * now
    else:
        expected = side * qty * size * (now - enter)
    come = flow(KINDS, row, float(side * qty), float(enter))
    found = worth(KINDS, row, come, float(side * qty), float(now))
    scale = abs(come) * (float(now) if row == 2 else 1.0) + float(qty * size * now)
    assert found == pytest.approx(float(expected), abs=1e-12 * scale)


# A desk in dollars: what one unit of the quote asset is worth, at these mids of rows 0 to 4.
RATES = instrument_records(
    table(
        instrument(0, base="EUR", quote="USD"),
        instrument(1, base="USD", quote="JPY"),
        instrument(2, base="EUR", quote="JPY"),
        instrument(3, base="BTC", quote="USDT"),
        instrument(4, base="GBP", quote="EUR"),
        instrument(5, base="GBP", quote="PLN"),
    ).arrays()
)
MIDS = np.array([1.25, 160.0, 200.0, 60_000.0, 0.85, 5.0])
# fmt: off
RATE_CASES = [
    # what                                  row  rate
    ("quoted in the desk's currency",       0,   1.0),
    ("quoted in a stablecoin of it",        3,   1.0),
    ("the market itself converts",          1,   1.0 / 160.0),
    ("another market converts, inverted",   2,   1.0 / 160.0),
    ("another market converts",             4,   1.25),
    ("nothing converts",                    5,   NAN),
]
# fmt: on


@pytest.mark.parametrize(("what", "row", "expected"), RATE_CASES, ids=[c[0] for c in RATE_CASES])
def test_rates(what: str, row: int, expected: float) -> None:
    assert rate(RATES, MIDS, row) == pytest.approx(expected, nan_ok=True)


def test_a_rate_without_a_mark_is_unknown() -> None:
    assert np.isnan(rate(RATES, np.full(6, NAN), 2))
    assert np.isnan(rate(RATES, np.full(6, NAN), 4))


# fmt: off
ROUNDED = [
    # what                    amount          to 8 digits
    ("exact already",         1.25,           1.25),
    ("down",                  0.123456784,    0.12345678),
    ("up",                    0.123456786,    0.12345679),
    ("a negative amount",     -0.123456786,   -0.12345679),
    ("half goes away from 0", 1.5 * 2.0**-28, 0.00000001),  # 5.59e-9
    ("a hair is nothing",     4e-9,           0.0),
    ("a million",             1e6 + 1e-8,     1000000.00000001),
]
LOTS = [
    # what                                 qty         lot     floored
    ("whole lots",                       1.0,    0.25, 1.0),
    ("between",                          1.2,    0.25, 1.0),
    ("less than one",                    0.24,   0.25, 0.0),
    ("three tenths of a lot of a tenth", 0.3,    0.1,  0.3),  # 0.3 / 0.1 = 2.9999999999999996
    ("a hair below a lot is that lot",   0.7,    0.1,  0.7),
    ("a thousandth below is not",        0.6999, 0.1,  0.6),
    ("nothing",                          0.0,    0.1,  0.0),
]
# fmt: on


@pytest.mark.parametrize(("what", "amount", "rounded"), ROUNDED, ids=[c[0] for c in ROUNDED])
def test_money_is_rounded_to_8_digits(what: str, amount: float, rounded: float) -> None:
    assert round_money(amount) == rounded


@pytest.mark.parametrize(("what", "qty", "lot", "floored"), LOTS, ids=[c[0] for c in LOTS])
def test_quantities_are_floored_to_lots(what: str, qty: float, lot: float, floored: float) -> None:
    assert floor_lots(qty, lot) == pytest.approx(floored, rel=1e-15)


@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.001, 1e-5, 0.25, 1.0, 100.0]))
def test_a_whole_number_of_lots_is_kept(lots: int, lot: float) -> None:
    assert round(floor_lots(lots * lot, lot) / lot) == lots
