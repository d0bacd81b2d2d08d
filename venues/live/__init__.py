"""Live venues: our own websocket sessions, read by the same parsers as recordings."""

from venues.live.clock import SessionClock
from venues.live.connection import Counts
from venues.live.errors import LiveError
from venues.live.feed import LiveFeed
from venues.live.session import Pace, SessionCounts
from venues.live.venue import LiveVenue
from venues.live.venues import HISTORICAL, LIVE, addressed, at, live_venue

__all__ = [
    "HISTORICAL", "LIVE", "Counts", "LiveError", "LiveFeed", "LiveVenue", "Pace", "SessionClock",
    "SessionCounts", "addressed", "at", "live_venue",
]  # fmt: skip
