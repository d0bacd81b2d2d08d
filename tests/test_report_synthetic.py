"""A made-up run for the report's tests: a seeded walk, all three engines, and a desk that loses."""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from console.report.data import ModelInfo, PriceSample, RunData
from console.report.metrics import equity_curve
from console.report.summary import build_report
from console.report.trips import CLOSED, OPEN, REJECTED, build_trips
from operators.ledger.journal import Journal
from schemas.instruments import Instrument, InstrumentKind, InstrumentTable
from schemas.kinds import NO_ID, NO_SYMBOL, Engine, Kind, ReportCode, Role
from schemas.reasons import Reason
from schemas.rows import DecisionRows, MarketRows, dtypes, empty

MINUTE_NS = 60_000_000_000
START_NS = 1_398_902_400_000_000_000  # Thursday 2014-05-01 00:00 UTC
BALANCE = 100_000.0
REFUSALS = [
    (Reason.SPOT_OUT_OF_ZONE, 50), (Reason.BINARY_EDGE_BELOW_COST, 30),
    (Reason.ARB_NOT_STRETCHED, 12), (Reason.CONFIDENCE_TOO_LOW, 6),
    (Reason.POSITION_OPEN, 5), (Reason.STALE_QUOTE, 2),
    (Reason.WARMING_UP, 1), (Reason.DAILY_TRADES, 1),
]  # fmt: skip


def instrument(symbol: int, pair: str, kind: InstrumentKind, **over: Any) -> Instrument:
    """An instrument of venue `sim` named by its pair; `over` wins."""
    base, quote = pair[:3], pair[3:]
    inverse = kind is InstrumentKind.INVERSE
    values: dict[str, Any] = {
        "lane": 0, "symbol": symbol, "venue": "sim", "name": pair, "kind": kind, "base": base,
        "quote": quote, "settle": base if inverse else quote,
        "contract_size": "100" if inverse else "1", "tick": "0.00001", "lot": "0.00001",
        "fee_maker": "0.0001", "fee_taker": "0.0002", "can_short": True, "has_quotes": True,
        "binary_payout": "0.85", "clock_offset_ns": 0,
        "assumed": "fees of 2 basis points as taker and 1 as maker",
    }  # fmt: skip
    return Instrument(**(values | over))


TABLE = InstrumentTable(
    1,
    "USD",
    (
        instrument(0, "EURUSD", InstrumentKind.SPOT),
        instrument(1, "BTCUSDT", InstrumentKind.SPOT, binary_payout="0"),
        instrument(2, "BTCUSD", InstrumentKind.INVERSE, binary_payout="0", venue="simfut"),
    ),
)


def decisions(rows: Sequence[dict[str, Any]]) -> DecisionRows:
    """Decision rows from dicts; what is not given is blank, seq counts from 0."""
    blank = {"kind": int(Kind.DECISION), "symbol_second": NO_SYMBOL}
    made: DecisionRows = _table(DecisionRows, rows, blank)
    return made


def reports(rows: Sequence[dict[str, Any]]) -> MarketRows:
    """Report rows from dicts; what is not given is blank, seq counts from 0."""
    blank = {"kind": int(Kind.REPORT), "ref_id": NO_ID, "ref": 0.0, "source": -1, "source_row": -1}
    made: MarketRows = _table(MarketRows, rows, blank)
    return made


def _table(kind: Any, rows: Sequence[dict[str, Any]], blank: dict[str, Any]) -> Any:
    out = empty(kind, len(rows))
    for name in dtypes(kind):
        default = np.nan if dtypes(kind)[name].kind == "f" else 0
        column = getattr(out, name)
        for i, row in enumerate(rows):
            column[i] = row.get(name, i if name == "seq" else blank.get(name, default))
    return out


def run_data(
    made: Sequence[dict[str, Any]] = (),
    reported: Sequence[dict[str, Any]] = (),
    *,
    prices: dict[int, tuple[list[int], list[float]]] | None = None,
    table: InstrumentTable = TABLE,
    **over: Any,
) -> RunData:
    """A small run around some decisions and reports, with its real journal."""
    rows = reports(reported)
    journal = Journal(table, str(int(BALANCE)))
    book, transactions = journal.step(journal.initial(), rows)
    samples = {
        row: PriceSample(np.array(ts, np.int64), np.array(mid, np.float64))
        for row, (ts, mid) in (prices or {}).items()
    }
    data = RunData(
        run_id="2014-05-01-seed-7", mode="backtest", profile="embedded", topology="fused", seed=7,
        tapes=["walk.parquet"], simulated=False, instruments=table,
        sources=["walk.parquet: quotes of sim, 3 symbols"], rows=1000, rows_on_log=1000,
        rows_quarantined=0, quarantine={}, quarantine_first={}, ticks=1000, wall_s=0.5,
        decisions=decisions(made), reports=rows, prices=samples, journal=transactions, book=book,
        model=ModelInfo("momentum", "1", "", "", False), settings={"cadence": "1s"}, cadence="1s",
        balance=BALANCE, operator_resumes=0, decision_digest="ab" * 32, ledger_digest="cd" * 32,
    )  # fmt: skip
    return replace(data, **over)


class _Walk:
    """A desk without any skill on a random walk, minute by minute."""

    def __init__(self, *, days: int, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        ts = START_NS + MINUTE_NS * np.arange(days * 1440, dtype=np.int64)
        day = (ts // (1440 * MINUTE_NS) + 4) % 7  # 0 is Sunday
        self.ts = ts[(day != 6) & (day != 0)]
        n = self.ts.size
        euro = 1.3870 * np.exp(np.cumsum(self.random.normal(1e-6, 1.2e-4, n)))
        coin = 61_000.0 * np.exp(np.cumsum(self.random.normal(-2e-6, 6e-4, n)))
        basis = np.exp(0.0009 * np.sin(np.arange(n) / 90.0) + self.random.normal(0, 1e-4, n))
        self.mid = [np.round(x, 5) for x in (euro, coin, coin * basis)]
        self.made: list[dict[str, Any]] = []
        self.reported: list[dict[str, Any]] = []
        self.due: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self.busy: dict[tuple[Engine, int], int] = {}

    def run(self) -> None:
        names = [reason for reason, _ in REFUSALS]
        weight = np.array([w for _, w in REFUSALS], np.float64)
        refused = self.random.choice(len(names), (self.ts.size, 3), p=weight / weight.sum())
        dice = self.random.random((self.ts.size, 3))
        for i in range(self.ts.size):
            self.reported += self.due.pop(i, [])
            for symbol in range(3):
                kind = Engine.SPOT
                if symbol == 2:
                    kind = Engine.ARBITRAGE
                elif symbol == 0 and self.random.random() < 0.5:
                    kind = Engine.BINARY
                free = self.busy.get((kind, symbol), -1) < i and i > 60
                row = self._decision(i, symbol, kind)
                held_to_the_end = i == self.ts.size - 3 and symbol == 1
                if held_to_the_end or (free and dice[i, symbol] < 0.006):
                    {
                        Engine.SPOT: self._spot,
                        Engine.BINARY: self._binary,
                        Engine.ARBITRAGE: self._pair,
                    }[kind](i, symbol, row)
                else:
                    row["reason"] = int(names[refused[i, symbol]])
                self.made.append(row)

    def _decision(self, i: int, symbol: int, kind: Engine) -> dict[str, Any]:
        mid = float(self.mid[symbol][i])
        return {
            "seq": len(self.made), "symbol": symbol, "ts_recv_ns": int(self.ts[i]),
            "ts_event_ns": int(self.ts[i]), "engine": int(kind), "bid_px": mid, "ask_px": mid,
            "confidence": float(self.random.uniform(0.45, 0.7)),
        }  # fmt: skip

    def _report(self, at: int, symbol: int, row: dict[str, Any], **fields: Any) -> None:
        """`fields` win; fee of 2 basis points on fills; nothing after the end of the walk."""
        if at >= self.ts.size:
            return
        price = float(self.mid[symbol][at])
        report = {
            "symbol": symbol, "ts_recv_ns": int(self.ts[at]) + 40_000_000, "price": price,
            "ts_event_ns": int(self.ts[at]), "code": int(ReportCode.FILLED), "ref_id": row["seq"],
            "side": row["side"], **fields,
        }  # fmt: skip
        if report["code"] == ReportCode.FILLED and report["role"] != Role.BINARY:
            size = report["qty"] * (100.0 / price if symbol == 2 else price)
            report["ref"] = round(size * 2e-4, 12)
        if at == len(self.made) // 3:  # the minute that is being decided
            self.reported.append(report)
        else:
            self.due[at].append(report)

    def _spot(self, i: int, symbol: int, row: dict[str, Any]) -> None:
        side = 1 if self.random.random() < 0.5 else -1
        mid = float(self.mid[symbol][i])
        width = mid * (4e-4 if symbol == 0 else 3e-3)
        row |= {
            "approved": 1, "side": side, "qty": 20_000.0 if symbol == 0 else 0.25,
            "stop_px": mid - side * width, "target_px": mid + side * 1.6 * width,
            "level_px": mid - side * 0.3 * width,
        }  # fmt: skip
        self._report(i, symbol, row, role=int(Role.ENTRY), qty=row["qty"])
        path = side * (self.mid[symbol][i + 1 : i + 241] - mid)
        hit = np.flatnonzero((path <= -width) | (path >= 1.6 * width))
        at = i + 1 + (int(hit[0]) if hit.size else 240)
        role, reason = Role.FLATTEN, Reason.HOLD_EXPIRED
        if hit.size:
            stopped = path[hit[0]] < 0.0
            role, reason = (
                (Role.STOP, Reason.STOP_HIT) if stopped else (Role.TARGET, Reason.TARGET_HIT)
            )
        fields = {"role": int(role), "reason": int(reason), "qty": row["qty"], "side": -side}
        self._report(at, symbol, row, **fields)
        self.busy[Engine.SPOT, symbol] = at

    def _binary(self, i: int, symbol: int, row: dict[str, Any]) -> None:
        side = 1 if self.random.random() < 0.5 else -1
        mid = float(self.mid[symbol][i])
        row |= {"approved": 1, "side": side, "stake": 400.0, "level_px": mid * (1 + 1e-4 * side)}
        fields = {"role": int(Role.BINARY), "qty": 400.0}
        self._report(i, symbol, row, **fields)
        at = i + 15
        if at < self.ts.size:
            gain = side * (float(self.mid[symbol][at]) - mid)
            code = ReportCode.SETTLED_WON if gain > 0 else ReportCode.SETTLED_LOST
            if gain == 0.0:
                code = ReportCode.REFUNDED
                fields["reason"] = int(Reason.VENUE_REFUND_TIE)
            self._report(at, symbol, row, **fields | {"code": int(code)})
        self.busy[Engine.BINARY, symbol] = at

    def _pair(self, i: int, symbol: int, row: dict[str, Any]) -> None:
        near, far = float(self.mid[1][i]), float(self.mid[2][i])
        side = 1 if near > far else -1  # of the inverse contract, sold where it is dear
        row |= {
            "approved": 1, "side": side, "side_second": -side, "symbol": 2, "symbol_second": 1,
            "qty": 150.0, "qty_second": 0.25, "level_px": 0.0, "target_px": 0.0,
            "bid_px_second": near, "ask_px_second": near, "worst_loss": 40.0,
        }  # fmt: skip
        self._report(i, 2, row, role=int(Role.ENTRY), qty=150.0)
        if self.random.random() < 0.08:
            refused = {"code": int(ReportCode.REJECTED), "reason": int(Reason.VENUE_NO_MARKET)}
            second = {"role": int(Role.SECOND_LEG), "qty": 0.25, "price": math.nan}
            self._report(i, 1, row, side=-side, **second, **refused)
            failed = {"role": int(Role.FLATTEN), "reason": int(Reason.LEG_FAILED)}
            self._report(i + 1, 2, row, side=-side, qty=150.0, **failed)
            self.busy[Engine.ARBITRAGE, symbol] = i + 1
            return
        self._report(i, 1, row, role=int(Role.SECOND_LEG), qty=0.25, side=-side)
        gap = np.log(self.mid[2][i + 1 : i + 181] / self.mid[1][i + 1 : i + 181])
        crossed = np.flatnonzero(gap * side > 0.0)
        at = i + 1 + (int(crossed[0]) if crossed.size else 180)
        why = int(Reason.SPREAD_CONVERGED if crossed.size else Reason.HOLD_EXPIRED)
        self._report(at, 2, row, side=-side, qty=150.0, role=int(Role.FLATTEN), reason=why)
        self._report(at, 1, row, side=side, qty=0.25, role=int(Role.SECOND_FLATTEN), reason=why)
        self.busy[Engine.ARBITRAGE, symbol] = at


def walking_run(*, days: int = 9, seed: int = 7, **over: Any) -> RunData:
    """Nine days of minutes with a weekend; equity is what the trips say, marked when they end."""
    walk = _Walk(days=days, seed=seed)
    walk.run()
    samples = {k: (walk.ts.tolist(), mid.tolist()) for k, mid in enumerate(walk.mid)}
    data = run_data(walk.made, walk.reported, prices=samples)
    rows = data.decisions
    equity = np.full(rows.seq.size, BALANCE)
    for trip in build_trips(data):
        if trip.status == CLOSED:
            equity[np.searchsorted(rows.ts_recv_ns, trip.exit_ts_ns) :] += trip.net
    latency = np.sort(np.random.default_rng(seed).lognormal(3.0, 0.7, 20_000))
    return replace(
        data,
        decisions=rows._replace(equity=equity),
        rows=321_559,
        rows_on_log=321_513,
        rows_quarantined=46,
        quarantine={"CROSSED_QUOTE": {"walk.parquet": 41}, "NOT_FINITE": {"walk.parquet": 5}},
        quarantine_first={
            "CROSSED_QUOTE": {"walk.parquet": 1204},
            "NOT_FINITE": {"walk.parquet": 88_012},
        },
        ticks=321_513,
        wall_s=0.42,
        latency_us=latency,
        settings={"cadence": "1s", "balance": "100000", "spot": {"stop_atr": 1.5}},
        **over,
    )


@pytest.fixture(scope="module")
def losing() -> RunData:
    return walking_run()


def test_the_made_up_run_has_all_that_a_report_must_show(losing: RunData) -> None:
    trips, report = build_trips(losing), build_report(losing)
    assert {t.engine for t in trips} == set(Engine)
    assert {t.status for t in trips} >= {CLOSED, OPEN}
    reasons = {t.exit_reason for t in trips}
    assert reasons >= {
        "STOP_HIT", "TARGET_HIT", "HOLD_EXPIRED", "SPREAD_CONVERGED", "LEG_FAILED", "SETTLED_WON",
        "SETTLED_LOST",
    }  # fmt: skip
    assert report["equity"]["end"] < report["equity"]["start"]
    assert report["ledger"] == {
        "transactions": len(losing.journal), "balanced": True, "drift": "0", "problems": [],
    }  # fmt: skip
    assert report["decisions"] == report["trades"] + sum(report["non_trades"].values())
    json.dumps(report, allow_nan=False)


def test_equity_of_the_made_up_run_moves_by_its_trips(losing: RunData) -> None:
    """Nothing appears and nothing vanishes: closed trips after fees are the change of equity."""
    closed = [t for t in build_trips(losing) if t.status == CLOSED]
    curve = equity_curve(losing)
    assert curve.value[-1] - BALANCE == pytest.approx(math.fsum(t.net for t in closed), abs=1e-6)
    assert REJECTED not in {t.status for t in closed}
