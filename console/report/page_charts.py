"""The sections of the page that have a chart: prices and trades, markets, equity."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from console.report.data import RunData
from console.report.microscope import MARKS_DRAWN, TRADES_DRAWN, bar_length_ns
from console.report.page_parts import engine_mark, section, signed
from console.report.summary import Report
from console.report.trips import CLOSED, Trip
from console.report.words import duration, minute, number, price, utc

EXTREMES_SHOWN = 5  # worst and best trades beside the price chart
ARROW = "\N{RIGHTWARDS ARROW}"

Pairs = dict[int, list[Any]]


def price_section(data: RunData, rows: list[int], pairs: Pairs, trips: Sequence[Trip]) -> str:
    if not rows:
        return section("Price and trades", '<p class="note">No instrument has a price.</p>')
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
    currency = data.instruments.desk_currency
    extremes = _extremes(rows, pairs, trips, end_ns=_end_ns(data), currency=currency)
    head = f'<div class="head"><h2>Price and trades</h2>{tools}</div>'
    return f"<section>{head}{note}{chart}{extremes}</section>"


def view_section(data: RunData) -> str:
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


def _extremes(
    rows: list[int], pairs: Pairs, trips: Sequence[Trip], *, end_ns: int, currency: str
) -> str:
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
                f'<h3>{name}</h3><div class="scroll"><table><tr><th class="n">result, '
                f"{escape(currency)}</th>"
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
        f'<tr><td class="n">{signed(trip.net)}</td><td class="t">'
        f'{minute(utc(trip.entry_ts_ns))}</td><td class="t">{engine_mark(trip.engine.name)}</td>'
        f'<td class="t">{"<br>".join(whats)}</td><td class="t">{"<br>".join(prices)}</td>'
        f'<td class="t">{escape(trip.exit_words) if trip.status == CLOSED else trip.status}</td>'
        f'<td class="n noprint">{button}</td></tr>'
    )


def equity_section(report: Report) -> str:
    equity = report["equity"]
    note = "Marked equity of the desk. "
    if equity["held"]:
        note += f"Buy and hold puts the same balance into {escape(equity['held'])} at its first "
        note += "price, without costs. "
    note += f"Sharpe ratio {number(equity['sharpe'])}: {escape(equity['sharpe_note'])}."
    chart = '<div class="chart tall" id="equity"></div>' if report["decisions"] else ""
    return section("Equity and drawdown", f'<p class="note">{note}</p>{chart}')


def _end_ns(data: RunData) -> int:
    return max((int(s.ts_recv_ns[-1]) for s in data.prices.values() if s.mid.size), default=0)
