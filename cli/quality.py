"""`trifecta quality`: Great Expectations over what a tape or a log holds."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
from flows.topic_feed import open_topic
from schemas.reasons import Reason
from schemas.rows import U2, MarketRows
from venues.feed import Feed
from venues.tape import open_tapes

RESULT_JSON = "quality.json"
PAGE = "index.html"
MINUTES = "completeness.parquet"
DOCS = "data_docs"  # folder of the pages that Great Expectations makes
FOLDER = RUNS / "quality"


@dataclass(frozen=True)
class QualityRequest:
    """What `trifecta quality` was asked for; see its options."""

    place: Path | None = None
    deployment: str | None = None
    out: Path | None = None
    json: bool = False


def quality(request: QualityRequest) -> int:
    """Judge, write the pages, and tell; the exit code: 0, or 1 where an expectation failed."""
    with _opened(request) as opened:
        name, feed, missing = opened.name, opened.feed, opened.quarantined
        folder = _folder(request.out, name)
        engine, refused = GreatExpectations(name), Counter[str]()
        covered, crossed = completeness(feed, missing), 0
        n_rows = sum(source.rows for source in feed.description)
        with RowProgress(talk(), n_rows, doing="judging") as progress:
            progress.moved(0)
            for part in slices(feed):
                _judge(engine, part)
                covered.add(part.rows, part.reason == Reason.OK)
                crossed += int(np.count_nonzero(part.seen.mark))
                refused += _reasons(part.reason)
                progress.moved(part.first + part.rows.seq.size)
        pages = engine.write_docs(folder / DOCS)
        found, streams = engine.findings(), list(covered.streams())
        minutes = completeness_table(streams, feed.table, feed.names)
        pq.write_table(minutes, folder / MINUTES)
        told = _told(name, feed, found, refused, pages) | {
            "crossed_kept": crossed,
            "quarantined": dict(sorted(_reasons(missing.reason).items()))
            if missing is not None
            else None,
            "completeness": [in_figures(each, feed.table, feed.names) for each in streams],
            "minutes": str(folder / MINUTES),
            "page": str(folder / PAGE),
        }
        text = json.dumps(told, indent=2) + "\n"
        (folder / RESULT_JSON).write_text(text, encoding="utf-8")
        write_index(told, folder, DOCS)
        if request.json:
            sys.stdout.write(text)
        else:
            print_quality(Console(highlight=False), feed.names, found, told)
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
    named = [Reason(int(code)).name for code in codes]
    return Counter(dict(zip(named, counts.tolist(), strict=True)))


def _told(
    name: str, feed: Feed, found: Sequence[Finding], refused: Counter[str], pages: Path
) -> dict[str, Any]:
    return {
        "name": name,
        "sources": feed.names,
        "rows": sum(source.rows for source in feed.description),
        "rows_refused": refused.total(),
        "refused_by_reason": dict(refused),
        "passed": all(each.unexpected == 0 for each in found),
        "expectations": [
            {
                "suite": suite_name(each.kind, each.group),
                "column": each.expectation.column,
                "expectation": each.expectation.words,
                "reason": _reason(each),
                "rows": each.rows,
                "unexpected": each.unexpected,
                "first": [{"source": feed.names[source], "row": row} for source, row in each.first],
            }
            for each in found
        ],
        "data_docs": str(pages),
    }


def _reason(finding: Finding) -> str | None:
    """None where the column itself holds the reason."""
    return finding.expectation.reason.name if finding.expectation.reason is not None else None
