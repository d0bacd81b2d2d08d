"""Promise: `trifecta book` verifies the tapes of `trifecta simulate` by all that they can prove."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.tape_files import book, write
from venues.lob import LobSimulator, Plant
from venues.lob.tapes import write_tapes
from venues.verify import FileReport, jobs

SIMULATOR = LobSimulator(seed=2, minutes=3.1, faults_per_hour=0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sim")
    write_tapes(SIMULATOR, made)
    return made


def outcomes(path: Path) -> dict[str, str]:
    (job,) = jobs([path])
    report = job.run(lambda n: None)  # type: ignore[union-attr]
    assert isinstance(report, FileReport)
    return {check.name: str(check.outcome) for check in report.checks}


def of(folder: Path, venue: str) -> Path:
    return next((folder / "book").glob(f"{venue}_*.parquet"))


def spoilt(folder: Path, venue: str, into: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The tape with other rows, beside the same quotes."""
    shutil.copytree(folder, into)
    path = of(into, venue)
    table = pq.read_table(path)
    columns = {name: table[name].to_numpy() for name in ("side", "price", "size", "seq")}
    columns["is_snapshot"] = table["is_snapshot"].to_numpy()
    changed = change(columns)
    if isinstance(changed, np.ndarray):
        table = table.take(pa.array(changed))
    else:
        table = table.set_column(table.schema.get_field_index("size"), "size", pa.array(changed[0]))
    pq.write_table(table, path)
    return path


PROVEN = {"sequence": "passed", "quotes": "passed", "snapshots": "passed"}
UNNUMBERED = {"sequence": "unverified", "quotes": "unverified", "snapshots": "passed"}


@pytest.mark.parametrize(
    ("venue", "due"), [("sim_a", PROVEN), ("sim_b", PROVEN), ("sim_c", UNNUMBERED)]
)
def test_a_market_without_faults_is_proven(folder: Path, venue: str, due: dict[str, str]) -> None:
    found = outcomes(of(folder, venue))
    assert {name: found[name] for name in due} == due
    assert (found["accounts"], found["crossings"]) == ("passed", "passed")


def test_a_lost_message_is_missed_by_its_number(folder: Path, tmp_path: Path) -> None:
    def without(columns: dict[str, Any]) -> Any:
        return np.flatnonzero(columns["seq"] != 3000)

    found = outcomes(spoilt(folder, "sim_a", tmp_path / "sim", without))
    assert found["sequence"] == "failed"
    assert found["snapshots"] == "passed"  # of the books from the next snapshot on


def test_a_lost_message_is_missed_by_the_snapshot_behind_it(folder: Path, tmp_path: Path) -> None:
    """Where messages have no numbers: the last change of a level before a snapshot is taken out."""

    def without(columns: dict[str, Any]) -> Any:
        snapshot = columns["is_snapshot"]
        begin = int(np.flatnonzero(snapshot[1:] & ~snapshot[:-1])[0]) + 1
        return np.delete(np.arange(snapshot.size), begin - 1)

    found = outcomes(spoilt(folder, "sim_c", tmp_path / "sim", without))
    assert (found["snapshots"], found["sequence"]) == ("failed", "unverified")


@pytest.mark.parametrize("venue", ["sim_a", "sim_c"])
def test_a_snapshot_with_another_size_fails(folder: Path, tmp_path: Path, venue: str) -> None:
    def larger(columns: dict[str, Any]) -> Any:
        snapshot, size = columns["is_snapshot"], columns["size"].copy()
        begin = int(np.flatnonzero(snapshot[1:] & ~snapshot[:-1])[1]) + 1
        size[begin + 5] += 1.0
        return (size,)

    assert outcomes(spoilt(folder, venue, tmp_path / "sim", larger))["snapshots"] == "failed"


def test_planted_faults_are_found(tmp_path: Path) -> None:
    simulator = LobSimulator(seed=2, minutes=3.1, faults_per_hour=200.0)
    write_tapes(simulator, tmp_path)
    labels = simulator.labels
    for source, venue in enumerate(("sim_a", "sim_b")):
        planted = labels.kind[labels.source == source]
        lost = np.isin(planted, [Plant.FEED_DROP, Plant.FEED_REORDER]).any()
        assert (outcomes(of(tmp_path, venue))["sequence"] == "failed") == lost
        assert lost


SNAPSHOT = {
    "is_snapshot": [True, True, False, True, True],
    "side": pa.array([1, -1, 1, 1, -1]),
    "price": [99.0, 101.0, 99.0, 99.0, 101.0],
    "prev_seq": [None, None, 7, None, None],
}
# fmt: off
AUDITS = [  # what, sizes of the tape's five rows, numbers; the check of its second snapshot
    ("shows the book",          [1.0, 1.0, 2.0, 2.0, 1.0], [7, 7, 8, 8, 8], "passed"),
    ("shows another",           [1.0, 1.0, 2.0, 1.0, 1.0], [7, 7, 8, 8, 8], "failed"),
    ("is of a later message",   [1.0, 1.0, 2.0, 1.0, 1.0], [7, 7, 8, 9, 9], "unverified"),
]
# fmt: on


@pytest.mark.parametrize(("what", "sizes", "numbers", "due"), AUDITS, ids=[c[0] for c in AUDITS])
@pytest.mark.parametrize("venue", ["binance_usdm", "sim_a"])
def test_a_further_snapshot(
    what: str, sizes: list[float], numbers: list[int], due: str, venue: str, tmp_path: Path
) -> None:
    times = [book()["ts_ns"][0] + k for k in (0, 0, 1, 2, 2)]
    columns = book(5, size=sizes, seq=numbers, venue=[venue] * 5, ts_ns=times, recv_ns=times,
                   symbol=["BTCUSDT" if venue.startswith("b") else "BTCUSD"] * 5,
                   **SNAPSHOT)  # fmt: skip
    assert outcomes(write(tmp_path / "t.parquet", columns))["snapshots"] == due
