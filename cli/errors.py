"""What a command says when it cannot do as asked: one line, what and where and what to do."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.text import Text

from flows.desk_run import RunMismatchError
from flows.lane_step import StateSizeError
from flows.log.errors import LogAwayError, LogError
from flows.recovery import RecoveryError
from flows.settings import SettingsError
from models.card import ModelRefused
from operators.ledger.book import LedgerError
from schemas.topics import SchemaMismatchError
from venues.tape import TapeError
from venues.venue_classes import UnlistedVenueError

REFUSED = 2  # exit code: nothing was done, or what was there already is unchanged
DIFFERENT = 1  # exit code of `replay --verify`
AGAIN = 75  # exit code of a worker: the log does not answer now, a later start may do (EX_TEMPFAIL)
STOPPED = 130  # exit code: stopped by SIGINT or SIGTERM, the same command goes on


class Refused(Exception):  # noqa: N818 - it is an answer, not a defect of the program
    """A command cannot do as asked; the text says what, where and what to do."""


_KNOWN = (
    Refused, LedgerError, LogError, ModelRefused, RecoveryError, RunMismatchError,
    SchemaMismatchError, SettingsError, StateSizeError, TapeError, UnlistedVenueError,
)  # fmt: skip


def talk() -> Console:
    """Where everything goes that is not data: standard error."""
    return Console(stderr=True, highlight=False)


@contextmanager
def told(*, away: int = REFUSED) -> Iterator[None]:
    """Known errors as one line and an exit code; unknown ones are defects and keep their trace.

    SIGTERM ends a command as Ctrl-C does, wherever a flow does not catch it. `away` is the exit
    code where the log does not answer.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except LogAwayError as error:
        _say(str(error), away)
    except _KNOWN as error:
        _say(str(error), REFUSED)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _say(f"{place}{error.strerror or error}", REFUSED)
    except KeyboardInterrupt:
        talk().print("stopped", style="yellow")
        raise typer.Exit(STOPPED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(text: str, code: int) -> None:
    talk().print(Text.assemble(("error: ", "bold red"), text), soft_wrap=True)
    raise typer.Exit(code) from None
