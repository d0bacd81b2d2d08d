"""Opening hours of the three places of the currency market, with their summer times.

Plain local hours on weekdays: the currency market has no exchange, and so no exchange's calendar.
Public holidays are not known here; on them a session is quiet, and says so by its volume.
"""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from operators.features.cross.sessions import PLACES
from operators.features.feature import Sessions

HOURS = {  # local opening and closing
    "tokyo": ("Asia/Tokyo", time(9), time(18)),
    "london": ("Europe/London", time(8), time(17)),
    "new_york": ("America/New_York", time(8), time(17)),
}
SECOND_NS = 1_000_000_000
SATURDAY = 5


def currency_sessions(first: date, last: date) -> Sessions:
    """Sessions of every weekday from `first` to `last`, both included, in the order of PLACES.

    ValueError if `last` is before `first`.
    """
    if last < first:
        raise ValueError(f"last must not be before first, was {last} and {first}")
    each = (first + timedelta(days=n) for n in range((last - first).days + 1))
    days = [day for day in each if day.weekday() < SATURDAY]
    opens, closes = (
        np.array([[_moment_ns(day, place, end) for day in days] for place in PLACES], np.int64)
        for end in (1, 2)
    )
    return Sessions(opens, closes)


def _moment_ns(day: date, place: str, end: int) -> int:
    zone, *hours = HOURS[place]
    local = datetime.combine(day, hours[end - 1], ZoneInfo(zone))
    return int(local.timestamp()) * SECOND_NS
