"""Generates docs/reference/ from the code: what it says is what the tables say.

`python -m tools.reference` writes the files, `--check` only says which of them are stale.
"""

import argparse
import ast
import importlib
import inspect
import io
import pkgutil
import sys
import tokenize
from collections.abc import Iterator, Sequence
from enum import IntEnum, IntFlag
from pathlib import Path
from types import ModuleType
from typing import Any

import schemas
from flows.meter import METRICS, STATES, STEP_ROWS, STEP_S
from operators.features.registry import SETS, STATE_BYTES_MAX
from schemas import rows, signal_rows
from schemas.calendars import Calendar
from schemas.expectations import (
    COMPLETE_FOR_BACKTEST,
    COMPLETE_FOR_TRAINING,
    FLOAT_MAX,
    KINDS,
    Check,
    MarketClass,
    Null,
    Value,
    suites,
    values_of,
)
from schemas.kinds import Kind
from schemas.markets import OTHERS, SORTS, Sort
from schemas.reasons import Reason
from schemas.topics import TOPICS
from venues.frames.registry import PARSERS, RELAYED
from venues.frames.venue import MessageType, Use
from venues.tape.layouts import FOR_BOOKS, LAYOUTS, Layout
from venues.tape.orders import ORDER_FEEDS
from venues.venue_classes import VENUES
from venues.verify import TOLERANCES, Beside, Match, tolerance_of

HOUSE = Path(__file__).resolve().parents[1]
FOLDER = Path("docs/reference")
NOTE = "<!-- Made by `make docs` from {source}; edit there. -->"


def comments(module: ModuleType) -> dict[int, tuple[int, str]]:
    """Per line of a module's source the column of its comment and its text without `#`."""
    tokens = tokenize.generate_tokens(io.StringIO(inspect.getsource(module)).readline)
    return {
        token.start[0]: (token.start[1], token.string.lstrip("# ").strip())
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def member_lines(module: ModuleType, name: str) -> dict[str, int]:
    """The line of each annotated or assigned name in the body of a class."""
    tree = ast.parse(inspect.getsource(module))
    body = next(n.body for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name)
    lines = {}
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            lines[node.target.id] = node.lineno
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            lines[node.targets[0].id] = node.lineno
    return lines


def meanings(module: ModuleType, name: str) -> dict[str, str]:
    """Member of a class to the comment at the end of its line, "" where there is none."""
    said = comments(module)
    return {
        member: said.get(line, (0, ""))[1] for member, line in member_lines(module, name).items()
    }


def groups(module: ModuleType, name: str) -> dict[str, str]:
    """Member of a class to the last comment that stands alone on a line above it."""
    source = inspect.getsource(module).splitlines()
    alone = {
        n: text for n, (at, text) in comments(module).items() if not source[n - 1][:at].strip()
    }
    lines = member_lines(module, name)
    first = min(lines.values())
    return {
        member: next((alone[n] for n in range(line, first - 1, -1) if n in alone), "")
        for member, line in lines.items()
    }


def reasons_page() -> str:
    group_of = groups(sys.modules[Reason.__module__], "Reason")
    lines = [
        "# Reason codes",
        "",
        "Why a row was rejected, a decision did not trade, or an order ended as it did. Numbers",
        "are append-only: they stay on the log for ever. Gates ask in this order, and the first",
        "that refuses is recorded.",
        "",
        "| code | name | meaning | group |",
        "| ---: | --- | --- | --- |",
    ]
    for reason in Reason:
        group = group_of[reason.name]
        _check_range(reason, group)
        lines.append(_row(int(reason), f"`{reason.name}`", reason.text, group.split(":")[0]))
    return _page("schemas/reasons.py", lines)


def kinds_page() -> str:
    lines = [
        "# Codes",
        "",
        "What the numbers in the columns of the log mean. All of them are append-only.",
    ]
    for module, enum in _enums():
        means = meanings(module, enum.__name__)
        lines += ["", f"## {enum.__name__}", "", *_prose(enum), ""]
        lines += ["| code | name | meaning |", "| ---: | --- | --- |"]
        lines += [_row(int(m), f"`{m.name}`", means.get(str(m.name), "")) for m in enum]
    return _page("schemas/", lines)


def topics_page() -> str:
    lines = [
        "# Topics and their rows",
        "",
        "Every message carries the schema id of its topic in its header; at start a program",
        "compares the fingerprints, so that two programs that differ in a column never talk. What",
        "a column without words of its own means stands in the text above its table.",
        "",
        "| topic | schema id | rows | body | partitions | fingerprint |",
        "| --- | ---: | --- | --- | --- | --- |",
    ]
    for topic in TOPICS.values():
        table = topic.table.__name__ if topic.table else ""
        link = f"[{table}](#{table.lower()})" if table else ""
        body, digest = topic.encoding.name.lower(), f"`{topic.fingerprint()}`"
        lines.append(_row(f"`{topic.name}`", topic.schema_id, link, body, topic.partitions, digest))
    lines += ["", *_prose(rows)]
    means: dict[str, str] = {}
    for name, columns in _tables():
        said = meanings(sys.modules[columns.__module__], name)
        means |= {column: text for column, text in said.items() if text or column not in means}
        lines += ["", f"## {name}", "", *_prose(columns), ""]
        lines += [f"Fingerprint of the columns: `{rows.fingerprint(columns)}`", ""]
        lines += ["| column | dtype | null | meaning |", "| --- | --- | --- | --- |"]
        for field in rows.arrow_schema(columns):
            dtype, null = rows.dtypes(columns)[field.name], "may be" if field.nullable else "never"
            lines.append(_row(f"`{field.name}`", dtype.name, null, means[field.name]))
    return _page("schemas/rows.py, schemas/signal_rows.py and schemas/topics.py", lines)


def tapes_page() -> str:
    lines = [
        "# Tapes",
        "",
        "Parquet files that `trifecta run --tape` reads, told by their columns; other columns are",
        "ignored. A time is int64, nanoseconds since 1970 UTC, or a timestamp of any unit with a",
        "zone; `side` is +1, 0 or -1. Decisions need quotes or trades; the other layouts enter the",
        "log beside them. A row without a price or time goes to quarantine.",
    ]
    for layout in LAYOUTS:
        lines += _layout(layout)
    lines += [
        "",
        "## Venues",
        "",
        "`venue` is one of these; `venues/venue_classes.py` says what is",
    ]
    lines += ["assumed of each:", "", ", ".join(f"`{name}`" for name in sorted(VENUES)) + "."]
    lines += [
        "",
        "## Evidence about books",
        "",
        "`trifecta book` also reads a venue's own snapshots to compare a book with; a desk does",
        "not. In tapes of single orders (orders_l3) `action` is a word of the venue. In a run its",
        "fills are FILL rows of the book, which leave it as it is, and its trades are trades:",
        "",
        _row("venue", "feed", "words", "leave the book"),
        _row("---", "---", "---", "---"),
    ]
    for name, feed in ORDER_FEEDS.items():
        used = ", ".join(f"`{word}` {action.name}" for word, action in feed.words.items())
        left = "; ".join(f"`{word}`: {why}" for word, why in feed.unused.items())
        lines.append(_row(name, feed.title, used, left))
    lines += ["", "Snapshots have level 0, the best, and more in the same way."]
    for layout in FOR_BOOKS:
        lines += _layout(layout)
    return _page("venues/tape/layouts.py", lines)


def _layout(layout: Layout) -> list[str]:
    made = ["", f"## {layout.name}", "", _row("column", "type", "needed")]
    made += [_row("---", "---", "---")]
    made += [_row(f"`{name}`", kind, "yes") for name, kind in layout.columns.items()]
    return made + [_row(f"`{name}`", kind, "no") for name, kind in layout.optional.items()]


def venues_page() -> str:
    lines = [
        "# Venues' frames",
        "",
        "Which public messages are read, what they become, and what the feed can prove of its own",
        "completeness. A feed is `unprovable` where a lost message cannot be seen: then a book is",
        "bounded by audits, and never called `ok`. Every frame is data, superseded, control, known",
        "and unused, or quarantined with the reason; a message type that is not listed is",
        "quarantined by its name, and a venue that is not listed is refused.",
        "",
        "| venue | feed | proof | to know |",
        "| --- | --- | --- | --- |",
    ]
    venues = [parser.venue for parser in (*PARSERS.values(), *RELAYED.values())]
    for venue in venues:
        name = f"[{venue.name}](#{venue.name})"
        lines.append(_row(name, venue.title, venue.proof.words, venue.notes))
    lines += _tolerances()
    for venue in venues:
        lines += ["", f"## {venue.name}", ""]
        lines += ["| message | becomes | says |", "| --- | --- | --- |"]
        lines += [_row(f"`{t.name}`", _becomes(t), t.says) for t in venue.types]
    return _page("venues/frames/", lines)


def metrics_page() -> str:
    lines = [
        "# Metrics",
        "",
        "What `/metrics` of a worker holds, in Prometheus' text format. All have the labels `flow`",
        "and `lanes`, those in the table stand beside them. On Linux there are also `process_*`:",
        "CPU seconds, memory and open files of the worker.",
        "",
        "| metric | type | labels | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for metric in METRICS:
        labels = ", ".join(f"`{name}`" for name in metric.labels)
        lines.append(_row(f"`{metric.name}`", metric.kind, labels, metric.text))
    lines += [
        "",
        f"`state` is one of {', '.join(f'`{state}`' for state in STATES)}. Upper bounds of the",
        f"buckets: {_listed(STEP_S)} s for `trifecta_step_seconds`,",
        f"{_listed(STEP_ROWS)} rows for `trifecta_step_rows`.",
    ]
    return _page("flows/meter.py", lines)


def features_page() -> str:
    lines = [
        "# Features of the market layer",
        "",
        "What `Signals` in `operators/features/` can compute. A desk names the sets, or single",
        "features, that it wants (`trifecta run --features flow,depth`, `[features]` of",
        "`trifecta.toml`), pays for their operators only, and finds the values in `signals.v1`.",
        "Each row shows the present values of its instrument as of that row; null (NaN in memory)",
        "before the warm-up is over, and where the column `null` says so. `best quote` is the",
        "venue's quote, or the book's best level where a market has none. Definitions, windows and",
        "time basis stand at the operators. What a set remembers is beside the books, which count",
        "for themselves (1 MB each at most). Markets and assets are compared within a lane: those",
        "of tapes are spread over eight, or share one by `trifecta run --one-lane`.",
    ]
    for name, features in SETS.items():
        lines += [
            "",
            f"## {name}",
            "",
            f"Remembers at most {STATE_BYTES_MAX[name] / 1024:g} KB per instrument.",
            "",
            "| feature | from | unit | warm-up | least market time | null | source |",
            "| --- | --- | --- | --- | ---: | --- | --- |",
        ]
        for feature in features:
            least = f"{feature.warm_up_ns / 1e9:g} s" if feature.warm_up_ns else ""
            lines.append(
                _row(f"`{feature.name}`", " and ".join(feature.inputs), feature.unit,
                     feature.warm_up, least, feature.null, feature.source)
            )  # fmt: skip
    return _page("operators/features/registry.py", lines)


def expectations_page() -> str:
    lines = [
        "# What is expected of market rows",
        "",
        "One suite per kind of row and class of market: `event` are contracts that pay 0 or 1,",
        "`option` options, `loose` markets whose quotes may cross ([sessions](sessions.md)),",
        "`plain` all others.",
        "A row that fails goes to `quarantine.v1` with the reason of the first",
        "expectation that it fails. The gate of a running desk and `trifecta quality`, which runs",
        "Great Expectations, judge by the same suites.",
        "",
        "## Values",
        "",
        "Other columns of floats are null (`OUT_OF_RANGE` if not). A missing value that is needed",
        "is `NULL_PRICE`, an infinite one `NOT_FINITE`, one below its bounds `NOT_POSITIVE` (a",
        "funding rate: `OUT_OF_RANGE`), one above them `OUT_OF_RANGE`.",
        "",
        "| row | market | column | null | where null | bounds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind in KINDS:
        for groups_alike, values in _alike(kind):
            market = ", ".join(group.value for group in groups_alike)
            market = "any" if len(groups_alike) == len(MarketClass) else market
            for name, value in values.items():
                if value.null is not Null.ALWAYS:
                    cells = f"`{name}`", value.null.value, value.null_means, _bounds(value)
                    lines.append(_row(kind.name, market, *cells))
    lines += [
        "",
        "## In which order it is asked",
        "",
        "Those of one value alone follow from the table above: first what is missing, then what is",
        "infinite, below its bounds, and (after `CROSSED_QUOTE`) above them.",
        "",
        "| expectation | reason | rows |",
        "| --- | --- | --- |",
    ]
    lines += [_row(*cells) for cells in _asked()]
    lines += [
        "",
        "`instrument_kind`, `newest_recv_ns`, `newest_event_ns` and `message_reason` are what the",
        "gate remembers, as columns beside the row: the instrument's kind (0 if it is not in the",
        "table), the last accepted times of the source and of its symbol and kind, and why an",
        "earlier row of the same book message was refused. A snapshot's rows have no times to",
        "keep. Columns of whole numbers are never null. A crossed quote of a loose market passes",
        "with the flag `CROSSED`; nobody takes it for a price.",
    ]
    return _page("schemas/expectations.py", lines)


def sessions_page() -> str:
    lines = [
        "# Sessions and cadences",
        "",
        "By what the completeness of a recording is measured: when markets are open, and for how",
        "long a row stands. The first line that names the venue holds.",
        "",
        *_prose(Sort),
        "",
        f"A backtest takes streams from {COMPLETE_FOR_BACKTEST:g} on, training from",
        f"{COMPLETE_FOR_TRAINING:g} on.",
        "",
        "| markets | venues | open | rows stand | no rows, and nothing missing | crossed quotes |"
        " because |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for sort in (*SORTS, OTHERS):
        stands = ", ".join(f"{kind.name} {_span(s)}" for kind, s in sort.stale_s.items())
        silent = ", ".join(kind.name for kind in Kind if kind in sort.silent)
        if sort.together:
            silent += ", together"
        venues = ", ".join(f"`{venue}`" for venue in sorted(sort.venues))
        crossed = "flagged" if sort.may_cross else "refused"
        lines.append(_row(sort.name, venues, sort.calendar.name, stands, silent, crossed, sort.why))
    lines += ["", "## Calendars", "", "In New York's time.", ""]
    lines += ["| calendar | open |", "| --- | --- |"]
    lines += [_row(one.name, one.value) for one in Calendar]
    return _page("schemas/markets.py and schemas/calendars.py", lines)


def _span(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds else "its own length"


def _alike(kind: Kind) -> Iterator[tuple[list[MarketClass], dict[str, Value]]]:
    """Classes of market in which a kind's columns hold the same."""
    left = list(MarketClass)
    while left:
        values = values_of(kind, left[0])
        alike = [group for group in left if values_of(kind, group) == values]
        left = [group for group in left if group not in alike]
        yield alike, values


def _asked() -> Iterator[tuple[str, str, str]]:
    """Every expectation that is not about one value alone: its words, its reason, its rows."""
    kinds: dict[tuple[str, str], list[str]] = {}
    to_end: dict[tuple[str, str], int] = {}  # the order in which they are asked
    for (kind, group), lines in suites().items():
        floats = values_of(kind, group)
        for place, line in enumerate(lines):
            alone = line.column in floats or line.check is Check.NOT_NULL
            if alone and not line.other:
                continue
            key = f"`{line.words}`", f"`{line.reason.name}`" if line.reason else "in the column"
            kinds.setdefault(key, []).append(
                kind.name + ("" if group is MarketClass.PLAIN else f" ({group.value})")
            )
            to_end[key] = max(to_end.get(key, 0), len(lines) - place)
    for key, names in sorted(kinds.items(), key=lambda found: -to_end[found[0]]):
        plain = [name for name in names if "(" not in name] or names
        yield *key, "all" if len(names) == len(suites()) else ", ".join(plain)


def _bounds(value: Value) -> str:
    low = "" if value.low == -FLOAT_MAX else f"{value.low:g} <{'' if value.above else '='} "
    high = "" if value.high == FLOAT_MAX else f" <{'' if value.below else '='} {value.high:g}"
    return f"{low}value{high}"


def _tolerances() -> list[str]:
    """How much of a venue's quotes must agree with its rebuilt book, by `trifecta book`."""
    lines = [
        "",
        "## What `trifecta book` tolerates",
        "",
        "How the venue's own best bid and ask are laid beside the rebuilt book, how much of that",
        "must agree, and after how many of its messages the book may be crossed. Sequences and",
        "checksums have no tolerance. A file of the venue's snapshots is laid beside the book of a",
        "tape as its column says, and as much of it must agree.",
        "",
        "| venue | quotes are compared | snapshots | in | at least | crossed at most | because |",
        "| --- | --- | --- | --- | ---: | ---: | --- |",
    ]
    others = tolerance_of("")
    named = {name: rule for name, rule in TOLERANCES.items() if rule is not others}
    for name, rule in (*named.items(), ("all others", others)):
        beside = "" if rule.beside is Beside.NONE else rule.beside.value
        least, compares = f"{100 * rule.agree_min:g} %", rule.compares
        if rule.beside is Beside.ROW:
            compares = "price and size"
        elif rule.match is Match.NONE:
            least = compares = ""
        if rule.after_s:
            least += f" after {rule.after_s // 60} min"
        if rule.settle_changes:
            least += f", but for {rule.settle_changes} changes after a snapshot"
        crossed = f"{100 * rule.crossed_max:g} %" if rule.crossed_max else "never"
        lines.append(_row(name, rule.match.value, beside, compares, least, crossed, rule.why))
    return lines


def _becomes(message: MessageType) -> str:
    if message.use is Use.DATA:
        return message.rows or "superseded"
    return str(message.use.value)


PAGES = {
    "reasons.md": reasons_page,
    "kinds.md": kinds_page,
    "topics.md": topics_page,
    "tapes.md": tapes_page,
    "metrics.md": metrics_page,
    "venues.md": venues_page,
    "expectations.md": expectations_page,
    "sessions.md": sessions_page,
    "../features.md": features_page,  # docs/features.md
}


def stale(house: Path = HOUSE) -> list[str]:
    """Pages that are missing or are not what the schemas say now."""
    return [
        str(FOLDER / name)
        for name, page in PAGES.items()
        if not (house / FOLDER / name).is_file()
        or (house / FOLDER / name).read_text(encoding="utf-8") != page()
    ]


def write(house: Path = HOUSE) -> None:
    (house / FOLDER).mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (house / FOLDER / name).write_text(page(), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if one is stale")
    if not parser.parse_args().check:
        write()
        print(f"{FOLDER}: {', '.join(PAGES)} written")
        return 0
    found = stale()
    if found:
        print(f"stale: {', '.join(found)}; run `make docs`", file=sys.stderr)
    return 1 if found else 0


def _enums() -> Iterator[tuple[ModuleType, type[IntEnum] | type[IntFlag]]]:
    """Every enum of the schemas but the reasons, which have a page of their own."""
    for found in sorted(pkgutil.iter_modules(schemas.__path__), key=lambda m: m.name):
        module = importlib.import_module(f"schemas.{found.name}")
        for enum in vars(module).values():
            if not isinstance(enum, type) or not issubclass(enum, IntEnum | IntFlag):
                continue
            if enum is not Reason and enum.__module__ == module.__name__:
                yield module, enum


def _tables() -> Iterator[tuple[str, type[Any]]]:
    for module in (rows, signal_rows):
        for name, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields"):
                yield name, value


def _check_range(reason: Reason, group: str) -> None:
    """A group's heading ends in `: 80 to 99`; ValueError if the code lies outside of it."""
    if ":" not in group:
        return
    low, high = (int(number) for number in group.rsplit(":", 1)[1].split(" to "))
    if not low <= reason <= high:
        raise ValueError(f"{reason.name} = {int(reason)} stands in the group {group!r}")


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _prose(documented: Any) -> list[str]:
    return inspect.cleandoc(documented.__doc__).splitlines()


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _page(source: str, lines: list[str]) -> str:
    return "\n".join([NOTE.format(source=source), "", *lines, ""])


if __name__ == "__main__":
    raise SystemExit(main())
