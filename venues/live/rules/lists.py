"""What reading instrument lists needs: decimals as texts, and errors in words."""

import json
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import msgspec
from msgspec import Raw

from venues.live.errors import RestError

_List = TypeVar("_List")


def decoded(decoder: "msgspec.json.Decoder[_List]", body: bytes) -> _List:
    """The list. RestError if it is none."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RestError(f"the instrument list cannot be read: {error}") from error


def step(decimals: int) -> str:
    """The step of numbers with so many decimals; fewer than none are zeros before the point."""
    if not -9 <= decimals <= 20:
        raise RestError(f"{decimals} decimals")
    return plain(f"{Decimal(1).scaleb(-decimals):f}")


def plain(text: str) -> str:
    """A decimal above zero without trailing zeros: 0.01000000 as 0.01."""
    whole, _, part = text.partition(".")
    if not (whole + part).isdigit() or not (whole + part).strip("0"):
        raise RestError(f"{text!r} is not a step of prices or quantities")
    part = part.rstrip("0")
    return f"{int(whole)}.{part}" if part else str(int(whole))


def number(raw: Raw) -> str:
    """The same of a JSON number as it was written: 1E-8 as 0.00000001."""
    text = bytes(raw).decode(errors="replace")
    try:
        return plain(f"{Decimal(text):f}")
    except InvalidOperation as error:
        raise RestError(f"{text!r} is not a step of prices or quantities") from error


def message(content: object) -> str:
    """What is sent to a venue: JSON without spaces."""
    return json.dumps(content, separators=(",", ":"))
