"""Deribit, version 2: perpetuals, dated futures and options."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct, field

from venues.live.holes import Missed
from venues.live.rules.lists import decoded, message, number
from venues.live.venue import LiveVenue, Steps


class _Instrument(Struct):
    name: str = field(name="instrument_name")
    tick: Raw = field(name="tick_size")
    lot: Raw = field(name="min_trade_amount")
    base: str = field(name="base_currency", default="")
    quote: str = field(name="quote_currency", default="")


class _Answer(Struct):
    result: _Instrument


_ANSWER = msgspec.json.Decoder(_Answer)


def deribit() -> LiveVenue:
    """Every 100 ms: messages without delay need an account. Figures come every 2 s."""

    def call(method: str, channels: Sequence[str]) -> str:
        params = {"channels": list(channels)}
        return message({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})

    def subscribe(names: Sequence[str]) -> list[str]:
        channels = [
            each
            for name in names
            for each in (
                f"book.{name}.100ms",
                f"trades.{name}.100ms",
                f"quote.{name}",
                f"ticker.{name}.agg2",
            )
        ]
        return [call("public/subscribe", channels)]

    def again(name: str) -> list[str]:
        channel = f"book.{name}.100ms"
        return [call("public/unsubscribe", [channel]), call("public/subscribe", [channel])]

    return LiveVenue(
        name="deribit",
        ws="wss://www.deribit.com/ws/api/v2",
        rest="https://www.deribit.com",
        names=r"[A-Z0-9]{2,10}(_USDC|_USDT)?"
        r"-(PERPETUAL|[0-9]{1,2}[A-Z]{3}[0-9]{2}(-[0-9]{1,9}(d[0-9]{1,9})?-[CP])?)",
        example="BTC-PERPETUAL",
        subscribe=subscribe,
        again=lambda name, parser: again(name),
        lists=lambda name: f"/api/v2/public/get_instrument?instrument_name={name}",
        steps=deribit_steps,
        silent_s=10.0,
        probe=message({"jsonrpc": "2.0", "id": 2, "method": "public/test", "params": {}}),
        missed=Missed(
            lambda name, hole: (
                f"/api/v2/public/get_last_trades_by_instrument?instrument_name={name}"
                f"&start_seq={hole.first}&end_seq={hole.last}&count=1000&sorting=asc"
            )
        ),
    )


def deribit_steps(body: bytes, name: str) -> Steps | None:
    """Without its contract size: books and trades tell amounts, not contracts."""
    found = decoded(_ANSWER, body).result
    if found.name != name:
        return None
    return Steps(number(found.tick), number(found.lot), base=found.base, quote=found.quote)
