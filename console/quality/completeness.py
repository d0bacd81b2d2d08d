"""How much of each stream's time is covered by rows, minute by minute."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from console.quality.frames import Slice
from schemas.expectations import (
    COMPLETE_FOR_BACKTEST,
    COMPLETE_FOR_TRAINING,
    SESSION_BREAK_NS,
    STALE_NS,
)
from schemas.instruments import InstrumentTable
from schemas.kinds import Kind
from schemas.reasons import Reason
from schemas.rows import I4, I8, MarketRows, concat
from venues.venue_classes import venue_class

MINUTE_NS = 60_000_000_000
SECOND_NS = 1_000_000_000
CLOSING = {venue_class(venue) for venue in ("oanda", "cme", "US_NBBO")}  # FX, futures, equities
UNTIMED = frozenset({"quote_bars"})  # layouts whose rows do not say how long each stands
FIRST = 5  # minutes below that are told
Key = tuple[int, int, int]  # source, row of the instrument table, Kind
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Stream:
    """One symbol and kind of one source: its minutes, those outside of its sessions left out."""

    source: int
    instrument: int  # row of the instrument table
    kind: Kind
    minute_ns: I8  # begin, UTC
    session_ns: I8  # of each minute
    covered_ns: I8

    @property
    def completeness(self) -> float:
        """Of all its time; NaN for a single row, which spans none."""
        session_ns = int(self.session_ns.sum())
        return int(self.covered_ns.sum()) / session_ns if session_ns else float("nan")

    def below(self, share: float) -> I8:
        """Begins of the minutes that are less complete."""
        return self.minute_ns[self.covered_ns < share * self.session_ns]


@dataclass
class _Open:
    """A stream that is still being read."""

    last: tuple[int, bool, int] | None = None  # receive time, accepted, budget of its last row
    parts: list[tuple[I8, I8, I8]] = field(default_factory=list)


class Completeness:
    """Covered time of each (source, symbol, kind) by UTC minute, on the receive clock.

    Parameters
    ----------
    table : InstrumentTable
    layouts : sequence of str
        Of each source; see `UNTIMED`.
    refused : MarketRows or None
        Rows of the same feed that went to quarantine, where the feed does not have them.

    Notes
    -----
    An accepted row covers the time until the next row of its stream, at most STALE_NS, and a bar
    its own length. A refused row covers nothing. A session lasts from a stream's first to its last
    row; a silence of SESSION_BREAK_NS ends it for venues that close (FX, futures, equities). Kinds
    that are polled at a cadence nobody states (funding and open interest without an interval, quote
    bars) have no completeness.
    """

    def __init__(
        self, table: InstrumentTable, layouts: list[str], refused: MarketRows | None = None
    ) -> None:
        self._base = table.arrays().base
        self._count = table.arrays().n_of_lane
        self._closes = [venue_class(each.venue) in CLOSING for each in table.instruments]
        self._untimed = np.array([layout in UNTIMED for layout in layouts])
        self._refused = refused
        self._seen_ns = np.iinfo(np.int64).min
        self._streams: dict[Key, _Open] = defaultdict(_Open)

    def add(self, part: Slice) -> None:
        """Take in the next rows of the feed."""
        rows, accepted = part.rows, part.reason == Reason.OK
        if self._refused is not None and rows.seq.size:
            now_ns = int(rows.ts_recv_ns.max())
            at = self._refused.ts_recv_ns
            missed = MarketRows._make(
                column[(at > self._seen_ns) & (at <= now_ns)] for column in self._refused
            )
            self._seen_ns = now_ns
            order = np.argsort(np.concatenate([rows.ts_recv_ns, missed.ts_recv_ns]), kind="stable")
            accepted = np.concatenate([accepted, np.zeros(missed.seq.size, bool)])[order]
            rows = MarketRows._make(column[order] for column in concat([rows, missed]))
        for key, index in self._split(rows):
            budget_ns = _budget_ns(rows, index, key[2])
            self._extend(key, rows.ts_recv_ns[index], accepted[index], budget_ns)

    def streams(self) -> list[Stream]:
        """Every stream with a known cadence, by source, instrument and kind."""
        return [
            Stream(source, at, Kind(kind), *_summed(self._streams[source, at, kind].parts))
            for source, at, kind in sorted(self._streams)
        ]

    def _split(self, rows: MarketRows) -> Iterator[tuple[Key, I8]]:
        """Rows of each stream, in order."""
        at = _instrument(rows, self._base, self._count)
        polled = np.isin(rows.kind, [Kind.FUNDING, Kind.OPEN_INTEREST, Kind.BAR])
        wanted = (at >= 0) & (rows.kind >= Kind.TRADE) & (rows.kind <= Kind.MARK)
        wanted &= ~polled | (rows.ref > 0.0)
        wanted &= ~self._untimed[rows.source]
        index = np.flatnonzero(wanted)
        key = (rows.source[index].astype(np.int64) * (1 << 32) + at[index]) * 8 + rows.kind[index]
        order = np.argsort(key, kind="stable")
        index, key = index[order], key[order]
        ends = [*np.flatnonzero(np.diff(key)).tolist(), key.size - 1] if key.size else []
        first = 0
        for end in ends:
            k = index[first]
            yield (int(rows.source[k]), int(at[k]), int(rows.kind[k])), index[first : end + 1]
            first = end + 1

    def _extend(self, key: Key, ts_ns: I8, accepted: Mask, budget_ns: I8) -> None:
        stream = self._streams[key]
        if stream.last is not None:
            ts_ns, accepted, budget_ns = (
                np.concatenate([np.array([before], column.dtype), column])
                for before, column in zip(stream.last, (ts_ns, accepted, budget_ns), strict=True)
            )
        stream.last = int(ts_ns[-1]), bool(accepted[-1]), int(budget_ns[-1])
        start, end = ts_ns[:-1], ts_ns[1:]
        inside = end > start
        if self._closes[key[1]]:
            inside &= end - start < SESSION_BREAK_NS
        start, end = start[inside], end[inside]
        until = np.minimum(end, start + np.where(accepted[:-1], budget_ns[:-1], 0)[inside])
        if start.size:
            first, session_ns = _by_minute(start, end, start[0], end[-1])
            _, covered_ns = _by_minute(start, until, start[0], end[-1])
            some = np.flatnonzero(session_ns)
            stream.parts.append((first + some * MINUTE_NS, session_ns[some], covered_ns[some]))


def completeness_table(streams: list[Stream], table: InstrumentTable, names: list[str]) -> pa.Table:
    """One row per stream and minute, for a Parquet file."""
    sizes = [each.minute_ns.size for each in streams]

    def column(values: list[str]) -> pa.Array:
        return pa.array(np.repeat(np.array(values, object), sizes), pa.string())

    def joined(name: str) -> pa.Array:
        return pa.array(
            np.concatenate([np.zeros(0, np.int64), *(getattr(s, name) for s in streams)])
        )

    return pa.table(
        {
            "source": column([names[each.source] for each in streams]),
            "instrument": column([table.instruments[each.instrument].id for each in streams]),
            "kind": column([each.kind.name for each in streams]),
            "minute_ns": joined("minute_ns"),
            "session_ns": joined("session_ns"),
            "covered_ns": joined("covered_ns"),
        }
    )


def in_figures(stream: Stream, table: InstrumentTable, names: list[str]) -> Mapping[str, Any]:
    """A stream in figures, for JSON."""
    share = stream.completeness
    training = stream.below(COMPLETE_FOR_TRAINING)
    return {
        "source": names[stream.source],
        "instrument": table.instruments[stream.instrument].id,
        "kind": stream.kind.name,
        "minutes": stream.minute_ns.size,
        "session_s": int(stream.session_ns.sum()) / SECOND_NS,
        "covered_s": int(stream.covered_ns.sum()) / SECOND_NS,
        "completeness": None if np.isnan(share) else share,
        "minutes_below_training": training.size,
        "minutes_below_backtest": stream.below(COMPLETE_FOR_BACKTEST).size,
        "first_below_training_ns": training[:FIRST].tolist(),
    }


def _instrument(rows: MarketRows, base: I4, count: I4) -> I8:
    """Row of the table of each market row's instrument, -1 where it is not in it."""
    lane = np.clip(rows.lane, 0, base.size - 1)
    known = (rows.lane == lane) & (rows.symbol >= 0) & (rows.symbol < count[lane])
    known &= rows.source >= 0
    return np.where(known, base[lane].astype(np.int64) + rows.symbol, -1)


def _budget_ns(rows: MarketRows, index: I8, kind: int) -> I8:
    """How long each row covers."""
    if kind in (Kind.BAR, Kind.FUNDING):
        return np.minimum(rows.ref[index] * SECOND_NS, float(2**62)).astype(np.int64)
    return np.full(index.size, STALE_NS)


def _by_minute(start: I8, end: I8, first_ns: int, last_ns: int) -> tuple[int, I8]:
    """Begin of the first minute, and the time of ordered, disjoint spans that falls into each."""
    origin = first_ns // MINUTE_NS
    spent = np.zeros(last_ns // MINUTE_NS - origin + 2, np.int64)
    a, b = start // MINUTE_NS - origin, end // MINUTE_NS - origin
    same = a == b
    np.add.at(spent, a[same], (end - start)[same])
    start, end, a, b = start[~same], end[~same], a[~same], b[~same]
    np.add.at(spent, a, (a + origin + 1) * MINUTE_NS - start)
    np.add.at(spent, b, end - (b + origin) * MINUTE_NS)
    whole = np.zeros(spent.size + 1, np.int64)  # minutes that a span fills
    np.add.at(whole, a + 1, 1)
    np.add.at(whole, b, -1)
    return origin * MINUTE_NS, spent + np.cumsum(whole)[:-1] * MINUTE_NS


def _summed(parts: list[tuple[I8, I8, I8]]) -> tuple[I8, I8, I8]:
    """One entry per minute: where two parts meet they share one."""
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)
    minute, session, covered = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    every, at = np.unique(minute, return_inverse=True)
    sums = np.zeros((2, every.size), np.int64)
    np.add.at(sums[0], at, session)
    np.add.at(sums[1], at, covered)
    return every, sums[0], sums[1]
