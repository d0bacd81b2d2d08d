"""One fused run: opens its log, checks that a resumed one is the same run, and lets it flow."""

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from flows import fused
from flows.books import book_feeds
from flows.chain import Chain
from flows.control import ControlBox
from flows.ingest import FeedSource
from flows.log.api import Log
from flows.log.lane_sink import LaneSink
from flows.log.writer import Writer
from flows.numeric import fingerprint
from flows.parcel import Parcel
from flows.recovery import Manifest, RecoveryDir, code_version, step_ids
from flows.runtime import run_flow
from flows.settings import RunSettings
from models.session import StreamModel
from schemas.instruments import InstrumentTable
from venues.feed import Feed, LiveFeed, SourceInfo

EPOCH = timedelta(seconds=1)  # between snapshots; a snapshot costs about 1 ms
RECORD = "run"  # key of the run's first record in the log's meta table
TABLE = "instruments"
SIGNAL_NAMES = "signals"  # a list: the columns of `signals.v1`; not there where none is enabled


class RunMismatchError(Exception):
    """A run folder holds another run than the one asked for."""


@dataclass(frozen=True)
class RunRecord:
    """The first record of a run: all that its rows are a function of."""

    run_id: str
    settings: dict[str, Any]
    settings_digest: str
    profile: str
    topology: str
    simulated: bool
    sources: list[dict[str, Any]]
    table_digest: str
    model: dict[str, Any]
    code_version: str
    numeric: str  # fingerprint of libm and onnxruntime on the machine that decided
    python: str
    repaired: dict[str, Any] = field(
        default_factory=dict
    )  # of a log made from another's quarantine

    @classmethod
    def from_json(cls, text: str) -> "RunRecord":
        return cls(**json.loads(text))

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def first_record(
    run_id: str,
    settings: RunSettings,
    *,
    profile: str,
    topology: str,
    feed: Feed | LiveFeed,
    model: StreamModel | None,
    notice: str,
    repaired: dict[str, Any] | None = None,
) -> RunRecord:
    """What is written before the first row."""
    card = None if model is None else model.card
    return RunRecord(
        run_id=run_id,
        settings=asdict(settings),
        settings_digest=settings.digest(),
        profile=profile,
        topology=topology,
        simulated=feed.simulated,
        sources=[asdict(source) for source in _lasting(feed)],
        table_digest=feed.table.digest(),
        model={
            "name": card.name if card else "momentum",
            "version": str(card.version) if card else "1",
            "sha256": card.sha256 if card else "",
            "notice": notice,
        },
        code_version=code_version(),
        numeric=fingerprint(model),
        python=platform.python_version(),
        repaired=repaired or {},
    )


def _lasting(feed: Feed | LiveFeed) -> list[SourceInfo]:
    """What is the same at each start: how much a live venue has sent is not."""
    if isinstance(feed, LiveFeed):
        return [replace(each, rows=0, first_ns=0, last_ns=0) for each in feed.description]
    return feed.description


def run_desk(
    log: Log,
    feed: Feed,
    settings: RunSettings,
    record: RunRecord,
    *,
    model: StreamModel | None,
    run_dir: Path | None,
    batch_rows: int,
    speed: float | None,
    progress: Callable[[int], None],
    seen: Callable[[Parcel, float], None],
) -> Literal["finished", "stopped"]:
    """Run, or go on with, one fused run. RunMismatchError if the log holds another."""
    writer = log.writer()
    try:
        open_record(log, writer, record, feed.table)
        rules = settings.rules(feed.table, model.digest if model else 0)
        chain = Chain(
            feed.table, len(feed.names), model, rules, settings.balance, record.code_version,
            settings.signals(feed.table, record.sources),
        )  # fmt: skip
        control = ControlBox(
            run_dir, log, writer, table=feed.table, code_version=record.code_version
        )

        def written(parcel: Parcel, seconds: float) -> None:
            control.written(parcel.market)
            seen(parcel, seconds)

        source = FeedSource(
            feed, batch_rows=batch_rows, control=control, speed=speed, progress=progress
        )
        flow = fused.build(source, LaneSink(writer), chain, books=book_feeds(feed), seen=written)
        if run_dir is None:
            return run_flow(flow, recovery=None, epoch_interval=EPOCH)
        manifest = Manifest(
            record.run_id,
            step_ids(flow),
            feed.table.lanes,
            record.code_version,
            record.settings_digest,
        )
        with RecoveryDir(run_dir / "recovery", manifest) as recovery:
            return run_flow(flow, recovery=recovery, epoch_interval=EPOCH)
    finally:
        writer.flush()
        writer.close()


def open_record(
    log: Log,
    writer: Writer,
    record: RunRecord,
    table: InstrumentTable,
    texts: Mapping[str, str] | None = None,
    place: str = "--out",
) -> None:
    """Write the first record, and texts beside it, or check that the one there is the same.

    `place` is the option by which another run would be kept elsewhere.
    """
    found = log.texts().get(RECORD)
    if found is None:
        names = RunSettings(**record.settings).signal_names()
        named = {SIGNAL_NAMES: json.dumps(names)} if names else {}
        writer.append([], {**(texts or {}), **named, TABLE: table.to_json()})
        writer.append([], {RECORD: record.to_json()})  # last: who finds it finds all
        writer.flush()
        return
    before, again = asdict(RunRecord.from_json(found)), asdict(record)
    for each in (before, again):
        each["model"].pop("notice")  # words, not what decides
    for name, now in again.items():
        if name not in ("run_id", "python") and before[name] != now:
            raise RunMismatchError(
                f"run {before['run_id']} was begun there with another {name}; repeat its settings "
                f"and tapes to go on with it, or choose another {place}"
            )
