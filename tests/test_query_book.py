"""`book(instrument, time)` in SQL is the book that the kernel has at that moment."""

from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pytest

from flows.desk_run import RECORD, TABLE
from flows.log.codec import encode_rows
from flows.log.memory import MemoryLog
from flows.store.copy import export
from flows.store.views import connect, named_topics
from operators.features.levels import cut_books
from operators.market.books.l2 import L2Books
from operators.market.books.l2_state import covered, levels
from operators.market.books.words import BookState
from schemas.kinds import Flag, Kind
from schemas.rows import MarketRows, take
from schemas.topics import MARKET
from tests.book_cases import BUY, MARKETS, SELL, market, message, table
from tests.store_log import run_record

START_NS = 1_723_161_000_000_000_000
STEP_NS = 7_000_001
LEVELS = 60
N = 700


@pytest.fixture(scope="module")
def rows() -> MarketRows:
    """Messages of two books of one lane: snapshots, changes, gaps, one that is cut short."""
    random = np.random.default_rng(3)
    made: list[list[dict[str, Any]]] = []
    for number in range(N):
        k = int(random.integers(0, 2))
        snapshot = number < 4 or bool(random.random() < 0.03)
        n = 30 if snapshot else int(random.integers(1, 4))
        side = random.choice([BUY, SELL], n)
        away = random.permutation(n) if snapshot else random.integers(0, 40, n)
        each = [
            (int(s), 100.0 - s * (1 + int(a)), float(random.integers(1 if snapshot else 0, 4)))
            for s, a in zip(side, away, strict=True)
        ]
        made.append(message(each, k=k, snapshot=snapshot, number=number, whole=number < N - 1))
        if random.random() < 0.03:
            states = [BookState.GAP, BookState.SYNCED, BookState.HALTED, BookState.UNPROVABLE]
            lane, symbol = MARKETS[k][:2]
            code = states[int(random.integers(0, 4))]
            made.append([{"kind": Kind.BOOK_STATUS, "lane": lane, "symbol": symbol, "code": code}])
    found = market(*made)
    found.source_row[:] = -1
    found.ts_recv_ns[:] = found.ts_event_ns[:] = START_NS + STEP_NS * np.arange(found.seq.size)
    return found


@pytest.fixture(scope="module")
def database(
    rows: MarketRows, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[duckdb.DuckDBPyConnection]:
    log, folder = MemoryLog(), tmp_path_factory.mktemp("book") / "store"
    writer = log.writer()
    writer.append([], {TABLE: table().to_json(), RECORD: run_record("book", table()).to_json()})
    writer.append(encode_rows(MARKET, lane=0, rows=rows, code_version="t", positions=b"x"))
    export(log, folder, progress=lambda n: None)
    connection = connect(folder)
    yield connection
    connection.close()


def kernel_book(rows: MarketRows, k: int, n: int) -> list[tuple[str, int, float, float, bool]]:
    """Levels after `n` rows, as SQL tells them."""
    operator = L2Books(table().arrays(), cut_books([0] * len(MARKETS)))
    state, _ = operator.step(operator.initial(), take(rows, slice(0, n)))
    told = []
    for name, side in (("BUY", 0), ("SELL", 1)):
        price, qty = np.empty(LEVELS), np.empty(LEVELS)
        held = levels(state, 2 * k + side, price, qty)
        bound = covered(state, 2 * k + side)
        for i in range(held):
            inside = price[i] >= bound if name == "BUY" else price[i] <= bound
            told.append((name, i + 1, float(price[i]), float(qty[i]), bool(inside)))
    return told


@pytest.mark.parametrize("k", [0, 1])
def test_it_is_the_book_of_the_kernel(
    k: int, rows: MarketRows, database: duckdb.DuckDBPyConnection
) -> None:
    venue, name = MARKETS[k][2:]
    mine = rows.symbol == MARKETS[k][1]
    ends = np.flatnonzero(mine & ((rows.flags & Flag.MSG_LAST > 0) | (rows.kind != Kind.BOOK)))
    empty_ones = crossed_ones = 0
    for end in ends[:: max(1, ends.size // 60)]:
        at_ns = int(rows.ts_recv_ns[end])
        sql = (
            "SELECT side, level, price, qty, covered FROM "
            f"book('{venue}:{name}', make_timestamp_ns({at_ns}))"
        )
        expected = kernel_book(rows, k, int(end) + 1)
        assert database.sql(sql).fetchall() == expected, end
        empty_ones += not expected
        crossed_ones += any(not inside for *_, inside in expected)
    assert empty_ones > 2
    assert crossed_ones > 2


def test_inside_a_message_it_is_the_book_before_it(
    rows: MarketRows, database: duckdb.DuckDBPyConnection
) -> None:
    inside = np.flatnonzero(
        (rows.symbol == 0) & (rows.kind == Kind.BOOK) & (rows.flags & Flag.MSG_LAST == 0)
    )
    n_books = 0
    for row in inside[::20]:
        found = []
        for each in (first_of(rows, int(row)) - 1, int(row)):
            at_ns = int(rows.ts_recv_ns[each])
            sql = f"SELECT * FROM book('binance_spot:BTCUSDT', make_timestamp_ns({at_ns}))"
            found.append(database.sql(sql).fetchall())
        assert found[0] == found[1]
        n_books += bool(found[0])
    assert n_books > 2


def first_of(rows: MarketRows, row: int) -> int:
    """The first row of a message."""
    while row > 0 and rows.venue_seq[row - 1] == rows.venue_seq[row]:
        row -= 1
    return row


def test_a_time_may_be_a_text_and_before_the_first_row_there_is_nothing(
    database: duckdb.DuckDBPyConnection,
) -> None:
    count = "SELECT count(*) FROM book('binance_spot:BTCUSDT', '{}')"
    assert database.sql(count.format("2024-08-08T23:49:00Z")).fetchall() == [(0,)]
    texts = [f"2024-08-08 23:50:0{second}.5" for second in range(9)]
    assert max(database.sql(count.format(text)).fetchall()[0][0] for text in texts) > 10


def test_what_is_no_instrument_or_no_time_is_named(
    database: duckdb.DuckDBPyConnection,
) -> None:
    for question, said in (
        ("FROM book('nobody', '2030-01-01')", "book: no instrument nobody; FROM instruments"),
        ("FROM book('binance_spot:BTCUSDT', 'soon')", "book: no time soon; write it as 2024-"),
    ):
        with pytest.raises(duckdb.InvalidInputException, match=said):
            database.sql(question).fetchall()


def test_a_question_for_a_book_needs_the_market() -> None:
    assert named_topics("FROM book('a:b', '2024-08-08')") == ["market"]
