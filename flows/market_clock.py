"""Market time: what ingest stamps on rows that no venue has stamped."""

import logging
from time import monotonic

_log = logging.getLogger(__name__)


class MarketClock:
    """Real time at a multiple, from a moment on; without pace, the last row's time.

    Parameters
    ----------
    speed : float or None
        Multiple of real time; None has no pace.
    start_ns : int
        Nanoseconds UTC, market time.

    Attributes
    ----------
    reached_ns : int
        The latest time that has been stamped or released; nothing stands before it any more.
    """

    def __init__(self, speed: float | None, start_ns: int) -> None:
        self._speed = speed
        self._origin = (monotonic(), start_ns)
        self.reached_ns = start_ns
        if speed is not None:  # waits can be told from it: the clock is that of all processes here
            paired = {"market_ns": start_ns, "monotonic_s": self._origin[0], "speed": speed}
            _log.info("market time begins", extra=paired)

    @property
    def paced(self) -> bool:
        return self._speed is not None

    def now_ns(self) -> int:
        if self._speed is None:
            return self.reached_ns
        started_s, start_ns = self._origin
        return max(self.reached_ns, start_ns + int((monotonic() - started_s) * self._speed * 1e9))

    def reach(self, now_ns: int) -> int:
        """A row of that time has been released; returns the latest."""
        self.reached_ns = max(self.reached_ns, now_ns)
        return self.reached_ns

    def seconds_until(self, ts_ns: int) -> float:
        return max(0.0, (ts_ns - self.now_ns()) / 1e9 / (self._speed or 1.0))

    def run_on(self) -> None:
        """The tape is over: from now on real time goes by."""
        self._speed, self._origin = 1.0, (monotonic(), self.reached_ns)
