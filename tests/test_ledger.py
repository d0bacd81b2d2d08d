"""The journal books every report exactly: pages of a ledger, before and after one event."""

import json
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.ledger.book import Book, LedgerError, UnbalancedTransaction, post
from operators.ledger.journal import Journal
from operators.ledger.views import Verdict, balances, equity, unrealised, verify
from schemas.instruments import Instrument, InstrumentKind, InstrumentTable
from schemas.kinds import NO_ID, NO_SYMBOL, Kind, ReportCode, Role, Side
from schemas.rows import MarketRows, concat, empty, take

FILLED, MAKER = ReportCode.FILLED, ReportCode.FILLED_MAKER
WON, LOST, REFUND = ReportCode.SETTLED_WON, ReportCode.SETTLED_LOST, ReportCode.REFUNDED
BUY, SELL = Side.BUY, Side.SELL
EUR, BTC, PERP, COIN, RAIN, CALL, FINE = range(7)  # symbols
NAN = float("nan")


def _instrument(symbol: int, kind: InstrumentKind, assets: str, **facts: str) -> Instrument:
    base, quote, settle = assets.split()
    return Instrument(
        lane=0,
        symbol=symbol,
        venue="sim",
        name=f"{base}{quote}{symbol}",
        kind=kind,
        base=base,
        quote=quote,
        settle=settle,
        contract_size=facts.get("size", "1"),
        tick=facts["tick"],
        lot=facts["lot"],
        fee_maker="0",
        fee_taker="0",
        can_short=True,
        has_quotes=True,
        binary_payout=facts.get("payout", "0"),
        clock_offset_ns=0,
        assumed="",
    )


# fmt: off
TABLE = InstrumentTable(1, "USD", (
    _instrument(EUR,  InstrumentKind.SPOT,    "EUR USD USD",     tick="0.00001", lot="1",
                payout="0.857"),
    _instrument(BTC,  InstrumentKind.SPOT,    "BTC USDT USDT",   tick="0.1",  lot="0.001"),
    _instrument(PERP, InstrumentKind.LINEAR,  "BTC USDT USDT",   tick="0.1",  lot="1", size="0.01"),
    _instrument(COIN, InstrumentKind.INVERSE, "BTC USD BTC",     tick="0.5",  lot="1", size="100"),
    _instrument(RAIN, InstrumentKind.EVENT,   "RAIN USD USD",    tick="0.01", lot="1"),
    _instrument(CALL, InstrumentKind.OPTION,  "BTC USD USD",     tick="0.1",  lot="1"),
    _instrument(FINE, InstrumentKind.LINEAR,  "PEPE USDT USDT",  tick="0.000001", lot="1",
                size="0.0001"),
))
# fmt: on
JOURNAL = Journal(TABLE, "1000")


class R(NamedTuple):
    """One report, as a page would tell it."""

    symbol: int
    side: int
    qty: float
    price: float
    fee: float = 0.0
    code: int = FILLED
    role: int = Role.ENTRY
    ref_id: int = 7


def binary(code: int, stake: float, *, ref_id: int = 7, fee: float = NAN) -> R:
    return R(EUR, BUY, stake, 1.1, fee, code, Role.BINARY, ref_id)


def market(reports: Sequence[R], first_seq: int = 1) -> MarketRows:
    """The reports as market rows, one second apart; a quote opens the log if first_seq is 1."""
    rows = empty(MarketRows, len(reports))
    rows.kind[:] = Kind.REPORT
    for i, r in enumerate(reports):
        rows.seq[i] = first_seq + i
        rows.symbol[i], rows.side[i], rows.qty[i], rows.price[i] = r.symbol, r.side, r.qty, r.price
        rows.ref[i], rows.code[i], rows.role[i], rows.ref_id[i] = r.fee, r.code, r.role, r.ref_id
    rows.ts_event_ns[:] = rows.seq * 1_000_000_000
    rows.ts_recv_ns[:] = rows.ts_event_ns + 5
    if first_seq > 1:
        return rows
    quote = empty(MarketRows, 1)
    quote.kind[0] = Kind.QUOTE
    return concat([quote, rows])


def book_of(reports: Sequence[R]) -> tuple[Book, list[dict[str, Any]]]:
    return JOURNAL.step(JOURNAL.initial(), market(reports))


def page(book: Book) -> list[str]:
    """Every account that is not empty, then every open lot and stake."""
    saved = json.loads(JOURNAL.dump(book))
    lines = [f"{account} {x} {asset}" for account, asset, x in saved["balances"] if x != "0"]
    lines += [f"lot {x[1]} of {x[2]}: {x[6]} cost {x[7]} {x[4]}" for x in saved["lots"]]
    return lines + [f"stake {x[1]} of {x[2]}: {x[3]}" for x in saved["stakes"]]


def sound(n: int) -> Verdict:
    return Verdict(n, True, Decimal(0), ())


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.strip().splitlines()]


OPENED = """
    assets:desk     1000 USD
    equity:opening -1000 USD
"""

# what happens, the events so far, the page before, the event, the page after
PAGES = [
    (
        "euros are bought: dollars go, euros come, both through the trading account",
        [], OPENED,
        R(EUR, BUY, 100, 1.38741, fee=0.00277482),
        """
        assets:desk          100            EUR
        assets:desk          861.25622518   USD
        equity:opening     -1000            USD
        expenses:fees          0.00277482   USD
        trading:EUR-USD     -100            EUR
        trading:EUR-USD      138.741        USD
        """,
    ),
    (
        "euros are sold that the desk does not have: it owes them",
        [], OPENED,
        R(EUR, SELL, 100, 1.38741),
        """
        assets:desk         -100            EUR
        assets:desk         1138.741        USD
        equity:opening     -1000            USD
        trading:EUR-USD      100            EUR
        trading:EUR-USD     -138.741        USD
        """,
    ),
    (
        "bitcoin is sold again, dearer, and the maker's fee is a rebate",
        [R(BTC, BUY, 0.003, 60000.1)],
        """
        assets:desk            0.003        BTC
        assets:desk         1000            USD
        assets:desk         -180.0003       USDT
        equity:opening     -1000            USD
        trading:BTC-USDT      -0.003        BTC
        trading:BTC-USDT     180.0003       USDT
        """,
        R(BTC, SELL, 0.003, 61000.1, fee=-0.01830003, code=MAKER, role=Role.TARGET),
        """
        assets:desk         1000            USD
        assets:desk            3.01830003   USDT
        equity:opening     -1000            USD
        expenses:fees         -0.01830003   USDT
        trading:BTC-USDT      -3            USDT
        """,
    ),
    (
        "an event contract is bought like a spot asset",
        [], OPENED,
        R(RAIN, BUY, 10, 0.37),
        """
        assets:desk           10            RAIN
        assets:desk          996.3          USD
        equity:opening     -1000            USD
        trading:RAIN-USD     -10            RAIN
        trading:RAIN-USD       3.7          USD
        """,
    ),
    (
        "a linear contract opens: only the fee is posted",
        [], OPENED,
        R(PERP, BUY, 3, 60000.1, fee=0.9000015),
        """
        assets:desk         1000            USD
        assets:desk           -0.9000015    USDT
        equity:opening     -1000            USD
        expenses:fees          0.9000015    USDT
        lot 7 of 2: 3 cost 1800003/1000 USDT
        """,
    ),
    (
        "a linear contract closes in part: that part's profit is realised",
        [R(PERP, BUY, 3, 60000.1)],
        """
        assets:desk         1000            USD
        equity:opening     -1000            USD
        lot 7 of 2: 3 cost 1800003/1000 USDT
        """,
        R(PERP, SELL, 1, 60100.2, role=Role.TARGET),
        """
        assets:desk         1000            USD
        assets:desk            1.001        USDT
        equity:opening     -1000            USD
        income:trading        -1.001        USDT
        lot 7 of 2: 2 cost 600001/500 USDT
        """,
    ),
    (
        "a short linear contract is stopped out: the loss is realised and the lot is gone",
        [R(PERP, SELL, 2, 60000.0)],
        """
        assets:desk         1000            USD
        equity:opening     -1000            USD
        lot 7 of 2: -2 cost -1200 USDT
        """,
        R(PERP, BUY, 2, 60500.0, fee=0.605, role=Role.STOP),
        """
        assets:desk         1000            USD
        assets:desk          -10.605        USDT
        equity:opening     -1000            USD
        expenses:fees          0.605        USDT
        income:trading        10            USDT
        """,
    ),
    (
        "a second fill adds to a lot: its cost is the sum of both",
        [R(PERP, BUY, 1, 60000.0)],
        """
        assets:desk         1000            USD
        equity:opening     -1000            USD
        lot 7 of 2: 1 cost 600 USDT
        """,
        R(PERP, BUY, 2, 60300.0),
        """
        assets:desk         1000            USD
        equity:opening     -1000            USD
        lot 7 of 2: 3 cost 1806 USDT
        """,
    ),
    (
        "a part of a lot of two prices closes at its average cost, 602 each",
        [R(PERP, BUY, 1, 60000.0), R(PERP, BUY, 2, 60300.0)],
        """
        assets:desk         1000            USD
        equity:opening     -1000            USD
        lot 7 of 2: 3 cost 1806 USDT
        """,
        R(PERP, SELL, 1, 60500.0),
        """
        assets:desk         1000            USD
        assets:desk            3            USDT
        equity:opening     -1000            USD
        income:trading        -3            USDT
        lot 7 of 2: 2 cost 1204 USDT
        """,
    ),
    (
        "a fill larger than the lot closes it and opens the other side",
        [R(PERP, BUY, 1, 60000.0)],
        """
        assets:desk         1000            USD
        equity:opening     -1000            USD
        lot 7 of 2: 1 cost 600 USDT
        """,
        R(PERP, SELL, 3, 60100.0),
        """
        assets:desk         1000            USD
        assets:desk            1            USDT
        equity:opening     -1000            USD
        income:trading        -1            USDT
        lot 7 of 2: -2 cost -1202 USDT
        """,
    ),
    (
        "another envelope in the same contract keeps its own lot",
        [R(PERP, BUY, 1, 60000.0)],
        """
        assets:desk         1000            USD
        equity:opening     -1000            USD
        lot 7 of 2: 1 cost 600 USDT
        """,
        R(PERP, SELL, 1, 60100.0, ref_id=8),
        """
        assets:desk         1000            USD
        equity:opening     -1000            USD
        lot 7 of 2: 1 cost 600 USDT
        lot 8 of 2: -1 cost -601 USDT
        """,
    ),
    (  # 6 * 100 * (1/60000 - 1/61000) = 0.000163934426229508 BTC, and on without end
        "an inverse contract closes: profit in coins, to 8 digits, the rest in rounding",
        [R(COIN, BUY, 6, 60000.0)],
        """
        assets:desk         1000            USD
        equity:opening     -1000            USD
        lot 7 of 3: 6 cost -1/100 BTC
        """,
        R(COIN, SELL, 6, 61000.0, fee=0.000005, role=Role.TARGET),
        """
        assets:desk            0.00015893           BTC
        assets:desk         1000                    USD
        equity:opening     -1000                    USD
        expenses:fees          0.000005             BTC
        income:trading        -0.000163934426229508 BTC
        rounding               0.000000004426229508 BTC
        """,
    ),
    (
        "a linear profit of ten digits is posted whole",
        [R(FINE, BUY, 1, 0.000010)],
        """
        assets:desk         1000            USD
        equity:opening     -1000            USD
        lot 7 of 6: 1 cost 1/1000000000 USDT
        """,
        R(FINE, SELL, 1, 0.000013),
        """
        assets:desk         1000            USD
        assets:desk            0.0000000003 USDT
        equity:opening     -1000            USD
        income:trading        -0.0000000003 USDT
        """,
    ),
    (  # 603.001 - 1806.002 / 3
        "a linear part of a lot of two prices has no last digit: rounding keeps the rest",
        [R(PERP, BUY, 1, 60000.0), R(PERP, BUY, 2, 60300.1)],
        """
        assets:desk         1000            USD
        equity:opening     -1000            USD
        lot 7 of 2: 3 cost 903001/500 USDT
        """,
        R(PERP, SELL, 1, 60300.1),
        """
        assets:desk         1000                    USD
        assets:desk            1.00033333           USDT
        equity:opening     -1000                    USD
        income:trading        -1.000333333333333333 USDT
        rounding               0.000000003333333333 USDT
        lot 7 of 2: 2 cost 903001/750 USDT
        """,
    ),
    (
        "a binary on an inverse contract moves its quote asset, the fee too",
        [], OPENED,
        R(COIN, BUY, 20.0, 60000.0, 0.5, FILLED, Role.BINARY),
        """
        assets:desk          979.5          USD
        binary:open           20            USD
        equity:opening     -1000            USD
        expenses:fees          0.5          USD
        stake 7 of 3: 20
        """,
    ),
    (
        "a binary's stake is set aside, and is still the desk's",
        [], OPENED,
        binary(FILLED, 33.37),
        """
        assets:desk          966.63         USD
        binary:open           33.37         USD
        equity:opening     -1000            USD
        stake 7 of 0: 33.37
        """,
    ),
    (
        "a binary is won: the stake comes back with 85.7 % of it",
        [binary(FILLED, 33.37)],
        """
        assets:desk          966.63         USD
        binary:open           33.37         USD
        equity:opening     -1000            USD
        stake 7 of 0: 33.37
        """,
        binary(WON, 33.37),
        """
        assets:desk         1028.59809      USD
        equity:opening     -1000            USD
        income:binary        -28.59809      USD
        """,
    ),
    (  # 0.0000005 * 0.857 = 0.0000004285
        "a payout finer than 8 digits is paid in 8, and rounding keeps the rest",
        [binary(FILLED, 5e-7)],
        """
        assets:desk          999.9999995    USD
        binary:open            0.0000005    USD
        equity:opening     -1000            USD
        stake 7 of 0: 0.0000005
        """,
        binary(WON, 5e-7),
        """
        assets:desk         1000.00000043   USD
        equity:opening     -1000            USD
        income:binary         -0.0000004285 USD
        rounding              -0.0000000015 USD
        """,
    ),
    (
        "a binary is lost",
        [binary(FILLED, 33.37)],
        """
        assets:desk          966.63         USD
        binary:open           33.37         USD
        equity:opening     -1000            USD
        stake 7 of 0: 33.37
        """,
        binary(LOST, 33.37),
        """
        assets:desk          966.63         USD
        equity:opening     -1000            USD
        income:binary         33.37         USD
        """,
    ),
    (
        "a binary is refunded, its fee is not",
        [binary(FILLED, 33.37, fee=0.01)],
        """
        assets:desk          966.62         USD
        binary:open           33.37         USD
        equity:opening     -1000            USD
        expenses:fees          0.01         USD
        stake 7 of 0: 33.37
        """,
        binary(REFUND, 33.37),
        """
        assets:desk          999.99         USD
        equity:opening     -1000            USD
        expenses:fees          0.01         USD
        """,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("what", "given_reports", "before", "event", "after"), PAGES, ids=[p[0] for p in PAGES]
)
def test_page(what: str, given_reports: list[R], before: str, event: R, after: str) -> None:
    book, journal = book_of(given_reports)
    assert page(book) == lines(before)
    book, made = JOURNAL.step(book, market([event], first_seq=100))
    assert page(book) == lines(after)
    assert len(made) == 1
    assert verify(book, journal + made) == sound(len(journal) + 1)


def test_a_journal_row_says_what_was_booked_and_why() -> None:
    _, journal = book_of([R(BTC, SELL, 0.002, 60000.1, fee=0.5, code=MAKER, role=Role.TARGET)])
    assert journal == [
        {
            "seq": 0, "ts_event_ns": 0, "ts_recv_ns": 0, "lane": 0, "market_seq": 0,
            "ref_id": NO_ID, "kind": "opening", "memo": "opening balance 1000 USD",
            "postings": [["assets:desk", "USD", "1000"], ["equity:opening", "USD", "-1000"]],
        },
        {
            "seq": 1, "ts_event_ns": 1_000_000_000, "ts_recv_ns": 1_000_000_005, "lane": 0,
            "market_seq": 1, "ref_id": 7, "kind": "exchange",
            "memo": "SELL 0.002 sim:BTCUSDT1 @ 60000.1 maker TARGET",
            "postings": [
                ["assets:desk", "BTC", "-0.002"], ["trading:BTC-USDT", "BTC", "0.002"],
                ["assets:desk", "USDT", "120.0002"], ["trading:BTC-USDT", "USDT", "-120.0002"],
                ["assets:desk", "USDT", "-0.5"], ["expenses:fees", "USDT", "0.5"],
            ],
        },
    ]  # fmt: skip
    assert json.loads(json.dumps(journal)) == journal


def test_only_a_fill_that_closes_posts_profit() -> None:
    fills = [(BUY, "open"), (BUY, "open"), (SELL, "close"), (SELL, "close"), (SELL, "open")]
    _, journal = book_of([R(PERP, side, 1, 60000.0) for side, _ in fills])
    fee = [["assets:desk", "USDT", "0"], ["expenses:fees", "USDT", "0"]]  # stated, even where none
    profit = [["assets:desk", "USDT", "0"], ["income:trading", "USDT", "0"]]
    found = [(row["kind"], row["postings"]) for row in journal[1:]]
    assert found == [(kind, profit + fee if kind == "close" else fee) for _, kind in fills]


def test_the_opening_deposit_needs_only_a_row_of_any_kind() -> None:
    beat = empty(MarketRows, 1)
    beat.kind[0], beat.symbol[0] = Kind.HEARTBEAT, NO_SYMBOL
    book, none = JOURNAL.step(JOURNAL.initial(), take(beat, slice(0, 0)))
    book, opening = JOURNAL.step(book, beat)
    book, nothing = JOURNAL.step(book, beat)
    assert (none, [row["kind"] for row in opening], nothing) == ([], ["opening"], [])


@pytest.mark.parametrize("code", set(ReportCode) - {FILLED, MAKER, WON, LOST, REFUND})
def test_reports_without_money_post_nothing(code: ReportCode) -> None:
    book, journal = book_of([R(EUR, BUY, NAN, NAN, NAN, code)])
    assert (len(journal), page(book)) == (1, lines(OPENED))


def test_a_trade_with_the_code_of_a_fill_is_still_a_trade() -> None:
    rows = market([R(EUR, BUY, 1, 1.1)])
    rows.kind[1] = Kind.TRADE
    assert len(JOURNAL.step(JOURNAL.initial(), rows)[1]) == 1


@pytest.mark.parametrize(
    ("price", "memo"),
    [(60000.1, "taker ENTRY"), (60000.15, "taker ENTRY, price off tick")],
)
def test_a_price_off_its_tick_is_booked_as_it_reads_and_the_memo_says_so(
    price: float, memo: str
) -> None:
    book, journal = book_of([R(BTC, BUY, 1, price)])
    assert journal[-1]["memo"] == f"BUY 1 sim:BTCUSDT1 @ {price} {memo}"
    assert book.balances["assets:desk", "USDT"] == -Decimal(str(price))


def test_a_report_is_booked_once() -> None:
    rows = market([R(EUR, BUY, 100, 1.1), R(EUR, BUY, 50, 1.2)])
    book, first = JOURNAL.step(JOURNAL.initial(), rows)
    before = page(book)
    book, again = JOURNAL.step(book, take(rows, slice(1, None)))
    assert (len(first), again, page(book), book.refused) == (3, [], before, 2)
    assert JOURNAL.load(JOURNAL.dump(book)) == book


# fmt: off
REFUSED = [
    ("an unknown symbol",   R(9, BUY, 1, 1.0),        "market seq 1, symbol 9: the symbol is not"),
    ("no price",            R(EUR, BUY, 1, NAN),      "sim:EURUSD0: price .* were nan and 1.0"),
    ("a negative quantity", R(EUR, BUY, -1, 1.0),     "positive numbers, were 1.0 and -1.0"),
    ("an infinite price",   R(EUR, BUY, 1, np.inf),   "positive numbers, were inf"),
    ("no side",             R(EUR, 0, 1, 1.0),        "must buy or sell, its side was 0"),
    ("no fee",              R(EUR, BUY, 1, 1.0, NAN), "fee of a fill must be a number, was nan"),
    ("an option",           R(CALL, BUY, 1, 1.0),     "the ledger has no rule for OPTION"),
    ("a settled position",  R(EUR, BUY, 1, 1.0, code=WON), "found SETTLED_WON with role 1"),
    ("an unopened binary",  binary(WON, 5.0),         "settles a stake of 5, but open is none"),
]
# fmt: on


@pytest.mark.parametrize(("what", "report", "says"), REFUSED, ids=[c[0] for c in REFUSED])
def test_what_cannot_mean_money_stops_the_ledger(what: str, report: R, says: str) -> None:
    with pytest.raises(LedgerError, match=says):
        book_of([report])


def test_a_binary_is_settled_with_its_own_stake_and_opened_once() -> None:
    with pytest.raises(LedgerError, match=r"settles a stake of 6, but open is 5\.0"):
        book_of([binary(FILLED, 5.0), binary(WON, 6.0)])
    with pytest.raises(LedgerError, match="already open"):
        book_of([binary(FILLED, 5.0), binary(FILLED, 5.0)])


def test_an_unbalanced_posting_is_refused_with_its_place_and_sum() -> None:
    book = Book()
    planted = [
        ("assets:desk", "USD", Decimal("-1.10")),
        ("expenses:fees", "USD", Decimal("1.09")),
        ("assets:desk", "EUR", Decimal(5)),
        ("trading:EUR-USD", "EUR", Decimal(-5)),
    ]
    with pytest.raises(UnbalancedTransaction) as caught:
        post(book, planted, "transaction 3, lane 0, market seq 12")
    assert str(caught.value) == (
        "transaction 3, lane 0, market seq 12: postings must add up to 0 per asset, "
        "left over: USD -0.01 (assets:desk -1.1 USD; expenses:fees 1.09 USD; "
        "assets:desk 5 EUR; trading:EUR-USD -5 EUR)"
    )
    assert book == Book()


@pytest.mark.parametrize("balance", ["0", "-5", "NaN", "1e5", "", "lots"])
def test_a_balance_that_is_no_positive_decimal_is_refused(balance: Any) -> None:
    with pytest.raises(ValueError, match="balance must be a positive decimal, as text"):
        Journal(TABLE, balance)


def test_verify_shows_a_changed_journal_row() -> None:
    book, journal = book_of([R(EUR, BUY, 100, 1.1, fee=0.5), R(EUR, SELL, 100, 1.2)])
    journal[1]["postings"][4][2] = "-0.25"
    assert verify(book, journal) == (
        3,
        False,
        Decimal("0.25"),
        (
            "transaction 1: USD adds up to 0.25",
            "assets:desk USD: the book has 1009.5, its postings 1009.75, difference -0.25",
        ),
    )
    assert verify(book, journal[:1] + journal[2:]).problems[:2] == (
        "transaction 1: expected seq 1, found 2",
        "the book has 3 transactions, the journal 2",
    )


def test_equity_is_balances_at_rates_plus_open_lots_at_marks() -> None:
    book, _ = book_of(
        [
            R(EUR, BUY, 100, 1.38741, fee=0.25),
            R(PERP, SELL, 2, 60000.0, fee=0.5),
            R(COIN, BUY, 6, 60000.0, ref_id=8),
            binary(FILLED, 30.0, ref_id=9),
        ]
    )
    marks = {(0, PERP): Decimal("60100.5"), (0, COIN): Decimal(64000)}
    rates = {"USD": Decimal(1), "USDT": Decimal(1), "EUR": Decimal("1.39"), "BTC": Decimal(64000)}
    assert balances(book) == {
        "BTC": Decimal(0),  # the fee of a contract that settles in it
        "EUR": Decimal(100),
        "USD": Decimal("861.009"),
        "USDT": Decimal("-0.5"),
    }
    assert unrealised(book, marks) == {"USDT": Decimal("-2.01"), "BTC": Decimal("0.000625")}
    assert equity(book, marks, rates) == Decimal("861.009") - Decimal("2.51") + 139 + 40


def test_equity_with_a_hole_is_refused() -> None:
    book, _ = book_of([R(PERP, SELL, 2, 60000.0)])
    with pytest.raises(LedgerError, match="no mark for lane 0, symbol 2, in which envelope 7"):
        equity(book, {}, {"USD": Decimal(1)})
    with pytest.raises(LedgerError, match="no rate for USDT"):
        equity(book, {(0, PERP): Decimal(1)}, {"USD": Decimal(1)})
    with pytest.raises(TypeError, match="float"):
        equity(book, {(0, PERP): 1.0}, {"USD": Decimal(1)})  # type: ignore[dict-item]


# what happens: any sequence of fills of every kind, binaries opened and settled
PRICES = {EUR: 1e-5, BTC: 0.1, PERP: 0.1, COIN: 0.5, RAIN: 0.01}
FILL = st.builds(
    lambda symbol, side, qty, ticks, fee, ref_id: R(
        symbol, side, qty * (0.001 if symbol == BTC else 1), ticks * PRICES[symbol], fee / 1e8,
        ref_id=ref_id,
    ),
    st.sampled_from(sorted(PRICES)), st.sampled_from([BUY, SELL]), st.integers(1, 9),
    st.integers(1, 700_000), st.integers(-1000, 100_000), st.integers(7, 8),
)  # fmt: skip
REPORTS = st.lists(FILL | st.sampled_from(["binary"]), min_size=1, max_size=25)


def with_binaries(drawn: list[R | str]) -> list[R]:
    """Every "binary" opens one under its own id; the next but two row settles it, in turn."""
    found: list[R] = []
    for i, r in enumerate(drawn):
        found.append(binary(FILLED, 10.01 + i, ref_id=100 + i) if isinstance(r, str) else r)
        if i >= 2 and isinstance(drawn[i - 2], str):
            found.append(binary((WON, LOST, REFUND)[i % 3], 10.01 + (i - 2), ref_id=98 + i))
    return found


@settings(max_examples=60, derandomize=True, deadline=None)
@given(REPORTS, st.sets(st.integers(1, 24)))
def test_every_prefix_balances_and_a_restart_anywhere_changes_nothing(
    drawn: list[R | str], cuts: set[int]
) -> None:
    rows = market(with_binaries(drawn))
    whole, journal = JOURNAL.step(JOURNAL.initial(), rows)
    book, made = JOURNAL.initial(), []
    edges = [0, *sorted(c for c in cuts if c < rows.seq.size), rows.seq.size]
    for start, stop in pairwise(edges):
        book, out = JOURNAL.step(JOURNAL.load(JOURNAL.dump(book)), take(rows, slice(start, stop)))
        made += out
        assert verify(book, made) == sound(len(made))
        totals: dict[str, Decimal] = {}
        for (_, asset), amount in book.balances.items():
            totals[asset] = totals.get(asset, Decimal(0)) + amount
        assert set(totals.values()) == {Decimal(0)}  # the whole book, not only each transaction
    assert made == journal
    assert JOURNAL.dump(book) == JOURNAL.dump(whole)


INVERSE = st.lists(
    st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 9), st.integers(1, 300)),
    min_size=2, max_size=8,
)  # fmt: skip


@settings(max_examples=200, derandomize=True, deadline=None)
@given(INVERSE, st.sampled_from([COIN, PERP]))
def test_realised_profit_equals_fractions(fills: list[tuple[int, int, int]], symbol: int) -> None:
    """Oracle: an average price per lot in plain fractions; inverse lots average 1/price.

    Small prices make 1/entry - 1/exit end or tie at the 8th digit often enough.
    """
    tick, size = (Fraction(1, 2), 100) if symbol == COIN else (Fraction(1, 10), Fraction(1, 100))
    _, journal = book_of([R(symbol, s, q, k * float(tick)) for s, q, k in fills])
    held, average, income = 0, Fraction(0), []
    for side, qty, ticks in fills:
        x = 1 / (ticks * tick) if symbol == COIN else ticks * tick
        closing = min(abs(held), qty) if held * side < 0 else 0
        gain = size * closing * (x - average) * (1 if held > 0 else -1)
        income.append(-gain if symbol == COIN else gain)
        opening = qty - closing
        if opening:
            kept = 0 if closing else abs(held)
            average = (average * kept + x * opening) / (kept + opening)
        held += side * qty
    for row, exact in zip(journal[1:], income, strict=True):
        got = {
            account: Fraction(x) for account, _, x in row["postings"] if account != "assets:desk"
        }
        desk = Fraction(row["postings"][0][2])
        endless = symbol == COIN or 10**18 % exact.denominator
        assert desk == (Fraction(round(exact * 10**8), 10**8) if endless else exact)
        fine = Fraction(round(exact * 10**18), 10**18)
        assert got.get("income:trading", 0) == -fine
        assert got.get("rounding", 0) == fine - desk


def test_the_book_grows_with_positions_not_with_time() -> None:
    round_trip = [R(COIN, BUY, 3, 60000.0), R(COIN, SELL, 1, 60001.5), R(COIN, BUY, 1, 59001.5)]
    book, sizes, seq = JOURNAL.initial(), [], 1
    for _ in range(200):  # a lot that is never quite closed, of 400 prices: the worst case
        book, _ = JOURNAL.step(book, market(round_trip[seq > 1 :], first_seq=seq))
        round_trip = [r._replace(price=r.price + 0.5) for r in round_trip]
        seq += 3
        sizes.append(len(JOURNAL.dump(book)))
    assert max(sizes) < 800
