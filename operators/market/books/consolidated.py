"""One asset over several venues: the best prices of all, and who shows how much there."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import F8, I2, I4, I8, U1, ArrayOperator, kernel
from operators.market.books.l2 import BookTopRows
from operators.market.books.l2_state import L2State, is_whole, price_of
from operators.market.books.sides import KEY, QTY
from operators.records import InstrumentRecords, Records, blank_records, instrument_records
from operators.risk.worth import base_units
from schemas.instruments import InstrumentArrays, InstrumentKind, InstrumentTable, asset_of
from schemas.kinds import NO_SYMBOL
from schemas.rows import empty

NO_GROUP = -1
TOP_FIELDS = {
    "synced": "<i8",
    "pulled": "<i8",  # 1: nobody may quote on its book; set by who reads the books' health
    "ts_recv_ns": "<i8",
    "bid_px": "<f8",
    "bid_qty": "<f8",  # base units, as is ask_qty
    "ask_px": "<f8",
    "ask_qty": "<f8",
}


class ConsolidatedRows(NamedTuple):
    """The best prices of an asset over its venues, after a message of one of them.

    Quantities are base units; USD and what the table counts at par with it are one currency. Null
    where no usable venue has an order on that side.
    """

    seq: I8  # of the message's last row, as are the next four
    lane: I2
    symbol: I4  # the venue that moved
    ts_event_ns: I8
    ts_recv_ns: I8
    group: I4
    n_venues: I4  # whose books are synced and fresh
    bid_px: F8
    bid_qty: F8  # of all venues at bid_px
    bid_venues: I4  # how many show it
    bid_symbol: I4  # the one with most of it, the first in table order if equal; else NO_SYMBOL
    ask_px: F8
    ask_qty: F8
    ask_venues: I4
    ask_symbol: I4
    crossed: U1  # 1: one venue's bid is not below another's ask, before fees; that is no fault


class ConsolidatedState(NamedTuple):
    """What each venue showed last."""

    tops: Records  # (instruments,) TOP_FIELDS


class ConsolidatedTops(ArrayOperator[ConsolidatedState]):
    """Best bid and ask over all venues of an asset.

    Parameters
    ----------
    instruments : InstrumentArrays
    groups : I4, shape (instruments,)
        Which instruments are one asset, from `asset_groups`; NO_GROUP for none.
    fresh_ns : int, > 0
        A venue without a whole message for longer is left out.

    Notes
    -----
    In: BookTopRows of `L2Books`. Out: ConsolidatedRows, one for each row of an instrument that is
    in a group. Contracts become base units at their own price, those of an inverse contract are
    quote units. A book that is not synced, or is itself crossed, is left out.
    Time: `ts_recv_ns`. Chunks: any split gives the same bytes. State: 56 bytes per instrument.
    Errors: ValueError if fresh_ns <= 0.
    """

    def __init__(self, instruments: InstrumentArrays, groups: I4, *, fresh_ns: int) -> None:
        if fresh_ns <= 0:
            raise ValueError(f"fresh_ns must be positive, was {fresh_ns}")
        self._instruments = instrument_records(instruments)
        self._groups, self._fresh_ns = group_links(groups), fresh_ns

    def initial(self) -> ConsolidatedState:
        return ConsolidatedState(blank_records(TOP_FIELDS, self._groups.of.size))

    def step(
        self, state: ConsolidatedState, rows: BookTopRows
    ) -> tuple[ConsolidatedState, ConsolidatedRows]:
        k = self._instruments.base[rows.lane] + rows.symbol
        out = empty(ConsolidatedRows, int(np.count_nonzero(self._groups.of[k] != NO_GROUP)))
        _fold(self._instruments, self._groups, self._fresh_ns, state, rows, k, out)
        return state, out


class ConsolidatedLevels(NamedTuple):
    """The best levels of one side over several venues."""

    price: F8  # (levels,) the best first, NaN where there are no more
    qty: F8  # (levels,) base units of all venues
    by_venue: F8  # (levels, venues) base units of each


class GroupLinks(NamedTuple):
    """Groups of instruments, to be walked in the order of the table."""

    of: I4  # (instruments,) group, or NO_GROUP
    first: I4  # (groups,) its first instrument
    next: I4  # (instruments,) the one behind it in its group; NO_GROUP for the last


def asset_groups(table: InstrumentTable) -> I4:
    """A number for each instrument: equal where lane, base asset and quote currency are.

    USDT and USDC are USD if the table counts them at par, else markets of their own. Spot markets
    and perpetuals of one asset are together; options, event contracts and what expires are in none.
    """
    keys: dict[tuple[int, str, str], int] = {}
    apart = (InstrumentKind.OPTION, InstrumentKind.EVENT)
    return np.array(
        [
            NO_GROUP
            if i.kind in apart or i.expiry_ns
            else keys.setdefault((i.lane, asset_of(i.base), table.currency(i.quote)), len(keys))
            for i in table.instruments
        ],
        np.int32,
    )


def group_links(groups: I4) -> GroupLinks:
    """The groups as chains."""
    first = np.full(int(groups.max(initial=NO_GROUP)) + 1, NO_GROUP, np.int32)
    following, last = np.full_like(groups, NO_GROUP), first.copy()
    for k, group in enumerate(groups.tolist()):
        if group == NO_GROUP:
            continue
        if first[group] == NO_GROUP:
            first[group] = k
        else:
            following[last[group]] = k
        last[group] = k
    return GroupLinks(groups, first, following)


def consolidated(
    state: L2State, instruments: InstrumentRecords, members: I8, *, side: int, levels: int
) -> ConsolidatedLevels:
    """The best levels of several books as one.

    Parameters
    ----------
    state : L2State
    instruments : InstrumentRecords
    members : int64, shape (venues,)
        Rows of the instrument table. Books that are not whole give nothing.
    side : int
        BID or ASK of `operators.market.books.sides`.
    levels : int, > 0
        Levels of different prices to write.
    """
    made = ConsolidatedLevels(np.empty(levels), np.empty(levels), np.empty((levels, members.size)))
    merge_levels(state, instruments, members, np.zeros(members.size, np.int64), side, made)
    return made


@kernel
def merge_levels(
    state: L2State,
    instruments: InstrumentRecords,
    members: I8,
    taken: I8,
    side: int,
    out: ConsolidatedLevels,
) -> int:
    """Fill `out`; `taken`, of the members' size, is overwritten. Gives the levels written."""
    taken[:] = 0
    for n in range(out.price.size):
        nearest = math.inf
        for m in range(members.size):
            one = state.sides[2 * members[m] + side]
            if is_whole(state, members[m]) and taken[m] < one.n:
                nearest = min(nearest, state.pool[KEY, one.first + taken[m]])
        if nearest == math.inf:
            for rest in range(n, out.price.size):
                out.price[rest] = out.qty[rest] = np.nan
                out.by_venue[rest, :] = 0.0
            return n
        price, total = price_of(nearest, side), 0.0
        for m in range(members.size):
            one, qty = state.sides[2 * members[m] + side], 0.0
            if (
                is_whole(state, members[m])
                and taken[m] < one.n
                and state.pool[KEY, one.first + taken[m]] == nearest
            ):
                contracts = state.pool[QTY, one.first + taken[m]]
                qty = base_units(instruments, members[m], contracts, price)
                taken[m] += 1
            out.by_venue[n, m] = qty
            total += qty
        out.price[n], out.qty[n] = price, total
    return int(out.price.size)


@kernel
def put_top(
    instruments: InstrumentRecords,
    state: ConsolidatedState,
    k: int,
    ts_recv_ns: int,
    usable: bool,
    bid_px: float,
    bid_qty: float,
    ask_px: float,
    ask_qty: float,
) -> None:
    """What instrument `k` shows now, in its own units; nothing counts unless it is usable."""
    top = state.tops[k]
    top.synced, top.ts_recv_ns = 1 if usable else 0, ts_recv_ns
    top.bid_px, top.ask_px = bid_px, ask_px
    top.bid_qty = base_units(instruments, k, bid_qty, bid_px)
    top.ask_qty = base_units(instruments, k, ask_qty, ask_px)


@kernel
def _fold(
    instruments: InstrumentRecords,
    groups: GroupLinks,
    fresh_ns: int,
    state: ConsolidatedState,
    rows: BookTopRows,
    at: I8,
    out: ConsolidatedRows,
) -> None:
    m = 0
    for i in range(at.size):
        k = at[i]
        put_top(
            instruments, state, k, rows.ts_recv_ns[i], rows.synced[i] != 0 and rows.crossed[i] == 0,
            rows.bid_px[i], rows.bid_qty[i], rows.ask_px[i], rows.ask_qty[i],
        )  # fmt: skip
        if groups.of[k] == NO_GROUP:
            continue
        out.seq[m], out.lane[m], out.symbol[m] = rows.seq[i], rows.lane[i], rows.symbol[i]
        out.ts_event_ns[m], out.ts_recv_ns[m] = rows.ts_event_ns[i], rows.ts_recv_ns[i]
        out.group[m] = groups.of[k]
        join_tops(instruments, groups, rows.ts_recv_ns[i] - fresh_ns, state, out, m)
        m += 1


@kernel
def join_tops(
    instruments: InstrumentRecords,
    groups: GroupLinks,
    since_ns: int,
    state: ConsolidatedState,
    out: ConsolidatedRows,
    m: int,
) -> None:
    """Write the best of row m's group, whose venues have said something since then."""
    out.bid_px[m] = out.bid_qty[m] = out.ask_px[m] = out.ask_qty[m] = np.nan
    out.n_venues[m] = out.bid_venues[m] = out.ask_venues[m] = 0
    out.bid_symbol[m] = out.ask_symbol[m] = NO_SYMBOL
    most_bid = most_ask = 0.0
    k = groups.first[out.group[m]]
    while k != NO_GROUP:
        top, symbol = state.tops[k], instruments.of[k].symbol
        k = groups.next[k]
        if not top.synced or top.pulled or top.ts_recv_ns < since_ns:
            continue
        out.n_venues[m] += 1
        if top.bid_px > 0.0 and not top.bid_qty <= 0.0:  # a size that is not told is one
            if not top.bid_px <= out.bid_px[m]:  # better, or the first
                out.bid_px[m], out.bid_qty[m], out.bid_venues[m] = top.bid_px, 0.0, 0
                most_bid = 0.0
            if top.bid_px == out.bid_px[m]:
                out.bid_qty[m] += top.bid_qty
                out.bid_venues[m] += 1
                if top.bid_qty > most_bid:
                    most_bid, out.bid_symbol[m] = top.bid_qty, symbol
        if top.ask_px > 0.0 and not top.ask_qty <= 0.0:
            if not top.ask_px >= out.ask_px[m]:
                out.ask_px[m], out.ask_qty[m], out.ask_venues[m] = top.ask_px, 0.0, 0
                most_ask = 0.0
            if top.ask_px == out.ask_px[m]:
                out.ask_qty[m] += top.ask_qty
                out.ask_venues[m] += 1
                if top.ask_qty > most_ask:
                    most_ask, out.ask_symbol[m] = top.ask_qty, symbol
    out.crossed[m] = out.bid_px[m] >= out.ask_px[m]
