"""Small files of facts that are known before a run: Parquet or CSV, with clear errors."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from schemas.times import in_ns, is_moment
from venues.tape.errors import TapeError


def read_table(path: Path, columns: tuple[str, ...], *, what: str) -> pa.Table:
    """These columns of a file, in file order; by the ending .parquet or .csv.

    TapeError if it cannot be read, has another ending, lacks a column, or has no rows.
    """
    if not path.is_file():
        found = "a folder, not a file" if path.is_dir() else "no such file"
        raise TapeError(found, str(path), f"Give the path of a {what} as Parquet or CSV")
    readers = {".parquet": pq.read_table, ".csv": csv.read_csv}
    if path.suffix not in readers:
        raise TapeError(
            f"a {what} cannot be read from {path.suffix or 'a file without ending'}", str(path),
            "Give it as .parquet or .csv",
        )  # fmt: skip
    try:
        table = readers[path.suffix](path)
    except (pa.ArrowException, OSError) as error:
        raise TapeError(
            f"not a {path.suffix[1:]} file, or damaged ({error})", str(path),
            "Copy it again from its origin",
        ) from error  # fmt: skip
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise TapeError(
            f"the column {', '.join(missing)} is missing", str(path),
            f"A {what} needs the columns {', '.join(columns)}",
        )  # fmt: skip
    if not table.num_rows:
        raise TapeError("it has no rows", str(path), f"Leave the {what} away, or fill it")
    return table.select(columns)


def values(table: pa.Table, name: str, path: Path) -> list[object]:
    """A column without nulls as Python objects; TapeError naming the first row with one."""
    column = table[name].combine_chunks()
    if column.null_count:
        row = column.is_null().index(True).as_py()
        raise TapeError(
            f"the column {name} is null in row {row}", str(path), "Fill it, or take the row out"
        )
    found: list[object] = column.to_pylist()
    return found


def times_ns(table: pa.Table, name: str, path: Path) -> list[int]:
    """A column of times as nanoseconds since 1970 UTC.

    Whole numbers are that already; timestamps must have a zone. TapeError otherwise.
    """
    type_ = table.schema.field(name).type
    if not (is_moment(type_) or pa.types.is_integer(type_)):
        raise TapeError(
            f"the column {name} has the type {type_}, which is no time in UTC", str(path),
            "Write nanoseconds since 1970, or ISO 8601 with a zone as in 2024-01-05T13:30:00Z",
        )  # fmt: skip
    table = table.set_column(table.schema.get_field_index(name), name, in_ns(table[name]))
    return [int(str(value)) for value in values(table, name, path)]
