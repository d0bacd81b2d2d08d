"""Files of what is known beforehand: macro calendars and fund flows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from venues.calendar import read_calendar
from venues.fund_flows import LAG_NS, read_fund_flows
from venues.tape.errors import TapeError

NOON_NS = 1_704_456_000_000_000_000  # 2024-01-05T12:00Z
DAY_NS = 86_400_000_000_000


def calendar(**more: Any) -> dict[str, Any]:
    return {"ts_ns": [NOON_NS + 1, NOON_NS], "importance": ["High", "low"], **more}


def parquet(folder: Path, columns: dict[str, Any]) -> Path:
    path = folder / "given.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def text(folder: Path, *lines: str) -> Path:
    path = folder / "given.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_calendar_is_sorted_by_time(tmp_path: Path) -> None:
    found = read_calendar(parquet(tmp_path, calendar(event=["CPI", "talk"])))
    assert found.ts_ns.tolist() == [NOON_NS, NOON_NS + 1]
    assert found.weight.tolist() == [1, 3]
    assert found.ts_ns.dtype == np.int64
    assert found.weight.dtype == np.int8


def test_calendar_as_text_with_zones(tmp_path: Path) -> None:
    path = text(tmp_path, "ts_ns,importance", "2024-01-05T13:00:00+01:00,3",
                "2024-01-05T12:30:00Z,medium")  # fmt: skip
    found = read_calendar(path)
    assert found.ts_ns.tolist() == [NOON_NS, NOON_NS + 1800 * 10**9]
    assert found.weight.tolist() == [3, 2]


def flows(**more: Any) -> dict[str, Any]:
    return {
        "ts_ns": [DAY_NS, DAY_NS, DAY_NS, 0, 2 * DAY_NS, 0],
        "asset": ["ETH", "ETH", "ETH", "BTC", "BTC", "ETH"],
        "fund": ["A", "B", "Total", "A", "A", "Total"],
        "net_flow_usd_m": [1.0, 2.0, 3.5, -4.0, 0.0, 7.0],
        **more,
    }


def test_flows_are_totals_from_when_they_are_known(tmp_path: Path) -> None:
    found = read_fund_flows(parquet(tmp_path, flows()))
    assert found.assets == ("BTC", "ETH")
    assert found.asset.tolist() == [0, 1, 1]
    assert found.known_ns.tolist() == [LAG_NS, LAG_NS, DAY_NS + LAG_NS]
    assert found.net_usd.tolist() == [-4e6, 7e6, 3.5e6]  # a sum of 0 was not reported yet


# fmt: off
BAD: list[tuple[str, Any, dict[str, Any], str]] = [
    ("no importance",    read_calendar, {"ts_ns": [1]}, "the column importance is missing"),
    ("a word not known", read_calendar, calendar(importance=["High", "huge"]),
     "the importance is 'huge' in row 1"),
    ("a time missing",   read_calendar, calendar(ts_ns=[1, None]), "ts_ns is null in row 1"),
    ("times as text",    read_calendar, calendar(ts_ns=["now", "then"]), "which is no time in UTC"),
    ("no zone", read_calendar, calendar(ts_ns=pa.array([1, 2], pa.timestamp("s"))),
     "which is no time in UTC"),
    ("no rows", read_calendar, {"ts_ns": pa.array([], pa.int64()),
                                "importance": pa.array([], pa.string())}, "it has no rows"),
    ("no fund", read_fund_flows, {"ts_ns": [1]}, "the column asset, fund, net_flow_usd_m is"),
    ("a flow missing", read_fund_flows, flows(net_flow_usd_m=[1.0] * 5 + [None]),
     "net_flow_usd_m is null in row 5"),
    ("no number", read_fund_flows, flows(net_flow_usd_m=[1.0] * 5 + [float("inf")]),
     "net_flow_usd_m is inf in row 5"),
]
# fmt: on


@pytest.mark.parametrize(("what", "read", "columns", "said"), BAD, ids=[b[0] for b in BAD])
def test_files_that_are_refused(
    what: str, read: Callable[[Path], Any], columns: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(TapeError, match=said) as refused:
        read(parquet(tmp_path, columns))
    assert str(tmp_path) in str(refused.value)
    assert refused.value.todo


@pytest.mark.parametrize("read", [read_calendar, read_fund_flows])
def test_paths_that_are_refused(read: Callable[[Path], Any], tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="no such file"):
        read(tmp_path / "none.parquet")
    with pytest.raises(TapeError, match="a folder, not a file"):
        read(tmp_path)
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(TapeError, match=r"cannot be read from .json"):
        read(tmp_path / "a.json")
    (tmp_path / "a.parquet").write_text("no parquet")
    with pytest.raises(TapeError, match="not a parquet file, or damaged"):
        read(tmp_path / "a.parquet")


def test_recorded_calendar_and_flows(data_path: Callable[[str], Path]) -> None:
    happenings = read_calendar(data_path("macro_calendar/us_releases_2022_2024.parquet"))
    assert happenings.ts_ns.size == 211
    assert (np.diff(happenings.ts_ns) >= 0).all()
    assert set(happenings.weight.tolist()) == {3}
    found = read_fund_flows(data_path("etf_flows/us_spot_etf_2024_2025.parquet"))
    assert found.assets == ("BTC", "ETH")
    last = found.net_usd[found.asset == 0][-1]
    assert last == pytest.approx(-348.1e6) or last > 0  # the last Total that is not 0
    assert (np.diff(found.known_ns[found.asset == 0]) > 0).all()
