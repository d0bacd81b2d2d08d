"""The picture of a view: depth, trades and structure above, flow and refused rows below."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from console.report.charts import Figure, hover, packed
from console.report.microscope import COLUMNS, PRICES, View
from operators.features.structure.marks import MarkKind
from schemas.instruments import InstrumentTable
from schemas.rows import F8, I8

SIZE_LEAST, SIZE_MOST = 4.0, 20.0  # of a trade's marker, pixels
ZONE_COLUMNS = 8  # a zone is drawn so far: where it ends is not told
# From nothing to much, over any background.
DEPTH_COLOURS = [
    [0.0, "rgba(0,114,178,0.03)"], [0.6, "rgba(0,114,178,0.35)"], [0.85, "rgba(0,114,178,0.75)"],
    [1.0, "rgba(213,94,0,0.95)"],
]  # fmt: skip
_POINTS = {
    MarkKind.SWING_HIGH: ("swing", "triangle-down-open", "--ink"),
    MarkKind.SWING_LOW: ("swing", "triangle-up-open", "--ink"),
    MarkKind.GRAB: ("liquidity grab", "x-thin-open", "--binary"),
}
_LINES = {
    MarkKind.BOS: ("break of structure", "--level"),
    MarkKind.CHOCH: ("change of character", "--arbitrage"),
}
_ZONES = {
    MarkKind.FVG: ("fair value gap", "--accent-soft"),
    MarkKind.ORDER_BLOCK: ("order block", "--loss-soft"),
}


def view_figure(view: View, table: InstrumentTable) -> Figure:
    """One market, as plotly.js draws it. Panels without anything to show are left out."""
    instrument = table.instruments[view.frame.row]
    traces = [*_depth(view), *_zones(view), *_quotes(view), *_lines(view), *_points(view)]
    traces += _trades(view)
    panels = [
        (f"CVD, {instrument.base}", _line(view, view.cvd, "CVD", "--accent", "%{y:.5~g}")),
        ("flow toxicity", _line(view, view.toxicity, "toxicity", "--loss", "%{y:.2f}")),
        ("refused rows", _refused(view)),
    ]
    shown = [(name, trace) for name, trace in panels if trace is not None]
    layout: Figure = {
        "xaxis": {"type": "date", "anchor": "free", "position": 0.0},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
        "bargap": 0,
    }
    foot = 0.17 * len(shown)
    layout["yaxis"] = {
        "title": {"text": f"{instrument.id}, {instrument.quote}"},
        "domain": [foot, 1.0],
        "range": [view.frame.low, view.frame.low + PRICES * view.frame.step],
    }
    for n, (name, trace) in enumerate(shown):
        top = foot - 0.17 * n - 0.03
        layout[f"yaxis{n + 2}"] = {
            "title": {"text": name}, "domain": [top - 0.13, top], "nticks": 4, "fixedrange": True,
        }  # fmt: skip
        traces.append(trace | {"yaxis": f"y{n + 2}", "showlegend": False})
    return {"data": traces, "layout": layout}


def _times_ms(view: View) -> F8:
    """The end of each column."""
    ends = np.arange(1, COLUMNS + 1) * view.frame.width_ns + view.frame.start_ns
    times: F8 = ends / 1e6
    return times


def _depth(view: View) -> list[Figure]:
    z = np.full_like(view.depth, np.nan)
    np.log10(view.depth, out=z, where=view.depth > 0.0)
    if np.isnan(z).all():
        return []
    prices = view.frame.low + (np.arange(PRICES, dtype=np.float64) + 0.5) * view.frame.step
    return [
        {
            "type": "heatmap",
            "x": packed(_times_ms(view) - view.frame.width_ns / 2e6),
            "y": packed(prices),
            "z": packed(z) | {"shape": f"{PRICES}, {COLUMNS}"},
            "zmin": float(np.nanquantile(z, 0.02)),
            "zmax": float(np.nanquantile(z, 0.998)),
            "colorscale": DEPTH_COLOURS,
            "showscale": False,
            "name": "resting orders",
            **hover("%{y:.7~g}: 10^%{z:.1f} resting<br>%{x|%H:%M:%S}"),
        }
    ]


def _quotes(view: View) -> list[Figure]:
    made = []
    for name, values, colour in (
        ("best bid", view.bid_px, "--gain"),
        ("best ask", view.ask_px, "--loss"),
    ):
        trace = _line(view, values, name, colour, "%{y:.8~g}")
        made += [] if trace is None else [trace]
    return made


def _line(view: View, values: F8, name: str, colour: str, text: str) -> Figure | None:
    if not np.isfinite(values).any():
        return None
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": packed(_times_ms(view)),
        "y": packed(values),
        "line": {"color": colour, "width": 1.2, "shape": "hv"},
        "connectgaps": False,
        **hover(f"{name} {text}<br>%{{x|%H:%M:%S}}"),
    }


def _refused(view: View) -> Figure | None:
    if not view.refused.any():
        return None
    return {
        "type": "bar",
        "name": "refused",
        "x": packed(_times_ms(view) - view.frame.width_ns / 2e6),
        "y": view.refused.tolist(),
        "marker": {"color": "--loss"},
        **hover("%{y} rows refused<br>%{x|%H:%M:%S}"),
    }


def _trades(view: View) -> list[Figure]:
    made = []
    sizes = np.nan_to_num(view.trades.qty)  # some feeds tell no size
    largest = float(sizes.max(initial=0.0)) or 1.0
    for name, side, symbol, colour in (
        ("bought", 1, "circle", "--gain"),
        ("sold", -1, "diamond", "--loss"),
        ("traded", 0, "square", "--muted"),
    ):
        mine = view.trades.side == side
        if not mine.any():
            continue
        size = SIZE_LEAST + (SIZE_MOST - SIZE_LEAST) * np.sqrt(sizes[mine] / largest)
        made.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": packed(view.trades.ts_recv_ns[mine] / 1e6),
                "y": packed(view.trades.price[mine]),
                "text": ["" if np.isnan(qty) else f"{qty:,.6g}" for qty in view.trades.qty[mine]],
                "marker": {
                    "symbol": symbol,
                    "size": np.round(size, 1).tolist(),
                    "color": colour,
                    "opacity": 0.75,
                    "line": {"width": 0.5, "color": "--card"},
                },
                **hover(f"{name} %{{text}} at %{{y:.8~g}}<br>%{{x|%H:%M:%S.%L}}"),
            }
        )
    return made


def _points(view: View) -> list[Figure]:
    made: list[Figure] = []
    for kind, (name, symbol, colour) in _POINTS.items():
        mine = view.marks.kind == kind
        if not mine.any():
            continue
        first = all(trace["name"] != name for trace in made)
        made.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "showlegend": first,
                "legendgroup": name,
                "x": packed(view.marks.from_ns[mine] / 1e6),
                "y": packed(view.marks.price_high[mine]),
                "text": _known_at(view.marks.ts_event_ns[mine]),
                "marker": {
                    "symbol": symbol,
                    "size": 9,
                    "color": colour,
                    "line": {"width": 1.5, "color": colour},
                },
                **hover(f"{name} %{{y:.8~g}}, known at %{{text}}"),
            }
        )
    return made


def _lines(view: View) -> list[Figure]:
    made = []
    for kind, (name, colour) in _LINES.items():
        x: list[Any] = []
        y: list[Any] = []
        for n in np.flatnonzero(view.marks.kind == kind):
            px = float(view.marks.price_low[n])
            x += [view.marks.from_ns[n] / 1e6, view.marks.ts_event_ns[n] / 1e6, None]
            y += [px, px, None]
        if x:
            look = {"color": colour, "width": 1.6, "dash": "dot"}
            made.append({"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y,
                         "line": look, **hover(f"{name}, %{{y:.8~g}}")})  # fmt: skip
    return made


def _zones(view: View) -> list[Figure]:
    made, last_ms = [], float(_times_ms(view)[-1])
    for kind, (name, colour) in _ZONES.items():
        x: list[Any] = []
        y: list[Any] = []
        for n in np.flatnonzero(view.marks.kind == kind):
            marks = view.marks
            end_ns = int(marks.ts_event_ns[n]) + ZONE_COLUMNS * view.frame.width_ns
            begin, end = marks.from_ns[n] / 1e6, min(end_ns / 1e6, last_ms)
            low, high = float(marks.price_low[n]), float(marks.price_high[n])
            x += [begin, end, end, begin, begin, None]
            y += [low, low, high, high, low, None]
        if x:
            made.append({"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y,
                         "line": {"width": 0}, "fill": "toself", "fillcolor": colour,
                         "hoverinfo": "skip"})  # fmt: skip
    return made


def _known_at(ts_ns: I8) -> Sequence[str]:
    return [str(np.datetime64(int(ns), "ns").astype("datetime64[s]"))[11:] for ns in ts_ns]
