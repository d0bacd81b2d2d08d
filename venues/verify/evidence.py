"""What was counted while a book was rebuilt, and the checks that follow from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from venues.frames.venue import Proof
from venues.verify.quotes import Agreement, Difference
from venues.verify.report import BookReport, Check, Outcome, utc_ms
from venues.verify.tolerance import Beside, Match, Tolerance, tolerance_of
from venues.verify.venues import venue_of

Terms = tuple[Proof, Tolerance]


@dataclass
class Shown:
    """What a file of the venue's snapshots said of a book."""

    rows: int = 0  # snapshots of this book in the file
    levels: int = 0  # compared, where all levels are
    revealed: int = 0  # levels that came into view, taken as they were shown
    outside: int = 0  # snapshots after the tape's last message
    agreement: Agreement = field(default_factory=Agreement)
    first: str = ""  # the first that differs, and how


@dataclass
class Named:
    """Rows about orders that must be known by then."""

    is_asked: bool = False  # of a tape of orders
    rows: int = 0
    unknown: int = 0  # of these, and orders that were added twice
    has_opening: bool = False  # the orders that were open at the start are known


@dataclass
class Evidence:
    """Counts of one book's messages; those of several books add up."""

    snapshots: int = 0
    chained: int = 0  # changes whose numbers prove that none is missing before them
    unnumbered: int = 0  # changes that were applied, but prove nothing
    without_base: int = 0  # changes that no snapshot precedes, or that follow a fault
    gaps: int = 0
    unreadable: int = 0  # messages of the book that were quarantined
    checksums: int = 0
    checksum_fails: int = 0
    audits: int = 0  # further snapshots that have the number of the message before
    audits_failed: int = 0
    synced: int = 0  # messages after which the book could be used
    crossed: int = 0
    auction: int = 0  # of these, where the orders of an auction cross
    outside: int = 0
    first_fault: str = ""
    quotes: int = 0
    loose_quotes: int = 0  # without a number, where numbers say which change they belong to
    agreement: Agreement = field(default_factory=Agreement)
    shown: Shown = field(default_factory=Shown)
    named: Named = field(default_factory=Named)
    unproven: str = ""  # why numbers prove nothing, where the feed does not say it

    def fault(self, what: str) -> None:
        self.first_fault = self.first_fault or what

    @property
    def covered_share(self) -> float | None:
        return 1.0 - self.outside / self.synced if self.synced else None


def total(each: Sequence[Evidence]) -> Evidence:
    """The counts of several books together."""
    made = Evidence()
    for one in each:
        for name in _COUNTS:
            setattr(made, name, getattr(made, name) + getattr(one, name))
        made.fault(one.first_fault)
        made.unproven = made.unproven or one.unproven
        _add(made.agreement, one.agreement)
        _add(made.shown.agreement, one.shown.agreement)
        for name in ("rows", "levels", "revealed", "outside"):
            setattr(made.shown, name, getattr(made.shown, name) + getattr(one.shown, name))
        made.shown.first = made.shown.first or one.shown.first
        for name in ("is_asked", "rows", "unknown", "has_opening"):
            setattr(made.named, name, getattr(made.named, name) + getattr(one.named, name))
    return made


def _add(made: Agreement, one: Agreement) -> None:
    for name in _COMPARED:
        setattr(made, name, getattr(made, name) + getattr(one, name))
    made.first_difference = made.first_difference or one.first_difference


def checks_of(found: Evidence, proof: Proof, rule: Tolerance) -> tuple[Check, ...]:
    """The checks of one book, in the order of the report."""
    return (
        _sequence(found, proof),
        _checksums(found, proof),
        _quotes(found, rule),
        _beside(found.shown, rule) if found.shown.rows else _snapshots(found),
        *([_orders(found.named)] if found.named.is_asked else []),
        _crossings(found, rule),
    )


def checks_of_venues(
    evidence: Mapping[str, Sequence[Evidence]],
    books: Mapping[str, Sequence[BookReport]],
    terms: Callable[[str], Terms] = lambda name: (venue_of(name).proof, tolerance_of(name)),
) -> tuple[Check, ...]:
    """The checks of a file with the books of one venue or more, by the venue's name.

    `terms` says what a venue can prove, and what it is allowed; without it those of its frames.

    A book that failed fails the file; one that passed is enough otherwise. Of several venues the
    worst speaks, by its name.
    """
    each = {
        name: _of_venue(terms(name), evidence[name], books[name]) for name in books if books[name]
    }
    if not each:
        proof, rule = Proof(), tolerance_of("")
        return checks_of(Evidence(), proof, rule)
    made = []
    for checks in zip(*each.values(), strict=True):
        worst = min(checks, key=lambda check: _WORST_FIRST.index(check.outcome))
        name = list(each)[checks.index(worst)]
        says = worst.says if len(each) == 1 else f"{name}: {worst.says}"
        checked, good = (sum(getattr(c, what) for c in checks) for what in ("checked", "good"))
        made.append(Check(worst.name, worst.outcome, says, checked, good))
    return tuple(made)


def _of_venue(
    terms: Terms, evidence: Sequence[Evidence], books: Sequence[BookReport]
) -> tuple[Check, ...]:
    """The words are those of all books together, the outcome is that of the worst."""
    made = []
    together = checks_of(total(evidence), *terms)
    for k, check in enumerate(together):
        found = {book.checks[k].outcome for book in books}
        outcome = next(one for one in _WORST_FIRST if one in found)
        made.append(replace(check, outcome=outcome))
    return tuple(made)


_COUNTS = (
    "snapshots", "chained", "unnumbered", "without_base", "gaps", "unreadable", "checksums",
    "checksum_fails", "audits", "audits_failed", "synced", "crossed", "auction", "outside",
    "quotes", "loose_quotes",
)  # fmt: skip
_COMPARED = ("compared", "equal", "early", "unsynced", "late", "settling")
_WORST_FIRST = (Outcome.FAILED, Outcome.PASSED, Outcome.UNVERIFIED)


def _sequence(found: Evidence, proof: Proof) -> Check:
    good, faults = found.chained, found.gaps + found.unreadable
    checked = good + faults
    if faults:
        parts = [_n(found.gaps, "gap")] if found.gaps else []
        parts += [_n(found.unreadable, "unreadable message")] if found.unreadable else []
        says = f"{' and '.join(parts)}; {found.first_fault}"
        if found.without_base:
            says += f"; {_n(found.without_base, 'change')} after that without a snapshot"
        return Check("sequence", Outcome.FAILED, says, checked, good)
    if good and not found.without_base:
        says = f"{_n(good, 'change')}, none missing"
        return Check("sequence", Outcome.PASSED, says, checked, good)
    return Check("sequence", Outcome.UNVERIFIED, _no_sequence(found, proof), checked, good)


def _no_sequence(found: Evidence, proof: Proof) -> str:
    if found.without_base:
        changes = f"{_n(found.without_base, 'change')}, whose numbers skip none"
        changes = changes if proof.sequence else _n(found.without_base, "change")
        return f"the file lacks a snapshot for {changes}"
    if not found.unnumbered and not found.chained and not found.checksums:
        return "only snapshots" if found.snapshots else "no message about a book"
    if found.unproven:
        return f"{found.unproven}: a lost message cannot be seen"
    if proof.sequence:
        return "messages here have no such numbers"
    if proof.provable:
        return "the feed numbers no message, but has checksums"
    return "the feed numbers no message: a lost one cannot be seen"


def _checksums(found: Evidence, proof: Proof) -> Check:
    good = found.checksums - found.checksum_fails
    if found.checksum_fails:
        says = f"{_n(found.checksum_fails, 'checksum')} of {found.checksums:,} did not hold; "
        return Check("checksums", Outcome.FAILED, says + found.first_fault, found.checksums, good)
    if found.checksums:
        says = f"all {found.checksums:,} hold"
        return Check("checksums", Outcome.PASSED, says, found.checksums, good)
    says = "the feed has none" if proof.checksum.name == "NONE" else "no message has one"
    return Check("checksums", Outcome.UNVERIFIED, says)


def _quotes(found: Evidence, rule: Tolerance) -> Check:
    told = found.agreement
    if not found.quotes:
        says = "no quote has the number of a change" if found.loose_quotes else ""
        return Check("quotes", Outcome.UNVERIFIED, says or "no quotes of the venue")
    if rule.match is Match.NONE:
        return Check("quotes", Outcome.UNVERIFIED, Match.NONE.value)
    if not told.compared:
        return Check("quotes", Outcome.UNVERIFIED, "the book was never usable beside a quote")
    what = "changes" if rule.match is Match.NUMBER else "quotes"
    says = f"{told.equal:,} of {told.compared:,} {what} agree in {rule.compares}"
    if rule.agree_min < 1.0:
        says += f" ({_percent(told.share)}, at least {_percent(rule.agree_min)} needed"
        says += f" after {rule.after_s // 60} min)" if rule.after_s else ")"
    if told.settling:
        says += f"; {told.settling:,} right after a snapshot do not"
    if told.early and rule.match is Match.NUMBER:
        says += f"; {told.early:,} before the first quote"
    if told.share >= rule.agree_min:
        return Check("quotes", Outcome.PASSED, says, told.compared, told.equal)
    if told.first_difference is not None:
        says += f"; first: {_difference(told.first_difference)}"
    return Check("quotes", Outcome.FAILED, says, told.compared, told.equal)


def _snapshots(found: Evidence) -> Check:
    good = found.audits - found.audits_failed
    if found.audits_failed:
        says = f"{found.audits_failed:,} of {found.audits:,} differ from the book; "
        return Check("snapshots", Outcome.FAILED, says + found.first_fault, found.audits, good)
    if found.audits:
        says = f"{_n(found.audits, 'further snapshot')} show the book"
        return Check("snapshots", Outcome.PASSED, says, found.audits, good)
    says = "no further snapshot has the number of a message"
    if found.named.is_asked:
        says = "no file of the venue's snapshots"
    return Check("snapshots", Outcome.UNVERIFIED, says)


def _beside(found: Shown, rule: Tolerance) -> Check:
    """Snapshots of a file of their own."""
    told = found.agreement
    if rule.beside is Beside.NONE:
        return Check("snapshots", Outcome.UNVERIFIED, Beside.NONE.value)
    if not told.compared:
        return Check("snapshots", Outcome.UNVERIFIED, _not_compared(found))
    levels = rule.beside is Beside.ROW
    says = f"{told.equal:,} of {_n(told.compared, 'snapshot')} "
    says += f"after the first show the book, {_n(found.levels, 'level')}" if levels else ""
    says += "" if levels else "agree in best prices"
    if rule.agree_min < 1.0:
        says += f" ({_percent(told.share)}, at least {_percent(rule.agree_min)} needed"
        says += f" after {rule.after_s // 60} min)" if rule.after_s else ")"
    if found.revealed:
        says += f"; {_n(found.revealed, 'level')} taken as shown when they came into view"
    if found.outside:
        says += f"; {found.outside:,} after the tape's end"
    if told.unsynced:
        says += f"; {told.unsynced:,} while the book was lost"
    if told.share >= rule.agree_min and not (levels and found.first):
        return Check("snapshots", Outcome.PASSED, says, told.compared, told.equal)
    first = found.first
    if told.first_difference is not None:
        at = utc_ms(told.first_difference.ts_recv_ns)
        first = f"book at {at} {_difference(told.first_difference, 'snapshot')}"
    return Check("snapshots", Outcome.FAILED, f"{says}; first: {first}", told.compared, told.equal)


def _not_compared(found: Shown) -> str:
    told = found.agreement
    if told.early or found.outside:
        says = f"{_n(told.early, 'snapshot')} before the book has settled"
        return f"{says}, {found.outside:,} after the tape's end"
    return f"the book was never usable beside one of {_n(found.rows, 'snapshot')}"


def _orders(found: Named) -> Check:
    good = max(found.rows - found.unknown, 0)
    if not found.has_opening:
        says = "the opening book is not in the file"
        says += f": {_n(found.unknown, 'row')} name none of those open" if found.unknown else ""
        return Check("orders", Outcome.UNVERIFIED, says, found.rows, good)
    if not found.rows:
        return Check("orders", Outcome.UNVERIFIED, "no order was changed or deleted")
    if found.unknown:
        says = f"{_n(found.unknown, 'row')} change or delete an order that is not open, or add one "
        says += f"twice; {_n(found.rows, 'row')} change or delete one"
        return Check("orders", Outcome.FAILED, says, found.rows, good)
    says = f"{_n(found.rows, 'row')} change or delete an order, each a known one"
    return Check("orders", Outcome.PASSED, says, found.rows, good)


def _crossings(found: Evidence, rule: Tolerance) -> Check:
    crossed = found.crossed - found.auction
    good = found.synced - crossed
    if not found.synced:
        return Check("crossings", Outcome.UNVERIFIED, "the book was never usable")
    if not crossed:
        says = f"never in {_n(found.synced, 'message')}"
        says += f", but for {found.auction:,} of an auction" if found.auction else ""
        return Check("crossings", Outcome.PASSED, says, found.synced, good)
    share = crossed / found.synced
    says = f"after {crossed:,} of {_n(found.synced, 'message')}"
    if rule.crossed_max:
        says += f" ({_percent(share)}, at most {_percent(rule.crossed_max)} allowed)"
    outcome = Outcome.PASSED if share <= rule.crossed_max else Outcome.FAILED
    return Check("crossings", outcome, says, found.synced, good)


def _difference(found: Difference, other: str = "quote") -> str:
    book, quote = (f"{b:g} x {bq:g} / {a:g} x {aq:g}" for b, bq, a, aq in (found.book, found.quote))
    where = f"message {found.number} " if found.number >= 0 else ""
    return f"{where}book {book}, {other} {quote}"


def _n(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _percent(share: float) -> str:
    """Rounded down: 99.999 % never reads as all of it."""
    return f"{int(share * 10_000) / 100:g} %"
