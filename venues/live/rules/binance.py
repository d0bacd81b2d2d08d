"""Binance: spot, USDT-margined and coin-margined."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from schemas.kinds import Kind
from venues.live.errors import RestError
from venues.live.holes import Missed
from venues.live.rules.lists import decoded, message, number, plain
from venues.live.venue import Line, LiveVenue, Poll, Steps

SNAPSHOT_DEPTH = 1000  # levels a side, for 50 of the 6,000 request weights of a minute
MARKS = "markPrice@1s"  # with the index, and of perpetuals the next funding rate
INTEREST_S = 30.0  # between answers about a contract's open interest; each weighs 1 of 2,400
INTERVALS_S = 300.0  # between looks at who is settled how often: it changes a few times a month


class _Filter(Struct):
    kind: str = field(name="filterType")
    tick: str = field(name="tickSize", default="")
    step: str = field(name="stepSize", default="")


class _Symbol(Struct):
    symbol: str
    filters: list[_Filter]
    base: str = field(name="baseAsset", default="")
    quote: str = field(name="quoteAsset", default="")
    contract: Raw | UnsetType = field(name="contractSize", default=UNSET)  # coin-margined: in USD


class _List(Struct):
    symbols: list[_Symbol]


_LIST = msgspec.json.Decoder(_List)


def binance_spot() -> LiveVenue:
    """A message's U is the number after the last u."""
    return LiveVenue(
        name="binance_spot",
        ws="wss://stream.binance.com:9443/stream",
        rest="https://api.binance.com",
        names=r"[A-Z0-9]{4,20}",
        example="BTCUSDT",
        subscribe=_streams("depth@100ms", "trade", "bookTicker"),
        snapshot=lambda name: f"/api/v3/depth?symbol={name}&limit={SNAPSHOT_DEPTH}",
        lists=lambda name: f"/api/v3/exchangeInfo?symbol={name}",
        steps=binance_steps,
        silent_s=10.0,
        probe=message({"method": "LIST_SUBSCRIPTIONS", "id": 2}),
        snapshot_depth=SNAPSHOT_DEPTH,
        missed=_from_id("/api/v3/historicalTrades"),
    )


def binance_coinm() -> LiveVenue:
    """A message's pu is the last u; trades come added up by order."""
    return replace(
        binance_spot(),
        name="binance_coinm",
        ws="wss://dstream.binance.com/stream",
        rest="https://dapi.binance.com",
        names=r"[A-Z0-9]{4,16}_(PERP|[0-9]{6})",
        example="BTCUSD_PERP",
        subscribe=_streams("depth@100ms", "aggTrade", "bookTicker", MARKS),
        snapshot=lambda name: f"/dapi/v1/depth?symbol={name}&limit={SNAPSHOT_DEPTH}",
        lists=lambda name: "/dapi/v1/exchangeInfo",
        missed=_from_id("/dapi/v1/aggTrades"),
        polls=_polls("/dapi/v1"),
    )


def binance_usdm() -> LiveVenue:
    """As coin-margined; books and quotes come over one websocket, the rest over another."""
    return replace(
        binance_spot(),
        name="binance_usdm",
        ws="wss://fstream.binance.com/public/stream",
        rest="https://fapi.binance.com",
        names=r"[A-Z0-9]{4,20}",
        example="BTCUSDT",
        subscribe=_streams("depth@100ms", "bookTicker"),
        beside=Line("wss://fstream.binance.com/market/stream", _streams("aggTrade", MARKS)),
        snapshot=lambda name: f"/fapi/v1/depth?symbol={name}&limit={SNAPSHOT_DEPTH}",
        lists=lambda name: "/fapi/v1/exchangeInfo",
        missed=_from_id("/fapi/v1/aggTrades"),
        polls=_polls("/fapi/v1"),
    )


def binance_steps(body: bytes, name: str) -> Steps | None:
    for one in decoded(_LIST, body).symbols:
        if one.symbol == name:
            ticks = [each.tick for each in one.filters if each.kind == "PRICE_FILTER"]
            lots = [each.step for each in one.filters if each.kind == "LOT_SIZE"]
            if len(ticks) != 1 or len(lots) != 1:
                raise RestError(f"{name} has no PRICE_FILTER or no LOT_SIZE")
            contract = "" if one.contract is UNSET else number(one.contract)
            return Steps(plain(ticks[0]), plain(lots[0]), contract, one.base, one.quote)
    return None


def _streams(*streams: str) -> Callable[[Sequence[str]], list[str]]:
    """These streams of each symbol, in one subscription."""

    def subscribe(names: Sequence[str]) -> list[str]:
        params = [f"{name.lower()}@{stream}" for name in names for stream in streams]
        return [message({"method": "SUBSCRIBE", "params": params, "id": 1})]

    return subscribe


def _polls(begins: str) -> tuple[Poll, ...]:
    """Open interest, which no stream has, and how often contracts are settled."""
    return (
        Poll(lambda names: [f"{begins}/fundingInfo"], INTERVALS_S, reads=Kind.FUNDING),
        Poll(lambda names: [f"{begins}/openInterest?symbol={n}" for n in names], INTEREST_S),
    )


def _from_id(path: str) -> Missed:
    return Missed(lambda name, hole: f"{path}?symbol={name}&fromId={hole.first}&limit=1000")
