"""A running quantile from five markers, without keeping what was seen."""

from operators.arrays import kernel
from schemas.rows import F8

MARKERS = 5
SIZE = 2 * MARKERS + 1  # of the memory: heights, positions, observations


@kernel
def observe(memory: F8, p: float, x: float) -> None:
    """Take one observation; `memory`, shape (SIZE,), starts as zeros.

    The P-square algorithm of Jain, Chlamtac (1985), which names its five markers.
    """
    height, place = memory[:MARKERS], memory[MARKERS : 2 * MARKERS]
    n = int(memory[2 * MARKERS])
    memory[2 * MARKERS] += 1.0
    if n < MARKERS:
        j = n  # sorted in
        while j > 0 and height[j - 1] > x:
            height[j] = height[j - 1]
            j -= 1
        height[j] = x
        place[n] = n + 1.0
        return
    height[0], height[4] = min(height[0], x), max(height[4], x)
    for j in range(1, MARKERS):
        if j == MARKERS - 1 or x < height[j]:
            place[j] += 1.0
    for j in range(1, MARKERS - 1):
        share = p / 2.0 if j == 1 else p if j == 2 else (1.0 + p) / 2.0
        off = 1.0 + n * share - place[j]
        if off >= 1.0 and place[j + 1] - place[j] > 1.0:
            _move(height, place, j, 1.0)
        elif off <= -1.0 and place[j - 1] - place[j] < -1.0:
            _move(height, place, j, -1.0)


@kernel
def quantile(memory: F8) -> float:
    """The quantile of what was observed; a rough one before ten observations or so."""
    return float(memory[MARKERS // 2])


@kernel
def _move(height: F8, place: F8, j: int, by: float) -> None:
    """Marker `j` goes one place up or down: on the parabola, or the line if that is not between."""
    above, below = place[j + 1] - place[j], place[j] - place[j - 1]
    up, down = (height[j + 1] - height[j]) / above, (height[j] - height[j - 1]) / below
    found = height[j] + by / (above + below) * ((below + by) * up + (above - by) * down)
    if not height[j - 1] < found < height[j + 1]:
        found = height[j] + (up if by > 0.0 else -down)
    height[j] = found
    place[j] += by
