"""Signals as items of a queue that a loop waits on, instead of code that runs in between."""

import os
import select
import signal
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ASKED_TO_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class SignalQueue:
    """Signals that have come in, oldest first. Made by `signals_queued`."""

    def __init__(self, wakes: int) -> None:
        self._wakes = wakes
        self._found: deque[int] = deque()

    def note(self, number: int, frame: FrameType | None) -> None:
        """The handler: appending is all that is safe wherever the main thread happens to be."""
        self._found.append(number)

    def wait(self, timeout_s: float) -> list[int]:
        """What has come in; sleeps until something does, at most that long."""
        if not self._found and select.select([self._wakes], [], [], timeout_s)[0]:
            os.read(self._wakes, 4096)  # where it is left, the next call only returns early
        return [self._found.popleft() for _ in range(len(self._found))]


@contextmanager
def signals_queued() -> Iterator[SignalQueue]:
    """Queue requests to stop, and ends of children, while the context lasts. Main thread only."""
    reads, writes = os.pipe()
    os.set_blocking(reads, False)
    os.set_blocking(writes, False)
    queue = SignalQueue(reads)
    before_fd = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
    before = {
        number: signal.signal(number, queue.note) for number in (*ASKED_TO_STOP, signal.SIGCHLD)
    }
    try:
        yield queue
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before_fd)
        os.close(reads)
        os.close(writes)
