"""Promise: each symbol's ticks reach the model in order, alone, once; nothing else changes."""

import numpy as np
import pytest

from operators.sequence.tier import MOMENTUM_DIGEST, Sequence
from schemas.instruments import InstrumentTable
from schemas.kinds import Kind
from schemas.rows import FeatureRows, take
from tests.check_operator import check_operator
from tests.feature_cases import instrument, instruments
from tests.sequence_cases import PREDICTIONS, Accumulator, feature_rows, predictions


def run(rows: FeatureRows, predictor: Accumulator | None = None) -> FeatureRows:
    sequence = Sequence(instruments(), predictor)
    return sequence.step(sequence.initial(), rows)[1]


def test_promises_of_an_operator() -> None:
    check_operator(Sequence(instruments(), Accumulator()), feature_rows(2500), without_numba=True)


def test_a_symbol_is_predicted_as_if_it_were_alone() -> None:
    rows = feature_rows(3000)
    together = predictions(run(rows, Accumulator()))
    for lane, symbol in ((1, 0), (1, 1), (3, 0)):
        mine = (rows.lane == lane) & (rows.symbol == symbol)
        alone = predictions(run(take(rows, mine), Accumulator()))
        assert np.isfinite(alone).sum() > 1000
        np.testing.assert_array_equal(together[mine], alone)


def test_predictions_stand_on_ticks_with_a_price_and_nowhere_else() -> None:
    rows = feature_rows(3000)
    known = np.isin(rows.lane, [1, 3]) & (rows.symbol >= 0) & (rows.symbol < 2)
    known &= (rows.lane == 1) | (rows.symbol == 0)
    tick = np.isin(rows.kind, [Kind.TRADE, Kind.QUOTE]) & np.isfinite(rows.mid) & known
    assert 0 < tick.sum() < 3000
    for predictor in (None, Accumulator()):
        found = np.isfinite(predictions(run(rows, predictor)))
        np.testing.assert_array_equal(found, np.repeat(tick[:, None], len(PREDICTIONS), axis=1))


def test_every_other_column_passes_through() -> None:
    rows = feature_rows(500)
    made = run(rows, Accumulator())
    for name in rows._fields:
        before, after = getattr(rows, name), getattr(made, name)
        assert after.flags.c_contiguous, name
        if name not in PREDICTIONS:
            assert after is before, name


def test_the_digest_says_who_predicts() -> None:
    assert Sequence(instruments()).digest == MOMENTUM_DIGEST == 0
    assert Sequence(instruments(), Accumulator()).digest == Accumulator.digest


def test_a_saved_state_of_another_model_is_refused() -> None:
    sequence, momentum = Sequence(instruments(), Accumulator()), Sequence(instruments())
    saved = sequence.dump(sequence.initial())
    with pytest.raises(ValueError, match="belongs to model 0000000000001234"):
        momentum.load(saved)


def test_a_saved_state_of_another_table_is_refused() -> None:
    other = InstrumentTable(2, "USD", (instrument(1, 0, has_quotes=True),)).arrays()
    sequence = Sequence(instruments(), Accumulator())
    with pytest.raises(ValueError, match="has 3 instruments, the table 1"):
        Sequence(other, Accumulator()).load(sequence.dump(sequence.initial()))
