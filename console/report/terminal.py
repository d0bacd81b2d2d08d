"""The summary that a run prints."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from console.report.clocks_table import clocks_lines
from console.report.signals import signals_line
from console.report.words import (
    MINUS,
    covered,
    duration,
    microseconds,
    money,
    number,
    par_words,
    percent,
    reason_words,
    verdict,
)

REASONS_SHOWN = 5
DIGEST_SHOWN = 16  # characters; report.json has all of them


def print_summary(report: dict[str, Any], console: Console, files: Sequence[str] = ()) -> None:
    """What came of a run, in one screen.

    Parameters
    ----------
    report : dict
        Of `build_report`.
    files : sequence of str
        Paths that were written, for the last lines.
    """
    lost = report["equity"]["end"] < report["equity"]["start"]
    title = f"{report['mode']} {report['run_id']}"
    if report["simulated"]:
        title += " \N{EM DASH} SIMULATED MARKET"
    parts = [Text(verdict(report), style="bold red" if lost else "bold"), Text(_covered(report))]
    parts += [Text(f"Warning: {text}", style="bold yellow") for text in report["warnings"]]
    border = "red" if lost else "green" if report["trades"] else "cyan"
    console.print(Panel(Group(*parts), title=Text(title), border_style=border))
    console.print(Padding(_engines(report), (1, 0, 0, 0)))
    if report["non_trades"]:
        console.print(Padding(_reasons(report), (1, 0, 0, 0)))
    console.print(Padding(_facts(report, files), (1, 0, 0, 0)))


def _covered(report: dict[str, Any]) -> str:
    text = f"{covered(report)}; {report['rows']:,} rows"
    return f"{text}, {report['ticks']:,} ticks, {report['decisions']:,} decisions"


def _engines(report: dict[str, Any]) -> Table:
    currency = report["currency"]
    table = _table(
        "engine", right=("trades", "closed", "won", f"result {currency}", f"fees {currency}", "R/R")
    )
    for name, engine in report["engines"].items():
        result = money(engine["pnl"], signed=True)
        table.add_row(
            name,
            f"{engine['trades']:,}",
            f"{engine['closed']:,}",
            percent(engine["win_rate"], digits=1),
            Text(result, style="red" if result.startswith(MINUS) else ""),
            money(engine["fees"]),
            number(engine["avg_reward_risk"]),
        )
    return table


def _reasons(report: dict[str, Any]) -> Table:
    counts = report["non_trades"]
    total = sum(counts.values())
    table = _table("why it did not trade", right=("decisions", "share"))
    for name, n in list(counts.items())[:REASONS_SHOWN]:
        table.add_row(reason_words(name), f"{n:,}", percent(n / total, digits=1))
    rest = list(counts.values())[REASONS_SHOWN:]
    if rest:
        table.add_row(
            f"{len(rest)} other reasons", f"{sum(rest):,}", percent(sum(rest) / total, digits=1)
        )
    return table


def _delay(report: dict[str, Any]) -> str:
    latency, delay = report["latency_us"], report["report_delay_ms"]
    if delay["p50"] is None:
        p50, p99 = microseconds(latency["p50"]), microseconds(latency["p99"])
        return f"row to decision {p50} (p50), {p99} (p99)"
    return (
        f"reports {number(delay['p50'])} ms (p50), {number(delay['p99'])} ms (p99) of market time "
        "behind their due time"
    )


def _facts(report: dict[str, Any], files: Sequence[str]) -> Table:
    equity, ledger = report["equity"], report["ledger"]
    currency, n_open = report["currency"], len(report["open_positions"])
    par = par_words(report["at_par"])
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    holds = ledger["balanced"] and ledger["drift"] == "0"
    ratio = number(equity["sharpe"]) if equity["sharpe"] is not None else "none"
    state = "balanced, drift 0" if holds else "DOES NOT HOLD"
    lines = [
        (
            "equity",
            f"{money(equity['start'])} \N{RIGHTWARDS ARROW} {money(equity['end'], currency)}",
        ),
        *([("currency", f"{currency}, {par}")] if par else []),
        ("max drawdown", percent(equity["max_drawdown"])),
        ("Sharpe ratio", f"{ratio} ({equity['sharpe_note']})"),
        ("fees", money(report["fees"], currency)),
        ("open positions", f"{n_open:,}, marked, not closed" if n_open else "none"),
        ("ledger", f"{ledger['transactions']:,} transactions, {state}"),
        ("quarantine", _quarantine(report)),
        *(
            ("" if k else "latency", line)
            for k, line in enumerate(clocks_lines(report["venue_clocks"]))
        ),
        *([("features", signals_line(report["signals"]))] if report["signals"] else []),
        (
            "speed",
            f"{number(report['ticks_per_s'], 0)} ticks/s in {duration(report['wall_s'])}; "
            + _delay(report),
        ),
        ("model", f"{report['model']['name']} {report['model']['version']}"),
        ("decisions", f"sha256 {report['decision_digest'][:DIGEST_SHOWN]}"),
        ("ledger rows", f"sha256 {report['ledger_digest'][:DIGEST_SHOWN]}"),
    ]
    for name, value in lines:
        table.add_row(name, Text(value))
    for k, file in enumerate(files):
        table.add_row("" if k else "written", Text(file))
    return table


def _quarantine(report: dict[str, Any]) -> str:
    if not report["rows_quarantined"]:
        return "no row rejected"
    found = [
        f"{sum(sources.values()):,} {reason_words(reason)}"
        for reason, sources in report["quarantine"].items()
    ]
    return f"{report['rows_quarantined']:,} of {report['rows']:,} rows: {'; '.join(found)}"


def _table(first: str, *, right: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(first)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table
