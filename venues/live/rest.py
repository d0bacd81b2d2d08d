"""One REST request, bounded in time and size."""

import http.client
import json
import urllib.error
import urllib.request
from urllib.parse import parse_qsl

from venues.live.errors import RestError

TIMEOUT_S = 5.0  # of each wait for bytes
BODY_BYTES_MAX = 64 << 20  # the longest instrument list has 10 MB
AGENT = "trifecta"  # some venues refuse a request without a name


def get(url: str, posted: str = "") -> bytes:
    """The body of an answer. RestError if it does not come in time, whole, and with status 200.

    Parameters
    ----------
    posted : str
        JSON to be posted; "" for a request that only fetches.
    """
    request = urllib.request.Request(url, headers={"User-Agent": AGENT})
    if posted:
        request.data = posted.encode()
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            body: bytes = answer.read(BODY_BYTES_MAX + 1)
    except urllib.error.HTTPError as error:
        raise RestError(f"{url}: status {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        told = error.reason.strerror if isinstance(error.reason, OSError) else error.reason
        raise RestError(f"{url}: {told or error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise RestError(f"{url}: {error}") from error
    if len(body) > BODY_BYTES_MAX:
        raise RestError(f"{url}: the answer has more than {BODY_BYTES_MAX} bytes")
    return body


def posted(url: str) -> tuple[str, str]:
    """A URL without its query, and the query as JSON to be posted.

    Examples
    --------
    >>> posted("https://venue/info?type=recentTrades&coin=BTC")
    ('https://venue/info', '{"type": "recentTrades", "coin": "BTC"}')
    """
    bare, _, query = url.partition("?")
    return bare, json.dumps(dict(parse_qsl(query)))
