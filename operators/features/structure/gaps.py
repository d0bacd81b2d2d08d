"""Fair value gaps: three bars of which the outer two leave a range untouched."""

from operators.arrays import kernel
from operators.records import Record

SIZE_ATR = 0.1  # a gap is at least this high

GAP = {
    "before_high": "<f8",  # of the bar before the middle one
    "middle_high": "<f8",
    "middle_rose": "<i8",
    "middle_ns": "<i8",  # its start
    "n": "<i8",  # bars so far
    "low": "<f8",  # the last gap
    "high": "<f8",
    "ns": "<i8",  # start of its middle bar
}


@kernel
def find_gap(gap: Record, bar: Record, atr: float) -> bool:
    """Take the next bar; True where its low lies above the high of the bar before the last.

    The middle bar must have risen, and the gap be a tenth of the ATR, this bar included.
    """
    found = bool(
        gap.n >= 2
        and gap.middle_rose
        and bar.low > gap.before_high
        and bar.low - gap.before_high >= SIZE_ATR * atr  # False where the ATR is not known
    )
    if found:
        gap.low, gap.high, gap.ns = gap.before_high, bar.low, gap.middle_ns
    gap.before_high, gap.middle_high = gap.middle_high, bar.high
    gap.middle_rose, gap.middle_ns = int(bar.close > bar.open), bar.start_ns
    gap.n += 1
    return found
