"""What a live feed cannot do, in words for people."""


class LiveError(Exception):
    """A live feed cannot start. `str()` is the whole message: what, where, and what to do."""

    def __init__(self, what: str, where: str, todo: str) -> None:
        super().__init__(f"{where}: {what}. {todo}.")
        self.what, self.where, self.todo = what, where, todo


class RestError(Exception):
    """A REST answer did not come, or is not one; `str()` says which and why."""
