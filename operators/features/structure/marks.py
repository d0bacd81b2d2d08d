"""Marks of market structure for pictures: one row for each thing, at the moment it is known."""

from enum import IntEnum
from typing import NamedTuple

from operators.arrays import ArrayOperator, kernel
from operators.features.signal import SignalInput
from operators.features.structure import memory
from operators.features.structure.candles import BAR_NS, SIGN, UP, bar_length
from operators.features.structure.memory import StructureMemory, advance, blank_memory
from operators.features.swings import DOWN as LEG_DOWN
from schemas.rows import F8, I1, I2, I4, I8, U1, concat, empty, take


class MarkKind(IntEnum):
    """What is marked."""

    SWING_HIGH = 1  # a fractal swing
    SWING_LOW = 2
    BOS = 3
    CHOCH = 4
    FVG = 5
    ORDER_BLOCK = 6
    GRAB = 7
    ZIGZAG = 8  # a pivot of the zigzag


class MarkRows(NamedTuple):
    """In the order in which things became known; nothing is ever taken back."""

    seq: I8  # of the market row that made it known
    lane: I2
    symbol: I4
    ts_event_ns: I8  # venue time at which it was known, never backwards per instrument
    kind: U1  # MarkKind
    side: I1  # +1: a high, a break upward, a zone below the price, a grab below a low; -1: mirrored
    price_low: F8  # quote units; a point or line has one price
    price_high: F8
    from_ns: I8  # venue time at which it began


_SWING = (int(MarkKind.SWING_HIGH), int(MarkKind.SWING_LOW))
_BOS, _CHOCH, _FVG = int(MarkKind.BOS), int(MarkKind.CHOCH), int(MarkKind.FVG)
_BLOCK, _GRAB, _ZIGZAG = int(MarkKind.ORDER_BLOCK), int(MarkKind.GRAB), int(MarkKind.ZIGZAG)
_ROW_MAX = 12  # more than one row can make known
_ROOM = 64  # marks of one pass; what has more goes on where it stopped


class Marks(ArrayOperator[StructureMemory]):
    """The happenings that `Structure` computes its features from, as rows.

    Parameters
    ----------
    n_instruments : int
        Rows of the instrument table; `k` counts them from 0.
    bar_ns : int, > 0
        Length of a bar, market time.

    Notes
    -----
    In: SignalInput. Out: MarkRows, as many as there are; one market row's come grabs first, then
    breaks with their order blocks, gaps, swings, and the zigzag.
    SWING_HIGH, SWING_LOW, ZIGZAG: price and time of the extreme. BOS, CHOCH: the broken swing's.
    FVG: the gap, from the start of its middle bar. ORDER_BLOCK: the bar's range and start. GRAB:
    from the swing to the furthest price beyond it, and the swing's time.
    Where a zone ends is not told: it is open until a bar reaches it.
    Time: venue time. Chunks: any split gives the same rows. State: 3.5 kB per instrument.
    Errors: ValueError if bar_ns is not positive.
    """

    def __init__(self, n_instruments: int, *, bar_ns: int = BAR_NS) -> None:
        self.n_instruments = n_instruments
        self.bar_ns = bar_length(bar_ns)

    def initial(self) -> StructureMemory:
        return blank_memory(self.n_instruments)

    def step(self, state: StructureMemory, rows: SignalInput) -> tuple[StructureMemory, MarkRows]:
        market, flow, parts, row = rows.market, rows.flow, [], 0
        while True:
            out = empty(MarkRows, _ROOM)
            row, made = _walk(
                state, self.bar_ns, row, market.seq, market.lane, market.symbol, rows.k, flow.k,
                flow.event, flow.ts_ns, flow.mid, flow.qty, out,
            )  # fmt: skip
            parts.append(take(out, slice(0, made)))
            if row == rows.k.size:
                return state, concat(parts)


@kernel
def _walk(
    m: StructureMemory, bar_ns: int, row: int, seq: I8, lane: I2, symbol: I4, rows_k: I4,
    flow_k: I4, event: U1, ts_ns: I8, mid: F8, qty: F8, out: MarkRows,
) -> tuple[int, int]:  # fmt: skip
    """From this row on, until all are done or `out` may not hold the next one's marks."""
    made = 0
    for i in range(row, rows_k.size):
        if made + _ROW_MAX > out.seq.size:
            return i, made
        k = rows_k[i]
        if not 0 <= k < m.bar.size or flow_k[i] != k:
            continue
        known = advance(m, bar_ns, k, ts_ns[i], event[i], mid[i], qty[i])
        if known & ~memory.BAR_CLOSED == 0:
            continue
        first = made
        made = _mark(m, k, known, out, made)
        for j in range(first, made):
            out.seq[j], out.lane[j], out.symbol[j] = seq[i], lane[i], symbol[i]
            out.ts_event_ns[j] = ts_ns[i]
    return rows_k.size, made


@kernel
def _mark(m: StructureMemory, k: int, known: int, out: MarkRows, made: int) -> int:
    """Rows of what has become known with one market row; how many there are then."""
    structure, zigzag = m.structure[k], m.zigzag
    for side in range(2):
        if known & (memory.GRABBED << side):
            grab = m.grab[k, side]
            _put(out, made, _GRAB, -SIGN[side], side, grab.px, grab.extreme, grab.ns)
            made += 1
    for side in range(2):
        broken_px, broken_ns = SIGN[side] * structure.broken_px, structure.broken_ns
        if known & (memory.BREAK << side):
            _put(out, made, _BOS, SIGN[side], side, broken_px, broken_px, broken_ns)
            made += 1
        if known & (memory.CHANGE << side):
            _put(out, made, _CHOCH, SIGN[side], side, broken_px, broken_px, broken_ns)
            made += 1
        if known & (memory.BLOCK_FOUND << side):
            block = m.block[k, side]
            _put(out, made, _BLOCK, SIGN[side], side, block.low, block.high, block.ns)
            made += 1
    for side in range(2):
        if known & (memory.GAP_FOUND << side):
            gap = m.gap[k, side]
            _put(out, made, _FVG, SIGN[side], side, gap.low, gap.high, gap.ns)
            made += 1
    for side in range(2):
        if known & (memory.SWING << side):
            level = m.level[k, side]
            _put(out, made, _SWING[side], SIGN[side], side, level.px, level.px, level.ns)
            made += 1
    if known & memory.PIVOT:
        sign = 1 if zigzag.leg[k] == LEG_DOWN else -1
        _put(out, made, _ZIGZAG, sign, UP, zigzag.pivot[k], zigzag.pivot[k], zigzag.pivot_ns[k])
        made += 1
    return made


@kernel
def _put(
    out: MarkRows, j: int, kind: int, sign: int, side: int, low: float, high: float, from_ns: int
) -> None:
    """Prices are as seen from the side."""
    out.kind[j], out.side[j], out.from_ns[j] = kind, sign, from_ns
    out.price_low[j] = low if side == UP else -high
    out.price_high[j] = high if side == UP else -low
