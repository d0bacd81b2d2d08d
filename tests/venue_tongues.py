"""What venues say, for the local venue server: answers, snapshots, changes, trades, lists.

Written from the venues' public documents, apart from the code that reads them. Prices and
quantities are texts, as a venue writes them.
"""

import json
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import fsum
from typing import Any, NamedTuple

from schemas.kinds import Side
from venues.frames import Book, Event

S_NS = 1_000_000_000


@dataclass
class Truth:
    """The venue's own book of one market: {price as float: (price, quantity) as written}."""

    number: int = 1_000
    bids: dict[float, tuple[str, str]] = field(default_factory=dict)
    asks: dict[float, tuple[str, str]] = field(default_factory=dict)
    orders: dict[int, tuple[bool, float, float]] = field(default_factory=dict)  # R0: bid, price

    def take(self, book: Book) -> None:
        """A message of the venue."""
        if book.snapshot:
            self.bids, self.asks, self.orders = {}, {}, {}
        if book.orders:
            self._take_orders(book)
        else:
            self.change("bids", texts(book, "bids"))
            self.change("asks", texts(book, "asks"))
        if book.link is not None:
            self.number = book.link.last

    def _take_orders(self, book: Book) -> None:
        levels = [*((True, *level) for level in book.bids), *((False, *x) for x in book.asks)]
        for order, (is_bid, price, qty) in zip(book.orders, levels, strict=True):
            if qty:
                self.orders[order] = is_bid, price, qty
            else:
                self.orders.pop(order, None)
        self.bids, self.asks = {}, {}
        for price, total in order_levels(self.orders, is_bid=True).items():
            self.bids[price] = f"{price!r}", f"{total!r}"
        for price, total in order_levels(self.orders, is_bid=False).items():
            self.asks[price] = f"{price!r}", f"{total!r}"

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


def order_levels(
    orders: dict[int, tuple[bool, float, float]], *, is_bid: bool
) -> dict[float, float]:
    """One side's price levels; the sums do not depend on the order of the orders."""
    parts: dict[float, list[float]] = {}
    for bid, price, qty in orders.values():
        if bid == is_bid:
            parts.setdefault(price, []).append(qty)
    return {price: fsum(quantities) for price, quantities in parts.items()}


def texts(book: Book, side: str) -> list[tuple[str, str]]:
    """A side's levels as written, or as Python writes them."""
    levels, written = (book.bids, book.bid_texts) if side == "bids" else (book.asks, book.ask_texts)
    return list(written) or [(f"{price!r}", f"{qty!r}") for price, qty in levels]


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
    """How one venue speaks; what a venue has not is left as it is here."""

    venue = ""
    heartbeat = b""  # sent by itself
    depth = 0
    numbers = False  # frames end in the number of the connection's frames
    single = False  # a frame has one changed level

    def asked(self, message: Any) -> Asked:
        """What a client's message asks for; `message` is a text where that is no JSON."""
        raise NotImplementedError

    def snapshot(self, name: str, truth: Truth, at_ns: int) -> bytes:
        raise NotImplementedError

    def change(self, step: Change, truth: Truth) -> bytes:
        """The frame of a change that the truth has taken; it moves the truth's number."""
        raise NotImplementedError

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        raise NotImplementedError

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        """The answer to a request for the instrument list."""
        raise NotImplementedError

    def book_of(self, path: str) -> str | None:
        """The market whose snapshot a REST path asks for."""
        return None

    def audit_of(self, path: str) -> str | None:
        """The market whose book, to compare with, a REST path asks for."""
        return None

    def audit(self, name: str, truth: Truth) -> bytes:
        raise NotImplementedError

    def trades(self, path: str, traded: dict[str, list[Event]]) -> bytes | None:
        """The answer to a request for older trades."""
        return None

    def line(self, frame: bytes) -> int:
        """Over which of its websockets a frame goes."""
        return 0

    def known(self, names: list[str]) -> list[bytes]:
        """What a client has been told before the first of the script's frames."""
        return []

    def adopt(self, frame: bytes, names: list[str]) -> bytes:
        """A recorded frame as this server would send it."""
        return frame


def query(path: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in path.partition("?")[2].split("&") if "=" in pair)


def as_bytes(message: Any) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def iso(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // S_NS, UTC).strftime("%Y-%m-%dT%H:%M:%S") + (
        f".{at_ns % S_NS // 1000:06d}Z"
    )


class Kraken(Tongue):
    venue, heartbeat, depth = "kraken", b'{"channel":"heartbeat"}', 10

    def asked(self, message: Any) -> Asked:
        params = message.get("params", {})
        if message["method"] == "ping":
            return Asked([as_bytes({"method": "pong"})], [], [], [])
        names = params["symbol"]
        answers = [
            as_bytes(
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
            f'"checksum":{zlib.crc32(text.encode())},"timestamp":"{iso(at_ns)}"}}]}}'
        ).encode()

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        one = {"symbol": name, "side": "buy", "price": float(price), "qty": float(qty)}
        one |= {"ord_type": "market", "trade_id": number, "timestamp": iso(at_ns)}
        return as_bytes({"channel": "trade", "type": "update", "data": [one]})

    def trades(self, path: str, traded: dict[str, list[Event]]) -> bytes | None:
        if not path.startswith("/0/public/Trades?"):
            return None
        asked = query(path)
        name = next(n for n in traded if n.replace("/", "").replace("BTC", "XBT") == asked["pair"])
        found = [t for t in traded[name] if t.ts_event_ns >= int(asked["since"])]
        rows = ",".join(
            f'["{t.price!r}","{t.qty!r}",{t.ts_event_ns // S_NS}.{t.ts_event_ns % S_NS:09d},'
            f'"{"b" if t.side is Side.BUY else "s"}","m","",{t.venue_seq}]'
            for t in found[:2]  # pages of two
        )
        return f'{{"error":[],"result":{{"X{asked["pair"]}":[{rows}],"last":"1"}}}}'.encode()

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        if path != "/0/public/AssetPairs":
            return None
        pairs = {
            name.replace("/", ""): {
                "wsname": name.replace("BTC", "XBT"), "tick_size": "0.10", "lot_decimals": 8,
            }
            for name in names
        }  # fmt: skip
        return as_bytes({"error": [], "result": pairs})


class Binance(Tongue):
    venue = "binance_spot"

    def asked(self, message: Any) -> Asked:
        if message["method"] == "LIST_SUBSCRIPTIONS":
            return Asked([as_bytes({"result": [], "id": message["id"]})], [], [], [])
        streams = [stream.split("@") for stream in message["params"]]
        names = [each[0].upper() for each in streams if each[1] == "depth"]
        return Asked([as_bytes({"result": None, "id": message["id"]})], names, [], [])

    def snapshot(self, name: str, truth: Truth, at_ns: int) -> bytes:
        bids, asks = truth.levels()
        return as_bytes({"lastUpdateId": truth.number, "bids": bids, "asks": asks})

    def change(self, step: Change, truth: Truth) -> bytes:
        first = truth.number + 1
        truth.number += 1 + len(step.bids) + len(step.asks)
        data = {"e": "depthUpdate", "E": step.at_ns // 1_000_000, "s": step.name, "U": first}
        data |= {"u": truth.number, "b": step.bids, "a": step.asks}
        return as_bytes({"stream": f"{step.name.lower()}@depth@100ms", "data": data})

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        at_ms = at_ns // 1_000_000
        data = {"e": "trade", "E": at_ms, "s": name, "t": number, "p": price, "q": qty}
        data |= {"T": at_ms, "m": False, "M": True}
        return as_bytes({"stream": f"{name.lower()}@trade", "data": data})

    def book_of(self, path: str) -> str | None:
        if not path.startswith("/api/v3/depth?"):
            return None
        return path.partition("symbol=")[2].partition("&")[0]

    def trades(self, path: str, traded: dict[str, list[Event]]) -> bytes | None:
        if not path.startswith("/api/v3/historicalTrades?"):
            return None
        return as_bytes(
            [
                {
                    "id": t.venue_seq, "price": f"{t.price!r}", "qty": f"{t.qty!r}",
                    "time": t.ts_event_ns // 1_000_000, "isBuyerMaker": t.side is Side.SELL,
                    "isBestMatch": True,
                }
                for t in _from_id(path, traded)
            ]
        )  # fmt: skip

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        name = path.removeprefix("/api/v3/exchangeInfo?symbol=")
        if name not in names:
            return None
        filters: list[Any] = [
            {"filterType": "PRICE_FILTER", "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "stepSize": "0.00010000"},
        ]
        return as_bytes({"symbols": [{"symbol": each, "filters": filters} for each in names]})


def _from_id(path: str, traded: dict[str, list[Event]]) -> list[Event]:
    """Trades from a number on, in pages of two."""
    asked = query(path)
    return [t for t in traded[asked["symbol"]] if t.venue_seq >= int(asked["fromId"])][:2]


class BinanceCoinm(Binance):
    """Numbers have holes, so a message names the last one before it."""

    venue = "binance_coinm"
    begins = "/dapi/v1/"

    def trades(self, path: str, traded: dict[str, list[Event]]) -> bytes | None:
        if not path.startswith(f"{self.begins}aggTrades?"):
            return None
        return as_bytes(
            [
                {
                    "a": t.venue_seq, "p": f"{t.price!r}", "q": f"{t.qty!r}", "f": 1, "l": 1,
                    "T": t.ts_event_ns // 1_000_000, "m": t.side is Side.SELL,
                }
                for t in _from_id(path, traded)
            ]
        )  # fmt: skip

    def change(self, step: Change, truth: Truth) -> bytes:
        before, first = truth.number, truth.number + 3
        truth.number = first + len(step.bids) + len(step.asks)
        at_ms = step.at_ns // 1_000_000
        data = {"e": "depthUpdate", "E": at_ms, "T": at_ms, "s": step.name, "ps": "BTCUSD"}
        data |= {"U": first, "u": truth.number, "pu": before, "b": step.bids, "a": step.asks}
        return as_bytes({"stream": f"{step.name.lower()}@depth@100ms", "data": data})

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        at_ms = at_ns // 1_000_000
        data = {"e": "aggTrade", "E": at_ms, "a": number, "s": name, "p": price, "q": qty}
        data |= {"f": number, "l": number, "T": at_ms, "m": True}
        return as_bytes({"stream": f"{name.lower()}@aggTrade", "data": data})

    def book_of(self, path: str) -> str | None:
        return super().book_of(path.replace(self.begins, "/api/v3/", 1))

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        if path != f"{self.begins}exchangeInfo":
            return None
        return super().instruments(f"/api/v3/exchangeInfo?symbol={names[0]}", names)


class BinanceUsdm(BinanceCoinm):
    """As coin-margined, but trades go over a websocket of their own."""

    venue = "binance_usdm"
    begins = "/fapi/v1/"

    def line(self, frame: bytes) -> int:
        return int(any(word in frame for word in (b'"aggTrade"', b'"trade"', b'"markPriceUpdate"')))


class Coinbase(Tongue):
    venue = "coinbase"
    heartbeat = (
        b'{"type":"heartbeat","sequence":1,"last_trade_id":1,"product_id":"BTC-USD",'
        b'"time":"2026-01-01T00:00:00.000000Z"}'
    )

    def asked(self, message: Any) -> Asked:
        names = message["product_ids"] if "level2_batch" in message["channels"] else []
        answers = [as_bytes({"type": "subscriptions", "channels": []})]
        if message["type"] == "unsubscribe":
            return Asked(answers, [], names, [])
        return Asked(answers, names, [], names)

    def snapshot(self, name: str, truth: Truth, at_ns: int) -> bytes:
        bids, asks = truth.levels()
        return as_bytes({"type": "snapshot", "product_id": name, "asks": asks, "bids": bids})

    def change(self, step: Change, truth: Truth) -> bytes:
        changes = [["buy", *level] for level in step.bids] + [["sell", *x] for x in step.asks]
        message = {"type": "l2update", "product_id": step.name, "changes": changes}
        return as_bytes(message | {"time": iso(step.at_ns)})

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        message = {"type": "match", "trade_id": number, "side": "sell", "size": qty}
        message |= {"price": price, "product_id": name, "sequence": 1, "time": iso(at_ns)}
        return as_bytes(message)

    def audit_of(self, path: str) -> str | None:
        parts = path.split("/")
        return parts[2] if parts[3:] == ["book?level=2"] else None

    def audit(self, name: str, truth: Truth) -> bytes:
        bids, asks = ([[*level, 3] for level in side] for side in truth.levels())
        return as_bytes({"bids": bids, "asks": asks, "sequence": 13051505638, "auction": None})

    def trades(self, path: str, traded: dict[str, list[Event]]) -> bytes | None:
        parts = path.partition("?")[0].split("/")
        if parts[3:] != ["trades"]:
            return None
        found = [t for t in traded[parts[2]] if t.venue_seq < int(query(path)["after"])]
        return as_bytes(
            [
                {
                    "trade_id": t.venue_seq, "side": "sell" if t.side is Side.BUY else "buy",
                    "size": f"{t.qty!r}", "price": f"{t.price!r}", "time": iso(t.ts_event_ns),
                }
                for t in found[::-1][:2]  # the newest first, in pages of two
            ]
        )  # fmt: skip

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        name = path.removeprefix("/products/")
        if name not in names:
            return None
        return as_bytes({"id": name, "quote_increment": "0.01", "base_increment": "0.00000001"})


class Bitstamp(Tongue):
    venue = "bitstamp"

    def asked(self, message: Any) -> Asked:
        if message["event"] == "bts:heartbeat":
            return Asked(
                [as_bytes({"event": "bts:heartbeat", "channel": "", "data": {}})], [], [], []
            )
        channel = message["data"]["channel"]
        answer = {"event": "bts:subscription_succeeded", "channel": channel, "data": {}}
        kind, _, name = channel.rpartition("_")
        return Asked([as_bytes(answer)], [name] if kind == "diff_order_book" else [], [], [])

    def snapshot(self, name: str, truth: Truth, at_ns: int) -> bytes:
        bids, asks = truth.levels()
        at = {"timestamp": str(truth.number // 1_000_000), "microtimestamp": str(truth.number)}
        return as_bytes(at | {"bids": bids, "asks": asks})

    def change(self, step: Change, truth: Truth) -> bytes:
        truth.number = step.at_ns // 1000
        at = {"timestamp": str(truth.number // 1_000_000), "microtimestamp": str(truth.number)}
        data = at | {"bids": step.bids, "asks": step.asks}
        return as_bytes({"event": "data", "channel": f"diff_order_book_{step.name}", "data": data})

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        data = {"id": number, "amount_str": qty, "price_str": price, "type": 0}
        data |= {"microtimestamp": str(at_ns // 1000), "timestamp": str(at_ns // S_NS)}
        return as_bytes({"event": "trade", "channel": f"live_trades_{name}", "data": data})

    def book_of(self, path: str) -> str | None:
        begins = "/api/v2/order_book/"
        return path.removeprefix(begins).strip("/") if path.startswith(begins) else None

    def trades(self, path: str, traded: dict[str, list[Event]]) -> bytes | None:
        parts = path.split("/")
        if parts[3:4] != ["transactions"]:
            return None
        return as_bytes(
            [
                {
                    "date": str(t.ts_event_ns // S_NS), "tid": str(t.venue_seq),
                    "price": f"{t.price!r}", "amount": f"{t.qty!r}",
                    "type": "0" if t.side is Side.BUY else "1",
                }
                for t in traded[parts[4]][::-1]
            ]
        )  # fmt: skip

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        if path != "/api/v2/trading-pairs-info/":
            return None
        return as_bytes(
            [{"url_symbol": name, "base_decimals": 8, "counter_decimals": 2} for name in names]
        )


TONGUES: dict[str, type[Tongue]] = {
    t.venue: t for t in (Kraken, Binance, BinanceCoinm, BinanceUsdm, Coinbase, Bitstamp)
}
