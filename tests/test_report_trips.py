"""Round trips read back from reports: what each envelope became, and what it was worth."""

import csv
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from console.report.trades_csv import TRADE_COLUMNS, write_trades_csv
from console.report.trips import build_trips
from operators.ledger.views import equity
from schemas.instruments import InstrumentKind, InstrumentTable
from schemas.kinds import Engine, ReportCode, Role
from schemas.reasons import Reason
from tests.test_report_synthetic import (
    BALANCE,
    MINUTE_NS,
    START_NS,
    TABLE,
    instrument,
    run_data,
    walking_run,
)

SPOT, BINARY, ARBITRAGE = int(Engine.SPOT), int(Engine.BINARY), int(Engine.ARBITRAGE)
ENTRY, STOP, TARGET, FLATTEN = (int(r) for r in (Role.ENTRY, Role.STOP, Role.TARGET, Role.FLATTEN))
SECOND, SECOND_OUT = int(Role.SECOND_LEG), int(Role.SECOND_FLATTEN)
FILLED, REJECTED = int(ReportCode.FILLED), int(ReportCode.REJECTED)
WON, LOST, REFUND = (
    int(ReportCode.SETTLED_WON), int(ReportCode.SETTLED_LOST), int(ReportCode.REFUNDED),
)  # fmt: skip
MARKS = {0: ([START_NS, START_NS + 9 * MINUTE_NS], [100.0, 110.0])}


def approved(engine: int = SPOT, side: int = 1, **over: Any) -> dict[str, Any]:
    row = {"approved": 1, "engine": engine, "side": side, "ts_recv_ns": START_NS, "confidence": 0.6}
    return row | over


def report(role: int, side: int, price: float, qty: float, **over: Any) -> dict[str, Any]:
    row = {"role": role, "side": side, "price": price, "qty": qty, "ref": 0.0, "code": FILLED}
    return row | {"symbol": 0, "ref_id": 0, "ts_recv_ns": START_NS + MINUTE_NS} | over


REACHED, STOPPED, EXPIRED = Reason.TARGET_HIT, Reason.STOP_HIT, Reason.HOLD_EXPIRED
NO_MARKET = {"code": REJECTED, "reason": Reason.VENUE_NO_MARKET}
TIE = {"code": REFUND, "reason": Reason.VENUE_REFUND_TIE}
LONG, SHORT, CALL = approved(), approved(side=-1), approved(BINARY)
NAN = math.nan
Fill = tuple[int, int, float, float, dict[str, Any]]  # role, side, price, qty, and what differs
IN: Fill = (ENTRY, 1, 100.0, 2.0, {})
OUT: Fill = (TARGET, -1, 103.0, 2.0, {"reason": REACHED})
STAKE: Fill = (7, 1, 100.0, 50.0, {})
# fmt: off
SINGLE = [  # one envelope of EURUSD, its fills, what became of it, pnl before fees by hand
    ("take-profit",  LONG,  "closed",   "TARGET_HIT",      6.0,   [IN, OUT]),
    ("stopped",      LONG,  "closed",   "STOP_HIT",        -4.0,
     [IN, (STOP, -1, 98.0, 2.0, {"reason": STOPPED})]),
    ("short, late",  SHORT, "closed",   "HOLD_EXPIRED",    2.0,
     [(ENTRY, -1, 100.0, 2.0, {}), (FLATTEN, 1, 99.0, 2.0, {"reason": EXPIRED})]),
    ("still open",   LONG,  "open",     "",                20.0,  [IN]),
    ("exit refused", LONG,  "open",     "",                20.0,
     [IN, (STOP, -1, NAN, 2.0, NO_MARKET)]),
    ("refused",      LONG,  "rejected", "VENUE_NO_MARKET", 0.0,  [(ENTRY, 1, NAN, 2.0, NO_MARKET)]),
    ("no answer",    LONG,  "pending",  "",                0.0,   []),
    ("two entries",  LONG,  "closed",   "TARGET_HIT",      6.0,
     [(ENTRY, 1, 99.0, 1.0, {}), (ENTRY, 1, 101.0, 1.0, {}), OUT]),
    ("won",          CALL,  "closed",   "SETTLED_WON",     42.5,
     [STAKE, (7, 1, 101.0, 50.0, {"code": WON})]),
    ("lost",         CALL,  "closed",   "SETTLED_LOST",    -50.0,
     [STAKE, (7, 1, 99.0, 50.0, {"code": LOST})]),
    ("tie",          CALL,  "closed",   "REFUNDED",        0.0,  [STAKE, (7, 1, 100.0, 50.0, TIE)]),
    ("binary open",  CALL,  "open",     "",                0.0,   [STAKE]),
]
# fmt: on


@pytest.mark.parametrize(
    ("decision", "status", "reason", "pnl", "fills"),
    [case[1:] for case in SINGLE],
    ids=[case[0] for case in SINGLE],
)
def test_one_envelope(
    decision: dict[str, Any], status: str, reason: str, pnl: float, fills: list[Fill]
) -> None:
    made = [report(*fill[:4], **fill[4]) for fill in fills]
    trip = build_trips(run_data([decision], made, prices=MARKS))[0]
    assert (trip.status, trip.exit_reason) == (status, reason)
    assert trip.pnl == pytest.approx(pnl, abs=1e-9)


def test_fees_come_off_and_inverse_profit_is_coins_at_the_exit_price() -> None:
    """100 contracts of 100 USD from 50,000 to 40,000, short: 10,000 x (1/40k - 1/50k) coins."""
    made = [
        report(ENTRY, -1, 50_000.0, 100.0, symbol=2, ref=0.00004),
        report(TARGET, 1, 40_000.0, 100.0, symbol=2, ref=0.00005, reason=Reason.TARGET_HIT),
    ]
    trip = build_trips(run_data([approved(symbol=2, side=-1)], made))[0]
    assert trip.pnl == pytest.approx(10_000 * (1 / 40_000 - 1 / 50_000) * 40_000)
    assert trip.fees == pytest.approx(0.00004 * 50_000 + 0.00005 * 40_000)
    assert trip.net == pytest.approx(2_000.0 + 500.0 - 4.0 - 500.0)


def test_linear_contracts_count_their_size() -> None:
    table = InstrumentTable(
        1, "USD", (instrument(0, "BTCUSDT", InstrumentKind.LINEAR, contract_size="0.01"),)
    )
    made = [report(ENTRY, 1, 50_000.0, 3.0), report(STOP, -1, 49_000.0, 3.0, reason=204)]
    trip = build_trips(run_data([approved()], made, table=table))[0]
    assert trip.pnl == pytest.approx(3 * 0.01 * -1_000)


def test_profit_in_another_currency_takes_the_rate_of_its_exit() -> None:
    """Yen through USDJPY, which must be inverted; 1,000 EUR from 140 to 141 at 100 then 125 yen."""
    table = InstrumentTable(
        1,
        "USD",
        (
            instrument(0, "EURJPY", InstrumentKind.SPOT),
            instrument(1, "USDJPY", InstrumentKind.SPOT),
        ),
    )
    made = [
        report(ENTRY, 1, 140.0, 1_000.0, ref=28.0),
        report(STOP, -1, 141.0, 1_000.0, ref=25.0, reason=204, ts_recv_ns=START_NS + 3 * MINUTE_NS),
    ]
    prices = {1: ([START_NS, START_NS + 2 * MINUTE_NS], [100.0, 125.0])}
    trip = build_trips(run_data([approved()], made, table=table, prices=prices))[0]
    assert trip.pnl == pytest.approx(1_000.0 / 125.0)
    assert trip.fees == pytest.approx(28.0 / 100.0 + 25.0 / 125.0)
    without = build_trips(run_data([approved()], made, table=table))[0]
    assert math.isnan(without.pnl)


PAIR = {
    "side_second": 1, "symbol": 2, "symbol_second": 1, "qty": 150.0, "qty_second": 0.25,
    "bid_px": 60_600.0, "ask_px": 60_600.0, "bid_px_second": 60_000.0, "ask_px_second": 60_000.0,
    "target_px": 0.0, "worst_loss": 50.0,
}  # fmt: skip


def test_both_legs_of_an_arbitrage_are_one_trip() -> None:
    made = [
        report(ENTRY, -1, 60_600.0, 150.0, symbol=2),
        report(SECOND, 1, 60_000.0, 0.25, symbol=1),
        report(FLATTEN, 1, 60_300.0, 150.0, symbol=2, reason=Reason.SPREAD_CONVERGED),
        report(SECOND_OUT, -1, 60_300.0, 0.25, symbol=1, reason=Reason.SPREAD_CONVERGED),
    ]
    trip = build_trips(run_data([approved(ARBITRAGE, -1, **PAIR)], made))[0]
    first = 15_000.0 * (1 / 60_300 - 1 / 60_600) * 60_300
    assert [leg.instrument for leg in trip.legs] == ["simfut:BTCUSD", "sim:BTCUSDT"]
    assert [leg.pnl for leg in trip.legs] == pytest.approx([first, 75.0])
    assert (trip.status, trip.exit_reason) == ("closed", "SPREAD_CONVERGED")
    assert trip.reward_risk == pytest.approx(math.log(60_600 / 60_000) * 15_000.0 / 50.0)


def test_a_pair_with_one_leg_left_is_open_and_one_that_failed_is_closed() -> None:
    half = [
        report(ENTRY, -1, 60_600.0, 150.0, symbol=2),
        report(SECOND, 1, 60_000.0, 0.25, symbol=1),
        report(FLATTEN, 1, 60_300.0, 150.0, symbol=2, reason=Reason.SPREAD_CONVERGED),
    ]
    decision = approved(ARBITRAGE, -1, **PAIR)
    prices = {1: ([START_NS], [60_100.0])}
    trip = build_trips(run_data([decision], half, prices=prices))[0]
    assert (trip.status, trip.exit_ts_ns) == ("open", -1)
    assert trip.legs[1].pnl == pytest.approx(25.0)
    failed = [
        half[0],
        half[1] | {"code": REJECTED, "price": math.nan, "reason": Reason.VENUE_NO_MARKET},
        half[2] | {"reason": Reason.LEG_FAILED},
    ]
    trip = build_trips(run_data([decision], failed))[0]
    assert (trip.status, trip.exit_reason, trip.legs[1].pnl) == ("closed", "LEG_FAILED", 0.0)


def test_planned_reward_over_risk() -> None:
    plan: dict[str, Any] = {"bid_px": 99.0, "ask_px": 101.0, "stop_px": 98.0, "target_px": 103.0}
    spot, binary, unknown = build_trips(run_data([approved(**plan), approved(BINARY), approved()]))
    assert spot.reward_risk == pytest.approx(1.5)
    assert binary.reward_risk == 0.85
    assert math.isnan(unknown.reward_risk)


def test_a_report_without_its_envelope_is_refused() -> None:
    with pytest.raises(ValueError, match="envelope 5, which no decision approved"):
        build_trips(run_data([approved()], [report(ENTRY, 1, 100.0, 1.0, ref_id=5)]))


def test_trips_and_the_exact_ledger_agree() -> None:
    """Two views of the same reports: floats per trip here, decimals per account there."""
    data = walking_run(days=5, seed=3)
    trips = build_trips(data)
    marks = {(0, k): Decimal(str(data.prices[k].mid[-1])) for k in range(3)}
    rates = {"USD": Decimal(1), "USDT": Decimal(1), "EUR": marks[0, 0], "BTC": marks[0, 1]}
    worth = float(equity(data.book, marks, rates))
    coins = [t for t in trips if t.engine is Engine.ARBITRAGE]
    # coins won or paid by inverse contracts are marked at the end there, at each exit here
    moved = sum(abs(leg.pnl) + leg.fees for t in coins for leg in t.legs if leg.row == 2)
    change = max(data.prices[1].mid) / min(data.prices[1].mid) - 1.0
    expected = BALANCE + math.fsum(t.net for t in trips)
    assert worth == pytest.approx(expected, abs=moved * change + 1e-6)
    assert len(coins) > 5
    assert abs(worth - BALANCE) > moved * change  # the tolerance hides no desk that did nothing


def test_csv_gives_back_every_number(tmp_path: Path) -> None:
    table = InstrumentTable(
        1, "USD", (TABLE.instruments[0], instrument(1, "BTCUSDT", InstrumentKind.SPOT,
                                                    name='odd "one", here'), TABLE.instruments[2])
    )  # fmt: skip
    trips = build_trips(walking_run(days=2))
    named = run_data(
        [approved(symbol=1)], [report(ENTRY, 1, 0.1 + 0.2, 3.0, symbol=1)], table=table,
        prices={1: ([START_NS], [0.4])},
    )  # fmt: skip
    trips += build_trips(named)
    path = tmp_path / "trades.csv"
    write_trades_csv(trips, path)
    assert path.read_bytes().count(b"\r\n") == len(trips) + 1
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file, strict=True))
    assert tuple(lines[0]) == TRADE_COLUMNS
    for trip, line in zip(trips, lines, strict=True):
        first = trip.legs[0]
        assert (int(line["id"]), line["engine"]) == (trip.id, trip.engine.name.lower())
        assert line["instrument"] == first.instrument
        assert (line["status"], line["exit_reason"]) == (trip.status, trip.exit_reason)
        assert float(line["entry_price"]) == pytest.approx(first.entry_px, rel=1e-11)
        assert (float(line["pnl"]), float(line["fees"])) == pytest.approx((trip.pnl, trip.fees))
        assert (line["exit_utc"] == "") == (first.exit_ts_ns < 0)
        assert (line["second_instrument"] != "") == (len(trip.legs) == 2)
    assert lines[0]["decided_utc"].startswith("2014-05-0")
    assert lines[-1]["instrument"] == 'sim:odd "one", here'
