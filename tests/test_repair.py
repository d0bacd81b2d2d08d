"""Promise: a repair mends what can honestly be mended, in a new run; the old one stays as it is."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from console.quality.repaired import _delays
from flows.desk_run import RECORD, RunRecord
from flows.log.embedded import EmbeddedLog
from operators.market.repair import REPAIRS, VARIES, repaired
from schemas.kinds import Kind
from schemas.reasons import Reason
from schemas.rows import concat
from schemas.topics import MARKET, QUARANTINE
from tests.runs import EURUSD, digests, tables
from tests.tape_files import bars, trades, write
from tests.test_gate import INF, NAN, Q, made

DELAY_NS = 5_000_000
INCOMPLETE = ("--allow-incomplete", "--tape")
BAR = {"kind": Kind.BAR}
R, NONE = Reason, None  # NONE: left as it was
BID_AND_SIZE = {**Q, "bid_px": NAN, "ask_qty": INF}
LEVEL_QTY, LEVEL_SIDE = {"kind": Kind.BOOK, "qty": INF}, {"kind": Kind.BOOK, "side": 5}
NO_ASK_QTY, PLACED = {"ask_qty": NAN}, {"ts_recv_ns": 7 + DELAY_NS}
# fmt: off
CASES: list[tuple[str, dict[str, Any], Reason, dict[str, Any] | None]] = [
    ("a quote that may lack a side now", {**Q, "bid_px": NAN},   R.NULL_PRICE,      {}),
    ("a quote that may cross now",       {**Q, "bid_px": 0.6},   R.CROSSED_QUOTE,   {}),
    ("a negative size",                  {"qty": -1.0},          R.NOT_POSITIVE,    {}),
    ("an infinite size of a trade",      {"qty": INF},           R.NOT_FINITE,      {"qty": NAN}),
    ("an infinite size of a quote",      {**Q, "ask_qty": INF},  R.NOT_FINITE,      NO_ASK_QTY),
    ("a volume of a bar",                {**BAR, "qty": INF},    R.NOT_FINITE,      {"qty": NAN}),
    ("a price that is no number",        {"price": NAN},         R.NOT_FINITE,      NONE),
    ("a bid that is no number",          BID_AND_SIZE,           R.NOT_FINITE,      NONE),
    ("a level of a book",                LEVEL_QTY,              R.NOT_FINITE,      NONE),
    ("of a refused message",             LEVEL_SIDE,             R.MESSAGE_REFUSED, {}),
    ("a trade's side",                   {"side": 5},            R.BAD_SIDE,        {"side": 0}),
    ("a level's side",                   LEVEL_SIDE,             R.BAD_SIDE,        NONE),
    ("out of order",                     {"ts_event_ns": 7},     R.RECV_REGRESSED,  PLACED),
    ("out of order, and delays vary",    {"source": 1},          R.RECV_REGRESSED,  NONE),
    ("late by the venue's clock",        {},                     R.EVENT_REGRESSED, NONE),
    ("no time",                          {},                     R.NULL_TIME,       NONE),
    ("an unknown symbol",                {"symbol": 9},          R.UNKNOWN_SYMBOL,  NONE),
    ("out of range",                     {"ts_event_ns": 7},     R.OUT_OF_RANGE,    NONE),
]
# fmt: on


@pytest.mark.parametrize(("what", "row", "why", "change"), CASES, ids=[case[0] for case in CASES])
def test_case(what: str, row: Any, why: Reason, change: dict[str, Any] | None) -> None:
    before = made(row | {"reason": why})
    untouched = [column.tobytes() for column in before]
    found = repaired(before, np.array([DELAY_NS, VARIES]))
    due = made(row | ({"reason": why} if change is None else {"reason": Reason.OK, **change}))
    for name in due._fields:
        assert getattr(found, name).tobytes() == getattr(due, name).tobytes(), name
    assert [column.tobytes() for column in before] == untouched


def test_every_repair_has_a_case() -> None:
    assert {why for _, _, why, change in CASES if change is not None} == set(REPAIRS)


def trifecta(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


N = 3_000
MOVED = {700: 40, 650: 150, 1500: 40, 1501: 40}  # rows of the tape, and by how many too late


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run on a tape that has rows out of order, and one on the tape as it should be."""
    folder = tmp_path_factory.mktemp("repair")
    whole = pq.read_table(EURUSD).slice(100_000, N)
    order = np.arange(N)
    for row, by in MOVED.items():
        order = np.insert(order[order != row], row + by, row)
    tapes = {"whole": whole, "damaged": whole.take(order)}
    for name, table in tapes.items():
        path = folder / "quotes" / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table, path)
        done = trifecta("run", "--tape", path, "--out", folder / name, "--json")
        assert done.exit_code == 0, done.stderr
    return folder / "damaged", folder / "whole"


def test_rows_out_of_order_come_back_to_their_place(
    damaged: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.quality.repaired.BATCH_ROWS", 20)  # so that windows matter
    old, whole = damaged
    before = hashes(old)
    done = trifecta("repair", old, "--out", tmp_path / "new", "--json")
    assert done.exit_code == 0, done.stderr
    assert re.search(r"RECV_REGRESSED +\d+ +\d+ +put where it belongs", done.stderr)
    assert hashes(old) == before

    logs = [EmbeddedLog(folder / "log.sqlite") for folder in (old, whole, tmp_path / "new")]
    records = [RunRecord.from_json(log.texts()[RECORD]) for log in logs]
    assert len({record.run_id for record in records}) == 3
    refused = concat(tables(logs[0], QUARANTINE, 0))
    n = refused.seq.size
    assert n >= len(MOVED)
    assert records[2].repaired == {
        "of": records[0].run_id,
        "reasons": {
            "RECV_REGRESSED": {
                "refused": n, "repaired": n, "how": REPAIRS[Reason.RECV_REGRESSED],
            }
        },
    }  # fmt: skip
    assert records[0].repaired == {}
    assert [source["kind"] for source in records[2].sources] == ["repaired"]
    assert digests(logs[2]) == digests(logs[1]) != digests(logs[0])
    bids = [concat(tables(log, MARKET, 0)).bid_px for log in logs[1:]]
    assert bids[0].tobytes() == bids[1].tobytes()
    for log in logs:
        log.close()

    assert trifecta("replay", tmp_path / "new", "--verify").exit_code == 0
    again = trifecta("run", "--from-topic", tmp_path / "new", "--out", tmp_path / "again", "--json")
    assert again.exit_code == 0, again.stderr
    logs = [EmbeddedLog(tmp_path / name / "log.sqlite") for name in ("new", "again")]
    assert digests(logs[0]) == digests(logs[1])


def test_a_run_with_nothing_to_repair_is_refused(
    damaged: tuple[Path, Path], tmp_path: Path
) -> None:
    done = trifecta("repair", damaged[1], "--out", tmp_path / "new")
    assert (done.exit_code, (tmp_path / "new").exists()) == (2, False)
    assert "its quarantine is empty, there is nothing to repair" in done.stderr


def test_what_cannot_be_mended_is_named(tmp_path: Path) -> None:
    """Trades of a recorder's clock: one comes too early to be known, one has no price."""
    times = trades(6)["recv_ns"]
    times[3] -= 2_000_000
    tape = write(tmp_path / "trades" / "t.parquet",
                 trades(6, recv_ns=times, price=[1.0, None, 1.0, 1.0, 1.0, 1.0],
                        ts_ns=[t - k for k, t in enumerate(times)]))  # fmt: skip
    assert trifecta("run", *INCOMPLETE, tape, "--out", tmp_path / "old").exit_code == 0
    done = trifecta("repair", tmp_path / "old", "--out", tmp_path / "new")
    assert done.exit_code == 2
    assert re.search(r"RECV_REGRESSED +1 +0 ", done.stderr)
    assert re.search(r"NULL_PRICE +1 +0 ", done.stderr)
    assert "none of its quarantined rows can be mended" in done.stderr


def test_a_mended_row_goes_through_the_gate_like_any_other(tmp_path: Path) -> None:
    """Rows that are still wrong are in the new quarantine."""
    tape = write(tmp_path / "bars" / "b.parquet",
                 bars(6, volume=[5.0, float("inf"), 5.0, 5.0, 5.0, 5.0],
                      high=[103.0, 103.0, 103.0, None, 103.0, 103.0]))  # fmt: skip
    assert trifecta("run", *INCOMPLETE, tape, "--out", tmp_path / "old").exit_code == 0
    done = trifecta("repair", tmp_path / "old", "--out", tmp_path / "new", "--json")
    assert done.exit_code == 0, done.stderr
    log = EmbeddedLog(tmp_path / "new" / "log.sqlite")
    record = RunRecord.from_json(log.texts()[RECORD])
    counts = {name: (each["refused"], each["repaired"])
              for name, each in record.repaired["reasons"].items()}  # fmt: skip
    assert counts == {"NULL_PRICE": (1, 0), "NOT_FINITE": (1, 1)}
    left = concat([t for lane in range(8) for t in tables(log, QUARANTINE, lane)])
    assert left.reason.tolist() == [Reason.NULL_PRICE]
    report = json.loads(done.stdout)
    assert (report["rows"], report["rows_quarantined"]) == (6, 1)
    log.close()


def test_what_was_said_of_books_has_no_delay() -> None:
    """Status rows have no source; the last one's delay must not become theirs."""
    rows = made({"source": 0}, {"source": 1}, {"source": -1})
    rows.kind[2] = Kind.BOOK_STATUS
    rows.ts_recv_ns[:], rows.ts_event_ns[:] = 107, [102, 100, 107]

    class Topic:
        names = ("a", "b")

        def read(self, start: int, batch_rows: int) -> list[Any]:
            return [rows]

    assert _delays(Topic()).tolist() == [5, 7]  # type: ignore[arg-type]
