"""Breaks of structure: closes beyond the last swing, with the trend or against it.

One definition, close-based. The level is the last fractal swing high (upside down: low). A bar that
closes above it breaks it, once; the next break waits for the next swing. With an upward trend, or
none yet, that is a break of structure (BOS); with a downward trend a change of character (CHOCH).
The trend is upward from then on. A swing counts from the bar after the one that made it known. A
level is above all closes since, so one bar never breaks both sides.
"""

import numpy as np

from operators.arrays import kernel
from operators.features.structure.candles import SIGN
from operators.records import Record, Records, blank_records

NO_BREAK, BOS, CHOCH = 0, 1, 2

LEVEL = {  # the last swing
    "px": "<f8",  # NaN before the first
    "ns": "<i8",  # venue time at which the price was there
    "bar": "<i8",  # number of that bar
    "unbroken": "<i8",  # 1: no bar has closed beyond it
    "unpierced": "<i8",  # 1: no bar has been beyond it
}
STRUCTURE = {
    "bar": "<i8",  # number of the last closed bar
    "trend": "<i8",  # +1 up, -1 down, 0 before the first break
    "bos": "<i8",  # side of the last one, 0 before the first
    "bos_bar": "<i8",
    "choch": "<i8",
    "choch_bar": "<i8",
    "broken_px": "<f8",  # level of the last break
    "broken_ns": "<i8",  # when the price had made it
}


def blank_levels(instruments: int) -> Records:
    """No swing on either side."""
    levels = blank_records(LEVEL, 2 * instruments).reshape(instruments, 2)
    levels["px"] = np.nan
    return levels


def blank_structure(instruments: int) -> Records:
    """No bar and no trend."""
    structure = blank_records(STRUCTURE, instruments)
    structure["bar"] = -1
    return structure


@kernel
def set_level(level: Record, px: float, ns: int, bar: int) -> None:
    """The swing that has just become known."""
    level.px, level.ns, level.bar = px, ns, bar
    level.unbroken = level.unpierced = 1


@kernel
def judge(structure: Record, level: Record, side: int, close: float) -> int:
    """NO_BREAK, BOS or CHOCH of the bar that has just closed; it is remembered."""
    if level.unbroken == 0 or not close > level.px:
        return NO_BREAK
    sign = SIGN[side]
    level.unbroken = 0
    structure.broken_px, structure.broken_ns = sign * level.px, level.ns
    against = structure.trend == -sign
    structure.trend = sign
    if against:
        structure.choch, structure.choch_bar = sign, structure.bar
        return CHOCH
    structure.bos, structure.bos_bar = sign, structure.bar
    return BOS
