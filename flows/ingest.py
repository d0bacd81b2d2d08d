"""Ingest: source rows, through the quality gate, in order, with heartbeats.

source -> gate -> (quarantine) -> control -> heartbeats -> ...
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from time import monotonic, sleep

import bytewax.operators as op
from bytewax.inputs import FixedPartitionedSource
from bytewax.operators import KeyedStream

from flows.control import ControlBox
from flows.log.lane_source import ALL
from flows.log.stop import STOP, GracefulPart, hushed
from flows.parcel import Parcel, ParcelStep, fill, whole
from operators.market.gate import Gate
from operators.market.heartbeats import Heartbeats, HeartbeatState
from operators.market.sequencer import Sequencer
from schemas.instruments import InstrumentTable
from schemas.rows import MarketRows, concat, empty
from venues.feed import Feed

NAP_S = 0.02  # while a paced source waits for its next row


def steps(
    stream: KeyedStream[Parcel], table: InstrumentTable, n_sources: int
) -> KeyedStream[Parcel]:
    """Gate, quarantine numbering, control rows and heartbeats."""
    gate = partial(
        ParcelStep,
        Gate(table.arrays(), n_sources),
        read=lambda parcel: parcel.market,
        write=fill(market=lambda out: out[0], quarantine=lambda out: out[1]),
    )
    number = partial(
        ParcelStep,
        Sequencer(table.lanes),
        read=lambda parcel: parcel.quarantine,
        write=fill(quarantine=whole),
    )
    beats = partial(
        ParcelStep,
        ClosingHeartbeats(table.lanes, table.active_lanes()),
        read=lambda parcel: (_with_control(parcel), parcel.last),
        write=fill(market=whole),
    )
    stream = op.stateful_batch("gate", stream, gate)
    stream = op.stateful_batch("quarantine", stream, number)
    return op.stateful_batch("heartbeats", stream, beats)


class ClosingHeartbeats(Heartbeats):
    """Heartbeats, and each lane's end row behind the last batch."""

    def step(  # type: ignore[override]
        self, state: HeartbeatState, rows: tuple[MarketRows, bool]
    ) -> tuple[HeartbeatState, MarketRows]:
        market, last = rows
        state, out = super().step(state, market)
        return (state, concat([out, self.end(state)])) if last else (state, out)


class FeedSource(FixedPartitionedSource[tuple[str, Parcel], int]):
    """A feed as batches; its recovery state is the number of rows released.

    Parameters
    ----------
    feed : Feed
    batch_rows : int, > 0
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
    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "_FeedPart":
        return _FeedPart(self, resume_state or 0)


class _FeedPart(GracefulPart[tuple[str, Parcel], int]):
    def __init__(self, source: FeedSource, position: int) -> None:
        self._source, self._position = source, position
        self._batches = self._read(position)
        self._pace = _Pace(source.speed)
        self._done = position >= source.feed.n_rows > 0
        source.progress(position)

    def poll(self) -> Iterable[tuple[str, Parcel]]:
        if self._done:
            raise StopIteration
        market = next(self._batches, None)
        if market is None:
            market = empty(MarketRows, 0)
            self._done = True
        else:
            self._pace.wait(market)
        self._position += market.seq.size
        self._done = self._done or self._position >= self._source.feed.n_rows
        self._source.progress(self._position)
        control = self._source.control.rows(self._position, market)
        parcel = Parcel(market, self._position, self._done, monotonic(), control)
        return [(ALL, parcel)]

    def state(self) -> int:
        return self._position

    def _read(self, position: int) -> Iterator[MarketRows]:
        """Batches that end where a recorded command stands, so that it stands there again."""
        for stop in [*self._source.control.stops(position), None]:
            if stop is None:
                yield from self._source.feed.read(position, self._source.batch_rows)
                return
            while position < stop:
                n = min(self._source.batch_rows, stop - position)
                yield next(self._source.feed.read(position, n))
                position += n


class _Pace:
    """Holds batches back until their time has come; the first row sets the clock."""

    def __init__(self, speed: float | None) -> None:
        self._speed = speed
        self._origin: tuple[float, int] | None = None

    def wait(self, rows: MarketRows) -> None:
        """Sleep until the batch's last row is due; a stop lets it go early rather than lose it."""
        if self._speed is None or rows.seq.size == 0:
            return
        if self._origin is None:
            self._origin = (monotonic(), int(rows.ts_recv_ns[0]))
        started_s, first_ns = self._origin
        due_s = started_s + (int(rows.ts_recv_ns[-1]) - first_ns) / 1e9 / self._speed
        while (left_s := due_s - monotonic()) > 0.0:
            if STOP.requested.is_set():
                return
            sleep(min(left_s, NAP_S))


def _with_control(parcel: Parcel) -> MarketRows:
    if parcel.control is None:
        return parcel.market
    return concat([parcel.market, parcel.control])
