"""report.html: one file that shows a run, without anything from a network."""

import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

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
from console.report.clocks_table import clocks_section
from console.report.data import RunData
from console.report.metrics import buy_and_hold, equity_curve
from console.report.microscope_figure import view_figure
from console.report.page_charts import Pairs, equity_section, price_section, view_section
from console.report.page_facts import facts_section
from console.report.page_parts import signed, signed_percent
from console.report.page_script import SCRIPT
from console.report.page_style import STYLE
from console.report.page_tables import (
    engine_section,
    latency_section,
    open_section,
    quality_section,
    reason_section,
)
from console.report.signals_table import signals_section
from console.report.summary import Report
from console.report.trips import Trip
from console.report.words import (
    against_holding,
    covered,
    money,
    number,
    outcome,
    par_words,
    percent,
)

TAPES_IN_TITLE = 3


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
            price_section(data, rows, pairs, trips),
            view_section(data),
            equity_section(report),
            engine_section(report),
            reason_section(report),
            '<div class="two">',
            latency_section(report),
            quality_section(report),
            "</div>",
            signals_section(report["signals"]),
            clocks_section(report["venue_clocks"]),
            open_section(report),
            facts_section(report),
            _footer(report),
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
    par = par_words(report["at_par"])
    warnings = "".join(f"<li>{escape(text)}</li>" for text in report["warnings"])
    return (
        f'<header><div class="brand"><b>TRIFECTA</b><span>{escape(report["mode"])}</span>'
        f"<span>run {escape(report['run_id'])}</span><span>{names}</span></div>"
        f"<h1>{escape(outcome(report))}</h1>"
        + (f'<p class="lead">{escape(held)}</p>' if held else "")
        + f"<p>{span} \N{MIDDLE DOT} {report['rows']:,} rows, "
        f"{report['decisions']:,} decisions every {escape(str(report['cadence']))}"
        + (f" \N{MIDDLE DOT} {escape(par)}" if par else "")
        + "</p>"
        + (f'<ul class="warnings">{warnings}</ul>' if warnings else "")
        + "</header>"
    )


def _footer(report: Report) -> str:
    par = par_words(report["at_par"])
    return (
        f"<footer>All times are UTC. Money is in {escape(report['currency'])}"
        f"{f', {escape(par)}' if par else ''}; prices are in what their market quotes.</footer>"
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
        (f"result, {currency}", signed(gain), ""),
        ("return", signed_percent(gain / start), ""),
        ("buy and hold", signed_percent(held_gain), ""),
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


def _no_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _no_nan(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_no_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
