"""The instrument table of a live feed: what the venues' lists say, the rest as usual there.

Price and quantity step are always the list's, contract size and currencies where it has them.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from schemas.instruments import USD_AT_PAR, InstrumentTable, lane_asset
from venues.live.errors import LiveError, RestError
from venues.live.venue import LiveVenue, Steps
from venues.venue_classes import Terms, common_name, instrument, terms, venue_class

_log = logging.getLogger(__name__)


class Market(NamedTuple):
    """One symbol of one venue that a live feed is about."""

    venue: LiveVenue
    name: str


def instrument_table(
    markets: Sequence[Market],
    *,
    lanes: int,
    get: Callable[[str, str], bytes],
    at_par: Sequence[str] = USD_AT_PAR,
) -> InstrumentTable:
    """Every market in a lane: assets round robin in sorted order, as for tapes.

    Raises
    ------
    LiveError
        A venue's list cannot be had, lacks the symbol, or the symbol is no pair of currencies.
    """
    answers: dict[str, bytes] = {}
    found = {m: _found(m, _terms(m), _steps(m, answers, get)) for m in sorted(markets, key=_key)}
    assets = sorted({lane_asset(of.base) for of, _ in found.values()})
    lane_of = {asset: k % lanes for k, asset in enumerate(assets)}
    used: Counter[int] = Counter()
    made = []
    for market, (of, steps) in found.items():
        lane = lane_of[lane_asset(of.base)]
        row = instrument(
            market.venue.name,
            market.name,
            of,
            lane=lane,
            symbol=used[lane],
            tick=steps.tick,
            lot=steps.lot,
            has_quotes=True,
            clock_offset_ns=0,
        )
        what = venue_class(market.venue.name).what
        size = "" if steps.contract else " contract size,"
        said = f"kind,{size} fees, short sales and binary payout as usual for {what}"
        made.append(replace(row, assumed=f"{said}; clock offset 0"))
        used[lane] += 1
    return InstrumentTable.of(lanes, made, at_par=at_par)


def _key(market: Market) -> tuple[str, str]:
    return market.venue.name, market.name


def _found(market: Market, of: Terms, steps: Steps) -> tuple[Terms, Steps]:
    """What a market is by its name, but for what the venue's list says itself."""
    size = steps.contract or of.contract_size
    base, quote = common_name(steps.base) or of.base, common_name(steps.quote) or of.quote
    if (base, quote) != (of.base, of.quote):
        _log.warning(
            "the venue lists other currencies than the market's name says",
            extra={
                "market": f"{market.venue.name}:{market.name}",
                "listed": f"{base}/{quote}",
                "read": f"{of.base}/{of.quote}",
            },
        )
    settle = base if of.settle == of.base else quote
    return of._replace(base=base, quote=quote, settle=settle, contract_size=size), steps


def _terms(market: Market) -> Terms:
    found = terms(market.venue.name, market.name)
    if found is None:
        raise LiveError(
            "base and quote currency cannot be told",
            f"{market.venue.name}:{market.name}",
            f"Name a market as the venue does, such as {market.venue.example}",
        )
    return found


def _steps(market: Market, answers: dict[str, bytes], get: Callable[[str, str], bytes]) -> Steps:
    venue, name = market
    try:
        if venue.source is not None:
            steps = venue.source.steps(name)
        else:
            url = venue.rest + venue.lists(name)
            if url not in answers:
                answers[url] = get(url, venue.list_body)
            steps = venue.steps(answers[url], name)
    except RestError as error:
        raise LiveError(
            f"the venue's instrument list could not be had: {error}",
            f"{venue.name}:{name}",
            "Check the connection to the venue, and the name of the market",
        ) from error
    if steps is None:
        raise LiveError(
            "not in the venue's instrument list",
            f"{venue.name}:{name}",
            f"Name a market as the venue does, such as {venue.example}",
        )
    return steps
