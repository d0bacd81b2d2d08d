"""Ingest as a worker: rounds of what is due, stamped in market time, numbered lane by lane.

In each round, in this order per lane: source rows that are due, reports and commands that have
arrived, and a heartbeat of every lane, so that no lane holds up a merge. A tape's rows keep their
receive time; what arrives in between is stamped with the market time of its arrival.

A lane's end is a handshake: when the sources have ended every lane gets a LAST_CALL heartbeat,
execute answers with DRAINED once no report can follow, and only then the END rows are written.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from time import monotonic, time_ns

import numpy as np
from bytewax.inputs import FixedPartitionedSource

from flows.control import about_books, commands_of, control_rows
from flows.inbox import Inbox
from flows.log.api import Log
from flows.log.codec import JsonRow
from flows.log.lane_source import ALL, DRY_POLLS
from flows.log.stop import GracefulPart, hushed
from flows.log.writer import Writer
from flows.parcel import Parcel
from flows.place import Phase, Place
from flows.round_rows import LiveRows, RoundRows, TapeRows
from schemas.instruments import InstrumentTable
from schemas.kinds import NO_ID, NO_SYMBOL, Control, Flag, Kind
from schemas.rows import MarketRows, concat, empty, take
from schemas.topics import MARKET, QUARANTINE
from venues.feed import Feed, LiveFeed

ROUND_S = 0.004  # shorter ones cost more messages than they save time
IDLE_S = 1.0  # between rounds when nothing happens
CLOSING_S = 0.1  # the same while the last reports are waited for
WAIT_S = 0.05  # at most, for a report
SOURCE_ROWS = (
    1024  # with replies and heartbeats a lane's round stays below 2,048 rows: one message,
)
REPLY_ROWS = 512  # so that every message says where ingest stands
PART_ROWS = 1024  # of what a round became

Polled = Callable[[int, int, set[int], Inbox], None]


class RoundSource(FixedPartitionedSource[tuple[str, Parcel], None]):
    """Source rows, and what comes back through the log, as rounds.

    Parameters
    ----------
    rows : RoundRows
    inbox : Inbox
    places : mapping of lane to Place
        Where each active lane stands on the log; rows that it holds are left out.
    halts, said : MarketRows
        Commands about books from before: the first stand before all rows, the others behind those
        of times that are on the log.
    polled : callable
        Told of each poll: source rows released, the latest time, lanes whose last reports are
        waited for, the inbox.
    """

    def __init__(
        self,
        rows: RoundRows,
        inbox: Inbox,
        places: Mapping[int, Place],
        *,
        halts: MarketRows,
        said: MarketRows,
        polled: Polled,
    ) -> None:
        self.rows, self.inbox, self.places, self.polled = rows, inbox, dict(places), polled
        self.halts, self.said = halts, said

    def list_parts(self) -> list[str]:
        return [ALL]

    @hushed
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_RoundPart":
        return _RoundPart(self)


class Numbering:
    """The last steps before the log: parts of one message each, without what a lane holds already,
    and numbered.

    Parameters
    ----------
    held : mapping of lane to Place
        As the source's; source rows below a lane's place stand on the log.
    next_seq : mapping of lane to int
    refused : sequence of int, optional
        The first `seq` in quarantine of each lane; 0 where all that was refused is refused again.
    """

    def __init__(
        self,
        held: Mapping[int, Place],
        next_seq: Mapping[int, int],
        refused: Sequence[int] | None = None,
    ) -> None:
        self.refused = refused
        self._next_seq = dict(next_seq)
        self._places = dict(held)
        self._held = np.zeros(max(held) + 1, np.int64)
        for lane, place in held.items():
            self._held[lane] = place.rows

    def parts(self, parcel: Parcel) -> list[Parcel]:
        """The parcel as parcels of at most PART_ROWS rows of the market, each with its own places.

        A snapshot comes out whole, of many rounds: written as one message it would be too long, and
        of several messages only the last would say where ingest stands.
        """
        before, rows = self._places, parcel.market
        last = {
            lane: place._replace(rows=place.rows - parcel.held)
            for lane, place in parcel.places.items()
        }
        self._places = last
        cuts = [0, *_part_ends(rows), rows.seq.size]
        made = []
        for n, (start, stop) in enumerate(itertools.pairwise(cuts)):
            mine = MarketRows._make(column[start:stop] for column in rows)
            places = last
            if stop < rows.seq.size:  # replies and heartbeats stand behind the last part
                at = int(rows.seq[stop])
                places = {k: p._replace(rows=max(p.rows, at)) for k, p in before.items()}
            made.append(
                replace(
                    parcel, market=mine, places=places,
                    control=parcel.control if stop == rows.seq.size else None,
                    quarantine=parcel.quarantine if n == 0 else empty(MarketRows),
                )
            )  # fmt: skip
        return made

    def number(self, parcel: Parcel) -> Parcel:
        market = parcel.market  # its `seq` is the row's position in the feed
        if market.seq.size and market.seq[0] < self._held.max():
            market = take(market, market.seq >= self._held[market.lane])
        rows = concat([market, parcel.control]) if parcel.control is not None else market
        rows = take(rows, np.argsort(rows.lane, kind="stable"))
        lanes, starts, counts = np.unique(rows.lane, return_index=True, return_counts=True)
        for lane, start, n in zip(lanes.tolist(), starts, counts, strict=True):
            first = self._next_seq[lane]
            rows.seq[start : start + n] = np.arange(first, first + n)
            self._next_seq[lane] = first + int(n)
        return replace(parcel, market=rows)


def rounds_on(
    log: Log, writer: Writer, feed: Feed | LiveFeed, *, speed: float | None, polled: Polled
) -> tuple[RoundSource, Numbering]:
    """Source and numbering that go on from where the lanes of a log end.

    `writer` must be the only one: what it reads back has to stay true.
    """
    last = {lane: writer.last(MARKET.name, lane) for lane in feed.table.active_lanes()}
    places = {lane: Place.of(message) for lane, message in last.items()}
    log_ns = max((each.ts_max_ns for each in last.values() if each is not None), default=None)
    next_seq = {k: 0 if each is None else each.last_seq + 1 for k, each in last.items()}
    halts, said = _standing(log, feed.table, places)
    rows: RoundRows
    refused: list[int] | None = None
    if isinstance(feed, LiveFeed):
        refused = [writer.last_seq(QUARANTINE.name, k) + 1 for k in range(feed.table.lanes)]
        position = max(place.rows for place in places.values())
        rows = LiveRows(feed, log_ns=log_ns, now_ns=time_ns(), position=position)
    else:
        frozen = Phase.ENDED in {place.phase for place in places.values()}
        rows = TapeRows(feed, speed=speed, log_ns=log_ns, frozen=frozen, max_rows=SOURCE_ROWS)
    source = RoundSource(
        rows, Inbox(log, feed.table, places), places, halts=halts, said=said, polled=polled
    )
    return source, Numbering(places, next_seq, refused)


def _standing(
    log: Log, table: InstrumentTable, places: Mapping[int, Place]
) -> tuple[MarketRows, MarketRows]:
    """What operators said of books in the lives before: rows that are not written again.

    Every book that was ever halted is, while rows that are on the log are read again. What was said
    last is then said again: a halt may not have come into force yet, and those that were resumed
    need a snapshot: which of them had one is not known.
    """
    taken = places[min(places)].control.last_seq
    told = {
        row["instrument"]: row["command"]
        for row in commands_of(log)
        if row["seq"] <= taken and "instrument" in row
    }
    halts: list[JsonRow] = [
        {"seq": -1, "command": Control.HALT_BOOK.name, "instrument": name} for name in told
    ]
    last: list[JsonRow] = [
        {"seq": -1, "command": command, "instrument": name} for name, command in told.items()
    ]
    made = control_rows(halts, table), control_rows(last, table)
    for rows in made:
        rows.seq[:], rows.lane[:] = -1, min(places)  # below all positions: `Numbering` drops them
    return made


def _part_ends(rows: MarketRows) -> list[int]:
    """Where parts of at most PART_ROWS rows end: between two positions, which tell what of them is
    written. What one source row causes is not cut, however many books go stale before it.
    """
    ends: list[int] = []
    cuts = np.flatnonzero(rows.seq[1:] != rows.seq[:-1]) + 1
    start = 0
    while rows.seq.size - start > PART_ROWS:
        at = int(cuts.searchsorted(start + PART_ROWS, side="right"))
        if at and cuts[at - 1] > start:
            at -= 1
        if at == cuts.size:
            break
        start = int(cuts[at])
        ends.append(start)
    return ends


class _RoundPart(GracefulPart[tuple[str, Parcel], None]):
    def __init__(self, source: RoundSource) -> None:
        self._rows, self._inbox, self._polled = source.rows, source.inbox, source.polled
        self._places = source.places
        self._halts, self._said = source.halts, source.said
        self._last_s = -IDLE_S
        self._n_dry = 0

    def poll(self) -> Iterable[tuple[str, Parcel]]:
        rows = self._rows
        self._polled(rows.position, rows.clock.reached_ns, self._waits_for(), self._inbox)
        if all(place.phase is Phase.ENDED for place in self._places.values()):
            raise StopIteration
        if self._halts.seq.size:
            halts, self._halts = self._halts, empty(MarketRows)
            return [(ALL, self._parcel(halts, None))]
        behind = rows.behind(SOURCE_ROWS)
        if behind is not None:  # without heartbeats, which would stand before later ones of them
            return [(ALL, self._parcel(behind, None))]
        if self._said.seq.size:
            said, self._said = self._said, empty(MarketRows)
            return [(ALL, self._parcel(said, None))]
        since_s = monotonic() - self._last_s
        if since_s < ROUND_S and rows.clock.paced:
            return []
        market, now_ns, beat_ns, whole = rows.due(SOURCE_ROWS)
        if not whole:  # the rest of the message comes first
            rows.clock.reach(now_ns)
            return [(ALL, self._parcel(market, None))]
        now_ns = rows.clock.reach(now_ns)
        replies = self._inbox.take(REPLY_ROWS)
        idle_s = IDLE_S if rows.end_ns() is None else CLOSING_S
        if market.seq.size + replies.seq.size == 0 and since_s < idle_s:
            self._rest()
            return []
        self._last_s, self._n_dry = monotonic(), 0
        replies.ts_recv_ns[:] = now_ns
        about = about_books(replies)
        if about.any():  # these pass the gate behind the rows before them, to the books behind it
            replies.seq[:] = rows.position
            market, replies = concat([market, take(replies, about)]), take(replies, ~about)
        beat_ns = rows.clock.reach(beat_ns)  # nothing may stand before it from now on
        own = concat([replies, self._beats(now_ns, beat_ns)])
        return [(ALL, self._parcel(market, own))]

    def state(self) -> None:
        return None

    def close(self) -> None:
        self._inbox.close()
        self._rows.close()

    def _beats(self, now_ns: int, beat_ns: int) -> MarketRows:
        """A heartbeat per lane that has not ended; brings the lanes' phases forward."""
        drained, end_ns = self._inbox.drained, self._rows.end_ns()
        ends = end_ns is not None and drained >= set(self._places)
        calls = end_ns is not None and now_ns >= end_ns
        open_lanes = sorted(k for k, p in self._places.items() if p.phase is not Phase.ENDED)
        beats = empty(MarketRows, len(open_lanes))
        beats.lane[:], beats.kind[:], beats.flags[:] = open_lanes, Kind.HEARTBEAT, Flag.MSG_LAST
        beats.symbol[:], beats.ref_id[:] = NO_SYMBOL, NO_ID
        beats.venue_seq[:] = beats.source[:] = beats.source_row[:] = -1
        beats.ts_event_ns[:] = beats.ts_recv_ns[:] = beat_ns
        for n, lane in enumerate(open_lanes):
            phase = self._places[lane].phase
            if ends:
                phase = Phase.ENDED
                beats.flags[n] |= Flag.END
            elif lane in drained:
                phase = Phase.DRAINED
            elif calls and phase is Phase.OPEN:
                phase = Phase.CALLED
                beats.flags[n] |= Flag.LAST_CALL
            self._places[lane] = self._places[lane]._replace(phase=phase)
        return beats

    def _parcel(self, market: MarketRows, own: MarketRows | None) -> Parcel:
        for lane, place in self._places.items():
            standing = self._inbox.place(lane)
            self._places[lane] = Place(
                max(place.rows, self._rows.position),
                standing.reports,
                standing.control,
                place.phase,
            )
        return Parcel(
            market, self._rows.position, last=False, born_s=monotonic(), control=own,
            places=dict(self._places),
        )  # fmt: skip

    def _waits_for(self) -> set[int]:
        """Lanes whose last reports have not come back yet."""
        if self._rows.end_ns() is None:
            return set()
        return set(self._places) - self._inbox.drained

    def _rest(self) -> None:
        """Wait for a report, at most until the next row is due; CPU is for other workers."""
        self._n_dry += 1
        if self._n_dry > DRY_POLLS:
            self._inbox.wait(min(WAIT_S, self._rows.wait_s()))
