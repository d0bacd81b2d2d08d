"""Promise: every command does what it says, and says in one line what it cannot do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.files import _whole
from cli.main import app
from cli.run import SAMPLE
from cli.times import parse_utc
from flows.settings import SettingsError
from schemas.kinds import Control
from tests.tape_files import T0, bars, quotes, trades, write

FILES = ("report.html", "report.json", "trades.csv")
SIMULATED = ("run", "--simulate", "--rows", "9000", "--seed", "7")


def trifecta(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "100"})


def refusal(result: Result) -> str:
    """The one line of a refused command, which prints nothing to stdout."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line]
    assert lines[-1].startswith("error: "), result.stderr
    assert "Traceback" not in result.stderr
    return lines[-1].removeprefix("error: ")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has ended."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    result = trifecta(*SIMULATED, "--out", folder)
    assert result.exit_code == 0, result.output
    return folder


def test_run_leaves_its_files_and_a_summary_on_stderr(tmp_path: Path) -> None:
    result = trifecta(*SIMULATED, "--out", tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "SIMULATED MARKET" in result.stderr
    said = "".join(result.stderr.split())  # a long path is folded
    assert all(str(tmp_path / "new" / name) in said for name in FILES)
    assert {each.name for each in (tmp_path / "new").iterdir()} >= {*FILES, "log.sqlite"}


@pytest.mark.parametrize("profile", ["embedded", "memory"])
def test_json_is_the_report_to_the_letter_and_the_same_on_every_profile(
    tmp_path: Path, finished: Path, profile: str
) -> None:
    folder = tmp_path / profile
    result = trifecta(*SIMULATED, "--out", folder, "--profile", profile, "--batch", 77, "--json")
    assert result.stdout == (folder / "report.json").read_text()
    assert without_clock(json.loads(result.stdout)) == without_clock(read(finished))


def test_sample_tape_is_what_a_run_without_a_tape_reads(tmp_path: Path) -> None:
    assert SAMPLE.exists()
    result = trifecta("run", "--to", "2014-05-01T00:30", "--json", "--out", tmp_path / "x")
    report = json.loads(result.stdout)
    assert "the sample" in result.stderr
    assert report["tapes"] == ["quotes/oanda_EURUSD_20140501_20140509.parquet"]
    assert report["rows"] == report["rows_on_log"] > 100
    assert report["span"]["to"] < "2014-05-01T00:30"


def test_tapes_are_merged_and_defects_go_to_quarantine(tmp_path: Path) -> None:
    bid = [100.0] * 50
    bid[4] = float("nan")
    one = write(tmp_path / "quotes" / "a.parquet", quotes(50, bid_px=bid))
    two = write(tmp_path / "trades" / "a.parquet", trades(50))
    result = trifecta("run", "--tape", one, "--tape", two, "--json", "--out", tmp_path / "x")
    report = json.loads(result.stdout)
    assert (report["rows"], report["rows_on_log"], report["rows_quarantined"]) == (100, 99, 1)
    assert report["quarantine"] == {"NOT_FINITE": {"quotes/a.parquet": 1}}


def test_daily_bars_run_to_a_report_that_says_why_nothing_was_decided(tmp_path: Path) -> None:
    days = [T0 + k * 86_400_000_000_000 for k in range(30)]
    tape = write(tmp_path / "bars" / "d.parquet", bars(30, ts_ns=days, interval_s=[86_400] * 30))
    report = json.loads(trifecta("run", "--tape", tape, "--json", "--out", tmp_path / "x").stdout)
    assert (report["rows_on_log"], report["decisions"]) == (30, 0)
    assert any("no quotes and no trades" in text for text in report["warnings"])


def _absent(folder: Path) -> list[object]:
    return ["--tape", folder / "none.parquet"]


def _truncated(folder: Path) -> list[object]:
    path = write(folder / "quotes" / "q.parquet", quotes(500))
    path.write_bytes(path.read_bytes()[:-300])
    return ["--tape", path]


def _column(folder: Path) -> list[object]:
    return ["--tape", write(folder / "quotes" / "q.parquet", quotes(9, ask_px=None))]


def _venue(folder: Path) -> list[object]:
    return ["--tape", write(folder / "q.parquet", quotes(9, venue=["nowhere"] * 9))]


def _twice(folder: Path) -> list[object]:
    path = write(folder / "q.parquet", quotes(9))
    return ["--tape", path, "--tape", path]


def _cut_off(folder: Path) -> list[object]:
    return ["--tape", write(folder / "q.parquet", quotes(9)), "--to", "2001-01-01"]


def _rule(text: str) -> Callable[[Path], list[object]]:
    def given(folder: Path) -> list[object]:
        (folder / "desk.toml").write_text(text)
        return ["--config", folder / "desk.toml"]

    return given


# fmt: off
REFUSED_RUNS = [  # what is asked, its options, words of the answer
    ("a tape that is not there",     _absent,                             ("none.parquet",)),
    ("a tape that breaks off",       _truncated,                          ("q.parquet",)),
    ("a column is missing",          _column,                             ("q.parquet", "ask_px")),
    ("a venue of nobody",            _venue,                              ("nowhere", "q.parquet")),
    ("the same tape twice",          _twice,                              ("twice",)),
    ("nothing left after the cut",   _cut_off,                            ("no row",)),
    ("another profile",              ["--profile", "disk"],               ("profile", "'disk'")),
    ("split without brokers",        ["--topology", "split"],             ("split", "kafka")),
    ("another topology",             ["--topology", "star"],              ("topology", "'star'")),
    ("another mode",                 ["--mode", "live"],                  ("mode", "'live'")),
    ("a cadence of nothing",         ["--cadence", "0s"],                 ("cadence", "'0s'")),
    ("no money",                     ["--balance", "-5"],                 ("balance", "'-5'")),
    ("another operator",             ["--operator", "me"],                ("operator", "'me'")),
    ("no speed",                     ["--speed", "0"],                    ("speed", "0.0")),
    ("a risk below nothing",         _rule("[lane]\nspot_risk = -1.0"),   ("spot_risk", "-1.0")),
    ("a cap that is no number",      _rule("[safety]\nexposure_max = nan"), ("exposure_max",)),
    ("an answer from the future",    _rule("[venue]\norder_latency_ns = -5"), ("latency_ns",)),
    ("a time that is none",          ["--from", "noon"],                  ("--from", "'noon'")),
    ("an end before the begin",      ["--from", "2020-01-02", "--to", "2020-01-01"],
                                                                          ("must be before",)),
    ("a seed of a tape",             ["--seed", "5"],                     ("--simulate",)),
    ("a feature of another name",    ["--features", "options"],           ("near:", "derivatives")),
    ("tape and simulation",          ["--simulate", "--tape", "x"],       ("not both",)),
    ("rows of a tape",               ["--rows", "5"],                     ("--simulate",)),
    ("a cut of a simulation",        ["--simulate", "--to", "2020-01-01"], ("--rows",)),
    ("lanes of a simulation",        ["--simulate", "--one-lane"],        ("--one-lane", "tapes")),
    ("a rate beyond the market's",   ["--simulate", "--rate", "1e9"],     ("rate_hz",)),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "options", "words"), REFUSED_RUNS, ids=[case[0] for case in REFUSED_RUNS]
)
def test_run_is_refused(
    tmp_path: Path,
    what: str,
    options: list[object] | Callable[[Path], list[object]],
    words: tuple[str, ...],
) -> None:
    del what
    given = options(tmp_path) if callable(options) else options
    line = refusal(trifecta("run", *given, "--out", tmp_path / "out"))
    assert all(word in line for word in words), line
    assert not (tmp_path / "out").exists()


def test_folder_of_a_finished_run_is_refused_and_left_as_it_is(finished: Path) -> None:
    before = {each: each.stat().st_mtime_ns for each in finished.iterdir()}
    assert "finished" in refusal(trifecta(*SIMULATED, "--out", finished))
    assert "--out" in refusal(trifecta(*SIMULATED, "--out", finished, "--profile", "memory"))
    assert {each: each.stat().st_mtime_ns for each in finished.iterdir()} == before


def test_folder_with_anything_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    assert "other files" in refusal(trifecta(*SIMULATED, "--out", tmp_path))
    assert "is a file" in refusal(trifecta(*SIMULATED, "--out", tmp_path / "letter.txt"))


def test_report_is_made_again_from_the_log_alone(tmp_path: Path, finished: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    before = {name: (folder / name).read_bytes() for name in FILES}
    for name in FILES:
        (folder / name).unlink()
    result = trifecta("report", folder, "--json")
    assert result.stdout.encode() == before["report.json"]
    assert {name: (folder / name).read_bytes() for name in FILES} == before


@pytest.mark.parametrize("command", ["report", "halt", "resume", "replay --verify"])
def test_commands_on_a_run_refuse_a_folder_without_one(tmp_path: Path, command: str) -> None:
    name, *options = command.split()
    assert "no such folder" in refusal(trifecta(name, tmp_path / "none", *options))
    assert "no log.sqlite" in refusal(trifecta(name, tmp_path, *options))
    (tmp_path / "log.sqlite").write_bytes(b"not a log at all" * 100)
    assert "log.sqlite" in refusal(trifecta(name, tmp_path, *options))


def test_halt_and_resume_need_a_run_that_is_running(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("halt", "resume"):
        assert "no run is running there" in refusal(trifecta(name, finished))
        assert "no run is running" in refusal(trifecta(name))
    assert not (finished / "control.jsonl").exists()


def test_replay_says_what_it_wants(finished: Path) -> None:
    assert "--verify" in refusal(trifecta("replay", finished))


def test_replay_of_a_finished_run_finds_no_difference(finished: Path) -> None:
    result = trifecta("replay", finished, "--verify", "--json")
    found = json.loads(result.stdout)
    report = read(finished)
    assert result.exit_code == 0
    assert found["same"] is True
    assert found["decisions"] == report["decisions"]
    assert found["journal_rows"] == report["ledger"]["transactions"]


class Verification:
    """Stands for what a replay finds."""

    def __init__(self, difference: dict[str, Any] | None, numeric_matches: bool = True) -> None:
        self.decisions, self.journal_rows, self.difference = 1234, 56, difference
        self.numeric_matches, self.notes = numeric_matches, ["a word of caution"]
        self.compared, self.ended = {"decisions.v1": 1300}, True
        self.first_ns, self.last_ns = 1_398_905_686_000_000_000, 1_398_905_687_000_000_000


DIFFERENCE: dict[str, Any] = {
    "topic": "decisions.v1",
    "row": 1234,
    "columns": ["engine", "stake"],
    "recorded": {"seq": 1234, "ts_recv_ns": 1_398_905_686_459_000_001, "engine": 0, "stake": 1.5},
    "redecided": {"seq": 1234, "ts_recv_ns": 1_398_905_686_459_000_001, "engine": 1, "stake": None},
}


def verified(
    found: Verification, folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str
) -> Result:
    monkeypatch.setattr("flows.replay.verify", lambda log, progress, span: found)
    return trifecta("replay", folder, "--verify", *options)


def test_replay_says_that_all_is_the_same(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = verified(Verification(None), finished, monkeypatch)
    assert result.exit_code == 0
    assert "The same" in result.stderr
    assert "1,234 decisions and 56 journal rows" in result.stderr
    span = "from 2014-05-01T00:54:46.000000000Z to 2014-05-01T00:54:47.000000000Z"
    assert f"{span}: decisions.v1 1,300" in result.stderr
    assert "a word of caution" in result.stderr
    assert "calculates differently" not in result.stderr


def test_replay_shows_the_first_difference_on_both_sides(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = verified(Verification(DIFFERENCE, numeric_matches=False), finished, monkeypatch)
    assert result.exit_code == 1
    assert "NOT the same" in result.stderr
    assert "row 1,234" in result.stderr
    assert "calculates differently" in result.stderr
    rows = [line.split() for line in result.stderr.splitlines()]
    columns = [row[0] for row in rows if row and row[0] in DIFFERENCE["recorded"]]
    assert columns == ["engine", "stake", "seq", "ts_recv_ns"]  # those that differ come first
    assert ["engine", "0", "BINARY", "1", "SPOT"] in rows
    assert ["stake", "1.5", "\N{EN DASH}"] in rows
    assert ["ts_recv_ns", *["2014-05-01T00:54:46.459000001Z"] * 2] in rows


def test_replay_shows_a_row_that_only_one_side_has(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = Verification(DIFFERENCE | {"recorded": None})
    assert "recorded (no such row)" in verified(missing, finished, monkeypatch).stderr
    result = verified(missing, finished, monkeypatch, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["difference"]["recorded"] is None


def test_lists_of_what_is_there(tmp_path: Path) -> None:
    tape = write(tmp_path / "q.parquet", quotes(9))
    assert "binance_spot:BTCUSDT" in trifecta("instruments", "--tape", tape).stdout
    found = json.loads(trifecta("instruments", "--tape", tape, "--json").stdout)
    assert [(i["venue"], i["name"]) for i in found] == [("binance_spot", "BTCUSDT")]
    assert "none.parquet" in refusal(trifecta("instruments", "--tape", tmp_path / "none.parquet"))
    assert "stream-gru16" in trifecta("models", "card").stdout
    assert json.loads(trifecta("models", "card", "--json").stdout)["name"] == "stream-gru16"
    assert trifecta("--version").stdout.startswith("trifecta")


def test_bench_is_called_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("bench.chain.main", asked.append)
    assert trifecta("bench", "chain", "--json").exit_code == 0
    assert trifecta("bench", "chain").exit_code == 0
    assert asked == [True, False]


# fmt: off
TIMES = [  # what is written, seconds since 1970, nanoseconds more
    ("2024-08-08",                          1_723_075_200, 0),
    ("2024-08-08T23:55",                    1_723_161_300, 0),
    ("2024-08-08 23:55:30",                 1_723_161_330, 0),
    ("2024-08-08T23:55:30Z",                1_723_161_330, 0),
    ("2024-08-08T23:55:30.000000001Z",      1_723_161_330, 1),
    ("2024-08-08T23:55:30.5",               1_723_161_330, 500_000_000),
    ("2024-08-09T01:55:30.25+02:00",        1_723_161_330, 250_000_000),
]
# fmt: on


@pytest.mark.parametrize(("text", "seconds", "ns"), TIMES, ids=[case[0] for case in TIMES])
def test_times_are_iso_8601_in_utc(text: str, seconds: int, ns: int) -> None:
    assert parse_utc(text, option="--from") == seconds * 1_000_000_000 + ns


NO_TIMES = (
    "", "now", "2024", "2024-13-01", "2024-08-08T25:00", "08/08/2024", "2024-08-08T12:00.5",
    "2024-08-08Z", "2024-08-08T12:00:00.1234567891",
)  # fmt: skip


@pytest.mark.parametrize("text", NO_TIMES)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--to must be a time"):
        parse_utc(text, option="--to")


def test_half_a_file_never_takes_the_place_of_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "report.json"

    def write_all(draft: Path) -> None:
        draft.write_text("whole")

    def break_off(draft: Path) -> None:
        draft.write_text("ha")
        raise OSError("disk full")

    _whole(path, write_all)
    with pytest.raises(OSError, match="disk full"):
        _whole(path, break_off)
    assert path.read_text() == "whole"


def test_every_command_of_the_log_can_be_sent() -> None:
    from cli.halt import EFFECT

    assert set(EFFECT) == set(Control) - {Control.NONE, Control.SWAP_MODEL}


def read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def without_clock(report: dict[str, Any]) -> dict[str, Any]:
    """A report without what differs between two runs of the same rows."""
    differs = {"run_id", "profile", "wall_s", "ticks_per_s", "latency_us"}
    return {name: value for name, value in report.items() if name not in differs}
