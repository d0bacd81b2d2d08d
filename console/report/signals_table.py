"""The features of the market layer on the report's page: how warm each was, set by set."""

from html import escape

from console.report.signals import Shares
from console.report.words import percent
from operators.features.feature import Feature
from operators.features.registry import FEATURES, SETS

OPEN_MAX = 40  # features; of more, the sets are closed until one is opened
OTHERS = "others"  # of a run by another version, whose names are not known any more


def signals_section(shares: Shares) -> str:
    """A table per set; nothing where the run has enabled none."""
    if not shares:
        return ""
    set_of = {feature.name: name for name, features in SETS.items() for feature in features}
    sets: dict[str, dict[str, float | None]] = {}
    for name, share in shares.items():
        sets.setdefault(set_of.get(name, OTHERS), {})[name] = share
    note = (
        "Share of the trades, quotes and book messages at which the feature had a value, of the "
        "instruments to which it applies. The values are in signals.v1: see <code>trifecta "
        "query</code>."
    )
    opened = " open" if len(shares) <= OPEN_MAX else ""
    tables = "".join(_set(name, mine, opened) for name, mine in sets.items())
    return f'<section><h2>Market features</h2><p class="note">{note}</p>{tables}</section>'


def _set(name: str, shares: Shares, opened: str) -> str:
    known = {feature.name: feature for feature in FEATURES}
    lines = "".join(_line(name, share, known.get(name)) for name, share in shares.items())
    warm = sum(share is not None and share > 0.0 for share in shares.values())
    return (
        f"<details{opened}><summary>{escape(name)}: {warm} of {len(shares)} had values</summary>"
        '<div class="scroll"><table>'
        '<tr><th>feature</th><th class="n">warm</th><th>unit</th><th>warm-up</th></tr>'
        f"{lines}</table></div></details>"
    )


def _line(name: str, share: float | None, feature: Feature | None) -> str:
    text = "applies to no instrument" if share is None else percent(share, digits=1)
    unit, warm_up = ("", "") if feature is None else (feature.unit, feature.warm_up)
    if feature is not None and share == 0.0:
        warm_up += f"; null: {feature.null}"
    return (
        f'<tr><td class="t">{escape(name)}</td><td class="n">{text}</td>'
        f'<td class="t">{escape(unit)}</td><td>{escape(warm_up)}</td></tr>'
    )
