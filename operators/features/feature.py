"""What the registry says of one feature, and what its operator must be told to compute it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from operators.features.signal import Signal
from schemas.instruments import InstrumentArrays, InstrumentTable
from schemas.rows import F8, I1, I8


class Happenings(NamedTuple):
    """Scheduled events of the world, sorted by time; known before the run begins."""

    ts_ns: I8  # UTC
    weight: I1  # 1 low, 2 medium, 3 high importance


class Terms(NamedTuple):
    """What operators must know beforehand."""

    table: InstrumentTable
    instruments: InstrumentArrays  # the same as numbers
    daily_qty: F8  # (instruments,) what usually trades in a day, instrument's units; NaN: not known
    happenings: Happenings


Make = Callable[[Terms], Signal[Any]]


@dataclass(frozen=True)
class Feature:
    """One column."""

    name: str
    operator: Make  # features with the same one are computed together
    inputs: tuple[str, ...]  # what rows it reads, in words: "trades", "best quote", "funding", ...
    unit: str
    warm_up_ns: int  # market time that must pass at least; 0 where other things decide
    warm_up: str  # the whole of it, in words
    null: str  # when it is null once warm
    source: str
