"""Ingest as a worker, without its waits, over as many lives as there are deaths."""

from collections.abc import Iterator
from dataclasses import replace

from flows.books import book_feeds
from flows.encode import encode
from flows.ingest import ClosingIntake
from flows.log.api import Log
from flows.log.memory import MemoryLog
from flows.log.stop import STOP
from flows.parcel import Parcel
from flows.rounds import rounds_on
from operators.market.sequencer import Sequencer
from schemas.kinds import Kind
from schemas.rows import MarketRows, concat, take
from schemas.topics import MARKET, QUARANTINE
from tests.worker_desk import rows_of
from venues.feed import Feed


def lives(log: MemoryLog, feed: Feed, deaths: Iterator[int]) -> None:
    """Ends with a life to the tape's end; a death is a number of written parts after which it
    happens, also inside a round.
    """
    while not life(log, feed, next(deaths, None)):
        pass


def life(log: MemoryLog, feed: Feed, n_parts: int | None) -> bool:
    """Whether it came to the end of the tape."""
    STOP.arm()
    writer = log.writer()
    source, numbering = rounds_on(log, writer, feed, speed=None, polled=lambda *told: None)
    part = source.build_part("rounds", "all", None)
    intake = ClosingIntake(feed.table.arrays(), len(feed.names), book_feeds(feed))
    quarantine = Sequencer(feed.table.lanes)
    state, refused = intake.initial(), quarantine.initial()
    n_done = 0
    while source.rows.end_ns() is None:
        for _, parcel in part.next_batch():
            closes = parcel.last or parcel.control is not None
            state, out = intake.step(state, (parcel.market, closes))
            refused, rejected = quarantine.step(refused, out.rejected)
            came: Parcel = replace(parcel, market=out.market, held=out.held, quarantine=rejected)
            for piece in numbering.parts(came):
                done = numbering.number(piece)
                packed = {lane: place.pack() for lane, place in done.places.items()}
                writer.append(encode(QUARANTINE, done.quarantine, "test"))
                writer.append(encode(MARKET, done.market, "test", positions=packed.__getitem__))
                n_done += 1
                if n_done == n_parts:
                    part.close()
                    writer.close()
                    return False
    part.close()
    writer.close()
    return True


def of_source(log: Log, lanes: list[int]) -> MarketRows:
    """Source and status rows; heartbeats come as they like."""
    rows: MarketRows = concat([rows_of(log, MARKET, lane) for lane in lanes])
    return take(rows, rows.kind != Kind.HEARTBEAT)
