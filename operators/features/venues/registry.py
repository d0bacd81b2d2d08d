"""Every feature of the consolidated quote: inputs, warm-up, null rule, unit and source."""

from operators.features.feature import QUOTES, Feature, Terms
from operators.features.venues.consolidated import FRESH_NS, Venues


def _venues(terms: Terms) -> Venues:
    return Venues(terms.table)


_QUOTE, _BPS, _SHARE = "quote units", "bps", "0 to 1"
_WARM = "1 quote of a venue that counts"
_ALONE = "no other venue has this base asset and quote currency"
_NO_SIDE = f"{_ALONE}; no venue that counts has that side"
_NO_SIZE = f"{_NO_SIDE}, or its size is not told"
_NOT_HERE = (
    f"this venue does not count: silent for {FRESH_NS // 1_000_000_000} s, or its book pulled"
)
_HASBROUCK, _MS = "Hasbrouck 1995", "Makarov, Schoar 2020"

# fmt: off
FEATURES: tuple[Feature, ...] = tuple(
    Feature(f"venues_{what}", _venues, (QUOTES,), unit, 0, _WARM, null, source)
    for what, unit, null, source in (
        ("bid_px", _QUOTE, _NO_SIDE, _HASBROUCK),
        ("ask_px", _QUOTE, _NO_SIDE, _HASBROUCK),
        ("mid", _QUOTE, _NO_SIDE, _HASBROUCK),
        ("microprice", _QUOTE, _NO_SIZE, "Stoikov 2018"),
        ("spread_bps", _BPS, _NO_SIDE, _HASBROUCK),
        ("crossed_bps", _BPS, _NO_SIDE, _MS),
        ("healthy", "venues", _ALONE, _HASBROUCK),
        ("deviation_bps", _BPS, f"{_NO_SIDE}; {_NOT_HERE}", _MS),
        ("bid_share", _SHARE, f"{_NO_SIZE}; {_NOT_HERE}", _HASBROUCK),
        ("ask_share", _SHARE, f"{_NO_SIZE}; {_NOT_HERE}", _HASBROUCK),
    )
)
# fmt: on
