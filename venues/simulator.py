"""A seeded market of several venues, for demos and tests; everything that it says is made up.

The market is made in blocks that need nothing of each other. What joins them, prices and regimes
at the edges between blocks, is drawn first in one coarse walk; inside a block, prices are bridges
between its edges. So any position can be read at once, and memory stays that of a block.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.instruments import InstrumentTable
from schemas.kinds import NO_ID, Flag, Kind, Side
from schemas.rows import F8, I4, I8, MarketRows, empty
from venues.feed import SourceInfo, rebatch
from venues.tape.steps import step_text
from venues.venue_classes import instrument, terms

BLOCK_ROWS = 8192
START_NS = 1_704_067_200_000_000_000  # 2024-01-01T00:00:00Z
RATE_HZ = 50.0
SECOND_NS = 1_000_000_000
SOURCE = "sim"


class Regime(IntEnum):
    """What a market does for a while."""

    RANGE = 0
    TREND = 1
    VOLATILE = 2


@dataclass(frozen=True)
class _Asset:
    price: float
    sigma: float  # of log returns, per square root of a second, in a range


@dataclass(frozen=True)
class _Market:
    asset: str
    venue: str
    name: str
    weight: float  # share of the rows
    lag_ns: int  # behind the asset's own price
    basis: float  # standard deviation of its log basis, mean-reverting
    latency_ns: int  # from the venue to us
    decimals: int
    lot_decimals: int
    size: float  # median size at the touch
    spread_ticks: int


_ASSETS = {
    "BTC": _Asset(42_000.0, 6e-5),
    "ETH": _Asset(2_300.0, 8e-5),
    "EUR": _Asset(1.1, 8e-6),
}  # one walk each
_MS = 1_000_000
_MARKETS = (
    _Market("BTC", "sim_a", "BTCUSD", 0.22, 0, 1e-4, 2 * _MS, 1, 4, 0.8, 8),
    _Market("BTC", "sim_b", "BTCUSD_LIN", 0.20, 400 * _MS, 6e-4, 5 * _MS, 1, 3, 2.0, 4),
    _Market("BTC", "sim_c", "BTCUSD_INV", 0.12, 900 * _MS, 8e-4, 9 * _MS, 1, 0, 400.0, 10),
    _Market("ETH", "sim_a", "ETHUSD", 0.14, 0, 1e-4, 2 * _MS, 2, 3, 8.0, 6),
    _Market("ETH", "sim_b", "ETHUSD_LIN", 0.12, 500 * _MS, 6e-4, 5 * _MS, 2, 3, 15.0, 4),
    _Market("EUR", "sim_a", "EURUSD", 0.12, 0, 1e-5, 2 * _MS, 5, 0, 250_000.0, 4),
    _Market("EUR", "sim_b", "EURUSD", 0.08, 300 * _MS, 1.2e-4, 5 * _MS, 5, 0, 100_000.0, 6),
)
_TRADES = 0.3  # share of trades among the rows
_STAY = 0.85  # chance that a regime outlives a block
_SIGMA = {Regime.RANGE: 1.0, Regime.TREND: 1.2, Regime.VOLATILE: 3.5}
_BASIS_SECONDS = 60.0  # after which a basis has come back by 63 %
_SNAPSHOTS = BLOCK_ROWS // 50  # of the book, per block: as many in each, so that blocks are equal
_MAX_LEVELS = 100  # a side: the lowest bid stays far above zero


@dataclass(frozen=True)
class Simulator:
    """A feed of simulated markets: three assets on up to three venues each.

    Parameters
    ----------
    seed : int, >= 0
        The same seed, rows and rate give the same rows for ever.
    n_rows : int, > 0
    rate_hz : float, > 0
        Quotes and trades per simulated second, over all markets.
    lanes : int, > 0
        Assets go round robin over the lanes.
    depth_levels : int, 0 to 100
        Levels a side of each book snapshot; 0 gives no book.

    Notes
    -----
    Each asset has one price; its first venue shows it at once, others later and with a basis that
    comes back to zero. Regimes (range, trend, volatile) change per asset every few blocks of 8,192
    rows. Rows are quotes with sizes and trades with their aggressor, who follows the last moves
    more often than not. Behind one in 50 of them, always a quote, comes a snapshot of that book at
    the quote's own time: bids, then asks, from the touch, whose price and size are the quote's, to
    ever larger sizes one to three ticks apart; its rows share a `venue_seq`. With another depth,
    quotes and trades are the same, until `n_rows`, which counts every row and may cut the last
    snapshot, is reached. `source_row` is the merged position. Fees are low, so that spreads between
    the venues can be traded. Names of venues and source begin with `sim`.
    """

    seed: int
    n_rows: int
    rate_hz: float = RATE_HZ
    lanes: int = 8
    depth_levels: int = 5
    simulated: bool = field(default=True, init=False)
    has_recv: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("n_rows", 1), ("lanes", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, was {getattr(self, name)}")
        if not 0 <= self.depth_levels <= _MAX_LEVELS:
            raise ValueError(f"depth_levels must be in 0..{_MAX_LEVELS}, was {self.depth_levels}")
        if not 0.01 <= self.rate_hz <= 1e6:
            raise ValueError(f"rate_hz must be in 0.01..1000000, was {self.rate_hz}")

    @property
    def names(self) -> list[str]:
        return [SOURCE]

    @property
    def table(self) -> InstrumentTable:
        """Instruments by lane and, within a lane, by venue and name."""
        assets = sorted(_ASSETS)
        used = [0] * self.lanes
        made = []
        for market in sorted(_MARKETS, key=lambda m: (m.venue, m.name)):
            found = terms(market.venue, market.name)
            if found is None:
                raise ValueError(f"no terms for {market.venue}:{market.name}")
            lane = assets.index(market.asset) % self.lanes
            made.append(
                instrument(
                    market.venue,
                    market.name,
                    found,
                    lane=lane,
                    symbol=used[lane],
                    tick=step_text(market.decimals),
                    lot=step_text(market.lot_decimals),
                    has_quotes=True,
                    clock_offset_ns=market.latency_ns - min(_MS, market.latency_ns),
                )
            )
            used[lane] += 1
        made.sort(key=lambda i: (i.lane, i.symbol))
        return InstrumentTable(self.lanes, "USD", tuple(made))

    @property
    def description(self) -> list[SourceInfo]:
        settings = json.dumps([self.seed, self.n_rows, self.rate_hz, self.lanes, self.depth_levels])
        ticks = self.n_rows * (BLOCK_ROWS / self._block_rows)
        return [
            SourceInfo(
                name=SOURCE,
                kind="simulated",
                rows=self.n_rows,
                first_ns=START_NS,
                last_ns=START_NS + int(ticks / self.rate_hz * SECOND_NS),
                sha256=hashlib.sha256(settings.encode()).hexdigest(),
            )
        ]

    def read(self, start: int, batch_rows: int) -> Iterator[MarketRows]:
        """Rows from position `start` on; the blocks before it are not made."""
        first = min(start, self.n_rows) // self._block_rows
        return rebatch(self._blocks(first), skip_rows=start - first * self._block_rows,
                       batch_rows=batch_rows)  # fmt: skip

    @property
    def _block_rows(self) -> int:
        """Rows of a block with its snapshots; BLOCK_ROWS of them are quotes and trades."""
        return BLOCK_ROWS + _SNAPSHOTS * 2 * self.depth_levels

    def _blocks(self, first: int) -> Iterator[MarketRows]:
        # As many edges as without depth: their draws hang on how many there are.
        edges = _Edges(self.seed, -(-self.n_rows // BLOCK_ROWS), BLOCK_ROWS / self.rate_hz)
        where = {(i.venue, i.name): (i.lane, i.symbol) for i in self.table.instruments}
        place = np.array([where[m.venue, m.name] for m in _MARKETS])
        for block in range(first, -(-self.n_rows // self._block_rows)):
            rows, market = _block(self.seed, block, edges, place, self.rate_hz)
            if self.depth_levels:
                rows = _with_depth(rows, market, self.seed, block, self.depth_levels)
            n = min(self._block_rows, self.n_rows - block * self._block_rows)
            yield MarketRows._make(column[:n] for column in rows)


class _Edges:
    """Prices, bases and regimes at the edges of all blocks: a few numbers per block."""

    def __init__(self, seed: int, n_blocks: int, block_s: float) -> None:
        random = np.random.Generator(np.random.PCG64([seed, 0]))
        self.regime: NDArray[np.int64] = np.empty((len(_ASSETS), n_blocks), np.int64)
        self.log_price: F8 = np.empty((len(_ASSETS), n_blocks + 1))
        for a, asset in enumerate(_ASSETS.values()):
            regime, direction, price = Regime.RANGE, 1.0, float(np.log(asset.price))
            anchor = price
            self.log_price[a, 0] = price
            for block in range(n_blocks):
                if random.random() > _STAY:
                    regime, anchor = Regime(int(random.integers(3))), price
                    direction = 1.0 if random.random() < 0.5 else -1.0
                step = random.standard_normal() * asset.sigma * _SIGMA[regime] * block_s**0.5
                if regime == Regime.TREND:
                    step = 0.5 * step + direction * 1.5 * asset.sigma * block_s**0.5
                elif regime == Regime.RANGE:
                    step = 0.5 * step + 0.5 * (anchor - price)
                price += step
                self.regime[a, block], self.log_price[a, block + 1] = regime, price
        keep = float(np.exp(-block_s / _BASIS_SECONDS))
        deviation = np.array([[market.basis] for market in _MARKETS])
        self.basis: F8 = deviation * random.standard_normal((len(_MARKETS), n_blocks + 1))
        for block in range(n_blocks):
            shock = (1.0 - keep**2) ** 0.5 * self.basis[:, block + 1]
            self.basis[:, block + 1] = keep * self.basis[:, block] + shock


def _block(
    seed: int, block: int, edges: _Edges, place: Any, rate_hz: float
) -> tuple[MarketRows, I4]:
    """Quotes and trades of one block, at strictly increasing times, and the market of each."""
    random = np.random.Generator(np.random.PCG64([seed, 1, block]))
    n, span_ns = BLOCK_ROWS, BLOCK_ROWS / rate_hz * SECOND_NS
    first_ns = START_NS + int(block * span_ns)
    at = np.sort(random.random(n))
    # No two rows at one time: the order then does not hang on lanes. 1 ns of each is kept free.
    ts_ns = first_ns + (at * (span_ns - 2 * n)).astype(np.int64) + np.arange(n)
    weights = np.array([m.weight for m in _MARKETS])
    market: I4 = random.choice(len(_MARKETS), n, p=weights / weights.sum()).astype(np.int32)
    gaps_s = np.diff(at, prepend=0.0) * span_ns / SECOND_NS
    paths = [
        _path(random, a, asset, block, edges, gaps_s) for a, asset in enumerate(_ASSETS.values())
    ]
    rows = empty(MarketRows, n)
    rows.source_row[:] = np.arange(block * n, (block + 1) * n)
    rows.ts_recv_ns[:] = ts_ns
    rows.flags[:], rows.ref_id[:], rows.venue_seq[:] = Flag.MSG_LAST, NO_ID, -1
    rows.kind[:] = np.where(random.random(n) < _TRADES, np.uint8(Kind.TRADE), np.uint8(Kind.QUOTE))
    draws = random.standard_normal((4, n))  # follow, two sizes, width
    for m, one in enumerate(_MARKETS):
        mine = np.flatnonzero(market == m)
        a = list(_ASSETS).index(one.asset)
        lag = np.searchsorted(ts_ns, ts_ns[mine] - one.lag_ns, side="right") - 1
        log_mid = paths[a][np.maximum(lag, 0)] + _basis(random, one, m, block, edges, at[mine],
                                                        span_ns)  # fmt: skip
        calm = _SIGMA[Regime(int(edges.regime[a, block]))]
        _fill(rows, mine, one, log_mid, draws[:, mine], calm)
        rows.lane[mine], rows.symbol[mine] = place[m]
    return rows, market


def _path(
    random: np.random.Generator, a: int, asset: _Asset, block: int, edges: _Edges, gaps_s: F8
) -> F8:
    """Log price of one asset at each row: a bridge from the block's first edge to its last."""
    sigma = asset.sigma * _SIGMA[Regime(int(edges.regime[a, block]))]
    walk = np.cumsum(random.standard_normal(gaps_s.size) * sigma * np.sqrt(gaps_s))
    share = np.cumsum(gaps_s) / gaps_s.sum()
    first, last = edges.log_price[a, block], edges.log_price[a, block + 1]
    path: F8 = first + walk + share * (last - first - walk[-1])
    return path


def _basis(
    random: np.random.Generator, one: _Market, m: int, block: int, edges: _Edges, at: F8,
    span_ns: float,
) -> F8:  # fmt: skip
    """Log basis of one market at its rows: mean-reverting, from one edge to the next.

    Pulled to zero and to the next edge by turns: shocks come every few seconds and fade.
    """
    knots = np.linspace(0.0, 1.0, 33)
    keep = np.exp(-span_ns / SECOND_NS / 32.0 / _BASIS_SECONDS)
    shocks = random.standard_normal(33) * one.basis * (1.0 - keep**2) ** 0.5
    level = np.empty(33)
    level[0] = edges.basis[m, block]
    for k in range(1, 33):
        level[k] = keep * level[k - 1] + shocks[k]
    level += knots * (edges.basis[m, block + 1] - level[-1])
    found: F8 = np.interp(at, knots, level)
    return found


def _fill(rows: MarketRows, mine: I8, one: _Market, log_mid: F8, draws: F8, calm: float) -> None:
    """Quotes and trades of one market around its mid, on its grids of price and size."""
    follow, first, second, width = draws
    per_unit, lots = 10.0**one.decimals, 10.0**one.lot_decimals
    mid_ticks = np.exp(log_mid) * per_unit
    spread = np.maximum(np.rint(one.spread_ticks * calm**0.5 * np.exp(0.3 * width)), 1.0)
    bid = np.floor(mid_ticks - 0.5 * spread)
    ask = bid + spread
    sizes = [
        np.maximum(np.rint(one.size * np.exp(draw) * lots), 1.0) / lots for draw in (first, second)
    ]
    moves = np.diff(mid_ticks, prepend=mid_ticks[:1])
    drift = moves / max(float(np.abs(moves).mean()), 1e-12)
    buy = follow + 0.8 * drift > 0.0
    trade = rows.kind[mine] == Kind.TRADE
    t, q = mine[trade], mine[~trade]
    rows.side[t] = np.where(buy[trade], np.int8(Side.BUY), np.int8(Side.SELL))
    rows.price[t] = np.where(buy, ask, bid)[trade] / per_unit
    rows.qty[t] = np.maximum(np.rint(sizes[0][trade] * 0.2 * lots), 1.0) / lots
    rows.bid_px[q], rows.ask_px[q] = bid[~trade] / per_unit, ask[~trade] / per_unit
    rows.bid_qty[q], rows.ask_qty[q] = sizes[0][~trade], sizes[1][~trade]
    rows.ts_event_ns[mine] = rows.ts_recv_ns[mine] - one.latency_ns


def _with_depth(rows: MarketRows, market: I4, seed: int, block: int, levels: int) -> MarketRows:
    """The rows of one block with snapshots of the book behind some of its quotes.

    Drawn from a generator of their own, so that quotes and trades do not hang on depth.
    """
    random = np.random.Generator(np.random.PCG64([seed, 2, block]))
    quotes = np.flatnonzero(rows.kind == Kind.QUOTE)
    touch = np.sort(random.choice(quotes, _SNAPSHOTS, replace=False))
    copies = np.ones(rows.seq.size, np.int64)
    copies[touch] += 2 * levels
    found = MarketRows._make(np.repeat(column, copies) for column in rows)
    number = np.arange(_SNAPSHOTS)[:, None]
    at = touch[:, None] + 1 + 2 * levels * number + np.arange(2 * levels)  # (snapshots, rows)
    found.kind[at], found.flags[at], found.flags[at[:, -1]] = (
        Kind.BOOK, Flag.SNAPSHOT, Flag.SNAPSHOT | Flag.MSG_LAST,
    )  # fmt: skip
    found.venue_seq[at] = block * _SNAPSHOTS + number
    for column in (found.bid_px, found.bid_qty, found.ask_px, found.ask_qty):
        column[at] = np.nan
    found.source_row[:] = block * found.seq.size + np.arange(found.seq.size)
    per_unit = np.array([10.0**m.decimals for m in _MARKETS])[market[touch], None]
    lots = np.array([10.0**m.lot_decimals for m in _MARKETS])[market[touch], None]
    for side, mine, price, qty in (
        (Side.BUY, at[:, :levels], rows.bid_px, rows.bid_qty),
        (Side.SELL, at[:, levels:], rows.ask_px, rows.ask_qty),
    ):
        # Back to whole ticks and lots, which divide to the quote's own numbers, bit for bit.
        best, best_lots = np.rint(price[touch, None] * per_unit), np.rint(qty[touch, None] * lots)
        away = random.integers(1, 4, mine.shape)
        more = 1.0 + np.floor(0.5 * best_lots * random.random(mine.shape))
        away[:, 0], more[:, 0] = 0, 0.0
        found.side[mine] = side
        found.price[mine] = (best - side * np.cumsum(away, axis=1)) / per_unit
        found.qty[mine] = (best_lots + np.cumsum(more, axis=1)) / lots
    return found
