"""When markets are open: the spans of UTC time in which a calendar expects rows."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from schemas.rows import I8

NEW_YORK = ZoneInfo("America/New_York")
SECOND_NS = 1_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
YEARS = (1990, 2100)  # of the exchange's holidays; before and after, days are ordinary

# Days on which the New York Stock Exchange was closed by decision, not by rule: attacks, storms,
# and mourning for presidents.
_CLOSED_ONCE = frozenset(
    date.fromisoformat(day)
    for day in (
        "1994-04-27", "2001-09-11", "2001-09-12", "2001-09-13", "2001-09-14", "2004-06-11",
        "2007-01-02", "2012-10-29", "2012-10-30", "2018-12-05", "2025-01-09",
    )
)  # fmt: skip


@dataclass(frozen=True)
class _Hours:
    """Hours of one trading day, in New York."""

    opens: time
    closes: time
    opens_the_day_before: bool = False


class Calendar(Enum):
    """A trading calendar; the text says when it is open, New York time."""

    ALWAYS = "always"
    FX = "Sunday 17:00 to Friday 17:00; closed 25 December and 1 January, from 17:00 the day before"
    GLOBEX = (
        "Sunday 18:00 to Friday 17:00 without 17:00 to 18:00; closed 25 December, 1 January and "
        "Good Friday, from 17:00 the day before"
    )
    US_EQUITIES = "09:30 to 16:00, early closes 13:00, on days of the New York Stock Exchange"


_HOURS = {
    Calendar.FX: _Hours(time(17), time(17), opens_the_day_before=True),
    Calendar.GLOBEX: _Hours(time(18), time(17), opens_the_day_before=True),
    Calendar.US_EQUITIES: _Hours(time(9, 30), time(16)),
}
_EARLY = time(13)


def open_spans(calendar: Calendar, from_ns: int, to_ns: int) -> tuple[I8, I8]:
    """Begins and ends of the open spans in [from_ns, to_ns), ordered and disjoint.

    Parameters
    ----------
    from_ns, to_ns : int
        ns since 1970 UTC.
    """
    if calendar is Calendar.ALWAYS:
        return np.array([from_ns]), np.array([to_ns])
    day, last = (
        (EPOCH + timedelta(seconds=at_ns // SECOND_NS)).astimezone(NEW_YORK).date()
        for at_ns in (from_ns, to_ns)
    )
    begins: list[int] = []
    ends: list[int] = []
    while day <= last + timedelta(days=1):
        hours = hours_of(calendar, day)
        day += timedelta(days=1)
        if hours is None:
            continue
        begin, end = max(hours[0], from_ns), min(hours[1], to_ns)
        if begin >= end:
            continue
        if ends and ends[-1] == begin:
            ends[-1] = end
        else:
            begins.append(begin)
            ends.append(end)
    return np.array(begins, np.int64), np.array(ends, np.int64)


@cache
def hours_of(calendar: Calendar, day: date) -> tuple[int, int] | None:
    """When the trading day of that date opens and closes, ns UTC; None if it does not."""
    if day.weekday() >= 5 or day in _holidays(calendar):
        return None
    hours = _HOURS[calendar]
    closes = hours.closes
    if calendar is Calendar.US_EQUITIES and _closes_early(day):
        closes = _EARLY
    before = timedelta(days=1 if hours.opens_the_day_before else 0)
    return _at_ns(day - before, hours.opens), _at_ns(day, closes)


def _at_ns(day: date, clock: time) -> int:
    moment = datetime.combine(day, clock, NEW_YORK)
    return round((moment - EPOCH).total_seconds()) * SECOND_NS


@cache
def _holidays(calendar: Calendar) -> frozenset[date]:
    first, last = YEARS
    if calendar is Calendar.FX:
        return frozenset(date(year, *day) for year in range(first, last) for day in _FIXED)
    found = _by_rule(calendar)
    return found | _CLOSED_ONCE if calendar is Calendar.US_EQUITIES else found


_FIXED = ((1, 1), (12, 25))


def _by_rule(calendar: Calendar) -> frozenset[date]:
    from pandas.tseries import holiday as rules  # pandas knows Easter and where holidays move

    holidays: list[Any] = [rules.GoodFriday]
    if calendar is Calendar.GLOBEX:
        holidays += [rules.Holiday(str(day), month=day[0], day=day[1]) for day in _FIXED]
    else:
        holidays += [
            # A New Year's Day on a Saturday is not moved to the Friday: that ends a year's books.
            rules.Holiday("New Year", month=1, day=1, observance=rules.sunday_to_monday),
            rules.Holiday(
                "King", month=1, day=1, offset=rules.DateOffset(weekday=rules.MO(3)),
                start_date="1998-01-01",
            ),
            rules.USPresidentsDay,
            rules.USMemorialDay,
            rules.Holiday(
                "Juneteenth", month=6, day=19, observance=rules.nearest_workday,
                start_date="2022-01-01",
            ),
            rules.Holiday("Independence", month=7, day=4, observance=rules.nearest_workday),
            rules.USLaborDay,
            rules.USThanksgivingDay,
            rules.Holiday("Christmas", month=12, day=25, observance=rules.nearest_workday),
        ]  # fmt: skip
    first, last = (f"{year}-01-01" for year in YEARS)
    return frozenset(
        stamp.date() for one in holidays for stamp in one.dates(first, last) if stamp is not None
    )


def _closes_early(day: date) -> bool:
    """The day after Thanksgiving, Christmas Eve, and the day before Independence Day."""
    thanksgiving = day.month == 11 and day.weekday() == 4 and 23 <= day.day <= 29
    return thanksgiving or (day.month, day.day) in ((12, 24), (7, 3))
