"""Stop clusters: where the stops behind the last swings lie closest together.

Stops rest just beyond swing extremes, and more of them beyond round numbers. So each swing that the
price has not taken is a kernel of the density of stops, heavier near a round number; the strongest
place beyond the price is shown. Whether it is more than chance says a bound that needs no random
numbers: were the m swings remembered spread evenly over the range of them all, then as many would
lie within a bandwidth of one of them with a probability of at most m times a binomial tail.

Source: Osler (2003), Currency Orders and Exchange Rate Dynamics, Journal of Finance 58 (round
numbers); Osler (2005), Stop-Loss Orders and Price Cascades in Currency Markets.
"""

import math

import numpy as np

from operators.arrays import kernel
from operators.features.structure.candles import DOWN, UP
from operators.records import Record, Records

SWINGS = 32  # remembered on each side: some eight hours of minute bars
BANDWIDTH_ATR = 0.25
REACH = 3.0  # bandwidths; a Gaussian kernel is 0.01 there
ROUND_WEIGHT = 0.5  # what a round number adds to a swing that is on it; chosen, not measured

STOPS = {  # the last swings of one side
    "n": "<i8",  # ever
    "px": f"{SWINGS}<f8",
    "taken": f"{SWINGS}<i8",  # 1: the price has since been more than a bandwidth beyond
}


@kernel
def add_swing(stops: Record, px: float) -> None:
    """Remember a swing, in place of the oldest where there are 32."""
    at = stops.n % SWINGS
    stops.px[at], stops.taken[at] = px, 0
    stops.n += 1


@kernel
def take_stops(stops: Record, high: float, bandwidth: float) -> None:
    """A bar went so high: the stops behind the swings below it are gone."""
    for j in range(min(stops.n, SWINGS)):
        if stops.px[j] < high - bandwidth:
            stops.taken[j] = 1


@kernel
def swing_range(both: Records) -> float:
    """Between the outermost of all swings remembered, of either side; 0 where there is none."""
    up, down = both[UP], both[DOWN]
    low, high = np.inf, -np.inf
    for j in range(min(up.n, SWINGS)):
        low, high = min(low, up.px[j]), max(high, up.px[j])
    for j in range(min(down.n, SWINGS)):
        low, high = min(low, -down.px[j]), max(high, -down.px[j])
    return max(high - low, 0.0)


@kernel
def round_step(px: float) -> float:
    """Between round numbers: those of three digits, 0.01 at 1.38, 1 at 150, 100 at 61,000."""
    size, step = math.fabs(px), 1.0
    while size >= 1000.0:
        size, step = size / 10.0, step * 10.0
    while 0.0 < size < 100.0:
        size, step = size * 10.0, step / 10.0
    return step


@kernel
def chance_of(m: int, together: int, share: float) -> float:
    """Bound on the probability that `together` of m places lie within a bandwidth of one of them.

    `share` is the probability that another one does.
    """
    if share >= 1.0:
        return 1.0
    term, tail = 1.0, 0.0  # probability that exactly j others do, that together - 1 or more do
    for _ in range(m - 1):
        term *= 1.0 - share
    for j in range(m):
        if j >= together - 1:
            tail += term
        term *= (m - 1 - j) / (j + 1.0) * share / (1.0 - share)
    return min(m * tail, 1.0)


@kernel
def find_cluster(
    stops: Record, close: float, bandwidth: float, swings_range: float
) -> tuple[float, float, float]:
    """Price, strength and chance of the strongest place above the close; NaN without a swing there.

    The strength is the number of swings, weighed by distance and round numbers: 1 is a lone swing
    far from them.
    """
    best, best_px, most, m = np.nan, np.nan, 0, min(stops.n, SWINGS)
    if not bandwidth > 0.0:
        return best_px, best, np.nan
    for i in range(m):
        px = stops.px[i]
        if stops.taken[i] or px <= close:
            continue
        together, total, moment = 0, 0.0, 0.0
        for j in range(m):
            off = stops.px[j] - px
            if stops.taken[j] == 0 and math.fabs(off) <= REACH * bandwidth:
                weight = _kernel(off / bandwidth) * _weight(stops.px[j], bandwidth)
                together += math.fabs(off) <= bandwidth
                total += weight
                moment += weight * off
        if not total <= best:
            best, best_px, most = total, px + moment / total, together
    if most == 0:
        return best_px, best, np.nan
    narrow = 2.0 * bandwidth < swings_range
    return best_px, best, chance_of(m, most, 2.0 * bandwidth / swings_range if narrow else 1.0)


@kernel
def _kernel(u: float) -> float:
    return math.exp(-0.5 * u * u)


@kernel
def _weight(px: float, bandwidth: float) -> float:
    step = round_step(px)
    off = px - math.floor(px / step + 0.5) * step
    return 1.0 + ROUND_WEIGHT * _kernel(off / bandwidth)
