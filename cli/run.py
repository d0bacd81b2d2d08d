"""`trifecta run`: a feed through the desk into a folder, and the report of what came of it."""

import shlex
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console

from cli.complete import require_complete
from cli.errors import STOPPED, Refused, talk
from cli.files import REPORT_JSON, write_files
from cli.progress import RowProgress
from cli.recorded import name_of, open_recorded
from cli.run_dir import RUNS, check_cut, note, prepare
from cli.times import parse_cut, stamp
from cli.warm_up import warm_up
from console.quality.quarantined import quarantined_rows
from console.report.collect import FINISHED, collect
from console.report.terminal import print_summary
from console.report.timing import Stopwatch
from console.report.words import par_words
from flows.desk_run import RunRecord, first_record, run_desk
from flows.log.api import Log
from flows.settings import RunSettings, SettingsError
from flows.topic_feed import open_topic
from models.registry import load_or_fallback
from models.session import StreamModel
from schemas.expectations import COMPLETE_FOR_BACKTEST
from venues.feed import Feed
from venues.simulator import Simulator
from venues.tape import open_tapes

SAMPLE = Path(__file__).resolve().parents[1] / "tapes/quotes/oanda_EURUSD_20140501_20140509.parquet"
ROWS, RATE_HZ = 500_000, 50.0  # of --simulate: nearly three hours of its market


BATCH_ROWS = 24_576  # a fifth faster than 8,192 in `bench chain`; larger ones gain nothing more
PACED_ROWS = 64  # a paced batch waits for its last row


@dataclass(frozen=True)
class Request:
    """What `trifecta run` was asked for; see its options."""

    settings: RunSettings
    tapes: Sequence[Path] = ()
    simulate: bool = False
    rows: int | None = None
    rate_hz: float | None = None
    profile: str = "embedded"
    topology: str = "fused"
    from_utc: str | None = None
    to_utc: str | None = None
    batch_rows: int | None = None
    speed: float | None = None
    out: Path | None = None
    json: bool = False
    from_topic: str | None = None
    completeness: float = COMPLETE_FOR_BACKTEST  # the least that a tape or topic must have
    one_lane: bool = False
    command: Sequence[str] = field(default_factory=lambda: sys.argv[1:])

    def __post_init__(self) -> None:
        if self.profile not in ("memory", "embedded", "kafka"):
            raise SettingsError(f"profile must be memory, embedded or kafka, was {self.profile!r}")
        if self.topology not in ("fused", "split"):
            raise SettingsError(f"topology must be fused or split, was {self.topology!r}")
        if self.topology == "split":
            self._check_split()
        if self.simulate + bool(self.tapes) + (self.from_topic is not None) > 1:
            raise SettingsError("a run has either tapes, --simulate or --from-topic, not both")
        if not self.simulate and (self.rows is not None or self.rate_hz is not None):
            raise SettingsError("--rows and --rate belong to --simulate; cut a tape with --from")
        if self.one_lane and (self.simulate or self.from_topic is not None):
            raise SettingsError("--one-lane is about tapes; other markets have their lanes already")
        if self.simulate and (self.from_utc or self.to_utc):
            raise SettingsError("--from and --to cut tapes; --rows says how long --simulate runs")
        if self.batch_rows is not None and self.batch_rows < 1:
            raise SettingsError(f"batch must be at least 1 row, was {self.batch_rows}")
        if self.speed is not None and not 0.0 < self.speed < float("inf"):
            raise SettingsError(f"speed must be a positive multiple, was {self.speed}")

    def _check_split(self) -> None:
        if self.profile != "kafka":
            raise SettingsError("topology split needs --profile kafka: workers share brokers alone")
        if self.speed is None:
            raise SettingsError(
                "topology split needs --speed: reports come back while the market goes on, so its "
                "time must pass at some multiple of real time, such as 20"
            )
        if self.settings.mode == "backtest":
            raise SettingsError("workers run in mode paper or shadow; a backtest is fused")
        if self.batch_rows is not None or self.from_topic is not None:
            raise SettingsError("--batch and --from-topic belong to topology fused")
        if self.one_lane:
            raise SettingsError("--one-lane belongs to topology fused: workers share out the lanes")


def run(request: Request) -> int:
    """Run the desk as asked; returns the exit code. Known errors go through `cli.errors.told`."""
    console = talk()
    if request.topology == "split":
        from cli.run_split import run_split

        return run_split(request, console)
    cut = parse_cut(request.from_utc, request.to_utc)
    if request.from_topic is None:
        feed = _feed(request, cut, console)
        require_complete(feed, request.completeness, console)
        return run_feed(request, console, cut, feed)
    with closing(open_recorded(request.from_topic)) as recorded:
        console.print(f"reading the market of {name_of(request.from_topic)} as it is now")
        topic = open_topic(recorded, **cut, at_par=request.settings.at_par)
        refused = quarantined_rows(recorded, topic.table, **cut)
        require_complete(topic, request.completeness, console, refused, first=topic.n_before)
        return run_feed(request, console, cut, topic)


def run_feed(
    request: Request,
    console: Console,
    cut: dict[str, int | None],
    feed: Feed,
    *,
    repaired: dict[str, Any] | None = None,
) -> int:
    """Run the desk on a feed into the folder that was asked for; returns the exit code."""
    mended = "repaired-" if repaired else ""  # within a second it would have the old one's name
    run_id = f"{stamp(datetime.now(UTC))}-{mended}{_name(request, feed)}"
    folder = request.out or RUNS / run_id
    log, begun = prepare(folder, request.profile)
    try:
        check_cut(log, begun is not None, cut, folder)
        model, notice = load_or_fallback()
        if notice:
            console.print(notice, style="yellow")
        if feed.table.counted_at_par():
            console.print(f"{par_words(feed.table.counted_at_par())} (setting usd_at_par)")
        record = first_record(
            begun.run_id if begun else run_id,
            request.settings,
            profile=request.profile,
            topology=request.topology,
            feed=feed,
            model=model,
            notice=notice,
            repaired=repaired,
        )
        return _run(request, console, folder, log, feed, record, model)
    except KeyboardInterrupt:  # outside of the flow, which stops by itself
        console.print(f"stopped; {again(request, folder)}", style="yellow", soft_wrap=True)
        return STOPPED
    finally:
        log.close()


def _run(
    request: Request,
    console: Console,
    folder: Path,
    log: Log,
    feed: Feed,
    record: RunRecord,
    model: StreamModel | None,
) -> int:
    if not warm_up(feed, request.settings, record, model, console):
        console.print("stopped before the first row", style="yellow")
        return STOPPED
    watch = Stopwatch()
    with RowProgress(console, feed.n_rows) as progress:
        started_s = perf_counter()
        ended = run_desk(
            log,
            feed,
            request.settings,
            record,
            model=model,
            run_dir=None if request.profile == "memory" else folder,
            batch_rows=request.batch_rows or (PACED_ROWS if request.speed else BATCH_ROWS),
            speed=request.speed,
            progress=progress.moved,
            seen=watch.seen,
        )
        wall_s = perf_counter() - started_s
    if ended == "stopped":
        console.print(
            f"stopped after a snapshot at row {progress.rows:,} of {feed.n_rows:,}; "
            + again(request, folder),
            style="yellow",
            soft_wrap=True,
        )
        return STOPPED
    if FINISHED not in log.texts():  # else it was stopped while its report was being written
        note(log, FINISHED, watch.timing(wall_s).to_json())
    show(log, folder, console, json=request.json)
    return 0


def _name(request: Request, feed: Feed) -> str:
    """What a run is called behind its time."""
    if request.from_topic is not None:
        return f"again-{name_of(request.from_topic)}"
    name = "simulated" if request.simulate else Path(feed.names[0]).stem
    return name + (f"+{len(feed.names) - 1}" if len(feed.names) > 1 else "")


def again(request: Request, folder: Path) -> str:
    """How a run that was stopped goes on."""
    if request.profile == "memory":
        return "a run in memory ends with it"
    command = shlex.join(["trifecta", *request.command])
    out = "" if request.out else f" --out {shlex.quote(str(folder))}"
    return f"this goes on:\n  {command}{out}"


def show(log: Log, folder: Path, console: Console, *, json: bool) -> None:
    """Write the report files of a log, and print the report: for people, or as JSON."""
    data = collect(log)
    folder.mkdir(parents=True, exist_ok=True)
    report, files = write_files(data, folder)
    if json:
        sys.stdout.write((folder / REPORT_JSON).read_text(encoding="utf-8"))
    else:
        print_summary(report, console, [str(file) for file in files])


def feed_of(
    tapes: Sequence[Path],
    *,
    simulate: bool,
    rows: int | None,
    rate_hz: float | None,
    seed: int,
    cut: dict[str, int | None],
    at_par: Sequence[str],
    one_lane: bool = False,
) -> Feed:
    """Tapes, or a made-up market."""
    if not simulate:
        return open_tapes(
            tapes, from_ns=cut["from_ns"], to_ns=cut["to_ns"], one_lane=one_lane, at_par=at_par
        )
    try:
        return Simulator(
            seed=seed,
            n_rows=ROWS if rows is None else rows,
            rate_hz=RATE_HZ if rate_hz is None else rate_hz,
        )
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _feed(request: Request, cut: dict[str, int | None], console: Console) -> Feed:
    tapes = request.tapes
    if not request.simulate and not tapes:
        if not SAMPLE.exists():
            raise Refused(f"{SAMPLE}: the sample tape is not there; name a tape with --tape")
        console.print("no tape was named: this is the sample, seven days of EURUSD quotes of 2014")
        tapes = [SAMPLE]
    return feed_of(
        tapes,
        simulate=request.simulate,
        rows=request.rows,
        rate_hz=request.rate_hz,
        seed=request.settings.seed,
        cut=cut,
        at_par=request.settings.at_par,
        one_lane=request.one_lane,
    )
