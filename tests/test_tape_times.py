"""Promise: a tape's times may be of any unit; they become nanoseconds exactly, or are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.recordings import load_quotes
from operators.market.gate import Gate
from schemas.reasons import Reason
from schemas.rows import MarketRows, concat
from tests.tape_files import T0, bars, book, quotes, read, trades
from venues.tape import TapeError, open_tapes
from venues.verify.files import Job, jobs

UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
ZONES = ("UTC", "America/New_York", "+05:30")
TIMES = ("ts_ns", "recv_ns")


def stamped(path: Path, columns: dict[str, Any], unit: str, zone: str | None) -> Path:
    """A tape whose times are whole units, as timestamps."""
    types = {name: pa.timestamp(unit, zone) for name in TIMES if name in columns}
    made = {
        name: pa.array([None if t is None else t // UNITS[unit] for t in column], types[name])
        if name in types
        else column
        for name, column in columns.items()
    }
    # By the file's own schema: Parquet has no seconds, and reads as milliseconds what it was given.
    pq.write_table(pa.table(made), path)
    return path


def plain(path: Path, columns: dict[str, Any], unit: str) -> Path:
    cut = {
        name: [t // UNITS[unit] * UNITS[unit] for t in column] if name in TIMES else column
        for name, column in columns.items()
    }
    pq.write_table(pa.table(cut), path)
    return path


@pytest.mark.parametrize("make", [trades, quotes, book, bars])
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("zone", ZONES)
def test_any_unit_with_a_zone_gives_the_rows_of_nanoseconds(
    make: Any, unit: str, zone: str, tmp_path: Path
) -> None:
    columns = make(5)
    found = rows(stamped(tmp_path / "stamped.parquet", columns, unit, zone))
    due = rows(plain(tmp_path / "plain.parquet", columns, unit))
    for name, column in due._asdict().items():
        assert np.array_equal(getattr(found, name), column, equal_nan=column.dtype.kind == "f"), (
            name
        )
    assert int(due.ts_event_ns.max()) >= T0 // UNITS[unit] * UNITS[unit]


def rows(path: Path) -> MarketRows:
    return concat(list(open_tapes([path]).read(0, 1000)))


def test_nanoseconds_are_kept_above_what_a_float_holds(tmp_path: Path) -> None:
    times = [T0 + k for k in range(4)]
    path = stamped(tmp_path / "t.parquet", trades(4, ts_ns=times, recv_ns=None), "ns", "UTC")
    assert rows(path).ts_event_ns.tolist() == times


def test_a_time_that_nanoseconds_cannot_hold_is_a_bad_row(tmp_path: Path) -> None:
    """Year 292278 in microseconds, and 290307 before Christ: refused, not wrapped into our time."""
    columns = trades(4, recv_ns=None)
    columns["ts_ns"] = pa.array([T0 // 1000, 2**63 - 1, -(2**63), None], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    feed = open_tapes([tmp_path / "t.parquet"])
    gate = Gate(feed.table.arrays(), 1)
    _, (_, rejected) = gate.step(gate.initial(), read(feed))
    assert rejected.source_row.tolist() == [1, 2, 3]
    assert rejected.reason.tolist() == [
        Reason.OUT_OF_RANGE, Reason.OUT_OF_RANGE, Reason.NULL_TIME
    ]  # fmt: skip


@pytest.mark.parametrize("name", TIMES)
def test_a_time_without_a_zone_is_refused(name: str, tmp_path: Path) -> None:
    columns = quotes(4)
    columns[name] = pa.array(columns[name], pa.timestamp("ns"))
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(TapeError, match=f"{name} .* nobody can know of which zone .* with a zone"):
        open_tapes([tmp_path / "t.parquet"])
    with pytest.raises(ValueError, match=f"{name} has the type .* timestamps with a zone"):
        load_quotes(tmp_path / "t.parquet")


def test_training_reads_the_same(tmp_path: Path) -> None:
    found = load_quotes(stamped(tmp_path / "stamped.parquet", quotes(5), "us", "UTC"))[1]
    due = load_quotes(plain(tmp_path / "plain.parquet", quotes(5), "us"))[1]
    assert np.array_equal(found.ts_recv_ns, due.ts_recv_ns)
    assert np.array_equal(found.ts_event_ns, due.ts_event_ns)


def test_a_book_is_verified_whatever_its_unit(tmp_path: Path) -> None:
    (job,) = jobs([stamped(tmp_path / "b.parquet", book(5), "ms", "UTC")])
    assert isinstance(job, Job)
    assert job.run(lambda n: None).outcome != "refused"
