"""Every structure feature: what it reads, when it is warm, when it is null, unit and source."""

from operators.features.atr import PERIOD
from operators.features.feature import Feature, Terms
from operators.features.structure.accumulation import CHANGES, SLOW, Accumulation
from operators.features.structure.candles import BAR_NS
from operators.features.structure.fractals import WIDTH
from operators.features.structure.structure import Structure

MIDS, TRADES = "mids", "trades"


def _structure(terms: Terms) -> Structure:
    return Structure(terms.instruments.lane.size)


def _accumulation(terms: Terms) -> Accumulation:
    return Accumulation(terms.instruments.lane.size)


def _bars_ns(bars: int) -> int:
    """So much must pass until so many have closed: the first may be a part of one."""
    return (bars - 1) * BAR_NS


_IN, _VOLUME = (MIDS,), (MIDS, TRADES)
_QUOTE, _SIDE, _NS, _BARS, _QTY = "quote units", "-1, 1", "ns", "bars", "instrument's units"
_NEVER = "never"
_LEN = f"of {BAR_NS // 1_000_000_000} s"
_ATR_N, _ATR = PERIOD + 1, f"{PERIOD + 1} bars {_LEN}"
_PIVOT = f"{_ATR}, then a reversal of 3 bar_atr"
_SWING = f"{WIDTH} bars {_LEN}, and the first swing"
_BREAK_N, _BREAK = WIDTH + 1, f"{WIDTH + 1} bars {_LEN}, and the first close beyond a swing"
_TURN = f"{_BREAK}, then one against the trend"
_GAP, _BLOCK = f"{_ATR}, and the first gap", f"{_BREAK} that leaves a block"
_NO_ZONE = "none open on that side"
_CLUSTER, _NO_CLUSTER = f"{_ATR}, and the first swing", "no swing there that stands"
_GRAB = f"{WIDTH + 1} bars {_LEN}, and the first grab"
_WILDER, _KAUFMAN = "Wilder 1978", "Kaufman 1995"
_PRACTICE = "practitioners' term, made testable"
_FRACTAL = "Williams 1995, five bars on each side"
_OSLER = "Osler 2003, 2005"
_CHAIKIN = "Chaikin, in Achelis 2000"

# fmt: off
FEATURES: tuple[Feature, ...] = (
    Feature("bar_atr", _structure, _IN, _QUOTE, _bars_ns(_ATR_N), _ATR, _NEVER, _WILDER),
    Feature("zigzag_px", _structure, _IN, _QUOTE, _bars_ns(_ATR_N), _PIVOT, _NEVER, _PRACTICE),
    Feature("zigzag_side", _structure, _IN, _SIDE, _bars_ns(_ATR_N), _PIVOT, _NEVER, _PRACTICE),
    Feature("zigzag_age_ns", _structure, _IN, _NS, _bars_ns(_ATR_N), _PIVOT, _NEVER, _PRACTICE),
    Feature("zigzag_known_ns", _structure, _IN, _NS, _bars_ns(_ATR_N), _PIVOT, _NEVER, _PRACTICE),
    *(
        Feature(name, _structure, _IN, unit, _bars_ns(WIDTH), _SWING, _NEVER, _FRACTAL)
        for name, unit in (
            ("swing_high_px", _QUOTE), ("swing_high_age_ns", _NS),
            ("swing_low_px", _QUOTE), ("swing_low_age_ns", _NS),
        )
    ),
    Feature("structure_trend", _structure, _IN, _SIDE, _bars_ns(_BREAK_N), _BREAK, _NEVER,
            _PRACTICE),
    Feature("bos", _structure, _IN, _SIDE, _bars_ns(_BREAK_N), _BREAK, _NEVER, _PRACTICE),
    Feature("bos_age_bars", _structure, _IN, _BARS, _bars_ns(_BREAK_N), _BREAK, _NEVER, _PRACTICE),
    Feature("choch", _structure, _IN, _SIDE, _bars_ns(_BREAK_N), _TURN, _NEVER, _PRACTICE),
    Feature("choch_age_bars", _structure, _IN, _BARS, _bars_ns(_BREAK_N), _TURN, _NEVER,
            _PRACTICE),
    *(
        Feature(name, _structure, _IN, _QUOTE, _bars_ns(_ATR_N), _GAP, _NO_ZONE, _PRACTICE)
        for name in ("fvg_bull_low", "fvg_bull_high", "fvg_bear_low", "fvg_bear_high")
    ),
    *(
        Feature(name, _structure, _IN, _QUOTE, _bars_ns(_BREAK_N), _BLOCK, _NO_ZONE, _PRACTICE)
        for name in ("order_block_bull_low", "order_block_bull_high",
                     "order_block_bear_low", "order_block_bear_high")
    ),
    *(
        Feature(f"stop_cluster_{side}_{what}", _structure, _IN, unit, _bars_ns(_ATR_N), _CLUSTER,
                _NO_CLUSTER, _OSLER)
        for side in ("above", "below")
        for what, unit in (("px", _QUOTE), ("strength", "swings"), ("chance", "0 to 1"))
    ),
    Feature("liquidity_grab", _structure, _IN, "-1, 0, 1", _bars_ns(_BREAK_N), _GRAB, _NEVER,
            _OSLER),
    Feature("liquidity_grab_age_bars", _structure, _IN, _BARS, _bars_ns(_BREAK_N), _GRAB, _NEVER,
            _OSLER),
    Feature("ad_line", _accumulation, _VOLUME, _QTY, 0, f"1 bar {_LEN} with a trade", _NEVER,
            _CHAIKIN),
    Feature("ad_oscillator", _accumulation, _VOLUME, _QTY, _bars_ns(SLOW),
            f"{SLOW} bars {_LEN} from the first with a trade", _NEVER, _CHAIKIN),
    Feature("bar_efficiency", _accumulation, _IN, "0 to 1", _bars_ns(CHANGES + 1),
            f"{CHANGES + 1} bars {_LEN}", _NEVER, _KAUFMAN),
    Feature("accumulation", _accumulation, _VOLUME, "-1, 0, 1", _bars_ns(CHANGES + 1),
            f"{CHANGES + 1} bars {_LEN}, {SLOW} of them from the first with a trade", _NEVER,
            f"{_CHAIKIN}; {_KAUFMAN}"),
)
# fmt: on
