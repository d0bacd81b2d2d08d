"""From the sessions' thread to the reader's: frames in order of receipt, in bounded memory."""

from collections import deque
from enum import IntEnum
from threading import Condition
from typing import NamedTuple

BYTES_MAX = 256 << 20  # minutes of a busy venue; a reader that far behind must not go on as if not
ITEM_BYTES = 200  # what an item costs beside its frame


class What(IntEnum):
    """What a session hands over."""

    FRAME = 0  # a websocket message or REST answer
    OPENED = 1  # connected, and subscriptions are on their way
    CLOSED = 2  # the connection is gone; `label` says why
    AUDIT = 3  # a REST answer that a book is compared with
    TRADES = 4  # a REST answer with trades that did not come
    FAILED = 5  # a REST answer did not come; `label` is its path


class Received(NamedTuple):
    """One thing that happened on one connection."""

    what: What
    connection: int
    ts_recv_ns: int
    label: str = ""  # of a frame as `Parser.parse` takes it
    frame: bytes = b""


class Handover:
    """A queue that counts bytes. Frames are refused when it is full, news of connections never.

    Parameters
    ----------
    bytes_max : int, > 0
    """

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._items: deque[Received] = deque()
        self._filled = Condition()

    def offer(self, item: Received) -> bool:
        """Hand over a frame; False if there is no room for it."""
        size = len(item.frame) + ITEM_BYTES
        with self._filled:
            if self._bytes + size > self._bytes_max:
                return False
            self._bytes += size
            self._items.append(item)
            self._filled.notify()
        return True

    def tell(self, item: Received) -> None:
        """Hand over an OPENED, CLOSED or FAILED; back-off and patience bound how many come."""
        with self._filled:
            self._bytes += len(item.frame) + ITEM_BYTES
            self._items.append(item)
            self._filled.notify()

    def take(self) -> Received | None:
        """The oldest, or None."""
        with self._filled:
            if not self._items:
                return None
            item = self._items.popleft()
            self._bytes -= len(item.frame) + ITEM_BYTES
            return item

    def wait(self, timeout_s: float) -> bool:
        """Until there is something, at most so long; whether there is."""
        with self._filled:
            return self._filled.wait_for(lambda: bool(self._items), timeout_s)
