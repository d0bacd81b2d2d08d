"""Apache Kafka on this machine without Docker: one broker, or three as a cluster.

A cluster is a folder: its shape in `cluster.json`, and per broker a folder with settings, data,
logs and a lock that the broker's process holds as long as it lives.
"""

import base64
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from flows.kafka_jars import BrokerError, find_jars, find_java, infra_file

PORT = 19092  # not 9092, where another Kafka may listen
HOST = "127.0.0.1"  # never reachable from outside
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.05

_SHAPE = "cluster.json"
_SETTINGS = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=data
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=1
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
# a start after kill -9 waits until the dead broker's registration has expired: 9 s by default
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
# 128 MB by default, more than our one small compacted topic or a small heap can use
log.cleaner.dedupe.buffer.size=8388608
"""


@dataclass(frozen=True)
class Cluster:
    """Brokers 1 to n on consecutive pairs of loopback ports.

    Attributes
    ----------
    folder : Path
    identity : str
        Kafka's cluster id: tells our brokers from others that answer on the same port.
    brokers : int
        1, or 3 with every topic replicated on all and acknowledged by two.
    port : int
        Of broker 1; broker k listens on port + 2 (k - 1), its controller on the port after it.
    """

    folder: Path
    identity: str
    brokers: int
    port: int

    @property
    def servers(self) -> str:
        """What clients are given to find the cluster."""
        return ",".join(map(self.address_of, self.nodes))

    @property
    def nodes(self) -> range:
        return range(1, self.brokers + 1)

    def port_of(self, node: int) -> int:
        return self.port + 2 * (node - 1)

    def address_of(self, node: int) -> str:
        return f"{HOST}:{self.port_of(node)}"

    def folder_of(self, node: int) -> Path:
        return self.folder / f"broker-{node}"

    def pid(self, node: int) -> int | None:
        """The process that runs the broker now; None if none does."""
        try:
            file = os.open(self.folder_of(node) / "lock", os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(file, 32, 0).decode(errors="replace").strip()
            return int(text) if text.isdigit() else 0  # 0: it is starting
        finally:
            os.close(file)
        return None

    def answers(self) -> bool:
        """Whether every broker answers by itself and knows all the others."""
        return all(self._answers(node) for node in self.nodes)

    def _answers(self, node: int) -> bool:
        # Each on its own: the others list a dead broker until its registration has expired.
        client = AdminClient({"bootstrap.servers": self.address_of(node), "log_level": 0})
        try:
            metadata = client.list_topics(timeout=2)
        except KafkaException:
            return False
        return metadata.cluster_id == self.identity and len(metadata.brokers) == self.brokers


def open_cluster(folder: Path) -> Cluster:
    """The cluster of a folder; BrokerError if there is none."""
    try:
        shape = json.loads((folder / _SHAPE).read_text(encoding="utf-8"))
        return Cluster(folder.resolve(), shape["identity"], shape["brokers"], shape["port"])
    except FileNotFoundError:
        raise BrokerError(
            f"{folder}: holds no Kafka cluster; make one with 'trifecta kafka up'"
        ) from None
    except (ValueError, KeyError) as error:
        raise BrokerError(f"{folder / _SHAPE}: damaged ({error}); delete {folder}") from error


def prepare(folder: Path, *, brokers: int | None = None, port: int | None = None) -> Cluster:
    """The cluster of a folder, or the shape of a new one, which `start` makes.

    BrokerError if it holds one of another shape: replicas and addresses are part of its data.
    """
    if (folder / _SHAPE).exists():
        cluster = open_cluster(folder)
        for what, wanted, has in (
            ("brokers", brokers, cluster.brokers), ("port", port, cluster.port)
        ):  # fmt: skip
            if wanted not in (None, has):
                raise BrokerError(
                    f"{folder}: holds a cluster with {what} {has}, not {wanted}; leave the option "
                    "out, or name another folder with --data"
                )
        return cluster
    if brokers not in (None, 1, 3):
        raise BrokerError(f"brokers must be 1 or 3, was {brokers}")
    # Kafka's own form of a UUID; its tool to draw one costs a second of Java.
    identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
    return Cluster(folder.resolve(), identity, brokers or 1, port or PORT)


def start(cluster: Cluster, *, say: Callable[[str], None] = lambda text: None) -> list[int]:
    """Start the brokers that do not run and wait until the whole cluster answers.

    Returns the brokers that were started, none if all ran already. A new cluster without Java, jars
    or free ports is refused before anything is made. BrokerError, with the broker's own words, if
    one ends or the cluster does not answer within 60 s; what runs then goes on.
    """
    java = find_java()
    say("resolving Kafka's jars")
    jars = find_jars()
    if not (cluster.folder / _SHAPE).exists():
        _make(cluster)
    started = []
    for node in cluster.nodes:
        say(f"starting broker {node} of {cluster.brokers}")
        with _lock(cluster, node) as lock:
            if lock is not None:
                _spawn(cluster, node, java, jars, lock)
                started.append(node)
    say("waiting for metadata")
    _wait_until_ready(cluster)
    return started


def stop(cluster: Cluster) -> list[int]:
    """Stop all brokers: SIGTERM, and after 30 s SIGKILL. Returns those that had to be killed."""
    _signal(cluster, signal.SIGTERM)
    if not _gone(cluster, STOP_TIMEOUT_S):
        killed = [node for node in cluster.nodes if cluster.pid(node) is not None]
        _signal(cluster, signal.SIGKILL)
        if not _gone(cluster, STOP_TIMEOUT_S):
            raise BrokerError(f"{cluster.folder}: a broker's process cannot be ended, not even by "
                              "SIGKILL; its state is known to 'ps'")  # fmt: skip
        return killed
    return []


def _make(cluster: Cluster) -> None:
    """The folder of a new cluster, with its shape alone."""
    for node in cluster.nodes:
        for port in (cluster.port_of(node), cluster.port_of(node) + 1):
            _check_port(port, "choose another with --port")
    cluster.folder.mkdir(parents=True, exist_ok=True)
    shape = {k: v for k, v in asdict(cluster).items() if k != "folder"}
    try:
        with (cluster.folder / _SHAPE).open("x", encoding="utf-8") as file:
            file.write(json.dumps(shape) + "\n")
    except FileExistsError:
        raise BrokerError(
            f"{cluster.folder}: another 'kafka up' has made a cluster there just now; try again"
        ) from None


@contextmanager
def _lock(cluster: Cluster, node: int) -> Iterator[int | None]:
    """The broker's lock as a file descriptor; None if a process holds it."""
    folder = cluster.folder_of(node)
    folder.mkdir(exist_ok=True)
    file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield None
    else:
        yield file
    finally:
        os.close(file)  # a broker that has inherited it goes on holding the lock


def _spawn(cluster: Cluster, node: int, java: Path, jars: Path, lock: int) -> None:
    folder = cluster.folder_of(node)
    for port in (cluster.port_of(node), cluster.port_of(node) + 1):
        _check_port(port, "end what listens there, or begin another cluster with --port and --data")
    in_sync = 1 if cluster.brokers == 1 else 2
    voters = ",".join(f"{n}@{HOST}:{cluster.port_of(n) + 1}" for n in cluster.nodes)
    settings = _SETTINGS.format(
        node=node, voters=voters, host=HOST, port=cluster.port_of(node),
        controller_port=cluster.port_of(node) + 1, replicas=cluster.brokers, in_sync=in_sync,
    )  # fmt: skip
    (folder / "server.properties").write_text(settings, encoding="ascii")
    shutil.copyfile(infra_file("log4j2.properties"), folder / "log4j2.properties")
    base = [str(java), "-Dlog4j2.configurationFile=log4j2.properties", "-cp", f"{jars}/*"]
    if not (folder / "data" / "meta.properties").exists():
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster.identity]
        _format([*base, *tool, "-c", "server.properties", "--ignore-formatted"], folder)
    heap = ["-Xms256m", "-Xmx768m"] if cluster.brokers == 1 else ["-Xms256m", "-Xmx384m"]
    with (folder / "console.log").open("wb") as console:
        process = subprocess.Popen(
            [base[0], *heap, "-XX:+ExitOnOutOfMemoryError", *base[1:], "kafka.Kafka",
             "server.properties"],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            start_new_session=True, pass_fds=(lock,),
        )  # fmt: skip
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{process.pid}\n".encode(), 0)


def _format(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=READY_TIMEOUT_S,
    )  # fmt: skip
    if done.returncode:
        raise BrokerError(f"{folder}: Kafka could not prepare its data: {_complaint(done.stderr)}")


def _check_port(port: int, way_out: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise BrokerError(f"port {port} of {HOST} is not free ({error}); {way_out}") from None


def _wait_until_ready(cluster: Cluster) -> None:
    end = time.monotonic() + READY_TIMEOUT_S
    while not cluster.answers():
        for node in cluster.nodes:
            if cluster.pid(node) is None:
                raise BrokerError(
                    f"broker {node} has ended while starting: {_words(cluster, node)}"
                )
        if time.monotonic() > end:
            raise BrokerError(
                f"{cluster.servers}: no answer within {READY_TIMEOUT_S:.0f} s; broker 1 said: "
                f"{_words(cluster, 1)}"
            )
        time.sleep(POLL_S)


def _words(cluster: Cluster, node: int) -> str:
    """The last complaint of a broker, and where the rest stands."""
    folder = cluster.folder_of(node)
    logs = [folder / name for name in ("broker.log", "console.log")]
    text = "".join(log.read_text(errors="replace") for log in logs if log.exists())
    return f"{_complaint(text)} (more in {folder})"


def _complaint(text: str) -> str:
    """The last line that tells of a failure, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    bad = [line for line in lines if any(word in line for word in ("ERROR", "FATAL", "Exception"))]
    return (bad or lines or ["it said nothing"])[-1]


def _signal(cluster: Cluster, number: signal.Signals) -> None:
    for node in cluster.nodes:
        pid = cluster.pid(node)
        if pid:
            with suppress(ProcessLookupError):  # it ended by itself just now
                os.kill(pid, number)


def _gone(cluster: Cluster, timeout_s: float) -> bool:
    end = time.monotonic() + timeout_s
    while any(cluster.pid(node) is not None for node in cluster.nodes):
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True
