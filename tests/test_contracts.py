"""What the names of contracts say: expiry, strike and right, as venues and recordings have them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.tape_files import trades, write
from venues.contracts import NO_CONTRACT, contract_of
from venues.tape import open_tapes

# fmt: off
NAMED = [  # venue, name; expiry in UTC, strike, right
    ("binance_coinm",  "BTCUSD_240927",          "2024-09-27T08:00", "",        ""),
    ("binance_usdm",   "ETHUSDT_240927",         "2024-09-27T08:00", "",        ""),
    ("bybit_linear",   "BTCUSDT-26JUN26",        "2026-06-26T08:00", "",        ""),
    ("bybit_linear",   "ETH-2JAN26",             "2026-01-02T08:00", "",        ""),
    ("deribit",        "BTC-30OCT26",            "2026-10-30T08:00", "",        ""),
    ("deribit",        "BTC-2AUG26",             "2026-08-02T08:00", "",        ""),
    ("deribit",        "BTC-26MAR27-56000-C",    "2027-03-26T08:00", "56000",   "C"),
    ("deribit",        "XRP_USDC-27DEC24-0d55-P", "2024-12-27T08:00", "0.55",   "P"),
    ("okx",            "BTC-USD-220527",         "2022-05-27T08:00", "",        ""),
    ("okx",            "BTC-USD-220527-30000-C", "2022-05-27T08:00", "30000",   "C"),
    ("kraken_futures", "FI_XBTUSD_210924",       "2021-09-24T15:00", "",        ""),
    ("kraken_futures", "FI_ETHUSD_211231",       "2021-12-31T16:00", "",        ""),
    ("us_options",     "GOOG-20160122-732.5-C",  "2016-01-22T21:00", "732.5",   "C"),
    ("us_options",     "GOOG-20160715-730-P",    "2016-07-15T20:00", "730",     "P"),
]
ENDLESS = [
    ("binance_coinm", "BTCUSD_PERP"), ("binance_spot", "BTCUSDT"), ("deribit", "BTC-PERPETUAL"),
    ("okx", "BTC-USDT-SWAP"), ("kraken_futures", "PI_XBTUSD"), ("us_options", "GOOG"),
    ("bybit_linear", "BTCPERP"),
    ("binance_coinm", "BTCUSD_249927"), ("nowhere", "BTC-26MAR27-56000-C"),
]
# fmt: on


@pytest.mark.parametrize(("venue", "name", "expiry", "strike", "right"), NAMED)
def test_contract_of_a_name(venue: str, name: str, expiry: str, strike: str, right: str) -> None:
    found = contract_of(venue, name)
    said = datetime.fromtimestamp(found.expiry_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M")
    assert (said, found.strike, found.right) == (expiry, strike, right)


@pytest.mark.parametrize(("venue", "name"), ENDLESS)
def test_name_without_an_end(venue: str, name: str) -> None:
    assert contract_of(venue, name) == NO_CONTRACT


@pytest.mark.parametrize("folder", ["options/deribit_BTC_20260801T1758",
                                    "options/us_options_GOOG_20151224_1m",
                                    "futures_chain/deribit_BTC_20260801T1758"])  # fmt: skip
def test_names_agree_with_what_recordings_say(data_path: Any, folder: str) -> None:
    import pyarrow.parquet as pq

    recorded = pq.read_table(data_path(f"{folder}.parquet")).to_pylist()
    of_name = {row["symbol"]: row for row in recorded}
    for name, row in of_name.items():
        found = contract_of(row["venue"], name)
        assert found.expiry_ns == (row["expiry_ns"] or 0), name
        if "strike" in row:
            assert float(found.strike) == row["strike"], name
            assert found.right == row["right"], name


def test_table_of_a_tape_has_the_expiry(tmp_path: Any) -> None:
    future = write(tmp_path / "a.parquet",
                   trades(venue=["binance_coinm"] * 4, symbol=["BTCUSD_240927"] * 4))  # fmt: skip
    (one,) = open_tapes([future]).table.instruments
    assert one.expiry_ns == contract_of("binance_coinm", "BTCUSD_240927").expiry_ns > 0
    assert (one.strike, one.right) == ("", "")
