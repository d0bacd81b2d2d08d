"""The matching of everything that comes: ordinary orders and agents, in one order of time."""

import math
from typing import NamedTuple

import numpy as np

from operators.arrays import F8, I8, kernel
from operators.market.books.words import OrderAction
from operators.records import Records
from schemas.kinds import Flag, Kind
from venues.lob.engine.agents import DONE, LIVE, NEVER_NS, WAITING, act, told_of_fill
from venues.lob.engine.book import (
    ACTION,
    ASK,
    BID,
    GRID,
    LOTS,
    NOBODY,
    NONE,
    ORDERS,
    SERIAL,
    TICK,
    Books,
    Outcome,
    blank_books,
    blank_outcome,
    cancel,
    lots_of_side,
    rest,
    take,
)
from venues.lob.engine.book import SIDE as ORDER_SIDE
from venues.lob.engine.flow import (
    CANCEL,
    DISTANCE_MAX,
    DISTANCE_TAIL,
    LIMIT,
    MARKET_LOTS,
    MEDIAN_LOTS,
    SIGMA_LIMIT,
    SIGMA_MARKET,
    TARGET_ORDERS,
    TYPES,
)

# Columns of what the venues say: one row each, in order of `T`.
T, VENUE, KIND, FLAGS, SIDE, A, B, C, D, NUMBER = range(10)
WIDTH = 10
MARKS = 4  # numbers drawn for each ordinary order: a normal one and three uniform ones
START_TICK = GRID // 2
SNAPSHOT_NS = 60_000_000_000  # between whole books
_ROOM = 4 * ORDERS  # rows that one action may need
_ROWS = 16 * _ROOM  # of a block
_SWEEP_TICKS = 30  # a market order gives up so far from the best price
_LEFT_MIN = 20  # orders that a market order leaves on a side
_GAP_HALF_TICKS = 3  # by which a venue's mid may be off the leader's before somebody trades on it
_ARBITRAGE_LOTS = 500
_FURTHEST = DISTANCE_MAX**-DISTANCE_TAIL  # share of limit orders that would be further away
_PAST = 4_096  # mids of the leader that are remembered

_ADD = int(OrderAction.ADD)
_TRADE, _QUOTE, _BOOK = int(Kind.TRADE), int(Kind.QUOTE), int(Kind.BOOK)
_LAST, _SNAPSHOT = int(Flag.MSG_LAST), int(Flag.SNAPSHOT)


class Ordinary(NamedTuple):
    """Ordinary orders, in order of time."""

    t_ns: I8  # from the start, rising
    type: I8
    marks: F8  # (n, MARKS)


class Desk(NamedTuple):
    """All that goes on from one row to the next."""

    books: Books
    out: Outcome
    quote: I8  # (venues, 4) last told: bid, its lots, ask, its lots
    number: I8  # (venues, 2) last of book messages, of trades
    past: I8  # (_PAST, 2) when the leader's mid became what, in half ticks; a ring
    at: I8  # (5,) next ordinary order, first agent not done, rows, entries of `past`, next snapshot
    seen: I8  # (venues,) entry of `past` that the venue has seen


def run_market(
    ordinary: Ordinary, agents: Records, draws: F8, lag_ns: I8, end_ns: int, *,
    by_order: bool = False,
) -> tuple[I8, Desk]:  # fmt: skip
    """Match until `end_ns`; agents, sorted by `onset_ns`, are changed in place.

    Returns what the venues said, shape (rows, WIDTH), and the state at the end. `by_order`: books
    order by order, C the order's number and D the OrderAction, and whole once, at the start.
    """
    venues = lag_ns.size
    desk = Desk(
        blank_books(venues), blank_outcome(by_order=by_order), np.zeros((venues, 4), np.int64),
        np.zeros((venues, 2), np.int64), np.zeros((_PAST, 2), np.int64), np.zeros(5, np.int64),
        np.zeros(venues, np.int64),
    )  # fmt: skip
    blocks = []
    rows = np.empty((_ROWS, WIDTH), np.int64)
    _open(desk, rows)
    while True:
        more = _walk(desk, ordinary, agents, draws, lag_ns, end_ns, rows)
        blocks.append(rows[: desk.at[2]].copy())
        desk.at[2] = 0
        if not more:
            return np.concatenate(blocks), desk


@kernel
def _open(desk: Desk, rows: I8) -> None:
    """Every book begins with the same orders."""
    for v in range(desk.number.shape[0]):
        for k in range(2 * int(DISTANCE_MAX)):
            for j in range(2 if k < DISTANCE_MAX else 1):
                lots = int(MEDIAN_LOTS) + 20 * j
                desk.out.n[:] = 0
                rest(desk.books, v, BID, START_TICK - 1 - k, lots, 0, NOBODY, desk.out)
                rest(desk.books, v, ASK, START_TICK + 1 + k, lots, 0, NOBODY, desk.out)
        desk.out.n[:] = 0
        _tell_whole(desk, v, 0, rows)
        _tell_quote(desk, v, 0, rows)
    desk.past[0, 1] = 2 * START_TICK
    desk.at[3], desk.at[4] = 1, SNAPSHOT_NS


@kernel
def _walk(
    desk: Desk, ordinary: Ordinary, agents: Records, draws: F8, lag_ns: I8, end_ns: int, rows: I8
) -> bool:
    """Goes on until the rows are full (True) or the end is reached."""
    at = desk.at
    while at[2] + _ROOM < rows.shape[0]:
        order_ns = ordinary.t_ns[at[0]] if at[0] < ordinary.t_ns.size else NEVER_NS
        who = _next_agent(agents, at)
        agent_ns = _due(agents, who)
        now_ns = min(order_ns, agent_ns)
        if now_ns >= end_ns:
            return False
        if at[4] <= now_ns and desk.out.told.shape[0] == 0:
            for v in range(lag_ns.size):
                _tell_whole(desk, v, at[4], rows)
            at[4] += SNAPSHOT_NS
            continue
        desk.out.n[:] = 0
        if agent_ns <= order_ns:
            _agent(desk, agents, who, draws, agent_ns, rows)
        else:
            i = at[0]
            at[0] += 1
            v, kind = ordinary.type[i] // TYPES, ordinary.type[i] % TYPES
            far = _reference(desk, v, lag_ns, now_ns)
            side, marks = kind % 2, ordinary.marks[i]
            if kind // 2 == LIMIT:
                _limit(desk, v, side, far, marks)
                _tell(desk, agents, draws, v, -1, now_ns, rows)
            elif kind // 2 == CANCEL:
                _cancels(desk, v, side, marks)
                _tell(desk, agents, draws, v, -1, now_ns, rows)
            else:
                _market(desk, v, side, marks)
                _tell(desk, agents, draws, v, side, now_ns, rows)
            if v > 0:
                _arbitrage(desk, agents, draws, v, far, now_ns, rows)
    return True


@kernel
def _next_agent(agents: Records, at: I8) -> int:
    """Who is the next to act: one of those who live, or the first who waits; -1 nobody."""
    while at[1] < agents.size and agents[at[1]].status == DONE:
        at[1] += 1
    found, due_ns = -1, NEVER_NS
    for k in range(at[1], agents.size):
        agent = agents[k]
        if agent.status == LIVE and agent.due_ns < due_ns:
            found, due_ns = k, agent.due_ns
        if agent.status == WAITING:
            return k if agent.onset_ns < due_ns else found
    return found


@kernel
def _due(agents: Records, who: int) -> int:
    if who < 0:
        return int(NEVER_NS)
    agent = agents[who]
    return int(agent.onset_ns if agent.status == WAITING else agent.due_ns)


@kernel
def _agent(desk: Desk, agents: Records, who: int, draws: F8, now_ns: int, rows: I8) -> None:
    v, agent = agents[who].venue, agents[who]
    took = act(agent, who, draws[who], desk.books, now_ns, desk.out)
    _tell(desk, agents, draws, v, took, now_ns, rows)


@kernel
def _limit(desk: Desk, v: int, side: int, far: int, marks: F8) -> None:
    """At the opposite best or further away, and not beyond where the leader's price is."""
    near = 1.0 - marks[1] * (1.0 - _FURTHEST)
    back = int(math.exp(-math.log(near) / DISTANCE_TAIL))  # not **: it differs without numba
    if side == BID:
        tick = min(desk.books.best[v, ASK], (far + 1) // 2) - back
    else:
        tick = max(desk.books.best[v, BID], far // 2) + back
    lots = max(1, int(MEDIAN_LOTS * math.exp(SIGMA_LIMIT * marks[0])))
    rest(desk.books, v, side, tick, lots, 0, NOBODY, desk.out)


@kernel
def _market(desk: Desk, v: int, side: int, marks: F8) -> None:
    books, other = desk.books, 1 - side
    if books.n_alive[v, other] <= _LEFT_MIN:
        return
    lots = max(1, int(MARKET_LOTS * math.exp(SIGMA_MARKET * marks[0])))
    lots = min(lots, lots_of_side(books, v, other) // 2)  # nobody sweeps a whole book
    away = _SWEEP_TICKS if side == BID else -_SWEEP_TICKS
    take(books, v, side, lots, books.best[v, other] + away, desk.out)


@kernel
def _cancels(desk: Desk, v: int, side: int, marks: F8) -> None:
    """Orders of nobody in particular, any of them, the more the more there are."""
    books = desk.books
    for j in range(int(books.n_alive[v, side] / TARGET_ORDERS + marks[2])):
        n = books.n_alive[v, side]
        if n <= _LEFT_MIN:
            return
        number = books.alive[v, side, int((marks[1] + 0.37 * j) % 1.0 * n)]
        if books.orders[v, number].owner == NOBODY:
            cancel(books, v, number, desk.out)


@kernel
def _arbitrage(
    desk: Desk, agents: Records, draws: F8, v: int, far: int, now_ns: int, rows: I8
) -> None:
    """Somebody takes what is too cheap, or too dear, against the leader."""
    books = desk.books
    for side in range(2):
        desk.out.n[:] = 0
        other = 1 - side
        gap = far - 2 * books.best[v, ASK] if side == BID else 2 * books.best[v, BID] - far
        if gap < _GAP_HALF_TICKS or books.n_alive[v, other] <= _LEFT_MIN:
            continue
        limit = (far - 1) // 2 if side == BID else far // 2 + 1
        lots = min(_ARBITRAGE_LOTS, lots_of_side(books, v, other) // 2)
        take(books, v, side, lots, limit, desk.out)
        _tell(desk, agents, draws, v, side, now_ns, rows)


@kernel
def _reference(desk: Desk, v: int, lag_ns: I8, now_ns: int) -> int:
    """The leader's mid as the venue knows it, in half ticks; its own where it leads."""
    books = desk.books
    if v == 0:
        return int(books.best[0, BID] + books.best[0, ASK])
    desk.seen[v] = max(desk.seen[v], desk.at[3] - _PAST + 1)
    while desk.seen[v] + 1 < desk.at[3]:
        entry = desk.past[(desk.seen[v] + 1) % _PAST]
        if entry[0] + lag_ns[v] > now_ns:
            break
        desk.seen[v] += 1
    return int(desk.past[desk.seen[v] % _PAST, 1])


@kernel
def _tell(
    desk: Desk, agents: Records, draws: F8, v: int, took: int, now_ns: int, rows: I8
) -> None:  # fmt: skip
    """What the venue says of one action: its trades, the levels that it changed, the best quote."""
    out, books = desk.out, desk.books
    for i in range(out.n[0]):
        fill = out.fills[i]
        desk.number[v, 1] += 1
        row = rows[_row(desk, rows, now_ns, v, _TRADE, _LAST, desk.number[v, 1])]
        row[SIDE], row[A], row[B] = (1 if took == BID else -1), fill.tick, fill.lots
        if fill.owner != NOBODY:
            told_of_fill(agents[fill.owner], fill.lots, fill.done, draws[fill.owner], now_ns)
    if out.n[1] == 0:
        return
    desk.number[v, 0] += 1
    if out.told.shape[0] > 0:
        _tell_orders(desk, v, now_ns, rows)
        _tell_quote(desk, v, now_ns, rows)
        return
    for i in range(out.n[1]):
        tick = out.touched[i]
        flags = _LAST if i == out.n[1] - 1 else 0
        row = rows[_row(desk, rows, now_ns, v, _BOOK, flags, desk.number[v, 0])]
        bid = tick <= books.best[v, BID] or (tick < books.best[v, ASK] and tick <= desk.quote[v, 0])
        row[SIDE], row[A], row[B] = (1 if bid else -1), tick, books.lots[v, tick]
    _tell_quote(desk, v, now_ns, rows)


@kernel
def _tell_orders(desk: Desk, v: int, now_ns: int, rows: I8) -> None:
    """One message: what became of each order."""
    out = desk.out
    for i in range(out.n[2]):
        flags, told = _LAST if i == out.n[2] - 1 else 0, out.told[i]
        row = rows[_row(desk, rows, now_ns, v, _BOOK, flags, desk.number[v, 0])]
        row[SIDE], row[A], row[B] = (1 if told[ORDER_SIDE] == BID else -1), told[TICK], told[LOTS]
        row[C], row[D] = told[SERIAL], told[ACTION]


@kernel
def _tell_quote(desk: Desk, v: int, now_ns: int, rows: I8) -> None:
    books, quote = desk.books, desk.quote[v]
    bid, ask = books.best[v, BID], books.best[v, ASK]
    if bid < 0 or ask >= GRID:
        return
    bid_lots, ask_lots = books.lots[v, bid], books.lots[v, ask]
    if (
        quote[0] == bid and quote[1] == bid_lots and quote[2] == ask and quote[3] == ask_lots
    ):  # fmt: skip
        return
    row = rows[_row(desk, rows, now_ns, v, _QUOTE, _LAST, desk.number[v, 0])]
    row[A], row[B], row[C], row[D] = bid, bid_lots, ask, ask_lots
    moved = quote[0] + quote[2] != bid + ask
    quote[0], quote[1], quote[2], quote[3] = bid, bid_lots, ask, ask_lots
    if v == 0 and moved:
        entry = desk.past[desk.at[3] % _PAST]
        entry[0], entry[1] = now_ns, bid + ask
        desk.at[3] += 1


@kernel
def _tell_whole(desk: Desk, v: int, now_ns: int, rows: I8) -> None:
    """Every level: bids, then asks, from the best away; as of the last book message."""
    books = desk.books
    for side in range(2):
        tick = books.best[v, side]
        while 0 < tick < GRID - 1:
            number = books.head[v, tick] if desk.out.told.shape[0] > 0 else NONE
            while number != NONE:
                order = books.orders[v, number]
                row = rows[_row(desk, rows, now_ns, v, _BOOK, _SNAPSHOT, desk.number[v, 0])]
                row[SIDE], row[A], row[B] = (1 if side == BID else -1), tick, order.lots
                row[C], row[D] = order.serial, _ADD
                number = order.next
            if books.lots[v, tick] > 0 and desk.out.told.shape[0] == 0:
                row = rows[_row(desk, rows, now_ns, v, _BOOK, _SNAPSHOT, desk.number[v, 0])]
                row[SIDE], row[A], row[B] = (1 if side == BID else -1), tick, books.lots[v, tick]
            tick += -1 if side == BID else 1
    rows[desk.at[2] - 1, FLAGS] |= _LAST


@kernel
def _row(
    desk: Desk, rows: I8, now_ns: int, v: int, kind: int, flags: int, number: int
) -> int:  # fmt: skip
    """A row with what all have; gives its place."""
    place = int(desk.at[2])
    row = rows[place]
    desk.at[2] += 1
    row[T], row[VENUE], row[KIND], row[FLAGS], row[NUMBER] = now_ns, v, kind, flags, number
    row[SIDE] = row[A] = row[B] = row[C] = row[D] = 0
    return place
