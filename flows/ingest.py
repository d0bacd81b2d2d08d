"""Ingest: source rows, through the quality gate, in order, with heartbeats.

source -> gate, whole messages, books -> (quarantine) -> control -> heartbeats -> ...

As a worker, the order of arrival is its own: see `flows.rounds`.

rounds -> gate, whole messages, books -> (quarantine) -> snapshots asked for, clocks -> parts ->
numbers -> market.v1
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import attrgetter
from time import monotonic, sleep
from typing import NamedTuple

import bytewax.operators as op
import numpy as np
from bytewax.inputs import FixedPartitionedSource
from bytewax.operators import KeyedStream

from flows.books import book_feeds
from flows.control import ControlBox, about_books
from flows.log.lane_source import ALL
from flows.log.stop import GracefulPart, hushed
from flows.parcel import Parcel, ParcelStep, fill, whole
from flows.rounds import Numbering
from flows.venue_clocks import Clocked, ClockWatch
from operators.market.books.keeper import BookFeeds
from operators.market.heartbeats import Heartbeats, HeartbeatState
from operators.market.intake import Intake, IntakeRows, IntakeState
from operators.market.sequencer import Sequencer
from schemas.instruments import InstrumentTable
from schemas.kinds import Flag
from schemas.rows import MarketRows, concat, empty, take
from venues.feed import Feed, LiveFeed

NAP_S = 0.02  # while a paced source waits for its next row


def steps(
    stream: KeyedStream[Parcel], table: InstrumentTable, n_sources: int, books: BookFeeds | None
) -> KeyedStream[Parcel]:
    """Gate and books, quarantine numbering, control rows and heartbeats."""
    intake = ClosingIntake(table.arrays(), n_sources, books)
    intake.compile()  # no row waits for that
    stream = gate_steps(stream, intake, Sequencer(table.lanes))
    beats = partial(
        ParcelStep,
        ClosingHeartbeats(table.lanes, table.active_lanes()),
        read=lambda parcel: (_with_control(parcel), parcel.last),
        write=fill(market=whole),
    )
    return op.stateful_batch("heartbeats", stream, beats)


def worker_steps(
    stream: KeyedStream[Parcel], feed: Feed | LiveFeed, numbering: Numbering, *, clocked: Clocked
) -> KeyedStream[Parcel]:
    """The same gate for rounds, which bring their heartbeats along."""
    intake = ClosingIntake(feed.table.arrays(), len(feed.names), book_feeds(feed))
    intake.compile()  # no row waits for that
    refused = Sequencer(feed.table.lanes, numbering.refused)
    stream = gate_steps(stream, intake, refused)
    if isinstance(feed, LiveFeed):
        stream = op.map_value("resync", stream, hushed(partial(_resync, feed)))
        stream = op.map_value("clocks", stream, hushed(ClockWatch(feed, clocked)))
    stream = op.flat_map_value("parts", stream, hushed(numbering.parts))
    return op.map_value("number", stream, hushed(numbering.number))


def gate_steps(
    stream: KeyedStream[Parcel], intake: "ClosingIntake", refused: Sequencer
) -> KeyedStream[Parcel]:
    """What may enter the log, with the states of its books, and the rest, numbered by `refused`."""
    gate = partial(
        ParcelStep,
        intake,
        read=lambda parcel: (parcel.market, parcel.last or parcel.control is not None),
        write=fill(
            market=attrgetter("market"), quarantine=attrgetter("rejected"), held=attrgetter("held"),
            lost=attrgetter("lost"), resumed=attrgetter("resumed"),
        ),
    )  # fmt: skip
    number = partial(
        ParcelStep,
        refused,
        read=lambda parcel: parcel.quarantine,
        write=fill(quarantine=whole),
    )
    stream = op.stateful_batch("gate", stream, gate)
    return op.stateful_batch("quarantine", stream, number)


class ClosingIntake(Intake):
    """The intake, and the end of what is held where a row of our own, or nothing, follows."""

    def step(  # type: ignore[override]
        self, state: IntakeState, rows: tuple[MarketRows, bool]
    ) -> tuple[IntakeState, IntakeRows]:
        market, closes = rows
        state, out = super().step(state, market)
        if not closes or not out.held:
            return state, out
        state, rest = self.end(state)
        made = IntakeRows(
            concat([out.market, rest.market]), concat([out.rejected, rest.rejected]),
            np.union1d(out.lost, rest.lost), rest.held, out.resumed,
        )  # fmt: skip
        return state, made


class ClosingHeartbeats(Heartbeats):
    """Heartbeats, and each lane's end row behind the last batch."""

    def step(  # type: ignore[override]  # each batch says whether it is the last
        self, state: HeartbeatState, rows: tuple[MarketRows, bool]
    ) -> tuple[HeartbeatState, MarketRows]:
        market, last = rows
        state, out = super().step(state, market)
        return (state, concat([out, self.end(state)])) if last else (state, out)


class Released(NamedTuple):
    """How far a feed has been released: what recovery stores."""

    rows: int = 0
    commands: int = 0
    inside: bool = False  # the last row has others of its message behind it


class FeedSource(FixedPartitionedSource[tuple[str, Parcel], Released]):
    """A feed as batches.

    Parameters
    ----------
    feed : Feed
    batch_rows : int, > 0
        At most; a paced source lets go what is due.
    control : ControlBox
        Where operators' commands come in while the run goes on.
    speed : float or None
        Multiple of real time by `ts_recv_ns`; None is as fast as it goes.
    progress : callable
        Told the number of rows released so far.
    """

    def __init__(
        self,
        feed: Feed,
        *,
        batch_rows: int,
        control: ControlBox,
        speed: float | None,
        progress: Callable[[int], None],
    ) -> None:
        self.feed, self.batch_rows, self.control = feed, batch_rows, control
        self.speed, self.progress = speed, progress

    def list_parts(self) -> list[str]:
        return [ALL]

    @hushed
    def build_part(self, step_id: str, for_part: str, resume_state: Released | None) -> "_FeedPart":
        return _FeedPart(self, resume_state or Released())


class _FeedPart(GracefulPart[tuple[str, Parcel], Released]):
    def __init__(self, source: FeedSource, released: Released) -> None:
        self._source, self._released = source, released
        self._batches = self._read(released.rows)
        self._held: MarketRows | None = None  # read, and not due yet
        self._pace = _Pace(source.speed)
        self._done = released.rows >= source.feed.n_rows > 0
        source.progress(released.rows)

    def poll(self) -> Iterable[tuple[str, Parcel]]:
        if self._done:
            raise StopIteration
        rows, commands, inside = self._released
        control = None if inside else self._source.control.due(rows, commands)
        if control is not None:
            self._released = Released(rows, commands + control.seq.size)
            about = about_books(control)  # these pass the gate, to the books behind it
            return [self._parcel(take(control, about), take(control, ~about))]
        held = self._held if self._held is not None else next(self._batches, None)
        if held is None:
            self._done = True
            return [self._parcel(empty(MarketRows, 0), None)]
        n = self._pace.due(held)
        self._held = take(held, slice(n, None)) if n < held.seq.size else None
        if n == 0:
            return []
        market = held if self._held is None else take(held, slice(0, n))
        inside = not market.flags[-1] & Flag.MSG_LAST
        self._released = Released(rows + n, commands, bool(inside))
        self._done = rows + n >= self._source.feed.n_rows
        self._source.control.released(market)
        self._source.progress(rows + n)
        return [self._parcel(market, None)]

    def state(self) -> Released:
        return self._released

    def _parcel(self, market: MarketRows, control: MarketRows | None) -> tuple[str, Parcel]:
        return ALL, Parcel(market, self._released.rows, self._done, monotonic(), control)

    def _read(self, position: int) -> Iterator[MarketRows]:
        """Batches that end where a recorded command stands, so that it stands there again."""
        stops = self._source.control.stops(position)
        for batch in self._source.feed.read(position, self._source.batch_rows):
            start, end = position, position + batch.seq.size
            for stop in [*(each for each in stops if start < each < end), end]:
                yield take(batch, slice(position - start, stop - start))
                position = stop


class _Pace:
    """Says how many rows are due; the first row sets the clock."""

    def __init__(self, speed: float | None) -> None:
        self._speed = speed
        self._origin: tuple[float, int] | None = None

    def due(self, rows: MarketRows) -> int:
        """Rows whose time has come; if there are none, after a nap."""
        if self._speed is None or rows.seq.size == 0:
            return int(rows.seq.size)
        if self._origin is None:
            self._origin = (monotonic(), int(rows.ts_recv_ns[0]))
        started_s, first_ns = self._origin
        now_ns = first_ns + int((monotonic() - started_s) * self._speed * 1e9)
        n = int(np.searchsorted(rows.ts_recv_ns, now_ns, side="right"))
        if n == 0:
            left_s = (int(rows.ts_recv_ns[0]) - now_ns) / 1e9 / self._speed
            sleep(min(left_s, NAP_S))
        return n


def _resync(feed: LiveFeed, parcel: Parcel) -> Parcel:
    """Books that lost a message on the way to the log, which their venue cannot know, and those
    that an operator wants back.
    """
    for books, bring in ((parcel.lost, feed.resync), (parcel.resumed, feed.resume)):
        for k in [] if books is None else books.tolist():
            one = feed.table.instruments[k]
            bring(one.lane, one.symbol)
    return parcel


def _with_control(parcel: Parcel) -> MarketRows:
    if parcel.control is None:
        return parcel.market
    return concat([parcel.market, parcel.control])
