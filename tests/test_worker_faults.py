"""Promise: workers that are killed, frozen, doubled or robbed of their state change nothing.

Nothing is lost, nothing is doubled, and every decision is the same when it is made again. The short
form has each fault once over a made-up market; `make soak` has the long form over a recorded hour.
"""

import os
import random
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from flows.kafka_broker import Cluster, prepare, start, stop
from flows.log.kafka import KafkaLog
from flows.log.kafka_client import Asker
from flows.log.kafka_topics import full_name
from flows.replay import verify, verify_in_processes
from schemas.topics import FEATURES, MARKET, ORDERS
from tests.kafka_server import free_port, kill, need_kafka
from tests.worker_desk import COMMAND, FLOWS, Desk, check_desk, wait_for_rows
from venues.feed import Feed
from venues.simulator import Simulator
from venues.tape import open_tapes

BUSY = """
cadence = "tick"
[safety]
loss_streak_max = 100000
daily_trades_max = 100000
[lane]
binary_expiry_ns = 8000000000
binary_size_max = 0.00001
spot_hold_ns = 20000000000
spot_risk = 0.00005
"""  # as many orders as the market allows
RATE_HZ, SPEED = 100.0, 20.0


@pytest.fixture
def make_desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Desks whose workers end with the test."""
    desks: list[Desk] = []

    def make(servers: str, options: list[str]) -> Desk:
        config = tmp_path / "desk.toml"
        config.write_text(BUSY)
        folder = tmp_path / f"desk{len(desks)}"
        folder.mkdir()
        name = f"faults-{uuid.uuid4().hex[:8]}"
        desks.append(Desk(servers, name, folder, [*options, "--config", str(config)]))
        return desks[-1]

    yield make
    for desk in desks:
        desk.end()


def simulated(seconds: float) -> tuple[Feed, list[str]]:
    """A made-up market that takes about so long, and how ingest is told."""
    rows = int(seconds * RATE_HZ * SPEED)
    feed = Simulator(seed=4, n_rows=rows, rate_hz=RATE_HZ)
    options = ["--simulate", "--seed", "4", "--rows", str(rows), "--rate", str(RATE_HZ)]
    return feed, [*options, "--speed", str(SPEED)]


@pytest.mark.timeout(1200)
def test_each_fault_once(own_broker: Cluster, make_desk: Callable[..., Desk]) -> None:
    feed, options = simulated(300.0)  # longer than the faults take on a slow machine
    desk = make_desk(own_broker.servers, options)
    desk.start_all()
    log = desk.log()
    lane = feed.table.active_lanes()[0]
    wait_for_rows(log, ORDERS, lane, 1)  # from here on orders are in flight

    for flow in FLOWS:
        assert desk.kill(flow), f"{flow} had ended before it was killed: {desk.said(flow)}"
        _rob(desk, flow)
        desk.start(flow)

    n_there = log.ends([(FEATURES.name, lane)])[(FEATURES.name, lane)]
    wait_for_rows(log, FEATURES, lane, n_there + 1)  # all have begun again
    kill(own_broker)
    time.sleep(1.0)
    start(own_broker)
    wait_for_rows(log, FEATURES, lane, n_there + 100, meanwhile=desk.revive)

    second = subprocess.run(
        _command(desk, "features"),
        env=_environment(desk),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert second.returncode == 2
    assert "on this machine works on it already" in second.stderr

    _replace_ingest_while_it_stands_still(desk)

    desk.processes["ingest"].terminate()
    assert desk.processes["ingest"].wait(timeout=60) == 130
    desk.options = [*desk.options, "--speed", "1000"]  # the rest need not take its time
    desk.start("ingest")
    desk.wait(timeout_s=240)

    found = check_desk(log, feed)
    assert found.orders > 20, found
    assert found.fills > 10, found
    _verify(desk)
    assert "damaged" in desk.said("decide")
    log.close()


@pytest.mark.timeout(1800)
@pytest.mark.slow
def test_an_hour_of_payrolls_with_twenty_kills(
    own_broker: Cluster, make_desk: Callable[..., Desk], data_path: Callable[[str], Path]
) -> None:
    names = ("oanda_EURUSD", "fxcm_EURUSD", "oanda_XAUUSD")
    tapes = [data_path(f"quotes/{name}_20140501_20140509.parquet") for name in names]
    first, last = "2014-05-02T12:00:00Z", "2014-05-02T13:00:00Z"
    options = [part for tape in tapes for part in ("--tape", str(tape))]
    desk = make_desk(own_broker.servers, [*options, "--from", first, "--to", last, "--speed", "20"])
    desk.start_all()
    log = desk.log()
    wait_for_rows(log, ORDERS, 0, 1)
    drawn = random.Random(20)
    for n in range(20):
        time.sleep(drawn.uniform(3.0, 10.0))
        flow = FLOWS[n % len(FLOWS)]
        assert desk.kill(flow), f"{flow} had ended before kill {n + 1}"
        desk.start(flow)
        if n == 10:
            kill(own_broker)
            time.sleep(1.0)
            start(own_broker)
    desk.wait(timeout_s=600)
    feed = open_tapes(tapes, from_ns=_ns(first), to_ns=_ns(last))
    found = check_desk(log, feed)
    assert found.orders >= 200, found
    assert found.fills >= 100, found
    _verify(desk)
    log.close()


@pytest.fixture
def three_brokers(tmp_path: Path) -> Iterator[Cluster]:
    need_kafka()
    cluster = prepare(tmp_path / "kafka", brokers=3, port=free_port(6))
    try:
        start(cluster)
        yield cluster
    finally:
        stop(cluster)


@pytest.mark.timeout(1800)
@pytest.mark.slow  # three brokers beside the rest are too much for two cores
def test_a_desk_goes_on_without_a_leader(
    three_brokers: Cluster, make_desk: Callable[..., Desk]
) -> None:
    feed, options = simulated(40.0)
    desk = make_desk(three_brokers.servers, options)
    desk.start_all()
    log = desk.log()
    lane = feed.table.active_lanes()[0]
    wait_for_rows(log, ORDERS, lane, 1)
    admin = AdminClient({"bootstrap.servers": three_brokers.servers})
    name = full_name(desk.deployment, MARKET.name)
    kill(three_brokers, admin.list_topics(timeout=30).topics[name].partitions[lane].leader)
    desk.wait(timeout_s=240)
    check_desk(log, feed)
    _verify(desk)
    log.close()
    print(f"longest silence of market.v1: {_longest_silence_s(three_brokers, name, lane):.1f} s")


def _longest_silence_s(cluster: Cluster, topic: str, lane: int) -> float:
    """Between two messages of a partition, by their writer's clock."""
    asker = Asker(cluster.servers)
    low, high = asker.bounds(topic, lane)
    stamps_ms = [raw.timestamp()[1] for raw in asker.span(topic, lane, low, high)]
    asker.close()
    return max(after - before for before, after in pairwise(stamps_ms)) / 1000


def _rob(desk: Desk, flow: str) -> None:
    """Take the state of two of them: one loses it, one finds it damaged."""
    if flow == "features":
        for file in sorted((desk.folder / flow).rglob("*"), reverse=True):
            file.unlink() if file.is_file() else file.rmdir()
    if flow == "decide":
        for file in (desk.folder / flow / "store").iterdir():  # the database and its journals
            file.write_bytes(b"garbage" + file.read_bytes()[7:])


def _replace_ingest_while_it_stands_still(desk: Desk) -> None:
    """A zombie: it is stopped, another takes over as if on another machine, it goes on."""
    zombie = desk.processes["ingest"]
    zombie.send_signal(signal.SIGSTOP)
    (elsewhere := desk.folder / "elsewhere").mkdir()
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(elsewhere)  # where locks are kept
    try:
        desk.start("ingest")
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before
    log = desk.log()
    lane = min(simulated(1.0)[0].table.active_lanes())
    partition = (MARKET.name, lane)
    wait_for_rows(log, MARKET, lane, log.ends([partition])[partition] + 200)
    log.close()
    zombie.send_signal(signal.SIGCONT)
    assert zombie.wait(timeout=120) == 2
    assert "another process has taken over as its writer" in desk.said("ingest")


def _verify(desk: Desk) -> None:
    log = desk.log()
    whole = verify(log, progress=lambda n: None)
    assert whole.difference is None, whole.difference
    open_log = partial(KafkaLog, desk.servers, deployment=desk.deployment)
    halves = verify_in_processes(open_log, workers=2, progress=lambda n: None)
    assert halves.difference is None, halves.difference
    assert halves.decisions == whole.decisions > 0
    log.close()


def _command(desk: Desk, flow: str) -> list[str]:
    return [*COMMAND, flow, "--deployment", desk.deployment, "--state", str(desk.folder / "2nd")]


def _environment(desk: Desk) -> dict[str, str]:
    return os.environ | {"TRIFECTA_KAFKA": desk.servers}


def _ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9
