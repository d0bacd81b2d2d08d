"""Bybit spot, version 5."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct, field

from venues.live.rules.lists import decoded, message, plain
from venues.live.venue import LiveVenue, Steps

DEPTH = 200  # levels a side; 1, 50, 200 and 1000 are offered
PING_S = 20.0  # as the venue asks, however busy the connection is


class _Price(Struct):
    tick: str = field(name="tickSize")


class _Lot(Struct):
    step: str = field(name="basePrecision")


class _Instrument(Struct):
    symbol: str
    price: _Price = field(name="priceFilter")
    lot: _Lot = field(name="lotSizeFilter")


class _Result(Struct):
    list: list[_Instrument]


class _List(Struct):
    result: _Result


_LIST = msgspec.json.Decoder(_List)


def bybit(*, depth: int = DEPTH) -> LiveVenue:
    """The snapshot comes with the subscription; a message's u is the number after the last."""

    def book(name: str) -> str:
        return f"orderbook.{depth}.{name}"

    def subscribe(names: Sequence[str]) -> list[str]:
        # at most 10 topics in a message
        return [message({"op": "subscribe", "args": [book(n), f"publicTrade.{n}"]}) for n in names]

    def again(name: str) -> list[str]:
        return [message({"op": op, "args": [book(name)]}) for op in ("unsubscribe", "subscribe")]

    return LiveVenue(
        name="bybit",
        ws="wss://stream.bybit.com/v5/public/spot",
        rest="https://api.bybit.com",
        names=r"[A-Z0-9]{4,20}",
        example="BTCUSDT",
        subscribe=subscribe,
        again=lambda name, parser: again(name),
        lists=lambda name: f"/v5/market/instruments-info?category=spot&symbol={name}",
        steps=bybit_steps,
        silent_s=10.0,
        probe=message({"op": "ping"}),
        ping_s=PING_S,
        depth=depth,
    )


def bybit_steps(body: bytes, name: str) -> Steps | None:
    for one in decoded(_LIST, body).result.list:
        if one.symbol == name:
            return Steps(plain(one.price.tick), plain(one.lot.step))
    return None
