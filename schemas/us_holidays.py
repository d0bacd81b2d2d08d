"""Public holidays of the United States as its exchanges keep them, by rule."""

from datetime import date
from functools import cache
from typing import Any

YEARS = (1990, 2100)  # before and after, days are ordinary


@cache
def us_holidays(name: str) -> frozenset[date]:
    """The days of one holiday from YEARS[0] to YEARS[1].

    Names: `new year` (on a Saturday it is not moved to the Friday: that ends a year's books),
    `king`, `presidents`, `good friday`, `memorial`, `juneteenth`, `independence`, `labor`,
    `thanksgiving`, `christmas`. Moved are those that fall on a weekend.
    """
    first, last = (f"{year}-01-01" for year in YEARS)
    stamps = _rules()[name].dates(first, last)
    return frozenset(stamp.date() for stamp in stamps if stamp is not None)


@cache
def _rules() -> dict[str, Any]:
    from pandas.tseries import holiday as rules  # pandas knows Easter and where holidays move

    return {
        "new year": rules.Holiday("New Year", month=1, day=1, observance=rules.sunday_to_monday),
        "king": rules.Holiday(
            "King", month=1, day=1, offset=rules.DateOffset(weekday=rules.MO(3)),
            start_date="1998-01-01",
        ),
        "presidents": rules.USPresidentsDay,
        "good friday": rules.GoodFriday,
        "memorial": rules.USMemorialDay,
        "juneteenth": rules.Holiday(
            "Juneteenth", month=6, day=19, observance=rules.nearest_workday,
            start_date="2022-01-01",
        ),
        "independence": rules.Holiday(
            "Independence", month=7, day=4, observance=rules.nearest_workday
        ),
        "labor": rules.USLaborDay,
        "thanksgiving": rules.USThanksgivingDay,
        "christmas": rules.Holiday(
            "Christmas", month=12, day=25, observance=rules.nearest_workday
        ),
    }  # fmt: skip
