"""Digests of what the desk decided and booked, and where two runs first differ.

Both digests are SHA-256 over canonical rows in log order. Any batching of the same rows, on any
profile, in memory or read back from the log, gives the same digest.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.kinds import Kind
from schemas.rows import DecisionRows, dtypes, take


class DecisionDigest:
    """Digest of `decisions.v1`: its rows of kind DECISION, every column.

    A row is its columns in order, packed, little-endian; a null float is one NaN pattern and minus
    zero is zero. Progress rows are left out: they say how far the lanes were read, not what the
    desk did. No column holds our wall clock but `ts_recv_ns`, which is part of the log.
    """

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def update(self, rows: DecisionRows) -> None:
        """Add rows, in log order."""
        self._sha.update(canonical_bytes(take(rows, rows.kind == Kind.DECISION)))

    def hexdigest(self) -> str:
        """The digest of all rows so far."""
        return self._sha.hexdigest()


class LedgerDigest:
    """Digest of `ledger.v1`: each journal row as one line of canonical JSON.

    Canonical: keys sorted, no spaces, ASCII, no NaN. Amounts are texts, so no float is spelled.
    """

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def update(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add journal rows, in log order."""
        for row in rows:
            self._sha.update(canonical_json(row))

    def hexdigest(self) -> str:
        """The digest of all rows so far."""
        return self._sha.hexdigest()


class Difference(NamedTuple):
    """The first row in which two logs differ."""

    row: int  # position among the rows compared
    columns: tuple[str, ...]  # that differ; all of them where one side has no such row
    recorded: dict[str, Any] | None  # None: the recorded log ends before it
    redecided: dict[str, Any] | None


def canonical_bytes(rows: Any) -> bytes:
    """A table as fixed-width rows: packed, little-endian, one NaN, no minus zero."""
    return _canonical(rows).tobytes()


def canonical_json(row: Mapping[str, Any]) -> bytes:
    """A JSON row as its one line. ValueError if it holds a NaN or infinity."""
    line = json.dumps(row, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return line.encode() + b"\n"


def first_difference(recorded: Any, redecided: Any) -> Difference | None:
    """Where two tables of one type first differ in canonical form, or None.

    Parameters
    ----------
    recorded, redecided : table
        NamedTuples of columns of the same type, in log order; their lengths may differ.

    Raises
    ------
    TypeError
        If they are not tables of one type.
    """
    if type(recorded) is not type(redecided):
        raise TypeError(
            f"tables of one type, not {type(recorded).__name__} and {type(redecided).__name__}"
        )
    left, right = _canonical(recorded), _canonical(redecided)
    n = min(left.size, right.size)
    a, b = (x[:n].view(np.uint8).reshape(n, left.dtype.itemsize) for x in (left, right))
    unequal = np.flatnonzero((a != b).any(axis=1))
    if unequal.size:
        i = int(unequal[0])
        names = left.dtype.names or ()
        differ = tuple(k for k in names if left[k][i].tobytes() != right[k][i].tobytes())
        return Difference(i, differ, _row(recorded, i), _row(redecided, i))
    if left.size == right.size:
        return None
    return Difference(n, left.dtype.names or (), _row(recorded, n), _row(redecided, n))


def first_difference_json(
    recorded: Sequence[Mapping[str, Any]], redecided: Sequence[Mapping[str, Any]]
) -> Difference | None:
    """Where two lists of JSON rows first differ in canonical form, or None."""
    n = min(len(recorded), len(redecided))
    for i in range(n):
        left, right = dict(recorded[i]), dict(redecided[i])
        if canonical_json(left) != canonical_json(right):
            keys = sorted(left.keys() | right.keys())
            return Difference(
                i, tuple(k for k in keys if _part(left, k) != _part(right, k)), left, right
            )
    if len(recorded) == len(redecided):
        return None
    longer = recorded if len(recorded) > n else redecided
    left_row = dict(recorded[n]) if len(recorded) > n else None
    right_row = dict(redecided[n]) if len(redecided) > n else None
    return Difference(n, tuple(sorted(longer[n])), left_row, right_row)


def _part(row: dict[str, Any], key: str) -> bytes | None:
    return canonical_json({key: row[key]}) if key in row else None


def _canonical(rows: Any) -> NDArray[np.void]:
    table: Any = type(rows)
    types = dtypes(table)
    packed = np.dtype(
        [
            (name, dtype.newbyteorder("<"), column.shape[1:])
            for (name, dtype), column in zip(types.items(), rows, strict=True)
        ]
    )
    out = np.empty(rows[0].size, packed)
    for name, column in zip(types, rows, strict=True):
        if column.dtype.kind == "f":
            column = column + 0.0  # turns minus zero into zero
            column[np.isnan(column)] = np.nan
        out[name] = column
    return out


def _row(rows: Any, i: int) -> dict[str, Any] | None:
    """Row `i` as Python values, a null float as None; None past the end."""
    if i >= rows[0].size:
        return None
    values = ((name, column[i].tolist()) for name, column in zip(rows._fields, rows, strict=True))
    return {name: _known(value) for name, value in values}


def _known(value: Any) -> Any:
    if isinstance(value, list):
        return [_known(each) for each in value]
    return None if value != value else value
