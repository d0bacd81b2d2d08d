"""Implied volatility of options, and the skew of each expiry: risk reversal and butterfly."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import kernel
from operators.features.derivatives.black import delta, implied
from operators.features.derivatives.chains import NOT_ONE, Chains, chains_of
from operators.features.flow.rows import TOP, show, show_nothing
from operators.features.signal import Signal, SignalInput
from operators.features.told import ToldRows, told_rows
from schemas.instruments import InstrumentTable
from schemas.rows import F8, I8, U1

WING = 0.25  # delta of the options that the skew is between
REFRESH_NS = 1_000_000_000  # a chain is read again at most once a second: it costs its length
EIGHTH = 8  # or once such a part of it was quoted anew: a snapshot of a chain has one time for all
STALE_NS = 3_600_000_000_000  # an hour: options are quoted seldom
WIDEST = 2.0  # a quote counts if its ask is at most so many times its bid: wings are illiquid
YEAR_NS = 365 * 86_400_000_000_000
TERM_NS_MIN = 3_600_000_000_000  # an hour before expiry there is no volatility left to speak of
FRONT_NS_MIN = 86_400_000_000_000  # an underlying shows the first chain with a day to go
VOL, DELTA, ATM, REVERSAL, BUTTERFLY = 0, 1, 2, 3, 4


class SkewState(NamedTuple):
    """One entry per instrument, then per chain."""

    price: F8  # an option's mid in its own units, NaN where the quote counts not; else the mid
    price_ns: I8  # our clock, when it came
    front: I8  # the first chain of an underlying with a day to go
    changed: I8  # (chains,) quotes since the chain was read
    read_ns: I8  # (chains,) our clock, when the chain was read
    forward: F8  # (chains,) as it was read, NaN where it is not known
    smile: F8  # (chains, 3) ATM, REVERSAL, BUTTERFLY
    held: F8


class Skew(Signal[SkewState]):
    """Black-Scholes volatilities of every option, and the 25-delta skew of its expiry.

    Parameters
    ----------
    table : InstrumentTable
        Options by their kind, with expiry, strike and right; the underlying is found in their lane.
    rate : float
        Interest a year, continuous; a fraction.

    Notes
    -----
    In: SignalInput; quotes. Options count with the mid where bid and ask are there and the ask is
    at most twice the bid. Prices in the base asset (coin-settled options) are taken as that share
    of the forward.
    Forward of an expiry: put-call parity at the strike where call and put are closest, else the
    underlying's mid at the rate; so American options count as European ones.
    Out, on rows of an option: implied_vol, a year of 365 days; option_delta, of the forward, puts
    negative; and of its expiry vol_atm, the mean of call and put volatility at delta 0.5;
    skew_reversal, volatility of the 25-delta call less that of the 25-delta put; skew_butterfly,
    their mean less vol_atm. Between strikes volatility is linear in delta. On rows of the
    underlying: the last three of the first expiry at least a day away.
    Nulls: what has no chain; a volatility without a quote of the last hour, or with a price that no
    volatility gives; the skew where no two neighbours enclose the delta on a side; the last hour.
    Time: ages by our clock, terms by the venue's. A chain is read at a row of it or of its
    underlying once a quote of it came, at most once a second of our clock; once an eighth of it was
    quoted since; and an hour after it was read. Until then the skew stands, and an option that is
    quoted is valued with the forward that was read. Chunks: any split gives the same bytes. Cost:
    the length of the chain each time, so at most eight options a row.
    State: 64 bytes per instrument, 48 per expiry.
    Errors: ValueError for an option without expiry, strike or right.
    Source: Black, Scholes (1973); Hull, Options, Futures, and Other Derivatives, chapters 11 and
    15; the forward as in the VIX white paper of Cboe.
    """

    NAMES = ("implied_vol", "option_delta", "vol_atm", "skew_reversal", "skew_butterfly")

    def __init__(self, table: InstrumentTable, *, rate: float = 0.0) -> None:
        self._chains = chains_of(table)
        self._rate = rate

    def initial(self) -> SkewState:
        n, chains = self._chains.of.size, self._chains.expiry_ns.size
        return SkewState(
            price=np.full(n, np.nan), price_ns=np.zeros(n, np.int64),
            front=self._chains.front[:, 0].astype(np.int64), changed=np.zeros(chains, np.int64),
            read_ns=np.full(chains, np.iinfo(np.int64).min // 2),
            forward=np.full(chains, np.nan), smile=np.full((chains, 3), np.nan),
            held=np.full((n, len(self.NAMES)), np.nan),
        )  # fmt: skip

    def fill(self, state: SkewState, rows: SignalInput, values: F8, columns: I8) -> None:
        _walk(
            state, self._chains, self._rate, told_rows(rows), rows.flow.event,
            rows.flow.bid_px, rows.flow.ask_px, values, columns,
        )  # fmt: skip


@kernel
def _fresh(memory: SkewState, k: int, log_ns: int) -> float:
    return memory.price[k] if log_ns - memory.price_ns[k] <= STALE_NS else np.nan


@kernel
def _forward(memory: SkewState, chains: Chains, chain: int, growth: float, log_ns: int) -> float:
    """By parity where call and put of one strike are closest, else from the underlying."""
    best, found = np.inf, np.nan
    for at in range(chains.first[chain], chains.first[chain + 1] - 1):
        call, put = chains.member[at], chains.member[at + 1]
        paired = chains.strike[call] == chains.strike[put] and chains.is_call[put] == 0
        if not (paired and chains.is_call[call] and chains.in_coin[call] == chains.in_coin[put]):
            continue
        strike, apart = chains.strike[call], _fresh(memory, call, log_ns)
        apart -= _fresh(memory, put, log_ns)
        if chains.in_coin[call]:
            forward = strike / (1.0 - apart) if apart < 1.0 else np.nan
            apart *= forward
        else:
            forward = strike + growth * apart
        if math.fabs(apart) < best and forward > 0.0:
            best, found = math.fabs(apart), forward
    if np.isnan(found) and chains.underlying[chain] != NOT_ONE:
        found = _fresh(memory, chains.underlying[chain], log_ns) * growth
    return found


@kernel
def _between(x0: float, y0: float, x1: float, y1: float, x: float) -> float:
    """On the line through two points, at x between them; NaN where it is not."""
    if not (x0 < x <= x1 or x1 <= x < x0):
        return np.nan
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


@kernel
def _value(
    memory: SkewState, chains: Chains, k: int, forward: float, rate: float, left_ns: int,
    log_ns: int,
) -> None:  # fmt: skip
    """Volatility and delta of one option, by its last quote."""
    held, years, is_call = memory.held[k], left_ns / YEAR_NS, chains.is_call[k] == 1
    held[VOL] = held[DELTA] = np.nan
    if left_ns < TERM_NS_MIN or not forward > 0.0:
        return
    price = _fresh(memory, k, log_ns)
    price *= forward if chains.in_coin[k] else math.exp(rate * years)
    deviation = implied(forward, chains.strike[k], price, is_call)  # NaN of a price that is none
    if not np.isnan(deviation):
        held[VOL] = deviation / math.sqrt(years)
        held[DELTA] = delta(forward, chains.strike[k], deviation, is_call)


@kernel
def _read(
    memory: SkewState, chains: Chains, chain: int, rate: float, event_ns: int, log_ns: int
) -> None:
    """Volatilities of all members, and the skew between them."""
    left_ns = chains.expiry_ns[chain] - event_ns
    held, years = memory.held, left_ns / YEAR_NS
    forward = _forward(memory, chains, chain, math.exp(rate * years), log_ns)
    memory.forward[chain] = forward
    last_delta, last_vol = (np.nan, np.nan), (np.nan, np.nan)  # of the put and call before
    put_wing = call_wing = put_atm = call_atm = np.nan
    for at in range(chains.first[chain], chains.first[chain + 1]):
        k = chains.member[at]
        is_call = chains.is_call[k] == 1
        _value(memory, chains, k, forward, rate, left_ns, log_ns)
        vol, own = held[k, VOL], held[k, DELTA]
        if np.isnan(vol):
            continue
        if is_call:
            wing = _between(last_delta[1], last_vol[1], own, vol, WING)
            atm = _between(last_delta[1], last_vol[1], own, vol, 0.5)
            call_wing = wing if np.isnan(call_wing) else call_wing
            call_atm = atm if np.isnan(call_atm) else call_atm
            last_delta, last_vol = (last_delta[0], own), (last_vol[0], vol)
        else:
            wing = _between(last_delta[0], last_vol[0], own, vol, -WING)
            atm = _between(last_delta[0], last_vol[0], own, vol, -0.5)
            put_wing = put_wing if np.isnan(wing) else wing
            put_atm = put_atm if np.isnan(atm) else atm
            last_delta, last_vol = (own, last_delta[1]), (vol, last_vol[1])
    atm = call_atm if np.isnan(put_atm) else put_atm
    if not np.isnan(call_atm + put_atm):
        atm = (call_atm + put_atm) / 2.0
    smile = memory.smile[chain]
    smile[0], smile[1] = atm, call_wing - put_wing
    smile[2] = (call_wing + put_wing) / 2.0 - atm
    for at in range(chains.first[chain], chains.first[chain + 1]):
        for j in range(3):
            held[chains.member[at], ATM + j] = smile[j]


@kernel
def _front(memory: SkewState, chains: Chains, k: int, event_ns: int) -> int:
    """The chain that an underlying shows; NOT_ONE where none is left."""
    stop = chains.front[k, 1]
    while memory.front[k] < stop and chains.expiry_ns[memory.front[k]] - event_ns < FRONT_NS_MIN:
        memory.front[k] += 1
    return memory.front[k] if memory.front[k] < stop else NOT_ONE


@kernel
def _walk(
    memory: SkewState, chains: Chains, rate: float, rows: ToldRows, event: U1, bid_px: F8,
    ask_px: F8, values: F8, columns: I8,
) -> None:  # fmt: skip
    for i in range(rows.k.size):
        k = rows.k[i]
        if not 0 <= k < chains.of.size:
            show_nothing(values, i, columns)
            continue
        event_ns, log_ns, chain = rows.event_ns[i], rows.log_ns[i], chains.of[k]
        if chain != NOT_ONE:
            if event[i] & TOP:
                counts = bid_px[i] > 0.0 and ask_px[i] <= WIDEST * bid_px[i]
                memory.price[k] = rows.mid[i] if counts else np.nan
                memory.price_ns[k] = log_ns
                memory.changed[chain] += 1
        else:
            chain = _front(memory, chains, k, event_ns)
            if not np.isnan(rows.mid[i]):
                memory.price[k], memory.price_ns[k] = rows.mid[i], log_ns
        passed_ns = log_ns - memory.read_ns[chain] if chain != NOT_ONE else 0
        due = False
        if chain != NOT_ONE and memory.changed[chain] > 0:
            part = (chains.first[chain + 1] - chains.first[chain]) // EIGHTH
            due = passed_ns >= REFRESH_NS or memory.changed[chain] >= max(part, 1)
        if due or passed_ns > STALE_NS:  # by then every quote that was read is too old
            _read(memory, chains, chain, rate, event_ns, log_ns)
            memory.changed[chain], memory.read_ns[chain] = 0, log_ns
        elif chains.of[k] != NOT_ONE and event[i] & TOP:
            left_ns = chains.expiry_ns[chain] - event_ns
            _value(memory, chains, k, memory.forward[chain], rate, left_ns, log_ns)
        if chains.of[k] == NOT_ONE:
            for j in range(3):
                memory.held[k, ATM + j] = memory.smile[chain, j] if chain != NOT_ONE else np.nan
        show(values, i, columns, memory.held, k)
