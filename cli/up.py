"""`trifecta up`: a whole desk on Kafka, one supervised worker per flow and lane group."""

import json
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from zlib import crc32

from rich.console import Console
from rich.live import Live

from cli.by_hand import ingest_by_hand
from cli.desk_status import status_json, status_line, status_table
from cli.errors import REFUSED, STOPPED, Refused, talk
from cli.pinned import PinnedSettings
from cli.run_dir import LOCK
from cli.supervisor import Outcome, Status, Supervisor, Worker
from cli.times import parse_cut
from cli.worker import lanes_of, state_folder
from flows.health import HOST
from flows.log.kafka_client import servers_or_default
from flows.log.kafka_topics import Outcome as TopicOutcome
from flows.log.kafka_topics import TopicPlan, apply_topics, planned_topics
from flows.log.lock import FileLock, HeldError
from flows.settings import RunSettings, SettingsError, cadence_ns
from schemas.topics import MARKET

MODES = ("paper", "shadow")  # a backtest is no worker's business: here the tape outruns its reports
FIRST_PORT = 9470  # below those that the system hands out, so that a restart finds its port free
PORTS_SPREAD = 10_000
PORT_MAX = 32_000
LINES_EVERY_S = 10.0
NO_INGEST = (
    "this desk has no ingest of its own, and knows of no other: start one on this machine with "
    "'trifecta worker ingest'"
)
EXIT_CODES: dict[Outcome, int] = {"finished": 0, "refused": REFUSED, "stopped": STOPPED}

Watch = Callable[[list[Status]], None]
Show = Callable[[list[Status], str], None]  # with what else there is to say


@dataclass(frozen=True)
class Request:
    """What `trifecta up` was asked for; see its options."""

    deployment: str = ""
    lanes: Sequence[str] = ()
    tapes: Sequence[Path] = ()
    simulate: bool = False
    speed: float | None = None
    from_utc: str | None = None
    to_utc: str | None = None
    mode: str | None = None
    cadence: str | None = None
    balance: str | None = None
    state: Path | None = None
    first_port: int | None = None
    json: bool = False
    rows: int | None = None
    rate_hz: float | None = None
    seed: int | None = None
    config: Path | None = None
    markets: Sequence[str] = ()
    record: bool = False

    def __post_init__(self) -> None:
        if self.simulate + bool(self.tapes) + bool(self.markets) > 1:
            raise SettingsError("a desk has either tapes, --simulate or --feed")
        if self.record and not self.markets:
            raise SettingsError("--record keeps what venues send; name some with --feed")
        of_ingest = [name for name, value in self._of_ingest().items() if value is not None]
        if of_ingest and not self.has_ingest:
            raise SettingsError(
                f"{', '.join(of_ingest)}: for a desk that ingests; name tapes with --tape, or "
                "--simulate, or give them to 'trifecta worker ingest'"
            )
        if not self.simulate and (self.rows is not None or self.rate_hz is not None):
            raise SettingsError("--rows and --rate belong to --simulate; cut a tape with --from")
        if not self.tapes and (self.from_utc or self.to_utc):
            raise SettingsError("--from and --to cut tapes, and here are none")
        parse_cut(self.from_utc, self.to_utc)
        if self.mode not in (None, *MODES):
            raise SettingsError(f"mode must be one of {', '.join(MODES)}, was {self.mode!r}")
        if self.speed is not None and not 0.0 <= self.speed < float("inf"):
            raise SettingsError(f"speed must be a multiple of real time, was {self.speed}")
        if self.cadence is not None:
            cadence_ns(self.cadence)
        if self.balance is not None:
            RunSettings(balance=self.balance)
        for tape in self.tapes:
            if not tape.is_file():
                raise Refused(f"{tape}: there is no such file; name a recording in Parquet")

    @property
    def has_ingest(self) -> bool:
        return self.simulate or bool(self.tapes) or bool(self.markets)

    @property
    def folder(self) -> Path:
        """State, locks and logs of the desk's workers."""
        return self.state or state_folder(self.deployment)

    def ingest_options(self) -> list[str]:
        """What the ingest worker is told beside what all are told."""
        options = ["--simulate"] if self.simulate else []
        options += [part for tape in self.tapes for part in ("--tape", str(tape))]
        options += [part for market in self.markets for part in ("--feed", market)]
        options += ["--record"] if self.record else []
        given = {name: value for name, value in self._of_ingest().items() if value is not None}
        return options + [part for name, value in given.items() for part in (name, str(value))]

    def _of_ingest(self) -> dict[str, object]:
        return {
            "--speed": self.speed, "--from": self.from_utc, "--to": self.to_utc,
            "--mode": self.mode, "--cadence": self.cadence, "--balance": self.balance,
            "--rows": self.rows, "--rate": self.rate_hz, "--seed": self.seed,
            "--config": self.config,
        }  # fmt: skip


def up(request: Request) -> int:
    """Run the desk until its workers have finished or it is stopped; returns the exit code."""
    console = talk()
    outcome = supervise(request, console)
    said = {
        "finished": "all workers have finished",
        "refused": f"no worker is left; not all have finished: see {request.folder / 'logs'}",
        "stopped": "stopped; the same command goes on",
    }
    console.print(said[outcome], style="" if outcome == "finished" else "yellow", soft_wrap=True)
    return EXIT_CODES[outcome]


def supervise(request: Request, console: Console, *, all_or_none: bool = False) -> Outcome:
    """Make the topics, run the workers and show how they are; see `Supervisor`."""
    plans = planned_topics()
    n_lanes = next(plan.partitions for plan in plans if plan.name == MARKET.name)
    check_groups(request.lanes, n_lanes)
    folder = request.folder
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / LOCK)
    except HeldError as held:
        raise Refused(
            f"{folder}: process {held.pid} runs a desk there; stop it, or choose another --state"
        ) from None
    try:
        _prepare_topics(request.deployment, plans)
        ports = free_ports(len(request.lanes) + 5, request.first_port, folder)
        settings = PinnedSettings(request.config, folder) if request.has_ingest else None
        pinned = replace(request, config=settings.copy) if settings else request
        workers = plan_workers(pinned, n_lanes, ports)
        supervisor = Supervisor(workers, folder / "logs", all_or_none=all_or_none)
        with _shown(request, console) as show:
            watch = _with_ingest(show, folder) if settings is None else _pinned(show, settings)
            return supervisor.run(watch)
    finally:
        lock.release()


def plan_workers(request: Request, n_lanes: int, ports: Sequence[int]) -> list[Worker]:
    """Features per lane group, one of each other flow, and ingest if there is something to read.

    Parameters
    ----------
    request : Request
    n_lanes : int
        Of the log.
    ports : sequence of int
        At least one per worker.
    """
    every = f"0-{n_lanes - 1}"
    wanted = [("features", lanes, ["--lanes", lanes]) for lanes in request.lanes]
    wanted = wanted or [("features", every, [])]
    wanted += [(flow, every, []) for flow in ("decide", "execute", "account")]
    wanted += [("ingest", every, request.ingest_options())] if request.has_ingest else []
    return [
        Worker(flow, lanes, (*_command(request, flow, port), *options), port, flow == "ingest")
        for (flow, lanes, options), port in zip(wanted, ports, strict=False)
    ]


def check_groups(texts: Sequence[str], n_lanes: int) -> None:
    """SettingsError naming a lane that is in no group or in two; no group at all is fine."""
    groups = [lanes_of(text, n_lanes) for text in texts]
    for lane in range(n_lanes if groups else 0):
        n = sum(lane in group for group in groups)
        if n != 1:
            raise SettingsError(
                f"--lanes {' --lanes '.join(texts)}: lane {lane} is in {n or 'none'} of them; "
                f"every lane of 0-{n_lanes - 1} must be in one"
            )


def free_ports(n: int, first: int | None, folder: Path) -> list[int]:
    """Ports for n workers: from `first` on one after the other, or any that are free.

    Which those are depends on the desk's folder: two desks that start at once look elsewhere.

    SettingsError if one of those that were asked for is taken.
    """
    if first is not None:
        for port in range(first, first + n):
            if not _is_free(port):
                raise SettingsError(
                    f"port {port} of {HOST} is not free; the {n} workers need {first} to "
                    f"{first + n - 1}: choose another --port, or leave it out"
                )
        return list(range(first, first + n))
    found = []
    start = FIRST_PORT + crc32(str(folder.resolve()).encode()) % PORTS_SPREAD
    for port in range(start, PORT_MAX):
        found += [port] if _is_free(port) else []
        if len(found) == n:
            return found
    raise Refused(f"{HOST}: no {n} ports are free between {start} and {PORT_MAX}")


def _command(request: Request, flow: str, port: int) -> list[str]:
    command = [sys.executable, "-m", "cli.main", "worker", flow]
    command += ["--deployment", request.deployment] if request.deployment else []
    return [*command, "--state", str(request.folder), "--port", str(port)]


def _prepare_topics(deployment: str, plans: Sequence[TopicPlan]) -> None:
    outcomes = apply_topics(servers_or_default(None), deployment, plans)
    unlike = [each.topic for each in outcomes if each.outcome is TopicOutcome.DIFFERS]
    if unlike:
        name = f" --deployment {deployment}" if deployment else ""
        raise Refused(
            f"topics are not as planned: {', '.join(unlike)}; see 'trifecta kafka topics{name} "
            "--dry-run', and choose another --deployment if they hold another desk's rows"
        )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _with_ingest(show: Show, folder: Path) -> Watch:
    """Shows the ingest beside the workers that somebody has started for them."""

    def watch(statuses: list[Status]) -> None:
        found = ingest_by_hand(folder)
        show([*statuses, *([found] if found else [])], "" if found else NO_INGEST)

    return watch


def _pinned(show: Show, settings: PinnedSettings) -> Watch:
    """Says when the settings' file is no longer what this desk was started with."""
    said = ""

    def watch(statuses: list[Status]) -> None:
        nonlocal said
        said = settings.changed() or said
        show(statuses, said)

    return watch


@contextmanager
def _shown(request: Request, console: Console) -> Iterator[Show]:
    """What to do with each status: a table that stays in place, or lines."""
    if request.json:
        yield _Lines(lambda status: print(json.dumps(status_json(status)), flush=True), console)
        return
    if not console.is_terminal:
        yield _Lines(lambda status: console.print(status_line(status), soft_wrap=True), console)
        return
    title, logs = f"desk {request.deployment}".rstrip(), request.folder / "logs"
    with Live(console=console, auto_refresh=False) as live:

        def show(statuses: list[Status], note: str) -> None:
            table = status_table(statuses, title=title, logs=logs, width=console.width, note=note)
            live.update(table, refresh=True)

        yield show


class _Lines:
    """Writes a worker's status when it changes, and all of them now and then; a note once."""

    def __init__(self, write: Callable[[Status], None], console: Console) -> None:
        self._write, self._console = write, console
        self._written: dict[str, tuple[object, ...]] = {}
        self._due_s = 0.0
        self._note = ""

    def __call__(self, statuses: list[Status], note: str) -> None:
        if note and note != self._note:
            self._console.print(note, soft_wrap=True)
        self._note = note
        due = monotonic() >= self._due_s
        if due:
            self._due_s = monotonic() + LINES_EVERY_S
        for status in statuses:
            name = status.worker.name
            doing = status.state if status.phase == "up" else status.phase
            news = (doing, status.healthy, status.pid, status.restarts, status.stopped,
                    status.books)  # fmt: skip
            if due or self._written.get(name) != news:
                self._written[name] = news
                self._write(status)
