"""Promise: `trifecta bench split` measures a desk of real workers and says what its figures are.

In a tiny form, on a real broker. That figures are there and fit together is checked, never how
large one is.
"""

import io
import json
import os
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from rich.console import Console

from bench import split, split_hops
from bench.split_bare import Held
from bench.split_trail import HOPS, trail_of
from flows.log.codec import encode_json, encode_rows
from schemas.kinds import Kind
from schemas.rows import DecisionRows, FeatureRows, MarketRows, empty, take
from schemas.topics import DECISIONS, FEATURES, MARKET, ORDERS
from tests.test_cli import trifecta

TINY = split.Sizes(rows=30_000, warm_s=0.5, paced_s=1.0, idle_s=0.2, bare_s=0.5)


@pytest.fixture(scope="module")
def found(kafka_servers: str) -> Any:
    """The figures of one tiny run, as JSON gives them back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIFECTA_KAFKA", kafka_servers)
        patch.setattr(split_hops, "SETTLED_S", 0.2)
        patch.setattr(split, "warm", lambda workers: None)  # for figures that nobody looks at
        figures = split.measure(TINY, lambda text: None)
    return json.loads(json.dumps(figures, allow_nan=False))


def test_full_speed_is_called_plumbing_and_adds_up_over_the_lanes(found: Any) -> None:
    assert "no backtest" in found["note"]
    assert found["full_speed"]["note"] == found["note"]
    stages = found["full_speed"]["alone"] | found["full_speed"]["together"]
    assert set(stages) == {"ingest", "features", "decide"}
    for each in stages.values():
        lanes = each["ticks_per_s_by_lane"]
        assert len(lanes) >= 2
        assert sum(lanes.values()) == pytest.approx(each["ticks_per_s"])
        assert each["rows_per_s"] > each["ticks_per_s"]  # books stand beside the ticks
        assert 0 < each["ticks"] < TINY.rows
        assert 0 <= each["cpu_s"] < each["cpu_s_with_start"]


def test_ticks_pass_hop_after_hop(found: Any) -> None:
    hops = found["paced"]["hops"]
    assert tuple(hops) == HOPS
    first, features, decisions, orders, whole = hops.values()
    assert first["n"] >= features["n"] >= decisions["n"] > 0
    assert orders["n"] == whole["n"] == found["paced"]["orders"]
    assert all(each["p50_ms"] <= each["p99_ms"] for each in (first, features, decisions))
    assert first["p50_ms"] > 0


def test_workers_and_bare_kafka_stand_beside_it(found: Any) -> None:
    flows = {"ingest", "features", "decide", "execute", "account"}
    assert set(found["paced"]["cores"]) == set(found["idle_cores"]) == flows
    rows = {found["bare"][what]["rows"] for what in ("produce", "consume")}
    assert min(rows) >= TINY.rows - 2048  # the first message is not counted
    assert found["bare"]["hop"]["n"] > 0
    ratios = found["ratios"]
    alone = found["full_speed"]["alone"]
    assert ratios["bare_produce_over_ingest"] == pytest.approx(
        found["bare"]["produce"]["rows_per_s"] / alone["ingest"]["rows_per_s"]
    )


def test_nothing_is_left_on_the_brokers(found: Any, kafka_servers: str) -> None:
    topics = AdminClient({"bootstrap.servers": kafka_servers}).list_topics(timeout=10).topics
    assert [name for name in topics if name.startswith(f"bench-{os.getpid()}-")] == []


def test_people_get_tables(found: Any) -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    split.show(found, console)
    text = console.export_text()
    assert all(hop in text for hop in HOPS)
    assert "plumbing" in text


def test_the_command_is_called_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("bench.split.main", asked.append)
    assert trifecta("bench", "split", "--json").exit_code == 0
    assert trifecta("bench", "split").exit_code == 0
    assert asked == [True, False]


def test_waits_are_those_of_each_tick_and_its_own_order() -> None:
    """Four rows of lane 2, 10 ns apart and due at twice their time; the second is a heartbeat.

    row     due   market  features  decisions       orders
    0       200   300     400       500 (id 0)
    1                                                        a heartbeat
    2       240   300     410       500 (id 1)      700 (id 1); 230 (id 0): its report's
    3       260   beyond the span
    """
    market, features = empty(MarketRows, 4), empty(FeatureRows, 4)
    decisions = empty(DecisionRows, 3)
    for rows in (market, features):
        rows.seq[:], rows.lane[:], rows.ts_recv_ns[:] = range(4), 2, [100, 110, 120, 130]
        rows.kind[:] = [Kind.QUOTE, Kind.HEARTBEAT, Kind.TRADE, Kind.QUOTE]
    decisions.seq[:], decisions.lane[:], decisions.kind[:] = range(3), 2, Kind.DECISION
    decisions.market_seq[:], decisions.ts_recv_ns[:] = [0, 2, 3], [100, 120, 130]
    orders = [
        {"seq": n, "lane": 2, "market_seq": 2, "ref_id": ref_id, "ts_recv_ns": 120}
        for n, ref_id in enumerate((1, 0))
    ]
    first, second = take(features, slice(0, 1)), take(features, slice(1, 4))
    messages = [
        (300, encode_rows(MARKET, lane=2, rows=market, code_version="test")),
        (400, encode_rows(FEATURES, lane=2, rows=first, code_version="test")),
        (410, encode_rows(FEATURES, lane=2, rows=second, code_version="test")),
        (500, encode_rows(DECISIONS, lane=0, rows=decisions, code_version="test")),
        (700, encode_json(ORDERS, lane=2, rows=orders[:1], code_version="test")),
        (230, encode_json(ORDERS, lane=2, rows=orders[1:], code_version="test")),
    ]
    seen = [
        (at_ns, Held(f"desk.{each.topic}", each.lane, 0, each.header(), each.body))
        for at_ns, found in messages
        for each in found
    ]
    trail = trail_of(seen, lambda ts_ns: 2 * ts_ns, (200, 260))
    waits = [sorted(waits_ns.tolist()) for waits_ns in trail.waits_ns.values()]
    assert waits == [[60, 100], [100, 110], [90, 100], [200], [460]]
    assert trail.orders_else == 1
