"""Rows as words: one array of 8-byte words, a row per row, a column per column of their table.

Cutting, joining and ordering few rows costs one call each, where forty columns cost forty. So a
reader keeps small messages as words until they leave it, and a writer splits them by lane as words.
"""

from functools import cache
from typing import Any, NamedTuple, cast

import numpy as np

from schemas.rows import I8, Rows, dtypes


class Words(NamedTuple):
    """Some rows of a table.

    Attributes
    ----------
    table : type
        Of `schemas.rows`.
    array : int64, shape (rows, columns)
        Floats as their bits, all integers widened.
    """

    table: Any
    array: I8

    def column(self, name: str) -> I8:
        """A column of integers, as a view."""
        at: int = self.table._fields.index(name)
        return self.array[:, at]

    def part(self, start: int, stop: int | None = None) -> "Words":
        """Rows of it, as a view."""
        return Words(self.table, self.array[start:stop])


def to_words(rows: Any) -> Words:
    """A table as words."""
    layout = _layout(cast(Any, type(rows)))
    columns = list(rows)
    for at in layout.floats:
        columns[at] = columns[at].view(np.int64)
    for at, _ in layout.narrow:
        columns[at] = columns[at].astype(np.int64)
    turned = np.concatenate(columns).reshape(len(columns), -1)
    return Words(type(rows), np.ascontiguousarray(turned.T))


def to_rows(words: Words) -> Any:
    """The table again. Columns are contiguous views of one copy."""
    layout = _layout(words.table)
    turned = np.ascontiguousarray(words.array.T)
    columns = list(turned)
    floats = list(turned.view(np.float64))
    for at in layout.floats:
        columns[at] = floats[at]
    for at, dtype in layout.narrow:
        columns[at] = turned[at].astype(dtype)
    return words.table(*columns)


def join(parts: list[Words]) -> Words:
    """Words of one table, one after the other; at least one."""
    if len(parts) == 1:
        return parts[0]
    return Words(parts[0].table, np.concatenate([part.array for part in parts]))


class _Layout(NamedTuple):
    floats: list[int]
    narrow: list[tuple[int, np.dtype[Any]]]  # all but floats and int64


@cache
def _layout(table: type[Rows]) -> _Layout:
    of = list(enumerate(dtypes(table).values()))
    return _Layout(
        floats=[at for at, dtype in of if dtype == np.float64],
        narrow=[(at, dtype) for at, dtype in of if dtype not in (np.float64, np.int64)],
    )
