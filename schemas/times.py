"""Times in files as nanoseconds since 1970 UTC."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_PER_UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_INT64_MAX = 2**63 - 1


def is_moment(type_: pa.DataType) -> bool:
    """Whether values of a type are times in UTC: int64 nanoseconds, or timestamps with a zone.

    Timestamps without one are not: whose clock they were read from is not in the file.
    """
    return bool(pa.types.is_int64(type_) or (pa.types.is_timestamp(type_) and type_.tz is not None))


def in_ns(column: Any) -> Any:
    """A column of times, of whatever unit, as int64 nanoseconds; other columns as they are.

    Exact. A time beyond 1677 to 2262, which nanoseconds cannot hold, becomes one of these ends,
    where no gate takes it for a time. Null stays null.

    >>> in_ns(pa.array([1, None, 2**62], pa.timestamp("us", "UTC"))).to_pylist()
    [1000, None, 9223372036854775000]
    """
    if not pa.types.is_timestamp(column.type):
        return column
    per_unit = _PER_UNIT_NS[column.type.unit]
    most = _INT64_MAX // per_unit
    units = column.cast(pa.int64())
    units = pc.max_element_wise(units, pa.scalar(-most), skip_nulls=False)
    return pc.multiply(pc.min_element_wise(units, pa.scalar(most), skip_nulls=False), per_unit)
