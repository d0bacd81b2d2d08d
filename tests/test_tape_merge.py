"""Tapes become one feed: the order of a brute-force sort, from any start, in any batches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import venues.tape.columns
from schemas.kinds import NO_ID, Flag, Kind
from schemas.reasons import Reason
from schemas.rows import MarketRows, dtypes
from tests.tape_files import MS, T0, bars, book, cut, quotes, read, same, trades, write
from venues.tape import TapeFeed, open_tapes

Find = Callable[[str], Path]
BTC = ("binance_spot_BTCUSDT", "binance_usdm_BTCUSDT", "binance_coinm_BTCUSD_PERP")
NS = "int64"


def brute_force(paths: list[Path], from_ns: int = 0, to_ns: int = 2**62) -> dict[str, Any]:
    """All rows in memory, sorted by one call. Only for tapes with receive times and no defects."""
    parts = []
    for source, path in enumerate(sorted(paths, key=lambda p: f"{p.parent.name}/{p.name}")):
        table = pq.read_table(path)
        recv = table["recv_ns"].to_numpy().astype(NS)
        if "is_snapshot" in table.column_names:  # what overtook the snapshot waits for it
            recv = np.maximum.accumulate(recv)
        price = table["price" if "price" in table.column_names else "bid_px"].to_numpy()
        n = table.num_rows
        parts.append((recv, np.full(n, source), np.arange(n), price, table["ts_ns"].to_numpy()))
    recv, sources, row, price, ts = (np.concatenate(c) for c in zip(*parts, strict=True))
    order = np.lexsort((row, sources, recv))
    order = order[(recv[order] >= from_ns) & (recv[order] < to_ns)]
    names = ("ts_recv_ns", "source", "source_row", "price", "ts_event_ns")
    return dict(zip(names, (c[order] for c in (recv, sources, row, price, ts)), strict=True))


def assert_is(rows: MarketRows, expected: dict[str, Any]) -> None:
    price = np.where(rows.kind == Kind.QUOTE, rows.bid_px, rows.price)
    for name, column in expected.items():
        found = price if name == "price" else getattr(rows, name)
        np.testing.assert_array_equal(found, column, err_msg=name)


@pytest.fixture(scope="module")
def btc_paths(data_path: Find) -> list[Path]:
    kinds = ("trades", "quotes", "book")
    return [data_path(f"{kind}/{one}_20240808T2354.parquet") for kind in kinds for one in BTC]


@pytest.fixture(scope="module")
def btc(btc_paths: list[Path]) -> tuple[TapeFeed, MarketRows]:
    feed = open_tapes(btc_paths)
    return feed, read(feed, batch_rows=100_000)


def test_three_markets_of_btc_are_in_the_order_of_a_brute_force_sort(btc, btc_paths):
    feed, rows = btc
    assert feed.has_recv
    assert feed.n_rows == rows.seq.size == 1_015_703
    assert_is(rows, brute_force(btc_paths))


def test_a_cut_of_them_keeps_what_a_filter_keeps(btc_paths):
    from_ns, to_ns = 1723161300 * 10**9, 1723161360 * 10**9
    feed = open_tapes(btc_paths, from_ns=from_ns, to_ns=to_ns)
    rows = read(feed)
    assert feed.n_rows == rows.seq.size == sum(one.rows for one in feed.description)
    assert_is(rows, brute_force(btc_paths, from_ns, to_ns))


@pytest.mark.parametrize(("start", "batch_rows"), [(1, 65_537), (777_777, 4096), (1_015_702, 1)])
def test_them_from_any_start_in_any_batches(btc, start, batch_rows):
    feed, rows = btc
    batches = list(feed.read(start, batch_rows))
    assert all(one.seq.size == batch_rows for one in batches[:-1])
    same(read(feed, start, batch_rows), cut(rows, start))


def test_columns_are_those_of_the_contract(btc):
    feed, _ = btc
    for batch in feed.read(5, 1000):
        for column, dtype in zip(batch, dtypes(MarketRows).values(), strict=True):
            assert column.dtype == dtype
            assert column.flags.c_contiguous
            assert column.flags.writeable
        return


def test_book_messages_end_once_and_stay_together(btc, btc_paths):
    feed, rows = btc
    for source, name in enumerate(feed.names):
        path = next(p for p in btc_paths if f"{p.parent.name}/{p.name}" == name)
        mine = cut(MarketRows._make(c[rows.source == source] for c in rows), 0)
        last = (mine.flags & Flag.MSG_LAST) != 0
        if "book" not in name:
            assert last.all()
            continue
        table = pq.read_table(path, columns=["seq", "is_snapshot"])
        seq = table["seq"].to_numpy()
        np.testing.assert_array_equal(last, np.append(seq[1:] != seq[:-1], True))
        np.testing.assert_array_equal(
            (mine.flags & Flag.SNAPSHOT) != 0, table["is_snapshot"].to_numpy(zero_copy_only=False)
        )
        np.testing.assert_array_equal(mine.venue_seq, seq)


def test_clock_offset_takes_the_fastest_row_as_one_millisecond(btc, btc_paths):
    feed, _ = btc
    for one in feed.table.instruments:
        least = []
        for path in btc_paths:
            table = pq.read_table(path)
            if table["venue"][0].as_py() == one.venue:
                real = np.ones(table.num_rows, bool)
                if "is_snapshot" in table.column_names:
                    real = ~table["is_snapshot"].to_numpy(zero_copy_only=False)
                least.append((table["recv_ns"].to_numpy() - table["ts_ns"].to_numpy())[real].min())
        assert one.clock_offset_ns == min(least) - MS


# --- small tapes, read in chunks of a few rows, so that every seam is crossed ---


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TapeFeed:
    """Four tapes with equal times, bursts longer than a chunk, and several assets in one file."""
    monkeypatch.setattr(venues.tape.columns, "CHUNK_ROWS", 7)
    random = np.random.default_rng(5)

    def times(n: int) -> dict[str, Any]:
        at = np.sort(random.choice([0, 1, 2, 2, 2, 3, 9, 9, 9, 9], n)) * MS + T0
        return {"ts_ns": at, "recv_ns": at + MS}

    symbols = random.choice(["BTCUSDT", "ETHUSDT", "XRPUSDT", "ADAUSDT"], 60)
    paths = [
        write(tmp_path / "trades" / "a.parquet", trades(60, symbol=symbols, **times(60))),
        write(tmp_path / "trades" / "b.parquet", trades(5, **times(5)), row_group_size=2),
        write(tmp_path / "quotes" / "a.parquet", quotes(40, symbol=symbols[:40], **times(40))),
        write(tmp_path / "book" / "a.parquet", book(50, seq=[3] * 25 + [4] * 25, **times(50))),
    ]
    return open_tapes(paths, lanes=3)


def test_equal_times_go_by_lane_source_and_row(many):
    rows = read(many)
    assert rows.seq.size == many.n_rows == 155
    key = list(zip(rows.ts_recv_ns, rows.lane, rows.source, rows.source_row, strict=True))
    assert key == sorted(key)
    assert len(set(zip(rows.source, rows.source_row, strict=True))) == 155


def test_any_start_and_any_batch_gives_the_same_rows(many):
    rows = read(many)
    for start in (0, 1, 30, 77, 154, 155):
        for batch_rows in (1, 3, 7, 1000):
            parts = list(many.read(start, batch_rows))
            assert all(one.seq.size == batch_rows for one in parts[:-1])
            if start < 155:
                same(read(many, start, batch_rows), cut(rows, start))
            else:
                assert parts == []


def test_chunks_do_not_show(many, tmp_path, monkeypatch):
    rows = read(many)
    monkeypatch.setattr(venues.tape.columns, "CHUNK_ROWS", 1000)
    same(read(open_tapes(sorted(tmp_path.rglob("*.parquet")), lanes=3)), rows)


def test_order_of_the_files_does_not_show(many, tmp_path):
    paths = sorted(tmp_path.rglob("*.parquet"))
    same(read(open_tapes(paths[::-1], lanes=3)), read(many))
    assert many.names == ["book/a.parquet", "quotes/a.parquet", "trades/a.parquet",
                          "trades/b.parquet"]  # fmt: skip


def test_cut_in_the_middle_of_a_burst_of_chunks(many, tmp_path):
    rows = read(many)
    cut_rows = read(
        open_tapes(sorted(tmp_path.rglob("*.parquet")), lanes=3, from_ns=T0 + 2 * MS,
                   to_ns=T0 + 10 * MS)
    )  # fmt: skip
    keep = (rows.ts_recv_ns >= T0 + 2 * MS) & (rows.ts_recv_ns < T0 + 10 * MS)
    same(cut_rows, MarketRows._make(np.ascontiguousarray(c[keep]) for c in rows))


def test_without_receive_times_the_venue_times_serve_plus_a_latency(tmp_path):
    first = write(tmp_path / "a.parquet", trades(4, recv_ns=None))
    second = write(tmp_path / "b.parquet", quotes(4))
    feed = open_tapes([first, second], latency_ns=3)
    rows = read(feed)
    assert not feed.has_recv
    np.testing.assert_array_equal(rows.ts_recv_ns, rows.ts_event_ns + 3)
    assert {i.clock_offset_ns for i in feed.table.instruments} == {0}
    assert read(open_tapes([first])).ts_recv_ns[0] == T0 + 5 * MS


def test_opening_snapshot_without_receive_time_takes_the_first_that_follows(tmp_path):
    recv = pa.array([None, None, T0 + 9 * MS, T0 + 9 * MS], pa.int64())
    path = write(
        tmp_path / "b.parquet",
        book(4, is_snapshot=[True, True, False, False], seq=[3, 3, 4, 4], recv_ns=recv),
    )
    feed = open_tapes([path])
    rows = read(feed)
    assert feed.has_recv
    assert rows.ts_recv_ns.tolist() == [T0 + 9 * MS] * 4
    assert not rows.reason.any()


def test_changes_that_overtake_a_snapshot_wait_for_it(tmp_path):
    path = write(
        tmp_path / "b.parquet",
        book(
            4,
            is_snapshot=[True, True, False, False],
            recv_ns=[T0 + 5 * MS, T0 + 5 * MS, T0 + 3 * MS, T0 + 8 * MS],
        ),
    )
    rows = read(open_tapes([path]))
    assert (rows.ts_recv_ns - T0).tolist() == [5 * MS, 5 * MS, 5 * MS, 8 * MS]
    assert rows.source_row.tolist() == [0, 1, 2, 3]
    assert not rows.reason.any()


def test_one_tape_of_many_lanes_goes_by_lane_within_a_time(tmp_path):
    path = write(
        tmp_path / "t.parquet",
        trades(
            4, symbol=["XRPUSDT", "ADAUSDT", "XRPUSDT", "ADAUSDT"], recv_ns=[T0, T0, T0, T0 + 1]
        ),
    )
    rows = read(open_tapes([path]))
    assert rows.lane.tolist() == [0, 1, 1, 0]  # ADA has lane 0, XRP lane 1
    assert rows.source_row.tolist() == [1, 0, 2, 3]


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 100])
def test_times_are_remembered_from_chunk_to_chunk(tmp_path, monkeypatch, chunk_rows):
    monkeypatch.setattr(venues.tape.columns, "CHUNK_ROWS", chunk_rows)
    recv = [T0 + k * MS for k in (1, 5, 3, 6, 4, 9, 7, 8)]
    snapshot = [False, False, False, False, True, True, False, False]
    path = write(tmp_path / "b.parquet", book(8, is_snapshot=snapshot, recv_ns=recv))
    rows = read(open_tapes([path]))
    # row 2 goes back; row 4 is a late snapshot; rows 6 and 7 wait for the snapshot of row 5
    assert ((rows.ts_recv_ns - T0) // MS).tolist() == [1, 5, 5, 6, 6, 9, 9, 9]
    assert rows.reason.tolist() == [0, 0, Reason.RECV_REGRESSED, 0, 0, 0, 0, 0]
    assert rows.source_row.tolist() == list(range(8))


def test_snapshots_do_not_count_for_the_clock_offset(tmp_path):
    """A snapshot's venue time is often that of the change after it."""
    recv = [T0 - 9 * MS, T0 + 5 * MS, T0 + 7 * MS, T0 + 9 * MS]
    path = write(tmp_path / "b.parquet",
                 book(4, is_snapshot=[True, False, False, False], recv_ns=recv))  # fmt: skip
    # delays of the changes: 4, 5, 6 ms
    assert open_tapes([path]).table.instruments[0].clock_offset_ns == 3 * MS


def test_bars_are_stamped_with_their_end_and_lengths_mix(tmp_path):
    minute = 60 * 10**9
    path = write(
        tmp_path / "bars" / "b.parquet",
        bars(5, ts_ns=[T0, T0, T0 + minute, T0 + 2 * minute, T0 + 3 * minute],
             interval_s=pa.array([60, 180, 60, 60, 60], pa.int32())),
    )  # fmt: skip
    feed = open_tapes([path], latency_ns=0)
    rows = read(feed, batch_rows=2)
    # time   0    1    2    3    4 minutes
    # row 0  |----|
    # row 1  |--------------|
    # row 2       |----|
    # row 3            |----|
    # row 4                 |----|
    assert rows.source_row.tolist() == [0, 2, 1, 3, 4]
    assert ((rows.ts_event_ns - T0) // minute).tolist() == [1, 2, 3, 3, 4]
    assert feed.n_rows == 5
    assert not rows.reason.any()
    assert rows.ref.tolist() == [60.0, 60.0, 180.0, 60.0, 60.0]


def test_every_layout_fills_its_columns(tmp_path):
    n = 3
    key = {"ts_ns": [T0, T0 + 1, T0 + 2], "venue": ["kraken"] * n, "symbol": ["BTCUSD"] * n}
    sides = {
        f"{side}_{part}": [price + k for k in range(n)]
        for side, price in (("bid", 10.0), ("ask", 30.0))
        for part in ("open", "high", "low", "close", "sz")
    }
    cases: list[tuple[str, dict[str, Any], Kind, dict[str, list[float]]]] = [
        ("trades", trades(n), Kind.TRADE, {"price": [100.0, 101.0, 102.0], "qty": [0.5] * n}),
        ("quotes", quotes(n), Kind.QUOTE, {"bid_px": [100.0] * n, "bid_qty": [1.0] * n,
                                           "ask_px": [100.5] * n, "ask_qty": [2.0] * n}),
        ("book", book(n), Kind.BOOK, {"price": [100.0] * n, "qty": [1.0] * n}),
        ("bars", bars(n), Kind.BAR, {"open": [100.0] * n, "high": [103.0] * n, "low": [99.0] * n,
                                     "price": [102.0] * n, "qty": [5.0] * n, "ref": [60.0] * n}),
        ("quote_bars", {**key, "interval_s": [60] * n, **sides}, Kind.QUOTE,
         {"bid_px": sides["bid_close"], "bid_qty": sides["bid_sz"],
          "ask_px": sides["ask_close"], "ask_qty": sides["ask_sz"]}),
        ("funding", {**key, "rate": [0.01, -0.01, 0.0], "interval_s": [28800] * n}, Kind.FUNDING,
         {"price": [0.01, -0.01, 0.0], "ref": [28800.0] * n}),
        ("open_interest", {**key, "oi": [1.0, 2.0, 3.0], "unit": ["coin"] * n},
         Kind.OPEN_INTEREST, {"qty": [1.0, 2.0, 3.0]}),
        ("mark_price", {**key, "mark_px": [5.0] * n, "index_px": [6.0] * n}, Kind.MARK,
         {"price": [5.0] * n, "ref": [6.0] * n}),
    ]  # fmt: skip
    for layout, columns, kind, expected in cases:
        feed = open_tapes([write(tmp_path / f"{layout}.parquet", columns)])
        rows = read(feed)
        assert feed.description[0].kind == layout
        assert set(rows.kind.tolist()) == {kind}, layout
        for name in ("price", "qty", "bid_px", "bid_qty", "ask_px", "ask_qty", "open", "high",
                     "low", "ref"):  # fmt: skip
            np.testing.assert_array_equal(
                getattr(rows, name), expected.get(name, [np.nan] * n), err_msg=f"{layout} {name}"
            )
        # of a book, the number of the message that each follows
        assert rows.ref_id.tolist() == ([6, 7, 8] if layout == "book" else [NO_ID] * n)
        assert not rows.reason.any(), layout
        assert not rows.seq.any()
