"""Black's formula on a forward: value, delta, and the volatility that a price implies.

All undiscounted: `value` is in units of the strike at expiry, `deviation` is sigma sqrt(T). Source:
Black, Scholes (1973); Black (1976); Manaster, Koehler (1982) for where Newton's method starts.
"""

import math

import numpy as np

from operators.arrays import kernel

STEPS = 64  # of Newton's method, or halving where that leaves the bracket; 5 to 8 are usual
DEVIATION_MAX = 20.0  # 2,000 % a year
REST_MIN = 1e-9  # of the forward: less than this over the intrinsic value is rounding


@kernel
def normal(x: float) -> float:
    """The standard normal distribution function."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


@kernel
def value(forward: float, strike: float, deviation: float, is_call: bool) -> float:
    """Expected payoff of an option."""
    d1 = math.log(forward / strike) / deviation + 0.5 * deviation
    d2 = d1 - deviation
    if is_call:
        return forward * normal(d1) - strike * normal(d2)
    return strike * normal(-d2) - forward * normal(-d1)


@kernel
def delta(forward: float, strike: float, deviation: float, is_call: bool) -> float:
    """Change of the value per change of the forward: 0 to 1 for calls, -1 to 0 for puts."""
    d1 = math.log(forward / strike) / deviation + 0.5 * deviation
    return normal(d1) if is_call else -normal(-d1)


@kernel
def implied(forward: float, strike: float, price: float, is_call: bool) -> float:
    """The deviation at which an option is worth `price`, undiscounted.

    NaN where none is: less than a billionth of the forward above the intrinsic value, or at least
    what the option can pay.
    """
    inner = max(forward - strike, 0.0) if is_call else max(strike - forward, 0.0)
    rest = price - inner  # the value of the option of the same strike that is out of the money
    outer = min(forward, strike)
    if not REST_MIN * forward < rest < outer:
        return np.nan
    call = strike >= forward
    low, high = 0.0, DEVIATION_MAX
    skewed = math.fabs(math.log(forward / strike))
    found = math.sqrt(2.0 * skewed)  # from the inflection Newton's method never overshoots
    if skewed < 1e-3:
        found = rest / outer * math.sqrt(2.0 * math.pi)
    for _ in range(STEPS):
        if not low < found < high:
            found = 0.5 * (low + high)
        off = value(forward, strike, found, call) - rest
        if off > 0.0:
            high = found
        else:
            low = found
        d1 = math.log(forward / strike) / found + 0.5 * found
        slope = forward * math.exp(-0.5 * d1 * d1) / math.sqrt(2.0 * math.pi)
        step = off / slope if slope > 0.0 else np.inf
        found -= step
        if math.fabs(step) <= 1e-12 * found:
            break
    return found if low <= found <= high else 0.5 * (low + high)
