"""What was planted, and what only looks like it: one row each, in log time."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from schemas.rows import F8, I1, I2, I4, I8, U1, empty, take


class Plant(IntEnum):
    """What a label is about."""

    ICEBERG = 1
    SPOOF = 2
    LAYERING = 3  # one label per order; those of one scheme share `group`
    ABSORPTION = 4
    STOP_RUN = 5
    FLASH_CRASH = 6
    FEED_DROP = 7  # a message that never came
    FEED_DUPLICATE = 8  # a message that came twice
    FEED_REORDER = 9  # a message that came after the next one
    REFILL = 10  # decoys from here on: an ordinary refill
    CANCEL = 11  # an ordinary cancel
    FLICKER = 12  # a market maker that comes and goes
    TREND = 13  # regimes: side is the direction
    VOLATILE = 14


DECOYS = (Plant.REFILL, Plant.CANCEL, Plant.FLICKER)


class LabelRows(NamedTuple):
    """One row per planted event, decoy and regime, sorted by `onset_ns`. NaN: does not apply."""

    kind: U1  # Plant
    decoy: U1  # 1: not to be found
    group: I4
    lane: I2
    symbol: I4
    source: I2  # index into the feed's names
    side: I1  # Side: of the resting order; of the move (STOP_RUN, FLASH_CRASH, TREND); else 0
    price: F8
    onset_ns: I8  # receive time of the first row that shows it
    end_ns: I8  # of the last one
    venue_seq: I8  # of a faulted message, -1 otherwise or where the venue gives none
    qty: F8  # shown at a time (ICEBERG, REFILL, FLICKER), else of the whole order
    hidden_ratio: F8  # hidden over shown, declared
    delay_ns: F8  # of a refill, declared; 0: the venue's own
    refills: F8  # that really happened
    filled: F8  # lots of it that were filled, as quantity
    size_ratio: F8  # over the median of the best five levels
    distance_ticks: F8  # from the best price of its side
    life_ns: F8  # declared
    volume_ratio: F8  # over the 95 % quantile of the signed volume of 3 s, declared
    residual: F8  # declared, standard deviations


def label_table(rows: LabelRows, venues: list[str], names: list[str]) -> pa.Table:
    """The labels as they are written: kinds, sides and venues in words. NaN becomes null."""
    columns: dict[str, pa.Array] = {
        "kind": pa.array([Plant(k).name.lower() for k in rows.kind]),
        "decoy": pa.array(rows.decoy == 1),
        "venue": pa.array([venues[s] for s in rows.source]),
        "name": pa.array([names[s] for s in rows.source]),
    }
    for name in LabelRows._fields:
        if name not in columns:
            columns[name] = pa.array(getattr(rows, name), from_pandas=True)
    return pa.table(columns)


def of_kinds(rows: LabelRows, *kinds: Plant) -> LabelRows:
    """The labels of some kinds."""
    return take(rows, np.isin(rows.kind, np.array(kinds)))


def blank_labels(n: int) -> LabelRows:
    """Labels without numbers."""
    rows = empty(LabelRows, n)
    rows.venue_seq[:] = -1
    return rows
