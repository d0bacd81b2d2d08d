"""Sessions: their hours, the range of the first half hour, and the breakout from it."""

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from flows.settings import SESSIONS_KNOWN
from operators.features.cross.sessions import PLACES, SessionRange
from operators.features.feature import NO_SESSIONS, Sessions
from schemas.rows import MarketRows, take
from tests.check_operator import check_operator
from tests.derivative_cases import (
    MINUTE_NS,
    START_NS,
    Whole,
    market_of,
    mixed,
    quote,
    rows,
    run,
    table,
    trade,
)
from venues.sessions import exchange_sessions

TABLE = table(market_of(0), market_of(1, base="ETH"), market_of(0, lane=1))

# fmt: off
HOURS = [  # day, place, and its session in UTC; the days from what the exchanges have published
    ("winter in London",              date(2024, 3, 28),  "london",   "08:00-16:30"),
    ("summer in London",              date(2024, 4, 2),   "london",   "07:00-15:30"),
    ("half a day at Christmas",       date(2024, 12, 24), "london",   "08:00-12:30"),
    ("Boxing Day",                    date(2024, 12, 26), "london",   ""),
    ("Easter Monday",                 date(2024, 4, 1),   "london",   ""),
    ("the Coronation",                date(2023, 5, 8),   "london",   ""),
    ("winter in New York",            date(2024, 3, 8),   "new_york", "14:30-21:00"),
    ("summer comes earlier there",    date(2024, 3, 11),  "new_york", "13:30-20:00"),
    ("and winter a week later",       date(2024, 10, 28), "new_york", "13:30-20:00"),
    ("the day after Thanksgiving",    date(2024, 11, 29), "new_york", "14:30-18:00"),
    ("an early close to come",        date(2026, 11, 27), "new_york", "14:30-18:00"),
    ("Independence Day",              date(2024, 7, 4),   "new_york", ""),
    ("mourning for a president",      date(2025, 1, 9),   "new_york", ""),
    ("Tokyo has no summer time",      date(2024, 7, 1),   "tokyo",    "00:00-02:30 03:30-06:00"),
    ("its last day to 15:00",         date(2024, 11, 1),  "tokyo",    "00:00-02:30 03:30-06:00"),
    ("and its first to 15:30",        date(2024, 11, 5),  "tokyo",    "00:00-02:30 03:30-06:30"),
    ("Culture Day, on the Monday",    date(2024, 11, 4),  "tokyo",    ""),
    ("the Olympics moved a holiday",  date(2021, 7, 23),  "tokyo",    ""),
    ("which was then an ordinary day", date(2021, 10, 11), "tokyo",   "00:00-02:30 03:30-06:00"),
    ("the last day of a year",        date(2024, 12, 31), "tokyo",    ""),
    ("a stop of the whole exchange",  date(2020, 10, 1),  "tokyo",    ""),
]
# fmt: on


@pytest.mark.parametrize(("what", "day", "place", "said"), HOURS, ids=[h[0] for h in HOURS])
def test_hours_of_the_exchanges(what: str, day: date, place: str, said: str) -> None:
    found = exchange_sessions(day - timedelta(days=7), day + timedelta(days=7))
    at = PLACES.index(place)
    spans = []
    for j in range(found.first[at], found.first[at + 1]):
        ns = [int(column[j]) for column in found[1:]]
        parts = [(ns[0], ns[1]), (ns[2], ns[3])]
        if datetime.fromtimestamp(ns[0] / 1e9, UTC).date() == day:
            spans += [f"{clock(a)}-{clock(b)}" for a, b in parts if a < b]
    assert " ".join(spans) == said


def clock(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%H:%M")


# Trading days of each year, as the exchanges count them.
DAYS = [("tokyo", 2019, 241), ("tokyo", 2023, 246), ("tokyo", 2024, 245), ("london", 2022, 250),
        ("london", 2024, 254), ("new_york", 2012, 250), ("new_york", 2024, 252)]  # fmt: skip


@pytest.mark.parametrize(("place", "year", "days"), DAYS)
def test_trading_days_of_a_year(place: str, year: int, days: int) -> None:
    found = exchange_sessions(date(year, 1, 1), date(year, 12, 31))
    assert found.first[PLACES.index(place) + 1] - found.first[PLACES.index(place)] == days


def test_all_that_a_run_knows_is_in_order() -> None:
    found = exchange_sessions(*SESSIONS_KNOWN)
    SessionRange(1, found)
    assert (np.diff(found.first) > 39 * 240).all()


# fmt: off
NO_DAYS = [
    ("backwards", date(2024, 6, 2), date(2024, 6, 1), "last must not be before first"),
    ("a weekend", date(2024, 6, 1), date(2024, 6, 2), "XTKS has no session from 2024-06-01"),
]
# fmt: on


@pytest.mark.parametrize(("what", "first", "last", "said"), NO_DAYS, ids=[n[0] for n in NO_DAYS])
def test_days_without_sessions_are_refused(what: str, first: date, last: date, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        exchange_sessions(first, last)


def sessions(*tokyo: tuple[float, ...]) -> Sessions:
    """Sessions of the first place in minutes: open, close, and a rest; the others are far away."""
    whole = [(m[0], *(m[2:] or (m[1], m[1])), m[1]) for m in tokyo]
    ns = START_NS + np.rint(np.array(whole) * MINUTE_NS).astype(np.int64)
    all_ns = np.concatenate([ns, ns + 10**18, ns + 10**18])
    return Sessions(np.arange(4) * len(tokyo), *(np.ascontiguousarray(c) for c in all_ns.T))


ONE = sessions((60.0, 540.0), (1500.0, 1980.0))
RESTING = sessions((60.0, 540.0, 210.0, 270.0))


def minutes(*given: tuple[float, float], before: bool = True) -> list[dict[str, Any]]:
    """Quotes at these minutes with these mids, after one long before the session."""
    first = [quote(100.0, at=0)] if before else []
    return [*first, *(quote(mid, at=60 * minute) for minute, mid in given)]


RANGE = ((61, 100.0), (75, 102.0), (89, 99.0))

# fmt: off
CASES = [  # quotes after the opening range of 99 to 102; high, low and breakout of the last
    ("inside of it",               [(95, 101.0)],               102.0, 99.0, 0.0),
    ("at its edge",                [(95, 102.0)],               102.0, 99.0, 0.0),
    ("above it",                   [(95, 102.5)],               102.0, 99.0, 1.0),
    ("below it",                   [(95, 98.5)],                102.0, 99.0, -1.0),
    ("back inside it has left it", [(95, 98.5), (99, 100.0)],   102.0, 99.0, -1.0),
    ("the other side counts then", [(95, 98.5), (99, 103.0)],   102.0, 99.0, 1.0),
    ("still in the first 30 min",  [(89.9, 104.0)],             math.nan, math.nan, math.nan),
    ("just after them",            [(90.0, 104.0)],             102.0, 99.0, 1.0),
    ("the session is over",        [(95, 104.0), (540, 104.0)], math.nan, math.nan, math.nan),
    ("the next one starts anew",   [(95, 104.0), (1501, 50.0), (1531, 50.0)], 50.0, 50.0, 0.0),
]
# fmt: on


@pytest.mark.parametrize(("what", "after", "high", "low", "breakout"), CASES,
                         ids=[c[0] for c in CASES])  # fmt: skip
def test_opening_range(
    what: str, after: list[tuple[float, float]], high: float, low: float, breakout: float
) -> None:
    found = run(TABLE, SessionRange(3, ONE), rows(*minutes(*RANGE, *after)))
    shown = [float(found[f"session_{name}_tokyo"][-1]) for name in ("high", "low", "breakout")]
    assert shown == pytest.approx([high, low, breakout], nan_ok=True)
    for place in PLACES[1:]:
        assert np.isnan(found[f"session_high_{place}"]).all()


# fmt: off
UNKNOWN = [
    ("the session was under way", minutes(*RANGE, (95, 104.0), before=False)),
    ("nothing was told in its first 30 min", minutes((95, 104.0))),
]
# fmt: on


@pytest.mark.parametrize(("what", "given"), UNKNOWN, ids=[u[0] for u in UNKNOWN])
def test_range_that_is_not_known(what: str, given: list[dict[str, Any]]) -> None:
    found = run(TABLE, SessionRange(3, ONE), rows(*given))
    assert np.isnan(list(found.values())).all()


def test_volume_is_per_time_against_the_range() -> None:
    market = rows(
        *minutes(*RANGE), trade(100.0, 60.0, at=60 * 89.5), trade(100.0, 10.0, at=60 * 90.5),
        trade(100.0, 10.0, at=60 * 95), quote(100.0, at=60 * 120),
    )  # fmt: skip
    found = run(TABLE, SessionRange(3, ONE), market)["session_volume_tokyo"]
    # 60 in 30 min is 2 a minute; 20 in 5 min is 4, and in 30 min 2/3
    expected = [math.nan] * 6 + [2.0, 1.0 / 3.0]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


# fmt: off
RESTS = [  # when, and the breakout then: the mid leaves the range at 215, in the rest
    ("before the rest", 209.9, 0.0),
    ("in the rest",     215.0, math.nan),
    ("at its end",      270.0, 0.0),
    ("long after it",   400.0, 0.0),
]
# fmt: on


@pytest.mark.parametrize(("what", "at", "breakout"), RESTS, ids=[r[0] for r in RESTS])
def test_a_rest_shows_nothing_and_breaks_nothing(what: str, at: float, breakout: float) -> None:
    given = [(m, p) for m, p in ((200, 101.0), (215, 104.0)) if m < at]
    market = rows(*minutes(*RANGE, *given, (at, 101.0 if at != 215.0 else 104.0)))
    found = run(TABLE, SessionRange(3, RESTING), market)
    shown = [float(found[f"session_{name}_tokyo"][-1]) for name in ("high", "breakout")]
    high = math.nan if math.isnan(breakout) else 102.0
    assert shown == pytest.approx([high, breakout], nan_ok=True)


def test_a_rest_counts_neither_as_time_nor_as_volume() -> None:
    def market(after_rest: float) -> MarketRows:
        return rows(
            *minutes(*RANGE), trade(100.0, 60.0, at=60 * 89.5), trade(100.0, 10.0, at=60 * 120),
            *([trade(100.0, 1e6, at=60 * 240)] if after_rest else []),
            quote(100.0, at=60 * (150 + after_rest)),
        )  # fmt: skip

    plain = run(TABLE, SessionRange(3, ONE), market(0.0))["session_volume_tokyo"][-1]
    rested = run(TABLE, SessionRange(3, sessions((60, 540, 130, 270))), market(140.0))
    assert plain == pytest.approx((10.0 / 60.0) / (60.0 / 30.0), rel=1e-12)
    assert rested["session_volume_tokyo"][-1] == pytest.approx(plain, rel=1e-12)


def test_without_sessions_all_is_null() -> None:
    found = run(TABLE, SessionRange(3, NO_SESSIONS), rows(*minutes(*RANGE)))
    assert np.isnan(list(found.values())).all()


# fmt: off
REFUSED = [
    ("two places", ONE._replace(first=ONE.first[:-1]), "must be of tokyo, london"),
    ("ends before it opens", ONE._replace(open_ns=ONE.close_ns, close_ns=ONE.open_ns),
     "must end after it opens"),
    ("overlap", sessions((0.0, 10.0), (5.0, 15.0)), "before the next one opens"),
    ("rests in its first half hour", sessions((0.0, 90.0, 20.0, 40.0)), "a rest must be inside"),
    ("rests to after its close", sessions((0.0, 90.0, 40.0, 95.0)), "a rest must be inside"),
    ("rests backwards", sessions((0.0, 90.0, 60.0, 50.0)), "a rest must be inside"),
]
# fmt: on


@pytest.mark.parametrize(("what", "given", "said"), REFUSED, ids=[r[0] for r in REFUSED])
def test_sessions_that_are_refused(what: str, given: Sessions, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SessionRange(3, given)


def test_every_promise_of_an_operator() -> None:
    start = datetime.fromtimestamp(START_NS / 1e9, UTC).date()
    operator = SessionRange(3, exchange_sessions(start, date(2025, 1, 1)))
    market = mixed(TABLE, 4000, seed=1, seconds=120.0)
    found = run(TABLE, operator, market)
    for name, column in found.items():
        assert np.isfinite(column).sum() > 100, name
    check_operator(Whole(TABLE, operator), market, without_numba=True)
    mine = (market.lane == 0) & (market.symbol == 1)
    for name, column in run(TABLE, operator, take(market, mine)).items():
        np.testing.assert_array_equal(column, found[name][mine])
