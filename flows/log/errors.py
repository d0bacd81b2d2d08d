"""What can be wrong with a log, one class per way out."""


class LogError(Exception):
    """The log cannot be used as asked; the text says what, where, and what to do."""


class LogAwayError(LogError):
    """The log does not answer now; the same start may succeed later, without anybody's help."""


class GapError(LogError):
    """Rows are missing: a `seq` was skipped."""

    def __init__(self, *, who: str, topic: str, lane: int, expected: int, found: int) -> None:
        super().__init__(
            f"{topic} lane {lane}: the {who} expected seq {expected} and found {found}, so "
            f"{found - expected} rows are missing; the log is damaged or two runs were mixed"
        )
        self.topic, self.lane, self.expected, self.found = topic, lane, expected, found


class PoisonMessageError(LogError):
    """A stored message cannot be read back as rows."""

    def __init__(self, *, topic: str, lane: int, seq: int, offset: int | None, why: str) -> None:
        place = "not stored" if offset is None else f"offset {offset}"
        super().__init__(
            f"{topic} lane {lane}, seq {seq}, {place}: the message cannot be read ({why}); "
            "restore the log from a copy, or run again from the tape"
        )
        self.topic, self.lane, self.seq, self.offset = topic, lane, seq, offset


class RetentionError(LogError):
    """The rows asked for have been deleted already."""


class LogCorruptError(LogError):
    """The file is not a log, or a damaged one."""


class LogLockedError(LogError):
    """Another process writes this log."""


class TimeOrderError(LogError):
    """Receive times go backwards within one partition, so inputs cannot be merged by time."""
