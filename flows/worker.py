"""One worker: a flow with some lanes of a deployment, until its log ends or it is told to stop."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Literal

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from flows import ingest, stages
from flows.chain import Chain
from flows.desk_run import RECORD, RunMismatchError, RunRecord, open_record
from flows.encode import encode
from flows.inbox import Inbox
from flows.log.api import Log
from flows.log.lane_sink import LaneSink
from flows.log.lane_source import LaneSource
from flows.log.message import Message
from flows.log.reader import LaneReader
from flows.log.stop import hushed
from flows.log.writer import Writer
from flows.meter import Meter
from flows.numeric import fingerprint
from flows.parcel import Parcel
from flows.recorded import model_of, recorded_run
from flows.recovery import Manifest, RecoveryDir, code_version, step_ids
from flows.rounds import Numbering, RoundSource, rounds_on
from flows.runtime import run_flow
from flows.settings import RunSettings
from flows.store.copy import follow
from flows.warm_up import warm_up
from operators.market.books.words import BookState
from schemas.instruments import InstrumentTable
from schemas.kinds import Kind
from schemas.reasons import Reason
from schemas.rows import take
from schemas.topics import DECISIONS, MARKET, QUARANTINE
from venues.feed import Feed, LiveFeed

EPOCH = timedelta(seconds=1)  # between snapshots
BATCH_ROWS = 8192
NAP_S = 0.5  # between looks for the first record
GAUGE_S = 1.0  # between looks at the lag

_log = logging.getLogger(__name__)
Ended = Literal["finished", "stopped"]


def run_stage(log: Log, name: str, *, lanes: Sequence[int], folder: Path, meter: Meter) -> Ended:
    """Run one of `flows.stages.STAGES` on lanes of a log; it waits for ingest's first record.

    Parameters
    ----------
    log : Log
        Whose writer keeps a second worker with the same lanes out.
    lanes : sequence of int
        Those without instruments are left alone.
    folder : Path
        Where it keeps its state. Without it everything is derived from the log again.
    """
    if not warm_up(name):
        return "stopped"
    record, table = _first_record(log, meter)
    _check_code(record)
    model = model_of(record)
    if fingerprint(model) != record.numeric:
        _log.warning(
            "other arithmetic than on the machine that began this desk: exp, log or the model "
            "differ in the last bit, and so may decisions that are made again"
        )
    settings = RunSettings(**record.settings)
    rules = settings.rules(table, model.digest if model else 0)
    chain = Chain(
        table, len(record.sources), model, rules, settings.balance, record.code_version,
        settings.signals(table, record.sources),
    )  # fmt: skip
    stage = stages.STAGES[name]
    mine = [lane for lane in table.active_lanes() if lane in lanes]
    if not mine:
        _log.info("these lanes hold no instruments, so there is nothing to do")
        return "finished"
    inputs = [
        (topic.name, lane)
        for topic in stage.reads
        for lane in ([0] if topic.partitions == "single" else mine)
    ]
    writer = log.writer()
    try:
        source = LaneSource(
            log, inputs, merge=stage.merge, batch_rows=BATCH_ROWS, polled=_Watch(meter)
        )
        flow = stages.build(
            name,
            source,
            LaneSink(writer, source.flight),
            chain,
            seen=_seen(meter, decides=DECISIONS in stage.writes),
        )
        manifest = Manifest(
            record.run_id, step_ids(flow), table.lanes, record.code_version, record.settings_digest
        )
        with RecoveryDir(folder, manifest) as recovery:
            meter.state("running")
            return run_flow(flow, recovery=recovery, epoch_interval=EPOCH)
    finally:
        writer.close()


def run_ingest(
    log: Log,
    feed: Feed | LiveFeed,
    record: RunRecord,
    *,
    texts: Mapping[str, str],
    speed: float | None,
    meter: Meter,
    opened: Callable[[Writer], None] = lambda writer: None,
) -> Ended:
    """Write a feed, and what comes back through the log, to `market.v1`; goes on from the log.

    `log` must fence its writer: the order in which rows arrive is not a function of anything.
    `opened` is told of the writer before the first row, for who records frames as well.
    """
    writer = log.writer()  # from here on no other ingest writes, so what is read back stays true
    try:
        open_record(log, writer, record, feed.table, texts, place="--deployment")
        opened(writer)
        source, numbering = rounds_on(log, writer, feed, speed=speed, polled=_IngestWatch(meter))
        flow = _ingest_flow(source, LaneSink(writer), feed, numbering, record, meter)
        meter.state("running")
        return run_flow(flow, recovery=None, epoch_interval=EPOCH)
    finally:
        writer.close()


def run_store(log: Log, folder: Path, meter: Meter) -> Ended:
    """Copy the topics of a log to the store in a folder; it waits for ingest's first record."""
    _first_record(log, meter)
    meter.state("running")
    follow(log, folder, polled=_Watch(meter))
    return "finished"


def _ingest_flow(
    source: RoundSource,
    sink: LaneSink,
    feed: Feed | LiveFeed,
    numbering: Numbering,
    record: RunRecord,
    meter: Meter,
) -> Dataflow:
    seen = _seen(meter, decides=False)
    names = {(one.lane, one.symbol): one.id for one in feed.table.instruments}

    def messages_of(parcel: Parcel) -> list[Message]:
        code = record.code_version
        messages = encode(QUARANTINE, parcel.quarantine, code)
        messages += encode(
            MARKET, parcel.market, code, positions=lambda lane: parcel.places[lane].pack()
        )
        seen(parcel, messages)
        told = take(parcel.market, parcel.market.kind == Kind.BOOK_STATUS)
        for lane, symbol, state in zip(told.lane, told.symbol, told.code, strict=True):
            meter.booked(names[int(lane), int(symbol)], BookState(int(state)))
        return messages

    flow = Dataflow("ingest")
    stream = op.input("rounds", flow, source)
    stream = ingest.worker_steps(stream, feed, numbering, clocked=meter.clocked)
    op.output("log_out", op.map_value("encode", stream, hushed(messages_of)), sink)
    return flow


def _first_record(log: Log, meter: Meter) -> tuple[RunRecord, InstrumentTable]:
    if RECORD not in log.texts():
        meter.state("waiting for ingest's first record")
        _log.info("waiting for ingest's first record")
    while RECORD not in log.texts():
        meter.beat()
        sleep(NAP_S)
    meter.state("starting")
    return recorded_run(log)


def _check_code(record: RunRecord) -> None:
    if record.code_version != code_version():
        raise RunMismatchError(
            f"this desk was begun by code {record.code_version[:16]}, this is "
            f"{code_version()[:16]}; run the version that began it, or begin a new --deployment"
        )


def _seen(meter: Meter, *, decides: bool) -> stages.Seen:
    """Tells the meter of each batch; of a worker that decides, whether it may trade as well."""

    def seen(parcel: Parcel, messages: list[Message]) -> None:
        seconds = monotonic() - parcel.born_s
        meter.stepped(seconds, sum(message.n_rows for message in messages))
        for message in messages:
            meter.wrote(message.topic, message.lane, message.n_rows, message.last_seq)
        if decides and parcel.decisions is not None:
            said = parcel.decisions.reason[parcel.decisions.kind == Kind.PROGRESS]
            if said.size:
                meter.stopped(Reason(int(said[-1])))

    return seen


class _Watch:
    """Tells the meter what a source reads, and now and then what it has not read yet."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._next_s = 0.0

    def __call__(self, reader: LaneReader, tables: Mapping[Any, Any]) -> None:
        self._meter.beat()
        for rows in tables.values():
            times = [r["ts_recv_ns"] for r in rows] if isinstance(rows, list) else rows.ts_recv_ns
            self._meter.read(len(times), int(times[-1]))
        now_s = monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + GAUGE_S
            self._meter.lagging(reader.behind())


class _IngestWatch:
    """The same for rounds."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._position, self._next_s = 0, 0.0
        self._waits_for: set[int] = set()

    def __call__(self, position: int, reached_ns: int, waits_for: set[int], inbox: Inbox) -> None:
        self._meter.beat()
        if position > self._position:
            self._meter.read(position - self._position, reached_ns)
            self._position = position
        if waits_for != self._waits_for:
            self._waits_for = waits_for
            lanes = ", ".join(map(str, sorted(waits_for)))
            self._meter.state(f"draining lanes {lanes}" if lanes else "running")
        now_s = monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + GAUGE_S
            self._meter.lagging(inbox.behind())
