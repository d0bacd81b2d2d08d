"""Open interest on tapes: contracts, dollars and coins all become the instrument's own units."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.kinds import Kind
from tests.tape_files import T0, write
from venues.tape import open_tapes

# fmt: off
UNITS = [  # venue, symbol, unit; what 1,000 of it are in the instrument's own units
    ("dollars of contracts of 100", "binance_coinm", "BTCUSD_PERP", "usd",       10.0),
    ("dollars of contracts of 10",  "binance_coinm", "ETHUSD_PERP", "USD",       100.0),
    ("contracts",                   "binance_coinm", "BTCUSD_PERP", "contracts", 1000.0),
    ("coins of a linear contract",  "binance_usdm",  "BTCUSDT",     "coin",      1000.0),
    ("ounces of contracts of 100",  "comex",         "GC201312",    "coin",      10.0),
    ("contracts of 100 ounces",     "comex",         "GC201312",    "contracts", 1000.0),
    ("no unit said",                "binance_usdm",  "BTCUSDT",     None,        1000.0),
    ("dollars of a linear one",     "binance_usdm",  "BTCUSDT",     "usd",       np.nan),
    ("coins of an inverse one",     "binance_coinm", "BTCUSD_PERP", "coin",      np.nan),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "venue", "symbol", "unit", "own"), UNITS, ids=[u[0] for u in UNITS]
)
def test_units(
    what: str, venue: str, symbol: str, unit: str | None, own: float, tmp_path: Path
) -> None:
    columns: dict[str, Any] = {
        "ts_ns": [T0, T0 + 1], "venue": [venue] * 2, "symbol": [symbol] * 2, "oi": [1000.0, 0.0],
        "unit": pa.array([unit] * 2, pa.string()),
    }  # fmt: skip
    feed = open_tapes([write(tmp_path / "t.parquet", columns)])
    (rows,) = list(feed.read(0, feed.n_rows))
    told = rows.kind == Kind.OPEN_INTEREST
    np.testing.assert_allclose(rows.qty[told], [own, 0.0 * own])


def test_a_tape_without_the_column_is_taken_as_it_is(tmp_path: Path) -> None:
    columns = {"ts_ns": [T0], "venue": ["binance_coinm"], "symbol": ["BTCUSD_PERP"], "oi": [7.0]}
    feed = open_tapes([write(tmp_path / "t.parquet", columns)])
    (rows,) = list(feed.read(0, feed.n_rows))
    assert rows.qty[rows.kind == Kind.OPEN_INTEREST].tolist() == [7.0]
