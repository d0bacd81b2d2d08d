"""Small Parquet tapes for tests, one line per column that differs from the plain one."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.rows import MarketRows, concat
from venues.feed import Feed

T0 = 1_700_000_000_000_000_000
MS = 1_000_000


def trades(n: int = 4, **other: Any) -> dict[str, Any]:
    """Columns of a plain tape of trades, 1 ms apart; a keyword replaces a column, None drops it."""
    plain: dict[str, Any] = {
        "ts_ns": [T0 + k * MS for k in range(n)],
        "venue": ["binance_spot"] * n,
        "symbol": ["BTCUSDT"] * n,
        "price": [100.0 + k for k in range(n)],
        "size": [0.5] * n,
        "side": pa.array([1] * n, pa.int8()),
        "trade_id": [str(k) for k in range(n)],
        "recv_ns": [T0 + (k + 2) * MS for k in range(n)],
    }
    return _replaced(plain, other)


def quotes(n: int = 4, **other: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "ts_ns": [T0 + k * MS for k in range(n)],
        "venue": ["binance_spot"] * n,
        "symbol": ["BTCUSDT"] * n,
        "bid_px": [100.0] * n,
        "bid_sz": [1.0] * n,
        "ask_px": [100.5] * n,
        "ask_sz": [2.0] * n,
        "recv_ns": [T0 + (k + 2) * MS for k in range(n)],
        "seq": [7 + k for k in range(n)],
    }
    return _replaced(plain, other)


def book(n: int = 4, **other: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "ts_ns": [T0 + k * MS for k in range(n)],
        "venue": ["binance_spot"] * n,
        "symbol": ["BTCUSDT"] * n,
        "side": pa.array([1] * n, pa.int8()),
        "price": [100.0] * n,
        "size": [1.0] * n,
        "is_snapshot": [False] * n,
        "seq": [7 + k for k in range(n)],
        "prev_seq": [6 + k for k in range(n)],
        "recv_ns": [T0 + (k + 2) * MS for k in range(n)],
    }
    return _replaced(plain, other)


def bars(n: int = 4, **other: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "ts_ns": [T0 + k * 60_000 * MS for k in range(n)],
        "venue": ["kraken"] * n,
        "symbol": ["BTCUSD"] * n,
        "interval_s": pa.array([60] * n, pa.int32()),
        "open": [100.0] * n,
        "high": [103.0] * n,
        "low": [99.0] * n,
        "close": [102.0] * n,
        "volume": [5.0] * n,
    }
    return _replaced(plain, other)


def write(path: Path, columns: dict[str, Any], row_group_size: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return path


def read(feed: Feed, start: int = 0, batch_rows: int = 1000) -> MarketRows:
    return concat(list(feed.read(start, batch_rows)))


def same(found: MarketRows, expected: MarketRows) -> None:
    """Bytes of every column are equal."""
    for name in MarketRows._fields:
        a, b = getattr(found, name), getattr(expected, name)
        assert a.dtype == b.dtype, name
        assert a.tobytes() == b.tobytes(), name


def cut(rows: MarketRows, start: int, stop: int | None = None) -> MarketRows:
    return MarketRows._make(np.ascontiguousarray(column[start:stop]) for column in rows)


def _replaced(plain: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {name: column for name, column in (plain | other).items() if column is not None}
