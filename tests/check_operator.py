"""One check for every operator: same bytes however the rows come, and wherever it was saved.

Run as a program it prints the digest of what a pickled operator makes of pickled rows: that is how
`without_numba` gets its second opinion from a process that never compiled anything.
"""

import hashlib
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from schemas import rows as tables

ROOT = Path(__file__).resolve().parent.parent
BATCH_SIZES = (1, 2, 3, 7, 100)
SMALL_BATCHES = 1500  # so many of one size, then the rest at once: a long tape stays affordable
RANDOM_SPLITS = 5
SAVED_AT_EACH_ROW = 300  # rows; later only at SAVED_AT_RANDOM places
SAVED_AT_RANDOM = 20
PREFIXES = 12
ROWS_WITHOUT_NUMBA = 3000
SEED = 20240808

Take = Callable[[Any, slice], Any]
Concat = Callable[[list[Any]], Any]


def check_operator(
    operator: Any,
    rows: Any,
    *,
    take: Take = tables.take,
    concat: Concat = tables.concat,
    warm_up: float = 0.5,
    without_numba: bool = False,
) -> None:
    """Assert every promise of `operators.arrays.Operator` on these rows.

    Parameters
    ----------
    operator : Operator
        Its output is one table or a tuple of tables; tables are joined piece by piece.
    rows : NamedTuple of equally long arrays
        What it is fed. Make them long enough to pass its warm-up.
    take, concat
        How tables are cut (by a slice, into owned arrays) and joined.
    warm_up : float
        Share of the rows after which the size of `dump` may not grow any more.
    without_numba : bool
        Also compare with a process that runs the bare Python functions, on the first 3,000 rows.
        Costs about two seconds. The operator must be picklable.
    """
    n = len(rows[0])
    assert n > 1, "an operator is checked on at least two rows"
    whole, end = _run(operator, rows, [], take, concat)
    expected, saved = _digests(whole), operator.dump(end)
    assert operator.dump(operator.load(saved)) == saved, "load(dump) is not the same state"

    for what, cuts in _splits(n):
        found, state = _run(operator, rows, cuts, take, concat)
        _same(found, whole, expected, f"split into batches of {what}")
        assert operator.dump(state) == saved, f"batches of {what} end in another state"

    for at in _places(n, PREFIXES):
        past, _ = _run(operator, take(rows, slice(0, at)), [], take, concat)
        _same_start(past, whole, f"the future was cut off at row {at}")

    each = list(range(1, min(n, SAVED_AT_EACH_ROW)))
    cuts = sorted({*each, *_places(n, SAVED_AT_RANDOM)})
    found, state = _run(operator, rows, cuts, take, concat, save=True)
    _same(found, whole, expected, "dumped and loaded between batches")
    assert operator.dump(state) == saved, "dumped and loaded between batches: another state"

    _check_size(operator, rows, take, warm_up, len(saved))
    if without_numba:
        _check_without_numba(operator, take(rows, slice(0, ROWS_WITHOUT_NUMBA)), take, concat)


def digest(out: Any) -> str:
    """SHA-256 over the types and bytes of every column of a table or a tuple of tables."""
    return hashlib.sha256("".join(_digests(out)).encode()).hexdigest()


def _run(
    operator: Any, rows: Any, cuts: list[int], take: Take, concat: Concat, save: bool = False
) -> tuple[Any, Any]:
    """Output and last state; with `save` the state goes through bytes between batches."""
    state, parts, made = operator.initial(), [], []
    for first, last in zip([0, *cuts], [*cuts, len(rows[0])], strict=True):
        batch = take(rows, slice(first, last))
        before = _bytes(batch)
        state, out = operator.step(state, batch)
        assert _bytes(batch) == before, "the operator changed its input rows"
        parts.append(out)
        made.append(_bytes(out) if len(parts) <= SAVED_AT_EACH_ROW else None)
        if save:
            state = operator.load(operator.dump(state))
    for out, at_once in zip(parts, made, strict=True):
        assert at_once in (None, _bytes(out)), "a later step changed rows that were already out"
    return _join(parts, concat), state


def _splits(n: int) -> Iterator[tuple[str, list[int]]]:
    for size in BATCH_SIZES:
        yield str(size), list(range(size, min(n, size * SMALL_BATCHES + 1), size))
    random = np.random.default_rng(SEED)
    for _ in range(RANDOM_SPLITS):
        cuts = np.sort(random.integers(0, n + 1, min(n, 30)))  # empty batches among them
        yield f"random cuts {cuts.tolist()}", cuts.tolist()


def _places(n: int, count: int) -> list[int]:
    random = np.random.default_rng(SEED + 1)
    return sorted({1, n - 1, *random.integers(1, n, count).tolist()})


def _join(parts: list[Any], concat: Concat) -> Any:
    if _is_table(parts[0]):
        return concat(parts)
    return tuple(concat(list(pieces)) for pieces in zip(*parts, strict=True))


def _is_table(out: Any) -> bool:
    return hasattr(out, "_fields")


def _tables(out: Any) -> tuple[Any, ...]:
    return (out,) if _is_table(out) else tuple(out)


def _columns(out: Any) -> Iterator[tuple[str, Any]]:
    for table in _tables(out):
        for name, column in zip(table._fields, table, strict=True):
            yield f"{type(table).__name__}.{name}", column


def _bytes(out: Any) -> list[bytes]:
    return [column.tobytes() for _, column in _columns(out)]


def _digests(out: Any) -> list[str]:
    return [
        hashlib.sha256(f"{name} {column.dtype.str} ".encode() + column.tobytes()).hexdigest()
        for name, column in _columns(out)
    ]


def _same(found: Any, expected: Any, digests: list[str], how: str) -> None:
    if _digests(found) != digests:
        _same_start(found, expected, how)
        raise AssertionError(f"{how}: {_lengths(found)} rows out, not {_lengths(expected)}")


def _same_start(found: Any, expected: Any, how: str) -> None:
    """The found rows are the first of the expected ones, byte for byte."""
    for (name, a), (_, b) in zip(_columns(found), _columns(expected), strict=True):
        assert a.dtype == b.dtype, f"{how}: {name} is {a.dtype}, not {b.dtype}"
        assert len(a) <= len(b), f"{how}: {name} has {len(a)} rows, not {len(b)}"
        if a.tobytes() == b[: len(a)].tobytes():
            continue
        at = next(i for i in range(len(a)) if a[i].tobytes() != b[i].tobytes())
        raise AssertionError(f"{how}: {name}[{at}] is {a[at]!r}, not {b[at]!r}")


def _lengths(out: Any) -> list[int]:
    return [len(table[0]) for table in _tables(out)]


def _check_size(operator: Any, rows: Any, take: Take, warm_up: float, at_end: int) -> None:
    middle = max(1, int(len(rows[0]) * warm_up))
    state, _ = operator.step(operator.initial(), take(rows, slice(0, middle)))
    warm = len(operator.dump(state))
    assert at_end <= warm, f"the state grew from {warm} bytes at row {middle} to {at_end}"


def _check_without_numba(operator: Any, rows: Any, take: Take, concat: Concat) -> None:
    out, _ = _run(operator, rows, [], take, concat)
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.pickle"
        job.write_bytes(pickle.dumps((operator, rows)))
        child = subprocess.run(
            [sys.executable, str(Path(__file__).resolve()), str(job)],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env={**os.environ, "TRIFECTA_NO_NUMBA": "1", "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert child.returncode == 0, f"without numba: {child.stderr}"
    assert child.stdout.split() == _digests(out), "without numba: other bytes"


if __name__ == "__main__":
    job_operator, job_rows = pickle.loads(Path(sys.argv[1]).read_bytes())
    print("\n".join(_digests(job_operator.step(job_operator.initial(), job_rows)[1])))
