"""Promise: a book that its feed cannot prove is compared with the venue's, and only that.

A lost change is found by the next audit and ends in another snapshot; an audit that agrees changes
nothing, also while changes and the snapshot cross each other on the way.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from operators.market.books.words import BookReason, BookState
from schemas.kinds import Kind
from tests.live_cases import UNPROVEN, Reader, check_rows, one_market, serving
from tests.venue_server import Script, VenueServer
from venues.frames import Book, Link
from venues.live import LIVE
from venues.live.audit import BookAudit, Found

S = BookState


@pytest.fixture(name="serve")
def fixture_serve() -> Iterator[Callable[[Script], VenueServer]]:
    yield from serving()


def test_exactly_the_venues_that_prove_nothing_are_audited() -> None:
    assert {name for name, venue in LIVE.items() if venue.audit_s} == set(UNPROVEN)


@pytest.mark.parametrize("venue", UNPROVEN)
def test_lost_change_is_found_by_the_next_audit(venue: str, serve: Any) -> None:
    server = serve(one_market(venue))
    with Reader(server, audit_s=0.3) as reader:
        reader.begin()
        server.play(8)
        reader.until(reader.is_true)
        server.next_change()
        server.happen()  # nobody is told
        assert not reader.is_true()
        reader.until(lambda: reader.counts.differed == 1)
        reader.until(lambda: S.GAP in reader.states())
        reader.until(lambda: reader.synced() and reader.is_true())
        good = S.UNPROVABLE
        assert reader.states()[:5] == [S.RESYNC, good, S.GAP, S.RESYNC, good]
        assert BookReason.AUDIT in reader.reasons()
        assert reader.counts.snapshots == 2
        check_rows(reader)


@pytest.mark.parametrize("venue", UNPROVEN)
def test_audits_that_agree_change_nothing(venue: str, serve: Any) -> None:
    server = serve(one_market(venue, 400))
    with Reader(server, audit_s=0.2) as reader:
        reader.begin()

        def audited() -> bool:
            if server.rest_of():  # changes go on while snapshots are fetched
                server.play()
            return bool(reader.counts.audits >= 2)

        reader.until(audited)
        reader.finish()
        assert reader.counts.differed == 0
        assert reader.states() == [S.RESYNC, S.UNPROVABLE]
        rows = reader.rows
        assert set(rows.ref_id[rows.kind == Kind.BOOK_STATUS]) == {0, 1}  # epochs
        assert reader.counts.snapshots == 1
        check_rows(reader)


@pytest.mark.parametrize("venue", UNPROVEN)
def test_one_audit_without_an_answer_changes_nothing_and_two_end_what_is_unprovable(
    venue: str, serve: Any
) -> None:
    server = serve(one_market(venue))
    with Reader(server, audit_s=0.1) as reader:
        reader.begin()
        server.rest_fails = True
        reader.until(lambda: reader.counts.audits_failed >= 1)
        assert reader.states() == [S.RESYNC, S.UNPROVABLE]
        reader.until(lambda: reader.counts.unaudited == 1)
        assert reader.counts.audits_failed == 2
        server.rest_fails = False
        reader.until(lambda: reader.synced() and reader.is_true())
        assert reader.states()[:4] == [S.RESYNC, S.UNPROVABLE, S.RESYNC, S.UNPROVABLE]
        assert BookReason.UNAUDITED in reader.reasons()
        assert S.GAP not in reader.states()  # nothing is known to be missing: no incident
        assert reader.counts.differed == 0


def book(bids: dict[float, float], *, snapshot: bool = False, number: int | None = None) -> Book:
    link = None if number is None else Link(number, number, None)
    return Book(0, 1, snapshot=snapshot, bids=list(bids.items()), asks=[], link=link)


Levels = dict[float, float]
Change = tuple[int, Levels, int | None]  # time, price: quantity, number
Answer = tuple[Levels, int | None]
AGREES, DIFFERS, UNDECIDED = Found.AGREES, Found.DIFFERS, Found.UNDECIDED

# fmt: off
# Times in ns: the window opens at 0, the snapshot is asked for at 10; the window closes 10 after it
# came. The book began as {1.0: 5.0} with number 1.
CASES: list[tuple[str, list[Change], int, Answer, Found]] = [
    ("nothing happens",            [],                       20, ({1.0: 5.0}, None),   AGREES),
    ("a level is wrong",           [],                       20, ({1.0: 6.0}, None),   DIFFERS),
    ("a level is missing",         [],                       20, ({1.0: 5.0, 2.0: 1.0}, None),
     DIFFERS),
    ("a level is too much",        [],                       20, ({}, None),           DIFFERS),
    ("a change before the answer", [(5, {1.0: 6.0}, None)],  20, ({1.0: 6.0}, None),   AGREES),
    ("a change behind it",         [(5, {1.0: 6.0}, None)],  20, ({1.0: 5.0}, None),   AGREES),
    ("a change that comes late",   [(25, {1.0: 6.0}, None)], 20, ({1.0: 6.0}, None),   AGREES),
    ("a level comes and goes",     [(5, {2.0: 1.0}, None), (15, {2.0: 0.0}, None)],
                                                             20, ({1.0: 5.0, 2.0: 1.0}, None),
     AGREES),
    ("another than any seen",      [(5, {1.0: 6.0}, None)],  20, ({1.0: 7.0}, None),   DIFFERS),
    ("numbers: in the answer",     [(5, {1.0: 6.0}, 2)],     20, ({1.0: 6.0}, 2),      AGREES),
    ("numbers: not in it",         [(5, {1.0: 6.0}, 2)],     20, ({1.0: 5.0}, 2),      DIFFERS),
    ("numbers: behind it",         [(15, {1.0: 6.0}, 3)],    20, ({1.0: 5.0}, 2),      AGREES),
    ("numbers: an old answer",     [],                       20, ({1.0: 9.0}, 0),      UNDECIDED),
    ("no answer comes",            [],                       99, ({1.0: 5.0}, None),   UNDECIDED),
]
# fmt: on


@pytest.mark.parametrize(
    ("changes", "answer_ns", "snapshot", "found"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_case(changes: list[Change], answer_ns: int, snapshot: Answer, found: Found) -> None:
    audit = BookAudit(slack_ns=10, patience_ns=50)
    audit.take(book({1.0: 5.0}, snapshot=True, number=1))
    audit.begin(0)
    said = []
    for now_ns in range(110):
        for at_ns, levels, number in changes:
            if at_ns == now_ns:
                audit.take(book(levels, number=number))
        if now_ns == answer_ns:
            audit.answer(book(snapshot[0], snapshot=True, number=snapshot[1]), now_ns)
        if (one := audit.look(now_ns)) is not Found.NOTHING:
            said.append((now_ns, one))
    ends_ns = answer_ns + 10 if answer_ns < 60 else 60
    assert said == [(10, Found.ASK), (ends_ns, found)]


def test_another_snapshot_in_the_book_ends_the_audit() -> None:
    audit = BookAudit(slack_ns=10, patience_ns=50)
    audit.take(book({1.0: 5.0}, snapshot=True))
    audit.begin(0)
    audit.take(book({1.0: 6.0}, snapshot=True))
    assert [audit.look(now_ns) for now_ns in range(100)] == [Found.NOTHING] * 100
