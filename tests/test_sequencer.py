"""Promise: every row gets the next number of its lane; no hole, no repeat, however it was cut."""

import numpy as np
import pytest

from operators.market.sequencer import Sequencer
from schemas.rows import MarketRows, empty, take
from tests.check_operator import check_operator

LANES = 5


def in_lanes(lanes: list[int]) -> MarketRows:
    rows = empty(MarketRows, len(lanes))
    rows.lane[:] = lanes
    rows.source_row[:] = np.arange(len(lanes))
    return rows


# fmt: off
CASES = [
    # what                   lanes of the rows      seq
    ("one lane",             [0, 0, 0],             [0, 1, 2]),
    ("lanes count alone",    [0, 2, 2, 0, 4, 2],    [0, 0, 1, 1, 0, 2]),
    ("no rows",              [],                    []),
]
# fmt: on


@pytest.mark.parametrize(("what", "lanes", "seq"), CASES, ids=[c[0] for c in CASES])
def test_numbers(what: str, lanes: list[int], seq: list[int]) -> None:
    sequencer = Sequencer(LANES)
    assert sequencer.step(sequencer.initial(), in_lanes(lanes))[1].seq.tolist() == seq


def test_numbers_go_on_where_they_were_saved() -> None:
    sequencer = Sequencer(LANES)
    state, _ = sequencer.step(sequencer.initial(), in_lanes([1, 1, 3]))
    state = sequencer.load(sequencer.dump(state))
    assert sequencer.step(state, in_lanes([3, 1, 0]))[1].seq.tolist() == [1, 2, 0]


def test_only_seq_changes() -> None:
    rows = in_lanes([0, 1, 0])
    made = Sequencer(LANES).step(Sequencer(LANES).initial(), rows)[1]
    for name in rows._fields:
        if name != "seq":
            assert getattr(made, name) is getattr(rows, name)


def test_promises_of_an_operator() -> None:
    random = np.random.default_rng(3)
    rows = in_lanes(random.integers(0, LANES, 2000).tolist())
    check_operator(Sequencer(LANES), rows, without_numba=True)
    made = Sequencer(LANES).step(Sequencer(LANES).initial(), rows)[1]
    for lane in range(LANES):
        mine = take(made, made.lane == lane)
        assert mine.seq.tolist() == list(range(mine.seq.size))
