"""Open zones below the price, from the furthest to the nearest; a touch closes them."""

from operators.arrays import kernel
from operators.records import Record

ZONES = 16  # open ones of a side; one more drops the furthest

ZONE_LIST = {"n": "<i8", "low": f"{ZONES}<f8", "high": f"{ZONES}<f8"}  # by rising high


@kernel
def open_zone(zones: Record, low: float, high: float) -> None:
    """Put a zone in its place; constant time where it is the nearest, as a new gap always is."""
    if zones.n == ZONES:
        if high <= zones.high[0]:
            return
        for j in range(1, ZONES):
            zones.low[j - 1], zones.high[j - 1] = zones.low[j], zones.high[j]
        zones.n -= 1
    at = zones.n
    while at > 0 and zones.high[at - 1] > high:
        zones.low[at], zones.high[at] = zones.low[at - 1], zones.high[at - 1]
        at -= 1
    zones.low[at], zones.high[at] = low, high
    zones.n += 1


@kernel
def touch(zones: Record, low: float) -> None:
    """Close every zone that a bar with this low has reached."""
    while zones.n > 0 and low <= zones.high[zones.n - 1]:
        zones.n -= 1
