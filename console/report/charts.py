"""Plotly figures of a report, as plain data.

A colour that starts with `--` is a variable of the page's style sheet and is looked up in the
browser, so that one figure reads in light and dark. Times are milliseconds since 1970 UTC.
"""

import base64
import math
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from console.report.data import Curve, PriceSample, RunData
from console.report.metrics import drawdown
from console.report.trips import CLOSED, OPEN, Leg, Trip
from console.report.words import UNKNOWN, duration, minute, money, number, percent, price, utc
from schemas.kinds import Engine
from schemas.rows import F8, I8

Figure = dict[str, Any]  # {"data": [...], "layout": {...}}

INSTRUMENTS_MOST = 12  # charts to choose from
PRICE_POINTS = 16_000  # of all charts together: a third of a megabyte
PRICE_POINTS_EACH = 4_000
CURVE_POINTS = 2_000
TRIPS_EACH = 600  # drawn per chart, those with the largest results
TRIPS_DRAWN = 700  # of all charts together: some 1,300 bytes each, with tooltips and zones
GAP_NS = 3_600_000_000_000  # a line breaks where nothing is known for an hour
GAP_STEPS = 20  # ... and for 20 usual steps, so that daily bars stay one line
LATENCY_BINS = 60
LATENCY_LEAST_US = 0.01
LABEL_PX = 15

UP, DOWN = "triangle-up", "triangle-down"


def thin(ts_ns: I8, value: F8, points: int) -> tuple[I8, F8]:
    """At most `points` of a line: the lowest and highest of each time bucket, first and last."""
    if ts_ns.size <= points:
        return ts_ns, value
    span = max(int(ts_ns[-1]) - int(ts_ns[0]), 1)
    buckets = (points - 2) // 2
    bucket = np.minimum((ts_ns - ts_ns[0]) // max(-(-span // buckets), 1), buckets - 1)
    order = np.lexsort((value, bucket))
    edge = np.flatnonzero(np.diff(bucket[order])) + 1
    first, last = np.append(0, edge), np.append(edge, order.size) - 1
    keep = np.unique(np.concatenate([order[first], order[last], [0, ts_ns.size - 1]]))
    return ts_ns[keep], value[keep]


def charted_rows(data: RunData, trips: Sequence[Trip]) -> list[int]:
    """Table rows of the instruments to chart: the most traded, or the first with a price."""
    counted = Counter(leg.row for trip in trips for leg in trip.legs if leg.entry_ts_ns >= 0)
    priced = sorted(row for row, sample in data.prices.items() if sample.mid.size)
    order = sorted(priced, key=lambda row: (-counted[row], row))
    traded = [row for row in order if counted[row]]
    return traded[:INSTRUMENTS_MOST] if traded else order[: min(INSTRUMENTS_MOST, 3)]


def drawn_trips(rows: Sequence[int], trips: Sequence[Trip]) -> dict[int, list[tuple[Trip, Leg]]]:
    """Per charted row its trips with an entry, in order; those of the largest results if many."""
    found: dict[int, list[tuple[Trip, Leg]]] = {row: [] for row in rows}
    for trip in trips:
        for leg in trip.legs:
            if leg.row in found and leg.entry_ts_ns >= 0:
                found[leg.row].append((trip, leg))
    most = min(TRIPS_EACH, TRIPS_DRAWN // max(len(rows), 1))
    for row, pairs in found.items():
        largest = sorted(pairs, key=lambda p: -abs(p[0].net) if math.isfinite(p[0].net) else 0.0)
        found[row] = sorted(largest[:most], key=lambda p: p[0].id)
    return found


def price_figure(
    data: RunData, row: int, pairs: Sequence[tuple[Trip, Leg]], *, points: int
) -> Figure:
    """Mid of one instrument, its entries and exits, and the zones that spot trades bracket."""
    instrument, sample = data.instruments.instruments[row], data.prices[row]
    end_ns = int(sample.ts_recv_ns[-1])
    currency = data.instruments.desk_currency
    traces = [*_zones(pairs, end_ns), _price_line(sample, points), *_ways(pairs)]
    traces += [t for engine in Engine for t in _entries(pairs, engine, currency)]
    traces += _exits(pairs, currency)
    layout = {
        "xaxis": {"type": "date"},
        "yaxis": {"title": {"text": f"{instrument.id}, {instrument.quote}"}, "fixedrange": True},
        "legend": _LEGEND,
        "hovermode": "closest",
    }
    return {"data": traces, "layout": layout}


def equity_figure(curve: Curve, held: Curve | None, *, held_name: str, currency: str) -> Figure:
    """Marked equity and buy-and-hold above, drawdown of both below."""
    traces = []
    lines = [(curve, "desk", "--accent", "solid", 2.2)]
    if held is not None:
        lines.append((held, f"buy and hold {held_name}", "--muted", "dot", 1.4))
    for line, name, colour, dash, width in lines:
        if not line.value.size:
            continue
        ts, value = thin(line.ts_recv_ns, line.value, CURVE_POINTS)
        stroke = {"color": colour, "dash": dash, "width": width}
        common = {"mode": _mode(ts), "name": escape(name), "line": stroke}
        worth = f"%{{y:,.2f}} {escape(currency)}"
        traces.append(_broken(ts, value, break_gaps=False) | common | hover(worth))
        ts, fall = thin(line.ts_recv_ns, -100.0 * drawdown(line.value), CURVE_POINTS)
        lower = _broken(ts, fall, break_gaps=False) | common | hover("%{y:.2f} %")
        lower |= {"yaxis": "y2", "showlegend": False}
        if colour == "--accent":
            lower |= {"fill": "tozeroy", "fillcolor": "--loss-soft"}
            lower["line"] = stroke | {"color": "--loss", "width": 1.4}
        traces.append(lower)
    layout = {
        "xaxis": {"type": "date", "anchor": "y2"},
        "yaxis": {"title": {"text": f"equity, {currency}"}, "domain": [0.36, 1.0]},
        "yaxis2": {
            "title": {"text": "drawdown, %"},
            "domain": [0.0, 0.27],
            "rangemode": "tozero",
        },
        "legend": _LEGEND,
        "hovermode": "x unified",
    }
    return {"data": traces, "layout": layout}


def latency_figure(latency_us: F8, marks: dict[str, float | None]) -> Figure:
    """How many decisions took how long, on a logarithmic axis."""
    sample = np.maximum(latency_us, LATENCY_LEAST_US)
    low, high = math.log10(float(sample[0])), math.log10(float(sample[-1]))
    if high - low < 0.1:  # all alike: a bar, not a line without width
        low, high = low - 0.05, high + 0.05
    edges = np.logspace(low, high, LATENCY_BINS + 1)
    edges[0], edges[-1] = min(edges[0], sample[0]), max(edges[-1], sample[-1])
    share = 100.0 * np.histogram(sample, edges)[0] / sample.size
    x = np.repeat(edges, 2)[1:-1]
    trace = {
        "type": "scatter",
        "mode": "lines",
        "x": packed(x),
        "y": packed(np.repeat(share, 2)),
        "fill": "tozeroy",
        "fillcolor": "--accent-soft",
        "line": {"color": "--accent", "width": 1.4},
        "showlegend": False,
        **hover("%{y:.2f} % near %{x:.3s} us"),
    }
    shapes, notes = [], []
    for name, value in marks.items():
        if value is None:
            continue
        at = max(value, LATENCY_LEAST_US)
        line = {"color": "--ink", "width": 1, "dash": "dot"}
        shapes.append({"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper"})
        shapes[-1]["line"] = line
        notes.append({"x": math.log10(at), "y": 1, "yref": "paper", "yanchor": "top"})
        notes[-1] |= {"text": name, "showarrow": False, "xanchor": "right", "xshift": -3}
        notes[-1]["yshift"] = -LABEL_PX * (len(notes) - 1)  # one below another: lines may be near
    layout = {
        "xaxis": {"type": "log", "title": {"text": "row to decision, microseconds"}},
        "yaxis": {"title": {"text": "share, %"}, "rangemode": "tozero", "fixedrange": True},
        "shapes": shapes,
        "annotations": notes,
        "hovermode": "closest",
    }
    return {"data": [trace], "layout": layout}


_LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}


def _price_line(sample: PriceSample, points: int) -> Figure:
    ts, mid = thin(sample.ts_recv_ns, sample.mid, points)
    look = {"mode": _mode(ts), "name": "mid", "line": {"color": "--price", "width": 1.2}}
    return _broken(ts, mid, break_gaps=True) | look | hover("%{y:.7~g}<br>%{x|%Y-%m-%d %H:%M:%S}")


def _mode(ts_ns: I8) -> str:
    """A line of a single moment would be drawn as nothing."""
    return "lines" if ts_ns.size > 1 else "lines+markers"


def _zones(pairs: Sequence[tuple[Trip, Leg]], end_ns: int) -> list[Figure]:
    """For spot trades the way to take-profit and to stop; for spot and binary the level."""
    reward: tuple[list[Any], list[Any]] = ([], [])
    risk: tuple[list[Any], list[Any]] = ([], [])
    level: tuple[list[Any], list[Any]] = ([], [])
    for trip, leg in pairs:
        if trip.engine is Engine.ARBITRAGE:
            continue
        start = leg.entry_ts_ns / 1e6
        end = (trip.exit_ts_ns if trip.exit_ts_ns >= 0 else end_ns) / 1e6
        for px, (x, y) in ((trip.target_px, reward), (trip.stop_px, risk)):
            if trip.engine is Engine.SPOT and math.isfinite(px):
                x += [start, end, end, start, start, None]
                y += [leg.entry_px, leg.entry_px, px, px, leg.entry_px, None]
        if math.isfinite(trip.level_px):
            level[0].extend([start, end, None])
            level[1].extend([trip.level_px, trip.level_px, None])
    fill = {"mode": "lines", "line": {"width": 0}, "fill": "toself", "hoverinfo": "skip"}
    dash = {"color": "--level", "width": 1.4, "dash": "dash"}
    made = [
        (reward, fill | {"name": "to take-profit", "fillcolor": "--gain-soft"}),
        (risk, fill | {"name": "to stop", "fillcolor": "--loss-soft"}),
        (
            level,
            {"mode": "lines", "line": dash, "name": "Fibonacci level", "hoverinfo": "skip"},
        ),
    ]
    return [{"type": "scatter", "x": x, "y": y} | look for (x, y), look in made if x]


def _ways(pairs: Sequence[tuple[Trip, Leg]]) -> list[Figure]:
    """A thin line from each entry to its exit, by result."""
    made = []
    for gained, colour in ((True, "--gain"), (False, "--loss")):
        x: list[Any] = []
        y: list[Any] = []
        for trip, leg in pairs:
            if trip.status == CLOSED and leg.exit_ts_ns >= 0 and (trip.net > 0.0) is gained:
                x += [leg.entry_ts_ns / 1e6, leg.exit_ts_ns / 1e6, None]
                y += [leg.entry_px, leg.exit_px, None]
        if x:
            look = {"mode": "lines", "line": {"color": colour, "width": 1}, "hoverinfo": "skip"}
            made.append({"type": "scatter", "x": x, "y": y, "showlegend": False} | look)
    return made


def _entries(pairs: Sequence[tuple[Trip, Leg]], engine: Engine, currency: str) -> list[Figure]:
    shown = [(trip, leg) for trip, leg in pairs if trip.engine is engine]
    if not shown:
        return []
    marker = {
        "symbol": [UP if leg.side > 0 else DOWN for _, leg in shown],
        "size": 10,
        "color": f"--{engine.name.lower()}",
        "line": {"width": 1, "color": "--card"},
    }
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": f"{engine.name.lower()} entry",
            "x": [leg.entry_ts_ns / 1e6 for _, leg in shown],
            "y": [leg.entry_px for _, leg in shown],
            "text": [_tooltip(trip, leg, currency) for trip, leg in shown],
            "marker": marker,
            **hover("%{text}"),
        }
    ]


def _exits(pairs: Sequence[tuple[Trip, Leg]], currency: str) -> list[Figure]:
    looks = (
        ("exit with a gain", True, "circle", "--gain"),
        ("exit with a loss", False, "x", "--loss"),
    )
    made = []
    for name, gained, symbol, colour in looks:
        shown = [
            (trip, leg)
            for trip, leg in pairs
            if leg.exit_ts_ns >= 0 and trip.status == CLOSED and (trip.net > 0.0) is gained
        ]
        if shown:
            edge = {"width": 1, "color": "--card"}
            made.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": name,
                    "x": [leg.exit_ts_ns / 1e6 for _, leg in shown],
                    "y": [leg.exit_px for _, leg in shown],
                    "text": [_tooltip(trip, leg, currency) for trip, leg in shown],
                    "marker": {"symbol": symbol, "size": 8, "color": colour, "line": edge},
                    **hover("%{text}"),
                }
            )
    return made


def _tooltip(trip: Trip, leg: Leg, currency: str) -> str:
    """What a pointer on an entry or exit shows."""
    if trip.engine is Engine.BINARY:
        did = f"{'call' if leg.side > 0 else 'put'}, stake {money(leg.qty, leg.unit)}"
    else:
        did = f"{'buy' if leg.side > 0 else 'sell'} {leg.qty:,.7g} {leg.unit}"
    out = price(leg.exit_px) if leg.exit_ts_ns >= 0 else f"{price(leg.mark_px)} (mark)"
    held = (leg.exit_ts_ns - leg.entry_ts_ns) / 1e9 if leg.exit_ts_ns >= 0 else None
    ended = trip.exit_words or ("still open" if trip.status == OPEN else UNKNOWN)
    lines = [
        f"<b>{trip.engine.name.lower()} #{trip.id}</b>: {did}",
        f"{price(leg.entry_px)} \N{RIGHTWARDS ARROW} {out}"
        + (f" in {duration(held)}" if held is not None else ""),
        minute(utc(leg.entry_ts_ns)),
        ended,
        f"<b>{money(trip.net, currency, signed=True)}</b> after {money(trip.fees, currency)} fees",
        f"confidence {percent(trip.confidence, digits=0)}, reward/risk {number(trip.reward_risk)}",
    ]
    return "<br>".join([lines[0], *(escape(line) for line in lines[1:4]), *lines[4:]])


def _broken(ts_ns: I8, value: F8, *, break_gaps: bool) -> Figure:
    """A line; with `break_gaps` it ends where nothing is known for long."""
    x, y = ts_ns / 1e6, value
    if break_gaps and ts_ns.size > 2:
        steps = np.diff(ts_ns)
        wide = np.flatnonzero(steps > max(GAP_NS, GAP_STEPS * float(np.median(steps)))) + 1
        x, y = np.insert(x, wide, x[wide - 1]), np.insert(y, wide, np.nan)
    return {"type": "scatter", "x": packed(x), "y": packed(y), "connectgaps": False}


def packed(array: F8) -> dict[str, str]:
    """Doubles as plotly.js unpacks them: a third of their text."""
    data = np.ascontiguousarray(array, dtype="<f8").tobytes()
    return {"dtype": "f8", "bdata": base64.b64encode(data).decode()}


def hover(template: str) -> dict[str, str]:
    return {"hovertemplate": template + "<extra></extra>"}
