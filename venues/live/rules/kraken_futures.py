"""Kraken Futures, websocket version 1."""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from venues.live.rules.lists import decoded, message, number, step
from venues.live.venue import LiveVenue, Steps


class _Instrument(Struct):
    symbol: str
    tick: Raw | UnsetType = field(name="tickSize", default=UNSET)  # indices have none
    decimals: int = field(name="contractValueTradePrecision", default=0)


class _List(Struct):
    instruments: list[_Instrument]


_LIST = msgspec.json.Decoder(_List)


def kraken_futures() -> LiveVenue:
    """The snapshot comes with the subscription; a feed of its own tells the venue's time."""

    def feed(event: str, name: str, products: Sequence[str]) -> str:
        return message({"event": event, "feed": name, "product_ids": list(products)})

    def subscribe(names: Sequence[str]) -> list[str]:
        feeds = [feed("subscribe", name, names) for name in ("book", "trade", "ticker")]
        return [*feeds, message({"event": "subscribe", "feed": "heartbeat"})]

    return LiveVenue(
        name="kraken_futures",
        ws="wss://futures.kraken.com/ws/v1",
        rest="https://futures.kraken.com",
        names=r"(PI|PF|FI|FF)_[A-Z0-9]{5,16}(_[0-9]{6})?",
        example="PF_XBTUSD",
        subscribe=subscribe,
        again=lambda name, parser: [
            feed("unsubscribe", "book", [name]), feed("subscribe", "book", [name]),
        ],
        lists=lambda name: "/derivatives/api/v3/instruments",
        steps=kraken_futures_steps,
        silent_s=10.0,
    )  # fmt: skip


def kraken_futures_steps(body: bytes, name: str) -> Steps | None:
    for one in decoded(_LIST, body).instruments:
        if one.symbol.upper() == name and one.tick is not UNSET:
            return Steps(number(one.tick), step(one.decimals))
    return None
