"""What is wrong with a tape is said: a file by an error, a row by its reason and position."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.market.gate import Gate
from schemas.kinds import NO_SYMBOL
from schemas.reasons import Reason
from tests.tape_files import MS, T0, bars, book, quotes, read, trades, write
from venues.tape import TapeError, open_tapes

NAN, INF = float("nan"), float("inf")
BAD = 2  # the row that a case spoils


def with_bad(plain: list[Any], value: Any) -> list[Any]:
    return [value if k == BAD else one for k, one in enumerate(plain)]


T = [T0 + k * MS for k in range(4)]
R = [T0 + (k + 2) * MS for k in range(4)]
P = [100.0, 101.0, 102.0, 103.0]

ROWS: list[tuple[str, Any, dict[str, Any], Reason]] = [
    ("the price is null",          trades, {"price": with_bad(P, None)},       Reason.NULL_PRICE),
    ("the price is NaN",           trades, {"price": with_bad(P, NAN)},        Reason.NOT_FINITE),
    ("the price is infinite",      trades, {"price": with_bad(P, INF)},        Reason.NOT_FINITE),
    ("the price is negative",      trades, {"price": with_bad(P, -1.0)},       Reason.NOT_POSITIVE),
    ("the price is zero",          trades, {"price": with_bad(P, 0.0)},        Reason.NOT_POSITIVE),
    ("the size is NaN",            trades, {"size": with_bad(P, NAN)},         Reason.NOT_FINITE),
    ("the size is negative",       trades, {"size": with_bad(P, -1.0)},        Reason.NOT_POSITIVE),
    ("the side is 2",              trades, {"side": with_bad([1] * 4, 2)},     Reason.BAD_SIDE),
    ("the side is 256",            trades, {"side": with_bad([1] * 4, 256)},   Reason.BAD_SIDE),
    ("the side is null",           trades, {"side": with_bad([1] * 4, None)},  Reason.BAD_SIDE),
    ("the time is null",           trades, {"ts_ns": with_bad(T, None)},       Reason.NULL_TIME),
    ("the time is negative",       trades, {"ts_ns": with_bad(T, -5)},         Reason.OUT_OF_RANGE),
    ("the time is after 2100",     trades, {"ts_ns": with_bad(T, 2**63 - 1)},  Reason.OUT_OF_RANGE),
    ("the receive time goes back", trades, {"recv_ns": with_bad(R, T0)},
                                                                               Reason.RECV_REGRESSED),
    ("the venue time goes back",   trades, {"ts_ns": with_bad(T, T0)},
                                                                               Reason.EVENT_REGRESSED),
    ("the symbol is null",         trades, {"symbol": with_bad(["BTCUSDT"] * 4, None)},
                                                                               Reason.UNKNOWN_SYMBOL),
    ("the venue is null",          trades, {"venue": with_bad(["kraken"] * 4, None)},
                                                                               Reason.UNKNOWN_SYMBOL),
    ("no such symbol",             trades, {"symbol": with_bad(["BTCUSDT"] * 4, "BTC???")},
                                                                               Reason.UNKNOWN_SYMBOL),
    ("the quote is crossed",       quotes, {"bid_px": with_bad([100.0] * 4, 101.0)},
                                                                               Reason.CROSSED_QUOTE),
    ("the ask is null",            quotes, {"ask_px": with_bad(P, None)},      Reason.NULL_PRICE),
    ("a level without a side",     book,   {"side": with_bad([1] * 4, 0)},     Reason.BAD_SIDE),
    ("a level without a size",     book,   {"size": with_bad(P, None)},        Reason.NULL_PRICE),
    ("a bar's high is too low",    bars,   {"high": with_bad([103.0] * 4, 101.0)},
                                                                               Reason.OUT_OF_RANGE),
    ("a bar of no length",         bars,   {"interval_s": [60, 60, 0, 60]},    Reason.OUT_OF_RANGE),
]  # fmt: skip


@pytest.mark.parametrize(("what", "plain", "columns", "reason"), ROWS, ids=[c[0] for c in ROWS])
def test_a_bad_row_is_rejected_with_reason_and_position(tmp_path, what, plain, columns, reason):
    feed = open_tapes([write(tmp_path / "t.parquet", plain(4, **columns))])
    gate = Gate(feed.table.arrays(), len(feed.names))
    _, (accepted, rejected) = gate.step(gate.initial(), read(feed))
    assert feed.n_rows == 4 == accepted.seq.size + rejected.seq.size
    assert rejected.source_row.tolist() == [BAD]
    assert Reason(int(rejected.reason[0])) is reason
    assert sorted(accepted.source_row.tolist()) == [0, 1, 3]


def test_a_tape_of_good_rows_passes(tmp_path):
    for plain in (trades, quotes, book, bars):
        feed = open_tapes([write(tmp_path / "t.parquet", plain(4))])
        gate = Gate(feed.table.arrays(), len(feed.names))
        _, (accepted, rejected) = gate.step(gate.initial(), read(feed))
        assert (accepted.seq.size, rejected.seq.size) == (4, 0), plain


def test_bad_rows_keep_the_order(tmp_path):
    """A row without a usable time, or behind its source, stands at the last time known."""
    ts = pa.array([None, T0 + MS, None, T0, T0 + 3 * MS, None], pa.int64())
    feed = open_tapes([write(tmp_path / "t.parquet", trades(6, ts_ns=ts, recv_ns=None))],
                      latency_ns=0)  # fmt: skip
    rows = read(feed)
    assert ((rows.ts_recv_ns - T0) // MS).tolist() == [1, 1, 1, 1, 3, 3]
    assert rows.reason.tolist() == [
        Reason.NULL_TIME, Reason.OK, Reason.NULL_TIME, Reason.RECV_REGRESSED, Reason.OK,
        Reason.NULL_TIME,
    ]  # fmt: skip
    assert rows.ts_event_ns[3] == T0  # what the tape said, for the eye


def test_unknown_symbols_go_to_lane_0_without_a_symbol(tmp_path):
    rows = read(open_tapes([write(tmp_path / "t.parquet", trades(2, symbol=["?", "BTCUSDT"]))]))
    assert (rows.lane[0], rows.symbol[0]) == (0, NO_SYMBOL)


def _text(path: Path) -> None:
    path.write_text("ts_ns,price\n1,2\n")


def _truncated(path: Path) -> None:
    write(path, trades(1000))
    path.write_bytes(path.read_bytes()[:-200])


def _damaged(path: Path) -> None:
    """The footer is whole, the pages before it are not."""
    random = np.random.default_rng(1)
    write(path, trades(3000, price=random.random(3000) + 1.0))
    raw = bytearray(path.read_bytes())
    raw[4 : len(raw) // 2] = bytes(len(raw) // 2 - 4)
    path.write_bytes(raw)


def _without_rows(path: Path) -> None:
    write(path, {name: pa.array(column)[:0] for name, column in trades().items()})


FILES: list[tuple[str, Any, str]] = [
    ("there is no file",        lambda p: None,                              "no such file"),
    ("it is a folder",          lambda p: p.mkdir(),                         "a folder"),
    ("it is empty",             lambda p: p.touch(),                         "not a Parquet file"),
    ("it is text",              _text,                                       "not a Parquet file"),
    ("it is cut short",         _truncated,                                  "cut short"),
    ("its pages are damaged",   _damaged,                                    "damaged"),
    ("it has no rows",          _without_rows,                               "no rows"),
    ("a column is missing",     lambda p: write(p, trades(symbol=None)),     "symbol is missing"),
    ("a price column is gone",  lambda p: write(p, quotes(ask_px=None)),     "ask_px is missing"),
    ("prices are texts",        lambda p: write(p, trades(price=["1"] * 4)), "the column price"),
    ("times are floats",        lambda p: write(p, trades(ts_ns=P)),         "the column ts_ns"),
    ("venues are numbers",      lambda p: write(p, trades(venue=[1] * 4)),   "the column venue"),
    ("flags are numbers",       lambda p: write(p, book(is_snapshot=[0] * 4)), "is_snapshot"),
    ("no column is known",      lambda p: write(p, {"a": [1]}),              "no layout"),
    ("flows into funds",        lambda p: write(p, trades(fund=["A"] * 4, net_flow_usd_m=P)),
                                                                             "etf_flows is not"),
    ("orders of other words",   lambda p: write(p, trades(action=["add"] * 4, order_id=["1"] * 4)),
                                                                             "words of single"),
    ("nobody knows the venue",  lambda p: write(p, trades(venue=["moon"] * 4)), "'moon' is not"),
    ("a venue half named",      lambda p: write(p, trades(venue=["Binance"] * 4)), "near: binance"),
    ("times in microseconds",   lambda p: write(p, trades(ts_ns=[t // 1000 for t in T])),
                                                                             "newest ts_ns is 17"),
    ("receipt in milliseconds", lambda p: write(p, trades(recv_ns=[t // 10**6 for t in T])),
                                                                             "newest recv_ns is"),
    ("no row has a time",       lambda p: write(p, trades(ts_ns=pa.array([None] * 4, pa.int64()))),
                                                                             "no row has a time"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "make", "says"), FILES, ids=[c[0] for c in FILES])
def test_a_bad_file_is_refused_with_place_and_way_out(tmp_path, what, make, says):
    path = tmp_path / "t.parquet"
    make(path)
    with pytest.raises(TapeError) as found:
        open_tapes([path])
    assert says in str(found.value)
    assert str(path) in found.value.where
    assert found.value.todo


def test_the_folder_says_what_was_meant(tmp_path):
    path = write(tmp_path / "quotes" / "t.parquet", {"ts_ns": T, "bid": P})
    with pytest.raises(TapeError, match="looks like quotes"):
        open_tapes([path])


def test_of_layouts_that_fit_alike_the_one_that_lacks_fewest_was_meant(tmp_path):
    columns = {name: column for name, column in trades().items() if name != "price"}
    path = write(tmp_path / "t.parquet", columns)
    with pytest.raises(TapeError, match="looks like trades, but the column price is missing"):
        open_tapes([path])


def test_quotes_that_lack_a_column_are_no_chain_of_options(tmp_path):
    columns = {name: column for name, column in quotes().items() if name != "bid_px"}
    path = write(tmp_path / "t.parquet", columns)
    with pytest.raises(TapeError, match="looks like quotes, but the column bid_px is missing"):
        open_tapes([path])


def test_what_was_never_parquet_is_not_called_damaged(tmp_path):
    _text(tmp_path / "t.csv")
    with pytest.raises(TapeError, match=r"not a Parquet file\. Write it as Parquet"):
        open_tapes([tmp_path / "t.csv"])


def test_the_same_file_twice_is_refused(tmp_path):
    path = write(tmp_path / "t.parquet", trades())
    with pytest.raises(TapeError, match="twice"):
        open_tapes([path, tmp_path / "." / "t.parquet"])


def test_a_cut_without_rows_is_refused(tmp_path):
    path = write(tmp_path / "t.parquet", trades())
    begins = r"no row lies in the period .* from 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d UTC to 20"
    with pytest.raises(TapeError, match=begins):
        open_tapes([path], from_ns=T0 + 10**12)


def test_no_file_at_all_is_refused():
    with pytest.raises(TapeError, match="no file"):
        open_tapes([])


def test_a_file_that_changes_after_the_first_pass_is_refused(tmp_path):
    path = write(tmp_path / "t.parquet", trades())
    feed = open_tapes([path])
    path.unlink()
    with pytest.raises(TapeError, match="no such file"):
        read(feed)


def test_extra_columns_and_other_text_types_do_no_harm(tmp_path):
    columns = trades(4, cond=["x"] * 4)
    columns["venue"] = pa.array(columns["venue"]).dictionary_encode()
    columns["symbol"] = pa.array(columns["symbol"], pa.large_string())
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(columns), path)
    assert read(open_tapes([path])).symbol.tolist() == [0] * 4
