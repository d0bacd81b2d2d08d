"""Bitstamp, websocket version 2."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from venues.live.holes import Hole, Missed, Numbers
from venues.live.rules.lists import decoded, message, step
from venues.live.venue import LiveVenue, Steps

AUDIT_S = 60.0  # how long a lost change can stay in a book whose feed proves nothing
HOUR_NS = 3_500_000_000_000  # a hole of less is in the answer for the last hour


class _Pair(Struct):
    url_symbol: str
    base_decimals: int
    counter_decimals: int


_LIST = msgspec.json.Decoder(list[_Pair])


def bitstamp() -> LiveVenue:
    """Changes ordered by time, the snapshot by REST."""

    def subscribe(names: Sequence[str]) -> list[str]:
        return [
            message({"event": "bts:subscribe", "data": {"channel": f"{channel}_{name}"}})
            for name in names
            for channel in ("diff_order_book", "live_trades")
        ]

    return LiveVenue(
        name="bitstamp",
        ws="wss://ws.bitstamp.net",
        rest="https://www.bitstamp.net",
        names=r"[a-z0-9]{5,16}",
        example="btcusd",
        subscribe=subscribe,
        snapshot=_book,
        lists=lambda name: "/api/v2/trading-pairs-info/",
        steps=bitstamp_steps,
        silent_s=10.0,
        probe=message({"event": "bts:heartbeat"}),
        leave=frozenset({"bts:request_reconnect"}),
        audit=_book,
        audit_s=AUDIT_S,
        missed=Missed(_trades, Numbers.NAMES, newest_first=True),
    )


def bitstamp_steps(body: bytes, name: str) -> Steps | None:
    for pair in decoded(_LIST, body):
        if pair.url_symbol == name:
            return Steps(step(pair.counter_decimals), step(pair.base_decimals))
    return None


def _book(name: str) -> str:
    return f"/api/v2/order_book/{name}/"


def _trades(name: str, hole: Hole) -> str:
    time = "hour" if hole.until_ns - hole.since_ns < HOUR_NS else "day"
    return f"/api/v2/transactions/{name}/?time={time}"
