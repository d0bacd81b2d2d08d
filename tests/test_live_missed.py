"""Promise: each trade of a venue that numbers them comes once and in order, lost frames or not.

What was missed is fetched by REST and stands where it belongs; what cannot be had is counted.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import pytest
from prometheus_client import generate_latest

from cli.worker import watch_feed
from flows.meter import Meter
from operators.market.gate import Gate
from schemas.kinds import Kind, Side
from tests.live_cases import FAST, Reader, check_rows, each_venue, one_market, serving
from tests.venue_server import Script, VenueServer
from venues.frames import Event, FrameClass, Parsed
from venues.frames.parsed import NO_SEQ
from venues.live import LIVE, SessionClock
from venues.live.errors import RestError
from venues.live.handover import Handover, What
from venues.live.holes import Hole, Missed, Numbers
from venues.live.library import LibraryRest, new_exchange, parameters
from venues.live.missed import AGAIN_NS, KNOWN_MAX, RENUMBERED_NS, TradeCounts, TradeTail
from venues.live.session import Session
from venues.live.venue import fetchable

N = Numbers

NUMBERS = {
    "kraken": N.FOLLOW, "binance_spot": N.FOLLOW, "binance_usdm": N.FOLLOW,
    "binance_coinm": N.FOLLOW, "coinbase": N.FOLLOW, "deribit": N.FOLLOW, "okx": N.FOLLOW,
    "kraken_futures": N.UNSAID,
    "bitstamp": N.NAMES, "bybit": N.NAMES, "bybit_linear": N.NAMES,
    "bybit_inverse": N.NAMES, "bitfinex": N.NAMES, "gemini": N.NAMES,
    "hyperliquid": N.NAMES,
}  # fmt: skip
NUMBERED = [name for name, numbers in NUMBERS.items() if numbers is not N.NAMES]
NAMED = [name for name, numbers in NUMBERS.items() if numbers is N.NAMES]
BY_CCXT = [
    "okx", "kraken_futures", "bybit", "bybit_linear", "bybit_inverse", "bitfinex", "gemini",
]  # fmt: skip


@pytest.fixture(name="serve")
def fixture_serve() -> Iterator[Callable[[Script], VenueServer]]:
    yield from serving()


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """A server that says the same to whoever fetches something, with status 200."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            """Says what it was asked for."""
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told = json.dumps({"path": self.path, "posted": asked}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


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


def assert_trades_are_the_venues(reader: Reader) -> None:
    """Each trade since the first is there, once, as its frame says or would have said."""
    rows, said = reader.rows, reader.server.traded[reader.server.script.names[0]]
    is_trade = rows.kind == Kind.TRADE
    said = said[int(rows.venue_seq[is_trade][0]) - 1 :]
    for column in ("venue_seq", "side", "price", "qty", "ts_event_ns"):
        if (column, reader.venue) != ("ts_event_ns", "bitstamp"):  # answers have whole seconds
            expected = [getattr(trade, column) for trade in said]
            np.testing.assert_array_equal(getattr(rows, column)[is_trade], expected, column)


def test_every_venue_s_missed_trades_are_fetched() -> None:
    missed = {name: venue.missed for name, venue in LIVE.items()}
    assert {name: each and each.numbers for name, each in missed.items()} == NUMBERS
    assert [name for name, each in missed.items() if each and each.by] == sorted(
        BY_CCXT, key=list(missed).index
    )


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
        assert_trades_are_the_venues(reader)
        assert_log_takes_them(reader)
        assert reader.counts.trades_missed == 5
        assert reader.counts.trades_repeated == 1
        assert reader.counts.trades_lost == reader.counts.trade_gaps == 0
        check_rows(reader)


@each_venue
def test_trades_of_a_lost_connection_are_fetched(venue: str, serve: Any) -> None:
    server = serve(one_market(venue, 120))
    with Reader(server) as reader:
        reader.begin()
        server.play(20)
        reader.until(lambda: len(numbers(reader)) >= 3)
        server.disconnect()
        reader.until(lambda: reader.counts.lost_connections == 1)
        before = len(numbers(reader))
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
        assert_trades_are_the_venues(reader)
        assert reader.counts.trades_fetched >= n_trades - before - 1
        assert reader.counts.trades_lost == reader.counts.trade_gaps == 0
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


@pytest.mark.parametrize("venue", NAMED)
def test_where_nothing_can_be_had_the_gap_is_counted(venue: str, serve: Any) -> None:
    server = serve(one_market(venue, 80))
    with Reader(server, pace=replace(FAST, missed_s=0.3)) as reader:
        reader.begin()
        server.play(16)
        reader.until(lambda: len(numbers(reader)) > 2)
        assert reader.counts.trade_gaps == 0
        server.disconnect()
        reader.until(lambda: reader.counts.lost_connections == 1)
        server.next_trade()
        server.happen()
        server.traded[server.script.names[0]].clear()  # what the venue's answers have
        reader.until(lambda: reader.session.opened == 2 and server.n_subscribed == 1)
        reader.finish()
        reader.until(lambda: reader.counts.trade_gaps == 1)
        reader.until(lambda: numbers(reader)[-1:] == [20])
        assert len(numbers(reader)) < 20
        check_rows(reader)


def test_without_ccxt_missed_trades_are_counted(
    serve: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("venues.live.venue.is_installed", lambda: False)
    assert fetchable(LIVE["kraken"]) is LIVE["kraken"]
    server = serve(one_market("okx", 80))
    with Reader(server) as reader:
        assert "missed trades will be counted, not fetched" in caplog.text
        reader.begin()
        server.play(16)
        server.disconnect()
        reader.until(lambda: reader.session.opened == 2 and server.n_subscribed == 1)
        reader.finish()
        reader.until(lambda: reader.counts.trade_gaps == 1)


HOLE = Hole(8, 14, 1_767_225_600_123_000_000, 1_767_225_601_000_000_000)


@pytest.mark.parametrize("venue", BY_CCXT)
def test_ccxt_asks_where_the_venue_s_rules_say(venue: str) -> None:
    """Two who know the venue: the path is ours, the address ccxt's."""
    rules = LIVE[venue]
    assert rules.missed is not None
    assert rules.missed.by is not None
    path = rules.missed.path(rules.example, HOLE)
    exchange, asked = new_exchange(rules.missed.by.exchange), []
    exchange.fetch = lambda url, *_: asked.append(url)
    getattr(exchange, rules.missed.by.method)(parameters(rules.missed.by.named, path))
    assert asked == [rules.rest + path]


# Errors that come with status 200, which ccxt knows.
REFUSED = [
    ("okx",            b'{"code":"50011","msg":"Too Many Requests","data":[]}', "RateLimit"),
    ("bybit",          b'{"retCode":10006,"retMsg":"Too many visits","result":{}}', "RateLimit"),
    ("gemini",         b'{"result":"error","reason":"System","message":"no"}', "ExchangeError"),
    ("kraken_futures", b'{"result":"error","error":"apiLimitExceeded"}', "RateLimit"),
]  # fmt: skip


@pytest.mark.parametrize(("venue", "body", "error"), REFUSED)
def test_refusals_that_ccxt_knows_are_failures(venue: str, body: bytes, error: str) -> None:
    rules = LIVE[venue]
    assert rules.missed is not None
    assert rules.missed.by is not None
    path = rules.missed.path(rules.example, HOLE)
    with answering(body) as base, pytest.raises(RestError, match=error):
        LibraryRest(rules.missed.by, base).get(path)


def test_posted_request() -> None:
    """Hyperliquid's; the venue server of the other tests can only be fetched from."""
    rules = LIVE["hyperliquid"]
    assert rules.missed is not None
    path = rules.missed.path("BTC", HOLE)
    with answering(b"[]") as base:
        session = Session(
            0, replace(rules, rest=base), ["BTC"],
            clock=SessionClock(), handover=Handover(), pace=FAST,
        )  # fmt: skip
        asked = {"path": "/info", "posted": {"type": "recentTrades", "coin": "BTC"}}
        assert json.loads(session._get(path, What.TRADES)) == asked


def test_snapshots_do_not_wait_for_those_who_wait_for_ccxt() -> None:
    """It keeps to its venue's pace, and after a lost connection every market asks it at once."""
    rules, free, asked = LIVE["okx"], threading.Event(), 0

    def wait(path: str) -> bytes:
        nonlocal asked
        asked += 1
        assert free.wait(60.0)
        return b"[]"

    async def ask(session: Session) -> None:
        missed = [asyncio.create_task(session._fetch("/t", What.TRADES)) for _ in range(40)]
        await asyncio.sleep(0)
        assert await asyncio.wait_for(session._fetch("/b", What.FRAME), 30.0)
        free.set()
        assert all(await asyncio.gather(*missed))

    with answering(b"[]") as base:
        session = Session(
            0, replace(rules, rest=base), ["BTC-USDT"],
            clock=SessionClock(), handover=Handover(), pace=FAST,
        )  # fmt: skip
        assert session._library is not None
        session._library.get = wait  # type: ignore[method-assign]
        asyncio.run(ask(session))
    assert asked == 40


def trade(number: int, *, symbol: int = 0, at_ns: int | None = None) -> Event:
    at_ns = number * 10 if at_ns is None else at_ns
    return Event(Kind.TRADE, symbol, at_ns, number, Side.BUY, 1.0, 1.0)


def frame(*trades: Event) -> Parsed:
    return Parsed(FrameClass.DATA, "trade", "", 1, len(trades), tuple(trades))


class Tail:
    """A tail, the paths that it asked for, and the numbers that it gave out."""

    def __init__(
        self, numbers: N = N.FOLLOW, *, newest_first: bool = False, patience_ns: int = 100
    ) -> None:
        self.asked: list[str] = []
        self.counts = TradeCounts()
        self.out: list[tuple[int, int]] = []  # number and venue time
        missed = Missed(
            lambda name, hole: f"{name}:{hole.first}-{hole.last}@{hole.since_ns}",
            numbers,
            newest_first=newest_first,
        )
        self.tail = TradeTail(
            ["a", "b"], missed, ask=self.asked.append, patience_ns=patience_ns, counts=self.counts
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


# What an answer has for the hole between 10 and 20, where numbers only tell trades apart. An answer
# that does not have 20 yet is asked for anew, until there is no more patience.
BETWEEN = [
    # what it is                     what it has            what is given out     times asked, gaps
    ("nothing was missed",           [10, 20],              [10, 20],             1, 0),
    ("one was",                      [10, 15, 20],          [10, 15, 20],         1, 0),
    ("an older one is known",        [5, 15, 20, 25],       [5, 10, 15, 20],      1, 0),
    ("numbers that do not rise",     [10, 99, 11, 20],      [10, 99, 11, 20],     1, 0),
    ("it begins too late",           [15, 20],              [10, 15, 20],         1, 1),
    ("it ends too early",            [10, 15],              [10, 15, 20],         2, 1),
    ("it is too short for both",     [25, 30],              [10, 20],             1, 1),
    ("it lacks the one behind",      [10, 15, 25],          [10, 15, 20],         1, 1),
    ("it knows other numbers",       [1010, 1015, 1020],    [10, 1015, 20],       2, 1),
    ("it is empty",                  [],                    [10, 20],             2, 1),
]  # fmt: skip
AT_NS = {99: 150, 11: 160, 1010: 100, 1015: 150, 1020: 200}  # venue time; of others ten times n


def named(number: int) -> Event:
    return trade(number, at_ns=AT_NS.get(number, 10 * number))


@pytest.mark.parametrize(
    ("page", "given", "n_asked", "gaps"), [c[1:] for c in BETWEEN], ids=[c[0] for c in BETWEEN]
)
def test_numbers_that_tell_trades_apart(
    page: list[int], given: list[int], n_asked: int, gaps: int
) -> None:
    for newest_first in (False, True):
        tail = Tail(N.NAMES, newest_first=newest_first, patience_ns=2 * AGAIN_NS)
        tail.take(*([named(5)] if 5 in page else []), named(10))
        tail.tail.opened()
        tail.take(named(20))
        for now_ns in range(0, n_asked * AGAIN_NS, AGAIN_NS):
            tail.give(tail.tail.late(now_ns))
            tail.answer(*(named(n) for n in (page[::-1] if newest_first else page)))
            tail.give(tail.tail.late(now_ns))
        assert (tail.numbers == given) == (n_asked == 1)  # or it would wait for nothing
        tail.give(tail.tail.late(2 * AGAIN_NS + 1))
        assert tail.numbers == given
        assert (len(tail.asked), tail.counts.trade_gaps) == (n_asked, gaps)
        tail.take(named(40))  # a hole like any other: the connection was not lost
        assert tail.numbers[-1] == 40


def test_answer_that_was_early_is_asked_for_anew() -> None:
    tail = Tail(N.NAMES, patience_ns=2 * AGAIN_NS)
    tail.take(named(10))
    tail.tail.opened()
    tail.take(named(20))
    tail.answer(named(10))
    tail.give(tail.tail.late(7))
    tail.give(tail.tail.late(6 + AGAIN_NS))
    assert len(tail.asked) == 1
    tail.give(tail.tail.late(7 + AGAIN_NS))
    assert len(tail.asked) == 2
    tail.answer(named(10), named(15), named(20))
    assert (tail.numbers, tail.counts.trade_gaps) == ([10, 15, 20], 0)
    tail.take(named(15))  # late, and known by now
    assert (tail.numbers, tail.counts.trades_repeated) == ([10, 15, 20], 1)


def test_first_frame_of_a_subscription_may_begin_with_what_is_known() -> None:
    tail = Tail(N.NAMES)
    tail.take(named(10), named(11))
    tail.tail.opened()
    tail.take(named(10), named(11), named(15), named(20))
    assert tail.numbers == [10, 11, 15, 20]
    assert (tail.asked, tail.counts.trades_repeated, tail.counts.trade_gaps) == ([], 2, 0)


def test_trade_in_front_of_known_ones_comes_too_late() -> None:
    """It was missed before, could not be had, and may not stand behind a later one now."""
    tail = Tail(N.NAMES)
    tail.take(named(10))
    tail.tail.opened()
    tail.take(named(20))
    tail.give(tail.tail.given_up())
    tail.tail.opened()
    tail.take(named(10), named(15), named(20), named(25))
    assert tail.numbers == [10, 20, 25]
    assert (tail.counts.trades_repeated, tail.counts.trade_gaps) == (3, 1)


def test_trades_without_a_name_are_neither_repeated_nor_fetched() -> None:
    tail = Tail(N.NAMES)
    tail.take(trade(NO_SEQ, at_ns=10), trade(NO_SEQ, at_ns=10))
    tail.tail.opened()
    tail.take(trade(NO_SEQ, at_ns=10))
    assert tail.numbers == [NO_SEQ] * 3
    assert (tail.asked, tail.counts.trade_gaps) == ([], 1)


def test_names_are_forgotten() -> None:
    tail = Tail(N.NAMES)
    for number in range(KNOWN_MAX + 1):
        tail.take(trade(number))
    tail.take(trade(1))
    assert tail.counts.trades_repeated == 1
    tail.take(trade(0))
    assert tail.counts.trades_repeated == 1


# Prices of an answer for the hole between 10 and 13, whose trades have no numbers.
COUNTED = [
    ("as many as are missing",    [9, 10, 11, 12, 13, 14],    [10, 11, 12, 13], 0),
    ("twice the same",            [10, 10, 11, 12, 13, 13],   [10, 11, 12, 13], 0),
    ("one too few",               [10, 11, 13],               [10, 13],         2),
    ("one too many",              [10, 11, 11, 12, 13],       [10, 13],         2),
    ("it begins too late",        [11, 12, 13],               [10, 13],         2),
    ("it ends too early",         [10, 11, 12],               [10, 13],         2),
    ("it lacks the one behind",   [10, 11, 12, 14],           [10, 13],         2),
]  # fmt: skip


@pytest.mark.parametrize(
    ("page", "given", "lost"), [c[1:] for c in COUNTED], ids=[c[0] for c in COUNTED]
)
def test_answers_without_numbers_are_counted(page: list[int], given: list[int], lost: int) -> None:
    def priced(number: int, price: int) -> Event:
        return trade(number, at_ns=10 * price)._replace(price=float(price))

    tail = Tail(N.UNSAID)
    tail.take(priced(10, 10))
    tail.take(priced(13, 13))
    tail.answer(*(priced(NO_SEQ, price) for price in page))
    tail.give(tail.tail.given_up())
    assert tail.out == [(number, 10 * number) for number in given]
    assert (tail.counts.trades_lost, tail.counts.trades_fetched) == (lost, 2 - lost)


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


def test_venue_that_counts_anew_is_followed() -> None:
    tail = Tail()
    tail.take(trade(1_000, at_ns=0))
    tail.take(trade(1, at_ns=RENUMBERED_NS))  # it may still be one from before
    tail.take(trade(7, at_ns=RENUMBERED_NS + 1), trade(8, at_ns=RENUMBERED_NS + 2))
    tail.take(trade(10, at_ns=RENUMBERED_NS + 3))
    tail.answer(trade(9, at_ns=RENUMBERED_NS + 2))
    assert tail.numbers == [1_000, 7, 8, 9, 10]
    assert (tail.counts.trade_gaps, tail.counts.trades_repeated) == (1, 1)


def test_lost_connection_gives_up_what_waits() -> None:
    tail = Tail()
    tail.take(trade(1))
    tail.take(trade(3))
    tail.give(tail.tail.given_up())
    assert (tail.numbers, tail.counts.trades_lost) == ([1, 3], 1)
