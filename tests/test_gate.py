"""The gate: each check, their order, what a rejected row leaves behind, and any split."""

from typing import Any

import numpy as np
import pytest

from operators.market.gate import Gate
from schemas.instruments import InstrumentTable
from schemas.kinds import NO_SYMBOL, Flag, Kind, Side
from schemas.reasons import Reason
from schemas.rows import MarketRows, empty
from tests.check_operator import check_operator
from venues.venue_classes import instrument, terms

NAN, INF = float("nan"), float("inf")
MARKETS = [  # lane, symbol
    (0, 0, "binance_spot", "BTCUSDT"),
    (0, 1, "kraken", "BTCUSD"),
    (2, 0, "polymarket", "will-it-rain"),
    (2, 1, "fxcm", "EURUSD"),
    (2, 2, "deribit", "BTC-26MAR27-56000-C"),
]
SPOT, OTHER, EVENT, LOOSE, OPTION = (0, 0), (0, 1), (2, 0), (2, 1), (2, 2)
PLAIN: dict[Kind, dict[str, Any]] = {
    Kind.TRADE: {"side": Side.BUY, "price": 0.5, "qty": 1.0},
    Kind.QUOTE: {"bid_px": 0.4, "bid_qty": 1.0, "ask_px": 0.5, "ask_qty": 1.0},
    Kind.BOOK: {"side": Side.BUY, "price": 0.5, "qty": 1.0},
    Kind.BAR: {"open": 2.0, "high": 4.0, "low": 1.0, "price": 3.0, "qty": 9.0, "ref": 60.0},
    Kind.FUNDING: {"price": 0.0001, "ref": 28800.0},
    Kind.OPEN_INTEREST: {"qty": 5.0},
    Kind.MARK: {"price": 5.0, "ref": 5.1},
    Kind.HEARTBEAT: {},
}


def table() -> InstrumentTable:
    made = []
    for lane, symbol, venue, name in MARKETS:
        found = terms(venue, name)
        assert found
        made.append(
            instrument(venue, name, found, lane=lane, symbol=symbol, tick="0.01", lot="1",
                       has_quotes=True, clock_offset_ns=0)
        )  # fmt: skip
    return InstrumentTable(3, "USD", tuple(made))


def gate(sources: int = 2) -> Gate:
    return Gate(table().arrays(), sources)


def made(*each: dict[str, Any]) -> MarketRows:
    """Rows of the given columns; `kind` brings plain values, times are the row number."""
    rows = empty(MarketRows, len(each))
    for k, one in enumerate(each):
        kind = one.get("kind", Kind.TRADE)
        columns = {"kind": kind, "flags": Flag.MSG_LAST, "ts_event_ns": k, "ts_recv_ns": k,
                   "source_row": k} | PLAIN[kind] | one  # fmt: skip
        lane, symbol = columns.pop("at", SPOT)
        for name, value in ({"lane": lane, "symbol": symbol} | columns).items():
            getattr(rows, name)[k] = value
    return rows


def reasons(*each: dict[str, Any]) -> list[Reason]:
    """Reason of each row, OK for the accepted; both outputs are looked at."""
    rows = made(*each)
    operator = gate()
    _, (accepted, rejected) = operator.step(operator.initial(), rows)
    assert not accepted.reason.any()
    found = dict.fromkeys(accepted.source_row.tolist(), Reason.OK)
    found |= {
        int(r): Reason(int(w)) for r, w in zip(rejected.source_row, rejected.reason, strict=True)
    }
    assert len(found) == accepted.seq.size + rejected.seq.size == len(each)
    return [found[k] for k in range(len(each))]


Q, B, E = {"kind": Kind.QUOTE}, {"kind": Kind.BOOK}, {"kind": Kind.QUOTE, "at": EVENT}
X, P = {"kind": Kind.QUOTE, "at": LOOSE}, {"kind": Kind.QUOTE, "at": OPTION}
ONE_ROW: list[tuple[str, dict[str, Any], Reason]] = [
    ("a plain trade",                 {},                                 Reason.OK),
    ("a trade without a size",        {"qty": NAN},                       Reason.OK),
    ("a trade of size zero",          {"qty": 0.0},                       Reason.OK),
    ("a trade of unknown side",       {"side": 0},                        Reason.OK),
    ("the reader has a reason",       {"reason": Reason.NOT_FINITE},      Reason.NOT_FINITE),
    ("no such symbol",                {"symbol": 2},                      Reason.UNKNOWN_SYMBOL),
    ("a symbol of no instrument",     {"symbol": NO_SYMBOL},              Reason.UNKNOWN_SYMBOL),
    ("a lane without instruments",    {"lane": 1},                        Reason.UNKNOWN_SYMBOL),
    ("no such lane",                  {"lane": 3},                        Reason.UNKNOWN_SYMBOL),
    ("a negative lane",               {"lane": -1},                       Reason.UNKNOWN_SYMBOL),
    ("no venue time",                 {"ts_event_ns": -1},                Reason.NULL_TIME),
    ("no receive time",               {"ts_recv_ns": -1},                 Reason.NULL_TIME),
    ("a trade without a price",       {"price": NAN},                     Reason.NULL_PRICE),
    ("an infinite price",             {"price": INF},                     Reason.NOT_FINITE),
    ("an infinite size",              {"qty": INF},                       Reason.NOT_FINITE),
    ("a price of zero",               {"price": 0.0},                     Reason.NOT_POSITIVE),
    ("a negative size",               {"qty": -1.0},                      Reason.NOT_POSITIVE),
    ("a side of 2",                   {"side": 2},                        Reason.BAD_SIDE),
    ("a plain quote",                 {**Q},                              Reason.OK),
    ("a locked quote",                {**Q, "bid_px": 0.5},               Reason.OK),
    ("a crossed quote",               {**Q, "bid_px": 0.6},               Reason.CROSSED_QUOTE),
    ("a quote without sizes",         {**Q, "bid_qty": NAN, "ask_qty": NAN}, Reason.OK),
    ("a quote without a bid",         {**Q, "bid_px": NAN},               Reason.NULL_PRICE),
    ("an infinite ask",               {**Q, "ask_px": INF},               Reason.NOT_FINITE),
    ("an infinite ask size",          {**Q, "ask_qty": INF},              Reason.NOT_FINITE),
    ("a bid of zero",                 {**Q, "bid_px": 0.0},               Reason.NOT_POSITIVE),
    ("a negative bid size",           {**Q, "bid_qty": -1.0},             Reason.NOT_POSITIVE),
    ("an event without a bid",        {**E, "bid_px": NAN},               Reason.OK),
    ("an event without an ask",       {**E, "ask_px": NAN},               Reason.OK),
    ("an event without either",       {**E, "bid_px": NAN, "ask_px": NAN}, Reason.OK),
    ("a crossed quote of an event",   {**E, "bid_px": 0.6},               Reason.CROSSED_QUOTE),
    ("an option without a bid",       {**P, "bid_px": NAN},               Reason.OK),
    ("an option without either",      {**P, "bid_px": NAN, "ask_px": NAN}, Reason.OK),
    ("an option above one",           {**P, "ask_px": 1.01},              Reason.OK),
    ("a bid of zero for an option",   {**P, "bid_px": 0.0},               Reason.NOT_POSITIVE),
    ("a crossed quote of an option",  {**P, "bid_px": 0.6},               Reason.CROSSED_QUOTE),
    ("a crossed quote of FX",         {**X, "bid_px": 0.6},               Reason.OK),
    ("a quote of FX without a bid",   {**X, "bid_px": NAN},               Reason.NULL_PRICE),
    ("a crossed bid out of range",    {**X, "bid_px": 1e16},              Reason.OUT_OF_RANGE),
    ("an option out of range",        {**P, "ask_px": 1e16},              Reason.OUT_OF_RANGE),
    ("an option traded at nothing",   {"at": OPTION, "price": NAN},       Reason.NULL_PRICE),
    ("an event above one",            {**E, "ask_px": 1.01},              Reason.OUT_OF_RANGE),
    ("an event traded above one",     {"at": EVENT, "price": 1.5},        Reason.OUT_OF_RANGE),
    ("a plain level",                 {**B},                              Reason.OK),
    ("a level is removed",            {**B, "qty": 0.0},                  Reason.OK),
    ("a level without a size",        {**B, "qty": NAN},                  Reason.NULL_PRICE),
    ("a level without a side",        {**B, "side": 0},                   Reason.BAD_SIDE),
    ("a plain bar",                   {"kind": Kind.BAR},                 Reason.OK),
    ("a bar without a high",          {"kind": Kind.BAR, "high": NAN},    Reason.NULL_PRICE),
    ("a bar without a volume",        {"kind": Kind.BAR, "qty": NAN},     Reason.OK),
    ("a bar of negative volume",      {"kind": Kind.BAR, "qty": -1.0},    Reason.NOT_POSITIVE),
    ("a bar of infinite volume",      {"kind": Kind.BAR, "qty": INF},     Reason.NOT_FINITE),
    ("a bar with an infinite high",   {"kind": Kind.BAR, "high": INF},    Reason.NOT_FINITE),
    ("a bar from zero",               {"kind": Kind.BAR, "low": 0.0},     Reason.NOT_POSITIVE),
    ("a bar that closes above high",  {"kind": Kind.BAR, "high": 2.5},    Reason.OUT_OF_RANGE),
    ("a bar that opens below low",    {"kind": Kind.BAR, "low": 2.5},     Reason.OUT_OF_RANGE),
    ("a negative funding rate",       {"kind": Kind.FUNDING, "price": -0.01}, Reason.OK),
    ("no funding rate",               {"kind": Kind.FUNDING, "price": NAN}, Reason.NULL_PRICE),
    ("an infinite funding rate",      {"kind": Kind.FUNDING, "price": -INF}, Reason.NOT_FINITE),
    ("funding of all the notional",   {"kind": Kind.FUNDING, "price": 1.0}, Reason.OUT_OF_RANGE),
    ("no open interest at all",       {"kind": Kind.OPEN_INTEREST, "qty": 0.0}, Reason.OK),
    ("open interest is null",         {"kind": Kind.OPEN_INTEREST, "qty": NAN}, Reason.NULL_PRICE),
    ("negative open interest",        {"kind": Kind.OPEN_INTEREST, "qty": -1.0},
                                                                          Reason.NOT_POSITIVE),
    ("a mark without an index",       {"kind": Kind.MARK, "ref": NAN},    Reason.OK),
    ("a mark of zero",                {"kind": Kind.MARK, "price": 0.0},  Reason.NOT_POSITIVE),
    ("an index of zero",              {"kind": Kind.MARK, "ref": 0.0},    Reason.NOT_POSITIVE),
    ("an infinite index",             {"kind": Kind.MARK, "ref": INF},    Reason.NOT_FINITE),
    ("a heartbeat is not judged",     {"kind": Kind.HEARTBEAT, "symbol": -1, "source": -1,
                                       "ts_event_ns": -1},                Reason.OK),
    # two defects: the earlier check is the reason
    ("unknown before no time",        {"symbol": 9, "ts_event_ns": -1},   Reason.UNKNOWN_SYMBOL),
    ("no time before no price",       {"ts_recv_ns": -1, "price": NAN},   Reason.NULL_TIME),
    ("no price before infinite",      {**Q, "bid_px": NAN, "ask_px": INF}, Reason.NULL_PRICE),
    ("infinite before negative",      {"price": -INF},                    Reason.NOT_FINITE),
    ("negative before crossed",       {**Q, "bid_px": 0.6, "bid_qty": -1.0}, Reason.NOT_POSITIVE),
    ("negative before side",          {"price": -1.0, "side": 5},         Reason.NOT_POSITIVE),
]  # fmt: skip


@pytest.mark.parametrize(("what", "row", "reason"), ONE_ROW, ids=[c[0] for c in ONE_ROW])
def test_one_row(what, row, reason):
    assert reasons(row) == [reason]


def test_a_crossed_quote_that_is_kept_is_flagged():
    plain, crossed = {**X}, {**X, "bid_px": 0.6, "flags": Flag.MSG_LAST}
    late = crossed | {"ts_recv_ns": 1}
    rows = made(plain, crossed, {**Q}, {**X, "bid_px": 0.5}, late)
    before = [column.tobytes() for column in rows]
    operator = gate()
    _, (accepted, rejected) = operator.step(operator.initial(), rows)
    last, mark = int(Flag.MSG_LAST), int(Flag.MSG_LAST | Flag.CROSSED)
    assert accepted.flags.tolist() == [last, mark, last, last]
    assert (rejected.flags.tolist(), rejected.reason.tolist()) == ([last], [Reason.RECV_REGRESSED])
    assert [column.tobytes() for column in rows] == before  # what comes in stays as it is
    _, (_, seen) = operator.judge(operator.initial(), rows)
    assert seen.mark.tolist() == [0, Flag.CROSSED, 0, 0, 0]
    assert seen.may_cross.tolist() == [1, 1, 0, 1, 1]


def back(t_recv: int, t_event: int, **other: Any) -> dict[str, Any]:
    return {"ts_recv_ns": t_recv, "ts_event_ns": t_event, **other}


OK, RECV, VENUE = Reason.OK, Reason.RECV_REGRESSED, Reason.EVENT_REGRESSED
SNAP = {"kind": Kind.BOOK, "flags": Flag.SNAPSHOT}
SEQUENCES: list[tuple[str, list[dict[str, Any]], list[Reason]]] = [
    ("equal times are fine", [back(5, 5), back(5, 5)], [OK, OK]),
    ("back in receive time", [back(5, 5), back(4, 5), back(5, 5)], [OK, RECV, OK]),
    ("another source has its own", [back(5, 5), back(4, 4, source=1)], [OK, OK]),
    ("any symbol of the source counts", [back(5, 5), back(4, 4, at=OTHER)], [OK, RECV]),
    ("back in venue time", [back(5, 5), back(6, 4), back(6, 5)], [OK, VENUE, OK]),
    ("receive time is asked first", [back(5, 5), back(4, 4)], [OK, RECV]),
    ("another symbol has its own", [back(5, 5), back(6, 4, at=OTHER)], [OK, OK]),
    ("another kind has its own", [back(5, 5), back(6, 4, kind=Kind.QUOTE)], [OK, OK]),
    ("a rejected row is forgotten", [back(5, 5), back(9, 9, price=-1.0), back(6, 6)],
     [OK, Reason.NOT_POSITIVE, OK]),
    ("a row behind leaves the time", [back(5, 5), back(3, 3), back(4, 4)], [OK, RECV, RECV]),
    ("a snapshot may be behind", [back(5, 5), back(3, 3, **SNAP)], [OK, OK]),
    ("a snapshot does not count", [back(5, 5, **SNAP), back(3, 3, kind=Kind.BOOK)], [OK, OK]),
]  # fmt: skip


@pytest.mark.parametrize(("what", "rows", "expected"), SEQUENCES, ids=[c[0] for c in SEQUENCES])
def test_times(what, rows, expected):
    assert reasons(*rows) == expected


def test_a_bad_level_takes_the_rest_of_its_message_along():
    inside, last = {**B, "flags": 0}, {**B, "flags": Flag.MSG_LAST}
    broken, refused = Reason.NOT_POSITIVE, Reason.MESSAGE_REFUSED
    # message   |- 1 -----------------------------------------|  |- 2 --|
    assert reasons(inside, inside | {"price": -1.0}, inside, last, inside, last) == [
        OK, broken, refused, refused, OK, OK,
    ]  # fmt: skip
    assert reasons(last | {"price": -1.0}, last) == [broken, OK]
    unknown = Reason.UNKNOWN_SYMBOL  # a row that is bad itself says why
    assert reasons(inside | {"price": -1.0}, inside | {"symbol": 9}, last) == [
        broken, unknown, refused,
    ]  # fmt: skip
    other = {**inside, "source": 1}
    assert reasons(inside | {"price": -1.0}, other, last) == [broken, OK, refused]
    trade = {"ts_event_ns": 1}
    assert reasons(inside | {"price": -1.0}, trade, last) == [broken, OK, refused]


def test_rejected_rows_keep_everything_but_their_reason():
    rows = made({}, {"price": -1.0, "qty": 7.0})
    operator = gate()
    _, (_, rejected) = operator.step(operator.initial(), rows)
    assert (rejected.price[0], rejected.qty[0], rejected.source_row[0]) == (-1.0, 7.0, 1)


@pytest.mark.parametrize("source", [-1, 2])
def test_a_source_that_the_feed_does_not_have_is_a_wrong_program(source):
    operator = gate(sources=2)
    with pytest.raises(ValueError, match=r"source must be in 0\.\.1"):
        operator.step(operator.initial(), made({"source": source}))


def test_a_gate_needs_a_source():
    with pytest.raises(ValueError, match="sources"):
        gate(sources=0)


def spoiled(n: int) -> MarketRows:
    """Rows of every kind, symbol and source; about a third with some defect."""
    random = np.random.default_rng(11)
    kinds = [Kind.TRADE, Kind.QUOTE, Kind.BOOK, Kind.BOOK, Kind.BOOK, Kind.BAR, Kind.FUNDING,
             Kind.OPEN_INTEREST, Kind.MARK, Kind.HEARTBEAT]  # fmt: skip
    defects: list[dict[str, Any]] = [{"price": NAN}, {"qty": -1.0}, {"bid_px": 9.0}, {"symbol": 5},
                                     {"side": 3}, {"reason": Reason.NULL_TIME}]  # fmt: skip
    each = []
    for k in range(n):
        one: dict[str, Any] = {
            "kind": kinds[random.integers(len(kinds))],
            "at": (SPOT, OTHER, EVENT, LOOSE, OPTION)[random.integers(5)],
            "source": random.integers(2),
            "flags": random.choice([0, 0, Flag.MSG_LAST, Flag.SNAPSHOT]),
            "ts_recv_ns": 10 * k - random.choice([0, 0, 0, 60]) + 100,
            "ts_event_ns": 10 * k - random.choice([0, 0, 0, 90]) + 100,
        }
        if random.random() < 0.2:
            one |= defects[random.integers(len(defects))]
        each.append(one)
    return made(*each)


def test_any_split_any_restart_and_no_numba_give_the_same_rows():
    rows = spoiled(800)
    operator = gate()
    _, (_, rejected) = operator.step(operator.initial(), rows)
    assert {Reason.RECV_REGRESSED, Reason.EVENT_REGRESSED, Reason.NOT_POSITIVE} < set(
        rejected.reason.tolist()
    )
    assert 200 < rejected.seq.size < 600
    check_operator(operator, rows, without_numba=True)
