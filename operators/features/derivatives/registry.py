"""Every feature of derivatives: inputs, warm-up, null rule, unit and source."""

from operators.features.derivatives import positioning, premium, rates, skew
from operators.features.derivatives.basis import Basis
from operators.features.derivatives.fund_flows import DAYS, DAYS_MIN, FundFlow
from operators.features.derivatives.funding import Funding
from operators.features.derivatives.positioning import HOUR_NS, SLOTS, Positioning
from operators.features.derivatives.premium import Premium
from operators.features.derivatives.skew import Skew
from operators.features.feature import Feature, Terms

RATES, INTEREST, PRICE = "funding", "open interest", "any price"
MARKS, QUOTES, OPTIONS, FUNDS = "mark", "best quote", "option quotes", "fund flows"
SPOT = "its spot market"


def _funding(terms: Terms) -> Funding:
    return Funding(terms.instruments)


def _positioning_8h(terms: Terms) -> Positioning:
    return Positioning(terms.instruments.lane.size, window_ns=8 * HOUR_NS, suffix="_8h")


def _positioning_1h(terms: Terms) -> Positioning:
    return Positioning(terms.instruments.lane.size, window_ns=HOUR_NS, suffix="_1h")


def _basis(terms: Terms) -> Basis:
    return Basis(terms.table)


def _premium(terms: Terms) -> Premium:
    return Premium(terms.instruments.lane.size)


def _fund_flow(terms: Terms) -> FundFlow:
    return FundFlow(terms.table, terms.fund_flows)


def _skew(terms: Terms) -> Skew:
    return Skew(terms.table)


_BPS, _QUOTE, _Z = "bps", "quote units", "standard deviations"
_HRMW = "He, Manela, Ross, von Wachter 2022"
_PRACTICE = "practitioners' sign table"
_HULL = "Hull, Options, Futures, and Other Derivatives"
_PETAJISTO = "Petajisto 2017"
_FLOWS = "Ben-David, Franzoni, Moussawi 2018"
_NEVER = "never"
_NO_FUND = "an asset without funds in the run's fund flows"
_RATES_N = f"{rates.RATES_MIN + 1} funding intervals"
_UNMOVED = "price or open interest is what it was"
_PREMIUM_NS = (premium.SLOTS_MIN - 1) * premium.SLOT_NS  # the first may be the end of one
_NO_WINGS = "no two neighbouring strikes enclose the delta; nothing quoted for an hour"
_NO_SPOT = "no contract, no spot partner in its lane, or a price 5 min older than the other"


def _window(hours: int) -> tuple[int, str]:
    """At least this market time, and in words."""
    return hours * HOUR_NS // SLOTS * (SLOTS - 1), f"{hours} h of price and open interest"


_NS_8H, _SAID_8H = _window(8)
_NS_1H, _SAID_1H = _window(1)
_SLOT_NS_8H, _SLOT_NS_1H = 8 * HOUR_NS, HOUR_NS  # as many slots again
_SCORED = f", then {positioning.CHANGE_MIN} slots of a {SLOTS}th of it"

# fmt: off
FEATURES: tuple[Feature, ...] = (
    Feature("funding_rate_8h", _funding, (RATES,), "fraction per 8 h", 0, "1 funding rate", _NEVER,
            _HRMW),
    Feature("funding_z", _funding, (RATES,), _Z, 0, _RATES_N, "all rates before were the same",
            _HRMW),
    Feature("open_interest_notional", _funding, (INTEREST, PRICE), _QUOTE, 0,
            "1 open interest and, unless inverse, 1 price", _NEVER, _PRACTICE),
    Feature("open_interest_z_8h", _positioning_8h, (INTEREST, PRICE), _Z, _NS_8H + _SLOT_NS_8H,
            _SAID_8H + _SCORED, "all changes before were the same", _PRACTICE),
    Feature("funding_oi_cell_8h", _positioning_8h, (RATES, INTEREST, PRICE), "0 to 7", _NS_8H,
            f"{_SAID_8H}, {_RATES_N}", _UNMOVED, _PRACTICE),
    Feature("funding_oi_divergence_8h", _positioning_8h, (RATES, INTEREST, PRICE), "-1, 0, 1",
            _NS_8H, f"{_SAID_8H}, {_RATES_N}", _UNMOVED, _PRACTICE),
    Feature("open_interest_z_1h", _positioning_1h, (INTEREST, PRICE), _Z, _NS_1H + _SLOT_NS_1H,
            _SAID_1H + _SCORED, "all changes before were the same", _PRACTICE),
    Feature("funding_oi_cell_1h", _positioning_1h, (RATES, INTEREST, PRICE), "0 to 7", _NS_1H,
            f"{_SAID_1H}, {_RATES_N}", _UNMOVED, _PRACTICE),
    Feature("funding_oi_divergence_1h", _positioning_1h, (RATES, INTEREST, PRICE), "-1, 0, 1",
            _NS_1H, f"{_SAID_1H}, {_RATES_N}", _UNMOVED, _PRACTICE),
    Feature("basis_bps", _basis, (PRICE, SPOT), _BPS, 0, "1 price of each", _NO_SPOT, _HULL),
    Feature("basis_annual", _basis, (PRICE, SPOT), "fraction per year", 0, "1 price of each",
            _NO_SPOT + "; no expiry, or its last day", _HULL),
    Feature("premium_bps", _premium, (MARKS,), _BPS, 0, "1 mark with an index", _NEVER,
            _PETAJISTO),
    Feature("premium_z", _premium, (MARKS,), _Z, _PREMIUM_NS,
            f"{premium.SLOTS_MIN + 1} minutes with a mark", "all premiums before were the same",
            _PETAJISTO),
    Feature("etf_flow_usd", _fund_flow, (FUNDS,), "USD", 0, "1 trading day known", _NO_FUND,
            _FLOWS),
    Feature("etf_flow_week_usd", _fund_flow, (FUNDS,), "USD", 0, f"{DAYS} trading days known",
            _NO_FUND, _FLOWS),
    Feature("etf_flow_z", _fund_flow, (FUNDS,), _Z, 0, f"{DAYS_MIN + 1} trading days known",
            _NO_FUND, _FLOWS),
    Feature("implied_vol", _skew, (OPTIONS, QUOTES), "fraction per year", 0, "1 quote of the option"
            ", and a forward", "no option, or no volatility gives its price", _HULL),
    Feature("option_delta", _skew, (OPTIONS, QUOTES), "-1 to 1", 0, "1 quote of the option, and a "
            "forward", "no option, or no volatility gives its price", _HULL),
    Feature("vol_atm", _skew, (OPTIONS, QUOTES), "fraction per year", 0,
            "quotes about delta 0.5", _NO_WINGS, _HULL),
    Feature("skew_reversal", _skew, (OPTIONS, QUOTES), "fraction per year", 0,
            f"quotes about delta {skew.WING}", _NO_WINGS, _HULL),
    Feature("skew_butterfly", _skew, (OPTIONS, QUOTES), "fraction per year", 0,
            f"quotes about deltas {skew.WING} and 0.5", _NO_WINGS, _HULL),
)
# fmt: on
