"""Promise: any symbol and minute of a run can be read in SQL, with the numbers of its log."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from flows.log.api import Log
from flows.log.embedded import EmbeddedLog
from flows.log.memory import MemoryLog
from flows.store.copy import export
from flows.store.folder import StoreFolder
from flows.store.views import VIEWS, named_topics
from schemas.kinds import Kind
from schemas.reasons import Reason
from schemas.topics import DECISIONS, FEATURES, LEDGER, MARKET, QUARANTINE, SIGNALS
from tests.runs import EURUSD, ROOT, table, tables
from tests.store_log import INSTRUMENTS, SIGNALS_MADE, made, write

UNTIL = "2014-05-01T16:00:00Z"
MINUTE_NS = 60_000_000_000
ROWS = made(120)


def trifecta(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "100"})


def ask(folder: Path, sql: str) -> list[dict[str, Any]]:
    """The answer to a question as JSON rows."""
    result = trifecta("query", sql, "--run", folder, "--format", "json")
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def refusal(result: Result) -> str:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    [line] = [line for line in result.stderr.splitlines() if line]
    return line.removeprefix("error: ")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run over the first hours of the sample tape.

    In a process of its own: a flow freezes the garbage collector, and DuckDB complains at exit.
    """
    folder = tmp_path_factory.mktemp("runs") / "sample"
    command = [sys.executable, "-c", "from cli.main import app; app()", "run"]
    subprocess.run(
        [*command, "--tape", str(EURUSD), "--to", UNTIL, "--out", str(folder)],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def log(sample: Path) -> Log:
    return EmbeddedLog(sample / "log.sqlite")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The folder of a made log."""
    written = EmbeddedLog(tmp_path / "log.sqlite", create=True)
    write(written, ROWS)
    written.close()
    return tmp_path


# ---- the examples of the help, and what they must say


def test_the_last_quote_of_each_minute(sample: Path, log: Log) -> None:
    found = ask(
        sample,
        "SELECT time_bucket(INTERVAL 1 minute, ts_recv) AS minute, last(bid_px ORDER BY seq) AS "
        "bid, last(ask_px ORDER BY seq) AS ask FROM market WHERE kind = 'QUOTE' AND symbol = "
        "'EURUSD' GROUP BY minute ORDER BY minute",
    )
    rows = table(log, MARKET, [0])
    quotes = np.flatnonzero(rows.kind == Kind.QUOTE)
    minutes, last = np.unique(rows.ts_recv_ns[quotes][::-1] // MINUTE_NS, return_index=True)
    rows_last = quotes[::-1][last]
    assert len(found) == minutes.size > 100
    texts = np.datetime_as_string((minutes * 60).astype("datetime64[s]"))
    assert [row["minute"] for row in found] == [f"{text}Z" for text in texts]
    assert [row["bid"] for row in found] == rows.bid_px[rows_last].tolist()
    assert [row["ask"] for row in found] == rows.ask_px[rows_last].tolist()


def test_why_it_did_not_trade(sample: Path, log: Log) -> None:
    found = ask(
        sample,
        "SELECT reason, count(*) AS n FROM decisions WHERE kind = 'DECISION' AND NOT approved "
        "GROUP BY reason ORDER BY n DESC",
    )
    rows = table(log, DECISIONS, [0])
    refused = (rows.kind == Kind.DECISION) & (rows.approved == 0)
    expected = Counter(Reason(number).name for number in rows.reason[refused])
    assert {row["reason"]: row["n"] for row in found} == expected
    assert len(expected) > 2


def test_the_features_of_a_minute(sample: Path, log: Log) -> None:
    rows = table(log, FEATURES, [0])
    middle_ns = int(rows.ts_recv_ns[rows.seq.size // 2]) // MINUTE_NS * MINUTE_NS
    [found] = ask(
        sample,
        "SELECT count(*) AS n, min(mid) AS low, max(sigma) AS sigma, count(atr) AS warm FROM "
        f"features WHERE instrument IS NOT NULL AND ts_recv >= make_timestamp_ns({middle_ns}) "
        f"AND ts_recv_ns < {middle_ns + MINUTE_NS}",
    )
    inside = (rows.ts_recv_ns // MINUTE_NS == middle_ns // MINUTE_NS) & (rows.symbol >= 0)
    assert found == {
        "n": int(inside.sum()),
        "low": float(np.nanmin(rows.mid[inside])),
        "sigma": float(np.nanmax(rows.sigma[inside])),
        "warm": int(np.isfinite(rows.atr[inside]).sum()),
    }
    assert found["n"] > 1


def test_the_signals_of_a_minute_of_any_symbol(small: Path) -> None:
    for each in INSTRUMENTS.instruments:
        rows = ROWS[SIGNALS.name, each.lane]
        minute_ns = int(rows.ts_recv_ns[60]) // MINUTE_NS * MINUTE_NS
        mine = (rows.symbol == each.symbol) & (
            rows.ts_recv_ns // MINUTE_NS * MINUTE_NS == minute_ns
        )
        found = ask(
            small,
            "SELECT cvd, footprint_poc, microprice, market_seq FROM signals WHERE instrument = '"
            + each.id.replace("'", "''")
            + f"' AND time_bucket(INTERVAL 1 minute, ts_recv) = make_timestamp_ns({minute_ns}) "
            "ORDER BY seq",
        )
        assert [row["market_seq"] for row in found] == rows.market_seq[mine].tolist()
        for j, name in enumerate(SIGNALS_MADE):
            values = [None if np.isnan(x) else x for x in rows.values[mine, j].tolist()]
            assert [row[name] for row in found] == values
            assert None in values
        assert len(found) > 3


def test_what_was_quarantined_in_a_minute_of_any_symbol(small: Path) -> None:
    kept = {i: ROWS[QUARANTINE.name, i] for i in range(INSTRUMENTS.lanes)}
    minute_ns = int(kept[0].ts_recv_ns.min()) // MINUTE_NS * MINUTE_NS + MINUTE_NS
    for each in INSTRUMENTS.instruments:
        rows = kept[each.lane]
        name = each.name.replace("'", "''")
        found = ask(
            small,
            "SELECT reason, epoch_ns(ts_recv) AS ns, source_row FROM quarantine WHERE symbol = "
            f"'{name}' AND time_bucket(INTERVAL 1 minute, ts_recv) = "
            f"make_timestamp_ns({minute_ns}) ORDER BY seq",
        )
        mine = np.flatnonzero(
            (rows.symbol == each.symbol) & (rows.ts_recv_ns // MINUTE_NS == minute_ns // MINUTE_NS)
        )
        assert [row["ns"] for row in found] == rows.ts_recv_ns[mine].tolist()
        assert [row["source_row"] for row in found] == rows.source_row[mine].tolist()
        assert mine.size > 3


def test_each_asset_of_the_ledger_balances_exactly(sample: Path, log: Log) -> None:
    result = trifecta(
        "query", "SELECT asset, sum(amount) AS rest, count(*) AS n FROM ledger GROUP BY asset",
        "--run", sample, "--format", "csv",
    )  # fmt: skip
    found = {row["asset"]: row for row in csv.DictReader(io.StringIO(result.stdout))}
    expected = Counter(
        asset for rows in tables(log, LEDGER, 0) for row in rows for _, asset, _ in row["postings"]
    )
    assert {asset: int(row["n"]) for asset, row in found.items()} == expected
    assert {Decimal(row["rest"]) for row in found.values()} == {Decimal(0)}


def test_the_examples_of_the_manual_can_be_asked(small: Path) -> None:
    manual = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    block = "\n".join(re.findall(r"```sql\n(.*?)```", manual, re.DOTALL))
    block = re.sub(r"^--.*\n", "", block, flags=re.MULTILINE)  # would be an option of the command
    asked = [text for text in re.split(r";\s*\n", block) if text.strip()]
    assert len(asked) > 6
    for sql in asked:
        result = trifecta("query", sql, "--run", small, "--format", "json")
        assert result.exit_code == 0, (sql, result.stderr)


# ---- the views


def test_every_view_has_every_row(small: Path) -> None:
    for name, topic in VIEWS.items():
        n = sum(
            len(rows) if isinstance(rows, list) else rows.seq.size
            for (stored, _), rows in ROWS.items()
            if stored == topic.name
        )
        n_postings = 2 if name == "ledger" else 1
        assert ask(small, f"SELECT count(*) AS n FROM {name}") == [{"n": n * n_postings}], name


def test_exact_texts_are_exact_numbers(small: Path) -> None:
    assert ask(small, "SELECT DISTINCT price, qty FROM orders WHERE price IS NOT NULL") == [
        {"price": "61665.994999999995", "qty": "0.10000001"}
    ]


def test_times_keep_their_nanoseconds(small: Path) -> None:
    [found] = ask(small, "SELECT ts_recv, ts_recv_ns FROM market ORDER BY lane, seq LIMIT 1")
    ns = int(ROWS[MARKET.name, 0].ts_recv_ns[0])
    assert found["ts_recv_ns"] == ns
    assert found["ts_recv"] == f"{np.datetime64(ns, 'ns')}Z"


def test_rows_without_an_instrument_have_none(small: Path) -> None:
    found = ask(small, "SELECT DISTINCT kind FROM market WHERE instrument IS NULL ORDER BY kind")
    assert found == [{"kind": "CONTROL"}, {"kind": "HEARTBEAT"}]


def test_instruments_join_by_their_name(small: Path) -> None:
    found = ask(
        small,
        "SELECT DISTINCT instrument, tick FROM market JOIN instruments USING (instrument) ORDER BY "
        "instrument",
    )
    assert found == [
        {"instrument": i.id, "tick": i.tick}
        for i in sorted(INSTRUMENTS.instruments, key=lambda i: i.id)
    ]


def test_a_view_without_rows_is_empty_and_knows_its_columns(tmp_path: Path) -> None:
    log = MemoryLog()
    write(log, {})
    export(log, tmp_path, progress=lambda n: None)
    for name in VIEWS:
        result = trifecta("query", f"SELECT count(*), max(seq) FROM {name}", "--store", tmp_path)
        assert result.exit_code == 0, result.stderr


MENTIONED = [
    ("one",                 "select * from market",                          ["market"]),
    ("two, any case",       'FROM Features JOIN "LEDGER" USING (seq)',    ["features", "ledger"]),
    ("part of a name",      "select 1 as market_1",                          []),
]  # fmt: skip


@pytest.mark.parametrize(("what", "sql", "names"), MENTIONED, ids=[c[0] for c in MENTIONED])
def test_what_a_question_mentions(what: str, sql: str, names: list[str]) -> None:
    assert named_topics(sql) == names


# ---- where it looks


def test_only_what_is_asked_for_is_copied(small: Path) -> None:
    ask(small, "SELECT 1 AS x FROM ledger LIMIT 1")
    topics = {each.name for each in (small / "store").iterdir() if each.is_dir()}
    assert topics == {LEDGER.name}


def test_a_run_that_goes_on_is_asked_as_far_as_it_is(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log.sqlite", create=True)
    for until, n in ((0.5, 60), (0.6, 72), (1.0, 120)):
        write(log, ROWS, until=until)
        assert ask(tmp_path, "SELECT count(*) AS n FROM decisions") == [{"n": n}]
    log.close()


def test_a_store_that_is_being_written_is_asked_as_it_is(small: Path) -> None:
    ask(small, "SELECT 1 FROM ledger")
    with StoreFolder(small / "store", run_id="made", instruments=INSTRUMENTS):
        result = trifecta("query", "SELECT count(*) AS n FROM ledger", "--run", small)
    assert result.exit_code == 0
    said = " ".join(result.stderr.split())
    assert f"process {os.getpid()} is writing this store" in said


def test_a_moved_store_answers_without_its_log(small: Path, tmp_path: Path) -> None:
    assert trifecta("export", small).exit_code == 0
    moved = tmp_path / "it's [here] *"
    shutil.move(small / "store", moved)
    result = trifecta("query", "SELECT count(*) AS n FROM market", "--store", moved)
    assert "240" in result.stdout


def test_without_a_place_the_newest_run_is_asked(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "holds no run" in refusal(trifecta("query", "SELECT 1"))
    for k, name in enumerate(("b-old", "a-new")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        shutil.copy(small / "log.sqlite", tmp_path / "runs" / name)
        os.utime(tmp_path / "runs" / name, (1e9 + k, 1e9 + k))
    result = trifecta("query", "SELECT count(*) FROM market")
    assert "runs/a-new" in result.stderr


def test_export_says_what_it_stored(small: Path, tmp_path: Path) -> None:
    result = trifecta("export", small, "--out", tmp_path / "out", "--json")
    told = json.loads(result.stdout)
    assert (told["run_id"], told["rows"]["market.v1"]) == ("made", 240)
    assert told["store"] == str(tmp_path / "out")


# ---- how it answers


def test_a_long_answer_is_cut_with_its_count(small: Path) -> None:
    result = trifecta("query", "SELECT seq FROM market ORDER BY seq", "--run", small)
    assert result.stdout.count("\n") < 50
    assert "240 rows; the first 40 are shown; --format csv has all" in result.stderr


@pytest.mark.parametrize(("rows", "said"), [(1, "1 row"), (30, "columns are shown")])
def test_few_rows_of_many_columns_have_a_line_for_each_column(
    small: Path, monkeypatch: pytest.MonkeyPatch, rows: int, said: str
) -> None:
    monkeypatch.setattr("cli.query.WIDE", 80)
    result = trifecta("query", f"SELECT * FROM market LIMIT {rows}", "--run", small)
    assert said in result.stderr
    assert ("columns are shown" in result.stderr) == (rows > 1)
    lines = [line.split()[:1] for line in result.stdout.splitlines()]
    assert (["ask_px"] in lines) == (rows == 1)


def test_json_has_no_nan_and_whole_numbers_stay_numbers(small: Path) -> None:
    assert ask(small, "SELECT 'nan'::DOUBLE AS x, NULL AS y, sum(1) AS n, [1] AS l") == [
        {"x": None, "y": None, "n": 1, "l": [1]}
    ]
    assert ask(small, "SELECT 1 AS x WHERE false") == []


def test_csv_has_every_row_and_leaves_null_empty(small: Path) -> None:
    result = trifecta(
        "query", "SELECT seq, price FROM market ORDER BY lane, seq", "--run", small,
        "--format", "csv",
    )  # fmt: skip
    head, *lines = result.stdout.splitlines()
    assert (head, len(lines)) == ("seq,price", 240)
    price = ROWS[MARKET.name, 0].price
    found = [np.nan if line.endswith(",") else float(line.split(",")[1]) for line in lines[:120]]
    assert np.array(found).tobytes() == price.tobytes()


# fmt: off
REFUSED = [  # the question, and what the one line says
    ("an unknown table",   "SELECT * FROM trades",              "There are: market, features, "),
    ("an unknown column",  "SELECT bid FROM market",            '"bid" not found'),
    ("no SQL",             "hello",                             "syntax error"),
    ("nothing",            " ",                                 "needs one statement, found 0"),
    ("two questions",      "SELECT 1; SELECT 2",                "needs one statement, found 2"),
    ("a change",           "DELETE FROM market",                "only reads, and this is DELETE"),
    ("a file",             "COPY (SELECT 1) TO 'x.csv'",        "only reads, and this is COPY"),
    ("a setting",          "SET threads = 1",                   "only reads, and this is SET"),
    ("a value too far",    "SELECT CAST('x' AS INT) FROM market", "Could not convert"),
]
# fmt: on


@pytest.mark.parametrize(("what", "sql", "said"), REFUSED, ids=[c[0] for c in REFUSED])
def test_what_cannot_be_asked_is_refused_in_one_line(
    small: Path, what: str, sql: str, said: str
) -> None:
    assert said in refusal(trifecta("query", sql, "--run", small))
    assert not (small / "x.csv").exists()


def test_a_place_that_is_none_is_refused(small: Path, tmp_path: Path) -> None:
    ask_ = ("query", "SELECT 1")
    assert "there is no store" in refusal(trifecta(*ask_, "--store", tmp_path / "nothing"))
    assert "there is no such folder" in refusal(trifecta(*ask_, "--run", tmp_path / "nothing"))
    both = trifecta(*ask_, "--run", small, "--store", small)
    assert "name one of --run, --store and --deployment" in refusal(both)
    assert "format must be one of" in refusal(trifecta(*ask_, "--run", small, "--format", "xml"))
    assert "name either" in refusal(trifecta("export"))
