"""Promise: a report says of each venue how long its rows took, how many came before they were sent,
and how far its clock is from ours, from the log alone and however it is read.
"""

from typing import Any

import numpy as np
import pytest

from console.report.books import Snapshots, without_snapshot
from console.report.clocks import ClockStories, ClockStory, ahead
from console.report.clocks_table import clocks_lines, clocks_section
from console.report.words import MINUS, microseconds
from schemas.kinds import Flag, Kind
from schemas.rows import MarketRows, empty, take
from tests.book_cases import MARKETS, table
from tests.made_feed import made, message, quote, snapshot

MS, SECOND = 1_000_000, 1_000_000_000
START_NS = 1_700_000_000 * SECOND
VENUES = sorted({venue for _, _, venue, _ in MARKETS})  # coinm, spot, usdm
MICRO = "\N{MICRO SIGN}"


def quotes(latency_ns: Any, *, k: int = 0, every_ns: int = SECOND // 10) -> MarketRows:
    """Quotes of one instrument that took so long."""
    lane, symbol = MARKETS[k][:2]
    rows = empty(MarketRows, len(latency_ns))
    rows.kind[:], rows.flags[:] = Kind.QUOTE, Flag.MSG_LAST
    rows.lane[:], rows.symbol[:] = lane, symbol
    rows.ts_recv_ns[:] = START_NS + np.arange(rows.seq.size) * every_ns
    rows.ts_event_ns[:] = rows.ts_recv_ns - np.asarray(latency_ns, np.int64)
    return rows


def stories(rows: MarketRows, *cuts: int) -> list[ClockStory]:
    found = ClockStories(table())
    for start, stop in zip([0, *cuts], [*cuts, rows.seq.size], strict=True):
        found.add(take(rows, slice(start, stop)))
    return found.stories()


def test_latencies_are_those_of_a_sorted_list_to_three_digits() -> None:
    random = np.random.default_rng(1)
    latency_ns = (random.lognormal(15.0, 2.0, 20_000) - 500_000.0).astype(np.int64)
    [found] = stories(quotes(latency_ns))
    for name, share in (("p01", 1), ("p50", 50), ("p99", 99)):
        due = np.percentile(latency_ns, share, method="inverted_cdf")
        assert found.latency_ns[name] == pytest.approx(due, rel=0.01)
    assert found.latency_ns["min"] == latency_ns.min()
    assert found.latency_ns["max"] == latency_ns.max()
    assert found.negative == np.count_nonzero(latency_ns < 0) > 100
    assert (found.rows, found.venue) == (20_000, "binance_spot")


def test_windows_change_nothing() -> None:
    random = np.random.default_rng(2)
    rows = quotes(random.integers(-MS, 50 * MS, 3000))
    assert stories(rows, 1, 2, 700, 701, 2999) == stories(rows)


def test_a_planted_offset_and_drift_are_found() -> None:
    n, drift_ppb = 4000, 40_000.0
    random = np.random.default_rng(3)
    floor_ns = -7 * MS + np.arange(n) * 0.1 * drift_ppb  # ours runs ahead by 40 us a second
    jitter_ns = random.exponential(5 * MS, n)
    [found] = stories(quotes((floor_ns + MS + jitter_ns).astype(np.int64)))
    assert found.offset_ns == pytest.approx(floor_ns[-1], abs=MS)
    assert found.drift_ppb == pytest.approx(drift_ppb, rel=0.1)
    assert found.negative > 0


def test_what_has_no_time_of_its_venue_is_not_counted() -> None:
    rows = quotes([0, 3 * MS, 4 * MS, 5 * MS, 6 * MS])  # the first: stamped with our time
    rows.kind[1], rows.flags[2] = Kind.HEARTBEAT, 0
    rows.flags[3] |= Flag.SNAPSHOT
    [found] = stories(rows)
    assert (found.rows, found.latency_ns["p50"]) == (1, 6 * MS)
    assert stories(take(rows, slice(0, 1))) == []


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0.5, f"0.5 {MICRO}s"), (12.34, f"12.3 {MICRO}s"), (1234.5, "1.23 ms"),
        (999_960.0, "1,000 ms"), (13_700_000.0, "13.7 s"), (1.7e12, "1,700,000 s"),
    ],
)  # fmt: skip
def test_times_are_told_without_exponents(us: float, text: str) -> None:
    assert microseconds(us) == text


def test_a_clock_far_ahead_is_told_in_whole_milliseconds() -> None:
    said = ahead(stories(quotes([-1273 * MS] * 9)))
    assert said is not None
    assert "(by up to 1,273 ms)" in said


def test_each_venue_has_its_own() -> None:
    both = [quotes([2 * MS] * 100), quotes([-3 * MS] * 50 + [9 * MS] * 50, k=1)]
    order = np.argsort(np.concatenate([each.ts_recv_ns for each in both]), kind="stable")
    joined = MarketRows._make(np.concatenate(c)[order] for c in zip(*both, strict=True))
    spot, usdm = stories(joined)
    assert [spot.venue, usdm.venue] == ["binance_spot", "binance_usdm"]
    assert (spot.negative, usdm.negative) == (0, 50)
    assert (spot.is_assumed, usdm.is_assumed) == (True, False)
    assert ahead([spot]) is None
    assert ahead([spot, usdm]) == (
        "Stamped by their venue later than they were received: 50 of 100 of binance_usdm (by up to "
        "3 ms)."
    )
    lines = clocks_lines([each.report() for each in (spot, usdm)])
    assert lines[0] == "binance_spot: 2.00 ms (p50), 2.00 ms (p99) assumed"
    assert lines[1] == (
        f"binance_usdm: {MINUS}3.00 ms (p50), 9.00 ms (p99), 50 negative; clock {MINUS}4.0 ms"
    )
    page = clocks_section([each.report() for each in (spot, usdm)])
    assert page.count("<tr>") == 3
    assert clocks_section([]) == ""


@pytest.mark.parametrize(
    ("us", "text"),
    [(0.5, "0.5 \N{MICRO SIGN}s"), (99.96, "100 \N{MICRO SIGN}s"), (999.6, "1,000 \N{MICRO SIGN}s"),
     (12_345.0, "12.3 ms"), (999_600.0, "1,000 ms"), (1_274e6, "1,274 s")],
)  # fmt: skip
def test_times_have_no_exponent(us: float, text: str) -> None:
    assert microseconds(us) == text


def test_books_that_no_snapshot_begins_are_named() -> None:
    rows = made(
        snapshot(1, 1),
        message(2, 2, 1),
        message(1, 5, 4, k=1),
        message(1, 5, 4, k=3),
        quote(1, k=2),
    ).rows
    found = Snapshots(table())
    for i in range(rows.seq.size):
        found.add(take(rows, slice(i, i + 1)))
    assert found.missing() == ["binance_usdm:BTCUSDT", "binance_spot:ETHUSDT"]
    said = without_snapshot(found.missing())
    assert said is not None
    assert said.startswith(
        "No snapshot of binance_usdm:BTCUSDT, binance_spot:ETHUSDT lies in this span:"
    )
    assert without_snapshot([]) is None
    many = without_snapshot(["a", "b", "c", "d", "e"])
    assert many is not None
    assert "a, b, c and 2 others" in many
