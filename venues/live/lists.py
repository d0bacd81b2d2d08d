"""Venues' instrument lists: price and quantity steps of one symbol in a REST answer."""

from typing import TypeVar

import msgspec
from msgspec import Struct, field

from venues.live.errors import RestError
from venues.live.venue import Steps

_KRAKEN_NAMES = {"XBT": "BTC", "XDG": "DOGE"}  # the list says XBT/USD, the websocket BTC/USD


class _KrakenPair(Struct):
    wsname: str = ""
    tick_size: str = ""
    lot_decimals: int = 8


class _KrakenList(Struct):
    result: dict[str, _KrakenPair]


class _BinanceFilter(Struct):
    kind: str = field(name="filterType")
    tick: str = field(name="tickSize", default="")
    step: str = field(name="stepSize", default="")


class _BinanceSymbol(Struct):
    symbol: str
    filters: list[_BinanceFilter]


class _BinanceList(Struct):
    symbols: list[_BinanceSymbol]


class _CoinbaseProduct(Struct):
    id: str
    quote_increment: str
    base_increment: str


class _BitstampPair(Struct):
    url_symbol: str
    base_decimals: int
    counter_decimals: int


_List = TypeVar("_List")
_KRAKEN = msgspec.json.Decoder(_KrakenList)
_BINANCE = msgspec.json.Decoder(_BinanceList)
_COINBASE = msgspec.json.Decoder(_CoinbaseProduct)
_BITSTAMP = msgspec.json.Decoder(list[_BitstampPair])


def kraken_steps(body: bytes, name: str) -> Steps | None:
    for pair in _decoded(_KRAKEN, body).result.values():
        if "/".join(_KRAKEN_NAMES.get(part, part) for part in pair.wsname.split("/")) == name:
            return Steps(_plain(pair.tick_size), _step(pair.lot_decimals))
    return None


def binance_steps(body: bytes, name: str) -> Steps | None:
    for one in _decoded(_BINANCE, body).symbols:
        if one.symbol == name:
            ticks = [each.tick for each in one.filters if each.kind == "PRICE_FILTER"]
            lots = [each.step for each in one.filters if each.kind == "LOT_SIZE"]
            if len(ticks) != 1 or len(lots) != 1:
                raise RestError(f"{name} has no PRICE_FILTER or no LOT_SIZE")
            return Steps(_plain(ticks[0]), _plain(lots[0]))
    return None


def coinbase_steps(body: bytes, name: str) -> Steps | None:
    found = _decoded(_COINBASE, body)
    if found.id != name:
        return None
    return Steps(_plain(found.quote_increment), _plain(found.base_increment))


def bitstamp_steps(body: bytes, name: str) -> Steps | None:
    for pair in _decoded(_BITSTAMP, body):
        if pair.url_symbol == name:
            return Steps(_step(pair.counter_decimals), _step(pair.base_decimals))
    return None


def _decoded(decoder: "msgspec.json.Decoder[_List]", body: bytes) -> _List:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RestError(f"the instrument list cannot be read: {error}") from error


def _step(decimals: int) -> str:
    if not 0 <= decimals <= 20:
        raise RestError(f"{decimals} decimals")
    return "1" if decimals == 0 else f"0.{'0' * (decimals - 1)}1"


def _plain(text: str) -> str:
    """A decimal above zero without trailing zeros: 0.01000000 as 0.01."""
    whole, _, part = text.partition(".")
    if not (whole + part).isdigit() or not (whole + part).strip("0"):
        raise RestError(f"{text!r} is not a step of prices or quantities")
    part = part.rstrip("0")
    return f"{int(whole)}.{part}" if part else str(int(whole))
