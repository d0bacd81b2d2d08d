"""Kraken spot, websocket version 2."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from schemas.instruments import asset_of
from venues.frames.kraken import rest_pair
from venues.live.holes import Hole, Missed
from venues.live.rules.lists import decoded, message, plain, step
from venues.live.venue import LiveVenue, Steps

DEPTH = 100  # levels a side; 10, 25, 100, 500 and 1000 are offered


class _Pair(Struct):
    wsname: str = ""
    tick_size: str = ""
    lot_decimals: int = 8


class _List(Struct):
    result: dict[str, _Pair]


_LIST = msgspec.json.Decoder(_List)


def kraken(*, depth: int = DEPTH) -> LiveVenue:
    """The snapshot comes with the subscription, a heartbeat once a second."""

    def book(method: str, names: Sequence[str]) -> str:
        params: dict[str, object] = {"channel": "book", "symbol": list(names), "depth": depth}
        if method == "subscribe":
            params["snapshot"] = True
        return message({"method": method, "params": params})

    def subscribe(names: Sequence[str]) -> list[str]:
        trade = {"channel": "trade", "symbol": list(names)}
        ticker = {"channel": "ticker", "symbol": list(names), "event_trigger": "bbo"}
        others = [message({"method": "subscribe", "params": params}) for params in (trade, ticker)]
        return [book("subscribe", names), *others]

    return LiveVenue(
        name="kraken",
        ws="wss://ws.kraken.com/v2",
        rest="https://api.kraken.com",
        names=r"[A-Z0-9.]{1,12}/[A-Z0-9]{2,8}",
        example="BTC/USD",
        subscribe=subscribe,
        again=lambda name, parser: [book("unsubscribe", [name]), book("subscribe", [name])],
        lists=lambda name: "/0/public/AssetPairs",
        steps=kraken_steps,
        silent_s=5.0,
        probe=message({"method": "ping"}),
        depth=depth,
        missed=Missed(_trades),
    )


def kraken_steps(body: bytes, name: str) -> Steps | None:
    for pair in decoded(_LIST, body).result.values():
        # the list says XBT/USD, the websocket BTC/USD
        if "/".join(asset_of(part) for part in pair.wsname.split("/")) == name:
            return Steps(plain(pair.tick_size), step(pair.lot_decimals))
    return None


def _trades(name: str, hole: Hole) -> str:
    """By time: the answer has the numbers."""
    return f"/0/public/Trades?pair={rest_pair(name)}&since={hole.since_ns}&count=1000"
