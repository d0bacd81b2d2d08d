"""The order-flow features that a desk has chosen, as one block of float64."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from operators.arrays import ArrayOperator
from operators.features.flow.events import EventsState, FlowEvents, FlowInput
from operators.features.flow.registry import BOOK, NAMES, FlowTerms, Make, features
from operators.features.flow.rows import FlowBlock, FlowFeature
from schemas.instruments import InstrumentArrays
from schemas.rows import F8


class FeatureStates(tuple[Any, ...]):
    """The states of the chosen operators, in the order of their first names."""

    def __new__(cls, *states: Any) -> "FeatureStates":
        return super().__new__(cls, states)


class FlowState(NamedTuple):
    """All that the chosen features remember."""

    events: EventsState
    features: FeatureStates


class Flow(ArrayOperator[FlowState]):
    """Computes the features of these names, and nothing for the others.

    Parameters
    ----------
    instruments : InstrumentArrays
        The table; `lane` and `symbol` of a row point into it.
    names : iterable of str
        From the registry; columns come in this order.
    daily_qty : float64, shape (instruments,), or None
        What usually trades in a day, for `toxicity`; NaN or None where not known.

    Notes
    -----
    In: FlowInput, shape (n,). Out: FlowBlock, values of shape (n, names): one row per market row,
    the present values of its instrument as of that row; NaN (null) where the row is no flow, and
    where and until the registry says.
    Time: venue time, never backwards. Chunks: any split of the same rows gives the same bytes.
    State: the sum of the chosen operators', 10 kB per instrument for all of them.
    Errors: ValueError for names that the registry refuses, and where features of the book are
    chosen and the rows have no levels.

    Examples
    --------
    >>> from schemas.instruments import InstrumentTable
    >>> from schemas.rows import MarketRows, empty
    >>> flow = Flow(InstrumentTable(1, "USD", ()).arrays(), ["cvd", "microprice"])
    >>> from operators.features.flow.events import flow_input
    >>> block = flow.step(flow.initial(), flow_input(empty(MarketRows, 3)))[1]
    >>> block.values.shape, flow.columns(block)["cvd"].shape
    ((3, 2), (3,))
    """

    def __init__(
        self,
        instruments: InstrumentArrays,
        names: Iterable[str] = NAMES,
        *,
        daily_qty: F8 | None = None,
    ) -> None:
        n = instruments.lane.size
        chosen = features(names)
        terms = FlowTerms(instruments, np.full(n, np.nan) if daily_qty is None else daily_qty)
        if terms.daily_qty.shape != (n,):
            raise ValueError(f"daily_qty must be ({n},), was {terms.daily_qty.shape}")
        self.names = tuple(feature.name for feature in chosen)
        self.needs_levels = any(BOOK in feature.inputs for feature in chosen)
        self._events = FlowEvents(instruments)
        makers: dict[Make, FlowFeature[Any]] = {}
        for feature in chosen:
            if feature.operator not in makers:
                makers[feature.operator] = feature.operator(terms)
        place = {name: at for at, name in enumerate(self.names)}
        self._features = [
            (operator, np.array([place.get(name, -1) for name in operator.NAMES]))
            for operator in makers.values()
        ]

    def initial(self) -> FlowState:
        states = (operator.initial() for operator, _ in self._features)
        return FlowState(self._events.initial(), FeatureStates(*states))

    def step(self, state: FlowState, rows: FlowInput) -> tuple[FlowState, FlowBlock]:
        _, events = self._events.step(state.events, rows)
        values = np.empty((rows.kind.size, len(self.names)))
        for (operator, columns), own in zip(self._features, state.features, strict=True):
            operator.fill(own, events, values, columns)
        return state, FlowBlock(values)

    def columns(self, block: FlowBlock) -> dict[str, F8]:
        """Each feature's values by name: views of the block, no copies."""
        return {name: block.values[:, j] for j, name in enumerate(self.names)}
