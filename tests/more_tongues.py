"""More venues' languages for the local venue server; see `venue_tongues`."""

import json
import zlib
from typing import Any

from schemas.kinds import Side
from tests.venue_tongues import S_NS, Asked, Change, Tongue, Truth, as_bytes, query
from venues.frames import Event
from venues.venue_classes import terms

MS_NS = 1_000_000
NOTHING = Asked([], [], [], [])


def _side(number: int) -> str:
    return "buy" if number % 2 else "sell"


def _numbers(levels: Any) -> list[tuple[float, float]]:
    return [(float(price), float(qty)) for price, qty in levels]


class KrakenFutures(Tongue):
    venue, single = "kraken_futures", True
    heartbeat = b'{"feed":"heartbeat","time":1767225600000}'

    def asked(self, message: Any) -> Asked:
        event = f"{message['event']}d"
        names = message.get("product_ids", [])
        answers = [
            as_bytes({"event": event, "feed": message["feed"], "product_ids": [name]})
            for name in names
        ]
        if message["feed"] != "book":
            return Asked(answers, [], [], [])
        opens = message["event"] == "subscribe"
        return Asked(answers, names if opens else [], [] if opens else names, names * opens)

    def snapshot(self, name: str, truth: Truth, at_ns: int) -> bytes:
        bids, asks = ([{"price": p, "qty": q} for p, q in _numbers(s)] for s in truth.levels())
        about = {"feed": "book_snapshot", "product_id": name, "timestamp": at_ns // MS_NS}
        return as_bytes(about | {"seq": truth.number, "tickSize": None, "bids": bids, "asks": asks})

    def change(self, step: Change, truth: Truth) -> bytes:
        truth.number += 1
        side = "buy" if step.bids else "sell"
        (price, qty) = _numbers(step.bids or step.asks)[0]
        about: dict[str, Any] = {"feed": "book", "product_id": step.name, "side": side}
        about |= {"seq": truth.number}
        return as_bytes(about | {"price": price, "qty": qty, "timestamp": step.at_ns // MS_NS})

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        about: dict[str, Any] = {"feed": "trade", "product_id": name, "uid": "x"}
        about |= {"side": _side(number), "seq": number, "time": at_ns // MS_NS}
        return as_bytes(about | {"qty": float(qty), "price": float(price)})

    def trades(self, path: str, traded: dict[str, list[Event]]) -> bytes | None:
        """Without numbers, between two times that are no longer there themselves."""
        parts = path.partition("?")[0].split("/")
        if parts[1:5] != ["api", "history", "v3", "market"] or parts[6:] != ["executions"]:
            return None
        asked = query(path)
        first_ns, last_ns = int(asked["since"]) * MS_NS, int(asked["before"]) * MS_NS
        elements = [
            {
                "timestamp": t.ts_event_ns // MS_NS, "uid": "x",
                "event": {"Execution": {"takerReducedQuantity": "", "execution": {
                    "timestamp": str(t.ts_event_ns // MS_NS), "price": f"{t.price!r}",
                    "quantity": f"{t.qty!r}", "limitFilled": False,
                    "makerOrder": {"direction": "Sell" if t.side is Side.BUY else "Buy"},
                    "takerOrder": {"direction": "Buy" if t.side is Side.BUY else "Sell"},
                }}},
            }
            for t in traded[parts[5]]
            if first_ns < t.ts_event_ns < last_ns
        ]  # fmt: skip
        return as_bytes({"elements": elements, "len": len(elements)})

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        if path != "/derivatives/api/v3/instruments":
            return None
        listed: list[Any] = [{"symbol": "in_xbtusd", "type": "spot index"}]
        for name in names:
            listed.append(
                {
                    "symbol": name,
                    "tickSize": 0.5,
                    "contractValueTradePrecision": 4,
                    "type": "x",
                    "contractSize": 1,
                    "base": name[3:6],
                    "quote": name[6:9],
                }
            )
        return as_bytes({"result": "success", "instruments": listed})


class Bybit(Tongue):
    venue, depth, category, step = "bybit", 500, "spot", "basePrecision"

    def asked(self, message: Any) -> Asked:
        if message["op"] == "ping":
            answer = {"success": True, "ret_msg": "pong", "conn_id": "x", "op": "ping"}
            return Asked([as_bytes(answer)], [], [], [])
        topics = [topic.split(".") for topic in message["args"]]
        names = [topic[2] for topic in topics if topic[0] == "orderbook"]
        answers = [as_bytes({"success": True, "ret_msg": "", "op": message["op"]})]
        opens = message["op"] == "subscribe"
        if not opens:
            answers = [as_bytes({"success": True, "ret_msg": "unsubscribe"})]
        return Asked(answers, names if opens else [], [] if opens else names, names * opens)

    def snapshot(self, name: str, truth: Truth, at_ns: int) -> bytes:
        return self._book("snapshot", name, *truth.levels(), truth.number, at_ns)

    def change(self, step: Change, truth: Truth) -> bytes:
        truth.number += 1
        return self._book("delta", step.name, step.bids, step.asks, truth.number, step.at_ns)

    def _book(self, kind: str, name: str, bids: Any, asks: Any, number: int, at_ns: int) -> bytes:
        data = {"s": name, "b": bids, "a": asks, "u": number, "seq": 7961638724}
        about = {"topic": f"orderbook.{self.depth}.{name}", "type": kind, "ts": at_ns // MS_NS}
        return as_bytes(about | {"data": data, "cts": at_ns // MS_NS})

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        one = {"T": at_ns // MS_NS, "s": name, "S": _side(number).title(), "v": qty, "p": price}
        one |= {"i": str(number), "BT": False, "seq": 7961638724}
        about = {"topic": f"publicTrade.{name}", "type": "snapshot", "ts": at_ns // MS_NS}
        return as_bytes(about | {"data": [one]})

    def trades(self, path: str, traded: dict[str, list[Event]]) -> bytes | None:
        if not path.startswith(f"/v5/market/recent-trade?category={self.category}&"):
            return None
        rows = [
            {
                "execId": str(t.venue_seq), "symbol": query(path)["symbol"],
                "price": f"{t.price!r}", "size": f"{t.qty!r}", "side": t.side.name.title(),
                "time": str(t.ts_event_ns // MS_NS), "isBlockTrade": False,
            }
            for t in traded[query(path)["symbol"]][::-1][: int(query(path)["limit"])]
        ]  # fmt: skip
        return as_bytes(
            {"retCode": 0, "retMsg": "OK", "result": {"category": self.category, "list": rows}}
        )

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        begins = f"/v5/market/instruments-info?category={self.category}&symbol="
        name = path.removeprefix(begins)
        if name not in names:
            return None
        of = terms(self.venue, name)
        assert of is not None
        one: dict[str, Any] = {"symbol": name, "baseCoin": of.base, "quoteCoin": of.quote}
        one |= {"lotSizeFilter": {self.step: "0.000001"}}
        one |= {"priceFilter": {"tickSize": "0.01"}}
        return as_bytes({"retCode": 0, "result": {"category": self.category, "list": [one]}})


class BybitLinear(Bybit):
    venue, category, step = "bybit_linear", "linear", "qtyStep"


class BybitInverse(Bybit):
    venue, category, step = "bybit_inverse", "inverse", "qtyStep"


class Okx(Tongue):
    venue, depth = "okx", 400

    def asked(self, message: Any) -> Asked:
        if message == "ping":
            return Asked([b"pong"], [], [], [])
        names = [arg["instId"] for arg in message["args"] if arg["channel"] == "books"]
        answers = [as_bytes({"event": message["op"], "arg": arg}) for arg in message["args"]]
        opens = message["op"] == "subscribe"
        return Asked(answers, names if opens else [], [] if opens else names, names * opens)

    def snapshot(self, name: str, truth: Truth, at_ns: int) -> bytes:
        return self._book("snapshot", name, truth, *truth.levels(), at_ns, before=-1)

    def change(self, step: Change, truth: Truth) -> bytes:
        before = truth.number
        truth.number += 7
        return self._book(
            "update", step.name, truth, step.bids, step.asks, step.at_ns, before=before
        )

    def _book(
        self, kind: str, name: str, truth: Truth, bids: Any, asks: Any, at_ns: int, *, before: int
    ) -> bytes:
        best = [side[:25] for side in truth.levels()]
        pairs = [side[k] for k in range(25) for side in best if k < len(side)]
        crc = zlib.crc32(":".join(part for pair in pairs for part in pair).encode())
        data = {
            "asks": [[*level, "0", "1"] for level in asks],
            "bids": [[*level, "0", "1"] for level in bids],
            "ts": str(at_ns // MS_NS), "checksum": crc - 2**32 if crc >= 2**31 else crc,
            "seqId": truth.number, "prevSeqId": before,
        }  # fmt: skip
        return as_bytes(
            {"arg": {"channel": "books", "instId": name}, "action": kind, "data": [data]}
        )

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        one = {"instId": name, "tradeId": str(number), "px": price, "sz": qty}
        one |= {"side": _side(number), "ts": str(at_ns // MS_NS), "source": "0"}
        return as_bytes({"arg": {"channel": "trades-all", "instId": name}, "data": [one]})

    def line(self, frame: bytes) -> int:
        return int(b'"trades-all"' in frame)

    def trades(self, path: str, traded: dict[str, list[Event]]) -> bytes | None:
        asked = query(path)
        if not path.startswith("/api/v5/market/history-trades?") or asked["type"] != "1":
            return None
        found = [t for t in traded[asked["instId"]] if t.venue_seq < int(asked["after"])]
        rows = [
            {
                "instId": asked["instId"], "tradeId": str(t.venue_seq), "px": f"{t.price!r}",
                "sz": f"{t.qty!r}", "side": t.side.name.lower(), "ts": str(t.ts_event_ns // MS_NS),
            }
            for t in found[::-1][:2]  # the newest first, in pages of two
        ]  # fmt: skip
        return as_bytes({"code": "0", "msg": "", "data": rows})

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        name = query(path).get("instId")
        if not path.startswith("/api/v5/public/instruments?") or name not in names:
            return None
        one = {"instId": name, "tickSz": "0.1", "lotSz": "0.00000001", "ctVal": ""}
        if name.endswith("-SWAP"):
            one |= {"ctVal": "0.01"}
        return as_bytes({"code": "0", "msg": "", "data": [one]})


class Deribit(Tongue):
    venue = "deribit"

    def asked(self, message: Any) -> Asked:
        if message["method"] == "public/test":
            answer = {"jsonrpc": "2.0", "id": message["id"], "result": {"version": "1.2.26"}}
            return Asked([as_bytes(answer)], [], [], [])
        channels = message["params"]["channels"]
        names = [each.split(".")[1] for each in channels if each.startswith("book.")]
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": channels}
        opens = message["method"] == "public/subscribe"
        return Asked(
            [as_bytes(answer)], names if opens else [], [] if opens else names, names * opens
        )

    def snapshot(self, name: str, truth: Truth, at_ns: int) -> bytes:
        bids, asks = ([["new", p, q] for p, q in _numbers(s)] for s in truth.levels())
        data = {"type": "snapshot", "change_id": truth.number, "bids": bids, "asks": asks}
        return self._say(f"book.{name}.100ms", self._about(name, at_ns) | data)

    def change(self, step: Change, truth: Truth) -> bytes:
        before = truth.number
        truth.number += 5
        bids, asks = (
            [["change" if q else "delete", p, q] for p, q in _numbers(s)]
            for s in (step.bids, step.asks)
        )
        data = {"type": "change", "change_id": truth.number, "prev_change_id": before}
        about = self._about(step.name, step.at_ns)
        return self._say(f"book.{step.name}.100ms", about | data | {"bids": bids, "asks": asks})

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        one = self._about(name, at_ns) | {"price": float(price), "amount": float(qty)}
        one |= {"direction": "buy", "trade_seq": number, "trade_id": f"{number}"}
        return self._say(f"trades.{name}.100ms", [one])

    def trades(self, path: str, traded: dict[str, list[Event]]) -> bytes | None:
        if not path.startswith("/api/v2/public/get_last_trades_by_instrument?"):
            return None
        asked = query(path)
        first, last = int(asked["start_seq"]), int(asked["end_seq"])
        found = [t for t in traded[asked["instrument_name"]] if first <= t.venue_seq <= last]
        rows = [
            self._about(asked["instrument_name"], t.ts_event_ns)
            | {"price": t.price, "amount": t.qty, "trade_seq": t.venue_seq}
            | {"direction": "buy" if t.side is Side.BUY else "sell"}
            for t in found[:2]  # pages of two
        ]
        return as_bytes({"jsonrpc": "2.0", "result": {"trades": rows, "has_more": len(found) > 2}})

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        name = path.removeprefix("/api/v2/public/get_instrument?instrument_name=")
        if name not in names:
            return None
        one = {"instrument_name": name, "tick_size": 0.5, "min_trade_amount": 10.0}
        return as_bytes({"jsonrpc": "2.0", "result": one | {"contract_size": 10.0}})

    def _about(self, name: str, at_ns: int) -> dict[str, Any]:
        return {"timestamp": at_ns // MS_NS, "instrument_name": name}

    def _say(self, channel: str, data: Any) -> bytes:
        params = {"channel": channel, "data": data}
        return as_bytes({"jsonrpc": "2.0", "method": "subscription", "params": params})


class Bitfinex(Tongue):
    """Books order by order; in a made-up market each price has one order, named by its price."""

    venue, heartbeat, numbers, single = "bitfinex", b'[100,"hb"]', True, True

    def __init__(self) -> None:
        self.markets: dict[str, int] = {}

    def channel(self, name: str, *, trades: bool = False) -> int:
        number = self.markets.setdefault(name, len(self.markets))
        return (200 if trades else 100) + number

    def asked(self, message: Any) -> Asked:
        event = message["event"]
        if event == "conf":
            return Asked([as_bytes({"event": "conf", "status": "OK"})], [], [], [])
        if event == "ping":
            return Asked([as_bytes({"event": "pong", "ts": 1})], [], [], [])
        if event == "unsubscribe":
            number = message["chanId"]
            names = [name for name in self.markets if self.channel(name) == number]
            answer = {"event": "unsubscribed", "status": "OK", "chanId": number}
            return Asked([as_bytes(answer)], [], names, [])
        kind = message["channel"]
        if kind == "status":
            name = message["key"].removeprefix("deriv:")
            status = {"event": "subscribed", "channel": "status", "key": message["key"]}
            return Asked([as_bytes(status | {"chanId": 200 + self.channel(name)})], [], [], [])
        name = message["symbol"]
        if kind == "ticker":
            return NOTHING
        told = self._subscribed(name, kind)
        if kind == "trades":
            return Asked([told], [], [], [])
        return Asked([told], [name], [], [name])

    def _subscribed(self, name: str, kind: str) -> bytes:
        number = self.channel(name, trades=kind == "trades")
        answer = {"event": "subscribed", "channel": kind, "chanId": number, "symbol": name}
        return as_bytes(answer | ({"prec": "R0", "len": "250"} if kind == "book" else {}))

    def known(self, names: list[str]) -> list[bytes]:
        return [self._subscribed(name, kind) for name in names for kind in ("book", "trades")]

    def adopt(self, frame: bytes, names: list[str]) -> bytes:
        parts = json.loads(frame)
        return as_bytes([self.channel(names[0]), *parts[1:]])

    def snapshot(self, name: str, truth: Truth, at_ns: int) -> bytes:
        orders = [[k, price, qty if bid else -qty] for k, (bid, price, qty) in truth.orders.items()]
        if not truth.orders:
            bids, asks = (_numbers(side) for side in truth.levels())
            orders = [[_order(price), price, qty] for price, qty in bids]
            orders += [[_order(price), price, -qty] for price, qty in asks]
        return as_bytes([self.channel(name), orders])

    def change(self, step: Change, truth: Truth) -> bytes:
        sign = 1 if step.bids else -1
        (price, qty) = _numbers(step.bids or step.asks)[0]
        body = [_order(price), price, sign * qty] if qty else [_order(price), 0, sign]
        return as_bytes([self.channel(step.name), body])

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        sign = 1 if _side(number) == "buy" else -1
        body = [number, at_ns // MS_NS, sign * float(qty), float(price)]
        return as_bytes([self.channel(name, trades=True), "te", body])

    def trades(self, path: str, traded: dict[str, list[Event]]) -> bytes | None:
        parts = path.partition("?")[0].split("/")
        if parts[1:3] != ["v2", "trades"] or parts[4:] != ["hist"] or query(path)["sort"] != "1":
            return None
        first_ns = int(query(path)["start"]) * MS_NS
        return as_bytes(
            [
                [t.venue_seq, t.ts_event_ns // MS_NS,
                 t.qty if t.side is Side.BUY else -t.qty, t.price]
                for t in traded[parts[3]]
                if t.ts_event_ns >= first_ns
            ]
        )  # fmt: skip

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        lists = {"/v2/conf/pub:list:pair:exchange": False, "/v2/conf/pub:list:pair:futures": True}
        if path not in lists:
            return None
        return as_bytes([[name[1:] for name in names if (":USTF0" in name) == lists[path]]])


def _order(price: float) -> int:
    return round(price * 100)


class Gemini(Tongue):
    venue, heartbeat = "gemini", b'{"type":"heartbeat","timestamp":1767225600000}'

    def asked(self, message: Any) -> Asked:
        feed, names = message["subscriptions"][0]["name"], message["subscriptions"][0]["symbols"]
        if feed != "l2":
            return NOTHING
        if message["type"] == "unsubscribe":
            return Asked([], [], names, [])
        return Asked([], names, [], names)

    def snapshot(self, name: str, truth: Truth, at_ns: int) -> bytes:
        bids, asks = truth.levels()
        return self._book(name, bids, asks, {"trades": [], "auction_events": []})

    def change(self, step: Change, truth: Truth) -> bytes:
        return self._book(step.name, step.bids, step.asks, {})

    def _book(self, name: str, bids: Any, asks: Any, more: dict[str, Any]) -> bytes:
        changes = [["buy", *level] for level in bids] + [["sell", *level] for level in asks]
        return as_bytes({"type": "l2_updates", "symbol": name, "changes": changes} | more)

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        one = {"type": "trade", "symbol": name, "event_id": number, "timestamp": at_ns // MS_NS}
        return as_bytes(one | {"price": price, "quantity": qty, "side": _side(number)})

    def trades(self, path: str, traded: dict[str, list[Event]]) -> bytes | None:
        parts = path.partition("?")[0].split("/")
        if parts[1:3] != ["v1", "trades"]:
            return None
        return as_bytes(
            [
                {
                    "timestamp": t.ts_event_ns // S_NS, "timestampms": t.ts_event_ns // MS_NS,
                    "tid": t.venue_seq, "price": f"{t.price!r}", "amount": f"{t.qty!r}",
                    "exchange": "gemini", "type": t.side.name.lower(),
                }
                for t in traded[parts[3].upper()][::-1][: int(query(path)["limit_trades"])]
            ]
        )  # fmt: skip

    def audit_of(self, path: str) -> str | None:
        begins = "/v1/book/"
        if not path.startswith(begins):
            return None
        return path.removeprefix(begins).partition("?")[0].upper()

    def audit(self, name: str, truth: Truth) -> bytes:
        bids, asks = (
            [{"price": price, "amount": qty, "timestamp": "1"} for price, qty in side]
            for side in truth.levels()
        )
        return as_bytes({"bids": bids, "asks": asks})

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        name = path.removeprefix("/v1/symbols/details/").upper()
        if name not in names:
            return None
        return f'{{"symbol":"{name}","tick_size":1E-8,"quote_increment":0.01}}'.encode()


class Hyperliquid(Tongue):
    venue, depth = "hyperliquid", 20

    def asked(self, message: Any) -> Asked:
        if message["method"] == "ping":
            return Asked([as_bytes({"channel": "pong"})], [], [], [])
        answer = [as_bytes({"channel": "subscriptionResponse", "data": message})]
        about = message["subscription"]
        names = [about["coin"]] if about["type"] == "l2Book" else []
        if message["method"] == "unsubscribe":
            return Asked(answer, [], names, [])
        return Asked(answer, names, [], names)

    def snapshot(self, name: str, truth: Truth, at_ns: int) -> bytes:
        sides = [[{"px": p, "sz": q, "n": 1} for p, q in side] for side in truth.levels()]
        data = {"coin": name, "time": at_ns // MS_NS, "levels": sides}
        return as_bytes({"channel": "l2Book", "data": data})

    def change(self, step: Change, truth: Truth) -> bytes:
        return self.snapshot(step.name, truth, step.at_ns)

    def trade(self, name: str, at_ns: int, number: int, price: str, qty: str) -> bytes:
        side = "B" if _side(number) == "buy" else "A"
        one = {"coin": name, "side": side, "px": price, "sz": qty, "hash": "0x0", "tid": number}
        return as_bytes({"channel": "trades", "data": [one | {"time": at_ns // MS_NS}]})

    def trades(self, path: str, traded: dict[str, list[Event]]) -> bytes | None:
        if not path.startswith("/info?type=recentTrades&"):
            return None
        name = query(path)["coin"]
        return as_bytes(
            [
                {
                    "coin": name, "side": "B" if t.side is Side.BUY else "A", "px": f"{t.price!r}",
                    "sz": f"{t.qty!r}", "hash": "0x0", "time": t.ts_event_ns // MS_NS,
                    "tid": t.venue_seq, "users": ["0x1", "0x2"],
                }
                for t in traded[name][::-1]
            ]
        )  # fmt: skip

    def instruments(self, path: str, names: list[str]) -> bytes | None:
        if path != "/info":
            return None
        return as_bytes({"universe": [{"name": name, "szDecimals": 5} for name in names]})


MORE: dict[str, type[Tongue]] = {
    t.venue: t
    for t in (
        KrakenFutures, Bybit, BybitLinear, BybitInverse, Okx, Deribit, Bitfinex, Gemini,
        Hyperliquid,
    )
}  # fmt: skip
