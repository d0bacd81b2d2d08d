"""Promise: a live connection that breaks, falls silent or asks to be left ends in a right book.

Or in a halted one; and a quiet venue is not taken for a dead one.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from operators.market.books.words import BookReason, BookState
from tests.live_cases import (
    FAST,
    Reader,
    check_rows,
    each_venue,
    one_market,
    serving,
)
from tests.venue_server import Script, VenueServer
from venues.live import LIVE

S = BookState


@pytest.fixture(name="serve")
def fixture_serve() -> Iterator[Callable[[Script], VenueServer]]:
    yield from serving()


@each_venue
def test_lost_connection_is_told_and_opened_anew(venue: str, serve: Any) -> None:
    server = serve(one_market(venue))
    with Reader(server) as reader:
        reader.begin()
        server.play(8)
        reader.until(reader.is_true)
        server.disconnect()
        reader.until(lambda: reader.counts.lost_connections == 1)
        assert reader.states()[-1] in (S.GAP, S.RESYNC)
        assert BookReason.DISCONNECTED in reader.reasons()
        reader.until(lambda: server.n_subscribed == 1)
        server.next_change()
        reader.finish()
        assert reader.session.opened == 2
        good = reader.states()[1]
        assert reader.states() == [S.RESYNC, good, S.GAP, *[S.RESYNC] * 1, good]
        check_rows(reader)


@each_venue
def test_silent_connection_is_left(venue: str, serve: Any) -> None:
    server = serve(one_market(venue))
    with Reader(server, silent_s=0.5) as reader:
        reader.begin()
        server.play(8)
        reader.until(reader.is_true)
        server.stall()
        server.happen()  # what nobody hears
        reader.until(lambda: server.n_opened >= 2 and server.n_subscribed >= 1)
        server.next_change()
        reader.finish()
        assert reader.session.stalls >= 1
        assert {S.GAP, S.STALE} & set(reader.states())
        check_rows(reader)


@each_venue
def test_quiet_venue_that_answers_is_not_left(venue: str, serve: Any) -> None:
    server = serve(one_market(venue))
    with Reader(server, silent_s=1.0) as reader:
        reader.begin()
        n_sent = reader.counts.frames
        reader.until(lambda: reader.counts.frames >= n_sent + 2)  # signs of life alone
        assert (reader.session.stalls, reader.session.opened) == (0, 1)
        assert S.STALE not in reader.states()


@each_venue
def test_book_that_stays_silent_while_its_market_trades_is_asked_for(
    venue: str, serve: Any
) -> None:
    server = serve(one_market(venue, 400))
    with Reader(server, pace=replace(FAST, frozen_s=0.2)) as reader:
        reader.begin()
        server.play(8)
        reader.until(reader.is_true)
        server.hides |= set(server.script.names)

        def trades_go_on() -> bool:
            if server.rest_of() > 20:
                server.play()
            return bool(reader.counts.frozen == 1)

        reader.until(trades_go_on)
        server.hides.clear()
        server.next_change()
        reader.finish()
        assert S.GAP in reader.states()
        assert BookReason.STALE in reader.reasons()


@each_venue
def test_book_that_no_snapshot_mends_is_halted(venue: str, serve: Any) -> None:
    server = serve(one_market(venue))
    pace = replace(FAST, patience_s=0.05, tries_max=2)
    with Reader(server, pace=pace) as reader:
        server.spoil = lambda frame: frame[: len(frame) // 2]
        if LIVE[venue].whole:  # its next change would be a snapshot
            server.hides |= set(server.script.names)
        reader.until(lambda: server.n_subscribed == 1)
        server.next_change()
        server.play()
        reader.until(lambda: reader.counts.halts == 1)
        assert reader.states()[-1] == S.HALTED
        server.spoil = lambda frame: frame
        server.hides.clear()
        server.disconnect()
        reader.until(lambda: server.n_opened == 2 and server.n_subscribed == 1)
        server.play(server.rest_of())
        reader.until(lambda: reader.counts.halted_rows > 0)
        assert not reader.synced()
        assert reader.states()[-1] == S.HALTED
        reader.feed.resume(0, 0)  # an operator wants it back
        reader.until(reader.synced)
        assert S.RESYNC in reader.states()[reader.states().index(S.HALTED) :]
        assert BookReason.OPERATOR in reader.reasons()


@each_venue
def test_book_that_is_good_is_asked_for_again_if_an_operator_resumes_it(
    venue: str, serve: Any
) -> None:
    """Halted by who takes its rows: its feed never knew."""
    server = serve(one_market(venue))
    with Reader(server) as reader:
        reader.begin()
        reader.until(reader.synced)
        n_snapshots = reader.counts.snapshots
        reader.feed.resume(0, 0)
        reader.until(lambda: reader.counts.snapshots > n_snapshots and reader.synced())
        assert reader.states()[-2] == S.RESYNC
        assert S.HALTED not in reader.states()


def test_reader_that_falls_behind_loses_the_connection_not_the_truth(serve: Any) -> None:
    server = serve(one_market("kraken", 400))
    with Reader(server, bytes_max=40_000) as reader:
        reader.begin()
        server.play(390)
        while reader.session.overflows == 0:
            reader.feed.wait(0.01)  # nothing is taken
        reader.until(lambda: server.n_subscribed == 1 and reader.counts.lost_connections >= 1)
        reader.finish()
        assert BookReason.DISCONNECTED in reader.reasons()


def test_venue_that_asks_for_a_new_connection_gets_one(serve: Any) -> None:
    server = serve(one_market("bitstamp"))
    with Reader(server) as reader:
        reader.begin()
        server.deliver_text(b'{"event":"bts:request_reconnect","channel":"","data":""}')
        reader.until(lambda: server.n_opened == 2 and server.n_subscribed == 1)
        server.next_change()
        reader.finish()
        assert reader.session.opened == 2


@pytest.mark.parametrize("line", [0, 1])
def test_venue_with_two_websockets_is_left_when_either_is_silent(line: int, serve: Any) -> None:
    server = serve(one_market("binance_usdm"))
    with Reader(server, silent_s=0.5) as reader:
        reader.begin()
        server.stall(line=line)
        reader.until(lambda: server.n_opened >= 2 and server.n_subscribed >= 1)
        server.next_change()
        reader.finish()
        assert reader.session.stalls >= 1


def test_venue_that_wants_pings_gets_them_however_busy_it_is(serve: Any) -> None:
    server = serve(one_market("bybit", 4000))
    with Reader(server, ping_s=0.2, silent_s=2.0) as reader:
        reader.begin()

        def busy() -> bool:
            if server.rest_of():
                server.play()
            return sum("ping" in said for said in server.heard) >= 2

        reader.until(busy)
        assert server.rest_of() > 0  # no silence made it ask


def test_venues_own_wish_for_pings() -> None:
    assert {name for name, venue in LIVE.items() if venue.ping_s} == {
        "bybit", "bybit_inverse", "bybit_linear",
    }  # fmt: skip
