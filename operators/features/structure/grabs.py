"""Liquidity grabs: a bar goes beyond the last swing, and one of the next closes back within it.

A swing high is pierced by the first bar whose high is above it; the grab is that bar or one of the
three after it, the first to close below. What has not come back by then is no grab. Whether a bar
closed beyond in between does not matter: a break that fails at once is a grab too. A newer swing
that is pierced meanwhile takes the place of the older: it lies further out.
"""

from operators.arrays import kernel
from operators.records import Record

WITHIN = 3  # bars after the piercing one

GRAB = {
    "waits": "<i8",  # 1: pierced, and not back yet
    "bar": "<i8",  # number of the piercing bar
    "px": "<f8",  # the swing
    "ns": "<i8",  # when the price had made it
    "extreme": "<f8",  # furthest price beyond it
}


@kernel
def find_grab(grab: Record, level: Record, bar: Record, number: int) -> bool:
    """Take the next bar; True where it closes back."""
    if level.unpierced and bar.high > level.px:
        level.unpierced, grab.waits = 0, 1
        grab.bar, grab.px, grab.ns, grab.extreme = number, level.px, level.ns, bar.high
    if grab.waits == 0:
        return False
    grab.extreme = max(grab.extreme, bar.high)
    back = bool(bar.close < grab.px)
    if back or number - grab.bar >= WITHIN:
        grab.waits = 0
    return back
