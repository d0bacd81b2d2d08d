"""Rows that fail an expectation, in a few words."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

SECOND_NS = 1_000_000_000


def places(first: Sequence[Mapping[str, Any]], *, several: bool) -> str:
    """Where the first failing rows stand, and what they hold; like ones together.

    `first` is that of an expectation in `--json`; with `several` sources each row has its own.

    >>> row = {"source": "a", "values": {"reason": "NOT_FINITE"}}
    >>> places([row | {"row": 8}, row | {"row": 9}], several=False)
    '8, 9 (NOT_FINITE)'
    """
    groups = []
    for words, rows in groupby(first, lambda one: _words(one["values"])):
        where = ", ".join(
            f"{one['source']}: {one['row']}" if several else str(one["row"]) for one in rows
        )
        groups.append(f"{where} ({words})" if words else where)
    return "; ".join(groups)


def _words(values: Mapping[str, Any]) -> str:
    """The value, or how two of them stand to each other; nothing of a null."""
    found = [value for value in values.values() if value is not None]
    if len(found) < 2:
        return "".join(map(str, found))
    low, high = found
    if all(name.endswith("_ns") for name in values):
        return f"{(high - low) / SECOND_NS:g} s back"
    return f"{low} < {high}"
