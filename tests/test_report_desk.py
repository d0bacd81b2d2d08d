"""Promise: the report of a desk that goes on is whole up to one moment, the same on every topic."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.files import write_files
from console.report.collect import collect
from console.report.data import RunData
from console.report.summary import build_report
from flows.log.api import Log
from flows.log.errors import LogError
from flows.log.memory import MemoryLog
from schemas.digest import DecisionDigest, LedgerDigest
from schemas.kinds import Kind
from schemas.rows import concat, take
from schemas.topics import DECISIONS, LEDGER, MARKET
from tests.runs import tables
from tests.split_log import changed, write_split_log
from tests.test_cli import refusal, trifecta
from venues.simulator import Simulator

LANES = [0, 1, 2]
ROUNDS = 50
Change = Callable[[Any], Any]


@pytest.fixture(scope="module")
def desk() -> Log:
    """Half an hour of three lanes, as far as everybody has come."""
    log = MemoryLog()
    write_split_log(log, Simulator(seed=1, n_rows=30_000, rate_hz=10, lanes=3), rounds=ROUNDS)
    return log


def rows(log: Log, topic: Any, lane: int = 0) -> Any:
    found = tables(log, topic, lane)
    return [row for part in found for row in part] if topic is LEDGER else concat(found)


def behind(log: Log, **fewer: float) -> Log:
    """The log with only a share of the rows of some topics; of lane 1 of the market."""
    places = {
        "market": (MARKET.name, 1),
        "decisions": (DECISIONS.name, 0),
        "ledger": (LEDGER.name, 0),
    }
    into = MemoryLog()
    changed(log, into, {places[name]: share_of(share) for name, share in fewer.items()}, LANES)
    return into


def share_of(share: float) -> Change:
    def change(rows: Any) -> Any:
        if isinstance(rows, list):
            return rows[: round(share * len(rows))]
        return take(rows, slice(0, round(share * rows.seq.size)))

    return change


def check_whole_before(to_ns: int, data: RunData, log: Log) -> None:
    """Everything that belongs before a moment is in the report, and nothing behind it."""
    market = [rows(log, MARKET, lane) for lane in LANES]
    here = [take(each, each.ts_recv_ns < to_ns) for each in market]
    assert data.rows_on_log == sum(int((each.source >= 0).sum()) for each in here)
    assert data.reports.seq.size == sum(int((each.kind == Kind.REPORT).sum()) for each in here)
    decisions = rows(log, DECISIONS)
    decisions = take(decisions, decisions.ts_recv_ns < to_ns)
    digest, ledger = DecisionDigest(), LedgerDigest()
    digest.update(decisions)
    journal = [row for row in rows(log, LEDGER) if row["ts_recv_ns"] < to_ns]
    ledger.update(journal)
    assert data.decision_digest == digest.hexdigest()
    assert data.ledger_digest == ledger.hexdigest()
    report = build_report(data)
    assert report["decisions"] == int((decisions.kind == Kind.DECISION).sum()) > 0
    assert (report["ledger"]["balanced"], report["ledger"]["problems"]) == (True, [])
    assert report["ledger"]["transactions"] == len(journal)
    texts = " ".join(report["warnings"])
    assert "ledger" not in texts.lower()
    assert "neither" not in texts


# fmt: off
PLACES = [  # what has come how far
    ("all the same",                        {}),
    ("decide is behind",                    {"decisions": 0.7}),
    ("account is behind",                   {"ledger": 0.5}),
    ("a lane of the market is behind",      {"market": 0.8}),
    ("account behind decide behind market", {"decisions": 0.8, "ledger": 0.3}),
    ("decide behind account",               {"decisions": 0.3, "ledger": 0.9}),
]
# fmt: on


@pytest.mark.parametrize(("what", "fewer"), PLACES, ids=[p[0] for p in PLACES])
def test_it_ends_where_everybody_is(what: str, fewer: dict[str, float], desk: Log) -> None:
    del what
    data = collect(behind(desk, **fewer))
    assert data.as_of_ns is not None
    assert not data.finished
    check_whole_before(data.as_of_ns, data, desk)
    report = build_report(data)
    assert report["as_of"].startswith("20")
    assert report["warnings"][0].startswith(f"As of {report['as_of'][:19]}Z")
    assert report["span"]["to"] < report["as_of"]


def test_it_ends_no_earlier_than_it_must(desk: Log) -> None:
    """At the first transaction that is missing, else where decide and every lane are."""
    decided_ns = int(rows(desk, DECISIONS).ts_recv_ns[-1])
    lanes_ns = [int(rows(desk, MARKET, lane).ts_recv_ns[-1]) for lane in LANES]
    assert collect(desk).as_of_ns == min(decided_ns, *lanes_ns)
    ledger = rows(desk, LEDGER)
    assert len(ledger) > 20
    n = len(ledger) // 2
    cut = collect(behind(desk, ledger=n / len(ledger)))
    assert cut.as_of_ns == ledger[n]["ts_recv_ns"] < decided_ns


def test_a_desk_that_has_ended_is_reported_to_its_end(tmp_path: Path) -> None:
    log = MemoryLog()
    write_split_log(log, Simulator(seed=1, n_rows=4_000, rate_hz=10, lanes=3))
    data = collect(log)
    assert (data.as_of_ns, data.finished) == (None, True)
    check_whole_before(2**63 - 1, data, log)
    report, files = write_files(data, tmp_path)
    assert report["as_of"] is None
    assert not any("As of" in text or "not ended" in text for text in report["warnings"])
    assert [file.name for file in files] == ["report.html", "trades.csv", "report.json"]
    behind_still = collect(behind(log, decisions=0.5))
    assert behind_still.as_of_ns is not None, "its market has ended, and decide has not"
    check_whole_before(behind_still.as_of_ns, behind_still, log)


def test_what_is_as_of_a_moment_says_so_on_the_page(desk: Log, tmp_path: Path) -> None:
    write_files(collect(desk), tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert f"As of {report['as_of'][:19]}Z, market time" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("topic", ["decisions", "ledger"])
def test_a_desk_that_has_not_begun_is_refused(desk: Log, topic: str) -> None:
    with pytest.raises(LogError, match="nothing to report; ask again"):
        collect(behind(desk, **{topic: 0.0}))


# fmt: off
REFUSALS = [
    ([],                                   "either the folder of a run or the --deployment"),
    (["runs/x", "--deployment", "two"],    "either the folder of a run or the --deployment"),
    (["--deployment", "", "--out", "one"], "one: is a file; choose another --out"),
]
# fmt: on


@pytest.mark.parametrize(("options", "said"), REFUSALS, ids=[str(r[0]) for r in REFUSALS])
def test_refused(
    options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("one").touch()
    assert said in refusal(trifecta("report", *options))
    assert np.array([each.name == "one" for each in tmp_path.iterdir()]).all()
