"""The section of the page about the run itself: digests, model, sources, settings."""

import json
from html import escape

from console.report.page_parts import definitions, section
from console.report.summary import Report
from console.report.words import duration, money


def facts_section(report: Report) -> str:
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
    return section("Run facts", definitions(facts) + extra)


def _exact(report: Report) -> str:
    """The exact ledger's equity, and how far the desk's own mark was from it."""
    equity = report["equity"]
    if equity["ledger"] is None:
        return "not known: an asset has no price"
    text = f"{escape(equity['ledger'])} {escape(report['currency'])}"
    if equity["ledger_gap"] is None:
        return text
    gap = escape(money(equity["ledger_gap"], report["currency"], signed=True))
    return f"{text}, {gap} beside the desk's own mark at its last decision"
