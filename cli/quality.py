"""`trifecta quality`: Great Expectations over what a tape or a log holds."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.errors import DIFFERENT, Refused, talk
from cli.progress import RowProgress
from cli.run_dir import RUNS, open_log
from cli.times import stamp
from console.quality.frames import Slice, slices
from console.quality.great import Finding, GreatExpectations, suite_name
from flows.topic_feed import open_topic
from schemas.expectations import Check
from schemas.reasons import Reason
from venues.feed import Feed
from venues.tape import open_tapes

RESULT_JSON = "quality.json"
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
    with _opened(request) as (name, feed):
        folder = _folder(request.out, name)
        engine, refused = GreatExpectations(name), Counter[str]()
        with RowProgress(talk(), feed.n_rows, doing="judging") as progress:
            progress.moved(0)
            for part in slices(feed):
                _judge(engine, part)
                refused += _reasons(part)
                progress.moved(part.first + part.rows.seq.size)
        pages = engine.write_docs(folder / DOCS)
        found = engine.findings()
        told = _told(name, feed, found, refused, pages)
        text = json.dumps(told, indent=2) + "\n"
        (folder / RESULT_JSON).write_text(text, encoding="utf-8")
        if request.json:
            sys.stdout.write(text)
        else:
            _print(Console(highlight=False), feed, found, told)
    return 0 if told["passed"] else DIFFERENT


@contextmanager
def _opened(request: QualityRequest) -> Iterator[tuple[str, Feed]]:
    """What to call it, and its rows."""
    place, deployment = request.place, request.deployment
    if (place is None) == (deployment is None):
        raise Refused("name either a tape, the folder of a run, or the --deployment of a desk")
    if place is not None and not place.is_dir():
        yield place.stem, open_tapes([place])
        return
    if place is not None:
        log = open_log(place)
    else:
        from flows.log.kafka import KafkaLog

        log = KafkaLog(deployment=deployment or "")
    try:
        yield (place.resolve().name if place else deployment or "desk"), open_topic(log)
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


def _reasons(part: Slice) -> Counter[str]:
    """What the inline gate refused."""
    codes, counts = np.unique(part.reason[part.reason != Reason.OK], return_counts=True)
    return Counter({Reason(int(code)).name: int(n) for code, n in zip(codes, counts, strict=True)})


def _told(
    name: str, feed: Feed, found: Sequence[Finding], refused: Counter[str], pages: Path
) -> dict[str, Any]:
    return {
        "name": name,
        "sources": feed.names,
        "rows": feed.n_rows,
        "rows_refused": refused.total(),
        "refused_by_reason": dict(sorted(refused.items())),
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


def _print(out: Console, feed: Feed, found: Sequence[Finding], told: dict[str, Any]) -> None:
    several = len(feed.names) > 1
    for suite, lines in groupby(found, lambda each: suite_name(each.kind, each.group)):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", title_justify="left")
        table.add_column(f"expectations of a {suite}", overflow="fold", ratio=1)
        table.add_column("rows evaluated", justify="right", no_wrap=True)
        table.add_column("unexpected", justify="right", no_wrap=True)
        table.add_column("first rows", overflow="fold")
        for words, each in _grouped(lines):
            first = [f"{feed.names[s]}:{row}" if several else str(row) for s, row in each.first]
            style = "bold red" if each.unexpected else ""
            cells = words, f"{each.rows:,}", f"{each.unexpected:,}", " ".join(first)
            table.add_row(*cells, style=style)
        out.print(Padding(table, (0, 0, 1, 0)))
    refused = ", ".join(f"{reason} {n:,}" for reason, n in told["refused_by_reason"].items())
    verdict = ("Passed. ", "bold green") if told["passed"] else ("Failed. ", "bold red")
    share = f"{told['rows_refused']:,} of {told['rows']:,} rows would be refused"
    out.print(Text.assemble(verdict, f"{share}{': ' if refused else ''}{refused}."), soft_wrap=True)
    out.print(f"Data Docs: {told['data_docs']}", soft_wrap=True)


def _grouped(lines: Iterator[Finding]) -> Iterator[tuple[str, Finding]]:
    """Expectations that all rows met share a line with their like; one that failed has its own."""

    def like(each: Finding) -> tuple[Any, ...]:
        expectation = each.expectation
        alone = expectation.words if each.unexpected else expectation.where_null
        return expectation.check, expectation.reason, each.rows, alone

    for (check, _, _, alone), same in groupby(lines, like):
        alike = list(same)
        if check in (Check.NOT_NULL, Check.NULL) and not alone:
            word = "are" if len(alike) > 1 else "is"
            columns = ", ".join(each.expectation.column for each in alike)
            yield f"{columns} {check.value.replace('is', word, 1)}", alike[0]
        else:
            yield ", ".join(each.expectation.words for each in alike), alike[0]
