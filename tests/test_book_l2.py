"""Books by level: whole messages only, every level kept, and equal to a dictionary, always."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.market.books.l2 import BookTopRows, L2Books
from operators.market.books.l2_state import BookTerms, L2State, is_whole, levels, qty_at
from operators.market.books.sides import ASK, BID, FIRST_LEVELS
from operators.market.books.words import BookReason, BookState, OrderAction
from schemas.kinds import Kind
from schemas.rows import MarketRows, empty, take
from tests.book_cases import BUY, SELL, Level, SlowBook, market, message, table
from tests.check_operator import check_operator

NAN = float("nan")
K = len(table().instruments)
START = message([(BUY, 99.0, 1.0), (BUY, 98.0, 2.0), (SELL, 101.0, 3.0)], snapshot=True, number=1)
R = BookReason


def books(*, depth: int = 0, snapshot_depth: int = 0, **more: Any) -> L2Books:
    each = np.ones(K, np.int64)
    return L2Books(table().arrays(), BookTerms(depth * each, snapshot_depth * each), **more)


def run(rows: MarketRows, operator: L2Books | None = None) -> tuple[L2State, BookTopRows]:
    operator = operator or books()
    return operator.step(operator.initial(), rows)


def side_of(state: L2State, s: int, n: int = 400) -> list[tuple[float, float]]:
    price, qty = np.empty(n), np.empty(n)
    found = levels(state, s, price, qty)
    assert np.isnan(price[found:]).all()
    return list(zip(price[:found].tolist(), qty[:found].tolist(), strict=True))


def top(rows: BookTopRows, i: int = -1) -> tuple[float, ...]:
    return tuple(float(c[i]) for c in (rows.bid_px, rows.bid_qty, rows.ask_px, rows.ask_qty))


NONE = (NAN, NAN, NAN, NAN)
# fmt: off
CASES: list[tuple[str, list[Any], tuple[float, ...], BookReason]] = [  # messages after START
    ("a better bid",             [message([(BUY, 99.5, 4.0)], number=2)],
        (99.5, 4.0, 101.0, 3.0), R.OK),
    ("another quantity",         [message([(BUY, 99.0, 7.0)], number=2)],
        (99.0, 7.0, 101.0, 3.0), R.OK),
    ("the best bid goes",        [message([(BUY, 99.0, 0.0)], number=2)],
        (98.0, 2.0, 101.0, 3.0), R.OK),
    ("a level that is not there", [message([(SELL, 100.5, 0.0)], number=2)],
        (99.0, 1.0, 101.0, 3.0), R.OK),
    ("a side becomes empty",     [message([(SELL, 101.0, 0.0)], number=2)],
        (99.0, 1.0, NAN, NAN), R.OK),
    ("a side fills again",       [message([(SELL, 101.0, 0.0)], number=2),
                                  message([(SELL, 102.0, 5.0)], number=3)],
        (99.0, 1.0, 102.0, 5.0), R.OK),
    ("two levels in a message",  [message([(BUY, 99.0, 0.0), (SELL, 99.5, 6.0)], number=2)],
        (98.0, 2.0, 99.5, 6.0), R.OK),
    ("another snapshot",         [message([(BUY, 50.0, 1.0)], number=2, snapshot=True)],
        (50.0, 1.0, NAN, NAN), R.OK),
    ("a snapshot, then a change without a number",
                                 [message([(BUY, 50.0, 1.0)], number=-1, snapshot=True),
                                  message([(SELL, 51.0, 1.0)], number=-1)],
        (50.0, 1.0, 51.0, 1.0), R.OK),
    ("a message without its end", [message([(BUY, 99.5, 4.0)], number=2, whole=False),
                                  message([(BUY, 99.4, 4.0)], number=3)],
        NONE, R.UNFINISHED),
    ("a message with a hole",    [message([(BUY, 99.5, 4.0)], number=2, whole=False),
                                  [{**message([(BUY, 99.4, 4.0)], number=2)[0], "source_row": 9}]],
        NONE, R.UNFINISHED),
    ("a message of a feed without rows to count",
                                 [[{**row, "source_row": -1} for row in
                                   message([(BUY, 99.5, 4.0), (BUY, 99.4, 1.0)], number=2)]],
        (99.5, 4.0, 101.0, 3.0), R.OK),
    ("the next source carries on", [message([(BUY, 99.5, 4.0)], number=2, whole=False),
                                  [{**message([(BUY, 99.4, 4.0)], number=2)[0], "source": 1}]],
        NONE, R.UNFINISHED),
    ("a snapshot inside a message", [message([(BUY, 99.5, 4.0)], number=2, whole=False),
                                  message([(BUY, 50.0, 4.0)], number=2, snapshot=True)],
        (50.0, 4.0, NAN, NAN), R.OK),
    ("one bad row",              [message([(BUY, 99.5, 4.0), (BUY, NAN, 1.0)], number=2)],
        NONE, R.BAD_ROW),
    ("a negative quantity",      [message([(BUY, 99.5, -4.0)], number=2)],  NONE, R.BAD_ROW),
    ("an infinite price",        [message([(SELL, np.inf, 4.0)], number=2)], NONE, R.BAD_ROW),
    ("no side",                  [message([(0, 99.5, 4.0)], number=2)],     NONE, R.BAD_ROW),
    ("a single order",           [[row | {"code": OrderAction.ADD}
                                   for row in message([(BUY, 99.5, 4.0)], number=2)]],
        NONE, R.BAD_ROW),
    ("changes do not heal a gap", [message([(BUY, NAN, 4.0)], number=2),
                                  message([(BUY, 99.5, 4.0)], number=3)],
        NONE, R.BAD_ROW),
    ("a snapshot heals it",      [message([(BUY, NAN, 4.0)], number=2),
                                  message([(BUY, 97.0, 4.0)], number=3, snapshot=True)],
        (97.0, 4.0, NAN, NAN), R.OK),
    ("a bad snapshot",           [message([(BUY, 97.0, 4.0), (0, 1.0, 1.0)], number=2,
                                          snapshot=True)],
        NONE, R.BAD_ROW),
    ("another market's message", [message([(BUY, 99.5, 4.0)], number=2, k=3)], NONE,
        R.NO_SNAPSHOT),
]
# fmt: on


@pytest.mark.parametrize(
    ("messages", "expected", "reason"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_case(messages: list[Any], expected: tuple[float, ...], reason: BookReason) -> None:
    _, out = run(market(START, *messages))
    assert top(out) == pytest.approx(expected, nan_ok=True)
    assert (out.reason[-1], out.synced[-1]) == (reason, reason == R.OK)


def test_a_change_is_seen_only_when_its_message_is_whole() -> None:
    rows = market(START, message([(BUY, 99.5, 4.0), (BUY, 99.6, 5.0)], number=2))
    operator = books()
    state, out = operator.step(operator.initial(), take(rows, slice(0, 4)))
    assert out.seq.tolist() == [2]
    assert (is_whole(state, 0), side_of(state, BID)) == (False, [])
    state, out = operator.step(state, take(rows, slice(4, 5)))
    assert (is_whole(state, 0), top(out)) == (True, (99.6, 5.0, 101.0, 3.0))
    assert side_of(state, BID) == [(99.6, 5.0), (99.5, 4.0), (99.0, 1.0), (98.0, 2.0)]
    assert (qty_at(state, BID, 98.0), qty_at(state, BID, 98.5)) == (2.0, 0.0)
    assert (qty_at(state, ASK, 101.0), qty_at(state, ASK, 200.0)) == (3.0, 0.0)


def test_a_restart_inside_a_message_leaves_the_book_to_a_snapshot() -> None:
    """Ingest says so with a status row of each book before anything else."""
    rows = market(START, message([(BUY, 99.5, 4.0), (BUY, 99.6, 5.0)], number=2))
    operator = books()
    state, _ = operator.step(operator.initial(), take(rows, slice(0, 4)))
    restarted = empty(MarketRows, 1)
    restarted.kind[:], restarted.code[:] = Kind.BOOK_STATUS, BookState.GAP
    restarted.reason[:] = R.RESTARTED
    state, _ = operator.step(operator.load(operator.dump(state)), restarted)
    state, out = operator.step(state, market(message([(BUY, 97.0, 1.0)], number=3)))
    assert (out.synced[0], out.reason[0]) == (0, R.RESTARTED)
    state, out = operator.step(state, market(START))
    assert top(out) == (99.0, 1.0, 101.0, 3.0)


def test_the_tail_of_a_snapshot_with_a_hole_is_none() -> None:
    """Nor is what stands behind a hole that may have swallowed its beginning."""
    whole = [(BUY, 99.0 - i, 1.0) for i in range(3)] + [(SELL, 101.0 + i, 1.0) for i in range(3)]
    first = message(whole, snapshot=True, number=1)
    second = message(whole, snapshot=True, number=2)
    rows = market(first, second)
    for lost in (slice(2, 3), slice(1, 4), slice(4, 8)):  # of the first; of both, and their ends
        kept = np.ones(12, bool)
        kept[lost] = False
        _, out = run(take(rows, kept), books())
        assert out.synced.tolist() == ([0] if lost.stop > 6 else [0, 1])
    _, out = run(market(START, message([(BUY, 98.0, 1.0)], number=2, whole=False), second), books())
    assert out.synced.tolist() == [1, 1]  # cut short, and then a snapshot from its beginning


def test_a_subscription_of_two_levels_keeps_the_best_two() -> None:
    state, out = run(market(START, message([(BUY, 99.5, 4.0)], number=2)), books(depth=2))
    assert side_of(state, BID) == [(99.5, 4.0), (99.0, 1.0)]
    assert (out.covered_bid[-1], out.covered_ask[-1], out.evicted[-1]) == (99.0, np.inf, 0)


def test_a_cut_snapshot_covers_what_it_shows() -> None:
    later = message([(BUY, 90.0, 4.0), (SELL, 120.0, 1.0)], number=2)
    _, out = run(market(START, later), books(snapshot_depth=2))
    assert (out.covered_bid[-1], out.covered_ask[-1]) == (98.0, np.inf)
    assert (out.n_bids[-1], out.n_asks[-1]) == (3, 2)


def test_eviction_is_counted_and_shrinks_what_is_covered() -> None:
    far = message([(BUY, 90.0, 4.0), (BUY, 99.5, 1.0)], number=2)
    state, out = run(market(START, far), books(levels_max=2))
    assert side_of(state, BID) == [(99.5, 1.0), (99.0, 1.0)]
    assert (out.evicted[-1], out.covered_bid[-1]) == (2, 99.0)
    _, out = run(market(START, far, START), books(levels_max=2))
    assert (out.evicted[-1], out.covered_bid[-1]) == (2, -np.inf)  # the count stays


def test_a_crossed_book_says_so() -> None:
    _, out = run(market(START, *[message([(BUY, p, 1.0)], number=2) for p in (100.9, 101.0)]))
    assert out.crossed.tolist() == [0, 0, 1]


def test_other_rows_and_unknown_markets_are_passed_over() -> None:
    trade = [{"kind": Kind.TRADE, "price": 1.0, "flags": 1}]
    unknown = [{**START[-1], "symbol": 9}, {**START[-1], "lane": 77}, {**START[-1], "lane": -1}]
    rows = market(START[:2], trade, [{**START[2], "source_row": 2}], unknown)
    _, out = run(rows)
    assert (out.seq.tolist(), top(out)) == ([3], (99.0, 1.0, 101.0, 3.0))


@pytest.mark.parametrize("state", list(BookState))
def test_what_a_status_row_says_of_the_book(state: BookState) -> None:
    """A gap that ingest saw and the rows of the book do not show, until the next snapshot."""
    status = [{**START[0], "kind": Kind.BOOK_STATUS, "code": state, "reason": R.SEQUENCE_GAP}]
    other = [{**status[0], "symbol": 1}]
    change = message([(BUY, 99.5, 4.0)], number=2)
    _, out = run(market(START, other, change, status, change, START))
    lost = state in (BookState.GAP, BookState.RESYNC, BookState.CHECKSUM_FAIL, BookState.HALTED)
    assert out.synced.tolist() == [1, 1, 0 if lost else 1, 1]
    assert out.reason.tolist() == [0, 0, R.SEQUENCE_GAP if lost else 0, 0]
    assert out.epoch.tolist() == [1, 1, 1, 2]


def test_a_wrong_table_of_terms_is_refused() -> None:
    with pytest.raises(ValueError, match="terms must be those of 4 instruments, not of 3"):
        L2Books(table().arrays(), BookTerms.full(3))
    with pytest.raises(ValueError, match="levels_max must be at least 1, was 0"):
        books(levels_max=0)


def random_messages(seed: int, n: int, *, spread: int) -> list[tuple[int, bool, list[Level]]]:
    """Messages of two books, as (book, snapshot, levels), with prices on both sides of a walk."""
    random = np.random.default_rng(seed)
    made: list[tuple[int, bool, list[Level]]] = []
    middle = 10_000
    for i in range(n):
        middle += int(random.integers(-3, 4))
        k, snapshot = int(random.integers(0, 2)), i < 2 or random.random() < 0.02
        k = i if i < 2 else k
        found = []
        for _ in range(int(random.integers(1, 60 if snapshot else 12))):
            side = BUY if random.random() < 0.5 else SELL
            away = int(random.exponential(spread)) + 1
            qty = 0.0 if random.random() < 0.3 else float(random.integers(1, 9))
            found.append((side, (middle - side * away) / 10, qty))
        made.append((k, snapshot, found))
    return made


def as_rows(messages: list[tuple[int, bool, list[Level]]]) -> MarketRows:
    return market(
        *[message(found, k=k, snapshot=snap, number=i) for i, (k, snap, found) in
          enumerate(messages)]
    )  # fmt: skip


@given(
    seed=st.integers(0, 2**32), spread=st.sampled_from([2, 30, 400]),
    depth=st.sampled_from([0, 0, 5]), snapshot_depth=st.sampled_from([0, 20]),
    levels_max=st.sampled_from([7, 300, 31_250]),
)  # fmt: skip
def test_equal_to_a_dictionary_after_every_message(
    seed: int, spread: int, depth: int, snapshot_depth: int, levels_max: int
) -> None:
    terms = {"depth": depth, "snapshot_depth": snapshot_depth}
    levels_max = levels_max if depth == 0 else 31_250  # both bounds at once are no venue's rule
    operator = books(**terms, levels_max=levels_max)
    slow = {k: SlowBook(**terms, levels_max=levels_max) for k in (0, 1)}
    state, messages = operator.initial(), random_messages(seed, 80, spread=spread)
    for i, (k, snapshot, found) in enumerate(messages):
        state, out = operator.step(state, market(message(found, k=k, snapshot=snapshot, number=i)))
        slow[k].take(found, snapshot=snapshot)
        for s, side in ((2 * k + BID, BUY), (2 * k + ASK, SELL)):
            assert side_of(state, s) == slow[k].levels(side)
        cover = (out.covered_bid[0], out.covered_ask[0])
        assert cover == (slow[k].cover[BUY], slow[k].cover[SELL])
        bids, asks = slow[k].levels(BUY), slow[k].levels(SELL)
        expected = (*(bids or [(NAN, NAN)])[0], *(asks or [(NAN, NAN)])[0])
        assert top(out) == pytest.approx(expected, nan_ok=True)
        assert (out.n_bids[0], out.n_asks[0]) == (len(bids), len(asks))
        assert out.crossed[0] == bool(bids and asks and bids[0][0] >= asks[0][0])


@pytest.mark.parametrize("order", [1, -1], ids=["best first", "best last"])
def test_a_side_grows_from_either_end(order: int) -> None:
    n = 9 * FIRST_LEVELS
    bids = [(BUY, 5_000.0 - i, 1.0 + i) for i in range(n)][::order]
    operator = books()
    state, out = operator.step(
        operator.initial(),
        market(message(bids, snapshot=True), message([(BUY, p, 0.0) for _, p, _ in bids[::2]])),
    )
    left = sorted(((p, q) for _, p, q in bids[1::2]), reverse=True)
    assert side_of(state, BID, n) == left
    assert out.n_bids.tolist() == [n, n // 2]


def test_sides_that_grow_together_stay_apart() -> None:
    operator, slow = books(), {0: SlowBook(), 1: SlowBook()}
    state, random = operator.initial(), np.random.default_rng(2)
    for i in range(60):
        k = i % 2
        found = [(side, float(random.integers(1, 5_000)), 1.0 + i) for side in (BUY, SELL) * 20]
        state, _ = operator.step(state, market(message(found, k=k, snapshot=i < 2, number=i)))
        slow[k].take(found, snapshot=i < 2)
    for k in (0, 1):
        assert side_of(state, 2 * k + BID, 2_000) == slow[k].levels(BUY)
        assert side_of(state, 2 * k + ASK, 2_000) == slow[k].levels(SELL)
    assert len(slow[0].levels(BUY)) > 2 * FIRST_LEVELS


def test_any_split_and_any_restart_gives_the_same_bytes() -> None:
    messages = random_messages(5, 700, spread=60)
    wide = [(side, p / 8.0, 1.0) for side in (BUY, SELL) for p in range(1, 700)]
    rows = as_rows([(0, True, wide), (1, True, wide), *messages])
    spoilt = rows.price.copy()
    spoilt[2_000] = NAN  # a gap until the next snapshot
    check_operator(books(levels_max=600), rows._replace(price=spoilt), without_numba=True)
