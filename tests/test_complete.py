"""Promise: a recording that lacks too much is refused before anything is made of it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from console.quality.completeness import completeness_of
from operators.market.completeness import shortfall
from schemas.expectations import COMPLETE_FOR_BACKTEST, COMPLETE_FOR_TRAINING
from tests.runs import BTC, EURUSD
from tests.tape_files import MS, T0, quotes, write
from venues.tape import open_tapes
from venues.tape.layouts import LAYOUTS

SECOND_NS = 1000 * MS
FOLDERS = tuple(layout.name for layout in LAYOUTS)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["run", "--profile", "memory", *map(str, arguments)])


def tape(folder: Path, seconds: list[int]) -> Path:
    times = [T0 + s * SECOND_NS for s in seconds]
    columns = quotes(len(times), ts_ns=times, recv_ns=times)
    return write(folder / "quotes" / "t.parquet", columns)


@pytest.fixture
def gapped(tmp_path: Path) -> Path:
    """Half an hour of quotes each ten seconds, of which five minutes are missing: 4 uncovered."""
    return tape(tmp_path, [s for s in range(0, 1800, 10) if not 600 < s < 900])


def test_a_gap_is_refused_by_name(gapped: Path, tmp_path: Path) -> None:
    done = run("--tape", gapped, "--out", tmp_path / "run")
    assert (done.exit_code, (tmp_path / "run").exists(), done.stdout) == (2, False, "")
    told = re.sub(r"\s+", " ", done.stderr)
    assert (
        "error: quotes/t.parquet: binance_spot:BTCUSDT quote is 86.6 % complete, at least 95 % are "
        "needed: 5 of 31 minutes of its session lack rows (2023-11-14 22:24 to 2023-11-14 22:29 "
        "UTC); cut it with --from and --to, see every minute with 'trifecta quality', or take it "
        "as it is with --allow-incomplete or --completeness SHARE"
    ) in told


# fmt: off
OPTIONS: list[tuple[str, tuple[str, ...], int, str]] = [
    ("whatever it lacks", ("--allow-incomplete",),          0, "taken as it is: quotes/t.parquet"),
    ("a lower threshold", ("--completeness", "0.86"),       0, "86.6 % complete, at least 95 %"),
    ("a higher one",      ("--completeness", "0.9"),        2, "at least 90 % are needed"),
    ("without the gap",   ("--to", "2023-11-14T22:23:20"),  0, ""),
    ("no share at all",   ("--completeness", "1.5"),        2, "share from 0 to 1, was 1.5"),
    ("both options",      ("--completeness", "0.5", "--allow-incomplete"), 2, "takes any"),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "options", "code", "says"), OPTIONS, ids=[each[0] for each in OPTIONS]
)
def test_unless_told(
    what: str, options: Any, code: int, says: str, gapped: Path, tmp_path: Path
) -> None:
    done = run("--tape", gapped, "--out", tmp_path / "run", *options)
    told = re.sub(r"\s+", " ", done.stderr)
    assert done.exit_code == code, told
    assert says in told
    assert ("complete" in told) == bool(says)


def test_rows_that_were_refused_cover_nothing(tmp_path: Path) -> None:
    """A log has its refused rows in quarantine: a backtest of it lacks their time too."""
    times = [T0 + s * 10 * SECOND_NS for s in range(60)]
    bids = [101.0 if 20 <= k < 30 else 100.0 for k in range(60)]
    path = write(tmp_path / "quotes" / "t.parquet",
                 quotes(60, ts_ns=times, recv_ns=times, bid_px=bids))  # fmt: skip
    for command in (["--tape", path], ["--from-topic", tmp_path / "run"]):
        done = run(*command, "--out", tmp_path / "memory")
        assert done.exit_code == 2
        assert "83.1 % complete" in re.sub(r"\s+", " ", done.stderr)
        allowed = CliRunner().invoke(
            app, ["run", "--tape", str(path), "--out", str(tmp_path / "run"), "--allow-incomplete"]
        )
        assert allowed.exit_code in (0, 2)  # the second time it is finished


@pytest.mark.parametrize("paths", [[EURUSD], BTC], ids=["EURUSD", "BTC"])
def test_the_sample_is_complete_enough_to_train_on(paths: list[Path]) -> None:
    feed = open_tapes(paths)
    streams = completeness_of(feed)
    assert len(streams) == len(paths)
    assert not shortfall(streams, feed.table, feed.names, COMPLETE_FOR_TRAINING)


# What the recordings' own notes name as defects: long gaps between two samples, days missing, two
# samples a year apart; and quote bars that lack every fifth to tenth minute of a volatile day.
BROKEN = {
    "trades/kraken_BCHEUR_timesales": 0.50,
    "quotes/polymarket_crypto_macro_finance_20260722_20260808": 0.30,
    "bars/coinbase_1m_2016_2017": 0.015,
    "quote_bars/multi_venue_1m_20221213": 0.80,
}
LARGE = {"quotes/polymarket_all_20260804"}  # 8.7 million rows: in the long form


def least_complete(path: Path) -> float:
    """Of the worst stream of a tape that has a session at all."""
    found = [each.completeness for each in completeness_of(open_tapes([path])) if each.session_ns]
    return min(found, default=1.0)  # a chain of one moment has none


@pytest.mark.parametrize("folder", FOLDERS)
def test_recordings_without_known_gaps_pass(folder: str, data_path: Callable[[str], Path]) -> None:
    for path in sorted(data_path(folder).glob("*.parquet")):
        name = f"{folder}/{path.stem}"
        if name not in LARGE:
            share = least_complete(path)
            assert (share < COMPLETE_FOR_BACKTEST) == (name in BROKEN), (name, share)
            assert name not in BROKEN or share == pytest.approx(BROKEN[name], abs=0.006)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_a_large_recording_passes(name: str, data_path: Callable[[str], Path]) -> None:
    assert least_complete(data_path(f"{name}.parquet")) >= 0.98
