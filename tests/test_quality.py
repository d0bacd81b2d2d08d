"""Promise: `trifecta quality` judges every row, says what failed and where, and stays at home."""

import json
import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from console.quality.great import FIRST
from tests.runs import run
from tests.tape_files import book, quotes, trades, write
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
     {"reason in 0": (4, 1, [1]), "price is there": (4, 1, [1])}),
    ("a broken message", book(4, price=[100.0, -1.0, 100.0, 100.0],
                              ts_ns=[1] * 3 + [2], recv_ns=[5] * 3 + [6], seq=[7] * 3 + [8]),
     {"0 < price": (4, 1, [1]), "message_reason in 0": (4, 1, [2])}),
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


def test_the_table_names_what_failed(tmp_path: Path) -> None:
    tape = write(tmp_path / "bad.parquet", BAD[0][1])
    done = quality(tape, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert re.search(r"ask_px >= bid_px +6 +2 +1 3", done.stdout)
    assert "Failed. 2 of 6 rows would be refused: CROSSED_QUOTE 2." in done.stdout
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
    told = json.loads(quality(folder, "--out", tmp_path / "out", "--json").stdout)
    assert (told["rows"], told["passed"]) == (300, True)
    assert told["quarantined"] == {"NOT_POSITIVE": 100}
    (stream,) = told["completeness"]
    assert stream["completeness"] == pytest.approx(299 / 399)  # rows are 1 ms apart
    of_tape = json.loads(quality(tape, "--out", tmp_path / "of_tape", "--json").stdout)
    assert of_tape["completeness"] == [stream]
