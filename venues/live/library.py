"""ccxt: as much of it as is used, and REST answers by way of it. It is typed here.

Where a venue has an endpoint here, ccxt makes the request: it knows the venue's limits and keeps
to them, and the error codes that come with status 200. The body goes on as it was received, so
that the venue's own parser reads it, and a recording has it.
"""

import importlib
import importlib.util
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from venues.live.errors import LiveError, RestError
from venues.live.rest import BODY_BYTES_MAX, TIMEOUT_S
from venues.venue_classes import CCXT

# What the library raises on answers that are not what it expects; beside its own errors.
MISREAD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_ERROR_CHARS = 200  # of a message that quotes the answer


class Endpoint(NamedTuple):
    """A method of an exchange of ccxt that asks for one path."""

    exchange: str
    method: str
    named: str = ""  # the path with names for its varying parts, where it has any


def is_installed() -> bool:
    """Whether ccxt is there; it comes with the extra `live`."""
    return importlib.util.find_spec("ccxt") is not None


def library(venue: str) -> Any:
    """ccxt. LiveError, in the name of a venue, where it is not installed."""
    try:
        return importlib.import_module("ccxt")
    except ImportError as error:
        raise LiveError(
            "needs the library ccxt, which is not installed",
            f"venue {venue!r}",
            "Install it with the extra `live`: pip install 'trifecta[live]'",
        ) from error


def new_exchange(name: str) -> Any:
    """An exchange of ccxt, which needs to have it."""
    return getattr(library(f"{CCXT}{name}"), name)({"timeout": int(TIMEOUT_S * 1e3)})


class LibraryRest:
    """REST answers of one endpoint, one at a time, at the pace that its venue allows.

    Parameters
    ----------
    endpoint : Endpoint
    base : str
        URL before the paths; takes the place of the addresses that ccxt knows.

    Attributes
    ----------
    thread : ThreadPoolExecutor
        One thread, in which `get` is to be called: who waits for the venue's pace keeps no thread
        from others.

    Raises
    ------
    LiveError
        ccxt is not installed.
    """

    def __init__(self, endpoint: Endpoint, base: str) -> None:
        self._endpoint, self._base = endpoint, base
        self._exchange = new_exchange(endpoint.exchange)  # now: ccxt takes a second, once
        self._exchange.urls["api"] = _moved(self._exchange.urls["api"], base)
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=f"ccxt-{endpoint.exchange}")

    def get(self, path: str) -> bytes:
        """The body of the answer for path and query. RestError if there is none, or an error."""
        known = self._exchange
        asked = parameters(self._endpoint.named, path)
        try:
            getattr(known, self._endpoint.method)(asked)
        except library(self._endpoint.exchange).BaseError as error:
            raise RestError(
                f"{self._base}{path}: {type(error).__name__}: {str(error)[:_ERROR_CHARS]}"
            ) from None
        except MISREAD as error:
            told = f"{error!r:.{_ERROR_CHARS}}"
            raise RestError(f"{self._base}{path}: ccxt cannot read the answer: {told}") from None
        body: bytes = known.last_http_response.encode()
        if len(body) > BODY_BYTES_MAX:
            raise RestError(f"{self._base}{path}: the answer has more than {BODY_BYTES_MAX} bytes")
        return body


def parameters(named: str, path: str) -> dict[str, str]:
    """What an endpoint is asked for, of path and query.

    Examples
    --------
    >>> parameters("/v2/trades/{symbol}/hist", "/v2/trades/tBTCUSD/hist?limit=9")
    {'limit': '9', 'symbol': 'tBTCUSD'}
    >>> parameters("", "/v5/market/recent-trade?limit=9")
    {'limit': '9'}
    """
    parts = urlsplit(path)
    asked = dict(parse_qsl(parts.query))
    if named:
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", named)
        found = re.fullmatch(pattern, parts.path)
        if found is None:
            raise ValueError(f"{path} is not {named}")
        asked |= found.groupdict()
    return asked


def _moved(urls: Any, base: str) -> Any:
    """The same paths at another host."""
    if isinstance(urls, dict):
        return {name: _moved(url, base) for name, url in urls.items()}
    return base + urlsplit(urls.replace("{hostname}", "host")).path
