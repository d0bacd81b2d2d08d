"""Exact money: the decimal context, the way in from floats, and the only functions that round."""

import math
from contextlib import AbstractContextManager
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)
from fractions import Fraction

# Digits after the point, for every asset alike. 8: crypto venues book 8, contracts settle in them,
# and venues report fees with 8. Fiat too: a desk that rounded dollars to cents would book its fees
# with two precisions, and fractions of a cent are what an FX desk earns.
AMOUNT_DIGITS = 8
# A ratio (an inverse contract's profit) may have no last digit. Its exact value is stated with 18
# (the finest unit of any asset in use), so that what rounding to AMOUNT_DIGITS moved is a number.
RATIO_DIGITS = 18
# The cost of an open lot is rounded to 60 digits once its denominator has more, so that a lot that
# is added to and reduced for ever stays small. Nothing is lost: the rest stays inside the lot.
COST_DENOMINATOR_MAX = 10**60

HALF = Decimal("0.5")
STEP_NOISE = 1e-6  # of half a step; what `k * 0.1` is off lies far below
STEP_NOISE_RELATIVE = 2.0**-50  # 4 units in the last place, for values of 1e9 steps and more
STEP_NOISE_MAX = 0.25  # so that what lies between two half steps is never noise

_CONTEXT = Context(
    prec=60,  # 17 digits of a price x 17 of a quantity x 17 of a contract size, and room
    rounding=ROUND_HALF_EVEN,
    traps=[Inexact, FloatOperation, InvalidOperation, DivisionByZero, Overflow],
)


def exact_arithmetic() -> AbstractContextManager[Context]:
    """The context of everything in the ledger: a result that would be rounded, or a float among
    the operands, raises `decimal.Inexact` or `decimal.FloatOperation`.

    Examples
    --------
    >>> with exact_arithmetic():
    ...     Decimal(1) / Decimal(3)
    Traceback (most recent call last):
    decimal.Inexact: [<class 'decimal.Inexact'>]
    """
    return localcontext(_CONTEXT)


def exact_money(value: float) -> Decimal:
    """The shortest decimal that reads back as this float: 0.1 is one tenth, and no more.

    Raises
    ------
    ValueError
        If the value is NaN or infinite.
    """
    value = float(value)  # a NumPy scalar has another repr
    if not math.isfinite(value):
        raise ValueError(f"an amount must be finite, was {value}")
    return Decimal(repr(value))


def exact(value: float, step: Decimal) -> Decimal:
    """A price or quantity that is a multiple of half its tick or lot, as that very multiple.

    Half, because a venue without quotes fills half a tick from its last trade. A value that is no
    such multiple is taken at its shortest decimal, as `exact_money` does. `on_step` tells what is
    off its tick or lot, and the journal's memo says so.

    Examples
    --------
    >>> exact(3 * 0.1, Decimal("0.1"))
    Decimal('0.30')
    >>> exact(0.37, Decimal("0.1"))
    Decimal('0.37')
    """
    shortest = exact_money(value)
    if on_step(shortest, step):
        return shortest
    half = _CONTEXT.multiply(step, HALF)
    halves = value / float(half)
    nearest = round(halves)
    noise = min(max(STEP_NOISE, STEP_NOISE_RELATIVE * abs(halves)), STEP_NOISE_MAX)
    return _CONTEXT.multiply(Decimal(nearest), half) if abs(halves - nearest) <= noise else shortest


def on_step(amount: Decimal, step: Decimal) -> bool:
    """True if an amount is a multiple of `step`."""
    return not _CONTEXT.remainder(amount, step)


def quantise_amount(value: Decimal) -> tuple[Decimal, Decimal]:
    """Round to `AMOUNT_DIGITS`, half to even: (rounded, residual), which add up to `value`."""
    rounded = _nearest(Fraction.from_decimal(value), AMOUNT_DIGITS)
    return rounded, _CONTEXT.subtract(value, rounded)


def quantise_ratio(value: Fraction) -> tuple[Decimal, Decimal]:
    """Round a ratio to `AMOUNT_DIGITS`, half to even: (rounded, residual).

    They add up to `value` stated with `RATIO_DIGITS`. Both roundings start from the ratio itself,
    so that a tie is a tie.
    """
    rounded = _nearest(value, AMOUNT_DIGITS)
    return rounded, _CONTEXT.subtract(_nearest(value, RATIO_DIGITS), rounded)


def quantise_if_endless(value: Fraction) -> tuple[Decimal, Decimal]:
    """(value, 0) where a ratio ends within `RATIO_DIGITS`, else as `quantise_ratio`."""
    if 10**RATIO_DIGITS % value.denominator == 0:
        return _nearest(value, RATIO_DIGITS), Decimal(0)
    return quantise_ratio(value)


def quantise_view(value: Fraction) -> Decimal:
    """Round what is shown and never posted (equity, unrealised profit) to `RATIO_DIGITS`."""
    return _nearest(value, RATIO_DIGITS)


def bound_cost(cost: Fraction) -> Fraction:
    """The cost of an open lot, with a denominator of at most `COST_DENOMINATOR_MAX`."""
    if cost.denominator <= COST_DENOMINATOR_MAX:
        return cost
    return Fraction(round(cost * COST_DENOMINATOR_MAX), COST_DENOMINATOR_MAX)


def text(amount: Decimal) -> str:
    """The one spelling of an amount: no exponent, no trailing zeros, no minus before a zero.

    Examples
    --------
    >>> text(Decimal("1.50E+2")), text(Decimal("-0.00"))
    ('150', '0')
    """
    return format(amount.normalize(_CONTEXT), "f") if amount else "0"


def _nearest(value: Fraction, digits: int) -> Decimal:
    # in integers: round(Fraction) gives the same in five times the time
    whole, rest = divmod(value.numerator * 10**digits, value.denominator)
    above = 2 * rest - value.denominator
    if above > 0 or (above == 0 and whole % 2):
        whole += 1
    return Decimal(whole).scaleb(-digits, _CONTEXT)
