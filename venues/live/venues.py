"""The venues that run live: their endpoints and their rules, as data.

Each rule is the venue's own, from its public documents. The feeds need no account.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from venues.frames import PARSERS, NoParserError
from venues.live.errors import LiveError
from venues.live.lists import binance_steps, bitstamp_steps, coinbase_steps, kraken_steps
from venues.live.venue import LiveVenue

AUDIT_S = 60.0  # how long a lost change can stay in a book whose feed proves nothing
KRAKEN_DEPTH = 100  # levels a side; 10, 25, 100, 500 and 1000 are offered
BINANCE_SNAPSHOT_DEPTH = 1000  # levels a side, for 50 of the 6,000 request weights of a minute


def live_venue(name: str) -> LiveVenue:
    """The venue's rules. NoParserError or LiveError, by name, if it has none."""
    if name not in PARSERS:
        raise NoParserError(name)
    if name not in LIVE:
        raise LiveError(
            "its frames can be read, but no live subscription is known",
            f"venue {name!r}",
            f"Live venues are {', '.join(LIVE)}",
        )
    return LIVE[name]


def kraken(*, depth: int = KRAKEN_DEPTH) -> LiveVenue:
    """Kraken spot v2: the snapshot comes with the subscription, a heartbeat once a second."""

    def book(method: str, names: Sequence[str]) -> str:
        params: dict[str, object] = {"channel": "book", "symbol": list(names), "depth": depth}
        if method == "subscribe":
            params["snapshot"] = True
        return _text({"method": method, "params": params})

    def subscribe(names: Sequence[str]) -> list[str]:
        trade = {"channel": "trade", "symbol": list(names)}
        ticker = {"channel": "ticker", "symbol": list(names), "event_trigger": "bbo"}
        others = [_text({"method": "subscribe", "params": params}) for params in (trade, ticker)]
        return [book("subscribe", names), *others]

    return LiveVenue(
        name="kraken",
        ws="wss://ws.kraken.com/v2",
        rest="https://api.kraken.com",
        names=r"[A-Z0-9.]{1,12}/[A-Z0-9]{2,8}",
        example="BTC/USD",
        subscribe=subscribe,
        again=lambda name: [book("unsubscribe", [name]), book("subscribe", [name])],
        lists=lambda name: "/0/public/AssetPairs",
        steps=kraken_steps,
        silent_s=5.0,
        probe=_text({"method": "ping"}),
        depth=depth,
    )


def binance_spot() -> LiveVenue:
    """Binance spot: a message's U is the number after the last u."""
    return LiveVenue(
        name="binance_spot",
        ws="wss://stream.binance.com:9443/stream",
        rest="https://api.binance.com",
        names=r"[A-Z0-9]{4,20}",
        example="BTCUSDT",
        subscribe=_binance("trade"),
        snapshot=lambda name: f"/api/v3/depth?symbol={name}&limit={BINANCE_SNAPSHOT_DEPTH}",
        lists=lambda name: f"/api/v3/exchangeInfo?symbol={name}",
        steps=binance_steps,
        silent_s=10.0,
        probe=_text({"method": "LIST_SUBSCRIPTIONS", "id": 2}),
        snapshot_depth=BINANCE_SNAPSHOT_DEPTH,
    )


def binance_coinm() -> LiveVenue:
    """Binance coin-margined: a message's pu is the last u; trades come added up by order."""
    return replace(
        binance_spot(),
        name="binance_coinm",
        ws="wss://dstream.binance.com/stream",
        rest="https://dapi.binance.com",
        names=r"[A-Z0-9]{4,16}_(PERP|[0-9]{6})",
        example="BTCUSD_PERP",
        subscribe=_binance("aggTrade"),
        snapshot=lambda name: f"/dapi/v1/depth?symbol={name}&limit={BINANCE_SNAPSHOT_DEPTH}",
        lists=lambda name: "/dapi/v1/exchangeInfo",
    )


def _binance(trades: str) -> Callable[[Sequence[str]], list[str]]:
    """Numbered changes every 100 ms, trades and best quotes, in one subscription."""

    def subscribe(names: Sequence[str]) -> list[str]:
        streams = [
            f"{name.lower()}@{stream}"
            for name in names
            for stream in ("depth@100ms", trades, "bookTicker")
        ]
        return [_text({"method": "SUBSCRIBE", "params": streams, "id": 1})]

    return subscribe


def coinbase() -> LiveVenue:
    """Coinbase Exchange: `level2` needs an account, `level2_batch` (every 50 ms) does not."""

    def level2(method: str, name: str) -> str:
        return _text({"type": method, "product_ids": [name], "channels": ["level2_batch"]})

    def subscribe(names: Sequence[str]) -> list[str]:
        channels = ["level2_batch", "matches", "ticker", "heartbeat"]
        return [_text({"type": "subscribe", "product_ids": list(names), "channels": channels})]

    return LiveVenue(
        name="coinbase",
        ws="wss://ws-feed.exchange.coinbase.com",
        rest="https://api.exchange.coinbase.com",
        names=r"[A-Z0-9]{1,12}-[A-Z0-9]{2,8}",
        example="BTC-USD",
        subscribe=subscribe,
        again=lambda name: [level2("unsubscribe", name), level2("subscribe", name)],
        lists=lambda name: f"/products/{name}",
        steps=coinbase_steps,
        silent_s=5.0,
        audit_s=AUDIT_S,
    )


def bitstamp() -> LiveVenue:
    """Bitstamp v2: changes ordered by time, the snapshot by REST."""

    def subscribe(names: Sequence[str]) -> list[str]:
        return [
            _text({"event": "bts:subscribe", "data": {"channel": f"{channel}_{name}"}})
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
        snapshot=lambda name: f"/api/v2/order_book/{name}/",
        lists=lambda name: "/api/v2/trading-pairs-info/",
        steps=bitstamp_steps,
        silent_s=10.0,
        probe=_text({"event": "bts:heartbeat"}),
        leave=frozenset({"bts:request_reconnect"}),
        audit_s=AUDIT_S,
    )


def at(venue: LiveVenue, *, ws: str, rest: str) -> LiveVenue:
    """The same venue at other addresses."""
    return replace(venue, ws=ws, rest=rest)


def _text(message: object) -> str:
    return json.dumps(message, separators=(",", ":"))


LIVE: dict[str, LiveVenue] = {
    venue.name: venue
    for venue in (kraken(), binance_spot(), binance_coinm(), coinbase(), bitstamp())
}
