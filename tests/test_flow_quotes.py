"""Best quote: imbalance, microprice, spread; and the order-flow imbalance of quote after quote."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.features.flow.ofi import Ofi
from operators.features.flow.rows import TOP, FlowRows
from operators.features.flow.top import BestQuote
from operators.features.flow.windows import WINDOW_NS
from schemas.rows import F8, I8
from tests.check_operator import check_operator
from tests.flow_cases import (
    LEVELS,
    SECOND_NS,
    at,
    flow_rows,
    hand_made,
    mixed_flow,
    of,
    quote,
    slot_sums,
    trade,
    values,
)

NAN = math.nan
# fmt: off
QUOTES = [  # what is quoted, bid, ask, sizes; imbalance, microprice, spread in bps
    ("equal queues: the mid",   (99.0, 101.0, 2.0, 2.0),  0.0, 100.0, 200.0),
    ("nothing to buy: the ask", (99.0, 101.0, 2.0, 0.0),  1.0, 101.0, 200.0),
    ("nothing to sell to",      (99.0, 101.0, 0.0, 2.0), -1.0,  99.0, 200.0),
    ("three to one",            (99.0, 101.0, 3.0, 1.0),  0.5, 100.5, 200.0),
    ("locked",                  (99.0,  99.0, 3.0, 1.0),  0.5,  99.0,   0.0),
    ("no sizes",                (99.0, 101.0, NAN, NAN),  NAN,   NAN, 200.0),
    ("both sizes 0",            (99.0, 101.0, 0.0, 0.0),  NAN,   NAN, 200.0),
    ("one size negative",       (99.0, 101.0, 1.0, -1.),  NAN,   NAN, 200.0),
    ("crossed",                 (99.1,  99.0, 3.0, 1.0),  NAN,   NAN,   NAN),
    ("no bid",                  (NAN,  101.0, 3.0, 1.0),  NAN,   NAN,   NAN),
    ("infinite ask",            (99.0, math.inf, 3., 1.), NAN,   NAN,   NAN),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "quoted", "imbalance", "microprice", "spread"), QUOTES, ids=[q[0] for q in QUOTES]
)
def test_one_quote(
    what: str, quoted: Any, imbalance: float, microprice: float, spread: float
) -> None:
    found = values(BestQuote(3), hand_made(quote(100.0, 100.0, 7.0, 5.0), quote(*quoted)))
    last = [found[name][-1] for name in BestQuote.NAMES]
    np.testing.assert_allclose(last, [imbalance, microprice, spread], rtol=1e-13, atol=1e-13)


def test_trades_show_the_quote_before_them_and_other_instruments_none() -> None:
    rows = hand_made(trade(5.0), quote(99.0, 101.0), trade(5.0), trade(5.0, symbol=1))
    found = values(BestQuote(3), rows)
    np.testing.assert_array_equal(found["imbalance_best"], [NAN, 0.0, 0.0, NAN])


SIZES = st.floats(0.001, 1e6)


@given(SIZES, SIZES, st.floats(1e-3, 1e3))
def test_imbalance_is_bounded_antisymmetric_and_scale_free(a: float, b: float, by: float) -> None:
    rows = hand_made(
        quote(99.0, 101.0, a, b), quote(99.0, 101.0, b, a), quote(99.0, 101.0, a * by, b * by)
    )
    this, swapped, scaled = values(BestQuote(3), rows)["imbalance_best"]
    assert -1.0 <= this <= 1.0
    assert swapped == -this
    assert scaled == pytest.approx(this, abs=1e-12)


# fmt: off
CHANGES = [  # the second quote, after bid 99 of 4 and ask 101 of 6; what it adds
    ("nothing changes",   (99.0, 101.0, 4.0, 6.0),  0.0),
    ("bids are added",    (99.0, 101.0, 5.5, 6.0),  1.5),
    ("bids are taken",    (99.0, 101.0, 1.0, 6.0), -3.0),
    ("asks are added",    (99.0, 101.0, 4.0, 8.0), -2.0),
    ("asks are taken",    (99.0, 101.0, 4.0, 1.0),  5.0),
    ("a better bid",      (99.5, 101.0, 2.0, 6.0),  2.0),
    ("a worse bid",       (98.5, 101.0, 9.0, 6.0), -4.0),
    ("a better ask",      (99.0, 100.5, 4.0, 3.0), -3.0),
    ("a worse ask",       (99.0, 101.5, 4.0, 9.0),  6.0),
    ("both go up",        (99.5, 101.5, 2.0, 9.0),  8.0),
]
# fmt: on


@pytest.mark.parametrize(("what", "then", "adds"), CHANGES, ids=[c[0] for c in CHANGES])
def test_one_change(what: str, then: Any, adds: float) -> None:
    first = (99.0, 101.0, 4.0, 6.0)
    rows = hand_made(
        quote(*first, ts_event_ns=at(0)), quote(*first, ts_event_ns=at(9.9)),
        quote(*then, ts_event_ns=at(10.1)),
    )  # fmt: skip
    assert values(Ofi(3), rows)["ofi_best"][-1] == adds


def test_price_moves_by_the_imbalance_over_twice_the_depth() -> None:
    """The paper's stylised book: every queue behind the best holds `depth`.

    An order fills the best queue up to `depth` and then opens the next price; what is taken
    uncovers a full queue. So the mid in ticks, with the best queues as fractions of a tick, moves
    by OFI / (2 depth) exactly.
    """
    depth, random = 12, np.random.default_rng(3)
    bid, bid_qty, ask, ask_qty = 9_999, depth, 10_001, depth  # ticks, and the best queues
    quotes = [(0.0, bid, bid_qty, ask, ask_qty), (10.0, bid, bid_qty, ask, ask_qty)]
    while len(quotes) < 800:
        up = random.random() < 0.55
        if random.random() < 0.5:  # bids come or go
            amount = int(random.integers(1, 1 + (depth - bid_qty or depth) if up else 1 + bid_qty))
            if up and bid_qty == depth:
                bid, bid_qty = bid + 1, amount
            else:
                bid_qty += amount if up else -amount
            if bid_qty == 0:
                bid, bid_qty = bid - 1, depth
        else:  # asks go or come
            amount = int(random.integers(1, 1 + ask_qty if up else 1 + (depth - ask_qty or depth)))
            if not up and ask_qty == depth:
                ask, ask_qty = ask - 1, amount
            else:
                ask_qty -= amount if up else -amount
            if ask_qty == 0:
                ask, ask_qty = ask + 1, depth
        if bid >= ask:
            break  # the two sides of the model know nothing of each other
        quotes.append((10.0 + 0.01 * len(quotes), bid, bid_qty, ask, ask_qty))
    rows = hand_made(
        *(quote(b / 100, a / 100, q, p, ts_event_ns=at(t)) for t, b, q, a, p in quotes)
    )
    ofi = values(Ofi(3), rows)["ofi_best"][1:]
    place = np.array([b + q / depth + a - p / depth for _, b, q, a, p in quotes[1:]]) / 2.0
    assert len(quotes) > 100
    assert np.ptp(place) > 3.0
    np.testing.assert_allclose(ofi / (2 * depth), place - place[0], rtol=0, atol=1e-9)


def contributions(bid: F8, bid_qty: F8, ask: F8, ask_qty: F8) -> F8:
    """e of each quote after another, by the paper's formula; NaN where one is not known."""
    e = np.full(bid.size, np.nan)
    for n in range(1, bid.size):
        e[n] = (
            (bid[n] >= bid[n - 1]) * bid_qty[n] - (bid[n] <= bid[n - 1]) * bid_qty[n - 1]
            - (ask[n] <= ask[n - 1]) * ask_qty[n] + (ask[n] >= ask[n - 1]) * ask_qty[n - 1]
        )  # fmt: skip
        if np.isnan(bid[n - 1 : n + 1] + ask[n - 1 : n + 1]).any():
            e[n] = np.nan
    return e


def known_since(ts_ns: I8, known: list[bool | None]) -> F8:
    """At each row the time since when everything told was known; +inf where it is not."""
    out, since = np.empty(ts_ns.size), math.inf
    for i in range(ts_ns.size):
        if known[i] is not None:
            since = min(since, float(ts_ns[i])) if known[i] else math.inf
        out[i] = since
    return out


def test_window_against_all_contributions_added_up_anew() -> None:
    rows = flow_rows(mixed_flow(4000, seed=1))
    found = values(Ofi(3), rows)["ofi_best"]
    for k in range(3):
        mine = FlowRows(*(of(k, rows, column) for column in rows))
        told = np.flatnonzero(mine.event & TOP)
        e = np.zeros(mine.k.size)
        e[told] = contributions(
            mine.bid_px[told], mine.bid_qty[told], mine.ask_px[told], mine.ask_qty[told]
        )
        sizes = np.isfinite(mine.bid_qty + mine.ask_qty)
        known = [sizes[i] if mine.event[i] & TOP else None for i in range(mine.k.size)]
        warm = known_since(mine.ts_ns, known) <= mine.ts_ns - WINDOW_NS
        expected = np.where(warm, slot_sums(mine.ts_ns, e), np.nan)
        assert 0.05 < warm.mean() < 0.99
        np.testing.assert_allclose(of(k, rows, found), expected, rtol=1e-9, atol=1e-9)


def test_a_quote_without_size_starts_the_ten_seconds_anew() -> None:
    """
    0 s       10 s   11 s          21 s
    |--known---|-----x   |--known---|
               warm              warm
    """
    times = [(0, 2.0), (9.9, 2.0), (10, 2.0), (11, NAN), (11.1, 2.0), (21, 2.0), (21.1, 2.0)]
    rows = hand_made(*(quote(99.0, 101.0, s, 1.0, ts_event_ns=at(t)) for t, s in times))
    found = values(Ofi(3), rows)["ofi_best"]
    np.testing.assert_array_equal(np.isfinite(found), [0, 0, 1, 0, 0, 0, 1])


@pytest.mark.parametrize("operator", [BestQuote(3), Ofi(3)], ids=["best quote", "ofi"])
def test_every_promise_of_an_operator(operator: Any) -> None:
    rows = flow_rows(mixed_flow(2500, seed=2))
    assert rows.levels.shape == (2500, 4, LEVELS)
    assert rows.ts_ns[-1] - rows.ts_ns[0] > 600 * SECOND_NS
    check_operator(operator, rows)
