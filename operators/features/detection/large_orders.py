"""Large orders that are watched, and layering: several of one side that leave together."""

import numpy as np

from operators.arrays import kernel
from operators.features.detection.found import AlarmKind, Found, tell
from operators.features.detection.thresholds import SpoofThresholds
from operators.records import Record, Records

ORDERS = 32  # that are watched at once, per instrument
FREE, LIVE, GONE, WAITS, DONE = 0, 1, 2, 3, 4  # see `state`

_LAYERING = int(AlarmKind.LAYERING)

ORDER_FIELDS = {
    "state": "<i8",  # FREE; LIVE; GONE: left, a late trade may tell; WAITS: cancelled, for a
    # trade on the other side; DONE: cancelled, remembered for layers and episodes
    "key": "<i8",  # of its price in the memory of levels
    "at": "<i8",
    "side": "<i8",  # +1 bids, -1 asks
    "price": "<f8",
    "before": "<f8",  # what the level showed before it
    "qty": "<f8",
    "ratio": "<f8",  # over the median of that time
    "distance": "<f8",  # ticks from the best price of its side, then
    "since_ns": "<i8",  # venue time of its placement
    "onset_ns": "<i8",  # our clock then
    "gone_ns": "<i8",  # venue time of its leaving
    "filled": "<f8",  # traded at its price since
    "other": "<f8",  # volume that had been traded on the other side when it came
    "score": "<f8",
    "benefit": "<i8",  # 1: a trade on the other side came in time
    "told": "<i8",  # 1: an alarm SPOOF is out for it
    "layered": "<i8",  # 1: it belongs to a layering that is told
}


@kernel
def layers(orders: Records, limits: SpoofThresholds, k: int, one: Record) -> int:
    """At how many prices of its side large orders have left around the time that this one did."""
    n = 0
    for j in range(k * ORDERS, (k + 1) * ORDERS):
        other = orders[j]
        left = other.state == GONE or other.state == WAITS or other.state == DONE
        if left and other.side == one.side and abs(other.gone_ns - one.gone_ns) <= limits.layer_ns:
            n += 1
            for before in range(k * ORDERS, j):
                same = orders[before]
                if same.state != FREE and same.state != LIVE and same.key == other.key:
                    n -= 1
                    break
    return n


@kernel
def is_layer(orders: Records, k: int, place: int, side: int, from_ns: int) -> bool:
    """Whether an order was cancelled since then, and is the first of its price to count."""
    one = orders[place]
    if one.state != DONE or one.side != side or one.gone_ns < from_ns:
        return False
    for j in range(k * ORDERS, place):
        other = orders[j]
        if other.state == DONE and other.key == one.key and other.gone_ns >= from_ns:
            return False
    return True


@kernel
def tell_layers(
    orders: Records, limits: SpoofThresholds, k: int, side: int, i: int, found: Found
) -> None:
    """An order of this side was cancelled: are there enough of them for layering?"""
    first, stop, newest_ns = k * ORDERS, (k + 1) * ORDERS, 0
    for j in range(first, stop):
        one = orders[j]
        if one.state == DONE and one.side == side:
            newest_ns = max(newest_ns, one.gone_ns)
    from_ns, n, benefit, known = newest_ns - limits.layer_ns, 0, False, False
    price, size, total, onset_ns = np.nan, 0.0, 0.0, 0
    for j in range(first, stop):
        if not is_layer(orders, k, j, side, from_ns):
            continue
        one = orders[j]
        n, size, total = n + 1, size + one.qty, total + one.score
        benefit, known = benefit or one.benefit != 0, known or one.layered != 0
        if n == 1 or side * (one.price - price) > 0.0:
            price = one.price
        onset_ns = one.onset_ns if n == 1 else min(onset_ns, one.onset_ns)
    if n < limits.layers_min or not benefit:
        return
    for j in range(first, stop):
        one = orders[j]
        if one.state == DONE and one.side == side and one.gone_ns >= from_ns:
            one.layered = 1
    if not known:
        tell(found, i, _LAYERING, side, price, size, total / n, onset_ns)
