"""Promise: of every recorded frame it is known what became of it, and the rows are the venue's.

Each file is counted a second time here, from the bare JSON, without the parsers.
"""

import json
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.recorded_frames import run
from venues.frames import (
    Account,
    FrameClass,
    FrameFile,
    NoParserError,
    RecordingError,
    Verdict,
    parser_for,
)
from venues.frames.files import recorded

Find = Callable[[str], Path]

# fmt: off
FILES = {  # frames; data, superseded, control, known-unused, quarantined; rows; refused elements
    "adapters/binance_delivery_20210722T0113":     (4382, (4348, 33, 1, 0, 0), 31209, 0),
    "adapters/binance_spot_multi_20211012T0028":   (231, (229, 1, 1, 0, 0), 2756, 0),
    "adapters/binance_usdm_multi_20210722T2225":   (1025, (972, 52, 1, 0, 0), 8504, 0),
    "adapters/bitfinex_20210417T1639":             (1716, (1621, 7, 88, 0, 0), 2947, 0),
    "adapters/bitstamp_v2_20220105T0048":          (428, (407, 0, 21, 0, 0), 9257, 0),
    "adapters/bybit_20210417T1643":                (4462, (4420, 0, 42, 0, 0), 23245, 0),
    "adapters/bybit_XRPUSDT_ob500_20241201":       (50, (50, 0, 0, 0, 0), 3966, 0),
    "adapters/coinbase_exchange_20210417T1643":    (5456, (5443, 6, 7, 0, 0), 10975, 0),
    "adapters/deribit_20210722T2242":              (138, (135, 0, 3, 0, 0), 417, 0),
    "adapters/gemini_20210624T0014":               (680, (671, 0, 9, 0, 0), 4590, 0),
    "adapters/kraken_futures_v1_20210722T2302":    (5894, (5853, 6, 35, 0, 0), 7096, 0),
    "adapters/kraken_v1_20210417T1648":            (3328, (3209, 0, 119, 0, 0), 8073, 0),
    "adapters/kraken_v2_BTCUSD_d10_20260816T2337": (63, (54, 0, 9, 0, 0), 133, 0),
    "adapters/okx_20220513T1627":                  (414, (392, 0, 22, 0, 0), 8366, 0),
    "adapters/rest_binance_recorded":              (148, (82, 0, 4, 53, 9), 7993, 0),
    "adapters/rest_bitstamp_recorded":             (9, (3, 0, 0, 6, 0), 10281, 0),
    "adapters/rest_gemini_recorded":               (15, (6, 0, 2, 7, 0), 2150, 0),
    "bitfinex_tBTCUSD_R0_2021":                    (100001, (99999, 0, 2, 0, 0), 100048, 0),
    "bitstamp_BTCUSD_20150501T0000":               (41644, (41639, 5, 0, 0, 0), 41639, 0),
    "coinbase_BTC-USD_20180417T0055":              (18353, (18350, 1, 2, 0, 0), 46591, 0),
    "hyperliquid_BTC_20250126T1914":               (55, (55, 0, 0, 0, 0), 1904, 0),
    "binance_coinm_BTCUSD_PERP_20240808T2354":     (48270, (48270, 0, 0, 0, 0), 319435, 0),
    "binance_spot_BTCUSDT_20230405T0000":          (15088, (15088, 0, 0, 0, 0), 43183, 0),
    "binance_spot_BTCUSDT_20240808T2354":          (41249, (41249, 0, 0, 0, 0), 163887, 0),
    "binance_spot_ETHUSDT_20240808T2354":          (33618, (33618, 0, 0, 0, 0), 138997, 0),
    "binance_usdm_BTCUSDT_20230405T0000":          (60381, (60381, 0, 0, 0, 0), 305412, 0),
    "binance_usdm_BTCUSDT_20240808T2354":          (93954, (93954, 0, 0, 0, 0), 532923, 0),
}
# fmt: on


def path_of(data_path: Find, name: str) -> Path:
    return data_path(f"raw/{name}.jsonl.zst")


def texts(path: Path) -> list[bytes]:
    with pa.input_stream(str(path), compression="zstd") as stream:
        return bytes(stream.read()).splitlines()


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The file's lines with nothing of ours, numbers as the texts that they were written in."""
    return (json.loads(text, parse_float=str) for text in texts(path))


@pytest.mark.parametrize("name", FILES)
def test_identities_close_and_every_count_is_known(data_path: Find, name: str) -> None:
    frames, classes, rows, refused = FILES[name]
    found = run(path_of(data_path, name))
    account = found.account
    assert account.problems() == found.settled.problems() == []
    assert [p for stream in found.streams.values() for p in stream.problems()] == []
    assert tuple(account.classes[kind] for kind in FrameClass) == classes
    assert (account.frames, account.rows, account.refused) == (frames, rows, refused)
    assert sum(stream.frames for stream in found.streams.values()) == frames
    assert len(texts(path_of(data_path, name))) == found.settled.frames == frames


def test_what_quarantined_rest_answers_lack_is_named(data_path: Find) -> None:
    reasons = run(path_of(data_path, "adapters/rest_binance_recorded")).account.reasons
    assert {reason: n for (kind, reason), n in reasons.items()} == {
        "GET aggTrades: element 0: Object missing required field `m`": 4,
        "GET fundingInfo: Expected `array`, got `null`": 1,
        "GET fundingRate: element 0: Expected `object`, got `null`": 4,
    }


def binance_elements(frame: Any) -> int:
    body = frame.get("data", frame)
    if "lastUpdateId" in frame:
        return len(frame["bids"]) + len(frame["asks"])
    kind = body.get("e")
    if kind == "depthUpdate":
        return len(body["b"]) + len(body["a"])
    return {"kline": int(body.get("k", {}).get("x", False)), "markPriceUpdate": 2}.get(kind, 1)


def coinbase_elements(frame: Any) -> int:
    levels = ("changes", "bids", "asks")
    one = frame["type"] in ("match", "ticker")
    return int(one) + sum(len(frame.get(key, [])) for key in levels)


def kraken_v1_elements(frame: Any) -> int:
    if isinstance(frame, dict):
        return 0
    if frame[-2] == "ticker":
        return 1
    if frame[-2] == "trade":
        return len(frame[1])
    sides = ("a", "b", "as", "bs")
    return sum(len(part.get(side, [])) for part in frame[1:-2] for side in sides)


def kraken_futures_elements(frame: Any) -> int:
    if "event" in frame or frame["feed"] == "trade_snapshot":
        return 0
    levels = [*frame.get("bids", []), *frame.get("asks", [])]
    return len(levels) if frame["feed"] == "book_snapshot" else 1


def okx_elements(frame: Any) -> int:
    books = frame.get("arg", {}).get("channel") == "books"
    return sum(len(one["bids"]) + len(one["asks"]) if books else 1 for one in frame.get("data", []))


def bitstamp_elements(frame: Any) -> int:
    body = frame.get("data", frame)
    return len(body["bids"]) + len(body["asks"]) if "bids" in body else int("price" in body)


def bybit_elements(frame: Any) -> int:
    body = frame.get("data", [])
    parts = body.values() if isinstance(body, dict) else [body]
    return sum(len(part) for part in parts if isinstance(part, list))


ELEMENTS = [
    ("adapters/binance_delivery_20210722T0113", binance_elements),
    ("adapters/binance_spot_multi_20211012T0028", binance_elements),
    ("adapters/binance_usdm_multi_20210722T2225", binance_elements),
    ("adapters/bitstamp_v2_20220105T0048", bitstamp_elements),
    ("adapters/bybit_20210417T1643", bybit_elements),
    ("adapters/bybit_XRPUSDT_ob500_20241201", bybit_elements),
    ("adapters/coinbase_exchange_20210417T1643", coinbase_elements),
    ("adapters/kraken_futures_v1_20210722T2302", kraken_futures_elements),
    ("adapters/kraken_v1_20210417T1648", kraken_v1_elements),
    ("adapters/okx_20220513T1627", okx_elements),
]


@pytest.mark.parametrize(("name", "count"), ELEMENTS)
def test_elements_are_those_of_the_bare_json(
    data_path: Find, name: str, count: Callable[[Any], int]
) -> None:
    path = path_of(data_path, name)
    theirs = (line for line in lines(path) if line.get("dir") not in ("tx", "connect"))
    assert sum(count(line["frame"]) for line in theirs) == run(path).account.elements


def depth_messages(path: Path) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Binance: symbol, depth message or snapshot, and which of the two."""
    for text in texts(path):
        if b'"depthUpdate"' not in text and b'"lastUpdateId"' not in text:
            continue
        line = json.loads(text)
        frame = line["frame"]
        body = frame.get("data", frame)
        if "lastUpdateId" in frame:
            asked = line.get("url", "").partition("symbol=")[2].partition("&")[0]
            yield asked, frame, "snapshot"
        elif body.get("e") == "depthUpdate":
            yield body["s"], body, "change"


# fmt: off
BINANCE = [  # gaps, messages that a snapshot contains, messages without any snapshot
    ("adapters/binance_delivery_20210722T0113",     0, 264, 0),
    ("adapters/binance_spot_multi_20211012T0028",   0, 2, 0),
    ("adapters/binance_usdm_multi_20210722T2225",   0, 9, 0),
    ("binance_coinm_BTCUSD_PERP_20240808T2354",     0, 23, 0),
    ("binance_spot_BTCUSDT_20240808T2354",          0, 2, 0),
    ("binance_spot_ETHUSDT_20240808T2354",          0, 2, 0),
    ("binance_usdm_BTCUSDT_20240808T2354",          0, 4, 0),
    ("binance_spot_BTCUSDT_20230405T0000",          0, 0, 3929),
    ("binance_usdm_BTCUSDT_20230405T0000",          0, 0, 11788),
]
# fmt: on


@pytest.mark.parametrize(("name", "gaps", "contained", "baseless"), BINANCE)
def test_binance_chains(
    data_path: Find, name: str, gaps: int, contained: int, baseless: int
) -> None:
    path = path_of(data_path, name)
    changes: dict[str, list[dict[str, Any]]] = {}
    base: dict[str, int] = {}
    for symbol, body, what in depth_messages(path):
        if what == "snapshot":
            base[symbol] = body["lastUpdateId"]
        else:
            changes.setdefault(symbol, []).append(body)
    if len(changes) == 1:
        base = dict.fromkeys(changes, *base.values()) if base else {}
    broken = old = 0
    for symbol, bodies in changes.items():
        old += sum(body["u"] <= base.get(symbol, -1) for body in bodies)
        for before, body in pairwise(bodies):
            broken += body.get("pu", body["U"] - 1) != before["u"]
    verdicts = run(path).verdicts
    assert (broken, old) == (gaps, contained)
    assert verdicts[Verdict.GAP] == gaps
    assert verdicts[Verdict.STALE] + verdicts[Verdict.DUPLICATE] == contained
    assert verdicts[Verdict.NEEDS_SNAPSHOT] == baseless
    applied = sum(map(len, changes.values())) - contained - baseless
    assert verdicts[Verdict.OK] == applied + len(base)


# fmt: off
OTHERS = [  # verdicts of every book message of the file
    ("adapters/bitfinex_20210417T1639",             {"OK": 1600}),
    ("adapters/bitstamp_v2_20220105T0048",          {"OK": 5, "STALE": 58, "UNPROVABLE": 334}),
    ("adapters/bybit_20210417T1643",                {"OK": 10, "UNPROVABLE": 4268}),
    ("adapters/bybit_XRPUSDT_ob500_20241201",       {"OK": 50}),
    ("adapters/coinbase_exchange_20210417T1643",    {"OK": 6, "UNPROVABLE": 5301}),
    ("adapters/deribit_20210722T2242",              {"OK": 46}),
    ("adapters/gemini_20210624T0014",               {"OK": 10, "UNPROVABLE": 645}),
    ("adapters/kraken_futures_v1_20210722T2302",    {"OK": 5775}),
    ("adapters/kraken_v1_20210417T1648",            {"OK": 3187}),
    ("adapters/kraken_v2_BTCUSD_d10_20260816T2337", {"OK": 54}),
    ("adapters/okx_20220513T1627",                  {"OK": 290}),
    ("bitfinex_tBTCUSD_R0_2021",                    {"OK": 1, "UNPROVABLE": 99998}),
    ("bitstamp_BTCUSD_20150501T0000",               {"UNPROVABLE": 37443}),
    ("coinbase_BTC-USD_20180417T0055",              {"OK": 1, "UNPROVABLE": 18093}),
    ("hyperliquid_BTC_20250126T1914",               {"OK": 46}),
]
# fmt: on


@pytest.mark.parametrize(("name", "verdicts"), OTHERS)
def test_no_gaps_and_what_is_unprovable_is_called_so(
    data_path: Find, name: str, verdicts: dict[str, int]
) -> None:
    found = run(path_of(data_path, name)).verdicts
    assert {verdict.name: n for verdict, n in found.items()} == verdicts


def kraken_messages(path: Path) -> Iterator[tuple[str, int, bool, list, list, int | None]]:
    """Pair, depth, snapshot, bids, asks, checksum, of either version of Kraken's feed."""
    for line in lines(path):
        frame = line.get("frame")
        if isinstance(frame, list) and frame[-2].startswith("book-"):
            sides: dict[str, Any] = {}
            for part in frame[1:-2]:
                sides |= part
            snapshot = "as" in sides
            bids, asks = (sides.get(k, []) for k in (("bs", "as") if snapshot else ("b", "a")))
            crc = int(sides["c"]) if "c" in sides else None
            yield frame[-1], int(frame[-2][5:]), snapshot, bids, asks, crc
        elif isinstance(frame, dict) and frame.get("channel") == "book":
            one = frame["data"][0]
            bids, asks = ([(x["price"], x["qty"]) for x in one[k]] for k in ("bids", "asks"))
            yield one["symbol"], 10, frame["type"] == "snapshot", bids, asks, one["checksum"]


def okx_messages(path: Path) -> Iterator[tuple[str, int, bool, list, list, int | None]]:
    for line in lines(path):
        frame = line.get("frame") or {}
        if frame.get("arg", {}).get("channel") == "books" and "action" in frame:
            one = frame["data"][0]
            snapshot = frame["action"] == "snapshot"
            name = frame["arg"]["instId"]
            yield name, 400, snapshot, one["bids"], one["asks"], one["checksum"]


def kraken_crc(bids: list, asks: list) -> int:
    numbers = [text for price, qty in asks[:10] + bids[:10] for text in (price, qty)]
    return zlib.crc32("".join(n.replace(".", "").lstrip("0") for n in numbers).encode())


def okx_crc(bids: list, asks: list) -> int:
    turns = [level for pair in zip(bids[:25], asks[:25], strict=True) for level in pair]
    crc = zlib.crc32(":".join(text for level in turns for text in level).encode())
    return int(np.uint32(crc).astype(np.int32))


CHECKSUMS = [
    ("adapters/kraken_v1_20210417T1648", kraken_messages, kraken_crc, 3181),
    ("adapters/kraken_v2_BTCUSD_d10_20260816T2337", kraken_messages, kraken_crc, 54),
    ("adapters/okx_20220513T1627", okx_messages, okx_crc, 290),
]


@pytest.mark.parametrize(("name", "messages", "crc", "n"), CHECKSUMS)
def test_every_recorded_checksum_holds(data_path: Find, name: str, messages, crc, n: int) -> None:
    """Twice: a dictionary of texts here, and the synchroniser's verdicts above on `OK`."""
    path = path_of(data_path, name)
    books: dict[str, tuple[dict, dict]] = {}
    held = 0
    for symbol, depth, snapshot, *sides, checksum in messages(path):
        if snapshot:
            books[symbol] = {}, {}
        ranked = []
        for k, (book, levels) in enumerate(zip(books[symbol], sides, strict=True)):
            for price, qty, *_ in levels:
                key = float(price)
                book.pop(key, None)
                if float(qty):
                    book[key] = str(price), str(qty)
            for key in sorted(book, reverse=k == 0)[depth:]:
                del book[key]
            ranked.append([book[key] for key in sorted(book, reverse=k == 0)])
        held += checksum is not None and crc(*ranked) == checksum
    found = run(path)
    assert held == found.n_checksums == n
    assert Verdict.CHECKSUM_FAIL not in found.verdicts


EXAMPLES = {"bybit", "coinbase", "deribit", "kraken", "okx"}


def test_documentation_examples_are_read_or_named(data_path: Find) -> None:
    """Single messages of the venues' documentation: none raises, and all account for themselves."""
    account, parsers = Account(), {venue: parser_for(venue) for venue in EXAMPLES}
    for line in recorded(path_of(data_path, "adapters/message_examples")):
        if line.venue in parsers:
            account.add(parsers[line.venue].parse(line.frame, ts_recv_ns=1))
    assert account.problems() == []
    assert account.classes[FrameClass.DATA] >= 15


# fmt: off
UNLISTED = ["adapters/bitmex_20210722T2236", "adapters/dydx_20211028T1803",
            "adapters/gateio_20210422T1212", "adapters/gateio_futures_20230524T1209"]
# fmt: on


@pytest.mark.parametrize("name", UNLISTED)
def test_unlisted_venue_is_refused_by_name(data_path: Find, name: str) -> None:
    venue = name.removeprefix("adapters/").partition("_")[0]
    with pytest.raises(NoParserError, match=f"no parser for venue '{venue}'"):
        FrameFile(path_of(data_path, name))


def test_lines_of_unlisted_venues_are_quarantined_by_name(data_path: Find) -> None:
    found = FrameFile(path_of(data_path, "adapters/rest_poloniex_recorded"))
    reasons = {parsed.reason.partition(";")[0] for _, parsed in found}
    assert reasons == {"no parser for venue 'poloniex'"}


def zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, "zstd", asbytes=True))


# fmt: off
DAMAGED = [
    ("no file",        None,                          "no such file"),
    ("not compressed", b'{"recv_ns":1,"frame":{}}',   "not zstd, or cut short or damaged"),
    ("cut short",      zstd(b'{"recv_ns":1}\n')[:-3], "not zstd, or cut short or damaged"),
    ("endless line",   zstd(b" " * (65 << 20)),       "a line is longer than any frame"),
    ("no JSON",        zstd(b"x,y"),                  "line 1: not a recorded frame"),
    ("no number",      zstd(b'{"recv_ns":"1"}'),      "line 1: not a recorded frame"),
]
# fmt: on


@pytest.mark.parametrize(("what", "content", "message"), DAMAGED)
def test_damaged_recording_is_an_error_that_says_where(
    tmp_path: Path, what: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / "coinbase_X.jsonl.zst"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordingError, match=message) as error:
        list(FrameFile(path))
    assert str(path) in str(error.value)
