"""Instruments and rows for the tests of the decision path, each told by what differs from usual."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from operators.governor.lane import LaneRules
from operators.governor.portfolio import PortfolioRules
from operators.records import Record, Records, blank_records
from schemas.instruments import Instrument, InstrumentKind, InstrumentTable
from schemas.kinds import NO_ID, NO_SYMBOL, Engine, Flag, Kind, ReportCode, Role
from schemas.reasons import Reason
from schemas.rows import FeatureRows, MarketRows, ProposalRows, Rows, dtypes, empty

MS, SECOND, MINUTE = 1_000_000, 1_000_000_000, 60_000_000_000
DAY = 86_400_000_000_000
START = 16_000 * DAY  # a midnight, UTC
NAN = float("nan")
EXPOSED = PortfolioRules(
    balance=100_000.0,
    shadow=0,
    progress_lane=0,
    last_lane=2,
    model=np.uint64(2**63 + 11),
    features=np.uint64(22),
)


def instrument(symbol: int, *, lane: int = 0, **facts: Any) -> Instrument:
    """A spot market of EUR in USD without fees, that offers everything."""
    usual: dict[str, Any] = {
        "lane": lane, "symbol": symbol, "venue": f"v{lane}{symbol}", "name": "EURUSD",
        "kind": InstrumentKind.SPOT, "base": "EUR", "quote": "USD", "settle": "USD",
        "contract_size": "1", "tick": "0.1", "lot": "0.01", "fee_maker": "0", "fee_taker": "0",
        "can_short": True, "has_quotes": True, "binary_payout": "0.8", "clock_offset_ns": 0,
        "assumed": "",
    }  # fmt: skip
    return Instrument(**{**usual, **facts})


def table(*instruments: Instrument, lanes: int = 4) -> InstrumentTable:
    """A table in dollars."""
    return InstrumentTable(lanes=lanes, desk_currency="USD", instruments=instruments)


def lonely(symbol: int, **facts: Any) -> Instrument:
    """An instrument whose asset trades nowhere else, so without partners."""
    return instrument(symbol, **{"base": f"A{facts.get('lane', 0)}{symbol}", **facts})


def rows_of(kind: type[Rows], rows: Iterable[Mapping[str, Any]]) -> Rows:
    """A table from rows that name their columns; the others are blank."""
    rows = list(rows)
    made = empty(kind, len(rows))
    names = dtypes(kind)
    for i, row in enumerate(rows):
        for name, value in row.items():
            if name in names:
                getattr(made, name)[i] = value
    return made


def record_of(fields: Mapping[str, str], row: Mapping[str, Any]) -> Record:
    """One record, as the desk hands it to its parts; what the row does not name is blank."""
    record = blank_records(dict(fields), 1)
    for name, form in fields.items():
        record[name] = row.get(name, NAN if form == "<f8" else 0)
    return record[0]


def records_like(fields: dict[str, str], n: int) -> Records:
    """Blank records to write to."""
    return blank_records(fields, n)


def reason_of(code: Any) -> Reason:
    """The reason of a code on a row."""
    return next(reason for reason in Reason if reason == code)


def row_at(rows: Any, i: int) -> dict[str, Any]:
    """One row of a table, by column."""
    return {name: column[i] for name, column in zip(rows._fields, rows, strict=True)}


def _row(ts_ns: int, kind: Kind, **more: Any) -> dict[str, Any]:
    usual = {
        "kind": kind, "flags": Flag.MSG_LAST, "lane": 0, "symbol": 0, "ref_id": NO_ID,
        "ts_event_ns": ts_ns, "ts_recv_ns": ts_ns,
    }  # fmt: skip
    return {**usual, **more}


def quote(ts_ns: int, bid: float, ask: float, **more: Any) -> dict[str, Any]:
    """A quote with its mid, of a market that has run for long."""
    mid = 0.5 * (bid + ask)
    usual = {"bid_px": bid, "ask_px": ask, "mid": mid, **SETTLED}
    return _row(ts_ns, Kind.QUOTE, **{**usual, **more})


def trade(ts_ns: int, price: float, **more: Any) -> dict[str, Any]:
    """A trade of a market without quotes; where there are some, name bid_px, ask_px and mid."""
    return _row(ts_ns, Kind.TRADE, **{"price": price, "qty": 1.0, "mid": price, **SETTLED, **more})


def heartbeat(ts_ns: int, **more: Any) -> dict[str, Any]:
    """A silent second."""
    return _row(ts_ns, Kind.HEARTBEAT, **{"symbol": NO_SYMBOL, **more})


def control(ts_ns: int, code: int, **more: Any) -> dict[str, Any]:
    """An operator's command."""
    return _row(ts_ns, Kind.CONTROL, **{"symbol": NO_SYMBOL, "code": code, **more})


def report(
    ts_ns: int, ref_id: int, role: Role, code: ReportCode, side: int, qty: float, price: float,
    **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """A venue's answer, its fee 0."""
    said = {"ref_id": ref_id, "role": role, "code": code, "side": side, "qty": qty}
    return _row(ts_ns, Kind.REPORT, **{**said, "price": price, "ref": 0.0, **more})


# features of a quiet market after a leg from 100 to 200: the volatility is as usual, no trend
SETTLED = {
    "window_change": 0.0, "window_std": 1e-3, "window_std_slow": 1e-3, "atr": 4.0,
    "pivot_before_px": 100.0, "pivot_px": 200.0, "n_ticks": 1000.0, "p_up": 0.5,
}  # fmt: skip
TREND = {"window_change": 3e-3}  # trend strength 3: spot is preferred
STORM = {"window_std": 2e-3}  # volatility score 2: binary is preferred


def features(*rows: Mapping[str, Any]) -> FeatureRows:
    """Feature rows, numbered per lane."""
    return rows_of(FeatureRows, numbered(rows))


def market(*rows: Mapping[str, Any]) -> MarketRows:
    """Market rows, numbered per lane."""
    return rows_of(MarketRows, numbered(rows))


def numbered(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the next seq of their lane."""
    seen: dict[int, int] = {}
    made = []
    for row in rows:
        lane = int(row["lane"])
        made.append({"seq": seen.get(lane, 0), "source": -1, "source_row": -1, **row})
        seen[lane] = seen.get(lane, 0) + 1
    return made


def evaluation(ts_ns: int, *served: Mapping[str, Any], **common: Any) -> list[dict[str, Any]]:
    """The three proposals of one evaluation at 100 bid, 100.2 ask; engines not told are unserved.

    Each of `served` holds at least its engine; the reason is OK and the rank is the place in the
    call unless it says otherwise.
    """
    unserved = {
        Engine.BINARY: Reason.BINARY_NOT_OFFERED,
        Engine.SPOT: Reason.SPOT_NOT_TRADABLE,
        Engine.ARBITRAGE: Reason.ARB_NO_SECOND_VENUE,
    }
    told = {each["engine"]: {"rank": place, **each} for place, each in enumerate(served)}
    rows = []
    for engine in Engine:
        usual = {
            "engine": engine, "reason": Reason.OK if engine in told else unserved[engine],
            "rank": 2, "symbol_second": NO_SYMBOL, "bid_px": 100.0, "ask_px": 100.2,
            "flags": Flag.MSG_LAST if engine == Engine.ARBITRAGE else 0, "hold_ns": MINUTE,
        }  # fmt: skip
        row = _row(ts_ns, Kind.PROPOSAL, **usual)
        rows.append({**row, **common, **told.get(engine, {})})
    return rows


def spot(**more: Any) -> dict[str, Any]:
    """Buy with 0.25 % of equity at risk: 250 of 100,000 over 5 dollars a unit are 50 units."""
    usual = {
        "engine": Engine.SPOT, "side": 1, "confidence": 0.6, "size_fraction": 0.0025,
        "stop_px": 95.2, "target_px": 110.0,
    }  # fmt: skip
    return {**usual, **more}


def binary(**more: Any) -> dict[str, Any]:
    """A call with 0.1 % of equity staked: 100 of 100,000."""
    usual = {"engine": Engine.BINARY, "side": 1, "confidence": 0.6, "size_fraction": 0.001}
    return {**usual, **more}


def pair(**more: Any) -> dict[str, Any]:
    """Sell here, buy symbol 1 at 99 bid, 99.2 ask: 4 % of equity each."""
    usual = {
        "engine": Engine.ARBITRAGE, "side": -1, "side_second": 1, "symbol_second": 1,
        "bid_px_second": 99.0, "ask_px_second": 99.2, "confidence": 0.8, "size_fraction": 0.04,
        "target_px": 0.0,
    }  # fmt: skip
    return {**usual, **more}


def proposals(*rows: Mapping[str, Any] | list[dict[str, Any]]) -> ProposalRows:
    """Proposal rows from rows and evaluations, numbered per lane."""
    flat: list[Mapping[str, Any]] = []
    for row in rows:
        flat += row if isinstance(row, list) else [row]
    numbers = [{"market_seq": i, **row} for i, row in enumerate(numbered(flat))]
    return rows_of(ProposalRows, numbers)


EACH_TICK = LaneRules(cadence_ns=0)
