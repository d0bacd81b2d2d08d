"""How long rows of each venue took to us, and how far its clock is from ours, from the log."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from console.report.words import rough
from operators.market.clock import VenueClocks
from schemas.instruments import InstrumentTable
from schemas.kinds import Flag, Kind
from schemas.rows import I8, MarketRows, take

SHARES = {"p01": 0.01, "p50": 0.5, "p99": 0.99}
DIGITS = 3  # of a latency, in its distribution: a venue has at most 34,000 different ones
_POWERS = 10 ** np.arange(19, dtype=np.int64)
_TIMED = (Kind.TRADE, Kind.QUOTE, Kind.BOOK)


@dataclass(frozen=True)
class ClockStory:
    """One venue of a run.

    Attributes
    ----------
    rows : int
        Those whose venue time means something: ends of messages that are trades, quotes or changes
        of a book, and not stamped with the time of receipt for want of another.
    negative : int
        Of these, stamped by the venue later than by us.
    latency_ns : percentile -> ts_recv_ns - ts_event_ns
        To three digits; with "min" and "max", which are exact.
    offset_ns : int or None
        Our clock minus the venue's at the end, the fastest row counting as 1 ms on its way; None
        where the run was too short to tell. See `operators.market.clock`.
    drift_ppb : float or None
        By how much that grows, ns per second.
    """

    venue: str
    rows: int
    negative: int
    latency_ns: dict[str, int]
    offset_ns: int | None
    drift_ppb: float | None

    @property
    def is_assumed(self) -> bool:
        """Every row took the same: no receive times were recorded, and a latency was assumed."""
        return self.rows > 1 and self.latency_ns["min"] == self.latency_ns["max"]

    def report(self) -> dict[str, Any]:
        """JSON-safe; the keys of one entry of the report's `venue_clocks`."""
        return {
            "venue": self.venue,
            "rows": self.rows,
            "negative": self.negative,
            "assumed": self.is_assumed,
            "latency_ms": {name: ns / 1e6 for name, ns in self.latency_ns.items()},
            "offset_ms": None if self.offset_ns is None else self.offset_ns / 1e6,
            "drift_ppm": None if self.drift_ppb is None else self.drift_ppb / 1e3,
        }


@dataclass
class _Venue:
    taken_ns: Counter[int] = field(default_factory=Counter)  # latency to DIGITS: rows
    least_ns: int = np.iinfo(np.int64).max
    most_ns: int = np.iinfo(np.int64).min
    negative: int = 0
    offset_ns: int | None = None
    drift_ppb: float | None = None


class ClockStories:
    """Folds the rows of a run, in the order of our clock. Memory: 500 kB a venue at most."""

    def __init__(self, table: InstrumentTable) -> None:
        self._names = sorted({one.venue for one in table.instruments})
        index = {name: n for n, name in enumerate(self._names)}
        self._arrays = table.arrays()
        self._venue_of = np.array([index[one.venue] for one in table.instruments], np.int16)
        self._clocks = VenueClocks(np.arange(len(self._names)))
        self._state = self._clocks.initial()
        self._venues = [_Venue() for _ in self._names]

    def add(self, rows: MarketRows) -> None:
        used = np.isin(rows.kind, _TIMED) & (rows.flags & Flag.MSG_LAST != 0)
        used &= (rows.flags & Flag.SNAPSHOT == 0) & (rows.ts_event_ns != rows.ts_recv_ns)
        rows = take(rows, used)
        if not rows.seq.size:
            return
        venue = self._venue_of[self._arrays.base[rows.lane] + rows.symbol]
        latency_ns = rows.ts_recv_ns - rows.ts_event_ns
        for n in np.unique(venue).tolist():
            self._count(self._venues[n], latency_ns[venue == n])
        self._state, found = self._clocks.step(self._state, rows._replace(source=venue))
        columns = (found.clock.tolist(), found.offset_ns.tolist(), found.drift_ppb.tolist())
        for n, offset_ns, drift_ppb in zip(*columns, strict=True):
            one = self._venues[n]
            one.offset_ns, one.drift_ppb = offset_ns, None if np.isnan(drift_ppb) else drift_ppb

    def _count(self, one: _Venue, latency_ns: I8) -> None:
        values, counts = np.unique(_rounded(latency_ns), return_counts=True)
        one.taken_ns.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        one.least_ns = min(one.least_ns, int(latency_ns.min()))
        one.most_ns = max(one.most_ns, int(latency_ns.max()))
        one.negative += int(np.count_nonzero(latency_ns < 0))

    def stories(self) -> list[ClockStory]:
        """Venues with rows, by name."""
        return [
            ClockStory(
                name, one.taken_ns.total(), one.negative, _percentiles(one), one.offset_ns,
                one.drift_ppb,
            )
            for name, one in zip(self._names, self._venues, strict=True)
            if one.taken_ns
        ]  # fmt: skip


def ahead(stories: Sequence[ClockStory]) -> str | None:
    """One line about rows that came before they were sent; None if there were none."""
    found = [
        f"{story.negative:,} of {story.rows:,} of {story.venue} (by up to"
        f" {rough(-story.latency_ns['min'] / 1e6)} ms)"
        for story in stories
        if story.negative
    ]
    if not found:
        return None
    return f"Stamped by their venue later than they were received: {', '.join(found)}."


def _rounded(latency_ns: I8) -> I8:
    """To DIGITS digits, towards zero."""
    size = np.abs(latency_ns)
    spare = np.maximum(np.searchsorted(_POWERS, size, side="right") - DIGITS, 0)
    unit = _POWERS[spare]
    return np.asarray(np.sign(latency_ns) * (size // unit * unit), np.int64)


def _percentiles(one: _Venue) -> dict[str, int]:
    values = np.array(sorted(one.taken_ns), np.int64)
    behind = np.cumsum([one.taken_ns[value] for value in values.tolist()])
    places = {
        name: int(values[np.searchsorted(behind, share * behind[-1])])
        for name, share in SHARES.items()
    }
    return {"min": one.least_ns, **places, "max": one.most_ns}
