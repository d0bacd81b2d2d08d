"""Parquet batches as NumPy arrays: numbers with their nulls, names as small integers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schemas.rows import F8, I4, I8
from schemas.times import in_ns
from venues.tape.errors import TapeError

CHUNK_ROWS = 65_536  # read at a time from one file: large enough for NumPy, about 10 MB as rows
UNSET = -2
MAGIC = b"PAR1"  # every Parquet file begins with it

Mask = NDArray[np.bool_]


def open_parquet(path: Path) -> pq.ParquetFile:
    """The file, or TapeError saying why not."""
    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "no such file"
        raise TapeError(what, str(path), "Give the path of a Parquet file")
    try:
        names = [n for n in ("venue", "symbol") if n in pq.read_schema(path, memory_map=True).names]
        return pq.ParquetFile(path, read_dictionary=names, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path) from error


def batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The file's rows in file order, only the named columns, at most CHUNK_ROWS at a time."""
    file = open_parquet(path)
    present = [name for name in columns if name in file.schema_arrow.names]
    try:
        yield from file.iter_batches(CHUNK_ROWS, columns=present, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> TapeError:
    with path.open("rb") as raw:
        if raw.read(len(MAGIC)) != MAGIC:
            todo = "Write it as Parquet, with the columns of docs/reference/tapes.md"
            return TapeError("not a Parquet file", str(path), todo)
    return TapeError(
        "not a Parquet file, or cut short or damaged", str(path), "Copy it again from its origin"
    )


def integers(batch: pa.RecordBatch, name: str) -> tuple[I8, Mask | None]:
    """int64 values (0 for null or for a column that is not there), and which of them are given.

    The mask is None where every value is given. Timestamps are given in nanoseconds.
    """
    if name not in batch.schema.names or pa.types.is_null(batch.schema.field(name).type):
        return np.zeros(batch.num_rows, np.int64), np.zeros(batch.num_rows, np.bool_)
    column = in_ns(batch[name])
    given = None
    if column.null_count:
        given = np.asarray(column.is_valid().to_numpy(zero_copy_only=False))
        column = pc.fill_null(column, 0)
    return column.to_numpy(zero_copy_only=False).astype(np.int64, copy=False), given


def floats(batch: pa.RecordBatch, name: str) -> tuple[F8, Mask | None]:
    """float64 values (NaN for null), and which are NaN without being null (None: none is)."""
    column = batch[name]
    values = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    nan = np.isnan(values)
    if np.count_nonzero(nan) == column.null_count:
        return values, None
    return values, nan & np.asarray(column.is_valid().to_numpy(zero_copy_only=False))


def booleans(batch: pa.RecordBatch, name: str) -> Mask:
    """Booleans, null as False."""
    return np.asarray(pc.fill_null(batch[name], False).to_numpy(zero_copy_only=False))


class NameCodes:
    """Turns the pair (venue, symbol) of each row into a number, each pair looked up once.

    Parameters
    ----------
    number : callable
        From venue and symbol to a number, at least -1. A null name is -1 without asking.
    """

    def __init__(self, number: Callable[[str, str], int]) -> None:
        self._number = number
        self._venues: Any = None
        self._symbols: Any = None
        self._known: I4 = np.zeros(0, np.int32)

    def __call__(self, batch: pa.RecordBatch) -> I4:
        venue, symbol = _dictionary(batch["venue"]), _dictionary(batch["symbol"])
        if not (
            self._venues is not None
            and venue.dictionary.equals(self._venues)
            and symbol.dictionary.equals(self._symbols)
        ):
            self._venues, self._symbols = venue.dictionary, symbol.dictionary
            size = (len(self._venues) + 1) * (len(self._symbols) + 1)  # the last of each is null
            self._known = np.full(size, UNSET, np.int32)
        width = len(self._symbols) + 1
        pair = _indices(venue).astype(np.int64) * width + _indices(symbol)
        codes: I4 = self._known[pair]
        unset = codes == UNSET
        if unset.any():
            for one in np.unique(pair[unset]).tolist():
                self._known[one] = self._look_up(*divmod(one, width))
            codes = self._known[pair]
        return codes

    def _look_up(self, venue: int, symbol: int) -> int:
        if venue == len(self._venues) or symbol == len(self._symbols):
            return -1
        names = self._venues[venue].as_py(), self._symbols[symbol].as_py()
        return -1 if None in names else self._number(*names)


def _dictionary(column: pa.Array) -> pa.DictionaryArray:
    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


def _indices(column: pa.DictionaryArray) -> NDArray[Any]:
    indices = column.indices
    if indices.null_count:
        indices = pc.fill_null(indices.cast(pa.int64()), len(column.dictionary))
    return np.asarray(indices.to_numpy(zero_copy_only=False))
