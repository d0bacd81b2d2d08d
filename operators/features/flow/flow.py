"""An order-flow feature among the signals of the market layer."""

from typing import TypeVar

from operators.features.flow.rows import FlowFeature
from operators.features.signal import Signal, SignalInput
from schemas.rows import F8, I8

A = TypeVar("A", bound=tuple[object, ...])


class FlowSignal(Signal[A]):
    """Hosts a feature that reads flow rows alone; nothing is copied.

    Parameters
    ----------
    feature : FlowFeature
        Its state is this operator's state, its columns are this operator's columns.

    Notes
    -----
    In: SignalInput, of which `flow` is read. Out: SignalBlock. The rest is as the feature says.
    """

    def __init__(self, feature: FlowFeature[A]) -> None:
        self.NAMES = feature.NAMES
        self._feature = feature

    def initial(self) -> A:
        return self._feature.initial()

    def fill(self, state: A, rows: SignalInput, values: F8, columns: I8) -> None:
        self._feature.fill(state, rows.flow, values, columns)
