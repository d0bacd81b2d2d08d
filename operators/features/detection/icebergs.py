"""Icebergs in books by level: size that comes back after trades, and trades of more than shown."""

from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.detection.found import AlarmKind, Found, blank_found, tell
from operators.features.detection.level_memory import (
    ASKS,
    BIDS,
    NOWHERE,
    LevelMemory,
    blank_memory,
    close_message,
    find,
    forget,
    take_level,
    tick_of,
)
from operators.features.detection.refills import (
    NOT_ALIKE,
    REFILLS_TOLD,
    SIZE_FIELDS,
    SIZES,
    came_back,
    expected_qty,
)
from operators.features.detection.rows import (
    CHANGED,
    LOST,
    OTHER,
    TRADED,
    DetectorRows,
    detector_rows,
    ends_message,
    mask,
    what_is,
)
from operators.features.detection.thresholds import IcebergThresholds
from operators.features.flow.rows import ASK_PX, BID_PX, show, show_nothing
from operators.features.signal import Signal, SignalInput
from operators.records import Records, blank_records
from schemas.instruments import InstrumentArrays
from schemas.rows import F8, I8, U1

PRICES = 12  # with trades that are watched at once, per instrument

_ICEBERG = int(AlarmKind.ICEBERG)
_REFILLS, _PEAK, _QTY, _EXPECTED, _PX = 0, 1, 2, 3, 4
_COLUMNS = 5  # a side

_PRICE_FIELDS = {
    "key": "<i8",  # of its place in the memory of levels; 0: free
    "at": "<i8",  # that place
    "side": "<i8",  # +1 bids, -1 asks
    "price": "<f8",
    "visible": "<f8",  # what the level showed when the book was last compared with the trades
    "touched": "<i8",  # 1: a row of the book has changed it since
    "traded": "<f8",  # since that comparison
    "total": "<f8",  # traded before it, in this episode
    "left": "<f8",  # went without a trade, in this episode
    "owed": "<f8",  # the last that did, and that a late trade may explain
    "owed_ns": "<i8",  # venue time of that
    "trade_ns": "<i8",  # venue time of the last trade
    "active_ns": "<i8",  # venue time of the last trade or refill
    "onset_ns": "<i8",  # our clock at the first trade
    "named": "<i8",  # 1 + the size that was confirmed; 0: none
    "told": "<i8",  # 1: an alarm is out
}


class IcebergState(NamedTuple):
    """One entry per instrument, or several."""

    levels: LevelMemory
    book_ns: I8  # (instruments,) venue time of the last whole message
    prices: Records  # (instruments * PRICES,) _PRICE_FIELDS
    sizes: Records  # (instruments * PRICES * SIZES,) SIZE_FIELDS
    ended: I8  # (instruments, REFILLS_TOLD) icebergs that ended after so many refills
    censored: I8  # (instruments, REFILLS_TOLD) that were lost from sight
    held: F8


class _Terms(NamedTuple):
    """What the kernels must know."""

    tick: F8
    half_lot: F8  # smaller differences are rounding
    excluded: U1
    limits: IcebergThresholds


class Icebergs(Signal[IcebergState]):
    """Resting orders that show a part of their size and fill it up again.

    Parameters
    ----------
    instruments : InstrumentArrays
    thresholds : IcebergThresholds
    excluded : uint8, shape (instruments,), or None
        1 for instruments whose feed joins updates, so that refills cannot be seen: all null.

    Notes
    -----
    In: SignalInput with at least one level. Rows of the book (not of single orders), trades with a
    known aggressor, and BOOK_STATUS are read. Out: SignalBlock of five columns a side about the
    iceberg whose last refill is the latest: iceberg_*_refills (0: there is none); iceberg_*_peak,
    the mean refill, which is the size that it shows; iceberg_*_qty, peak and refills so far;
    iceberg_*_expected_qty, what it is likely to have in all; iceberg_*_px.
    Refill: at a price with trades, with each whole message, b = shown now - shown before + traded
    since. It is what came back: an order's hidden part, or a new order. It counts if the last trade
    is at most `refill_ns` old, b is `shown_share_min` of the level, and the order of the last
    refill of this size must have been filled: since then at least its size was traded, and all that
    the level showed has been traded or has left, as it was the last in the queue. Refills are told
    apart by size, three sizes a price: within `size_tolerance` and half a lot of the mean it is the
    same, also m times it where the trades between two messages were so many. A size is forgotten
    when more than the level showed was traded without a refill in time. An iceberg has
    `refills_min` of one size, and it would be by chance with `chance_max` at most, if each refill
    that could have been one had this size with `alike_share`.
    Clocks: a message without the price counts `settle_ns` after its last trade; what left the level
    up to `late_ns` before a trade was that trade's.
    Native: trades of together `native_ratio_min` times what their price showed, if the book of at
    most `native_fresh_ns` before said so, are an alarm with strength 0, and change no feature. A
    venue that refills at once tells one sweep as many trades: none of them need be large.
    Whole size: peak times (1 + refills), refills as a Kaplan-Meier mean of this instrument's
    icebergs that had at least as many. One ends when its size is forgotten, or its price is empty
    after a trade, without a refill in time; it is censored when it was idle for `idle_ns`,
    the book was lost, or its price was forgotten. Null until five have ended.
    Caution: without order ids, several traders who refill alike are one iceberg. A statement about
    a price, not about anybody.
    Nulls: all before the first whole snapshot, and while the book is not known.
    Time: venue time. Chunks: any split gives the same bytes. State: 15 kB per instrument.
    Errors: ValueError where rows have no levels, or `excluded` has another shape.
    Source: Zotikov, Antonov (2021), CME Iceberg Order Detection and Prediction; Kaplan, Meier
    (1958).
    """

    NAMES = tuple(
        f"iceberg_{side}_{what}"
        for side in ("bid", "ask")
        for what in ("refills", "peak", "qty", "expected_qty", "px")
    )

    def __init__(
        self,
        instruments: InstrumentArrays,
        *,
        thresholds: IcebergThresholds = IcebergThresholds(),  # noqa: B008 - a constant tuple
        excluded: U1 | None = None,
    ) -> None:
        self._terms = _Terms(
            instruments.tick, instruments.lot / 2.0, mask(excluded, instruments.lane.size),
            thresholds,
        )  # fmt: skip

    def initial(self) -> IcebergState:
        n = self._terms.tick.size
        return IcebergState(
            blank_memory(n),
            np.zeros(n, np.int64),
            blank_records(_PRICE_FIELDS, n * PRICES),
            blank_records(SIZE_FIELDS, n * PRICES * SIZES),
            np.zeros((n, REFILLS_TOLD), np.int64),
            np.zeros((n, REFILLS_TOLD), np.int64),
            np.full((n, len(self.NAMES)), np.nan),
        )

    def fill(self, state: IcebergState, rows: SignalInput, values: F8, columns: I8) -> None:
        self.watch(state, rows, values, columns, blank_found(0))

    def watch(
        self, state: IcebergState, rows: SignalInput, values: F8, columns: I8, found: Found
    ) -> None:
        """As `fill`, and note alarms: price, size so far, refills as strength."""
        _walk(state, self._terms, detector_rows(rows), values, columns, found)

    def places(self, rows: SignalInput) -> int:
        """Alarms that these rows can cause at most: one for each price watched, and each trade."""
        return self._terms.tick.size * PRICES + 2 * rows.k.size


@kernel
def _walk(
    memory: IcebergState, terms: _Terms, rows: DetectorRows, values: F8, columns: I8, found: Found
) -> None:
    levels = memory.levels
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < terms.tick.size:
            show_nothing(values, i, columns)
            continue
        told = OTHER if terms.excluded[k] else what_is(rows, i)
        if told == CHANGED:
            tick = tick_of(rows.price[i], terms.tick[k])
            at, _ = take_level(levels, k, rows.flags[i], rows.side[i], tick, rows.qty[i])
            if at != NOWHERE and levels.owner[k, at] > 0:
                memory.prices[k * PRICES + levels.owner[k, at] - 1].touched = 1
            if ends_message(rows, i):
                bid_px, ask_px = rows.levels[i, BID_PX, 0], rows.levels[i, ASK_PX, 0]
                if close_message(levels, k, bid_px, ask_px, terms.tick[k]):
                    _compare(memory, terms, k, rows.ts_event_ns[i], i, found)
                else:
                    _lose(memory, k)
        elif told == TRADED and levels.known[k]:
            _trade(
                memory, terms, k, -1 if rows.sign[i] > 0.0 else 1, rows.price[i], rows.qty[i],
                rows.ts_event_ns[i], rows.ts_recv_ns[i], i, found,
            )  # fmt: skip
        elif told == LOST:
            forget(levels, k)
            _lose(memory, k)
        show(values, i, columns, memory.held, k)


@kernel
def _trade(
    memory: IcebergState,
    terms: _Terms,
    k: int,
    side: int,
    price: float,
    qty: float,
    ts_ns: int,
    recv_ns: int,
    i: int,
    found: Found,
) -> None:
    """A trade takes from a level of this side."""
    levels, limits = memory.levels, terms.limits
    at = find(levels, k, BIDS if side > 0 else ASKS, tick_of(price, terms.tick[k]))
    if at == NOWHERE or np.isnan(levels.qty[k, at]):
        return
    if levels.owner[k, at] == 0:
        _open(memory, k, at, side, price, recv_ns)
    one = memory.prices[k * PRICES + levels.owner[k, at] - 1]
    if one.owed > 0.0 and abs(ts_ns - one.owed_ns) <= limits.late_ns:
        paid = min(qty, one.owed)
        one.owed -= paid
        one.left -= paid
        one.total += paid
        qty -= paid
    one.traded += qty
    if (
        not one.told
        and one.visible > terms.half_lot[k]
        and one.traded >= limits.native_ratio_min * one.visible
        and 0 <= ts_ns - memory.book_ns[k] <= limits.native_fresh_ns
    ):
        one.told = 1
        tell(found, i, _ICEBERG, side, one.price, one.traded, 0.0, recv_ns)
    one.trade_ns = max(one.trade_ns, ts_ns)
    one.active_ns = max(one.active_ns, ts_ns)


@kernel
def _open(memory: IcebergState, k: int, at: int, side: int, price: float, recv_ns: int) -> None:
    """Watch a price; where all places are taken, instead of the one that was quiet for longest."""
    first = k * PRICES
    place = first
    for j in range(first, first + PRICES):
        if memory.prices[j].key == 0:
            place = j
            break
        if memory.prices[j].active_ns < memory.prices[place].active_ns:
            place = j
    if memory.prices[place].key != 0:
        _close(memory, k, place, False)
    one = memory.prices[place]
    one.key, one.at, one.side, one.price = memory.levels.key[k, at], at, side, price
    one.visible, one.onset_ns = memory.levels.qty[k, at], recv_ns
    memory.levels.owner[k, at] = place - first + 1


@kernel
def _close(memory: IcebergState, k: int, place: int, ended: bool) -> None:
    """An episode is over: its iceberg, if there was one, has ended or is lost from sight."""
    one = memory.prices[place]
    if one.named:
        refills = memory.sizes[place * SIZES + one.named - 1].refills
        counts = memory.ended if ended else memory.censored
        counts[k, min(refills, REFILLS_TOLD - 1)] += 1
    if memory.levels.owner[k, one.at] == place - k * PRICES + 1:
        memory.levels.owner[k, one.at] = 0
    one.key = one.touched = one.named = one.told = 0
    one.visible = one.traded = one.total = one.left = one.owed = 0.0
    one.trade_ns = one.active_ns = one.owed_ns = 0
    for j in range(place * SIZES, (place + 1) * SIZES):
        memory.sizes[j].peak, memory.sizes[j].refills = 0.0, 0


@kernel
def _lose(memory: IcebergState, k: int) -> None:
    """The book of `k` is not known."""
    for place in range(k * PRICES, (k + 1) * PRICES):
        if memory.prices[place].key != 0:
            _close(memory, k, place, False)
    for j in range(memory.held.shape[1]):
        memory.held[k, j] = np.nan


@kernel
def _compare(memory: IcebergState, terms: _Terms, k: int, ts_ns: int, i: int, found: Found) -> None:
    """A message is whole: what do the levels with trades show now?"""
    limits, levels, any_named = terms.limits, memory.levels, False
    memory.book_ns[k] = max(memory.book_ns[k], ts_ns)
    for place in range(k * PRICES, (k + 1) * PRICES):
        one = memory.prices[place]
        if one.key == 0:
            continue
        mine = levels.owner[k, one.at] == place - k * PRICES + 1
        if not mine or ts_ns - one.active_ns > limits.idle_ns:
            _close(memory, k, place, False)
            continue
        if levels.qty[k, one.at] != one.visible:
            one.touched = 1
        due_ns = one.trade_ns if one.touched else one.trade_ns + limits.settle_ns
        if ts_ns >= due_ns and (one.touched or one.traded > 0.0):
            _settle(memory, terms, k, place, ts_ns)
        if one.named and not one.told:
            size = memory.sizes[place * SIZES + one.named - 1]
            one.told = 1
            tell(
                found, i, _ICEBERG, one.side, one.price, size.peak + size.hidden,
                float(size.refills), one.onset_ns,
            )  # fmt: skip
        if ts_ns - max(one.trade_ns, one.owed_ns) > limits.refill_ns:
            _expire(memory, terms.half_lot[k], k, place)
        any_named = any_named or one.named != 0
    held = memory.held[k]
    if any_named or held[_REFILLS] != 0.0 or held[_COLUMNS + _REFILLS] != 0.0:
        _hold(memory, k)


@kernel
def _expire(memory: IcebergState, half_lot: float, k: int, place: int) -> None:
    """No refill came in time: sizes whose order must have been filled by now are no icebergs."""
    one = memory.prices[place]
    if one.visible == 0.0:
        _close(memory, k, place, one.owed <= half_lot)
        return
    for j in range(place * SIZES, (place + 1) * SIZES):
        size = memory.sizes[j]
        if size.refills > 0 and one.total - size.mark > size.shown + half_lot:
            if one.named == 1 + j - place * SIZES:
                _close(memory, k, place, True)
                return
            size.refills = 0


@kernel
def _settle(memory: IcebergState, terms: _Terms, k: int, place: int, ts_ns: int) -> None:
    """Compare what a level shows with what was traded there since the last time."""
    one, limits = memory.prices[place], terms.limits
    shown = memory.levels.qty[k, one.at]
    netted = one.traded
    back = shown - one.visible + one.traded
    one.total += one.traded
    one.traded, one.visible, one.touched = 0.0, shown, 0
    if back < -terms.half_lot[k]:
        one.owed, one.owed_ns = -back, ts_ns
        one.left -= back
    elif (
        back > terms.half_lot[k]
        and back >= limits.shown_share_min * shown
        and ts_ns - one.trade_ns <= limits.refill_ns
    ):
        first = place * SIZES
        at = came_back(
            one, memory.sizes, first, limits, terms.half_lot[k], back, netted, ts_ns
        )  # fmt: skip
        if at != NOT_ALIKE and one.named == 1 + at - first:
            size = memory.sizes[at]
            size.expected = expected_qty(memory.ended[k], memory.censored[k], size)


@kernel
def _hold(memory: IcebergState, k: int) -> None:
    """The features: of each side the iceberg with the latest refill."""
    held = memory.held[k]
    for s in range(2):
        held[s * _COLUMNS + _REFILLS] = 0.0
        for j in range(s * _COLUMNS + _PEAK, (s + 1) * _COLUMNS):
            held[j] = np.nan
    latest_bid_ns = latest_ask_ns = 0
    for place in range(k * PRICES, (k + 1) * PRICES):
        one = memory.prices[place]
        if one.named == 0:
            continue
        size = memory.sizes[place * SIZES + one.named - 1]
        if size.refill_ns <= (latest_bid_ns if one.side > 0 else latest_ask_ns):
            continue
        if one.side > 0:
            latest_bid_ns, first = size.refill_ns, 0
        else:
            latest_ask_ns, first = size.refill_ns, _COLUMNS
        held[first + _REFILLS], held[first + _PEAK] = size.refills, size.peak
        held[first + _QTY] = size.peak + size.hidden
        held[first + _EXPECTED], held[first + _PX] = size.expected, one.price
