"""Promise: `trifecta up` starts the workers that a desk needs, and shows how each of them is."""

import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from confluent_kafka import KafkaError
from rich.console import Console

from cli.by_hand import ingest_by_hand, tell_where
from cli.config import settings_of
from cli.desk_status import status_json, status_line, status_table
from cli.errors import AGAIN, REFUSED, told
from cli.pinned import PinnedSettings
from cli.supervisor import Status, Worker
from cli.up import FIRST_PORT, Request, free_ports, plan_workers
from flows.health import HOST, HealthServer
from flows.log.errors import LogAwayError
from flows.log.kafka_client import clear
from flows.log.lock import FileLock
from flows.meter import Meter
from flows.settings import RunSettings, SettingsError
from tests.test_cli import refusal, trifecta

PORTS = range(9470, 9480)


def commands(request: Request, n_lanes: int = 8) -> list[str]:
    """Command lines without the interpreter."""
    found = []
    for worker in plan_workers(request, n_lanes, PORTS):
        assert worker.command[:4] == (sys.executable, "-m", "cli.main", "worker")
        found.append(" ".join(worker.command[4:]))
    return found


def test_a_desk_without_ingest_is_four_workers() -> None:
    assert commands(Request()) == [
        "features --state runs/desk --port 9470",
        "decide --state runs/desk --port 9471",
        "execute --state runs/desk --port 9472",
        "account --state runs/desk --port 9473",
    ]


def test_lane_groups_tapes_and_a_deployment(tmp_path: Path) -> None:
    tapes = (tmp_path / "a.parquet", tmp_path / "b.parquet")
    for tape in tapes:
        tape.touch()
    found = commands(
        Request(
            deployment="two",
            lanes=("0-3", "4-7"),
            tapes=tapes,
            speed=20.0,
            from_utc="2014-05-02T12:00",
            to_utc="2014-05-02T13:00",
            mode="shadow",
            cadence="tick",
            balance="5000",
        )
    )
    own = "--deployment two --state runs/desk-two"
    assert found == [
        f"features {own} --port 9470 --lanes 0-3",
        f"features {own} --port 9471 --lanes 4-7",
        f"decide {own} --port 9472",
        f"execute {own} --port 9473",
        f"account {own} --port 9474",
        f"ingest {own} --port 9475 --tape {tapes[0]} --tape {tapes[1]} --speed 20.0 "
        "--from 2014-05-02T12:00 --to 2014-05-02T13:00 --mode shadow --cadence tick --balance 5000",
    ]


def test_names_are_those_of_the_logs() -> None:
    workers = plan_workers(Request(lanes=("0-3", "4-7"), simulate=True), 8, PORTS)
    assert [worker.name for worker in workers] == [
        "features-0-3", "features-4-7", "decide-0-7", "execute-0-7", "account-0-7", "ingest-0-7",
    ]  # fmt: skip


# fmt: off
REFUSALS = [  # options, what is said
    (["--lanes", "0-3"],                       "lane 4 is in none of them"),
    (["--lanes", "0-4", "--lanes", "4-7"],     "lane 4 is in 2 of them"),
    (["--lanes", "0-8"],                       "7 at most"),
    (["--lanes", "x"],                         "lanes must be"),
    (["--tape", "no.parquet"],                 "no.parquet: there is no such file"),
    (["--simulate", "--tape", "no.parquet"],   "either tapes, --simulate or --feed"),
    (["--speed", "2"],                         "--speed: for a desk that ingests"),
    (["--mode", "paper", "--cadence", "1s"],   "--mode, --cadence: for a desk that ingests"),
    (["--simulate", "--from", "2014-05-02"],   "--from and --to cut tapes"),
    (["--simulate", "--mode", "backtest"],     "mode must be one of paper, shadow"),
    (["--simulate", "--speed", "-1"],          "speed must be a multiple of real time"),
    (["--simulate", "--cadence", "often"],     "cadence must be"),
    (["--simulate", "--balance", "-1"],        "balance must be an amount"),
]
# fmt: on


@pytest.mark.parametrize(("options", "said"), REFUSALS, ids=[r[1] for r in REFUSALS])
def test_refused_before_anything_is_started(tmp_path: Path, options: list[str], said: str) -> None:
    state = tmp_path / "desk"
    assert said in refusal(trifecta("up", *options, "--state", state))
    assert not state.exists()


def test_a_second_desk_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "up.lock")
    try:
        assert "runs a desk there; stop it" in refusal(trifecta("up", "--state", tmp_path))
    finally:
        lock.release()


def test_ports_are_those_asked_for_or_any_that_are_free(tmp_path: Path) -> None:
    found = free_ports(3, None, tmp_path)
    assert len(set(found)) == 3
    assert min(found) >= FIRST_PORT
    with socket.socket() as taken:
        taken.bind((HOST, found[1]))
        taken.listen()
        assert found[1] not in free_ports(3, None, tmp_path)
        with pytest.raises(SettingsError, match=rf"port {found[1]} of {HOST} is not free; the 3"):
            free_ports(3, found[1] - 1 if found[1] == found[0] + 1 else found[1], tmp_path)


def status(**changes: object) -> Status:
    worker = Worker("features", "0-3", ("x",), 9470)
    values: dict[str, object] = {
        "worker": worker, "phase": "up", "state": "running", "healthy": True, "pid": 4711,
        "rows_per_s": 1830.4, "lag": 0, "last_seq": 1234567, "event_time_ns": 1399032007 * 10**9,
        "restarts": 0, "kills": 0, "last_error": "", "stopped": None,
        "log": Path("runs/desk/logs/features-0-3.log"),
    }  # fmt: skip
    return Status(**{**values, **changes})  # type: ignore[arg-type]


def shown(*statuses: Status, width: int) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(status_table(statuses, title="desk", logs=Path("runs/desk/logs"), width=width))
    return [line.rstrip() for line in console.export_text().splitlines()]


DOWN = {
    "phase": "down", "state": "restart in 4 s", "healthy": False, "pid": None, "rows_per_s": None,
    "lag": None, "restarts": 3, "kills": 1, "last_error": "rows were not acknowledged",
}  # fmt: skip


def test_the_table_has_a_line_per_worker_and_its_errors_below() -> None:
    lines = shown(status(), status(**DOWN), width=120)
    assert lines[0] == "desk  1 of 2 up, logs in runs/desk/logs/"
    assert " ".join(lines[2].split()) == (
        "flow lanes state rows/s lag last seq event time restarts killed pid"
    )
    assert " ".join(lines[3].split()) == (
        "features 0-3 ● running 1,830 0 1,234,567 2014-05-02 12:00:07 0 0 4711"
    )
    assert " ".join(lines[4].split()) == (
        "features 0-3 ● restart in 4 s - - 1,234,567 2014-05-02 12:00:07 3 1 -"
    )
    assert lines[6] == "features-0-3  rows were not acknowledged"


@pytest.mark.parametrize("width", [80, 110, 200])
def test_no_figure_is_cut_off(width: int) -> None:
    lines = shown(status(last_seq=987_654_321, lag=54_321), status(**DOWN), width=width)
    assert not any("…" in line for line in lines)
    assert "987,654,321" in lines[3]
    assert "restart in 4 s" in lines[4]


def test_what_a_worker_waits_for_stands_below_the_table() -> None:
    lines = shown(status(state="waiting for ingest's first record"), width=80)
    assert "● waiting " in lines[3]
    assert lines[5] == "features-0-3  waiting for ingest's first record"


def test_what_many_say_stands_there_once() -> None:
    lines = shown(*[status(last_error="no broker")] * 3, width=80)
    assert lines[7:] == ["features-0-3 and 2 more  no broker"]


def test_a_line_and_json_hold_the_same() -> None:
    line = status_line(status(**DOWN))
    assert line.split(" ", 1)[1] == (
        "features 0-3: restart in 4 s, - rows/s, lag -, last seq 1,234,567, event time "
        "2014-05-02 12:00:07, restarts 3, killed 1, pid -; last error: rows were not acknowledged"
    )
    said = json.loads(json.dumps(status_json(status())))
    assert said["event_time_ns"] == 1399032007 * 10**9
    assert (said["flow"], said["port"], said["last_error"]) == ("features", 9470, None)


@pytest.mark.parametrize(
    ("reason", "ends"),
    [("HALTED", "'trifecta resume' lifts it"), ("DAILY_LOSS", "it lapses at midnight UTC")],
)
def test_a_stop_is_seen_everywhere_and_is_no_trouble(reason: str, ends: str) -> None:
    stopped = status(stopped=(reason,))
    lines = shown(stopped, status(stopped=()), width=80)
    assert lines[0].startswith("desk  2 of 2 up")
    said = " ".join(" ".join(lines).split())
    assert f"STOPPED: {reason}" in said
    assert f"({reason}); {ends}" in said
    assert f", STOPPED: {reason}" in status_line(stopped)
    assert [status_json(each)["stopped"] for each in (stopped, status(stopped=()), status())] == [
        [reason], [], None,
    ]  # fmt: skip
    assert "STOPPED" not in status_line(status(stopped=()))


def test_books_that_nobody_may_use_are_named_with_what_lifts_it() -> None:
    one = status(books=(("kraken:A/B", "HALTED"), ("kraken:C/D", "GAP")))
    lines = shown(one, width=120)
    assert lines[5:] == [
        "features-0-3  order book of kraken:A/B: HALTED; 'trifecta resume --book kraken:A/B' "
        "lifts it",
        "features-0-3  order book of kraken:C/D: GAP",
    ]
    assert ", book of kraken:A/B: HALTED, book of kraken:C/D: GAP" in status_line(one)
    assert status_json(one)["books"] == {"kraken:A/B": "HALTED", "kraken:C/D": "GAP"}


def test_an_ingest_that_was_started_by_hand_is_a_row(tmp_path: Path) -> None:
    assert ingest_by_hand(tmp_path) is None
    meter = Meter("ingest", "0-7")
    meter.state("running")
    meter.wrote("market.v1", 0, 10, 9)
    with HealthServer(meter, 0) as health:
        tell_where(tmp_path, "0-7", health.port)
        found = ingest_by_hand(tmp_path)
        assert found is not None
        assert (found.worker.name, found.phase, found.state) == ("ingest-0-7", "up", "running")
        assert (found.pid, found.last_seq) == (os.getpid(), 9)
        assert status_json(found)["by_hand"] is True
        lines = shown(status(), found, width=120)
        assert any("ingest-0-7  started by hand" in line for line in lines)
    silent = ingest_by_hand(tmp_path)
    assert silent is not None
    assert (silent.phase, silent.healthy) == ("silent", False)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    said = json.loads((tmp_path / "ingest.json").read_text())
    (tmp_path / "ingest.json").write_text(json.dumps(said | {"pid": child.pid}))
    assert ingest_by_hand(tmp_path) is None


def test_settings_are_those_of_the_start_whatever_becomes_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings, desk = tmp_path / "trifecta.toml", tmp_path / "desk"
    desk.mkdir()
    settings.write_text('cadence = "500ms"\n[safety]\nloss_streak_max = 12\n')
    before = settings_of(None, {})
    pinned = PinnedSettings(None, desk)
    assert pinned.changed() == ""
    settings.write_text('cadence = "2s"\n')
    assert "trifecta.toml has changed: this desk keeps" in pinned.changed()
    assert pinned.changed() == "", "said once"
    assert settings_of(pinned.copy, {}) == before != settings_of(None, {})
    again = PinnedSettings(None, desk)  # another `up` reads it anew
    assert settings_of(again.copy, {}) == settings_of(None, {})


def test_a_file_that_comes_later_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pinned = PinnedSettings(None, tmp_path)
    (tmp_path / "trifecta.toml").write_text('cadence = "2s"\n')
    assert pinned.changed()
    assert settings_of(pinned.copy, {}) == RunSettings()


def test_a_wrong_settings_file_is_refused_before_anything_runs(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("cadense = 1")
    with pytest.raises(SettingsError, match="cadense: there is no such setting"):
        PinnedSettings(wrong, tmp_path)
    with pytest.raises(SettingsError, match="there is no such file"):
        PinnedSettings(tmp_path / "none.toml", tmp_path)


# fmt: off
AWAY = [  # what Kafka says, whether a restart can help
    ("no broker",            KafkaError._ALL_BROKERS_DOWN,            True),
    ("no answer in time",    KafkaError._TIMED_OUT,                   True),
    ("changing leaders",     KafkaError.NOT_LEADER_FOR_PARTITION,     True),
    ("fenced",               KafkaError._FENCED,                      False),
    ("deleted",              KafkaError._AUTO_OFFSET_RESET,           False),
    ("not allowed",          KafkaError.TOPIC_AUTHORIZATION_FAILED,   False),
]
# fmt: on


@pytest.mark.parametrize(("what", "code", "helps"), AWAY, ids=[a[0] for a in AWAY])
def test_a_restart_is_tried_only_where_it_can_help(what: str, code: int, helps: bool) -> None:
    error = clear(KafkaError(code), "127.0.0.1:19092")
    assert isinstance(error, LogAwayError) == helps
    with pytest.raises(typer.Exit) as left, told(away=AGAIN):
        raise error
    assert left.value.exit_code == (AGAIN if helps else REFUSED)
    with pytest.raises(typer.Exit) as left, told():
        raise error
    assert left.value.exit_code == REFUSED  # of all other commands
