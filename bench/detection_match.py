"""Alarms against labels: who found what, each once."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from operators.features.detection.alarms import AlarmKind, AlarmRows
from schemas.rows import F8, I1, I4, I8, take
from venues.lob import LabelRows, Plant
from venues.lob.labels import of_kinds

_S_NS = 1_000_000_000
# How long after its end an event may still be told: what the detector must wait for by its
# definition (windows of 3 s; a spoof's fill opposite up to 5 s after it came).
LATE_NS = {
    AlarmKind.ICEBERG: 1 * _S_NS, AlarmKind.SPOOF: 5 * _S_NS, AlarmKind.LAYERING: 5 * _S_NS,
    AlarmKind.ABSORPTION: 3 * _S_NS,
}  # fmt: skip
_ALARMS = {  # a scheme of layers is a spoof too, and either alarm may say so
    AlarmKind.SPOOF: (AlarmKind.SPOOF, AlarmKind.LAYERING)
}
_LABELS = {
    AlarmKind.ICEBERG: (Plant.ICEBERG,),
    AlarmKind.SPOOF: (Plant.SPOOF, Plant.LAYERING),
    AlarmKind.LAYERING: (Plant.LAYERING,),
    AlarmKind.ABSORPTION: (Plant.ABSORPTION,),
}
_RESAMPLES = 2_000


class Targets(NamedTuple):
    """What is to be found: one row per event; the orders of one scheme are one event."""

    symbol: I4
    side: I1
    low_px: F8  # the range of its prices
    high_px: F8
    onset_ns: I8
    end_ns: I8


class Score(NamedTuple):
    """Of one kind on one market."""

    hit: I1  # (targets,) 1: an alarm belongs to it
    right: I1  # (alarms,) 1: it belongs to a target
    latency_ns: I8  # (hits,) from the onset to the alarm
    wrong_at: dict[str, int]  # what else was there where alarms were wrong


@dataclass(frozen=True)
class Interval:
    """A share with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def targets_of(labels: LabelRows, kind: AlarmKind) -> Targets:
    """The events that alarms of a kind are to find."""
    some = of_kinds(labels, *_LABELS[kind])
    _, first, scheme = np.unique(some.group, return_index=True, return_inverse=True)
    low, high = np.full(first.size, np.inf), np.full(first.size, -np.inf)
    end_ns = np.zeros(first.size, np.int64)
    np.minimum.at(low, scheme, some.price)
    np.maximum.at(high, scheme, some.price)
    np.maximum.at(end_ns, scheme, some.end_ns)
    return Targets(
        some.symbol[first], some.side[first], low, high, some.onset_ns[first], end_ns
    )  # fmt: skip


def score(alarms: AlarmRows, labels: LabelRows, kind: AlarmKind, tick: F8) -> Score:
    """Match alarms and events one to one, as many as possible.

    They may belong together if symbol and side are the same, the prices at most a tick apart, and
    the alarm's row came between the onset and `LATE_NS` after the end, in log time.
    """
    told = take(alarms, np.isin(alarms.kind, np.array(_ALARMS.get(kind, (kind,)))))
    targets = targets_of(labels, kind)
    fits = _fits(told, targets, LATE_NS[kind], tick)
    match = maximum_bipartite_matching(csr_matrix(fits), perm_type="column")
    right = (match >= 0).astype(np.int8)
    hit = np.zeros(targets.symbol.size, np.int8)
    hit[match[match >= 0]] = 1
    latency_ns = (told.ts_recv_ns - targets.onset_ns[match])[match >= 0] if match.size else match
    return Score(hit, right, latency_ns, _elsewhere(told, right, labels, kind, tick))


def _fits(told: AlarmRows, targets: Targets, late_ns: int, tick: F8) -> Any:
    """bool, shape (alarms, targets)."""
    step = 1.001 * tick[told.symbol][:, None]
    at_ns, price = told.ts_recv_ns[:, None], told.price[:, None]
    return (
        (told.symbol[:, None] == targets.symbol)
        & (told.side[:, None] == targets.side)
        & (price >= targets.low_px - step)
        & (price <= targets.high_px + step)
        & (at_ns >= targets.onset_ns)
        & (at_ns <= targets.end_ns + late_ns)
    )


def _elsewhere(
    told: AlarmRows, right: I1, labels: LabelRows, kind: AlarmKind, tick: F8
) -> dict[str, int]:
    """Wrong alarms by what was there: labels of other kinds, its own a second time, or nothing."""
    wrong = take(told, right == 0)
    left, found = np.ones(wrong.seq.size, np.bool_), {}
    for plant in [*_LABELS[kind], *(p for p in Plant if p not in _LABELS[kind])]:
        some = of_kinds(labels, plant)
        some = take(some, ~np.isnan(some.price))
        targets = Targets(
            some.symbol, some.side, some.price, some.price, some.onset_ns, some.end_ns
        )
        there = _fits(wrong, targets, LATE_NS[kind], tick).any(axis=1) & left
        if there.any():
            name = plant.name.lower()
            found[name + " again" * (plant in _LABELS[kind])] = int(there.sum())
        left &= ~there
    return found | ({"nothing": int(left.sum())} if left.any() else {})


def interval(outcomes: I1, seed: int = 1) -> Interval | None:
    """The mean of outcomes, resampled with replacement; None without any."""
    if outcomes.size == 0:
        return None
    random = np.random.default_rng(seed)
    means = random.binomial(outcomes.size, outcomes.mean(), _RESAMPLES) / outcomes.size
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(outcomes.mean()), float(low), float(high))
