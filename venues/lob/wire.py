"""From what a venue did to what we receive: its clock, the way, and what gets lost on it."""

from typing import NamedTuple

import numpy as np

from schemas.kinds import NO_ID, Flag, Kind
from schemas.rows import I8, MarketRows, empty
from venues.lob.engine.book import GRID
from venues.lob.engine.flow import LobVenue
from venues.lob.engine.market import FLAGS, KIND, NUMBER, SIDE, A, B, C, D, T
from venues.lob.labels import LabelRows, Plant, blank_labels

FASTEST_NS = 1_000_000  # on the way at least
SPIKES = 0.003  # share of packets that are held up
SPIKE_NS = 60_000_000  # by how much, in the mean
PRICE_TICKS = 42_000  # ticks of 1 at the middle of the grid
LOTS_PER_UNIT = 1_000.0
TICK, LOT = "1", "0.001"
_QUIET_NS = 60_000_000_000  # before the first fault


class Received(NamedTuple):
    """Rows of one venue in the order of receipt, and what they are in the market."""

    rows: MarketRows
    t_ns: I8  # of the market, as given
    faults: LabelRows


def receive(
    told: I8, venue: LobVenue, *, source: int, start_ns: int, faults_per_hour: float,
    random: np.random.Generator,
) -> Received:  # fmt: skip
    """Rows of one venue as they arrive. `told` are its rows of the market, shape (n, WIDTH).

    What the venue did at one moment is one packet. Packets need 1 ms, an exponential time more and
    sometimes a spike; none overtakes another. The venue stamps by its own clock.
    """
    recv_ns = start_ns + _arrival_ns(told[:, T], venue, random)
    order, faults = _faulted(told, recv_ns, venue, source, faults_per_hour, random)
    told, recv_ns = told[order], np.maximum.accumulate(recv_ns[order])
    whole = np.flatnonzero(told[:, FLAGS] == Flag.SNAPSHOT | Flag.MSG_LAST)
    lost = faults.kind == Plant.FEED_DROP  # the book is wrong until it comes whole again
    after = np.append(whole, told.shape[0] - 1)[np.searchsorted(whole, faults.end_ns)]
    faults.end_ns[:] = recv_ns[np.where(lost, after, faults.end_ns)]
    faults.onset_ns[:] = recv_ns[faults.onset_ns]
    off_ns = venue.offset_ns + np.rint(told[:, T] * (venue.drift_ppb * 1e-9)).astype(np.int64)
    rows = empty(MarketRows, told.shape[0])
    rows.kind[:], rows.flags[:] = told[:, KIND], told[:, FLAGS]
    rows.side[:], rows.ref_id[:] = told[:, SIDE], NO_ID
    rows.symbol[:], rows.source[:] = source, source
    rows.source_row[:] = np.arange(told.shape[0])
    rows.ts_recv_ns[:] = recv_ns
    rows.ts_event_ns[:] = start_ns + told[:, T] - off_ns
    rows.venue_seq[:] = told[:, NUMBER] if venue.numbered else -1
    quote = told[:, KIND] == Kind.QUOTE
    other = ~quote
    by_order = (told[:, KIND] == Kind.BOOK) & (told[:, D] > 0)
    rows.code[by_order], rows.ref_id[by_order] = told[by_order, D], told[by_order, C]
    rows.price[other], rows.qty[other] = price_of(told[other, A]), told[other, B] / LOTS_PER_UNIT
    rows.bid_px[quote], rows.bid_qty[quote] = price_of(told[quote, A]), told[quote, B] / 1_000.0
    rows.ask_px[quote], rows.ask_qty[quote] = price_of(told[quote, C]), told[quote, D] / 1_000.0
    return Received(rows, told[:, T].copy(), faults)


def price_of(tick: I8) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Quote units of a tick of the grid."""
    return (tick - GRID // 2 + PRICE_TICKS).astype(np.float64)


def _arrival_ns(t_ns: I8, venue: LobVenue, random: np.random.Generator) -> I8:
    """When each row is here, from the start."""
    first = np.flatnonzero(np.diff(t_ns, prepend=-1))
    late = FASTEST_NS + random.exponential(venue.latency_ns, first.size)
    late += (random.random(first.size) < SPIKES) * random.exponential(SPIKE_NS, first.size)
    lengths = np.diff(first, append=t_ns.size)
    return np.maximum.accumulate(t_ns + np.repeat(late.astype(np.int64), lengths))


def _faulted(
    told: I8, recv_ns: I8, venue: LobVenue, source: int, per_hour: float,
    random: np.random.Generator,
) -> tuple[I8, LabelRows]:  # fmt: skip
    """Which row comes where, after faults; their labels, with places of rows as times."""
    changes = np.flatnonzero((told[:, KIND] == Kind.BOOK) & (told[:, NUMBER] > 0))
    starts = changes[np.diff(told[changes, NUMBER], prepend=0) > 0]
    starts = starts[told[starts, T] > _QUIET_NS]
    span_ns = told[-1, T] - _QUIET_NS
    n = int(per_hour * span_ns / 3.6e12 + random.random()) if span_ns > 0 else 0
    if n == 0 or starts.size < 4 * n:
        return np.arange(told.shape[0]), blank_labels(0)
    picked = np.sort(random.choice(starts.size // 2 - 1, n, replace=False)) * 2  # never neighbours
    kinds = random.integers(Plant.FEED_DROP, Plant.FEED_REORDER + 1, n)
    pieces: list[I8] = []
    labels = blank_labels(n)
    labels.kind[:], labels.source[:], labels.symbol[:] = kinds, source, source
    labels.group[:] = -1
    at = placed = 0
    for k, (which, kind) in enumerate(zip(picked.tolist(), kinds.tolist(), strict=True)):
        start, after = int(starts[which]), int(starts[which + 1])
        number = told[start, NUMBER]
        stop = start + int(np.argmax(told[start:, FLAGS] & 1 == 1)) + 1
        pieces.append(np.arange(at, start))
        placed += start - at
        message = np.arange(start, stop)
        if kind == Plant.FEED_DROP:
            at, shown = stop, placed
        elif kind == Plant.FEED_DUPLICATE:
            pieces += [message, message]
            placed, at = placed + 2 * message.size, stop
            shown = placed - 1
        else:
            following = np.arange(stop, after + int(np.argmax(told[after:, FLAGS] & 1 == 1)) + 1)
            pieces += [following, message]
            placed, at = placed + following.size + message.size, int(following[-1]) + 1
            shown = placed - 1
        labels.onset_ns[k] = labels.end_ns[k] = shown
        labels.venue_seq[k] = number if venue.numbered else -1
    pieces.append(np.arange(at, told.shape[0]))
    return np.concatenate(pieces), labels
