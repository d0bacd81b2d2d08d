"""Promise: a live feed refuses by name what it cannot serve; its clock and watches are exact."""

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import pytest

from operators.market.books.words import BookReason, BookState
from schemas.instruments import InstrumentKind
from schemas.kinds import Kind
from tests.live_cases import Reader, rules
from tests.venue_server import VenueServer, made_up
from venues.feed import LiveFeed as Wanted
from venues.frames import PARSERS
from venues.live import HISTORICAL, LIVE, LiveError, LiveFeed, Pace, SessionClock
from venues.live.errors import RestError
from venues.live.handover import ITEM_BYTES, Handover, Received, What
from venues.live.instruments import Market, instrument_table
from venues.live.rules.binance import binance_steps
from venues.live.rules.bitfinex import bitfinex_steps
from venues.live.rules.bitstamp import bitstamp_steps
from venues.live.rules.bybit import bybit_steps
from venues.live.rules.coinbase import coinbase_steps
from venues.live.rules.deribit import deribit_steps
from venues.live.rules.gemini import gemini_steps
from venues.live.rules.hyperliquid import hyperliquid_steps
from venues.live.rules.kraken import kraken_steps
from venues.live.rules.kraken_futures import kraken_futures_steps
from venues.live.rules.okx import okx_steps
from venues.live.venue import Steps
from venues.live.watch import BookWatch, Due

S_NS = 1_000_000_000
PACE = Pace(patience_s=5.0, tries_max=3, too_old_s=0.5, frozen_s=10.0, crossed_s=2.0)

# fmt: off
REFUSED: list[tuple[str, list[str], str]] = [  # what is asked for, and what is said
    ("nothing",            [],                              "0 markets were given"),
    ("no venue",           ["BTC/USD"],                     "Write venue:NAME"),
    ("an unknown venue",   ["mtgox:BTCUSD"],                "not a live venue. There are: "),
    ("a past protocol",    ["kraken_v1:XBT/USD"],           "Use 'kraken'"),
    ("an index",           ["deribit:btc_usd"],             "Write it as deribit:BTC-PERPETUAL"),
    ("dated and inverse",  ["bybit_inverse:BTCUSDZ26"],     "Write it as bybit_inverse:BTCUSD"),
    ("another's name",     ["kraken:BTCUSDT"],              "Write it as kraken:BTC/USD"),
    ("an injected path",   ["binance_spot:BTC&limit=5"],    "Write it as binance_spot:BTCUSDT"),
    ("twice",              ["kraken:BTC/USD"] * 2,          "Name each market once"),
]
# fmt: on


@pytest.mark.parametrize(("markets", "said"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_refused_by_name(markets: list[str], said: str) -> None:
    with pytest.raises(LiveError) as refused:
        LiveFeed(markets)
    assert said in str(refused.value)


def test_every_parser_runs_live_or_is_of_the_past() -> None:
    assert set(PARSERS) == {*LIVE, *HISTORICAL}
    assert set(HISTORICAL.values()) <= set(LIVE)


@pytest.mark.parametrize("venue", HISTORICAL)
def test_protocol_of_the_past_is_refused_and_told_what_took_its_place(venue: str) -> None:
    said = f"'{venue}': a protocol of the past.*Use '{HISTORICAL[venue]}'; live venues are kraken, "
    with pytest.raises(LiveError, match=said):
        LiveFeed([f"{venue}:BTCUSD"])


SPOT, LINEAR, INVERSE = InstrumentKind.SPOT, InstrumentKind.LINEAR, InstrumentKind.INVERSE
OPTION = InstrumentKind.OPTION
# fmt: off
# Venue, market; as the server lists them: tick, lot; then kind, base, quote, contract size.
LISTED: list[tuple[str, str, str, str, InstrumentKind, str, str, str]] = [
    ("kraken",         "BTC/USD",       "0.1",        "0.00000001", SPOT, "BTC", "USD",  "1"),
    ("binance_spot",   "BTCUSDT",       "0.01",       "0.0001",     SPOT,    "BTC", "USDT", "1"),
    ("binance_usdm",   "BTCUSDT",       "0.01",       "0.0001",     LINEAR,  "BTC", "USDT", "1"),
    ("binance_coinm",  "BTCUSD_PERP",   "0.01",       "0.0001",     INVERSE, "BTC", "USD",  "100"),
    ("coinbase",       "BTC-USD",       "0.01",       "0.00000001", SPOT, "BTC", "USD",  "1"),
    ("bitstamp",       "btcusd",        "0.01",       "0.00000001", SPOT, "BTC", "USD",  "1"),
    ("kraken_futures", "PF_XBTUSD",     "0.5",        "0.0001",     LINEAR,  "BTC", "USD",  "1"),
    ("kraken_futures", "FI_ETHUSD_211231", "0.5",     "0.0001",     INVERSE, "ETH", "USD",  "1"),
    ("bybit",          "BTCUSDT",       "0.01",       "0.000001",   SPOT,    "BTC", "USDT", "1"),
    ("bybit_linear",   "BTCUSDT",       "0.01",       "0.000001",   LINEAR,  "BTC", "USDT", "1"),
    ("bybit_linear",   "BTC-26JUN26",   "0.01",       "0.000001",   LINEAR,  "BTC", "USDC", "1"),
    ("bybit_inverse",  "BTCUSD",        "0.01",       "0.000001",   INVERSE, "BTC", "USD",  "1"),
    ("okx",            "BTC-USDT",      "0.1",        "0.00000001", SPOT, "BTC", "USDT", "1"),
    ("okx",            "ETH-USDT-SWAP", "0.1",        "0.00000001", LINEAR, "ETH", "USDT", "0.01"),
    ("okx",            "BTC-USD-SWAP",  "0.1",        "0.00000001", INVERSE, "BTC", "USD",  "0.01"),
    ("deribit",        "BTC-PERPETUAL", "0.5",        "10",         INVERSE, "BTC", "USD",  "1"),
    ("deribit",        "SOL_USDC-PERPETUAL", "0.5",   "10",         LINEAR,  "SOL", "USDC", "1"),
    ("deribit",        "BTC-27DEC26-60000-C", "0.5",  "10",         OPTION,  "BTC", "BTC",  "1"),
    ("deribit",        "XRP_USDC-27DEC26-0d5-P", "0.5", "10",       OPTION,  "XRP", "USDC", "1"),
    ("bitfinex",       "tBTCF0:USTF0",  "0.00000001", "0.00000001", LINEAR, "BTC", "USDT", "1"),
    ("bitfinex",       "tBTCUST",       "0.00000001", "0.00000001", SPOT, "BTC", "USDT", "1"),
    ("bitfinex",       "tDUSK:USD",     "0.00000001", "0.00000001", SPOT, "DUSK", "USD",  "1"),
    ("gemini",         "BTCUSD",        "0.01",       "0.00000001", SPOT, "BTC", "USD",  "1"),
    ("gemini",         "BTCGUSDPERP",   "0.01",       "0.00000001", LINEAR, "BTC", "GUSD", "1"),
    ("hyperliquid",    "BTC",           "0.1",        "0.00001",    LINEAR,  "BTC", "USDC", "1"),
]
# fmt: on


@pytest.mark.parametrize(
    ("venue", "name", "tick", "lot", "kind", "base", "quote", "contract"),
    LISTED,
    ids=[f"{c[0]}:{c[1]}" for c in LISTED],
)
def test_table_has_the_venues_steps_and_its_class_fees(
    venue: str,
    name: str,
    tick: str,
    lot: str,
    kind: InstrumentKind,
    base: str,
    quote: str,
    contract: str,
) -> None:
    with VenueServer(made_up(venue, [name], 4)) as server, Reader(server) as reader:
        assert isinstance(reader.feed, Wanted)
        (one,) = reader.feed.table.instruments
        assert (one.id, one.tick, one.lot) == (f"{venue}:{name}", tick, lot)
        assert (one.kind, one.base, one.quote, one.contract_size) == (kind, base, quote, contract)
        assert one.can_short == (kind is not SPOT)
        assert (one.binary_payout == "0") == (kind is OPTION)
        assert float(one.fee_taker) > 0
        assert "tick" not in one.assumed
        assert reader.feed.names == [venue]
        assert reader.feed.description[0].kind == "live"


# What a list says of currencies and contracts takes the place of what the name says.
# fmt: off
TOLD = [
    ("binance_spot",   "BTCFDUSD",    ("", "BTC", "FDUSD"), (SPOT, "BTC", "FDUSD", "FDUSD", "1")),
    ("binance_usdm",   "BTCFDUSD",    ("", "BTC", "FDUSD"), (LINEAR, "BTC", "FDUSD", "FDUSD", "1")),
    ("binance_coinm",  "ADAUSD_PERP", ("25", "ADA", "USD"), (INVERSE, "ADA", "USD", "ADA", "25")),
    ("kraken_futures", "PI_XBTUSD",   ("1", "XBT", "USD"),  (INVERSE, "BTC", "USD", "BTC", "1")),
    ("coinbase",       "BTC-USD",     ("", "", ""),         (SPOT, "BTC", "USD", "USD", "1")),
]
# fmt: on


@pytest.mark.parametrize(("venue", "name", "told", "expected"), TOLD)
def test_list_knows_better_than_the_name(
    venue: str, name: str, told: tuple[str, str, str], expected: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    listed = replace(LIVE[venue], steps=lambda body, name: Steps("1", "2", *told))
    table = instrument_table([Market(listed, name)], lanes=8, get=lambda url, posted: b"")
    (one,) = table.instruments
    assert (one.kind, one.base, one.quote, one.settle, one.contract_size) == expected
    assert ("contract size" in one.assumed) == (told[0] == "")
    assert ("lists other currencies" in caplog.text) == (name == "BTCFDUSD")


def test_market_that_the_venue_does_not_list_is_refused() -> None:
    with VenueServer(made_up("coinbase", ["BTC-USD"], 4)) as server:
        venue = {"coinbase": rules(server)}
        with pytest.raises(LiveError, match="status 404"):
            LiveFeed(["coinbase:ETH-USD"], venues=venue)
    with VenueServer(made_up("bitstamp", ["btcusd"], 4)) as server:
        venue = {"bitstamp": rules(server)}
        with pytest.raises(LiveError, match="bitstamp:ethusd: not in the venue's instrument list"):
            LiveFeed(["bitstamp:ethusd"], venues=venue)


def test_venue_that_cannot_be_reached_is_said() -> None:
    venue = replace(LIVE["kraken"], rest="http://127.0.0.1:9")
    with pytest.raises(LiveError, match="kraken:BTC/USD: the venue's instrument list could not"):
        LiveFeed(["kraken:BTC/USD"], venues={"kraken": venue})


def test_two_venues_are_one_feed_and_share_the_lane_of_their_asset() -> None:
    with (
        VenueServer(made_up("kraken", ["BTC/USD"], 40)) as kraken,
        VenueServer(made_up("coinbase", ["ETH-USD", "BTC-USD"], 40)) as coinbase,
    ):
        venues = {"kraken": rules(kraken), "coinbase": rules(coinbase)}
        feed = LiveFeed(["coinbase:ETH-USD", "kraken:BTC/USD", "coinbase:BTC-USD"], venues=venues)
        try:
            lanes = {one.id: (one.lane, one.symbol) for one in feed.table.instruments}
            assert lanes == {
                "coinbase:BTC-USD": (0, 0), "kraken:BTC/USD": (0, 1), "coinbase:ETH-USD": (1, 0),
            }  # fmt: skip
            assert feed.names == ["coinbase", "kraken"]
            seen: set[tuple[int, int, int]] = set()
            while len(seen) < 3:
                feed.wait(0.02)
                rows = feed.take(100)
                book = rows.kind == Kind.BOOK
                columns = (rows.source[book], rows.lane[book], rows.symbol[book])
                seen |= set(zip(*(column.tolist() for column in columns), strict=True))
            assert seen == {(0, 0, 0), (0, 1, 0), (1, 0, 1)}
        finally:
            feed.close()


def test_closed_feed_says_so() -> None:
    with VenueServer(made_up("kraken", ["BTC/USD"], 4)) as server, Reader(server) as reader:
        reader.begin()
        reader.feed.close()
        with pytest.raises(RuntimeError, match="closed"):
            reader.feed.take(1)


class Clocks:
    """A computer's clocks that a test sets."""

    def __init__(self) -> None:
        self.wall_ns, self.monotonic_ns = 1_000 * S_NS, 5 * S_NS

    def session(self) -> SessionClock:
        return SessionClock(wall_ns=lambda: self.wall_ns, monotonic_ns=lambda: self.monotonic_ns)

    def pass_by(self, ns: int) -> None:
        self.wall_ns += ns
        self.monotonic_ns += ns


def test_clock_is_monotonic_time_from_one_look_at_the_wall_clock() -> None:
    clocks = Clocks()
    clock = clocks.session()
    assert clock.now_ns() == 1_000 * S_NS
    clocks.pass_by(S_NS)
    clocks.wall_ns -= 500 * S_NS
    assert clock.now_ns() == 1_001 * S_NS
    assert clock.jump_ns() == -500 * S_NS
    assert clock.jump_ns() == 0  # told once
    clocks.wall_ns += 40_000_000  # a slew, below 50 ms
    assert clock.jump_ns() == 0
    clocks.wall_ns += 40_000_000  # slews add up
    assert clock.jump_ns() == 80_000_000


def test_wall_clock_that_is_set_becomes_a_status_row_of_each_book() -> None:
    clocks = Clocks()
    server = VenueServer(made_up("kraken", ["BTC/USD", "ETH/USD"], 8))
    with server, Reader(server, clock=clocks.session()) as reader:
        reader.begin()
        clocks.pass_by(S_NS)
        clocks.wall_ns += 3_600 * S_NS
        reader.until(lambda: reader.feed.clock_jumps == 1)
        rows = reader.rows
        told = rows.reason == BookReason.CLOCK_JUMP
        assert np.count_nonzero(told) == 2
        assert set(rows.code[told]) == {BookState.SYNCED}
        assert set(rows.ref[told]) == {3_600.0}
        assert (rows.ts_recv_ns < 1_002 * S_NS).all()
        assert (np.diff(rows.ts_recv_ns) >= 0).all()
        assert reader.synced()


# What happens to a book, second by second (None: only a look), and what is due then.
WATCHED: list[tuple[str, list[tuple[float, Any, Due]]]] = [
    ("a snapshot comes by itself", [
        (0, "opened", Due.NOTHING), (1, "taken", Due.NOTHING), (100, None, Due.NOTHING)]),
    ("no snapshot comes", [
        (0, "opened", Due.NOTHING), (4.9, None, Due.NOTHING), (5, None, Due.ASK),
        (9.9, None, Due.NOTHING), (10, None, Due.ASK), (15, None, Due.ASK),
        (25, None, Due.ASK), (45, None, Due.HALT), (99, None, Due.NOTHING)]),
    ("a change waits", [
        (0, "opened", Due.NOTHING), (1, ("waits", 7), Due.ASK), (2, ("waits", 8), Due.NOTHING)]),
    ("lost: at once, then patiently", [
        (0, "opened", Due.NOTHING), (1, ("waits", 7), Due.ASK), (2, "taken", Due.NOTHING),
        (3, "lost", Due.ASK), (4, "taken", Due.NOTHING), (5, "lost", Due.NOTHING),
        (7.9, None, Due.NOTHING), (8, None, Due.ASK)]),
    ("calm forgets the tries", [
        (0, "opened", Due.NOTHING), (1, ("waits", 7), Due.ASK), (2, "taken", Due.NOTHING),
        (3, "lost", Due.ASK), (4, "taken", Due.NOTHING), (65, None, Due.NOTHING),
        (66, "lost", Due.ASK)]),
    ("a snapshot was too old", [
        (0, "opened", Due.NOTHING), (1, ("waits", 7), Due.ASK), (2, "too_old", Due.NOTHING),
        (2.4, None, Due.NOTHING), (2.5, None, Due.ASK), (3, "too_old", Due.NOTHING),
        (3.9, None, Due.NOTHING), (4, None, Due.ASK)]),
    ("closed", [
        (0, "opened", Due.NOTHING), (1, "closed", Due.NOTHING), (99, None, Due.NOTHING)]),
    ("frozen", [
        (0, "opened", Due.NOTHING), (1, "taken", Due.NOTHING), (5, "traded", Due.NOTHING),
        (14, "traded", Due.NOTHING), (15.1, None, Due.FROZEN)]),
    ("crossed", [
        (0, "opened", Due.NOTHING), (1, "taken", Due.NOTHING), (5, "crossed", Due.NOTHING),
        (6, "crossed", Due.NOTHING), (7.1, None, Due.CROSSED)]),
    ("crossed for a moment", [
        (0, "opened", Due.NOTHING), (1, "taken", Due.NOTHING), (5, "crossed", Due.NOTHING),
        (6, "uncrossed", Due.NOTHING), (50, None, Due.NOTHING)]),
    ("a trade follows its change", [
        (0, "opened", Due.NOTHING), (1, "taken", Due.NOTHING), (5, "changed", Due.NOTHING),
        (5.5, "traded", Due.NOTHING), (50, None, Due.NOTHING)]),
    ("a change follows its trade", [
        (0, "opened", Due.NOTHING), (1, "taken", Due.NOTHING), (5, "traded", Due.NOTHING),
        (5.5, "changed", Due.NOTHING), (50, None, Due.NOTHING)]),
]  # fmt: skip


@pytest.mark.parametrize("steps", [c[1] for c in WATCHED], ids=[c[0] for c in WATCHED])
def test_watch(steps: list[tuple[float, Any, Due]]) -> None:
    watch = BookWatch(PACE, audit_s=0.0)
    for second, what, due in steps:
        happen(watch, int(second * S_NS), what)
        assert watch.due(int(second * S_NS)) is due, second


def happen(watch: BookWatch, now_ns: int, what: Any) -> None:
    if what == "closed":
        watch.closed()
    elif isinstance(what, tuple):
        watch.waits(now_ns, number=what[1])
    elif what:
        getattr(watch, what)(now_ns)


def test_audits_come_once_per_period_and_only_of_synced_books() -> None:
    watch = BookWatch(PACE, audit_s=60.0)
    watch.opened(0)
    watch.taken(S_NS)
    due = [watch.due(second * S_NS) for second in range(1, 200)]
    assert [k + 1 for k, one in enumerate(due) if one is Due.AUDIT] == [62, 123, 184]
    assert set(due) == {Due.AUDIT, Due.NOTHING}


def test_two_audits_in_a_row_without_a_result_lose_the_book() -> None:
    watch = BookWatch(PACE, audit_s=60.0)
    watch.opened(0)
    watch.taken(S_NS)
    watch.audited(agrees=False)
    assert watch.due(2 * S_NS) is Due.NOTHING
    watch.audited(agrees=True)
    watch.audited(agrees=False)
    assert watch.due(3 * S_NS) is Due.NOTHING
    watch.audited(agrees=False)
    assert watch.due(4 * S_NS) is Due.UNAUDITED
    watch.lost(4 * S_NS)
    watch.taken(5 * S_NS)  # a snapshot is as good as an audit
    assert watch.due(6 * S_NS) is Due.NOTHING


def test_an_operator_resumes_a_book_that_was_given_up() -> None:
    watch = BookWatch(PACE, audit_s=0.0)
    watch.opened(0)
    due = [watch.due(second * S_NS) for second in range(60)]
    assert due[-1] is Due.NOTHING
    assert Due.HALT in due
    assert watch.halted
    watch.resumed(60 * S_NS)
    assert watch.due(60 * S_NS) is Due.ASK
    assert not watch.halted
    watch.taken(61 * S_NS)
    assert (watch.synced, watch.due(62 * S_NS)) == (True, Due.NOTHING)


def test_snapshot_must_reach_the_first_change_that_was_held() -> None:
    watch = BookWatch(PACE, audit_s=0.0)
    watch.opened(0)
    assert not watch.refuses(1)
    watch.waits(1, number=7)
    watch.waits(2, number=9)
    assert (watch.refuses(6), watch.refuses(7), watch.refuses(None)) == (True, False, False)
    watch.lost(3)  # a damaged snapshot came: the changes still wait
    assert (watch.refuses(6), watch.refuses(7)) == (True, False)
    watch.taken(4)
    assert not watch.refuses(1)  # an audit's; the numbers judge it


def test_handover_is_bounded_in_bytes_but_for_news_of_connections() -> None:
    handover = Handover(2 * ITEM_BYTES + 10)
    frame = Received(What.FRAME, 0, 1, "", b"x" * 5)
    assert [handover.offer(frame) for _ in range(3)] == [True, True, False]
    handover.tell(Received(What.CLOSED, 0, 2))
    assert [handover.take() for _ in range(4)] == [frame, frame, Received(What.CLOSED, 0, 2), None]
    assert handover.offer(frame)  # there is room again
    assert handover.wait(0.0)


# fmt: off
LISTS: list[tuple[str, Any, bytes, str, Steps | None]] = [  # as the venues answer, shortened
    ("kraken", kraken_steps, b'{"error":[],"result":{"XXBTZUSD":{"altname":"XBTUSD","wsname":'
     b'"XBT/USD","tick_size":"0.1","pair_decimals":1,"lot_decimals":8}}}', "BTC/USD",
     Steps("0.1", "0.00000001")),
    ("kraken, coins only", kraken_steps, b'{"result":{"A":{"wsname":"XDG/USD","tick_size":'
     b'"0.0000001","lot_decimals":0}}}', "DOGE/USD", Steps("0.0000001", "1")),
    ("kraken, not listed", kraken_steps, b'{"error":[],"result":{}}', "BTC/USD", None),
    ("binance", binance_steps, b'{"timezone":"UTC","symbols":[{"symbol":"BTCUSDT","filters":['
     b'{"filterType":"PRICE_FILTER","minPrice":"0.01","tickSize":"0.01000000"},{"filterType":'
     b'"LOT_SIZE","stepSize":"0.00001000"},{"filterType":"NOTIONAL"}]}]}', "BTCUSDT",
     Steps("0.01", "0.00001")),
    ("binance, no USD", binance_steps, b'{"symbols":[{"symbol":"BTCFDUSD","baseAsset":"BTC",'
     b'"quoteAsset":"FDUSD","filters":[{"filterType":"PRICE_FILTER","tickSize":"0.01"},'
     b'{"filterType":"LOT_SIZE","stepSize":"0.1"}]}]}', "BTCFDUSD",
     Steps("0.01", "0.1", "", "BTC", "FDUSD")),
    ("binance, contracts", binance_steps, b'{"symbols":[{"symbol":"ADAUSD_PERP","baseAsset":"ADA",'
     b'"quoteAsset":"USD","contractSize":10,"filters":[{"filterType":"PRICE_FILTER","tickSize":'
     b'"0.00010"},{"filterType":"LOT_SIZE","stepSize":"1"}]}]}', "ADAUSD_PERP",
     Steps("0.0001", "1", "10", "ADA", "USD")),
    ("bybit", bybit_steps, b'{"retCode":0,"result":{"list":[{"symbol":"BTCUSDT","baseCoin":"BTC",'
     b'"quoteCoin":"USDT","lotSizeFilter":{"basePrecision":"0.0001"},"priceFilter":{"tickSize":'
     b'"0.1"}}]}}', "BTCUSDT", Steps("0.1", "0.0001", "", "BTC", "USDT")),
    ("deribit", deribit_steps, b'{"result":{"instrument_name":"BTC-PERPETUAL","tick_size":0.5,'
     b'"contract_size":10.0,"min_trade_amount":10.0,"base_currency":"BTC","quote_currency":"USD"}}',
     "BTC-PERPETUAL", Steps("0.5", "10", "", "BTC", "USD")),
    ("gemini", gemini_steps, b'{"symbol":"BTCUSD","base_currency":"BTC","quote_currency":"USD",'
     b'"tick_size":1E-8,"quote_increment":0.01}', "BTCUSD",
     Steps("0.01", "0.00000001", "", "BTC", "USD")),
    ("okx", okx_steps, b'{"code":"0","data":[{"instId":"BTC-USD","baseCcy":"BTC","quoteCcy":"USD",'
     b'"ctVal":"","lotSz":"0.00000001","tickSz":"0.1"}]}', "BTC-USD",
     Steps("0.1", "0.00000001", "", "BTC", "USD")),
    ("coinbase", coinbase_steps, b'{"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD",'
     b'"quote_increment":"0.01",'
     b'"base_increment":"0.00000001","status":"online"}', "BTC-USD",
     Steps("0.01", "0.00000001", "", "BTC", "USD")),
    ("kraken futures, thousands", kraken_futures_steps, b'{"instruments":[{"symbol":"in_x"},'
     b'{"symbol":"pf_pepeusd","tickSize":1E-9,"contractValueTradePrecision":-3,"contractSize":1,'
     b'"base":"PEPE","quote":"USD"}]}', "PF_PEPEUSD",
     Steps("0.000000001", "1000", "1", "PEPE", "USD")),
    ("bybit, contracts", bybit_steps, b'{"retCode":0,"result":{"category":"linear","list":['
     b'{"symbol":"BTCUSDT","baseCoin":"BTC","quoteCoin":"USDT","fundingInterval":480,"priceFilter":'
     b'{"tickSize":"0.10"},"lotSizeFilter":{"qtyStep":"0.001"}}]}}', "BTCUSDT",
     Steps("0.1", "0.001", "", "BTC", "USDT")),
    ("deribit, an option", deribit_steps, b'{"result":{"instrument_name":"BTC-26MAR27-56000-C",'
     b'"tick_size":0.0005,"min_trade_amount":0.1,"base_currency":"BTC","quote_currency":"BTC"}}',
     "BTC-26MAR27-56000-C", Steps("0.0005", "0.1", "", "BTC", "BTC")),
    ("okx, not listed", okx_steps, b'{"code":"51001","data":[]}', "BTC-USDT", None),
    ("bitfinex, not listed", bitfinex_steps, b'[["ETHUSD"]]', "tBTCUSD", None),
    ("hyperliquid", hyperliquid_steps, b'{"universe":[{"name":"kPEPE","szDecimals":0}]}', "kPEPE",
     Steps("0.000001", "1")),
    ("bitstamp", bitstamp_steps, b'[{"base_decimals":8,"counter_decimals":0,"name":"BTC/JPY",'
     b'"url_symbol":"btcjpy"}]', "btcjpy", Steps("1", "0.00000001")),
]
NO_LISTS: list[tuple[str, Any, bytes]] = [
    ("no JSON",       kraken_steps,   b"<html>"),
    ("an error",      binance_steps,  b'{"code":-1121,"msg":"Invalid symbol."}'),
    ("no filter",     binance_steps,  b'{"symbols":[{"symbol":"BTCUSDT","filters":[]}]}'),
    ("a step of 0",   coinbase_steps,
     b'{"id":"BTCUSDT","quote_increment":"0.0","base_increment":"1"}'),
    ("no step",       bybit_steps, b'{"result":{"list":[{"symbol":"BTCUSDT","priceFilter":'
     b'{"tickSize":"1"},"lotSizeFilter":{}}]}}'),
    ("no contract",   okx_steps, b'{"data":[{"instId":"BTC-USD-SWAP","tickSz":"1","lotSz":"1"}]}'),
    ("no number",     gemini_steps, b'{"symbol":"BTCUSDT","tick_size":"x","quote_increment":1}'),
    ("many decimals", bitstamp_steps,
     b'[{"url_symbol":"BTCUSDT","base_decimals":99,"counter_decimals":2}]'),
]
# fmt: on


@pytest.mark.parametrize(
    ("read", "body", "name", "steps"), [c[1:] for c in LISTS], ids=[c[0] for c in LISTS]
)
def test_instrument_list(read: Any, body: bytes, name: str, steps: Steps | None) -> None:
    assert read(body, name) == steps


@pytest.mark.parametrize(("read", "body"), [c[1:] for c in NO_LISTS], ids=[c[0] for c in NO_LISTS])
def test_answer_that_is_no_list_is_refused(read: Any, body: bytes) -> None:
    with pytest.raises(RestError):
        read(body, "BTC-USD-SWAP" if read is okx_steps else "BTCUSDT")


def test_list_that_has_to_be_asked_for_by_post() -> None:
    """Hyperliquid's; the venue server of the other tests can only be fetched from."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            told = json.loads(asked) == {"type": "meta"} and self.path == "/info"
            body = b'{"universe":[{"name":"BTC","szDecimals":5}]}' if told else b"{}"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Nothing: the test's output is its own."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        rest = f"http://127.0.0.1:{server.server_port}"
        venue = {"hyperliquid": replace(LIVE["hyperliquid"], rest=rest)}
        table = LiveFeed(["hyperliquid:BTC"], venues=venue).table
        assert [(one.tick, one.lot) for one in table.instruments] == [("0.1", "0.00001")]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_reader_that_was_late_does_not_take_its_pause_for_the_venues_silence() -> None:
    life = b'{"type": "heartbeat", "sequence": 1, "product_id": "BTC-USD"}'
    script = made_up("coinbase", ["BTC-USD", "ETH-USD"], 40)
    with VenueServer(script) as server, Reader(server) as reader:
        reader.begin()
        now_ns = int(reader.rows.ts_recv_ns[-1])
        for second in range(1, 4 * int(rules(server).silent_s)):
            frame = Received(What.FRAME, 0, now_ns + second * S_NS, "", life)
            assert reader.feed._handover.offer(frame)
        reader.take()
        assert BookState.STALE not in reader.states()
        assert reader.feed._handover.offer(frame._replace(ts_recv_ns=now_ns + 100 * S_NS))
        reader.take()
        assert BookState.STALE in reader.states()  # that was silence
