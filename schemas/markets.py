"""Sorts of markets: when they are open, how long a row of theirs stands, whether quotes may cross.

One table. What is measured by it is the completeness of a recording, and which crossed quotes are
kept; a venue that no line names is a market that never closes.
"""

from dataclasses import dataclass, field

from schemas.calendars import Calendar
from schemas.kinds import Kind

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400


@dataclass(frozen=True)
class Sort:
    """What is declared of the markets of some venues.

    A row covers the time until the next row of its symbol and kind, at most its own length (of a
    bar, of a funding interval, of a bar that a quote was made from) and `stale_s` of its kind. Of a
    kind in `silent` a symbol may have no rows as long as its feed brings such rows of any symbol:
    the feed of its venue in the same source, or of all venues whose rows come `together`.
    """

    name: str
    venues: frozenset[str]
    calendar: Calendar
    stale_s: dict[Kind, int]
    may_cross: bool = False  # a crossed quote is flagged and kept, not refused
    why: str = ""  # the budgets, and what may cross
    of_symbols: frozenset[str] = field(default_factory=frozenset)  # bases; empty: all
    together: bool = False
    silent: frozenset[Kind] = frozenset({Kind.TRADE, Kind.BAR})


# Quotes and books change all the time where a market is alive, and silence is a gap. Trades come
# when somebody trades: 494 s without one in a recording of an alt coin that lacks nothing. Bars
# without a trade are left out by most venues, and a thin pair has none for an hour.
_TICKS = {
    Kind.TRADE: 10 * MINUTE_S, Kind.QUOTE: MINUTE_S, Kind.BOOK: MINUTE_S, Kind.BAR: HOUR_S,
    Kind.FUNDING: 0, Kind.OPEN_INTEREST: DAY_S, Kind.MARK: MINUTE_S,
}  # fmt: skip
METALS = frozenset({"XAG", "XAU", "XPD", "XPT"})
_FX = frozenset({"fxcm", "mt5", "oanda"})
_FUTURES = frozenset({"cme", "comex"})
_FX_WHY = (
    "a broker's quotes pause for minutes at night; bid and ask change one after the other, so "
    "they may cross"
)

SORTS = (
    Sort(
        "metals at FX brokers", _FX, Calendar.GLOBEX_METALS,
        {**_TICKS, Kind.QUOTE: 5 * MINUTE_S}, may_cross=True, why=_FX_WHY, of_symbols=METALS,
    ),
    Sort(
        "FX brokers", _FX, Calendar.FX,
        {**_TICKS, Kind.QUOTE: 5 * MINUTE_S}, may_cross=True, why=_FX_WHY,
    ),
    Sort(
        "metal futures", _FUTURES, Calendar.GLOBEX_METALS, _TICKS, of_symbols=METALS,
    ),
    Sort(
        "FX futures", _FUTURES, Calendar.GLOBEX_FX, _TICKS,
        of_symbols=frozenset({"AUD", "CAD", "CHF", "EUR", "GBP", "JPY", "NZD"}),
    ),
    Sort("equity index futures", _FUTURES, Calendar.GLOBEX, _TICKS),
    Sort(
        "consolidated US quotes", frozenset({"US_NBBO"}), Calendar.US_EQUITIES, _TICKS,
        may_cross=True, why="the best bid and the best ask are of different exchanges",
    ),
    Sort(
        "US equities",
        frozenset({
            "AMEX", "ARCA", "BATS", "BATS_Y", "CBOE", "CHX", "EDGA", "EDGX", "FINRA_ADF", "NASDAQ",
            "NASDAQ_BX", "NASDAQ_PSX", "NSX", "NYSE",
        }),
        Calendar.US_EQUITIES, _TICKS, together=True,
        why="the trades of all exchanges come on one tape",
    ),
    Sort(
        "orders of one US exchange", frozenset({"nasdaq"}), Calendar.US_EQUITIES, _TICKS,
    ),
    Sort(
        "US options", frozenset({"us_options"}), Calendar.US_EQUITIES, _TICKS,
        silent=frozenset({Kind.TRADE, Kind.BAR, Kind.QUOTE}),
        why="a row a minute of those contracts that were quoted in it",
    ),
    Sort(
        "event contracts", frozenset({"polymarket"}), Calendar.ALWAYS,
        {**_TICKS, Kind.QUOTE: 10 * MINUTE_S},
        silent=frozenset({Kind.TRADE, Kind.BAR, Kind.QUOTE}),
        why="polled about every two minutes; a poll leaves out what is not offered",
    ),
    Sort(
        "pools of a chain", frozenset({"uniswap_v2"}), Calendar.ALWAYS,
        {**_TICKS, Kind.QUOTE: HOUR_S},
        why="a pool has a new quote when somebody trades with it",
    ),
    Sort(
        "crypto of data vendors", frozenset({"binance"}), Calendar.ALWAYS,
        {**_TICKS, Kind.FUNDING: DAY_S},
        why="funding and open interest are daily values",
    ),
)  # fmt: skip
OTHERS = Sort("all others", frozenset(), Calendar.ALWAYS, _TICKS, why="exchanges that never close")


def sort_of(venue: str, base: str) -> Sort:
    """The sort of a market, from its venue and its base asset."""
    for one in SORTS:
        if venue in one.venues and (not one.of_symbols or base in one.of_symbols):
            return one
    return OTHERS
