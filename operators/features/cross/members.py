"""Who is compared with whom: the first instruments, or assets, of each lane."""

from typing import NamedTuple

import numpy as np

from schemas.instruments import InstrumentArrays, InstrumentKind, InstrumentTable
from schemas.rows import I4

MEMBERS_MAX = 16  # of a lane; later ones of the table are not compared
NO_MEMBER = -1


class Members(NamedTuple):
    """Places of instruments among those of their lane that are compared."""

    place: I4  # (instruments,) or NO_MEMBER
    lane: I4  # (instruments,)
    row: I4  # (lanes, places of the fullest lane) the instrument there, or NO_MEMBER


def instrument_members(instruments: InstrumentArrays) -> Members:
    """The first instruments of each lane but options and event contracts, in table order."""
    place = np.full(instruments.lane.size, NO_MEMBER, np.int32)
    row = np.full((instruments.base.size, MEMBERS_MAX), NO_MEMBER, np.int32)
    used = np.zeros(instruments.base.size, np.int64)
    for k, lane in enumerate(instruments.lane.tolist()):
        apart = instruments.kind[k] in (InstrumentKind.OPTION, InstrumentKind.EVENT)
        if not apart and used[lane] < MEMBERS_MAX:
            place[k], row[lane, used[lane]] = used[lane], k
            used[lane] += 1
    return Members(place, instruments.lane.astype(np.int32), _fitted(row))


def asset_members(table: InstrumentTable) -> Members:
    """The first assets of each lane, each with the price of its first instrument there.

    Of those in the desk's currency: ETH in BTC beside BTC in USD would compare nothing. All
    instruments of an asset have its place, in whatever currency.
    """
    instruments = table.arrays()
    singles = instrument_members(instruments)
    place = np.full_like(singles.place, NO_MEMBER)
    row = np.full_like(singles.row, NO_MEMBER)
    desk = table.currency(table.desk_currency)
    seen: dict[tuple[int, str], int] = {}
    for k, one in enumerate(table.instruments):
        key = one.lane, table.currency(one.base)
        if singles.place[k] != NO_MEMBER and table.currency(one.quote) == desk and key not in seen:
            seen[key] = sum(lane == one.lane for lane, _ in seen)
            row[one.lane, seen[key]] = k
    for k, one in enumerate(table.instruments):
        if singles.place[k] != NO_MEMBER:
            place[k] = seen.get((one.lane, table.currency(one.base)), NO_MEMBER)
    return Members(place, singles.lane, _fitted(row))


def _fitted(row: I4) -> I4:
    """Without the places that no lane has: states are as long as these."""
    used = max(int((row != NO_MEMBER).sum(axis=1).max(initial=0)), 1)
    return np.ascontiguousarray(row[:, :used])
