"""Numbers rows: the next `seq` of each lane, without a hole."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from operators.arrays import I8, ArrayOperator, kernel
from schemas.rows import MarketRows


class SequencerState(NamedTuple):
    """Where each lane is."""

    next_seq: I8  # (lanes,)


class Sequencer(ArrayOperator[SequencerState]):
    """Gives every row the next `seq` of its lane, from 0, in the order in which rows come.

    Parameters
    ----------
    lanes : int
    first : sequence of int, optional
        What each lane begins with instead.

    Notes
    -----
    In and out: MarketRows; only `seq` changes. Chunks: any split gives the same numbers.
    `number` does the same for rows of any kind, given their lanes.
    """

    def __init__(self, lanes: int, first: Sequence[int] | None = None) -> None:
        self._first = [0] * lanes if first is None else list(first)

    def initial(self) -> SequencerState:
        return SequencerState(np.array(self._first, np.int64))

    def step(self, state: SequencerState, rows: MarketRows) -> tuple[SequencerState, MarketRows]:
        state, seq = self.number(state, rows.lane)
        return state, rows._replace(seq=seq)

    def number(self, state: SequencerState, lane: Any) -> tuple[SequencerState, I8]:
        """`seq` for rows of these lanes, in order."""
        seq = np.empty(lane.size, np.int64)
        # One type for all callers: else the first orders of a day wait for a compiler.
        _number(state.next_seq, np.ascontiguousarray(lane, np.int64), seq)
        return state, seq


@kernel
def _number(next_seq: I8, lane: I8, seq: I8) -> None:
    for i in range(lane.size):
        seq[i] = next_seq[lane[i]]
        next_seq[lane[i]] += 1
