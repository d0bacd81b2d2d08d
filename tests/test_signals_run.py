"""A run with features of the market layer: the same bits in every way to make them, told, checked.

And without them it is the run that it was.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.config import settings_of, settings_toml
from cli.main import app
from flows import stages
from flows.chain import Chain
from flows.desk_run import RECORD, SIGNAL_NAMES, TABLE
from flows.log.api import Log
from flows.log.codec import encode_rows
from flows.log.embedded import EmbeddedLog
from flows.log.errors import LogError
from flows.log.lane_sink import LaneSink
from flows.log.lane_source import LaneSource
from flows.log.memory import MemoryLog
from flows.parcel import Parcel
from flows.recorded import recorded_run, signal_names
from flows.recovery import Manifest, RecoveryDir, step_ids
from flows.replay import verify
from flows.runtime import run_flow
from flows.settings import RunSettings, SettingsError
from flows.worker import EPOCH
from models.registry import SHIPPED, load
from operators.features.registry import SETS
from schemas.kinds import Flag, Kind
from schemas.rows import concat
from schemas.topics import DECISIONS, FEATURES, LEDGER, MARKET, PROPOSALS, REPORTS, SIGNALS, Topic
from tests.runs import BTC, Ran, btc, digests, nothing, run, table, tables

WORDS = ["flow", "depth"]
FEATURES_ON = {"sets": WORDS, "daily_qty": {"binance_usdm:BTCUSDT": 300.0}}
SETTINGS = RunSettings(features=FEATURES_ON)
DEADLINE_S = 240


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The reference run: embedded, batches of 5,000."""
    folder = tmp_path_factory.mktemp("signals")
    return run(btc(), profile="embedded", batch_rows=5000, folder=folder, settings=SETTINGS)


def lanes(log: Log) -> list[int]:
    return recorded_run(log)[1].active_lanes()


def signals(log: Log) -> Any:
    return table(log, SIGNALS, lanes(log))


def same(found: Any, expected: Any) -> None:
    for name, a, b in zip(found._fields, found, expected, strict=True):
        assert a.tobytes() == b.tobytes(), name


def test_every_market_row_shows_what_was_asked_for(ran: Ran) -> None:
    found, rows = signals(ran.log), table(ran.log, MARKET, lanes(ran.log))
    names = tuple(feature.name for word in WORDS for feature in SETS[word])
    assert signal_names(ran.log) == names
    assert found.values.shape == (found.seq.size, len(names))
    kept = np.isin(rows.kind, [Kind.TRADE, Kind.QUOTE, Kind.HEARTBEAT])
    for name in ("lane", "kind", "symbol", "ts_recv_ns"):
        np.testing.assert_array_equal(getattr(found, name), getattr(rows, name)[kept])
    np.testing.assert_array_equal(found.market_seq, rows.seq[kept])
    value = {name: found.values[:, j] for j, name in enumerate(names)}
    quoted = found.kind == Kind.QUOTE
    mid = (rows.bid_px[kept] + rows.ask_px[kept])[quoted] / 2.0
    assert np.nanmax(np.abs(value["microprice"][quoted] / mid - 1.0)) < 1e-3
    of = {i.id: (i.lane, i.symbol) for i in recorded_run(ran.log)[1].instruments}
    lane, symbol = of["binance_usdm:BTCUSDT"]
    mine = (found.lane == lane) & (found.symbol == symbol)
    assert np.isfinite(value["toxicity"][mine]).any(), "its daily quantity is configured"
    assert np.isnan(value["toxicity"][~mine]).all(), "theirs are not"
    assert np.isnan(value["imbalance_levels"]).all(), "the tapes have no books"


@pytest.mark.parametrize(("profile", "batch_rows"), [("memory", 333), ("memory", 100_000)])
def test_batches_and_profiles_change_no_bit(
    ran: Ran, profile: str, batch_rows: int, tmp_path: Path
) -> None:
    other = run(
        btc(), profile=profile, batch_rows=batch_rows, folder=tmp_path, settings=SETTINGS
    )  # fmt: skip
    same(signals(other.log), signals(ran.log))


def test_a_run_without_features_is_what_it_was(ran: Ran, tmp_path: Path) -> None:
    plain = run(btc(), profile="memory", batch_rows=5000, folder=tmp_path)
    assert signal_names(plain.log) == ()
    assert SIGNAL_NAMES not in plain.log.texts()
    assert set(plain.log.ends([(SIGNALS.name, lane) for lane in lanes(plain.log)]).values()) == {0}
    assert (plain.decision_digest, plain.ledger_digest) == digests(ran.log)
    for topic in (MARKET, FEATURES, PROPOSALS):
        same(table(plain.log, topic, lanes(plain.log)), table(ran.log, topic, lanes(ran.log)))
    assert verify(plain.log, progress=nothing).difference is None


def test_a_replay_compares_every_value(ran: Ran) -> None:
    found = verify(ran.log, progress=nothing)
    assert found.difference is None
    assert found.compared[SIGNALS.name] == signals(ran.log).seq.size > 100_000

    def tamper(rows: Any) -> Any:
        values = rows.values.copy()
        values[4000, 1] = np.nextafter(values[4000, 1], np.inf)
        return rows._replace(values=values)

    lane = lanes(ran.log)[0]
    difference = verify(_copied(ran.log, lane, tamper), progress=nothing).difference
    assert difference is not None
    found_at = difference["topic"], difference["row"], difference["columns"]
    assert found_at == (SIGNALS.name, 4000, ["values"])


def test_a_replay_finds_rows_that_are_missing(ran: Ran) -> None:
    lane = lanes(ran.log)[0]
    cut = _copied(ran.log, lane, lambda rows: type(rows)(*(column[:-1] for column in rows)))
    difference = verify(cut, progress=nothing).difference
    assert difference is not None
    assert difference["topic"] == SIGNALS.name


def _copied(log: Log, lane: int, change: Callable[[Any], Any]) -> Log:
    """The log in memory, with other signals in one lane."""
    copy = MemoryLog()
    writer = copy.writer()
    texts = log.texts()
    kept = {key: texts[key] for key in (RECORD, TABLE, SIGNAL_NAMES)}
    writer.append([], kept)
    topics: tuple[Topic, ...] = (MARKET, FEATURES, PROPOSALS, DECISIONS, REPORTS, LEDGER)
    for topic in topics:
        for each in [0] if topic.partitions == "single" else lanes(log):
            partition = (topic.name, each)
            reader = log.reader({partition: 0})
            while reader.position(partition) < log.ends([partition])[partition]:
                writer.append([message for _, message in reader.poll(1000)])
            reader.close()
    for each in lanes(log):
        rows = concat(tables(log, SIGNALS, each))
        rows = change(rows) if each == lane else rows
        writer.append(encode_rows(SIGNALS, lane=each, rows=rows, code_version="test"))
    writer.flush()
    writer.close()
    return copy


# ---- as a worker


@pytest.mark.parametrize("batch_rows", [2048, 20_000])
def test_a_worker_makes_the_same_bits(ran: Ran, batch_rows: int, tmp_path: Path) -> None:
    """Also one per lane, stopped by a crash and gone on."""
    log = _market_of(ran.log, tmp_path)
    for lane in lanes(log):
        with pytest.raises(CrashError):
            _work(log, [lane], tmp_path / f"state-{lane}", batch_rows, crash_after=2)
        _work(log, [lane], tmp_path / f"state-{lane}", batch_rows)
    same(signals(log), signals(ran.log))
    same(table(log, FEATURES, lanes(log)), table(ran.log, FEATURES, lanes(log)))
    log.close()


class CrashError(Exception):
    """What ends a worker in the middle."""


def _work(
    log: Log, mine: list[int], folder: Path, batch_rows: int, *, crash_after: int = 0
) -> None:
    record, instruments = recorded_run(log)
    model = load(SHIPPED)
    settings = RunSettings(**record.settings)
    chain = Chain(
        instruments, 1, model, settings.rules(instruments, model.digest), settings.balance, "test",
        settings.signals(instruments, record.sources),
    )  # fmt: skip
    inputs = [(MARKET.name, lane) for lane in mine]
    source = LaneSource(log, inputs, merge=False, batch_rows=batch_rows, ends=log.ends(inputs))
    left = [crash_after]

    def seen(parcel: Parcel, messages: list[Any]) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise CrashError

    writer = log.writer()
    flow = stages.build("features", source, LaneSink(writer), chain, seen=seen)
    manifest = Manifest("test", step_ids(flow), instruments.lanes, "test", settings.digest())
    try:
        with RecoveryDir(folder, manifest) as recovery:
            run_flow(flow, recovery=recovery, epoch_interval=EPOCH * 0)
    finally:
        writer.close()


def _market_of(log: Log, folder: Path) -> Log:
    """A log that has its market alone."""
    copy = EmbeddedLog(folder / "log.sqlite", create=True)
    texts = log.texts()
    with closing(copy.writer()) as writer:
        writer.append([], {key: texts[key] for key in (RECORD, TABLE, SIGNAL_NAMES)})
        for lane in lanes(log):
            rows = concat(tables(log, MARKET, lane))
            assert rows.flags[-1] & Flag.END
            made = encode_rows(MARKET, lane=lane, rows=rows, code_version="test", positions=b"x")
            writer.append(made)
    return copy


# ---- killed


def test_a_killed_run_goes_on_to_the_same_values(ran: Ran, tmp_path: Path) -> None:
    out, chance = tmp_path / "run", random.Random(5)
    settings = tmp_path / "desk.toml"
    settings.write_text(
        'cadence = "1s"\n[features]\nsets = ["flow", "depth"]\n'
        '[features.daily_qty]\n"binance_usdm:BTCUSDT" = 300.0\n'
    )
    options = [part for tape in BTC for part in ("--tape", str(tape))]
    command = [
        sys.executable, "-c", "from cli.main import app; app()", "run", *options, "--batch", "256",
        "--config", str(settings), "--out", str(out),
    ]  # fmt: skip
    landed = 0
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        _wait_for_messages(process, out, beyond=_messages(out))
        time.sleep(chance.uniform(0.0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        landed += process.returncode == -signal.SIGKILL
    assert landed, "the run ended before the first kill"
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    log = EmbeddedLog(out / "log.sqlite")
    same(signals(log), signals(ran.log))
    log.close()


def _messages(out: Path) -> int:
    if not (out / "log.sqlite").exists():
        return 0
    try:
        log = EmbeddedLog(out / "log.sqlite")
    except LogError:  # the file is being made
        return 0
    ends = log.ends([(SIGNALS.name, lane) for lane in range(8)])
    log.close()
    return sum(ends.values())


def _wait_for_messages(process: "subprocess.Popen[bytes]", out: Path, *, beyond: int) -> None:
    end = time.monotonic() + DEADLINE_S
    while _messages(out) <= beyond + 40 and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.02)


# ---- what a user says

# fmt: off
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("an unknown set",      {"sets": ["flwo"]},                "no feature or set 'flwo'; near"),
    ("named twice",         {"sets": ["flow", "cvd"]},         "'cvd' is named twice, by 'flow'"),
    ("an unknown key",      {"set": ["flow"]},                 "has sets, daily_qty, happenings"),
    ("no time",             {"happenings": [("noon", 3)]},     "a time must be .*'noon'"),
    ("no weight",           {"happenings": [("2024-08-14", 4)]}, "weighs 1, 2 or 3, not 4"),
    ("not sorted",          {"happenings": [("2024-08-14", 1), ("2024-08-13", 1)]}, "sorted by"),
    ("nothing traded",      {"sets": ["flow"], "daily_qty": {"x": 0.0}}, "x must be positive"),
]
# fmt: on


@pytest.mark.parametrize(("what", "features", "said"), REFUSED, ids=[r[0] for r in REFUSED])
def test_settings_that_are_refused(what: str, features: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        RunSettings(features=features)


def test_a_quantity_of_no_instrument_is_refused() -> None:
    settings = RunSettings(features={"sets": ["flow"], "daily_qty": {"BTCUSTD": 1.0}})
    with pytest.raises(SettingsError, match="'BTCUSTD', which is no instrument of this run; there"):
        settings.signals(btc().table, [])


FILE = """
cadence = "500ms"
[features]
sets = ["flow"]
happenings = [["2024-08-14T12:30:00Z", 3]]
[features.daily_qty]
"binance_usdm:BTCUSDT" = 250000
BTCUSD_PERP = 3e6
"""


def test_a_file_an_option_and_what_workers_are_told(tmp_path: Path) -> None:
    file = tmp_path / "desk.toml"
    file.write_text(FILE)
    settings = settings_of(file, {"seed": 0, "features": ["depth", "cvd"]})
    assert settings.features == {
        "sets": ["depth", "cvd"],
        "daily_qty": {"binance_usdm:BTCUSDT": 250_000.0, "BTCUSD_PERP": 3e6},
        "happenings": [["2024-08-14T12:30:00Z", 3]],
    }
    assert settings.cadence == "500ms"
    file.write_text(settings_toml(settings))
    assert settings_of(file, {}) == settings
    made = settings.signals(btc().table, [])
    assert made is not None
    assert made.names[-2:] == ("ofi_level_5", "cvd")


def test_a_wrong_key_of_the_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "desk.toml"
    file.write_text("[features]\nset = ['flow']\n")
    with pytest.raises(SettingsError, match=r"features\.set: there is no such setting"):
        settings_of(file, {})


def test_a_value_of_a_wrong_type_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "desk.toml"
    file.write_text("[features]\nsets = 'flow'\n")
    with pytest.raises(SettingsError, match=r"features\.sets: .* valid list, was 'flow'"):
        settings_of(file, {})


def test_a_variable_that_sets_nothing_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIFECTA_DESK_CADENSE", "1s")
    with pytest.raises(SettingsError, match="TRIFECTA_DESK_CADENSE: there is no such setting"):
        settings_of(None, {})


def test_the_command_refuses_an_unknown_feature_in_a_line() -> None:
    done = CliRunner().invoke(app, ["run", "--features", "cdv", "--profile", "memory"])
    assert done.exit_code == 2
    assert "features: no feature or set 'cdv'; near: cvd" in done.stderr


def test_no_feature_leaves_the_digest_of_settings_as_it_was() -> None:
    assert RunSettings().digest() == RunSettings(features={}).digest()
    assert SETTINGS.digest() != RunSettings().digest()
    assert os.environ.get("TRIFECTA_DESK_FEATURES__SETS") is None
