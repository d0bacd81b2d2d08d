"""Promise: `trifecta quality` judges every row, says what failed and where, and stays at home."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from console.quality.completeness import completeness_of, completeness_table, in_figures
from console.quality.frames import Slice
from console.quality.great import FIRST, Finding
from console.quality.verdict import Demands, Judged, failures
from operators.market.completeness import Stream
from schemas.expectations import MarketClass, suite
from schemas.kinds import Kind
from tests.runs import run
from tests.tape_files import T0, book, quotes, trades, write
from venues.feed import Feed
from venues.simulator import Simulator
from venues.tape import open_tapes

NAN, INF = float("nan"), float("inf")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever calls out is told so, and the test fails."""

    def refused(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"somebody calls out: {args}")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


def quality(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["quality", *map(str, arguments)])


def failed(told: dict[str, Any]) -> dict[str, tuple[int, int, list[int]]]:
    """Expectation to rows evaluated, unexpected and the first of them."""
    return {
        each["expectation"]: (
            each["rows"], each["unexpected"], [first["row"] for first in each["first"]]
        )
        for each in told["expectations"] if each["unexpected"]
    }  # fmt: skip


def test_a_clean_tape_passes(tmp_path: Path) -> None:
    tape, out = write(tmp_path / "clean.parquet", quotes(50)), tmp_path / "out"
    done = quality(tape, "--out", out, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["passed"], told["rows"], told["rows_refused"]) == (True, 50, 0)
    assert {each["rows"] for each in told["expectations"]} == {50}
    assert failed(told) == {}
    assert json.loads((out / "quality.json").read_text()) == told
    pages = [path.relative_to(out).as_posix() for path in out.rglob("*.html")]
    assert {"data_docs/index.html", "data_docs/expectations/quote.html"} < set(pages)
    first = (out / "index.html").read_text()
    assert "Quality of clean: passed" in first
    for link in re.findall(r'href="([^"]*)"', first):
        assert (out / unquote(link)).is_file()
    assert "http" not in first
    assert any(page.startswith("data_docs/validations/quote/rows 0 to 49/") for page in pages)


# fmt: off
BAD = [  # what, columns of the tape, what fails: rows evaluated, unexpected, the first
    ("a crossed quote",  quotes(6, bid_px=[100.0, 101.0, 100.0, 102.0, 100.5, 100.0]),
     {"ask_px >= bid_px": (6, 2, [1, 3])}),
    ("a null price",     trades(4, price=[1.0, None, 1.0, 1.0]),
     {"price is there": (4, 1, [1])}),
    ("an infinite size", trades(4, size=[1.0, 1.0, None, INF]),
     {line: (3, 1, [3]) for line in ("qty is finite", "0 <= qty", "qty <= 1e+18")}),
    ("a reader's reason", trades(4, price=[1.0, NAN, 1.0, 1.0]),
     {"reason is OK": (4, 1, [1]), "price is there": (4, 1, [1])}),
    ("a broken message", book(4, price=[100.0, -1.0, 100.0, 100.0],
                              ts_ns=[T0] * 3 + [T0 + 1], recv_ns=[T0 + 5] * 3 + [T0 + 6],
                              seq=[7] * 3 + [8]),
     {"0 < price": (4, 1, [1]), "message_reason is OK": (4, 1, [2])}),
    ("more than are told", trades(9, price=[-1.0] * 9),
     {"0 < price": (9, 9, [0, 1, 2, 3, 4])}),
]
# fmt: on


@pytest.mark.parametrize(("what", "columns", "expected"), BAD, ids=[case[0] for case in BAD])
def test_what_failed_and_where(what: str, columns: Any, expected: Any, tmp_path: Path) -> None:
    tape = write(tmp_path / "bad.parquet", columns)
    done = quality(tape, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert not told["passed"]
    assert failed(told) == expected
    assert told["rows_refused"] == sum(told["refused_by_reason"].values()) > 0
    assert all(len(each["first"]) <= FIRST for each in told["expectations"])


def test_what_is_there_is_told(tmp_path: Path) -> None:
    """The values that fail, and the names of reasons instead of their numbers."""
    columns = trades(6, price=[1.0, NAN, 1.0, -1.0, 1.0, 1.0], side=[1, 1, 7, 1, 1, 1])
    done = quality(write(tmp_path / "bad.parquet", columns), "--out", tmp_path / "out", "--json")
    told = {each["expectation"]: each for each in json.loads(done.stdout)["expectations"]}
    assert [one["values"] for one in told["reason is OK"]["first"]] == [
        {"reason": "NOT_FINITE"}, {"reason": "BAD_SIDE"},
    ]  # fmt: skip
    assert told["price is there"]["first"][0]["values"] == {"price": None}
    assert told["0 < price"]["first"] == [
        {"source": told["0 < price"]["first"][0]["source"], "row": 3, "values": {"price": -1.0}}
    ]
    assert "side is SELL, UNKNOWN or BUY" in told
    docs = next((tmp_path / "out/data_docs/validations").rglob("*.html")).read_text()
    assert "price is there, else NULL_PRICE" in docs
    assert "2 NOT_FINITE" in docs
    assert "1.797" not in docs
    page = (tmp_path / "out" / "index.html").read_text()
    assert "1 (NOT_FINITE); 2 (BAD_SIDE)" in page
    crossed = quality(write(tmp_path / "x.parquet", BAD[0][1]), "--out", tmp_path / "x", "--json")
    (first, _) = next(
        each["first"] for each in json.loads(crossed.stdout)["expectations"] if each["unexpected"]
    )
    assert first["values"] == {"ask_px": pytest.approx(100.5), "bid_px": 101.0}


# fmt: off
DEMANDS = [  # what, share covered, rows of 100 refused, in quarantine; demanded; what is not met
    ("nothing is wrong",                  1.00, 0, 0, Demands(),            []),
    ("one is refused, and none may be",   1.00, 1, 0, Demands(),            ["refused"]),
    ("as many as may be",                 1.00, 2, 0, Demands(0.95, 0.02),  []),
    ("more than may be",                  1.00, 3, 0, Demands(0.95, 0.02),  ["refused"]),
    ("one is in quarantine",              1.00, 0, 1, Demands(),            ["refused"]),
    ("together they are too many",        1.00, 2, 2, Demands(0.95, 0.03),  ["refused"]),
    ("less complete than a backtest needs", 0.94, 0, 0, Demands(),          ["complete"]),
    ("as complete as demanded",           0.94, 0, 0, Demands(0.94),        []),
    ("less than demanded",                0.98, 0, 0, Demands(0.99),        ["complete"]),
    ("both",                              0.50, 9, 0, Demands(), ["refused", "complete"]),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "share", "refused", "quarantined", "demands", "due"), DEMANDS,
    ids=[case[0] for case in DEMANDS],
)  # fmt: skip
def test_what_is_not_met_is_said(
    what: str, share: float, refused: int, quarantined: int, demands: Demands, due: list[str]
) -> None:
    feed = Simulator(seed=1, n_rows=10, rate_hz=10, lanes=1)
    whole, covered = np.array([0]), np.array([round(1e12 * share)])
    end = np.array([10**12])
    stream = Stream(0, 0, Kind.QUOTE, whole, end, covered, end)
    judged = Judged(100, refused, quarantined, [], [stream])
    found = failures(judged, demands, feed.table, feed.names)
    assert len(found) == len(due)
    assert all(word in said for word, said in zip(due, found, strict=True))


def test_what_great_expectations_alone_finds_fails_too() -> None:
    """The engines agree, as tests show; if they did not, neither would be believed."""
    finding = Finding(Kind.QUOTE, MarketClass.PLAIN, suite(Kind.QUOTE, MarketClass.PLAIN)[0], 9, 3)
    assert Judged(100, 1, 0, [finding], []).share_refused == 0.03


def test_the_exit_code_is_what_was_demanded(tmp_path: Path) -> None:
    price = [100.0] * 100
    price[40] = price[60] = -1.0
    tape = write(tmp_path / "tape.parquet", trades(100, price=price))
    done = quality(tape, "--out", tmp_path / "out", "--refused", 0.02, "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["passed"], told["failures"]) == (0, True, [])
    assert told["demands"] == {"completeness": 0.95, "refused": 0.02}
    assert told["share_refused"] == pytest.approx(0.02)
    for option in ("--refused", "--completeness"):
        assert quality(tape, option, 1.1).exit_code == 2


def test_where_nothing_can_be_judged_nothing_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_rows(feed: Feed) -> Iterator[Slice]:
        yield from ()

    monkeypatch.setattr("cli.quality.slices", no_rows)
    done = quality(write(tmp_path / "tape.parquet", trades(3)), "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "nothing can be judged" in " ".join(done.stderr.split())


def test_the_table_names_what_failed(tmp_path: Path) -> None:
    tape = write(tmp_path / "bad.parquet", BAD[0][1])
    done = quality(tape, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert re.search(r"ask_px >= bid_px +6 +2 +1 \(100\.5 < 101\.0\); 3", done.stdout)
    assert "2 of 6 rows would be refused: CROSSED_QUOTE 2." in done.stdout
    assert "Failed: 2 of 6 rows are refused, at most 0 % may be." in done.stdout
    assert "Calculating" not in done.stdout + done.stderr


def test_a_run_is_judged_by_what_stands_on_its_log(tmp_path: Path) -> None:
    feed = Simulator(seed=3, n_rows=3000, rate_hz=10, lanes=2)
    folder = tmp_path / "run"
    run(feed, profile="embedded", batch_rows=500, folder=folder)
    done = quality(folder, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["name"], told["rows"], told["passed"]) == ("run", 3000, True)
    assert told["quarantined"] == {}
    assert {each["suite"] for each in told["expectations"]} == {"trade", "quote", "book"}


def test_what_cannot_be_judged_is_refused(tmp_path: Path) -> None:
    tape = write(tmp_path / "clean.parquet", quotes(5))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    for arguments, said in (
        ((), "name either a tape, the folder of a run, or the --deployment"),
        ((tape, "--deployment", "x"), "name either a tape"),
        ((tmp_path / "none.parquet",), "none.parquet"),
        ((tmp_path / "full",), "holds no log.sqlite"),
        ((tape, "--out", tmp_path / "full"), "choose another --out"),
        ((tape, "--out", tape), "choose another --out"),
    ):
        done = quality(*arguments)
        assert done.exit_code == 2, arguments
        assert said in " ".join(done.stderr.split()), arguments
        assert "Traceback" not in done.stderr


def test_a_logs_quarantine_is_counted_and_covers_nothing(tmp_path: Path) -> None:
    price = [100.0 + k % 7 for k in range(400)]
    price[200:300] = [-1.0] * 100
    tape = write(tmp_path / "tape.parquet", trades(400, price=price))
    folder = tmp_path / "run"
    run(open_tapes([tape]), profile="embedded", batch_rows=64, folder=folder)
    done = quality(folder, "--out", tmp_path / "out", "--json")
    told = json.loads(done.stdout)
    assert failed(told) == {}
    assert (done.exit_code, told["rows"], told["passed"]) == (1, 300, False)
    assert told["quarantined"] == {"NOT_POSITIVE": 100}
    refused, incomplete = told["failures"]
    assert refused == "100 of 400 rows are refused or in quarantine, at most 0 % may be"
    assert "tape.parquet: binance_spot:BTCUSDT trade is 74.9 % complete" in incomplete
    (stream,) = told["completeness"]
    assert stream["completeness"] == pytest.approx(299 / 399)  # rows are 1 ms apart
    of_tape = json.loads(quality(tape, "--out", tmp_path / "of_tape", "--json").stdout)
    assert of_tape["completeness"] == [stream]


@pytest.mark.parametrize("row", [0, -1], ids=["1970", "2099"])
def test_a_false_time_makes_no_millions_of_minutes(row: int, tmp_path: Path) -> None:
    times = [T0 + k * 10**9 for k in range(200)]
    times[row] = 0 if row == 0 else 4_090_000_000 * 10**9
    columns = quotes(200, ts_ns=times, recv_ns=None)
    feed = open_tapes([write(tmp_path / "far.parquet", columns)])
    (stream,) = streams = completeness_of(feed)
    assert completeness_table(streams, feed.table, feed.names).num_rows < 10
    told = in_figures(stream, feed.table, feed.names)
    assert told["minutes"] > 20_000_000
    assert told["minutes_below_backtest"] > told["minutes"] - 10
    assert len(told["first_below_training_ns"]) == 5
