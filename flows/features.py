"""Features: one feature row per market row, and the sequence model's prediction on every tick.

market -> features -> sequence -> ...

Beside them the features of the market layer that a run has enabled:

market -> signals -> ...
"""

from functools import partial

import bytewax.operators as op
from bytewax.operators import KeyedStream

from flows.parcel import Parcel, ParcelStep, fill, whole
from operators.features.signal_log import SignalLog
from operators.features.tier import Features
from operators.sequence.tier import Predictor, Sequence
from schemas.instruments import InstrumentTable


def steps(
    stream: KeyedStream[Parcel], table: InstrumentTable, predictor: Predictor | None
) -> KeyedStream[Parcel]:
    """Features, then predictions; without a predictor the momentum fallback predicts."""
    features = partial(
        ParcelStep,
        Features(table.arrays()),
        read=lambda parcel: parcel.market,
        write=fill(features=whole),
    )
    sequence = partial(
        ParcelStep,
        Sequence(table.arrays(), predictor),
        read=lambda parcel: parcel.features,
        write=fill(features=whole),
    )
    stream = op.stateful_batch("features", stream, features)
    return op.stateful_batch("sequence", stream, sequence)


def signal_steps(stream: KeyedStream[Parcel], signals: SignalLog | None) -> KeyedStream[Parcel]:
    """The enabled features, of market rows that have their numbers; no step where none is."""
    if signals is None:
        return stream
    signals.compile()  # no row waits for that
    step = partial(
        ParcelStep, signals, read=lambda parcel: parcel.market, write=fill(signals=whole)
    )
    return op.stateful_batch("signals", stream, step)
