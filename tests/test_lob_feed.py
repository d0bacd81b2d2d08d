"""Promise: the simulated books are a feed like any other, the same from anywhere and for ever."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from operators.market.books.l2 import L2Books
from operators.market.books.l2_state import BookTerms
from operators.market.clock import VenueClocks
from operators.market.gate import Gate
from schemas.kinds import Flag, Kind
from schemas.rows import MarketRows, concat, take
from tests.tape_files import cut, read, same
from venues.lob import LobSimulator
from venues.lob.engine.book import ADDED, CANCELLED, TRADED
from venues.lob.feed import START_NS
from venues.lob.plan import NOTHING
from venues.lob.wire import FASTEST_NS

PLAIN = LobSimulator(seed=5, minutes=10.0, faults_per_hour=0.0)
FAULTY = LobSimulator(seed=5, minutes=10.0, faults_per_hour=60.0)


def of(rows: MarketRows, source: int, kind: Kind) -> MarketRows:
    return take(rows, (rows.source == source) & (rows.kind == kind))


def test_same_settings_same_rows() -> None:
    again = LobSimulator(seed=5, minutes=10.0, faults_per_hour=60.0)
    same(again.rows, FAULTY.rows)
    for name, column in again.labels._asdict().items():
        assert column.tobytes() == getattr(FAULTY.labels, name).tobytes(), name
    other = LobSimulator(seed=6, minutes=10.0, faults_per_hour=60.0)
    assert other.rows.ts_recv_ns[:1000].tolist() != FAULTY.rows.ts_recv_ns[:1000].tolist()


def test_same_rows_without_numba() -> None:
    said = "from tests.test_lob_feed import digest; print(digest())"
    done = subprocess.run(
        [sys.executable, "-c", said], env=os.environ | {"TRIFECTA_NO_NUMBA": "1"}, text=True,
        check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert done.stdout.strip() == digest()


def digest() -> str:
    """Of a short market with plants."""
    made, found = LobSimulator(seed=3, minutes=3.6), hashlib.sha256()
    for column in (*made.rows, *made.labels):
        found.update(column.tobytes())
    assert made.labels.kind.size > 0
    return found.hexdigest()


@pytest.mark.parametrize(("start", "batch_rows"), [(0, 7_001), (12_345, 1_000), (50_000, 65_536)])
def test_any_position_and_batch_give_the_same_rows(start: int, batch_rows: int) -> None:
    same(read(FAULTY, start, batch_rows), cut(FAULTY.rows, start))


def test_past_the_end_there_is_nothing() -> None:
    assert list(FAULTY.read(FAULTY.n_rows, 100)) == []


def test_order_and_words_of_a_feed() -> None:
    rows = FAULTY.rows
    order = np.lexsort((rows.source_row, rows.source, rows.lane, rows.ts_recv_ns))
    assert (order == np.arange(rows.seq.size)).all()
    for source in range(3):
        mine = rows.source == source
        assert (rows.source_row[mine] == np.arange(np.count_nonzero(mine))).all()
    assert set(np.unique(rows.kind)) == {Kind.TRADE, Kind.QUOTE, Kind.BOOK}
    told = FAULTY.description
    assert [one.kind for one in told] == ["simulated"] * 3
    assert sum(one.rows for one in told) == FAULTY.n_rows
    assert all(name.startswith("sim") for name in FAULTY.names)
    assert all(i.venue.startswith("sim") for i in FAULTY.table.instruments)
    json.dumps([one.sha256 for one in told])


def test_gate_lets_all_rows_pass() -> None:
    gate = Gate(PLAIN.table.arrays(), len(PLAIN.names))
    _, (accepted, rejected) = gate.step(gate.initial(), PLAIN.rows)
    assert (accepted.seq.size, rejected.seq.size) == (PLAIN.n_rows, 0)


def test_books_that_are_rebuilt_have_the_quotes_on_top() -> None:
    n = len(PLAIN.venues)
    operator = L2Books(PLAIN.table.arrays(), BookTerms.full(n))
    _, tops = operator.step(operator.initial(), PLAIN.rows)
    assert tops.synced.all()
    for source in range(n):
        quotes = of(PLAIN.rows, source, Kind.QUOTE)
        mine = take(tops, tops.symbol == source)
        assert (mine.ask_px > mine.bid_px).all()
        place = np.searchsorted(mine.ts_recv_ns, quotes.ts_recv_ns, side="right") - 1
        told = np.searchsorted(quotes.venue_seq, mine.venue_seq, side="right") - 1
        if PLAIN.venues[source].numbered:
            for name in ("bid_px", "bid_qty", "ask_px", "ask_qty"):
                assert getattr(mine, name) == pytest.approx(getattr(quotes, name)[told]), name
        assert place.min() >= 0


def test_snapshots_are_what_changes_made_of_the_book() -> None:
    rows = of(PLAIN.rows, 1, Kind.BOOK)
    levels: dict[tuple[int, float], float] = {}
    whole: dict[tuple[int, float], float] = {}
    compared = 0
    for flags, side, price, qty in zip(rows.flags, rows.side, rows.price, rows.qty, strict=True):
        key = (int(side), float(price))
        if flags & Flag.SNAPSHOT:
            whole[key] = float(qty)
            if flags & Flag.MSG_LAST:
                compared += bool(levels)
                assert levels in ({}, whole)
                levels, whole = dict(whole), {}
        elif qty > 0:
            levels[key] = float(qty)
        else:
            levels.pop(key, None)
    assert compared == 9


def test_lots_are_conserved() -> None:
    simulator = LobSimulator(seed=8, minutes=6.0, faults_per_hour=0.0)
    books = simulator.final_books
    for v in range(len(simulator.venues)):
        resting = 0
        for side in (0, 1):
            orders = books.orders[v][books.alive[v, side, : books.n_alive[v, side]]]
            resting += int((orders.lots + orders.reserve).sum())
        flows = books.flows[v]
        assert flows[ADDED] == flows[TRADED] + flows[CANCELLED] + resting
        traded = of(simulator.rows, v, Kind.TRADE).qty.sum() * 1_000
        assert flows[TRADED] == pytest.approx(traded)


def mids(rows: MarketRows, source: int, at_ns: np.ndarray) -> np.ndarray:
    quotes = of(rows, source, Kind.QUOTE)
    mid = (quotes.bid_px + quotes.ask_px) / 2
    found: np.ndarray = mid[np.searchsorted(quotes.ts_recv_ns, at_ns, side="right") - 1]
    return found


def test_one_venue_leads() -> None:
    rows = PLAIN.rows
    at_ns = np.arange(START_NS + 5 * 10**9, rows.ts_recv_ns[-1], 50_000_000)
    leader = np.diff(mids(rows, 0, at_ns))
    for source, slowest in ((1, 10), (2, 16)):
        follower = np.diff(mids(rows, source, at_ns))
        ahead = [np.corrcoef(leader[:-k], follower[k:])[0, 1] for k in range(1, 20)]
        behind = [np.corrcoef(leader[k:], follower[:-k])[0, 1] for k in range(1, 20)]
        assert 1 + int(np.argmax(ahead)) <= slowest
        assert max(ahead) > 2 * max(behind)
        assert np.abs(mids(rows, 0, at_ns) - mids(rows, source, at_ns)).mean() < 3.0  # ticks


def test_planted_clocks_are_found() -> None:
    """Offset to 0.5 ms, drift to 5 ppm: jitter has a mean of 2 to 8 ms, and spikes of 60 ms."""
    simulator = LobSimulator(seed=9, minutes=12.0, density=NOTHING, faults_per_hour=0.0)
    clocks = VenueClocks(np.arange(3))
    _, told = clocks.step(clocks.initial(), simulator.rows)
    for source, venue in enumerate(simulator.venues):
        mine = take(told, told.clock == source)
        settled = take(mine, slice(64, None))
        assert settled.clock.size > 50
        planted = venue.offset_ns + venue.drift_ppb * (settled.ts_recv_ns - START_NS) * 1e-9
        assert np.abs(settled.offset_ns - planted).max() < 500_000
        assert np.abs(settled.drift_ppb - venue.drift_ppb).max() < 5_000
        stamps = take(simulator.rows, simulator.rows.source == source)
        late = stamps.ts_recv_ns - stamps.ts_event_ns - venue.offset_ns
        late = late - venue.drift_ppb * (stamps.ts_recv_ns - START_NS) * 1e-9
        assert late.mean() > FASTEST_NS + 0.5 * venue.latency_ns


def test_regimes_differ() -> None:
    simulator = LobSimulator(seed=3, minutes=40.0, density=NOTHING, faults_per_hour=0.0)
    of_time = simulator.regimes
    at_ns = np.arange(START_NS + 10**9, simulator.rows.ts_recv_ns[-1], 3 * 10**9)
    moves = np.diff(mids(simulator.rows, 0, at_ns))
    which = np.searchsorted(of_time.until_s, (at_ns[1:] - START_NS) / 1e9)
    which = np.minimum(which, of_time.until_s.size - 1)
    regime, direction = of_time.regime[which], of_time.direction[which]
    assert set(regime) == {0, 1, 2}
    assert np.abs(moves[regime == 2]).mean() > 1.3 * np.abs(moves[regime == 0]).mean()
    assert (moves * direction)[regime == 1].mean() > 0.1  # ticks in 3 s


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"seed": -1}, "seed"),
        ({"lanes": 0}, "lanes"),
        ({"minutes": 0.0}, "minutes"),
        ({"minutes": 1e9}, "minutes"),
        ({"strength": 0.0}, "strength"),
        ({"faults_per_hour": -1.0}, "faults_per_hour"),
        ({"minutes": float("nan")}, "minutes"),
    ],
)
def test_settings_that_make_no_market_are_refused(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LobSimulator(**({"seed": 1} | wrong))  # type: ignore[arg-type]


def test_more_plants_than_there_is_time_are_refused() -> None:
    dense = replace(PLAIN.density, icebergs=2_000.0)
    with pytest.raises(ValueError, match="plants need"):
        assert LobSimulator(seed=1, density=dense).rows


def test_blocks_of_any_batch_are_whole() -> None:
    parts = list(PLAIN.read(0, 10_000))
    assert {part.seq.size for part in parts[:-1]} == {10_000}
    assert concat(parts).seq.size == PLAIN.n_rows
