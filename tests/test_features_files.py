"""Files that features read beforehand: named in the settings, kept in the first record of a run."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.config import settings_of, settings_toml
from cli.main import app
from flows.desk_run import RECORD
from flows.recorded import recorded_run
from flows.replay import verify
from flows.settings import SettingsError
from schemas.kinds import Kind
from schemas.rows import F8, I8
from schemas.topics import SIGNALS
from tests.runs import nothing, run, table
from tests.tape_files import quotes, write
from venues.feed import Feed
from venues.tape import open_tapes
from venues.tape.errors import TapeError

DAY_NS = 86_400_000_000_000
RELEASE = "2024-01-05T13:30:00+00:00"
RELEASE_NS = 1_704_461_400_000_000_000
FLOW_KNOWN = "1970-01-02T12:00:00+00:00"  # 36 h after the stamp of the day


def desk(folder: Path, *lines: str) -> Path:
    file = folder / "desk.toml"
    file.write_text("\n".join(["[features]", 'sets = ["cross", "derivatives"]', *lines]) + "\n")
    return file


def calendar(folder: Path) -> Path:
    path = folder / "calendar.parquet"
    importance = ["high", "low"]
    times = [RELEASE_NS, RELEASE_NS + DAY_NS]
    pq.write_table(pa.table({"ts_ns": times, "importance": importance}), path)
    return path


def fund_flows(folder: Path) -> Path:
    path = folder / "flows.csv"
    path.write_text("ts_ns,asset,fund,net_flow_usd_m\n0,BTC,A,1.5\n0,BTC,B,-4.0\n")
    return path


def both(folder: Path) -> Path:
    return desk(
        folder,
        f'calendar_file = "{calendar(folder)}"',
        f'fund_flows_file = "{fund_flows(folder)}"',
    )


def test_what_the_files_hold_takes_their_place(tmp_path: Path) -> None:
    settings = settings_of(both(tmp_path), {})
    assert settings.features == {
        "sets": ["cross", "derivatives"],
        "happenings": [[RELEASE, 3], ["2024-01-06T13:30:00+00:00", 1]],
        "fund_flows": [["BTC", FLOW_KNOWN, -2.5e6]],
    }


def test_workers_are_told_the_content_not_the_files(tmp_path: Path) -> None:
    settings = settings_of(both(tmp_path), {})
    told = tmp_path / "told.toml"
    told.write_text(settings_toml(settings))
    for name in ("calendar.parquet", "flows.csv"):
        (tmp_path / name).unlink()
    again = settings_of(told, {})
    assert again == settings
    assert again.digest() == settings.digest()


def test_other_content_is_another_run(tmp_path: Path) -> None:
    file = both(tmp_path)
    before = settings_of(file, {}).digest()
    (tmp_path / "flows.csv").write_text("ts_ns,asset,fund,net_flow_usd_m\n0,BTC,A,1.5\n")
    assert settings_of(file, {}).digest() != before


def test_the_environment_names_a_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIFECTA_DESK_FEATURES__CALENDAR_FILE", str(calendar(tmp_path)))
    happenings = settings_of(desk(tmp_path), {}).features["happenings"]
    assert happenings[0] == [RELEASE, 3]


@pytest.mark.parametrize("as_default", [False, True], ids=["named", "trifecta.toml"])
def test_a_relative_path_starts_at_the_file_that_names_it(
    as_default: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, elsewhere = tmp_path / "desk", tmp_path / "elsewhere"
    (folder / "data").mkdir(parents=True)
    elsewhere.mkdir()
    fund_flows(folder)
    calendar(folder / "data")
    lines = 'calendar_file = "data/calendar.parquet"', 'fund_flows_file = "flows.csv"'
    file = desk(folder, *lines)
    monkeypatch.chdir(folder if as_default else elsewhere)
    if as_default:
        file.rename("trifecta.toml")
    settings = settings_of(None if as_default else file, {})
    assert settings.features["happenings"][0] == [RELEASE, 3]
    assert settings.features["fund_flows"] == [["BTC", FLOW_KNOWN, -2.5e6]]


def test_a_relative_path_of_the_environment_starts_at_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, elsewhere = tmp_path / "desk", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    calendar(elsewhere)
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("TRIFECTA_DESK_FEATURES__CALENDAR_FILE", "calendar.parquet")
    assert settings_of(desk(folder), {}).features["happenings"][0] == [RELEASE, 3]


@pytest.mark.parametrize("key", ["calendar_file", "fund_flows_file"])
def test_a_missing_file_is_named(key: str, tmp_path: Path) -> None:
    gone = tmp_path / "gone.parquet"
    file = desk(tmp_path, f'{key} = "{gone}"')
    with pytest.raises(TapeError, match=re.escape(str(gone))):
        settings_of(file, {})
    done = CliRunner().invoke(app, ["run", "--config", str(file), "--profile", "memory"])
    assert done.exit_code == 2
    said = " ".join(done.stderr.split())
    assert "gone.parquet" in said.replace(" ", "")
    assert "no such file" in said
    assert "Traceback" not in said


CASES = [
    ("calendar_file", 'happenings = [["2024-08-14T12:30:00Z", 3]]', calendar),
    ("fund_flows_file", 'fund_flows = [["BTC", "2024-08-14T12:30:00Z", 1.0]]', fund_flows),
]


@pytest.mark.parametrize(("key", "given", "file"), CASES, ids=[case[0] for case in CASES])
def test_file_and_list_are_too_many(key: str, given: str, file: object, tmp_path: Path) -> None:
    assert callable(file)
    with pytest.raises(SettingsError, match=r"are given, and .* too; leave one out"):
        settings_of(desk(tmp_path, given, f'{key} = "{file(tmp_path)}"'), {})


def quoted(folder: Path, start: str) -> tuple[Feed, I8, F8]:
    """80 minutes of a spot market, a quote every 30 s; the feed, its times and mids."""
    start_ns = int(np.datetime64(start, "ns").astype(np.int64))
    ts_ns: I8 = start_ns + np.arange(160, dtype=np.int64) * 30 * 10**9
    steps = np.random.default_rng(3).integers(-40, 41, 160)
    mid: F8 = 100.0 + steps.astype(np.float64) * 0.5
    columns = quotes(160, ts_ns=ts_ns, recv_ns=ts_ns, bid_px=mid - 0.25, ask_px=mid + 0.25)
    return open_tapes([write(folder / "quotes.parquet", columns)]), ts_ns, mid


SUMMER = [  # five minutes before London opens at 08:00 of its clock
    ("winter", "2024-01-08T07:55:00"),
    ("summer", "2024-07-08T06:55:00"),
]


@pytest.mark.parametrize(("what", "start"), SUMMER, ids=[case[0] for case in SUMMER])
def test_a_run_records_and_shows_what_the_files_hold(what: str, start: str, tmp_path: Path) -> None:
    wanted = ["macro_since_min", "etf_flow_usd", "session_high_london", "session_low_london",
              "session_breakout_london", "session_high_tokyo"]  # fmt: skip
    settings = settings_of(both(tmp_path), {"seed": 0, "features": wanted})
    feed, ts_ns, mid = quoted(tmp_path, start)
    ran = run(feed, profile="memory", batch_rows=7, folder=tmp_path, settings=settings)
    for name in ("calendar.parquet", "flows.csv"):
        (tmp_path / name).unlink()
    assert json.loads(ran.log.texts()[RECORD])["settings"]["features"] == settings.features
    assert verify(ran.log, progress=nothing).difference is None
    rows = table(ran.log, SIGNALS, recorded_run(ran.log)[1].active_lanes())
    values = rows.values[rows.kind == Kind.QUOTE]
    value = dict(zip(wanted, values.T, strict=True))
    np.testing.assert_allclose(value["macro_since_min"], (ts_ns - RELEASE_NS) / 60e9)
    assert (value["etf_flow_usd"] == -2.5e6).all()
    minutes = (ts_ns - ts_ns[0]) / 60e9 - 5.0  # since London opened
    opening, after = (minutes >= 0) & (minutes < 30), minutes >= 30
    for name, edge in (("high", mid[opening].max()), ("low", mid[opening].min())):
        found = value[f"session_{name}_london"]
        assert np.isnan(found[~after]).all()
        assert (found[after] == edge).all()
    assert np.isfinite(value["session_breakout_london"][after]).all()
    assert np.isnan(value["session_high_tokyo"]).all(), "it was open before the first row"
