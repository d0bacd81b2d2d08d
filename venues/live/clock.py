"""Our clock of a session: monotonic time, set to the wall clock once, when the session starts."""

import time
from collections.abc import Callable

JUMP_NS_MIN = 50_000_000  # 50 ms: time servers slew by less between two looks, and set by more


class SessionClock:
    """Gives receive times that never go back, and notices when the wall clock is set.

    Parameters
    ----------
    wall_ns, monotonic_ns : callable, optional
        The computer's clocks; tests bring their own.

    Notes
    -----
    After a jump, and after the computer slept, receive times differ from the wall clock by the
    jump until the next session: an order of events is worth more than the hour.
    """

    def __init__(
        self,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns, self._monotonic_ns = wall_ns, monotonic_ns
        self._anchor_ns = self._ahead_ns = wall_ns() - monotonic_ns()

    def now_ns(self) -> int:
        """int64 ns since 1970 UTC, as of the session's start."""
        return self._anchor_ns + self._monotonic_ns()

    def jump_ns(self) -> int:
        """By how much the wall clock was set since the last jump told; 0 for less than 50 ms."""
        ahead_ns = self._wall_ns() - self._monotonic_ns()
        jump_ns = ahead_ns - self._ahead_ns
        if abs(jump_ns) < JUMP_NS_MIN:
            return 0
        self._ahead_ns = ahead_ns
        return jump_ns
