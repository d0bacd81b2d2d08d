"""The first page of a judgement: one file that needs nothing else, with links to the Data Docs."""

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from console.quality.completeness import rounded_down
from console.quality.places import places
from schemas.expectations import COMPLETE_FOR_BACKTEST, COMPLETE_FOR_TRAINING

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
  color: #1a1a1a; background: #fff }
table { border-collapse: collapse; width: 100%; margin: 0.5rem 0 2rem }
th, td { text-align: left; padding: 0.2rem 1rem 0.2rem 0; border-bottom: 1px solid #ddd }
td:first-child { white-space: nowrap }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
tr.bad td, p.bad { color: #b00020; font-weight: 600 }
@media (prefers-color-scheme: dark) {
  body { color: #e6e6e6; background: #161616 } th, td { border-color: #3a3a3a }
  a { color: #8ab4f8 } tr.bad td, p.bad { color: #ff8a80 }
}
"""


def write_index(told: Mapping[str, Any], folder: Path, docs: str) -> None:
    """Write the page `told["page"]` of a folder; `docs` is the Data Docs' folder inside of it."""
    verdict = "Passed" if told["passed"] else "Failed"
    name = escape(told["name"])
    parts = [
        f"<h1>Quality of {name}: {verdict.lower()}</h1>",
        *(f'<p class="bad">{escape(why)}.</p>' for why in told["failures"]),
        f"<p>{told['rows_refused']:,} of {told['rows']:,} rows would be refused"
        f"{_counts(told['refused_by_reason'])}.</p>",
    ]
    if told["crossed_kept"]:
        parts.append(f"<p>Crossed, kept with a flag: {told['crossed_kept']:,} quotes.</p>")
    if told["quarantined"] is not None:
        n = sum(told["quarantined"].values())
        parts.append(f"<p>In quarantine: {n:,} rows{_counts(told['quarantined'])}.</p>")
    several = len(told["sources"]) > 1
    for suite in dict.fromkeys(each["suite"] for each in told["expectations"]):
        lines = [each for each in told["expectations"] if each["suite"] == suite]
        lines.sort(key=lambda each: each["unexpected"] == 0)  # what failed comes first
        parts.append(f"<h2>Expectations of a {escape(suite)}</h2>")
        of_suite = "expectation", "reason", "rows", "unexpected", "first rows"
        parts.append(_table(of_suite, (_expectation(each, several) for each in lines)))
    of_streams = (
        "stream", "minutes", "covered", f"minutes below {COMPLETE_FOR_TRAINING:g}",
        f"minutes below {COMPLETE_FOR_BACKTEST:g}",
    )  # fmt: skip
    parts.append("<h2>Completeness</h2>")
    parts.append(_table(of_streams, (_stream(each) for each in told["completeness"])))
    pages = sorted(path.relative_to(folder) for path in (folder / docs).rglob("*.html"))
    links = "".join(
        f'<li><a href="{quote(page.as_posix())}">{escape(_title(page, docs))}</a></li>'
        for page in pages
    )
    parts.append(
        "<h2>Data Docs</h2><p>Made by Great Expectations; they load their styles from the web, and "
        f"are plain without it.</p><ul>{links}</ul>"
    )
    Path(told["page"]).write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Quality of {name}</title>'
        f"<style>{STYLE}</style>{''.join(parts)}</html>\n",
        encoding="utf-8",
    )


def _expectation(each: Mapping[str, Any], several: bool) -> tuple[bool, list[str]]:
    first = places(each["first"], several=several)
    reason = each["reason"] or "in the column"
    cells = each["expectation"], reason, f"{each['rows']:,}", f"{each['unexpected']:,}", first
    return each["unexpected"] > 0, list(cells)


def _stream(each: Mapping[str, Any]) -> tuple[bool, list[str]]:
    cells = (
        f"{each['instrument']} {each['kind'].lower()} of {each['source']}",
        f"{each['minutes']:,}",
        rounded_down(each["completeness"]),
        f"{each['minutes_below_training']:,}",
        f"{each['minutes_below_backtest']:,}",
    )
    return False, list(cells)


def _table(titles: tuple[str, ...], lines: Iterable[tuple[bool, list[str]]]) -> str:
    figures = {
        k for k, title in enumerate(titles)
        if title.startswith(("rows", "unexpected", "minutes", "covered"))
    }  # fmt: skip

    def cells(tag: str, texts: Iterable[str]) -> Iterator[str]:
        for k, text in enumerate(texts):
            kind = ' class="n"' if k in figures else ""
            yield f"<{tag}{kind}>{escape(text)}</{tag}>"

    body = "".join(
        ('<tr class="bad">' if bad else "<tr>") + "".join(cells("td", texts)) + "</tr>"
        for bad, texts in lines
    )
    return f"<table><tr>{''.join(cells('th', titles))}</tr>{body}</table>"


def _counts(counts: Mapping[str, int]) -> str:
    return (": " if counts else "") + ", ".join(f"{name} {n:,}" for name, n in counts.items())


def _title(page: Path, docs: str) -> str:
    """`validations/quote/rows 0 to 49/TIME/NAME.html` is "quote, rows 0 to 49"."""
    parts = page.relative_to(docs).with_suffix("").parts
    if parts[0] == "validations":
        return f"result: {parts[1]}, {parts[2]}"
    return f"suite: {parts[1]}" if parts[0] == "expectations" else "index"
