"""Promise: rows of recorded frames are those of the tapes that others made of the same frames."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from operators.market.books.words import OrderAction
from schemas.kinds import Flag, Kind
from schemas.rows import concat, take
from tests.recorded_frames import rows_of, synchronised
from venues.frames import NO_TIME, FrameClass, FrameFile, market_rows, order_rows

Find = Callable[[str], Path]


ACTIONS = {
    "created": OrderAction.ADD,
    "changed": OrderAction.CHANGE,
    "deleted": OrderAction.DELETE,
}
GHOST_NS = 1_430_448_690_624_000_000  # 02:51:30.624


def path_of(data_path: Find, name: str) -> Path:
    return data_path(f"raw/{name}.jsonl.zst")


# fmt: off
TAPES = [  # recording, folder of the tape
    ("binance_spot_BTCUSDT_20230405T0000",      "trades"),
    ("binance_spot_BTCUSDT_20230405T0000",      "quotes"),
    ("binance_spot_ETHUSDT_20240808T2354",      "trades"),
    ("binance_spot_ETHUSDT_20240808T2354",      "quotes"),
    ("binance_spot_ETHUSDT_20240808T2354",      "book"),
    ("binance_coinm_BTCUSD_PERP_20240808T2354", "trades"),
    ("binance_coinm_BTCUSD_PERP_20240808T2354", "quotes"),
    ("binance_coinm_BTCUSD_PERP_20240808T2354", "book"),
    ("bitstamp_BTCUSD_20150501T0000",           "trades"),
    ("coinbase_BTC-USD_20180417T0055",          "trades"),
    ("coinbase_BTC-USD_20180417T0055",          "book"),
]
COLUMNS = {  # of the tape: of the rows
    "trades": (Kind.TRADE, {"price": "price", "size": "qty", "side": "side"}),
    "quotes": (Kind.QUOTE, {"bid_px": "bid_px", "bid_sz": "bid_qty",
                            "ask_px": "ask_px", "ask_sz": "ask_qty"}),
    "book":   (Kind.BOOK, {"price": "price", "size": "qty", "side": "side"}),
}
# fmt: on


@pytest.mark.parametrize(("name", "folder"), TAPES)
def test_rows_are_those_of_the_tapes_that_others_made_of_these_frames(
    data_path: Find, name: str, folder: str
) -> None:
    kind, columns = COLUMNS[folder]
    table = pq.read_table(data_path(f"{folder}/{name}.parquet"))
    rows = rows_of(path_of(data_path, name))
    rows = take(rows, rows.kind == kind)
    n = min(table.num_rows, rows.seq.size)
    assert 0.98 < rows.seq.size / table.num_rows < 1.02  # one may end some frames later
    for theirs, ours in columns.items():
        expected = table[theirs].to_numpy()[:n]
        assert np.array_equal(expected, getattr(rows, ours)[:n])
    if name.startswith("binance") and folder != "trades":
        assert np.array_equal(table["seq"].to_numpy()[:n], rows.venue_seq[:n])


def test_order_that_comes_back_after_it_was_deleted_stays_deleted(data_path: Find) -> None:
    path = path_of(data_path, "bitstamp_BTCUSD_20150501T0000")
    late = [p for _, p in FrameFile(path) if p.kind == FrameClass.SUPERSEDED]
    tape = pq.read_table(data_path("orders_l3/bitstamp_BTCUSD_20150501T0000.parquet")).to_pylist()
    kept: list[dict[str, Any]] = []
    ghosts: list[dict[str, Any]] = []
    deleted: set[str] = set()
    for row in tape:
        came_back = row["action"] != "deleted" and row["order_id"] in deleted
        (ghosts if came_back else kept).append(row)
        deleted |= {row["order_id"]} if row["action"] == "deleted" else set()
    assert [(p.stream, p.ts_recv_ns) for p in late] == [
        (f"order_{row['action']}", row["recv_ns"]) for row in ghosts
    ]
    assert ("order_changed", GHOST_NS) in {(p.stream, p.ts_recv_ns) for p in late}
    rows = order_rows(rows_of(path))
    assert rows.action.tolist() == [ACTIONS[row["action"]] for row in kept]
    assert rows.order_id.tolist() == [int(row["order_id"]) for row in kept]
    assert rows.price.tolist() == [row["price"] for row in kept]
    assert rows.side.tolist() == [row["side"] for row in kept]
    assert rows.ts_recv_ns.tolist() == [row["recv_ns"] for row in kept]


def test_bitfinex_r0_has_no_times_and_each_order_leaves_at_its_own_price(data_path: Find) -> None:
    path = path_of(data_path, "bitfinex_tBTCUSD_R0_2021")
    assert not any(parsed.timed for _, parsed in islice(FrameFile(path), 1000) if parsed.parts)
    rows = order_rows(rows_of(path, 20_000))
    assert set(rows.ts_event_ns.tolist()) == set(rows.ts_recv_ns.tolist()) == {NO_TIME}
    open_orders: dict[int, tuple[float, int]] = {}
    sizes = []
    for action, order, price, side in zip(
        rows.action.tolist(), rows.order_id.tolist(), rows.price.tolist(), rows.side.tolist(),
        strict=True,
    ):  # fmt: skip
        if action == OrderAction.DELETE:
            assert open_orders.pop(order) == (price, side)
        else:
            open_orders[order] = price, side
        sizes.append(len(open_orders))
    assert max(sizes) <= 2 * 25 + 1  # the subscription has 25 orders a side


def test_messages_stay_whole(data_path: Find) -> None:
    path = path_of(data_path, "binance_coinm_BTCUSD_PERP_20240808T2354")
    book = take(rows_of(path), rows_of(path).kind == Kind.BOOK)
    ends = (book.flags & Flag.MSG_LAST) > 0
    starts = np.flatnonzero(np.concatenate([[True], ends[:-1]]))
    messages = [
        message
        for _, decided in synchronised(path)
        for one in decided
        for message in one.parsed.books
        if message.n_rows
    ]
    sizes = np.diff(np.append(starts, book.seq.size))
    assert [message.n_rows for message in messages] == sizes.tolist()
    numbers = [message.link.last for message in messages if message.link]
    assert numbers == book.venue_seq[starts].tolist()
    assert (np.repeat(book.venue_seq[starts], sizes) == book.venue_seq).all()


def test_frames_together_and_one_by_one_are_the_same_rows(data_path: Find) -> None:
    parsed = [p for _, p in FrameFile(path_of(data_path, "adapters/deribit_20210722T2242"))]
    together, single = market_rows(parsed), concat([p.rows() for p in parsed])
    for a, b in zip(together, single, strict=True):
        np.testing.assert_array_equal(a, b)
