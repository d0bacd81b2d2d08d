"""A session whose frames a source brings: no websocket, the same care of connections."""

import logging

from venues.live.handover import What
from venues.live.session import Session

_log = logging.getLogger(__name__)


class SourceSession(Session):
    """One connection of a venue's source; parameters as of `Session`."""

    async def _hold(self) -> None:
        source = self.venue.source
        assert source is not None
        await source.bring(self.names, self)

    def opened(self) -> None:
        """The source is connected."""
        self._begin()

    def frame(self, frame: bytes) -> None:
        """Hand a frame over; ConnectionOverError if there is no room for it."""
        self._hand_over(What.FRAME, frame, "")

    def failed(self, reason: str) -> None:
        """Count and log a request that was not answered."""
        self.counts.rest_failures += 1
        _log.warning("live request failed", extra={"venue": self.venue.name, "reason": reason})

    def hole(self, market: str) -> None:
        """Count and log that something was missed."""
        self.counts.holes += 1
        _log.warning("trades may be missing", extra={"venue": self.venue.name, "market": market})
