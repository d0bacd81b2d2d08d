"""Small batches from a template are what Arrow writes and reads, null by null."""

import numpy as np
import pyarrow as pa
import pytest

from flows.log.template import ROWS_MAX, read_small, write_small
from schemas.rows import (
    DecisionRows,
    FeatureRows,
    MarketRows,
    ProposalRows,
    arrow_schema,
    empty,
    from_batch,
    to_batch,
)

TABLES = (MarketRows, FeatureRows, ProposalRows, DecisionRows)
SIZES = (1, 2, 7, 8, 9, 63, 64, 65, ROWS_MAX)


def rows_of(table, n, *, nulls):
    random = np.random.default_rng(n)
    return table(*(_column(random, column, nulls) for column in empty(table, n)))


def _column(random, blank, nulls):
    if blank.dtype.kind != "f":
        return random.integers(0, 100, blank.size).astype(blank.dtype)
    return np.where(random.random(blank.size) < nulls, np.nan, random.normal(size=blank.size))


def same(one, other):
    return type(one) is type(other) and all(
        a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(one, other, strict=True)
    )


def arrow(table, body):
    batch = pa.ipc.read_record_batch(pa.py_buffer(body), arrow_schema(table))
    batch.validate(full=True)
    return batch


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("nulls", [0.0, 0.4, 1.0])
def test_arrow_reads_what_is_written(table, nulls):
    for n in SIZES:
        rows = rows_of(table, n, nulls=nulls)
        batch, plain = arrow(table, write_small(rows)), to_batch(rows)
        assert batch.equals(plain)
        assert [c.null_count for c in batch.columns] == [c.null_count for c in plain.columns]
        assert same(from_batch(table, batch), rows)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("nulls", [0.0, 0.4, 1.0])
def test_it_reads_what_it_has_written(table, nulls):
    for n in SIZES:
        rows = rows_of(table, n, nulls=nulls)
        read = read_small(table, write_small(rows), n)
        assert read is not None
        assert same(read, rows)
        assert all(c.flags.writeable and c.flags.c_contiguous and c.flags.aligned for c in read)


def test_nulls_are_read_from_their_bits_whatever_stands_below():
    rows = rows_of(FeatureRows, 9, nulls=0.0)
    columns = [
        pa.array(column, mask=np.arange(9) % 2 == 0) if column.dtype.kind == "f" else column
        for column in rows  # the values below those nulls are numbers
    ]
    body = (
        pa.RecordBatch.from_arrays(list(map(pa.array, columns)), schema=arrow_schema(FeatureRows))
        .serialize()
        .to_pybytes()
    )
    read = read_small(FeatureRows, body, 9)
    assert read is not None
    assert same(read, from_batch(FeatureRows, arrow(FeatureRows, body)))
    assert np.isnan(read.mid[::2]).all()
    assert not np.isnan(read.mid[1::2]).any()


def test_arrows_own_layout_without_validity_bits_is_left_to_arrow():
    rows = rows_of(MarketRows, 9, nulls=0.0)  # no nulls: Arrow leaves the bits out
    assert read_small(MarketRows, to_batch(rows).serialize().to_pybytes(), 9) is None


@pytest.mark.parametrize("where", ["size", "count", "integer_null", "metadata"])
def test_a_damaged_message_is_left_to_arrow_which_refuses_it(where):
    rows = rows_of(DecisionRows, 5, nulls=0.3)
    body = bytearray(write_small(rows))
    metadata = len(body) - sum(-(-5 * c.itemsize // 8) * 8 for c in rows)
    counts = body.index((5).to_bytes(8, "little") + bytes(8))  # of `seq`, which is never null
    if where == "size":
        del body[-8:]
    elif where == "count":
        body[counts] = 6
    elif where == "integer_null":
        body[counts + 8] = 1
    else:
        body[8] ^= 0xFF
    assert metadata > counts
    assert read_small(DecisionRows, bytes(body), 5) is None
