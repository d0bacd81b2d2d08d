"""Which options belong together: the chains of an instrument table, one per asset and expiry."""

from typing import NamedTuple

import numpy as np

from schemas.instruments import Instrument, InstrumentKind, InstrumentTable, asset_of
from schemas.rows import F8, I4, I8, U1

NOT_ONE = -1
_UNDERLYING = (InstrumentKind.SPOT, InstrumentKind.LINEAR, InstrumentKind.INVERSE)  # best first


class Chains(NamedTuple):
    """Rows of the instrument table as chains; members of one stand by strike, calls first."""

    of: I4  # (instruments,) an option's chain, or NOT_ONE
    strike: F8  # (instruments,) NaN unless an option
    is_call: U1
    in_coin: U1  # 1 where the option's price is in its base asset
    member: I4  # options, chain after chain
    first: I4  # (chains + 1,) where each begins in `member`
    expiry_ns: I8  # (chains,)
    underlying: I4  # (chains,) row of the market the options are on, or NOT_ONE
    front: I4  # (instruments, 2) first and last + 1 chain of an underlying, by expiry


def chains_of(table: InstrumentTable) -> Chains:
    """The chains of a table: options of the same lane, base asset and expiry.

    The underlying is the spot market of that lane and base, else a linear, else an inverse
    contract without expiry; the first in table order. ValueError for an option without expiry,
    strike or right, with the way out.
    """
    n = len(table.instruments)
    groups: dict[tuple[int, str, int], list[int]] = {}
    for k, one in enumerate(table.instruments):
        if one.kind == InstrumentKind.OPTION:
            _check(one)
            groups.setdefault((one.lane, asset_of(one.base), one.expiry_ns), []).append(k)
    of, front = np.full(n, NOT_ONE, np.int32), np.zeros((n, 2), np.int32)
    strike = np.array([float(i.strike or "nan") for i in table.instruments], np.float64)
    members: list[int] = []
    first, expiries, underlyings = [0], [], []
    for chain, key in enumerate(sorted(groups)):
        rows = sorted(groups[key], key=lambda k: (strike[k], table.instruments[k].right, k))
        of[rows] = chain
        members += rows
        first.append(len(members))
        expiries.append(key[2])
        under = _underlying(table, key[0], key[1])
        underlyings.append(under)
        if under != NOT_ONE:
            front[under] = front[under, 0] if front[under, 1] else chain, chain + 1
    return Chains(
        of=of, strike=strike,
        is_call=np.array([i.right == "C" for i in table.instruments], np.uint8),
        in_coin=np.array(
            [asset_of(i.quote) == asset_of(i.base) for i in table.instruments], np.uint8
        ),
        member=np.array(members, np.int32), first=np.array(first, np.int32),
        expiry_ns=np.array(expiries, np.int64), underlying=np.array(underlyings, np.int32),
        front=front,
    )  # fmt: skip


def _check(one: Instrument) -> None:
    if one.expiry_ns <= 0 or one.right not in ("C", "P") or not float(one.strike or 0) > 0.0:
        raise ValueError(
            f"{one.id}: an option needs expiry_ns > 0, strike > 0 and right C or P, was "
            f"{one.expiry_ns}, {one.strike!r}, {one.right!r}; give them in the instrument table"
        )


def _underlying(table: InstrumentTable, lane: int, asset: str) -> int:
    for kind in _UNDERLYING:
        for k, one in enumerate(table.instruments):
            if (one.lane, asset_of(one.base), one.kind, one.expiry_ns) == (lane, asset, kind, 0):
                return k
    return NOT_ONE
