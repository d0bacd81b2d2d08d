"""Promise: what a live feed reads in a venue's instrument list is what ccxt reads in it.

Steps, contract sizes and currencies of the markets of recorded lists, each read twice.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from venues.live import LIVE
from venues.live.library import new_exchange
from venues.venue_classes import common_name

EXAMPLES = "raw/adapters/message_examples.jsonl.zst"
BINANCE = "raw/adapters/rest_binance_recorded.jsonl.zst"
# fmt: off
# Venue, ccxt's name of it; file, and what its line is called; markets in it that run live.
LISTS = [
    ("binance_spot",   "binance",       BINANCE,  "/api/v3/exchangeInfo",               25),
    ("binance_usdm",   "binanceusdm",   BINANCE,  "/fapi/v1/exchangeInfo",              25),
    ("binance_coinm",  "binancecoinm",  BINANCE,  "/dapi/v1/exchangeInfo",              25),
    ("kraken_futures", "krakenfutures", EXAMPLES, "kraken http_futures_instruments",    4),
    ("okx",            "okx",           EXAMPLES, "okx http_get_instruments_spot",      5),
    ("okx",            "okx",           EXAMPLES, "okx http_get_instruments_swap",      3),
    ("okx",            "okx",           EXAMPLES, "okx http_get_instruments_futures",   6),
    ("bybit",          "bybit",         EXAMPLES, "bybit http_get_instruments_spot",    2),
    ("deribit",        "deribit",       EXAMPLES, "deribit http_get_instruments",       3),
]
# fmt: on


@pytest.mark.parametrize(("venue", "name", "file", "line", "n_markets"), LISTS)
def test_two_readers_of_one_list_agree(
    venue: str, name: str, file: str, line: str, n_markets: int, data_path: Callable[[str], Path]
) -> None:
    answer = recorded_answer(data_path(file), line)
    exchange = new_exchange(name)
    exchange.enableRateLimit = False
    exchange.options["fetchMarkets"] = {"types": ["spot"]} if venue == "bybit" else {}
    exchange.fetch = lambda *_: answer  # to all that it asks
    read = 0
    for market in exchange.load_markets().values():
        if market["option"]:
            continue
        body = {"result": market["info"]} if venue == "deribit" else answer  # a list of one
        steps = LIVE[venue].steps(json.dumps(body).encode(), market["id"].upper())
        assert steps is not None
        assert numbers(steps.tick, steps.lot) == numbers(
            market["precision"]["price"], market["precision"]["amount"]
        )
        if steps.contract:
            assert numbers(steps.contract) == numbers(market["contractSize"])
        else:  # of one unit of the base; Deribit's rows have amounts, not contracts
            assert market["contractSize"] in (None, 1.0) or venue == "deribit"
        if steps.base:
            names = {common_name(market[key]) for key in ("base", "baseId")}  # ccxt renames some
            assert common_name(steps.base) in names
            assert common_name(steps.quote) == market["quote"]
        read += 1
    assert read == n_markets


def recorded_answer(path: Path, line: str) -> Any:
    """The first answer that is named so, or was asked for with this path."""
    with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
        lines = [json.loads(text) for text in stream.read().splitlines()]
    return next(
        one["frame"]
        for one in lines
        if line in (f"{one['venue']} {one.get('name')}", one.get("path"))
    )


def numbers(*texts: Any) -> list[Decimal]:
    return [Decimal(str(text)) for text in texts]
