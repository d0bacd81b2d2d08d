"""The simulator: reproducible from anywhere, clean rows, and a market worth looking at."""

import itertools

import numpy as np
import pytest

from operators.market.gate import Gate
from schemas.kinds import Kind
from schemas.rows import F8, I8, MarketRows
from tests.tape_files import cut, read, same
from venues.simulator import BLOCK_ROWS, Regime, Simulator, _Edges

N = 5 * BLOCK_ROWS + 100
SECOND_NS = 10**9


@pytest.fixture(scope="module")
def rows() -> MarketRows:
    return read(Simulator(seed=3, n_rows=N), batch_rows=10_000)


@pytest.mark.parametrize(
    ("start", "batch_rows"),
    [(0, 1_000), (1, 7_777), (BLOCK_ROWS, BLOCK_ROWS), (N - 1, 5), (20_001, 3)],
)
def test_any_start_in_any_batches_gives_the_same_rows(rows, start, batch_rows):
    batches = Simulator(seed=3, n_rows=N).read(start, batch_rows)
    first = list(itertools.islice(batches, 3))
    assert first[0].seq.size == min(batch_rows, N - start)
    stop = start + sum(one.seq.size for one in first)
    joined = MarketRows._make(np.concatenate(columns) for columns in zip(*first, strict=True))
    same(joined, cut(rows, start, stop))


def test_it_ends_where_it_should():
    assert read(Simulator(seed=3, n_rows=10)).seq.size == 10
    assert list(Simulator(seed=3, n_rows=10).read(10, 5)) == []


def test_seeds_differ_and_length_does_not_change_the_start(rows):
    assert read(Simulator(seed=4, n_rows=100)).price.tobytes() != rows.price[:100].tobytes()


def test_blocks_do_not_repeat_each_other(rows):
    first, second = (rows.kind[k * BLOCK_ROWS : (k + 1) * BLOCK_ROWS] for k in (0, 1))
    assert 0.4 < (first == second).mean() < 0.7  # as chance has it: 0.3 ** 2 + 0.7 ** 2


def test_rows_are_in_order_and_pass_the_gate(rows):
    feed = Simulator(seed=3, n_rows=N)
    assert (np.diff(rows.ts_recv_ns) > 0).all()
    assert rows.source_row.tolist() == list(range(N))
    assert (rows.ts_event_ns < rows.ts_recv_ns).all()
    gate = Gate(feed.table.arrays(), len(feed.names))
    _, (accepted, rejected) = gate.step(gate.initial(), rows)
    assert (accepted.seq.size, rejected.seq.size) == (N, 0)


def test_it_says_that_it_is_simulated():
    feed = Simulator(seed=3, n_rows=10)
    assert feed.simulated
    assert all(name.startswith("sim") for name in feed.names)
    assert all(i.venue.startswith("sim") for i in feed.table.instruments)
    assert feed.description[0].kind == "simulated"
    assert feed.description[0].rows == feed.n_rows == 10


def test_prices_and_sizes_are_on_their_grids(rows):
    for i in Simulator(seed=3, n_rows=10).table.instruments:
        mine = (rows.lane == i.lane) & (rows.symbol == i.symbol)
        assert mine.sum() > 500
        for columns, step in (((rows.bid_px, rows.ask_px, rows.price), i.tick),
                              ((rows.bid_qty, rows.ask_qty, rows.qty), i.lot)):  # fmt: skip
            for column in columns:
                steps = column[mine & ~np.isnan(column)] / float(step)
                assert np.abs(steps - np.rint(steps)).max() < 1e-3
                assert (steps > 0.5).all()


def mids(rows: MarketRows, lane: int, symbol: int, at_ns: I8) -> F8:
    mine = (rows.kind == Kind.QUOTE) & (rows.lane == lane) & (rows.symbol == symbol)
    mid = (rows.bid_px + rows.ask_px)[mine] / 2
    found: F8 = np.log(mid[np.searchsorted(rows.ts_recv_ns[mine], at_ns, side="right") - 1])
    return found


def test_one_venue_leads_and_the_basis_comes_back():
    rows = read(Simulator(seed=3, n_rows=200_000), batch_rows=200_000)
    at_ns = np.arange(rows.ts_recv_ns[0] + 5 * SECOND_NS, rows.ts_recv_ns[-1], SECOND_NS // 4)
    a, b = mids(rows, 0, 0, at_ns), mids(rows, 0, 1, at_ns)
    lags = [np.corrcoef(np.diff(a)[: -k or None], np.diff(b)[k:])[0, 1] for k in range(8)]
    assert 1 <= int(np.argmax(lags)) <= 3  # quarters of a second
    assert max(lags) > 0.3
    assert max(lags) > 2 * lags[0]
    basis_bps = 1e4 * (b - a)
    assert 3.0 < basis_bps.std() < 15.0
    assert abs(basis_bps.mean()) < 3.0


def test_regimes_differ_in_what_the_price_does():
    edges = _Edges(seed=3, n_blocks=3000, block_s=100.0)
    step = np.abs(np.diff(edges.log_price, axis=1))[0]
    mean = {r: step[edges.regime[0] == r].mean() for r in Regime}
    assert all((edges.regime[0] == r).mean() > 0.15 for r in Regime)
    assert mean[Regime.RANGE] < mean[Regime.TREND] < mean[Regime.VOLATILE]


@pytest.mark.parametrize(
    "wrong",
    [{"seed": -1}, {"n_rows": 0}, {"lanes": 0}, {"rate_hz": 0.0}, {"rate_hz": float("nan")}],
)
def test_settings_that_make_no_market_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Simulator(**({"seed": 1, "n_rows": 10} | wrong))
