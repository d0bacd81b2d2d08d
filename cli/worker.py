"""`trifecta worker`: one long-running flow of a desk on Kafka."""

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cli.by_hand import tell_where
from cli.errors import STOPPED, Refused, talk
from cli.logs import log_to
from cli.run import feed_of
from cli.run_dir import CUT
from cli.times import parse_cut, stamp
from flows.desk_run import RECORD, RunMismatchError, RunRecord, first_record
from flows.health import HealthServer
from flows.lane_locks import lane_locks
from flows.log.errors import LogAwayError
from flows.log.kafka import KafkaLog
from flows.log.kafka_client import servers_or_default
from flows.log.kafka_topics import apply_topics, planned_topics
from flows.log.writer import Writer
from flows.meter import Meter
from flows.settings import RunSettings, SettingsError
from flows.stages import STAGES
from flows.worker import Ended, run_ingest, run_stage, run_store
from models.registry import load_or_fallback
from schemas.topics import MARKET, RAW
from venues.feed import Feed, LiveFeed

FLOWS = ("ingest", "features", "decide", "execute", "account")
STORE = "store"  # a worker besides the desk: it copies topics to files and writes none
PARTS = ("lane", "portfolio")  # of decide
Cut = dict[str, int | None]  # --from and --to, ns

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkerRequest:
    """What `trifecta worker` was asked for; see its options."""

    flow: str
    deployment: str = ""
    lanes: str | None = None
    part: str | None = None
    state: Path | None = None
    port: int = 0
    tapes: Sequence[Path] = ()
    simulate: bool = False
    rows: int | None = None
    rate_hz: float | None = None
    from_utc: str | None = None
    to_utc: str | None = None
    speed: float | None = 1.0
    settings: RunSettings = RunSettings(mode="paper")  # noqa: RUF009 - it is frozen
    markets: Sequence[str] = ()
    record: bool = False

    def __post_init__(self) -> None:
        if self.flow not in (*FLOWS, STORE):
            known = ", ".join((*FLOWS, STORE))
            raise SettingsError(f"flow must be one of {known}, was {self.flow!r}")
        if self.part is not None and (self.flow != "decide" or self.part not in PARTS):
            raise SettingsError("--stage is lane or portfolio, and belongs to decide")
        if self.flow == "ingest":
            _check_mode(self.settings)
            if bool(self.tapes) + self.simulate + bool(self.markets) != 1:
                raise SettingsError(
                    "worker ingest needs one of --tape FILE, --simulate, --feed VENUE:MARKET"
                )
            if self.markets and (self.from_utc or self.to_utc):
                raise SettingsError("--from and --to cut tapes; a live feed has only now")
            if self.record and not self.markets:
                raise SettingsError("--record keeps what venues send; name some with --feed")
            if self.lanes is not None:
                raise SettingsError("ingest writes all lanes, so it has no --lanes")
            if self.speed is not None and not 0.0 < self.speed < float("inf"):
                raise SettingsError(f"speed must be a positive multiple, was {self.speed}")
        elif self.tapes or self.simulate or self.markets or self.record:
            raise SettingsError(
                f"--tape, --simulate, --feed, --record belong to ingest, not to {self.flow}"
            )
        elif self.flow == STORE:
            if self.lanes is not None:
                raise SettingsError("store copies all lanes, so it has no --lanes")
        elif self.lanes is not None and not STAGES[self.stage].by_lane:
            raise SettingsError(
                f"{self.flow} needs the rows of all lanes in one order, so it has no --lanes"
                + ("; its --stage lane has" if self.flow == "decide" else "")
            )

    @property
    def stage(self) -> str:
        """Key of `flows.stages.STAGES`."""
        return self.flow if self.part is None else f"{self.flow}-{self.part}"

    @property
    def name(self) -> str:
        """What it is called on the brokers, and where it keeps its state."""
        return self.stage if self.lanes is None else f"{self.stage}-{self.lanes}"

    def written(self, lanes: Sequence[int]) -> list[tuple[str, int]]:
        """Topics and lanes that nobody else may write meanwhile."""
        if self.flow == STORE:
            return []  # its folder is locked
        topics = (MARKET,) if self.flow == "ingest" else STAGES[self.stage].writes
        return [
            (topic.name, lane)
            for topic in topics
            for lane in ([0] if topic.partitions == "single" else lanes)
        ]


def work(request: WorkerRequest, *, log_style: str) -> int:
    """Run the worker until its log ends or it is stopped; returns the exit code."""
    servers = servers_or_default(None)
    n_lanes = {plan.name: plan.partitions for plan in planned_topics()}[MARKET.name]
    lanes = lanes_of(request.lanes, n_lanes)
    shown = request.lanes or f"0-{n_lanes - 1}"
    log_to(flow=request.stage, lanes=shown, style=log_style)
    meter = Meter(request.stage, shown)
    with (
        lane_locks(servers, request.deployment, request.written(lanes)),
        HealthServer(meter, request.port) as health,
    ):
        where = {"deployment": request.deployment, "servers": servers, "port": health.port}
        _log.info("started", extra=where)
        if request.flow == "ingest":
            tell_where(request.state or state_folder(request.deployment), shown, health.port)
        feed, cut = _feed(request) if request.flow == "ingest" else (None, None)
        apply_topics(servers, request.deployment, planned_topics())
        log = KafkaLog(servers, deployment=request.deployment, fence=True, writer_id=request.name)
        try:
            if feed is not None and cut is not None:
                ended = _ingest(request, log, feed, cut, meter)
            elif request.flow == STORE:
                folder = (request.state or state_folder(request.deployment)) / STORE
                ended = run_store(log, folder, meter)
            else:
                folder = (request.state or state_folder(request.deployment)) / request.name
                ended = run_stage(log, request.stage, lanes=lanes, folder=folder, meter=meter)
        except Exception as error:
            meter.failed(str(error))
            _log.error("failed", extra={"error": str(error)})
            raise
        finally:
            log.close()
        if ended == "finished":
            meter.state("finished")
        _log.info(ended)
    return 0 if ended == "finished" else STOPPED


def state_folder(deployment: str) -> Path:
    """Where the workers of a deployment keep their state if no folder is named."""
    return Path("runs") / (f"desk-{deployment}" if deployment else "desk")


def lanes_of(text: str | None, n_lanes: int) -> list[int]:
    """`0-3`, `2` or `0,2-3` as numbers; None is all. SettingsError otherwise."""
    if text is None:
        return list(range(n_lanes))
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            raise SettingsError(f"lanes must be such as 0-3 or 2 or 0,2-3, were {text!r}")
        found += range(int(first), int(last or first) + 1)
    if not found or sorted(set(found)) != found or found[-1] >= n_lanes:
        raise SettingsError(
            f"lanes must rise from 0 to {n_lanes - 1} at most, each once, were {text!r}"
        )
    return found


def _ingest(
    request: WorkerRequest, log: KafkaLog, feed: Feed | LiveFeed, cut: Cut, meter: Meter
) -> Ended:
    model, notice = load_or_fallback()
    if notice:
        talk().print(notice, style="yellow")
    if feed.table.counted_at_par():
        _log.info("counted_at_par", extra={"usd": feed.table.counted_at_par()})
    texts = log.texts()
    begun = RunRecord.from_json(texts[RECORD]) if RECORD in texts else None
    cut_text = json.dumps(cut, sort_keys=True)
    if begun is not None and texts.get(CUT) != cut_text:
        raise RunMismatchError(
            f"this desk was begun with another --from or --to ({texts.get(CUT)}); repeat them to "
            "go on with it, or begin a new --deployment"
        )
    name = "simulated" if request.simulate else Path(feed.names[0]).stem
    record = first_record(
        begun.run_id if begun else f"{stamp(datetime.now(UTC))}-{name}",
        request.settings,
        profile="kafka",
        topology="split",
        feed=feed,
        model=model,
        notice=notice,
    )
    watch_feed(feed, meter)
    return run_ingest(
        log, feed, record, texts={CUT: cut_text}, speed=request.speed, meter=meter,
        opened=lambda writer: record_frames(request, feed, writer, record.code_version),
    )  # fmt: skip


def watch_feed(feed: Feed | LiveFeed, meter: Meter) -> None:
    """Let /metrics show what happens to a live feed."""
    from venues.live import LiveFeed as Venues

    if isinstance(feed, Venues):
        meter.feed = lambda: feed.totals


def record_frames(
    request: WorkerRequest, feed: Feed | LiveFeed, writer: Writer, code_version: str
) -> None:
    """Let a live feed write what it receives to raw.v1, where that was asked for."""
    from flows.raw import RawRecorder
    from venues.live import LiveFeed as Venues

    if request.record and isinstance(feed, Venues):
        feed.record = RawRecorder(writer, code_version, feed.urls)


def _feed(request: WorkerRequest) -> tuple[Feed | LiveFeed, Cut]:
    """What is ingested; before anything is made on the brokers."""
    cut = parse_cut(request.from_utc, request.to_utc)
    if request.markets:
        return _venues(request.markets, request.settings.at_par, record=request.record), cut
    feed = feed_of(
        request.tapes,
        simulate=request.simulate,
        rows=request.rows,
        rate_hz=request.rate_hz,
        seed=request.settings.seed,
        cut=cut,
        at_par=request.settings.at_par,
    )
    return feed, cut


def _venues(markets: Sequence[str], at_par: Sequence[str], *, record: bool) -> LiveFeed:
    from venues.live import LiveError, addressed
    from venues.live import LiveFeed as Venues
    from venues.live.errors import RestError

    n_venues = len({market.partition(":")[0] for market in markets})
    n_raw = {plan.name: plan.partitions for plan in planned_topics()}[RAW.name]
    if record and n_venues > n_raw:
        raise Refused(
            f"--record: {RAW.name} has {n_raw} partitions, one for each venue, and --feed names "
            f"{n_venues} venues; record some of them in another deployment"
        )
    try:
        return Venues(markets, venues=addressed(os.environ), at_par=at_par)
    except LiveError as error:
        if isinstance(error.__cause__, RestError):  # the venue may answer the next time
            raise LogAwayError(str(error)) from error
        raise Refused(str(error)) from error


def _check_mode(settings: RunSettings) -> None:
    """SettingsError for what only a run in one process can be."""
    if settings.mode == "backtest":
        raise SettingsError(
            "workers run in mode paper or shadow; a backtest is 'trifecta run', also over a desk's "
            "topics with --from-topic"
        )
    if settings.operator not in (None, "none"):
        raise SettingsError("a desk of workers has no simulated operator; use 'trifecta resume'")
