"""When markets are open: known days of each calendar, and spans that fit together."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from exchange_calendars import get_calendar

from schemas.calendars import SECOND_NS, Calendar, hours_of, open_spans
from schemas.instruments import InstrumentTable
from schemas.kinds import Kind
from schemas.markets import OTHERS, SORTS, sort_of
from tests.globex_days import CLOSED, GLOBEX_DAYS, NORMAL, OTHERWISE
from venues.venue_classes import VENUES, instrument, terms


def ns(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND_NS


def spans(calendar: Calendar, start: str, end: str) -> list[str]:
    """Open spans in UTC, as `2014-05-01 21:00 to 05-02 21:00`."""
    at = [
        [datetime.fromtimestamp(each / SECOND_NS, UTC) for each in side.tolist()]
        for side in open_spans(calendar, ns(start), ns(end))
    ]
    return [f"{a:%Y-%m-%d %H:%M} to {b:%m-%d %H:%M}" for a, b in zip(*at, strict=True)]


# fmt: off
CASES: list[tuple[str, Calendar, str, str, list[str]]] = [
    ("always, to the nanosecond given",    Calendar.ALWAYS, "2024-12-25", "2024-12-26",
     ["2024-12-25 00:00 to 12-26 00:00"]),
    ("a weekend of FX in summer",          Calendar.FX, "2014-05-02", "2014-05-05",
     ["2014-05-02 00:00 to 05-02 21:00", "2014-05-04 21:00 to 05-05 00:00"]),
    ("a week of FX is one span",           Calendar.FX, "2014-05-05", "2014-05-08T12:00",
     ["2014-05-05 00:00 to 05-08 12:00"]),
    ("clocks in New York go forward",      Calendar.FX, "2014-03-07T20:00", "2014-03-10",
     ["2014-03-07 20:00 to 03-07 22:00", "2014-03-09 21:00 to 03-10 00:00"]),
    ("FX at Christmas",                    Calendar.FX, "2014-12-24", "2014-12-26T12:00",
     ["2014-12-24 00:00 to 12-24 22:00", "2014-12-25 22:00 to 12-26 12:00"]),
    ("futures rest an hour a day",         Calendar.GLOBEX, "2023-05-09T12:00", "2023-05-10T12:00",
     ["2023-05-09 12:00 to 05-09 21:00", "2023-05-09 22:00 to 05-10 12:00"]),
    ("equity indices paused until 2021",   Calendar.GLOBEX, "2014-05-07T12:00", "2014-05-08T12:00",
     ["2014-05-07 12:00 to 05-07 20:15", "2014-05-07 20:30 to 05-07 21:00",
      "2014-05-07 22:00 to 05-08 12:00"]),
    ("a holiday ends at noon in Chicago",  Calendar.GLOBEX, "2024-01-15T12:00", "2024-01-16T12:00",
     ["2024-01-15 12:00 to 01-15 18:00", "2024-01-15 23:00 to 01-16 12:00"]),
    ("which FX trades through",            Calendar.GLOBEX_FX, "2024-01-15T12:00",
     "2024-01-16T00:00",
     ["2024-01-15 12:00 to 01-15 22:00", "2024-01-15 23:00 to 01-16 00:00"]),
    ("and metals until half past one",     Calendar.GLOBEX_METALS, "2024-01-15T12:00",
     "2024-01-16T00:00",
     ["2024-01-15 12:00 to 01-15 19:30", "2024-01-15 23:00 to 01-16 00:00"]),
    ("futures, Christmas on a Saturday",   Calendar.GLOBEX, "2021-12-23T20:00",
     "2021-12-27T01:00",
     ["2021-12-23 20:00 to 12-23 22:00", "2021-12-26 23:00 to 12-27 01:00"]),
    ("the labour report on Good Friday",   Calendar.GLOBEX, "2023-04-07T12:00", "2023-04-09T23:00",
     ["2023-04-07 12:00 to 04-07 13:15", "2023-04-09 22:00 to 04-09 23:00"]),
    ("futures after Christmas Day",        Calendar.GLOBEX, "2023-12-25", "2023-12-26T01:00",
     ["2023-12-25 23:00 to 12-26 01:00"]),
    ("equities, two days",                 Calendar.US_EQUITIES, "2013-10-07", "2013-10-09",
     ["2013-10-07 13:30 to 10-07 20:00", "2013-10-08 13:30 to 10-08 20:00"]),
    ("equities on Christmas Eve",          Calendar.US_EQUITIES, "2015-12-24", "2015-12-28",
     ["2015-12-24 14:30 to 12-24 18:00"]),
    ("equities after Thanksgiving",        Calendar.US_EQUITIES, "2023-11-23", "2023-11-25",
     ["2023-11-24 14:30 to 11-24 18:00"]),
    ("equities on Good Friday",            Calendar.US_EQUITIES, "2024-03-29", "2024-04-01", []),
    ("a cut inside of a day",
     Calendar.US_EQUITIES, "2013-10-07T14:00", "2013-10-07T15:00",
     ["2013-10-07 14:00 to 10-07 15:00"]),
    ("a New Year's Day on a Saturday",     Calendar.US_EQUITIES, "2021-12-31", "2022-01-03",
     ["2021-12-31 14:30 to 12-31 21:00"]),
    ("a single moment",                    Calendar.FX, "2014-05-05", "2014-05-05", []),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "calendar", "start", "end", "due"), CASES, ids=[c[0] for c in CASES]
)
def test_case(what: str, calendar: Calendar, start: str, end: str, due: list[str]) -> None:
    assert spans(calendar, start, end) == due


# Published numbers of trading days of the New York Stock Exchange.
DAYS = {2012: 250, 2013: 252, 2018: 251, 2020: 253, 2021: 252, 2022: 251, 2023: 250, 2024: 252}


@pytest.mark.parametrize("year", DAYS)
def test_trading_days_of_a_year(year: int) -> None:
    days = (date(year, 1, 1) + timedelta(days=k) for k in range(366))
    found = [day for day in days if day.year == year and hours_of(Calendar.US_EQUITIES, day)]
    assert len(found) == DAYS[year]


def test_hours_of_new_york_are_those_of_another_calendar() -> None:
    first, last = date(1993, 1, 1), date(2039, 12, 31)
    schedule = get_calendar("XNYS", start=first.isoformat(), end=last.isoformat()).schedule
    theirs = {
        day.date(): (opens.value, closes.value)
        for day, opens, closes in zip(
            schedule.index, schedule["open"], schedule["close"], strict=True
        )
    }
    days = (first + timedelta(days=k) for k in range((last - first).days + 1))
    found = {day: hours_of(Calendar.US_EQUITIES, day) for day in days}
    assert {day: hours for day, hours in found.items() if hours is not None} == theirs


@pytest.mark.parametrize("calendar", Calendar)
def test_spans_are_ordered_and_any_cut_gives_their_parts(calendar: Calendar) -> None:
    first_ns, last_ns = ns("2014-02-27T03:00"), ns("2014-03-17T05:00")
    start, end = open_spans(calendar, first_ns, last_ns)
    assert (start < end).all()
    assert (start[1:] > end[:-1]).all()
    for cut_ns in np.linspace(first_ns, last_ns, 57).astype(np.int64).tolist():
        parts = [open_spans(calendar, *cut) for cut in ((first_ns, cut_ns), (cut_ns, last_ns))]
        sums = [int((b - a).sum()) for a, b in parts]
        assert sum(sums) == int((end - start).sum())


def test_every_venue_has_a_sort_and_every_kind_a_budget() -> None:
    named = {venue for sort in SORTS for venue in sort.venues}
    assert named <= set(VENUES)
    kinds = [kind for kind in Kind if kind <= Kind.MARK]
    for sort in (*SORTS, OTHERS):
        assert list(sort.stale_s) == kinds
    for venue, of in VENUES.items():  # what is no crypto market closes, or is polled
        crypto = of.what.startswith(("crypto", "simulated")) and venue != "binance"
        assert (sort_of(venue, "BTC") is OTHERS) == crypto, venue
    assert sort_of("oanda", "XAU").calendar is Calendar.GLOBEX_METALS
    for name, calendar in (
        ("ESH4", Calendar.GLOBEX),
        ("6EH4", Calendar.GLOBEX_FX),
        ("GC201312", Calendar.GLOBEX_METALS),
    ):
        found = terms("cme", name)
        assert found
        assert sort_of("cme", found.base).calendar is calendar
    assert sort_of("oanda", "EUR").calendar is Calendar.FX


def test_the_table_says_whose_quotes_may_cross() -> None:
    markets = (("fxcm", "EURUSD"), ("binance_spot", "BTCUSDT"), ("US_NBBO", "IBM"))
    made = []
    for symbol, (venue, name) in enumerate(markets):
        found = terms(venue, name)
        assert found
        made.append(
            instrument(venue, name, found, lane=0, symbol=symbol, tick=None, lot=None,
                       has_quotes=True, clock_offset_ns=0)
        )  # fmt: skip
    assert InstrumentTable(1, "USD", tuple(made)).arrays().may_cross.tolist() == [1, 0, 1]


@pytest.mark.parametrize("name", GLOBEX_DAYS)
def test_futures_close_as_an_independent_list_says(name: str) -> None:
    told = {
        f"{year}-{day}": when
        for year, text in GLOBEX_DAYS[name].items()
        for day, when in (each.split() for each in text.split(", "))
    }
    told |= {day: ours for day, (ours, _) in OTHERWISE[name].items()}
    first, last = min(GLOBEX_DAYS[name]), max(GLOBEX_DAYS[name])
    days = (date(first, 1, 1) + timedelta(days=k) for k in range(366 * (last - first + 1)))
    weekdays = [day for day in days if day.year <= last and day.weekday() < 5]
    found = {str(day): chicago_close(Calendar[name], day) for day in weekdays}
    assert {day: when for day, when in found.items() if when != NORMAL} == {
        day: when for day, when in told.items() if day < f"{last + 1}" and day > f"{first}"
    }


def chicago_close(calendar: Calendar, day: date) -> str:
    hours = hours_of(calendar, day)
    if hours is None:
        return CLOSED
    return f"{datetime.fromtimestamp(hours[1] // SECOND_NS, ZoneInfo('America/Chicago')):%H:%M}"
