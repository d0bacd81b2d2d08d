"""One declaration, two engines: the inline gate and Great Expectations accept the same rows.

The gate judges rows in order and remembers; Great Expectations judges each row on its own, with
what the gate remembered in columns beside it. Compared is the reason of every row, not only
whether it passes: the first expectation of the suite that fails gives it.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from console.quality.frames import SLICE_ROWS, frame, slices
from console.quality.great import failing_rows
from operators.market.gate import Gate
from schemas.expectations import (
    KINDS,
    TIME_MAX_NS,
    Check,
    MarketClass,
    Null,
    of_class,
    suite,
    suites,
    values_of,
)
from schemas.kinds import Flag, Kind
from schemas.reasons import Reason
from schemas.rows import MarketRows, concat, dtypes, from_batch, take, to_batch
from tests.tape_files import bars, book, quotes, trades, write
from tests.test_gate import EVENT, LOOSE, OPTION, OTHER, PLAIN, SPOT, made, spoiled, table
from venues.feed import Feed
from venues.tape import open_tapes
from venues.tape.layouts import LAYOUTS

ROOT = Path(__file__).parents[1]
SAMPLES = sorted((ROOT / "tapes").glob("*/*.parquet"))
FOLDERS = tuple(layout.name for layout in LAYOUTS)
DATA = Path(os.environ.get("TRIFECTA_DATA") or ROOT.parent / "shared/data")
TAPES = [
    path.relative_to(DATA).as_posix()
    for folder in FOLDERS
    for path in sorted((DATA / folder).glob("*.parquet"))
] or ["quotes/polymarket_all_20260804.parquet"]
FIRST_ROWS = 2_000  # of a tape of the recorded data
SAMPLE_ROWS = 20_000  # of a tape of the sample
HUGE = 2**53  # above it a float64 no longer holds every whole number
Suite = tuple[Kind, MarketClass]


class Judged:
    """Rows that the gate has judged, gathered by suite, for one call of the other engine each."""

    def __init__(self) -> None:
        self.frames: dict[Suite, list[Any]] = defaultdict(list)
        self.reasons: dict[Suite, list[Any]] = defaultdict(list)
        self.failed: dict[Suite, list[int]] = {}

    def add(self, rows: MarketRows, gate: Gate) -> None:
        _, (reason, seen) = gate.judge(gate.initial(), rows)
        for kind in KINDS:
            for group in MarketClass:
                mine = (rows.kind == kind) & of_class(group, seen)
                n = int(np.count_nonzero(mine))
                if n:
                    before = sum(map(len, self.reasons[kind, group]))
                    position = before + np.arange(n)
                    made = frame(take(rows, mine), take(seen, mine), position)
                    self.frames[kind, group].append(made)
                    self.reasons[kind, group].append(reason[mine])

    def agree(self) -> None:
        """Both engines give every row the same reason."""
        assert self.frames
        for key, frames in self.frames.items():
            rows = pd.concat(frames, ignore_index=True)
            inline = np.concatenate(self.reasons[key])
            failing = failing_rows(*key, rows)
            self.failed[key] = [len(found) for found in failing]
            found = np.zeros(inline.size, np.int64)
            for expectation, positions in reversed(list(zip(suite(*key), failing, strict=True))):
                if expectation.reason is None:
                    found[positions] = rows[expectation.column].iloc[positions].to_numpy(np.int64)
                else:
                    found[positions] = expectation.reason
            apart = np.flatnonzero(found != inline)
            assert not apart.size, (
                f"{key}: gate {Reason(int(inline[apart[0]])).name}, Great Expectations "
                f"{Reason(int(found[apart[0]])).name}, {apart.size} rows, the first is\n"
                f"{ {name: rows[name].iloc[apart[0]] for name in rows} }"
            )


def judged(*feeds: Feed, rows: int) -> Judged:
    found = Judged()
    for feed in feeds:
        gate = Gate(feed.table.arrays(), len(feed.names))
        found.add(next(iter(feed.read(0, rows))), gate)
    return found


def test_on_the_sample_tapes() -> None:
    assert len(SAMPLES) >= 7
    found = judged(open_tapes(SAMPLES), rows=SAMPLE_ROWS)
    found.agree()
    assert sum(map(len, found.frames[Kind.QUOTE, MarketClass.LOOSE])) > 1000


@pytest.mark.parametrize("folder", FOLDERS)
def test_on_the_first_rows_of_every_recorded_tape(folder: str, data_path: Any, tmp_path: Any):
    found = Judged()
    for tape in sorted(data_path(folder).glob("*.parquet")):
        part = next(pq.ParquetFile(tape).iter_batches(FIRST_ROWS))
        path = tmp_path / folder / tape.name
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_batches([part]), path)
        feed = open_tapes([path])
        found.add(concat(list(feed.read(0, FIRST_ROWS))), Gate(feed.table.arrays(), 1))
    found.agree()


@pytest.mark.slow
@pytest.mark.parametrize("name", TAPES)
def test_on_every_row_of_every_recorded_tape(name: str, data_path: Any) -> None:
    """Long form: the same, of the whole tapes; `make gate` runs it."""
    feed = open_tapes([data_path(name)])
    gate = Gate(feed.table.arrays(), 1)
    state, n_rows = gate.initial(), 0
    for part in feed.read(0, SLICE_ROWS):
        state, (reason, seen) = gate.judge(state, part)
        found = Judged()
        found.add(part, _Told(reason, seen))  # type: ignore[arg-type]
        found.agree()
        n_rows += part.seq.size
    assert n_rows == feed.n_rows == pq.read_metadata(data_path(name)).num_rows


class _Told:
    """A verdict that is known already."""

    def __init__(self, reason: Any, seen: Any) -> None:
        self.told = reason, seen

    def initial(self) -> None:
        return None

    def judge(self, state: None, rows: MarketRows) -> tuple[None, tuple[Any, Any]]:
        return None, self.told


FLOATS = [
    float("nan"), float("inf"), -float("inf"), 0.0, -0.0, -1.0, 1.0, 0.5, 2.0, 5e-324, 1e9, 1.1e9,
    1e15, 1.1e15, 1e18, 1.1e18, 1.7e308, -1.7e308, float(HUGE),
]  # fmt: skip
INTS = [0, 1, -1, 2, 7, HUGE, HUGE + 1, HUGE + 2, -HUGE - 1, 2**63 - 1, -(2**63),
        TIME_MAX_NS, TIME_MAX_NS + 1]  # fmt: skip


def fuzzed(kind: Kind, at: tuple[int, int], n: int, seed: int) -> MarketRows:
    """Plain rows of a kind, 1 ns apart above 2**53; then up to two columns of each spoiled."""
    random = np.random.default_rng(seed)
    plain = PLAIN[kind] | {"kind": kind, "at": at}
    if at == EVENT and kind in (Kind.BAR, Kind.MARK):
        plain |= {"open": 0.5, "high": 0.8, "low": 0.2, "price": 0.5}
        plain |= {"ref": 60.0 if kind == Kind.BAR else 0.6}
        plain = {k: v for k, v in plain.items() if kind == Kind.BAR or k not in BAR_ONLY}
    rows = made(*[plain] * n)
    clock = HUGE + np.arange(n)
    rows.ts_recv_ns[:] = clock
    rows.ts_event_ns[:] = clock - random.choice([0, 0, 0, 1, 2], n)
    rows.ts_recv_ns[:] -= random.choice([0, 0, 0, 1, 2], n)
    rows.source[:] = random.integers(0, 2, n)
    rows.flags[:] = random.choice([0, Flag.MSG_LAST, Flag.MSG_LAST, Flag.SNAPSHOT], n)
    columns = {name: dtype for name, dtype in dtypes(MarketRows).items() if name != "kind"}
    for name, dtype in columns.items():
        column, bad = getattr(rows, name), random.random(n) < 1.2 / len(columns)
        if name == "source":
            continue  # a source that the feed has not is a wrong program, see test_gate
        if dtype.kind == "f":
            column[bad] = random.choice(FLOATS, np.count_nonzero(bad))
            column[random.random(n) < 0.05] = np.nan  # often enough for two in one row
        elif name == "reason":
            column[bad] = random.choice([r for r in Reason if r < 50], np.count_nonzero(bad))
        else:
            fit = [x for x in INTS if np.iinfo(dtype).min <= x <= np.iinfo(dtype).max]
            if name.startswith("ts_"):  # the greatest time puts all later rows behind
                fit.remove(TIME_MAX_NS)
                column[-2:] = TIME_MAX_NS
            column[bad] = random.choice(np.array(fit, dtype), np.count_nonzero(bad))
    return rows


BAR_ONLY = ("open", "high", "low")


def test_on_rows_fuzzed_in_every_column() -> None:
    found = Judged()
    gate = Gate(table().arrays(), 2)
    for seed, kind in enumerate(KINDS):
        for at in (SPOT, OTHER, EVENT, LOOSE, OPTION):
            found.add(fuzzed(kind, at, 1500, seed=100 * seed + at[1] + 10 * at[0]), gate)
    found.agree()
    assert set(found.frames) == set(suites())
    quiet = [
        (kind.name, group.name, expectation.words)
        for (kind, group), failed in found.failed.items()
        for expectation, n in zip(suite(kind, group), failed, strict=True)
        if not n
        and not (expectation.check is Check.NOT_NULL and expectation.column in TYPED)
        # Rows that no instrument can be found for are judged by the suite of plain markets.
        and not (group is not MarketClass.PLAIN and expectation.column == "instrument_kind")
    ]
    assert quiet == [], "the fuzzed rows never fail these, so nothing was compared"


TYPED = [name for name, dtype in dtypes(MarketRows).items() if dtype.kind != "f"]


def test_on_mixed_rows_of_broken_messages() -> None:
    found = Judged()
    found.add(spoiled(2000), Gate(table().arrays(), 2))
    found.agree()
    book = suite(Kind.BOOK, MarketClass.PLAIN)
    assert book[-1].column == "message_reason"
    assert found.failed[Kind.BOOK, MarketClass.PLAIN][-1] > 50


def tapes(folder: Path) -> Iterator[Path]:
    """A tape per layout and column, in which that column holds what it should not."""
    n = 12
    plain = {"trades": trades, "quotes": quotes, "book": book, "bars": bars}
    for layout, make in plain.items():
        for name, values in make(n).items():
            first = values[0].as_py() if isinstance(values, pa.Array) else values[0]
            if isinstance(first, float):
                bad: list[Any] = [None, *FLOATS]
                kind = pa.float64()
            elif isinstance(first, int) and not isinstance(first, bool):
                bad, kind = [None, HUGE + 1, -1, 0, 2**63 - 1], pa.int64()
                if isinstance(values, pa.Array):
                    bad, kind = [None, 0, -1, 2, -128], values.type
            else:
                bad, kind = [None], None
            every = [x for x in bad for _ in (0, 1)]
            columns = make(2 * len(every))
            whole = columns[name]
            column = whole.to_pylist() if isinstance(whole, pa.Array) else list(whole)
            column[1::2] = every
            columns[name] = pa.array(column, kind) if kind else pa.array(column)
            yield write(folder / layout / f"{name}.parquet", columns)


def test_on_tapes_with_nulls_and_more_in_every_column(tmp_path: Path) -> None:
    found = Judged()
    for path in tapes(tmp_path):
        feed = open_tapes([path])
        found.add(concat(list(feed.read(0, 1000))), Gate(feed.table.arrays(), 1))
    found.agree()
    assert sum(int(np.count_nonzero(r)) for each in found.reasons.values() for r in each) > 100


def test_a_null_where_the_schema_allows_none_is_found() -> None:
    """Great Expectations names the column; to the gate such rows never come."""
    rows = made(*[{}] * len(TYPED))
    gate = Gate(table().arrays(), 2)
    _, (_, seen) = gate.judge(gate.initial(), rows)
    spoilt = frame(rows, seen, np.arange(len(TYPED)))
    for row, name in enumerate(TYPED):
        spoilt.loc[row, name] = pd.NA
    failing = failing_rows(Kind.TRADE, MarketClass.PLAIN, spoilt)
    words = [expectation.words for expectation in suite(Kind.TRADE, MarketClass.PLAIN)]
    found = {word: rows for word, rows in zip(words, failing, strict=True) if rows}
    assert found == {f"{name} is there": [row] for row, name in enumerate(TYPED)}
    for name in TYPED:
        batch = to_batch(rows)
        columns = batch.columns
        columns[batch.schema.get_field_index(name)] = pa.array(spoilt[name])
        with pytest.raises(ValueError, match=f"1 nulls in {name}, which is never null"):
            from_batch(MarketRows, pa.RecordBatch.from_arrays(columns, schema=batch.schema))


@pytest.mark.parametrize(("kind", "group"), list(suites()), ids=lambda each: each.name)
def test_every_column_has_its_rule(kind: Kind, group: MarketClass) -> None:
    """Never-null columns are asked for, and every value that is there is finite and bounded."""
    asked = suite(kind, group)
    words = [each.words for each in asked]
    assert len(set(words)) == len(words)
    for name in TYPED:
        assert f"{name} is there" in words
    for name, value in values_of(kind, group).items():
        mine = [each for each in asked if each.column == name]
        if value.null is Null.ALWAYS:
            assert [each.check for each in mine] == [Check.NULL]
            continue
        assert any(each.check is Check.NOT_NULL for each in mine) == (value.null is Null.NEVER)
        assert bool(value.null_means) == (value.null is Null.MAY)
        for each in mine:
            if each.check is Check.BETWEEN:
                assert np.isfinite(np.array([each.low, each.high], np.float64)).all()


def test_slices_give_what_one_gives() -> None:
    feed = open_tapes(SAMPLES[:2], to_ns=None)
    whole = list(slices(feed, rows=feed.n_rows))
    parts = list(slices(feed, rows=9_999))
    assert [part.first for part in parts] == list(range(0, feed.n_rows, 9_999))
    for name in ("newest_recv_ns", "newest_event_ns", "instrument_kind", "message_reason"):
        joined = np.concatenate([getattr(part.seen, name) for part in parts])
        assert np.array_equal(joined, getattr(whole[0].seen, name))
    assert np.array_equal(np.concatenate([part.reason for part in parts]), whole[0].reason)
