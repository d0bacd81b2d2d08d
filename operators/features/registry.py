"""Every feature of the market layer, in sets that a desk enables by name.

A family of features is a folder beside this file; the `FEATURES` of its `registry.py` are one set
here, but for `flow`, whose features of the book are a set of their own: books cost. Everything
follows from this table: what `Signals` computes, the columns of `signals.v1`, `docs/features.md`.
"""

import difflib
from collections.abc import Iterable

from operators.features.cross.registry import FEATURES as CROSS
from operators.features.derivatives.registry import FEATURES as DERIVATIVES
from operators.features.detection.registry import FEATURES as DETECTION
from operators.features.feature import BOOK, Feature
from operators.features.flow.registry import FEATURES as FLOW
from operators.features.orders.registry import FEATURES as ORDERS
from operators.features.structure.registry import FEATURES as STRUCTURE
from operators.features.venues.registry import FEATURES as VENUES

ALL = "all"
SETS: dict[str, tuple[Feature, ...]] = {
    "flow": tuple(feature for feature in FLOW if BOOK not in feature.inputs),
    "depth": tuple(feature for feature in FLOW if BOOK in feature.inputs),
    "detection": DETECTION,
    "structure": STRUCTURE,
    "derivatives": DERIVATIVES,
    "cross": CROSS,
    "orders": ORDERS,
    "venues": VENUES,
}
# What a set may remember per instrument, bytes, beside the books: 16 KB but for `detection`, which
# keeps a book of its own of the levels about the touch, twice, and the orders behind them.
STATE_BYTES_MAX = {
    "flow": 9_216, "depth": 2_048, "detection": 45_056, "structure": 4_608, "derivatives": 2_048,
    "cross": 13_312, "orders": 4_096, "venues": 256,
}  # fmt: skip
FEATURES: tuple[Feature, ...] = tuple(feature for each in SETS.values() for feature in each)
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
_BY_NAME = {feature.name: (feature,) for feature in FEATURES}


def chosen(words: Iterable[str]) -> tuple[Feature, ...]:
    """The features of sets (`flow`), single ones (`cvd`), or `all`, in the order asked for.

    ValueError for a word that is neither, for a feature that is named twice, and for no word.
    """
    found: dict[Feature, str] = {}
    for word in words:
        for feature in _named(word):
            if feature in found:
                by = "" if word == found[feature] == feature.name else f", by {found[feature]!r}"
                by += f" and {word!r}" if by else ""
                raise ValueError(f"feature {feature.name!r} is named twice{by}")
            found[feature] = word
    if not found:
        raise ValueError(f"name at least one feature or set; sets: {', '.join((*SETS, ALL))}")
    return tuple(found)


def _named(word: str) -> tuple[Feature, ...]:
    if word == ALL:
        return FEATURES
    if word in SETS:
        return SETS[word]
    if word in _BY_NAME:
        return _BY_NAME[word]
    near = difflib.get_close_matches(word, (*SETS, *NAMES), 3)
    shown = f"near: {', '.join(near)}; " if near else ""
    raise ValueError(
        f"no feature or set {word!r}; {shown}sets: {', '.join((*SETS, ALL))}, and each feature of "
        "docs/features.md by its name"
    )
