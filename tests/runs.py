"""Runs of the whole chain, for tests that look at a run from outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.desk_run import first_record, run_desk
from flows.log.api import Log
from flows.log.codec import decode
from flows.log.embedded import EmbeddedLog
from flows.log.memory import MemoryLog
from flows.settings import RunSettings
from models.registry import SHIPPED, load
from schemas.digest import DecisionDigest, LedgerDigest
from schemas.rows import concat
from schemas.topics import DECISIONS, LEDGER, Topic
from venues.feed import Feed
from venues.tape import open_tapes

ROOT = Path(__file__).parents[1]
EURUSD = ROOT / "tapes/quotes/oanda_EURUSD_20140501_20140509.parquet"
BTC = sorted((ROOT / "tapes").glob("*/binance_*_20240808T2354.parquet"))


@dataclass(frozen=True)
class Ran:
    """What a test asks of a finished run."""

    log: Log
    decision_digest: str
    ledger_digest: str


def run(
    feed: Feed,
    *,
    profile: str,
    batch_rows: int,
    folder: Path,
    settings: RunSettings | None = None,
    log: Log | None = None,
) -> Ran:
    """Run a feed to its end on a profile, perhaps on a log that holds commands."""
    settings = settings or RunSettings()
    folder.mkdir(parents=True, exist_ok=True)
    log = log or (
        MemoryLog() if profile == "memory" else EmbeddedLog(folder / "log.sqlite", create=True)
    )
    model = load(SHIPPED)
    record = first_record(
        "test", settings, profile=profile, topology="fused", feed=feed, model=model, notice=""
    )
    ended = run_desk(
        log, feed, settings, record, model=model,
        run_dir=None if profile == "memory" else folder, batch_rows=batch_rows, speed=None,
        progress=lambda n: None, seen=lambda parcel, seconds: None,
    )  # fmt: skip
    assert ended == "finished"
    return Ran(log, *digests(log))


def nothing(n: int) -> None:
    """Progress that nobody watches."""


def eurusd(rows_until_ns: int | None = None) -> Feed:
    """The sample tape of EURUSD, or its beginning."""
    return open_tapes([EURUSD], to_ns=rows_until_ns)


def btc() -> Feed:
    """The sample tapes of three BTC markets, trades and quotes."""
    return open_tapes(BTC)


def digests(log: Log) -> tuple[str, str]:
    """Decision and ledger digest of a log."""
    decisions, ledger = DecisionDigest(), LedgerDigest()
    for rows in tables(log, DECISIONS, 0):
        decisions.update(rows)
    for rows in tables(log, LEDGER, 0):
        ledger.update(rows)
    return decisions.hexdigest(), ledger.hexdigest()


def tables(log: Log, topic: Topic, lane: int) -> list[Any]:
    """Every message of a partition, decoded."""
    partition = (topic.name, lane)
    end = log.ends([partition])[partition]
    reader = log.reader({partition: 0})
    found: list[Any] = []
    while reader.position(partition) < end:
        found += [decode(message, offset=offset) for offset, message in reader.poll(1000)]
    reader.close()
    return found


def table(log: Log, topic: Topic, lanes: Sequence[int]) -> Any:
    """All rows of a topic of numeric rows, lane after lane."""
    return concat([rows for lane in lanes for rows in tables(log, topic, lane)])
