"""Book status and health: each step of the machine, penalties that fade, and quoting's return."""

import math
from typing import Any

import numpy as np
import pytest

from operators.market.books.health import (
    HALF_LIFE_NS,
    PENALTY,
    RETURN_ABOVE,
    RETURN_AFTER_NS,
    STOP_BELOW,
    UNPROVABLE_MAX,
    BookHealth,
    HealthRows,
    health,
    may_quote,
)
from operators.market.books.l2 import L2Books
from operators.market.books.l2_state import BookTerms
from operators.market.books.status import (
    NEXT,
    BookEventRows,
    BookStatus,
    BookStatusRows,
    events_of,
    to_market,
)
from operators.market.books.words import BookEvent, BookReason, BookState
from schemas.kinds import NO_SYMBOL, Kind
from schemas.reasons import Reason
from schemas.rows import MarketRows, empty
from tests.book_cases import BUY, MARKETS, SELL, market, message, table
from tests.check_operator import check_operator

S, E, R = BookState, BookEvent, BookReason
NAN = float("nan")
SECOND = 1_000_000_000
FRESH_NS = 5 * SECOND
N = len(MARKETS)
Event = tuple[float, BookEvent | None, int]  # second, event (None: time alone), book


def machine(provable: int = 1) -> BookStatus:
    return BookStatus(
        table().arrays(),
        provable=np.full(N, provable, np.uint8), fresh_ns=np.full(N, FRESH_NS, np.int64),
    )  # fmt: skip


def event_rows(events: list[Event]) -> BookEventRows:
    rows = empty(BookEventRows, len(events))
    for i, (second, event, k) in enumerate(events):
        rows.lane[i], rows.symbol[i] = MARKETS[k][:2]
        rows.ts_event_ns[i] = rows.ts_recv_ns[i] = int(second * SECOND)
        rows.event[i] = event or 0
        if event is None:
            rows.symbol[i] = NO_SYMBOL
    return rows


def run(events: list[Event], **more: Any) -> BookStatusRows:
    operator = machine(**more)
    return operator.step(operator.initial(), event_rows(events))[1]


def states(events: list[Event], **more: Any) -> list[BookState]:
    return [S(state) for state in run(events, **more).state]


HOW: dict[BookState, list[BookEvent]] = {  # how a book gets there
    S.NONE: [],
    S.SYNCED: [E.SNAPSHOT],
    S.GAP: [E.SNAPSHOT, E.GAP],
    S.RESYNC: [E.RESYNC],
    S.CHECKSUM_FAIL: [E.SNAPSHOT, E.CHECKSUM_FAIL],
    S.CROSSED: [E.SNAPSHOT, E.CROSSED],
    S.STALE: [E.SNAPSHOT, E.STALE],
    S.HALTED: [E.HALT],
    S.UNPROVABLE: [E.SNAPSHOT],
}


@pytest.mark.parametrize("state", list(S))
@pytest.mark.parametrize("event", list(E))
def test_every_step_is_the_tables(state: BookState, event: BookEvent) -> None:
    provable = int(state != S.UNPROVABLE)
    events: list[Event] = [(0.0, one, 0) for one in [*HOW[state], event]]
    out = run(events, provable=provable)
    after = NEXT[state].get(event, state)
    if after == S.SYNCED and not provable:
        after = S.UNPROVABLE
    reached = [S.NONE, *map(S, out.state)]
    assert reached[-1] == after
    assert [S.NONE, *out.before.tolist()][-1] == (reached[-2] if len(reached) > 1 else S.NONE)
    good = after in (S.SYNCED, S.UNPROVABLE)
    assert all((row == R.OK) == (S(s) in (S.SYNCED, S.UNPROVABLE))
               for row, s in zip(out.reason, out.state, strict=True))  # fmt: skip
    assert good or after == S.NONE or out.reason[-1] != R.OK


# fmt: off
STORIES: list[tuple[str, list[Event], list[BookState]]] = [
    ("nothing before a snapshot",  [(0, E.MESSAGE, 0), (1, E.GAP, 0)],               []),
    ("a gap waits for a snapshot", [(0, E.SNAPSHOT, 0), (1, E.GAP, 0), (2, E.MESSAGE, 0),
                                    (3, E.RESYNC, 0), (4, E.SNAPSHOT, 0)],
                                   [S.SYNCED, S.GAP, S.RESYNC, S.SYNCED]),
    ("silence, seen by time",      [(0, E.SNAPSHOT, 0), (5, None, 0), (5.1, None, 0), (9, None, 0)],
                                   [S.SYNCED, S.STALE]),
    ("silence, seen by its end",   [(0, E.SNAPSHOT, 0), (7, E.MESSAGE, 0)],
                                   [S.SYNCED, S.STALE, S.SYNCED]),
    ("silence, seen by another",   [(0, E.SNAPSHOT, 0), (7, E.SNAPSHOT, 1)],
                                   [S.SYNCED, S.STALE, S.SYNCED]),
    ("a heartbeat is no silence",  [(0, E.SNAPSHOT, 0), (4, E.ALIVE, 0), (8, None, 0)],
                                   [S.SYNCED]),
    ("a gapped book is not stale", [(0, E.SNAPSHOT, 0), (1, E.GAP, 0), (9, None, 0)],
                                   [S.SYNCED, S.GAP]),
    ("halted until resumed",       [(0, E.SNAPSHOT, 0), (1, E.HALT, 0), (2, E.SNAPSHOT, 0),
                                    (3, E.RESUME, 0), (4, E.SNAPSHOT, 0)],
                                   [S.SYNCED, S.HALTED, S.RESYNC, S.SYNCED]),
    ("crossed for a moment",       [(0, E.SNAPSHOT, 0), (1, E.CROSSED, 0), (2, E.CROSSED, 0),
                                    (3, E.MESSAGE, 0)],
                                   [S.SYNCED, S.CROSSED, S.SYNCED]),
    ("another snapshot is told",   [(0, E.SNAPSHOT, 0), (1, E.SNAPSHOT, 0)],
                                   [S.SYNCED, S.SYNCED]),
]
# fmt: on


@pytest.mark.parametrize(
    ("events", "expected"), [c[1:] for c in STORIES], ids=[c[0] for c in STORIES]
)
def test_story(events: list[Event], expected: list[BookState]) -> None:
    assert states(events) == expected


def test_a_book_is_stale_from_the_first_row_beyond_its_budget() -> None:
    out = run([(0, E.SNAPSHOT, 0), (5, None, 0), (5.1, None, 0), (5.2, None, 0)])
    assert out.ts_recv_ns.tolist() == [0, 5_100_000_000]
    assert (out.reason[1], out.symbol[1]) == (R.STALE, 0)


def test_more_status_rows_than_events() -> None:
    """One row of time may end the freshness of every book."""
    story: list[Event] = [(0, E.SNAPSHOT, k) for k in range(N)]
    for lap in range(1, 9):
        story += [(10 * lap, None, 0), *[(10 * lap + 1, E.ALIVE, k) for k in range(N)]]
    out = run(story)
    assert out.state.tolist() == [*[S.SYNCED] * N, *([S.STALE] * N + [S.SYNCED] * N) * 8]


def test_a_feed_without_proof_is_never_called_synced() -> None:
    story: list[Event] = [(0, E.SNAPSHOT, 0), (9, E.MESSAGE, 0), (10, E.CROSSED, 0),
                          (11, E.MESSAGE, 0), (12, E.RESYNC, 0), (13, E.SNAPSHOT, 0)]  # fmt: skip
    found = states(story, provable=0)
    assert S.SYNCED not in found
    assert found.count(S.UNPROVABLE) == 4


def test_epochs_count_the_snapshots_taken() -> None:
    out = run([(0, E.SNAPSHOT, 0), (1, E.GAP, 0), (2, E.SNAPSHOT, 0), (3, E.SNAPSHOT, 0)])
    assert out.epoch.tolist() == [1, 1, 2, 3]


def test_what_tops_of_books_say() -> None:
    rows = market(
        message([(BUY, 99.0, 1.0), (SELL, 98.0, 1.0)], snapshot=True),
        message([(SELL, 98.0, 0.0)]), message([(SELL, 97.0, 1.0)]), message([(BUY, NAN, 1.0)]),
        message([(BUY, 9.0, 1.0)], snapshot=True),
    )  # fmt: skip
    books = L2Books(table().arrays(), BookTerms.full(N))
    events = events_of(books.step(books.initial(), rows)[1])
    assert [E(one) for one in events.event] == [
        E.SNAPSHOT, E.CROSSED, E.MESSAGE, E.CROSSED, E.GAP, E.SNAPSHOT,
    ]  # fmt: skip
    assert events.reason.tolist() == [0, 0, 0, 0, R.BAD_ROW, 0]
    assert events.ts_recv_ns.tolist() == [1, 1, 2, 3, 4, 5]


def test_reasons_are_free_numbers() -> None:
    assert not {int(one) for one in R if one} & {int(one) for one in Reason}
    assert all(one.text for one in R)


def test_wrong_settings_are_refused() -> None:
    ones = np.ones(N, np.int64)
    with pytest.raises(ValueError, match="fresh_ns must be positive, was 0"):
        BookStatus(table().arrays(), provable=np.ones(N, np.uint8), fresh_ns=0 * ones)
    with pytest.raises(ValueError, match="must have 4 entries, one for each instrument, not 2 and"):
        BookStatus(table().arrays(), provable=np.ones(2, np.uint8), fresh_ns=ones)


def random_events(n: int) -> list[Event]:
    random = np.random.default_rng(4)
    made, second = [], 0.0
    for _ in range(n):
        second += float(random.exponential(2.0))
        event = list(E)[int(random.integers(0, len(E)))] if random.random() < 0.9 else None
        event = E.SNAPSHOT if event == E.HALT and random.random() < 0.8 else event
        made.append((second, event, int(random.integers(0, N))))
    return made


def test_any_split_of_the_events_gives_the_same_bytes() -> None:
    check_operator(machine(), event_rows(random_events(700)), without_numba=True)


# Health --------------------------------------------------------------------------------------

Status = tuple[float, BookState | None]  # second, state (None: time alone)


def status_rows(story: list[Status]) -> MarketRows:
    rows = to_market(empty(BookStatusRows, len(story)))
    for i, (second, state) in enumerate(story):
        rows.seq[i], rows.ts_recv_ns[i] = i, int(second * SECOND)
        rows.code[i] = state or 0
        rows.kind[i] = Kind.HEARTBEAT if state is None else Kind.BOOK_STATUS
        if state is None:
            rows.symbol[i] = NO_SYMBOL
    return rows


def judged(story: list[Status]) -> HealthRows:
    operator = BookHealth(table().arrays())
    return operator.step(operator.initial(), status_rows(story))[1]


def faded(penalty: float, seconds: float) -> float:
    return penalty * math.pow(0.5, seconds * SECOND / HALF_LIFE_NS)


def test_health_is_zero_unless_synced_else_one_minus_faded_penalties() -> None:
    story: list[Status] = [
        (0, S.SYNCED), (10, S.GAP), (11, S.RESYNC), (12, S.SYNCED), (40, S.CHECKSUM_FAIL),
        (41, S.UNPROVABLE), (50, S.CROSSED), (51, S.SYNCED), (60, S.STALE), (61, S.SYNCED),
    ]  # fmt: skip
    gap, checksum, crossed = PENALTY[S.GAP], PENALTY[S.CHECKSUM_FAIL], PENALTY[S.CROSSED]
    expected = [
        1.0, 0.0, 0.0, 1 - faded(gap, 2), 0.0, 1 - faded(gap, 31) - faded(checksum, 1), 0.0,
        1 - faded(gap, 41) - faded(checksum, 11) - faded(crossed, 1), 0.0,
        max(0.0, 1 - faded(gap, 51) - faded(checksum, 21) - faded(crossed, 11)
            - faded(PENALTY[S.STALE], 1)),
    ]  # fmt: skip
    assert judged(story).health == pytest.approx(expected, abs=1e-12)


def test_health_is_read_at_any_time() -> None:
    operator = BookHealth(table().arrays())
    state, _ = operator.step(
        operator.initial(), status_rows([(0, S.SYNCED), (1, S.GAP), (2, S.SYNCED)])
    )
    for second in (2, 30, 61, 600):
        found = health(state, 0, second * SECOND)
        assert found == pytest.approx(1 - faded(PENALTY[S.GAP], second - 1))
    assert health(state, 1, 0) == 0.0
    assert not may_quote(state, 0)


def test_what_nobody_can_prove_is_never_fully_healthy_and_quoted_on() -> None:
    story: list[Status] = [(0, S.UNPROVABLE), (10, S.GAP), (11, S.UNPROVABLE), (900, S.SYNCED)]
    gap = 1 - faded(PENALTY[S.GAP], 1)
    assert judged(story).health[:3].tolist() == pytest.approx([UNPROVABLE_MAX, 0.0, gap])
    assert judged(story).quoting[[0, 1, -1]].tolist() == [1, 0, 1]
    operator = BookHealth(table().arrays())
    state, _ = operator.step(operator.initial(), status_rows(story[:3]))
    assert health(state, 0, 800 * SECOND) == UNPROVABLE_MAX  # however long nothing happens
    assert STOP_BELOW < RETURN_ABOVE < UNPROVABLE_MAX < 1.0  # an incident stops and returns as ever


def test_quoting_stops_at_a_gap_and_returns_30_s_after_health_passed_the_upper_bound() -> None:
    """SYNCED  GAP SYNCED      above 0.8                    quoting
    health  1 ______0___.75_____________|__________30 s_____________|
    """
    above = 10 + HALF_LIFE_NS / SECOND * math.log2(PENALTY[S.GAP] / (1 - RETURN_ABOVE))
    back = above + RETURN_AFTER_NS / SECOND
    story: list[Status] = [(0, S.SYNCED), (10, S.GAP), (11, S.SYNCED), (back - 0.001, None)]
    assert judged(story).quoting.tolist() == [1, 0, 0]
    out = judged([*story, (back + 0.001, None), (back + 9, None)])
    assert out.quoting.tolist() == [1, 0, 0, 1]
    assert out.seq.tolist() == [0, 1, 2, 4]
    assert out.health[-1] > RETURN_ABOVE


# fmt: off
QUOTING: list[tuple[str, list[Status], list[int]]] = [
    ("from the first sync on",           [(0, S.RESYNC), (1, S.SYNCED)],                   [0, 1]),
    ("not if it was halted just before", [(0, S.HALTED), (1, S.RESYNC), (2, S.SYNCED)],
                                                                           [0, 0, 0]),
    ("a further snapshot changes nothing", [(0, S.SYNCED), (1, S.SYNCED)],                 [1, 1]),
    ("nor does it start the wait again", [(0, S.SYNCED), (1, S.STALE), (2, S.SYNCED),
                                          (31, S.SYNCED), (33, None)],
                                                                           [1, 0, 0, 0, 1]),
    ("nor quotes a book that is gone again", [(0, S.SYNCED), (1, S.STALE), (2, S.SYNCED),
                                          (31, S.GAP), (99, None)],        [1, 0, 0, 0]),
    ("an incident does",                 [(0, S.SYNCED), (1, S.STALE), (2, S.SYNCED), (31, S.STALE),
                                          (31, S.SYNCED), (33, None)],
                                                                           [1, 0, 0, 0, 0]),
]
# fmt: on


@pytest.mark.parametrize(
    ("story", "quoting"), [c[1:] for c in QUOTING], ids=[c[0] for c in QUOTING]
)
def test_quoting(story: list[Status], quoting: list[int]) -> None:
    assert judged(story).quoting.tolist() == quoting


def test_more_health_rows_than_status_rows() -> None:
    """One row of time may let every book return."""
    story: list[Status] = []
    for lap in range(8):
        for state in (S.SYNCED, S.STALE, S.SYNCED):
            story += [(900.0 * lap, state)] * N
        story.append((900.0 * lap + 800, None))
    rows = status_rows(story)
    for i in np.flatnonzero(rows.kind == Kind.BOOK_STATUS):
        rows.lane[i], rows.symbol[i] = MARKETS[(i - i // (3 * N + 1)) % N][:2]
    operator = BookHealth(table().arrays())
    out = operator.step(operator.initial(), rows)[1]
    assert out.quoting.tolist() == ([1] * N + [0] * 2 * N + [1] * N) * 8


def test_three_gaps_in_a_minute_keep_quoting_away_longer_than_one() -> None:
    def back(gaps: int) -> float:
        story: list[Status] = [(0, S.SYNCED)]
        for n in range(gaps):
            story += [(10 + 10 * n, S.GAP), (11 + 10 * n, S.SYNCED)]
        out = judged([*story, *[(float(second), None) for second in range(60, 400)]])
        return float(out.ts_recv_ns[-1] / SECOND) - (1 + 10 * gaps)

    assert (
        judged(
            [
                (0, S.SYNCED),
                *[
                    (t, s)
                    for n in range(3)
                    for t, s in ((10.0 + 10 * n, S.GAP), (11.0 + 10 * n, S.SYNCED))
                ],
            ]
        ).health[-1]
        < STOP_BELOW
    )
    assert back(3) > back(1) + 60


def test_any_split_of_the_status_rows_gives_the_same_bytes() -> None:
    random = np.random.default_rng(8)
    rows = status_rows([
        (float(i), None if random.random() < 0.4 else list(S)[int(random.integers(0, len(S)))])
        for i in range(700)
    ])  # fmt: skip
    for i in range(700):
        if rows.kind[i] == Kind.BOOK_STATUS:
            rows.lane[i], rows.symbol[i] = MARKETS[int(random.integers(0, N))][:2]
            if random.random() < 0.7:
                rows.code[i] = S.SYNCED
    out = BookHealth(table().arrays()).step(BookHealth(table().arrays()).initial(), rows)[1]
    assert {0, 1} == set(out.quoting.tolist())
    check_operator(BookHealth(table().arrays()), rows, without_numba=True)
