"""Promise: three brokers go on when one of them dies, by themselves and with every row."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from flows.kafka_broker import Cluster, prepare, start, stop
from flows.log.kafka_topics import full_name
from tests.kafka_server import deploy, free_port, kill, need_kafka
from tests.test_log_contract import market, messages, read_all, same


@pytest.fixture
def three_brokers(tmp_path: Path) -> Iterator[Cluster]:
    need_kafka()
    cluster = prepare(tmp_path / "kafka", brokers=3, port=free_port(6))
    try:
        start(cluster)
        yield cluster
    finally:
        stop(cluster)


@pytest.mark.slow  # three brokers beside the rest are too much for two cores
def test_three_brokers_survive_the_death_of_a_leader(three_brokers: Cluster) -> None:
    log = deploy(three_brokers, "three")
    writer = log.writer()
    writer.append(messages(0, 10))
    writer.flush()
    admin = AdminClient({"bootstrap.servers": three_brokers.servers})
    name = full_name("three", "market.v1")
    lane0 = admin.list_topics(timeout=30).topics[name].partitions[0]
    assert len(lane0.replicas) == 3
    kill(three_brokers, lane0.leader)
    for k in range(1, 20):
        writer.append(messages(10 * k, 10))
    writer.flush()
    assert same(read_all(log), market(0, 200))
    assert start(three_brokers) == [lane0.leader]
