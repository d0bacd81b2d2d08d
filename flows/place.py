"""Where ingest stands in its sources: what the header of each market message says.

Ingest has no recovery store. Its order of arrival exists on the log alone, so the log is what it
goes on from: the last message of a lane says how far every source of that lane has been written.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

from flows.log.errors import LogError
from flows.log.message import Message
from flows.log.reader import Position

VERSION = 1
_PLACE = struct.Struct("<BBqqqqq")


class Phase(IntEnum):
    """How far a lane is in coming to its end."""

    OPEN = 0
    CALLED = 1  # its last call is written: no source row follows
    DRAINED = 2  # execute has heard it: no report follows
    ENDED = 3  # its END row is written


class Place(NamedTuple):
    """Behind the last row of a message, for the message's lane alone.

    Attributes
    ----------
    rows : int
        Source rows, counted over all lanes in the feed's order, of which this lane's are written.
    reports : Position
        In the lane of `reports.v1`.
    control : Position
        In `control.v1`; counts in the lowest active lane.
    phase : Phase
    """

    rows: int = 0
    reports: Position = Position()
    control: Position = Position()
    phase: Phase = Phase.OPEN

    def pack(self) -> bytes:
        """As bytes for `Message.positions`."""
        return _PLACE.pack(VERSION, self.phase, self.rows, *self.reports[:2], *self.control[:2])

    @classmethod
    def of(cls, message: Message | None) -> "Place":
        """The place behind a lane's last message; LogError if another program wrote it."""
        if message is None:
            return cls()
        where = f"{message.topic} lane {message.lane}, seq {message.last_seq}"
        if len(message.positions) != _PLACE.size or message.positions[0] != VERSION:
            raise LogError(
                f"{where}: the message does not say where ingest stood, so it was not written by "
                "an ingest worker; give this desk another --deployment"
            )
        _, phase, rows, *numbers = _PLACE.unpack(message.positions)
        return cls(rows, Position(*numbers[:2]), Position(*numbers[2:]), Phase(phase))
