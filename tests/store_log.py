"""A made log of every stored topic, with all that files by day, venue and symbol can trip over."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from flows.desk_run import RECORD, SIGNAL_NAMES, TABLE, RunRecord
from flows.log.api import Log, Partition
from flows.log.codec import encode_json, encode_rows, rows_from
from operators.market.books.words import BookReason, BookState
from schemas.instruments import InstrumentTable
from schemas.kinds import NO_SYMBOL, Control, Engine, Flag, Kind, ReportCode, Role, Side
from schemas.reasons import Reason
from schemas.rows import DecisionRows, FeatureRows, MarketRows, dtypes
from schemas.signal_rows import SignalRows
from schemas.topics import (
    DECISIONS,
    FEATURES,
    LEDGER,
    MARKET,
    ORDERS,
    QUARANTINE,
    REPORTS,
    SIGNALS,
    topic_named,
)
from tests.desk_cases import DAY, SECOND, START, instrument, table

INSTRUMENTS: InstrumentTable = table(
    instrument(0, venue="kraken", name="BTC/USD"),
    instrument(1, venue="a=b %?*", name="../x [y]'\N{GREEK SMALL LETTER MU}"),
    instrument(0, lane=2, venue="kraken", name="ETH/USD"),
    lanes=3,
)
LANES = INSTRUMENTS.active_lanes()
SIGNALS_MADE = ("cvd", "footprint_poc", "microprice")
FIRST_NS = START + DAY - 20 * SECOND  # rows of a second each, so that two days meet
_CODES: dict[str, list[int]] = {
    "kind": [
        Kind.TRADE,
        Kind.QUOTE,
        Kind.BOOK,
        Kind.BOOK_STATUS,
        Kind.REPORT,
        Kind.CONTROL,
        Kind.HEARTBEAT,
    ],
    "side": list(Side),
    "side_second": list(Side),
    "role": list(Role),
    "reason": [*Reason, *BookReason, 999],  # a number that this program has no name for
    "engine": list(Engine),
    "approved": [0, 1],
    "flags": [0, Flag.MSG_LAST, Flag.SNAPSHOT],
    "symbol": [0, 1],
    "symbol_second": [NO_SYMBOL, 0],
}
Made = dict[Partition, Any]


def made(n: int, *, seed: int = 1) -> Made:
    """About `n` rows of each partition, as the log gives them back."""
    chance, rows = np.random.default_rng(seed), Made()
    for lane in LANES:
        market = _random(MarketRows, n, lane, chance)
        rows[MARKET.name, lane] = market
        features = _random(FeatureRows, n, lane, chance)
        shared = {c: getattr(market, c) for c in FeatureRows._fields if c in MarketRows._fields}
        rows[FEATURES.name, lane] = features._replace(**shared)
        rows[ORDERS.name, lane] = [_order(k, lane) for k in range(n // 3)]
        rows[REPORTS.name, lane] = [_report(k, lane) for k in range(n // 4)]
    for lane in range(INSTRUMENTS.lanes):
        refused = _random(MarketRows, n // 2, lane, chance)
        refused.ts_recv_ns[:] = chance.permutation(refused.ts_recv_ns)  # why they were refused
        refused.symbol[::5] = 77
        refused.flags[-1] = 0
        rows[QUARANTINE.name, lane] = refused
    decided = _random(DecisionRows, n, 0, chance)
    decided.lane[:] = chance.choice(LANES, n)
    rows[DECISIONS.name, 0] = decided
    rows[LEDGER.name, 0] = [_transaction(k) for k in range(n // 2)]
    for lane in LANES:
        signals = _random(SignalRows, n, lane, chance)
        values = chance.normal(size=(n, len(SIGNALS_MADE)))
        values[chance.random(values.shape) < 0.3] = np.nan
        rows[SIGNALS.name, lane] = signals._replace(values=values)
    return rows


def write(
    log: Log,
    rows: Mapping[Partition, Any],
    *,
    until: float = 1.0,
    emptied: Mapping[Partition, int] | None = None,
) -> None:
    """Append that share of each partition's rows, in messages of uneven length.

    `emptied` has the last seq that once was written where retention has taken everything.
    """
    writer = log.writer()
    for (name, lane), last_seq in (emptied or {}).items():
        writer.resume(name, lane, last_seq)
    named = {SIGNAL_NAMES: json.dumps(SIGNALS_MADE), TABLE: INSTRUMENTS.to_json()}
    writer.append([], {**named, RECORD: run_record("made", INSTRUMENTS).to_json()})
    for (name, lane), whole in rows.items():
        topic, n = topic_named(name), int(size(whole) * until)
        if isinstance(whole, list):
            writer.append(encode_json(topic, lane=lane, rows=whole[:n], code_version="t"))
            continue
        for start in range(0, n, 7):
            part = rows_from(whole, start, min(start + 7, n))
            writer.append(encode_rows(topic, lane=lane, rows=part, code_version="t"))
    writer.flush()
    writer.close()


def size(rows: Any) -> int:
    return len(rows) if isinstance(rows, list) else int(rows.seq.size)


def files(store: Path) -> dict[str, bytes]:
    """Every Parquet file of a store, by its path in there."""
    return {str(f.relative_to(store)): f.read_bytes() for f in sorted(store.rglob("*.parquet"))}


def stored_seqs(store: Path) -> dict[Partition, list[int]]:
    """The `seq` of every stored row by topic and partition, with repeats, ascending."""
    found: dict[Partition, list[int]] = {}
    for file in store.rglob("*.parquet"):
        partition = (file.relative_to(store).parts[0], int(file.name[4:6]))
        seqs = pq.ParquetFile(file).read(columns=["seq"])["seq"].to_pylist()
        found[partition] = sorted(found.get(partition, []) + seqs)
    return found


def run_record(run_id: str, instruments: InstrumentTable) -> RunRecord:
    """A first record that says no more than which run it is."""
    return RunRecord(
        run_id, {}, "", "embedded", "fused", True, [], instruments.digest(), {}, "", "", ""
    )


def _random(kind: Any, n: int, lane: int, chance: np.random.Generator) -> Any:
    columns: dict[str, Any] = {}
    for name, dtype in dtypes(kind).items():
        if dtype.kind == "f":
            column = chance.normal(100.0, 5.0, n)
            column[chance.random(n) < 0.3] = np.nan
        else:
            column = chance.choice(_CODES.get(name, [0, 1, 5]), n).astype(dtype)
        columns[name] = column
    columns["seq"] = np.arange(n, dtype=np.int64)
    columns["lane"] = np.full(n, lane, np.int16)
    columns["ts_recv_ns"] = FIRST_NS + SECOND * np.arange(n) + 123_456_789
    columns["ts_event_ns"] = columns["ts_recv_ns"] - chance.integers(-5, 9, n)
    columns["flags"][-1] = Flag.END
    nobody = np.isin(columns["kind"], [Kind.CONTROL, Kind.HEARTBEAT])
    columns["symbol"][nobody] = NO_SYMBOL
    if lane == 2:
        columns["symbol"][~nobody] = 0
    if "code" in columns:
        for words, mine in (
            (ReportCode, columns["kind"] > 0),
            (Control, columns["kind"] == Kind.CONTROL),
            (BookState, columns["kind"] == Kind.BOOK_STATUS),
        ):
            columns["code"][mine] = chance.choice(list(words), mine.sum())
    return kind(**columns)


def _order(k: int, lane: int) -> dict[str, Any]:
    row = {
        "seq": k, "lane": lane, "ts_recv_ns": FIRST_NS + 3 * k * SECOND, "market_seq": 3 * k,
        "ref_id": k, "client_id": f"{lane}-{k}-ENTRY", "instrument": _id(lane, k % 2),
        "role": "ENTRY", "order_type": "LIMIT", "side": "BUY", "qty": "0.10000001", "reason": "OK",
    }  # fmt: skip
    return row | ({"price": "61665.994999999995"} if k % 2 else {"hold_ns": 7})


def _report(k: int, lane: int) -> dict[str, Any]:
    times = {"ts_event_ns": FIRST_NS + k, "ts_recv_ns": FIRST_NS + 4 * k * SECOND}
    if k % 3 == 2:
        return {"seq": k, "lane": lane, **times, "code": "DRAINED"}
    return {
        "seq": k, "lane": lane, **times, "market_seq": 4 * k, "ref_id": k, "client_id": f"c{k}",
        "instrument": _id(lane, k % 2), "role": "STOP", "code": "FILLED", "side": "SELL",
        "qty": "3", "price": None if k % 2 else "1.5", "fee": "-0.00000001", "reason": "OK",
    }  # fmt: skip


def _transaction(k: int) -> dict[str, Any]:
    return {
        "seq": k, "lane": 0, "market_seq": k, "ref_id": k, "kind": "close", "memo": f"it's {k}",
        "ts_event_ns": FIRST_NS + k, "ts_recv_ns": FIRST_NS + 2 * k * SECOND,
        "postings": [["assets:desk", "BTC", f"0.00{k + 1}"], ["rounding", "BTC", f"-0.00{k + 1}"]],
    }  # fmt: skip


def _id(lane: int, symbol: int) -> str:
    return INSTRUMENTS.instruments[symbol if lane == 0 else 2].id
