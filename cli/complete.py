"""Refuses a recording that lacks too much, before anything is made of it."""

from rich.console import Console

from cli.errors import Refused
from console.quality.completeness import completeness_of
from console.report.books import Snapshots, without_snapshot
from flows.settings import SettingsError
from operators.market.completeness import shortfall
from schemas.expectations import COMPLETE_FOR_BACKTEST
from schemas.rows import MarketRows
from venues.feed import Feed


def least_of(share: float | None, allow_incomplete: bool) -> float:
    """The completeness that `--completeness` and `--allow-incomplete` ask for."""
    if allow_incomplete and share is not None:
        raise SettingsError("--allow-incomplete takes any, so it needs no --completeness")
    if share is not None and not 0.0 <= share <= 1.0:
        raise SettingsError(f"completeness must be a share from 0 to 1, was {share}")
    return 0.0 if allow_incomplete else COMPLETE_FOR_BACKTEST if share is None else share


def require_complete(
    feed: Feed,
    least: float,
    console: Console,
    refused: MarketRows | None = None,
    *,
    first: int = 0,
) -> None:
    """Refused if a stream of the feed is less complete; what is allowed is told all the same, and
    so are books that no snapshot begins.

    Made-up markets lack nothing. `refused` are rows that are not in the feed, because a gate
    refused them when it was recorded; rows before the position `first` only make its books.
    """
    if feed.simulated:
        return
    snapshots = Snapshots(feed.table)
    streams = completeness_of(feed, refused, first=first, also=snapshots.add)
    bare = without_snapshot(snapshots.missing())
    if bare is not None:
        console.print(bare, style="yellow", soft_wrap=True)
    found = shortfall(streams, feed.table, feed.names, least)
    if found:
        raise Refused(
            f"{found}; cut it with --from and --to, see every minute with 'trifecta quality', or "
            "take it as it is with --allow-incomplete or --completeness SHARE"
        )
    allowed = shortfall(streams, feed.table, feed.names, COMPLETE_FOR_BACKTEST)
    if allowed:
        console.print(f"taken as it is: {allowed}", style="yellow", soft_wrap=True)
