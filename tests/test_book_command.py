"""Promise: `trifecta book` says of a recording what holds, what does not, and what nobody can say.

Small recordings are written here, word for word; the recorded ones must come out as measured.
"""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.main import app
from venues.frames import Book, FrameFile, market_rows
from venues.frames.files import recorded
from venues.verify import FileReport, Refusal, exit_code, jobs

Find = Callable[[str], Path]
Line = dict[str, Any]
MS = 1_700_000_000_000  # when the recordings begin
N = 15  # changes of a good recording: more than a snapshot takes to settle


def write(path: Path, lines: list[Line | bytes]) -> Path:
    texts = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines]
    content = b"".join(text + b"\n" for text in texts)
    path.write_bytes(pa.compress(content, "zstd", asbytes=True))
    return path


def line(number: int, frame: Any, **more: Any) -> Line:
    return {"recv_ns": (MS + 100 * number) * 1_000_000, **more, "frame": frame}


def snapshot(k: int = 0) -> Line:
    """The book after the k-th change."""
    levels = {"bids": [["99", str(k or 1)], ["98", "2"]], "asks": [["101", "1"], ["102", "2"]]}
    frame = {"lastUpdateId": 100 + 10 * k, "E": MS + k, "T": MS + k, **levels}
    return line(k, frame, dir="rest", url="/fapi/v1/depth?symbol=BTCUSDT&limit=1000")


def change(k: int, *, price: str = "99") -> Line:
    """The k-th change after the snapshot: the best bid has so much."""
    frame = {
        "e": "depthUpdate", "E": MS + k, "T": MS + k, "s": "BTCUSDT", "U": 91 + 10 * k,
        "u": 100 + 10 * k, "pu": 90 + 10 * k, "b": [[price, str(k)]], "a": [],
    }  # fmt: skip
    return line(k, frame)


def quote(k: int, *, size: int | None = None) -> Line:
    """The best bid and ask that the k-th change leaves."""
    frame = {
        "e": "bookTicker", "s": "BTCUSDT", "u": 100 + 10 * k, "E": MS + k, "T": MS + k,
        "b": "99", "B": str(size or k), "a": "101", "A": "1",
    }  # fmt: skip
    return line(k, frame)


def binance() -> list[Line | bytes]:
    """A snapshot, then N changes, each behind the quote that belongs to it."""
    return [snapshot(), *(one for k in range(1, N + 1) for one in (quote(k), change(k)))]


def crc(bids: list[list[str]], asks: list[list[str]]) -> str:
    numbers = [text for price, qty, _ in asks + bids for text in (price, qty)]
    return str(zlib.crc32("".join(n.replace(".", "").lstrip("0") for n in numbers).encode()))


def kraken() -> list[Line | bytes]:
    """A book of one level a side, whose bid is replaced again and again; all are checksummed."""
    asks = [["0.06", "1.50", "1700000000.0"]]
    bids = [["0.05", "1.0", "1700000000.0"]]
    made: list[Line | bytes] = [line(0, [1, {"as": asks, "bs": bids}, "book-10", "XBT/EUR"])]
    for k in range(1, N + 1):
        bids = [["0.05", f"{k}.0", "1700000000.0"]]
        made.append(line(k, [1, {"b": bids, "c": crc(bids, asks)}, "book-10", "XBT/EUR"]))
    return made


def coinbase() -> list[Line | bytes]:
    book = {"bids": [["99", "1"]], "asks": [["101", "1"]]}
    made: list[Line | bytes] = [line(0, {"type": "snapshot", "product_id": "BTC-USD", **book})]
    for k in range(1, N + 1):
        update = {"type": "l2update", "product_id": "BTC-USD", "changes": [["buy", "99", str(k)]]}
        made.append(line(k, update | {"time": f"2023-11-14T22:13:{20 + k}Z"}))
    return made


def without(lines: list[Line | bytes], at: int) -> list[Line | bytes]:
    return [*lines[:at], *lines[at + 1 :]]


def at(lines: list[Line | bytes], where: int, *new: Line | bytes) -> list[Line | bytes]:
    """Other lines in place of one."""
    return [*lines[:where], *new, *lines[where + 1 :]]


LAST = 2 * N  # index of the last change of `binance`; its quote is before it
B, K, C = "binance_usdm_X", "kraken_v1_X", "coinbase_X"
SEQ, SUMS, QUOTES, BOTH = ["sequence"], ["checksums"], ["quotes"], ["sequence", "quotes"]
BID = {"type": "l2update", "product_id": "BTC-USD", "time": "2023-11-14T22:14:20Z"}
CROSSING = line(99, BID | {"changes": [["buy", "105", "1"]]})
DIGIT = json.loads(json.dumps(kraken()[8]).replace('"8.0"', '"8.1"'))
SUM = [1, {"b": [["0.05", "8.0", "1700000000.0"]], "c": "1"}, "book-10", "XBT/EUR"]
GOOD = binance()
CROSSED, AUDIT, OPEN = ["crossings"], ["snapshots"], "unprovable"
WRONG = json.loads(json.dumps(snapshot(N)).replace('["98", "2"]', '["97", "2"]'))
# fmt: off
CASES = [  # what happens, name, lines; exit code, checks that failed and that passed, book's state
    ("nothing",               B, GOOD,                                      0, [], BOTH, "synced"),
    ("an update is dropped",  B, without(GOOD, 8),                          1, SEQ, QUOTES, "gap"),
    ("the last one, too",     B, without(GOOD, LAST),                       0, [], BOTH, "synced"),
    ("an update comes twice", B, at(GOOD, 8, change(4), change(4)),         0, [], BOTH, "synced"),
    ("two swap their places", B, at(at(GOOD, 8, change(5)), 10, change(4)), 1, SEQ, QUOTES, "gap"),
    ("one is late",           B, at(GOOD, 8, change(4), change(2)),         0, [], BOTH, "synced"),
    ("one cannot be read",    B, at(GOOD, 8, change(4, price="-1")),        1, SEQ, QUOTES, "gap"),
    ("a snapshot mends it",   B, at(without(GOOD, 8), 20, snapshot(10)),  1, SEQ, QUOTES, "synced"),
    ("a snapshot agrees",     B, [*GOOD, snapshot(N)],            0, [], [*BOTH, *AUDIT], "synced"),
    ("a snapshot differs",    B, [*GOOD, WRONG],                          1, AUDIT, BOTH, "synced"),
    ("an unknown type",       B, [*GOOD, line(99, {"e": "noise"})],         0, [], BOTH, "synced"),
    ("a quote differs",       B, at(GOOD, LAST - 1, quote(N, size=7)),    1, QUOTES, SEQ, "synced"),
    ("one at the start",      B, at(GOOD, 3, quote(2, size=7)),             0, [], BOTH, "synced"),
    ("no snapshot",           B, GOOD[1:],                                  2, [], [], "none"),
    ("none, and one dropped", B, without(GOOD[1:], 7),                      1, SEQ, [], "none"),
    ("only the snapshot",     B, [snapshot()],                              2, [], [], "synced"),
    ("checksums",             K, kraken(),                                  0, [], SUMS, "synced"),
    ("one checksum is wrong", K, at(kraken(), 8, line(8, SUM)),      1, SUMS, [], "checksum_fail"),
    ("one digit is wrong",    K, at(kraken(), 8, DIGIT),             1, SUMS, [], "checksum_fail"),
    ("nothing is provable",   C, coinbase(),                                2, [], [], OPEN),
    ("a loss is not seen",    C, without(coinbase(), 8),                    2, [], [], OPEN),
    ("the book is crossed",   C, [*coinbase(), CROSSING],                1, CROSSED, [], "crossed"),
]
# fmt: on


def verified(*paths: Path) -> list[FileReport | Refusal]:
    return [one if isinstance(one, Refusal) else one.run(lambda lines: None) for one in jobs(paths)]


def report_of(path: Path) -> FileReport:
    (found,) = verified(path)
    assert isinstance(found, FileReport), found
    return found


def ended(found: FileReport, outcome: str) -> list[str]:
    return [c.name for c in found.checks if c.outcome == outcome and c.name != "accounts"]


@pytest.mark.parametrize(
    ("name", "lines", "code", "failed", "passed", "state"),
    [case[1:] for case in CASES], ids=[case[0] for case in CASES],
)  # fmt: skip
def test_recording(
    tmp_path: Path, name: str, lines: list[Line | bytes], code: int, failed: list[str],
    passed: list[str], state: str,
) -> None:  # fmt: skip
    found = report_of(write(tmp_path / f"{name}.jsonl.zst", lines))
    assert exit_code([found]) == code
    assert ended(found, "failed") == failed
    assert [name for name in ended(found, "passed") if name != "crossings"] == passed
    assert [book.state for book in found.books] == [state]
    assert found.check("accounts").outcome == "passed"
    assert sum(one.frames for one in found.streams) == found.frames == len(lines)


def test_what_was_lost_is_counted_and_placed(tmp_path: Path) -> None:
    lines = without(without(binance(), 24), 8)
    found = report_of(write(tmp_path / "binance_usdm_X.jsonl.zst", lines))
    said = found.check("sequence").says
    assert said.startswith("2 gaps; first at line 10 (2023-11-14 22:13:20.500)")
    assert (found.books[0].gaps, found.books[0].without_base) == (2, 9)


def refused(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


ZSTD = pa.compress(b"".join(json.dumps(one).encode() + b"\n" for one in GOOD), "zstd", asbytes=True)
# fmt: off
DAMAGED = "not zstd, or cut short or damaged"
B_FILE = "binance_usdm_X.jsonl.zst"
REFUSED = [
    ("an unlisted venue", "bitmex_X.jsonl.zst", ZSTD,      "no parser for venue 'bitmex'; there"),
    ("an empty file",     B_FILE,               b"",       "it holds no frame"),
    ("cut short",         B_FILE,               ZSTD[:-9], DAMAGED),
    ("not compressed",    B_FILE,               b"{}",     DAMAGED),
    ("not a tape",        "X.parquet",          b"PAR1",   "not a Parquet file, or cut short"),
]
# fmt: on


@pytest.mark.parametrize(
    ("name", "content", "why"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_refused_by_name(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    path = refused(tmp_path, name, content)
    done = CliRunner().invoke(app, ["book", str(path)])
    assert done.exit_code == 2
    assert f"refused: {path}" in done.stderr
    assert why in done.stderr
    assert "Traceback" not in done.output


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["book", str(tmp_path / "no.jsonl.zst"), "--json"])
    assert done.exit_code == 2
    (told,) = json.loads(done.stdout)["files"]
    assert (told["outcome"], "no such file" in told["why"]) == ("refused", True)


def test_several_files(tmp_path: Path) -> None:
    """The others go on; a failure counts more than a refusal, which counts more than a pass."""
    good = write(tmp_path / "binance_usdm_good.jsonl.zst", binance())
    open_ = write(tmp_path / "coinbase_open.jsonl.zst", coinbase())
    bad = write(tmp_path / "binance_usdm_bad.jsonl.zst", without(binance(), 8))
    none = write(tmp_path / "bitmex_none.jsonl.zst", binance())
    codes = {
        (good, open_): 0, (open_,): 2, (good, none): 2, (good, none, bad): 1, (none, open_): 2,
    }  # fmt: skip
    for paths, code in codes.items():
        done = CliRunner().invoke(app, ["book", "--json", *map(str, paths)])
        told = json.loads(done.stdout)
        assert (done.exit_code, told["exit_code"], len(told["files"])) == (code, code, len(paths))


def test_what_a_person_reads(tmp_path: Path) -> None:
    good = write(tmp_path / "binance_usdm_good.jsonl.zst", binance())
    open_ = write(tmp_path / "coinbase_open.jsonl.zst", coinbase())
    done = CliRunner().invoke(app, ["book", str(good), str(open_)])
    said = [" ".join(text.split()) for text in done.stdout.splitlines()]
    for text in (
        "binance_usdm_good.jsonl.zst binance_usdm passed",
        "sequence passed 15 changes, none missing",
        "quotes passed 15 of 15 changes agree in price and size",
        "checksums unverified the feed has none",
        "depthUpdate 15 15 15",
        "BTCUSDT synced 16 1 0 0 100 % 4 levels",
        "sequence unverified the feed numbers no message: a lost one cannot be seen",
        "BTC-USD unprovable 16 1 0 0 100 % 2 levels",
        "passed binance_usdm_good.jsonl.zst sequence, quotes",
        "unverified coinbase_open.jsonl.zst",
    ):
        assert text in said


def tape(path: Path, numbers: list[tuple[int | None, int | None]], **more: list[Any]) -> Path:
    """A book tape: a snapshot of two rows, then a message of one row for each pair of numbers."""
    n = len(numbers)
    columns = {
        "ts_ns": [MS * 1_000_000 + k for k in [0, 0, *range(1, n + 1)]],
        "venue": ["binance_usdm"] * (n + 2), "symbol": ["BTCUSDT"] * (n + 2),
        "side": [1, -1, *[1] * n], "price": [99.0, 101.0, *[99.0] * n],
        "size": [1.0, 1.0, *[float(k) for k in range(1, n + 1)]],
        "is_snapshot": [True, True, *[False] * n],
        "seq": [100, 100, *(seq for seq, _ in numbers)],
        "prev_seq": pa.array([None, None, *(prev for _, prev in numbers)], pa.int64()),
    }  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns | more), path)
    return path


def quotes_tape(path: Path, numbers: list[tuple[int | None, int | None]]) -> Path:
    n = len(numbers)
    columns = {
        "ts_ns": [MS * 1_000_000 + k for k in range(1, n + 1)], "venue": ["binance_usdm"] * n,
        "symbol": ["BTCUSDT"] * n, "seq": [seq for seq, _ in numbers], "bid_px": [99.0] * n,
        "bid_sz": [float(k) for k in range(1, n + 1)], "ask_px": [101.0] * n, "ask_sz": [1.0] * n,
    }  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


CHAIN: list[tuple[int | None, int | None]] = [(110 + 10 * k, 100 + 10 * k) for k in range(N)]
# fmt: off
NONE: list[tuple[int | None, int | None]] = [(None, None)] * N
SIZES = {"size": [1.0, 1.0, *map(float, range(1, 14)), 77.0, 14.0, 15.0]}
NO_SEQ = {"seq": [None] * (N + 2)}
NO_PRICE = {"price": [99.0, 101.0, *[99.0] * 7, float("nan"), *[99.0] * 7]}
TAPES = [  # what happens, the numbers of its changes, other columns; exit code, failed, passed
    ("nothing",              CHAIN,                              {},       0, [], BOTH),
    ("a message is missing", [*CHAIN[:5], *CHAIN[6:]],           {},       1, SEQ, QUOTES),
    ("one comes twice",      [*CHAIN[:5], CHAIN[4], *CHAIN[5:]], {},       0, [], SEQ),
    ("one is late",          [*CHAIN[:13], CHAIN[2], *CHAIN[13:]], SIZES,  0, [], BOTH),
    ("without numbers",      NONE,                               NO_SEQ,   2, [], []),
    ("a row is refused",     CHAIN,                              NO_PRICE, 1, SEQ, QUOTES),
]
# fmt: on


@pytest.mark.parametrize(
    ("numbers", "more", "code", "failed", "passed"), [c[1:] for c in TAPES],
    ids=[c[0] for c in TAPES],
)  # fmt: skip
def test_tape(
    tmp_path: Path, numbers: list[tuple[int | None, int | None]], more: dict[str, list[Any]],
    code: int, failed: list[str], passed: list[str],
) -> None:  # fmt: skip
    path = tape(tmp_path / "book" / "x.parquet", numbers, **more)
    if "quotes" in passed:
        quotes_tape(tmp_path / "quotes" / "x.parquet", CHAIN)
    found = report_of(path)
    assert exit_code([found]) == code
    assert ended(found, "failed") == failed
    assert [name for name in ended(found, "passed") if name != "crossings"] == passed
    assert found.check("accounts").outcome == "passed"


def test_quotes_are_found_by_name_or_as_the_only_ones(tmp_path: Path) -> None:
    book = tape(tmp_path / "a.parquet", CHAIN)
    quotes = quotes_tape(tmp_path / "b.parquet", CHAIN)
    assert [one.against for one in verified(quotes, book)] == [(str(quotes),)]  # type: ignore[union-attr]
    (alone,) = verified(quotes)
    assert isinstance(alone, Refusal)
    assert "it is a tape of quotes, not of a book" in alone.why


# fmt: off
RECORDED = [  # file; outcome, checks passed of: sequence, checksums, quotes
    ("raw/binance_spot_BTCUSDT_20240808T2354.jsonl.zst",          "passed", (3449, 0, 3449)),
    ("raw/binance_spot_BTCUSDT_20230405T0000.jsonl.zst",          "unverified", (0, 0, 0)),
    ("raw/coinbase_BTC-USD_20180417T0055.jsonl.zst",              "unverified", (0, 0, 0)),
    ("raw/adapters/binance_delivery_20210722T0113.jsonl.zst",     "passed", (1783, 0, 1781)),
    ("raw/adapters/binance_usdm_multi_20210722T2225.jsonl.zst",   "passed", (431, 0, 431)),
    ("raw/adapters/bitfinex_20210417T1639.jsonl.zst",             "passed", (1593, 0, 0)),
    ("raw/adapters/bitstamp_v2_20220105T0048.jsonl.zst",          "unverified", (0, 0, 0)),
    ("raw/adapters/bybit_20210417T1643.jsonl.zst",                "unverified", (0, 0, 0)),
    ("raw/adapters/bybit_XRPUSDT_ob500_20241201.jsonl.zst",       "passed", (49, 0, 0)),
    ("raw/adapters/coinbase_exchange_20210417T1643.jsonl.zst",    "unverified", (0, 0, 0)),
    ("raw/adapters/deribit_20210722T2242.jsonl.zst",              "passed", (36, 0, 0)),
    ("raw/adapters/gemini_20210624T0014.jsonl.zst",               "unverified", (0, 0, 0)),
    ("raw/adapters/kraken_futures_v1_20210722T2302.jsonl.zst",    "passed", (5769, 0, 76)),
    ("raw/adapters/kraken_v1_20210417T1648.jsonl.zst",            "passed", (0, 3181, 0)),
    ("raw/adapters/kraken_v2_BTCUSD_d10_20260816T2337.jsonl.zst", "passed", (0, 54, 0)),
    ("raw/adapters/okx_20220513T1627.jsonl.zst",                  "passed", (0, 290, 0)),
    ("book/binance_usdm_BTCUSDT_20230404T2358.parquet",           "passed", (4322, 0, 4322)),
    ("book/binance_usdm_BTCUSDT_20230405T0000.parquet",           "passed", (11788, 0, 11785)),
    ("book/binance_usdm_BTCUSDT_20240808T2354.parquet",           "passed", (6547, 0, 6547)),
    ("book/binance_usdm_ETHUSDT_20240808T2354.parquet",           "passed", (6580, 0, 6580)),
    ("book/coinbase_BTC-USD_20180417T0055.parquet",               "unverified", (0, 0, 0)),
]
# fmt: on
PROOFS = ("sequence", "checksums", "quotes")


@pytest.mark.parametrize(("name", "outcome", "good"), RECORDED)
def test_recorded(data_path: Find, name: str, outcome: str, good: tuple[int, int, int]) -> None:
    found = report_of(data_path(name))
    assert (found.outcome, tuple(found.check(name).good for name in PROOFS)) == (outcome, good)
    assert found.check("accounts").outcome == "passed"
    assert found.check("crossings").good == found.check("crossings").checked
    assert not any(book.evicted or book.gaps or book.unreadable for book in found.books)


@pytest.mark.parametrize("name", [c[0] for c in RECORDED if c[0].startswith(("raw/c", "book/c"))])
def test_coinbase_is_unprovable(data_path: Find, name: str) -> None:
    assert [book.state for book in report_of(data_path(name)).books] == ["unprovable"]


def test_the_ghost_of_2015_is_caught(data_path: Find) -> None:
    """A change of order 65610664 came 6 ms after its deletion; brought back it crosses for good."""
    path = data_path("raw/bitstamp_BTCUSD_20150501T0000.jsonl.zst")
    found = report_of(path)
    (ghosts,) = found.counts
    assert (ghosts.what, ghosts.reason, ghosts.n) == (
        "superseded", "the order was deleted before", 5,
    )  # fmt: skip
    assert 1_430_448_690_624_000_000 in [place.ts_recv_ns for place in ghosts.first]
    assert (found.outcome, found.check("quotes").good) == ("passed", 3_206)


def missed_at_once(path: Path) -> list[int]:
    """Line numbers of changes without which the book's next message shows that one is missing.

    Where only checksums show it: it changed the checksum, and the next message leaves its levels.
    """
    before: dict[int, tuple[int, Book]] = {}  # per symbol, its last message and that one's line
    checksum: dict[int, int | None] = {}  # and the one before
    found = []
    for line, parsed in FrameFile(path):
        for book in parsed.books:
            at, last = before.get(book.symbol, (0, book))
            prices = {price for price, _ in [*last.bids, *last.asks]}
            shows = last.checksum is None or (
                last.checksum != checksum.get(book.symbol)
                and not prices & {price for price, _ in [*book.bids, *book.asks]}
            )
            if at and shows and not last.snapshot and not book.snapshot:
                found.append(at)
            checksum[book.symbol] = last.checksum
            before[book.symbol] = line.line, book
    return found


# fmt: off
PROVABLE = ["binance_usdm_multi_20210722T2225", "bitfinex_20210417T1639", "okx_20220513T1627",
            "bybit_XRPUSDT_ob500_20241201", "deribit_20210722T2242", "kraken_v1_20210417T1648",
            "kraken_futures_v1_20210722T2302", "kraken_v2_BTCUSD_d10_20260816T2337"]
# fmt: on


@pytest.mark.parametrize("name", PROVABLE)
def test_a_message_that_is_taken_out_is_missed(tmp_path: Path, data_path: Find, name: str) -> None:
    path = data_path(f"raw/adapters/{name}.jsonl.zst")
    with pa.input_stream(str(path), compression="zstd") as stream:
        lines = bytes(stream.read()).splitlines()
    changes = missed_at_once(path)
    for out in (changes[len(changes) // 3], changes[len(changes) // 2]):
        found = report_of(write(tmp_path / path.name, without(list(lines), out - 1)))
        failed = ended(found, "failed")
        assert set(failed) & {"sequence", "checksums"}, out
        assert found.outcome == "failed"
        assert {"gap", "checksum_fail"} & {book.state for book in found.books}


def test_every_line_of_a_recording_is_counted(data_path: Find) -> None:
    path = data_path("raw/adapters/message_examples.jsonl.zst")
    assert report_of(path).frames == sum(1 for _ in recorded(path))


def test_no_count_depends_on_how_much_is_read_at_once(
    tmp_path: Path, data_path: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    quotes_late = [GOOD[0], *(one for k in range(1, N + 1) for one in (change(k), quote(k)))]
    recordings = [
        write(tmp_path / "binance_usdm_X.jsonl.zst", at(without(GOOD, 8), 20, snapshot(10))),
        data_path("raw/adapters/binance_usdm_multi_20210722T2225.jsonl.zst"),
        data_path("raw/adapters/kraken_futures_v1_20210722T2302.jsonl.zst"),
        tape(tmp_path / "book" / "x.parquet", [*CHAIN[:5], *CHAIN[6:]]),
        write(tmp_path / "binance_usdm_Y.jsonl.zst", quotes_late),
    ]
    quotes_tape(tmp_path / "quotes" / "x.parquet", CHAIN)
    whole = verified(*recordings)
    assert [one.outcome for one in whole] == ["failed", "passed", "passed", "failed", "passed"]
    monkeypatch.setattr("venues.verify.books.CHUNK_ROWS", 3)
    monkeypatch.setattr("venues.verify.tape.CHUNK_ROWS", 3)
    assert verified(*recordings) == whole


def test_accounts_that_do_not_close_fail_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are counted where they are made, not where they are accounted for."""
    path = write(tmp_path / "coinbase_X.jsonl.zst", coinbase())
    monkeypatch.setattr(
        "venues.verify.books.market_rows", lambda frames: market_rows(list(frames)[1:])
    )
    found = report_of(path)
    assert found.outcome == "failed"
    said = found.check("accounts").says
    assert said == "17 rows are accounted for, but 15 were made"


def test_a_connection_that_numbers_its_frames_begins_anew(tmp_path: Path) -> None:
    """Bitfinex counts the frames of a connection from 1; the second is not older than the first."""
    connect = {"recv_ns": MS * 1_000_000, "dir": "connect", "url": "/ws/2"}
    told = {"event": "subscribed", "channel": "book", "chanId": 5, "symbol": "tBTCUSD"}
    once: list[Line | bytes] = [
        connect, line(0, told | {"prec": "P0"}), line(1, [5, [[99, 1, 1], [101, 1, -1]], 1]),
        *(line(k, [5, [99, 1, k], k]) for k in range(2, 9)),
    ]  # fmt: skip
    found = report_of(write(tmp_path / "bitfinex_X.jsonl.zst", [*once, *once]))
    assert (found.outcome, found.check("sequence").good) == ("passed", 14)
    assert found.books[0].snapshots == 2
    found = report_of(write(tmp_path / "bitfinex_X.jsonl.zst", [*once, *without(once, 5)]))
    assert (found.outcome, found.books[0].gaps, found.books[0].state) == ("failed", 1, "gap")


def test_where_output_is_no_terminal_nothing_is_cut_off(tmp_path: Path) -> None:
    names = [f"binance_usdm_{'x' * 80}{k}.jsonl.zst" for k in range(2)]
    paths = [str(write(tmp_path / name, binance())) for name in names]
    done = CliRunner().invoke(app, ["book", *paths])
    assert [text.split()[1] for text in done.stdout.splitlines()[-2:]] == names
    assert all(len(text) < 200 for text in done.stdout.splitlines())
