"""A market of limit order books as a feed: everything that it says is made up.

Orders of several venues of one asset arrive by a Hawkes process and meet in books that match by
price and time; what is planted is in `labels`.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property

import numpy as np

from schemas.instruments import InstrumentTable
from schemas.kinds import Side
from schemas.rows import I8, MarketRows, concat, take
from venues.feed import SourceInfo, rebatch
from venues.lob.engine.agents import Script
from venues.lob.engine.book import BID, Books
from venues.lob.engine.flow import (
    VENUES,
    LobVenue,
    Regime,
    Spells,
    hawkes_terms,
    spells,
)
from venues.lob.engine.hawkes import HawkesTerms, arrivals
from venues.lob.engine.market import MARKS, VENUE, Ordinary, run_market
from venues.lob.labels import DECOYS, LabelRows, Plant, blank_labels
from venues.lob.plan import MEDIAN_LEVEL_LOTS, USUAL, Density, Plan, make_plan
from venues.lob.strength import S_NS, scaled
from venues.lob.wire import LOT, LOTS_PER_UNIT, TICK, Received, price_of, receive
from venues.venue_classes import instrument, terms

START_NS = 1_704_067_200_000_000_000  # 2024-01-01T00:00:00Z
MINUTES_MAX = 240.0  # 5 M rows: 0.8 GB, and three times as much while they are made
REFILLS_MIN = 3  # an iceberg that nobody took from so often showed nothing of what it is
_FLOW, _MARKS, _REGIMES, _PLAN, _WIRE = range(5)  # streams of random numbers of a seed


@dataclass(frozen=True)
class LobSimulator:
    """A feed of one simulated asset at several venues, with labelled events.

    Parameters
    ----------
    seed : int, >= 0
        The same seed and settings give the same rows for ever.
    minutes : float, 0.1 to 240
        Of market time. Nothing is planted in the first three.
    strength : float, 0.05 to 2
        Of planted events; 1 is what `venues/lob/strength.py` declares.
    density : Density
        How many are planted.
    faults_per_hour : float, >= 0
        Messages of each venue that are lost, doubled or late.
    calm_only : bool
        One regime all the time.
    by_order : bool
        Books order by order, whole at the start alone, so without faults: fills are FILL rows, each
        followed by what is left of its order. What happens in the market is the same.
    venues : tuple of LobVenue
        The first leads.
    lanes : int, > 0
        The asset is in lane 0.

    Notes
    -----
    Rows are TRADE (side is the aggressor), BOOK (every level: a snapshot at the start and each
    60 s, and one message per action, with MSG_LAST) and QUOTE (each change of the best); those of
    one action come in that order, and trades, books and quotes of a numbered venue count their own
    messages in `venue_seq` (a quote has the number of its book message). `ts_event_ns` is the
    venue's clock, off and drifting as its LobVenue says. The whole market is made when it is first
    read, and kept: 150 bytes a row, about 20,000 rows a minute. All names begin with `sim`.
    """

    seed: int
    minutes: float = 30.0
    strength: float = 1.0
    density: Density = USUAL
    faults_per_hour: float = 4.0
    calm_only: bool = False
    by_order: bool = False
    venues: tuple[LobVenue, ...] = VENUES
    lanes: int = 8
    simulated: bool = field(default=True, init=False)
    has_recv: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        if self.seed < 0 or self.lanes < 1:
            raise ValueError(f"seed must be at least 0, lanes 1, were {self.seed}, {self.lanes}")
        if not 0.1 <= self.minutes <= MINUTES_MAX:
            raise ValueError(f"minutes must be in 0.1..{MINUTES_MAX:g}, was {self.minutes}")
        if not 0.0 <= self.faults_per_hour <= 600.0:
            raise ValueError(f"faults_per_hour must be in 0..600, was {self.faults_per_hour}")
        if self.by_order and self.faults_per_hour:
            raise ValueError("by_order needs faults_per_hour=0: a lost row is never made good")
        scaled(self.strength)

    @property
    def names(self) -> list[str]:
        return [f"sim:{one.venue}:{one.name}" for one in self.venues]

    @cached_property
    def table(self) -> InstrumentTable:
        made = []
        for symbol, one in enumerate(self.venues):
            found = terms(one.venue, one.name)
            if found is None:
                raise ValueError(f"no terms for {one.venue}:{one.name}")
            made.append(
                instrument(
                    one.venue, one.name, found, lane=0, symbol=symbol, tick=TICK, lot=LOT,
                    has_quotes=True, clock_offset_ns=one.offset_ns,
                )
            )  # fmt: skip
        return InstrumentTable(self.lanes, "USD", tuple(made))

    @property
    def n_rows(self) -> int:
        return int(self.rows.seq.size)

    @property
    def description(self) -> list[SourceInfo]:
        settings = asdict(self)
        if not self.by_order:  # as the digests of markets by level were made
            del settings["by_order"]
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        found = []
        for source, name in enumerate(self.names):
            stamps_ns = self.rows.ts_event_ns[self.rows.source == source]
            found.append(
                SourceInfo(name, "simulated", int(stamps_ns.size), int(stamps_ns.min()),
                           int(stamps_ns.max()), digest)
            )  # fmt: skip
        return found

    @property
    def rows(self) -> MarketRows:
        """All rows in order."""
        return self._made[0]

    @property
    def labels(self) -> LabelRows:
        """What was planted, decoys and regimes."""
        return self._made[1]

    @property
    def final_books(self) -> Books:
        """The books at the end, order by order."""
        return self._made[2]

    @cached_property
    def regimes(self) -> Spells:
        return spells(self._random(_REGIMES), self._total_s, calm_only=self.calm_only)

    @cached_property
    def hawkes(self) -> HawkesTerms:
        """What drives the ordinary orders."""
        return hawkes_terms(self.venues, self.regimes)

    def read(self, start: int, batch_rows: int) -> Iterator[MarketRows]:
        """Rows from position `start` on."""
        return rebatch([self.rows], skip_rows=start, batch_rows=batch_rows)

    @cached_property
    def _made(self) -> tuple[MarketRows, LabelRows, Books]:
        plan = make_plan(
            self._random(_PLAN), venues=len(self.venues), total_s=self._total_s,
            strength=scaled(self.strength), density=self.density,
        )  # fmt: skip
        told, desk = run_market(
            self._ordinary(), plan.agents, plan.draws,
            np.array([int(one.lag_s * S_NS) for one in self.venues]), int(self._total_s * S_NS),
            by_order=self.by_order,
        )  # fmt: skip
        received = [
            receive(
                told[told[:, VENUE] == source], one, source=source, start_ns=START_NS,
                faults_per_hour=self.faults_per_hour,
                random=np.random.Generator(np.random.PCG64([self.seed, _WIRE, source])),
            )
            for source, one in enumerate(self.venues)
        ]  # fmt: skip
        rows = concat([one.rows for one in received])
        order = np.lexsort((rows.source_row, rows.source, rows.lane, rows.ts_recv_ns))
        labels = concat(
            [self._planted(plan, received), self._regimes(received[0]),
             *(one.faults for one in received)]
        )  # fmt: skip
        by_onset = np.argsort(labels.onset_ns, kind="stable")
        return take(rows, order), take(labels, by_onset), desk.books

    def _ordinary(self) -> Ordinary:
        found = arrivals(self.hawkes, self._random(_FLOW))
        t_ns = np.rint(found.at_s * S_NS).astype(np.int64)
        step = np.arange(t_ns.size)
        t_ns = np.maximum.accumulate(t_ns - step) + step  # no two at one time
        random = self._random(_MARKS)
        marks = random.random((t_ns.size, MARKS))
        marks[:, 0] = random.standard_normal(t_ns.size)
        return Ordinary(t_ns, found.type, marks)

    def _planted(self, plan: Plan, received: list[Received]) -> LabelRows:
        """Labels of the agents whose order was in the book, in log time."""
        agents, strength = plan.agents, scaled(self.strength)
        native = agents.native == 1
        refills = np.where(native, np.maximum(agents.filled - 1, 0) // np.maximum(agents.lots, 1),
                           agents.refills)  # fmt: skip
        seen = (agents.status > 0) & (agents.ended_ns > agents.began_ns)
        seen &= (plan.kind != Plant.ICEBERG) | (refills >= REFILLS_MIN)
        seen &= (plan.kind != Plant.ABSORPTION) | (agents.filled > 0)
        push = agents.script == Script.PUSH
        seen &= ~push | (agents.phase == 1)
        index = np.flatnonzero(seen)
        of, kind = agents[index], plan.kind[index]
        rows = blank_labels(index.size)
        rows.kind[:], rows.decoy[:] = kind, np.isin(kind, np.array(DECOYS))
        rows.group[:] = plan.group[index]
        rows.source[:], rows.symbol[:] = of.venue, of.venue
        push = push[index]
        rows.side[:] = np.where((of.side == BID) != push, Side.BUY, Side.SELL)
        rows.price[:] = price_of(of.tick)
        rows.onset_ns[:] = _log_ns(received, of.venue, of.began_ns, last=False)
        rows.end_ns[:] = _log_ns(received, of.venue, of.ended_ns, last=True)
        _numbers(rows, of.lots, of.delay_ns, of.life_ns, of.distance)
        ice = kind == Plant.ICEBERG
        rows.hidden_ratio[ice] = strength.iceberg.hidden_ratio
        rows.delay_ns[native[index]] = 0.0
        rows.refills[:] = np.where(of.script == Script.ICEBERG, refills[index], np.nan)
        rows.filled[:] = np.where(push, np.nan, of.filled / LOTS_PER_UNIT)
        wall = kind == Plant.ABSORPTION
        rows.volume_ratio[wall] = strength.absorption.volume_ratio
        rows.residual[wall] = strength.absorption.residual
        return rows

    def _regimes(self, leader: Received) -> LabelRows:
        """Trends and volatile times of the asset, at its leading venue."""
        of = self.regimes
        from_s = np.concatenate([[0.0], of.until_s[:-1]])
        index = np.flatnonzero(of.regime != Regime.CALM)
        rows = blank_labels(index.size)
        rows.kind[:] = np.where(of.regime[index] == Regime.TREND, Plant.TREND, Plant.VOLATILE)
        rows.group[:], rows.side[:] = -1, of.direction[index]
        for name, at_s, last in (("onset_ns", from_s, False), ("end_ns", of.until_s, True)):
            t_ns = (at_s[index] * S_NS).astype(np.int64)
            getattr(rows, name)[:] = _log_ns([leader], np.zeros(index.size, int), t_ns, last=last)
        return rows

    @property
    def _total_s(self) -> float:
        return 60.0 * self.minutes

    def _random(self, stream: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([self.seed, stream]))


def _numbers(rows: LabelRows, lots: I8, delay_ns: I8, life_ns: I8, distance: I8) -> None:
    """What each kind of plant is declared to be."""
    kind = rows.kind
    large = np.isin(kind, [Plant.SPOOF, Plant.LAYERING, Plant.CANCEL])
    shown = np.isin(kind, [Plant.ICEBERG, Plant.REFILL, Plant.FLICKER, Plant.ABSORPTION])
    rows.qty[:] = np.where(large | shown, lots / LOTS_PER_UNIT, np.nan)
    rows.size_ratio[:] = np.where(large, lots / MEDIAN_LEVEL_LOTS, np.nan)
    rows.distance_ticks[:] = np.where(large, distance, np.nan)
    rows.life_ns[:] = np.where(large | (kind == Plant.ABSORPTION), life_ns, np.nan)
    rows.delay_ns[:] = np.where(np.isin(kind, [Plant.ICEBERG, Plant.REFILL]), delay_ns, np.nan)


def _log_ns(received: list[Received], venue: I8, t_ns: I8, *, last: bool) -> I8:
    """Receive time of the first row at or after a market time; of the last one at or before."""
    found = np.empty(t_ns.size, np.int64)
    for v, one in enumerate(received):
        mine = np.flatnonzero(venue == v)
        market_ns = np.maximum.accumulate(one.t_ns)
        place = np.searchsorted(market_ns, t_ns[mine], side="right" if last else "left")
        place = np.clip(place - 1 if last else place, 0, one.t_ns.size - 1)
        found[mine] = one.rows.ts_recv_ns[place]
    return found
