"""Promise: what passes through live ingest tells how far each venue's clock is from ours."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from flows.parcel import Parcel
from flows.venue_clocks import ClockWatch
from operators.market.clock import FASTEST_NS
from schemas.kinds import Flag, Kind
from schemas.rows import MarketRows, empty, take

SECOND, MS = 1_000_000_000, 1_000_000
OFFSET_NS = [-1_270 * MS, 30 * MS]  # ours less each venue's
START_NS = 1_700_000_000 * SECOND


def parcels() -> Iterator[Parcel]:
    """Two minutes of trades of two venues by turns, ten a second, each 1 to 4 ms on its way."""
    rows = empty(MarketRows, 1200)
    rows.kind[:], rows.flags[:] = Kind.TRADE, Flag.MSG_LAST
    rows.source[:] = np.arange(1200) % 2
    late_ns = FASTEST_NS + np.arange(1200) // 2 % 4 * MS
    rows.ts_recv_ns[:] = START_NS + np.arange(1200) * SECOND // 10
    rows.ts_event_ns[:] = rows.ts_recv_ns - late_ns - np.array(OFFSET_NS)[rows.source]
    for first in range(0, 1200, 7):
        market = take(rows, slice(first, first + 7))
        yield Parcel(market, position=0, last=False, born_s=0.0)


def test_offset_drift_and_rows_of_negative_latency_are_told() -> None:
    told: dict[str, list[tuple[int, float, int]]] = {"ahead": [], "behind": []}

    def clocked(venue: str, *found: Any) -> None:
        told[venue].append(found)

    feed: Any = SimpleNamespace(names=["ahead", "behind"])
    watch = ClockWatch(feed, clocked)
    for parcel in parcels():
        assert watch(parcel) is parcel
    for venue, offset_ns in zip(told, OFFSET_NS, strict=True):
        each = told[venue]
        assert len(each) == 29  # every 4 s, behind the first
        assert {found for found, _, _ in each} == {offset_ns}
        assert np.isnan(each[0][1])
        assert each[-1][1] == 0.0
        assert {n for _, _, n in each} == ({20} if offset_ns < 0 else {0})
