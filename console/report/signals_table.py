"""The features of the market layer on the report's page: how warm each was."""

from html import escape

from console.report.signals import Shares
from console.report.words import percent
from operators.features.registry import FEATURES


def signals_section(shares: Shares) -> str:
    """One row per feature; nothing where the run has enabled none."""
    if not shares:
        return ""
    known = {feature.name: feature for feature in FEATURES}
    lines = ""
    for name, share in shares.items():
        unit, warm_up = ("", "") if name not in known else (known[name].unit, known[name].warm_up)
        text = "applies to no instrument" if share is None else percent(share, digits=1)
        lines += (
            f'<tr><td class="t">{escape(name)}</td><td class="n">{text}</td>'
            f'<td class="t">{escape(unit)}</td><td>{escape(warm_up)}</td></tr>'
        )
    note = (
        "Share of the trades, quotes and book messages at which the feature had a value, of the "
        "instruments to which it applies. The values are in signals.v1: see <code>trifecta "
        "query</code>."
    )
    return (
        f'<section><h2>Market features</h2><p class="note">{note}</p><div class="scroll"><table>'
        '<tr><th>feature</th><th class="n">warm</th><th>unit</th><th>warm-up</th></tr>'
        f"{lines}</table></div></section>"
    )
