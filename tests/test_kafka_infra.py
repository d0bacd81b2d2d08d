"""Promise: the compose files run what `trifecta kafka up` runs."""

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.kafka_broker import _SETTINGS
from flows.kafka_jars import infra_file
from flows.log.kafka_client import SERVERS

OWN = frozenset({  # addresses differ in a container, and folders
    "node.id", "controller.quorum.voters", "listeners", "advertised.listeners", "log.dirs",
    "listener.security.protocol.map", "inter.broker.listener.name",
})  # fmt: skip
FILES = [("compose.yaml", 1, 1), ("compose-three.yaml", 3, 2)]


def compose(name: str) -> dict[str, Any]:
    read: dict[str, Any] = YAML(typ="safe", pure=True).load(infra_file(name).read_text())
    return read


def settings(brokers: int, in_sync: int) -> dict[str, str]:
    text = _SETTINGS.format(
        node=1, voters="", host="", port="", controller_port="", replicas=brokers, in_sync=in_sync
    )
    pairs = [line.split("=", 1) for line in text.splitlines() if not line.startswith("#")]
    return {key: value for key, value in pairs if key not in OWN}


@pytest.mark.parametrize(("name", "brokers", "in_sync"), FILES, ids=[f[0] for f in FILES])
def test_compose_has_the_version_and_the_settings(name: str, brokers: int, in_sync: int) -> None:
    pinned = re.search(r"<version>([\d.]+)</version>\s*</dep", infra_file("pom.xml").read_text())
    assert pinned is not None
    services = compose(name)["services"]
    assert len(services) == brokers
    for service in services.values():
        assert service["image"] == f"apache/kafka:{pinned.group(1)}"
        environment = service["environment"]
        for key, value in settings(brokers, in_sync).items():
            found = environment["KAFKA_" + key.replace(".", "_").upper()]
            assert str(found) == value, key


def test_every_broker_is_reachable_from_this_machine_alone() -> None:
    ports = [
        port.rpartition(":")[0]
        for name, *_ in FILES
        for service in compose(name)["services"].values()
        for port in service["ports"]
    ]
    assert ports == [SERVERS, SERVERS, "127.0.0.1:19094", "127.0.0.1:19096"]
    for name, *_ in FILES:
        for service in compose(name)["services"].values():
            address = service["ports"][0].rpartition(":")[0]
            assert f"PLAINTEXT://{address}" in service["environment"]["KAFKA_ADVERTISED_LISTENERS"]
