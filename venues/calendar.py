"""Scheduled events of the world, from a file: when, and how much they matter."""

from pathlib import Path

import numpy as np

from operators.features.feature import Happenings
from venues.tables import read_table, times_ns, values
from venues.tape.errors import TapeError

WEIGHTS = {"low": 1, "medium": 2, "high": 3, "1": 1, "2": 2, "3": 3}
COLUMNS = ("ts_ns", "importance")


def read_calendar(path: Path) -> Happenings:
    """The happenings of a macro calendar, sorted by time.

    Parameters
    ----------
    path : Path
        Parquet or CSV with the columns `ts_ns` (nanoseconds since 1970 UTC, or timestamps with a
        zone) and `importance` (low, medium, high, or 1, 2, 3); others are not read. What was
        released is not needed and not read: only when.

    Raises
    ------
    TapeError
        If the file cannot be read, or a value is missing or is not one of these.
    """
    table = read_table(path, COLUMNS, what="macro calendar")
    moments = np.array(times_ns(table, "ts_ns", path), np.int64)
    words = [str(word).strip().lower() for word in values(table, "importance", path)]
    for row, word in enumerate(words):
        if word not in WEIGHTS:
            raise TapeError(
                f"the importance is {word!r} in row {row}", str(path),
                "Write low, medium or high (or 1, 2, 3)",
            )  # fmt: skip
    order = np.argsort(moments, kind="stable")
    weights = np.array([WEIGHTS[word] for word in words], np.int8)
    return Happenings(moments[order], weights[order])
