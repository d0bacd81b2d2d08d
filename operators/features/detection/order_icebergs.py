"""Icebergs in order-by-order feeds: an order is filled whole, and another like it is there at once.

With ids it is known which order was filled, of which size it was shown, and which order is new:
what a book by level has to guess. Where the venue fills an order up itself, its id stays, and there
is nothing to guess at all.
"""

from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.detection.found import AlarmKind, Found, blank_found, tell
from operators.features.detection.kaplan_meier import expected_of_those_that_last
from operators.features.detection.refills import ENDED_MIN, REFILLS_TOLD, chance
from operators.features.detection.rows import mask
from operators.features.detection.thresholds import IcebergThresholds
from operators.features.flow.rows import show, show_nothing
from operators.features.orders.events import (
    FILLED,
    GONE,
    JOINED,
    LEFT,
    LOST,
    NEW,
    WHOLE,
    OrderEvents,
)
from operators.features.signal import Signal, SignalInput
from operators.records import Record, Records, blank_records
from schemas.instruments import InstrumentArrays
from schemas.rows import F8, I4, I8, U1

CHAINS = 32  # orders, each with those that came in its place, that are watched per instrument
SIZES = 64  # of new orders whose share is known, per instrument; sizes far apart may share a place
SIZE_FADE = 0.5 ** (1.0 / 2_000.0)  # half-life of 2,000 new orders
NATIVE_MIN = 1  # refills of one id before it is named: the venue's word
_TRIES_MAX = 256

_ICEBERG = int(AlarmKind.ICEBERG)
_REFILLS, _PEAK, _QTY, _EXPECTED, _PX = 0, 1, 2, 3, 4
_COLUMNS = 5  # a side
_FREE, _RESTS, _GAP, _OVER = 0, 1, 2, 3
_MIX = 0x9E3779B1  # 2^32 over the golden ratio: neighbours land far apart

_CHAIN_FIELDS = {
    "state": "<i8",  # _RESTS: an order of it is open; _GAP: it was filled, the next may come;
    # _OVER: an iceberg that has ended, whose alarm is not told again
    "side": "<i8",  # +1 bids, -1 asks
    "price": "<f8",
    "peak": "<f8",  # what its first order showed
    "qty": "<f8",  # of all of its orders, as they joined
    "rank": "<i8",  # of the open one
    "refills": "<i8",
    "native": "<i8",  # of these, by the venue under the same id
    "tries": "<i8",  # new orders at its price and side, each of which could have been a refill
    "chance": "<f8",  # share of new orders that are of its size, the largest at any refill
    "filled_ns": "<i8",  # venue time at which the last one was filled
    "refill_ns": "<i8",  # and of the last refill
    "onset_ns": "<i8",  # our clock at the first fill
    "named": "<i8",
    "expected": "<f8",  # whole size, NaN where not known
}


class OrderIcebergState(NamedTuple):
    """One entry per instrument, or several."""

    chains: Records  # (instruments * CHAINS,) _CHAIN_FIELDS
    sizes: F8  # (instruments, SIZES) new orders by size, fading
    arrived: F8  # (instruments,) their sum
    now_ns: I8  # (instruments,) venue time
    ended: I8  # (instruments, REFILLS_TOLD) icebergs that ended after so many refills
    censored: I8  # (instruments, REFILLS_TOLD) that were cancelled or lost from sight
    held: F8


class _Terms(NamedTuple):
    """What the kernels must know."""

    lot: F8
    excluded: U1
    limits: IcebergThresholds


class OrderIcebergs(Signal[OrderIcebergState]):
    """Orders of one size that follow each other at a price, each as soon as the last was filled.

    Parameters
    ----------
    instruments : InstrumentArrays
    thresholds : IcebergThresholds
    excluded : uint8, shape (instruments,), or None
        1 for instruments without order-by-order rows that can be trusted: all null.

    Notes
    -----
    In: SignalInput, of which `orders` and times are read. Out: SignalBlock of five columns a side
    about the iceberg whose last refill is the latest: order_iceberg_*_refills (0: there is none);
    *_peak, what its first order showed; *_qty, of all its orders so far; *_expected_qty, what it is
    likely to have in all; *_px.
    Refill: an order was filled to its end, by the feed's word, and within `refill_ns` of venue time
    a new one of the same size (half a lot and `size_tolerance`) joins that price and side; or the
    venue itself fills it up again, which its id shows (native). Of several that wait the one with
    the most refills takes it.
    Named: at the first native refill; else from `refills_min` refills on, if so many of its `tries`
    would be of one size by chance with `chance_max` at most. A try is a new order at its price and
    side while it waits; one is of that size with the share that it has among this instrument's new
    orders, half-life 2,000 of them, at least `alike_share`. So a market whose orders are all of one
    lot has no icebergs of one lot.
    Whole size: peak times (1 + refills), refills as a Kaplan-Meier mean of this instrument's
    icebergs that had at least as many. One ends when its last order was filled and none came in
    time; it is censored when its order leaves unfilled, or the book is lost. Null until five ended.
    Alarms: once for a price and side, until it has been without an iceberg for `idle_ns`.
    Caution: several traders who refill alike are one iceberg, and a trader who places each part
    himself is one as well. A statement about a price, not about anybody.
    Nulls: before the first row about an order; while the book is gapped, until its snapshot. Feeds
    that do not say what was filled have none, so 0 refills.
    Time: venue time. Chunks: any split gives the same bytes. State: 5.4 kB per instrument.
    Errors: ValueError where `excluded` has another shape.
    Source: Zotikov, Antonov (2021), CME Iceberg Order Detection and Prediction; Kaplan, Meier
    (1958).
    """

    NAMES = tuple(
        f"order_iceberg_{side}_{what}"
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
        self._terms = _Terms(instruments.lot, mask(excluded, instruments.lane.size), thresholds)

    def initial(self) -> OrderIcebergState:
        n = self._terms.lot.size
        return OrderIcebergState(
            blank_records(_CHAIN_FIELDS, n * CHAINS), np.zeros((n, SIZES)), np.zeros(n),
            np.zeros(n, np.int64), np.zeros((n, REFILLS_TOLD), np.int64),
            np.zeros((n, REFILLS_TOLD), np.int64), np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: OrderIcebergState, rows: SignalInput, values: F8, columns: I8) -> None:
        self.watch(state, rows, values, columns, blank_found(0))

    def watch(
        self, state: OrderIcebergState, rows: SignalInput, values: F8, columns: I8, found: Found
    ) -> None:
        """As `fill`, and note alarms: price, size so far; refills as strength, 0 where native."""
        times = rows.market.ts_event_ns, rows.market.ts_recv_ns
        _walk(state, self._terms, rows.k, times, rows.orders, values, columns, found)

    def places(self, rows: SignalInput) -> int:
        """Alarms that these rows can cause at most: a row refills one iceberg."""
        return int(rows.orders.at.size)


@kernel
def _walk(
    memory: OrderIcebergState,
    terms: _Terms,
    rows_k: I4,
    times: tuple[I8, I8],
    events: OrderEvents,
    values: F8,
    columns: I8,
    found: Found,
) -> None:
    m, (ts_ns, recv_ns) = 0, times
    for i in range(rows_k.size):
        k = rows_k[i]
        if not 0 <= k < terms.lot.size:
            show_nothing(values, i, columns)
            continue
        told = m < events.at.size and events.at[m] == i
        if terms.excluded[k]:
            m += 1 if told else 0
        elif told or memory.now_ns[k] > 0:
            memory.now_ns[k] = max(memory.now_ns[k], ts_ns[i])
            changed = _end_those_without_refill(memory, terms.limits, k)
            if told:
                changed = _take(memory, terms, k, events, m, recv_ns[i], i, found) or changed
                m += 1
            if changed:
                _hold(memory, k)
        show(values, i, columns, memory.held, k)


@kernel
def _end_those_without_refill(memory: OrderIcebergState, limits: IcebergThresholds, k: int) -> bool:
    changed = False
    for j in range(k * CHAINS, (k + 1) * CHAINS):
        one = memory.chains[j]
        since_ns = memory.now_ns[k] - one.filled_ns
        if one.state == _GAP and since_ns > limits.refill_ns:
            changed = changed or one.named != 0
            _close(memory, k, one, True)
        if one.state == _OVER and since_ns > limits.idle_ns:
            one.state = _FREE
    return changed


@kernel
def _take(
    memory: OrderIcebergState,
    terms: _Terms,
    k: int,
    events: OrderEvents,
    m: int,
    recv_ns: int,
    i: int,
    found: Found,
) -> bool:
    """One row about an order; whether a feature may have changed."""
    what, first = events.what[m], k * CHAINS
    if what & LOST:
        for j in range(first, first + CHAINS):
            if memory.chains[j].state in (_RESTS, _GAP):
                _close(memory, k, memory.chains[j], False)
        memory.held[k, :] = np.nan
        if not what & WHOLE:
            return False
    changed = bool(np.isnan(memory.held[k, _REFILLS]))
    if what & LEFT and what & GONE:
        changed = _gone(memory, terms, k, events, m, recv_ns, i, found) or changed
    if what & JOINED and what & NEW:
        changed = _arrived(memory, terms, k, events, m, i, found) or changed
    return changed


@kernel
def _gone(
    memory: OrderIcebergState,
    terms: _Terms,
    k: int,
    events: OrderEvents,
    m: int,
    recv_ns: int,
    i: int,
    found: Found,
) -> bool:
    """An order has left its queue: filled to its end, filled up again, or cancelled."""
    what, half_lot = events.what[m], terms.lot[k] / 2.0
    filled = what & FILLED != 0 and events.filled_qty[m] >= events.left_qty[m] - half_lot
    one, known = _chain_of(memory, k, events.left_rank[m])
    if not filled:
        if not known:
            return False
        named = memory.chains[one].named != 0
        _close(memory, k, memory.chains[one], False)
        return bool(named)
    chain = memory.chains[one]
    if not known:
        if chain.state in (_RESTS, _GAP):
            _close(memory, k, chain, False)
        chain.side, chain.price, chain.onset_ns = events.side[m], events.left_px[m], recv_ns
        chain.peak = chain.qty = events.left_first[m]
        chain.refills = chain.native = chain.tries = chain.named = 0
        chain.chance, chain.expected = terms.limits.alike_share, np.nan
    chain.state, chain.filled_ns = _GAP, memory.now_ns[k]
    if what & JOINED and events.joined_px[m] == chain.price:
        chain.native += 1
        _refill(memory, terms, k, chain, events, m, i, found)
        return bool(chain.named != 0)
    return False


@kernel
def _chain_of(memory: OrderIcebergState, k: int, rank: int) -> tuple[int, bool]:
    """The chain whose open order has this rank; else a place for a new one, the least told."""
    first = k * CHAINS
    place = first
    for j in range(first, first + CHAINS):
        one, other = memory.chains[j], memory.chains[place]
        if one.state == _RESTS and one.rank == rank:
            return j, True
        if other.state != _FREE and (
            one.state == _FREE
            or one.refills < other.refills
            or (one.refills == other.refills and one.filled_ns < other.filled_ns)
        ):
            place = j
    return place, False


@kernel
def _arrived(
    memory: OrderIcebergState,
    terms: _Terms,
    k: int,
    events: OrderEvents,
    m: int,
    i: int,
    found: Found,
) -> bool:
    """A new order: of which chain, as its price and size tell?"""
    qty, place = events.joined_qty[m], _place_of(events.joined_qty[m] / terms.lot[k])
    share = memory.sizes[k, place] / memory.arrived[k] if memory.arrived[k] > 0.0 else 0.0
    like = -1
    for j in range(k * CHAINS, (k + 1) * CHAINS):
        one = memory.chains[j]
        if (
            one.state != _GAP
            or one.side != events.side[m]
            or one.price != events.joined_px[m]
        ):  # fmt: skip
            continue
        one.tries = min(one.tries + 1, _TRIES_MAX)
        slack = terms.limits.size_tolerance * one.peak + terms.lot[k] / 2.0
        if abs(qty - one.peak) > slack:
            continue
        if like < 0 or one.refills > memory.chains[like].refills:
            like = j
    for j in range(SIZES):
        memory.sizes[k, j] *= SIZE_FADE
    memory.arrived[k] = SIZE_FADE * memory.arrived[k] + 1.0
    memory.sizes[k, place] += 1.0
    if like < 0:
        return False
    chain = memory.chains[like]
    chain.chance = max(chain.chance, share)
    _refill(memory, terms, k, chain, events, m, i, found)
    return bool(chain.named != 0)


@kernel
def _place_of(lots: float) -> int:
    whole = int(min(lots + 0.5, 1e15))
    return int((((whole ^ (whole >> 31)) & 0x7FFFFFFF) * _MIX >> 20) & (SIZES - 1))


@kernel
def _refill(
    memory: OrderIcebergState,
    terms: _Terms,
    k: int,
    chain: Record,
    events: OrderEvents,
    m: int,
    i: int,
    found: Found,
) -> None:
    """The next order of a chain has joined the queue."""
    limits = terms.limits
    chain.state, chain.rank, chain.refill_ns = _RESTS, events.rank[m] - 1, memory.now_ns[k]
    chain.refills += 1
    chain.qty += events.joined_qty[m]
    if chain.named:
        chain.expected = _expected(memory, k, chain)
    else:
        guessed = chain.refills - chain.native
        if chain.native >= NATIVE_MIN or (
            guessed >= limits.refills_min
            and chance(chain.tries, guessed, chain.chance) <= limits.chance_max
        ):
            chain.named, chain.expected = 1, _expected(memory, k, chain)
            if not _is_told(memory, k, chain):
                strength, side = 0.0 if chain.native else float(chain.refills), int(chain.side)
                tell(found, i, _ICEBERG, side, chain.price, chain.qty, strength, chain.onset_ns)


@kernel
def _is_told(memory: OrderIcebergState, k: int, chain: Record) -> bool:
    """Whether an iceberg at its price and side is out already, or was a short time ago."""
    for j in range(k * CHAINS, (k + 1) * CHAINS):
        one = memory.chains[j]
        if one.price != chain.price or one.side != chain.side:
            continue
        if one.state == _OVER or (one.rank != chain.rank and one.named and one.state != _FREE):
            return True
    return False


@kernel
def _close(memory: OrderIcebergState, k: int, chain: Record, ended: bool) -> None:
    """A chain is over; if it was an iceberg it has ended, or is lost from sight."""
    if chain.named:
        counts = memory.ended if ended else memory.censored
        counts[k, min(chain.refills, REFILLS_TOLD - 1)] += 1
    chain.state = _OVER if chain.named else _FREE
    chain.filled_ns = chain.filled_ns if ended else memory.now_ns[k]
    chain.named = chain.refills = 0


@kernel
def _expected(memory: OrderIcebergState, k: int, chain: Record) -> float:
    """Whole size of an iceberg with so many refills."""
    n = 0
    for t in range(REFILLS_TOLD):
        n += memory.ended[k, t]
    if n < ENDED_MIN:
        return np.nan
    so_far = min(chain.refills, REFILLS_TOLD - 1)
    more = expected_of_those_that_last(memory.ended[k], memory.censored[k], so_far) - so_far
    return float(chain.qty + chain.peak * more)


@kernel
def _hold(memory: OrderIcebergState, k: int) -> None:
    """The features: of each side the iceberg with the latest refill."""
    held = memory.held[k]
    for s in range(2):
        held[s * _COLUMNS + _REFILLS] = 0.0
        for j in range(s * _COLUMNS + _PEAK, (s + 1) * _COLUMNS):
            held[j] = np.nan
    latest_bid_ns = latest_ask_ns = 0
    for j in range(k * CHAINS, (k + 1) * CHAINS):
        one = memory.chains[j]
        if one.named == 0:
            continue
        if one.refill_ns <= (latest_bid_ns if one.side > 0 else latest_ask_ns):
            continue
        if one.side > 0:
            latest_bid_ns, first = one.refill_ns, 0
        else:
            latest_ask_ns, first = one.refill_ns, _COLUMNS
        held[first + _REFILLS], held[first + _PEAK] = one.refills, one.peak
        held[first + _QTY], held[first + _EXPECTED] = one.qty, one.expected
        held[first + _PX] = one.price
