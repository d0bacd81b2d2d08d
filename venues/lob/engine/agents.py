"""Those who do what is planted: each acts at its own times, by a small script.

An agent waits for its onset, then lives until its script ends. `act` does what is due now; what it
does to the book is in the outcome, like any other order.
"""

import math
from enum import IntEnum

import numpy as np

from operators.arrays import F8, kernel
from operators.records import Record
from venues.lob.engine.book import (
    ASK,
    BID,
    NOBODY,
    NONE,
    Books,
    Outcome,
    cancel,
    lots_ahead,
    rest,
    take,
)

WAITING, LIVE, DONE = 0, 1, 2
DRAWS = 64  # uniform numbers of an agent, used in turn
NEVER_NS = np.iinfo(np.int64).max
POLL_NS = 10_000_000  # 10 ms: how fast the owner of a spoof sees that the price comes near
LEFT_MIN = 5  # orders that a push leaves on a side
AHEAD_MAX = 40  # multiples of its order that one who takes from an iceberg eats on the way


class Script(IntEnum):
    """What an agent does."""

    ICEBERG = 1  # shows a little, refills; others take from it
    LARGE = 2  # a large order away from the price, taken back
    FLICKER = 3  # a small order at the best price, again and again
    WALL = 4  # a large order at the best price that others sell into, or buy from
    PUSH = 5  # takes what is best until the price has moved, then the way back


AGENT_FIELDS = {
    "script": "<i8",
    "venue": "<i8",
    "side": "<i8",  # of its resting order; of what is eaten (PUSH)
    "onset_ns": "<i8",  # from the start
    "life_ns": "<i8",
    "lots": "<i8",  # shown, or of each order
    "reserve": "<i8",  # lots still hidden; orders still to come (FLICKER)
    "native": "<i8",  # 1: the venue refills
    "delay_ns": "<i8",  # of a refill
    "gap_ns": "<i8",  # mean time between those who take
    "back_gap_ns": "<i8",
    "taken": "<i8",  # lots that each of those takes, in the mean
    "distance": "<i8",  # ticks from the best price; of the way (PUSH)
    "back": "<i8",  # ticks of the way back
    "vary": "<i8",  # 1: no plant. Refills differ; a large order stays when the price comes
    "status": "<i8",
    "due_ns": "<i8",  # of the next thing to do
    "refill_ns": "<i8",
    "hit_ns": "<i8",  # when somebody takes from it next, or the step of a push
    "tick": "<i8",
    "target": "<i8",
    "phase": "<i8",
    "order": "<i8",
    "filled": "<i8",  # lots
    "refills": "<i8",
    "began_ns": "<i8",
    "ended_ns": "<i8",
    "draw": "<i8",  # numbers used
}

_ICEBERG, _LARGE, _FLICKER, _WALL = (
    int(Script.ICEBERG), int(Script.LARGE), int(Script.FLICKER), int(Script.WALL),
)  # fmt: skip


@kernel
def act(agent: Record, number: int, draws: F8, books: Books, now_ns: int, out: Outcome) -> int:
    """What is due now. Gives the side of who took, or -1 where nobody did."""
    if agent.status == WAITING:
        _begin(agent, number, draws, books, now_ns, out)
        took = -1
    elif agent.script == _ICEBERG or agent.script == _WALL:
        took = _resting(agent, number, draws, books, now_ns, out)
    elif agent.script == _LARGE:
        took = _large(agent, books, now_ns, out)
    elif agent.script == _FLICKER:
        took = _flicker(agent, number, draws, books, now_ns, out)
    else:
        took = _push(agent, draws, books, now_ns, out)
    if agent.script != _LARGE and agent.script != _FLICKER:
        end_ns = agent.onset_ns + (1 + agent.phase) * agent.life_ns
        agent.due_ns = min(agent.refill_ns, agent.hit_ns, end_ns)
    agent.due_ns = max(agent.due_ns, now_ns + 1)
    return took


@kernel
def told_of_fill(agent: Record, lots: int, done: bool, draws: F8, now_ns: int) -> None:
    """Somebody took from the agent's order."""
    agent.filled += lots
    if not done:
        return
    agent.order = NONE
    if agent.script != _ICEBERG:
        return
    if agent.reserve > 0:
        vary = 0.25 + 3.75 * _draw(agent, draws) if agent.vary else 0.8 + 0.4 * _draw(agent, draws)
        agent.refill_ns = now_ns + int(agent.delay_ns * vary)
        agent.due_ns = min(agent.due_ns, agent.refill_ns)
    else:
        agent.due_ns = now_ns + 1


@kernel
def _begin(
    agent: Record, number: int, draws: F8, books: Books, now_ns: int, out: Outcome
) -> None:  # fmt: skip
    v, side = agent.venue, agent.side
    bid, ask = books.best[v, BID], books.best[v, ASK]
    away = -1 if side == BID else 1
    best = bid if side == BID else ask
    agent.status, agent.began_ns, agent.order = LIVE, now_ns, NONE
    agent.refill_ns = agent.hit_ns = NEVER_NS
    if agent.script == _LARGE:
        agent.tick = best + away * agent.distance
        agent.order = rest(books, v, side, agent.tick, agent.lots, 0, number, out)
        if agent.gap_ns > 0:
            agent.hit_ns = now_ns + agent.gap_ns
        agent.due_ns = now_ns + POLL_NS
    elif agent.script == _FLICKER:
        agent.tick = best
        agent.order = rest(books, v, side, agent.tick, agent.lots, 0, number, out)
        agent.due_ns = now_ns + int(agent.delay_ns * (0.5 + _draw(agent, draws)))
    elif agent.script == _ICEBERG or agent.script == _WALL:
        agent.tick = best - away if ask - bid > 1 and agent.script == _ICEBERG else best
        behind = agent.reserve if agent.native else 0
        agent.reserve -= behind
        agent.order = rest(books, v, side, agent.tick, agent.lots, behind, number, out)
        agent.hit_ns = now_ns + _wait_ns(agent, draws)
    else:
        agent.tick = best
        agent.target = best + away * agent.distance
        agent.hit_ns = now_ns
    if agent.order == NONE and agent.lots > 0:
        _end(agent, books, now_ns, out)


@kernel
def _resting(
    agent: Record, number: int, draws: F8, books: Books, now_ns: int, out: Outcome
) -> int:  # fmt: skip
    """An iceberg or a wall, and those who take from it."""
    v, side, took = agent.venue, agent.side, -1
    if agent.refill_ns <= now_ns:
        agent.refill_ns = NEVER_NS
        shown = agent.lots
        if agent.vary:
            shown = max(1, int(shown * (0.4 + 1.6 * _draw(agent, draws))))
        shown = min(shown, agent.reserve)
        agent.order = rest(books, v, side, agent.tick, shown, 0, number, out)
        if agent.order == NONE:  # the price is beyond it
            _end(agent, books, now_ns, out)
            return took
        agent.reserve -= shown
        agent.refills += 1
    if agent.hit_ns <= now_ns:
        agent.hit_ns = now_ns + _wait_ns(agent, draws)
        if agent.order != NONE:
            before = lots_ahead(books, v, agent.order)
            wanted = int(agent.taken * (0.6 + 0.8 * _draw(agent, draws)))
            if before <= AHEAD_MAX * agent.lots:
                take(books, v, 1 - side, before + max(wanted, 1), agent.tick, out)
                took = 1 - side
    emptied = agent.order == NONE or _is_done(out, number)
    if emptied and agent.reserve == 0:
        agent.order, agent.status, agent.ended_ns = NONE, DONE, now_ns
    elif now_ns >= agent.onset_ns + agent.life_ns:
        agent.order = NONE if emptied else agent.order
        _end(agent, books, now_ns, out)
    return took


@kernel
def _is_done(out: Outcome, number: int) -> bool:
    """Whether this outcome took the last of an agent's order."""
    for i in range(out.n[0]):  # noqa: SIM110 - kernels know no any()
        if out.fills[i].owner == number and out.fills[i].done:
            return True
    return False


@kernel
def _large(agent: Record, books: Books, now_ns: int, out: Outcome) -> int:
    """A large order: gone when its time is over, it is filled, or the price is near (a spoof's)."""
    v, side, took = agent.venue, agent.side, -1
    near = books.best[v, side] == agent.tick and not agent.vary
    if agent.order == NONE or near or now_ns >= agent.began_ns + agent.life_ns:
        _end(agent, books, now_ns, out)
    elif agent.hit_ns <= now_ns:  # it drew somebody into the small order opposite
        agent.hit_ns = NEVER_NS
        best = books.best[v, 1 - side]
        rest(books, v, 1 - side, best, agent.taken, 0, NOBODY, out)
        take(books, v, side, books.lots[v, best], best, out)
        took = side
    end_ns = agent.began_ns + agent.life_ns
    agent.due_ns = min(now_ns + POLL_NS, end_ns if end_ns > now_ns else NEVER_NS)
    return took


@kernel
def _flicker(
    agent: Record, number: int, draws: F8, books: Books, now_ns: int, out: Outcome
) -> int:  # fmt: skip
    v = agent.venue
    if agent.order != NONE:
        cancel(books, v, agent.order, out)
        agent.order = NONE
        agent.due_ns = now_ns + int(agent.gap_ns * (0.5 + _draw(agent, draws)))
    elif agent.reserve > 0:
        agent.reserve -= 1
        agent.order = rest(books, v, agent.side, agent.tick, agent.lots, 0, number, out)
        agent.due_ns = now_ns + int(agent.delay_ns * (0.5 + _draw(agent, draws)))
    if agent.reserve <= 0 and agent.order == NONE:
        _end(agent, books, now_ns, out)
    return -1


@kernel
def _push(agent: Record, draws: F8, books: Books, now_ns: int, out: Outcome) -> int:
    """Away from where it began, level by level, then a share of the way back."""
    v, side = agent.venue, agent.side
    away = -1 if side == BID else 1
    if agent.phase == 0 and (agent.target - books.best[v, side]) * away <= 0:
        agent.phase = 1
        agent.target = books.best[v, 1 - side] - away * agent.back
    eaten = side if agent.phase == 0 else 1 - side
    back = agent.phase == 1 and (agent.target - books.best[v, eaten]) * away >= 0
    if back or now_ns >= agent.onset_ns + (1 + agent.phase) * agent.life_ns:
        _end(agent, books, now_ns, out)
        return -1
    if books.n_alive[v, eaten] > LEFT_MIN:
        best = books.best[v, eaten]
        take(books, v, 1 - eaten, books.lots[v, best], best, out)
        behind = (
            2 if eaten == BID else -2
        )  # others follow, so that nobody steps in at the old price
        rest(books, v, 1 - eaten, books.best[v, eaten] + behind, agent.taken, 0, NOBODY, out)
    mean_ns = agent.gap_ns if agent.phase == 0 else agent.back_gap_ns
    agent.hit_ns = now_ns + 1 + int(mean_ns * (0.5 + _draw(agent, draws)))
    return int(1 - eaten)


@kernel
def _end(agent: Record, books: Books, now_ns: int, out: Outcome) -> None:
    if agent.order != NONE:
        cancel(books, agent.venue, agent.order, out)
    agent.order, agent.status, agent.ended_ns = NONE, DONE, now_ns


@kernel
def _wait_ns(agent: Record, draws: F8) -> int:
    """Exponential, so that those who take come in no rhythm."""
    return int(-agent.gap_ns * math.log(1.0 - _draw(agent, draws))) + 1


@kernel
def _draw(agent: Record, draws: F8) -> float:
    agent.draw += 1
    return float(draws[agent.draw % draws.size])
