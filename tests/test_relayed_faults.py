"""Promise: faults of an exchange behind ccxt, of a bridge and of a chain are seen, counted, mended.

Quotes and books end as the venue's own, and each trade is given out once.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from operators.market.books.words import BookReason, BookState
from schemas.kinds import Kind
from tests.live_cases import check_rows
from tests.relayed_cases import (
    SHORT_S,
    BitvavoStand,
    BridgeStand,
    ChainStand,
    FeedReader,
    HttpServer,
)
from venues.frames import FrameClass
from venues.live import LiveError, LiveFeed, addressed, live_venue
from venues.live.sources.ccxt import OWN, ccxt_venue
from venues.live.sources.mt5 import mt5
from venues.live.sources.uniswap_v2 import uniswap_v2

S = BookState


@pytest.fixture(name="exchange")
def fixture_exchange() -> Iterator[BitvavoStand]:
    pytest.importorskip("ccxt", reason="needs the extra `live`: pip install '.[live]'")
    with BitvavoStand() as stand:
        yield stand


@pytest.fixture(name="bridge")
def fixture_bridge() -> Iterator[BridgeStand]:
    with BridgeStand() as stand:
        yield stand


@pytest.fixture(name="chain")
def fixture_chain() -> Iterator[ChainStand]:
    with ChainStand() as stand:
        yield stand


# fmt: off
ANSWERS = [  # what an exchange answers instead
    ("an error",            500, '{"errorCode":101,"error":"Unknown error"}'),
    ("too many requests",   429, '{"errorCode":105,"error":"Your IP has been rate limited"}'),
    ("a ban",               403, '{"errorCode":307,"error":"denied"}'),
    ("a page",              200, "<html>maintenance</html>"),
    ("nothing",             200, ""),
    ("another shape",       200, '{"bids":3,"asks":{}}'),
    ("levels without size", 200, '{"bids":[["1"]],"asks":[[]]}'),
]
# fmt: on


@pytest.mark.parametrize(("what", "status", "text"), ANSWERS, ids=[a[0] for a in ANSWERS])
def test_answers_that_are_none_cost_time_only(
    what: str, status: int, text: str, exchange: BitvavoStand
) -> None:
    with FeedReader(exchange) as reader:
        reader.begin()
        exchange.server.fault = lambda path: (status, text)
        exchange.step()
        reader.until(lambda: exchange.server.n_faults >= 3)
        exchange.server.fault = lambda path: None
        reader.finish()
        assert reader.session.rest_failures + reader.counts.refused + reader.counts.broken >= 1
        assert reader.session.holes == 0
        check_rows(reader)  # elements = rows + refused, and frames have a class


def test_exchange_that_is_away_is_no_connection(exchange: BitvavoStand) -> None:
    with FeedReader(exchange) as reader:
        exchange.server.fault = lambda path: (503, "{}")
        reader.until(lambda: reader.session.refused >= 2)
        assert reader.states == []
        exchange.server.fault = lambda path: None
        reader.begin()
        assert reader.session.opened == 1


def test_older_book_is_not_taken(exchange: BitvavoStand) -> None:
    with FeedReader(exchange) as reader:
        reader.begin()
        for _ in range(3):
            reader.finish()
        seen = (reader.book.bids, reader.book.asks)
        failed = reader.session.rest_failures
        exchange.behind = 2
        reader.until(lambda: reader.session.rest_failures >= failed + 2)
        assert (reader.book.bids, reader.book.asks) == seen
        exchange.behind = 0
        reader.finish()


def test_trades_that_come_late_and_in_any_order_come_once(exchange: BitvavoStand) -> None:
    with FeedReader(exchange) as reader:
        reader.begin()
        reader.finish()
        late = exchange.all_trades[-1] | {"id": "late", "price": "59999"}
        exchange.all_trades.insert(0, late)  # older than what is known
        side = 1 if late["side"] == "buy" else -1
        exchange.trades.append((side, 59_999.0, float(late["amount"])))
        reader.until(lambda: reader.trades == exchange.trades)
        for _ in range(3):
            reader.finish()
        assert exchange.asked_since[0] == ""
        assert int(exchange.asked_since[-1]) <= exchange.now_ms


def test_page_that_does_not_reach_back_is_counted(exchange: BitvavoStand) -> None:
    with FeedReader(exchange) as reader:
        reader.begin()
        reader.finish()
        exchange.server.fault = lambda path: (500, "{}") if "trades" in path else None
        n = exchange.server.n_faults
        reader.until(lambda: exchange.server.n_faults > n)
        exchange.page = 2
        for _ in range(5):
            exchange.step()
        del exchange.trades[-5:-2]
        exchange.server.fault = lambda path: None
        reader.until(lambda: reader.trades == exchange.trades)
        assert reader.session.holes == 1


def test_trades_of_a_lost_connection_are_fetched(exchange: BitvavoStand) -> None:
    exchange.silent_s = SHORT_S
    with FeedReader(exchange) as reader:
        reader.begin()
        reader.finish()
        exchange.stall(on=True)
        exchange.step()
        exchange.step()
        reader.until(lambda: reader.counts.lost_connections >= 1)
        exchange.stall(on=False)
        reader.finish()
        assert (reader.session.holes, reader.counts.trade_gaps) == (0, 0)


def test_steps_are_the_exchanges(exchange: BitvavoStand) -> None:
    with FeedReader(exchange) as reader:
        [one] = reader.feed.table.instruments
        assert (one.tick, one.lot, one.base, one.quote) == ("0.5", "0.00000001", "BTC", "EUR")
        assert reader.feed.terms.depth.tolist() == [20]


def test_exchanges_with_a_session_of_their_own_are_referred_to_it() -> None:
    for name, own in OWN.items():
        with pytest.raises(LiveError, match=f"Use '{own}'"):
            ccxt_venue(name)
        assert live_venue(own).name == own


def test_unknown_exchange_is_refused(exchange: BitvavoStand) -> None:
    with pytest.raises(LiveError, match="ccxt has no such exchange"):
        LiveFeed(["ccxt-mtgox:BTC/USD"])
    with pytest.raises(LiveError, match=r"There are: .*, ccxt-EXCHANGE"):
        LiveFeed(["ccxt:BTC/USD"])


def test_disconnected_bridge(bridge: BridgeStand) -> None:
    with FeedReader(bridge) as reader:
        reader.begin()
        reader.finish()
        bridge.disconnect()
        reader.until(lambda: reader.session.opened == 2 and reader.states[-1] == S.UNPROVABLE)
        reader.finish()
        assert reader.states == [S.RESYNC, S.UNPROVABLE, S.GAP, S.RESYNC, S.UNPROVABLE]
        assert reader.counts.trade_gaps == 1  # a bridge does not bring what happened meanwhile


def test_line_that_is_none_gaps_until_the_next_quote(bridge: BridgeStand) -> None:
    with FeedReader(bridge) as reader:
        reader.begin()
        bridge.send_raw(b'{"n":garbage\xff\n')
        reader.until(lambda: S.GAP in reader.states)
        reader.finish()
        assert BookReason.BAD_ROW in reader.reasons
        assert reader.counts.broken == 1
        assert reader.session.opened == 1


def test_missing_lines_gap_until_the_next_quote(bridge: BridgeStand) -> None:
    with FeedReader(bridge) as reader:
        reader.begin()
        bridge.skip()
        reader.until(lambda: S.GAP in reader.states)
        reader.finish()
        assert reader.counts.gaps == 1
        assert BookReason.SEQUENCE_GAP in reader.reasons


# fmt: off
TICKS = [  # a tick that comes behind the last one, as it differs; what becomes of it
    ("again",             {},                                 FrameClass.SUPERSEDED),
    ("time going back",   {"time_msc": -5, "bid": 1.0},       FrameClass.QUARANTINED),
    ("an hour ahead",     {"time_msc": 3_600_000, "bid": 1.0}, FrameClass.QUARANTINED),
    ("a negative price",  {"bid": -2.0},                      FrameClass.QUARANTINED),
    ("no price at all",   {"time_msc": 1, "bid": 0.0, "last": 0.0}, FrameClass.SUPERSEDED),
    ("another symbol",    {"symbol": "USDJPY"},               FrameClass.QUARANTINED),
]
# fmt: on


@pytest.mark.parametrize(("what", "change", "becomes"), TICKS, ids=[t[0] for t in TICKS])
def test_ticks_that_cannot_be(
    what: str, change: dict[str, Any], becomes: FrameClass, bridge: BridgeStand
) -> None:
    with FeedReader(bridge) as reader:
        reader.begin()
        reader.finish()
        n = reader.counts.rows
        tick = dict(bridge.tick)
        for name, by in change.items():
            tick[name] = tick[name] + by if name == "time_msc" else by
        bridge.send(tick)
        reader.until(lambda: reader.counts.classes[becomes] == 1)
        assert reader.counts.rows == n
        reader.finish()
        assert reader.states == [S.RESYNC, S.UNPROVABLE]
        check_rows(reader)


def test_tick_times_are_utc_whatever_the_brokers_zone(bridge: BridgeStand) -> None:
    with FeedReader(bridge) as reader:
        reader.begin()
        reader.finish()
        rows = reader.rows
        quotes = rows.kind == Kind.QUOTE
        assert np.abs(rows.ts_recv_ns[quotes] - rows.ts_event_ns[quotes]).max() < 60e9
        bridge.clock_s = bridge.offset_s = 10_800  # summer time begins
        bridge.heartbeat()
        reader.finish()
        rows = reader.rows
        assert np.abs(rows.ts_recv_ns - rows.ts_event_ns).max() < 60e9
        assert S.GAP not in reader.states


def test_wrong_zone_stops_all_quotes_until_it_is_right(bridge: BridgeStand) -> None:
    with FeedReader(bridge) as reader:
        reader.begin()
        bridge.offset_s = 6_300  # a quarter of an hour off
        bridge.heartbeat()
        reader.until(lambda: S.GAP in reader.states)
        n = reader.counts.rows
        seen = reader.counts.classes[FrameClass.QUARANTINED]
        bridge.step()
        bridge.trades.clear()
        reader.until(lambda: reader.counts.classes[FrameClass.QUARANTINED] > seen)
        assert reader.counts.rows == n
        bridge.offset_s = 7_200
        bridge.heartbeat()
        reader.finish()


# fmt: off
BRIDGES = [  # an address, or what the bridge says it speaks; what is said about it
    ("nobody is there",   "127.0.0.1:9", "trifecta-mt5", "could not be had: bridge 127.0.0.1:9"),
    ("no address",        "bridge",      "trifecta-mt5", "TRIFECTA_MT5=bridge: no address"),
    ("another protocol",  "",            "mtapi",        "speaks mtapi 1, not trifecta-mt5 1"),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "address", "protocol", "said"), BRIDGES, ids=[b[0] for b in BRIDGES]
)
def test_bridge_that_is_none(
    what: str, address: str, protocol: str, said: str, bridge: BridgeStand
) -> None:
    bridge.protocol = protocol
    with pytest.raises(LiveError, match=said):
        LiveFeed(["mt5:EURUSD"], venues={"mt5": mt5(address or bridge.address)})


def test_addresses_come_from_the_environment(bridge: BridgeStand) -> None:
    found = addressed({"TRIFECTA_MT5": bridge.address, "TRIFECTA_ETHEREUM": "https://u:k@h/key"})
    assert [venue.ws for venue in found.values()] == [bridge.address, "https://h"]
    feed = LiveFeed(["mt5:EURUSD"], venues=found)
    [one] = feed.table.instruments
    assert (one.tick, one.lot, one.base, one.quote) == ("0.00001", "1000", "EUR", "USD")
    feed.close()
    with pytest.raises(LiveError, match="Set TRIFECTA_ETHEREUM"):
        LiveFeed([f"uniswap_v2:{ChainStand.market}"], venues=addressed({}))


def test_reorganised_chain_is_told_and_read_again(chain: ChainStand) -> None:
    with FeedReader(chain) as reader:
        reader.begin()
        for _ in range(4):
            reader.finish()
        chain.reorganise(5)
        reader.until(lambda: BookReason.REORGANISED in reader.reasons)
        reader.begin()  # the new chain's quote; swaps that came again are given out once
        reader.finish()
        assert reader.states == [S.RESYNC, S.UNPROVABLE, S.GAP, S.UNPROVABLE]
        assert reader.session.opened == 1
        check_rows(reader)


def test_reorg_within_the_confirmations_is_not_seen(chain: ChainStand) -> None:
    with FeedReader(chain) as reader:
        reader.begin()
        reader.finish()
        before = reader.counts.rows
        chain.swap()  # with no block on top
        time.sleep(0.2)  # it may not be read meanwhile
        reader.until(lambda: True)
        assert reader.counts.rows == before
        chain.reorganise(1)
        reader.begin()
        reader.finish()
        assert reader.states == [S.RESYNC, S.UNPROVABLE]


def test_reorg_while_the_node_was_away(chain: ChainStand) -> None:
    chain.silent_s = SHORT_S
    with FeedReader(chain) as reader:
        reader.begin()
        for _ in range(3):
            reader.finish()
        chain.stall(on=True)
        reader.until(lambda: reader.counts.lost_connections >= 1)
        chain.reorganise(4)
        chain.step()
        chain.stall(on=False)
        reader.begin()
        reader.finish()
        assert reader.session.opened >= 2
        assert (reader.session.holes, reader.counts.trade_gaps) == (0, 0)


def test_block_that_a_node_lacks_is_waited_for(chain: ChainStand) -> None:
    with FeedReader(chain) as reader:
        reader.begin()
        before = reader.counts.rows
        chain.withheld.add(len(chain.blocks))
        for _ in range(3):
            chain.step()
        time.sleep(0.2)  # nothing behind the hole may be read meanwhile
        reader.until(lambda: True)
        assert reader.counts.rows == before
        chain.withheld.clear()
        reader.begin()
        assert reader.states == [S.RESYNC, S.UNPROVABLE]


# fmt: off
NODES = [  # what a node answers instead
    ("an error",          200, '{"id":1,"error":{"code":-32005,"message":"limit exceeded"}}'),
    ("too many requests", 429, "slow down"),
    ("a page",            200, "<html>"),
    ("no result",         200, '{"id":1}'),
    ("another shape",     200, '{"id":1,"result":[3]}'),
    ("an empty text",     200, '{"id":1,"result":"0x"}'),
]
# fmt: on


@pytest.mark.parametrize(("what", "status", "text"), NODES, ids=[n[0] for n in NODES])
def test_nodes_that_do_not_answer(what: str, status: int, text: str, chain: ChainStand) -> None:
    with FeedReader(chain) as reader:
        reader.begin()
        reader.finish()
        asked = iter(range(10**6))
        chain.server.fault = lambda path: (status, text) if next(asked) % 2 else None
        chain.step()
        reader.until(lambda: chain.server.n_faults >= 3)
        chain.server.fault = lambda path: None
        reader.finish()
        assert reader.session.rest_failures >= 1
        check_rows(reader)


def test_key_of_a_node_is_never_said(caplog: pytest.LogCaptureFixture) -> None:
    server = HttpServer(lambda path, query, body: (403, "{}"))
    venue = uniswap_v2(server.url + "/v3/secret-key")
    with pytest.raises(LiveError, match="status 403") as refused:
        LiveFeed([f"uniswap_v2:{ChainStand.market}"], venues={"uniswap_v2": venue})
    server.close()
    chained: BaseException | None = refused.value
    while chained is not None:
        assert "secret" not in str(chained)
        chained = chained.__cause__
    assert "secret" not in caplog.text
    assert "secret" not in repr(replace(venue, source=None, snapshot=str))


def test_pool_of_other_tokens_is_refused(chain: ChainStand) -> None:
    market = chain.market.replace("WETH", "WBTC")
    with pytest.raises(LiveError, match="not in the venue's instrument list"):
        LiveFeed([f"uniswap_v2:{market}"], venues={"uniswap_v2": chain.venue()})


def test_either_token_may_be_the_base(chain: ChainStand) -> None:
    address = chain.market.rpartition("@")[2]
    both = [f"uniswap_v2:{chain.market}", f"uniswap_v2:USDC/WETH@{address}"]
    with_both = LiveFeed(both, venues={"uniswap_v2": chain.venue()})
    try:
        quotes: dict[str, tuple[float, float]] = {}
        give_up_s = time.monotonic() + 20.0
        while len(quotes) < 2:
            assert time.monotonic() < give_up_s
            with_both.wait(0.02)
            rows = with_both.take(100)
            for k in np.flatnonzero(rows.kind == Kind.QUOTE):
                at = with_both.table.row(int(rows.lane[k]), int(rows.symbol[k]))
                name = with_both.table.instruments[at].base
                quotes[name] = float(rows.bid_px[k]), float(rows.ask_px[k])
    finally:
        with_both.close()
    assert quotes["ETH"] == chain.quote()
    mids = [np.sqrt(bid * ask) for bid, ask in quotes.values()]
    assert mids[0] * mids[1] == pytest.approx(1.0, rel=1e-2)
