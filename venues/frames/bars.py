"""A venue's bar as a row."""

from schemas.kinds import Kind
from venues.frames.fields import MS_NS, DefectError
from venues.frames.parsed import Event


def bar_event(
    symbol: int,
    *,
    open_ms: int,
    close_ms: int,
    prices: tuple[float, float, float, float],
    volume: float,
) -> Event:
    """A BAR row of open, high, low and close, stamped with its open time.

    Parameters
    ----------
    open_ms, close_ms : int
        First and last millisecond of the bar, both inside.

    Raises
    ------
    DefectError
        The bar ends before it begins, or a price lies outside of high and low.
    """
    first, high, low, last = prices
    if close_ms < open_ms:
        raise DefectError(f"the bar closes at {close_ms} ms, before it opens at {open_ms} ms")
    if not low <= min(first, last) <= max(first, last) <= high:
        raise DefectError(f"open {first} or close {last} is not within low {low} and high {high}")
    return Event(
        Kind.BAR, symbol, open_ms * MS_NS, price=last, qty=volume, open=first, high=high, low=low,
        ref=(close_ms - open_ms + 1) / 1000,
    )  # fmt: skip
