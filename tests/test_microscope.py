"""The report's pictures of markets show the book, the trades and the refused rows of the log."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from console.report.data import PriceSample
from console.report.microscope import (
    COLUMNS,
    PRICES,
    TRADES_DRAWN,
    Frame,
    Microscope,
    View,
    frames_of,
)
from console.report.microscope_figure import SIZE_LEAST, view_figure
from console.report.page import render_page
from console.report.summary import build_report
from console.report.trips import build_trips
from schemas.kinds import Flag, Kind
from schemas.rows import MarketRows, concat, empty, take
from tests.book_cases import BUY, SELL, Level, market, message, table
from tests.test_report_synthetic import walking_run

FRAME = Frame(row=1, start_ns=0, width_ns=100, low=94.0, step=0.1)  # binance_usdm:BTCUSDT
LAST_NS = COLUMNS * FRAME.width_ns - 1


def book_rows(n: int = 3_000) -> MarketRows:
    """A snapshot, then messages of one to three levels between 97 and 103, over all columns."""
    random = np.random.default_rng(5)
    levels = [(BUY, 99.9 - k / 10, 1.0 + k) for k in range(25)]
    levels += [(SELL, 100.1 + k / 10, 2.0 + k) for k in range(25)]
    messages = [message(levels, k=1, snapshot=True)]
    for number in range(1, n):
        changed: list[Level] = []
        for _ in range(random.integers(1, 4)):
            side = BUY if random.random() < 0.5 else SELL
            price = 100.0 - side * random.integers(1, 30) / 10
            changed.append((side, round(price, 1), float(random.integers(0, 9))))
        messages.append(message(changed, k=1, number=number))
    rows = market(*messages)
    span = np.linspace(0, LAST_NS, rows.seq.size).astype(np.int64)
    starts = np.append(True, (rows.flags[:-1] & Flag.MSG_LAST) != 0)
    times = span[np.maximum.accumulate(np.where(starts, np.arange(rows.seq.size), 0))]
    return rows._replace(ts_recv_ns=times, ts_event_ns=times)


def trade_rows(n: int = TRADES_DRAWN + 50) -> MarketRows:
    rows = empty(MarketRows, n)
    rows.kind[:], rows.flags[:], rows.symbol[:] = Kind.TRADE, Flag.MSG_LAST, 1
    rows.price[:], rows.qty[:] = 100.0, np.random.default_rng(1).permutation(n) + 1.0
    rows.side[:] = np.where(np.arange(n) % 2, BUY, SELL)
    times = np.linspace(0, LAST_NS, n).astype(np.int64)
    return rows._replace(ts_recv_ns=times, ts_event_ns=times, seq=np.arange(n))


def merged(*parts: MarketRows) -> MarketRows:
    rows = concat(list(parts))
    return take(rows, np.argsort(rows.ts_recv_ns, kind="stable"))


def view_of(rows: MarketRows, batch: int = 10**9, frame: Frame = FRAME) -> View:
    microscope = Microscope(table(), [frame])
    for start in range(0, rows.seq.size, batch):
        microscope.add(take(rows, slice(start, start + batch)))
    return microscope.views()[0]


def test_depth_is_that_of_the_book_at_the_end_of_each_column() -> None:
    rows = book_rows()
    view = view_of(rows)
    slow: dict[int, dict[float, float]] = {BUY: {}, SELL: {}}
    expected = np.full((PRICES, COLUMNS), np.nan)
    at = 0
    for column in range(COLUMNS):
        while at < rows.seq.size and rows.ts_recv_ns[at] < (column + 1) * FRAME.width_ns:
            slow[int(rows.side[at])][float(rows.price[at])] = float(rows.qty[at])
            at += 1
        depth = np.zeros(PRICES)
        for levels in slow.values():
            for price, qty in levels.items():
                bin_ = int(np.floor((price - FRAME.low) / FRAME.step))
                if 97.5 <= price <= 102.5 and 0 <= bin_ < PRICES:  # what the snapshot covers
                    depth[bin_] += qty
        expected[:, column] = depth
    np.testing.assert_allclose(view.depth, expected)


@pytest.mark.parametrize("batch", [1, 7, 1_000])
def test_no_picture_depends_on_how_rows_are_batched(batch: int) -> None:
    rows = merged(book_rows(400), trade_rows(60))
    whole, parts = view_of(rows), view_of(rows, batch)
    for one, other in zip(whole[1:7], parts[1:7], strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole.trades.seq.tolist() == parts.trades.seq.tolist()


def test_a_book_that_lost_a_message_is_blank_until_the_next_snapshot() -> None:
    rows = book_rows(600)
    status = market(message([(BUY, 1.0, 1.0)], k=1))
    status.kind[:], status.code[:] = Kind.BOOK_STATUS, 2  # a gap
    status.ts_recv_ns[:] = 100 * FRAME.width_ns
    view = view_of(merged(rows, status))
    assert np.isfinite(view.depth[:, :100]).all()
    assert np.isnan(view.depth[:, 101:]).all()


def test_the_largest_trades_are_kept_and_volume_adds_up() -> None:
    rows = trade_rows()
    view = view_of(rows)
    largest = np.sort(rows.qty)[-TRADES_DRAWN:]
    assert np.sort(view.trades.qty).tolist() == largest.tolist()
    signed = np.cumsum(rows.qty * rows.side)
    assert view.cvd[-1] == signed[-1]


def test_refused_rows_are_counted_where_they_came() -> None:
    microscope = Microscope(table(), [FRAME])
    refused = take(trade_rows(), [0, 1, 449])
    refused.symbol[1] = 0  # another market
    microscope.refuse(refused)
    counts = microscope.views()[0].refused
    assert (counts[0], counts[-1], counts.sum()) == (1, 1, 2)


def test_markets_with_books_come_first() -> None:
    sample = PriceSample(np.array([0, 10**9]), np.array([100.0, 101.0]))
    counts = np.array([[0, 0, 9], [5, 1, 0], [0, 7, 0], [0, 0, 0]])
    frames = frames_of(table(), counts, {0: sample, 1: sample, 2: sample})
    assert [frame.row for frame in frames] == [1, 2, 0]
    frame = frames[0]
    assert frame.low < 100.0
    assert frame.low + PRICES * frame.step > 101.0
    assert frame.step / 0.1 == pytest.approx(round(frame.step / 0.1))
    assert frame.column(np.array([0, 10**9])).tolist() == [0, COLUMNS - 1]


def test_the_page_shows_the_picture_and_its_panels() -> None:
    view = view_of(merged(book_rows(400), trade_rows(60)))
    figure: Any = view_figure(view, table())
    names = [trace["name"] for trace in figure["data"]]
    assert names[0] == "resting orders"
    assert {"bought", "sold", "CVD"} <= set(names)
    assert "refused" not in names
    shown = {key for key in figure["layout"] if key.startswith("yaxis")}
    assert {trace.get("yaxis", "y") for trace in figure["data"]} == {
        "y" + key.removeprefix("yaxis") for key in shown
    }
    json.dumps(figure, allow_nan=False)

    data = walking_run()
    frame = FRAME._replace(row=0)
    page = render_page(
        replace(data, views=[view._replace(frame=frame)]),
        build_report(data, build_trips(data)),
        build_trips(data),
    )
    assert 'id="view"' in page
    assert "recorded no order book" not in page
    assert 'id="view"' not in render_page(
        data, build_report(data, build_trips(data)), build_trips(data)
    )


@pytest.mark.parametrize("qty", [math.nan, 0.0])
@pytest.mark.parametrize("n", [1, 10])
def test_trades_without_a_size_are_drawn(qty: float, n: int) -> None:
    rows = trade_rows(10)
    rows.qty[:n] = qty
    figure = view_figure(view_of(rows), table())
    json.dumps(figure, allow_nan=False)
    drawn = [trace for trace in figure["data"] if trace["name"] in ("bought", "sold")]
    sizes = [size for trace in drawn for size in trace["marker"]["size"]]
    assert len(sizes) == 10
    assert sizes.count(SIZE_LEAST) == n
    assert [trace["text"][0] for trace in drawn][1 % len(drawn)] != "nan"
