"""Rows of `signals.v1`: the values of the features that a run has enabled, one list per row."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from schemas.rows import F8, I2, I4, I8, U1, dtypes

VALUES = "values"


class SignalRows(NamedTuple):
    """`signals.v1`: one row for each row of `market.v1` after which an instrument's features can
    be asked (market data; of a book message the last row), and for each heartbeat, whose values
    are null. `values` is a list of fixed size, in every row of a run the same; NaN is null. The
    names of its columns are the text `signals` of the run.
    """

    seq: I8  # contiguous per lane from 0
    lane: I2
    market_seq: I8  # of the market row
    kind: U1
    flags: U1
    symbol: I4
    ts_event_ns: I8
    ts_recv_ns: I8
    values: F8  # (rows, names); the features' units


def no_signals(names: int = 0) -> SignalRows:
    """No row, of so many names."""
    plain = {name: np.zeros(0, dtype) for name, dtype in dtypes(SignalRows).items()}
    return SignalRows(**{**plain, VALUES: np.zeros((0, names))})


@cache
def signal_schema(names: int) -> pa.Schema:
    """The Arrow schema of rows with so many names. No column is nullable: NaN is null."""
    fields = [
        pa.field(name, pa.from_numpy_dtype(dtype), nullable=False)
        for name, dtype in dtypes(SignalRows).items()
        if name != VALUES
    ]
    values = pa.list_(pa.field("item", pa.float64(), nullable=False), names)
    return pa.schema([*fields, pa.field(VALUES, values, nullable=False)])


def to_signal_batch(rows: SignalRows) -> pa.RecordBatch:
    """The Arrow batch: `values` as one list, since 60 columns of their own take ten times as long
    to build.
    """
    schema = signal_schema(rows.values.shape[1])
    values = pa.FixedSizeListArray.from_arrays(
        pa.array(rows.values.ravel()), type=schema.field(VALUES).type
    )
    plain = [pa.array(column) for column in rows[:-1]]
    return pa.RecordBatch.from_arrays([*plain, values], schema=schema)


def from_signal_batch(batch: pa.RecordBatch, names: int) -> SignalRows:
    """The rows of an Arrow batch, in arrays of their own; ValueError if its columns are others."""
    if not batch.schema.equals(signal_schema(names)):
        raise ValueError(f"not the columns of {names} signals: {batch.schema.names}")
    if any(column.null_count for column in batch.columns):
        raise ValueError("a column of signals is null")
    columns: list[Any] = [column.to_numpy().copy() for column in batch.columns[:-1]]
    values = batch.column(VALUES).flatten().to_numpy().reshape(batch.num_rows, names)
    return SignalRows._make([*columns, values.copy()])
