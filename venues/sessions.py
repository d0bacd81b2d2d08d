"""Sessions of the exchanges of three places: holidays, early closes, rests and summer times.

The hours come from the calendars that `exchange_calendars` keeps. What a library says may change
with its version, and a log that is read again must see the same hours: its version is pinned.
"""

from datetime import date

import numpy as np

from operators.features.cross.sessions import PLACES
from operators.features.feature import Sessions
from schemas.rows import I8

EXCHANGES = {"tokyo": "XTKS", "london": "XLON", "new_york": "XNYS"}  # ISO 10383


def exchange_sessions(first: date, last: date) -> Sessions:
    """Sessions from the day `first` to the day `last`, both included, in the order of PLACES.

    ValueError if `last` is before `first`, or a place is never open between them.
    """
    if last < first:
        raise ValueError(f"last must not be before first, was {last} and {first}")
    each = [_of_exchange(EXCHANGES[place], first, last) for place in PLACES]
    opens, rests, resumes, closes = (np.concatenate(columns) for columns in zip(*each, strict=True))
    counts = [columns[0].size for columns in each]
    return Sessions(np.cumsum([0, *counts]), opens, rests, resumes, closes)


def _of_exchange(name: str, first: date, last: date) -> tuple[I8, I8, I8, I8]:
    """When its sessions open, rest, resume and close, ns UTC."""
    from exchange_calendars import errors, get_calendar  # 0.4 s with pandas: for who needs sessions

    try:
        schedule = get_calendar(name, start=first.isoformat(), end=last.isoformat()).schedule
    except errors.CalendarError as error:
        raise ValueError(f"{name} has no session from {first} to {last}") from error
    opens, rests, resumes, closes = (
        schedule[column].to_numpy(dtype="datetime64[ns]").astype(np.int64)
        for column in ("open", "break_start", "break_end", "close")
    )
    has_rest = schedule["break_start"].notna().to_numpy()
    return opens, np.where(has_rest, rests, closes), np.where(has_rest, resumes, closes), closes
