"""One asset over several venues: best prices, base units, and equal to sorting everything."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.market.books.consolidated import (
    NO_GROUP,
    ConsolidatedRows,
    ConsolidatedTops,
    asset_groups,
    consolidated,
)
from operators.market.books.l2 import L2Books
from operators.market.books.l2_state import BookTerms
from operators.market.books.sides import ASK, BID
from operators.records import instrument_records
from schemas.kinds import NO_SYMBOL
from schemas.rows import MarketRows
from tests.book_cases import BUY, MARKETS, SELL, SlowBook, market, message, table
from tests.check_operator import check_operator
from tests.test_book_l2 import random_messages

NAN = float("nan")
SPOT, PERPETUAL, INVERSE, OTHER = range(4)  # BTC, BTC, BTC in contracts of 100 dollars, ETH
FRESH_NS = 10
TABLE = table()
BTC = np.array([SPOT, PERPETUAL, INVERSE])
ONE_ASSET = asset_groups(TABLE)  # at par


def l2() -> L2Books:
    return L2Books(TABLE.arrays(), BookTerms.full(len(MARKETS)))


def tops(fresh_ns: int = FRESH_NS) -> ConsolidatedTops:
    return ConsolidatedTops(TABLE.arrays(), ONE_ASSET, fresh_ns=fresh_ns)


def run(rows: MarketRows, **more: Any) -> ConsolidatedRows:
    books, all_of_them = l2(), tops(**more)
    _, top = books.step(books.initial(), rows)
    return all_of_them.step(all_of_them.initial(), top)[1]


def snapshot(k: int, bid: float, bid_qty: float, ask: float, ask_qty: float) -> list[Any]:
    return message([(BUY, bid, bid_qty), (SELL, ask, ask_qty)], k=k, snapshot=True)


A = snapshot(SPOT, 50_000.0, 2.0, 50_010.0, 1.0)
AT = ("bid_px", "bid_qty", "bid_venues", "bid_symbol", "ask_px", "ask_qty", "ask_venues",
      "ask_symbol", "n_venues", "crossed")  # fmt: skip
# fmt: off
CASES: list[tuple[str, list[Any], tuple[float, ...]]] = [  # messages after A
    ("one venue",               [],
        (50_000.0, 2.0, 1, SPOT, 50_010.0, 1.0, 1, SPOT, 1, 0)),
    ("another is better",       [snapshot(PERPETUAL, 50_001.0, 5.0, 50_009.0, 3.0)],
        (50_001.0, 5.0, 1, PERPETUAL, 50_009.0, 3.0, 1, PERPETUAL, 2, 0)),
    ("another is worse",        [snapshot(PERPETUAL, 49_000.0, 5.0, 51_000.0, 3.0)],
        (50_000.0, 2.0, 1, SPOT, 50_010.0, 1.0, 1, SPOT, 2, 0)),
    ("the same price: sums",    [snapshot(PERPETUAL, 50_000.0, 5.0, 50_010.0, 0.5)],
        (50_000.0, 7.0, 2, PERPETUAL, 50_010.0, 1.5, 2, SPOT, 2, 0)),
    ("contracts of 100 dollars", [snapshot(INVERSE, 50_000.0, 500.0, 50_010.0, 0.0)],
        (50_000.0, 3.0, 2, SPOT, 50_010.0, 1.0, 1, SPOT, 2, 0)),
    ("one venue's bid above another's ask", [snapshot(PERPETUAL, 50_020.0, 1.0, 50_030.0, 1.0)],
        (50_020.0, 1.0, 1, PERPETUAL, 50_010.0, 1.0, 1, SPOT, 2, 1)),
    ("a crossed book is left out", [snapshot(PERPETUAL, 50_020.0, 1.0, 50_019.0, 1.0)],
        (50_000.0, 2.0, 1, SPOT, 50_010.0, 1.0, 1, SPOT, 1, 0)),
    ("a gapped book is left out", [snapshot(PERPETUAL, 50_001.0, 1.0, 50_009.0, 1.0),
                                   message([(BUY, NAN, 1.0)], k=PERPETUAL)],
        (50_000.0, 2.0, 1, SPOT, 50_010.0, 1.0, 1, SPOT, 1, 0)),
    ("a stale book is left out", [[{**row, "ts_recv_ns": 1 + FRESH_NS + 1} for row in
                                   snapshot(PERPETUAL, 49_000.0, 5.0, 51_000.0, 3.0)]],
        (49_000.0, 5.0, 1, PERPETUAL, 51_000.0, 3.0, 1, PERPETUAL, 1, 0)),
    ("just fresh enough",       [[{**row, "ts_recv_ns": 1 + FRESH_NS} for row in
                                   snapshot(PERPETUAL, 49_000.0, 5.0, 51_000.0, 3.0)]],
        (50_000.0, 2.0, 1, SPOT, 50_010.0, 1.0, 1, SPOT, 2, 0)),
    ("the only bid goes",       [message([(BUY, 50_000.0, 0.0)], k=SPOT)],
        (NAN, NAN, 0, NO_SYMBOL, 50_010.0, 1.0, 1, SPOT, 1, 0)),
]
# fmt: on


@pytest.mark.parametrize(
    ("messages", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_case(messages: list[Any], expected: tuple[float, ...]) -> None:
    out = run(market(A, *messages))
    found = tuple(float(getattr(out, name)[-1]) for name in AT)
    assert found == pytest.approx(expected, nan_ok=True)


def test_other_assets_are_apart() -> None:
    out = run(market(A, snapshot(OTHER, 3_000.0, 1.0, 3_001.0, 1.0)))
    assert out.bid_px.tolist() == [50_000.0, 3_000.0]
    assert out.group[0] != out.group[1]
    with pytest.raises(ValueError, match="fresh_ns must be positive, was 0"):
        tops(fresh_ns=0)


@given(st.integers(0, 2**32))
def test_levels_equal_sorting_all_orders(seed: int) -> None:
    operator, slow = l2(), [SlowBook(), SlowBook(), SlowBook()]
    state, random = operator.initial(), np.random.default_rng(seed)
    known = instrument_records(TABLE.arrays())
    for i, (_, _, found) in enumerate(random_messages(seed, 40, spread=8)):
        k, fresh = int(random.integers(0, 3)), i < 3
        k = i if fresh else k
        state, _ = operator.step(state, market(message(found, k=k, snapshot=fresh, number=i)))
        slow[k].take(found, snapshot=fresh)
        for s, side in ((BID, BUY), (ASK, SELL)):
            out = consolidated(state, known, BTC, side=s, levels=7)
            units = [
                {p: q * 100.0 / p if m == INVERSE else q for p, q in slow[m].sides[side].items()}
                for m in range(3)
            ]
            prices = sorted({p for each in units for p in each}, reverse=side == BUY)[:7]
            by_venue = [[each.get(p, 0.0) for each in units] for p in prices]
            n = len(prices)
            assert out.price[:n].tolist() == prices
            assert np.isnan(out.price[n:]).all()
            assert out.by_venue[:n].tolist() == by_venue
            assert out.qty[:n] == pytest.approx([sum(each) for each in by_venue])
            assert not out.by_venue[n:].any()


def test_any_split_gives_the_same_bytes() -> None:
    messages = [(k % 3, snap, found) for k, (_, snap, found) in
                enumerate(random_messages(9, 300, spread=20))]  # fmt: skip
    rows = market(
        *[message(found, k=k, snapshot=snap or i < 3, number=i) for i, (k, snap, found) in
          enumerate(messages)]
    )  # fmt: skip
    books = l2()
    _, top = books.step(books.initial(), rows)
    check_operator(tops(fresh_ns=30), top, without_numba=True)


def test_only_the_same_base_and_quote_are_one_asset() -> None:
    """Spot and perpetual, and USDT with USD where the desk counts it so; not what expires."""
    assert asset_groups(TABLE).tolist() == [0, 0, 0, 1]
    assert asset_groups(replace(TABLE, at_par=("USD",))).tolist() == [0, 0, 1, 2]
    ends = replace(TABLE.instruments[1], expiry_ns=1)
    some = replace(TABLE, instruments=(TABLE.instruments[0], ends, *TABLE.instruments[2:]))
    assert asset_groups(some).tolist() == [0, NO_GROUP, 0, 1]
