"""The simulator: reproducible from anywhere, clean rows, and a market worth looking at."""

import itertools

import numpy as np
import pytest

from operators.market.gate import Gate
from schemas.kinds import Flag, Kind, Side
from schemas.rows import F8, I8, MarketRows, take
from tests.tape_files import cut, read, same
from venues.simulator import BLOCK_ROWS, Regime, Simulator, _Edges

N = 5 * BLOCK_ROWS + 100
SECOND_NS = 10**9


@pytest.fixture(scope="module")
def rows() -> MarketRows:
    return read(Simulator(seed=3, n_rows=N, depth_levels=0), batch_rows=10_000)


@pytest.fixture(scope="module")
def deep() -> MarketRows:
    return read(Simulator(seed=3, n_rows=N), batch_rows=10_000)


@pytest.mark.parametrize(
    ("start", "batch_rows"),
    [(0, 1_000), (1, 7_777), (BLOCK_ROWS, BLOCK_ROWS), (N - 1, 5), (20_001, 3)],
)
@pytest.mark.parametrize("levels", [0, 5])
def test_any_start_in_any_batches_gives_the_same_rows(rows, deep, start, batch_rows, levels):
    batches = Simulator(seed=3, n_rows=N, depth_levels=levels).read(start, batch_rows)
    first = list(itertools.islice(batches, 3))
    assert first[0].seq.size == min(batch_rows, N - start)
    stop = start + sum(one.seq.size for one in first)
    joined = MarketRows._make(np.concatenate(columns) for columns in zip(*first, strict=True))
    same(joined, cut(deep if levels else rows, start, stop))


@pytest.mark.parametrize("levels", [0, 1, 5, 100])
@pytest.mark.parametrize("n", [10, BLOCK_ROWS, BLOCK_ROWS + 1, 11_111])
def test_it_ends_where_it_should(n, levels):
    feed = Simulator(seed=3, n_rows=n, depth_levels=levels)
    assert read(feed).source_row.tolist() == list(range(n))
    assert list(feed.read(n, 5)) == []


def test_seeds_differ(rows, deep):
    other = read(Simulator(seed=4, n_rows=N))
    assert other.price[:100].tobytes() != deep.price[:100].tobytes()
    assert np.flatnonzero(other.kind == Kind.BOOK)[0] != np.flatnonzero(deep.kind == Kind.BOOK)[0]


def test_blocks_do_not_repeat_each_other(rows):
    first, second = (rows.kind[k * BLOCK_ROWS : (k + 1) * BLOCK_ROWS] for k in (0, 1))
    assert 0.4 < (first == second).mean() < 0.7  # as chance has it: 0.3 ** 2 + 0.7 ** 2


@pytest.mark.parametrize("levels", [0, 5])
def test_rows_are_in_order_and_pass_the_gate(rows, deep, levels):
    feed, found = Simulator(seed=3, n_rows=N, depth_levels=levels), deep if levels else rows
    later = np.diff(found.ts_recv_ns)
    assert (later[found.kind[1:] != Kind.BOOK] > 0).all()
    assert (later[found.kind[1:] == Kind.BOOK] == 0).all()  # with its quote
    assert found.source_row.tolist() == list(range(N))
    assert (found.ts_event_ns < found.ts_recv_ns).all()
    gate = Gate(feed.table.arrays(), len(feed.names))
    _, (accepted, rejected) = gate.step(gate.initial(), found)
    assert (accepted.seq.size, rejected.seq.size) == (N, 0)


@pytest.mark.parametrize("levels", [1, 5, 40])
def test_quotes_and_trades_do_not_hang_on_depth(rows, levels):
    deep = read(Simulator(seed=3, n_rows=N, depth_levels=levels))
    bare = take(deep, deep.kind != Kind.BOOK)
    n = bare.seq.size
    assert n < N
    same(bare._replace(source_row=np.arange(n)), cut(rows, 0, n))


def messages(deep: MarketRows) -> list[tuple[int, int]]:
    """Where each whole run of book rows starts and stops."""
    book = np.concatenate(([False], deep.kind == Kind.BOOK, [False]))
    edges = np.flatnonzero(np.diff(book.astype(np.int8))).reshape(-1, 2)
    return [(int(start), int(stop)) for start, stop in edges if stop < deep.seq.size]


@pytest.mark.parametrize("levels", [1, 5, 40])
def test_a_snapshot_is_the_book_around_the_quote_before_it(levels):
    feed = Simulator(seed=3, n_rows=N, depth_levels=levels)
    deep = read(feed)
    tick = {(i.lane, i.symbol): float(i.tick) for i in feed.table.instruments}
    found = messages(deep)
    numbers = [int(deep.venue_seq[start]) for start, _ in found]
    assert numbers == list(range(len(found)))
    for start, stop in found:
        quote, book = start - 1, cut(deep, start, stop)
        assert stop - start == 2 * levels
        assert deep.kind[quote] == Kind.QUOTE
        for name in ("lane", "symbol", "ts_event_ns", "ts_recv_ns", "source", "ref_id"):
            assert (getattr(book, name) == getattr(deep, name)[quote]).all()
        assert (book.venue_seq == book.venue_seq[0]).all()
        last = [Flag.SNAPSHOT] * (2 * levels - 1) + [Flag.SNAPSHOT | Flag.MSG_LAST]
        assert book.flags.tolist() == last
        assert book.side.tolist() == [Side.BUY] * levels + [Side.SELL] * levels
        for column in (book.bid_px, book.bid_qty, book.ask_px, book.ask_qty):
            assert np.isnan(column).all()
        bids, asks = book.price[:levels], book.price[levels:]
        assert (bids[0], asks[0]) == (deep.bid_px[quote], deep.ask_px[quote])
        assert (book.qty[0], book.qty[levels]) == (deep.bid_qty[quote], deep.ask_qty[quote])
        assert bids[0] < asks[0]
        least = 0.99 * tick[int(deep.lane[quote]), int(deep.symbol[quote])]
        for outward in (-np.diff(bids), np.diff(asks)):
            assert (outward > least).all()
        for sizes in (book.qty[:levels], book.qty[levels:]):
            assert (np.diff(sizes) > 0).all()


def shapes(deep: MarketRows) -> F8:
    """Per whole message, sizes relative to the touch, which no draw of the quotes has a part in."""
    at = np.array([start for start, _ in messages(deep)])[:, None] + np.arange(5)
    found: F8 = deep.qty[at] / deep.qty[at[:, :1]]
    return found


def test_depth_repeats_neither_itself_nor_another_seed(deep):
    here, per_block = shapes(deep), BLOCK_ROWS // 50
    there = shapes(read(Simulator(seed=4, n_rows=N)))
    for one, two in ((here[:per_block], here[per_block : 2 * per_block]), (here, there)):
        n = min(len(one), len(two))
        apart = np.abs(one[:n] - two[:n])[:, 1:]
        assert np.median(apart) > 0.1


def test_every_market_has_a_snapshot_about_every_50th_row():
    deep = read(Simulator(seed=3, n_rows=200_000))
    for i in Simulator(seed=3, n_rows=10).table.instruments:
        mine = (deep.lane == i.lane) & (deep.symbol == i.symbol)
        book = mine & (deep.kind == Kind.BOOK)
        every = (mine & ~book).sum() / (book.sum() / 10)
        assert 35.0 < every < 70.0
    assert np.unique(np.diff([start for start, _ in messages(deep)])).size > 50  # not a beat


def test_it_says_that_it_is_simulated():
    feed = Simulator(seed=3, n_rows=10)
    assert feed.simulated
    assert all(name.startswith("sim") for name in feed.names)
    assert all(i.venue.startswith("sim") for i in feed.table.instruments)
    assert feed.description[0].kind == "simulated"
    assert feed.description[0].rows == feed.n_rows == 10


def test_prices_and_sizes_are_on_their_grids(deep):
    for i in Simulator(seed=3, n_rows=10).table.instruments:
        mine = (deep.lane == i.lane) & (deep.symbol == i.symbol)
        assert mine.sum() > 500
        for columns, step in (((deep.bid_px, deep.ask_px, deep.price), i.tick),
                              ((deep.bid_qty, deep.ask_qty, deep.qty), i.lot)):  # fmt: skip
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
    [
        {"seed": -1},
        {"n_rows": 0},
        {"lanes": 0},
        {"rate_hz": 0.0},
        {"rate_hz": float("nan")},
        {"depth_levels": -1},
        {"depth_levels": 101},
    ],
)
def test_settings_that_make_no_market_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Simulator(**({"seed": 1, "n_rows": 10} | wrong))
