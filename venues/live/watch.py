"""When does one book need a snapshot? A state machine with the time as an argument.

A lost book asks at once, then with growing patience, and is halted when snapshots do not help. A
synced book is audited now and then where its feed proves nothing; two audits in a row without a
result, and it is lost, since nothing bounds any more what it may have missed. It is lost as well
when it stays crossed, and when it stays silent while its market trades: every trade changes a book.
"""

from enum import Enum

from venues.live.session import Pace

NEVER_NS = 2**63 - 1
S_NS = 1_000_000_000
AUDITS_MISSED_MAX = 2  # in a row; one may fail, as REST is not always there


class Due(Enum):
    """What a book needs now."""

    NOTHING = 0
    ASK = 1  # a snapshot: the book is lost
    AUDIT = 2  # to be compared with a snapshot: nothing proves that the book is right
    FROZEN = 3  # trades without changes: the book is lost from here on
    CROSSED = 4  # its bid has not been below its ask for too long: lost as well
    HALT = 5  # snapshots do not help
    UNAUDITED = 6  # nothing has confirmed an unproven book for too long: it is lost as well


class BookWatch:
    """One book of one connection.

    Parameters
    ----------
    pace : Pace
    audit_s : float
        Between audits of a synced book; 0: none.

    Notes
    -----
    All times are int64 ns of the session's clock, and do not go back.
    """

    def __init__(self, pace: Pace, *, audit_s: float) -> None:
        self.synced = self.halted = False
        self._pace, self._audit_ns = pace, int(audit_s * S_NS)
        self._open = False
        self._tries = 0
        self._asked_ns = -1
        self._ask_ns = NEVER_NS
        self._reaches = -1  # the number that a snapshot must reach, -1 for any
        self._synced_ns = self._audited_ns = self._changed_ns = 0
        self._missed = 0  # audits in a row
        self._traded_ns = self._crossed_ns = NEVER_NS

    def opened(self, now_ns: int) -> None:
        """A new connection; its snapshot comes by itself, or once a change waits for it."""
        self._open, self.synced, self._reaches = True, False, -1
        self._asked_ns, self._ask_ns = -1, now_ns + self._patience_ns()

    def closed(self) -> None:
        self._open = self.synced = False

    def lost(self, now_ns: int, *, number: int = -1) -> None:
        """The book is wrong; a snapshot that does not contain the change `number` is of no use."""
        self._reaches = number if self.synced else max(number, self._reaches)
        self.synced = False
        again_ns = self._asked_ns + self._patience_ns() if self._tries else now_ns
        self._ask_ns = max(now_ns, again_ns)

    def resumed(self, now_ns: int) -> None:
        """An operator wants it back: whatever was tried before, a snapshot is asked for now."""
        self.halted, self._tries = False, 0
        self.lost(now_ns)

    def waits(self, now_ns: int, *, number: int) -> None:
        """The change `number` is held until a snapshot contains it or precedes it."""
        if self._reaches < 0:
            self._reaches = number
            if self._asked_ns < 0:
                self._ask_ns = now_ns

    def refuses(self, number: int | None) -> bool:
        """Whether a snapshot of that number leaves out changes that were never seen."""
        return not self.synced and number is not None and number < self._reaches

    def too_old(self, now_ns: int) -> None:
        """Such a snapshot came."""
        self._ask_ns = now_ns + (int(self._pace.too_old_s * S_NS) << self._tries)

    def taken(self, now_ns: int) -> None:
        """A snapshot is in the book."""
        if not self.synced:
            self._synced_ns = now_ns
        self.synced, self._reaches = True, -1
        self._traded_ns = self._crossed_ns = NEVER_NS
        self._audited_ns = self._changed_ns = now_ns
        self._missed = 0

    def audited(self, *, agrees: bool) -> None:
        """An audit agreed, or came to no result."""
        self._missed = 0 if agrees else self._missed + 1

    def changed(self, now_ns: int) -> None:
        self._changed_ns, self._traded_ns = now_ns, NEVER_NS

    def crossed(self, now_ns: int) -> None:
        """After a change its bid is not below its ask."""
        self._crossed_ns = min(self._crossed_ns, now_ns)

    def uncrossed(self, now_ns: int) -> None:
        self._crossed_ns = NEVER_NS

    def traded(self, now_ns: int) -> None:
        before_ns = int(self._pace.before_s * S_NS)
        if self._traded_ns == NEVER_NS and now_ns - self._changed_ns > before_ns:
            self._traded_ns = now_ns

    def due(self, now_ns: int) -> Due:
        """What to do now; the answer counts as done."""
        if not self._open or self.halted:
            return Due.NOTHING
        return self._due_synced(now_ns) if self.synced else self._due_lost(now_ns)

    def _due_lost(self, now_ns: int) -> Due:
        if now_ns < self._ask_ns:
            return Due.NOTHING
        if self._tries >= self._pace.tries_max:
            self.halted = True
            return Due.HALT
        self._tries += self._asked_ns >= 0  # a connection's first is no try to mend anything
        self._asked_ns, self._ask_ns = now_ns, now_ns + self._patience_ns()
        return Due.ASK

    def _due_synced(self, now_ns: int) -> Due:
        if now_ns - self._synced_ns > self._pace.calm_s * S_NS:
            self._tries = 0
        if now_ns - self._traded_ns > self._pace.frozen_s * S_NS:
            return Due.FROZEN
        if now_ns - self._crossed_ns > self._pace.crossed_s * S_NS:
            return Due.CROSSED
        if self._missed >= AUDITS_MISSED_MAX:
            return Due.UNAUDITED
        if self._audit_ns and now_ns - self._audited_ns > self._audit_ns:
            self._audited_ns = now_ns
            return Due.AUDIT
        return Due.NOTHING

    def _patience_ns(self) -> int:
        return int(self._pace.patience_s * S_NS) << max(self._tries - 1, 0)
