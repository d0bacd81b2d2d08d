"""Sessions: their hours, the range of the first half hour, and the breakout from it."""

import math
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest

from operators.features.cross.sessions import PLACES, SessionRange
from operators.features.feature import Sessions
from schemas.rows import take
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
from venues.sessions import currency_sessions

TABLE = table(market_of(0), market_of(1, base="ETH"), market_of(0, lane=1))

# fmt: off
HOURS = [  # day, place, open and close in UTC
    ("winter in London",          date(2024, 3, 28), "london",   "08:00", "17:00"),
    ("summer in London",          date(2024, 4, 1),  "london",   "07:00", "16:00"),
    ("winter in New York",        date(2024, 3, 8),  "new_york", "13:00", "22:00"),
    ("summer comes earlier there", date(2024, 3, 11), "new_york", "12:00", "21:00"),
    ("and winter a week later",   date(2024, 10, 28), "new_york", "12:00", "21:00"),
    ("Tokyo has no summer time",  date(2024, 7, 1),  "tokyo",    "00:00", "09:00"),
]
# fmt: on


@pytest.mark.parametrize(("what", "day", "place", "opens", "closes"), HOURS,
                         ids=[h[0] for h in HOURS])  # fmt: skip
def test_hours_follow_summer_time(
    what: str, day: date, place: str, opens: str, closes: str
) -> None:
    found = currency_sessions(day, day)
    at = PLACES.index(place)
    said = [datetime.fromtimestamp(int(ns[at, 0]) / 1e9, UTC) for ns in found]
    assert [moment.date() for moment in said] == [day, day]
    assert [moment.strftime("%H:%M") for moment in said] == [opens, closes]


def test_weekends_have_no_sessions() -> None:
    found = currency_sessions(date(2024, 6, 1), date(2024, 6, 10))  # from a Saturday to a Monday
    assert found.open_ns.shape == (3, 6)
    assert (np.diff(found.open_ns, axis=1) > 0).all()
    SessionRange(1, found)


def test_days_must_not_go_back() -> None:
    with pytest.raises(ValueError, match="last must not be before first"):
        currency_sessions(date(2024, 6, 2), date(2024, 6, 1))


def sessions(*tokyo: tuple[float, float]) -> Sessions:
    """Sessions of the first place in minutes; the other two are far away."""
    ns = np.array([[START_NS + round(m * MINUTE_NS) for m in pair] for pair in tokyo], np.int64)
    far = ns + 10**18
    opens, closes = (np.stack([ns[:, j], far[:, j], far[:, j]]) for j in (0, 1))
    return Sessions(opens, closes)


ONE = sessions((60.0, 540.0), (1500.0, 1980.0))


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


def test_without_sessions_all_is_null() -> None:
    none = np.zeros((0, 0), np.int64)
    found = run(TABLE, SessionRange(3, Sessions(none, none)), rows(*minutes(*RANGE)))
    assert np.isnan(list(found.values())).all()


# fmt: off
REFUSED = [
    ("two places", Sessions(ONE.open_ns[:2], ONE.close_ns[:2]), "must be of tokyo, london"),
    ("ends before it opens", Sessions(ONE.close_ns, ONE.open_ns), "must end after it opens"),
    ("overlap", sessions((0.0, 10.0), (5.0, 15.0)), "before the next one opens"),
]
# fmt: on


@pytest.mark.parametrize(("what", "given", "said"), REFUSED, ids=[r[0] for r in REFUSED])
def test_sessions_that_are_refused(what: str, given: Sessions, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SessionRange(3, given)


def test_every_promise_of_an_operator() -> None:
    start = datetime.fromtimestamp(START_NS / 1e9, UTC).date()
    operator = SessionRange(3, currency_sessions(start, date(2025, 1, 1)))
    market = mixed(TABLE, 4000, seed=1, seconds=120.0)
    found = run(TABLE, operator, market)
    for name, column in found.items():
        assert np.isfinite(column).sum() > 100, name
    check_operator(Whole(TABLE, operator), market, without_numba=True)
    mine = (market.lane == 0) & (market.symbol == 1)
    for name, column in run(TABLE, operator, take(market, mine)).items():
        np.testing.assert_array_equal(column, found[name][mine])
