"""Promise: each trade of a venue that numbers them comes once and in order, lost frames or not.

What was missed is fetched by REST and stands where it belongs; what cannot be had is counted.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from prometheus_client import generate_latest

from cli.worker import watch_feed
from flows.meter import Meter
from operators.market.gate import Gate
from schemas.kinds import Kind, Side
from tests.live_cases import NAMES, Reader, check_rows, one_market, serving
from tests.venue_server import Script, VenueServer
from venues.frames import Event, FrameClass, Parsed
from venues.live import LIVE
from venues.live.missed import Missed, TradeCounts, TradeTail

FETCHED = [name for name, venue in LIVE.items() if venue.missed is not None]
NUMBERED = [name for name in FETCHED if LIVE[name].missed.numbered]  # type: ignore[union-attr]
SILENT = [name for name in NAMES if name not in FETCHED]


@pytest.fixture(name="serve")
def fixture_serve() -> Iterator[Callable[[Script], VenueServer]]:
    yield from serving()


def numbers(reader: Reader) -> list[int]:
    """Of the trades, in the order of the rows."""
    rows = reader.rows
    return [int(n) for n in rows.venue_seq[rows.kind == Kind.TRADE]]


def assert_log_takes_them(reader: Reader) -> None:
    """Venue time does not go back, so that the gate in front of the log refuses none."""
    rows = reader.rows
    assert (np.diff(rows.ts_event_ns[rows.kind == Kind.TRADE]) >= 0).all()
    gate = Gate(reader.feed.table.arrays(), 1)
    _, (_, refused) = gate.step(gate.initial(), rows)
    assert refused.seq.size == 0


def test_which_venues_missed_trades_are_fetched_of() -> None:
    assert set(NUMBERED) == {
        "kraken", "binance_spot", "binance_usdm", "binance_coinm", "coinbase", "deribit",
    }  # fmt: skip
    assert set(FETCHED) - set(NUMBERED) == {"bitstamp"}


@pytest.mark.parametrize("venue", NUMBERED)
def test_lost_trades_are_fetched_and_stand_where_they_belong(venue: str, serve: Any) -> None:
    server = serve(one_market(venue, 120))
    with Reader(server) as reader:
        reader.begin()
        server.play(12)
        for _ in range(5):  # more than two pages
            server.next_trade()
            server.happen()
        server.next_trade()
        server.deliver(trade := server.happen())
        server.deliver(trade)  # and once more
        reader.until(lambda: reader.counts.trades_fetched == 5)
        reader.finish()
        reader.until(lambda: len(numbers(reader)) == 30)
        assert numbers(reader) == list(range(1, 31))
        assert_log_takes_them(reader)
        assert reader.counts.trades_missed == 5
        assert reader.counts.trades_repeated == 1
        assert reader.counts.trades_lost == reader.counts.trade_gaps == 0
        check_rows(reader)


@pytest.mark.parametrize("venue", FETCHED)
def test_trades_of_a_lost_connection_are_fetched(venue: str, serve: Any) -> None:
    server = serve(one_market(venue, 120))
    with Reader(server) as reader:
        reader.begin()
        server.play(20)
        reader.until(lambda: len(numbers(reader)) >= 3)
        before = len(numbers(reader))
        server.disconnect()
        reader.until(lambda: reader.counts.lost_connections == 1)
        for _ in range(3):
            server.next_trade()
            server.happen()
        n_trades = len(server.traded[server.script.names[0]])
        reader.until(lambda: server.n_subscribed == 1 and reader.session.opened == 2)
        reader.finish()
        reader.until(lambda: reader.counts.trades_fetched > 0)
        n = len(server.traded[server.script.names[0]])
        reader.until(lambda: len(numbers(reader)) == n - numbers(reader)[0] + 1)
        assert numbers(reader) == list(range(numbers(reader)[0], n + 1))
        assert reader.counts.trades_fetched >= n_trades - before - 1
        assert_log_takes_them(reader)
        check_rows(reader)


@pytest.mark.parametrize("venue", NUMBERED)
def test_trades_that_cannot_be_had_are_counted_and_the_others_go_on(venue: str, serve: Any) -> None:
    server = serve(one_market(venue, 80))
    with Reader(server) as reader:
        reader.begin()
        server.play(8)
        server.rest_fails = True
        server.next_trade()
        server.happen()
        lost = len(server.traded[server.script.names[0]])
        server.play(8)
        reader.until(lambda: reader.counts.trades_lost == 1)
        meter = Meter("ingest", "0-7")
        watch_feed(reader.feed, meter)
        shown = generate_latest(meter.registry).decode()
        assert f'venue="{venue}",what="trades_lost"}} 1.0' in shown.replace(", ", ",")
        server.rest_fails = False
        reader.finish()
        reader.until(lambda: numbers(reader)[-1:] == [20])
        assert numbers(reader) == [n for n in range(1, 21) if n != lost]
        check_rows(reader)


@pytest.mark.parametrize("venue", SILENT)
def test_where_nothing_can_be_fetched_the_gap_is_counted(venue: str, serve: Any) -> None:
    server = serve(one_market(venue, 80))
    with Reader(server) as reader:
        reader.begin()
        server.play(16)
        reader.until(lambda: len(numbers(reader)) > 2)
        assert reader.counts.trade_gaps == 0
        server.disconnect()
        reader.until(lambda: reader.session.opened == 2 and server.n_subscribed == 1)
        reader.finish()
        reader.until(lambda: reader.counts.trade_gaps == 1)


def trade(number: int, *, symbol: int = 0, at_ns: int | None = None) -> Event:
    at_ns = number * 10 if at_ns is None else at_ns
    return Event(Kind.TRADE, symbol, at_ns, number, Side.BUY, 1.0, 1.0)


def frame(*trades: Event) -> Parsed:
    return Parsed(FrameClass.DATA, "trade", "", 1, len(trades), tuple(trades))


class Tail:
    """A tail, the paths that it asked for, and the numbers that it gave out."""

    def __init__(self, *, numbered: bool = True, newest_first: bool = False) -> None:
        self.asked: list[str] = []
        self.counts = TradeCounts()
        self.out: list[tuple[int, int]] = []  # number and venue time
        missed = Missed(
            lambda name, hole: f"{name}:{hole.first}-{hole.last}@{hole.since_ns}",
            numbered=numbered,
            newest_first=newest_first,
        )
        self.tail = TradeTail(
            ["a", "b"], missed, ask=self.asked.append, patience_ns=100, counts=self.counts
        )

    def take(self, *trades: Event, now_ns: int = 0) -> None:
        self.give(self.tail.accept(self.tail.without_repeated(frame(*trades)), now_ns))

    def answer(self, *trades: Event) -> None:
        self.give(self.tail.answered(self.asked[-1], trades))

    def give(self, frames: list[Parsed]) -> None:
        parts = [part for parsed in frames for part in parsed.parts]
        self.out += [(one.venue_seq, one.ts_event_ns) for one in parts if isinstance(one, Event)]

    @property
    def numbers(self) -> list[int]:
        return [number for number, _ in self.out]


def test_what_is_behind_a_hole_waits_for_it() -> None:
    tail = Tail()
    tail.take(trade(1))
    tail.take(trade(4), trade(5))
    tail.take(trade(6))
    assert (tail.numbers, tail.asked) == ([1], ["a:2-3@10"])
    tail.answer(trade(1), trade(2), trade(3), trade(4))
    assert tail.numbers == [1, 2, 3, 4, 5, 6]
    tail.take(trade(7))
    assert tail.numbers[-1] == 7


def test_each_of_several_holes_is_filled_where_it_is() -> None:
    for order in ([0, 1], [1, 0]):
        tail = Tail()
        tail.take(trade(1))
        tail.take(trade(3), trade(4))
        tail.take(trade(5), trade(7))  # the second hole is inside a frame
        assert tail.asked == ["a:2-2@10", "a:6-6@50"]
        for one in order:
            tail.give(tail.tail.answered(tail.asked[one], [trade(2 + 4 * one)]))
        assert tail.out == [(number, 10 * number) for number in range(1, 8)]
        assert tail.counts.trades_fetched == 2


def test_pages_from_either_end() -> None:
    oldest, newest = Tail(), Tail(newest_first=True)
    for tail in (oldest, newest):
        tail.take(trade(1))
        tail.take(trade(6))
    oldest.answer(trade(2), trade(3))
    oldest.answer(trade(4), trade(5))
    assert oldest.asked == ["a:2-5@10", "a:4-5@30"]
    newest.answer(trade(5), trade(4))
    newest.answer(trade(3), trade(2), trade(1))
    assert newest.asked == ["a:2-5@10", "a:2-3@10"]
    assert oldest.numbers == newest.numbers == [1, 2, 3, 4, 5, 6]


def test_page_that_brings_nothing_is_the_last() -> None:
    tail = Tail()
    tail.take(trade(1))
    tail.take(trade(5))
    tail.answer(trade(2))
    tail.answer()
    assert tail.numbers == [1, 2, 5]
    assert (tail.counts.trades_missed, tail.counts.trades_lost) == (3, 2)


def test_another_market_does_not_wait_unless_it_shares_a_frame() -> None:
    tail = Tail()
    tail.take(trade(1), trade(1, symbol=1))
    tail.take(trade(3))
    tail.take(trade(2, symbol=1))
    assert tail.numbers == [1, 1, 2]
    tail.take(trade(4), trade(3, symbol=1))
    tail.take(trade(4, symbol=1))  # behind one that waits
    assert tail.numbers == [1, 1, 2]
    tail.answer(trade(2))
    assert tail.numbers == [1, 1, 2, 2, 3, 4, 3, 4]


def test_trade_that_comes_late_by_itself_fills_the_hole() -> None:
    tail = Tail()
    tail.take(trade(1))
    tail.take(trade(3))
    tail.take(trade(2))
    assert tail.numbers == [1, 2, 3]
    assert (tail.counts.trades_fetched, tail.counts.trades_repeated) == (1, 0)


def test_patience_ends() -> None:
    tail = Tail()
    tail.take(trade(1))
    tail.take(trade(3), now_ns=5)
    tail.give(tail.tail.late(105))
    assert tail.numbers == [1]
    tail.give(tail.tail.late(106))
    assert tail.numbers == [1, 3]
    tail.answer(trade(2))  # too late
    assert tail.numbers == [1, 3]
    assert tail.counts.trades_lost == 1


def test_times_are_held_between_the_neighbours() -> None:
    tail = Tail()
    tail.take(trade(1, at_ns=1_500))
    tail.take(trade(4, at_ns=3_500))
    tail.answer(trade(2, at_ns=1_000), trade(3, at_ns=4_000))  # whole thousands
    assert tail.out == [(1, 1_500), (2, 1_500), (3, 3_500), (4, 3_500)]


# What an answer has for the hole 11 to 19, where numbers only rise.
BOUNDED = [
    ("nothing was missed",    [10, 20],         [10, 20],         0),
    ("one was",               [10, 15, 20],     [10, 15, 20],     0),
    ("it begins too late",    [15, 20],         [10, 15, 20],     1),
    ("it ends too early",     [10, 15],         [10, 15, 20],     1),
    ("it is empty",           [],               [10, 20],         1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("page", "given", "gaps"), [c[1:] for c in BOUNDED], ids=[c[0] for c in BOUNDED]
)
def test_numbers_that_only_rise(page: list[int], given: list[int], gaps: int) -> None:
    tail = Tail(numbered=False)
    tail.take(trade(10))
    tail.tail.opened()
    tail.take(trade(20))
    tail.answer(*(trade(number) for number in page))
    assert tail.numbers == given
    assert tail.counts.trade_gaps == gaps
    tail.take(trade(40))  # a hole like any other: the connection was not lost
    assert tail.numbers[-1] == 40


def test_venue_that_has_nothing_is_not_asked_for_each_hole() -> None:
    tail = Tail()
    tail.take(trade(1))
    tail.take(trade(3))
    tail.answer()
    tail.take(trade(5), now_ns=99)
    assert (tail.numbers, len(tail.asked)) == ([1, 3, 5], 1)
    assert (tail.counts.trades_missed, tail.counts.trades_lost) == (2, 2)
    tail.take(trade(7), now_ns=100)
    assert (tail.numbers, len(tail.asked)) == ([1, 3, 5], 2)


def test_lost_connection_gives_up_what_waits() -> None:
    tail = Tail()
    tail.take(trade(1))
    tail.take(trade(3))
    tail.give(tail.tail.given_up())
    assert (tail.numbers, tail.counts.trades_lost) == ([1, 3], 1)
