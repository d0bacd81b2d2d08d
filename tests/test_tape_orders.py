"""Tapes of single orders as a run reads them: every row once, and books that are the venue's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from flows.replay import verify
from flows.settings import RunSettings
from operators.features.feature import Terms
from operators.features.orders.books import BEGUN_EMPTY_NS
from operators.features.signals import Signals
from operators.market.books.words import OrderAction
from schemas.kinds import Flag, Kind
from schemas.reasons import Reason
from schemas.rows import F8, MarketRows, concat, empty, take
from schemas.topics import SIGNALS
from tests.runs import run
from venues.tape import TapeError, TapeFeed, open_tapes

Find = Callable[[str], Path]
AAPL, CME = "nasdaq_AAPL_20120621T0930.parquet", "cme_ESH4_20231225T0000.parquet"
BITSTAMP = "bitstamp_BTCUSD_20150501T0000.parquet"
BEST = ("bid_px", "ask_px")


def rows_of(feed: TapeFeed) -> MarketRows:
    return concat(list(feed.read(0, 7_000)))


def shown(feed: TapeFeed, rows: MarketRows) -> dict[str, F8]:
    signals = Signals(Terms.of(feed.table), ("orders",))
    return signals.columns(signals.step(signals.initial(), rows)[1])


def test_best_prices_are_those_of_the_venues_snapshots(data_path: Find) -> None:
    """Bitstamp 2015, begun empty: from half an hour on as said in the table of tolerances."""
    feed = open_tapes([data_path(f"orders_l3/{BITSTAMP}")])
    rows = rows_of(feed)
    found = shown(feed, rows)
    table = pq.read_table(data_path(f"book_snapshots/{BITSTAMP}"))
    at_ns = table["ts_ns"].to_numpy()
    late = at_ns >= rows.ts_event_ns[0] + BEGUN_EMPTY_NS
    behind = np.searchsorted(rows.ts_event_ns, at_ns[late], side="right") - 1
    before = np.searchsorted(rows.ts_event_ns, at_ns[late], side="left") - 1
    for name in BEST:
        said = table[f"{name}_0"].to_numpy()[late]
        ours = found[f"order_{name}"]
        agrees = (ours[behind] == said) | (ours[before] == said)  # rows of its own millisecond
        assert agrees.mean() >= 0.998, name
    early = rows.ts_event_ns < rows.ts_event_ns[0] + BEGUN_EMPTY_NS
    assert np.isnan(found["order_bid_px"][early]).all()


def test_each_row_of_a_stock_leaves_the_snapshot_beside_it(data_path: Find) -> None:
    """Nasdaq: the book after row n, begun with what the first snapshot shows."""
    feed = open_tapes([data_path(f"orders_l3/{AAPL}")], lanes=1)
    rows, table = rows_of(feed), pq.read_table(data_path(f"book_snapshots/{AAPL}")).to_pydict()
    assert (rows.reason == Reason.OK).all()
    assert np.count_nonzero(rows.code == OrderAction.EXECUTE_HIDDEN) == 61
    levels = [(1 if side == "bid" else -1, table[f"{side}_px_{n}"][0], table[f"{side}_sz_{n}"][0])
              for n in range(10) for side in ("bid", "ask")]  # fmt: skip
    opening = empty(MarketRows, len(levels))
    opening.kind[:], opening.code[:], opening.flags[:] = Kind.BOOK, OrderAction.ADD, Flag.SNAPSHOT
    opening.flags[-1] |= Flag.MSG_LAST
    opening.venue_seq[:], opening.ref_id[:] = -1, 1 + np.arange(len(levels))
    opening.side[:], opening.price[:], opening.qty[:] = zip(*levels, strict=True)
    opening.ts_event_ns[:] = opening.ts_recv_ns[:] = rows.ts_event_ns[0]
    found = shown(feed, concat([opening, take(rows, slice(1, None))]))
    for name, column in (("bid_px", "bid_px_0"), ("bid_qty", "bid_sz_0"), ("ask_px", "ask_px_0"),
                         ("ask_qty", "ask_sz_0")):  # fmt: skip
        ours, said = found[f"order_{name}"][len(levels) :], np.array(table[column][1:])
        # Then an order goes that the snapshot shows as a level: without its id it would stay.
        known = 439 if "bid" in name else said.size
        np.testing.assert_array_equal(ours[:known], said[:known], err_msg=name)


def test_trades_and_fills_of_a_future_are_rows_of_their_own(data_path: Find) -> None:
    path, trades = data_path(f"orders_l3/{CME}"), data_path(f"trades/{CME}")
    rows = rows_of(open_tapes([path], lanes=1))
    words = pq.read_table(path)["action"].to_pylist()
    assert rows.seq.size == len(words)
    told = take(rows, (rows.kind == Kind.TRADE) & (rows.reason == Reason.OK))
    beside = pq.read_table(trades)
    for ours, theirs in (("price", "price"), ("qty", "size"), ("side", "side")):
        np.testing.assert_array_equal(getattr(told, ours), beside[theirs].to_numpy())
    fills = np.count_nonzero(rows.code == OrderAction.FILL)
    void = np.count_nonzero(rows.reason == Reason.SUPERSEDED)  # of stops, which nobody shows
    assert int(void) == 7
    assert int(fills) + 7 == words.count("fill")
    with pytest.raises(TapeError, match=r"its trades are in orders_l3/.* too\. Leave one"):
        open_tapes([path, trades])


def test_opening_orders_are_received_together_whatever_their_own_times_are(
    data_path: Find, tmp_path: Path
) -> None:
    table = pq.read_table(data_path(f"orders_l3/{CME}"))
    at = table.schema.get_field_index("recv_ns")
    recv_ns = table["recv_ns"].to_numpy()
    opening = np.flatnonzero(
        rows_of(open_tapes([data_path(f"orders_l3/{CME}")])).flags & Flag.SNAPSHOT
    )
    own_ns = recv_ns - np.where(np.isin(np.arange(recv_ns.size), opening), opening.size, 0)
    own_ns[opening] += np.arange(opening.size)
    pq.write_table(table.set_column(at, table.schema.field(at), [own_ns]), tmp_path / CME)
    rows = rows_of(open_tapes([tmp_path / CME]))
    snapshot = rows.flags & Flag.SNAPSHOT != 0
    assert np.count_nonzero(snapshot) == opening.size > 8_000
    assert np.unique(rows.ts_recv_ns[snapshot]).tolist() == [own_ns[opening[-1]]]
    assert np.all(np.diff(rows.ts_recv_ns) >= 0)


def test_cuts_and_batches_give_the_same_rows(data_path: Find) -> None:
    path = data_path(f"orders_l3/{CME}")
    feed = open_tapes([path])
    whole = rows_of(feed)
    again = concat(list(feed.read(9_001, 333)))
    for name, column in again._asdict().items():
        np.testing.assert_array_equal(column, getattr(whole, name)[9_001:], err_msg=name)
    from_ns = int(whole.ts_recv_ns[20_000])
    cut = rows_of(open_tapes([path], from_ns=from_ns))
    kept = whole.ts_recv_ns >= from_ns
    np.testing.assert_array_equal(cut.ref_id, whole.ref_id[kept])
    np.testing.assert_array_equal(cut.flags, whole.flags[kept])


def test_a_run_on_single_orders_is_decided_again(data_path: Find, tmp_path: Path) -> None:
    feed = open_tapes([data_path(f"orders_l3/{AAPL}")])
    settings = RunSettings(features={"sets": ["orders", "hidden_bid_qty", "microprice"]})
    ran = run(feed, profile="memory", batch_rows=97, folder=tmp_path, settings=settings)
    found = verify(ran.log, progress=lambda n: None)
    assert found.difference is None
    assert found.compared[SIGNALS.name] >= 999
