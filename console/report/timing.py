"""How long a run took: measured beside it, kept in its log, and never part of a digest."""

import json
from dataclasses import dataclass, field

import numpy as np

from flows.parcel import Parcel
from schemas.kinds import Kind
from schemas.rows import F8

PARCELS_MOST = 1 << 16  # measured batches that are kept; then every second one goes
SAMPLE_MOST = 2048  # latencies that a log keeps: 20 kB


@dataclass(frozen=True)
class Timing:
    """Wall time of the last stretch of a run; a run that was resumed has had others before."""

    wall_s: float
    ticks: int  # quotes and trades in that time
    latency_us: F8 = field(default_factory=lambda: np.empty(0))  # ascending sample, per decision

    @classmethod
    def from_json(cls, text: str) -> "Timing":
        found = json.loads(text)
        return cls(found["wall_s"], found["ticks"], np.array(found["latency_us"], np.float64))

    def to_json(self) -> str:
        latency = [round(float(x), 3) for x in self.latency_us]
        return json.dumps({"wall_s": self.wall_s, "ticks": self.ticks, "latency_us": latency})


class Stopwatch:
    """Counts ticks and times decisions from the batches that a run has finished.

    Memory: 16 bytes per batch kept, at most 65,536 batches.
    """

    def __init__(self) -> None:
        self.ticks = 0
        self._every, self._n = 1, 0  # every how many batches one is kept; batches so far
        self._seconds: list[float] = []
        self._decisions: list[int] = []

    def seen(self, parcel: Parcel, seconds: float) -> None:
        """Take a finished batch in; its decisions all waited for its end."""
        rows, decisions = parcel.market, parcel.decisions
        tape = rows.source >= 0
        self.ticks += int((tape & ((rows.kind == Kind.TRADE) | (rows.kind == Kind.QUOTE))).sum())
        n = 0 if decisions is None else int((decisions.kind == Kind.DECISION).sum())
        if n == 0:
            return
        if self._n % self._every == 0:
            self._seconds.append(seconds)
            self._decisions.append(n)
        self._n += 1
        if len(self._seconds) == PARCELS_MOST:
            self._seconds, self._decisions = self._seconds[::2], self._decisions[::2]
            self._every *= 2

    def timing(self, wall_s: float) -> Timing:
        """What was measured; equally spaced quantiles of the latency, the slowest included."""
        if not self._seconds:
            return Timing(wall_s, self.ticks)
        order = np.argsort(self._seconds)
        latency = 1e6 * np.array(self._seconds)[order]
        reached = np.cumsum(np.array(self._decisions)[order])
        size = min(SAMPLE_MOST, int(reached[-1]))
        wanted = np.ceil(reached[-1] * np.arange(1, size + 1) / size)
        return Timing(wall_s, self.ticks, latency[np.searchsorted(reached, wanted)])
