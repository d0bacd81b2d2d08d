"""Money into the exchange-traded funds of an asset, from the day that it is known."""

from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.feature import FundFlows
from operators.features.flow.rows import show, show_nothing
from operators.features.scores import blank_scores, fade_of, score
from operators.features.signal import Signal, SignalInput
from schemas.instruments import InstrumentTable, asset_of
from schemas.rows import F8, I4, I8

DAYS = 5  # trading days of the sum: a week
HALF_LIFE = 20.0  # trading days, of the z-score: a month
DAYS_MIN = 20
FLOW, SUM, FLOW_Z = 0, 1, 2


class FundFlowState(NamedTuple):
    """One entry per instrument."""

    place: I8  # of the next figure that is not known yet
    held: F8


class FundFlow(Signal[FundFlowState]):
    """What the funds of an instrument's base asset took in, as known at each row.

    Parameters
    ----------
    table : InstrumentTable
        Its base assets are used; XBT has the funds of BTC.
    flows : FundFlows
        The figures, each with the time from which it counts as known.

    Notes
    -----
    In: SignalInput; only times. Out: etf_flow_usd, of the last trading day that is known;
    etf_flow_week_usd, the sum of the last 5; etf_flow_z, z-score of the last day against the days
    before, half-life 20 days.
    Nulls: for assets without funds; before 1, 5 and 21 days are known.
    Time: venue time of the instrument, never back. The figures are told beforehand, and none is
    shown before its time. Chunks: any split gives the same bytes. State: 32 bytes per instrument.
    Errors: ValueError if the figures are not sorted by asset and time, one is not finite, or two
    names are of one asset.
    Source: Ben-David, Franzoni, Moussawi (2018), Do ETFs Increase Volatility?
    """

    NAMES = ("etf_flow_usd", "etf_flow_week_usd", "etf_flow_z")

    def __init__(self, table: InstrumentTable, flows: FundFlows) -> None:
        order = np.lexsort((flows.known_ns, flows.asset))
        if not (order == np.arange(order.size)).all():
            raise ValueError("fund flows must be sorted by asset, then by the time they are known")
        if not np.isfinite(flows.net_usd).all():
            raise ValueError("fund flows must be finite")
        place = {asset_of(name): k for k, name in enumerate(flows.assets)}
        if len(place) < len(flows.assets):
            raise ValueError(f"fund flows must name each asset once, were of {flows.assets}")
        of = np.array([place.get(asset_of(i.base), -1) for i in table.instruments], np.int64)
        self._first = np.searchsorted(flows.asset, of, side="left")
        self._stop = np.searchsorted(flows.asset, of, side="right")
        self._known_ns = flows.known_ns
        self._shown = _shown(flows.asset, flows.net_usd)

    def initial(self) -> FundFlowState:
        n = self._first.size
        return FundFlowState(self._first.astype(np.int64), np.full((n, len(self.NAMES)), np.nan))

    def fill(self, state: FundFlowState, rows: SignalInput, values: F8, columns: I8) -> None:
        _walk(
            state, self._stop, self._known_ns, self._shown, rows.k, rows.market.ts_event_ns,
            values, columns,
        )  # fmt: skip


def _shown(asset: I4, net_usd: F8) -> F8:
    """Per figure what is shown from then on; each knows only those before it."""
    shown = np.full((net_usd.size, len(FundFlow.NAMES)), np.nan)
    for one in np.unique(asset):
        mine = np.flatnonzero(asset == one)
        scores, fade = blank_scores(1), fade_of(HALF_LIFE)
        for n, at in enumerate(mine):
            shown[at, FLOW] = net_usd[at]
            if n + 1 >= DAYS:
                shown[at, SUM] = net_usd[mine[n + 1 - DAYS : n + 1]].sum()
            shown[at, FLOW_Z] = score(scores, 0, fade, DAYS_MIN, net_usd[at])
    return shown


@kernel
def _walk(
    memory: FundFlowState, stop: I8, known_ns: I8, shown: F8, rows_k: I4, event_ns: I8, values: F8,
    columns: I8,
) -> None:  # fmt: skip
    for i in range(rows_k.size):
        k = rows_k[i]
        if not 0 <= k < stop.size:
            show_nothing(values, i, columns)
            continue
        while memory.place[k] < stop[k] and known_ns[memory.place[k]] <= event_ns[i]:
            for j in range(shown.shape[1]):
                memory.held[k, j] = shown[memory.place[k], j]
            memory.place[k] += 1
        show(values, i, columns, memory.held, k)
