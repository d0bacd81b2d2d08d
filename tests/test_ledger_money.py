"""Money is exact: floats trap, only named functions round, and what they move is known."""

import decimal
import doctest
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.ledger import money
from operators.ledger.money import (
    bound_cost,
    exact,
    exact_arithmetic,
    exact_money,
    on_step,
    quantise_amount,
    quantise_if_endless,
    quantise_ratio,
    text,
)

D = Decimal


def test_a_float_among_the_operands_traps() -> None:
    with exact_arithmetic(), pytest.raises(decimal.FloatOperation):
        Decimal(0.1)  # noqa: RUF032 - it must not pass
    with exact_arithmetic(), pytest.raises(decimal.FloatOperation):
        D("0.1") < 0.1  # noqa: B015 - nor this
    with exact_arithmetic(), pytest.raises(TypeError):
        D("0.1") * 0.1  # type: ignore[operator]


def test_an_inexact_result_traps() -> None:
    with exact_arithmetic(), pytest.raises(decimal.Inexact):
        D(1) / D(3)
    with exact_arithmetic(), pytest.raises(decimal.Inexact):
        D(1).quantize(D("1e-8")) + D("1e-70")


# fmt: off
EXACT = [  # value, step, what the ledger books
    (3 * 0.1,              "0.1",        "0.3",          True),
    (0.1 + 0.2,            "0.1",        "0.3",          True),
    (1.38741,              "0.00001",    "1.38741",      True),
    (61234.5,              "0.5",        "61234.5",      True),
    (-61234.5,             "0.5",        "-61234.5",     True),
    (984107995871 * 0.01,  "0.01",       "9841079958.71", True),   # reads 9841079958.710001
    (2e10 + 0.1,           "0.1",        "20000000000.1", True),   # noise of a large value
    (1e15 / 7,             "0.00000001", "142857142857142.84", True),  # what a float can say
    (0.3 + 0.45e-7,        "0.1",        "0.3",          True),    # less than 1e-6 of half a step
    (0.3 + 0.55e-7,        "0.1",        "0.300000055",  False),   # more: as it reads
    (60000.15,             "0.1",        "60000.15",     False),   # half a tick from the trade
    (60000.1 - 0.05,       "0.1",        "60000.05",     False),   # and its noise
    (1e15 / 3,             "0.25",       "333333333333333.3", False),  # all noise: as it reads
    (0.0,                  "0.1",        "0",            True),
]
# fmt: on


@pytest.mark.parametrize(("value", "step", "booked", "fits"), EXACT)
def test_a_multiple_of_a_step_is_exact_and_anything_else_as_it_reads(
    value: float, step: str, booked: str, fits: bool
) -> None:
    assert exact(value, D(step)) == D(booked)
    assert on_step(exact(value, D(step)), D(step)) is fits


@settings(derandomize=True)
@given(st.integers(1, 10**13), st.sampled_from(["0.00000001", "0.00001", "0.01", "0.25", "1"]))
def test_a_float_goes_in_and_the_same_multiple_comes_out(k: int, step: str) -> None:
    assert exact(k * float(step), D(step)) == k * D(step)
    assert exact(float(k * D(step)), D(step)) == k * D(step)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_no_money(value: float) -> None:
    with pytest.raises(ValueError, match="an amount must be finite"):
        exact_money(value)
    with pytest.raises(ValueError, match="an amount must be finite"):
        exact(value, D("0.1"))


def test_a_numpy_float_reads_like_a_float() -> None:
    assert exact_money(np.float64(0.1)) == D("0.1")


# fmt: off
QUANTISED = [  # half to even, on both sides of zero
    ("0.000000005",   "0",           "0.000000005"),
    ("0.000000015",   "0.00000002", "-0.000000005"),
    ("0.000000025",   "0.00000002",  "0.000000005"),
    ("-0.000000015", "-0.00000002",  "0.000000005"),
    ("0.0000000051",  "0.00000001", "-0.0000000049"),
    ("12.5",          "12.5",        "0"),
]
# fmt: on


@pytest.mark.parametrize(("value", "rounded", "residual"), QUANTISED)
def test_quantise_rounds_half_to_even_and_returns_the_rest(
    value: str, rounded: str, residual: str
) -> None:
    assert quantise_amount(D(value)) == (D(rounded), D(residual))
    assert quantise_ratio(Fraction(value)) == (D(rounded), D(residual))
    assert quantise_if_endless(Fraction(value)) == (D(value), D(0))


def test_a_ratio_is_rounded_once_not_twice() -> None:
    """A hair below a tie: rounding at 18 digits first would make it the tie."""
    value = Fraction("0.000000015") - Fraction(1, 10**30)
    assert quantise_ratio(value) == (D("0.00000001"), D("0.000000005"))
    assert quantise_if_endless(Fraction(1, 3)) == (D("0.33333333"), D("0.000000003333333333"))


def test_a_long_cost_is_bounded_and_a_short_one_untouched() -> None:
    long = Fraction(1, 7**80)
    assert bound_cost(Fraction(1, 7)) == Fraction(1, 7)
    assert bound_cost(1 + long).denominator <= 10**60
    assert abs(bound_cost(1 + long) - 1 - long) <= Fraction(1, 2 * 10**60)


@pytest.mark.parametrize(
    ("amount", "spelled"),
    [("1.50", "1.5"), ("1E+3", "1000"), ("0E-8", "0"), ("-0.0", "0"), ("-1E-8", "-0.00000001")],
)
def test_an_amount_has_one_spelling(amount: str, spelled: str) -> None:
    assert text(D(amount)) == spelled


def test_the_examples_run() -> None:
    assert doctest.testmod(money).failed == 0
