"""Spoofing and layering scores: large orders that leave unfilled, and a trade on the other side."""

from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.detection.found import AlarmKind, Found, blank_found, tell
from operators.features.detection.large_orders import (
    DONE,
    FREE,
    GONE,
    LIVE,
    ORDER_FIELDS,
    ORDERS,
    WAITS,
    is_layer,
    layers,
    tell_layers,
)
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
from operators.features.detection.thresholds import SpoofThresholds
from operators.features.flow.quantile import SIZE, observe, quantile
from operators.features.flow.rows import ASK_PX, BID_PX, show, show_nothing
from operators.features.signal import Signal, SignalInput
from operators.records import Record, Records, blank_records
from schemas.instruments import InstrumentArrays
from schemas.rows import F8, I8, U1

SIZES_MIN = 20  # orders seen before one is called large
MEDIAN = 0.5

_SPOOF = int(AlarmKind.SPOOF)
_SPOOF_BID, _SPOOF_ASK, _LAYERS_BID, _LAYERS_ASK = 0, 1, 2, 3


class SpoofState(NamedTuple):
    """One entry per instrument, or several."""

    levels: LevelMemory
    sizes: F8  # (instruments, SIZE) of the running median of what is added to a level at once
    passive: F8  # (instruments, 2) volume traded so far against bids, against asks
    orders: Records  # (instruments * ORDERS,) ORDER_FIELDS
    held: F8


class _Terms(NamedTuple):
    """What the kernels must know."""

    tick: F8
    half_lot: F8
    excluded: U1
    limits: SpoofThresholds


class Spoofs(Signal[SpoofState]):
    """How much the large orders that come and go look as if they were not meant to be filled.

    Parameters
    ----------
    instruments : InstrumentArrays
    thresholds : SpoofThresholds
    excluded : uint8, shape (instruments,), or None
        1 for instruments whose feed joins updates, so that lifetimes cannot be seen: all null.

    Notes
    -----
    In: SignalInput with at least one level. Rows of the book (not of single orders), trades with a
    known aggressor, and BOOK_STATUS are read. Out: SignalBlock of spoof_bid and spoof_ask, 0 to 1:
    the largest score of the orders of that side that were cancelled within `benefit_ns`, 0 where
    there are none; layering_bid and layering_ask: at how many prices they were.
    A large order adds `size_ratio_min` times the running median of what is added to levels near the
    best or more, at most `distance_max_ticks` behind the best price of its side. It is cancelled
    when `gone_share` of it has left at most `life_max_ns` after it came, and at most
    `filled_share_max` of it was traded at its price (until `late_ns` after). A benefit is a trade
    against the other side of the book (for a large bid: somebody buys from the asks), of more than
    `benefit_share_min` of its size, between placement and `benefit_ns` after it.
    score = (size + near + haste) / 3 * unfilled * benefit, each from 0 to 1:
    size = 1 - size_ratio_min / (2 ratio), near = 1 - distance / (2 distance_max_ticks),
    haste = 1 - life / (2 life_max_ns), unfilled = 1 - filled / qty, benefit = 1, or `idle_score`.
    An order at the limit of all three has 0.5 with a benefit.
    Alarms: SPOOF at `score_min`, once for prices of one side within `episode_ticks` and
    `benefit_ns`, not for an order of a layering; size is the order's. LAYERING for `layers_min`
    prices of one side, cancelled within `layer_ns`, at least one with a benefit: price of the
    nearest to the best, their size together, mean score.
    False accusations: market makers, hedgers and errors also cancel large orders fast, in a busy
    market a trade follows anyway, and by level an order and its owner cannot be seen. This is a
    figure about a price to be careful with, not evidence against anybody, and never an order.
    Nulls: all before the first whole snapshot, until 20 orders were seen, and while the book is
    not known.
    Time: venue time. Chunks: any split gives the same bytes. State: 14 kB per instrument.
    Errors: ValueError where rows have no levels, or `excluded` has another shape.
    Source: Tao, Day, Ling, Drapeau (2020), On Detecting Spoofing Strategies in High Frequency
    Trading; the formula is ours.
    """

    NAMES = ("spoof_bid", "spoof_ask", "layering_bid", "layering_ask")

    def __init__(
        self,
        instruments: InstrumentArrays,
        *,
        thresholds: SpoofThresholds = SpoofThresholds(),  # noqa: B008 - a constant tuple
        excluded: U1 | None = None,
    ) -> None:
        self._terms = _Terms(
            instruments.tick, instruments.lot / 2.0, mask(excluded, instruments.lane.size),
            thresholds,
        )  # fmt: skip

    def initial(self) -> SpoofState:
        n = self._terms.tick.size
        return SpoofState(
            blank_memory(n),
            np.zeros((n, SIZE)),
            np.zeros((n, 2)),
            blank_records(ORDER_FIELDS, n * ORDERS),
            np.full((n, len(self.NAMES)), np.nan),
        )

    def fill(self, state: SpoofState, rows: SignalInput, values: F8, columns: I8) -> None:
        self.watch(state, rows, values, columns, blank_found(0))

    def watch(
        self, state: SpoofState, rows: SignalInput, values: F8, columns: I8, found: Found
    ) -> None:
        """As `fill`, and note alarms: price, size, score as strength."""
        _walk(state, self._terms, detector_rows(rows), values, columns, found)

    def places(self, rows: SignalInput) -> int:
        """Alarms that these rows can cause at most: two for each order watched or new."""
        return 2 * (self._terms.tick.size * ORDERS + rows.k.size)


@kernel
def _walk(
    memory: SpoofState, terms: _Terms, rows: DetectorRows, values: F8, columns: I8, found: Found
) -> None:
    levels = memory.levels
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < terms.tick.size:
            show_nothing(values, i, columns)
            continue
        ts_ns = rows.ts_event_ns[i]
        told = OTHER if terms.excluded[k] else what_is(rows, i)
        if told == CHANGED:
            tick, qty = tick_of(rows.price[i], terms.tick[k]), rows.qty[i]
            at, before = take_level(levels, k, rows.flags[i], rows.side[i], tick, qty)
            if at != NOWHERE and not levels.loading[k] and not np.isnan(before):
                if levels.owner[k, at] > 0:
                    _change(memory, terms, k, at, before, qty, ts_ns)
                if qty > before:
                    _add(
                        memory, terms, k, at, tick, 1 if rows.side[i] > 0 else -1, rows.price[i],
                        before, qty, ts_ns, rows.ts_recv_ns[i],
                    )  # fmt: skip
            if ends_message(rows, i):
                bid_px, ask_px = rows.levels[i, BID_PX, 0], rows.levels[i, ASK_PX, 0]
                if close_message(levels, k, bid_px, ask_px, terms.tick[k]):
                    _judge(memory, terms, k, ts_ns, i, found)
                else:
                    _lose(memory, k)
        elif told == TRADED and levels.known[k]:
            s = ASKS if rows.sign[i] > 0.0 else BIDS
            _trade(memory, k, s, tick_of(rows.price[i], terms.tick[k]), rows.qty[i])
            _judge(memory, terms, k, ts_ns, i, found)
        elif told == LOST:
            forget(levels, k)
            _lose(memory, k)
        show(values, i, columns, memory.held, k)


@kernel
def _lose(memory: SpoofState, k: int) -> None:
    for j in range(k * ORDERS, (k + 1) * ORDERS):
        memory.orders[j].state = FREE
    for j in range(memory.held.shape[1]):
        memory.held[k, j] = np.nan


@kernel
def _change(
    memory: SpoofState, terms: _Terms, k: int, at: int, before: float, qty: float, ts_ns: int
) -> None:
    """The level of a large order has changed: has it grown, or gone?"""
    one = memory.orders[k * ORDERS + memory.levels.owner[k, at] - 1]
    if one.state != LIVE:
        memory.levels.owner[k, at] = 0 if qty > before else memory.levels.owner[k, at]
    elif qty > before:
        one.ratio *= 1.0 + (qty - before) / one.qty
        one.qty += qty - before
    elif qty <= one.before + (1.0 - terms.limits.gone_share) * one.qty + terms.half_lot[k]:
        one.state, one.gone_ns = GONE, ts_ns


@kernel
def _add(
    memory: SpoofState,
    terms: _Terms,
    k: int,
    at: int,
    tick: int,
    side: int,
    price: float,
    before: float,
    qty: float,
    ts_ns: int,
    recv_ns: int,
) -> None:
    """Something was added to a level: a large order?"""
    limits, levels, added = terms.limits, memory.levels, qty - before
    best = levels.best[k, BIDS if side > 0 else ASKS]
    distance = max(float(side * (best - tick)), 0.0)
    if best == 0 or distance > limits.distance_max_ticks:
        return
    typical = quantile(memory.sizes[k])
    is_large = memory.sizes[k, SIZE - 1] >= SIZES_MIN and added >= limits.size_ratio_min * typical
    observe(memory.sizes[k], MEDIAN, added)
    if not is_large or levels.owner[k, at] > 0:
        return
    place = _room(memory, k)
    one = memory.orders[place]
    one.state, one.key, one.at, one.side = LIVE, levels.key[k, at], at, side
    one.price, one.before, one.qty = price, before, added
    one.ratio, one.distance = added / typical, distance
    one.since_ns, one.onset_ns, one.gone_ns = ts_ns, recv_ns, 0
    one.filled, one.other = 0.0, memory.passive[k, ASKS if side > 0 else BIDS]
    one.score, one.benefit, one.told, one.layered = 0.0, 0, 0, 0
    levels.owner[k, at] = place - k * ORDERS + 1


@kernel
def _room(memory: SpoofState, k: int) -> int:
    """A free place, else that of the order that came first."""
    oldest = k * ORDERS
    for j in range(k * ORDERS, (k + 1) * ORDERS):
        if memory.orders[j].state == FREE:
            return j
        if memory.orders[j].since_ns < memory.orders[oldest].since_ns:
            oldest = j
    _disown(memory, k, oldest)
    return oldest


@kernel
def _disown(memory: SpoofState, k: int, place: int) -> None:
    """The price is no longer this order's."""
    one, levels = memory.orders[place], memory.levels
    if levels.owner[k, one.at] == place - k * ORDERS + 1:
        levels.owner[k, one.at] = 0


@kernel
def _trade(memory: SpoofState, k: int, s: int, tick: int, qty: float) -> None:
    memory.passive[k, s] += qty
    at = find(memory.levels, k, s, tick)
    if at != NOWHERE and memory.levels.owner[k, at] > 0:
        memory.orders[k * ORDERS + memory.levels.owner[k, at] - 1].filled += qty


@kernel
def _judge(memory: SpoofState, terms: _Terms, k: int, ts_ns: int, i: int, found: Found) -> None:
    """What has become of the large orders by this row?"""
    limits = terms.limits
    fresh_bid = fresh_ask = False
    for place in range(k * ORDERS, (k + 1) * ORDERS):
        one = memory.orders[place]
        if one.state == DONE and ts_ns - one.gone_ns > limits.benefit_ns:
            one.state = FREE
        if one.state == FREE or one.state == DONE:
            continue
        if ts_ns - one.since_ns <= limits.benefit_ns:
            other = memory.passive[k, ASKS if one.side > 0 else BIDS] - one.other
            one.benefit = 1 if other > limits.benefit_share_min * one.qty else 0
        if one.state == LIVE and ts_ns - one.since_ns > limits.life_max_ns:
            _disown(memory, k, place)
            one.state = FREE
        elif one.state == GONE and ts_ns >= one.gone_ns + limits.late_ns:
            _disown(memory, k, place)
            in_haste = one.gone_ns - one.since_ns <= limits.life_max_ns
            unfilled = one.filled <= limits.filled_share_max * one.qty
            one.state = WAITS if in_haste and unfilled else FREE
        if one.state == WAITS and (one.benefit or ts_ns - one.since_ns > limits.benefit_ns):
            one.state, one.score = DONE, score(limits, one)
            _tell_spoof(memory, terms, k, place, i, found)
            fresh_bid, fresh_ask = fresh_bid or one.side > 0, fresh_ask or one.side < 0
    if fresh_bid:
        tell_layers(memory.orders, limits, k, 1, i, found)
    if fresh_ask:
        tell_layers(memory.orders, limits, k, -1, i, found)
    _hold(memory, k, ts_ns - limits.benefit_ns)


@kernel
def score(limits: SpoofThresholds, one: Record) -> float:
    """0 to 1; see `Spoofs`."""
    size = 1.0 - limits.size_ratio_min / (2.0 * one.ratio)
    near = 1.0 - one.distance / (2.0 * limits.distance_max_ticks)
    haste = 1.0 - (one.gone_ns - one.since_ns) / (2.0 * limits.life_max_ns)
    unfilled = 1.0 - one.filled / one.qty
    return float((size + near + haste) / 3.0 * unfilled) * (
        1.0 if one.benefit else limits.idle_score
    )


@kernel
def _tell_spoof(
    memory: SpoofState, terms: _Terms, k: int, place: int, i: int, found: Found
) -> None:
    """An alarm, unless one is out for the same episode."""
    one, limits = memory.orders[place], terms.limits
    if not one.benefit or one.score < limits.score_min:
        return
    known, reach = False, (limits.episode_ticks + 0.5) * terms.tick[k]  # half: binary fractions
    for j in range(k * ORDERS, (k + 1) * ORDERS):
        other = memory.orders[j]
        if j != place and other.state == DONE and other.told and other.side == one.side:
            known = known or abs(other.price - one.price) <= reach
    one.told = 1
    if not known and layers(memory.orders, limits, k, one) < limits.layers_min:
        tell(found, i, _SPOOF, one.side, one.price, one.qty, one.score, one.onset_ns)


@kernel
def _hold(memory: SpoofState, k: int, from_ns: int) -> None:
    """The features: orders that were cancelled since then."""
    held = memory.held[k]
    blank = 0.0 if memory.sizes[k, SIZE - 1] >= SIZES_MIN else np.nan
    for j in range(held.size):
        held[j] = blank
    for place in range(k * ORDERS, (k + 1) * ORDERS):
        one = memory.orders[place]
        if one.state == DONE and one.gone_ns >= from_ns:
            spoof, layers = (_SPOOF_BID, _LAYERS_BID) if one.side > 0 else (_SPOOF_ASK, _LAYERS_ASK)
            held[spoof] = max(held[spoof], one.score)
            if is_layer(memory.orders, k, place, one.side, from_ns):
                held[layers] += 1.0
