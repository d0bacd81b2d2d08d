"""Keeps workers running: starts them, restarts those that crash, asks how they are, stops all.

A worker is a process with a /healthz. How it ended says what to do: exit code 0, it is finished;
REFUSED, a restart cannot help; anything else, it is started again, later each time.
"""

import json
import math
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Literal

from cli.errors import REFUSED, STOPPED
from cli.last_error import last_error
from cli.signals import ASKED_TO_STOP, SignalQueue, signals_queued
from cli.tether import tethered
from flows.health import HOST

DELAYS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # before the first, second, ... restart in a row
STEADY_S = 60.0  # whoever ran for so long begins with the first delay again
STOP_S = 30.0  # from SIGTERM to SIGKILL; a worker stops after its next snapshot, within a second
ANSWER_S = 1.0  # for /healthz; a stopped process takes the connection and never answers
SILENT_S = 2.0  # without an answer; a worker that is ending closes its /healthz a little earlier
SHOWN_EVERY_S = 1.0

Outcome = Literal["finished", "refused", "stopped"]
Phase = Literal["starting", "up", "silent", "down", "finished", "refused", "stopping", "stopped"]


@dataclass(frozen=True)
class Worker:
    """What is to run.

    Attributes
    ----------
    flow, lanes : str
        Its name; unique together.
    command : tuple of str
        Run as it is, without a shell.
    port : int
        Of its /healthz on this machine.
    last : bool
        Started for the first time once the others no longer say "starting".
    """

    flow: str
    lanes: str
    command: tuple[str, ...]
    port: int
    last: bool = False

    @property
    def name(self) -> str:
        return f"{self.flow}-{self.lanes}"


@dataclass(frozen=True)
class Status:
    """How one worker is. None is "not known", or "not running" for pid.

    Attributes
    ----------
    phase : Phase
        "silent" runs and no longer answers; "down" waits for its restart.
    state : str
        In words, the worker's own while it is up.
    healthy : bool
        It runs and says that all is well.
    rows_per_s : float or None
    lag : int or None
        Messages on the log that it has not read yet, over all its lanes.
    last_seq : int or None
        The largest that it has written.
    event_time_ns : int or None
        Receive time of the newest row taken in.
    restarts : int
    kills : int
        How often a signal has ended it that was not ours, such as SIGKILL.
    last_error : str
        One line: why it is not well, or how it ended; "" once it is well again.
    log : Path or None
        None for one that we have not started.
    stopped : tuple of str or None
        Reasons for which decide opens nothing now; None of the others, and while it is not known.
    books : tuple of (str, str)
        Of ingest: instruments whose order book nobody may use now, and its state.
    """

    worker: Worker
    phase: Phase
    state: str
    healthy: bool
    pid: int | None
    rows_per_s: float | None
    lag: int | None
    last_seq: int | None
    event_time_ns: int | None
    restarts: int
    kills: int
    last_error: str
    log: Path | None
    stopped: tuple[str, ...] | None
    books: tuple[tuple[str, str], ...] = ()

    @property
    def by_hand(self) -> bool:
        """We have not started it."""
        return self.log is None


class Supervisor:
    """Runs workers as child processes that never outlive it.

    Parameters
    ----------
    workers : sequence of Worker
    logs : Path
        Folder; each worker's output is appended to NAME.log there.
    delays_s : sequence of float
        Before the first, second, ... restart in a row; the last one from then on.
    steady_s : float
        A worker that ran for so long begins with the first delay again.
    stop_s : float
        From SIGTERM to SIGKILL.
    all_or_none : bool
        Stop the others when one is refused: what they are for can't be reached without it.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        logs: Path,
        *,
        delays_s: Sequence[float] = DELAYS_S,
        steady_s: float = STEADY_S,
        stop_s: float = STOP_S,
        all_or_none: bool = False,
    ) -> None:
        names = [worker.name for worker in workers]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"workers need names of their own, were {names}")
        if not delays_s:
            raise ValueError("delays_s must hold at least one delay")
        self._children = [
            _Child(worker, logs / f"{worker.name}.log", tuple(delays_s), steady_s)
            for worker in workers
        ]
        self._logs, self._stop_s, self._all_or_none = logs, stop_s, all_or_none

    def run(self, watch: Callable[[list[Status]], None]) -> Outcome:
        """Run until all workers have ended ("finished", or "refused" if one was) or a stop.

        SIGTERM, SIGINT or SIGHUP is passed on to all as SIGTERM; who has not ended after `stop_s`,
        or at a second signal, is killed. Main thread only.

        Parameters
        ----------
        watch : callable
            Called with the status of every worker once a second, and when one ends.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        with signals_queued() as signals, ThreadPoolExecutor(len(self._children)) as askers:
            try:
                return self._run(signals, lambda: watch(self._statuses(askers)))
            finally:  # also when `watch` fails
                for child in self._children:
                    child.kill()

    def _run(self, signals: SignalQueue, show: Callable[[], None]) -> Outcome:
        while True:
            held = any(child.is_starting for child in self._children)
            tended = [child for child in self._children if child.may_start or not held]
            for child in tended:
                child.tend()
            show()
            refused = any(child.end == "refused" for child in self._children)
            if refused and self._all_or_none:
                self._stop(signals, show)
                return "refused"
            if all(child.end is not None for child in self._children):
                return "refused" if refused else "finished"
            due_s = min(child.due_in_s() for child in tended)
            if any(number in ASKED_TO_STOP for number in signals.wait(min(SHOWN_EVERY_S, due_s))):
                self._stop(signals, show)
                return "stopped"

    def _stop(self, signals: SignalQueue, show: Callable[[], None]) -> None:
        for child in self._children:
            child.ask_to_stop()
        until_s = time.monotonic() + self._stop_s
        while any(child.runs() for child in self._children):
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                break
            show()
            if any(number in ASKED_TO_STOP for number in signals.wait(min(SHOWN_EVERY_S, left_s))):
                break
        for child in self._children:
            child.kill()
            child.tend()
        show()

    def _statuses(self, askers: ThreadPoolExecutor) -> list[Status]:
        answers = list(askers.map(_Child.ask, self._children))
        return [child.status(answer) for child, answer in zip(self._children, answers, strict=True)]


class _Child:
    """One worker's processes, one after the other."""

    def __init__(
        self, worker: Worker, log: Path, delays_s: tuple[float, ...], steady_s: float
    ) -> None:
        self.worker, self._log, self._delays_s, self._steady_s = worker, log, delays_s, steady_s
        self.end: Literal["finished", "refused"] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._begun_s: float | None = None
        self._log_begin = 0  # where the output of the process begins
        self._due_s = time.monotonic()  # of the next start
        self._in_a_row = self._restarts = self._kills = 0
        self._stopping = False
        self._answered_s: float | None = None  # when this process last did
        self._known: dict[str, Any] = {}  # the last answer, of this process or the one before
        self._error = ""

    @property
    def may_start(self) -> bool:
        """It need not wait for the others, or has not."""
        return not self.worker.last or self._begun_s is not None

    @property
    def is_starting(self) -> bool:
        """The last ones have to wait for it."""
        state = str(self._known.get("state", "starting"))
        return not self.worker.last and self.end is None and state.startswith("starting")

    def tend(self) -> None:
        """See whether it has ended, and start it when it is due."""
        if self.end is not None or self.runs():
            return
        if self._process is not None:
            self._ended(self._process)
        if self.end is None and not self._stopping and time.monotonic() >= self._due_s:
            self._start()

    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def due_in_s(self) -> float:
        """Until the next start; infinite if none is planned."""
        if self.end is not None or self._process is not None:
            return float("inf")
        return max(0.0, self._due_s - time.monotonic())

    def ask_to_stop(self) -> None:
        self._stopping = True
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """End it at once, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def ask(self) -> dict[str, Any] | None:
        """What /healthz says; None without an answer."""
        process = self._process
        if process is None or process.poll() is not None:
            return None
        return health_of(self.worker.port, process.pid)

    def status(self, answer: dict[str, Any] | None) -> Status:
        if answer is not None:
            self._known, self._answered_s = answer, time.monotonic()
            well = answer["healthy"] and not answer["state"].startswith("starting")
            self._error = "" if well else answer["trouble"] or self._error
        elif self._answered_s is not None and time.monotonic() - self._answered_s < SILENT_S:
            answer = self._known if self.runs() else None
        phase, state = self._phase(answer)
        return Status(
            worker=self.worker,
            phase=phase,
            state=state,
            pid=self._process.pid if self._process is not None and self.runs() else None,
            restarts=self._restarts,
            kills=self._kills,
            last_error=self._error,
            log=self._log,
            **measured(answer, self._known),
        )

    def _phase(self, answer: dict[str, Any] | None) -> tuple[Phase, str]:
        if self.end is not None:
            return self.end, self.end
        if self.runs():
            if self._stopping:
                return "stopping", "stopping"
            if answer is not None:
                return "up", answer["state"]
            was_up = self._answered_s is not None
            return ("silent", "no answer") if was_up else ("starting", "starting")
        if self._stopping:
            return "stopped", "stopped"
        if self._begun_s is None:
            return "starting", "waits for the others"
        return "down", f"restart in {math.ceil(max(0.0, self._due_s - time.monotonic()))} s"

    def _start(self) -> None:
        if self._begun_s is not None:
            self._restarts += 1
        with self._log.open("ab") as log:
            self._log_begin = log.tell()
            self._process = subprocess.Popen(
                tethered(self.worker.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a terminal's Ctrl-C is for us; we pass it on once
            )
        self._begun_s, self._answered_s = time.monotonic(), None

    def _ended(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = None
        code = process.returncode
        if code == 0:
            self.end, self._error = "finished", ""
            return
        if self._stopping and code in (STOPPED, -signal.SIGTERM):
            return
        self._kills += code < 0 and not self._stopping
        self._error = last_error(self._log, self._log_begin, code)
        if code == REFUSED:
            self.end = "refused"
            return
        ran_s = time.monotonic() - (self._begun_s or 0.0)
        self._in_a_row = 0 if ran_s >= self._steady_s else self._in_a_row
        delay_s = self._delays_s[min(self._in_a_row, len(self._delays_s) - 1)]
        self._in_a_row += 1
        self._due_s = time.monotonic() + delay_s


def measured(answer: Mapping[str, Any] | None, known: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a `Status` from what /healthz says now, if it does, and has said last."""
    stopped = known.get("stopped")
    return {
        "healthy": answer is not None and answer["healthy"],
        "rows_per_s": None if answer is None else answer["rows_per_s"],
        "lag": None if answer is None else answer["lag"],
        "last_seq": max(known.get("last_seq", {}).values(), default=None),
        "event_time_ns": known.get("event_time_ns"),
        "stopped": None if stopped is None else tuple(stopped),
        "books": tuple(sorted(known.get("books", {}).items())),
    }


def health_of(port: int, pid: int) -> dict[str, Any] | None:
    """What /healthz of that process says, healthy or not; None if it does not answer."""
    connection = HTTPConnection(HOST, port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/healthz")
        answer = json.loads(connection.getresponse().read())
    except (OSError, HTTPException, ValueError):  # not up yet, hanging, or no worker of ours
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) and answer.get("pid") == pid else None
