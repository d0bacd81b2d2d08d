"""Promise: what a feed can prove, it does: a fault in recorded frames is seen at the next message.

Faults are planted in the venues' own frames. Where nothing proves a loss, no message is called OK.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from venues.frames import Account, FrameClass, FrameFile, Parsed, Synchroniser, Verdict
from venues.frames.files import Recorded, recorded
from venues.frames.registry import parser_for

Find = Callable[[str], Path]
V = Verdict
FRAMES_MAX = 2500  # of each recording: its snapshots, and a thousand changes

NUMBERED = [  # every loss is a gap
    "binance_coinm_BTCUSD_PERP_20240808T2354",
    "binance_spot_ETHUSDT_20240808T2354",
    "adapters/binance_usdm_multi_20210722T2225",
    "adapters/kraken_futures_v1_20210722T2302",
    "adapters/bybit_XRPUSDT_ob500_20241201",
    "adapters/deribit_20210722T2242",
]
CHECKSUMMED = ["adapters/kraken_v1_20210417T1648", "adapters/okx_20220513T1627"]
UNPROVABLE = ["adapters/coinbase_exchange_20210417T1643", "adapters/gemini_20210624T0014"]


class Replay:
    """The frames of a recording, which a test changes before they are read again."""

    def __init__(self, path: Path) -> None:
        self.venue = FrameFile(path).venue
        self.lines = [line for line in recorded(path) if not line.ours][:FRAMES_MAX]
        self.parsed, _ = self.read(self.lines)
        sync = Synchroniser(parser_for(self.venue).venue)
        self.applied = [  # lines of changes that a book takes
            k
            for k, parsed in enumerate(self.parsed)
            for judged in sync.accept(parsed)
            if judged.parsed is parsed and judged.verdicts and parsed.n_rows
            if not parsed.books[0].snapshot
        ]

    def read(self, lines: list[Recorded]) -> tuple[list[Parsed], list[tuple[int, Verdict]]]:
        """What was parsed, and symbol and verdict of each book message in order."""
        parser = parser_for(self.venue)
        sync, account = Synchroniser(parser.venue), Account()
        every, verdicts = [], []
        for line in lines:
            parsed = parser.parse(line.frame, ts_recv_ns=line.ts_recv_ns, label=line.label)
            account.add(parsed)
            every.append(parsed)
            for judged in sync.accept(parsed):
                symbols = [book.symbol for book in parsed.books] or [-1]
                verdicts += [(symbols[0], verdict) for verdict in judged.verdicts]
        assert account.problems() == []
        return every, verdicts

    def bad(self, lines: list[Recorded]) -> list[Verdict]:
        """The first verdict of trouble of each symbol."""
        found: dict[int, Verdict] = {}
        for symbol, verdict in self.read(lines)[1]:
            if verdict in (V.GAP, V.CHECKSUM_FAIL):
                found.setdefault(symbol, verdict)
        return list(found.values())

    def pick(self, n: int) -> list[int]:
        """Lines to hurt: changes that have another change of their book after them."""
        followed, seen = [], set()
        for k in reversed(self.applied):
            symbol = self.parsed[k].books[0].symbol
            followed += [k] if symbol in seen else []
            seen.add(symbol)
        steps = np.linspace(0, len(followed) - 1, min(n, len(followed))).astype(int)
        return [followed[step] for step in sorted(set(steps.tolist()))]


def replay(data_path: Find, name: str) -> Replay:
    return Replay(data_path(f"raw/{name}.jsonl.zst"))


@pytest.mark.parametrize("name", NUMBERED)
def test_lost_message_is_a_gap(data_path: Find, name: str) -> None:
    found = replay(data_path, name)
    assert found.bad(found.lines) == []
    for k in found.pick(5):
        assert found.bad(found.lines[:k] + found.lines[k + 1 :]) == [V.GAP]


@pytest.mark.parametrize("name", NUMBERED)
def test_repeated_message_changes_nothing(data_path: Find, name: str) -> None:
    found = replay(data_path, name)
    _, clean = found.read(found.lines)
    for k in found.pick(3):
        _, verdicts = found.read([*found.lines[: k + 1], *found.lines[k:]])
        kinds = [verdict for _, verdict in verdicts]
        assert kinds.count(V.DUPLICATE) == [v for _, v in clean].count(V.DUPLICATE) + 1
        assert V.GAP not in kinds


@pytest.mark.parametrize("name", NUMBERED)
def test_late_message_is_a_gap_at_once(data_path: Find, name: str) -> None:
    found = replay(data_path, name)
    for k in found.pick(3):
        symbol = found.parsed[k].books[0].symbol
        then = next(j for j in found.applied if j > k and found.parsed[j].books[0].symbol == symbol)
        lines = [*found.lines]
        lines[k], lines[then] = lines[then], lines[k]
        assert found.bad(lines) == [V.GAP]


@pytest.mark.parametrize("name", NUMBERED + CHECKSUMMED + UNPROVABLE)
def test_corrupted_message_is_quarantined_and_its_book_is_not_used(
    data_path: Find, name: str
) -> None:
    found = replay(data_path, name)
    _, clean = found.read(found.lines)
    for k in found.pick(3):
        lines = [*found.lines]
        lines[k] = lines[k]._replace(frame=lines[k].frame[: len(lines[k].frame) // 2])
        parsed, verdicts = found.read(lines)
        assert parsed[k].kind == FrameClass.QUARANTINED
        assert parsed[k].broken == (-1,)  # half a frame may have been about any book
        assert used(verdicts) < used(clean) - 1


def used(verdicts: list[tuple[int, Verdict]]) -> int:
    """Messages that changed a book."""
    return sum(verdict in (V.OK, V.UNPROVABLE) for _, verdict in verdicts)


@pytest.mark.parametrize("name", CHECKSUMMED)
def test_lost_message_fails_the_checksum_once_it_matters(data_path: Find, name: str) -> None:
    """A level outside of the checksum's depth is not covered until it enters it."""
    found = replay(data_path, name)
    seen = [found.bad(found.lines[:k] + found.lines[k + 1 :]) for k in found.pick(8)]
    assert all(verdicts in ([], [V.CHECKSUM_FAIL]) for verdicts in seen)
    assert sum(map(bool, seen)) >= 3


@pytest.mark.parametrize("name", UNPROVABLE)
def test_loss_that_nothing_proves_is_not_called_ok(data_path: Find, name: str) -> None:
    found = replay(data_path, name)
    for k in found.pick(3):
        _, verdicts = found.read(found.lines[:k] + found.lines[k + 1 :])
        changes = len(found.applied) - 1
        assert [verdict for _, verdict in verdicts].count(V.UNPROVABLE) == changes
        assert found.bad(found.lines[:k] + found.lines[k + 1 :]) == []


def test_lost_number_of_the_connection_costs_every_book(data_path: Find) -> None:
    found = replay(data_path, "adapters/bitfinex_20210417T1639")
    k = found.pick(3)[1]
    _, verdicts = found.read(found.lines[:k] + found.lines[k + 1 :])
    kinds = [verdict for _, verdict in verdicts]
    at = kinds.index(V.NEEDS_SNAPSHOT)
    assert set(kinds[:at]) == {V.OK}
    assert set(kinds[at:]) == {V.NEEDS_SNAPSHOT}
