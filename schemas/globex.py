"""CME Globex: the days on which its products rest, close early, or pause, by rule.

Times are New York's, an hour ahead of the exchange's own. Nothing here is copied from a calendar:
the exchange announces each holiday, and what it announced follows the rules below. Sources: its
holiday calendar (cmegroup.com/tools-information/holiday-calendar.html) and announcements, of them
16 March 2005 (Good Friday), 10 January 2006 (King), 20 August 2007 (Labor Day), 30 December 2024
(mourning). `tests/test_calendars.py` holds the rules against an independent list.

Where sources differ the shorter session is taken: rows outside of it are not judged, while a
session that was not open would be called a gap.
"""

from datetime import date, time, timedelta
from enum import Enum

from schemas.us_holidays import us_holidays

FRIDAY = 4
_SIX = ("king", "presidents", "memorial", "independence", "labor", "thanksgiving")


class Product(Enum):
    """Groups of products that keep the same hours."""

    EQUITY_INDEX = "equity index"
    FX = "FX"
    METALS = "metals"


# Until the spring of 2014 equity indices stopped when New York's floors would have been open for
# two hours, since then at 13:00. FX trades through these holidays since 2022.
_EQUITY_NOON_FROM = date(2014, 3, 1)
_FX_THROUGH_FROM = date(2022, 1, 1)
_METALS_LATER_FROM = date(2022, 1, 1)

# Good Friday is closed, but where it is the first Friday of April the labour report comes out, and
# equity indices trade until 09:15, FX until 11:15.
_REPORT_EQUITY_FROM, _REPORT_FX_FROM = 2010, 2021

_ONCE = {  # equity indices, on days when the stock exchange was closed
    date(2012, 10, 29): time(9, 15), date(2012, 10, 30): time(9, 15),  # a storm
    date(2018, 12, 5): time(9, 30), date(2025, 1, 9): time(9, 30),  # mourning for presidents
}  # fmt: skip

# Equity indices closed at 16:15 until they came to trade until 17:00, with a pause at 16:15 that
# was given up later.
_PAUSE_FROM, _PAUSE_UNTIL = date(2012, 11, 19), date(2021, 6, 28)
_PAUSE = (time(16, 15), time(16, 30))


def is_closed(product: Product, day: date) -> bool:
    """Whether a trading day is none: New Year, Good Friday, Christmas."""
    if day in us_holidays("good friday"):
        return _report_close(product, day) is None
    return day in us_holidays("new year") or day in us_holidays("christmas")


def early_close(product: Product, day: date) -> time | None:
    """When a trading day ends, if that is before its usual time."""
    if day in us_holidays("good friday"):
        return _report_close(product, day)
    if product is Product.EQUITY_INDEX and day in _ONCE:
        return _ONCE[day]
    holiday = next((name for name in _SIX if day in us_holidays(name)), "")
    if not holiday and day in us_holidays("juneteenth"):
        holiday = "juneteenth"
    if holiday:
        return _holiday_close(product, day, holiday)
    if day - timedelta(days=1) in us_holidays("thanksgiving"):
        return time(13, 45) if product is Product.METALS else time(13, 15)
    if (day.month, day.day) == (12, 24):  # where Christmas is a Saturday, this day is closed
        return time(13, 45) if product is Product.METALS else time(13, 15)
    if product is Product.EQUITY_INDEX:
        if (day.month, day.day) == (7, 3):  # where the 4th is a Saturday, this is the holiday
            return time(13, 15)
        if day < _PAUSE_FROM:
            return _PAUSE[0]
    return None


def pause(product: Product, day: date) -> tuple[time, time] | None:
    """When a trading day of usual length pauses."""
    paused = product is Product.EQUITY_INDEX and _PAUSE_FROM <= day < _PAUSE_UNTIL
    return _PAUSE if paused else None


def _holiday_close(product: Product, day: date, holiday: str) -> time | None:
    if product is Product.EQUITY_INDEX:
        return time(13) if day >= _EQUITY_NOON_FROM else time(11, 30)
    if product is Product.FX:
        return time(13) if day < _FX_THROUGH_FROM else None
    # On a Friday there is no evening to reopen in.
    short = day < _METALS_LATER_FROM or day.weekday() == FRIDAY or holiday == "labor"
    return time(13) if short else time(14, 30)


def _report_close(product: Product, day: date) -> time | None:
    if (day.month, day.day) > (4, 7) or day.month != 4:
        return None
    if product is Product.EQUITY_INDEX and day.year >= _REPORT_EQUITY_FROM:
        return time(9, 15)
    if product is Product.FX and day.year >= _REPORT_FX_FROM:
        return time(11, 15)
    return None
