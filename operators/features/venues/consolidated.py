"""The consolidated quote: the best prices of an asset over all venues that can be trusted."""

from typing import NamedTuple

import numpy as np

from operators.arrays import F8, I8, U1, kernel
from operators.features.flow.rows import TOP, FlowRows, show, show_nothing
from operators.features.signal import Signal, SignalInput
from operators.market.books.consolidated import (
    NO_GROUP,
    TOP_FIELDS,
    ConsolidatedRows,
    ConsolidatedState,
    GroupLinks,
    asset_groups,
    group_links,
    join_tops,
    put_top,
)
from operators.market.books.health import HEALTH_FIELDS, NEVER_NS, PENALTY_TABLE, is_pulled, judge
from operators.records import InstrumentRecords, Records, blank_records, instrument_records
from schemas.instruments import InstrumentTable
from schemas.kinds import Kind
from schemas.rows import I4, empty

FRESH_NS = 60_000_000_000  # a venue that has said nothing for longer is left out, as its book is

_STATUS = int(Kind.BOOK_STATUS)
(
    _BID_PX, _ASK_PX, _MID, _MICROPRICE, _SPREAD, _CROSSED, _HEALTHY, _DEVIATION, _BID_SHARE,
    _ASK_SHARE,
) = range(10)  # fmt: skip


class VenuesState(NamedTuple):
    """One entry per instrument."""

    tops: ConsolidatedState  # best prices, sizes in base units
    books: Records  # (instruments,) HEALTH_FIELDS
    held: F8


class _Columns(NamedTuple):
    """What is read of market rows."""

    k: I4
    kind: U1
    code: U1
    log_ns: I8


class _Known(NamedTuple):
    instruments: InstrumentRecords
    groups: GroupLinks
    alone: U1  # (instruments,) 1: no other one is in its group


class Venues(Signal[VenuesState]):
    """Best bid and ask over the venues of an asset, and where this venue stands among them.

    Parameters
    ----------
    table : InstrumentTable
        Which instruments belong together is said by `asset_groups`: the same base asset and quote
        currency, spot and perpetual; the table says what counts at par with USD. What a perpetual
        costs more than its spot is in all that follows.

    Notes
    -----
    In: SignalInput; each venue's best quote (of its book, where it has no quotes), and BOOK_STATUS.
    Out: SignalBlock of venues_bid_px and venues_ask_px, quote units, the best of all;
    venues_mid, the middle of these; venues_microprice, (Pa Qb + Pb Qa) / (Qb + Qa), with the sizes
    of all venues at these prices, base units; venues_spread_bps, of the mid, not below 0;
    venues_crossed_bps, by how much the best bid is above the best ask, of the mid and before fees,
    0 unless it is; venues_healthy, how many venues count; venues_deviation_bps, this venue's mid
    less that of all, of the latter; venues_bid_share and venues_ask_share, what this venue has of
    the size at the best price of all.
    Count: a venue whose last quote is at most 60 s old, whose book may be quoted on (health.py) if
    it has one, and is not crossed in itself.
    Nulls: for an instrument that is alone; prices while no venue has that side; microprice and
    shares also where no size is told; the last three while this venue does not count.
    Time: our clock, the same for all of a lane: venues' clocks are seconds apart.
    Chunks: any split gives the same bytes. Only rows of its own lane matter. State: 184 bytes per
    instrument; a row costs the instruments of its group.
    Source: Hasbrouck (1995), One Security, Many Markets; Makarov, Schoar (2020), Trading and
    Arbitrage in Cryptocurrency Markets, for gaps between venues; Stoikov (2018).
    """

    NAMES = (
        "venues_bid_px", "venues_ask_px", "venues_mid", "venues_microprice", "venues_spread_bps",
        "venues_crossed_bps", "venues_healthy", "venues_deviation_bps", "venues_bid_share",
        "venues_ask_share",
    )  # fmt: skip

    def __init__(self, table: InstrumentTable) -> None:
        groups = asset_groups(table)
        alone = [g == NO_GROUP or np.count_nonzero(groups == g) < 2 for g in groups.tolist()]
        self._known = _Known(
            instrument_records(table.arrays()), group_links(groups), np.array(alone, np.uint8)
        )

    def initial(self) -> VenuesState:
        n = self._known.alone.size
        books = blank_records(HEALTH_FIELDS, n)
        books.return_ns[:] = NEVER_NS
        tops = ConsolidatedState(blank_records(TOP_FIELDS, n))
        return VenuesState(tops, books, np.full((n, len(self.NAMES)), np.nan))

    def fill(self, state: VenuesState, rows: SignalInput, values: F8, columns: I8) -> None:
        market = rows.market
        told = _Columns(rows.k, market.kind, market.code, market.ts_recv_ns)
        _walk(
            state, self._known, PENALTY_TABLE, told, rows.flow, empty(ConsolidatedRows, 1), values,
            columns,
        )  # fmt: skip


@kernel
def _walk(
    memory: VenuesState,
    known: _Known,
    penalty: F8,
    rows: _Columns,
    flow: FlowRows,
    best: ConsolidatedRows,
    values: F8,
    columns: I8,
) -> None:
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < known.alone.size:
            show_nothing(values, i, columns)
            continue
        if not known.alone[k]:
            if rows.kind[i] == _STATUS and rows.code[i] < penalty.size:
                judge(memory.books[k], int(rows.code[i]), rows.log_ns[i], penalty)
            if flow.event[i] & TOP:
                usable = flow.bid_px[i] <= flow.ask_px[i]  # False where one is not known
                put_top(
                    known.instruments, memory.tops, k, rows.log_ns[i], usable, flow.bid_px[i],
                    flow.bid_qty[i], flow.ask_px[i], flow.ask_qty[i],
                )  # fmt: skip
            _join(memory, known, k, rows.log_ns[i], best)
        show(values, i, columns, memory.held, k)


@kernel
def _join(memory: VenuesState, known: _Known, k: int, now_ns: int, best: ConsolidatedRows) -> None:
    """What the group of an instrument shows now."""
    held, tops = memory.held[k], memory.tops.tops
    member = known.groups.first[known.groups.of[k]]
    while member != NO_GROUP:
        pulled = is_pulled(memory.books[member], now_ns)
        tops[member].pulled = 1 if pulled else 0
        member = known.groups.next[member]
    best.group[0] = known.groups.of[k]
    join_tops(known.instruments, known.groups, now_ns - FRESH_NS, memory.tops, best, 0)
    bid_px, ask_px = best.bid_px[0], best.ask_px[0]
    bid_qty, ask_qty = best.bid_qty[0], best.ask_qty[0]
    mid = (bid_px + ask_px) / 2.0
    gap = (bid_px - ask_px) / mid * 1e4
    held[_BID_PX], held[_ASK_PX], held[_MID] = bid_px, ask_px, mid
    held[_MICROPRICE] = (ask_px * bid_qty + bid_px * ask_qty) / (bid_qty + ask_qty)
    held[_SPREAD], held[_CROSSED] = max(-gap, 0.0), max(gap, 0.0)
    if np.isnan(gap):
        held[_SPREAD] = held[_CROSSED] = np.nan
    held[_HEALTHY] = best.n_venues[0]
    own = tops[k]
    held[_DEVIATION] = held[_BID_SHARE] = held[_ASK_SHARE] = np.nan
    if own.synced and not own.pulled and own.ts_recv_ns >= now_ns - FRESH_NS:
        held[_DEVIATION] = ((own.bid_px + own.ask_px) / 2.0 - mid) / mid * 1e4
        held[_BID_SHARE] = (own.bid_qty if own.bid_px == bid_px else 0.0) / bid_qty
        held[_ASK_SHARE] = (own.ask_qty if own.ask_px == ask_px else 0.0) / ask_qty
