"""When markets are open: the spans of UTC time in which a calendar expects rows."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np

from schemas.globex import Product, early_close, is_closed, pause
from schemas.rows import I8
from schemas.us_holidays import us_holidays

NEW_YORK = ZoneInfo("America/New_York")
SECOND_NS = 1_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Days on which the New York Stock Exchange was closed by decision, not by rule: attacks, storms,
# and mourning for presidents.
_CLOSED_ONCE = frozenset(
    date.fromisoformat(day)
    for day in (
        "1994-04-27", "2001-09-11", "2001-09-12", "2001-09-13", "2001-09-14", "2004-06-11",
        "2007-01-02", "2012-10-29", "2012-10-30", "2018-12-05", "2025-01-09",
    )
)  # fmt: skip

# Its early closes that the rule below does not give, and days on which the rule did not hold.
_EARLY_ONCE = frozenset(
    date.fromisoformat(day)
    for day in ("1996-07-05", "1997-12-26", "1999-12-31", "2002-07-05", "2003-12-26")
)
_NOT_EARLY = frozenset(date.fromisoformat(day) for day in ("1996-07-03", "2002-07-03"))


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
        "Equity index futures: Sunday 18:00 to Friday 17:00 without 17:00 to 18:00; closed on New "
        "Year's Day, Good Friday and Christmas; early closes 13:00 on other holidays, 13:15 on the "
        "days before Independence Day and Christmas and after Thanksgiving; see schemas/globex.py"
    )
    GLOBEX_FX = (
        "FX futures: as GLOBEX, but 13:00 on other holidays only until 2021, and not before "
        "Independence Day"
    )
    GLOBEX_METALS = (
        "Metals: as GLOBEX, but 14:30 on other holidays (13:00 until 2021, on a Friday, on Labor "
        "Day), 13:45 on the days before Christmas and after Thanksgiving, and not before "
        "Independence Day"
    )
    US_EQUITIES = "09:30 to 16:00, early closes 13:00, on days of the New York Stock Exchange"


_HOURS = {
    Calendar.FX: _Hours(time(17), time(17), opens_the_day_before=True),
    Calendar.GLOBEX: _Hours(time(18), time(17), opens_the_day_before=True),
    Calendar.GLOBEX_FX: _Hours(time(18), time(17), opens_the_day_before=True),
    Calendar.GLOBEX_METALS: _Hours(time(18), time(17), opens_the_day_before=True),
    Calendar.US_EQUITIES: _Hours(time(9, 30), time(16)),
}
_EARLY = time(13)
_PRODUCTS = {
    Calendar.GLOBEX: Product.EQUITY_INDEX,
    Calendar.GLOBEX_FX: Product.FX,
    Calendar.GLOBEX_METALS: Product.METALS,
}


def open_spans(calendar: Calendar, from_ns: int, to_ns: int) -> tuple[I8, I8]:
    """Begins and ends of the open spans in [from_ns, to_ns), ordered and disjoint.

    Parameters
    ----------
    from_ns, to_ns : int
        ns since 1970 UTC.
    """
    if calendar is Calendar.ALWAYS:
        return np.array([from_ns]), np.array([to_ns])
    first, last = (
        (EPOCH + timedelta(seconds=at_ns // SECOND_NS)).astimezone(NEW_YORK).date()
        for at_ns in (from_ns, to_ns)
    )
    years = range(first.year, (last + timedelta(days=1)).year + 1)  # a day may open the day before
    found = [_year(calendar, year) for year in years]
    begins, ends = (np.concatenate(e) for e in zip(*found, strict=True))
    begins, ends = np.maximum(begins, from_ns), np.minimum(ends, to_ns)
    begins, ends = begins[begins < ends], ends[begins < ends]
    if not begins.size:
        return begins, ends
    apart = begins[1:] != ends[:-1]
    return begins[np.append(True, apart)], ends[np.append(apart, True)]


@cache
def _year(calendar: Calendar, year: int) -> tuple[I8, I8]:
    """Begins and ends of what the trading days of a year are open, ordered."""
    day, spans = date(year, 1, 1), list[tuple[int, int]]()
    while day.year == year:
        hours = hours_of(calendar, day)
        if hours is not None:
            resting = _pause(calendar, day)
            spans += (
                [hours] if resting is None else [(hours[0], resting[0]), (resting[1], hours[1])]
            )
        day += timedelta(days=1)
    begins, ends = np.array(spans, np.int64).reshape(-1, 2).T
    return begins, ends


def hours_of(calendar: Calendar, day: date) -> tuple[int, int] | None:
    """When the trading day of that date opens and closes, ns UTC; None if it does not."""
    if day.weekday() >= 5 or _is_closed(calendar, day):
        return None
    hours = _HOURS[calendar]
    closes = hours.closes
    if calendar is Calendar.US_EQUITIES and _closes_early(day):
        closes = _EARLY
    elif calendar in _PRODUCTS:
        closes = early_close(_PRODUCTS[calendar], day) or closes
    before = timedelta(days=1 if hours.opens_the_day_before else 0)
    return _at_ns(day - before, hours.opens), _at_ns(day, closes)


def _pause(calendar: Calendar, day: date) -> tuple[int, int] | None:
    """When an open day pauses, ns UTC."""
    if calendar not in _PRODUCTS or early_close(_PRODUCTS[calendar], day) is not None:
        return None
    found = pause(_PRODUCTS[calendar], day)
    return None if found is None else (_at_ns(day, found[0]), _at_ns(day, found[1]))


def _at_ns(day: date, clock: time) -> int:
    moment = datetime.combine(day, clock, NEW_YORK)
    return round((moment - EPOCH).total_seconds()) * SECOND_NS


def _is_closed(calendar: Calendar, day: date) -> bool:
    if calendar is Calendar.FX:
        return (day.month, day.day) in ((1, 1), (12, 25))
    if calendar in _PRODUCTS:
        return is_closed(_PRODUCTS[calendar], day)
    return day in _stock_holidays()


@cache
def _stock_holidays() -> frozenset[date]:
    names = (
        "new year", "king", "presidents", "good friday", "memorial", "juneteenth", "independence",
        "labor", "thanksgiving", "christmas",
    )  # fmt: skip
    return frozenset().union(_CLOSED_ONCE, *(us_holidays(name) for name in names))


def _closes_early(day: date) -> bool:
    """Since 1993: the day after Thanksgiving, 24 December, and the day before Independence Day."""
    if day in _EARLY_ONCE or day in _NOT_EARLY:
        return day in _EARLY_ONCE
    thanksgiving = day.month == 11 and day.weekday() == 4 and 23 <= day.day <= 29
    return thanksgiving or (day.month, day.day) in ((12, 24), (7, 3))
