"""Sequence prediction: from the features of a tick to direction, volatility and regime."""

from typing import NamedTuple, Protocol

import numpy as np

from operators.arrays import ArrayOperator, kernel
from operators.sequence.inputs import F4, N_INPUTS, write_inputs
from operators.sequence.momentum import fold_momentum
from operators.sequence.place import tick_place
from schemas.instruments import InstrumentArrays
from schemas.rows import F8, I4, I8, U8, FeatureRows

N_OUTPUTS = 6  # p_up, vol_ratio, p_trend_up, p_trend_down, p_range, p_volatile
MOMENTUM_DIGEST = 0  # what stands for the model where there is none


class Predictor(Protocol):
    """A recurrent model that reads ticks one after the other. Runs are pure and repeatable."""

    @property
    def digest(self) -> int:
        """First 8 bytes of the model's SHA-256, big-endian; never 0."""
        ...

    def initial(self, n: int) -> F4:
        """Recurrent vectors before the first tick, shape (n, H)."""
        ...

    def run(self, x: F4, h: F4) -> tuple[F4, F4]:
        """Inputs (t, 1, N_INPUTS) and vector (1, 1, H) to outputs (t, 1, 6) and next vector.

        Any split of the t ticks into calls must give the same bits.
        """
        ...


class SequenceState(NamedTuple):
    """All that is remembered: 8 + 4 H bytes per instrument."""

    model: U8  # (1,) digest of the model that the vectors belong to
    recurrent: F4  # (instruments, H)
    last_ns: I8  # (instruments,) ts_recv_ns of the last tick, -1 before the first


class Sequence(ArrayOperator[SequenceState]):
    """Fill the prediction columns of every trade and quote row that has a finite mid.

    Parameters
    ----------
    instruments : InstrumentArrays
        The table of all lanes that this operator will see.
    predictor : Predictor or None
        None predicts from momentum (`operators.sequence.momentum`), with digest 0.

    Notes
    -----
    In: FeatureRows. Out: the same rows with p_up, vol_ratio, p_trend_up, p_trend_down, p_range and
    p_volatile; NaN on rows that are no tick, or whose instrument is not in the table. The input
    arrays stay as they are.
    Time: the gap between two ticks of a symbol on ts_recv_ns, never negative.
    Chunks: each symbol's ticks go to the model alone (batch 1), in order, so that neither the split
    nor the other symbols change a bit. A symbol without ticks is not passed: onnxruntime answers a
    sequence of length 0 with a recurrent vector of zeros.
    Errors: ValueError if a saved state belongs to another model or table.
    """

    def __init__(self, instruments: InstrumentArrays, predictor: Predictor | None = None) -> None:
        self.instruments = instruments
        self.predictor = predictor
        self.digest = MOMENTUM_DIGEST if predictor is None else predictor.digest

    def initial(self) -> SequenceState:
        n = self.instruments.symbol.size
        if self.predictor is None:
            recurrent = np.zeros((n, 0), np.float32)
        else:
            recurrent = self.predictor.initial(n)
        return SequenceState(
            np.array([self.digest], np.uint64), recurrent, np.full(n, -1, np.int64)
        )

    def load(self, saved: bytes) -> SequenceState:
        state, blank = super().load(saved), self.initial()
        if state.model[0] != blank.model[0]:
            raise ValueError(
                f"the saved state belongs to model {int(state.model[0]):016x}, "
                f"but {int(blank.model[0]):016x} is running; start that model, or a new state"
            )
        if [a.shape for a in state] != [a.shape for a in blank]:
            raise ValueError(
                f"the saved state has {state.last_ns.size} instruments, "
                f"the table {blank.last_ns.size}; start with the table of the saved run"
            )
        return state

    def step(self, state: SequenceState, rows: FeatureRows) -> tuple[SequenceState, FeatureRows]:
        out = np.full((N_OUTPUTS, rows.kind.size), np.nan)
        if self.predictor is None:
            fold_momentum(self.instruments, rows, out)
        else:
            self._predict(self.predictor, state, rows, out)
        p_up, vol_ratio, p_trend_up, p_trend_down, p_range, p_volatile = out
        return state, rows._replace(
            p_up=p_up,
            vol_ratio=vol_ratio,
            p_trend_up=p_trend_up,
            p_trend_down=p_trend_down,
            p_range=p_range,
            p_volatile=p_volatile,
        )

    def _predict(
        self, predictor: Predictor, state: SequenceState, rows: FeatureRows, out: F8
    ) -> None:
        x = np.empty((rows.kind.size, N_INPUTS), np.float32)
        order = np.empty(rows.kind.size, np.int64)
        stops = np.zeros(state.last_ns.size + 1, np.int64)
        place, free = np.empty(rows.kind.size, np.int32), np.empty_like(stops)
        _gather(self.instruments, rows, state.last_ns, stops, order, x, place, free)
        for k in np.flatnonzero(np.diff(stops)):
            span = slice(stops[k], stops[k + 1])
            y, h = predictor.run(x[span, None, :], state.recurrent[None, k : k + 1, :])
            state.recurrent[k] = h[0, 0]
            _scatter(y[:, 0, :], order[span], out)


@kernel
def _gather(
    instruments: InstrumentArrays,
    rows: FeatureRows,
    last_ns: I8,
    stops: I8,
    order: I8,
    x: F4,
    place: I4,
    free: I8,
) -> None:
    """Group the tick rows by instrument k, in order: their rows are order[stops[k]:stops[k + 1]]
    and their inputs the same part of x. `stops` comes as zeros; `place` and `free` are scratch.
    """
    base, count, n = instruments.base, instruments.n_of_lane, rows.kind.size
    for i in range(n):
        kind, mid, lane, symbol = rows.kind[i], rows.mid[i], rows.lane[i], rows.symbol[i]
        place[i] = tick_place(base, count, kind, mid, lane, symbol)
        if place[i] >= 0:
            stops[place[i] + 1] += 1
    for k in range(last_ns.size):
        free[k] = stops[k]
        stops[k + 1] += stops[k]
    for i in range(n):
        k = place[i]
        if k >= 0:
            gap_ns = max(0, rows.ts_recv_ns[i] - last_ns[k]) if last_ns[k] >= 0 else 0
            last_ns[k] = rows.ts_recv_ns[i]
            write_inputs(
                x[free[k]], rows.mid[i], rows.spread[i], rows.log_return[i], rows.sigma[i],
                rows.momentum[i], rows.momentum_gradient[i],
                rows.window_std[i], rows.window_std_slow[i], gap_ns,
            )  # fmt: skip
            order[free[k]] = i
            free[k] += 1


@kernel
def _scatter(y: F4, order: I8, out: F8) -> None:
    for t in range(order.size):
        for j in range(N_OUTPUTS):
            out[j, order[t]] = y[t, j]
