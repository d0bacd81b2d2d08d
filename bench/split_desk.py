"""What `bench split` measures on: a broker, deployments of its own, and worker processes. Linux."""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from cli.config import PREFIX
from cli.errors import Refused
from cli.last_error import last_error
from cli.tether import tethered
from flows.health import HOST
from flows.kafka_broker import prepare, start, stop
from flows.log.kafka import KafkaLog
from flows.log.kafka_client import SERVERS_VARIABLE
from flows.log.kafka_topics import apply_topics, delete_topics, planned_topics

BROKER_PORTS = range(20_000, 32_000, 2)  # below those that the system hands out
SAMPLE_S = 0.05  # between looks at the workers' processor time, which the kernel counts in 10 ms
LOOK_S = 0.02
ANSWER_S = 5.0
WAIT_S = 150.0  # for a worker to get anywhere; it may have to compile kernels first

Say = Callable[[str], None]
Health = dict[str, Any]  # see flows.meter.Meter.snapshot


@contextmanager
def broker(say: Say) -> Iterator[str]:
    """Addresses of the brokers of TRIFECTA_KAFKA, else of one that lives as long as this."""
    given = os.environ.get(SERVERS_VARIABLE)
    if given:
        yield given
        return
    with TemporaryDirectory(prefix="trifecta-bench-") as folder:
        cluster = prepare(Path(folder), port=_two_ports())
        try:
            start(cluster, say=say)
            yield cluster.servers
        finally:
            stop(cluster)


@contextmanager
def deployment(servers: str, what: str) -> Iterator[str]:
    """The name of a deployment with all topics; they are deleted afterwards."""
    name = f"bench-{os.getpid()}-{what}"
    plans = planned_topics()
    apply_topics(servers, name, plans)
    try:
        yield name
    finally:
        delete_topics(servers, name, plans)


@dataclass
class Workers:
    """Workers of one deployment in processes of their own, and the processor time each has used.

    A context: at its end every worker that still runs is killed.

    Parameters
    ----------
    servers, deployment : str
    folder : Path
        For state and logs.
    config : Path
        Ingest's settings.
    """

    servers: str
    deployment: str
    folder: Path
    config: Path
    _processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    _ports: dict[str, int] = field(default_factory=dict)
    _clock: "_CpuClock" = field(default_factory=lambda: _CpuClock())

    def __enter__(self) -> "Workers":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._clock.end()
        for process in self._processes.values():
            process.kill()
            process.wait()

    def start(self, flow: str, *options: str) -> None:
        """A worker by the command that a user gives; ingest with `config`."""
        own = ["--config", str(self.config)] if flow == "ingest" else []
        command = [
            sys.executable, "-m", "cli.main", "worker", flow, "--deployment", self.deployment,
            "--state", str(self.folder), "--log", "json", *own, *options,
        ]  # fmt: skip
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
        with self.log(flow).open("wb") as log:
            process = subprocess.Popen(
                tethered(command),
                env=inherited | {SERVERS_VARIABLE: self.servers},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._processes[flow] = process
        self._clock.watch(flow, process.pid)

    def open_log(self) -> KafkaLog:
        """The deployment's log; to be closed."""
        return KafkaLog(self.servers, deployment=self.deployment)

    def log(self, flow: str) -> Path:
        return self.folder / f"{flow}.log"

    def event(self, flow: str, name: str) -> dict[str, Any]:
        """The fields of a line in a worker's log, as soon as it is there."""
        found: list[dict[str, Any]] = []

        def told() -> bool:
            lines = self.log(flow).read_text(encoding="utf-8").splitlines()
            found.extend(json.loads(line) for line in lines if f'"event": "{name}"' in line)
            return bool(found)

        self._wait(flow, told)
        return found[0]

    def wait_until(self, flow: str, good: Callable[[Health], bool]) -> None:
        """Until what a worker tells of itself is good."""

        def reached() -> bool:
            health = self.health(flow)
            return health is not None and good(health)

        self._wait(flow, reached)

    def wait(self, *flows: str) -> None:
        """Until workers have finished."""
        for flow in flows:
            self._wait(flow, partial(self._has_finished, flow))

    def health(self, flow: str) -> Health | None:
        """What its /healthz says; None before the first and after the last answer."""
        if flow not in self._ports:
            self._ports[flow] = self.event(flow, "started")["port"]
        connection = HTTPConnection(HOST, self._ports[flow], timeout=ANSWER_S)
        try:
            connection.request("GET", "/healthz")
            return dict(json.loads(connection.getresponse().read()))
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()

    def cpu_s(self, flow: str, start_s: float, end_s: float) -> float:
        """Processor time of a worker between two moments of `time.time()`."""
        return self._clock.between(flow, start_s, end_s)

    def _has_finished(self, flow: str) -> bool:
        return self._processes[flow].poll() == 0

    def _wait(self, flow: str, done: Callable[[], bool]) -> None:
        end_s = time.monotonic() + WAIT_S
        while not done():
            for each, process in self._processes.items():
                if process.poll() not in (None, 0):
                    why = last_error(self.log(each), 0, process.returncode)
                    raise Refused(f"the {each} worker has failed: {why}")
            if time.monotonic() > end_s:
                raise Refused(
                    f"the {flow} worker did not get as far as it should within {WAIT_S:.0f} s; "
                    "measure on a machine with less to do"
                )
            time.sleep(LOOK_S)


class _CpuClock:
    """Processor time of processes as it grows, looked up in the kernel by a thread."""

    def __init__(self) -> None:
        self._pids: dict[str, int] = {}
        self._found: dict[str, list[tuple[float, float]]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="cpu", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def watch(self, name: str, pid: int) -> None:
        self._found[name] = [(time.time(), 0.0)]
        self._pids[name] = pid

    def between(self, name: str, start_s: float, end_s: float) -> float:
        at_s, cpu_s = np.array(self._found[name]).T
        first, last = np.interp([start_s, end_s], at_s, cpu_s)
        return float(last - first)

    def _look(self) -> None:
        while not self._over.wait(SAMPLE_S):
            for name, pid in list(self._pids.items()):
                used_s = _cpu_s(pid)
                if used_s is not None:
                    self._found[name].append((time.time(), used_s))


def _cpu_s(pid: int) -> float | None:
    """User and system time of a process and its threads; None if it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    values = text.rpartition(")")[2].split()  # the name before may hold blanks
    return (int(values[11]) + int(values[12])) / float(os.sysconf("SC_CLK_TCK"))


def _two_ports() -> int:
    """A port that is free together with the next one."""
    draw = random.SystemRandom()
    while True:
        port = draw.choice(BROKER_PORTS)
        with socket() as one, socket() as two, suppress(OSError):
            one.bind((HOST, port))
            two.bind((HOST, port + 1))
            return port
