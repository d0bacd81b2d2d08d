"""Pieces of HTML that the sections of the page share."""

from collections.abc import Sequence
from html import escape

from console.report.words import MINUS, money, percent


def section(title: str, inner: str) -> str:
    return f"<section><h2>{title}</h2>{inner}</section>"


def definitions(facts: Sequence[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{k}</dt><dd>{v}</dd>" for k, v in facts) + "</dl>"


def engine_mark(name: str) -> str:
    name = name.lower()
    return f'<span class="key" style="background:var(--{name})"></span>{name}'


def signed(x: float | None) -> str:
    return tinted(money(x, signed=True))


def signed_percent(fraction: float | None) -> str:
    return tinted(percent(fraction, signed=True))


def tinted(text: str) -> str:
    tint = "loss" if text.startswith(MINUS) else "gain" if text.startswith("+") else ""
    return f'<span class="{tint}">{escape(text)}</span>' if tint else escape(text)
