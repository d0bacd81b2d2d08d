"""report.html: one file that shows a run, without anything from a network."""

import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from plotly.offline import get_plotlyjs

from console.report.charts import (
    PRICE_POINTS,
    PRICE_POINTS_EACH,
    charted_rows,
    drawn_trips,
    equity_figure,
    latency_figure,
    price_figure,
)
from console.report.data import RunData
from console.report.metrics import buy_and_hold, equity_curve
from console.report.microscope import MARKS_DRAWN, TRADES_DRAWN, bar_length_ns
from console.report.microscope_figure import view_figure
from console.report.page_script import SCRIPT
from console.report.page_style import STYLE
from console.report.signals_table import signals_section
from console.report.summary import Report
from console.report.trips import CLOSED, Trip
from console.report.words import (
    MINUS,
    UNKNOWN,
    against_holding,
    covered,
    duration,
    microseconds,
    minute,
    money,
    number,
    outcome,
    percent,
    price,
    reason_words,
    utc,
)

EXTREMES_SHOWN = 5  # worst and best trades beside the price chart
OPEN_SHOWN = 50
TAPES_IN_TITLE = 3
ARROW = "\N{RIGHTWARDS ARROW}"

Pairs = dict[int, list[Any]]


def write_page(data: RunData, report: Report, trips: Sequence[Trip], path: Path) -> None:
    """report.html, UTF-8. `report` is that of `build_report(data, trips)`."""
    path.write_text(render_page(data, report, trips), encoding="utf-8")


def render_page(data: RunData, report: Report, trips: Sequence[Trip]) -> str:
    """The page as text; the same run gives the same page but for its wall times."""
    rows = charted_rows(data, trips)
    pairs = drawn_trips(rows, trips)
    figures = _figures(data, report, rows, pairs)
    title = f"Trifecta {report['mode']} {report['run_id']}"
    body = "\n".join(
        [
            _simulated(report),
            "<main>",
            _header(report),
            _tiles(report),
            _price_section(data, rows, pairs, trips),
            _view_section(data),
            _equity_section(report),
            _engine_section(report),
            _reason_section(report),
            '<div class="two">',
            _latency_section(report),
            _quality_section(report),
            "</div>",
            signals_section(report["signals"]),
            _open_section(report),
            _facts_section(report),
            "<footer>All times are UTC, money is in "
            f"{escape(report['currency'])} unless a column says otherwise.</footer>",
            "</main>",
        ]
    )
    embedded = json.dumps(figures, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style></head>\n<body>\n{body}\n"
        f"<script>{get_plotlyjs()}</script>\n"
        f'<script type="application/json" id="figures">{embedded}</script>\n'
        f"<script>{SCRIPT}</script>\n</body></html>\n"
    )


def _figures(data: RunData, report: Report, rows: list[int], pairs: Pairs) -> dict[str, Any]:
    points = min(PRICE_POINTS_EACH, PRICE_POINTS // max(len(rows), 1))
    held = report["equity"]["held"] or ""
    curve = equity_curve(data)
    figures: dict[str, Any] = _no_nan(
        {
            "price": [price_figure(data, row, pairs[row], points=points) for row in rows],
            "equity": equity_figure(
                curve, buy_and_hold(data), held_name=held, currency=report["currency"]
            )
            if curve.value.size
            else None,
            "views": [view_figure(view, data.instruments) for view in data.views],
            "latency": latency_figure(data.latency_us, report["latency_us"])
            if data.latency_us.size
            else None,
        }
    )
    return figures


def _simulated(report: Report) -> str:
    if not report["simulated"]:
        return ""
    return (
        '<div class="simulated" role="note">SIMULATED MARKET<small>Prices come from a seeded '
        f"generator (seed {report['seed']}), not from any venue.</small></div>"
    )


def _header(report: Report) -> str:
    tapes = report["tapes"]
    names = ", ".join(escape(t) for t in tapes[:TAPES_IN_TITLE])
    names += f" and {len(tapes) - TAPES_IN_TITLE} more" if len(tapes) > TAPES_IN_TITLE else ""
    span, held = covered(report), against_holding(report)
    warnings = "".join(f"<li>{escape(text)}</li>" for text in report["warnings"])
    return (
        f'<header><div class="brand"><b>TRIFECTA</b><span>{escape(report["mode"])}</span>'
        f"<span>run {escape(report['run_id'])}</span><span>{names}</span></div>"
        f"<h1>{escape(outcome(report))}</h1>"
        + (f'<p class="lead">{escape(held)}</p>' if held else "")
        + f"<p>{span} \N{MIDDLE DOT} {report['rows']:,} rows, "
        f"{report['decisions']:,} decisions every {escape(str(report['cadence']))}</p>"
        + (f'<ul class="warnings">{warnings}</ul>' if warnings else "")
        + "</header>"
    )


def _tiles(report: Report) -> str:
    equity, currency = report["equity"], report["currency"]
    start, gain = equity["start"], equity["end"] - equity["start"]
    held = equity["buy_and_hold"]
    held_gain = (held - start) / start if held is not None else None
    engines = report["engines"].values()
    decided = [(e["win_rate"], e["closed"]) for e in engines if e["win_rate"] is not None]
    closed = sum(n for _, n in decided)
    won = sum(rate * n for rate, n in decided) / closed if closed else None
    tiles = [
        (f"result, {currency}", _signed(gain), ""),
        ("return", _signed_percent(gain / start), ""),
        ("buy and hold", _signed_percent(held_gain), ""),
        ("largest drawdown", percent(equity["max_drawdown"]), "of the peak"),
        ("trades", f"{report['trades']:,}", ""),
        ("won", percent(won, digits=1), "of closed trades, after fees"),
        (f"fees, {currency}", money(report["fees"]), ""),
        ("Sharpe ratio", number(equity["sharpe"]), equity["sharpe_note"]),
    ]
    made = [
        f'<div class="tile" title="{escape(hint)}"><span>{escape(name)}</span><b>{value}</b></div>'
        for name, value, hint in tiles
    ]
    return f'<div class="tiles">{"".join(made)}</div>'


def _price_section(data: RunData, rows: list[int], pairs: Pairs, trips: Sequence[Trip]) -> str:
    if not rows:
        return _section("Price and trades", '<p class="note">No instrument has a price.</p>')
    table = data.instruments.instruments
    shown = [f"{table[row].id} ({len(pairs[row]):,} trades)" for row in rows]
    options = "".join(f'<option value="{k}">{escape(s)}</option>' for k, s in enumerate(shown))
    tools = f'<select id="instrument" aria-label="Instrument">{options}</select>'
    tools = f'<div>{tools if len(rows) > 1 else ""}<button id="whole">whole run</button></div>'
    total = sum(leg.entry_ts_ns >= 0 for trip in trips for leg in trip.legs)
    drawn = sum(len(found) for found in pairs.values())
    notes = ["Triangles are entries, up for bought and down for sold; circles and crosses exits."]
    notes += ["Drag to zoom; a click on the legend hides a layer."]
    if drawn < total:
        notes += [f"Drawn are the {drawn:,} trades with the largest results of {total:,}."]
    if len(rows) < len(table):
        which = "most traded" if any(pairs.values()) else "first"
        notes += [f"To choose from: the {len(rows)} {which} of {len(table):,} instruments."]
    chart = '<div class="chart" id="price"></div>'
    note = f'<p class="note">{" ".join(notes)}</p>'
    extremes = _extremes(rows, pairs, trips, end_ns=_end_ns(data))
    head = f'<div class="head"><h2>Price and trades</h2>{tools}</div>'
    return f"<section>{head}{note}{chart}{extremes}</section>"


def _view_section(data: RunData) -> str:
    if not data.views:
        return ""
    table = data.instruments.instruments
    names = [table[view.frame.row].id for view in data.views]
    options = "".join(f'<option value="{k}">{escape(s)}</option>' for k, s in enumerate(names))
    tools = f'<select id="views" aria-label="Market">{options}</select>' if len(names) > 1 else ""
    notes = [
        "Blue to orange is what rests in the book at each price, as far as the feed shows it; "
        "blank where the book could not be used."
        if any(np.isfinite(view.depth).any() for view in data.views)
        else "These markets recorded no order book.",
    ]
    if any(view.trades.seq.size for view in data.views):
        notes.append(f"Filled marks are the {TRADES_DRAWN} largest trades by size.")
    if any(view.marks.seq.size for view in data.views):
        length = duration(bar_length_ns([view.frame for view in data.views]) / 1e9)
        notes.append(
            f"Structure is of bars of {length}, its last {MARKS_DRAWN} marks; it stands where it "
            "happened, and the desk knew it later."
        )
    if any(np.isfinite(view.cvd).any() for view in data.views):
        notes.append("CVD begins anew each day, at 00:00.")
    return (
        f'<section><div class="head"><h2>Market</h2><div>{tools}</div></div>'
        f'<p class="note">{" ".join(notes)}</p><div class="chart view" id="view"></div></section>'
    )


def _end_ns(data: RunData) -> int:
    return max((int(s.ts_recv_ns[-1]) for s in data.prices.values() if s.mid.size), default=0)


def _extremes(rows: list[int], pairs: Pairs, trips: Sequence[Trip], *, end_ns: int) -> str:
    """The trades that cost and earned most, each with a way to its place on the chart."""
    known = [t for t in trips if t.entry_ts_ns >= 0 and math.isfinite(t.net)]
    ordered = sorted(known, key=lambda t: (t.net, t.id))
    worst = [t for t in ordered if t.net < 0.0][:EXTREMES_SHOWN]
    best = [t for t in reversed(ordered) if t.net > 0.0][:EXTREMES_SHOWN]
    drawn = {trip.id: k for k, row in reversed(list(enumerate(rows))) for trip, _ in pairs[row]}
    made = ""
    for name, some in (("Largest losses", worst), ("Largest gains", best)):
        if some:
            lines = "".join(_trip_line(t, drawn.get(t.id), end_ns) for t in some)
            made += (
                f'<h3>{name}</h3><div class="scroll"><table><tr><th class="n">result</th>'
                "<th>entry</th><th>engine</th><th>what</th><th>price</th><th>ended</th>"
                f'<th class="noprint"></th></tr>{lines}</table></div>'
            )
    return made


def _trip_line(trip: Trip, chart: int | None, end_ns: int) -> str:
    whats, prices = [], []
    for leg in trip.legs:
        verb = "buy" if leg.side > 0 else "sell"
        if trip.engine.name == "BINARY":
            verb = "call" if leg.side > 0 else "put"
        whats.append(f"{verb} {escape(leg.instrument)}")
        out = price(leg.exit_px) if leg.exit_ts_ns >= 0 else f"{price(leg.mark_px)} mark"
        prices.append(f"{price(leg.entry_px)} {ARROW} {out}")
    end = trip.exit_ts_ns if trip.exit_ts_ns >= 0 else end_ns
    button = (
        f'<button data-chart="{chart}" data-from="{trip.entry_ts_ns / 1e6:.0f}" '
        f'data-to="{end / 1e6:.0f}">show</button>'
        if chart is not None
        else ""
    )
    return (
        f'<tr><td class="n">{_signed(trip.net)}</td><td class="t">'
        f'{minute(utc(trip.entry_ts_ns))}</td><td class="t">{_engine(trip.engine.name)}</td>'
        f'<td class="t">{"<br>".join(whats)}</td><td class="t">{"<br>".join(prices)}</td>'
        f'<td class="t">{escape(trip.exit_words) if trip.status == CLOSED else trip.status}</td>'
        f'<td class="n noprint">{button}</td></tr>'
    )


def _equity_section(report: Report) -> str:
    equity = report["equity"]
    note = "Marked equity of the desk. "
    if equity["held"]:
        note += f"Buy and hold puts the same balance into {escape(equity['held'])} at its first "
        note += "price, without costs. "
    note += f"Sharpe ratio {number(equity['sharpe'])}: {escape(equity['sharpe_note'])}."
    chart = '<div class="chart tall" id="equity"></div>' if report["decisions"] else ""
    return _section("Equity and drawdown", f'<p class="note">{note}</p>{chart}')


def _engine_section(report: Report) -> str:
    heads = ("result", "fees", "trades", "closed", "open", "refused", "won", "mean hold", "R/R")
    lines = ""
    for name, e in report["engines"].items():
        cells = (
            _signed(e["pnl"]),
            money(e["fees"]),
            f"{e['trades']:,}",
            f"{e['closed']:,}",
            f"{e['open']:,}",
            f"{e['rejected']:,}",
            percent(e["win_rate"], digits=1),
            duration(e["avg_hold_s"]),
            number(e["avg_reward_risk"]),
        )
        lines += f'<tr><td class="t">{_engine(name)}</td>'
        lines += "".join(f'<td class="n">{cell}</td>' for cell in cells) + "</tr>"
    head = "".join(f'<th class="n">{name}</th>' for name in heads)
    note = (
        "Results are after fees, with open trades at their mark. Won is the share of closed trades "
        "that gained; refused are orders that the venue rejected; R/R is reward over risk as "
        "planned at entry."
    )
    return _section(
        "Engines",
        f'<p class="note">{note}</p><div class="scroll"><table><tr><th>engine</th>{head}</tr>'
        f"{lines}</table></div>",
    )


def _reason_section(report: Report) -> str:
    counts = report["non_trades"]
    total = sum(counts.values())
    if not total:
        return _section("Why it did not trade", '<p class="note">No decision was refused.</p>')
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
    return _section(
        "Why it did not trade", f'<p class="note">{note}</p><div class="bars">{bars}</div>'
    )


def _latency_section(report: Report) -> str:
    latency = report["latency_us"]
    if report["report_delay_ms"]["p50"] is not None:
        return _delay_section(report["report_delay_ms"])
    if latency["p50"] is None:
        return _section("Latency", '<p class="note">Not measured in this run.</p>')
    facts = [
        ("half of all within", microseconds(latency["p50"])),
        ("99 of 100 within", microseconds(latency["p99"])),
        ("slowest", microseconds(latency["max"])),
        ("throughput", f"{number(report['ticks_per_s'], 0)} ticks/s"),
    ]
    note = "Wall time from a row to its decision, in this process, on this machine."
    chart = '<div class="chart low" id="latency"></div>'
    return _section("Latency", f'<p class="note">{note}</p>{chart}{_dl(facts)}')


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
    return _section("Report delay", f'<p class="note">{note}</p>{_dl(facts)}')


def _quality_section(report: Report) -> str:
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
    return _section("Data quality", _dl(facts) + table)


def _first(found: dict[str, dict[str, int]], reason: str, source: str) -> str:
    at = found.get(reason, {}).get(source)
    return UNKNOWN if at is None else f"row {at:,}"


def _open_section(report: Report) -> str:
    positions = report["open_positions"]
    if not positions:
        return ""
    lines = ""
    for p in positions[:OPEN_SHOWN]:
        legs = [_held(p["engine"], leg) for leg in p["legs"]]
        marks = [f"{price(leg['entry_price'])} {ARROW} {price(leg['mark'])}" for leg in p["legs"]]
        lines += (
            f'<tr><td class="t">{minute(p["since"])}</td><td class="t">{_engine(p["engine"])}</td>'
            f'<td class="t">{"<br>".join(legs)}</td><td class="t">{"<br>".join(marks)}</td>'
            f'<td class="n">{_signed(p["pnl"] - p["fees"] if p["pnl"] is not None else None)}'
            "</td></tr>"
        )
    note = "Still open when the run ended: marked at the last price, never closed for the report."
    if len(positions) > OPEN_SHOWN:
        note += f" The first {OPEN_SHOWN} of {len(positions):,}; trades.csv has all."
    return _section(
        "Open positions",
        f'<p class="note">{note}</p><div class="scroll"><table><tr><th>since</th><th>engine</th>'
        f'<th>position</th><th>entry {ARROW} mark</th><th class="n">result</th></tr>{lines}'
        "</table></div>",
    )


def _held(engine: str, leg: dict[str, Any]) -> str:
    """What is held, in the words of its engine."""
    bought, name = leg["side"] == "BUY", escape(leg["instrument"])
    if engine == "binary":
        return f"{'call' if bought else 'put'} on {name}, stake {number(leg['qty'])}"
    return f"{'buy' if bought else 'sell'} {leg['qty']:,.7g} {name}"


def _exact(report: Report) -> str:
    """The exact ledger's equity, and how far the desk's own mark was from it."""
    equity = report["equity"]
    if equity["ledger"] is None:
        return "not known: an asset has no price"
    text = f"{escape(equity['ledger'])} {escape(report['currency'])}"
    if equity["ledger_gap"] is None:
        return text
    gap = money(equity["ledger_gap"], signed=True)
    return f"{text}, {gap} beside the desk's own mark at its last decision"


def _facts_section(report: Report) -> str:
    ledger, model = report["ledger"], report["model"]
    holds = ledger["balanced"] and ledger["drift"] == "0" and not ledger["problems"]
    state = "balanced, drift 0" if holds else f"DOES NOT HOLD, drift {ledger['drift']}"
    facts = [
        ("ledger", f"{ledger['transactions']:,} transactions, {escape(state)}"),
        ("exact equity", _exact(report)),
        ("decision digest", f"<code>{escape(report['decision_digest'])}</code>"),
        ("ledger digest", f"<code>{escape(report['ledger_digest'])}</code>"),
        ("model", escape(f"{model['name']} {model['version']}")),
        ("model file", f"<code>{escape(model['sha256'])}</code>" if model["sha256"] else "none"),
        ("mode, topology", escape(f"{report['mode']}, {report['topology']}")),
        ("log profile", escape(report["profile"])),
        ("seed", str(report["seed"])),
        ("operator resumes", f"{report['operator_resumes']:,}"),
        ("run took", f"{duration(report['wall_s'])}"),
        ("sources", "<br>".join(escape(source) for source in report["sources"])),
        ("instrument table", f"<code>{report['instruments']['digest']}</code>"),
    ]
    assumed = "".join(
        f"<li>{escape(text)} ({n:,} instrument{'' if n == 1 else 's'})</li>"
        for text, n in report["instruments"]["assumed"].items()
    )
    extra = f"<h3>Assumptions about instruments</h3><ul>{assumed}</ul>" if assumed else ""
    settings = escape(json.dumps(report["settings"], indent=2, ensure_ascii=False))
    extra += f"<details><summary>Settings</summary><pre>{settings}</pre></details>"
    return _section("Run facts", _dl(facts) + extra)


def _section(title: str, inner: str) -> str:
    return f"<section><h2>{title}</h2>{inner}</section>"


def _dl(facts: Sequence[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{k}</dt><dd>{v}</dd>" for k, v in facts) + "</dl>"


def _engine(name: str) -> str:
    name = name.lower()
    return f'<span class="key" style="background:var(--{name})"></span>{name}'


def _signed(x: float | None, currency: str = "") -> str:
    return _tinted(money(x, currency, signed=True))


def _signed_percent(fraction: float | None) -> str:
    return _tinted(percent(fraction, signed=True))


def _tinted(text: str) -> str:
    tint = "loss" if text.startswith(MINUS) else "gain" if text.startswith("+") else ""
    return f'<span class="{tint}">{escape(text)}</span>' if tint else escape(text)


def _no_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _no_nan(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_no_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
