"""Promise: a local broker starts, dies, comes back with every row, and leaves nothing behind."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.kafka import app
from flows import kafka_jars
from flows.kafka_broker import HOST, Cluster, open_cluster, prepare, start, stop
from flows.kafka_jars import BrokerError, MissingToolError, find_jars, find_java
from flows.log.errors import LogError
from flows.log.kafka import KafkaLog
from flows.log.reader import LaneReader
from tests.kafka_server import deploy, free_port, kill, need_kafka, soon
from tests.test_log_contract import LANE0, market, messages, read_all, same

# ---- the commands, from the first start to the last stop


def trifecta_kafka(*words: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def test_up_status_topics_down(tmp_path: Path) -> None:
    need_kafka()
    data = tmp_path / "kafka"
    port = free_port(2)
    assert trifecta_kafka("status", "--data", data)[0] == 2
    try:
        code, out, err = trifecta_kafka("up", "--port", port, "--data", data, "--json")
        up = json.loads(out)
        assert (code, up["started"], up["servers"]) == (0, [1], f"{HOST}:{port}")
        assert {topic["outcome"] for topic in up["topics"]} == {"created"}
        KafkaLog(up["servers"]).close()  # all topics are there

        code, out, err = trifecta_kafka("up", "--data", data)
        assert (code, out) == (0, f"{HOST}:{port}\n")
        assert "running already" in err

        code, out, _ = trifecta_kafka("topics", "--servers", up["servers"], "--json")
        assert {topic["outcome"] for topic in json.loads(out)} == {"as planned"}
        assert trifecta_kafka("topics", "--servers", up["servers"])[0] == 0

        code, out, _ = trifecta_kafka("status", "--data", data, "--json")
        assert (code, json.loads(out)["brokers"]) == (0, up["brokers"])

        code, _, err = trifecta_kafka("up", "--brokers", 3, "--data", data)
        assert code == 2
        assert "brokers 1, not 3" in err

        kill(open_cluster(data))
        assert trifecta_kafka("status", "--data", data)[0] == 1
        code, out, _ = trifecta_kafka("up", "--data", data, "--json")
        again = json.loads(out)
        assert (code, again["started"]) == (0, [1])
        assert {topic["outcome"] for topic in again["topics"]} == {"as planned"}

        code, _, err = trifecta_kafka("drop", "", "--servers", up["servers"])
        assert code == 2
        assert "say --yes" in err
        code, _, err = trifecta_kafka("drop", "", "--yes", "--servers", up["servers"])
        assert (code, err.strip()) == (0, f"{len(up['topics'])} topics deleted")
        code, _, err = trifecta_kafka("drop", "", "--yes", "--servers", up["servers"])
        assert code == 2
        assert "holds no topic" in err

        code, _, err = trifecta_kafka("down", "--data", data)
        assert (code, "is stopped" in err) == (0, True)
        assert open_cluster(data).pid(1) is None
        assert trifecta_kafka("status", "--data", data)[0] == 1
        assert "nothing was running" in trifecta_kafka("down", "--data", data)[2]
    finally:
        stop(open_cluster(data))


# ---- what a broker's death does to writers and readers


def deploy_both(cluster: Cluster, name: str, **arguments: Any) -> list[KafkaLog]:
    """One deployment whose writer is fenced, one whose is not; a kill costs seconds."""
    return [deploy(cluster, f"{name}-{fence}", fence=fence, **arguments) for fence in (True, False)]


def test_every_acknowledged_row_survives_kill_9(own_broker: Cluster) -> None:
    logs = deploy_both(own_broker, "killed")
    for log in logs:
        writer = log.writer()
        for k in range(50):
            writer.append(messages(10 * k, 10))
        writer.flush()
        writer.append(messages(500, 10))  # in flight; whether it arrives is open
    kill(own_broker)
    start(own_broker)
    for log in logs:
        rows = read_all(log)
        assert rows.seq.size in (500, 510)
        assert same(rows, market(0, rows.seq.size))


def test_writer_and_reader_go_on_by_themselves(own_broker: Cluster) -> None:
    logs = deploy_both(own_broker, "healed")
    writers = [log.writer() for log in logs]
    readers = [LaneReader(log, [LANE0], state=None, merge=False) for log in logs]
    for writer, reader in zip(writers, readers, strict=True):
        writer.append(messages(0, 10))
        writer.flush()
        assert soon(lambda each=reader: each.window(100))  # type: ignore[misc]
        writer.append(messages(10, 10))
    kill(own_broker)
    for writer in writers:
        writer.append(messages(20, 10))
    start(own_broker)
    for log, writer, reader in zip(logs, writers, readers, strict=True):
        writer.append(messages(30, 10))
        writer.flush()
        n = 10
        while n < 40:
            rows = soon(lambda each=reader: each.window(100))[LANE0]  # type: ignore[misc]
            n += rows.seq.size
        reader.close()
        writer.close()
        assert same(read_all(log), market(0, 40))


def test_a_row_that_is_not_acknowledged_in_time_is_an_error(own_broker: Cluster) -> None:
    logs = deploy_both(own_broker, "late", delivery_timeout_s=2.0)
    writers = [log.writer() for log in logs]
    for writer in writers:
        writer.append(messages(0, 10))
        writer.flush()
    kill(own_broker)
    for writer in writers:
        writer.append(messages(10, 10))
        for _ in range(2):  # failed for good
            with pytest.raises(LogError, match="were not acknowledged within 2 s"):
                writer.flush()
        with pytest.raises(LogError, match="were not acknowledged within 2 s"):
            writer.append(messages(20, 10))
        writer.close()
    start(own_broker)
    for log in logs:
        again = log.writer()
        assert again.last_seq(*LANE0) == 9
        again.append(messages(10, 5))
        again.close()
        assert same(read_all(log), market(0, 15))


# ---- what cannot be started, and what it says


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    need_kafka()
    with socket.socket() as taken:
        first = free_port(6)
        port = first + 5
        taken.bind((HOST, port))
        taken.listen()
        refused = rf"port {port} of 127\.0\.0\.1 is not free .*; choose another with --port$"
        with pytest.raises(BrokerError, match=refused):
            start(prepare(tmp_path / "new" / "kafka", port=port))
        with pytest.raises(BrokerError, match=f"port {port} "):  # of the third broker's controller
            start(prepare(tmp_path / "new" / "kafka", brokers=3, port=first))
        assert not (tmp_path / "new").exists()  # nothing that another --port would not fit to
        (tmp_path / "kafka").mkdir()
        cluster = prepare(tmp_path / "kafka", port=port)
        made(cluster)
        with pytest.raises(BrokerError, match=rf"port {port} .*end what listens there.* --data$"):
            start(cluster)


def made(cluster: Cluster) -> None:
    """Let its folder hold a cluster that has been started before."""
    shape = {"identity": cluster.identity, "brokers": cluster.brokers, "port": cluster.port}
    (cluster.folder / "cluster.json").write_text(json.dumps(shape))


def test_two_that_make_one_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_kafka()
    cluster, other = (prepare(tmp_path, port=free_port(2)) for _ in range(2))
    monkeypatch.setattr("flows.kafka_broker._check_port", lambda port, way_out: made(other))
    with pytest.raises(BrokerError, match="another 'kafka up' has made a cluster there just now"):
        start(cluster)
    assert open_cluster(tmp_path) == other


def test_without_java_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    code, _, err = trifecta_kafka("up", "--data", tmp_path / "kafka")
    assert code == 2
    assert "Kafka needs Java 17" in err
    assert not (tmp_path / "kafka").exists()


def test_a_broker_that_dies_while_starting_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_kafka()
    cluster = prepare(tmp_path / "kafka", port=free_port(2))
    monkeypatch.setattr("flows.kafka_broker._SETTINGS", "process.roles=nobody\nlog.dirs=data\n")
    with pytest.raises(BrokerError, match=r"process\.roles"):
        start(cluster)


def test_a_folder_keeps_its_shape(tmp_path: Path) -> None:
    cluster = prepare(tmp_path, brokers=3, port=21_000)
    assert list(tmp_path.iterdir()) == []  # `start` makes it
    made(cluster)
    assert cluster.servers == "127.0.0.1:21000,127.0.0.1:21002,127.0.0.1:21004"
    assert prepare(tmp_path) == open_cluster(tmp_path) == cluster
    with pytest.raises(BrokerError, match="brokers 3, not 1"):
        prepare(tmp_path, brokers=1)
    with pytest.raises(BrokerError, match="port 21000, not 19092"):
        prepare(tmp_path, port=19_092)
    with pytest.raises(BrokerError, match="must be 1 or 3, was 2"):
        prepare(tmp_path / "other", brokers=2)
    with pytest.raises(BrokerError, match="holds no Kafka cluster"):
        open_cluster(tmp_path / "other")
    (tmp_path / "cluster.json").write_text("{")
    with pytest.raises(BrokerError, match=r"cluster\.json: damaged"):
        open_cluster(tmp_path)


def command(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


# fmt: off
JAVAS = [  # what `java -version` prints; None: there is no java
    ("none",     None,                            "found none"),
    ("too old",  'openjdk version "11.0.2"',      'is openjdk version "11.0.2"'),
    ("an antique", 'java version "1.8.0_292"',    "1.8.0_292"),
    ("a shim",   "",                              "without a version"),
]
# fmt: on


@pytest.mark.parametrize(("what", "prints", "said"), JAVAS, ids=[j[0] for j in JAVAS])
def test_a_missing_java_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, prints: str | None, said: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    if prints is not None:
        command(tmp_path / "bin", "java", f"echo '{prints}' >&2")
    with pytest.raises(MissingToolError, match=r"Kafka needs Java 17 .*apt install") as refused:
        find_java()
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_java_home_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("home", "path"):
        (tmp_path / name).mkdir()
        command(tmp_path / name / "bin", "java", "echo 'openjdk version \"21\"' >&2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "path" / "bin"))
    assert find_java() == tmp_path / "home" / "bin" / "java"


def test_a_missing_or_failing_maven_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(kafka_jars, "_cache", lambda: tmp_path / "cache")
    with pytest.raises(MissingToolError, match=r"resolved by Maven .*apt install maven"):
        find_jars()
    command(tmp_path / "bin", "mvn", "echo '[INFO] x'; echo '[ERROR] no such host'; exit 1")
    with pytest.raises(BrokerError, match=r"could not resolve .*pom\.xml: .*no such host"):
        find_jars()
    assert list((tmp_path / "cache").iterdir()) == []  # nothing half resolved stays


def test_jars_are_resolved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(kafka_jars, "_cache", lambda: tmp_path / "cache")
    make = 'for a; do case "$a" in -DoutputDirectory=*) d="${a#*=}";; esac; done; mkdir "$d"'
    command(tmp_path / "bin", "mvn", f'{make}; touch "$d/kafka_2.13-9.jar"')
    jars = find_jars()
    command(tmp_path / "bin", "mvn", "exit 1")
    assert find_jars() == jars
    assert [jar.name for jar in jars.iterdir()] == ["kafka_2.13-9.jar"]
