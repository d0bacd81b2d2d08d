"""What a contract's name says of its end: expiry, and strike and right of options."""

import re
from datetime import UTC, datetime, time, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

SECOND_NS = 1_000_000_000


class Contract(NamedTuple):
    """When a contract ends, and what an option gives a right to."""

    expiry_ns: int = 0  # UTC; 0 for what has no end
    strike: str = ""  # options only
    right: str = ""  # "C" or "P"


class _Style(NamedTuple):
    """How the names of one venue end."""

    pattern: str
    day: str  # of strptime
    at: time  # local time of expiry
    zone: tzinfo


NO_CONTRACT = Contract()
_EIGHT_UTC = time(8), UTC
_BINANCE = _Style(r".*_(?P<day>\d{6})", "%y%m%d", *_EIGHT_UTC)
_STYLES = {
    **dict.fromkeys(("binance", "binance_coinm", "binance_perp", "binance_usdm"), _BINANCE),
    "deribit": _Style(
        r".*?-(?P<day>\d{1,2}[A-Z]{3}\d{2})(-(?P<strike>\d+(d\d+)?)-(?P<right>[CP]))?", "%d%b%y",
        *_EIGHT_UTC,
    ),
    "bybit_linear": _Style(r".*-(?P<day>\d{1,2}[A-Z]{3}\d{2})", "%d%b%y", *_EIGHT_UTC),
    "okx": _Style(
        r".*?-(?P<day>\d{6})(-(?P<strike>\d+(\.\d+)?)-(?P<right>[CP]))?", "%y%m%d", *_EIGHT_UTC
    ),
    "kraken_futures": _Style(
        r".*_(?P<day>\d{6})", "%y%m%d", time(16), ZoneInfo("Europe/London")
    ),
    "us_options": _Style(
        r".*-(?P<day>\d{8})-(?P<strike>\d+(\.\d+)?)-(?P<right>[CP])", "%Y%m%d", time(16),
        ZoneInfo("America/New_York"),
    ),
}  # fmt: skip


def contract_of(venue: str, name: str) -> Contract:
    """Expiry, strike and right from a venue's own symbol; NO_CONTRACT where it names none.

    Examples
    --------
    >>> contract_of("deribit", "BTC-26MAR27-56000-C")
    Contract(expiry_ns=1806048000000000000, strike='56000', right='C')
    >>> contract_of("binance_coinm", "BTCUSD_PERP")
    Contract(expiry_ns=0, strike='', right='')
    """
    style = _STYLES.get(venue)
    found = style and re.fullmatch(style.pattern, name)
    if not style or not found:
        return NO_CONTRACT
    try:
        day = datetime.strptime(found["day"], style.day).date()
    except ValueError:  # digits that are no day
        return NO_CONTRACT
    moment = datetime.combine(day, style.at, style.zone)
    said = found.groupdict()
    strike = (said.get("strike") or "").replace("d", ".")  # 0d5 is 0.5 on Deribit
    if strike and float(strike) == 0.0:
        return NO_CONTRACT
    return Contract(int(moment.timestamp()) * SECOND_NS, strike, said.get("right") or "")
