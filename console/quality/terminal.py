"""What `trifecta quality` shows on a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from console.quality.great import Finding, suite_name
from console.report.words import percent
from schemas.expectations import COMPLETE_FOR_BACKTEST, COMPLETE_FOR_TRAINING, Check

STREAMS = 20  # whose completeness is shown


def print_quality(
    out: Console, names: Sequence[str], found: Sequence[Finding], told: Mapping[str, Any]
) -> None:
    """Tables of expectations and of streams, and the verdict.

    `names` are the sources'; `told` is what `--json` prints.
    """
    several = len(names) > 1
    for suite, lines in groupby(found, lambda each: suite_name(each.kind, each.group)):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
        table.add_column(f"expectations of a {suite}", overflow="fold", ratio=1)
        table.add_column("rows evaluated", justify="right", no_wrap=True)
        table.add_column("unexpected", justify="right", no_wrap=True)
        table.add_column("first rows", overflow="fold")
        for words, each in _grouped(lines):
            first = [f"{names[s]}:{row}" if several else str(row) for s, row in each.first]
            style = "bold red" if each.unexpected else ""
            cells = words, f"{each.rows:,}", f"{each.unexpected:,}", " ".join(first)
            table.add_row(*cells, style=style)
        out.print(Padding(table, (0, 0, 1, 0)))
    _print_completeness(out, told["completeness"], several)
    verdict = ("Passed. ", "bold green") if told["passed"] else ("Failed. ", "bold red")
    share = f"{told['rows_refused']:,} of {told['rows']:,} rows would be refused"
    counted = _listed(told["refused_by_reason"])
    out.print(Text.assemble(verdict, share, counted, "."), soft_wrap=True)
    if told["crossed_kept"]:
        out.print(f"Crossed, kept with a flag: {told['crossed_kept']:,} quotes.", soft_wrap=True)
    if told["quarantined"] is not None:
        n = sum(told["quarantined"].values())
        out.print(f"In quarantine: {n:,} rows{_listed(told['quarantined'])}.", soft_wrap=True)
    out.print(f"Page: {told['page']}", soft_wrap=True)
    out.print(f"Data Docs: {told['data_docs']}", soft_wrap=True)
    out.print(f"Minutes: {told['minutes']}", soft_wrap=True)


def _print_completeness(out: Console, streams: Sequence[Mapping[str, Any]], several: bool) -> None:
    """The least complete streams."""
    known = [each for each in streams if each["completeness"] is not None]
    if not known:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    table.add_column("stream", overflow="fold", ratio=1)
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
            percent(each["completeness"]),
            f"{each['minutes_below_training']:,}",
            f"{each['minutes_below_backtest']:,}",
        )
    out.print(Padding(table, (0, 0, 1, 0)))
    if len(known) > STREAMS:
        out.print(f"and {len(known) - STREAMS:,} more complete streams", style="dim")


def _listed(counts: Mapping[str, int]) -> str:
    return (": " if counts else "") + ", ".join(f"{name} {n:,}" for name, n in counts.items())


def _grouped(lines: Iterator[Finding]) -> Iterator[tuple[str, Finding]]:
    """Expectations that all rows met share a line with their like; one that failed has its own."""

    def like(each: Finding) -> tuple[Any, ...]:
        expectation = each.expectation
        alone = expectation.words if each.unexpected else ""
        return expectation.check, expectation.reason, each.rows, alone

    for (check, _, _, alone), same in groupby(lines, like):
        alike = list(same)
        if check in (Check.NOT_NULL, Check.NULL) and not alone:
            word = "are" if len(alike) > 1 else "is"
            columns = ", ".join(each.expectation.column for each in alike)
            yield f"{columns} {check.value.replace('is', word, 1)}", alike[0]
        else:
            yield ", ".join(each.expectation.words for each in alike), alike[0]
