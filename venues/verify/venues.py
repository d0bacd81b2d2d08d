"""Whose books can be verified: those of venues with a parser, and those of the simulator."""

from venues.frames.registry import PARSERS, NoParserError
from venues.frames.venue import Proof, Venue, data
from venues.lob.engine.flow import VENUES

_NUMBERED = "each change names the number before its own"
_SIMULATED = {
    one.venue: Venue(
        one.venue, "simulated", Proof(_NUMBERED if one.numbered else ""),
        (data("book", "BOOK", "a snapshot at the start and each minute, and changes"),),
    )
    for one in VENUES
}  # fmt: skip


def venue_of(name: str) -> Venue:
    """What the venue's feed says and can prove. NoParserError if it is not listed."""
    if name in _SIMULATED:
        return _SIMULATED[name]
    if name not in PARSERS:
        raise NoParserError(name)
    return PARSERS[name].venue
