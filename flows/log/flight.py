"""What is on its way through a flow, so that its source knows when it may rest."""


class Flight:
    """Counts batches between the source and the sink of one flow, which run in one thread.

    A source that waits for messages holds up the whole flow. It may as soon as nothing is under
    way: then a message wakes it, and it need not look for one every millisecond.
    """

    def __init__(self) -> None:
        self._under_way = 0

    @property
    def over(self) -> bool:
        """Nothing is under way."""
        return self._under_way == 0

    def left(self) -> None:
        """The source has let a batch go."""
        self._under_way += 1

    def landed(self, n: int) -> None:
        """The sink has written what became of `n` batches."""
        self._under_way -= n
