"""SpotFibonacciEngine: join the trend at its 61.8 % retracement, leave at an extension."""

import math

from operators.arrays import kernel
from operators.fibonacci.levels import closeness, extension, retracement
from schemas.reasons import Reason

OK = int(Reason.OK)
NO_SWING = int(Reason.SPOT_NO_SWING)
OUT_OF_ZONE = int(Reason.SPOT_OUT_OF_ZONE)
GOLDEN = 0.618


@kernel
def spot_signal(
    mid: float, atr: float, pivot_before_px: float, pivot_px: float, zone_atr: float
) -> tuple[int, int, float, float]:
    """Continuation of the last leg from its 61.8 % retracement; returns as `binary_signal` does."""
    leg = pivot_px - pivot_before_px
    if math.isnan(leg) or leg == 0.0:
        return NO_SWING, 0, math.nan, 0.0
    level = retracement(pivot_before_px, pivot_px, GOLDEN)
    near = closeness(mid, level, zone_atr * atr)
    if near <= 0.0:
        return OUT_OF_ZONE, 0, level, 0.0
    return OK, (1 if leg > 0.0 else -1), level, near


@kernel
def rotate_target(pivot_before_px: float, pivot_px: float, trend_strength: float) -> float:
    """SpotTPRotator: the stronger the trend, the further the extension that takes the profit.

    A straight line scores 3.45, so 1.618 asks for half of it and 2.618 for nearly all.
    """
    if trend_strength < 1.7:
        return extension(pivot_before_px, pivot_px, 1.272)
    if trend_strength < 3.2:
        return extension(pivot_before_px, pivot_px, 1.618)
    return extension(pivot_before_px, pivot_px, 2.618)
