"""Promise: every live venue passes one spec against a local server that speaks its protocol.

Without faults the rows are those that the parser makes of the same frames. A fault within the
feed's proof is told before the first row that shows it, counted, and ends in the venue's own book,
or in a halted one. What a feed cannot prove is called UNPROVABLE.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators.market.books.words import BookReason, BookState
from schemas.kinds import Flag, Kind
from tests.live_cases import (
    BY_REST,
    FAST,
    NAMES,
    PROVEN,
    UNPROVEN,
    Reader,
    assert_alike,
    check_rows,
    each_venue,
    one_market,
    serving,
)
from tests.venue_server import Script, VenueServer, from_recording, made_up
from venues.live import LIVE

Find = Callable[[str], Path]
S = BookState
RECORDED = {
    "kraken": ("raw/adapters/kraken_v2_BTCUSD_d10_20260816T2337.jsonl.zst", ["BTC/USD"]),
    "binance_spot": ("raw/binance_spot_ETHUSDT_20240808T2354.jsonl.zst", ["ETHUSDT"]),
    "binance_coinm": ("raw/binance_coinm_BTCUSD_PERP_20240808T2354.jsonl.zst", ["BTCUSD_PERP"]),
    "coinbase": ("raw/adapters/coinbase_exchange_20210417T1643.jsonl.zst", ["YFI-BTC", "NU-GBP"]),
    "bitstamp": ("raw/adapters/bitstamp_v2_20220105T0048.jsonl.zst", ["ethusd", "xrpeur"]),
    "binance_usdm": ("raw/binance_usdm_BTCUSDT_20240808T2354.jsonl.zst", ["BTCUSDT"]),
    "kraken_futures": (
        "raw/adapters/kraken_futures_v1_20210722T2302.jsonl.zst",
        ["PI_ETHUSD", "PI_XRPUSD"],
    ),
    "bybit": ("raw/adapters/bybit_XRPUSDT_ob500_20241201.jsonl.zst", ["XRPUSDT"]),
    "bybit_linear": ("raw/adapters/bybit_XRPUSDT_ob500_20241201.jsonl.zst", ["XRPUSDT"]),
    "deribit": (
        "raw/adapters/deribit_20210722T2242.jsonl.zst",
        ["BTC-24SEP21-34000-P", "ETH-23JUL21-2300-C"],
    ),
    "okx": ("raw/adapters/okx_20220513T1627.jsonl.zst", ["BTC-USDT", "UNI-USD-SWAP"]),
    "bitfinex": ("raw/bitfinex_tBTCUSD_R0_2021.jsonl.zst", ["tBTCUSD"]),
    "gemini": ("raw/adapters/gemini_20210624T0014.jsonl.zst", ["LINKETH", "BATBTC"]),
    "hyperliquid": ("raw/hyperliquid_BTC_20250126T1914.jsonl.zst", ["BTC"]),
}  # bybit_inverse: the only recording is of the topics of 2021


@pytest.fixture(name="serve")
def fixture_serve() -> Iterator[Callable[[Script], VenueServer]]:
    yield from serving()


def test_every_live_venue_is_tested() -> None:
    assert set(NAMES) == {*RECORDED, "bybit_inverse"} == set(LIVE) == {*PROVEN, *UNPROVEN}


@each_venue
def test_rows_are_those_of_the_parser(venue: str, serve: Any) -> None:
    server = serve(made_up(venue, NAMES[venue], 200))
    with Reader(server) as reader:
        reader.begin()
        reader.finish()
        reader.read_all()
        assert_alike(reader)
        good = S.SYNCED if venue in PROVEN else S.UNPROVABLE
        assert [reader.states(of=k) for k in range(2)] == [[S.RESYNC, good]] * 2
        check_rows(reader)


@pytest.mark.parametrize("venue", RECORDED)
def test_recorded_frames_are_those_of_the_parser(venue: str, serve: Any, data_path: Find) -> None:
    path, names = RECORDED[venue]
    server = serve(from_recording(data_path(path), venue, names, 300))
    with Reader(server) as reader:
        reader.begin()
        reader.finish()
        reader.read_all()
        assert_alike(reader)
        check_rows(reader)


@each_venue
def test_cut_messages_go_on_where_they_were_cut(venue: str, serve: Any) -> None:
    server = serve(one_market(venue))
    with Reader(server) as reader:
        reader.begin()
        server.play(server.rest_of())
        while not (reader.synced() and reader.is_true()):
            assert reader.take(max_rows=3).seq.size <= 3
        reader.read_all()
        assert_alike(reader)


# What is done to one change of a book; the change behind it is sent afterwards.
def lost(server: VenueServer) -> None:
    server.happen()


def cut_short(server: VenueServer) -> None:
    frame = server.happen()
    server.deliver_text(frame[: len(frame) // 2])


def late(server: VenueServer) -> None:
    frame = server.happen()
    server.next_change()
    server.play()
    server.deliver(frame)


def doubled(server: VenueServer) -> None:
    frame = server.happen()
    server.deliver(frame)
    server.deliver(frame)


def wrong_digit(server: VenueServer) -> None:
    """A quantity that is well formed and wrong."""
    frame = server.happen()
    server.deliver(server.with_other_quantity(frame))


# fmt: off
FAULTS = [  # venue, what happens to a change, the state it leads to, what is counted
    ("kraken",        lost,        S.CHECKSUM_FAIL, "checksum_fails"),
    ("kraken",        late,        S.CHECKSUM_FAIL, "checksum_fails"),
    ("kraken",        wrong_digit, S.CHECKSUM_FAIL, "checksum_fails"),
    ("kraken",        cut_short,   S.GAP,           "broken"),
    ("binance_spot",  lost,        S.GAP,           "gaps"),
    ("binance_spot",  late,        S.GAP,           "gaps"),
    ("binance_spot",  cut_short,   S.GAP,           "broken"),
    ("binance_coinm", lost,        S.GAP,           "gaps"),
    ("binance_coinm", late,        S.GAP,           "gaps"),
    ("binance_coinm", cut_short,   S.GAP,           "broken"),
    ("binance_usdm",  lost,        S.GAP,           "gaps"),
    ("binance_usdm",  late,        S.GAP,           "gaps"),
    ("binance_usdm",  cut_short,   S.GAP,           "broken"),
    ("kraken_futures", lost,       S.GAP,           "gaps"),
    ("kraken_futures", late,       S.GAP,           "gaps"),
    ("kraken_futures", cut_short,  S.GAP,           "broken"),
    ("bybit",         lost,        S.GAP,           "gaps"),
    ("bybit",         late,        S.GAP,           "gaps"),
    ("bybit",         cut_short,   S.GAP,           "broken"),
    ("bybit_linear",  lost,        S.GAP,           "gaps"),
    ("bybit_linear",  cut_short,   S.GAP,           "broken"),
    ("bybit_inverse", lost,        S.GAP,           "gaps"),
    ("okx",           lost,        S.GAP,           "gaps"),
    ("okx",           late,        S.GAP,           "gaps"),
    ("okx",           wrong_digit, S.CHECKSUM_FAIL, "checksum_fails"),
    ("okx",           cut_short,   S.GAP,           "broken"),
    ("deribit",       lost,        S.GAP,           "gaps"),
    ("deribit",       late,        S.GAP,           "gaps"),
    ("deribit",       cut_short,   S.GAP,           "broken"),
    ("bitfinex",      lost,        S.GAP,           "gaps"),
    ("bitfinex",      cut_short,   S.GAP,           "broken"),
    ("coinbase",      cut_short,   S.GAP,           "broken"),
    ("bitstamp",      cut_short,   S.GAP,           "broken"),
    ("gemini",        cut_short,   S.GAP,           "broken"),
    ("hyperliquid",   cut_short,   S.GAP,           "broken"),
]
# fmt: on


@pytest.mark.parametrize(
    ("venue", "fault", "state", "counted"), FAULTS, ids=[f"{f[0]}-{f[1].__name__}" for f in FAULTS]
)
@pytest.mark.parametrize("seed", [1, 2])
def test_fault_within_the_proof_is_told_before_its_rows_and_mended(
    venue: str, fault: Any, state: BookState, counted: str, seed: int, serve: Any
) -> None:
    server = serve(made_up(venue, NAMES[venue][:1], 60, seed=seed))
    with Reader(server) as reader:
        reader.begin()
        server.play(8)
        server.next_change()
        reader.until(reader.is_true)
        n_sent = len(server.sent)
        fault(server)
        if fault is lost:  # which shows with the change behind it
            server.next_change()
            n_sent = len(server.sent)
            server.play()
        reader.until(lambda: state in reader.states())
        assert reader.states()[1:3] == [S.SYNCED if venue in PROVEN else S.UNPROVABLE, state]
        assert getattr(reader.counts, counted) == 1
        assert rows_before(reader, state) == n_book_frames(server, n_sent)
        reader.finish()
        assert reader.states()[-2:] == [S.RESYNC, reader.states()[1]]
        # What cannot be read has no number either: on Bitfinex the frame behind it shows a gap.
        assert reader.counts.snapshots in ((2, 3) if venue == "bitfinex" else (2,))
        check_rows(reader)


def rows_before(reader: Reader, state: BookState) -> int:
    """Book messages that stand before the row that tells a state."""
    rows = reader.rows
    told = np.flatnonzero((rows.kind == Kind.BOOK_STATUS) & (rows.code == state))[0]
    ends = (rows.kind == Kind.BOOK) & (rows.flags & Flag.MSG_LAST != 0)
    return int(np.count_nonzero(ends[:told]))


def n_book_frames(server: VenueServer, n_sent: int) -> int:
    """Book messages among the first frames that were sent."""
    return server.n_messages(n_sent)


@each_venue
def test_doubled_change_leaves_the_book_right(venue: str, serve: Any) -> None:
    server = serve(one_market(venue))
    with Reader(server) as reader:
        reader.begin()
        server.play(8)
        server.next_change()
        doubled(server)
        reader.finish()
        assert reader.states()[2:] == []  # no more than RESYNC and the snapshot
        assert reader.counts.asked <= 1
        check_rows(reader)


@pytest.mark.parametrize("venue", UNPROVEN)
def test_loss_that_crosses_the_book_is_told_and_mended(venue: str, serve: Any) -> None:
    server = serve(one_market(venue))
    with Reader(server, pace=replace(FAST, crossed_s=0.1)) as reader:
        reader.begin()
        server.play(8)
        reader.until(reader.is_true)
        server.deliver_text(server.crossing())
        server.deliver_text(server.crossing())  # still crossed: no news
        reader.until(lambda: S.CROSSED in reader.states())
        reader.until(lambda: reader.counts.crossed == 1)
        server.next_change()
        reader.finish()
        good = S.UNPROVABLE
        assert reader.states() == [S.RESYNC, good, S.CROSSED, S.GAP, S.RESYNC, good]
        assert BookReason.CROSSED in reader.reasons()


def test_crossed_snapshot_leaves_its_book_crossed(serve: Any) -> None:
    server = serve(one_market("coinbase"))
    with Reader(server, pace=replace(FAST, crossed_s=60.0)) as reader:
        reader.begin()
        server.play(8)
        reader.until(reader.is_true)
        server.spoil = crossed_snapshot
        server.disconnect()
        reader.until(lambda: reader.session.opened == 2 and server.n_subscribed == 1)
        reader.until(lambda: reader.counts.snapshots == 2)
        reader.until(lambda: S.CROSSED in reader.states())
        assert reader.states()[-2:] == [S.UNPROVABLE, S.CROSSED]


def crossed_snapshot(frame: bytes) -> bytes:
    """With its best bid at the best ask."""
    said = json.loads(frame)
    said["bids"].insert(0, said["asks"][0])
    return json.dumps(said).encode()


@pytest.mark.parametrize("venue", BY_REST)
def test_book_that_was_refused_takes_a_snapshot_from_before_its_last_change(
    venue: str, serve: Any
) -> None:
    """Changes go on while the snapshot is on its way, so it is never newer than all of them."""
    server = serve(one_market(venue))
    with Reader(server) as reader:
        reader.begin()
        server.play(8)
        reader.until(reader.is_true)
        reader.feed.resync(0, 0)
        server.next_change()
        server.play()
        taken = server.snapshot_now()
        server.spoil = lambda frame: taken
        for _ in range(3):
            server.next_change()
            server.play()
        reader.until(lambda: reader.counts.snapshots == 2)
        reader.until(lambda: reader.synced() and reader.is_true())
        assert reader.counts.halts == 0
        check_rows(reader)


def test_book_that_is_lost_without_a_gap_takes_a_snapshot_from_before_its_last_change(
    serve: Any,
) -> None:
    server = serve(one_market("bitstamp"))
    with Reader(server, pace=replace(FAST, crossed_s=0.1)) as reader:
        reader.begin()
        server.play(8)
        reader.until(reader.is_true)
        server.deliver_text(server.crossing())  # later than anything at the venue
        reader.until(lambda: reader.counts.crossed == 1)
        reader.until(lambda: reader.synced() and reader.is_true())
        reader.finish()
        assert reader.counts.snapshots == 2
        check_rows(reader)


@pytest.mark.parametrize("venue", BY_REST)
def test_snapshot_older_than_the_first_change_held_is_not_used(venue: str, serve: Any) -> None:
    server = serve(one_market(venue))
    with Reader(server) as reader:
        reader.until(lambda: server.n_subscribed == 1)
        old = server.snapshot_now()
        server.spoil = lambda frame: old
        server.next_change()
        server.play()
        server.next_change()
        server.play()
        reader.until(lambda: reader.counts.too_old >= 1)
        server.spoil = lambda frame: frame
        reader.finish()
        check_rows(reader)


@pytest.mark.parametrize("venue", BY_REST)
def test_changes_that_waited_follow_their_snapshot_with_times_of_their_own(
    venue: str, serve: Any
) -> None:
    server = serve(one_market(venue))
    with Reader(server) as reader:
        server.spoil = lambda frame: b"{}"
        reader.until(lambda: server.n_subscribed == 1)
        server.next_change()
        server.play()
        middle = server.snapshot_now()
        for _ in range(3):
            server.next_change()
            server.play()
        server.spoil = lambda frame: middle
        reader.until(reader.synced)
        reader.until(lambda: reader.is_true() and reader.counts.rows > 0)
        server.spoil = lambda frame: frame
        reader.finish()
        assert reader.counts.snapshots == 1
        assert reader.counts.too_old == 0
        check_rows(reader)
