"""Fractal swings: a high above the bars around it, found in constant time per bar."""

from operators.arrays import kernel
from operators.records import Record

AROUND = (
    5  # bars on each side; 2 is a swing every few minutes, 5 one about every quarter of an hour
)
WIDTH = 2 * AROUND + 1

FRACTAL = {  # the highs of the last 11 bars that no later one exceeds, a queue from high to low
    "n": "<i8",  # bars so far
    "first": "<i8",  # place of the front
    "count": "<i8",
    "px": f"{WIDTH}<f8",
    "ns": f"{WIDTH}<i8",
    "bar": f"{WIDTH}<i8",
}


@kernel
def add_high(queue: Record, high: float, high_ns: int) -> bool:
    """Take the next bar; True where the one five before is now known as a swing.

    It then stands at the front. Above the five before it, not below the five after: of equal highs
    the first is the swing.
    """
    bar = queue.n
    queue.n += 1
    if queue.count > 0 and queue.bar[queue.first] <= bar - WIDTH:
        queue.first = (queue.first + 1) % WIDTH
        queue.count -= 1
    while queue.count > 0 and queue.px[(queue.first + queue.count - 1) % WIDTH] < high:
        queue.count -= 1
    at = (queue.first + queue.count) % WIDTH
    queue.px[at], queue.ns[at], queue.bar[at] = high, high_ns, bar
    queue.count += 1
    return bool(bar >= 2 * AROUND and queue.bar[queue.first] == bar - AROUND)
