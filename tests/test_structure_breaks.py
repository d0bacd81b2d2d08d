"""Breaks, order blocks, gaps and grabs: hand-made tables, and the definitions over random walks."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.features.structure.gaps import GAP, find_gap
from operators.features.structure.marks import MarkKind, MarkRows
from operators.features.structure.structure import Structure
from operators.features.structure.zones import ZONE_LIST, ZONES, open_zone, touch
from operators.records import blank_records
from tests.structure_cases import Bar, bar_of, marks_of, mirrored, per_bar, walk
from tests.structure_definitions import blocks, breaks, gaps, grabs, nearest_open

NAN = math.nan
SIDES = ((1, "bull"), (-1, "bear"))


def hill(top: float) -> list[Bar]:
    """Eleven bars whose middle one is a swing high; it is known with the last.

    bar    0   1   2   3   4   5   6   7   8   9  10
    high  95  96  97  98  99 top  99  98  97  96  95      all but the sixth a bar of 1 or 2
    """
    up = [Bar(94.0 + j, 95.0 + j, 94.0 + j, 95.0 + j) for j in range(5)]
    down = [Bar(99.0 - j, 99.0 - j, 98.0 - j, 98.0 - j) for j in range(5)]
    return [*up, Bar(99.0, top, 99.0, 99.5), *down]


BREAK, GRAB = "BOS", "GRAB"

# fmt: off
AFTER = [  # bars after a hill of 100, (open, high, low, close): what becomes known
    ("a close above breaks it",              [(94, 101, 94, 100.5)],        [(11, BREAK, 1)]),
    ("a close at it does not",               [(94, 100, 94, 100)],          []),
    ("a high above is a grab",               [(94, 101, 94, 99)],           [(11, GRAB, -1)]),
    ("a close back at it is not yet",        [(94, 101, 94, 100)],          []),
    ("but the next below is",                [(94, 101, 94, 100), (100, 100, 97, 98)],
                                                                            [(12, GRAB, -1)]),
    ("a break that fails within three bars", [(94, 102, 94, 101), (101, 102, 100, 101),
                                              (101, 102, 100, 101), (101, 101, 98, 99)],
                                                              [(11, BREAK, 1), (14, GRAB, -1)]),
    ("and one that fails too late",          [(94, 102, 94, 101), (101, 102, 100, 101),
                                              (101, 102, 100, 101), (101, 102, 100, 101),
                                              (101, 101, 98, 99)],          [(11, BREAK, 1)]),
    ("each swing breaks once",               [(94, 101, 94, 100.5), (100.5, 102, 99, 99),
                                              (99, 103, 99, 102.5)],
                                                              [(11, BREAK, 1), (12, GRAB, -1)]),
]
# fmt: on


def said(marks: MarkRows, *kinds: str) -> list[tuple[int, str, int]]:
    rows = zip(bar_of(marks.ts_event_ns) - 1, marks.kind, marks.side, strict=True)
    return [(int(b), MarkKind(k).name, int(s)) for b, k, s in rows if MarkKind(k).name in kinds]


@pytest.mark.parametrize(("what", "after", "known"), AFTER, ids=[a[0] for a in AFTER])
@pytest.mark.parametrize("side", [1, -1], ids=["up", "down"])
def test_after_a_swing(
    what: str, after: list[tuple[float, ...]], known: list[tuple[int, str, int]], side: int
) -> None:
    bars = [*hill(100.0), *(Bar(*b) for b in after)]
    marks = marks_of(bars if side > 0 else mirrored(bars, 300.0))
    found = said(marks, "BOS", "CHOCH", "GRAB")
    assert found == [(b, kind, s * side) for b, kind, s in known]
    of_break = marks.kind == MarkKind.BOS
    level = 100.0 if side > 0 else 200.0
    assert (marks.price_low[of_break] == level).all()
    assert (bar_of(marks.from_ns[of_break]) == 5).all()


def test_both_sides_grabbed_by_one_bar() -> None:
    bars = [*hill(100.0), *mirrored(hill(100.0), 190.0)]  # a swing high of 100, a low of 90
    whole = [*bars, Bar(95.0, 101.0, 89.0, 95.0)]
    assert said(marks_of(whole), "GRAB") == [(22, "GRAB", -1), (22, "GRAB", 1)]
    shown = per_bar(Structure(3), whole)
    assert np.isnan(shown["liquidity_grab"][:22]).all()
    assert (shown["liquidity_grab"][22], shown["liquidity_grab_age_bars"][22]) == (0.0, 0.0)


def test_the_first_break_is_bos_then_against_the_trend_choch() -> None:
    #           hill 100     break up      valley below      break down       hill, break up again
    valley = [Bar(*b) for b in [(100, 100, 99, 99), (99, 99, 98, 98), (98, 98, 97, 97),
              (97, 97, 96, 96), (96, 96, 95, 95), (95, 95, 90, 94), (94, 95, 94, 95),
              (95, 96, 95, 96), (96, 97, 96, 97), (97, 98, 97, 98), (98, 99, 98, 99)]]  # fmt: skip
    bars = [*hill(100.0), Bar(94, 102, 94, 101), *valley, Bar(99, 99, 85, 86),
            *(Bar(*b) for b in [(86, 87, 86, 87), (87, 88, 87, 88), (88, 89, 88, 89),
              (89, 90, 89, 90), (90, 91, 90, 91), (91, 92, 91, 92), (92, 99.5, 92, 93),
              (93, 93, 92, 92), (92, 92, 91, 91), (91, 91, 90, 90), (90, 90, 89, 89),
              (89, 89, 88, 88), (88, 101, 88, 100)])]  # fmt: skip
    assert said(marks_of(bars), "BOS", "CHOCH") == [
        (11, "BOS", 1), (23, "CHOCH", -1), (36, "CHOCH", 1),
    ]  # fmt: skip
    shown = per_bar(Structure(3), bars)
    at = [10, 11, 22, 23, 35, 36]
    np.testing.assert_array_equal(shown["structure_trend"][at], [NAN, 1, 1, -1, -1, 1])
    np.testing.assert_array_equal(shown["bos"][at], [NAN, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(shown["bos_age_bars"][at], [NAN, 0, 11, 12, 24, 25])
    np.testing.assert_array_equal(shown["choch"][at], [NAN, NAN, NAN, -1, -1, 1])
    np.testing.assert_array_equal(shown["choch_age_bars"][at], [NAN, NAN, NAN, 0, 12, 0])


# fmt: off
BLOCKS = [  # bars after a hill of 100: the open block below, after the last of them
    ("the last that fell",            [(94, 101, 94, 100.5)],                          (94, 95)),
    ("not the breaking bar itself",   [(102, 103, 94, 101)],                           (94, 95)),
    ("one that rose is passed over",  [(94, 95, 93, 94.5), (94.5, 101, 94, 100.5)],    (94, 95)),
    ("one that fell is nearer",       [(96, 97, 95.5, 95.8), (96, 101, 96, 100.5)],    (95.5, 97)),
    ("closed within its range: none", [(99, 102, 98, 98.5), (99, 102, 99, 101)],       (NAN, NAN)),
    ("reached: open no more",         [(94, 101, 94, 100.5), (100, 100, 95, 99)],      (NAN, NAN)),
    ("not quite reached",             [(94, 101, 94, 100.5), (100, 100, 95.01, 99)],   (94, 95)),
    ("no break, no block",            [(94, 99, 94, 98)],                              (NAN, NAN)),
]
# fmt: on


@pytest.mark.parametrize(("what", "after", "zone"), BLOCKS, ids=[b[0] for b in BLOCKS])
@pytest.mark.parametrize("side", [1, -1], ids=["up", "down"])
def test_order_block(
    what: str, after: list[tuple[float, ...]], zone: tuple[float, float], side: int
) -> None:
    bars = [*hill(100.0), *(Bar(*b) for b in after)]
    if side < 0:
        bars, zone = mirrored(bars, 300.0), (300.0 - zone[1], 300.0 - zone[0])
    shown, name = per_bar(Structure(3), bars), "bull" if side > 0 else "bear"
    found = [shown[f"order_block_{name}_{end}"][-1] for end in ("low", "high")]
    np.testing.assert_allclose(found, zone, rtol=1e-12)


def test_a_block_is_no_older_than_the_swing() -> None:
    """After the top nothing falls but by gaps; the last bar that fell is the top, or before it."""
    bars = hill(100.0)
    rising = [Bar(b.close, b.high, b.low, b.open) for b in bars[6:]]
    fell, top_fell = Bar(99.0, 99.0, 98.0, 98.0), Bar(99.5, 100.0, 99.0, 99.2)
    broken = Bar(94.0, 101.0, 94.0, 100.5)
    for before, zone_low in (([*bars[:4], fell, bars[5]], NAN), ([*bars[:5], top_fell], 99.0)):
        whole = [*before, *rising, broken]
        assert said(marks_of(whole), "BOS") == [(11, "BOS", 1)]
        found = per_bar(Structure(3), whole)["order_block_bull_low"][-1]
        np.testing.assert_array_equal(found, zone_low)


def test_a_bar_makes_one_block() -> None:
    """Bar 12 is the last that fell before the break of 100, and still before that of 103."""
    more = [(94, 103, 94, 99), (98, 98, 96, 97), (97, 101, 97, 100.5), *[(100, 102, 100, 101)] * 3,
            (101, 104, 101, 103.5)]  # fmt: skip
    marks = marks_of([*hill(100.0), *(Bar(*b) for b in more)])
    assert said(marks, "BOS", "ORDER_BLOCK") == [
        (13, "BOS", 1), (13, "ORDER_BLOCK", 1), (17, "BOS", 1),
    ]  # fmt: skip


# fmt: off
GAPS = [  # three bars (open, high, low, close), ATR: the gap
    ("a gap",                      [(1, 2, 1, 2), (2, 5, 2, 5), (5, 6, 4, 6)],  1.0,  (2, 4)),
    ("the outer bars touch",       [(1, 2, 1, 2), (2, 5, 2, 5), (5, 6, 2, 6)],  1.0,  None),
    ("the middle bar fell",        [(1, 2, 1, 2), (5, 5, 2, 3), (5, 6, 4, 6)],  1.0,  None),
    ("exactly a tenth of the ATR", [(1, 2, 1, 2), (2, 5, 2, 5), (5, 6, 4, 6)],  20.0, (2, 4)),
    ("less than that",             [(1, 2, 1, 2), (2, 5, 2, 5), (5, 6, 4, 6)],  20.1, None),
    ("the ATR is not known",       [(1, 2, 1, 2), (2, 5, 2, 5), (5, 6, 4, 6)],  NAN,  None),
]
# fmt: on


@pytest.mark.parametrize(("what", "bars", "atr", "zone"), GAPS, ids=[g[0] for g in GAPS])
def test_gap(
    what: str, bars: list[tuple[float, ...]], atr: float, zone: tuple[float, float]
) -> None:
    fields = {"start_ns": "<i8", **dict.fromkeys(("open", "high", "low", "close"), "<f8")}
    seen, gap = blank_records(fields, 3), blank_records(GAP, 1)[0]
    for b, (bar, one) in enumerate(zip(bars, seen, strict=True)):
        one.start_ns, one.open, one.high, one.low, one.close = b, *bar
    assert [find_gap(gap, one, atr) for one in seen] == [False, False, zone is not None]
    if zone is not None:
        assert (gap.low, gap.high, gap.ns) == (*zone, 1)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.integers(0, 3)), max_size=80))
def test_zones_are_a_bounded_list_by_nearness(steps: list[tuple[bool, int, int]]) -> None:
    zones, expected = blank_records(ZONE_LIST, 1)[0], list[tuple[int, int]]()
    for opens, low, size in steps:
        if opens:
            open_zone(zones, float(low), float(low + size))
            expected = sorted([*expected, (low, low + size)], key=lambda z: z[1])
            if len(expected) > ZONES:
                dropped = expected.pop(0)
                assert dropped[1] == min(z[1] for z in [dropped, *expected])
        else:
            touch(zones, float(low))
            expected = [z for z in expected if z[1] < low]
        assert zones.n == len(expected)
        assert zones.high[: zones.n].tolist() == [high for _, high in expected]


@settings(max_examples=12)
@given(st.integers(0, 10**6), st.integers(60, 140))
def test_any_walk_any_prefix_by_definition(seed: int, n: int) -> None:
    """What is shown at a bar is what the bars up to it say: nothing is changed afterwards."""
    bars = walk(n, seed, low=9_500, high=9_700 if seed % 2 else 10_000)
    shown = per_bar(Structure(3), bars)
    for last in range(16, n, 9):
        past = bars[: last + 1]
        events = breaks(past)
        for what in ("bos", "choch"):
            mine = [e for e in events if e.what == what]
            side, age = (mine[-1].side, last - mine[-1].bar) if mine else (NAN, NAN)
            np.testing.assert_array_equal(shown[what][last], side)
            np.testing.assert_array_equal(shown[f"{what}_age_bars"][last], age)
        np.testing.assert_array_equal(
            shown["structure_trend"][last], events[-1].side if events else NAN
        )
        grabbed = grabs(past)
        side, age = NAN, NAN
        if grabbed:
            side = sum(e.side for e in grabbed if e.bar == grabbed[-1].bar)
            age = last - grabbed[-1].bar
        np.testing.assert_array_equal(shown["liquidity_grab"][last], side)
        np.testing.assert_array_equal(shown["liquidity_grab_age_bars"][last], age)
        for side, name in SIDES:
            for zones, prefix in ((gaps(past), "fvg"), (blocks(past), "order_block")):
                found = [shown[f"{prefix}_{name}_{end}"][last] for end in ("low", "high")]
                np.testing.assert_array_equal(found, nearest_open(past, zones, side))


@pytest.mark.parametrize("seed", range(4))
def test_marks_by_definition(seed: int) -> None:
    bars = walk(300, seed, low=9_500, high=9_800 if seed % 2 else 10_000)
    marks = marks_of(bars)
    bar, start = bar_of(marks.ts_event_ns) - 1, bar_of(marks.from_ns)

    def rows(*kinds: MarkKind) -> list[tuple[float, ...]]:
        mine = np.isin(marks.kind, kinds)
        columns = (bar, marks.kind, marks.side, marks.price_low, marks.price_high, start)
        return sorted(zip(*(c[mine].tolist() for c in columns), strict=True))

    kind = {"bos": MarkKind.BOS, "choch": MarkKind.CHOCH}
    assert rows(*kind.values()) == sorted(
        (e.bar, kind[e.what], e.side, e.px, e.px, e.swing) for e in breaks(bars)
    )
    for zones, of in ((gaps(bars), MarkKind.FVG), (blocks(bars), MarkKind.ORDER_BLOCK)):
        assert rows(of) == sorted((z.born, of, z.side, z.low, z.high, z.origin) for z in zones)
    found = rows(MarkKind.GRAB)
    assert [(b, s, low if s < 0 else high, at) for b, _, s, low, high, at in found] == [
        (e.bar, e.side, e.px, e.swing) for e in grabs(bars)
    ]
    assert min(len(breaks(bars)), len(gaps(bars)), len(blocks(bars)), len(found)) >= 5
