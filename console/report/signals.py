"""How warm the enabled features were: the share of rows at which each had a value."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from console.report.words import percent
from operators.features.cross.members import (
    NO_MEMBER,
    Members,
    asset_members,
    instrument_members,
)
from operators.features.cross.registry import ASSETS, MARKETS
from operators.features.derivatives.basis import spot_partners
from operators.features.derivatives.registry import OPTIONS, SPOT
from operators.features.feature import BOOK, MIDS, PRICE, QUOTES, TRADES
from operators.features.registry import FEATURES
from schemas.instruments import InstrumentKind, InstrumentTable
from schemas.kinds import Kind
from schemas.rows import I8
from schemas.signal_rows import SignalRows

WORST_SHOWN = 3
_READS = {  # the kinds of rows without any of which an instrument can never have the feature
    TRADES: (Kind.TRADE,),
    QUOTES: (Kind.QUOTE, Kind.BOOK),
    MIDS: (Kind.TRADE, Kind.QUOTE, Kind.BOOK),
    PRICE: (Kind.TRADE, Kind.QUOTE, Kind.BOOK, Kind.BAR, Kind.MARK),
    BOOK: (Kind.BOOK,),
    "funding": (Kind.FUNDING,),
    "open interest": (Kind.OPEN_INTEREST,),
    "mark": (Kind.MARK,),
    "bars": (Kind.BAR,),
    OPTIONS: (Kind.QUOTE,),
    "orders one by one": (Kind.BOOK,),
}
_KINDS_OF = {OPTIONS: (InstrumentKind.OPTION,)}  # instruments that alone can have it
_COUNTED = [int(Kind.TRADE), int(Kind.QUOTE), int(Kind.BOOK)]
_KINDS = 1 + max(Kind)
Shares = Mapping[str, float | None]  # feature: share; None where no instrument can have it


class WarmShares:
    """Counts rows of `signals.v1`, in any order.

    Parameters
    ----------
    table : InstrumentTable
    names : iterable of str
        Of the columns of `values`.

    Notes
    -----
    Counted are trades, quotes and book messages, and all rows of an instrument that has none of
    these. A feature applies to the instruments that have rows of each kind that it reads, and are
    what it is about: options, contracts with a spot market in their lane, or markets with others
    in their lane to compare with.
    Memory: 8 bytes per instrument and feature.
    """

    def __init__(self, table: InstrumentTable, names: Iterable[str]) -> None:
        self._names, n = tuple(names), len(table.instruments)
        arrays = table.arrays()
        self._base = arrays.base
        self._can_be = {word: np.isin(arrays.kind, kinds) for word, kinds in _KINDS_OF.items()} | {
            SPOT: spot_partners(arrays) >= 0,
            MARKETS: _compared(instrument_members(arrays)),
            ASSETS: _compared(asset_members(table)),
        }
        self._kinds = np.zeros((n, _KINDS), np.int64)
        self._flowing, self._all = np.zeros((2, n, len(self._names)), np.int64)

    def add(self, rows: SignalRows) -> None:
        """Count some rows."""
        told = np.flatnonzero(rows.symbol >= 0)
        k = self._base[rows.lane[told]] + rows.symbol[told]
        known = ~np.isnan(rows.values[told])
        np.add.at(self._kinds, (k, rows.kind[told]), 1)
        flowing = np.isin(rows.kind[told], _COUNTED)
        for one in np.unique(k):
            mine = k == one
            self._all[one] += np.count_nonzero(known[mine], axis=0)
            self._flowing[one] += np.count_nonzero(known[mine & flowing], axis=0)

    def shares(self) -> dict[str, float | None]:
        """Of each feature, in the order of the columns."""
        flowing = self._kinds[:, _COUNTED].sum(axis=1)
        rows: I8 = np.where(flowing > 0, flowing, self._kinds.sum(axis=1))
        shown = np.where(flowing[:, None] > 0, self._flowing, self._all)
        reads = {feature.name: feature.inputs for feature in FEATURES}
        found: dict[str, float | None] = {}
        for j, name in enumerate(self._names):
            can = rows > 0
            for each in reads.get(name, ()):
                kinds = [int(kind) for kind in _READS.get(each, ())]
                if each in self._can_be:
                    can &= self._can_be[each]
                if kinds:
                    can &= self._kinds[:, kinds].any(axis=1)
            found[name] = int(shown[can, j].sum()) / int(rows[can].sum()) if can.any() else None
        return found


def _compared(members: Members) -> NDArray[np.bool_]:
    """Which instruments have others to be compared with."""
    others = np.count_nonzero(members.row != NO_MEMBER, axis=1)[members.lane] > 1
    return np.asarray(others & (members.place != NO_MEMBER))


def signals_line(shares: Shares) -> str:
    """How many were warm at all, and the worst of those that could be."""
    known = {name: share for name, share in shares.items() if share is not None}
    warm = sum(share > 0.0 for share in known.values())
    worst = sorted(known, key=lambda name: known[name])[:WORST_SHOWN]
    text = f"{warm} of {len(shares)} features had values"
    if len(known) < len(shares):
        text += f", {len(shares) - len(known)} without the rows that they read"
    if worst:
        least = ", ".join(f"{name} {percent(known[name], digits=1)}" for name in worst)
        text += f"; warm least: {least} of rows"
    return text
