"""What the feeds of a deployment say of their order books, for ingest."""

import numpy as np

from operators.market.books.keeper import BookFeeds
from operators.market.books.l2_state import BookTerms
from venues.feed import Feed, LiveFeed
from venues.frames import PARSERS, RELAYED

RECORDED = "topic"  # kind of a source that is a log; numbers of rows refused then are missing
FRESH_NS = 60_000_000_000  # as for quotes: tapes hold no heartbeats, and quiet books have minutes
SIMULATED_NS = 3_600_000_000_000  # the simulator shows books as rarely as its rate says

BARE = frozenset(  # venues whose feeds have quotes, and no books
    name for name, made in RELAYED.items() if not any(each.is_book for each in made.venue.types)
)


def book_feeds(feed: Feed | LiveFeed) -> BookFeeds | None:
    """Live venues judge their own messages; on tapes the messages' numbers do it.

    None for a recorded log: it holds what was said of its books, of rows too that it has not.
    """
    if any(source.kind == RECORDED for source in feed.description):
        return None
    venues = [one.venue for one in feed.table.instruments]
    told = isinstance(feed, LiveFeed)
    terms = feed.terms if isinstance(feed, LiveFeed) else BookTerms.full(len(venues))
    provable = [
        PARSERS[venue].venue.proof.provable if venue in PARSERS else feed.simulated
        for venue in venues
    ]
    fresh_ns = np.full(len(venues), SIMULATED_NS if feed.simulated else FRESH_NS, np.int64)
    bare = np.array([venue in BARE for venue in venues], np.uint8)
    return BookFeeds(terms, np.array(provable, np.uint8), fresh_ns, told, bare)
