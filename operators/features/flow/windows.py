"""Sums over the last seconds of market time, in slots: bounded whatever the rate of events."""

from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from schemas.rows import F8, I8

SLOT_NS = 250_000_000  # the window moves by this much
SLOTS = 40
WINDOW_NS = SLOTS * SLOT_NS  # 10 s: the present slot and the 39 before it
NEVER = np.iinfo(np.int64).max  # `since` of what is not known


class Windows(NamedTuple):
    """Per instrument a few sums over one window."""

    slots: F8  # (instruments, sums, SLOTS), slot t at t % SLOTS
    newest: I8  # (instruments,) number of the newest slot
    total: F8  # (instruments, sums)


def blank_windows(instruments: int, sums: int) -> Windows:
    """Empty windows."""
    return Windows(
        np.zeros((instruments, sums, SLOTS)), np.zeros(instruments, np.int64),
        np.zeros((instruments, sums)),
    )  # fmt: skip


@kernel
def roll(windows: Windows, k: int, ts_ns: int) -> None:
    """Let the window of instrument `k` end at this time; slots that fall out count no more."""
    slot = ts_ns // SLOT_NS
    gone = slot - windows.newest[k]
    if gone <= 0:
        return
    windows.newest[k] = slot
    for c in range(windows.total.shape[1]):
        for back in range(min(gone, SLOTS)):
            windows.slots[k, c, (slot - back) % SLOTS] = 0.0
        total = 0.0  # counted anew, so that no rounding is carried along
        for j in range(SLOTS):
            total += windows.slots[k, c, j]
        windows.total[k, c] = total


@kernel
def add(windows: Windows, k: int, c: int, amount: float) -> None:
    """Add to the newest slot of sum `c`."""
    windows.slots[k, c, windows.newest[k] % SLOTS] += amount
    windows.total[k, c] += amount
