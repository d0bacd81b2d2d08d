"""Promise: what venues say of derivatives reaches the log live, and rates have their intervals.

Marks with their index, open interest and funding come over the websocket where the venue has them
there, else by REST at a declared pace. A rate whose interval is not known yet is left out and
counted, never guessed.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pytest

from operators.features.derivatives.black import value
from operators.features.derivatives.funding import Funding
from operators.features.derivatives.skew import Skew
from operators.market.gate import Gate
from schemas.instruments import InstrumentKind
from schemas.kinds import Kind
from schemas.rows import MarketRows, take
from tests.derivative_cases import SECOND_NS, START_NS, run
from tests.live_cases import FAST, Reader, check_rows, one_market, serving
from tests.venue_server import Script, VenueServer, made_up
from tests.venue_tongues import as_bytes
from venues.live import LIVE, LiveVenue

FIGURES = (Kind.MARK, Kind.OPEN_INTEREST, Kind.FUNDING)
NAN = float("nan")
Row = tuple[Kind, float, float, float]  # price, qty, ref


@pytest.fixture(name="serve")
def fixture_serve() -> Iterator[Callable[[Script], VenueServer]]:
    yield from serving()


# fmt: off
SUBSCRIBED = [  # venue, markets, what is asked for besides books, trades and quotes
    ("binance_usdm",   ["BTCUSDT"],       ['"btcusdt@markPrice@1s"']),
    ("binance_coinm",  ["BTCUSD_PERP"],   ['"btcusd_perp@markPrice@1s"']),
    ("bybit_linear",   ["BTCUSDT"],       ['"tickers.BTCUSDT"']),
    ("bybit_inverse",  ["BTCUSD"],        ['"tickers.BTCUSD"']),
    ("okx",            ["BTC-USDT-SWAP"], ['"channel":"funding-rate","instId":"BTC-USDT-SWAP"',
                                           '"channel":"open-interest","instId":"BTC-USDT-SWAP"',
                                           '"channel":"mark-price","instId":"BTC-USDT-SWAP"',
                                           '"channel":"index-tickers","instId":"BTC-USDT"']),
    ("deribit",        ["BTC-PERPETUAL"], ['"ticker.BTC-PERPETUAL.agg2"']),
    ("deribit",        ["BTC-27MAR26-60000-C"], ['"ticker.BTC-27MAR26-60000-C.agg2"']),
    ("bitfinex",       ["tBTCF0:USTF0"],  ['"channel":"status","key":"deriv:tBTCF0:USTF0"']),
    ("gemini",         ["BTCGUSDPERP"],   ['"name":"mark_price","symbols":["BTC-GUSD-PERP"]',
                                           '"name":"funding_amount","symbols":["BTC-GUSD-PERP"]']),
    ("hyperliquid",    ["BTC"],           ['"type":"activeAssetCtx","coin":"BTC"']),
    ("kraken_futures", ["PF_XBTUSD"],     ['"feed":"ticker","product_ids":["PF_XBTUSD"]']),
]
NOT_SUBSCRIBED = [  # venue, markets, what they have not
    ("okx",      ["BTC-USDT"],        ["funding-rate", "open-interest", "mark-price", "index-"]),
    ("okx",      ["BTC-USDT-261225"], ["funding-rate"]),
    ("bybit",    ["BTCUSDT"],         ["tickers"]),
    ("bitfinex", ["tBTCUSD"],         ["status"]),
    ("gemini",   ["BTCUSD"],          ["mark_price", "funding_amount"]),
]
# fmt: on


def said_by(venue: str, names: list[str]) -> str:
    return "".join(text for line in LIVE[venue].lines for text in line.subscribe(names))


@pytest.mark.parametrize(("venue", "names", "parts"), SUBSCRIBED)
def test_derivatives_are_subscribed_to_with_their_figures(
    venue: str, names: list[str], parts: list[str]
) -> None:
    said = said_by(venue, names)
    assert [part for part in parts if part not in said] == []


@pytest.mark.parametrize(("venue", "names", "parts"), NOT_SUBSCRIBED)
def test_what_a_market_has_not_is_not_asked_for(
    venue: str, names: list[str], parts: list[str]
) -> None:
    said = said_by(venue, names)
    assert [part for part in parts if part in said] == []
    assert [path for poll in LIVE[venue].polls for path in poll.paths(names)] == []


def test_an_index_of_several_contracts_is_asked_for_once() -> None:
    said = said_by("okx", ["BTC-USDT-SWAP", "BTC-USDT-261225", "BTC-USD-SWAP"])
    assert said.count('"channel":"index-tickers"') == 2


class Case(NamedTuple):
    """What one venue says of one contract, and the rows of it."""

    venue: str
    market: str
    answers: dict[str, bytes]  # to REST requests
    frames: list[bytes]
    rows: list[Row]


def deribit(channel: str, data: dict[str, Any]) -> bytes:
    params = {"channel": channel, "data": data}
    return as_bytes({"jsonrpc": "2.0", "method": "subscription", "params": params})


def okx(channel: str, name: str, data: dict[str, Any]) -> bytes:
    return as_bytes(
        {"arg": {"channel": channel, "instId": name}, "data": [{"instId": name} | data]}
    )


def marked(rate: str = "0.0001", *, name: str = "BTCUSDT", at_ms: int = 1_767_225_700_000) -> bytes:
    data = {"e": "markPriceUpdate", "E": at_ms, "s": name, "p": "60.5", "i": "60.4", "r": rate}
    data |= {"P": "60.5", "T": 1_767_240_000_000}
    return as_bytes({"stream": f"{name.lower()}@markPrice@1s", "data": data})


def info(name: str, hours: int) -> bytes:
    cap = {"adjustedFundingRateCap": "0.02", "adjustedFundingRateFloor": "-0.02"}
    return as_bytes([{"symbol": name} | cap | {"fundingIntervalHours": hours, "disclaimer": False}])


def interest(name: str, qty: str = "10659.509") -> bytes:
    return as_bytes({"openInterest": qty, "symbol": name, "time": 1_767_225_700_000})


M, OI, F = Kind.MARK, Kind.OPEN_INTEREST, Kind.FUNDING
# fmt: off
CASES = [
    Case("binance_usdm", "BTCUSDT",
         {"/fapi/v1/fundingInfo": info("BTCUSDT", 4),
          "/fapi/v1/openInterest?symbol=BTCUSDT": interest("BTCUSDT")},
         [marked()],
         [(OI, NAN, 10659.509, NAN), (M, 60.5, NAN, 60.4), (F, 1e-4, NAN, 14_400.0)]),
    Case("binance_coinm", "BTCUSD_PERP",
         {"/dapi/v1/fundingInfo": b"[]",
          "/dapi/v1/openInterest?symbol=BTCUSD_PERP": interest("BTCUSD_PERP", "15004")},
         [marked(name="BTCUSD_PERP")],
         [(OI, NAN, 15004.0, NAN), (M, 60.5, NAN, 60.4), (F, 1e-4, NAN, 28_800.0)]),
    Case("bybit_linear", "BTCUSDT", {},
         [as_bytes({"topic": "tickers.BTCUSDT", "type": "snapshot", "ts": 1_767_225_700_000,
                    "data": {"symbol": "BTCUSDT", "markPrice": "60.5", "indexPrice": "60.4",
                             "openInterest": "7.5", "fundingRate": "0.0002",
                             "nextFundingTime": "1767240000000", "fundingIntervalHour": "4"}}),
          as_bytes({"topic": "tickers.BTCUSDT", "type": "delta", "ts": 1_767_225_700_100,
                    "data": {"symbol": "BTCUSDT", "fundingRate": "0.0003"}})],
         [(M, 60.5, NAN, 60.4), (OI, NAN, 7.5, NAN), (F, 2e-4, NAN, 14_400.0),
          (F, 3e-4, NAN, 14_400.0)]),
    Case("bybit_inverse", "BTCUSD", {},
         [as_bytes({"topic": "tickers.BTCUSD", "type": "snapshot", "ts": 1_767_225_700_000,
                    "data": {"symbol": "BTCUSD", "markPrice": "60.5", "indexPrice": "60.4",
                             "openInterest": "1000", "fundingRate": "0.0002",
                             "fundingIntervalHour": "8"}})],
         [(M, 60.5, NAN, 60.4), (OI, NAN, 1000.0, NAN), (F, 2e-4, NAN, 28_800.0)]),
    Case("okx", "BTC-USDT-SWAP", {},
         [okx("index-tickers", "BTC-USDT", {"idxPx": "60.4", "ts": "1767225700000"}),
          okx("mark-price", "BTC-USDT-SWAP", {"markPx": "60.5", "ts": "1767225700000"}),
          okx("open-interest", "BTC-USDT-SWAP", {"oi": "12", "ts": "1767225700000"}),
          okx("funding-rate", "BTC-USDT-SWAP", {
              "fundingRate": "0.0001", "fundingTime": "1767240000000",
              "nextFundingTime": "1767254400000", "ts": "1767225700000"})],
         [(M, 60.5, NAN, 60.4), (OI, NAN, 12.0, NAN), (F, 1e-4, NAN, 14_400.0)]),
    Case("deribit", "BTC-PERPETUAL", {},
         [deribit("ticker.BTC-PERPETUAL.agg2", {
             "timestamp": 1_767_225_700_000, "instrument_name": "BTC-PERPETUAL",
             "best_bid_price": 60.0, "best_bid_amount": 1.0, "best_ask_price": 61.0,
             "best_ask_amount": 1.0, "mark_price": 60.5, "index_price": 60.4,
             "open_interest": 1000.0, "current_funding": 0.0002, "funding_8h": 0.0001})],
         [(M, 60.5, NAN, 60.4), (OI, NAN, 1000.0, NAN), (F, 2e-4, NAN, 28_800.0)]),
    Case("bitfinex", "tBTCF0:USTF0", {},
         [b"[300,[1767225700000,null,60.6,60.4,null,1396531.6,null,1767254400000,0.0001,6,null,"
          b"-0.0002,null,null,60.5,null,null,246.5,null,null,null,null,0.3]]"],
         [(M, 60.5, NAN, 60.4), (OI, NAN, 246.5, NAN), (F, -2e-4, NAN, 28_800.0)]),
    Case("gemini", "BTCGUSDPERP",
         {"/v1/riskstats/btcgusdperp": as_bytes({"mark_price": "60.5", "open_interest": "14.439"})},
         [as_bytes({"type": "mark_price_updates", "symbol": "BTCGUSDPERP", "changes": [
             {"timestamp": 1_767_225_700_000_000_000, "mark_price": "50", "spot_index": "50.1"}]}),
          as_bytes({"type": "funding_amount_updates", "symbol": "BTCGUSDPERP", "changes": [
              {"timestamp": 1_767_225_700_000_000_000, "funding_amount": "0.01",
               "funding_date_time": 1_767_229_200_000_000_000, "funding_interval_in_minutes": 60,
               "is_realized": False}]})],
         [(OI, NAN, 14.439, NAN), (M, 50.0, NAN, 50.1), (F, 2e-4, NAN, 3600.0)]),
    Case("hyperliquid", "BTC", {},
         [as_bytes({"channel": "activeAssetCtx", "data": {"coin": "BTC", "ctx": {
             "funding": "0.0000125", "openInterest": "688.11", "prevDayPx": "60",
             "dayNtlVlm": "1.0", "premium": "0.0003", "oraclePx": "60.4", "markPx": "60.5",
             "midPx": "60.5", "impactPxs": ["60", "61"]}}})],
         [(M, 60.5, NAN, 60.4), (OI, NAN, 688.11, NAN), (F, 1.25e-5, NAN, 3600.0)]),
]
# fmt: on


def figures(reader: Reader) -> list[Row]:
    """The rows of derivatives' figures so far."""
    rows = reader.rows
    return [
        (Kind(rows.kind[k]), float(rows.price[k]), float(rows.qty[k]), float(rows.ref[k]))
        for k in np.flatnonzero(np.isin(rows.kind, FIGURES))
    ]


def n_of(reader: Reader, kind: Kind) -> int:
    return sum(row[0] is kind for row in figures(reader))


def with_polls(venue: str, *, every_s: float | None = None) -> dict[str, Any]:
    polls = LIVE[venue].polls
    return {"polls": tuple(poll._replace(every_s=every_s or poll.every_s) for poll in polls)}


@pytest.mark.parametrize("case", CASES, ids=[case.venue for case in CASES])
def test_figures_reach_the_log(case: Case, serve: Any) -> None:
    server = serve(one_market_of(case.venue, case.market))
    server.figures |= case.answers
    with Reader(server, **with_polls(case.venue, every_s=600.0)) as reader:
        reader.begin()
        reader.until(lambda: n_of(reader, Kind.OPEN_INTEREST) == len(case.answers) - wants(case))
        reader.until(lambda: set(case.answers) <= set(server.asked))
        reader.until(lambda: not reader.feed._connections[0]._unread)
        for frame in case.frames:
            server.deliver_text(frame)
        reader.until(lambda: len(figures(reader)) >= len(case.rows))
        server.play(server.rest_of())
        reader.finish()
        np.testing.assert_array_equal(figures(reader), case.rows)
        assert reader.counts.early == 0
        assert reader.states()[2:] == []  # no book was harmed
        check_rows(reader)


def wants(case: Case) -> int:
    """Answers that are no rows."""
    return sum("fundingInfo" in path for path in case.answers)


def one_market_of(venue: str, market: str) -> Script:
    return made_up(venue, [market], 40)


def test_a_rate_waits_for_its_interval_and_marks_do_not(serve: Any) -> None:
    server = serve(one_market("binance_usdm"))
    with Reader(server, **with_polls("binance_usdm")) as reader:
        reader.begin()
        reader.until(lambda: server.asked.count("/fapi/v1/fundingInfo") >= 2)  # asked again
        server.deliver_text(marked(at_ms=1_767_225_700_000))
        server.deliver_text(marked(at_ms=1_767_225_701_000))
        reader.until(lambda: n_of(reader, Kind.MARK) == 2)
        assert (reader.counts.early, n_of(reader, Kind.FUNDING)) == (2, 0)
        assert reader.session.rest_failures >= 2
        server.figures["/fapi/v1/fundingInfo"] = info("BTCUSDT", 1)
        reader.until(lambda: not reader.feed._connections[0]._unread)
        server.deliver_text(marked(at_ms=1_767_225_702_000))
        reader.until(lambda: n_of(reader, Kind.MARK) == 3)
        told = [row for row in figures(reader) if row[0] is Kind.FUNDING]
        assert [(rate, interval_s) for _, rate, _, interval_s in told] == [(1e-4, 3600.0)]
        assert reader.counts.early == 2
        check_rows(reader)


def test_a_new_connection_asks_for_intervals_anew(serve: Any) -> None:
    server = serve(one_market("binance_usdm"))
    server.figures["/fapi/v1/fundingInfo"] = info("BTCUSDT", 4)
    with Reader(server, **with_polls("binance_usdm")) as reader:
        reader.begin()
        reader.until(lambda: not reader.feed._connections[0]._unread)
        del server.figures["/fapi/v1/fundingInfo"]
        server.disconnect()
        reader.until(lambda: reader.session.opened == 2 and server.n_subscribed == 1)
        server.deliver_text(marked())
        reader.until(lambda: n_of(reader, Kind.MARK) == 1)
        assert (reader.counts.early, n_of(reader, Kind.FUNDING)) == (1, 0)
        server.figures["/fapi/v1/fundingInfo"] = info("BTCUSDT", 4)
        reader.until(lambda: not reader.feed._connections[0]._unread)
        server.deliver_text(marked(at_ms=1_767_225_702_000))
        reader.until(lambda: n_of(reader, Kind.FUNDING) == 1)
        assert figures(reader)[-1][3] == 14_400.0


def test_an_answer_that_cannot_be_read_is_quarantined_and_asked_for_again(serve: Any) -> None:
    server = serve(one_market("binance_usdm"))
    server.figures["/fapi/v1/fundingInfo"] = b'[{"symbol":"BTCUSDT"}]'
    server.figures["/fapi/v1/openInterest?symbol=BTCUSDT"] = interest("ETHUSDT")  # another's
    with Reader(server, **with_polls("binance_usdm", every_s=0.05)) as reader:
        reader.begin()
        reader.until(lambda: reader.counts.classes.total() > 8 and quarantined(reader) >= 4)
        server.deliver_text(marked(at_ms=1_767_225_699_000))
        reader.until(lambda: n_of(reader, Kind.MARK) == 1)
        assert (reader.counts.early, len(figures(reader))) == (1, 1)
        server.figures["/fapi/v1/fundingInfo"] = info("BTCUSDT", 2)
        server.figures["/fapi/v1/openInterest?symbol=BTCUSDT"] = interest("BTCUSDT")
        reader.until(lambda: n_of(reader, Kind.OPEN_INTEREST) >= 2)
        reader.until(lambda: not reader.feed._connections[0]._unread)
        server.deliver_text(marked())
        reader.until(lambda: n_of(reader, Kind.FUNDING) == 1)
        assert [row[3] for row in figures(reader) if row[0] is Kind.FUNDING] == [7200.0]
        assert reader.states()[2:] == []


def quarantined(reader: Reader) -> int:
    return sum(n for kind, n in reader.counts.classes.items() if kind.name == "QUARANTINED")


def test_markets_are_asked_about_in_turns(serve: Any) -> None:
    names = ["BTCUSDT", "ETHUSDT"]
    server = serve(made_up("binance_usdm", names, 8))
    paths = [f"/fapi/v1/openInterest?symbol={name}" for name in names]
    server.figures |= {path: interest(path[-7:]) for path in paths}
    with Reader(server, **with_polls("binance_usdm", every_s=0.1)) as reader:
        reader.begin()
        reader.until(lambda: server.asked.count(paths[0]) >= 5)
        asked = [paths.index(path) for path in server.asked if path in paths]
    assert asked == [0, 1] * (len(asked) // 2) + [0] * (len(asked) % 2)


def test_what_a_source_brings_is_not_polled() -> None:
    venue = LIVE["binance_usdm"]
    with pytest.raises(ValueError, match="a source asks for everything itself"):
        replace(venue, snapshot=None, source=_NoSource())


class _NoSource:
    address, resumes = "nowhere", False

    def steps(self, name: str) -> None:
        raise NotImplementedError

    async def bring(self, names: Any, outlet: Any) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("venue", [v for v in LIVE.values() if v.polls], ids=lambda v: v.name)
def test_polls_stay_far_below_the_venues_limits(venue: LiveVenue) -> None:
    """Of the 64 markets that a feed may have; the venues allow 120 requests a minute or more."""
    names = [venue.example if venue.name != "gemini" else "BTCGUSDPERP"] * 64
    a_minute = sum(len(poll.paths(names)) * 60.0 / poll.every_s for poll in venue.polls)
    assert 0.0 < a_minute <= (130.0 if venue.name.startswith("binance") else 64.0)


def test_funding_of_a_contract_that_is_settled_each_4_h_is_scored_per_8_h(serve: Any) -> None:
    server = serve(one_market("binance_usdm"))
    server.figures["/fapi/v1/fundingInfo"] = info("BTCUSDT", 4)
    with Reader(server, **with_polls("binance_usdm")) as reader:
        reader.begin()
        reader.until(lambda: not reader.feed._connections[0]._unread)
        server.deliver_text(marked("0.0003"))
        reader.until(lambda: n_of(reader, Kind.FUNDING) == 1)
        table = reader.feed.table
        shown = run(table, Funding(table.arrays()), reader.rows)["funding_rate_8h"]
        assert shown[-1] == pytest.approx(0.0006)


EXPIRY = "27MAR26"
FORWARD = 60_000.0
STRIKES = [45_000, 50_000, 55_000, 60_000, 65_000, 70_000, 80_000]


def smile(strike: float) -> float:
    return 0.6 - 0.3 * math.log(strike / FORWARD)


def quoted(name: str, mid: float, half: float) -> bytes:
    data = {"timestamp": 1_767_225_700_000, "instrument_name": name}
    bid = {"best_bid_price": mid - half, "best_bid_amount": 1.0}
    ask = {"best_ask_price": mid + half, "best_ask_amount": 1.0}
    return deribit(f"quote.{name}", data | bid | ask)


def unwanted(name: str) -> bytes:
    """Nobody bids for it any more."""
    data = {"timestamp": 1_767_225_700_000, "instrument_name": name, "best_bid_price": 0.0}
    ask = {"best_bid_amount": 0.0, "best_ask_price": 0.5, "best_ask_amount": 1.0}
    return deribit(f"quote.{name}", data | ask)


def test_the_skew_of_a_chain_is_known_live(serve: Any) -> None:
    options = [f"BTC-{EXPIRY}-{strike}-{right}" for strike in STRIKES for right in "CP"]
    names = ["BTC-PERPETUAL", *options]
    server = serve(made_up("deribit", names, 0))
    years = years_to(datetime(2026, 3, 27, 8, tzinfo=UTC))
    with Reader(server) as reader:
        reader.begin()
        table = reader.feed.table
        assert [i.kind for i in table.instruments].count(InstrumentKind.OPTION) == len(options)
        assert len({i.lane for i in table.instruments}) == 1
        assert table.desk_currency == "USD"
        assert (table.arrays().rate_row[table_rows(table, options)] == -2).all()  # only looked at
        server.deliver_text(quoted("BTC-PERPETUAL", FORWARD, 5.0))
        for name in options:
            strike, right = int(name.split("-")[2]), name[-1]
            deviation = smile(strike) * math.sqrt(years)
            mid = value(FORWARD, strike, deviation, right == "C") / FORWARD
            server.deliver_text(quoted(name, mid, mid / 100))
        server.deliver_text(quoted("BTC-PERPETUAL", FORWARD, 5.0))
        server.deliver_text(unwanted(options[0]))
        server.deliver_text(quoted("BTC-PERPETUAL", FORWARD, 5.0))
        reader.until(lambda: int((reader.rows.kind == Kind.QUOTE).sum()) == len(options) + 4)
        gate = Gate(table.arrays(), 1)
        _, (accepted, refused) = gate.step(gate.initial(), a_second_apart(reader.rows))
        assert refused.seq.size == 0
        shown = run(table, Skew(table), accepted)
    assert shown["vol_atm"][-1] == pytest.approx(0.6, abs=0.02)
    assert -0.3 < shown["skew_reversal"][-1] < -0.05  # puts cost more, as the smile says
    delta, vol = shown["option_delta"], shown["implied_vol"]
    assert np.isfinite(vol[1:-3]).sum() >= len(options) - 1  # the first has no forward yet
    assert np.isnan(vol[-2])  # nobody bids for it any more
    assert (np.abs(delta[np.isfinite(delta)]) < 1.0).all()


def table_rows(table: Any, names: list[str]) -> list[int]:
    return [k for k, one in enumerate(table.instruments) if one.name in names]


def years_to(end: datetime) -> float:
    return (end.timestamp() - 1_767_225_700.0) / (365 * 86_400)


def a_second_apart(rows: MarketRows) -> MarketRows:
    """The quotes as if each had come a second after the one before: chains are read so often."""
    quotes = take(rows, rows.kind == Kind.QUOTE)
    quotes.ts_recv_ns[:] = START_NS + SECOND_NS * np.arange(quotes.seq.size)
    return quotes


def test_a_poll_that_fails_is_asked_again_at_the_pace_of_lost_connections(serve: Any) -> None:
    server = serve(one_market("binance_usdm"))
    slow = replace(FAST, backoff_s_max=600.0)
    with Reader(server, pace=slow, **with_polls("binance_usdm")) as reader:
        reader.begin()
        reader.until(lambda: reader.session.rest_failures == 2)
        server.play(server.rest_of())
        reader.finish()
        assert server.asked.count("/fapi/v1/fundingInfo") == 1
