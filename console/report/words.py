"""Numbers and findings of a report in words, the same on the terminal and on the page."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from schemas.reasons import Reason

MINUS = "\N{MINUS SIGN}"
UNKNOWN = "\N{EN DASH}"
HALF_CENT = 0.005  # less than this is shown as nothing
UNITS_S = (("day", 86_400.0), ("hour", 3_600.0), ("minute", 60.0))


def utc(ts_ns: int) -> str:
    """ISO 8601 in UTC with nanoseconds; "" for -1, which stands for no time."""
    if ts_ns < 0:
        return ""
    seconds, rest = divmod(ts_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def day(ts_ns: int) -> str:
    """The date in UTC."""
    return f"{datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC):%Y-%m-%d}"


def minute(iso: str | None) -> str:
    """An ISO time to the minute, for people."""
    return f"{iso[:10]} {iso[11:16]} UTC" if iso else UNKNOWN


def number(x: float | None, digits: int = 2) -> str:
    """Grouped, with a true minus sign; a dash where unknown."""
    if x is None or not math.isfinite(x):
        return UNKNOWN
    text = f"{abs(x):,.{digits}f}"
    negative = x < 0.0 and any(c in "123456789" for c in text)
    return MINUS + text if negative else text


def money(x: float | None, currency: str = "", *, signed: bool = False) -> str:
    """Two digits and the currency; `signed` puts a plus before gains."""
    text = number(x)
    plus = "+" if signed and x is not None and x > 0.0 and text.strip("0.,") != "" else ""
    return f"{plus}{text} {currency}".rstrip()


def percent(fraction: float | None, *, signed: bool = False, digits: int = 2) -> str:
    """A fraction as a percentage."""
    if fraction is None or not math.isfinite(fraction):
        return UNKNOWN
    text = number(100.0 * fraction, digits)
    plus = "+" if signed and fraction > 0.0 and text.strip("0.,") != "" else ""
    return f"{plus}{text}\N{NO-BREAK SPACE}%"


def par_words(assets: Sequence[str]) -> str:
    """What is counted as USD without being it; "" where nothing is."""
    if not assets:
        return ""
    return f"{' and '.join(assets)} counted as USD, one for one"


def rough(x: float) -> str:
    """Three significant digits of what is small, whole numbers from 100 on; never an exponent."""
    return f"{x:,.0f}" if abs(x) >= 99.95 else f"{x:.3g}"


def duration(seconds: float | None) -> str:
    """A length of time in its largest fitting unit."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    for unit, size in UNITS_S:
        if seconds >= size:
            text = rough(seconds / size)
            return f"{text} {unit}" + ("" if text == "1" else "s")
    return f"{seconds:.3g} s"


def price(x: float | None) -> str:
    """Up to seven significant digits, which shows a tick of every common instrument."""
    return UNKNOWN if x is None or not math.isfinite(x) else f"{x:.7g}"


def covered(report: dict[str, Any]) -> str:
    """The market time of a run, from and to the minute."""
    start, end = report["span"]["from"], report["span"]["to"]
    return f"{minute(start)} to {minute(end)}" if start else "no market time"


def verdict(report: dict[str, Any]) -> str:
    """One or two sentences that say plainly what came of the run."""
    return f"{outcome(report)} {against_holding(report)}".rstrip()


def outcome(report: dict[str, Any]) -> str:
    """What the desk earned or lost."""
    equity = report["equity"]
    gain = equity["end"] - equity["start"]
    span = duration(span_s(report))
    over = f" over {span}" if span != UNKNOWN else ""
    if report["trades"] == 0:
        return f"The desk did not trade{over}: {report['decisions']:,} decisions, no trade."
    closed = sum(engine["closed"] for engine in report["engines"].values())
    trades = f"{report['trades']:,} trade" + ("" if report["trades"] == 1 else "s")
    status = f"{closed:,} of them closed"
    if closed == report["trades"]:
        status = "closed" if closed == 1 else "all closed"
    tail = f"{over}, in {trades}, {status}."
    if abs(gain) < HALF_CENT:
        return f"The desk broke even{tail}"
    amount = f"{money(abs(gain), report['currency'])} ({percent(abs(gain) / equity['start'])})"
    return f"The desk {'lost' if gain < 0.0 else 'earned'} {amount}{tail}"


def against_holding(report: dict[str, Any]) -> str:
    """What doing nothing but buying would have made; "" where that is unknown."""
    equity = report["equity"]
    held = equity["buy_and_hold"]
    if held is None:
        return ""
    start, end = equity["start"], equity["end"]
    done = "lost" if held < start else "earned"
    change = percent(abs(held - start) / start)
    text = f"Buying and holding {equity['held']} would have {done} {change}"
    if abs(end - held) < HALF_CENT:
        return f"{text}, the same."
    side = "better" if held > end else "worse"
    return f"{text}, {money(abs(end - held), report['currency'])} {side} than the desk."


def span_s(report: dict[str, Any]) -> float | None:
    """Market time that the run covers, seconds."""
    start, end = report["span"]["from"], report["span"]["to"]
    if start is None:
        return None
    moments = [datetime.fromisoformat(t[:19] + "+00:00") for t in (start, end)]
    return (moments[1] - moments[0]).total_seconds()


def reason_words(name: str) -> str:
    """The words of a reason code; with its engine where another engine has the same words."""
    text = Reason[name].text
    shared = sum(reason.text == text for reason in Reason) > 1
    return f"{text} ({name.split('_')[0].lower()})" if shared else text


def microseconds(us: float | None) -> str:
    """A short time in its largest fitting unit."""
    if us is None:
        return UNKNOWN
    if us >= 1e6:
        return f"{rough(us / 1e6)} s"
    return f"{rough(us / 1e3)} ms" if us >= 1e3 else f"{rough(us)} \N{MICRO SIGN}s"
