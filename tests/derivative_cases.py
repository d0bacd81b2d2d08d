"""Markets and rows for the tests of derivatives and of one market among others."""

from typing import Any, NamedTuple

import numpy as np

from operators.arrays import ArrayOperator
from operators.features.feature import Feature, Happenings, Terms
from operators.features.flow.events import EventsState, FlowEvents, flow_input
from operators.features.signal import Signal, SignalBlock, SignalInput
from schemas.instruments import Instrument, InstrumentKind, InstrumentTable
from schemas.kinds import Kind
from schemas.rows import F8, MarketRows, empty, take

START_NS = 1_717_200_000_000_000_000  # 2024-06-01T00:00Z
SECOND_NS = 1_000_000_000
MINUTE_NS, HOUR_NS, DAY_NS = 60 * SECOND_NS, 3600 * SECOND_NS, 86_400 * SECOND_NS


def market_of(
    symbol: int = 0, kind: InstrumentKind = InstrumentKind.SPOT, *, lane: int = 0, **more: Any
) -> Instrument:
    given: dict[str, Any] = {
        "lane": lane, "symbol": symbol, "venue": "v", "name": f"S{lane}{symbol}", "kind": kind,
        "base": "BTC", "quote": "USD", "settle": "USD", "contract_size": "1", "tick": "0.01",
        "lot": "0.01", "fee_maker": "0", "fee_taker": "0", "can_short": True, "has_quotes": True,
        "binary_payout": "0", "clock_offset_ns": 0, "assumed": "",
    }  # fmt: skip
    return Instrument(**given | more)


def table(*instruments: Instrument, lanes: int = 4) -> InstrumentTable:
    return InstrumentTable(lanes, "USD", instruments)


def terms(of: InstrumentTable, **more: Any) -> Terms:
    none = np.zeros(0, np.int64)
    given: dict[str, Any] = {
        "daily_qty": np.full(len(of.instruments), np.nan),
        "happenings": Happenings(none, none.astype(np.int8)),
    }
    return Terms(of, of.arrays(), **given | more)


def rows(*given: dict[str, Any]) -> MarketRows:
    """Market rows of lane 0, symbol 0, a second apart, unless they say otherwise; `at` in s."""
    made = empty(MarketRows, len(given))
    for i, one in enumerate(given):
        seconds = one.get("at", i)
        time_ns = START_NS + round(seconds * SECOND_NS)
        common = {"seq": i, "flags": 1, "ts_event_ns": time_ns, "ts_recv_ns": time_ns}
        for name, found in {**common, **{k: v for k, v in one.items() if k != "at"}}.items():
            getattr(made, name)[i] = found
    return made


def quote(mid: float, *, spread: float = 0.0, **more: Any) -> dict[str, Any]:
    both = {"bid_px": mid - spread / 2, "ask_px": mid + spread / 2, "bid_qty": 1.0, "ask_qty": 1.0}
    return {"kind": Kind.QUOTE, **both, **more}


def trade(price: float, qty: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"kind": Kind.TRADE, "price": price, "qty": qty, "side": 1, **more}


def funding(rate: float, interval_s: float = 28_800.0, **more: Any) -> dict[str, Any]:
    return {"kind": Kind.FUNDING, "price": rate, "ref": interval_s, **more}


def interest(qty: float, **more: Any) -> dict[str, Any]:
    return {"kind": Kind.OPEN_INTEREST, "qty": qty, **more}


def mark(price: float, index: float, **more: Any) -> dict[str, Any]:
    return {"kind": Kind.MARK, "price": price, "ref": index, **more}


class WholeState(NamedTuple):
    events: EventsState
    own: Any


class Whole(ArrayOperator[WholeState]):
    """An operator behind what makes its input from market rows, as one operator of those."""

    def __init__(self, of: InstrumentTable, operator: Signal[Any]) -> None:
        self._instruments = of.arrays()
        self._events = FlowEvents(self._instruments)
        self._own = operator

    def initial(self) -> WholeState:
        return WholeState(self._events.initial(), self._own.initial())

    def step(self, state: WholeState, market: MarketRows) -> tuple[WholeState, SignalBlock]:
        _, flow = self._events.step(state.events, flow_input(market))
        lane = np.clip(market.lane, 0, self._instruments.base.size - 1)
        known = (market.lane == lane) & (market.symbol >= 0)
        known &= market.symbol < self._instruments.n_of_lane[lane]
        k = np.where(known, self._instruments.base[lane] + market.symbol, -1).astype(np.int32)
        return state, self._own.step(state.own, SignalInput(market, k, flow))[1]


def run(of: InstrumentTable, operator: Signal[Any], market: MarketRows) -> dict[str, F8]:
    """What an operator shows, column by column."""
    whole = Whole(of, operator)
    block = whole.step(whole.initial(), market)[1].values
    return {name: block[:, j].copy() for j, name in enumerate(operator.NAMES)}


def check_registry(features: tuple[Feature, ...], given: Terms) -> None:
    """Each column of each operator is there once, and everything is said of it."""
    made = {feature.operator: feature.operator(given).NAMES for feature in features}
    names = [feature.name for feature in features]
    assert sorted(names) == sorted(name for of in made.values() for name in of)
    assert len(set(names)) == len(names)
    for feature in features:
        assert feature.name in made[feature.operator]
        assert feature.inputs
        assert all((feature.unit, feature.warm_up, feature.null, feature.source))
        assert feature.warm_up_ns >= 0


def check_warm_up(
    features: tuple[Feature, ...], given: Terms, market: MarketRows, *, shown: tuple[str, ...]
) -> None:
    """Nothing is shown before the market time that the registry says; these are shown at all."""
    found: dict[str, F8] = {}
    for make in dict.fromkeys(feature.operator for feature in features):
        found |= run(given.table, make(given), market)
    for feature in features:
        values = found[feature.name]
        assert np.isfinite(values).any() or feature.name not in shown, feature.name
        for i in given.table.instruments:
            mine = np.flatnonzero((market.lane == i.lane) & (market.symbol == i.symbol))
            known = mine[np.isfinite(values[mine])]
            if known.size:
                since = market.ts_event_ns[known[0]] - market.ts_event_ns[mine].min()
                assert since >= feature.warm_up_ns, feature.name


def check_inputs(
    features: tuple[Feature, ...], given: Terms, market: MarketRows, reads: dict[str, set[Kind]]
) -> None:
    """A feature does not change when rows are taken away that it does not read.

    `reads` has the kinds of rows of each word of `inputs`; none for what only needs the time. Signs
    of trades are given, since quotes sign those that have none.
    """
    market.side[market.side == 0] = 1
    market.ts_event_ns[:] = market.ts_recv_ns
    apart: dict[tuple[Any, frozenset[Kind]], list[str]] = {}
    for feature in features:
        kinds = frozenset[Kind]().union(*(reads[word] for word in feature.inputs))
        apart.setdefault((feature.operator, kinds or frozenset(Kind)), []).append(feature.name)
    for (make, kinds), names in apart.items():
        kept = np.isin(market.kind, list(kinds))
        whole = run(given.table, make(given), market)
        alone = run(given.table, make(given), take(market, kept))
        for name in names:
            np.testing.assert_array_equal(alone[name], whole[name][kept], err_msg=name)


def mixed(of: InstrumentTable, n: int, seed: int, *, seconds: float = 600.0) -> MarketRows:
    """Rows of every kind of every instrument, and some that are nobody's; about `seconds` apart.

    Prices walk about 100; now and then a value is missing or senseless, a venue time is late, or
    nothing happens for days.
    """
    random = np.random.default_rng(seed)
    made = empty(MarketRows, n)
    made.seq[:], made.flags[:] = np.arange(n), 1
    k = random.integers(0, len(of.instruments), n)
    made.lane[:] = np.array([i.lane for i in of.instruments])[k]
    made.symbol[:] = np.array([i.symbol for i in of.instruments])[k]
    made.kind[:] = random.choice(
        [Kind.QUOTE, Kind.TRADE, Kind.FUNDING, Kind.OPEN_INTEREST, Kind.MARK, Kind.BAR,
         Kind.HEARTBEAT], n, p=[0.45, 0.2, 0.1, 0.1, 0.1, 0.04, 0.01],
    )  # fmt: skip
    gaps = random.exponential(seconds, n) * (random.random(n) < 0.7)
    gaps[random.random(n) < 0.002] = 3 * 86_400
    made.ts_recv_ns[:] = START_NS + np.cumsum(np.round(gaps * SECOND_NS)).astype(np.int64)
    late = random.integers(0, 5 * SECOND_NS, n) * (random.random(n) < 0.1)
    made.ts_event_ns[:] = made.ts_recv_ns - late
    walk = 100.0 * np.exp(np.cumsum(random.normal(0.0, 2e-3, n)))
    made.bid_px[:], made.ask_px[:] = walk * 0.9999, walk * 1.0001
    made.bid_qty[:], made.ask_qty[:] = np.round(random.exponential(2.0, (2, n)), 2) + 0.01
    made.price[:], made.ref[:] = walk, walk * np.exp(random.normal(0.0, 1e-3, n))
    made.qty[:] = np.round(random.exponential(3.0, n), 2)
    made.side[:] = random.choice([-1, 0, 1], n)
    rates = made.kind == Kind.FUNDING
    made.price[rates] = random.normal(1e-4, 2e-4, n)[rates]
    made.ref[rates] = random.choice([3600.0, 28_800.0], n)[rates]
    for column in (made.bid_px, made.price, made.ref, made.qty):
        column[random.random(n) < 0.01] = np.nan
    made.qty[random.random(n) < 0.01] = 0.0
    made.price[random.random(n) < 0.005] = -1.0
    made.symbol[random.random(n) < 0.01] = 99
    made.lane[random.random(n) < 0.01] = -1
    return made
