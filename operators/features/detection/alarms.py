"""What the detectors found, as a table: one row per episode, at the row that told it."""

from typing import NamedTuple

import numpy as np

from operators.arrays import ArrayOperator
from operators.features.detection.absorbed import Absorbed, AbsorbedState
from operators.features.detection.found import AlarmKind as AlarmKind
from operators.features.detection.found import Found, blank_found
from operators.features.detection.hidden import HiddenOrders, HiddenState
from operators.features.detection.icebergs import Icebergs, IcebergState
from operators.features.detection.order_icebergs import OrderIcebergs, OrderIcebergState
from operators.features.detection.spoofs import Spoofs, SpoofState
from operators.features.detection.thresholds import Thresholds
from operators.features.signal import SignalInput
from schemas.instruments import InstrumentArrays
from schemas.rows import F8, I1, I2, I4, I8, U1


class AlarmRows(NamedTuple):
    """One alarm each, in the order of the rows that told them."""

    seq: I8  # of that row, as are the next four
    lane: I2
    symbol: I4
    ts_event_ns: I8
    ts_recv_ns: I8
    kind: U1  # AlarmKind
    side: I1  # Side of the resting orders: +1 bids, -1 asks
    price: F8  # theirs, quote units
    size: F8  # instrument's units: so far (iceberg), of the orders (spoof, layering), of the flow
    strength: F8  # refills (0: native), score, minus residual in deviations; 1 where certain
    onset_ns: I8  # our clock at the first row that belonged to it


class AlarmsState(NamedTuple):
    """All that the detectors remember."""

    icebergs: IcebergState
    spoofs: SpoofState
    absorbed: AbsorbedState
    hidden: HiddenState
    order_icebergs: OrderIcebergState


class Alarms(ArrayOperator[AlarmsState]):
    """Runs all detectors and gives their alarms.

    Parameters
    ----------
    instruments : InstrumentArrays
    thresholds : Thresholds
    excluded : uint8, shape (instruments,), or None
        1 for instruments whose feed joins updates: no alarms.

    Notes
    -----
    In: SignalInput with at least one level. Out: AlarmRows, one for each episode: see `Icebergs`,
    `OrderIcebergs`, `Spoofs`, `Absorbed` for what is one, and `HiddenOrders`, where each execution
    is one. Where a row tells several they come by kind.
    Scores and figures about prices, never orders, and no evidence against anybody.
    Time: windows by venue time; `onset_ns` and `ts_recv_ns` are our clock.
    Chunks: any split gives the same bytes. State: 46 kB per instrument.
    Errors: ValueError where rows have no levels, or `excluded` has another shape.
    """

    def __init__(
        self,
        instruments: InstrumentArrays,
        *,
        thresholds: Thresholds | None = None,
        excluded: U1 | None = None,
    ) -> None:
        limits = thresholds or Thresholds()
        self._icebergs = Icebergs(instruments, thresholds=limits.iceberg, excluded=excluded)
        self._spoofs = Spoofs(instruments, thresholds=limits.spoof, excluded=excluded)
        self._absorbed = Absorbed(instruments, limits.absorption, excluded)
        self._hidden = HiddenOrders(instruments, excluded=excluded)
        self._order_icebergs = OrderIcebergs(
            instruments, thresholds=limits.iceberg, excluded=excluded
        )

    def initial(self) -> AlarmsState:
        return AlarmsState(
            self._icebergs.initial(), self._spoofs.initial(), self._absorbed.initial(),
            self._hidden.initial(), self._order_icebergs.initial(),
        )  # fmt: skip

    def step(self, state: AlarmsState, rows: SignalInput) -> tuple[AlarmsState, AlarmRows]:
        icebergs, spoofs, hidden, absorbed, order_icebergs = (
            blank_found(operator.places(rows))
            for operator in (
                self._icebergs, self._spoofs, self._hidden, self._absorbed, self._order_icebergs
            )
        )  # fmt: skip
        self._icebergs.watch(state.icebergs, rows, _NO_VALUES, _NO_COLUMNS, icebergs)
        self._spoofs.watch(state.spoofs, rows, _NO_VALUES, _NO_COLUMNS, spoofs)
        self._hidden.watch(state.hidden, rows, _NO_VALUES, _NO_COLUMNS, hidden)
        self._order_icebergs.watch(
            state.order_icebergs, rows, _NO_VALUES, _NO_COLUMNS, order_icebergs
        )
        self._absorbed.watch(state.absorbed, rows, absorbed)
        return state, _alarm_rows(rows, [icebergs, order_icebergs, spoofs, hidden, absorbed])


_NO_VALUES, _NO_COLUMNS = np.empty((0, 0)), np.empty(0, np.int64)


def _alarm_rows(rows: SignalInput, parts: list[Found]) -> AlarmRows:
    """The alarms of all detectors in the order of the rows, then of the kinds."""
    at, kind, side, price, size, strength, onset_ns = (
        np.concatenate([column[: part.n[0]] for part, column in zip(parts, columns, strict=True)])
        for columns in zip(*(part[:-1] for part in parts), strict=True)
    )
    order = np.lexsort((kind, at))
    market, at = rows.market, at[order]
    return AlarmRows(
        market.seq[at], market.lane[at], market.symbol[at], market.ts_event_ns[at],
        market.ts_recv_ns[at], kind[order], side[order], price[order], size[order],
        strength[order], onset_ns[order],
    )  # fmt: skip
