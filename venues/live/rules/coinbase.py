"""Coinbase Exchange."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct, field

from venues.live.holes import Missed
from venues.live.rules.lists import decoded, message, plain
from venues.live.venue import LiveVenue, Steps

AUDIT_S = 60.0  # how long a lost change can stay in a book whose feed proves nothing


class _Product(Struct):
    id: str
    quote_increment: str
    base_increment: str
    base: str = field(name="base_currency", default="")
    quote: str = field(name="quote_currency", default="")


_PRODUCT = msgspec.json.Decoder(_Product)


def coinbase() -> LiveVenue:
    """`level2` needs an account, `level2_batch` (every 50 ms) does not."""

    def level2(method: str, name: str) -> str:
        return message({"type": method, "product_ids": [name], "channels": ["level2_batch"]})

    def subscribe(names: Sequence[str]) -> list[str]:
        channels = ["level2_batch", "matches", "ticker", "heartbeat"]
        return [message({"type": "subscribe", "product_ids": list(names), "channels": channels})]

    return LiveVenue(
        name="coinbase",
        ws="wss://ws-feed.exchange.coinbase.com",
        rest="https://api.exchange.coinbase.com",
        names=r"[A-Z0-9]{1,12}-[A-Z0-9]{2,8}",
        example="BTC-USD",
        subscribe=subscribe,
        again=lambda name, parser: [level2("unsubscribe", name), level2("subscribe", name)],
        lists=lambda name: f"/products/{name}",
        steps=coinbase_steps,
        silent_s=5.0,
        audit=lambda name: f"/products/{name}/book?level=2",
        audit_s=AUDIT_S,
        missed=Missed(
            lambda name, hole: f"/products/{name}/trades?after={hole.last + 1}&limit=1000",
            newest_first=True,
        ),
    )


def coinbase_steps(body: bytes, name: str) -> Steps | None:
    found = decoded(_PRODUCT, body)
    if found.id != name:
        return None
    steps = plain(found.quote_increment), plain(found.base_increment)
    return Steps(*steps, base=found.base, quote=found.quote)
