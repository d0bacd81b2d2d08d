"""The instrument table of a set of tapes, from what their first passes found."""

import difflib
from collections.abc import Sequence

from schemas.instruments import Instrument, InstrumentTable, lane_asset
from schemas.kinds import Kind
from venues.tape.errors import TapeError
from venues.tape.scan import Scan
from venues.tape.steps import step_text
from venues.venue_classes import VENUES, Terms, UnlistedVenueError, instrument, terms

FASTEST_NS = 1_000_000  # the delay that the fastest row of a venue is taken to have


def discover(
    scans: list[Scan],
    *,
    lanes: int,
    has_recv: bool,
    at_par: Sequence[str],
    one_lane: bool = False,
) -> InstrumentTable:
    """Every market of the tapes whose symbol its venue's rule can read.

    Assets (base currencies) go round robin over the lanes in sorted order, so that all markets of
    an asset share a lane, or all into lane 0 (`one_lane`); `symbol` counts within the lane in the
    order of (venue, name). The desk's currency is the quote asset of most markets, options left
    out, USD for those in `at_par`. TapeError for a venue without a class.
    """
    known = {key: found for key, found in _markets(scans) if found is not None}
    assets = sorted({lane_asset(found.base) for found in known.values()})
    used_lanes = 1 if one_lane else lanes
    lane_of = {asset: k % used_lanes for k, asset in enumerate(assets)}
    price, size, quoted = _seen(scans)
    offsets = _clock_offsets(scans) if has_recv else {}
    used = [0] * lanes
    made: list[Instrument] = []
    for (venue, name), found in sorted(known.items()):
        lane = lane_of[lane_asset(found.base)]
        made.append(
            instrument(
                venue,
                name,
                found,
                lane=lane,
                symbol=used[lane],
                tick=price.get((venue, name)),
                lot=size.get((venue, name)),
                has_quotes=(venue, name) in quoted,
                clock_offset_ns=offsets.get(venue, 0),
            )
        )
        used[lane] += 1
    return InstrumentTable.of(lanes, made, at_par=at_par)


def _markets(scans: list[Scan]) -> list[tuple[tuple[str, str], Terms | None]]:
    found: dict[tuple[str, str], Terms | None] = {}
    for scan in scans:
        for venue, name in scan.markets:
            try:
                found[venue, name] = terms(venue, name)
            except UnlistedVenueError:
                near = difflib.get_close_matches(venue.lower(), VENUES, 3, 0.5)
                raise TapeError(
                    f"the venue {venue!r} is not known"
                    + (f"; near: {', '.join(near)}" if near else ""),
                    str(scan.path),
                    "Write one of VENUES in venues/venue_classes.py, or add there what is assumed "
                    "of yours",
                ) from None
    return list(found.items())


def _seen(
    scans: list[Scan],
) -> tuple[dict[tuple[str, str], str], dict[tuple[str, str], str], set[tuple[str, str]]]:
    """Tick and lot per market, the finest that any of its tapes shows, and who has quotes."""
    price: dict[tuple[str, str], int] = {}
    size: dict[tuple[str, str], int] = {}
    quoted: set[tuple[str, str]] = set()
    for scan in scans:
        for k, market in enumerate(scan.markets):
            for into, steps in ((price, scan.price_steps), (size, scan.size_steps)):
                decimals = steps.decimals(k)
                if decimals is not None:
                    into[market] = max(decimals, into.get(market, 0))
            if scan.layout.kind == Kind.QUOTE:
                quoted.add(market)
    texts = [{market: step_text(d) for market, d in into.items()} for into in (price, size)]
    return texts[0], texts[1], quoted


def _clock_offsets(scans: list[Scan]) -> dict[str, int]:
    least: dict[str, int] = {}
    for scan in scans:
        for venue, delay_ns in scan.delay_ns_min.items():
            least[venue] = min(delay_ns, least.get(venue, delay_ns))
    return {venue: delay_ns - FASTEST_NS for venue, delay_ns in least.items()}
