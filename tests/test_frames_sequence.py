"""Promise: a lost, repeated, late or early message is told from the next one, where that is known.

One row of the table is a story: messages in order, and what each of them is.
"""

# ruff: noqa: E501 (one story, one line)

import re

import pytest

from schemas.kinds import NO_SYMBOL, Kind
from venues.frames import (
    Account,
    Book,
    Chain,
    Event,
    FrameClass,
    Link,
    Parsed,
    Synchroniser,
    Verdict,
    judge,
    parser_for,
)
from venues.frames.registry import PARSERS

V = Verdict
BINANCE = PARSERS["binance_usdm"].venue
COINBASE = PARSERS["coinbase"].venue

# fmt: off
STORIES = {  # messages in order, `first-last<prev` with S for a snapshot, and their verdicts
    "each follows the last":           ("S100 101-105<100 106-106<105",             "OK OK OK"),
    "the first spans the snapshot":    ("S100 98-103<97 104-105<103",               "OK OK OK"),
    "the snapshot contains it":        ("S100 90-99<89 99-101<98",                  "OK STALE OK"),
    "it ends where the snapshot does": ("S100 90-100<89 101-102<100",               "OK DUPLICATE OK"),
    "one is lost":                     ("S100 103-104<102 105-105<104",             "OK GAP NEEDS_SNAPSHOT"),
    "lost, then a new snapshot":       ("S100 103-104<102 S110 111-111<110",        "OK GAP OK OK"),
    "the last one again":              ("S100 101-102<100 101-102<100 103-103<102", "OK OK DUPLICATE OK"),
    "an old one again":                ("S100 101-102<100 103-104<102 101-102<100", "OK OK OK STALE"),
    "two have changed places":         ("S100 103-104<102 101-102<100",             "OK GAP NEEDS_SNAPSHOT"),
    "numbering broken in the middle":  ("S100 101-102<100 102-103<101",             "OK OK GAP"),
    "no snapshot yet":                 ("101-102<100",                              "NEEDS_SNAPSHOT"),
    "an older snapshot comes late":    ("S100 101-105<100 S103 106-106<105",        "OK OK STALE OK"),
    "a newer snapshot":                ("S100 S200 201-201<200",                    "OK OK OK"),
    "alive, with the same number":     ("S100 100-100<100 101-101<100",             "OK OK OK"),
    "the venue counts from 0 again":   ("S100 3-3<100 4-4<3",                       "OK OK OK"),
    "numbers only order":              ("S100 100 105 105 104",                     "OK STALE UNPROVABLE UNPROVABLE STALE"),
    "no numbers":                      ("- S - -",                                  "NEEDS_SNAPSHOT OK UNPROVABLE UNPROVABLE"),
}
# fmt: on


def link(text: str) -> Link | None:
    numbers = [int(n) for n in re.findall(r"[0-9]+", text)]
    if not numbers:
        return None
    first, last, prev = numbers if "<" in text else (numbers[0], numbers[0], None)
    return Link(first, last, prev)


@pytest.mark.parametrize("what", STORIES)
def test_story(what):
    messages, wanted = STORIES[what]
    chain, found = Chain(), []
    for text in messages.split():
        chain, verdict = judge(chain, link(text), snapshot=text.startswith("S"))
        found.append(verdict.name)
    assert found == wanted.split()


def change(last: int, prev: int, *, symbol: int = 0, ts_recv_ns: int = 1) -> Parsed:
    book = Book(symbol, 5, snapshot=False, bids=[(1.0, 2.0)], asks=[], link=Link(last, last, prev))
    return Parsed(FrameClass.DATA, "depth", "", ts_recv_ns, 1, (book,))


def snapshot(last: int, *, symbol: int = 0, ts_recv_ns: int = 1) -> Parsed:
    book = Book(symbol, 5, snapshot=True, bids=[(1.0, 1.0)], asks=[], link=Link(last, last, last))
    return Parsed(FrameClass.DATA, "GET depth", "", ts_recv_ns, 1, (book,))


def numbers(judged) -> list[tuple[int, str, int]]:
    """Last number, verdict and receive time of the books given out."""
    return [
        (book.link.last, verdict.name, parsed.ts_recv_ns)
        for parsed, verdicts, _ in judged
        for book, verdict in zip(parsed.books, verdicts, strict=True)
    ]


def test_changes_wait_for_their_snapshot_and_follow_it_in_its_time():
    sync = Synchroniser(BINANCE)
    early = [change(k, k - 1, ts_recv_ns=k) for k in (9, 10, 11, 12)]
    assert [sync.accept(parsed) for parsed in early] == [[]] * 4
    released = sync.accept(snapshot(10, ts_recv_ns=50))
    assert [(j.parsed.kind.name, j.parsed.reason) for j in released[:3]] == [
        ("DATA", ""),
        ("SUPERSEDED", "older than what is known"),
        ("SUPERSEDED", "the last message again"),
    ]
    assert numbers([released[0], *released[3:]]) == [(10, "OK", 50), (11, "OK", 50), (12, "OK", 50)]
    assert numbers(sync.accept(change(13, 12, ts_recv_ns=60))) == [(13, "OK", 60)]


def test_waiting_is_bounded_and_ends():
    sync = Synchroniser(BINANCE, held_max=2)
    given = [numbers(sync.accept(change(k, k - 1))) for k in (1, 2, 3)]
    assert given == [[], [], [(1, "NEEDS_SNAPSHOT", 1)]]
    assert numbers(sync.flush()) == [(2, "NEEDS_SNAPSHOT", 1), (3, "NEEDS_SNAPSHOT", 1)]
    assert sync.flush() == []


def test_one_books_snapshot_releases_only_its_own_changes():
    sync = Synchroniser(BINANCE)
    sync.accept(change(5, 4, symbol=0))
    sync.accept(change(7, 6, symbol=1))
    assert numbers(sync.accept(snapshot(6, symbol=1))) == [(6, "OK", 1), (7, "OK", 1)]
    assert numbers(sync.flush()) == [(5, "NEEDS_SNAPSHOT", 1)]


def test_trades_do_not_wait():
    trade = Parsed(FrameClass.DATA, "trade", "", 1, 1, (Event(Kind.TRADE, 0, 5),))
    assert [j.parsed for j in Synchroniser(BINANCE).accept(trade)] == [trade]


@pytest.mark.parametrize("symbol", [0, NO_SYMBOL])
def test_quarantined_message_ends_the_books_chain_until_its_next_snapshot(symbol):
    sync = Synchroniser(COINBASE)
    base = Book(0, 5, snapshot=True, bids=[], asks=[])
    sync.accept(Parsed(FrameClass.DATA, "snapshot", "", 1, 0, (base,)))
    then = Parsed(FrameClass.DATA, "l2update", "", 1, 0, (base._replace(snapshot=False),))
    assert sync.accept(then)[0].verdicts == (V.UNPROVABLE,)
    sync.accept(Parsed(FrameClass.QUARANTINED, "l2update", "bad", 1, 0, broken=(symbol,)))
    assert sync.accept(then)[0].verdicts == (V.NEEDS_SNAPSHOT,)
    sync.accept(Parsed(FrameClass.DATA, "snapshot", "", 1, 0, (base,)))
    assert sync.accept(then)[0].verdicts == (V.UNPROVABLE,)


def test_numbers_of_the_connection_prove_all_of_its_books():
    parser = parser_for("bitfinex")
    sync = Synchroniser(parser.venue)
    frames = [  # what the frame is, and the verdicts of its number and its book
        ('{"event":"subscribed","channel":"book","chanId":7,"symbol":"tBTCUSD","prec":"P0"}',
         V.UNPROVABLE, ()),
        ("[7,[[60.1,2,1.5],[60.2,1,-2]],1]", V.OK, (V.OK,)),
        ("[7,[60.1,0,1],2]", V.OK, (V.OK,)),
        ('[7,"hb",3]', V.OK, ()),
        ("[7,[60.0,1,1],4]", V.OK, (V.OK,)),
        ("[7,[60.0,1,1],4]", V.DUPLICATE, ()),
        ("[7,[59.9,1,1],6]", V.GAP, (V.NEEDS_SNAPSHOT,)),
        ("[7,[59.8,1,1],7]", V.OK, (V.NEEDS_SNAPSHOT,)),
        ("[7,[[60.1,2,1.5]],8]", V.OK, (V.OK,)),
    ]  # fmt: skip
    found = [sync.accept(parser.parse(text.encode(), ts_recv_ns=1))[0] for text, _, _ in frames]
    assert [(j.connection, j.verdicts) for j in found] == [(a, b) for _, a, b in frames]


def test_checksum_fails_at_the_message_that_brings_the_wrong_digit_into_its_depth():
    parser = parser_for("okx")
    sync = Synchroniser(parser.venue)
    frame = (
        '{"arg":{"channel":"books","instId":"X"},"action":"%s","data":'
        '[{"asks":[["60.20","2","0","1"]],"bids":[["60.1","%s","0","2"]],"ts":"1","checksum":%d}]}'
    )
    crc = -307_506_458  # of 60.1:1:60.20:2, computed bit by bit
    story = [("snapshot", "1", crc, V.OK), ("update", "1", crc, V.OK),
             ("update", "1.0", crc, V.CHECKSUM_FAIL), ("update", "1", crc, V.NEEDS_SNAPSHOT),
             ("snapshot", "1", crc, V.OK)]  # fmt: skip
    found = [
        sync.accept(parser.parse((frame % (action, qty, crc)).encode()))[0].verdicts
        for action, qty, crc, _ in story
    ]
    assert found == [(verdict,) for *_, verdict in story]


def test_account_says_what_does_not_add_up():
    account = Account()
    account.add(change(1, 0))
    assert account.problems() == []
    account.elements += 1
    account.frames += 1
    assert account.problems() == [
        "2 frames, but 1 have a class",
        "2 elements, but 1 rows and 0 quarantined",
    ]
