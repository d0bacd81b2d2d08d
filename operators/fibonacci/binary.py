"""BinaryFibonacciEngine: call or put when the price enters a retracement zone of the last leg."""

import math

from operators.arrays import kernel
from operators.fibonacci.levels import closeness, retracement
from schemas.reasons import Reason

OK = int(Reason.OK)
NO_SWING = int(Reason.BINARY_NO_SWING)
OUT_OF_ZONE = int(Reason.BINARY_OUT_OF_ZONE)


@kernel
def binary_signal(
    mid: float, atr: float, pivot_before_px: float, pivot_px: float, zone_atr: float
) -> tuple[int, int, float, float]:
    """Bounce off a retracement, in the direction of the leg.

    Parameters
    ----------
    mid, atr, pivot_before_px, pivot_px : float
        Quote units; the leg runs from `pivot_before_px` to `pivot_px`, both confirmed.
    zone_atr : float
        Half the width of a zone, in ATR.

    Returns
    -------
    reason, side : int
        Reason.OK with +1 (call) or -1 (put), else the gate that refused and 0.
    level_px : float
        The level nearest to `mid`; NaN without a swing.
    closeness : float
        0 at the edge of the zone, 1 on its level.
    """
    leg = pivot_px - pivot_before_px
    if math.isnan(leg) or leg == 0.0:
        return NO_SWING, 0, math.nan, 0.0
    best, nearest = 0.0, math.nan
    for ratio in (0.382, 0.5, 0.618, 0.786):  # shallower is still the leg, deeper is a reversal
        level = retracement(pivot_before_px, pivot_px, ratio)
        near = closeness(mid, level, zone_atr * atr)
        if near > best:
            best, nearest = near, level
    if best <= 0.0:
        return OUT_OF_ZONE, 0, math.nan, 0.0
    return OK, (1 if leg > 0.0 else -1), nearest, best
