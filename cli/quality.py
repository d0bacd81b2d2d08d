"""`trifecta quality`: Great Expectations over what a tape or a log holds."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console

from cli.errors import DIFFERENT, Refused, talk
from cli.progress import RowProgress
from cli.run_dir import RUNS, open_log
from cli.times import stamp
from console.quality.completeness import completeness, completeness_table, in_figures
from console.quality.frames import Slice, slices
from console.quality.great import Finding, GreatExpectations, suite_name
from console.quality.page import write_index
from console.quality.quarantined import quarantined_rows
from console.quality.terminal import print_quality
from console.quality.verdict import Demands, Judged, failures
from flows.topic_feed import open_topic
from schemas.reasons import Reason, reason_name
from schemas.rows import U2, MarketRows
from venues.feed import Feed
from venues.tape import open_tapes

RESULT_JSON = "quality.json"
PAGE = "index.html"
MINUTES = "completeness.parquet"
DOCS = "data_docs"  # folder of the pages that Great Expectations makes
FOLDER = RUNS / "quality"
WIDE = 120  # characters where output is no terminal


@dataclass(frozen=True)
class QualityRequest:
    """What `trifecta quality` was asked for; see its options."""

    place: Path | None = None
    deployment: str | None = None
    out: Path | None = None
    json: bool = False
    demands: Demands = field(default_factory=Demands)


def quality(request: QualityRequest) -> int:
    """Judge, write the pages, and tell; the exit code: 0, or 1 where a demand is not met.

    Refused if the place cannot be read, or holds no row that could be judged.
    """
    with _opened(request) as opened:
        name, feed, missing = opened.name, opened.feed, opened.quarantined
        folder = _folder(request.out, name)
        engine, refused = GreatExpectations(name), Counter[str]()
        covered, crossed = completeness(feed, missing), 0
        n_rows = sum(source.rows for source in feed.description)
        in_quarantine = Counter[str]() if missing is None else _reasons(missing.reason)
        n_quarantined = in_quarantine.total()
        with RowProgress(talk(), n_rows, doing="judging") as progress:
            progress.moved(0)
            for part in slices(feed):
                _judge(engine, part)
                covered.add(part.rows, part.reason == Reason.OK)
                crossed += int(np.count_nonzero(part.seen.mark))
                refused += _reasons(part.reason)
                progress.moved(part.first + part.rows.seq.size)
        found, streams = engine.findings(), list(covered.streams())
        if not found and not n_quarantined:
            raise Refused(f"{name}: there is no row of a market in it, so nothing can be judged")
        minutes = completeness_table(streams, feed.table, feed.names)
        pq.write_table(minutes, folder / MINUTES)
        demanded = [] if feed.simulated else streams
        n_bad = n_quarantined - in_quarantine[Reason.SUPERSEDED.name]  # those are on the log
        judged = Judged(n_rows, refused.total(), n_bad, found, demanded)
        told = _told(name, feed, judged, refused) | {
            "failures": failures(judged, request.demands, feed.table, feed.names),
            "demands": asdict(request.demands),
            "crossed_kept": crossed,
            "quarantined": None if missing is None else dict(sorted(in_quarantine.items())),
            "completeness": [in_figures(each, feed.table, feed.names) for each in streams],
            "data_docs": str(engine.write_docs(folder / DOCS)),
            "minutes": str(folder / MINUTES),
            "page": str(folder / PAGE),
        }
        told["passed"] = not told["failures"]
        text = json.dumps(told, indent=2) + "\n"
        (folder / RESULT_JSON).write_text(text, encoding="utf-8")
        write_index(told, folder, DOCS)
        if request.json:
            sys.stdout.write(text)
        else:
            width = None if sys.stdout.isatty() else WIDE
            print_quality(Console(highlight=False, width=width), found, told)
    return 0 if told["passed"] else DIFFERENT


@dataclass(frozen=True)
class _Opened:
    """What is judged."""

    name: str
    feed: Feed
    quarantined: MarketRows | None  # rows that a log's feed does not have


@contextmanager
def _opened(request: QualityRequest) -> Iterator[_Opened]:
    place, deployment = request.place, request.deployment
    if (place is None) == (deployment is None):
        raise Refused("name either a tape, the folder of a run, or the --deployment of a desk")
    if place is not None and not place.is_dir():
        tape = open_tapes([place])
        yield _Opened(place.stem, tape, None)
        return
    if place is not None:
        log = open_log(place)
    else:
        from flows.log.kafka import KafkaLog

        log = KafkaLog(deployment=deployment or "")
    try:
        topic = open_topic(log)
        name = place.resolve().name if place else deployment or "desk"
        yield _Opened(name, topic, quarantined_rows(log, topic.table))
    finally:
        log.close()


def _folder(out: Path | None, name: str) -> Path:
    folder = out or FOLDER / f"{name}-{stamp(datetime.now(UTC))}"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(f"{folder}: is there already; choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _judge(engine: GreatExpectations, part: Slice) -> None:
    last = part.first + part.rows.seq.size - 1
    for kind, group, frame in part.frames():
        engine.judge(kind, group, frame, run=f"rows {part.first} to {last}")


def _reasons(reason: U2) -> Counter[str]:
    """How often each reason stands there, OK left out."""
    codes, counts = np.unique(reason[reason != Reason.OK], return_counts=True)
    named = [reason_name(int(code)) for code in codes]
    return Counter(dict(zip(named, counts.tolist(), strict=True)))


def _told(name: str, feed: Feed, judged: Judged, refused: Counter[str]) -> dict[str, Any]:
    return {
        "name": name,
        "sources": feed.names,
        "passed": False,
        "failures": [],
        "rows": judged.rows,
        "rows_refused": judged.refused,
        "refused_by_reason": dict(refused),
        "share_refused": judged.share_refused,
        "expectations": [
            {
                "suite": suite_name(each.kind, each.group),
                "column": each.expectation.column,
                "expectation": each.expectation.words,
                "reason": _reason(each),
                "rows": each.rows,
                "unexpected": each.unexpected,
                "first": [
                    {"source": feed.names[one.source], "row": one.row, "values": one.values}
                    for one in each.first
                ],
            }
            for each in judged.findings
        ],
    }


def _reason(finding: Finding) -> str | None:
    """None where the column itself holds the reason."""
    return finding.expectation.reason.name if finding.expectation.reason is not None else None
