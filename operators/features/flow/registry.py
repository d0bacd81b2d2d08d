"""The order-flow features: what each reads, when it is warm, when it is null, unit and source."""

from operators.features.feature import BOOK, QUOTES, TRADES, Feature, Terms
from operators.features.flow import absorption, fills, footprint, impact, spreads
from operators.features.flow.absorption import Absorption, AbsorptionState
from operators.features.flow.aggressors import Aggressors, AggressorsState
from operators.features.flow.depth import DEPTH, Depth, DepthState
from operators.features.flow.fills import Fills, FillsState
from operators.features.flow.flow import FlowSignal
from operators.features.flow.footprint import Footprint, FootprintState
from operators.features.flow.impact import Impact, ImpactState
from operators.features.flow.ofi import Ofi, OfiState
from operators.features.flow.spreads import Spreads, SpreadsState
from operators.features.flow.top import BestQuote, BestQuoteState
from operators.features.flow.toxicity import PAPER, SHORT, Toxicity, ToxicityState
from operators.features.flow.windows import WINDOW_NS


def _best_quote(terms: Terms) -> FlowSignal[BestQuoteState]:
    return FlowSignal(BestQuote(terms.instruments.lane.size))


def _ofi(terms: Terms) -> FlowSignal[OfiState]:
    return FlowSignal(Ofi(terms.instruments.lane.size, excluded=terms.instruments.conflated))


def _depth(terms: Terms) -> FlowSignal[DepthState]:
    return FlowSignal(Depth(terms.instruments.lane.size, excluded=terms.instruments.conflated))


def _aggressors(terms: Terms) -> FlowSignal[AggressorsState]:
    return FlowSignal(Aggressors(terms.instruments.lane.size))


def _toxicity(terms: Terms) -> FlowSignal[ToxicityState]:
    return FlowSignal(Toxicity(terms.daily_qty, buckets=PAPER))


def _toxicity_short(terms: Terms) -> FlowSignal[ToxicityState]:
    return FlowSignal(Toxicity(terms.daily_qty, buckets=SHORT, suffix="_short"))


def _footprint(terms: Terms) -> FlowSignal[FootprintState]:
    return FlowSignal(Footprint(terms.instruments.tick))


def _absorption(terms: Terms) -> FlowSignal[AbsorptionState]:
    return FlowSignal(Absorption(terms.instruments.tick))


def _impact(terms: Terms) -> FlowSignal[ImpactState]:
    return FlowSignal(Impact(terms.instruments.lane.size))


def _spreads(terms: Terms) -> FlowSignal[SpreadsState]:
    return FlowSignal(Spreads(terms.instruments.lane.size))


def _fills(terms: Terms) -> FlowSignal[FillsState]:
    return FlowSignal(Fills(terms.instruments.lane.size))


_QTY, _QUOTE, _BPS, _SHARE = "instrument's units", "quote units", "bps", "-1 to 1"
_CJP = "Cartea, Jaimungal, Penalva 2015"
_CKS = "Cont, Kukanov, Stoikov 2014"
_XGH = "Xu, Gould, Howison 2019"
_VPIN = "Easley, Lopez de Prado, O'Hara 2012"
_PROFILE = "Steidlmayer, Hawkins 2003"
_PRACTICE = "practitioners' term, made testable"
_NO_QUOTE = "no quote with sizes"
_NO_TOP = "a quote without price or size, and for 10 s after it; a conflated feed"
_NO_LEVEL = "level {} of a side not known, and for 10 s after it; a conflated feed"
_NEVER = "never"
_OFI_S = f"{WINDOW_NS // 1_000_000_000} s of quotes with sizes, no break"
_DEPTH_S = f"{WINDOW_NS // 1_000_000_000} s of books with level {{}}, no break"
_PAPER_N = f"{PAPER.n} buckets of a {PAPER.per_day}th of the configured daily volume"
_SHORT_N = (
    f"{SHORT.measure_ns // 1_000_000_000} s of trades, then {SHORT.n} buckets of a "
    f"{SHORT.per_measure}th of their volume"
)
_BVC_MORE = ", and those until a bucket's price differs from the last one's"
_IMPACT_BARS = f"{impact.BARS_MIN} bars of {impact.BAR_NS // 1_000_000_000} s"
_IMPACT_NS = impact.BARS_MIN * impact.BAR_NS
_PUSH_BARS = f"{absorption.BARS_MIN + 1} bars of {absorption.BAR_NS // 1_000_000_000} s with trades"
_PUSH_NS = (absorption.BARS_MIN + 1) * absorption.BAR_NS
_MATURED = f"{spreads.TRADES_MIN} trades, and {spreads.HORIZON_NS // 1_000_000_000} s after them"
_BAR = f"the first bar of {footprint.BAR_NS // 1_000_000_000} s with trades"

_FILL_BARS = f"{fills.BARS_MIN} bars of {fills.BAR_NS // 1_000_000_000} s"
_FILL_NS = (fills.BARS_MIN - 1) * fills.BAR_NS  # the first bar may be a part of one
_FILL_NULL = f"trades at fewer than {fills.BINS_MIN} distances"
_TOUCH_N = f"{fills.CHANGES_MIN} changes of the mid from second to second"
_TOUCH_NS = fills.CHANGES_MIN * fills.SECOND_NS
_AS = "Avellaneda, Stoikov 2008"

# fmt: off
FEATURES: tuple[Feature, ...] = (
    Feature("imbalance_best", _best_quote, (QUOTES,), _SHARE, 0, "1 quote", _NO_QUOTE, _CJP),
    Feature("microprice", _best_quote, (QUOTES,), _QUOTE, 0, "1 quote", _NO_QUOTE, "Stoikov 2018"),
    Feature("spread_quoted_bps", _best_quote, (QUOTES,), _BPS, 0, "1 quote", "no quote", _CJP),
    Feature("ofi_best", _ofi, (QUOTES,), _QTY, WINDOW_NS, _OFI_S, _NO_TOP, _CKS),
    Feature("imbalance_levels", _depth, (BOOK,), _SHARE, 0, "1 book",
            "one of the levels not known", _CJP),
    *(
        Feature(f"ofi_level_{1 + level}", _depth, (BOOK,), _QTY, WINDOW_NS,
                _DEPTH_S.format(1 + level), _NO_LEVEL.format(1 + level), _XGH)
        for level in range(DEPTH)
    ),
    Feature("cvd", _aggressors, (TRADES,), _QTY, 0, "1 trade", _NEVER, "Lee, Ready 1991"),
    Feature("trade_imbalance", _aggressors, (TRADES,), _SHARE, 0, "1 trade",
            "no trade in 10 s", "Chordia, Roll, Subrahmanyam 2002"),
    Feature("toxicity", _toxicity, (TRADES,), "0 to 1", 0, _PAPER_N,
            "no daily volume configured", _VPIN),
    Feature("toxicity_bvc", _toxicity, (TRADES,), "0 to 1", 0, _PAPER_N + _BVC_MORE,
            "no daily volume configured", _VPIN),
    Feature("toxicity_short", _toxicity_short, (TRADES,), "0 to 1", SHORT.measure_ns, _SHORT_N,
            _NEVER, _VPIN),
    Feature("toxicity_short_bvc", _toxicity_short, (TRADES,), "0 to 1", SHORT.measure_ns,
            _SHORT_N + _BVC_MORE, _NEVER, _VPIN),
    Feature("footprint_delta", _footprint, (TRADES,), _QTY, 0, _BAR, _NEVER, _PROFILE),
    Feature("footprint_poc", _footprint, (TRADES,), _QUOTE, 0, _BAR, _NEVER, _PROFILE),
    Feature("value_area_low", _footprint, (TRADES,), _QUOTE, 0, _BAR, _NEVER, _PROFILE),
    Feature("value_area_high", _footprint, (TRADES,), _QUOTE, 0, _BAR, _NEVER, _PROFILE),
    Feature("footprint_stacks", _footprint, (TRADES,), "stacks", 0, _BAR, _NEVER, _PRACTICE),
    Feature("absorption", _absorption, (QUOTES, TRADES), "-1, 0, 1", _PUSH_NS, _PUSH_BARS,
            _NEVER, _PRACTICE),
    Feature("exhaustion", _absorption, (QUOTES, TRADES), "-1, 0, 1", _PUSH_NS, _PUSH_BARS,
            _NEVER, _PRACTICE),
    Feature("impact_residual", _absorption, (QUOTES, TRADES), "standard deviations", _PUSH_NS,
            _PUSH_BARS, "no scatter about the regression", _PRACTICE),
    Feature("kyle_lambda", _impact, (QUOTES, TRADES), "quote units per instrument's unit",
            _IMPACT_NS, _IMPACT_BARS, "the same volume in every bar", "Kyle 1985"),
    Feature("kyle_lambda_error", _impact, (QUOTES, TRADES), "quote units per instrument's unit",
            _IMPACT_NS, _IMPACT_BARS, "the same volume in every bar", "Kyle 1985"),
    Feature("amihud_bps", _impact, (QUOTES, TRADES), "bps per million quote units", _IMPACT_NS,
            _IMPACT_BARS + " with trades", _NEVER, "Amihud 2002"),
    Feature("spread_effective_bps", _spreads, (QUOTES, TRADES), _BPS, spreads.HORIZON_NS, _MATURED,
            _NEVER, "Huang, Stoll 1996"),
    Feature("spread_realised_bps", _spreads, (QUOTES, TRADES), _BPS, spreads.HORIZON_NS, _MATURED,
            _NEVER, "Huang, Stoll 1996"),
    Feature("impact_bps", _spreads, (QUOTES, TRADES), _BPS, spreads.HORIZON_NS, _MATURED,
            _NEVER, "Huang, Stoll 1996"),
    Feature("roll_spread", _spreads, (TRADES,), _QUOTE, 0,
            f"{spreads.TRADES_MIN + 2} trades", _NEVER, "Roll 1984"),
    Feature("fill_rate", _fills, (QUOTES, TRADES), "per second and side", _FILL_NS, _FILL_BARS,
            _FILL_NULL, _AS),
    Feature("fill_decay", _fills, (QUOTES, TRADES), "per bp", _FILL_NS, _FILL_BARS, _FILL_NULL,
            _AS),
    Feature("fill_touch", _fills, (QUOTES,), "0 to 1", _TOUCH_NS, _TOUCH_N, "no quote",
            "first passage of a Brownian motion"),
)
# fmt: on
