"""Promise: workers that crash are started again, later each time; none outlives its supervisor."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from cli.last_error import last_error
from cli.supervisor import Status, Supervisor, Worker
from flows.health import HOST, HealthServer
from flows.meter import Meter
from tests.conftest import ROOT

PATIENCE_S = 60.0  # a bound for a hung test, never a measurement

WORKER = """
import json, os, signal, sys, threading, time
from http.server import BaseHTTPRequestHandler, HTTPServer

port, folder = int(sys.argv[1]), sys.argv[2]
state = ["running"]

class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        said = {"pid": os.getpid(), "state": state[0], "healthy": True, "trouble": None,
                "rows_per_s": 12.5, "lag": 3, "last_seq": {"features.v1/0": 41, "features.v1/1": 7},
                "event_time_ns": 1399032000000000000}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass

def serve():
    HTTPServer.allow_reuse_address = True
    server = HTTPServer(("127.0.0.1", port), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()

def says(text):
    state[0] = text

def count():
    with open(folder + "/starts", "a") as file:
        file.write(f"{time.monotonic()} {os.getpid()}\\n")
    return len(open(folder + "/starts").readlines())

def wait_for(name):
    while not os.path.exists(folder + "/" + name):
        time.sleep(0.01)
"""
UNTIL_TOLD = "serve(); count(); wait_for('end')"
ASLEEP = "serve(); count(); time.sleep(1000)"


def worker(folder: Path, body: str, *, flow: str = "features", port: int | None = None) -> Worker:
    """A worker that does what the body says, below the helpers of WORKER."""
    folder.mkdir(exist_ok=True)
    port = free_port() if port is None else port
    return Worker(
        flow, "0-3", (sys.executable, "-S", "-c", f"{WORKER}\n{body}", str(port), str(folder)), port
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def starts(folder: Path) -> list[tuple[float, int]]:
    """When, on the monotonic clock, and as which process it was started."""
    path = folder / "starts"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(float(line.split()[0]), int(line.split()[1])) for line in lines]


class Watch:
    """Remembers the statuses, and does something once when they are as it waits for."""

    def __init__(
        self,
        when: Callable[[list[Status]], bool] = lambda statuses: False,
        then: Callable[[list[Status]], None] = lambda statuses: None,
    ) -> None:
        self.seen: list[list[Status]] = []
        self._when, self._then, self._done = when, then, False
        self._until_s = time.monotonic() + PATIENCE_S

    def __call__(self, statuses: list[Status]) -> None:
        self.seen.append(statuses)
        assert time.monotonic() < self._until_s, f"it never came so far: {statuses}"
        if not self._done and self._when(statuses):
            self._done = True
            self._then(statuses)

    @property
    def last(self) -> list[Status]:
        return self.seen[-1]


def up(statuses: list[Status]) -> bool:
    return all(status.phase == "up" for status in statuses)


def alive(pids: list[int]) -> list[int]:
    return [
        pid
        for pid in pids
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]


def test_a_worker_that_ends_with_0_is_finished(tmp_path: Path) -> None:
    one = worker(tmp_path / "one", UNTIL_TOLD)
    two = worker(tmp_path / "two", "count()", flow="decide")
    watch = Watch(lambda s: s[0].phase == "up", lambda s: (tmp_path / "one" / "end").touch())
    assert Supervisor([one, two], tmp_path / "logs").run(watch) == "finished"
    was = next(s[0] for s in watch.seen if s[0].phase == "up")
    assert (was.state, was.healthy, was.rows_per_s, was.lag, was.last_seq) == (
        "running", True, 12.5, 3, 41,
    )  # fmt: skip
    assert was.pid == starts(tmp_path / "one")[0][1]
    assert [(s.phase, s.restarts, s.last_error, s.pid) for s in watch.last] == [
        ("finished", 0, "", None)
    ] * 2
    assert watch.last[0].last_seq == 41  # still known
    assert len(starts(tmp_path / "two")) == 1


def test_a_crashing_worker_is_started_again_later_each_time(tmp_path: Path) -> None:
    body = "n = count(); sys.exit(0 if n == 5 else f'error: crash {n}')"
    delays_s = (0.1, 0.2, 0.4)
    watch = Watch()
    supervisor = Supervisor([worker(tmp_path / "one", body)], tmp_path / "logs", delays_s=delays_s)
    assert supervisor.run(watch) == "finished"
    assert [(s.phase, s.restarts, s.kills) for s in watch.last] == [("finished", 4, 0)]
    assert [s[0].last_error for s in watch.seen if s[0].phase == "down"][-1] == "crash 4"
    assert watch.last[0].last_error == "", "it has finished after all"
    times_s = [at for at, _ in starts(tmp_path / "one")]
    gaps_s = [b - a for a, b in pairwise(times_s)]
    assert all(gap >= delay for gap, delay in zip(gaps_s, (0.1, 0.2, 0.4, 0.4), strict=True))
    assert {s[0].phase for s in watch.seen} >= {"down", "finished"}
    log = (tmp_path / "logs" / "features-0-3.log").read_text()
    assert log.splitlines() == [f"error: crash {n}" for n in range(1, 5)]  # appended


def test_who_ran_for_long_begins_with_the_first_delay_again(tmp_path: Path) -> None:
    watch = Watch(lambda s: s[0].state.startswith("restart in 9"), lambda s: pytest.fail(str(s)))
    supervisor = Supervisor(
        [worker(tmp_path / "one", "sys.exit(0 if count() == 4 else 1)")],
        tmp_path / "logs",
        delays_s=(0.0, 999.0),
        steady_s=0.0,  # every run was long
    )
    assert supervisor.run(watch) == "finished"
    assert watch.last[0].restarts == 3


def test_a_refusal_stays_down_and_the_others_go_on(tmp_path: Path) -> None:
    refused = worker(
        tmp_path / "one", "print('error: no tape', file=sys.stderr); count(); sys.exit(2)"
    )
    other = worker(tmp_path / "two", UNTIL_TOLD, flow="decide")
    watch = Watch(
        lambda s: (s[0].phase, s[1].phase) == ("refused", "up"),
        lambda s: (tmp_path / "two" / "end").touch(),
    )
    supervisor = Supervisor([refused, other], tmp_path / "logs", delays_s=(0.0,))
    assert supervisor.run(watch) == "refused"
    assert [(s.phase, s.last_error) for s in watch.last] == [
        ("refused", "no tape"),
        ("finished", ""),
    ]
    assert len(starts(tmp_path / "one")) == 1


def test_the_others_stop_if_all_are_needed_and_one_is_refused(tmp_path: Path) -> None:
    refused = worker(tmp_path / "one", "count(); sys.exit(2)")
    other = worker(tmp_path / "two", UNTIL_TOLD, flow="decide")
    watch = Watch(lambda s: s[1].phase == "stopped", lambda s: None)
    supervisor = Supervisor([refused, other], tmp_path / "logs", all_or_none=True)
    assert supervisor.run(watch) == "refused"
    assert [s.phase for s in watch.last] == ["refused", "stopped"]


def test_the_last_one_waits_until_the_others_have_started(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    slow = worker(
        tmp_path / "one",
        f"says('starting'); serve(); time.sleep(1.0); open({str(begun)!r}, 'w'); "
        "says('running'); time.sleep(1000)",
    )
    last = replace(worker(tmp_path / "two", "count(); sys.exit(0)", flow="ingest"), last=True)
    order: list[bool] = []

    def watch(statuses: list[Status]) -> None:
        if statuses[1].phase == "finished":
            order.append(begun.exists())
            os.kill(os.getpid(), signal.SIGTERM)

    assert Supervisor([slow, last], tmp_path / "logs").run(watch) == "stopped"
    assert order[0]


def test_a_killed_worker_is_started_again(tmp_path: Path) -> None:
    watch = Watch(up, lambda s: os.kill(int(s[0].pid or 0), signal.SIGKILL))
    body = "serve(); n = count(); time.sleep(0 if n == 2 else 1000)"
    one = worker(tmp_path / "one", body)
    assert Supervisor([one], tmp_path / "logs", delays_s=(0.0,)).run(watch) == "finished"
    assert (watch.last[0].restarts, watch.last[0].kills) == (1, 1)


def test_what_was_wrong_is_no_longer_shown_once_the_worker_is_well(tmp_path: Path) -> None:
    body = """
n = count()
says("running" if n == 2 else "starting")
serve()
if n == 1:
    wait_for("crash")
    sys.exit("error: no broker")
wait_for("end")
"""
    one = tmp_path / "one"
    crash = Watch(up, lambda s: (one / "crash").touch())
    well = Watch(
        lambda s: s[0].restarts == 1 and s[0].phase == "up", lambda s: (one / "end").touch()
    )

    def watch(statuses: list[Status]) -> None:
        crash(statuses)
        well(statuses)

    supervisor = Supervisor([worker(one, body)], tmp_path / "logs", delays_s=(0.1,))
    assert supervisor.run(watch) == "finished"
    said = [(s[0].phase, s[0].last_error) for s in well.seen]
    assert ("down", "no broker") in said
    assert [error for phase, error in said if phase in ("up", "finished")] == [""] * sum(
        phase in ("up", "finished") for phase, _ in said
    )


def test_a_worker_that_no_longer_answers_is_silent(tmp_path: Path) -> None:
    def wake(statuses: list[Status]) -> None:
        (tmp_path / "one" / "end").touch()
        os.kill(int(statuses[0].pid or 0), signal.SIGCONT)

    silent = Watch(lambda s: s[0].phase == "silent", wake)
    stop = Watch(up, lambda s: os.kill(int(s[0].pid or 0), signal.SIGSTOP))

    def watch(statuses: list[Status]) -> None:
        stop(statuses)
        silent(statuses)

    one = worker(tmp_path / "one", UNTIL_TOLD)
    assert Supervisor([one], tmp_path / "logs").run(watch) == "finished"
    was = next(s[0] for s in silent.seen if s[0].phase == "silent")
    assert (was.state, was.healthy, was.rows_per_s) == ("no answer", False, None)


def test_another_process_on_its_port_is_not_taken_for_it(tmp_path: Path) -> None:
    with HealthServer(Meter("decide", "0-7"), 0) as stranger:
        one = worker(tmp_path / "one", "count(); wait_for('end')", port=stranger.port)
        watch = Watch(
            lambda s: len(starts(tmp_path / "one")) == 1,
            lambda s: (tmp_path / "one" / "end").touch(),
        )
        assert Supervisor([one], tmp_path / "logs").run(watch) == "finished"
    assert {s[0].phase for s in watch.seen} == {"starting", "finished"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_is_passed_on_to_all(tmp_path: Path, number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in (number, signal.SIGCHLD)]
    body = (
        """
def leave(number, frame):
    open(folder + "/told", "w").write(str(number))
    sys.exit(130)
signal.signal(signal.SIGTERM, leave)
"""
        + ASLEEP
    )
    workers = [worker(tmp_path / flow, body, flow=flow) for flow in ("decide", "execute")]
    watch = Watch(up, lambda s: os.kill(os.getpid(), number))
    assert Supervisor(workers, tmp_path / "logs").run(watch) == "stopped"
    for flow in ("decide", "execute"):
        assert (tmp_path / flow / "told").read_text() == str(int(signal.SIGTERM))
    assert [(s.phase, s.last_error, s.restarts) for s in watch.last] == [("stopped", "", 0)] * 2
    assert [signal.getsignal(each) for each in (number, signal.SIGCHLD)] == before


DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + ASLEEP


def test_who_does_not_stop_in_time_is_killed(tmp_path: Path) -> None:
    watch = Watch(up, lambda s: os.kill(os.getpid(), signal.SIGTERM))
    supervisor = Supervisor([worker(tmp_path / "one", DEAF)], tmp_path / "logs", stop_s=0.1)
    assert supervisor.run(watch) == "stopped"
    assert (watch.last[0].last_error, watch.last[0].kills) == ("killed by SIGKILL", 0)  # by us
    assert alive([pid for _, pid in starts(tmp_path / "one")]) == []


def test_a_second_signal_kills(tmp_path: Path) -> None:
    def again(statuses: list[Status]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    first, second = Watch(up, again), Watch(lambda s: s[0].phase == "stopping", again)

    def watch(statuses: list[Status]) -> None:
        first(statuses)
        second(statuses)

    one = worker(tmp_path / "one", DEAF)
    assert Supervisor([one], tmp_path / "logs", stop_s=10 * PATIENCE_S).run(watch) == "stopped"
    assert alive([pid for _, pid in starts(tmp_path / "one")]) == []


def test_a_failure_of_the_display_leaves_no_worker(tmp_path: Path) -> None:
    def fail(statuses: list[Status]) -> None:
        raise BrokenPipeError("nobody reads")

    one = worker(tmp_path / "one", ASLEEP)
    with pytest.raises(BrokenPipeError):
        Supervisor([one], tmp_path / "logs").run(Watch(up, fail))
    assert alive([pid for _, pid in starts(tmp_path / "one")]) == []


@pytest.mark.skipif(sys.platform != "linux", reason="never: other kernels have no such request")
def test_kill_9_of_the_supervisor_leaves_no_worker(tmp_path: Path) -> None:
    workers = [worker(tmp_path / flow, DEAF, flow=flow) for flow in ("decide", "execute")]
    plan = json.dumps([[w.flow, w.lanes, w.command, w.port] for w in workers])
    code = f"""
import json
from pathlib import Path
from cli.supervisor import Supervisor, Worker
workers = [Worker(f, l, tuple(c), p) for f, l, c, p in json.loads({plan!r})]
Supervisor(workers, Path({str(tmp_path / "logs")!r})).run(lambda statuses: None)
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        until_s = time.monotonic() + PATIENCE_S
        while not all(starts(tmp_path / w.flow) for w in workers):
            assert time.monotonic() < until_s, "the workers were not started"
            time.sleep(0.02)
        pids = [starts(tmp_path / w.flow)[0][1] for w in workers]
        assert alive(pids) == pids
    finally:
        process.kill()
        process.wait()
    try:
        while alive(pids):
            assert time.monotonic() < until_s, "workers outlived their supervisor"
            time.sleep(0.02)
    finally:
        for pid in alive(pids):
            os.kill(pid, signal.SIGKILL)


def test_names_must_differ(tmp_path: Path) -> None:
    one = worker(tmp_path / "one", "")
    with pytest.raises(ValueError, match=r"names of their own, were \['features-0-3'"):
        Supervisor([one, one], tmp_path)


TRACE = "Traceback (most recent call last):\n  File ...\nKeyError: 'lane 3'\n"
EVENT = '{"level": "error", "event": "failed", "flow": "decide"}\n'
# fmt: off
LAST = [  # what it wrote, exit code, what is shown
    ("a signal",            "error: x\n",                                -9, "killed by SIGKILL"),
    ("nothing",             "",                                          1,
     "ended with exit code 1 and said nothing"),
    ("a refusal",           "warming up\nerror: no tape\n",              2,  "no tape"),
    ("words after it",      "error: no tape\nbye\n",                     2,  "no tape"),
    ("a trace",             TRACE,                                       1,  "KeyError: 'lane 3'"),
    ("a trace after all",   "error: slow\n" + TRACE,                     1,  "KeyError: 'lane 3'"),
    ("a log line",          '{"level": "info", "event": "a"}\n' + EVENT, 1,  "failed"),
    ("with its trace",      EVENT.replace("}", ', "exception": "T\\nE: x"}'), 1, "failed: E: x"),
    ("a line about usage",  "╭─ Error ─╮\n│ No such option: --x │\n╰─────╯\n", 2,
     "No such option: --x"),
    ("no text",             "\xff\x00\n",                                3,  "\ufffd"),
]
# fmt: on


@pytest.mark.parametrize(("what", "written", "code", "said"), LAST, ids=[c[0] for c in LAST])
def test_last_error(tmp_path: Path, what: str, written: str, code: int, said: str) -> None:
    log = tmp_path / "log"
    earlier = "error: of the process before\n"
    log.write_bytes(earlier.encode() + written.encode("latin-1" if "\xff" in written else "utf-8"))
    assert last_error(log, len(earlier), code).rstrip("\x00") == said
