"""Tables as records: one array whose rows are read by name, for loops that walk row by row.

Columns are right where a kernel runs down one or two of them. Where it takes whole rows, hands
them on and writes others, forty columns are forty arguments per call: measured on the desk's
kernel, columns took 203 s to compile and 20 us per row, records 30 times less.
Every field is 8 bytes wide, so that there is no padding and no cast in a kernel.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from schemas.instruments import InstrumentArrays
from schemas.rows import I4, I8, Rows, dtypes, empty

Records: TypeAlias = Any  # np.recarray; NumPy's stubs know no fields
Record: TypeAlias = Any  # one row of it, a view

_WIDE = {"f": "<f8", "u": "<i8", "i": "<i8"}


class InstrumentRecords(NamedTuple):
    """`InstrumentArrays` for row loops; the instrument's row is base[lane] + symbol."""

    base: I8  # (lanes,) -1 for a lane without instruments
    n_of_lane: I8  # (lanes,)
    of: Records  # (n,) lane, symbol, kind, contract_size, tick, lot, ...
    partners: I4  # (n, MAX_PARTNERS) rows, -1 for none


def instrument_records(arrays: InstrumentArrays) -> InstrumentRecords:
    """The same table, row-wise."""
    names = [
        name for name in InstrumentArrays._fields if name not in ("base", "n_of_lane", "partners")
    ]
    kinds = {name: _WIDE[getattr(arrays, name).dtype.kind] for name in names}
    rows = blank_records(kinds, arrays.lane.size)
    for name in names:
        rows[name] = getattr(arrays, name)
    return InstrumentRecords(
        base=arrays.base.astype(np.int64),
        n_of_lane=arrays.n_of_lane.astype(np.int64),
        of=rows,
        partners=arrays.partners,
    )


def record_fields(table: type[Any]) -> Mapping[str, str]:
    """The fields of a table's records: 64-bit floats and integers; digests stay unsigned."""
    return _record_fields(cast(Any, table))


@cache
def _record_fields(table: Any) -> Mapping[str, str]:
    fields = {
        name: "<u8" if dtype == np.uint64 else _WIDE[dtype.kind]
        for name, dtype in dtypes(table).items()
    }
    return MappingProxyType(fields)


def blank_records(fields: Mapping[str, str], n: int) -> Records:
    """`n` records of zeros."""
    return np.zeros(n, _dtype(tuple(fields.items()))).view(np.recarray)


@lru_cache(maxsize=256)
def _dtype(fields: tuple[tuple[str, str], ...]) -> np.dtype[Any]:
    """Kept: to make one of forty fields takes longer than a desk does for a row."""
    return np.dtype(list(fields))


def to_records(rows: tuple[Any, ...]) -> Records:
    """The rows of a table as records."""
    table: Any = type(rows)
    records = blank_records(record_fields(table), rows[0].size)
    plain = records.view(np.ndarray)
    for name, column in zip(table._fields, rows, strict=True):
        plain[name] = column
    return records


def from_records(table: type[Rows], records: Records) -> Rows:
    """The table that records stand for; always owned columns."""
    if not records.size:
        return empty(table)
    plain = records.view(np.ndarray)  # a recarray takes 3 us per field to find out that it is one
    return table(*[plain[name].astype(dtype) for name, dtype in dtypes(table).items()])
