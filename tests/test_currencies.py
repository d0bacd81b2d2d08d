"""Promise: what counts as one USD is told by the settings, and said wherever money is shown."""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from cli.config import settings_of, settings_toml
from console.report.collect import collect
from console.report.data import RunData
from console.report.page import render_page
from console.report.summary import build_report
from console.report.terminal import print_summary
from console.report.trips import build_trips
from flows.desk_run import TABLE
from flows.settings import RunSettings, SettingsError
from flows.topic_feed import open_topic
from schemas.instruments import USD_AT_PAR, InstrumentTable
from tests.runs import BTC, Ran, run
from tests.tape_files import quotes, write
from venues.tape import TapeFeed, open_tapes

NO_RATE, ONE = -2, -1
PAR = USD_AT_PAR
BOTH = ["BTCUSDC", "BTCUSDT"]
CASES = [
    # what                           markets              at par     desk
    #    of each the row of its rate,  those with a partner
    ("a stablecoin alone",           ["BTCUSDT"],         PAR,       "USD",
        [ONE],                         []),
    ("that stands for nothing",      ["BTCUSDT"],         [],        "USDT",
        [ONE],                         []),
    ("two of them",                  BOTH,                PAR,       "USD",
        [ONE, ONE],                    BOTH),
    ("one of them stands for USD",   ["BTCUSD", *BOTH],   ["USDC"],  "USD",
        [ONE, ONE, NO_RATE],           ["BTCUSD", "BTCUSDC"]),
    ("a market converts",            ["ETHUSD", "SOLUSD", "SOLUSDT", "USDTUSD"], [], "USD",
        [ONE, ONE, 3, ONE],            []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("what", "names", "at_par", "desk", "rates", "partners"), CASES, ids=[c[0] for c in CASES]
)
def test_table(
    what: str,
    names: list[str],
    at_par: Sequence[str],
    desk: str,
    rates: list[int],
    partners: list[str],
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "q.parquet", quotes(len(names), symbol=names))
    found = open_tapes([path], lanes=1, at_par=at_par).table
    assert found.desk_currency == desk
    arrays = found.arrays()
    rows = [i.name for i in found.instruments]
    assert (rows, arrays.rate_row.tolist()) == (names, rates)
    assert [name for name, of in zip(rows, arrays.partners, strict=True) if of[0] >= 0] == partners
    assert InstrumentTable.from_json(found.to_json()) == found
    assert ("at_par" in found.to_json()) == (at_par is not PAR)  # digests of before hold


def tapes(at_par: Sequence[str] = USD_AT_PAR) -> TapeFeed:
    """A minute of quotes of BTCUSDT, spot and perpetual."""
    found = [path for path in BTC if path.parent.name == "quotes" and "coinm" not in path.name]
    feed = open_tapes(found)
    return open_tapes(found, to_ns=feed.description[0].first_ns + 90_000_000_000, at_par=at_par)


@pytest.fixture(scope="module")
def at_par(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(tapes(), profile="memory", batch_rows=8192, folder=tmp_path_factory.mktemp("usd"))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    settings = RunSettings(usd_at_par=[])
    folder = tmp_path_factory.mktemp("usdt")
    return run(tapes([]), profile="memory", batch_rows=8192, folder=folder, settings=settings)


def terminal(data: RunData) -> str:
    out = io.StringIO()
    print_summary(build_report(data), Console(file=out, width=100, color_system=None))
    return " ".join(out.getvalue().split())


def page(data: RunData) -> str:
    trips = build_trips(data)
    return render_page(data, build_report(data, trips), trips)


SAID = "USDT counted as USD, one for one"


def test_what_was_counted_at_par_is_said(at_par: Ran) -> None:
    data = collect(at_par.log)
    report = build_report(data)
    assert (report["currency"], report["at_par"]) == ("USD", ["USDT"])
    assert SAID in terminal(data)
    assert page(data).count(SAID) == 2  # at the top, and below with the units


def test_a_desk_in_its_own_currency_has_nothing_to_say(own: Ran) -> None:
    data = collect(own.log)
    report = build_report(data)
    assert (report["currency"], report["at_par"]) == ("USDT", [])
    assert "one for one" not in terminal(data) + page(data)
    assert "result USDT" in terminal(data)


def test_only_the_name_of_the_money_differs(at_par: Ran, own: Ran) -> None:
    """One currency throughout: the same orders, whatever it is called."""
    assert own.decision_digest == at_par.decision_digest
    assert own.ledger_digest != at_par.ledger_digest  # the deposit is one of USDT


def test_a_recorded_market_can_be_counted_anew(at_par: Ran) -> None:
    assert open_topic(at_par.log).table.to_json() == at_par.log.texts()[TABLE]
    again = open_topic(at_par.log, at_par=[]).table
    assert (again.desk_currency, again.at_par) == ("USDT", ())
    assert again.instruments == open_topic(at_par.log).table.instruments


def test_settings_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "desk.toml"
    file.write_text('usd_at_par = ["USDT", "DAI"]\n')
    settings = settings_of(file, {})
    assert settings.at_par == ("DAI", "USDT")
    assert settings.digest() != RunSettings().digest()
    file.write_text(settings_toml(settings))
    assert settings_of(file, {}) == settings
    assert RunSettings().at_par == USD_AT_PAR
    file.write_text(settings_toml(RunSettings()))
    assert settings_of(file, {}) == RunSettings()


REFUSED = [
    ("USD itself",    ["USD"],         "other than USD"),
    ("small letters", ["usdt"],        "in capitals, had 'usdt'"),
    ("twice",         ["DAI", "DAI"],  "twice: DAI, DAI"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "given", "words"), REFUSED, ids=[case[0] for case in REFUSED])
def test_setting_without_meaning(what: str, given: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        RunSettings(usd_at_par=given)
