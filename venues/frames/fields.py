"""The field types of venues' messages: bounds that every number must keep, and times in ns.

The bounds are what a market can print, not what a float can hold: NaN, infinity, a negative size
or a price of 1e300 fail where they are decoded, and the error names the field.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from msgspec import Meta

_INT64_MAX = 2**63 - 1

Price = Annotated[float, Meta(gt=0.0, le=1e12)]
Qty = Annotated[float, Meta(ge=0.0, le=1e18)]
SignedQty = Annotated[float, Meta(ge=-1e18, le=1e18)]  # the sign is the side
Amount = Annotated[float, Meta(ge=-1e12, le=1e12)]  # of money; the sign says who pays
Rate = Annotated[float, Meta(ge=-100.0, le=100.0)]  # a fraction: 100 is a hundredfold
Hours = Annotated[float, Meta(gt=0.0, le=8760.0)]
Minutes = Annotated[float, Meta(gt=0.0, le=525_600.0)]
Id = Annotated[int, Meta(ge=0, le=_INT64_MAX)]
Ms = Annotated[int, Meta(ge=1, le=_INT64_MAX // 1_000_000)]
Ns = Annotated[int, Meta(ge=1, le=_INT64_MAX)]
Us = Annotated[int, Meta(ge=1, le=_INT64_MAX // 1_000)]
Seconds = Annotated[int, Meta(ge=1, le=_INT64_MAX // 1_000_000_000)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
_DIGITS = r"^[0-9]{1,13}(\.[0-9]{1,20})?\Z"
Digits = Annotated[str, Meta(pattern=_DIGITS)]  # kept for a checksum
SecondsText = Annotated[str, Meta(pattern=r"^[0-9]{1,10}(\.[0-9]{1,9})?\Z")]
Stamp = Annotated[datetime, Meta(tz=True)]  # RFC 3339

MS_NS = 1_000_000
US_NS = 1_000
S_NS = 1_000_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NUMBER = re.compile(rb"[0-9]{1,13}(\.[0-9]{1,20})?([eE]-?[0-9]{1,2})?")


class DefectError(Exception):
    """A message breaks a rule of its venue; `str()` names the field and what is wrong with it."""


def words(error: Exception) -> str:
    """What is wrong with which field, for people."""
    return str(error).replace(f"`str` matching regex {_DIGITS!r}", "digits as text")


def stamp_ns(stamp: datetime) -> int:
    """int64 ns since 1970 UTC of a time, to the microsecond. DefectError outside 1970 to 2262."""
    ns = (stamp - _EPOCH) // _MICROSECOND * US_NS
    if not 0 < ns <= _INT64_MAX:
        raise DefectError(f"time {stamp.isoformat()} is not between 1970 and 2262")
    return ns


def seconds_ns(text: str) -> int:
    """ns of decimal seconds in SecondsText form, exact to the last digit."""
    whole, _, part = text.partition(".")
    ns = int(whole) * S_NS + int(part.ljust(9, "0"))
    if not 0 < ns <= _INT64_MAX:
        raise DefectError(f"time {text} s is not between 1970 and 2262")
    return ns


def written(raw: bytes, where: str) -> str:
    """The digits of a JSON number as they were written. DefectError if it is none, or negative."""
    if not _NUMBER.fullmatch(raw):
        raise DefectError(
            f"Expected a number, got `{raw[:40].decode(errors='replace')}` - at `{where}`"
        )
    return raw.decode()


def level(price: str, qty: str, where: str) -> tuple[float, float]:
    """Price and quantity of two digit texts. DefectError for a price of 0."""
    pair = float(price), float(qty)
    if pair[0] <= 0.0:
        raise DefectError(f"Expected a price > 0, got `{price}` - at `{where}`")
    return pair
