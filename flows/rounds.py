"""Ingest as a worker: rounds of what is due, stamped in market time, numbered lane by lane.

In each round, in this order per lane: source rows that are due, reports and commands that have
arrived, and a heartbeat of every lane, so that no lane holds up a merge. A tape's rows keep their
receive time; what arrives in between is stamped with the market time of its arrival.

A lane's end is a handshake: when the sources have ended every lane gets a LAST_CALL heartbeat,
execute answers with DRAINED once no report can follow, and only then the END rows are written.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from time import monotonic

import numpy as np
from bytewax.inputs import FixedPartitionedSource

from flows.inbox import Inbox
from flows.log.api import Log
from flows.log.lane_source import ALL, DRY_POLLS
from flows.log.stop import GracefulPart, hushed
from flows.log.writer import Writer
from flows.parcel import Parcel
from flows.place import Phase, Place
from schemas.kinds import NO_ID, NO_SYMBOL, Flag, Kind
from schemas.rows import MarketRows, concat, empty, take
from schemas.topics import MARKET
from venues.feed import Feed

ROUND_S = 0.004  # shorter ones cost more messages than they save time
IDLE_S = 1.0  # between rounds when nothing happens
CLOSING_S = 0.1  # the same while the last reports are waited for
WAIT_S = 0.05  # at most, for a report
SOURCE_ROWS = (
    1024  # with replies and heartbeats a lane's round stays below 2,048 rows: one message,
)
REPLY_ROWS = 512  # so that every message says where ingest stands
SECOND_NS = 1_000_000_000

_log = logging.getLogger(__name__)
Polled = Callable[[int, int, set[int], Inbox], None]


class RoundSource(FixedPartitionedSource[tuple[str, Parcel], None]):
    """A feed, and what comes back through the log, as rounds.

    Parameters
    ----------
    feed : Feed
        Read from its first row on at every start: what the gate refuses depends on the rows before.
    inbox : Inbox
    places : mapping of lane to Place
        Where each active lane stands on the log; rows that it holds are left out.
    last_ns : int or None
        The latest time on the log, None for an empty one: market time goes on from there.
    speed : float or None
        Multiple of real time by `ts_recv_ns`; None is as fast as it goes.
    polled : callable
        Told of each poll: source rows released, the latest time, lanes whose last reports are
        waited for, the inbox.
    """

    def __init__(
        self,
        feed: Feed,
        inbox: Inbox,
        places: Mapping[int, Place],
        last_ns: int | None,
        *,
        speed: float | None,
        polled: Polled,
    ) -> None:
        self.feed, self.inbox, self.places, self.last_ns = feed, inbox, dict(places), last_ns
        self.speed, self.polled = speed, polled

    def list_parts(self) -> list[str]:
        return [ALL]

    @hushed
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_RoundPart":
        return _RoundPart(self)


class Numbering:
    """The last step before the log: drops what a lane holds already, and numbers the rest.

    Parameters
    ----------
    held : mapping of lane to Place
        As the source's; source rows below a lane's place stand on the log.
    next_seq : mapping of lane to int
    """

    def __init__(self, held: Mapping[int, Place], next_seq: Mapping[int, int]) -> None:
        self._next_seq = dict(next_seq)
        self._held = np.zeros(max(held) + 1, np.int64)
        for lane, place in held.items():
            self._held[lane] = place.rows

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
    log: Log, writer: Writer, feed: Feed, *, speed: float | None, polled: Polled
) -> tuple[RoundSource, Numbering]:
    """Source and numbering that go on from where the lanes of a log end.

    `writer` must be the only one: what it reads back has to stay true.
    """
    last = {lane: writer.last(MARKET.name, lane) for lane in feed.table.active_lanes()}
    places = {lane: Place.of(message) for lane, message in last.items()}
    last_ns = max((each.ts_max_ns for each in last.values() if each is not None), default=None)
    source = RoundSource(
        feed, Inbox(log, feed.table, places), places, last_ns, speed=speed, polled=polled
    )
    next_seq = {k: 0 if each is None else each.last_seq + 1 for k, each in last.items()}
    return source, Numbering(places, next_seq)


class _RoundPart(GracefulPart[tuple[str, Parcel], None]):
    def __init__(self, source: RoundSource) -> None:
        self._feed, self._inbox, self._polled = source.feed, source.inbox, source.polled
        self._places = source.places
        self._position = 0  # source rows released
        self._log_ns = source.last_ns
        self._batches = self._feed.read(0, SOURCE_ROWS)
        self._held = self._next_batch()
        start_ns = source.last_ns
        if start_ns is None:
            start_ns = int(self._held.ts_recv_ns[0]) if self._held is not None else 0
        phases = {place.phase for place in self._places.values()}
        self._frozen = Phase.ENDED in phases  # then the other lanes end at that very time
        self._clock = _MarketClock(None if self._frozen else source.speed, start_ns)
        self._end_ns: int | None = None  # of the last second with rows, once the feed has ended
        self._last_s = -IDLE_S
        self._n_dry = 0

    def poll(self) -> Iterable[tuple[str, Parcel]]:
        waits_for = self._waits_for()
        self._polled(self._position, self._clock.reached_ns, waits_for, self._inbox)
        if all(place.phase is Phase.ENDED for place in self._places.values()):
            raise StopIteration
        behind = self._n_behind()
        if behind:
            return [(ALL, self._parcel(self._release(behind), None))]
        since_s = monotonic() - self._last_s
        if since_s < ROUND_S and self._clock.paced:
            return []
        market, now_ns, beat_ns = self._due()
        replies = self._inbox.take(REPLY_ROWS)
        idle_s = IDLE_S if self._end_ns is None else CLOSING_S
        if market.seq.size + replies.seq.size == 0 and since_s < idle_s:
            self._rest(now_ns)
            return []
        self._last_s, self._n_dry = monotonic(), 0
        replies.ts_recv_ns[:] = now_ns
        self._clock.reach(beat_ns)  # nothing may stand before it from now on
        own = concat([replies, self._beats(now_ns, beat_ns)])
        return [(ALL, self._parcel(market, own))]

    def state(self) -> None:
        return None

    def close(self) -> None:
        self._inbox.close()

    def _n_behind(self) -> int:
        """Rows in hand of the time that is on the log: on all lanes, or on some that were ahead.

        They come without heartbeats, which would stand before later ones of them.
        """
        if self._held is None or self._log_ns is None:
            return 0
        return int(np.searchsorted(self._held.ts_recv_ns, self._log_ns, side="right"))

    def _due(self) -> tuple[MarketRows, int, int]:
        """Source rows whose time has come, the time of arrival, and that of the heartbeats."""
        now_ns = self._clock.now_ns()
        held = self._held
        if held is None:
            if self._end_ns is None:
                self._end_ns = (self._clock.reached_ns // SECOND_NS + 1) * SECOND_NS
                if not self._frozen:
                    self._clock.run_on()
            now_ns = self._clock.reach(now_ns)
            return empty(MarketRows), now_ns, now_ns + (not self._frozen)
        n = held.seq.size
        if not self._clock.paced:
            market = self._release(n)
            now_ns = self._clock.reach(int(market.ts_recv_ns[-1]))
            return market, now_ns, now_ns
        due = int(np.searchsorted(held.ts_recv_ns, now_ns, side="right"))
        market = self._release(due) if due else empty(MarketRows)
        if due == n:  # there may be more: nothing may stand before it
            now_ns = self._clock.reach(int(market.ts_recv_ns[-1]))
            return market, now_ns, now_ns
        return market, self._clock.reach(now_ns), now_ns + 1

    def _release(self, n: int) -> MarketRows:
        """The next `n` source rows at most, with their position in the feed as `seq`."""
        held = self._held
        assert held is not None
        n = min(n, held.seq.size)
        market = take(held, slice(0, n))
        market.seq[:] = np.arange(self._position, self._position + n)
        self._position += n
        self._held = take(held, slice(n, None)) if n < held.seq.size else self._next_batch()
        return market

    def _next_batch(self) -> MarketRows | None:
        return next(self._batches, None)

    def _beats(self, now_ns: int, beat_ns: int) -> MarketRows:
        """A heartbeat per lane that has not ended; brings the lanes' phases forward."""
        drained = self._inbox.drained
        ends = self._end_ns is not None and drained >= set(self._places)
        calls = self._end_ns is not None and now_ns >= self._end_ns
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
                max(place.rows, self._position), standing.reports, standing.control, place.phase
            )
        return Parcel(
            market, self._position, last=False, born_s=monotonic(), control=own,
            places=dict(self._places),
        )  # fmt: skip

    def _waits_for(self) -> set[int]:
        """Lanes whose last reports have not come back yet."""
        if self._end_ns is None:
            return set()
        return set(self._places) - self._inbox.drained

    def _rest(self, now_ns: int) -> None:
        """Wait for a report, at most until the next row is due; CPU is for other workers."""
        self._n_dry += 1
        if self._n_dry <= DRY_POLLS:
            return
        wait_s = WAIT_S
        if self._held is not None:
            wait_s = min(wait_s, self._clock.seconds_until(int(self._held.ts_recv_ns[0])))
        self._inbox.wait(wait_s)


class _MarketClock:
    """The time of the market: real time at a multiple, or without pace the last row's."""

    def __init__(self, speed: float | None, start_ns: int) -> None:
        self._speed = speed
        self._origin = (monotonic(), start_ns)
        self.reached_ns = start_ns
        if speed is not None:  # waits can be told from it: the clock is that of all processes here
            paired = {"market_ns": start_ns, "monotonic_s": self._origin[0], "speed": speed}
            _log.info("market time begins", extra=paired)

    @property
    def paced(self) -> bool:
        return self._speed is not None

    def now_ns(self) -> int:
        if self._speed is None:
            return self.reached_ns
        started_s, start_ns = self._origin
        return max(self.reached_ns, start_ns + int((monotonic() - started_s) * self._speed * 1e9))

    def reach(self, now_ns: int) -> int:
        """A row of that time has been released; returns the latest."""
        self.reached_ns = max(self.reached_ns, now_ns)
        return self.reached_ns

    def seconds_until(self, ts_ns: int) -> float:
        return max(0.0, (ts_ns - self.now_ns()) / 1e9 / (self._speed or 1.0))

    def run_on(self) -> None:
        """The tape is over: from now on real time goes by."""
        self._speed, self._origin = 1.0, (monotonic(), self.reached_ns)
