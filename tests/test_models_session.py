"""Promise: the shipped model is an operator like any other: same bits however the ticks come."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.registry import SHIPPED, load
from operators.sequence.inputs import F4, N_INPUTS
from operators.sequence.tier import Sequence
from tests.check_operator import check_operator
from tests.feature_cases import instruments
from tests.sequence_cases import feature_rows, predictions

MODEL = load(SHIPPED)
N_TICKS = 700


def inputs(seed: int = 3) -> F4:
    random = np.random.default_rng(seed)
    x = random.normal(0.0, 2.0, (N_TICKS, 1, N_INPUTS)).clip(-8.0, 15.0)
    return x.astype(np.float32)


def in_pieces(x: F4, cuts: list[int]) -> tuple[F4, F4]:
    h, parts = MODEL.initial(1)[None], []
    for start, stop in zip([0, *cuts], [*cuts, N_TICKS], strict=True):
        y, h = MODEL.run(x[start:stop], h)
        parts.append(y)
    return np.concatenate(parts), h


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 33, 64, 100, 511])
def test_batches_of_any_size_give_the_same_bits(size: int) -> None:
    """Vectorised loops treat the last few rows of a call differently; none may show."""
    y, h = in_pieces(inputs(), list(range(size, N_TICKS, size)))
    y_whole, h_whole = in_pieces(inputs(), [])
    assert y.tobytes() == y_whole.tobytes()
    assert h.tobytes() == h_whole.tobytes()


@given(st.sets(st.integers(1, N_TICKS - 1), max_size=40), st.integers(0, 10))
def test_any_split_gives_the_same_bits(cuts: set[int], seed: int) -> None:
    y, h = in_pieces(inputs(seed), sorted(cuts))
    y_whole, h_whole = in_pieces(inputs(seed), [])
    assert y.tobytes() == y_whole.tobytes()
    assert h.tobytes() == h_whole.tobytes()


def test_promises_of_an_operator() -> None:
    check_operator(Sequence(instruments(), MODEL), feature_rows(2000))


def test_predictions_are_probabilities() -> None:
    sequence = Sequence(instruments(), MODEL)
    found = predictions(sequence.step(sequence.initial(), feature_rows(4000))[1])
    found = found[np.isfinite(found[:, 0])]
    assert len(found) > 2000
    p_up, vol_ratio, regimes = found[:, 0], found[:, 1], found[:, 2:]
    assert ((p_up > 0.0) & (p_up < 1.0)).all()
    assert ((vol_ratio >= 0.0499) & (vol_ratio <= 20.01)).all()
    assert (regimes >= 0.0).all()
    assert regimes.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    assert p_up.std() > 1e-3
