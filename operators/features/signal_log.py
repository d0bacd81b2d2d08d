"""The rows of `signals.v1`: which market rows show the chosen features, and with what number."""

from typing import NamedTuple

import numpy as np

from operators.arrays import ArrayOperator, kernel
from operators.features.signals import Signals, SignalsState
from operators.market.books.words import OrderAction
from schemas.instruments import InstrumentArrays
from schemas.kinds import Flag, Kind
from schemas.rows import I2, I4, I8, U1, MarketRows, empty
from schemas.signal_rows import SignalRows

_BOOK, _LAST_OF_MARKET, _HEARTBEAT = int(Kind.BOOK), int(Kind.BOOK_STATUS), int(Kind.HEARTBEAT)
_MSG_LAST, _END = int(Flag.MSG_LAST), int(Flag.END)


class SignalLogState(NamedTuple):
    """The states of the features, and the next `seq` of each lane."""

    seq: I8  # (lanes,)
    signals: SignalsState


class SignalLog(ArrayOperator[SignalLogState]):
    """Computes signals, and keeps those rows of which something can be known.

    Parameters
    ----------
    instruments : InstrumentArrays
        The table; `lane` and `symbol` of a row point into it.
    signals : Signals

    Notes
    -----
    In: MarketRows with their `seq`. Out: SignalRows: of market data of an instrument, of book
    messages the last row alone (features change there, and a snapshot has tens of thousands of
    rows), and heartbeats, by which readers of several lanes know how far each has come.
    Chunks: any split gives the same bytes. State: that of the signals, 8 bytes per lane.
    """

    def __init__(self, instruments: InstrumentArrays, signals: Signals) -> None:
        self.signals = signals
        self._count = instruments.n_of_lane

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns of `values`."""
        return self.signals.names

    def initial(self) -> SignalLogState:
        return SignalLogState(np.zeros(self._count.size, np.int64), self.signals.initial())

    def compile(self) -> None:
        """Compile what any row may need, so that none waits for it."""
        rows = empty(MarketRows, 2)
        rows.kind[:], rows.code[:] = (Kind.QUOTE, Kind.BOOK), (0, OrderAction.ADD)
        self.step(self.initial(), rows)

    def step(self, state: SignalLogState, rows: MarketRows) -> tuple[SignalLogState, SignalRows]:
        signals, block = self.signals.step(state.signals, rows)
        kept, seq = np.empty((2, rows.seq.size), np.int64)
        place = rows.kind, rows.flags, rows.lane, rows.symbol
        n = _number(state.seq, self._count, place, kept, seq)
        kept = kept[:n]
        values = block.values if n == rows.seq.size else block.values[kept]
        out = SignalRows(
            seq[:n].copy(), rows.lane[kept], rows.seq[kept], rows.kind[kept], rows.flags[kept],
            rows.symbol[kept], rows.ts_event_ns[kept], rows.ts_recv_ns[kept], values,
        )  # fmt: skip
        return state._replace(signals=signals), out


@kernel
def _number(next_seq: I8, count: I4, rows: tuple[U1, U1, I2, I4], kept: I8, seq: I8) -> int:
    """Which rows are kept, and their numbers."""
    kinds, all_flags, lanes, symbols = rows
    n = 0
    for i in range(kinds.size):
        kind, flags, lane = kinds[i], all_flags[i], lanes[i]
        if not 0 <= lane < next_seq.size:
            continue
        known = kind <= _LAST_OF_MARKET and 0 <= symbols[i] < count[lane]
        inside = kind == _BOOK and flags & _MSG_LAST == 0
        if (known and not inside) or kind == _HEARTBEAT or flags & _END:
            kept[n], seq[n] = i, next_seq[lane]
            next_seq[lane] += 1
            n += 1
    return n
