"""The one error of tapes: what is wrong, where, and what to do."""


class TapeError(Exception):
    """A tape cannot be used. `str()` is the whole message for a person.

    Parameters
    ----------
    what : str
        What is wrong, as a clause.
    where : str
        The file (and column or row) that it is wrong in.
    todo : str
        What the reader of the message can do about it.
    """

    def __init__(self, what: str, where: str, todo: str) -> None:
        super().__init__(f"{where}: {what}. {todo}.")
        self.what, self.where, self.todo = what, where, todo
