"""The topics of the log: what each one carries, how it is partitioned, and its fingerprint."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

from schemas.rows import DecisionRows, FeatureRows, MarketRows, ProposalRows, fingerprint
from schemas.signal_rows import SignalRows

Partitions = Literal["lane", "single", "venue", "writer"]


class Encoding(IntEnum):
    """How the body of a message is written."""

    ARROW = 1  # one record batch of at most 2,048 rows, without its schema
    JSON = 2  # one canonical JSON object, one row
    RAW = 3  # the bytes as a venue sent them, one row


class SchemaMismatchError(Exception):
    """A log was written with other columns than this program knows."""


@dataclass(frozen=True)
class Topic:
    """One topic. A topic whose rows carry `seq` is never compacted, and so none here is.

    Parameters
    ----------
    name : str
        With its version: other columns need another name.
    schema_id : int
        Append-only; it travels in the header of every message.
    table : type or None
        The row table of an ARROW topic; None for JSON rows and raw frames.
    encoding : Encoding
    partitions : {"lane", "single", "venue", "writer"}
        What a partition number counts: lanes, nothing (always 0), venue feeds, or audit writers.
    """

    name: str
    schema_id: int
    table: type[Any] | None
    encoding: Encoding
    partitions: Partitions

    def fingerprint(self) -> str:
        """SHA-256 over everything that a reader must agree on."""
        columns = "" if self.table is None else fingerprint(self.table)
        text = f"{self.name}|{self.schema_id}|{self.encoding.name}|{self.partitions}|{columns}"
        return hashlib.sha256(text.encode()).hexdigest()


MARKET = Topic("market.v1", 1, MarketRows, Encoding.ARROW, "lane")
FEATURES = Topic("features.v1", 2, FeatureRows, Encoding.ARROW, "lane")
PROPOSALS = Topic("proposals.v1", 3, ProposalRows, Encoding.ARROW, "lane")
DECISIONS = Topic("decisions.v1", 4, DecisionRows, Encoding.ARROW, "single")
QUARANTINE = Topic("quarantine.v1", 5, MarketRows, Encoding.ARROW, "lane")
ORDERS = Topic("orders.v1", 6, None, Encoding.JSON, "lane")
REPORTS = Topic("reports.v1", 7, None, Encoding.JSON, "lane")
LEDGER = Topic("ledger.v1", 8, None, Encoding.JSON, "single")
CONTROL = Topic("control.v1", 9, None, Encoding.JSON, "single")
AUDIT = Topic("audit.v1", 10, None, Encoding.JSON, "writer")
RAW = Topic("raw.v1", 11, None, Encoding.RAW, "venue")
SIGNALS = Topic("signals.v1", 12, SignalRows, Encoding.ARROW, "lane")

TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        MARKET, FEATURES, PROPOSALS, DECISIONS, QUARANTINE, ORDERS, REPORTS, LEDGER, CONTROL,
        AUDIT, RAW, SIGNALS,
    )
}  # fmt: skip


def topic_named(name: str) -> Topic:
    """The topic of that name; ValueError naming the known ones if there is none."""
    if name not in TOPICS:
        raise ValueError(f"no topic {name!r}; known: {', '.join(sorted(TOPICS))}")
    return TOPICS[name]


def fingerprints() -> dict[str, str]:
    """Topic name to fingerprint, as a log records them when it is created."""
    return {name: topic.fingerprint() for name, topic in TOPICS.items()}


def check_fingerprints(recorded: Mapping[str, str]) -> None:
    """SchemaMismatchError naming the first recorded topic that this program reads differently.

    A topic that is not recorded is new to the log and no mistake.
    """
    known = fingerprints()
    for name, found in sorted(recorded.items()):
        if name not in known:
            raise SchemaMismatchError(
                f"topic {name}: this log was written by a program that knows a topic which this "
                "one does not; read it with that version"
            )
        if known[name] != found:
            raise SchemaMismatchError(
                f"topic {name}: the log's rows have fingerprint {found[:16]}, this program's "
                f"{known[name][:16]}; read it with the version that wrote it, or start a new run"
            )
