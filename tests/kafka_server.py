"""A real broker for the tests that need one; left out, with the reason, where Java or Maven is not.

In CI (environment variable CI) leaving them out is a failure.
"""

import fcntl
import os
import random
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from flows.kafka_broker import HOST, Cluster, prepare, start, stop
from flows.kafka_jars import MissingToolError, find_jars, find_java
from flows.log.kafka import KafkaLog
from flows.log.kafka_topics import META, TopicPlan, apply_topics, delete_topics

SOON_S = 60.0  # a bound for a hung test, never a measurement
Found = TypeVar("Found")

PARTITIONS = {  # of what the tests write; a broker needs a while for hundreds
    "market.v1": 6, "features.v1": 1, "signals.v1": 1, "control.v1": 1, "ledger.v1": 1,
    "raw.v1": 3, META: 1
}  # fmt: skip
PLANS = [TopicPlan(name, n, None, 2_097_152, name == META) for name, n in PARTITIONS.items()]


def soon(ask: Callable[[], Found]) -> Found:
    """The first answer that is not empty: brokers deliver a moment later."""
    end = time.monotonic() + SOON_S
    while not (answer := ask()) and time.monotonic() < end:
        time.sleep(0.005)
    return answer


def need_kafka() -> None:
    """Leave the test out where Java or Maven is missing."""
    try:
        find_java()
        find_jars()
    except MissingToolError as missing:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(f"in CI the Kafka tests must run: {missing}")
        pytest.skip(f"ours: Kafka tests are left out: {missing}")


def free_port(n: int) -> int:
    """The first of n ports in a row that are free now, below those that the system hands out."""
    drawn = random.SystemRandom()  # Hypothesis seeds the other one, in every process alike
    while True:
        first = drawn.randrange(20_000, 32_000, 2)
        with socket.socket() as one, socket.socket() as two:
            try:
                one.bind((HOST, first))
                two.bind((HOST, first + n - 1))
            except OSError:
                continue
        return first


def kill(cluster: Cluster, node: int = 1) -> None:
    """kill -9, and wait until it is dead."""
    pid = cluster.pid(node)
    assert pid
    os.kill(pid, signal.SIGKILL)
    assert soon(lambda: cluster.pid(node) is None)


def deploy(cluster: Cluster, name: str, **arguments: Any) -> KafkaLog:
    apply_topics(cluster.servers, name, PLANS)
    return KafkaLog(cluster.servers, deployment=name, topics=PLANS, **arguments)


class SharedBroker:
    """One broker for all processes of one test run; the last one to leave stops it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._starting = os.open(folder / "starting", os.O_RDWR | os.O_CREAT, 0o644)
        self._users = os.open(folder / "users", os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(self._users, fcntl.LOCK_SH)
        fcntl.flock(self._starting, fcntl.LOCK_EX)
        try:
            there = (folder / "data" / "cluster.json").exists()
            self.cluster = prepare(folder / "data", port=None if there else free_port(2))
            start(self.cluster)
        finally:
            fcntl.flock(self._starting, fcntl.LOCK_UN)

    def leave(self) -> None:
        fcntl.flock(self._users, fcntl.LOCK_UN)
        fcntl.flock(self._starting, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another process still uses it
        else:
            stop(self.cluster)
        finally:
            os.close(self._users)
            os.close(self._starting)


@pytest.fixture(scope="session")
def kafka_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Addresses of a running broker, shared by the whole test run."""
    need_kafka()
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "kafka"
    folder.mkdir(exist_ok=True)
    broker = SharedBroker(folder)
    try:
        yield broker.cluster.servers
    finally:
        broker.leave()


@pytest.fixture
def deployment(kafka_servers: str) -> Iterator[str]:
    """A deployment of its own, with PLANS as its topics."""
    name = f"t{uuid.uuid4().hex[:12]}"
    apply_topics(kafka_servers, name, PLANS)
    yield name
    delete_topics(kafka_servers, name, PLANS)


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A broker for one file alone; it is not started yet."""
    need_kafka()
    cluster = prepare(tmp_path_factory.mktemp("kafka"), port=free_port(2))
    try:
        yield cluster
    finally:
        stop(cluster)


@pytest.fixture
def own_broker(own_cluster: Cluster) -> Cluster:
    """A broker that runs and may be killed."""
    start(own_cluster)
    return own_cluster
