"""Which market rows may enter the log, and why the others may not."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import ArrayOperator, kernel
from schemas.expectations import CHANCE_MAX, PRICE_MAX, QTY_MAX, RATE_MAX, SECONDS_MAX, Seen
from schemas.expectations import TIME_MAX_NS as _TIME_MAX_NS
from schemas.instruments import InstrumentArrays, InstrumentKind
from schemas.kinds import Flag, Kind
from schemas.reasons import Reason
from schemas.rows import I4, I8, U1, U2, MarketRows, empty, take

NEVER_NS = np.iinfo(np.int64).min
_KINDS = 8  # kinds of market data are 1 to 7; a row of any other kind is our own and passes

# Enums as plain numbers, which kernels read at compile time.
_TRADE, _QUOTE, _BOOK, _BAR = int(Kind.TRADE), int(Kind.QUOTE), int(Kind.BOOK), int(Kind.BAR)
_FUNDING, _INTEREST, _MARK = int(Kind.FUNDING), int(Kind.OPEN_INTEREST), int(Kind.MARK)
_EVENT, _OPTION = int(InstrumentKind.EVENT), int(InstrumentKind.OPTION)
_LAST, _SNAPSHOT = int(Flag.MSG_LAST), int(Flag.SNAPSHOT)
_CROSSED_FLAG = int(Flag.CROSSED)
_OK, _NULL_PRICE, _NULL_TIME = int(Reason.OK), int(Reason.NULL_PRICE), int(Reason.NULL_TIME)
_NOT_FINITE, _NOT_POSITIVE = int(Reason.NOT_FINITE), int(Reason.NOT_POSITIVE)
_CROSSED, _OUT_OF_RANGE = int(Reason.CROSSED_QUOTE), int(Reason.OUT_OF_RANGE)
_BAD_SIDE, _UNKNOWN = int(Reason.BAD_SIDE), int(Reason.UNKNOWN_SYMBOL)
_RECV_BACK, _EVENT_BACK = int(Reason.RECV_REGRESSED), int(Reason.EVENT_REGRESSED)
_REFUSED = int(Reason.MESSAGE_REFUSED)


_NOTHING = Seen(
    np.zeros(0, np.uint8), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint16),
    np.zeros(0, np.uint8), np.zeros(0, np.uint8),
)  # fmt: skip


class GateState(NamedTuple):
    """Times of the last accepted rows, and which source is inside a broken message."""

    recv_ns: I8  # (sources,) of the last accepted row
    event_ns: I8  # (instruments, sources, market kinds) of the last accepted row
    broken: U2  # (sources,) MESSAGE_REFUSED inside a book message that is refused, else OK


class Gate(ArrayOperator[GateState]):
    """Splits market rows into accepted ones and rejected ones with a reason.

    Parameters
    ----------
    instruments : InstrumentArrays
        The whole table; `lane` and `symbol` of a row point into it.
    sources : int, > 0
        Sources of the feed; the column `source` counts them from 0.

    Notes
    -----
    In: MarketRows, shape (n,), in the feed's order. Out: two tables of MarketRows, accepted and
    rejected, together the rows that came in; only `reason` is changed, and Flag.CROSSED set.
    Checks, in this order, the first that fails is the reason: one that the reader set; the symbol
    is in the table (UNKNOWN_SYMBOL); times are not negative (NULL_TIME) and before the year 2200
    (OUT_OF_RANGE); what the kind needs is there (NULL_PRICE) and finite (NOT_FINITE); prices are
    above zero and sizes not below (NOT_POSITIVE); the bid is not above the ask (CROSSED_QUOTE,
    locked is fine; where `may_cross` of the table says so it passes with Flag.CROSSED, and is no
    price to anybody); bars, rates, prices and sizes hold their bounds, and columns that the kind
    does not use are null (OUT_OF_RANGE); the side is one (BAD_SIDE, a book level needs +1 or -1);
    `ts_recv_ns` does not go back in its source (RECV_REGRESSED); `ts_event_ns` does not in its
    symbol, source and kind (EVENT_REGRESSED). Rows of a book snapshot are excepted from the last
    two and do not count for them.
    What each kind needs and its bounds are declared in `schemas.expectations`, whose suites are
    these checks as data; a test holds the two equal, row by row.
    Memory: a rejected row leaves it as it was.
    Messages: a rejected row of a book takes every later row of its message along
    (MESSAGE_REFUSED). Rows of the message before it have passed here: whether a row passes must not
    depend on rows behind it, so that any engine can judge rows one by one. `operators.market.whole`
    holds rows back until their message is whole, and refuses these as well.
    Rows of other kinds (reports, control, heartbeats) pass untouched.
    Chunks: any split of the same rows gives the same rows. State: 64 bytes per instrument and
    source. Errors: ValueError for a market row whose source is not one of the feed.
    """

    State = GateState

    def __init__(self, instruments: InstrumentArrays, sources: int) -> None:
        if sources < 1:
            raise ValueError(f"sources must be at least 1, was {sources}")
        self._base, self._count = instruments.base, instruments.n_of_lane
        self._kind, self._may_cross = instruments.kind, instruments.may_cross
        self._sources = sources

    def initial(self) -> GateState:
        shape = (self._kind.size, self._sources, _KINDS)
        return GateState(
            recv_ns=np.full(self._sources, NEVER_NS, np.int64),
            event_ns=np.full(shape, NEVER_NS, np.int64),
            broken=np.zeros(self._sources, np.uint16),
        )

    def step(
        self, state: GateState, rows: MarketRows
    ) -> tuple[GateState, tuple[MarketRows, MarketRows]]:
        rows, reason = self.mark(state, rows)
        bad = reason != _OK
        if not bad.any():
            return state, (rows, empty(MarketRows))
        rejected = take(rows, bad)._replace(reason=reason[bad])
        return state, (take(rows, ~bad), rejected)

    def mark(self, state: GateState, rows: MarketRows) -> tuple[MarketRows, U2]:
        """The rows with the gate's own flags, and the reason of each; the state is as by `step`."""
        reason, flags = self._reasons(state, rows, _NOTHING)
        return rows._replace(flags=rows.flags | flags) if flags.any() else rows, reason

    def judge(self, state: GateState, rows: MarketRows) -> tuple[GateState, tuple[U2, Seen]]:
        """As `step`, but gives the reason of each row, and what was remembered when it was judged:

        with these columns beside them, rows can be judged one by one and in any order.
        """
        n = rows.seq.size
        seen = Seen(
            instrument_kind=np.zeros(n, np.uint8),
            newest_recv_ns=np.full(n, NEVER_NS, np.int64),
            newest_event_ns=np.full(n, NEVER_NS, np.int64),
            message_reason=np.zeros(n, np.uint16),
            may_cross=np.zeros(n, np.uint8),
            mark=np.zeros(n, np.uint8),
        )
        reason, mark = self._reasons(state, rows, seen)
        return state, (reason, seen._replace(mark=mark))

    def _reasons(self, state: GateState, rows: MarketRows, seen: Seen) -> tuple[U2, U1]:
        """Reason of each row, and the flag that it gets."""
        reason, mark = np.zeros(rows.seq.size, np.uint16), np.zeros(rows.seq.size, np.uint8)
        market = _Market(self._base, self._count, self._kind, self._may_cross)
        found = _judge(state, rows, market, seen, reason, mark)
        if found >= 0:
            raise ValueError(
                f"source must be in 0..{self._sources - 1}, was {rows.source[found]} in row {found}"
            )
        return reason, mark


class _Market(NamedTuple):
    """What the gate asks of the instrument table."""

    base: I4
    n_of_lane: I4
    kind: U1
    may_cross: U1


# Helpers take numbers, not the table: handing a tuple of 24 arrays over costs 0.5 us a call.
@kernel
def _quote(
    bid: float, bid_qty: float, ask: float, ask_qty: float, may_lack: bool, limit: float,
    may_cross: bool, extra: bool,
) -> int:  # fmt: skip
    """`may_lack`: a side without orders is what the market says; `limit` of its prices."""
    if (math.isnan(bid) or math.isnan(ask)) and not may_lack:
        return _NULL_PRICE
    if math.isinf(bid) or math.isinf(ask) or math.isinf(bid_qty) or math.isinf(ask_qty):
        return _NOT_FINITE
    if bid <= 0.0 or ask <= 0.0 or bid_qty < 0.0 or ask_qty < 0.0:
        return _NOT_POSITIVE
    if bid > ask and not may_cross:
        return _CROSSED
    if extra or bid > limit or ask > limit or bid_qty > QTY_MAX or ask_qty > QTY_MAX:
        return _OUT_OF_RANGE
    return _OK


@kernel
def _level(kind: int, price: float, qty: float, side: int, is_event: bool, extra: bool) -> int:
    """A trade, or a level of a book."""
    if math.isnan(price) or (kind == _BOOK and math.isnan(qty)):
        return _NULL_PRICE
    if math.isinf(price) or math.isinf(qty):
        return _NOT_FINITE
    if price <= 0.0 or qty < 0.0:
        return _NOT_POSITIVE
    if extra or price > (CHANCE_MAX if is_event else PRICE_MAX) or qty > QTY_MAX:
        return _OUT_OF_RANGE
    return _BAD_SIDE if side < -1 or side > 1 or (kind == _BOOK and side == 0) else _OK


@kernel
def _bar(
    first: float, high: float, low: float, last: float, volume: float, seconds: float,
    is_event: bool, extra: bool,
) -> int:  # fmt: skip
    if math.isnan(first) or math.isnan(high) or math.isnan(low) or math.isnan(last):
        return _NULL_PRICE
    if math.isinf(first) or math.isinf(high) or math.isinf(low) or math.isinf(last):
        return _NOT_FINITE
    if math.isinf(volume) or math.isinf(seconds):
        return _NOT_FINITE
    if first <= 0.0 or high <= 0.0 or low <= 0.0 or last <= 0.0 or volume < 0.0 or seconds <= 0.0:
        return _NOT_POSITIVE
    if low > first or low > last or high < first or high < last:
        return _OUT_OF_RANGE
    if extra or high > (CHANCE_MAX if is_event else PRICE_MAX):
        return _OUT_OF_RANGE
    return _OUT_OF_RANGE if volume > QTY_MAX or seconds > SECONDS_MAX else _OK


@kernel
def _figure(kind: int, price: float, qty: float, ref: float, is_event: bool, extra: bool) -> int:
    """A funding rate (any sign, but never as much as the notional), open interest, a mark."""
    if math.isnan(qty if kind == _INTEREST else price):
        return _NULL_PRICE
    if kind == _INTEREST:
        if math.isinf(qty):
            return _NOT_FINITE
        if qty < 0.0:
            return _NOT_POSITIVE
        return _OUT_OF_RANGE if extra or qty > QTY_MAX else _OK
    if math.isinf(price) or math.isinf(ref):
        return _NOT_FINITE
    if ref <= 0.0 or (kind == _MARK and price <= 0.0):
        return _NOT_POSITIVE
    if extra:
        return _OUT_OF_RANGE
    if kind == _FUNDING:
        inside = -RATE_MAX < price < RATE_MAX and not ref > SECONDS_MAX
        return _OK if inside else _OUT_OF_RANGE
    limit = CHANCE_MAX if is_event else PRICE_MAX
    return _OUT_OF_RANGE if price > limit or ref > limit else _OK


@kernel
def _any(a: float, b: float, c: float, d: float) -> bool:
    """One of them is there: a column that the row's kind does not use."""
    return not (math.isnan(a) and math.isnan(b) and math.isnan(c) and math.isnan(d))


@kernel
def _judge(
    state: GateState, rows: MarketRows, market: _Market, seen: Seen, reason: U2, mark: U1
) -> int:
    """Fill `reason` and `mark`, and `seen` if it is as long, but for `seen.mark`; gives the first
    row with an impossible source, -1 if there is none.
    """
    base, count, kinds = market.base, market.n_of_lane, market.kind
    watched = seen.newest_recv_ns.size > 0
    for i in range(rows.seq.size):
        kind = rows.kind[i]
        if kind == 0 or kind >= _KINDS:
            continue
        source = rows.source[i]
        if source < 0 or source >= state.recv_ns.size:
            return i
        lane, symbol = rows.lane[i], rows.symbol[i]
        inside = 0 <= lane < base.size and 0 <= symbol < count[lane]
        at = base[lane] + symbol if inside else 0
        snapshot = rows.flags[i] & _SNAPSHOT != 0
        if watched:
            if inside:
                seen.instrument_kind[i] = kinds[at]
                seen.may_cross[i] = market.may_cross[at]
            if inside and not snapshot:
                seen.newest_recv_ns[i] = state.recv_ns[source]
                seen.newest_event_ns[i] = state.event_ns[at, source, kind]
            if kind == _BOOK:
                seen.message_reason[i] = state.broken[source]
        why = int(rows.reason[i])
        if why == _OK:
            event_ns, recv_ns = rows.ts_event_ns[i], rows.ts_recv_ns[i]
            if not inside:
                why = _UNKNOWN
            elif event_ns < 0 or recv_ns < 0:
                why = _NULL_TIME
            elif event_ns > _TIME_MAX_NS or recv_ns > _TIME_MAX_NS:
                why = _OUT_OF_RANGE
            else:
                is_event = kinds[at] == _EVENT
                price, qty, ref = rows.price[i], rows.qty[i], rows.ref[i]
                bid, bid_qty = rows.bid_px[i], rows.bid_qty[i]
                ask, ask_qty = rows.ask_px[i], rows.ask_qty[i]
                first, high, low = rows.open[i], rows.high[i], rows.low[i]
                if kind == _QUOTE:
                    extra = _any(first, high, low, ref) or _any(price, qty, price, qty)
                    may_cross = market.may_cross[at] != 0
                    may_lack = is_event or kinds[at] == _OPTION
                    limit = CHANCE_MAX if is_event else PRICE_MAX
                    why = _quote(bid, bid_qty, ask, ask_qty, may_lack, limit, may_cross, extra)
                else:
                    extra = _any(bid, bid_qty, ask, ask_qty)
                    if kind == _BAR:
                        why = _bar(first, high, low, price, qty, ref, is_event, extra)
                    else:
                        extra = extra or _any(first, high, low, low)
                        if kind in (_TRADE, _BOOK):
                            extra = extra or not math.isnan(ref)
                            why = _level(kind, price, qty, rows.side[i], is_event, extra)
                        else:
                            unused = price if kind == _INTEREST else qty
                            extra = extra or not math.isnan(unused)
                            extra = extra or (kind == _INTEREST and not math.isnan(ref))
                            why = _figure(kind, price, qty, ref, is_event, extra)
        if why == _OK and not snapshot:
            if rows.ts_recv_ns[i] < state.recv_ns[source]:
                why = _RECV_BACK
            elif rows.ts_event_ns[i] < state.event_ns[at, source, kind]:
                why = _EVENT_BACK
        if kind == _BOOK:
            if why == _OK:
                why = int(state.broken[source])
            else:
                state.broken[source] = _REFUSED
            if rows.flags[i] & _LAST != 0:
                state.broken[source] = _OK
        if why == _OK and not snapshot:
            state.recv_ns[source] = rows.ts_recv_ns[i]
            state.event_ns[at, source, kind] = rows.ts_event_ns[i]
        if why == _OK and kind == _QUOTE and rows.bid_px[i] > rows.ask_px[i]:
            mark[i] = _CROSSED_FLAG
        reason[i] = why
    return -1
