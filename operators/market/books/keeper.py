"""What becomes of each book while its rows enter the log: the states that ingest writes."""

from typing import NamedTuple

import numpy as np

from operators.arrays import I8, U1, U2
from operators.market.books.keeping import (
    AT,
    BOOK_FIELDS,
    LANE_FIELDS,
    LOST,
    MADE,
    MADE_FIELDS,
    RESUMED,
    ROW_MAKES,
    TIGHT,
    KeeperState,
    KeptRows,
    Known,
    Words,
    fold,
)
from operators.market.books.l2 import LEVELS_MAX, L2Books
from operators.market.books.l2_state import BookTerms
from operators.market.books.status import NEVER_NS, NEXT_TABLE, REASON_TABLE
from operators.records import Records, blank_records
from schemas.instruments import InstrumentArrays
from schemas.kinds import Flag, Kind
from schemas.rows import MarketRows, empty

_STATUS, _LAST = int(Kind.BOOK_STATUS), int(Flag.MSG_LAST)


class BookFeeds(NamedTuple):
    """What the feed of each instrument says of its book."""

    terms: BookTerms
    provable: U1  # (instruments,) 1 where messages can prove that none is missing
    fresh_ns: I8  # (instruments,) silence after which a book is stale
    told: bool  # the feed brings BOOK_STATUS rows of its own, and asks for snapshots
    bare: U1 | None = None  # (instruments,) 1 where it has quotes only; None: it has books

    @classmethod
    def silent(cls, instruments: int) -> "BookFeeds":
        """Of feeds that nobody asks."""
        one = np.ones(instruments, np.int64)
        return cls(BookTerms.full(instruments), one.astype(np.uint8), one, told=True)


class Kept(NamedTuple):
    """What the keeper found in some rows."""

    reason: U2  # (n,) why a row may not enter the log: the gate's word, or SUPERSEDED
    code: U1  # (n,) as they came, but GAP for a good word about a book that was lost here
    why: U2  # (n,) as `reason` came with the rows, and the reason for such a GAP
    made: Records  # (m,) MADE_FIELDS, in order
    lost: I8  # instruments whose feed does not know that it has to bring a snapshot
    resumed: I8  # instruments that an operator resumed: their feed has to bring one


class BookKeeper:
    """Keeps every book while its rows enter the log, and says in which state it is.

    Parameters
    ----------
    instruments : InstrumentArrays
    feeds : BookFeeds
    levels_max : int
        As for `L2Books`.

    Notes
    -----
    Messages come whole, or with every row refused, as `operators.market.whole` gives them out; no
    other row stands inside one. `venue_seq` is the number of a message, `ref_id` that of the one it
    follows. Where it is another than the last one's, a message is missing: the book is gapped
    before it. A message whose number the book has, or that is older, is SUPERSEDED, all its rows.
    Right after a snapshot a change may overlap it. Messages without predecessor prove nothing:
    UNPROVABLE.
    Rows that were refused gap their book; a refused row of a superseded message does not.
    A book without its first snapshot says RESYNC with its first message.
    Silence: a book is stale from the first row of its own lane beyond `fresh_ns`; a lane without
    rows decides nothing, so nobody misses it.
    Commands: a CONTROL row HALT_BOOK or RESUME_BOOK (`ref_id`: the instrument's row of the table)
    holds from the next row of that book's lane on, once the book has a state. Halted, a book stays
    HALTED whatever its feed says; resumed, it is in RESYNC until its next snapshot. To resume a
    book that is not halted changes nothing; one that is halted again says so again. On tapes no
    command changes which rows are refused, so a tape that is read again gives the same.
    Told: where the feed brings states itself these are taken over, and ours are added where we
    know of a loss that it cannot see: `lost` then asks for a snapshot. A good word about a book
    that is not whole here is written as GAP, but where the feed has quotes only.
    Orders: of a book that comes order by order the messages are kept, and no levels: that it is
    crossed its feed has to say.
    Place: a loss stands before the message that shows it, as no one may use that one; everything
    else behind. Never inside a message.
    """

    def __init__(
        self, instruments: InstrumentArrays, feeds: BookFeeds, *, levels_max: int = LEVELS_MAX
    ) -> None:
        n = instruments.lane.size
        if feeds.provable.size != n or feeds.fresh_ns.size != n:
            raise ValueError(
                f"provable and fresh_ns must have {n} entries, one for each instrument, "
                f"not {feeds.provable.size} and {feeds.fresh_ns.size}"
            )
        if (feeds.fresh_ns <= 0).any():
            raise ValueError(f"fresh_ns must be positive, was {feeds.fresh_ns.min()}")
        self._l2 = L2Books(instruments, feeds.terms, levels_max=levels_max)
        self._known = Known(
            instruments.base, instruments.n_of_lane, feeds.provable, feeds.fresh_ns, feeds.terms,
            levels_max, feeds.told, np.zeros(n, np.uint8) if feeds.bare is None else feeds.bare,
        )  # fmt: skip
        self._spare = int(instruments.n_of_lane.max(initial=0)) + ROW_MAKES

    def initial(self) -> KeeperState:
        known = self._known
        books = blank_records(BOOK_FIELDS, known.provable.size)
        books.due_ns[:], books.last[:] = NEVER_NS, -1
        lanes = blank_records(LANE_FIELDS, known.base.size)
        lanes.next_ns[:] = NEVER_NS
        return KeeperState(self._l2.initial(), books, lanes)

    def keep(self, state: KeeperState, rows: MarketRows, reason: U2) -> tuple[KeeperState, Kept]:
        """Take rows as the gate judged them: `reason` is OK where it let them pass."""
        out = Words(
            reason.copy(), rows.code.copy(), rows.reason.copy(), np.zeros_like(self._known.provable)
        )
        columns = KeptRows(
            rows.kind, rows.flags, rows.lane, rows.symbol, rows.side, rows.price, rows.qty,
            rows.venue_seq, rows.ref_id, rows.source, rows.source_row, rows.ts_recv_ns, rows.code,
            rows.reason,
        )  # fmt: skip
        parts: list[Records] = []
        cursor = np.zeros(3, np.int64)
        made = blank_records(MADE_FIELDS, rows.seq.size + self._spare)
        while cursor[AT] < rows.seq.size:
            fold(self._known, NEXT_TABLE, REASON_TABLE, state, columns, out, cursor, made)
            if cursor[TIGHT] >= 0:
                state = state._replace(l2=self._l2.roomier(state.l2, int(cursor[TIGHT])))
            elif cursor[AT] < rows.seq.size:
                parts.append(made[: cursor[MADE]])
                made, cursor[MADE] = blank_records(MADE_FIELDS, made.size), 0
        parts.append(made[: cursor[MADE]])
        all_made = parts[0] if len(parts) == 1 else np.concatenate(parts).view(np.recarray)
        return state, Kept(
            *out[:3],
            all_made,
            np.flatnonzero(out.lost == LOST),
            np.flatnonzero(out.lost == RESUMED),
        )


def status_rows(made: Records, rows: MarketRows, instruments: InstrumentArrays) -> MarketRows:
    """The rows that the keeper made, as they stand on the log.

    `code` is the BookState, `reason` a BookReason, `ref_id` the epoch, and `qty` the levels
    evicted so far where that is the news. `seq`, as the times, is that of the row that caused it.
    """
    out = empty(MarketRows, made.size)
    out.kind[:], out.flags[:] = _STATUS, _LAST
    out.venue_seq[:] = out.source[:] = out.source_row[:] = -1
    out.lane[:], out.symbol[:] = instruments.lane[made.k], instruments.symbol[made.k]
    out.seq[:], out.ts_recv_ns[:] = rows.seq[made.row], rows.ts_recv_ns[made.row]
    out.ts_event_ns[:] = rows.ts_event_ns[made.row]
    out.code[:], out.reason[:], out.ref_id[:] = made.state, made.reason, made.epoch
    out.qty[:] = np.where(made.evicted < 0, np.nan, made.evicted)
    return out
