"""Promise: a run that is stopped or killed goes on, and ends in the report of one that was not."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep

import pytest

from cli.errors import Refused
from cli.halt import _check_book
from cli.run_dir import open_log
from flows.log.embedded import EmbeddedLog
from flows.log.errors import LogError
from tests.conftest import ROOT
from tests.tape_files import quotes, write
from tests.test_cli import read, trifecta, without_clock

SIMULATED = ("run", "--simulate", "--rows", "9000", "--seed", "7", "--batch", "64")
SLOW = ("--speed", "40")  # 180 s of its market in 4.5 s
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing stopped; it compiles the kernels too."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert trifecta(*SIMULATED, "--out", folder).exit_code == 0
    return folder


@pytest.fixture
def running(tmp_path: Path, whole: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A slow run in a process of its own that has written rows and stored a snapshot or two."""
    del whole  # kernels are compiled
    folder = tmp_path / "run"
    process = start(folder, *SLOW)
    wait_for(lambda: on_log(folder) > 40)
    sleep(1.2)
    yield process, folder
    process.kill()
    process.wait()


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cli.main", *SIMULATED, "--out", str(folder), *options]
    return subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def on_log(folder: Path) -> int:
    """Messages of market rows."""
    try:
        log = EmbeddedLog(folder / "log.sqlite")
    except LogError:
        return 0
    try:
        ends = log.ends([("market.v1", lane) for lane in range(8)])
    except LogError:
        return 0
    finally:
        log.close()
    return sum(ends.values())


def wait_for(done: Callable[[], bool]) -> None:
    until_s = monotonic() + PATIENCE_S
    while not done():
        assert monotonic() < until_s, "the run did not begin"
        sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_goes_on_to_the_same_report(
    running: tuple[subprocess.Popen[str], Path], whole: Path, number: signal.Signals
) -> None:
    process, folder = running
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert out == ""
    assert "Traceback" not in err
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert "stopped after a snapshot at row" in err
        assert f"trifecta {' '.join(SIMULATED)} --out {folder} {' '.join(SLOW)}" in err
    assert not (folder / "report.json").exists()

    rebuilt = trifecta("report", folder)
    assert rebuilt.exit_code == 0
    assert "The run has not ended" in rebuilt.stderr
    assert 0 < read(folder)["rows"] < 9000
    (folder / "report.json").unlink()

    other = trifecta(*SIMULATED, "--out", folder, "--balance", "5")
    assert other.exit_code == 2
    assert "another settings" in other.stderr
    cut = trifecta("run", "--to", "2014-05-01T00:30", "--out", folder)
    assert cut.exit_code == 2

    ended = trifecta(*SIMULATED, "--out", folder, "--batch", "500")
    assert ended.exit_code == 0, ended.stderr
    assert "resuming at row" in ended.stderr
    assert without_clock(read(folder)) == without_clock(read(whole))


def test_a_run_that_ended_before_its_report_was_written_only_writes_it(
    tmp_path: Path, whole: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for each in whole.iterdir():
        if each.suffix == ".sqlite" or each.name == "recovery":
            (folder / each.name).symlink_to(each)
    ended = trifecta(*SIMULATED, "--out", folder)
    assert ended.exit_code == 0, ended.stderr
    assert read(folder) == read(whole)  # times too: they are those of the run


def test_a_market_without_a_book_has_none_to_halt(tmp_path: Path) -> None:
    tape = write(tmp_path / "q.parquet", quotes(9))
    assert trifecta("run", "--tape", tape, "--out", tmp_path / "run").exit_code == 0
    with (
        closing(open_log(tmp_path / "run")) as log,
        pytest.raises(Refused, match="no tape of this run has an order book"),
    ):
        _check_book(log, "binance_spot:BTCUSDT")


def test_halt_stops_trading_and_resume_lifts_it(
    running: tuple[subprocess.Popen[str], Path],
) -> None:
    process, folder = running
    for command in ("halt", "resume", "halt"):
        told = trifecta(command, folder)
        assert told.exit_code == 0
        assert f"{command.upper()} is in the log" in told.stderr
    refused = trifecta("halt", folder, "--book", "nobody:NOTHING")
    assert refused.exit_code == 2
    assert "--book must be an instrument of the run, was 'nobody:NOTHING'" in refused.stderr
    book = refused.stderr.split("it has ")[1].split(",")[0].strip()
    for command in ("halt", "resume"):
        told = trifecta(command, folder, "--book", book)
        assert told.exit_code == 0, told.stderr
        assert f"{command.upper()}_BOOK of {book} is in the log" in told.stderr
    busy = trifecta(*SIMULATED, "--out", folder)
    assert busy.exit_code == 2
    assert f"process {process.pid} is running there" in busy.stderr
    assert trifecta("report", folder).exit_code == 2
    process.communicate(timeout=PATIENCE_S)
    report = read(folder)
    assert report["non_trades"]["HALTED"] > 10
    assert report["operator_resumes"] == 1
    assert trifecta("replay", folder, "--verify").exit_code == 0
