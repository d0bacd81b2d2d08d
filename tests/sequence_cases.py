"""Feature rows and a predictor for the tests of the sequence tier."""

from typing import Any

import numpy as np

from operators.features.tier import Features
from operators.sequence.inputs import F4, N_INPUTS
from operators.sequence.tier import N_OUTPUTS
from schemas.kinds import Kind
from schemas.rows import FeatureRows, empty
from tests.feature_cases import instruments, mixed_market

PREDICTIONS = FeatureRows._fields[-N_OUTPUTS:]


def feature_rows(n: int, seed: int = 1) -> FeatureRows:
    """What the feature tier makes of three instruments with gaps, strangers and heartbeats."""
    features = Features(instruments())
    return features.step(features.initial(), mixed_market(n, seed))[1]


def ticks(*rows: dict[str, Any]) -> FeatureRows:
    """Quotes of lane 1, symbol 0 at mid 100 and 1 s apart, unless a row says otherwise."""
    table = empty(FeatureRows, len(rows))
    for i, row in enumerate(rows):
        common = {"lane": 1, "kind": Kind.QUOTE, "mid": 100.0, "ts_recv_ns": i * 10**9}
        for name, value in {**common, **row}.items():
            getattr(table, name)[i] = value
    return table


def predictions(rows: FeatureRows) -> Any:
    """The six prediction columns, shape (n, 6)."""
    return np.stack([getattr(rows, name) for name in PREDICTIONS], axis=1)


class Accumulator:
    """A predictor whose answers tell what it was shown: sums of everything so far, fading."""

    digest = 0x1234

    def initial(self, n: int) -> F4:
        return np.zeros((n, N_INPUTS), np.float32)

    def run(self, x: F4, h: F4) -> tuple[F4, F4]:
        assert x.dtype == h.dtype == np.float32
        assert x.shape[0] > 0
        assert x.shape[1:] == h.shape[1:] == (1, N_INPUTS)
        h = h.copy()
        y = np.empty((x.shape[0], 1, N_OUTPUTS), np.float32)
        for t in range(x.shape[0]):
            h[0, 0] = np.float32(0.75) * h[0, 0] + x[t, 0]
            y[t, 0] = h[0, 0, :N_OUTPUTS]
        return y, h
