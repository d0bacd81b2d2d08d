"""Times at the edge: ISO 8601 in, nanoseconds since 1970 UTC inside."""

import re
from datetime import UTC, datetime

from flows.settings import SettingsError

_TIME = re.compile(r"(\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?)(?:\.(\d{1,9}))?(.*)")


def parse_utc(text: str, *, option: str) -> int:
    """Nanoseconds of a time; without an offset it is UTC. SettingsError if it is none."""
    found = _TIME.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError(text)
        whole, fraction, zone = found.groups()
        moment = datetime.fromisoformat(whole + (zone if "T" in whole or " " in whole else ""))
        if (fraction and whole.count(":") < 2) or (zone and moment.tzinfo is None):
            raise ValueError(text)
    except ValueError:
        raise SettingsError(
            f"{option} must be a time such as 2024-08-08T23:55 or 2024-08-08T23:55:30.5Z, in UTC "
            f"unless it says otherwise, was {text!r}"
        ) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return int(moment.timestamp()) * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def parse_cut(from_utc: str | None, to_utc: str | None) -> dict[str, int | None]:
    """`from_ns` and `to_ns` of --from and --to. SettingsError if nothing can lie between them."""
    cut = {
        "from_ns": parse_utc(from_utc, option="--from") if from_utc else None,
        "to_ns": parse_utc(to_utc, option="--to") if to_utc else None,
    }
    if cut["from_ns"] is not None and cut["to_ns"] is not None and cut["from_ns"] >= cut["to_ns"]:
        raise SettingsError(f"--from {from_utc} must be before --to {to_utc}")
    return cut


def stamp(moment: datetime) -> str:
    """A time as part of a folder's name, in order when sorted."""
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"
