"""Recorded tapes: Parquet files as one feed of market rows."""

from venues.tape.errors import TapeError
from venues.tape.tape_feed import LATENCY_NS, TapeFeed, open_tapes

__all__ = ["LATENCY_NS", "TapeError", "TapeFeed", "open_tapes"]
