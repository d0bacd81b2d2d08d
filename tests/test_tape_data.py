"""Every recording opens, or is refused by name; the sample tapes are what their README says."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from operators.market.gate import Gate
from schemas.kinds import Flag
from tests.conftest import ROOT
from venues.tape import TapeError, open_tapes

FIRST_ROWS = 20_000
SUPPORTED = ("trades", "quotes", "book", "bars", "quote_bars", "funding", "open_interest",
             "mark_price", "options", "futures_chain", "orders_l3")  # fmt: skip
REFUSED = ("book_snapshots", "etf_flows", "macro_calendar", "event_contracts")


@pytest.mark.parametrize("folder", SUPPORTED)
def test_every_tape_opens_and_gives_its_first_rows(data_path, folder):
    paths = sorted(data_path(folder).glob("*.parquet"))
    assert paths
    for path in paths:
        feed = open_tapes([path])
        first = next(feed.read(0, FIRST_ROWS))
        assert first.seq.size == min(FIRST_ROWS, feed.n_rows), path
        assert feed.description[0].kind == folder
        gate = Gate(feed.table.arrays(), 1)
        _, (accepted, rejected) = gate.step(gate.initial(), first)
        assert accepted.seq.size + rejected.seq.size == first.seq.size
        assert accepted.seq.size > 0.5 * first.seq.size, path


@pytest.mark.parametrize("folder", REFUSED)
def test_every_other_recording_is_refused_by_name(data_path, folder):
    for path in sorted(data_path(folder).glob("*.parquet")):
        with pytest.raises(TapeError, match=f"{folder} is not supported"):
            open_tapes([path])


CROSSED = [  # counted by those who made the recordings
    ("quotes/fxcm_EURUSD_20140501_20140509.parquet", 69_354),
    ("quotes/us_nbbo_AIG_20131007_20131008.parquet", 283),
    ("quotes/us_nbbo_IBM_20131007_20131009.parquet", 140),
]


@pytest.mark.parametrize(("name", "crossed"), CROSSED)
def test_the_gate_flags_the_crossed_quotes_and_rejects_nothing(data_path, name, crossed):
    feed = open_tapes([data_path(name)])
    gate = Gate(feed.table.arrays(), 1)
    state, found = gate.initial(), 0
    for rows in feed.read(0, 100_000):
        state, (accepted, rejected) = gate.step(state, rows)
        assert rejected.seq.size == 0
        flagged = accepted.flags & Flag.CROSSED != 0
        assert np.array_equal(flagged, accepted.bid_px > accepted.ask_px)
        found += int(np.count_nonzero(flagged))
    assert found == crossed


def test_sample_tapes_are_those_of_their_readme():
    listed = re.findall(
        r"^\| (\S+\.parquet) \| ([\d,]+) \|.*\| `([0-9a-f]{64})` \|$",
        (ROOT / "tapes" / "README.md").read_text(),
        re.MULTILINE,
    )
    files = {str(p.relative_to(ROOT / "tapes")): p for p in (ROOT / "tapes").rglob("*.parquet")}
    assert {name for name, _, _ in listed} == set(files)
    for name, rows, sha256 in listed:
        assert hashlib.sha256(files[name].read_bytes()).hexdigest() == sha256, name
        assert open_tapes([files[name]]).n_rows == int(rows.replace(",", "")), name
    assert sum(_size(path) for path in (ROOT / "tapes").rglob("*")) <= 4_000_000


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def test_all_assets_share_a_lane_where_that_is_asked_for(data_path):
    """Features compare what stands in one lane; by themselves assets are spread over all."""
    tape = data_path("bars/multi_venue_1h_2019.parquet")
    assert {one.lane for one in open_tapes([tape]).table.instruments} == {0, 1}
    together = open_tapes([tape], one_lane=True).table
    assert {one.lane for one in together.instruments} == {0}
    assert together.lanes == open_tapes([tape]).table.lanes
