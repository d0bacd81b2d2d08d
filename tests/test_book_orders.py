"""Promise: `trifecta book` rebuilds tapes of single orders and lays the venue's snapshots beside.

The recorded ones come out as measured; a copy from which something was taken out does not pass.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.main import app
from schemas.rows import take
from venues.tape.orders import OrderChunk, OrderTape
from venues.verify import TOLERANCES, Beside, FileReport, Match, Refusal, Tolerance, exit_code, jobs

Find = Callable[[str], Path]
AAPL = "nasdaq_AAPL_20120621T0930.parquet"
CME = "cme_ESH4_20231225T0000.parquet"
BITSTAMP = "bitstamp_BTCUSD_20150501T0000.parquet"
GHOST = "65610664"  # changed at 02:51:30.624, 6 ms after its deletion
T0 = 1_700_000_000_000_000_000


def verified(*paths: Path) -> list[FileReport | Refusal]:
    return [one if isinstance(one, Refusal) else one.run(lambda rows: None) for one in jobs(paths)]


def report_of(*paths: Path) -> FileReport:
    (found,) = verified(*paths)
    assert isinstance(found, FileReport), found
    return found


def ended(found: FileReport, outcome: str) -> list[str]:
    return [c.name for c in found.checks if c.outcome == outcome and c.name != "accounts"]


def copy(path: Path, into: Path, keep: Callable[[pa.Table], Any]) -> Path:
    """The rows of a tape that a mask keeps, in a file of another name."""
    table = pq.read_table(path)
    pq.write_table(table.filter(keep(table)), into)
    return into


def all_but(*rows: int) -> Callable[[pa.Table], Any]:
    return lambda table: pa.array([k not in rows for k in range(table.num_rows)])


def the_first(n: int) -> Callable[[pa.Table], Any]:
    return lambda table: pa.array([k < n for k in range(table.num_rows)])


Row = tuple[str, int, float, float, str | None]  # action, side, price, size, order
FIRST: list[Row] = [("created", 1, 99.0, 1.0, "1"), ("created", -1, 101.0, 2.0, "2")]


def orders(path: Path, rows: list[Row], **more: Any) -> Path:
    action, side, price, size, order_id = zip(*rows, strict=True)
    columns = {
        "ts_ns": [T0 + k for k in range(len(rows))], "venue": ["bitstamp"] * len(rows),
        "symbol": ["BTCUSD"] * len(rows), "action": action, "side": side, "price": price,
        "size": size, "order_id": order_id,
    }  # fmt: skip
    pq.write_table(pa.table({name: pa.array(c) for name, c in (columns | more).items()}), path)
    return path


# Recordings ----------------------------------------------------------------------------------

# fmt: off
RECORDED = [  # the tape; checks that passed, with how much; state, orders superseded, orders open
    (AAPL,     {"snapshots": 998, "orders": 467, "crossings": 1_000},  0, 57),
    (BITSTAMP, {"snapshots": 3_205, "crossings": 37_448 - 817},        5, 176),
    (CME,      {"orders": 17_730, "crossings": 28_073},          0, 10_877),
]
# fmt: on


@pytest.mark.parametrize(
    ("name", "passed", "ghosts", "held"), RECORDED, ids=[c[0].split("_")[0] for c in RECORDED]
)
def test_recorded(
    data_path: Find, name: str, passed: dict[str, int], ghosts: int, held: int
) -> None:
    """The snapshots of its name lie in a folder beside the tape's."""
    found = report_of(data_path(f"orders_l3/{name}"))
    assert {name: found.check(name).good for name in ended(found, "passed")} == passed
    assert (ended(found, "failed"), found.check("accounts").outcome) == ([], "passed")
    (book,) = found.books
    assert (book.state, book.ghosts, book.held, book.evicted) == ("unprovable", ghosts, held, 0)
    assert sum(one.superseded for one in found.streams) == ghosts
    rows = sum(s.data + s.superseded + s.unused + s.quarantined for s in found.streams)
    assert rows == sum(s.frames for s in found.streams) == found.check("accounts").checked
    assert exit_code([found]) == 0


def test_without_snapshots_nobody_can_say(tmp_path: Path, data_path: Find) -> None:
    for name in (AAPL, BITSTAMP):
        found = report_of(copy(data_path(f"orders_l3/{name}"), tmp_path / name, all_but()))
        assert (found.outcome, exit_code([found])) == ("unverified", 2)
        assert found.check("snapshots").says == "no file of the venue's snapshots"
        assert found.check("orders").says.startswith("the opening book is not in the file")


@pytest.mark.parametrize("row", [1, 45, 146, 500, 997])  # row 45 fills a hidden order
def test_a_row_that_is_taken_out_is_named(tmp_path: Path, data_path: Find, row: int) -> None:
    tape = copy(data_path(f"orders_l3/{AAPL}"), tmp_path / "orders.parquet", all_but(row))
    found = report_of(tape, data_path(f"book_snapshots/{AAPL}"))
    check = found.check("snapshots")
    assert (check.outcome, exit_code([found])) == ("failed", 1)
    assert f"first: row {row + 1:,} (2012-06-21 13:30:" in check.says


@pytest.mark.parametrize("row", [3, 146, 500, 723])
def test_a_message_that_both_files_lack_is_seen_in_the_book(
    tmp_path: Path, data_path: Find, row: int
) -> None:
    tape = copy(data_path(f"orders_l3/{AAPL}"), tmp_path / "o.parquet", all_but(row))
    shown = copy(data_path(f"book_snapshots/{AAPL}"), tmp_path / "s.parquet", all_but(row))
    check = report_of(tape, shown).check("snapshots")
    assert check.outcome == "failed"
    assert f"first: row {row + 1:,} (2012-06-21 13:30:" in check.says
    assert " in the book, " in check.says


def test_the_last_row_that_is_taken_out_is_missed(tmp_path: Path, data_path: Find) -> None:
    tape = copy(data_path(f"orders_l3/{AAPL}"), tmp_path / "orders.parquet", all_but(998))
    check = report_of(tape, data_path(f"book_snapshots/{AAPL}")).check("snapshots")
    assert check.says.endswith("first: snapshot 999 has no row of the orders")
    shown = copy(data_path(f"book_snapshots/{AAPL}"), tmp_path / "shown.parquet", all_but(998))
    check = report_of(data_path(f"orders_l3/{AAPL}"), shown).check("snapshots")
    assert check.says.endswith("first: row 999 of the orders has no snapshot")


@pytest.mark.parametrize("level", range(10))
def test_every_level_of_a_snapshot_counts(tmp_path: Path, data_path: Find, level: int) -> None:
    table = pq.read_table(data_path(f"book_snapshots/{AAPL}"))
    name, row = f"ask_sz_{level}", 300 + level
    sizes = table[name].to_pylist()
    sizes[row] += 1.0
    place = table.schema.get_field_index(name)
    shown = tmp_path / "shown.parquet"
    pq.write_table(table.set_column(place, name, pa.array(sizes)), shown)
    check = report_of(data_path(f"orders_l3/{AAPL}"), shown).check("snapshots")
    assert (check.outcome, check.good) == ("failed", 997)
    assert f"first: row {row + 1} (2012-06-21 13:30:" in check.says
    assert f"ask level {level + 1}: " in check.says


def test_hidden_fills_leave_the_book_as_it_is(tmp_path: Path, data_path: Find) -> None:
    """Without them, and without the snapshots after them, there is the same book."""
    words = pq.read_table(data_path(f"orders_l3/{AAPL}"))["action"].to_pylist()
    hidden = [k for k, word in enumerate(words) if word == "execute_hidden"]
    assert len(hidden) == 61
    tape = copy(data_path(f"orders_l3/{AAPL}"), tmp_path / "o.parquet", all_but(*hidden))
    shown = copy(data_path(f"book_snapshots/{AAPL}"), tmp_path / "s.parquet", all_but(*hidden))
    found = report_of(tape, shown)
    assert (found.outcome, found.check("snapshots").good) == ("passed", 998 - 61)
    assert found.books[0].held == 57


def test_an_order_that_nobody_added_fails(tmp_path: Path, data_path: Find) -> None:
    """CME: every modify and cancel names a known order, so a lost `add` is seen."""
    path = data_path(f"orders_l3/{CME}")
    (added,) = (k for k, word in enumerate(pq.read_table(path)["action"].to_pylist()[:8_730])
                if word == "add" and k == 8_729)  # fmt: skip
    found = report_of(copy(path, tmp_path / CME, all_but(added)))
    assert ended(found, "failed") == ["orders"]
    assert found.check("orders").says.startswith("1 row change or delete an order that is not open")


def test_a_cancel_that_comes_twice_fails(tmp_path: Path, data_path: Find) -> None:
    table = pq.read_table(data_path(f"orders_l3/{CME}")).slice(0, 9_000)
    cancels = [k for k, word in enumerate(table["action"].to_pylist()) if word == "cancel"]
    twice = pa.concat_tables(
        [table.slice(0, cancels[5] + 1), table.slice(cancels[5], 1), table.slice(cancels[5] + 1)]
    )
    pq.write_table(twice, tmp_path / CME)
    assert ended(report_of(tmp_path / CME), "failed") == ["orders"]


def test_an_auction_crosses_until_it_trades(tmp_path: Path, data_path: Find) -> None:
    path, found = data_path(f"orders_l3/{CME}"), []
    for last in (9_600, 12_000):  # before the open and after it
        found.append(report_of(copy(path, tmp_path / CME, the_first(last))))
    assert [one.outcome for one in found] == ["passed", "passed"]
    assert "but for 891 of an auction" in found[1].check("crossings").says


def test_an_order_that_nobody_cancelled_crosses_the_book(tmp_path: Path, data_path: Find) -> None:
    path = data_path(f"orders_l3/{CME}")
    table = pq.read_table(path).slice(9_000, 8_000).to_pylist()
    near = [row["order_id"] for row in table if row["action"] == "cancel" and row["side"] == 1]
    found = report_of(
        copy(path, tmp_path / CME, lambda table: pc.invert(pc.and_(
            pc.is_in(table["order_id"], pa.array(near)), pc.equal(table["action"], "cancel")))),
    )  # fmt: skip
    assert "crossings" in ended(found, "failed")


def test_no_opening_orders(tmp_path: Path, data_path: Find) -> None:
    path = data_path(f"orders_l3/{CME}")
    found = report_of(
        copy(path, tmp_path / CME, lambda table: pc.not_equal(table["action"], "snapshot"))
    )
    assert (found.outcome, found.books[0].state) == ("unverified", "none")
    assert found.check("sequence").says == "the file lacks a snapshot for 28,072 changes"


def test_the_ghost_of_2015_brought_back_crosses_the_book_for_good(
    tmp_path: Path, data_path: Find
) -> None:
    def but_its_deletion(table: pa.Table) -> Any:
        its = pc.equal(table["order_id"], GHOST)
        return pc.invert(pc.and_(its, pc.equal(table["action"], "deleted")))

    tape = copy(data_path(f"orders_l3/{BITSTAMP}"), tmp_path / "o.parquet", but_its_deletion)
    found = report_of(data_path(f"book_snapshots/{BITSTAMP}"), tape)
    assert ended(found, "failed") == ["snapshots", "crossings"]
    assert "first: book at 2015-05-01 00:" in found.check("snapshots").says
    assert found.books[0].state == "crossed"


# Which file goes with which ------------------------------------------------------------------


def test_pairs_in_both_orders_of_arguments(tmp_path: Path, data_path: Find) -> None:
    tapes = [copy(data_path(f"orders_l3/{name}"), tmp_path / f"o_{name}", all_but())
             for name in (AAPL, BITSTAMP)]  # fmt: skip
    shown = [data_path(f"book_snapshots/{name}") for name in (AAPL, BITSTAMP)]
    once, again = verified(*tapes, *shown), verified(*shown[::-1], *tapes)
    assert [one.outcome for one in once] == ["passed", "passed"]
    assert once == again
    assert [one.against for one in once] == [(str(path),) for path in shown]  # type: ignore[union-attr]


def test_snapshots_alone_prove_nothing(data_path: Find) -> None:
    path = data_path(f"book_snapshots/{AAPL}")
    done = CliRunner().invoke(app, ["book", str(path)])
    assert done.exit_code == 2
    said = " ".join(done.stderr.split())
    assert f"refused: {path}: it holds snapshots" in said
    assert "Give the tape of the same market's orders (orders_l3) or book too" in said


def test_snapshots_of_another_market_or_day_are_no_evidence(
    tmp_path: Path, data_path: Find
) -> None:
    tape = copy(data_path(f"orders_l3/{AAPL}"), tmp_path / "o.parquet", all_but())
    table = pq.read_table(data_path(f"book_snapshots/{AAPL}"))
    later = table.set_column(0, "ts_ns", pc.add(table["ts_ns"], 86_400_000_000_000))
    others = [data_path(f"book_snapshots/{BITSTAMP}"), tmp_path / "later.parquet"]
    pq.write_table(later, others[1])
    for other in others:
        found, refused = verified(tape, other)
        assert (found.outcome, refused.outcome) == ("unverified", "refused")


def test_what_scripts_read(data_path: Find) -> None:
    paths = [data_path(f"{folder}/{AAPL}") for folder in ("book_snapshots", "orders_l3")]
    done = CliRunner().invoke(app, ["book", "--json", *map(str, paths)])
    told = json.loads(done.stdout)
    assert (done.exit_code, told["exit_code"], len(told["files"])) == (0, 0, 1)
    (file,) = told["files"]
    assert (file["outcome"], file["against"]) == ("passed", [str(paths[0])])


def test_a_desk_does_not_run_on_snapshots_and_says_what_does(data_path: Find) -> None:
    tape = data_path(f"book_snapshots/{AAPL}")
    done = CliRunner().invoke(app, ["run", "--tape", str(tape)])
    assert done.exit_code == 2
    said = " ".join(done.stderr.replace("│", " ").split())
    assert "`trifecta book` rebuilds and verifies it. A desk runs on orders_l3, book" in said


# Tapes that are written here -----------------------------------------------------------------

NAN = float("nan")
# fmt: off
BAD: list[tuple[str, Row, dict[str, Any], str]] = [
    ("an action is unknown",  ("moved", 1, 99.0, 1.0, "3"),     {}, "no row has such an action"),
    ("an id is no number",    ("created", 1, 99.0, 1.0, "a3"),  {}, "the order id is not a whole"),
    ("an id is missing",      ("created", 1, 99.0, 1.0, None),  {}, "the order id is not a whole"),
    ("it has no side",        ("created", 0, 99.0, 1.0, "3"),   {}, "the side is neither"),
    ("it has no price",       ("created", 1, NAN, 1.0, "3"),    {}, "the price or the size"),
    ("its size is negative",  ("changed", 1, 99.0, -1.0, "1"),  {}, "the price or the size"),
    ("a new order is empty",  ("created", 1, 99.0, 0.0, "3"),   {}, "the price or the size"),
    ("it is late",            ("created", 1, 99.0, 1.0, "3"),   {"ts_ns": [T0, T0 + 1, T0 - 1]},
                                                                "the time is missing or goes"),
    ("it has no time",        ("created", 1, 99.0, 1.0, "3"),   {"ts_ns": [T0, T0 + 1, None]},
                                                                "the time is missing or goes"),
]
# fmt: on


@pytest.mark.parametrize(("row", "more", "why"), [c[1:] for c in BAD], ids=[c[0] for c in BAD])
def test_a_row_that_no_order_can_have_loses_the_book(
    tmp_path: Path, row: Row, more: dict[str, Any], why: str
) -> None:
    found = report_of(orders(tmp_path / "x.parquet", [*FIRST, row], **more))
    assert (ended(found, "failed"), found.books[0].state) == (["sequence"], "gap")
    assert found.check("sequence").says.endswith("refused in the message that ends in row 3")
    (count,) = found.counts
    assert (count.what, count.n) == ("quarantined", 1)
    assert count.reason.startswith(why)
    assert count.reason.endswith("(first in row 3)")
    assert [(s.frames, s.data, s.quarantined) for s in found.streams] == [(3, 2, 1)]
    assert found.check("accounts").outcome == "passed"


def test_a_row_without_a_market_is_counted(tmp_path: Path) -> None:
    names = {"symbol": ["BTCUSD", "BTCUSD", None]}
    found = report_of(
        orders(tmp_path / "x.parquet", [*FIRST, ("created", 1, 98.0, 1.0, "3")], **names)
    )
    assert [(s.venue, s.data, s.quarantined) for s in found.streams] == [
        ("bitstamp", 2, 0), ("unknown symbol", 0, 1),
    ]  # fmt: skip
    assert found.check("accounts").outcome == "passed"


def test_an_unlisted_venue_is_refused_by_name(tmp_path: Path) -> None:
    path = orders(tmp_path / "x.parquet", FIRST, venue=["moon"] * 2)
    (found,) = verified(path)
    assert isinstance(found, Refusal)
    assert "of the venue 'moon' are not known. Known are those of bitstamp, cme" in found.why


def test_rows_that_get_lost_on_the_way_fail_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = OrderTape.read

    def lossy(tape: OrderTape, chunk_rows: int) -> Any:
        for rows, word, fault, message in read(tape, chunk_rows):
            yield OrderChunk(take(rows, slice(1, None)), word[1:], fault[1:], message[1:])

    monkeypatch.setattr(OrderTape, "read", lossy)
    monkeypatch.setattr("venues.verify.orders.CHUNK_ROWS", 2)
    check = report_of(orders(tmp_path / "x.parquet", FIRST * 2)).check("accounts")
    assert check.outcome == "failed"
    assert check.says.startswith("4 rows in the file, but ")


def test_no_count_depends_on_how_much_is_read_at_once(
    tmp_path: Path, data_path: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    tapes = [
        copy(data_path(f"orders_l3/{AAPL}"), tmp_path / "a.parquet", all_but(500)),
        copy(data_path(f"orders_l3/{BITSTAMP}"), tmp_path / "b.parquet", the_first(9_000)),
        copy(data_path(f"orders_l3/{CME}"), tmp_path / "c.parquet", the_first(12_000)),
        orders(tmp_path / "x.parquet", [*FIRST, BAD[0][1], *FIRST]),
    ]  # fmt: skip
    shown = [data_path(f"book_snapshots/{name}") for name in (AAPL, BITSTAMP)]
    whole = verified(*tapes, *shown)
    assert [one.outcome for one in whole] == ["failed", "passed", "passed", "failed"]
    monkeypatch.setattr("venues.verify.orders.CHUNK_ROWS", 997)
    monkeypatch.setattr("venues.verify.snapshots.CHUNK_ROWS", 31)
    assert verified(*tapes, *shown) == whole


def test_a_book_that_begins_empty_and_a_tape_without_rows(tmp_path: Path) -> None:
    """The first snapshot has no level: what comes is all there is."""
    rows: list[Row] = [("execute_hidden", 1, 99.0, 1.0, "0"), ("add", 1, 98.0, 5.0, "1")]
    tape = orders(tmp_path / "o.parquet", rows, venue=["nasdaq"] * 2)
    columns = {
        "ts_ns": [T0, T0 + 1], "venue": ["nasdaq"] * 2, "symbol": ["BTCUSD"] * 2,
        "bid_px_0": [None, 98.0], "bid_sz_0": [None, 5.0], "ask_px_0": pa.nulls(2, pa.float64()),
        "ask_sz_0": pa.nulls(2, pa.float64()),
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "s.parquet")
    found = report_of(tape, tmp_path / "s.parquet")
    assert (found.outcome, found.check("snapshots").good) == ("passed", 1)
    none = copy(tape, tmp_path / "none.parquet", the_first(0))
    assert report_of(none).outcome == "unverified"


OUT_OF_VIEW: list[tuple[Row, float | None, float | None]] = [  # a row, and the best bid after it
    (("add", 1, 98.0, 5.0, "1"),    98.0, 5.0),
    (("add", 1, 99.0, 1.0, "2"),    99.0, 1.0),  # there is room for one level: 98 is out of view
    (("delete", 1, 99.0, 1.0, "2"), 98.0, 3.0),  # and there order 1 has lost 2 without a message
    (("reduce", 1, 98.0, 1.0, "1"), 98.0, 2.0),
    (("delete", 1, 98.0, 2.0, "1"), None, None),
]  # fmt: skip


def test_what_happened_out_of_view_is_taken_as_it_is_shown(tmp_path: Path) -> None:
    rows, price, size = (list(column) for column in zip(*OUT_OF_VIEW, strict=True))
    n = len(rows)
    tape = orders(tmp_path / "o.parquet", rows, venue=["nasdaq"] * n)
    columns = {
        "ts_ns": [T0 + k for k in range(n)], "venue": ["nasdaq"] * n, "symbol": ["BTCUSD"] * n,
        "bid_px_0": price, "bid_sz_0": size, "ask_px_0": pa.nulls(n, pa.float64()),
        "ask_sz_0": pa.nulls(n, pa.float64()),
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "s.parquet")
    found = report_of(tape, tmp_path / "s.parquet")
    assert ended(found, "failed") == []
    assert found.check("snapshots").says == (
        "4 of 4 snapshots after the first show the book, 2 levels; "
        "1 level taken as shown when they came into view"
    )
    assert (found.check("orders").good, found.books[0].held) == (3, 0)


def auctions(path: Path) -> Path:
    """Crossed after packets 1, 4, 6 and 8; the last of them after a trade that did not end it."""
    packets: list[tuple[int, Row]] = [
        (0, ("snapshot", 1, 99.0, 1.0, "1")), (0, ("snapshot", -1, 101.0, 1.0, "2")),
        (1, ("add", 1, 102.0, 1.0, "3")),
        (2, ("trade", 0, 102.0, 1.0, "0")), (2, ("cancel", 1, 102.0, 1.0, "3")),
        (3, ("trade", 1, 101.0, 1.0, "0")), (4, ("add", 1, 103.0, 1.0, "4")),
        (5, ("cancel", 1, 103.0, 1.0, "4")), (6, ("add", 1, 103.0, 1.0, "5")),
        (7, ("trade", 1, 101.0, 1.0, "0")), (8, ("add", 1, 90.0, 1.0, "6")),
    ]  # fmt: skip
    numbers = [number for number, _ in packets]
    times = [T0, *(T0 + 1 + number for number in numbers[1:])]  # the opening orders have their own
    return orders(
        path, [row for _, row in packets], venue=["cme"] * len(packets), seq=numbers, ts_ns=times
    )


def test_a_trade_that_leaves_the_book_crossed(tmp_path: Path) -> None:
    found = report_of(auctions(tmp_path / "o.parquet"))
    assert ended(found, "failed") == ["crossings"]
    (book,) = found.books
    assert (book.crossed, book.snapshots, book.held, book.messages) == (4, 1, 4, 7)
    assert found.check("crossings").says == "after 1 of 7 messages"


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_small_chunks_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    late: Row = ("created", 1, 98.0, 1.0, "3")
    tapes = [
        auctions(tmp_path / "a.parquet"),
        orders(tmp_path / "b.parquet", [*FIRST, late], ts_ns=[T0, T0 + 2, T0 + 1]),
    ]
    whole = verified(*tapes)
    monkeypatch.setattr("venues.verify.orders.CHUNK_ROWS", rows)
    assert verified(*tapes) == whole


# A book of levels beside snapshots -----------------------------------------------------------


def levels(path: Path, bids: list[float]) -> Path:
    """A tape of a snapshot and then one change a second: so much at the best bid."""
    n = len(bids)
    columns = {
        "ts_ns": [T0, T0, *(T0 + k * 10**9 for k in range(1, n + 1))],
        "venue": ["binance_usdm"] * (n + 2), "symbol": ["BTCUSDT"] * (n + 2),
        "side": [1, -1, *[1] * n], "price": [90.0, 101.0, *bids], "size": [1.0] * (n + 2),
        "is_snapshot": [True, True, *[False] * n],
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)
    return path


def shown(path: Path, bids: list[float], delay_ns: int = 5) -> Path:
    n = len(bids)
    columns = {
        "ts_ns": [T0 + k * 10**9 + delay_ns for k in range(1, n + 1)],
        "venue": ["binance_usdm"] * n, "symbol": ["BTCUSDT"] * n,
        "bid_px_0": bids, "bid_sz_0": [1.0] * n, "ask_px_0": [101.0] * n, "ask_sz_0": [1.0] * n,
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)
    return path


RISING = [91.0, 92.0, 93.0, 94.0]


def test_a_book_of_levels_beside_snapshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tape, right = levels(tmp_path / "b.parquet", RISING), shown(tmp_path / "s.parquet", RISING)
    wrong = shown(tmp_path / "w.parquet", [91.0, 92.5, 93.0, 94.0])
    check = report_of(right, tape).check("snapshots")
    assert (check.outcome, check.says) == ("unverified", Beside.NONE.value)
    rule = Tolerance(Match.NONE, beside=Beside.TIME)
    monkeypatch.setitem(TOLERANCES, "binance_usdm", rule)
    check = report_of(right, tape).check("snapshots")
    assert (check.outcome, check.good, check.checked) == ("passed", 3, 3)
    assert check.says == "3 of 3 snapshots agree in best prices; 1 after the tape's end"
    at_once = shown(tmp_path / "a.parquet", RISING, delay_ns=0)
    assert report_of(tape, at_once).check("snapshots").good == 4
    check = report_of(tape, wrong).check("snapshots")
    assert (check.outcome, check.good, check.checked) == ("failed", 2, 3)
    assert "first: book at 2023-11-14 22:13:22" in check.says
