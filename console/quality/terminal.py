"""What `trifecta quality` shows on a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from console.quality.completeness import rounded_down
from console.quality.great import Finding, suite_name
from console.quality.places import places
from schemas.expectations import COMPLETE_FOR_BACKTEST, COMPLETE_FOR_TRAINING, Check

STREAMS = 20  # whose completeness is shown


def print_quality(out: Console, found: Sequence[Finding], told: Mapping[str, Any]) -> None:
    """Tables of expectations, what failed first, and of streams, and the verdict.

    `told` is what `--json` prints.
    """
    several = len(told["sources"]) > 1
    first = [each["first"] for each in told["expectations"]]
    lines = list(zip(found, first, strict=True))
    for suite, of_suite in groupby(lines, lambda line: suite_name(line[0].kind, line[0].group)):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
        table.add_column(f"expectations of a {suite}", overflow="fold")
        table.add_column("rows evaluated", justify="right", no_wrap=True)
        table.add_column("unexpected", justify="right", no_wrap=True)
        table.add_column("first rows", overflow="fold")
        every = list(of_suite)
        for each, rows in every:
            if each.unexpected:
                where = places(rows, several=several)
                cells = each.expectation.words, f"{each.rows:,}", f"{each.unexpected:,}", where
                table.add_row(*cells, style="bold red")
        for words, n_rows in _met([each for each, _ in every if not each.unexpected]):
            table.add_row(words, f"{n_rows:,}", "0", "")
        out.print(Padding(table, (0, 0, 1, 0)))
    _print_completeness(out, told["completeness"], several)
    share = f"{told['rows_refused']:,} of {told['rows']:,} rows would be refused"
    counted = _listed(told["refused_by_reason"])
    out.print(f"{share}{counted}.", soft_wrap=True)
    if told["crossed_kept"]:
        out.print(f"Crossed, kept with a flag: {told['crossed_kept']:,} quotes.", soft_wrap=True)
    if told["quarantined"] is not None:
        n = sum(told["quarantined"].values())
        out.print(f"In quarantine: {n:,} rows{_listed(told['quarantined'])}.", soft_wrap=True)
    if told["passed"]:
        out.print("Passed.", style="bold green")
    for why in told["failures"]:
        out.print(Text.assemble(("Failed: ", "bold red"), f"{why}."), soft_wrap=True)
    out.print()
    files = Table.grid(padding=(0, 2))
    for what, place in (
        ("page", told["page"]), ("Data Docs", told["data_docs"]), ("minutes", told["minutes"]),
    ):  # fmt: skip
        files.add_row(Text(what, style="dim"), Text(place, overflow="fold"))
    out.print(files, soft_wrap=True)


def _print_completeness(out: Console, streams: Sequence[Mapping[str, Any]], several: bool) -> None:
    """The least complete streams."""
    known = [each for each in streams if each["completeness"] is not None]
    if not known:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    table.add_column("stream", overflow="fold")
    for title in (
        "minutes", "covered", f"minutes < {COMPLETE_FOR_TRAINING:g}",
        f"minutes < {COMPLETE_FOR_BACKTEST:g}",
    ):  # fmt: skip
        table.add_column(title, justify="right", no_wrap=True)
    for each in sorted(known, key=lambda one: float(one["completeness"]))[:STREAMS]:
        source = f" of {each['source']}" if several else ""
        table.add_row(
            f"{each['instrument']} {each['kind'].lower()}{source}",
            f"{each['minutes']:,}",
            rounded_down(each["completeness"]),
            f"{each['minutes_below_training']:,}",
            f"{each['minutes_below_backtest']:,}",
        )
    out.print(Padding(table, (0, 0, 1, 0)))
    if len(known) > STREAMS:
        out.print(f"and {len(known) - STREAMS:,} more complete streams", style="dim")


def _listed(counts: Mapping[str, int]) -> str:
    return (": " if counts else "") + ", ".join(f"{name} {n:,}" for name, n in counts.items())


def _met(met: Sequence[Finding]) -> Iterator[tuple[str, int]]:
    """Expectations that all rows met, like ones together, and how many rows each was asked of."""

    def like(each: Finding) -> tuple[Any, ...]:
        return each.expectation.check, each.expectation.reason

    for (check, _), run in groupby(met, like):
        by_rows: dict[int, list[Finding]] = {}
        for each in run:
            by_rows.setdefault(each.rows, []).append(each)
        for n_rows, alike in by_rows.items():
            if check in (Check.NOT_NULL, Check.NULL):
                word = "are" if len(alike) > 1 else "is"
                columns = ", ".join(each.expectation.column for each in alike)
                yield f"{columns} {check.value.replace('is', word, 1)}", n_rows
            else:
                yield ", ".join(each.expectation.words for each in alike), n_rows
