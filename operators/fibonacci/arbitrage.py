"""ArbitrageFibonacciTiming: the spread between two venues, and when it is worth both legs."""

import math

from operators.arrays import F8, kernel
from schemas.reasons import Reason

OK = int(Reason.OK)
WARMING_UP = int(Reason.ARB_WARMING_UP)
NOT_STRETCHED = int(Reason.ARB_NOT_STRETCHED)
EDGE_BELOW_COST = int(Reason.ARB_EDGE_BELOW_COST)
NOT_COMPRESSED = int(Reason.ARB_NOT_COMPRESSED)

GOLDEN = 0.618
FADE_MEAN = 1.0 - math.exp(-math.log(2.0) / 1024.0)  # half-life in ticks of the spread's mean
FADE_FAST = 1.0 - math.exp(-math.log(2.0) / 32.0)  # of its recent restlessness
FADE_SLOW = 1.0 - math.exp(-math.log(2.0) / 2048.0)  # of its usual restlessness
TICKS_MIN = 256.0
# columns of one pair's memory
N, LAST, MEAN, VARIANCE, FAST, SLOW = 0, 1, 2, 3, 4, 5
PAIR_COLUMNS = 6


@kernel
def fold_spread(pair: F8, log_spread: float) -> None:
    """Take one observation of ln(price here) - ln(price there) into a pair's memory, in place.

    `pair` is (6,): observations, last, exponential mean and variance (West 1979, with fading),
    and fast and slow exponential means of the absolute change. Until a mean has as many
    observations as it remembers, each counts the same, so the first one does not linger.
    """
    if pair[N] == 0.0:
        pair[MEAN] = log_spread
    else:
        change, equal = abs(log_spread - pair[LAST]), 1.0 / pair[N]
        pair[FAST] += max(equal, FADE_FAST) * (change - pair[FAST])
        pair[SLOW] += max(equal, FADE_SLOW) * (change - pair[SLOW])
        away, weight = log_spread - pair[MEAN], max(1.0 / (pair[N] + 1.0), FADE_MEAN)
        pair[MEAN] += weight * away
        pair[VARIANCE] = (1.0 - weight) * (pair[VARIANCE] + weight * away * away)
    pair[LAST] = log_spread
    pair[N] += 1.0


@kernel
def spread_signal(
    pair: F8, log_spread: float, cost: float, stretch_min: float
) -> tuple[int, int, float, float]:
    """Sell the dear venue and buy the cheap one when a quiet spread is stretched far enough.

    Parameters
    ----------
    pair : F8, (6,)
        Memory of `fold_spread`.
    log_spread : float
        ln(mid here) - ln(mid there), now.
    cost : float
        Both legs, in and out, as a fraction of notional: spreads and taker fees.
    stretch_min : float
        Distance from the mean, in standard deviations.

    Returns
    -------
    reason, side : int
        Side of the leg here: -1 where here is dear. The other leg is its opposite.
    mean : float
        The log spread at which the pair has converged.
    stretch : float
        Distance from the mean in standard deviations, unsigned.

    Notes
    -----
    Omni's timing asks for compression: the spread's recent restlessness below 61.8 % of its
    usual one, since a quiet spread that is stretched comes back, a restless one is repricing.
    """
    if pair[N] < TICKS_MIN:
        return WARMING_UP, 0, math.nan, 0.0
    away = log_spread - pair[MEAN]
    deviation = math.sqrt(pair[VARIANCE])
    stretch = abs(away) / deviation if deviation > 0.0 else 0.0
    if stretch < stretch_min:
        return NOT_STRETCHED, 0, pair[MEAN], stretch
    if abs(away) <= cost:
        return EDGE_BELOW_COST, 0, pair[MEAN], stretch
    if pair[FAST] > GOLDEN * pair[SLOW]:
        return NOT_COMPRESSED, 0, pair[MEAN], stretch
    return OK, (-1 if away > 0.0 else 1), pair[MEAN], stretch
