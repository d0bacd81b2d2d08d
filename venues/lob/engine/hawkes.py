"""Mutually exciting arrivals: exact times and types of events, by thinning.

What happened makes more happen: an event of type j raises the intensity of type i at once, or after
a lag where i belongs to another group, and the rise fades exponentially.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from operators.arrays import F8, I8, kernel

POOL = 65_536  # candidates drawn at a time: two numbers each, 1 MB


@dataclass(frozen=True, eq=False)
class HawkesTerms:
    """What drives the arrivals.

    Parameters
    ----------
    base_hz : float64, shape (segments, types)
        Intensity that nothing caused, in each segment of time.
    until_s : float64, shape (segments,), rising
        End of each segment, seconds from the start; the last is the end of all.
    branching : float64, shape (types, types)
        [i, j]: how many events of type i one of type j brings about in the mean.
    decay_hz : float, > 0
        How fast that fades: exp(-decay_hz * seconds).
    group : int64, shape (types,)
        Types of one group excite each other at once.
    lag_s : float64, shape (groups,), > 0
        After this a group notices events of the others.

    Raises
    ------
    ValueError
        If shapes differ, a number is negative, or the arrivals would grow without end: the
        branching ratio, the spectral radius of `branching`, must be below 1.
    """

    base_hz: F8
    until_s: F8
    branching: F8
    decay_hz: float
    group: I8
    lag_s: F8

    def __post_init__(self) -> None:
        segments, types = self.base_hz.shape
        if self.until_s.shape != (segments,) or self.branching.shape != (types, types):
            raise ValueError(
                f"{segments} segments of {types} types do not fit until_s {self.until_s.shape} and "
                f"branching {self.branching.shape}"
            )
        if self.group.shape != (types,) or self.group.max() >= self.lag_s.size:
            raise ValueError("every type needs a group, and every group its lag_s")
        if self.base_hz.min() < 0.0 or self.branching.min() < 0.0 or self.decay_hz <= 0.0:
            raise ValueError("base_hz and branching must not be negative, decay_hz above 0")
        if self.lag_s.min() <= 0.0 or (np.diff(self.until_s, prepend=0.0) <= 0.0).any():
            raise ValueError("lag_s must be above 0, until_s must rise from above 0")
        if self.branching_ratio >= 1.0:
            raise ValueError(f"branching ratio must be below 1, was {self.branching_ratio:.3f}")

    @property
    def branching_ratio(self) -> float:
        """Spectral radius of `branching`: the share of events that others brought about."""
        return float(np.abs(np.linalg.eigvals(self.branching)).max())

    def rates_hz(self, segment: int) -> F8:
        """Mean rate of each type in a segment that is long: (1 - branching)^-1 base."""
        rates: F8 = np.linalg.solve(
            np.eye(self.branching.shape[0]) - self.branching, self.base_hz[segment]
        )
        return rates


class Arrivals(NamedTuple):
    """Events in order of time."""

    at_s: F8  # seconds from the start, rising
    type: I8


class _Walk(NamedTuple):
    now_s: F8  # (1,)
    excess_hz: F8  # (types,) intensity above the base
    heads: I8  # (groups,) the next event that a group has not noticed
    at: I8  # (3,) events so far, candidates used of the pool, segment


def arrivals(terms: HawkesTerms, random: np.random.Generator) -> Arrivals:
    """Draw all events. The same terms and generator state give the same events.

    Source: Ogata (1981), On Lewis' Simulation Method for Point Processes.
    """
    segments, types = terms.base_hz.shape
    walk = _Walk(
        np.zeros(1), np.zeros(types), np.zeros(terms.lag_s.size, np.int64), np.zeros(3, np.int64)
    )
    lengths_s = np.diff(terms.until_s, prepend=0.0)
    expected = sum(float(terms.rates_hz(k).sum()) * lengths_s[k] for k in range(segments))
    at_s, kinds = np.empty(0), np.empty(0, np.int64)
    pool = np.empty((0, 2))
    while walk.at[2] < segments:
        if walk.at[0] == at_s.size:
            more = int(1.2 * expected) + 1_000 if not at_s.size else at_s.size
            at_s = np.concatenate([at_s, np.empty(more)])
            kinds = np.concatenate([kinds, np.empty(more, np.int64)])
        if walk.at[1] == pool.shape[0]:
            pool = np.stack([random.standard_exponential(POOL), random.random(POOL)], axis=1)
            walk.at[1] = 0
        _thin(
            walk, terms.base_hz, terms.until_s, terms.branching * terms.decay_hz, terms.decay_hz,
            terms.group, terms.lag_s, pool, at_s, kinds,
        )  # fmt: skip
    n = int(walk.at[0])
    return Arrivals(at_s[:n].copy(), kinds[:n].copy())


@kernel
def _thin(
    walk: _Walk, base_hz: F8, until_s: F8, jump_hz: F8, decay_hz: float, group: I8, lag_s: F8,
    pool: F8, at_s: F8, kinds: I8,
) -> None:  # fmt: skip
    """Goes on until the pool is used, the room for events is full, or the last segment ends."""
    n, used, segment = walk.at[0], walk.at[1], walk.at[2]
    excess, now = walk.excess_hz, walk.now_s[0]
    while n < at_s.size and used < pool.shape[0] and segment < until_s.size:
        total = 0.0
        for i in range(excess.size):
            total += base_hz[segment, i] + excess[i]
        noticed, edge = _next_noticed(walk.heads, group, lag_s, at_s, kinds, n)
        if edge >= until_s[segment]:
            noticed, edge = -1, until_s[segment]
        then = now + pool[used, 0] / total
        chosen = pool[used, 1] * total
        used += 1
        reached = min(then, edge)
        fade = math.exp(-decay_hz * (reached - now))
        for i in range(excess.size):
            excess[i] *= fade
        now = reached
        if then >= edge:  # what was drawn for later is drawn anew: waiting has no memory
            if noticed < 0:
                segment += 1
            else:
                _excite(excess, jump_hz, group, noticed, kinds[walk.heads[noticed]])
                walk.heads[noticed] += 1
            continue
        for i in range(excess.size):
            chosen -= base_hz[segment, i] + excess[i]
            if chosen < 0.0:
                at_s[n], kinds[n] = now, i
                n += 1
                _excite(excess, jump_hz, group, group[i], i)
                break
    walk.at[0], walk.at[1], walk.at[2], walk.now_s[0] = n, used, segment, now


@kernel
def _next_noticed(
    heads: I8, group: I8, lag_s: F8, at_s: F8, kinds: I8, n: int
) -> tuple[int, float]:
    """The group that is the next to notice an event of another one, and when; -1: none."""
    found, when = -1, np.inf
    for g in range(heads.size):
        while heads[g] < n and group[kinds[heads[g]]] == g:
            heads[g] += 1
        if heads[g] < n and at_s[heads[g]] + lag_s[g] < when:
            found, when = g, at_s[heads[g]] + lag_s[g]
    return found, when


@kernel
def _excite(excess: F8, jump_hz: F8, group: I8, of: int, kind: int) -> None:
    for i in range(excess.size):
        if group[i] == of:
            excess[i] += jump_hz[i, kind]
