"""Promise: a lane evaluates when its clock says so, tells the first gate that refused, and knows
nothing of money.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from operators.fibonacci.arbitrage import FAST, MEAN, SLOW, VARIANCE, N
from operators.governor.lane import Lane, LaneRules, LaneState
from operators.market.books.health import BookHealth
from operators.market.books.words import BookState
from schemas.instruments import InstrumentKind, InstrumentTable
from schemas.kinds import NO_SYMBOL, Control, Engine, Flag, Kind, ReportCode, Role
from schemas.reasons import Reason
from schemas.rows import ProposalRows
from tests.check_operator import check_operator
from tests.desk_cases import (
    EACH_TICK,
    MINUTE,
    MS,
    NAN,
    SECOND,
    START,
    STORM,
    TREND,
    control,
    features,
    heartbeat,
    instrument,
    lonely,
    market,
    quote,
    reason_of,
    report,
    row_at,
    table,
    trade,
)
from tests.desk_tape import desk_table, desk_tape

BINARY, SPOT, ARBITRAGE = Engine
EACH_SECOND = LaneRules(cadence_ns=SECOND)


def run(
    instruments: InstrumentTable, *rows: dict[str, Any], rules: LaneRules = EACH_TICK
) -> ProposalRows:
    lane = Lane(instruments.arrays(), rules)
    return lane.step(lane.initial(), features(*rows))[1]


def at(seconds: float) -> int:
    return START + round(seconds * SECOND)


# -- cadence --------------------------------------------------------------------------------------

ONE = table(lonely(0))


def evaluations(made: ProposalRows) -> list[tuple[float, int, float, int]]:
    """(second, market row, mid it saw, symbol) of each evaluation."""
    last = (made.kind == Kind.PROPOSAL) & (made.flags == Flag.MSG_LAST)
    mid = 0.5 * (made.bid_px + made.ask_px)
    return [
        ((made.ts_recv_ns[i] - START) / SECOND, made.market_seq[i], mid[i], made.symbol[i])
        for i in np.flatnonzero(last)
    ]


def tick(seconds: float, mid: float, **more: Any) -> dict[str, Any]:
    return quote(at(seconds), mid - 0.5, mid + 0.5, **more)


BEAT = Kind.HEARTBEAT
# fmt: off
CADENCE = [  # decide each second; q = a quote at that second, h = a heartbeat
    # what                                      rows                               evaluations
    #  (second, row, mid)
    ("within one second nothing is decided",
        [("q", 0.1, 150.0), ("q", 0.2, 151.0), ("q", 0.9, 152.0)],                  []),
    ("the first row past a multiple evaluates on the state before it",
        [("q", 0.1, 150.0), ("q", 0.9, 151.0), ("q", 1.2, 152.0)], [(1.2, 2, 151.0)]),
    ("exactly on the multiple is past it",
        [("q", 0.1, 150.0), ("q", 1.0, 151.0)], [(1.0, 1, 150.0)]),
    ("a heartbeat will do",
        [("q", 0.1, 150.0), ("h", 1.5)], [(1.5, 1, 150.0)]),
    ("multiples that were skipped give one evaluation",
        [("q", 0.1, 150.0), ("h", 7.5), ("q", 8.1, 151.0), ("h", 9.0)],
        [(7.5, 1, 150.0), (9.0, 3, 151.0)]),
    ("nothing new, nothing to decide",
        [("q", 0.1, 150.0), ("h", 1.0), ("h", 2.0), ("q", 2.5, 151.0), ("h", 3.0)],
        [(1.0, 1, 150.0), (3.0, 4, 151.0)]),
    ("the first row has nothing before it",
        [("q", 5.0, 150.0)],                                                        []),
    ("a quote without a mid is no news, but moves the clock",
        [("q", 0.1, 150.0), ("q", 1.1, NAN), ("h", 2.0)], [(1.1, 1, 150.0)]),
]
# fmt: on


@pytest.mark.parametrize(("what", "rows", "expected"), CADENCE, ids=[c[0] for c in CADENCE])
def test_cadence(what: str, rows: list[Any], expected: list[tuple[float, int, float]]) -> None:
    told = [tick(*row[1:]) if row[0] == "q" else heartbeat(at(row[1])) for row in rows]
    found = evaluations(run(ONE, *told, rules=EACH_SECOND))
    assert found == [(*each, 0) for each in expected]


def test_only_instruments_with_news_are_evaluated_in_table_order() -> None:
    #  second    0         1         2         3
    #  symbol 0  .q........|.........|q........|
    #  symbol 1  ..q.......|..q......|.........|
    #  symbol 2  .........q|.........|.........|
    three = table(lonely(0), lonely(1), lonely(2))
    rows = [
        tick(0.1, 100.0), tick(0.2, 101.0, symbol=1), tick(0.9, 102.0, symbol=2),
        tick(1.2, 103.0, symbol=1), tick(2.0, 104.0), heartbeat(at(3.0)),
    ]  # fmt: skip
    assert evaluations(run(three, *rows, rules=EACH_SECOND)) == [
        (1.2, 3, 100.0, 0), (1.2, 3, 101.0, 1), (1.2, 3, 102.0, 2),
        (2.0, 4, 103.0, 1),
        (3.0, 5, 104.0, 0),
    ]  # fmt: skip


def test_each_lane_has_its_own_clock() -> None:
    two = table(lonely(0), lonely(0, lane=2))
    rows = [
        tick(0.1, 100.0),
        tick(0.2, 200.0, lane=2),
        heartbeat(at(1.0)),
        heartbeat(at(1.5), lane=2),
    ]
    assert evaluations(run(two, *rows, rules=EACH_SECOND)) == [
        (1.0, 1, 100.0, 0), (1.5, 1, 200.0, 0)
    ]  # fmt: skip


def test_on_each_tick_the_tick_itself_is_seen() -> None:
    two = table(lonely(0), lonely(1))
    rows = [tick(0.1, 150.0), tick(0.1, 90.0, symbol=1), tick(0.2, 151.0), heartbeat(at(1.0))]
    assert evaluations(run(two, *rows)) == [
        (0.1, 0, 150.0, 0),
        (0.1, 1, 90.0, 1),
        (0.2, 2, 151.0, 0),
    ]


def test_nothing_is_decided_inside_a_venue_s_message() -> None:
    rows = [tick(0.1, 150.0) | {"flags": 0}, tick(0.1, 151.0), heartbeat(at(1.0))]
    assert evaluations(run(table(lonely(0)), *rows)) == [(0.1, 1, 151.0, 0)]


# -- the shape of an evaluation -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "regime", "ranks"),
    [
        ("volatile: binary first", STORM, [0, 1, 2]),
        ("a trend: spot first", TREND, [1, 0, 2]),
        ("neither: arbitrage first", {}, [1, 2, 0]),
    ],
)
def test_three_rows_in_written_order(what: str, regime: dict[str, float], ranks: list[int]) -> None:
    made = run(ONE, tick(0.1, 150.0, **regime), tick(0.2, 151.0, **regime))
    assert made.engine.tolist() == [BINARY, SPOT, ARBITRAGE] * 2
    assert made.rank.tolist() == ranks * 2
    assert made.flags.tolist() == [0, 0, Flag.MSG_LAST] * 2
    assert made.seq.tolist() == list(range(6))
    assert made.market_seq.tolist() == [0, 0, 0, 1, 1, 1]


def test_the_evidence_is_on_every_row() -> None:
    made = run(ONE, tick(0.1, 150.0, p_up=0.7, **STORM, window_change=3e-3))
    for name, value in (
        ("bid_px", 149.5), ("ask_px", 150.5), ("p_up", 0.7), ("atr", 4.0), ("vol_score", 2.0),
        ("trend_strength", 1.5), ("mean_reversion", -0.5),
    ):  # fmt: skip
        assert getattr(made, name) == pytest.approx([value] * 3), name


def test_reports_controls_and_heartbeats_pass_behind_what_they_release() -> None:
    answer = report(
        at(1.5), 9, Role.STOP, ReportCode.FILLED, -1, 2.0, 149.0, ref=0.25, reason=Reason.STOP_HIT
    )
    rows = [tick(0.1, 150.0), answer, control(at(1.6), Control.HALT), heartbeat(at(2.0))]
    made = run(ONE, *rows, rules=EACH_SECOND)
    made_here = [Kind.PROPOSAL] * 3
    assert made.kind.tolist() == [*made_here, Kind.REPORT, Kind.CONTROL, Kind.HEARTBEAT]
    assert made.market_seq.tolist() == [1, 1, 1, 1, 2, 3]
    assert made.seq.tolist() == list(range(6))
    passed = row_at(made, 3)
    for name in (
        "side",
        "code",
        "role",
        "reason",
        "ref_id",
        "price",
        "qty",
        "ref",
        "symbol",
        "flags",
    ):
        assert passed[name] == answer[name], name
    assert made.code[4] == Control.HALT
    assert made.symbol[3:].tolist() == [0, NO_SYMBOL, NO_SYMBOL]


def test_books_bars_and_the_like_do_not_pass() -> None:
    rows = [dict(tick(0.1, 150.0), kind=kind) for kind in (Kind.BOOK, Kind.BAR, Kind.FUNDING)]
    assert run(ONE, *rows).seq.size == 0


# -- each reason, once ----------------------------------------------------------------------------

# The leg is 100 to 200 and the ATR is 4: zones are one dollar wide to each side. Bid and ask are
# half a dollar to each side of mid. Each row differs from a good one by what is named.
# fmt: off
REASONS = [
    # what  instrument  tick  engine  reason
    ("a good binary",
        {}, {"mid": 150.0}, BINARY, Reason.OK),
    ("a good spot",
        {}, {"mid": 138.2}, SPOT, Reason.OK),
    ("too few ticks",
        {}, {"n_ticks": 511.0}, BINARY, Reason.WARMING_UP),
    ("just enough ticks",
        {}, {"n_ticks": 512.0}, BINARY, Reason.OK),
    ("ticks not counted",
        {}, {"n_ticks": NAN}, SPOT, Reason.WARMING_UP),
    ("no ATR yet",
        {}, {"atr": NAN}, SPOT, Reason.WARMING_UP),
    ("no slow deviation yet",
        {}, {"window_std_slow": NAN}, ARBITRAGE, Reason.ARB_NO_SECOND_VENUE),
    ("no slow deviation yet",
        {}, {"window_std_slow": NAN}, BINARY, Reason.WARMING_UP),
    ("no bid",
        {}, {"bid_px": NAN}, BINARY, Reason.NO_TWO_SIDED_QUOTE),
    ("an ask of zero",
        {}, {"ask_px": 0.0}, SPOT, Reason.NO_TWO_SIDED_QUOTE),
    ("a price that never moved",
        {}, {"atr": 0.0}, SPOT, Reason.NO_TWO_SIDED_QUOTE),
    ("no binaries here",
        {"binary_payout": "0"}, {}, BINARY, Reason.BINARY_NOT_OFFERED),
    ("binary without a swing",
        {}, {"pivot_before_px": NAN}, BINARY, Reason.BINARY_NO_SWING),
    ("binary out of zone",
        {}, {"mid": 190.0}, BINARY, Reason.BINARY_OUT_OF_ZONE),
    ("the model does not believe it",
        {}, {"p_up": 0.45}, BINARY, Reason.BINARY_EDGE_BELOW_COST),
    ("nothing converts the quote asset",
        {"quote": "PLN"}, {"mid": 138.2}, SPOT, Reason.SPOT_NOT_TRADABLE),
    ("spot without a swing",
        {}, {"pivot_px": NAN}, SPOT, Reason.SPOT_NO_SWING),
    ("spot out of zone",
        {}, {"mid": 150.0}, SPOT, Reason.SPOT_OUT_OF_ZONE),
    ("a short that nobody lends",
        {"can_short": False}, {"mid": 161.8, "pivot_before_px": 200.0, "pivot_px": 100.0}, SPOT,
        Reason.SPOT_NO_SHORT),
    ("that short, lent",
        {}, {"mid": 161.8, "pivot_before_px": 200.0, "pivot_px": 100.0}, SPOT, Reason.OK),
    # a stop two ATR of 60 away asks for a take-profit of 144, and 227.2 is 89 away
    ("the stop is too far",
        {},                    {"mid": 138.2, "atr": 60.0},  SPOT,      Reason.SPOT_REWARD_RISK),
    ("fees eat the profit",
        {"fee_taker": "0.25"}, {"mid": 138.2}, SPOT, Reason.SPOT_EDGE_BELOW_COST),
    ("the model is against it",
        {},                    {"mid": 138.2, "p_up": 0.44}, SPOT,      Reason.SPOT_AGAINST_MODEL),
    ("the model is not quite against it",
        {},                    {"mid": 138.2, "p_up": 0.45}, SPOT,      Reason.OK),
    ("the asset trades nowhere else",
        {},                    {},                           ARBITRAGE, Reason.ARB_NO_SECOND_VENUE),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "facts", "row", "engine", "reason"),
    REASONS,
    ids=[f"{c[0]} {c[3].name}" for c in REASONS],
)
def test_reasons(
    what: str, facts: dict[str, Any], row: dict[str, Any], engine: Engine, reason: Reason
) -> None:
    told = {"mid": 150.0, **row}
    made = run(table(lonely(0, **facts)), tick(0.1, told.pop("mid"), **told))
    assert reason_of(made.reason[engine]) is reason


@pytest.mark.parametrize(("age_s", "reason"), [(60.0, Reason.OK), (60.001, Reason.STALE_QUOTE)])
def test_a_stale_quote_is_refused(age_s: float, reason: Reason) -> None:
    made = run(ONE, tick(0.5, 150.0), heartbeat(at(0.5 + age_s)), rules=EACH_SECOND)
    assert reason_of(made.reason[BINARY]) is reason


# -- what is proposed -----------------------------------------------------------------------------


def test_a_binary_proposal() -> None:
    made = run(ONE, tick(0.1, 150.0, p_up=0.6))
    odds = 0.6 / 0.4 * math.exp(0.35)  # the model's, and a price on its level
    p = odds / (1.0 + odds)
    assert (made.side[BINARY], made.level_px[BINARY]) == (1, 150.0)
    assert made.confidence[BINARY] == pytest.approx(p)
    assert made.size_fraction[BINARY] == LaneRules().binary_size_max
    assert made.hold_ns[BINARY] == 5 * MINUTE


def test_a_binary_stakes_a_quarter_of_kelly() -> None:
    p = 0.556  # a hair above break-even, so that the cap is out of reach
    odds = p / (1.0 - p) / math.exp(0.35)
    made = run(ONE, tick(0.1, 150.0, p_up=odds / (1.0 + odds)))
    assert made.size_fraction[BINARY] == pytest.approx(0.25 * (p - (1 - p) / 0.8), rel=1e-9)


def test_a_put_believes_the_other_side_of_the_model() -> None:
    call = run(ONE, tick(0.1, 150.0, p_up=0.6))
    down = {"pivot_before_px": 200.0, "pivot_px": 100.0}
    put = run(ONE, tick(0.1, 150.0, p_up=0.4, **down))
    assert (call.side[BINARY], put.side[BINARY]) == (1, -1)
    assert put.confidence[BINARY] == pytest.approx(call.confidence[BINARY])


# fmt: off
SPOTS = [  # stop two ATR (8) from mid, on the tick of 0.1; target by trend
    # what  tick  side stop  target
    ("no trend",    {},                                                          1,  130.2, 227.2),
    ("some trend",  {"window_change": 2e-3},                                     1,  130.2, 261.8),
    ("a line",      {"window_change": 3.4e-3},                                   1,  130.2, 361.8),
    ("mirrored",    {"mid": 161.8, "pivot_before_px": 200.0, "pivot_px": 100.0}, -1, 169.8, 72.8),
    ("on the tick", {"mid": 138.24, "atr": 4.013},                               1,  130.2, 227.2),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "row", "side", "stop", "target"), SPOTS, ids=[c[0] for c in SPOTS]
)
def test_a_spot_proposal(
    what: str, row: dict[str, Any], side: int, stop: float, target: float
) -> None:
    told = {"mid": 138.2, **row}
    made = run(ONE, tick(0.1, told.pop("mid"), **told))
    assert reason_of(made.reason[SPOT]) is Reason.OK
    assert made.side[SPOT] == side
    assert (made.stop_px[SPOT], made.target_px[SPOT]) == pytest.approx((stop, target))
    assert (made.size_fraction[SPOT], made.hold_ns[SPOT]) == (0.0025, 15 * MINUTE)


def test_reward_over_risk_and_cost_are_counted_from_the_price_that_is_paid() -> None:
    # bought at 138.7: target 227.2 is 88.5 away, the stop is 2 ATR below 138.2
    # 88.5 = 1.2 * (0.5 + 2 atr)  ->  atr = 36.625
    for atr, reason in ((36.5, Reason.OK), (36.8, Reason.SPOT_REWARD_RISK)):
        assert run(ONE, tick(0.1, 138.2, atr=atr)).reason[SPOT] == reason
    # 88.5 = 1.5 * (1 + 138.2 * 2 fee)  ->  fee = 0.20984
    for fee, reason in (("0.2097", Reason.OK), ("0.2100", Reason.SPOT_EDGE_BELOW_COST)):
        dear = table(lonely(0, fee_taker=fee))
        assert run(dear, tick(0.1, 138.2)).reason[SPOT] == reason


def test_a_market_of_trades_is_quoted_half_a_tick_around_the_last() -> None:
    trades = table(lonely(0, has_quotes=False, tick="0.1"))
    made = run(trades, trade(at(0.1), 150.0))
    assert made.bid_px == pytest.approx([149.95] * 3)
    assert made.ask_px == pytest.approx([150.05] * 3)
    assert made.reason[BINARY] == Reason.OK


# -- arbitrage ------------------------------------------------------------------------------------

# One asset at three venues of a lane; the third is an inverse contract: dollars, not units, and
# its price compares as it is.
VENUES = table(
    instrument(0, base="BTC", quote="USDT"),
    instrument(1, base="BTC", quote="USDT", kind=InstrumentKind.LINEAR, contract_size="0.01"),
    instrument(2, base="BTC", quote="USD", kind=InstrumentKind.INVERSE, contract_size="100",
               settle="BTC"),
)  # fmt: skip


def usual_spreads(state: LaneState) -> None:
    """Every pair has run for long: mean 0, deviation 0.1 %, quiet."""
    state.pair[:, :, N], state.pair[:, :, MEAN] = 1000.0, 0.0
    state.pair[:, :, VARIANCE] = 1e-6
    state.pair[:, :, FAST], state.pair[:, :, SLOW] = 1e-6, 1e-5


def arbitrage(
    *rows: dict[str, Any], instruments: InstrumentTable = VENUES, warm: bool = True,
    pair: Mapping[str, float] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The arbitrage proposal that the last row causes."""
    lane = Lane(instruments.arrays(), EACH_TICK)
    state = lane.initial()
    if warm:
        usual_spreads(state)
    for name, value in (pair or {}).items():
        state.pair[:, :, {"n": N, "fast": FAST, "slow": SLOW, "variance": VARIANCE}[name]] = value
    made = lane.step(state, features(*rows))[1]
    found = np.flatnonzero((made.kind == Kind.PROPOSAL) & (made.engine == ARBITRAGE))[-1]
    return row_at(made, int(found))


def venue(symbol: int, mid: float, seconds: float = 0.1, **more: Any) -> dict[str, Any]:
    return quote(at(seconds), mid - 0.01, mid + 0.01, symbol=symbol, **more)


def dear(percent: float) -> float:
    """A price this far above 100 in logarithms."""
    return 100.0 * math.exp(percent / 100.0)


CALM, LOUD = (
    {"slow": 1e-3},
    {"fast": 1e-4},
)  # the leap itself is restless beside a slow mean of 1e-5
# fmt: off
ARBITRAGES = [  # what is told of symbol 0 last, after 1 and 2 stood at 100
    # what  here  pair  reason  side
    ("here is dear",
        dear(0.4),  CALM,                       Reason.OK,                  -1),
    ("here is cheap",
        dear(-0.4), CALM,                       Reason.OK,                  1),
    ("near the mean",
        dear(0.1),  CALM,                       Reason.ARB_NOT_STRETCHED,   0),
    ("too few rows",
        dear(0.4),  {"n": 200.0},               Reason.ARB_WARMING_UP,      0),
    ("less than both spreads",
        dear(0.03), {"variance": 1e-9, **CALM}, Reason.ARB_EDGE_BELOW_COST, 0),
    ("restless",
        dear(0.4),  LOUD,                       Reason.ARB_NOT_COMPRESSED,  0),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "here", "pair", "reason", "side"), ARBITRAGES, ids=[c[0] for c in ARBITRAGES]
)
def test_arbitrage(
    what: str, here: float, pair: dict[str, float], reason: Reason, side: int
) -> None:
    made = arbitrage(venue(1, 100.0), venue(2, 100.0), venue(0, here), pair=pair)
    assert (reason_of(made["reason"]), made["side"], made["side_second"]) == (reason, side, -side)


def test_fees_of_both_legs_in_and_out_are_costs() -> None:
    # four fills of 0.1 %, beside two spreads of 0.02 %
    costs: dict[str, Any] = {"fee_taker": "0.001"}
    paid = table(instrument(0, base="BTC", **costs), instrument(1, base="BTC", **costs))
    for here, reason in ((0.43, Reason.ARB_EDGE_BELOW_COST), (0.45, Reason.OK)):
        rows = (venue(1, 100.0), venue(0, dear(here)))
        assert arbitrage(*rows, instruments=paid, pair=CALM)["reason"] == reason


def test_the_partner_that_is_furthest_away_is_the_other_leg() -> None:
    made = arbitrage(venue(1, dear(0.1)), venue(2, dear(-0.1)), venue(0, dear(0.3)), pair=CALM)
    assert (made["symbol"], made["symbol_second"]) == (0, 2)
    assert made["bid_px_second"] == pytest.approx(dear(-0.1) - 0.01)
    assert made["ask_px_second"] == pytest.approx(dear(-0.1) + 0.01)
    stretch = 0.4 / 0.1  # of deviations; the leap moved mean and deviation by a thousandth
    assert made["confidence"] == pytest.approx(stretch**2 / (1 + stretch**2), abs=1e-3)
    assert (made["size_fraction"], made["hold_ns"]) == (0.04, 2 * MINUTE)
    assert made["target_px"] == made["level_px"] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("ready", [1, 2])
def test_a_partner_that_is_ready_beats_one_that_is_further_but_is_not(ready: int) -> None:
    lane = Lane(VENUES.arrays(), EACH_TICK)
    state = lane.initial()
    usual_spreads(state)
    further = 3 - ready
    state.pair[:, :, SLOW] = 1e-3
    state.pair[0, further - 1, FAST] = 1e-2  # 0 against it is restless
    there = [venue(ready, dear(0.1)), venue(further, dear(-0.3))]
    made = lane.step(state, features(*there, venue(0, dear(0.4))))[1]
    assert (made.reason[-1], made.symbol_second[-1]) == (Reason.OK, ready)


# fmt: off
SHORTS = [
    # what                                   lends (0, 1)     here        reason
    ("the leg here is sold, not lent",       (False, True),   dear(0.4),  Reason.SPOT_NO_SHORT),
    ("the leg there is sold, not lent",      (True, False),   dear(-0.4), Reason.SPOT_NO_SHORT),
    ("the leg that is bought needs no loan", (False, True),   dear(-0.4), Reason.OK),
]
# fmt: on


@pytest.mark.parametrize(("what", "lends", "here", "reason"), SHORTS, ids=[c[0] for c in SHORTS])
def test_both_legs_must_be_lent(
    what: str, lends: tuple[bool, bool], here: float, reason: Reason
) -> None:
    two = table(*(instrument(i, base="BTC", can_short=lends[i]) for i in (0, 1)))
    made = arbitrage(venue(1, 100.0), venue(0, here), instruments=two, pair=CALM)
    assert reason_of(made["reason"]) is reason


def test_trades_do_not_make_an_old_quote_young() -> None:
    quoted = {"bid_px": 149.5, "ask_px": 150.5, "mid": 150.0}
    rows = [tick(0.5, 150.0), *(trade(at(s), 150.0, **quoted) for s in (30.0, 60.0, 60.6, 62.0))]
    made = run(ONE, *rows)
    assert made.reason[made.engine == BINARY].tolist() == [Reason.OK] * 3 + [Reason.STALE_QUOTE] * 2


@pytest.mark.parametrize(("age_s", "reason"), [(60, Reason.OK), (61, Reason.ARB_SECOND_STALE)])
def test_a_stale_partner_is_refused(age_s: int, reason: Reason) -> None:
    two = table(instrument(0, base="BTC"), instrument(1, base="BTC"))
    rows = (venue(1, 100.0, 1.0), venue(0, dear(0.4), 1.0 + age_s))
    assert arbitrage(*rows, instruments=two, pair=CALM)["reason"] == reason


def test_one_stale_partner_does_not_hide_another() -> None:
    rows = (venue(1, 100.0, 0.0), venue(2, 100.0, 61.0), venue(0, dear(0.4), 61.5))
    made = arbitrage(*rows, pair=CALM)
    assert (made["reason"], made["symbol_second"]) == (Reason.OK, 2)


def test_a_spread_is_learnt_from_the_rows_themselves() -> None:
    rows, seen = [], []
    for i in range(600):
        swing = 0.02 if i > 500 else 0.1  # it becomes quiet before it leaps
        seen.append(0.2 + (swing if i % 2 else -swing))
        rows.append(venue(1, 100.0, i))
        rows.append(venue(0, dear(seen[-1]), i + 0.5))
    two = table(instrument(0, base="BTC"), instrument(1, base="BTC"))
    leap = venue(0, dear(0.2 + 0.6), 600.0)
    made = arbitrage(*rows, leap, instruments=two, warm=False)
    assert (made["reason"], made["side"]) == (Reason.OK, -1)
    # fewer than are remembered: each counts the same, the leap too
    assert made["target_px"] == pytest.approx(np.mean([*seen, 0.8]) / 100.0, rel=1e-9)
    early = arbitrage(*rows[:500], venue(0, dear(0.8), 250.0), instruments=two, warm=False)
    assert early["reason"] == Reason.ARB_WARMING_UP


# -- order books ----------------------------------------------------------------------------------

S = BookState


def status(seconds: float, state: BookState, symbol: int = 0) -> dict[str, Any]:
    """A BOOK_STATUS row; NaN where a tick has prices."""
    return dict(heartbeat(at(seconds), symbol=symbol, code=state), kind=Kind.BOOK_STATUS)


GOOD, PULLED = Reason.OK, Reason.BOOK_UNHEALTHY
# A gap costs a quarter: health passes 0.8 again 19.3 s behind it, and quoting returns 30 s later.
# fmt: off
BOOKS = [
    # what                              states of the book                      tick at  reason
    ("a market without a book",         [],                                         5.0, GOOD),
    ("before the first snapshot",       [(1, S.RESYNC)],                            5.0, PULLED),
    ("from the first snapshot on",      [(1, S.RESYNC), (2, S.SYNCED)],             5.0, GOOD),
    ("what nobody can prove",           [(2, S.UNPROVABLE)],                        5.0, GOOD),
    ("a gap",                           [(2, S.SYNCED), (4, S.GAP)],                5.0, PULLED),
    ("silence",                         [(2, S.SYNCED), (4, S.STALE)],              5.0, PULLED),
    ("crossed",                         [(2, S.SYNCED), (4, S.CROSSED)],            5.0, PULLED),
    ("a halt",                          [(2, S.SYNCED), (4, S.HALTED)],             5.0, PULLED),
    ("mended, and to be watched",       [(2, S.SYNCED), (4, S.GAP), (6, S.SYNCED)],
                                                                                   53.3, PULLED),
    ("30 s above 0.8",                  [(2, S.SYNCED), (4, S.GAP), (6, S.SYNCED)],
                                                                                   53.4, GOOD),
    ("as told again, then at once",     [(2, S.SYNCED), (4, S.GAP), (6, S.SYNCED), (54, S.SYNCED)],
                                                                                   54.1, GOOD),
    ("again a gap",                     [(2, S.SYNCED), (4, S.GAP), (6, S.SYNCED), (54, S.GAP)],
                                                                                   59.0, PULLED),
]
# fmt: on


@pytest.mark.parametrize(
    ("states", "second", "reason"), [c[1:] for c in BOOKS], ids=[c[0] for c in BOOKS]
)
def test_no_engine_works_on_a_book_that_is_not_healthy(
    states: list[tuple[float, BookState]], second: float, reason: Reason
) -> None:
    rows = [status(*each) for each in states]
    made = run(ONE, *rows, tick(second, 150.0))
    assert reason_of(made.reason[BINARY]) is reason
    assert (reason_of(made.reason[SPOT]) is PULLED) == (reason is PULLED)
    other = run(table(lonely(0), lonely(1)), *rows, tick(second, 150.0, symbol=1))
    assert reason_of(other.reason[BINARY]) is GOOD  # a book is its own market's


def test_the_other_leg_needs_a_healthy_book_too() -> None:
    rows = [venue(1, 100.0), venue(2, 100.0), venue(0, dear(0.4), 2.0)]
    for pulled, reason, second in (
        ([1], GOOD, 2),
        ([1, 2], Reason.ARB_SECOND_UNHEALTHY, NO_SYMBOL),
    ):
        told = [status(1.0, S.GAP, symbol) for symbol in pulled]
        made = arbitrage(*rows[:2], *told, rows[2], pair=CALM)
        assert (made["reason"], made["symbol_second"]) == (reason, second)


def test_a_lane_pulls_what_the_health_of_books_says() -> None:
    random = np.random.default_rng(3)
    rows, second = [], 0.0
    for _ in range(3000):
        second += float(random.exponential(4.0))
        if random.random() < 0.05:
            state = S(random.choice([S.SYNCED] * 4 + list(S)))
            rows.append(status(second, state))
        else:
            rows.append(tick(second, 150.0))
    made = run(ONE, *rows)
    binary = made.engine == BINARY
    pulled = dict(zip(made.market_seq[binary], made.reason[binary] == PULLED, strict=True))
    health = BookHealth(ONE.arrays())
    _, told = health.step(health.initial(), market(*rows))
    quoting, at_row = 1, 0
    for seq in sorted(pulled):
        while at_row < told.seq.size and told.seq[at_row] <= seq:
            quoting, at_row = int(told.quoting[at_row]), at_row + 1
        assert pulled[seq] == (not quoting), seq
    assert 0.1 < np.mean(list(pulled.values())) < 0.9


# -- the whole ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cadence_ns", [0, 400 * MS])
def test_promises_of_an_operator(cadence_ns: int) -> None:
    instruments, rules = desk_table(), LaneRules(cadence_ns=cadence_ns)
    _, rows = desk_tape(1500, seed=2)
    lane = Lane(instruments.arrays(), rules)
    check_operator(lane, rows, without_numba=True)
    made = lane.step(lane.initial(), rows)[1]
    reasons = {reason_of(int(reason)) for reason in made.reason[made.kind == Kind.PROPOSAL]}
    assert len(reasons) > 8, "the tape is too tame to prove anything"
