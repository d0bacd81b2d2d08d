"""Completeness: which time of a stream's session its rows cover, minute by minute."""

import math
from typing import Any

import numpy as np
import pytest

from operators.market.completeness import MINUTE_NS, SECOND_NS, Completeness, Stream
from operators.market.gate import Gate
from schemas.expectations import COMPLETE_FOR_BACKTEST, COMPLETE_FOR_TRAINING
from schemas.instruments import InstrumentTable
from schemas.kinds import Kind
from schemas.reasons import Reason
from schemas.rows import MarketRows, take
from tests.test_gate import PLAIN, made
from venues.venue_classes import instrument, terms

ORIGIN_NS = 1_700_000_040 * SECOND_NS  # begin of a minute
BTC, EUR, ETH, EVENT = (0, 0), (0, 1), (0, 2), (0, 3)
MARKETS = (("kraken", "BTCUSD"), ("oanda", "EURUSD"), ("kraken", "ETHUSD"), ("polymarket", "rain"))


def table() -> InstrumentTable:
    each = []
    for symbol, (venue, name) in enumerate(MARKETS):
        found = terms(venue, name)
        assert found
        each.append(
            instrument(venue, name, found, lane=0, symbol=symbol, tick="0.01", lot="1",
                       has_quotes=True, clock_offset_ns=0)
        )  # fmt: skip
    return InstrumentTable(1, "USD", tuple(each))


def at(seconds: float, **other: Any) -> dict[str, Any]:
    ts_ns = ORIGIN_NS + round(seconds * SECOND_NS)
    return {"kind": Kind.QUOTE, "ts_event_ns": ts_ns, "ts_recv_ns": ts_ns, **other}


def streams(
    *rows: dict[str, Any], size: int = 10_000, refused: Any = None, cadence_s: int = 0
) -> list[Stream]:
    """What a feed of these rows covers, read in slices of `size`."""
    whole = made(*rows)
    gate = Gate(table().arrays(), 1)
    state, found = gate.initial(), Completeness(table(), [cadence_s], refused)
    for first in range(0, whole.seq.size, size):
        part = take(whole, slice(first, first + size))
        state, (reason, _) = gate.judge(state, part)
        found.add(part, reason == Reason.OK)
    return list(found.streams())


def minutes(stream: Stream) -> dict[int, tuple[float, float]]:
    """Minute of the case to session and covered seconds."""
    return each_minute(stream, ORIGIN_NS)


def each_minute(stream: Stream, origin_ns: int) -> dict[int, tuple[float, float]]:
    return {
        int((m - origin_ns) // MINUTE_NS) + k: (s / SECOND_NS, c / SECOND_NS)
        for m, n, s, c in zip(*stream.minutes, strict=True)
        for k in range(n)
    }


BAD = {"bid_px": 0.9}  # crossed
BAR = {"kind": Kind.BAR, "ref": 60.0}
TRADE = {"kind": Kind.TRADE}
BAD_TRADE = {**TRADE, "price": -1.0}
# fmt: off
CASES: list[tuple[str, list[dict[str, Any]], dict[int, Any]]] = [
    ("rows close together cover all",     [at(0), at(30), at(59)],  {0: (59, 59)}),
    ("the session begins with a row",     [at(50), at(70)],         {0: (10, 10), 1: (10, 10)}),
    ("a row covers 60 s, then nothing",   [at(0), at(90)],          {0: (60, 60), 1: (30, 0)}),
    ("over several minutes",              [at(30), at(210)],
     {0: (30, 30), 1: (60, 30), 2: (60, 0), 3: (30, 0)}),
    ("a refused row covers nothing",      [at(0), at(10, **BAD), at(25), at(30)],  {0: (30, 15)}),
    ("a row that goes back, and is refused",
     [at(0), at(30), at(50), at(10), at(55), at(60)],               {0: (60, 55)}),
    ("refused rows that have no time",
     [at(0), at(40, ts_recv_ns=-1), at(45, ts_recv_ns=2**63 - 1), at(50)],  {0: (50, 50)}),
    ("two refused rows of one time",     [at(0), at(40, **BAD), at(40, **BAD), at(50)],
     {0: (50, 40)}),
    ("two rows of one time",              [at(0), at(0), at(6)],    {0: (6, 6)}),
    ("a bar covers its length, and an hour of silence",
     [at(0, **BAR), at(60, **BAR), at(3840, **BAR)],
     dict.fromkeys(range(62), (60, 60)) | {62: (60, 0), 63: (60, 0)}),
    ("trades: ten minutes of silence",    [at(0, **TRADE), at(660, **TRADE)],
     dict.fromkeys(range(10), (60, 60)) | {10: (60, 0)}),
    ("a refused trade",                   [at(0, **TRADE), at(9, **BAD_TRADE), at(12, **TRADE)],
     {0: (12, 9)}),
    ("a refused trade, then silence",
     [at(0, **TRADE), at(9, **BAD_TRADE), at(660, **TRADE)],
     {0: (60, 9)} | dict.fromkeys(range(1, 10), (60, 0)) | {10: (60, 0)}),
    ("a long silence where none closes",  [at(0), at(7200)],
     {0: (60.0, 60.0)} | dict.fromkeys(range(1, 120), (60.0, 0.0))),
    ("FX pauses for five minutes",        [at(0, at=EUR), at(330, at=EUR)],
     dict.fromkeys(range(5), (60, 60)) | {5: (30, 0)}),
    ("one row spans no time",             [at(0)],                  {}),
]
# fmt: on


@pytest.mark.parametrize(("what", "rows", "expected"), CASES, ids=[case[0] for case in CASES])
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_case(what: str, rows: Any, expected: Any, size: int) -> None:
    (stream,) = streams(*rows, size=size)
    assert minutes(stream) == expected


FRIDAY_NS = 1_399_064_340 * SECOND_NS  # 2014-05-02 20:59 UTC: FX closes in a minute
WEEKEND_S = 48 * 3600


def test_a_session_is_what_the_calendar_leaves_of_it() -> None:
    """FX rests from Friday 17:00 to Sunday 17:00 in New York, whatever the rows do meanwhile.

    minute 0        closed                          minute 2881
    |------------|..............................|------------|
    row at 0 s   row at 90 s, out of session        row at 48 h + 70 s
    """
    rows = [at(0, at=EUR), at(90, at=EUR, **BAD), at(WEEKEND_S + 70, at=EUR)]
    for row in rows:
        row["ts_recv_ns"] = row["ts_event_ns"] = row["ts_recv_ns"] - ORIGIN_NS + FRIDAY_NS
    (stream,) = streams(*rows)
    assert each_minute(stream, FRIDAY_NS) == {0: (60, 60), 2881: (10, 0)}
    assert (stream.session_ns, stream.covered_ns) == (70 * SECOND_NS, 60 * SECOND_NS)


def test_a_symbol_may_go_without_trades_while_its_feed_brings_some() -> None:
    others = [at(s, at=ETH, **TRADE) for s in range(0, 6000, 500)]
    alone = [at(0, **TRADE), at(6000, **TRADE)]
    quiet, busy = streams(*sorted([*alone, *others], key=lambda row: int(row["ts_recv_ns"])))
    assert (quiet.completeness, busy.completeness) == (1.0, 1.0)
    (lonely,) = streams(*alone)
    assert lonely.completeness == pytest.approx(0.1)
    refused = [alone[0], at(6, **BAD_TRADE), alone[1]]  # covers nothing as long as it would stand
    quiet, _ = streams(*sorted([*refused, *others], key=lambda row: int(row["ts_recv_ns"])))
    assert quiet.completeness == pytest.approx(0.9)
    elsewhere = [row | {"at": EUR} for row in others]  # of another venue: it says nothing
    quiet, _ = streams(*sorted([*alone, *elsewhere], key=lambda row: int(row["ts_recv_ns"])))
    assert quiet.completeness == pytest.approx(0.1)


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_a_long_bar_keeps_its_feed_awake_behind_shorter_ones(size: int) -> None:
    long, short = BAR | {"ref": 3600.0}, BAR
    rows = [at(0, at=ETH, **long), at(60, **short), at(7000, **short), at(7260, at=ETH, **long)]
    bars, _ = streams(*rows, size=size)
    assert bars.completeness == 1.0  # of 60 s and an hour 3,280 s would be left
    rows = [at(0, at=ETH, **long), at(60, **short), at(7260, **short)]
    bars, _ = streams(*rows, size=size)
    assert (bars.gap_to_ns - bars.gap_from_ns).tolist() == [60 * SECOND_NS]


def test_a_quote_of_a_bar_stands_as_long_as_the_bar() -> None:
    rows = [at(s) for s in range(0, 36_000, 3600)]
    assert [s.completeness for s in streams(*rows, cadence_s=3600)] == [1.0]
    assert [s.completeness for s in streams(*rows)] == [pytest.approx(1 / 60)]


def test_each_symbol_and_kind_is_a_stream_of_its_own() -> None:
    found = streams(at(0), at(0, at=ETH), at(0, kind=Kind.TRADE), at(3), at(4, at=ETH))
    assert [(s.instrument, s.kind.name) for s in found] == [
        (0, "TRADE"),
        (0, "QUOTE"),
        (2, "QUOTE"),
    ]
    assert [minutes(s) for s in found] == [{}, {0: (3, 3)}, {0: (4, 4)}]


def test_a_cadence_that_nobody_states_is_not_judged() -> None:
    plain = PLAIN[Kind.FUNDING] | {"kind": Kind.FUNDING}
    assert streams(at(0, **plain | {"ref": math.nan})) == []
    (stream,) = streams(at(0, **plain), at(28_800, **plain))
    assert stream.completeness == 1.0


def test_minutes_below_a_threshold() -> None:
    # uncovered: 0.3 s of minute 0 (0.995), 1.2 s of minute 1 (0.98), 7 s of minute 2 (0.883)
    ends = [(0, 0.3), (60, 61.2), (120, 126), (179, 180)]
    rows = [r for bad, good in ends for r in (at(bad, **BAD), at(good))]
    (stream,) = streams(at(0), *rows)
    assert minutes(stream) == {0: (60, 59.7), 1: (60, 58.8), 2: (60, 53)}
    below = [stream.below(x) for x in (COMPLETE_FOR_TRAINING, COMPLETE_FOR_BACKTEST)]
    found = [((each.first(5) - ORIGIN_NS) // MINUTE_NS).tolist() for each in below]
    assert found == [[1, 2], [2]]
    assert [each.total for each in below] == [2, 1]
    assert stream.completeness == pytest.approx(1 - (0.3 + 1.2 + 6 + 1) / 180)


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_rows_in_quarantine_count_like_those_refused_here(size: int) -> None:
    rows = [at(0), at(10, **BAD), at(25), at(55, **BAD), at(80)]
    bad = [k for k, row in enumerate(rows) if "bid_px" in row]
    (due,) = streams(*rows)
    kept = [row for k, row in enumerate(rows) if k not in bad]
    quarantine: MarketRows = take(made(*rows), np.array(bad))
    (found,) = streams(*kept, size=size, refused=quarantine)
    assert minutes(found) == minutes(due) == {0: (60, 40), 1: (20, 0)}


def test_against_counting_every_millisecond() -> None:
    random = np.random.default_rng(5)
    gaps_ms = random.choice([0, 1, 700, 20_000, 61_234, 200_003], 120)
    times_ms, good = np.cumsum(gaps_ms) - gaps_ms[0], random.random(120) < 0.7
    rows = [at(t / 1000, **({} if ok else BAD)) for t, ok in zip(times_ms, good, strict=True)]
    (stream,) = streams(*rows, size=17)
    covered = np.zeros(times_ms[-1], bool)
    for k in range(119):
        if good[k]:
            covered[times_ms[k] : min(times_ms[k] + 60_000, times_ms[k + 1])] = True
    for minute, (session_s, covered_s) in minutes(stream).items():
        part = covered[minute * 60_000 : (minute + 1) * 60_000]
        assert (session_s, covered_s) == (part.size / 1000, np.count_nonzero(part) / 1000)


YEAR_S = 365 * 86_400
# fmt: off
FAR: list[tuple[str, int, int]] = [  # seconds of two rows, and the entries that their minutes need
    ("1970, then now",             -ORIGIN_NS // SECOND_NS,                   0),
    ("now, then 2116",             0,                 (2**62 - ORIGIN_NS) // SECOND_NS),
    ("1970, then 2199",            -ORIGIN_NS // SECOND_NS,   175 * YEAR_S),
]
# fmt: on


@pytest.mark.parametrize(("what", "first_s", "last_s"), FAR, ids=[case[0] for case in FAR])
@pytest.mark.parametrize("market", [BTC, EUR], ids=["crypto", "fx"])
def test_a_false_time_costs_no_minutes(
    what: str, first_s: int, last_s: int, market: tuple[int, int]
) -> None:
    """Minutes that are alike are one entry: of a century there are not 50 million."""
    (stream,) = streams(*(at(s, at=market) for s in (first_s, first_s + 30, last_s)))
    closings = 2 * 52 * 240 if market is EUR else 0
    assert stream.minutes.n.size < 10 + closings
    assert stream.minutes.total > 15_000_000
    assert stream.minutes.session_ns @ stream.minutes.n == stream.session_ns
    assert stream.minutes.covered_ns @ stream.minutes.n == stream.covered_ns < 400 * SECOND_NS
    if market is BTC:
        assert stream.below(0.95).total == stream.minutes.total - 1


@pytest.mark.parametrize("market", [BTC, EUR], ids=["crypto", "fx"])
def test_trades_of_a_false_time_leave_their_feed_silent(market: tuple[int, int]) -> None:
    first_s = -ORIGIN_NS // SECOND_NS + 7 * 86_400  # no holiday
    (stream,) = streams(at(first_s, at=market, **TRADE), at(0, at=market, **TRADE))
    assert stream.covered_ns == 600 * SECOND_NS


def test_like_minutes_are_one_entry() -> None:
    (stream,) = streams(*(at(s) for s in range(0, 241, 60)), at(1000), at(1060))
    assert (stream.minutes.minute_ns - ORIGIN_NS).tolist() == [
        m * MINUTE_NS for m in (0, 5, 16, 17)
    ]
    assert stream.minutes.n.tolist() == [5, 11, 1, 1]
    assert (stream.minutes.covered_ns // SECOND_NS).tolist() == [60, 0, 20, 40]
    begins = (stream.minutes.first(7) - ORIGIN_NS) // MINUTE_NS
    assert begins.tolist() == list(range(7))
