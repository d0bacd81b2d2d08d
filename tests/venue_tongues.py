"""What venues say, for the local venue server: answers, snapshots, changes, trades, lists.

Written from the venues' public documents, apart from the code that reads them. Prices and
quantities are texts, as a venue writes them.
"""

import json
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

S_NS = 1_000_000_000


@dataclass
class Truth:
    """The venue's own book of one market: {price as float: (price, quantity) as written}."""

    number: int = 1_000
    bids: dict[float, tuple[str, str]] = field(default_factory=dict)
    asks: dict[float, tuple[str, str]] = field(default_factory=dict)

    def change(self, side: str, levels: list[tuple[str, str]]) -> None:
        book = self.bids if side == "bids" else self.asks
        for price, qty in levels:
            if float(qty):
                book[float(price)] = (price, qty)
            else:
                book.pop(float(price), None)

    def cut(self, depth: int) -> None:
        for book, best in ((self.bids, sorted(self.bids)[::-1]), (self.asks, sorted(self.asks))):
            for price in best[depth:]:
                del book[price]

    def levels(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Both sides, best first."""
        bids = [self.bids[price] for price in sorted(self.bids)[::-1]]
        return bids, [self.asks[price] for price in sorted(self.asks)]

    def numbers(self) -> tuple[dict[float, float], dict[float, float]]:
        return (
            {price: float(qty) for price, (_, qty) in self.bids.items()},
            {price: float(qty) for price, (_, qty) in self.asks.items()},
        )


class Asked(NamedTuple):
    """What a client's message asks for."""

    answers: list[bytes]
    opens: list[str]  # books that are sent from now on
    closes: list[str]
    snapshots: list[str]  # books whose snapshot the venue sends at once


class Change(NamedTuple):
    """One step of a made-up market."""

    name: str
    at_ns: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class Tongue:
    """How one venue speaks."""

    venue = ""
    heartbeat = b""  # sent by itself
    depth = 0

    def asked(self, message: Any) -> Asked:
        raise NotImplementedError

    def snapshot(self, name: str, truth: Truth, at_ns: int) -> bytes:
        raise NotImplementedError

    def change(self, step: Change, truth: Truth) -> bytes:
        """The frame of a change that the truth has taken; it moves the truth's number."""
        raise NotImplementedError

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        raise NotImplementedError

    def book_of(self, path: str) -> str | None:
        """The market whose snapshot a REST path asks for."""
        return None

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        """The answer to a request for the instrument list."""
        raise NotImplementedError


def _bytes(message: Any) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def _iso(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // S_NS, UTC).strftime("%Y-%m-%dT%H:%M:%S") + (
        f".{at_ns % S_NS // 1000:06d}Z"
    )


class Kraken(Tongue):
    venue, heartbeat, depth = "kraken", b'{"channel":"heartbeat"}', 10

    def asked(self, message: Any) -> Asked:
        params = message.get("params", {})
        if message["method"] == "ping":
            return Asked([_bytes({"method": "pong"})], [], [], [])
        names = params["symbol"]
        answers = [
            _bytes(
                {
                    "method": message["method"],
                    "result": {"channel": params["channel"], "symbol": name}
                    | ({"depth": params["depth"]} if "depth" in params else {}),
                    "success": True,
                }
            )
            for name in names
        ]
        if params["channel"] != "book":
            return Asked(answers, [], [], [])
        if message["method"] == "unsubscribe":
            return Asked(answers, [], names, [])
        return Asked(answers, names, [], names)

    def snapshot(self, name: str, truth: Truth, at_ns: int) -> bytes:
        return self._book("snapshot", name, truth, *truth.levels(), at_ns)

    def change(self, step: Change, truth: Truth) -> bytes:
        return self._book("update", step.name, truth, step.bids, step.asks, step.at_ns)

    def _book(self, kind: str, name: str, truth: Truth, bids: Any, asks: Any, at_ns: int) -> bytes:
        """Numbers are JSON numbers with the digits as written."""

        def side(levels: Any) -> str:
            return ",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in levels)

        text = "".join(
            digits.replace(".", "").lstrip("0")
            for levels in truth.levels()[::-1]
            for level in levels[:10]
            for digits in level
        )
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{name}",'
            f'"bids":[{side(bids)}],"asks":[{side(asks)}],'
            f'"checksum":{zlib.crc32(text.encode())},"timestamp":"{_iso(at_ns)}"}}]}}'
        ).encode()

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        one = {"symbol": name, "side": "buy", "price": float(price), "qty": float(qty)}
        one |= {"ord_type": "market", "trade_id": number, "timestamp": _iso(at_ns)}
        return _bytes({"channel": "trade", "type": "update", "data": [one]})

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        if path != "/0/public/AssetPairs":
            return None
        pairs = {
            name.replace("/", ""): {
                "wsname": name.replace("BTC", "XBT"), "tick_size": "0.10", "lot_decimals": 8,
            }
            for name in names
        }  # fmt: skip
        return _bytes({"error": [], "result": pairs})


class Binance(Tongue):
    venue = "binance_spot"

    def asked(self, message: Any) -> Asked:
        if message["method"] == "LIST_SUBSCRIPTIONS":
            return Asked([_bytes({"result": [], "id": message["id"]})], [], [], [])
        streams = [stream.split("@") for stream in message["params"]]
        names = [each[0].upper() for each in streams if each[1] == "depth"]
        return Asked([_bytes({"result": None, "id": message["id"]})], names, [], [])

    def snapshot(self, name: str, truth: Truth, at_ns: int) -> bytes:
        bids, asks = truth.levels()
        return _bytes({"lastUpdateId": truth.number, "bids": bids, "asks": asks})

    def change(self, step: Change, truth: Truth) -> bytes:
        first = truth.number + 1
        truth.number += 1 + len(step.bids) + len(step.asks)
        data = {"e": "depthUpdate", "E": step.at_ns // 1_000_000, "s": step.name, "U": first}
        data |= {"u": truth.number, "b": step.bids, "a": step.asks}
        return _bytes({"stream": f"{step.name.lower()}@depth@100ms", "data": data})

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        at_ms = at_ns // 1_000_000
        data = {"e": "trade", "E": at_ms, "s": name, "t": number, "p": price, "q": qty}
        data |= {"T": at_ms, "m": False, "M": True}
        return _bytes({"stream": f"{name.lower()}@trade", "data": data})

    def book_of(self, path: str) -> str | None:
        if not path.startswith("/api/v3/depth?"):
            return None
        return path.partition("symbol=")[2].partition("&")[0]

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        name = path.removeprefix("/api/v3/exchangeInfo?symbol=")
        if name not in names:
            return None
        filters: list[Any] = [
            {"filterType": "PRICE_FILTER", "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "stepSize": "0.00010000"},
        ]
        return _bytes({"symbols": [{"symbol": each, "filters": filters} for each in names]})


class BinanceCoinm(Binance):
    """Numbers have holes, so a message names the last one before it."""

    venue = "binance_coinm"

    def change(self, step: Change, truth: Truth) -> bytes:
        before, first = truth.number, truth.number + 3
        truth.number = first + len(step.bids) + len(step.asks)
        at_ms = step.at_ns // 1_000_000
        data = {"e": "depthUpdate", "E": at_ms, "T": at_ms, "s": step.name, "ps": "BTCUSD"}
        data |= {"U": first, "u": truth.number, "pu": before, "b": step.bids, "a": step.asks}
        return _bytes({"stream": f"{step.name.lower()}@depth@100ms", "data": data})

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        at_ms = at_ns // 1_000_000
        data = {"e": "aggTrade", "E": at_ms, "a": number, "s": name, "p": price, "q": qty}
        data |= {"f": number, "l": number, "T": at_ms, "m": True}
        return _bytes({"stream": f"{name.lower()}@aggTrade", "data": data})

    def book_of(self, path: str) -> str | None:
        return super().book_of(path.replace("/dapi/v1/", "/api/v3/", 1))

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        if path != "/dapi/v1/exchangeInfo":
            return None
        return super().instruments(f"/api/v3/exchangeInfo?symbol={names[0]}", names)


class Coinbase(Tongue):
    venue = "coinbase"
    heartbeat = (
        b'{"type":"heartbeat","sequence":1,"last_trade_id":1,"product_id":"BTC-USD",'
        b'"time":"2026-01-01T00:00:00.000000Z"}'
    )

    def asked(self, message: Any) -> Asked:
        names = message["product_ids"] if "level2_batch" in message["channels"] else []
        answers = [_bytes({"type": "subscriptions", "channels": []})]
        if message["type"] == "unsubscribe":
            return Asked(answers, [], names, [])
        return Asked(answers, names, [], names)

    def snapshot(self, name: str, truth: Truth, at_ns: int) -> bytes:
        bids, asks = truth.levels()
        return _bytes({"type": "snapshot", "product_id": name, "asks": asks, "bids": bids})

    def change(self, step: Change, truth: Truth) -> bytes:
        changes = [["buy", *level] for level in step.bids] + [["sell", *x] for x in step.asks]
        message = {"type": "l2update", "product_id": step.name, "changes": changes}
        return _bytes(message | {"time": _iso(step.at_ns)})

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        message = {"type": "match", "trade_id": number, "side": "sell", "size": qty}
        message |= {"price": price, "product_id": name, "sequence": 1, "time": _iso(at_ns)}
        return _bytes(message)

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        name = path.removeprefix("/products/")
        if name not in names:
            return None
        return _bytes({"id": name, "quote_increment": "0.01", "base_increment": "0.00000001"})


class Bitstamp(Tongue):
    venue = "bitstamp"

    def asked(self, message: Any) -> Asked:
        if message["event"] == "bts:heartbeat":
            return Asked(
                [_bytes({"event": "bts:heartbeat", "channel": "", "data": {}})], [], [], []
            )
        channel = message["data"]["channel"]
        answer = {"event": "bts:subscription_succeeded", "channel": channel, "data": {}}
        kind, _, name = channel.rpartition("_")
        return Asked([_bytes(answer)], [name] if kind == "diff_order_book" else [], [], [])

    def snapshot(self, name: str, truth: Truth, at_ns: int) -> bytes:
        bids, asks = truth.levels()
        at = {"timestamp": str(truth.number // 1_000_000), "microtimestamp": str(truth.number)}
        return _bytes(at | {"bids": bids, "asks": asks})

    def change(self, step: Change, truth: Truth) -> bytes:
        truth.number = step.at_ns // 1000
        at = {"timestamp": str(truth.number // 1_000_000), "microtimestamp": str(truth.number)}
        data = at | {"bids": step.bids, "asks": step.asks}
        return _bytes({"event": "data", "channel": f"diff_order_book_{step.name}", "data": data})

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        data = {"id": number, "amount_str": qty, "price_str": price, "type": 0}
        data |= {"microtimestamp": str(at_ns // 1000), "timestamp": str(at_ns // S_NS)}
        return _bytes({"event": "trade", "channel": f"live_trades_{name}", "data": data})

    def book_of(self, path: str) -> str | None:
        begins = "/api/v2/order_book/"
        return path.removeprefix(begins).strip("/") if path.startswith(begins) else None

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        if path != "/api/v2/trading-pairs-info/":
            return None
        return _bytes(
            [{"url_symbol": name, "base_decimals": 8, "counter_decimals": 2} for name in names]
        )


TONGUES: dict[str, type[Tongue]] = {
    t.venue: t for t in (Kraken, Binance, BinanceCoinm, Coinbase, Bitstamp)
}
