"""`trifecta query`: SQL over the topics of a run or a desk."""

import csv
import json
import math
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.errors import Refused, talk
from cli.export import brought_up, default_store, open_place
from cli.run_dir import KAFKA, LOG, RUNS
from flows.log.errors import LogAwayError
from flows.store.folder import StoreHeldError
from flows.store.views import BOOK, INSTRUMENTS, VIEWS, connect, named_topics

FORMATS = ("table", "csv", "json")
SHOWN_ROWS = 40
CHUNK_ROWS = 10_000  # held at a time while rows are written
WIDE = 100_000  # characters where output is no terminal: no column is left out


@dataclass(frozen=True)
class QueryRequest:
    """What `trifecta query` was asked for; see its options."""

    sql: str
    run_dir: Path | None = None
    store: Path | None = None
    deployment: str | None = None
    format: str = "table"

    def __post_init__(self) -> None:
        named = [each for each in (self.run_dir, self.store, self.deployment) if each is not None]
        if len(named) > 1:
            raise Refused("name one of --run, --store and --deployment")
        if self.format not in FORMATS:
            raise Refused(f"format must be one of {', '.join(FORMATS)}, was {self.format!r}")


def query(request: QueryRequest) -> None:
    """Answer a question on standard output. Refused if it is none, or not answerable."""
    _check_reads(request.sql)
    with closing(connect(_store(request))) as connection:
        try:
            found = connection.sql(request.sql)
            if request.format == "csv":
                _write_csv(found)
            elif request.format == "json":
                _write_json(found)
            else:
                _print_table(found)
        except duckdb.Error as error:
            raise Refused(f"query: {_told(error)}") from error


def _check_reads(sql: str) -> None:
    """Refused unless the text is one question."""
    try:
        kinds = [statement.type for statement in duckdb.extract_statements(sql)]
    except duckdb.Error as error:
        raise Refused(f"query: {_told(error)}") from error
    if len(kinds) != 1:
        raise Refused(f"query: needs one statement, found {len(kinds)}")
    if kinds[0] != duckdb.StatementType.SELECT:
        raise Refused(
            f"query: only reads, and this is {kinds[0].name}; ask with SELECT, FROM, DESCRIBE or "
            "SHOW TABLES (a PIVOT stands in FROM (...))"
        )


def _store(request: QueryRequest) -> Path:
    """The store to ask, brought up to the end of its log unless another process does that."""
    if request.store is not None:
        return request.store
    run_dir = request.run_dir
    if run_dir is None and request.deployment is None:
        run_dir = _newest_run()
        talk().print(f"run {run_dir}", style="dim")
    folder = default_store(run_dir, request.deployment)
    topics = [VIEWS[name] for name in named_topics(request.sql)]
    try:
        with closing(open_place(run_dir, request.deployment)) as log:
            brought_up(log, folder, topics)
    except (StoreHeldError, LogAwayError) as error:
        talk().print(f"Note: asking what is stored already: {error}", style="yellow")
    return folder


def _newest_run() -> Path:
    logs = [path for name in (LOG, KAFKA) for path in RUNS.glob(f"*/{name}")]
    if not logs:
        raise Refused(f"{RUNS}: holds no run; name one with --run, or a --store or --deployment")
    # Not the folder's own time: a question writes into its store.
    return max(logs, key=lambda log: (log.stat().st_mtime_ns, log.parent.name)).parent


def _write_csv(found: duckdb.DuckDBPyRelation) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(found.columns)
    for rows in _chunks(found):
        writer.writerows(["" if cell is None else cell for cell in row] for row in rows)


def _write_json(found: duckdb.DuckDBPyRelation) -> None:
    """An array with one object per line."""
    before = "[\n"
    for rows in _chunks(found):
        for row in rows:
            told = dict(zip(found.columns, map(_plain, row), strict=True))
            sys.stdout.write(before + json.dumps(told, default=str, allow_nan=False))
            before = ",\n"
    sys.stdout.write("[]\n" if before == "[\n" else "\n]\n")


def _print_table(found: duckdb.DuckDBPyRelation) -> None:
    terminal = sys.stdout.isatty()
    console = Console(highlight=False, width=None if terminal else WIDE)
    head = found.limit(SHOWN_ROWS + 1)
    rows = [[_cell(value) for value in row] for chunk in _chunks(head) for row in chunk]
    cut = len(rows) > SHOWN_ROWS
    rows = rows[:SHOWN_ROWS]
    n_columns = _fitting(found.columns, rows, console.width)
    lying = [list(cells) for cells in zip(found.columns, *rows, strict=True)]
    heads = ["column", *(str(k + 1) for k in range(len(rows)))]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    fits = _fitting(heads, lying, console.width) == len(heads)
    if rows and n_columns < len(found.columns) and fits:
        n_columns = len(found.columns)  # few rows of many columns: a line for each column
        for word in heads:
            table.add_column(word, justify="left" if word == "column" else "right")
        for cells in lying:
            table.add_row(*map(Text, cells))
    else:
        for name, kind in list(zip(found.columns, found.types, strict=True))[:n_columns]:
            table.add_column(Text(name), justify="right" if _is_number(str(kind)) else "left")
        for row in rows:
            table.add_row(*map(Text, row[:n_columns]))
    console.print(table)
    total = found.aggregate("count(*)").fetchall()[0][0] if cut else len(rows)
    words = [f"{total:,} row" + ("" if total == 1 else "s")]
    words += [f"the first {SHOWN_ROWS} are shown"] if cut else []
    if n_columns < len(found.columns):
        words.append(f"the first {n_columns} of {len(found.columns)} columns are shown")
    words += ["--format csv has all"] if len(words) > 1 else []
    talk().print("; ".join(words), style="dim", soft_wrap=True)


def _chunks(found: duckdb.DuckDBPyRelation) -> Iterator[list[tuple[Any, ...]]]:
    """Rows in order.

    Times become ISO 8601 texts to the nanosecond, which `datetime` cannot hold, exact amounts
    texts with the digits that they have.
    """
    for batch in found.to_arrow_reader(CHUNK_ROWS):
        yield list(zip(*map(_told_column, batch.columns), strict=True))


def _told_column(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        texts = column.cast(pa.string()).to_pylist()
        return [None if text is None else _iso(text) for text in texts]
    values = column.to_pylist()
    if pa.types.is_decimal(column.type):  # sums of integers too, without digits behind the point
        told = int if column.type.scale == 0 else _digits
        return [None if value is None else told(value) for value in values]
    return list(values)


def _iso(text: str) -> str:
    return re.sub(r"\.0+$", "", text.replace(" ", "T").rstrip("Z")) + "Z"


def _digits(value: Decimal) -> str:
    return f"{value:f}".rstrip("0").rstrip(".")


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _fitting(names: list[str], rows: list[list[str]], width: int) -> int:
    """How many columns stand side by side; at least one."""
    n, used = 0, 0
    for k, name in enumerate(names):
        used += max([len(name), *(len(row[k]) for row in rows)]) + 2
        if used > width:
            break
        n += 1
    return max(n, 1)


def _is_number(kind: str) -> bool:
    return kind.startswith(("DECIMAL", "DOUBLE", "FLOAT")) or kind.endswith(("INT", "INTEGER"))


def _told(error: duckdb.Error) -> str:
    """The database's message in one line, with what there is where a name was not found."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" ^")]
    if isinstance(error, duckdb.CatalogException) and "Table" in lines[0]:
        there = [*VIEWS, INSTRUMENTS, f"{BOOK}(instrument, time)"]
        return f"{lines[0]} There are: {', '.join(there)}"
    if isinstance(error, duckdb.ParserException):
        return lines[0]
    if isinstance(error, duckdb.InvalidInputException):  # of `error()`: the text alone
        return lines[0].removeprefix("Invalid Input Error: ")
    # A place in the SQL around the question tells nothing.
    return " ".join(line for line in lines if not (line.startswith("LINE ") and "__duckdb" in line))
