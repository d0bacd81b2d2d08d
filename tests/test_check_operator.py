"""The shared check finds each kind of broken operator, and passes a sound one."""

import re
from typing import Any, NamedTuple

import numpy as np
import pytest

from operators.arrays import ArrayOperator
from schemas.rows import F8
from tests.check_operator import check_operator, digest


class Numbers(NamedTuple):
    """A table of one column."""

    x: F8


class Pieces(NamedTuple):
    """Another one."""

    last: F8
    total: F8


class State(NamedTuple):
    """What a running total remembers."""

    total: F8


class Total(ArrayOperator[State]):
    """Running total of x; sound."""

    def initial(self) -> State:
        return State(np.zeros(1))

    def step(self, state: State, rows: Numbers) -> tuple[State, Any]:
        sums = np.cumsum([state.total[0], *rows.x])
        state.total[0] = sums[-1]
        return state, Pieces(rows.x.copy(), sums[1:])


class TwoTables(Total):
    """Sound as well, with two tables out, one of them shorter."""

    def step(self, state: State, rows: Numbers) -> tuple[State, Any]:
        state, out = super().step(state, rows)
        return state, (out, Numbers(rows.x[rows.x > 0.0]))


class Carry(Total):
    """Adds the carry to the sum of each batch: other roundings in other batches."""

    def step(self, state: State, rows: Numbers) -> tuple[State, Any]:
        sums = np.cumsum(rows.x) + state.total[0]
        state.total[0] = sums[-1] if rows.x.size else state.total[0]
        return state, Pieces(rows.x.copy(), sums)


class LooksAhead(Total):
    """Centres on the batch's mean, which the first rows cannot know."""

    def step(self, state: State, rows: Numbers) -> tuple[State, Any]:
        mean = rows.x.mean() if rows.x.size else 0.0
        return state, Numbers(rows.x - mean)


class Forgets(Total):
    """Saves less than it remembers."""

    def step(self, state: State, rows: Numbers) -> tuple[State, Any]:
        state.total[0] += rows.x.size
        return state, Numbers(rows.x.copy())

    def dump(self, state: State) -> bytes:
        return super().dump(State(np.round(state.total, -1)))


class WritesInput(Total):
    """Uses its input as scratch."""

    def step(self, state: State, rows: Numbers) -> tuple[State, Any]:
        out = Numbers(rows.x * 2.0)
        rows.x[:] = 0.0
        return state, out


class Grows(ArrayOperator[State]):
    """Remembers every row."""

    def initial(self) -> State:
        return State(np.zeros(0))

    def step(self, state: State, rows: Numbers) -> tuple[State, Any]:
        return State(np.concatenate([state.total, rows.x])), Numbers(rows.x.copy())


class SharesOutput(Total):
    """Hands out the very array that it goes on writing to."""

    def __init__(self) -> None:
        self.scratch = np.empty(1000)

    def step(self, state: State, rows: Numbers) -> tuple[State, Any]:
        out = self.scratch[: rows.x.size]
        out[:] = rows.x
        return state, Numbers(out)


def numbers() -> Numbers:
    return Numbers(np.random.default_rng(1).normal(size=700))


BROKEN = [
    (Carry(), "split into batches of"),
    (LooksAhead(), "split into batches of 1"),
    (Forgets(), "dumped and loaded between batches: another state"),
    (WritesInput(), "changed its input"),
    (Grows(), "the state grew"),
    (SharesOutput(), "changed rows that were already out"),
]


@pytest.mark.parametrize("operator", [Total(), TwoTables()], ids=["one table", "two tables"])
def test_a_sound_operator_passes(operator: Any) -> None:
    check_operator(operator, numbers(), without_numba=True)


@pytest.mark.parametrize(("operator", "finding"), BROKEN, ids=[type(b[0]).__name__ for b in BROKEN])
def test_a_broken_operator_is_found(operator: Any, finding: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(finding)):
        check_operator(operator, numbers())


def test_the_first_difference_is_shown_with_its_place() -> None:
    with pytest.raises(AssertionError, match=r"Numbers\.x\[0\] is .*, not "):
        check_operator(LooksAhead(), numbers())


def test_the_digest_sees_types_names_and_bytes() -> None:
    table = Numbers(np.array([1.0, np.nan]))
    assert digest(table) == digest(Numbers(np.array([1.0, np.nan])))
    assert digest(table) != digest(Numbers(np.array([1.0, -np.nan])))
    assert digest(table) != digest(Numbers(np.array([1.0, np.nan], np.float32)))
    assert digest((table, table)) != digest(table)
