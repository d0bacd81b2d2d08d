"""How exactly each venue's quotes must agree with its rebuilt book: one table, also in the docs."""

from enum import Enum
from typing import NamedTuple


class Match(Enum):
    """How a quote is laid beside the book."""

    NUMBER = "each change with the last quote whose number is not above its own"
    ORDER = "each quote with the book as it stood when the quote came"
    NONE = "nothing says to which state of the book a quote belongs"


class Beside(Enum):
    """How a file of the venue's snapshots is laid beside the book of a tape."""

    TIME = "each snapshot with the book as it stood at its time"
    ROW = "snapshot n with the book after row n, level by level; the first is the opening book"
    NONE = "nothing says to which state of the book a snapshot belongs"


class Tolerance(NamedTuple):
    """What a venue's quotes are compared by, and how much of it must agree."""

    match: Match
    sizes: bool = False  # quantities too, else prices alone
    agree_min: float = 1.0  # fraction of what was compared
    after_s: int = 0  # since the first message: what comes before is not compared
    settle_changes: int = 0  # so many changes after a snapshot may differ: they are counted apart
    crossed_max: float = 0.0  # fraction of messages after which the book may be crossed
    cut_snapshots: bool = False  # beyond a snapshot's last level there are others that it left out
    beside: Beside = Beside.NONE
    snapshots_follow: bool = False  # one without a number shows the book of the message before it
    why: str = ""

    @property
    def compares(self) -> str:
        return "price and size" if self.sizes else "price"


# A snapshot is taken inside the span of the change that overlaps it. A level that left and came
# back with its old size in that span may not be in the snapshot, and the change does not name it
# (seen on one recorded book of 21, for two changes). Ten changes are the first second.
_BINANCE = Tolerance(
    Match.NUMBER, sizes=True, settle_changes=10, cut_snapshots=True,
    why="both carry the book's update ids",
)  # fmt: skip
_OTHERS = Tolerance(Match.NONE, why="quotes come by another path than changes, without its numbers")

_SIMULATED = Tolerance(
    Match.NUMBER, sizes=True, snapshots_follow=True,
    why="quotes and snapshots come on the connection of the changes, in their order, and quotes "
    "have their numbers where they have any",
)  # fmt: skip

# By venue, as parsers or tapes of orders name them. Measured on recordings; a venue that is not
# named is `_OTHERS`.
TOLERANCES: dict[str, Tolerance] = {
    "binance_spot": _BINANCE,
    "binance_usdm": _BINANCE,
    "binance_coinm": _BINANCE,
    "kraken_futures": Tolerance(
        Match.ORDER, agree_min=0.95,
        why="one quote a second on the book's connection, beside changes under way (76 of 76)",
    ),
    "bitstamp_2015": Tolerance(
        Match.ORDER, agree_min=0.998, after_s=1_800, crossed_max=0.03, beside=Beside.TIME,
        why="there is no opening book, it fills over the first half hour; an order that trades "
        "crosses the book until its deletion comes; an order changed after its deletion stays "
        "deleted",
    ),
    "bitfinex": Tolerance(
        Match.NONE, crossed_max=0.001,
        why="each order is a message of its own, so a trade crosses the book until the next ones",
    ),
    "cme": Tolerance(
        Match.NONE,
        why="in an auction orders cross until it trades (891 of 926 messages before the open, none "
        "of 27,147 after it): a crossed book counts once a trade has not ended it",
    ),
    "nasdaq": Tolerance(
        Match.NONE, beside=Beside.ROW,
        why="a message outside of the snapshots' levels is not in the file: a level that comes "
        "into view is taken as it is shown, and counted",
    ),
    **dict.fromkeys(("sim_a", "sim_b", "sim_c"), _SIMULATED),
}  # fmt: skip


def tolerance_of(venue: str) -> Tolerance:
    return TOLERANCES.get(venue, _OTHERS)
