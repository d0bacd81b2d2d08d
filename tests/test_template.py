"""Small batches from a template are what Arrow writes and reads, null by null."""

import numpy as np
import pyarrow as pa
import pytest

from flows.encode import encode
from flows.log.codec import encode_rows
from flows.log.template import (
    ROWS_MAX,
    WORDS_MAX,
    read_small,
    read_words,
    write_small,
    write_words,
)
from flows.log.words import to_rows, to_words
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
from schemas.topics import FEATURES, MARKET

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


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("nulls", [0.0, 0.4, 1.0])
def test_words_are_the_same_rows_and_the_same_bytes(table, nulls):
    for n in (1, 2, 7, 8, 9, WORDS_MAX):
        rows = rows_of(table, n, nulls=nulls)
        rows = table(*(_with_extremes(column) for column in rows))
        words, body = to_words(rows), write_small(rows)
        assert same(to_rows(words), rows)
        assert write_words(words) == body
        found = read_words(table, body, n)
        assert found is not None
        assert np.array_equal(found.array, words.array)
        read = to_rows(found)
        assert same(read, rows)
        assert all(c.flags.writeable and c.flags.c_contiguous and c.flags.aligned for c in read)


def _with_extremes(column):
    if column.dtype.kind != "f":
        limits = np.iinfo(column.dtype)
        column[0], column[-1] = limits.max, limits.min
    return column


@pytest.mark.parametrize("n", [1, 5, WORDS_MAX, WORDS_MAX + 1, 100])
@pytest.mark.parametrize("lanes", [1, 3])
def test_rows_of_lanes_become_the_messages_that_each_lane_would(n, lanes):
    rows = rows_of(MarketRows, n, nulls=0.4)
    lane = (np.arange(n) % lanes).astype(np.int16)
    rows = rows._replace(lane=lane, seq=np.arange(n) // lanes, ts_recv_ns=np.arange(n) // 2)
    made = encode(MARKET, rows, "test", positions=lambda lane: b"%d" % lane)
    assert made == [
        message
        for k in np.unique(lane).tolist()
        for message in encode_rows(
            MARKET,
            lane=k,
            rows=MarketRows(*(column[lane == k] for column in rows)),
            code_version="test",
            positions=b"%d" % k,
        )
    ]


def test_rows_out_of_order_are_refused_however_few():
    rows = rows_of(MarketRows, 3, nulls=0.4)._replace(lane=np.zeros(3, np.int16))
    seq, ts_ns = np.arange(3), np.arange(3)
    with pytest.raises(ValueError, match=r"market\.v1 lane 0: seq must be contiguous"):
        encode(MARKET, rows._replace(seq=seq * 2, ts_recv_ns=ts_ns), "test")
    with pytest.raises(ValueError, match=r"market\.v1 lane 0: ts_recv_ns must not fall"):
        encode(MARKET, rows._replace(seq=seq, ts_recv_ns=-ts_ns), "test")
    with pytest.raises(ValueError, match=r"features\.v1 holds FeatureRows, not MarketRows"):
        encode(FEATURES, rows, "test")


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
    body = to_batch(rows).serialize().to_pybytes()
    assert read_small(MarketRows, body, 9) is None
    assert read_words(MarketRows, body, 9) is None


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
    assert read_words(DecisionRows, bytes(body), 5) is None
