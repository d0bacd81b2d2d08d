"""Order blocks: the last bar against the move before the move broke the structure.

Of a break upward: the last bar before it that closed below its open, no earlier than the swing that
was broken; its whole range, if the breaking bar closed above it. A bar makes one block at most.
"""

from operators.arrays import kernel
from operators.records import Record

BLOCK = {
    "fell": "<i8",  # number of the last bar that fell, plus 1; 0 before the first
    "fell_low": "<f8",
    "fell_high": "<f8",
    "fell_ns": "<i8",  # its start
    "used": "<i8",  # `fell` of the last block
    "low": "<f8",  # the last block
    "high": "<f8",
    "ns": "<i8",
}


@kernel
def find_block(block: Record, level: Record, close: float) -> bool:
    """Whether the bar that broke this level, and closed there, leaves a block behind."""
    if block.fell <= max(block.used, level.bar) or close <= block.fell_high:
        return False
    block.used = block.fell
    block.low, block.high, block.ns = block.fell_low, block.fell_high, block.fell_ns
    return True


@kernel
def note_fall(block: Record, bar: Record, number: int) -> None:
    """After a bar's breaks are known: it is the last that fell, if it did."""
    if bar.close < bar.open:
        block.fell = number + 1
        block.fell_low, block.fell_high, block.fell_ns = bar.low, bar.high, bar.start_ns
