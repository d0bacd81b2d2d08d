"""The sections of the page about what the desk did: engines, refusals, positions, speed, rows."""

from html import escape
from typing import Any

from console.report.page_parts import definitions, engine_mark, section, signed
from console.report.summary import Report
from console.report.words import (
    UNKNOWN,
    duration,
    microseconds,
    minute,
    money,
    number,
    percent,
    price,
    reason_words,
)

OPEN_SHOWN = 50
ARROW = "\N{RIGHTWARDS ARROW}"


def engine_section(report: Report) -> str:
    currency = escape(report["currency"])
    heads = (
        f"result, {currency}",
        f"fees, {currency}",
        "trades",
        "closed",
        "open",
        "refused",
        "won",
        "mean hold",
        "R/R",
    )
    lines = ""
    for name, e in report["engines"].items():
        cells = (
            signed(e["pnl"]),
            money(e["fees"]),
            f"{e['trades']:,}",
            f"{e['closed']:,}",
            f"{e['open']:,}",
            f"{e['rejected']:,}",
            percent(e["win_rate"], digits=1),
            duration(e["avg_hold_s"]),
            number(e["avg_reward_risk"]),
        )
        lines += f'<tr><td class="t">{engine_mark(name)}</td>'
        lines += "".join(f'<td class="n">{cell}</td>' for cell in cells) + "</tr>"
    head = "".join(f'<th class="n">{name}</th>' for name in heads)
    note = (
        "Results are after fees, with open trades at their mark. Won is the share of closed trades "
        "that gained; refused are orders that the venue rejected; R/R is reward over risk as "
        "planned at entry."
    )
    return section(
        "Engines",
        f'<p class="note">{note}</p><div class="scroll"><table><tr><th>engine</th>{head}</tr>'
        f"{lines}</table></div>",
    )


def reason_section(report: Report) -> str:
    counts = report["non_trades"]
    total = sum(counts.values())
    if not total:
        return section("Why it did not trade", '<p class="note">No decision was refused.</p>')
    most = max(counts.values())
    bars = "".join(
        f"<div>{escape(reason_words(name))}<small>{name}</small>"
        f'<i style="width:{100.0 * n / most:.2f}%"></i></div>'
        f'<div class="n">{n:,}</div><div class="n">{percent(n / total, digits=1)}</div>'
        for name, n in counts.items()
    )
    note = (
        f"{total:,} of {report['decisions']:,} decisions did not trade. Each names the first gate "
        "that refused."
    )
    return section(
        "Why it did not trade", f'<p class="note">{note}</p><div class="bars">{bars}</div>'
    )


def latency_section(report: Report) -> str:
    latency = report["latency_us"]
    if report["report_delay_ms"]["p50"] is not None:
        return _delay_section(report["report_delay_ms"])
    if latency["p50"] is None:
        return section("Latency", '<p class="note">Not measured in this run.</p>')
    facts = [
        ("half of all within", microseconds(latency["p50"])),
        ("99 of 100 within", microseconds(latency["p99"])),
        ("slowest", microseconds(latency["max"])),
        ("throughput", f"{number(report['ticks_per_s'], 0)} ticks/s"),
    ]
    note = "Wall time from a row to its decision, in this process, on this machine."
    chart = '<div class="chart low" id="latency"></div>'
    return section("Latency", f'<p class="note">{note}</p>{chart}{definitions(facts)}')


def _delay_section(delay: dict[str, float | None]) -> str:
    """Of a desk of workers: its reports go round through the log."""
    facts = [
        ("half of all within", f"{number(delay['p50'])} ms"),
        ("99 of 100 within", f"{number(delay['p99'])} ms"),
        ("slowest", f"{number(delay['max'])} ms"),
    ]
    note = (
        "Market time from when an execution report was due until it stood on the log. At a "
        "multiple of real time it is that multiple of the time that the workers took."
    )
    return section("Report delay", f'<p class="note">{note}</p>{definitions(facts)}')


def quality_section(report: Report) -> str:
    lost = report["rows"] - report["rows_on_log"] - report["rows_quarantined"]
    facts = [
        ("rows read", f"{report['rows']:,}"),
        ("on the log", f"{report['rows_on_log']:,}"),
        ("in quarantine", f"{report['rows_quarantined']:,}"),
        ("unaccounted", f"{lost:,}" if lost else "none"),
        ("quotes and trades", f"{report['ticks']:,}"),
    ]
    lines = "".join(
        f"<tr><td>{escape(reason_words(reason))}</td><td>{escape(source)}</td>"
        f'<td class="n">{n:,}</td>'
        f'<td class="n">{_first(report["quarantine_first"], reason, source)}</td></tr>'
        for reason, sources in report["quarantine"].items()
        for source, n in sources.items()
    )
    table = (
        '<h3>Rejected rows</h3><div class="scroll"><table><tr><th>why</th><th>source</th>'
        f'<th class="n">rows</th><th class="n">first at</th></tr>{lines}</table></div>'
        if lines
        else '<p class="note" style="margin-top:12px">No row was rejected.</p>'
    )
    return section("Data quality", definitions(facts) + table)


def _first(found: dict[str, dict[str, int]], reason: str, source: str) -> str:
    at = found.get(reason, {}).get(source)
    return UNKNOWN if at is None else f"row {at:,}"


def open_section(report: Report) -> str:
    positions = report["open_positions"]
    if not positions:
        return ""
    lines = ""
    for p in positions[:OPEN_SHOWN]:
        legs = [_held(p["engine"], leg) for leg in p["legs"]]
        marks = [f"{price(leg['entry_price'])} {ARROW} {price(leg['mark'])}" for leg in p["legs"]]
        lines += (
            f'<tr><td class="t">{minute(p["since"])}</td>'
            f'<td class="t">{engine_mark(p["engine"])}</td>'
            f'<td class="t">{"<br>".join(legs)}</td><td class="t">{"<br>".join(marks)}</td>'
            f'<td class="n">{signed(p["pnl"] - p["fees"] if p["pnl"] is not None else None)}'
            "</td></tr>"
        )
    note = "Still open when the run ended: marked at the last price, never closed for the report."
    if len(positions) > OPEN_SHOWN:
        note += f" The first {OPEN_SHOWN} of {len(positions):,}; trades.csv has all."
    return section(
        "Open positions",
        f'<p class="note">{note}</p><div class="scroll"><table><tr><th>since</th><th>engine</th>'
        f'<th>position</th><th>entry {ARROW} mark</th><th class="n">result, '
        f"{escape(report['currency'])}</th></tr>{lines}</table></div>",
    )


def _held(engine: str, leg: dict[str, Any]) -> str:
    """What is held, in the words of its engine."""
    bought, name = leg["side"] == "BUY", escape(leg["instrument"])
    if engine == "binary":
        stake = money(leg["qty"], leg["unit"])
        return f"{'call' if bought else 'put'} on {name}, stake {escape(stake)}"
    return f"{'buy' if bought else 'sell'} {leg['qty']:,.7g} {escape(leg['unit'])}, {name}"
