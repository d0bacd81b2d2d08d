"""How much of each stream's session its rows cover, in all and by UTC minute."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.calendars import open_spans
from schemas.expectations import TIME_MAX_NS
from schemas.instruments import InstrumentTable
from schemas.kinds import Kind
from schemas.markets import sort_of
from schemas.rows import I8, MarketRows, concat, take

MINUTE_NS = 60_000_000_000
SECOND_NS = 1_000_000_000
NEVER_NS = np.iinfo(np.int64).min
_KINDS = 8  # kinds of market data are 1 to 7
_SPANS = 3  # of missing minutes that a sentence names
_LONGEST_NS = 2**59  # 18 years: more than any row stands, and no sum with a time overflows
_FOREVER_NS = np.iinfo(np.int64).max
Mask = NDArray[np.bool_]


class Minutes(NamedTuple):
    """The minutes of a stream's session, in order; like ones that follow each other are one entry.

    So that there are as few as rows and closing hours: one row with a false time would else make
    millions of empty minutes.
    """

    minute_ns: I8  # begin of the first, UTC
    n: I8  # minutes, each of them with
    session_ns: I8  # so much that belongs to the session
    covered_ns: I8  # and is covered

    @property
    def total(self) -> int:
        return int(self.n.sum())

    def first(self, most: int) -> I8:
        """Begins of the first minutes."""
        n = np.minimum(self.n[:most], most)
        within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
        found: I8 = np.repeat(self.minute_ns[:most], n) + within * MINUTE_NS
        return found[:most]


@dataclass(frozen=True)
class Stream:
    """One symbol and kind of one source.

    `open_*` are the spans of its session, `gap_*` those of them that nothing covers; ns of log
    time, ordered and disjoint.
    """

    source: int
    instrument: int  # row of the instrument table
    kind: Kind
    open_from_ns: I8
    open_to_ns: I8
    gap_from_ns: I8
    gap_to_ns: I8

    @property
    def session_ns(self) -> int:
        return int((self.open_to_ns - self.open_from_ns).sum())

    @property
    def covered_ns(self) -> int:
        return self.session_ns - int((self.gap_to_ns - self.gap_from_ns).sum())

    @property
    def completeness(self) -> float:
        """Of all its session; NaN where that has no time, as with a single row."""
        return self.covered_ns / self.session_ns if self.session_ns else float("nan")

    @cached_property
    def minutes(self) -> Minutes:
        """Its session by minute."""
        if not self.session_ns:
            return Minutes(*np.zeros((4, 0), np.int64))
        opens, gaps = (self.open_from_ns, self.open_to_ns), (self.gap_from_ns, self.gap_to_ns)
        edges = np.concatenate([*opens, *gaps]) // MINUTE_NS
        starts = np.unique(np.concatenate([edges, edges + 1]))  # between them minutes are alike
        session_ns = _in_minutes(*opens, starts)
        covered_ns = session_ns - _in_minutes(*gaps, starts)
        n = np.diff(starts, append=starts[-1:] + 1)
        some = session_ns > 0
        return _joined(Minutes(*(e[some] for e in (starts * MINUTE_NS, n, session_ns, covered_ns))))

    def below(self, share: float) -> Minutes:
        """The minutes that are less complete."""
        less = self.minutes.covered_ns < share * self.minutes.session_ns
        return Minutes(*(column[less] for column in self.minutes))


class Completeness:
    """Covered time of each (source, symbol, kind), on log time.

    Parameters
    ----------
    table : InstrumentTable
    cadences_s : sequence of int
        Of each source: how long its quotes stand by themselves, being made from bars; else 0.
    refused : MarketRows or None
        Rows of the same feed that went to quarantine, where the feed does not have them.

    Notes
    -----
    How long a row covers is declared in `schemas.markets`. A refused row covers nothing, up to the
    next row of its stream. A session lasts from a stream's first to its last row, as far as the
    calendar of its market is open. Funding and bars that do not say how long they stand are not
    judged.
    Time: accepted rows must not go back in `ts_recv_ns`; refused ones that do stand at the last
    accepted row, and without a time at none. Chunks: any split of the rows gives the same.
    Memory: 24 bytes per source, instrument and kind, and 24 per gap.
    """

    def __init__(
        self,
        table: InstrumentTable,
        cadences_s: Sequence[int],
        refused: MarketRows | None = None,
    ) -> None:
        arrays = table.arrays()
        self._base, self._count = arrays.base, arrays.n_of_lane
        self._n = max(len(table.instruments), 1)
        self._sorts = [sort_of(each.venue, each.base) for each in table.instruments]
        self._stale_ns = np.zeros((self._n, _KINDS), np.int64)
        self._silent = np.zeros((self._n, _KINDS), bool)
        for k, sort in enumerate(self._sorts):
            self._silent[k, [int(kind) for kind in sort.silent]] = True
            for kind, stale_s in sort.stale_s.items():
                self._stale_ns[k, kind] = stale_s * SECOND_NS
        feeds = [
            sort.name if sort.together else each.venue
            for sort, each in zip(self._sorts, table.instruments, strict=True)
        ]
        numbers = {name: k for k, name in enumerate(dict.fromkeys(feeds))}
        self._feed = np.array([numbers[name] for name in feeds] or [0], np.int64)
        self._cadence_ns = np.array(cadences_s, np.int64) * SECOND_NS
        size = len(cadences_s) * self._n * _KINDS  # no more feeds than instruments
        self._streams, self._feeds = _Reaches(size), _Reaches(size)
        self._refused = refused
        self._seen_ns = NEVER_NS
        self._reached_ns = NEVER_NS  # the latest accepted row

    def add(self, rows: MarketRows, accepted: Mask) -> None:
        """Take in the next rows of the feed, and which of them were accepted."""
        if self._refused is not None and rows.seq.size:
            rows, accepted = self._with_refused(rows, accepted)
        index = self._judged(rows)
        if not index.size:
            return
        kind, source = rows.kind[index].astype(np.int64), rows.source[index].astype(np.int64)
        at = self._base[rows.lane[index]].astype(np.int64) + rows.symbol[index]
        ts_ns = self._forward_ns(rows.ts_recv_ns[index], accepted[index])
        stands_ns = self._stands_ns(rows, index, at)
        silent = self._silent[at, kind]
        reach_ns = ts_ns + stands_ns * accepted[index]
        reach_ns[silent & accepted[index]] = _FOREVER_NS
        until_ns = np.where(silent, ts_ns + stands_ns, _FOREVER_NS)
        self._streams.add((source * self._n + at) * _KINDS + kind, ts_ns, reach_ns, until_ns)
        if silent.any():
            feed = (source * self._n + self._feed[at]) * _KINDS + kind
            self._feeds.add(*(each[silent] for each in (feed, ts_ns, ts_ns + stands_ns)))

    def streams(self) -> Iterator[Stream]:
        """Every stream, by source, instrument and kind."""
        own, of_feeds = self._streams.gaps(), self._feeds.gaps()
        for one in np.flatnonzero(self._streams.first_ns != NEVER_NS).tolist():
            of_source, kind = divmod(one, _KINDS)
            source, at = divmod(of_source, self._n)
            spans = own.of(one)
            if self._silent[at, kind]:
                feed = of_feeds.of((source * self._n + int(self._feed[at])) * _KINDS + kind)
                # Disjoint: the gap of a refused row ends where its feed still reaches.
                start_ns, end_ns = (np.concatenate(pair) for pair in zip(spans, feed, strict=True))
                order = np.argsort(start_ns, kind="stable")
                spans = start_ns[order], end_ns[order]
            first_ns, last_ns = self._streams.first_ns[one], self._streams.last_ns[one]
            opens = open_spans(self._sorts[at].calendar, int(first_ns), int(last_ns))
            yield Stream(source, at, Kind(kind), *opens, *_clipped(*spans, *opens))

    def _with_refused(self, rows: MarketRows, accepted: Mask) -> tuple[MarketRows, Mask]:
        """The rows with those in quarantine among them, up to the same time."""
        assert self._refused is not None
        now_ns = int(rows.ts_recv_ns.max())
        at_ns = self._refused.ts_recv_ns
        missed = take(self._refused, (at_ns > self._seen_ns) & (at_ns <= now_ns))
        self._seen_ns = now_ns
        order = np.argsort(np.concatenate([rows.ts_recv_ns, missed.ts_recv_ns]), kind="stable")
        accepted = np.concatenate([accepted, np.zeros(missed.seq.size, bool)])[order]
        return take(concat([rows, missed]), order), accepted

    def _forward_ns(self, ts_ns: I8, accepted: Mask) -> I8:
        """Times of rows, where a refused one that goes back stands at the last accepted one."""
        reached_ns = np.where(accepted, ts_ns, NEVER_NS)
        reached_ns[0] = max(reached_ns[0], self._reached_ns)
        np.maximum.accumulate(reached_ns, out=reached_ns)
        self._reached_ns = int(reached_ns[-1])
        return np.maximum(ts_ns, reached_ns)

    def _judged(self, rows: MarketRows) -> I8:
        """Where the rows of known instruments and times stand that say how long they cover."""
        lane = np.clip(rows.lane, 0, self._base.size - 1)
        known = (rows.lane == lane) & (rows.symbol >= 0) & (rows.symbol < self._count[lane])
        known &= (rows.source >= 0) & (rows.kind >= Kind.TRADE) & (rows.kind <= Kind.MARK)
        known &= (rows.ts_recv_ns >= 0) & (rows.ts_recv_ns <= TIME_MAX_NS)
        lengthless = ((rows.kind == Kind.FUNDING) | (rows.kind == Kind.BAR)) & ~(rows.ref > 0.0)
        return np.flatnonzero(known & ~lengthless)

    def _stands_ns(self, rows: MarketRows, index: I8, at: I8) -> I8:
        """How long each row covers if it is accepted and no other comes."""
        kind = rows.kind[index]
        found: I8 = self._stale_ns[at, kind]
        found = found + np.where(kind == Kind.QUOTE, self._cadence_ns[rows.source[index]], 0)
        long = (kind == Kind.FUNDING) | (kind == Kind.BAR)
        if long.any():
            own_s = np.minimum(rows.ref[index][long], _LONGEST_NS / SECOND_NS)
            found[long] += (own_s * SECOND_NS).astype(np.int64)
        return found


def shortfall(
    streams: Sequence[Stream], table: InstrumentTable, names: Sequence[str], least: float
) -> str:
    """What is too incomplete, in one sentence that begins with the stream; "" if nothing is."""
    poor = sorted((each for each in streams if each.completeness < least), key=_share)
    if not poor:
        return ""
    one = poor[0]
    name = f"{names[one.source]}: {table.instruments[one.instrument].id} {one.kind.name.lower()}"
    below = one.below(least)
    spans = list(_spans(below))
    longest = sorted(sorted(spans, key=lambda span: span[0] - span[1])[:_SPANS])
    where = ", ".join(f"{_utc(start_ns)} to {_utc(end_ns)}" for start_ns, end_ns in longest)
    which = "the longest " if len(spans) > _SPANS else ""
    more = f"{len(poor) - 1:,} more of {len(streams):,} streams lack too much"
    others = f"; {more}" if len(poor) > 1 else ""
    return (
        f"{name} is {100.0 * one.completeness:.1f} % complete, at least {100.0 * least:g} % are "
        f"needed: {below.total:,} of {one.minutes.total:,} minutes of its session lack "
        f"rows ({which}{where} UTC){others}"
    )


class _Gaps(NamedTuple):
    """Uncovered spans, by key."""

    key: I8  # ascending
    start_ns: I8
    end_ns: I8

    def of(self, key: int) -> tuple[I8, I8]:
        a, b = np.searchsorted(self.key, [key, key + 1])
        return self.start_ns[a:b], self.end_ns[a:b]


class _Reaches:
    """Finds the spans that no row reaches, per key."""

    def __init__(self, size: int) -> None:
        self.first_ns = np.full(size, NEVER_NS)
        self.last_ns = np.full(size, NEVER_NS)
        self._reach_ns = np.full(size, NEVER_NS)  # up to where the rows so far cover
        self._until_ns = np.full(size, NEVER_NS)  # and up to where a gap behind them lasts
        self._found: list[_Gaps] = []

    def add(self, key: I8, ts_ns: I8, reach_ns: I8, until_ns: I8 | None = None) -> None:
        """Rows in order of time, and up to when each covers. With `until_ns`, up to where a gap
        behind it lasts, it covers up to the next row of its key at most; without, also beyond.
        """
        order = np.argsort(key, kind="stable")
        key, ts_ns, reach_ns = key[order], ts_ns[order], reach_ns[order]
        begins = np.flatnonzero(np.diff(key, prepend=-1))
        ends = np.append(begins[1:], key.size) - 1
        last_ns = ts_ns  # of a gap before each row
        if until_ns is not None:
            until_ns = until_ns[order]
            last_ns = np.minimum(ts_ns, _before(until_ns, begins, self._until_ns[key[begins]]))
            self._until_ns[key[ends]] = until_ns[ends]
        else:
            for begin, end in zip(begins.tolist(), (ends + 1).tolist(), strict=True):
                part = reach_ns[begin:end]
                part[0] = max(part[0], self._reach_ns[key[begin]])
                np.maximum.accumulate(part, out=part)
        before_ns = _before(reach_ns, begins, self._reach_ns[key[begins]])
        new = begins[before_ns[begins] == NEVER_NS]
        self.first_ns[key[new]] = before_ns[new] = ts_ns[new]
        gap = before_ns < last_ns
        if gap.any():
            self._found.append(_Gaps(key[gap], before_ns[gap], last_ns[gap]))
        self.last_ns[key[ends]] = ts_ns[ends]
        self._reach_ns[key[ends]] = reach_ns[ends]

    def gaps(self) -> _Gaps:
        parts = self._found or [_Gaps(*np.zeros((3, 0), np.int64))]
        every = _Gaps(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
        order = np.argsort(every.key, kind="stable")
        return _Gaps(*(column[order] for column in every))


def _before(values: I8, begins: I8, carried: I8) -> I8:
    """The value of the row before; where a key begins, what was carried for it."""
    found = np.empty_like(values)
    found[1:] = values[:-1]
    found[begins] = carried
    return found


def _clipped(start: I8, end: I8, open_from: I8, open_to: I8) -> tuple[I8, I8]:
    """The parts of ordered, disjoint spans that lie in others such."""
    if not start.size or not open_from.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    first = np.searchsorted(open_to, start, side="right")  # the first span that ends behind it
    n = np.maximum(np.searchsorted(open_from, end, side="left") - first, 0)
    each = np.repeat(np.arange(start.size), n)
    at = np.arange(each.size) - np.repeat(np.cumsum(n) - n, n) + np.repeat(first, n)
    return np.maximum(start[each], open_from[at]), np.minimum(end[each], open_to[at])


def _in_minutes(start: I8, end: I8, starts: I8) -> I8:
    """Time of ordered, disjoint spans in each minute from `starts`, and the like ones behind it.

    `starts` has the minutes in which spans start and end, and the ones after those.
    """
    spent = np.zeros(starts.size, np.int64)
    a, b = start // MINUTE_NS, end // MINUTE_NS
    first, last = np.searchsorted(starts, a), np.searchsorted(starts, b)
    same = a == b
    np.add.at(spent, first[same], (end - start)[same])
    start, end, a, b = start[~same], end[~same], a[~same], b[~same]
    first, last = first[~same], last[~same]
    np.add.at(spent, first, (a + 1) * MINUTE_NS - start)
    np.add.at(spent, last, end - b * MINUTE_NS)
    whole = np.zeros(spent.size + 1, np.int64)  # minutes that a span fills
    np.add.at(whole, first + 1, 1)
    np.add.at(whole, last, -1)
    return spent + np.cumsum(whole)[:-1] * MINUTE_NS


def _joined(minutes: Minutes) -> Minutes:
    """Entries that follow each other and are alike as one."""
    minute_ns, n, session_ns, covered_ns = minutes
    apart = minute_ns[1:] != minute_ns[:-1] + n[:-1] * MINUTE_NS
    apart |= (session_ns[1:] != session_ns[:-1]) | (covered_ns[1:] != covered_ns[:-1])
    begins = np.flatnonzero(np.append(True, apart)[: n.size])
    sums = np.add.reduceat(n, begins) if n.size else n
    return Minutes(minute_ns[begins], sums, session_ns[begins], covered_ns[begins])


def _share(stream: Stream) -> float:
    return stream.completeness


def _spans(minutes: Minutes) -> Iterator[tuple[int, int]]:
    """Runs of minutes without another between them, as begin and end."""
    begin_ns, end_ns = minutes.minute_ns, minutes.minute_ns + minutes.n * MINUTE_NS
    apart = np.flatnonzero(begin_ns[1:] != end_ns[:-1]) + 1
    for run in np.split(np.arange(minutes.n.size), apart):
        if run.size:
            yield int(begin_ns[run[0]]), int(end_ns[run[-1]])


def _utc(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns / SECOND_NS, UTC).strftime("%Y-%m-%d %H:%M")
