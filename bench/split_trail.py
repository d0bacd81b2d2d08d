"""What became of each tick, hop by hop: messages that arrived, matched by lane and market seq."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bench.split_bare import Held
from flows.log.codec import decode
from schemas.kinds import Kind
from schemas.rows import F8
from schemas.topics import DECISIONS, FEATURES, MARKET, ORDERS, Topic

HOPS = (
    "tick due to market.v1",
    "market.v1 to features.v1",
    "features.v1 to decisions.v1",
    "decisions.v1 to orders.v1",
    "tick due to orders.v1",
)

Row = tuple[int, int]  # lane, market seq
Seen = Sequence[tuple[int, Held]]  # when it came, ns on the clock of the machine; and the message
Times = dict[Row, int]


@dataclass(frozen=True)
class Trail:
    """What became of the ticks of a span of time.

    Attributes
    ----------
    waits_ns : dict of str to array
        By hop, in the order of HOPS; a tick that did not get that far is not in it.
    orders_else : int
        Orders within the span for another cause than a decision on a tick: a report, or time.
    """

    waits_ns: dict[str, F8]
    orders_else: int


def trail_of(found: Seen, due_of: Callable[[int], int], span_ns: tuple[int, int]) -> Trail:
    """Match messages of the four topics, whatever else is among them.

    Parameters
    ----------
    found : sequence of (int, Held)
    due_of : callable
        `ts_recv_ns` of a tick to when it was due, on the clock of the arrivals.
    span_ns : (int, int)
        Ticks due from the first on and before the second count.
    """
    due, market = _ticks(_of(found, MARKET), due_of, span_ns)
    features = {
        (held.lane, seq): at_ns
        for at_ns, held in _of(found, FEATURES)
        for seq in _seqs(held)
        if (held.lane, seq) in due
    }
    decisions, rows = _decisions(_of(found, DECISIONS), due)
    orders: Times = {}
    orders_else = 0
    for at_ns, held in _of(found, ORDERS):
        order = json.loads(held.body)
        row = order["lane"], order["market_seq"]
        if rows.get(order["ref_id"]) == row:
            orders.setdefault(row, at_ns)  # the first leg of a pair
        else:
            orders_else += span_ns[0] <= at_ns < span_ns[1]
    steps = [*pairwise((due, market, features, decisions, orders)), (due, orders)]
    waits = [_waits(before, after) for before, after in steps]
    return Trail(dict(zip(HOPS, waits, strict=True)), orders_else)


def _of(found: Seen, topic: Topic) -> Seen:
    return [(at_ns, held) for at_ns, held in found if held.topic.endswith(topic.name)]


def _ticks(
    found: Seen, due_of: Callable[[int], int], span_ns: tuple[int, int]
) -> tuple[Times, Times]:
    """When the ticks of the span were due, and when they came."""
    due: Times = {}
    came: Times = {}
    for at_ns, held in found:
        rows = decode(held.message(MARKET.name))
        for i in np.flatnonzero((rows.kind == Kind.TRADE) | (rows.kind == Kind.QUOTE)).tolist():
            due_ns = due_of(int(rows.ts_recv_ns[i]))
            if span_ns[0] <= due_ns < span_ns[1]:
                row = held.lane, int(rows.seq[i])
                due[row], came[row] = due_ns, at_ns
    return due, came


def _decisions(found: Seen, ticks: Times) -> tuple[Times, dict[int, Row]]:
    """When the decisions on the ticks came, and the tick that each is about, by its id."""
    came: Times = {}
    about: dict[int, Row] = {}
    for at_ns, held in found:
        rows = decode(held.message(DECISIONS.name))
        for i in np.flatnonzero(rows.kind == Kind.DECISION).tolist():
            row = int(rows.lane[i]), int(rows.market_seq[i])
            if row in ticks:
                came[row], about[int(rows.seq[i])] = at_ns, row
    return came, about


def _seqs(held: Held) -> range:
    message = held.message(FEATURES.name)
    return range(message.first_seq, message.last_seq + 1)


def _waits(before: Times, after: Times) -> F8:
    return np.array([after[row] - before[row] for row in before if row in after], np.float64)
