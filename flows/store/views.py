"""SQL over a store: one view per topic, in DuckDB."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import duckdb
import pyarrow as pa

from flows.store.columns import columns_of
from flows.store.folder import described
from flows.store.layout import STORED
from schemas.instruments import InstrumentTable
from schemas.topics import Topic

VIEWS = {topic.name.removesuffix(".v1"): topic for topic in STORED}
INSTRUMENTS = "instruments"
BOOK = "book"
# What `book` reads, and what the answer is made of. A message changes a book when it is whole, so
# what follows the last whole one is left out; a snapshot replaces all before it; a status row that
# says that the book is broken leaves none. `operators.market.books.l2` has the same rules.
_BOOK = """
CREATE MACRO book(of_instrument, at_time) AS TABLE
WITH asked AS (
  SELECT CASE
    WHEN count(*) = 0
    THEN error('book: no instrument ' || of_instrument || '; FROM instruments lists them')
    WHEN TRY_CAST(at_time AS TIMESTAMP_NS) IS NULL
    THEN error('book: no time ' || at_time || '; write it as 2024-08-08 23:55:30')
    ELSE true END AS is_fine
  FROM instruments WHERE instrument = of_instrument
),
told AS (
  SELECT seq, kind, code, side, price, qty, msg_last, snapshot FROM market
  WHERE instrument = of_instrument AND ts_recv <= TRY_CAST(at_time AS TIMESTAMP_NS)
    AND (kind = 'BOOK' AND code = 'NONE' OR kind = 'BOOK_STATUS')
),
changes AS (SELECT * FROM told WHERE kind = 'BOOK'),
last AS (
  SELECT max(seq) AS whole, max(seq) FILTER (snapshot) AS snapshot FROM changes WHERE msg_last
),
before AS (
  SELECT coalesce(max(seq), -1) AS seq FROM changes, last
  WHERE msg_last AND changes.seq < last.snapshot
),
broken AS (
  SELECT count(*) AS n FROM told, last WHERE kind = 'BOOK_STATUS' AND seq > last.snapshot
    AND code IN ('GAP', 'RESYNC', 'CHECKSUM_FAIL', 'HALTED')
),
loaded AS (
  SELECT changes.* FROM changes, last, before
  WHERE changes.snapshot AND changes.seq > before.seq AND changes.seq <= last.snapshot
),
changed AS (
  SELECT * FROM loaded UNION ALL
  SELECT changes.* FROM changes, last
  WHERE changes.seq > last.snapshot AND changes.seq <= last.whole
),
levels AS (
  SELECT side, price, arg_max(qty, seq) AS qty, max(seq) AS market_seq FROM changed
  GROUP BY side, price
),
shown AS (SELECT side, min(price) AS lowest, max(price) AS highest FROM loaded GROUP BY side)
SELECT levels.side,
  row_number() OVER (
    PARTITION BY levels.side ORDER BY if(levels.side = 'BUY', -price, price)
  ) AS level,
  price, qty,
  coalesce(if(levels.side = 'BUY', price >= lowest, price <= highest), true) AS covered, market_seq
FROM levels LEFT JOIN shown ON shown.side = levels.side
WHERE qty > 0 AND (SELECT n FROM broken) = 0
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL FROM asked WHERE NOT is_fine
ORDER BY side, level
"""

_FOLDERS = {"day": "DATE", "venue": "VARCHAR", "symbol": "VARCHAR"}
_INSTRUMENT = "CASE WHEN venue <> '-' THEN venue || ':' || symbol END AS instrument"
_FLAGS = "flags & 1 <> 0 AS msg_last, flags & 2 <> 0 AS snapshot"
# Exact on the log: 18 digits are the finest unit of any asset in use.
_EXACT = "DECIMAL(38, 18)"


def named_topics(sql: str) -> list[str]:
    """Names of the views that a text mentions; one that it uses is always among them."""
    words = {word.lower() for word in re.findall(r"\w+", sql)}
    return [name for name in VIEWS if name in words or (name == "market" and BOOK in words)]


def connect(path: Path) -> duckdb.DuckDBPyConnection:
    """A database in memory with the views of a store. StoreError if there is none.

    Besides the topics of `VIEWS` there is the table `instruments`. Each view has the stored
    columns (`flows.store.columns`), and day (DATE, UTC, of `ts_recv`), venue, symbol, instrument
    (`venue:symbol`), and every time also as int64 nanoseconds (`ts_recv_ns`). `ledger` has one row
    per posting. Amounts of orders, reports and ledger are DECIMAL(38, 18). `signals` has a column
    per feature that the run has enabled. The table function `book(instrument, time)` is the book as
    rebuilt from the log: its levels at that moment of `ts_recv`, best first; `covered` is false
    for a level beyond the range of the last snapshot, where others may be missing. None while the
    book is gapped.
    """
    _, instruments, signals = described(path)
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA empty")  # out of SHOW TABLES
    connection.register(INSTRUMENTS, _instruments(instruments))
    for name, topic in VIEWS.items():
        source = _files(path, topic)
        if source is None:
            source = f"empty.{name}"
            connection.register("blank", _empty(topic, signals))
            connection.execute(f"CREATE TABLE {source} AS FROM blank")
            connection.unregister("blank")
        connection.execute(f"CREATE VIEW {name} AS {_select(name, topic, source, signals)}")
    connection.execute(_BOOK)
    return connection


def _select(name: str, topic: Topic, source: str, signals: Sequence[str]) -> str:
    columns = columns_of(topic, signals).names
    texts = [column for column in ("qty", "price", "fee") if topic.table is None]
    exact = {c: f"CAST({c} AS {_EXACT}) AS {c}" for c in texts if c in columns}
    times = [f"epoch_ns({c}) AS {c}_ns" for c in ("ts_event", "ts_recv") if c in columns]
    first = ["day", "venue", "symbol", _INSTRUMENT]
    if name == "ledger":
        first = ["day"]
        columns = [c for c in columns if c != "postings"]
        exact = {}
        times += [
            "posting.account AS account",
            "posting.asset AS asset",
            f"CAST(posting.amount AS {_EXACT}) AS amount",
        ]
        source = f"(SELECT *, unnest(postings) AS posting FROM {source})"
    if "flags" in columns:
        times += [_FLAGS]
    own = [exact.get(column, f'"{column}"') for column in columns]
    return f"SELECT {', '.join([*first, *own, *times])} FROM {source}"


def _files(path: Path, topic: Topic) -> str | None:
    folder = path.resolve() / topic.name
    if next(folder.glob("*/*/*/*.parquet"), None) is None:
        return None
    # In a pattern [*] is a star and nothing else.
    base = re.sub(r"([\[*?])", r"[\1]", folder.as_posix()).replace("'", "''")
    types = ", ".join(f"{name}: {kind}" for name, kind in _FOLDERS.items())
    return (
        f"read_parquet('{base}/*/*/*/*.parquet', hive_partitioning = true, "
        f"hive_types = {{{types}}})"
    )


def _empty(topic: Topic, signals: Sequence[str]) -> pa.Table:
    schema = columns_of(topic, signals).append(pa.field("day", pa.date32()))
    for name in ("venue", "symbol"):
        schema = schema.append(pa.field(name, pa.string()))
    return schema.empty_table()


def _instruments(table: InstrumentTable) -> pa.Table:
    rows = [
        asdict(each) | {"kind": each.kind.name, "instrument": each.id, "symbol_index": each.symbol}
        for each in table.instruments
    ]
    return pa.Table.from_pylist([row | {"symbol": row["name"]} for row in rows]).drop(["name"])
