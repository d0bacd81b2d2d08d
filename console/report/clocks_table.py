"""Venues' clocks and latencies, on the report's page and in the terminal."""

from collections.abc import Sequence
from html import escape
from typing import Any

from console.report.words import MINUS, number

Clocks = Sequence[dict[str, Any]]  # the report's `venue_clocks`


def clocks_section(clocks: Clocks) -> str:
    """One row per venue; nothing where no row says when its venue sent it."""
    if not clocks:
        return ""
    lines = "".join(
        f'<tr><td class="t">{escape(one["venue"])}</td>'
        + "".join(f'<td class="n">{cell}</td>' for cell in _cells(one))
        + "</tr>"
        for one in clocks
    )
    note = (
        "Time of receipt minus the venue's own, in ms, at the last rows of messages. The clock is "
        "ours minus the venue's at the end, the fastest row counting as 1 ms on its way; a "
        "negative latency is a clock that is ahead. Where all took the same, receipt was assumed."
    )
    return (
        f'<section><h2>Clocks of venues</h2><p class="note">{note}</p><div class="scroll"><table>'
        '<tr><th>venue</th><th class="n">rows</th><th class="n">p1</th><th class="n">median</th>'
        '<th class="n">p99</th><th class="n">negative</th><th class="n">clock, ms</th>'
        f'<th class="n">drift, ppm</th></tr>{lines}</table></div></section>'
    )


def clocks_lines(clocks: Clocks) -> list[str]:
    """One line per venue."""
    made = []
    for one in clocks:
        latency = one["latency_ms"]
        text = f"{one['venue']}: {_ms(latency['p50'])} ms (p50), {_ms(latency['p99'])} ms (p99)"
        text += " assumed" if one["assumed"] else f", {one['negative']:,} negative"
        if one["offset_ms"] is not None and not one["assumed"]:
            text += f"; clock {_signed(one['offset_ms'])} ms"
            text += "" if one["drift_ppm"] is None else f", drift {_signed(one['drift_ppm'])} ppm"
        made.append(text)
    return made


def _cells(one: dict[str, Any]) -> list[str]:
    latency = one["latency_ms"]
    offset, drift = one["offset_ms"], one["drift_ppm"]
    return [
        f"{one['rows']:,}",
        *(_ms(latency[name]) for name in ("p01", "p50", "p99")),
        f"{one['negative']:,}",
        "" if offset is None else _signed(offset),
        "" if drift is None else _signed(drift),
    ]


def _ms(value: float) -> str:
    return number(value, 2 if abs(value) < 100.0 else 0)


def _signed(value: float) -> str:
    return f"{value:+,.1f}".replace("-", MINUS)
