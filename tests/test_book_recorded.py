"""Recorded books: the rebuilt top equals the venue's own quotes, message for message.

Tolerances: none on Binance, whose quotes carry the update id they belong to.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from operators.market.books.l2 import BookTopRows, L2Books
from operators.market.books.l2_state import BookTerms
from schemas.kinds import Flag
from schemas.rows import MarketRows, concat, take
from tests.check_operator import digest
from venues.tape import open_tapes
from venues.verify import compare

Find = Callable[[str], Path]
SNAPSHOT_LEVELS = 1_000  # a side: what Binance's snapshots were asked for
CAP = 20  # levels a side that many books keep, and that are too few
# Changes before the file's first quote, which nothing can be compared with.
BINANCE = {
    "binance_coinm_BTCUSD_PERP_20240808T2354": 0,
    "binance_spot_BTCUSDT_20240808T2354": 0,
    "binance_spot_ETHUSDT_20240808T2354": 0,
    "binance_usdm_BTCUSDT_20230404T2358": 0,
    "binance_usdm_BTCUSDT_20230405T0000": 3,  # and the opening snapshot
    "binance_usdm_BTCUSDT_20240808T2354": 0,
    "binance_usdm_ETHUSDT_20240808T2354": 0,
}


def rebuilt(path: Path, *, levels_max: int = 31_250) -> BookTopRows:
    operator = books(path, levels_max=levels_max)
    return operator.step(operator.initial(), read(path))[1]


def read(path: Path) -> MarketRows:
    return concat(list(open_tapes([path]).read(0, 65_536)))


def books(path: Path, *, levels_max: int = 31_250) -> L2Books:
    instruments = open_tapes([path]).table.arrays()
    cut = np.full(instruments.lane.size, SNAPSHOT_LEVELS, np.int64)
    terms = BookTerms.full(instruments.lane.size)._replace(snapshot_depth=cut)
    return L2Books(instruments, terms, levels_max=levels_max)


@pytest.mark.parametrize("name", BINANCE)
def test_the_top_is_the_last_quote_not_after_the_message(name: str, data_path: Find) -> None:
    top = rebuilt(data_path(f"book/{name}.parquet"))
    found = compare(top, data_path(f"quotes/{name}.parquet"))
    assert (found.early, found.compared - found.equal) == (BINANCE[name], 0)
    assert found.compared > 1_000
    assert (top.synced == 1).all()
    assert not top.crossed.any()
    assert not top.evicted.any()


def test_a_cap_of_20_levels_gets_the_top_wrong_and_never_crosses(data_path: Find) -> None:
    name = "binance_usdm_BTCUSDT_20240808T2354"
    top = rebuilt(data_path(f"book/{name}.parquet"), levels_max=CAP)
    found = compare(top, data_path(f"quotes/{name}.parquet"))
    assert 0 < found.equal < found.compared
    assert not top.crossed.any()
    assert top.evicted[-1] > 0  # but here it can be seen
    outside = (top.bid_px < top.covered_bid) | (top.ask_px > top.covered_ask)
    assert outside.any()


def test_prices_leave_what_the_snapshot_covers(data_path: Find) -> None:
    """Beyond the snapshot's range only changed levels are known, so that depth means nothing."""
    left = []
    for name in BINANCE:
        top = rebuilt(data_path(f"book/{name}.parquet"))
        outside = (top.bid_px < top.covered_bid) | (top.ask_px > top.covered_ask)
        left += [name] if outside.any() else []
    assert len(left) == 2


@pytest.mark.parametrize(
    "name", ["coinbase_BTC-USD_20180417T0055", "coinbase_BTC-USD_20180424T0352"]
)
def test_coinbase_never_crosses_at_full_depth(name: str, data_path: Find) -> None:
    top = rebuilt(data_path(f"book/{name}.parquet"))
    assert not top.crossed.any()
    assert int(top.n_bids[0] + top.n_asks[0]) > 27_000
    assert (top.synced == 1).all()


def test_a_restart_in_the_middle_of_a_recording_changes_nothing(data_path: Find) -> None:
    path = data_path("book/binance_usdm_BTCUSDT_20240808T2354.parquet")
    rows, operator = take(read(path), slice(0, 60_000)), books(path)
    whole = operator.step(operator.initial(), rows)[1]
    state, parts = operator.initial(), []
    for cut in range(0, rows.seq.size, 7_001):  # 2,000 rows of snapshot and most cuts are split
        state, out = operator.step(state, take(rows, slice(cut, cut + 7_001)))
        state = operator.load(operator.dump(state))
        parts.append(out)
    assert digest(concat(parts)) == digest(whole)


def test_a_message_whose_last_row_was_refused_leaves_a_gap(data_path: Find) -> None:
    path = data_path("book/binance_usdm_BTCUSDT_20240808T2354.parquet")
    rows, operator = take(read(path), slice(0, 20_000)), books(path)
    ends = np.flatnonzero(rows.flags & Flag.MSG_LAST)
    kept = np.ones(rows.seq.size, np.bool_)
    kept[ends[100]] = False  # the last row of a message was refused
    top = operator.step(operator.initial(), take(rows, kept))[1]
    assert top.synced[:100].all()
    assert not top.synced[100:].any()
