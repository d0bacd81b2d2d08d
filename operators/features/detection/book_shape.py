"""How differently the two sides of the book are filled, and whether that is unusual."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.detection.rows import detector_rows, mask
from operators.features.detection.wasserstein import wasserstein
from operators.features.flow.rows import (
    ASK_PX,
    ASK_QTY,
    BID_PX,
    BID_QTY,
    LEVELS,
    show,
    show_nothing,
)
from operators.features.signal import Signal, SignalInput
from schemas.instruments import InstrumentArrays
from schemas.rows import F8, I8, U1

DEPTH = 5  # levels a side
HALF_LIFE_NS = 60_000_000_000  # of the mean and deviation that the distance is compared with
WARM_NS = HALF_LIFE_NS
_TAU_NS = HALF_LIFE_NS / math.log(2.0)
_DISTANCE, _Z = 0, 1


class BookShapeState(NamedTuple):
    """One entry per instrument."""

    since_ns: I8  # venue time of the first distance; 0: none yet
    last_ns: I8  # venue time of the last one
    now: F8  # the distance since then, NaN: not known
    mean: F8  # time-weighted, fading
    square: F8  # mean of its square about the mean, fading
    weight: F8  # 0 to 1: how much of the half-life is behind both
    places: F8  # (instruments, 4, DEPTH) ticks from the best and sizes, for one comparison
    held: F8


class _Terms(NamedTuple):
    tick: F8
    excluded: U1


class BookShape(Signal[BookShapeState]):
    """Wasserstein distance between the depth profiles of bids and asks.

    Parameters
    ----------
    instruments : InstrumentArrays
    excluded : uint8, shape (instruments,), or None
        1 for instruments that are left out: all null.

    Notes
    -----
    In: SignalInput with at least five levels. Out: SignalBlock of book_wasserstein, ticks: the
    shares of a side's volume by distance from its best price, bids against asks, five levels each;
    0 for a symmetric book whatever its sizes, large where one side's volume stands further back.
    book_wasserstein_z: how many standard deviations that is above its mean of the messages before,
    both time-weighted with a half-life of 60 s of market time.
    Nulls: where one of the ten levels is not known or without size; z also until 60 s after the
    first distance, and while nothing has varied.
    Time: venue time. Chunks: any split gives the same bytes. State: 232 bytes per instrument.
    Errors: ValueError where rows have fewer levels, or `excluded` has another shape.
    Source: Tao, Day, Ling, Drapeau (2020), On Detecting Spoofing Strategies in High Frequency
    Trading, for watching the imbalance of several levels with this distance.
    """

    NAMES = ("book_wasserstein", "book_wasserstein_z")

    def __init__(self, instruments: InstrumentArrays, *, excluded: U1 | None = None) -> None:
        self._terms = _Terms(instruments.tick, mask(excluded, instruments.lane.size))

    def initial(self) -> BookShapeState:
        n = self._terms.tick.size
        zero, time = np.zeros(n), np.zeros(n, np.int64)
        return BookShapeState(
            time, time.copy(), np.full(n, np.nan), zero, zero.copy(), zero.copy(),
            np.zeros((n, 4, DEPTH)), np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: BookShapeState, rows: SignalInput, values: F8, columns: I8) -> None:
        detector_rows(rows, levels=DEPTH)
        _walk(state, self._terms, rows, values, columns)


@kernel
def _walk(
    memory: BookShapeState, terms: _Terms, rows: SignalInput, values: F8, columns: I8
) -> None:
    flow = rows.flow
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < terms.tick.size:
            show_nothing(values, i, columns)
            continue
        if flow.k[i] == k and flow.event[i] & LEVELS and not terms.excluded[k]:
            _weigh(memory, k, flow.ts_ns[i])
            distance = _distance(memory.places[k], flow.levels[i], terms.tick[k])
            held = memory.held[k]
            deviation = math.sqrt(memory.square[k])
            warm = memory.since_ns[k] != 0 and flow.ts_ns[i] - memory.since_ns[k] >= WARM_NS
            held[_DISTANCE] = distance
            held[_Z] = (
                (distance - memory.mean[k]) / deviation if warm and deviation > 0.0 else np.nan
            )
            if memory.since_ns[k] == 0 and not np.isnan(distance):
                memory.since_ns[k] = flow.ts_ns[i]
            memory.now[k], memory.last_ns[k] = distance, flow.ts_ns[i]
        show(values, i, columns, memory.held, k)


@kernel
def _weigh(memory: BookShapeState, k: int, ts_ns: int) -> None:
    """The distance so far has lasted until this time."""
    x = memory.now[k]
    if np.isnan(x) or ts_ns <= memory.last_ns[k]:
        return
    fade = math.exp((memory.last_ns[k] - ts_ns) / _TAU_NS)
    weight = fade * memory.weight[k] + (1.0 - fade)
    share = (1.0 - fade) / weight
    off = x - memory.mean[k]
    memory.mean[k] += share * off
    memory.square[k] = (1.0 - share) * (memory.square[k] + share * off * off)
    memory.weight[k] = weight


@kernel
def _distance(places: F8, book: F8, tick: float) -> float:
    """Of the two sides; NaN where a level is not known."""
    for level in range(DEPTH):
        places[0, level] = (book[BID_PX, 0] - book[BID_PX, level]) / tick
        places[1, level] = book[BID_QTY, level]
        places[2, level] = (book[ASK_PX, level] - book[ASK_PX, 0]) / tick
        places[3, level] = book[ASK_QTY, level]
        if np.isnan(places[0, level] + places[1, level] + places[2, level] + places[3, level]):
            return np.nan
    return wasserstein(places[0], places[1], places[2], places[3])
