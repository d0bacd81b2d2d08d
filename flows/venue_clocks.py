"""The clocks of live venues, watched while their rows pass through ingest."""

from collections.abc import Callable

import numpy as np

from flows.parcel import Parcel
from operators.market.clock import VenueClocks
from schemas.rows import MarketRows, empty
from venues.feed import LiveFeed

Clocked = Callable[[str, int, float, int], None]


class ClockWatch:
    """Tells how far each venue's clock is from ours; parcels pass as they are.

    Parameters
    ----------
    feed : LiveFeed
        Each of its connections is one venue with one clock.
    clocked : callable
        Told every few seconds: the venue, the offset in ns (ours minus the venue's), the drift in
        ns per second (NaN while unknown), and how many rows since the last time were stamped later
        by the venue than by us.

    Notes
    -----
    An estimate is a figure about the rows, and nothing on the log depends on it: a restart begins
    anew, as a new session's clock does.
    """

    def __init__(self, feed: LiveFeed, clocked: Clocked) -> None:
        self.__name__ = self.__qualname__ = "clocks"
        self._names, self._clocked = feed.names, clocked
        self._clocks = VenueClocks(np.arange(len(feed.names)))
        self._state = self._clocks.initial()
        self._clocks.step(self._state, empty(MarketRows))  # compiled before frames wait for it

    def __call__(self, parcel: Parcel) -> Parcel:
        self._state, found = self._clocks.step(self._state, parcel.market)
        columns = (found.clock, found.offset_ns, found.drift_ppb, found.n_negative)
        for clock, offset_ns, drift, n_negative in zip(*columns, strict=True):
            self._clocked(self._names[clock], int(offset_ns), float(drift), int(n_negative))
        return parcel
