"""Every row of the log is in the store once, in a file that depends on the log alone."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flows.desk_run import RECORD
from flows.log.api import Partition
from flows.log.embedded import EmbeddedLog
from flows.log.memory import MemoryLog
from flows.log.reader import LaneReader
from flows.store import folder as folder_module
from flows.store import layout
from flows.store.blocks import Blocks
from flows.store.columns import WORDS
from flows.store.copy import Exported, export
from flows.store.folder import StoreError, StoreFolder, StoreHeldError
from flows.store.layout import STORED
from operators.market.books.words import BookState
from schemas.kinds import Control, ReportCode
from schemas.signal_rows import SignalRows
from schemas.topics import FEATURES, MARKET
from tests.store_log import (
    INSTRUMENTS,
    LANES,
    SIGNALS_MADE,
    files,
    made,
    size,
    stored_seqs,
    write,
)

N, BLOCK = 40, 12
ROWS = made(N)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no real fsync, at 4 ms each; that it is called in time has a test of its own."""
    monkeypatch.setattr(layout, "BLOCK_ROWS", BLOCK)
    monkeypatch.setattr(os, "fsync", lambda number: None)


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    whole = MemoryLog()
    write(whole, ROWS)
    return whole


def exported(log: Any, folder: Path) -> Exported:
    return export(log, folder, progress=lambda n: None)


@pytest.fixture
def undisturbed(log: MemoryLog, tmp_path: Path) -> dict[str, bytes]:
    exported(log, tmp_path / "undisturbed")
    return files(tmp_path / "undisturbed")


# ---- what stands in the files


def test_every_row_of_every_topic_is_stored_once_bit_for_bit(
    log: MemoryLog, tmp_path: Path
) -> None:
    found = exported(log, tmp_path / "s")
    assert found.rows == {
        topic.name: sum(size(rows) for (name, _), rows in ROWS.items() if name == topic.name)
        for topic in STORED
    }
    for partition, rows in ROWS.items():
        stored = stored_rows(tmp_path / "s", partition)
        assert len(stored) == size(rows), partition
        if isinstance(rows, list):
            assert [json_row(row) for row in stored] == [with_nulls(row, stored) for row in rows]
        else:
            for name, expected in columns(rows).items():
                column = [number_of(row, name) for row in stored]
                assert np.array(column, expected.dtype).tobytes() == expected.tobytes(), name


def test_a_file_lies_where_its_rows_belong(log: MemoryLog, tmp_path: Path) -> None:
    exported(log, tmp_path)
    named = {(i.lane, i.symbol): (i.venue, i.name) for i in INSTRUMENTS.instruments}
    days = set()
    for file in tmp_path.rglob("*.parquet"):
        _, day, venue, symbol, name = file.relative_to(tmp_path).parts
        block = int(name.removesuffix(".parquet").split("-")[1])
        place = (unquote(venue.removeprefix("venue=")), unquote(symbol.removeprefix("symbol=")))
        days.add(day)
        for row in pq.ParquetFile(file).read().to_pylist():
            assert day == f"day={row['ts_recv']:%Y-%m-%d}"
            assert block <= row["seq"] < block + BLOCK
            if "symbol_index" in row:
                assert place == named.get((row["lane"], row["symbol_index"]), ("-", "-"))
    assert days == {"day=2013-10-22", "day=2013-10-23"}


# ---- the same files, however the rows came


STEPS = st.lists(
    st.tuples(st.integers(1, 90), st.sampled_from(["go on", "flush", "restart"])), max_size=25
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
@example([(BLOCK * 2 - 5, "flush"), (1, "restart"), (1, "flush"), (1, "restart")])
def test_any_batches_flushes_and_restarts_give_the_same_bytes(
    log: MemoryLog,
    undisturbed: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[int, str]],
) -> None:
    path = tmp_path_factory.mktemp("store")
    inputs, n_before = list(ROWS), 0
    left = iter([*steps, *[(1000, "go on")] * 20])
    done = False
    while not done:
        with StoreFolder(
            path, run_id="made", instruments=INSTRUMENTS, signals=SIGNALS_MADE
        ) as store:
            blocks = Blocks(store)
            state = {partition: store.position(partition) for partition in inputs}
            reader = LaneReader(log, inputs, state=state, merge=False, ends=log.ends(inputs))
            what = ""
            while not done and what != "restart":
                n, what = next(left)
                before = reader.state()
                blocks.take(reader.window(n), before=before, after=reader.state())
                done = reader.done()
                if what == "flush" or done:
                    blocks.flush()
        seqs = stored_seqs(path)
        assert all(len(set(found)) == len(found) for found in seqs.values())
        assert sum(map(len, seqs.values())) >= n_before, "a restart took rows out"
        n_before = sum(map(len, seqs.values()))
    assert files(path) == undisturbed
    shutil.rmtree(path)


def test_a_log_that_goes_on_adds_to_its_files(
    undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    log = EmbeddedLog(tmp_path / "log.sqlite", create=True)
    for until in (0.0, 0.3, 0.31, 0.9, 1.0):
        write(log, ROWS, until=until)
        exported(log, tmp_path / "s")
        seqs = stored_seqs(tmp_path / "s")
        for partition, rows in ROWS.items():
            assert seqs.get(partition, []) == list(range(int(size(rows) * until)))
    assert files(tmp_path / "s") == undisturbed
    log.close()


def test_an_export_that_finds_everything_writes_nothing(log: MemoryLog, tmp_path: Path) -> None:
    exported(log, tmp_path)
    before = {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*.parquet")}
    exported(log, tmp_path)
    assert {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*.parquet")} == before


def test_topics_may_be_stored_one_after_the_other(
    log: MemoryLog, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    for topic in STORED:
        export(log, tmp_path / "s", topics=[topic], progress=lambda n: None)
    assert files(tmp_path / "s") == undisturbed


# ---- kill -9

POINTS = 7  # of all places where it could be killed


@pytest.mark.parametrize("where", ["before a sync", "inside a file"])
def test_a_kill_at_any_point_loses_nothing_and_doubles_nothing(
    where: str, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    log = EmbeddedLog(tmp_path / "log.sqlite", create=True)
    write(log, ROWS)
    log.close()
    n_points = _points(tmp_path / "log.sqlite", tmp_path / "counted", where)
    assert n_points > len(undisturbed) / 2
    for k, at in enumerate(range(1, n_points - POINTS, n_points // POINTS)):
        store = tmp_path / f"s{k}"
        for point in (at, 1 + k):  # the second on what the first has left
            assert _killed(tmp_path / "log.sqlite", store, where, point)
            for partition, found in stored_seqs(store).items():  # reads every file: none is half
                assert found == sorted(set(found) & set(range(size(ROWS[partition]))))
        log = EmbeddedLog(tmp_path / "log.sqlite")
        exported(log, store)
        log.close()
        assert files(store) == undisturbed
        assert not list(store.rglob(".*"))


def _killed(log: Path, store: Path, where: str, at: int) -> bool:
    """Export in a process of its own that gets SIGKILL at that point; whether it came so far."""
    child = os.fork()
    if child == 0:
        try:
            _export_until(log, store, where, lambda n: n == at)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _points(log: Path, store: Path, where: str) -> int:
    reached = [0]

    def count(n: int) -> bool:
        reached[0] = n
        return False

    with pytest.MonkeyPatch.context() as patch:
        _export_until(log, store, where, count, patch)
    return reached[0]


def _export_until(
    path: Path,
    store: Path,
    where: str,
    dies: Callable[[int], bool],
    patch: pytest.MonkeyPatch | None = None,
) -> None:
    """Die before the n-th sync (of a file, or of a folder behind a rename), or in the n-th file."""
    patch = patch or pytest.MonkeyPatch()
    sync, write_table, n = folder_module._sync, pq.write_table, [0]

    def synced(place: Path) -> None:
        n[0] += 1
        if dies(n[0]):
            os.kill(os.getpid(), signal.SIGKILL)
        sync(place)

    def written(table: pa.Table, place: Path, **how: Any) -> None:
        n[0] += 1
        write_table(table, place, **how)
        if dies(n[0]):
            os.truncate(place, place.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    if where == "before a sync":
        patch.setattr(folder_module, "_sync", synced)
    else:
        patch.setattr(pq, "write_table", written)
    log = EmbeddedLog(path)
    exported(log, store)
    log.close()


def test_a_file_is_durable_before_it_is_named_and_named_before_it_counts(
    log: MemoryLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, Path]] = []
    replace = Path.replace

    def named_now(path: Path, target: Path) -> Path:
        done.append(("name", target))
        return replace(path, target)

    monkeypatch.setattr(folder_module, "_sync", lambda path: done.append(("sync", path)))
    monkeypatch.setattr(Path, "replace", named_now)
    exported(log, tmp_path / "s")
    counted = 0
    for k, (what, path) in enumerate(done):
        if what == "name":
            assert done[k - 1] == ("sync", path.with_name(f".{path.name}.tmp"))
        if what == "name" and path.name == "positions.json":
            for _, named in [each for each in done[counted:k] if each[0] == "name"]:
                folders = [each for each in named.parents if each.is_relative_to(tmp_path / "s")]
                assert {("sync", each) for each in folders} <= set(done[counted:k])
            counted = k
    assert counted > 0


# ---- retention


def test_rows_that_the_log_has_deleted_stay_in_the_store(tmp_path: Path) -> None:
    log = MemoryLog()
    write(log, ROWS, until=0.4)
    exported(log, tmp_path)
    gone: Partition = (FEATURES.name, 0)
    log.expire(gone)  # its open block began before
    write(log, ROWS, emptied={gone: int(N * 0.4) - 1})
    exported(log, tmp_path)
    seqs = stored_seqs(tmp_path)
    for partition, rows in ROWS.items():
        assert seqs[partition] == list(range(size(rows)))


def test_a_store_of_a_log_whose_beginning_is_gone_has_what_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = MemoryLog(retain_messages=2)
    write(log, ROWS)
    [start] = log.starts([(MARKET.name, 0)]).values()
    found = exported(log, tmp_path)
    assert stored_seqs(tmp_path)[MARKET.name, 0] == list(range(7 * start, N))
    assert found.rows[MARKET.name] == N * len(LANES)
    assert "rows were deleted from the log" in caplog.text


# ---- what is refused


def test_a_store_holds_one_run(log: MemoryLog, tmp_path: Path) -> None:
    exported(log, tmp_path)
    other = json.loads(log.texts()[RECORD]) | {"run_id": "another"}
    foreign = MemoryLog()
    write(foreign, {})
    foreign.put([], {RECORD: json.dumps(other)})
    with pytest.raises(StoreError, match="holds run made, not another; choose another folder"):
        exported(foreign, tmp_path)


def test_other_files_are_left_alone(log: MemoryLog, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(StoreError, match="holds other files already"):
        exported(log, tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["mine.txt"]


def test_one_process_writes(log: MemoryLog, tmp_path: Path) -> None:
    with (
        StoreFolder(tmp_path, run_id="made", instruments=INSTRUMENTS),
        pytest.raises(StoreHeldError, match=f"process {os.getpid()} is writing this store"),
    ):
        exported(log, tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    log = MemoryLog()
    write(log, ROWS, until=0.5)
    exported(log, tmp_path)
    write(log, ROWS)
    for file in tmp_path.rglob("*.parquet"):
        os.truncate(file, 9)
    with pytest.raises(StoreError, match=r"lane\d\d-\d+\.parquet: cannot be read"):
        exported(log, tmp_path)


def test_another_format_is_refused(log: MemoryLog, tmp_path: Path) -> None:
    exported(log, tmp_path)
    found = json.loads((tmp_path / "store.json").read_text())
    (tmp_path / "store.json").write_text(json.dumps(found | {"format": 2}))
    with pytest.raises(StoreError, match="has format 2, this program writes 1"):
        exported(log, tmp_path)


# ---- back from the columns of a file to those of the log


def stored_rows(store: Path, partition: Partition) -> list[dict[str, Any]]:
    """All rows of a partition in the order of `seq`, times as int64."""
    topic, lane = partition
    rows: list[dict[str, Any]] = []
    for file in (store / topic).rglob(f"lane{lane:02d}-*.parquet"):
        table = pq.ParquetFile(file).read()
        for name in ("ts_event", "ts_recv"):
            if name in table.schema.names:
                times = table[name].cast(pa.int64())
                table = table.drop([name]).append_column(f"{name}_ns", times)
        rows += table.to_pylist()
    return sorted(rows, key=lambda row: int(row["seq"]))


def columns(rows: Any) -> dict[str, Any]:
    """By name; values of signals by those of the features."""
    found = dict(zip(rows._fields, rows, strict=True))
    values = found.pop("values", np.empty((0, len(SIGNALS_MADE))))
    if isinstance(rows, SignalRows):
        found |= dict(zip(SIGNALS_MADE, values.T, strict=True))
    return found


def number_of(row: dict[str, Any], name: str) -> Any:
    """The number that stands on the log."""
    if name == "symbol":
        return row["symbol_index"]
    if name == "symbol_second":
        ids = {(i.lane, i.id): i.symbol for i in INSTRUMENTS.instruments}
        second = row["instrument_second"]
        return -1 if second is None else ids[row["lane"], second]
    value = row[name]
    if name == "code":
        return {"CONTROL": Control, "BOOK_STATUS": BookState}.get(row["kind"], ReportCode)[value]
    if name in WORDS:
        numbers = {member.name: int(member) for enum in WORDS[name] for member in enum}
        return int(value) if value.isdecimal() else numbers[value]
    return np.nan if value is None else value


def json_row(row: dict[str, Any]) -> dict[str, Any]:
    """A ledger row's postings are lists of three on the log."""
    if "postings" not in row:
        return row
    return row | {"postings": [[p["account"], p["asset"], p["amount"]] for p in row["postings"]]}


def with_nulls(row: dict[str, Any], stored: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of the log; the instrument is the file's place, what it lacks is null."""
    return dict.fromkeys(stored[0]) | {k: v for k, v in row.items() if k != "instrument"}
