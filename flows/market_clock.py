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
        self._origin: tuple[float, int] | None = None  # when it was first asked, and what it said
        self.reached_ns = start_ns

    @property
    def paced(self) -> bool:
        return self._speed is not None

    def now_ns(self) -> int:
        if self._speed is None:
            return self.reached_ns
        if self._origin is None:  # until then a tape may be read again, which takes its time
            self._begin(self._speed)
        assert self._origin is not None
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

    def _begin(self, speed: float) -> None:
        self._origin = (monotonic(), self.reached_ns)
        # Waits can be told from it: the monotonic clock is that of all processes of a machine.
        paired = {"market_ns": self.reached_ns, "monotonic_s": self._origin[0], "speed": speed}
        _log.info("market time begins", extra=paired)
