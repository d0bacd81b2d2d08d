"""Fibonacci retracements and extensions of a swing leg, and zones around them."""

from operators.arrays import kernel

RETRACEMENTS = (0.236, 0.382, 0.5, 0.618, 0.786, 0.886)
EXTENSIONS = (1.272, 1.618, 2.618)


@kernel
def retracement(start_px: float, end_px: float, ratio: float) -> float:
    """Price after giving back `ratio` of the leg from `start_px` to `end_px`."""
    return end_px - ratio * (end_px - start_px)


@kernel
def extension(start_px: float, end_px: float, ratio: float) -> float:
    """Price at `ratio` times the leg, measured from its start."""
    return start_px + ratio * (end_px - start_px)


@kernel
def closeness(price: float, level_px: float, half_width: float) -> float:
    """1 at the level, 0 at the edge of its zone and outside: `level_px` plus or minus a width."""
    if half_width <= 0.0:
        return 0.0
    return max(0.0, 1.0 - abs(price - level_px) / half_width)
