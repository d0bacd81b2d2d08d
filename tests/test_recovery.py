"""A flow that is stopped or killed goes on as if nothing had happened, or refuses to start."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import bytewax.operators as op
import numpy as np
import pytest
from bytewax.dataflow import Dataflow

from flows.lane_step import STATE_MAX_BYTES, LaneStep, StateSizeError
from flows.log.codec import encode_rows
from flows.log.embedded import EmbeddedLog
from flows.log.errors import GapError, LogError
from flows.log.lane_sink import Bundle, LaneSink
from flows.log.lane_source import LaneSource, Tables
from flows.log.reader import LaneReader
from flows.log.writer import Writer
from flows.recovery import Manifest, RecoveryDir, RecoveryError, code_version, step_ids
from flows.runtime import run_flow
from operators.arrays import ArrayOperator
from schemas.kinds import Flag, Kind
from schemas.rows import I8, MarketRows, concat, empty, take
from schemas.topics import MARKET, QUARANTINE

LANES = (0, 1, 2)
ROWS_PER_LANE = 200
BATCH_ROWS = 20
EPOCH = timedelta(0)  # a snapshot after every window
INPUTS = [(MARKET.name, lane) for lane in LANES]
OUTPUT = (QUARANTINE.name, 0)
ROOT = Path(__file__).parents[1]


class Count(NamedTuple):
    n: I8  # (1,) rows so far
    sum_ns: I8  # (1,) their times, folded, so that order matters


class Counting(ArrayOperator[Count]):
    """All lanes in one order; every third row comes out, with the running state in its columns."""

    State = Count

    def __init__(self, crash_at: int = -1) -> None:
        self._crash_at = crash_at

    def initial(self) -> Count:
        return Count(np.zeros(1, np.int64), np.zeros(1, np.int64))

    def step(self, state: Count, tables: Tables) -> tuple[Count, MarketRows]:
        rows: MarketRows = tables[MARKET.name]
        kept, seqs, sums = [], [], []
        for k in range(rows.seq.size):
            state.sum_ns[0] = (state.sum_ns[0] * 31 + rows.ts_recv_ns[k]) % (1 << 40)
            if state.n[0] % 3 == 0:
                kept.append(k)
                seqs.append(state.n[0] // 3)
                sums.append(state.sum_ns[0])
            state.n[0] += 1
            if state.n[0] == self._crash_at:
                os._exit(77)
        out = take(rows, np.array(kept, np.int64))
        return state, out._replace(
            seq=np.array(seqs, np.int64),
            lane=np.zeros(len(kept), np.int16),
            flags=np.zeros(len(kept), np.uint8),
            source_row=np.array(sums, np.int64),
        )


def market(lane: int) -> MarketRows:
    flags = np.zeros(ROWS_PER_LANE, np.uint8)
    flags[-1] = Flag.END
    return empty(MarketRows, ROWS_PER_LANE)._replace(
        seq=np.arange(ROWS_PER_LANE),
        lane=np.full(ROWS_PER_LANE, lane, np.int16),
        kind=np.full(ROWS_PER_LANE, Kind.QUOTE, np.uint8),
        flags=flags,
        ts_recv_ns=(np.arange(ROWS_PER_LANE, dtype=np.int64) * (lane + 2)) // 2,
    )


def new_run(run: Path) -> None:
    log = EmbeddedLog(run / "log.sqlite", create=True)
    writer = log.writer()
    for lane in LANES:
        writer.append(encode_rows(MARKET, lane=lane, rows=market(lane), code_version="test"))
    writer.close()
    log.close()


def build(log: EmbeddedLog, writer: Writer, operator: Any, batch_rows: int) -> Dataflow:
    def encode(rows: MarketRows) -> Bundle:
        return encode_rows(QUARANTINE, lane=0, rows=rows, code_version="test")

    flow = Dataflow("counting")
    windows = op.input("market", flow, LaneSource(log, INPUTS, merge=True, batch_rows=batch_rows))
    counted = op.stateful_batch("count", windows, lambda saved: LaneStep(operator, saved))
    op.output("counted", op.map_value("encode", counted, encode), LaneSink(writer))
    return flow


def run_once(
    run: Path, operator: Any, batch_rows: int = BATCH_ROWS, epoch: timedelta = EPOCH
) -> str:
    log = EmbeddedLog(run / "log.sqlite")
    writer = log.writer()
    try:
        flow = build(log, writer, operator, batch_rows)
        manifest = Manifest(
            run_id=run.name,
            step_ids=step_ids(flow),
            lanes=len(LANES),
            code_version="test",
            settings_digest="",
        )
        with RecoveryDir(run / "recovery", manifest) as recovery:
            return run_flow(flow, recovery=recovery, epoch_interval=epoch)
    finally:
        writer.close()
        log.close()


def output(run: Path) -> bytes:
    """All rows of the output topic, read under the reader rule; a gap would raise."""
    log = EmbeddedLog(run / "log.sqlite")
    reader = LaneReader(log, [OUTPUT], state=None, merge=False, ends=log.ends([OUTPUT]))
    parts: list[MarketRows] = []
    while not reader.done():
        parts += reader.window(1_000).values()
    raw = [m for _, m in log.reader({OUTPUT: 0}).poll(100_000)]
    assert [m.first_seq for m in raw[1:]] == [m.last_seq + 1 for m in raw[:-1]]  # nothing twice
    return b"".join(column.tobytes() for column in concat(parts))


class Slow(Counting):
    """Takes its time, so that signals find it in the middle."""

    def step(self, state: Count, tables: Tables) -> tuple[Count, MarketRows]:
        time.sleep(0.02)
        return super().step(state, tables)


def start(
    run: Path, operator: str, batch_rows: int = BATCH_ROWS, epoch_ms: int = 0
) -> subprocess.Popen[str]:
    code = (
        "import sys; from pathlib import Path; from tests import test_recovery as t; "
        f"epoch = t.timedelta(milliseconds={epoch_ms}); "
        f"print(t.run_once(Path(sys.argv[1]), t.{operator}, {batch_rows}, epoch))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(run)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    run = tmp_path_factory.mktemp("undisturbed")
    new_run(run)
    assert run_once(run, Counting(), 10_000) == "finished"
    return output(run)


def wait_for_rows(run: Path, n: int, process: subprocess.Popen[str]) -> None:
    """Until the flow has written at least that many messages."""
    log = EmbeddedLog(run / "log.sqlite")
    end = time.monotonic() + 20
    while log.ends([OUTPUT])[OUTPUT] < n and process.poll() is None and time.monotonic() < end:
        time.sleep(0.001)
    log.close()


def test_the_undisturbed_run_counts_every_row(undisturbed: bytes) -> None:
    expected = -(-len(LANES) * ROWS_PER_LANE // 3)
    row_bytes = sum(column.itemsize for column in empty(MarketRows))
    assert len(undisturbed) == expected * row_bytes


def test_crashes_inside_the_operator_change_nothing(tmp_path: Path, undisturbed: bytes) -> None:
    new_run(tmp_path)
    for crash_at, batch_rows in ((1, 20), (250, 30), (599, 50)):
        process = start(tmp_path, f"Counting({crash_at})", batch_rows)
        assert process.wait(30) == 77, process.communicate()
    assert run_once(tmp_path, Counting()) == "finished"
    assert output(tmp_path) == undisturbed


def test_kill_9_changes_nothing(tmp_path: Path, undisturbed: bytes) -> None:
    new_run(tmp_path)
    for n in (1, 8, 20):
        process = start(tmp_path, "Slow()")
        wait_for_rows(tmp_path, n, process)
        process.kill()
        assert process.wait(30) == -signal.SIGKILL, process.communicate()
    assert run_once(tmp_path, Counting(), 50) == "finished"
    assert output(tmp_path) == undisturbed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_after_a_snapshot(
    tmp_path: Path, undisturbed: bytes, number: signal.Signals
) -> None:
    new_run(tmp_path)
    process = start(tmp_path, "Slow()", epoch_ms=300)
    wait_for_rows(tmp_path, 5, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "stopped\n", "")
    ends = EmbeddedLog(tmp_path / "log.sqlite").ends([OUTPUT])
    assert 5 <= ends[OUTPUT] < 25  # in the middle

    started_with: list[int] = []

    class Noting(Counting):
        def load(self, saved: bytes) -> Count:
            state = super().load(saved)
            started_with.append(int(state.n[0]))
            return state

    assert run_once(tmp_path, Noting()) == "finished"
    log = EmbeddedLog(tmp_path / "log.sqlite")
    written = [m for _, m in log.reader({OUTPUT: 0}).poll(100_000)][: ends[OUTPUT]]
    assert -(-started_with[0] // 3) == written[-1].last_seq + 1  # the snapshot is the very end
    assert output(tmp_path) == undisturbed


def test_a_finished_flow_may_be_started_again(tmp_path: Path, undisturbed: bytes) -> None:
    new_run(tmp_path)
    assert run_once(tmp_path, Counting()) == "finished"
    assert run_once(tmp_path, Counting()) == "finished"
    assert output(tmp_path) == undisturbed


def test_a_log_cut_behind_the_recovery_directory_is_refused(tmp_path: Path) -> None:
    new_run(tmp_path)
    assert run_once(tmp_path, Counting()) == "finished"
    (tmp_path / "log.sqlite").unlink()
    new_run(tmp_path)  # the same tape in a new log, beside the old recovery directory
    with pytest.raises(LogError, match=r"quarantine\.v1 lane 0: the recovery directory knows"):
        run_once(tmp_path, Counting(), 30)


# ---- who may start


def manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "run_id": "r1",
        "step_ids": ("f.in", "f.out"),
        "lanes": 8,
        "code_version": "a" * 64,
        "settings_digest": "b" * 64,
    }
    return Manifest(**(values | changes))


def test_a_second_instance_is_refused_and_told_who_runs(tmp_path: Path) -> None:
    with (
        RecoveryDir(tmp_path, manifest()),
        pytest.raises(RecoveryError, match=f"process {os.getpid()} runs this flow"),
    ):
        RecoveryDir(tmp_path, manifest())
    RecoveryDir(tmp_path, manifest()).close()


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    new_run(tmp_path)
    first = start(tmp_path, "Slow()", batch_rows=1)  # still at it when the second has come up
    wait_for_rows(tmp_path, 1, first)
    second = start(tmp_path, "Slow()")
    _, err = second.communicate(timeout=30)
    first.kill()
    first.communicate()
    assert f"process {first.pid} is writing this log" in err


# fmt: off
DIFFERS = [
    ("run_id",          {"run_id": "r2"},                "run_id was r1 and is now r2"),
    ("step ids",        {"step_ids": ("f.in", "f.o")},   "step_ids was .* start it as before"),
    ("lanes",           {"lanes": 4},                    "lanes was 8 and is now 4"),
    ("code version",    {"code_version": "c" * 64},      "code_version .* run the version that"),
    ("settings digest", {"settings_digest": "c" * 64},   "settings_digest .* repeat the settings"),
]
# fmt: on


@pytest.mark.parametrize(("what", "change", "text"), DIFFERS, ids=[c[0] for c in DIFFERS])
def test_another_manifest_is_refused(
    tmp_path: Path, what: str, change: dict[str, Any], text: str
) -> None:
    RecoveryDir(tmp_path, manifest()).close()
    with pytest.raises(RecoveryError, match=text):
        RecoveryDir(tmp_path, manifest(**change))
    RecoveryDir(tmp_path, manifest()).close()  # the refusal has released the lock


def test_a_directory_that_was_cut_while_made_is_made_again(tmp_path: Path) -> None:
    RecoveryDir(tmp_path, manifest()).close()
    (tmp_path / "manifest.json").unlink()
    next((tmp_path / "store").iterdir()).write_bytes(b"half")
    new_run(tmp_path)
    RecoveryDir(tmp_path, manifest()).close()
    assert (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize("damage", [b"", b"garbage"], ids=["empty", "overwritten"])
def test_a_damaged_store_is_set_aside_and_begun_anew(tmp_path: Path, damage: bytes) -> None:
    with RecoveryDir(tmp_path, manifest()):
        pass
    store = tmp_path / "store"
    for file in store.iterdir():
        file.write_bytes(damage)
    with RecoveryDir(tmp_path, manifest()):
        assert (tmp_path / "store.damaged-1").is_dir()
        assert all(file.stat().st_size > len(damage) for file in store.glob("*.sqlite3"))


def test_the_code_version_is_a_digest_of_the_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(code_version()) == 64
    changed = Path.read_bytes

    def edited(self: Path) -> bytes:
        return changed(self) + (b"#" if self.name == "lane_step.py" else b"")

    monkeypatch.setattr(Path, "read_bytes", edited)
    assert code_version.__wrapped__() != code_version()


# ---- failures come out as they are


class Failing(Counting):
    def step(self, state: Count, tables: Tables) -> tuple[Count, MarketRows]:
        raise GapError(who="test", topic="t", lane=0, expected=1, found=3)


def test_an_exception_of_a_step_comes_out_unwrapped_and_quiet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    new_run(tmp_path)
    with pytest.raises(GapError, match="2 rows are missing"):
        run_once(tmp_path, Failing())
    os.write(2, b"still here\n")
    assert capfd.readouterr().err == "still here\n"


class Large(Counting):
    def dump(self, state: Count) -> bytes:
        return bytes(STATE_MAX_BYTES + 1)


def test_a_state_that_is_too_large_is_refused_with_the_remedy(tmp_path: Path) -> None:
    new_run(tmp_path)
    with pytest.raises(StateSizeError, match=r"fewer features.*over more lanes"):
        run_once(tmp_path, Large())
