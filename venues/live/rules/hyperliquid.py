"""Hyperliquid perpetuals."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct, field

from venues.live.holes import Missed, Numbers
from venues.live.rules.lists import decoded, message, step
from venues.live.venue import LiveVenue, Steps

DEPTH = 20  # levels a side of each message
DECIMALS = 6  # of prices and quantities of perpetuals together


class _Coin(Struct):
    name: str
    decimals: int = field(name="szDecimals")


class _Meta(Struct):
    universe: list[_Coin]


_META = msgspec.json.Decoder(_Meta)


def hyperliquid() -> LiveVenue:
    """Every book message is the whole book; the first of trades has the last ones before it.

    ccxt only knows an account's own trades here, so missed ones are asked for without it.
    """

    def one(method: str, channel: str, coin: str) -> str:
        return message({"method": method, "subscription": {"type": channel, "coin": coin}})

    def subscribe(names: Sequence[str]) -> list[str]:
        channels = ("l2Book", "trades", "bbo", "activeAssetCtx")
        return [one("subscribe", channel, name) for name in names for channel in channels]

    return LiveVenue(
        name="hyperliquid",
        ws="wss://api.hyperliquid.xyz/ws",
        rest="https://api.hyperliquid.xyz",
        names=r"k?[A-Z0-9]{1,12}",
        example="BTC",
        subscribe=subscribe,
        again=lambda name, parser: [
            one("unsubscribe", "l2Book", name), one("subscribe", "l2Book", name),
        ],
        lists=lambda name: "/info",
        list_body=message({"type": "meta"}),
        steps=hyperliquid_steps,
        silent_s=10.0,
        probe=message({"method": "ping"}),
        depth=DEPTH,
        whole=True,
        missed=Missed(
            lambda name, hole: f"/info?type=recentTrades&coin={name}",
            Numbers.NAMES,
            newest_first=True,
            posts=True,
        ),
    )  # fmt: skip


def hyperliquid_steps(body: bytes, name: str) -> Steps | None:
    """Prices have at most five digits besides; the step is the smallest that occurs."""
    for coin in decoded(_META, body).universe:
        if coin.name == name:
            return Steps(step(DECIMALS - coin.decimals), step(coin.decimals))
    return None
