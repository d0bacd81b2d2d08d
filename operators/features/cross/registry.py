"""Every feature of one market among others: inputs, warm-up, null rule, unit and source."""

from operators.features.cross import correlation, forecast, shock
from operators.features.cross.correlation import (
    DAY_NS,
    FADE_DAILY,
    FADE_INTRADAY,
    HOUR_NS,
    MINUTE_NS,
    Correlation,
)
from operators.features.cross.forecast import Forecast
from operators.features.cross.macro import Macro
from operators.features.cross.members import MEMBERS_MAX
from operators.features.cross.rotation import Rotation
from operators.features.cross.sessions import PLACES, SessionRange
from operators.features.cross.shock import Shock
from operators.features.feature import Feature, Make, Terms

PRICE, QUOTES, MIDS, TRADES = "any price", "best quote", "mids", "trades"
CALENDAR, HOURS = "calendar", "opening hours"
MARKETS, ASSETS = "other markets of its lane", "other assets of its lane"


def _correlation_1m(terms: Terms) -> Correlation:
    return Correlation(terms.instruments, bar_ns=MINUTE_NS, fade=FADE_INTRADAY, suffix="_1m")


def _correlation_1h(terms: Terms) -> Correlation:
    return Correlation(terms.instruments, bar_ns=HOUR_NS, fade=FADE_INTRADAY, suffix="_1h")


def _correlation_1d(terms: Terms) -> Correlation:
    return Correlation(terms.instruments, bar_ns=DAY_NS, fade=FADE_DAILY, suffix="_1d")


def _rotation_1h(terms: Terms) -> Rotation:
    return Rotation(terms.table, bar_ns=MINUTE_NS, bars=60, suffix="_1h")


def _rotation_1d(terms: Terms) -> Rotation:
    return Rotation(terms.table, bar_ns=HOUR_NS, bars=24, suffix="_1d")


def _shock(terms: Terms) -> Shock:
    return Shock(terms.instruments.lane.size)


def _macro(terms: Terms) -> Macro:
    return Macro(terms.instruments.lane.size, terms.happenings)


def _forecast(terms: Terms) -> Forecast:
    return Forecast(terms.instruments.lane.size)


def _sessions(terms: Terms) -> SessionRange:
    return SessionRange(terms.instruments.lane.size, terms.sessions)


_SHARE, _CORRELATION, _Z = "0 to 1", "-1 to 1", "standard deviations"
_METRICS, _TITMAN = "RiskMetrics 1996", "Jegadeesh, Titman 1993"
_CORSI, _CRABEL = "Corsi 2009; Bialkowski, Darolles, Le Fol 2008", "Crabel 1990"
_KYLE, _BP = "Kyle 1985", "Brunnermeier, Pedersen 2009"
_NEWS = "Andersen, Bollerslev, Diebold, Vega 2003"
_OF_FIRST = f"not of the first {MEMBERS_MAX} of its lane, or alone there; one has not moved"
_ALONE = f"not of the first {MEMBERS_MAX} assets of its lane, or alone there"
_SHOCK_NS = shock.BARS_MIN * shock.BAR_NS
_SHOCK_BARS = f"{shock.BARS_MIN} bars of {shock.BAR_NS // 1_000_000_000} s with {{}}"
_NO_SCATTER = "all bars before were the same"
_TWO_DAYS = 2 * forecast.BINS * forecast.BIN_NS
_NEW_BIN = "an hour that was not seen whole, or leads into a time of day never seen"
_NO_CALENDAR = "an empty calendar, or {} its {} happening"
_CLOSED = "outside of the session, in its rest or first 30 min, or begun before the first row"


def _correlations(make: Make, suffix: str, bar_ns: int, bar: str) -> tuple[Feature, ...]:
    warm, words = correlation.BARS_MIN * bar_ns, f"{correlation.BARS_MIN} bars of {bar} in common"
    return tuple(
        Feature(f"correlation_{name}_{suffix}", make, (PRICE, MARKETS), _CORRELATION, warm, words,
                _OF_FIRST, _METRICS)
        for name in ("leader", "mean")
    )  # fmt: skip


def _rotations(make: Make, suffix: str, window_ns: int, window: str) -> tuple[Feature, ...]:
    units = {"rank": _SHARE, "strength_bps": "bps", "breadth": _SHARE}
    return tuple(
        Feature(f"rotation_{name}_{suffix}", make, (PRICE, ASSETS), unit, window_ns, window, _ALONE,
                _TITMAN)
        for name, unit in units.items()
    )  # fmt: skip


_SESSION_UNITS = {
    "high": "quote units", "low": "quote units", "breakout": "-1, 0, 1",
    "volume": "times that of the range",
}  # fmt: skip

# fmt: off
FEATURES: tuple[Feature, ...] = (
    *_correlations(_correlation_1m, "1m", MINUTE_NS, "1 min"),
    *_correlations(_correlation_1h, "1h", HOUR_NS, "1 h"),
    *_correlations(_correlation_1d, "1d", DAY_NS, "1 day"),
    *_rotations(_rotation_1h, "1h", HOUR_NS, "60 bars of 1 min"),
    *_rotations(_rotation_1d, "1d", DAY_NS, "24 bars of 1 h"),
    Feature("shock_spread_z", _shock, (QUOTES,), _Z, _SHOCK_NS, _SHOCK_BARS.format("quotes"),
            _NO_SCATTER, _BP),
    Feature("shock_depth_z", _shock, (QUOTES,), _Z, _SHOCK_NS,
            _SHOCK_BARS.format("quotes with sizes"), _NO_SCATTER, _BP),
    Feature("shock_impact_z", _shock, (QUOTES, TRADES), _Z,
            _SHOCK_NS + (shock.IMPACT_MIN - 1) * shock.BAR_NS,
            _SHOCK_BARS.format(f"trades, and {shock.IMPACT_MIN} before"), _NO_SCATTER, _KYLE),
    Feature("liquidity_shock", _shock, (QUOTES, TRADES), _Z, _SHOCK_NS,
            "the first of the other three", _NO_SCATTER, _BP),
    Feature("macro_next_min", _macro, (CALENDAR,), "minutes", 0, "1 row",
            _NO_CALENDAR.format("after", "last"), _NEWS),
    Feature("macro_since_min", _macro, (CALENDAR,), "minutes", 0, "1 row",
            _NO_CALENDAR.format("before", "first"), _NEWS),
    Feature("macro_window", _macro, (CALENDAR,), "0, 1", 0, "1 row", "an empty calendar", _NEWS),
    Feature("volume_next_hour", _forecast, (TRADES,), "instrument's units", _TWO_DAYS,
            "a day of 5 min with trades, seen on 2 days, and an hour", _NEW_BIN, _CORSI),
    Feature("depth_next_hour", _forecast, (QUOTES,), "instrument's units", _TWO_DAYS,
            "a day of 5 min with sizes, seen on 2 days, and an hour", _NEW_BIN, _CORSI),
    Feature("spread_next_hour_bps", _forecast, (QUOTES,), "bps", _TWO_DAYS,
            "a day of 5 min with spreads, seen on 2 days, and an hour", _NEW_BIN, _CORSI),
    *(
        Feature(f"session_{what}_{place}", _sessions,
                (HOURS, MIDS, TRADES) if what == "volume" else (HOURS, MIDS), unit, 0,
                "30 min of a session that was awaited", _CLOSED, _CRABEL)
        for place in PLACES
        for what, unit in _SESSION_UNITS.items()
    ),
)
# fmt: on
