"""All that structure remembers of its instruments, and what one row or one closed bar changes."""

import math
from typing import NamedTuple

from operators.arrays import inlined, kernel
from operators.features.atr import Atr, AtrState, add_bar, atr_now
from operators.features.structure import candles
from operators.features.structure.blocks import BLOCK, find_block, note_fall
from operators.features.structure.breaks import (
    BOS,
    NO_BREAK,
    blank_levels,
    blank_structure,
    judge,
    set_level,
)
from operators.features.structure.candles import NONE_OPEN, SEEN, blank_candles, look
from operators.features.structure.clusters import BANDWIDTH_ATR, STOPS, add_swing, take_stops
from operators.features.structure.fractals import AROUND, FRACTAL, add_high
from operators.features.structure.gaps import GAP, find_gap
from operators.features.structure.grabs import GRAB, find_grab
from operators.features.structure.zones import ZONE_LIST, open_zone, touch
from operators.features.swings import Swings, SwingsState, follow
from operators.records import Records, blank_records

# What has become known with a row: bits. Those of sides are shifted by UP or DOWN.
BAR_CLOSED, PIVOT = 1, 2
SWING, BREAK, CHANGE, GAP_FOUND, BLOCK_FOUND, GRABBED = 4, 16, 64, 256, 1024, 4096


class StructureMemory(NamedTuple):
    """Per instrument, or per instrument and side (UP, DOWN): prices there are times SIGN."""

    bar: Records  # (instruments,) the open one
    seen: Records  # (instruments, 2) the last closed one
    atr: AtrState
    zigzag: SwingsState
    structure: Records  # (instruments,)
    fractal: Records  # (instruments, 2)
    level: Records  # (instruments, 2)
    gap: Records  # (instruments, 2)
    gaps: Records  # (instruments, 2) open gaps below the price
    block: Records  # (instruments, 2)
    blocks: Records  # (instruments, 2) open order blocks below the price
    grab: Records  # (instruments, 2)
    stops: Records  # (instruments, 2) above the price


def blank_memory(instruments: int) -> StructureMemory:
    """Nothing seen yet."""

    def both(fields: dict[str, str]) -> Records:
        return blank_records(fields, 2 * instruments).reshape(instruments, 2)

    return StructureMemory(
        bar=blank_candles(instruments), seen=both(SEEN), atr=Atr(instruments).initial(),
        zigzag=Swings(instruments).initial(), structure=blank_structure(instruments),
        fractal=both(FRACTAL), level=blank_levels(instruments), gap=both(GAP),
        gaps=both(ZONE_LIST), block=both(BLOCK), blocks=both(ZONE_LIST), grab=both(GRAB),
        stops=both(STOPS),
    )  # fmt: skip


@inlined
def advance(
    m: StructureMemory, bar_ns: int, k: int, ts_ns: int, event: int, mid: float, qty: float
) -> int:
    """Take a flow row of instrument `k`; the bits of what has become known with it."""
    known, bar = 0, m.bar[k]
    if ts_ns >= bar.end_ns:
        known = close_bar(m, k)
    if candles.tick(bar, bar_ns, ts_ns, event, mid, qty) and follow(
        m.zigzag, k, ts_ns, mid, atr_now(m.atr, k)
    ):
        known |= PIVOT
    return known


@kernel
def close_bar(m: StructureMemory, k: int) -> int:
    """The open bar is over; bits as of `advance`.

    What the bar touches, takes, pierces and breaks was known before it; then it adds its own.
    """
    bar, known = m.bar[k], BAR_CLOSED
    look(bar, m.seen[k, candles.UP], m.seen[k, candles.DOWN])
    add_bar(m.atr, k, bar.high, bar.low, bar.close)
    bar.end_ns = NONE_OPEN
    m.structure[k].bar += 1
    atr = atr_now(m.atr, k)
    for side in range(2):
        known |= _old(m, k, side, atr) << side
    for side in range(2):
        known |= _new(m, k, side, atr) << side
    return known


@kernel
def _old(m: StructureMemory, k: int, side: int, atr: float) -> int:
    """What the bar does to swings and zones that were known before it."""
    bar, level, number, known = m.seen[k, side], m.level[k, side], m.structure[k].bar, 0
    touch(m.gaps[k, side], bar.low)
    touch(m.blocks[k, side], bar.low)
    take_stops(m.stops[k, side], bar.high, 0.0 if math.isnan(atr) else BANDWIDTH_ATR * atr)
    if find_grab(m.grab[k, side], level, bar, number):
        known |= GRABBED
    broken = judge(m.structure[k], level, side, bar.close)
    if broken != NO_BREAK:
        known |= BREAK if broken == BOS else CHANGE
        block = m.block[k, side]
        if find_block(block, level, bar.close):
            known |= BLOCK_FOUND
            open_zone(m.blocks[k, side], block.low, block.high)
    return known


@kernel
def _new(m: StructureMemory, k: int, side: int, atr: float) -> int:
    """What the bar adds for those to come."""
    bar, gap, known = m.seen[k, side], m.gap[k, side], 0
    note_fall(m.block[k, side], bar, m.structure[k].bar)
    if find_gap(gap, bar, atr):
        known |= GAP_FOUND
        open_zone(m.gaps[k, side], gap.low, gap.high)
    queue = m.fractal[k, side]
    if add_high(queue, bar.high, bar.high_ns):
        known |= SWING
        px = queue.px[queue.first]
        set_level(m.level[k, side], px, queue.ns[queue.first], m.structure[k].bar - AROUND)
        add_swing(m.stops[k, side], px)
    return known
