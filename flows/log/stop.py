"""Stopping a flow: between two snapshots when asked, at once and quietly when it fails."""

import functools
import os
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Generic, ParamSpec, TypeVar

from bytewax.inputs import AbortExecution, StatefulSourcePartition

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")
State = TypeVar("State")


class Stop:
    """What one process knows about stopping: there is one flow, and one SIGTERM, per process."""

    def __init__(self) -> None:
        self.requested = threading.Event()
        self.done = False  # a source has stopped because of it
        self._stderr: int | None = None  # a copy of the real one while it is muted
        self._may_mute = False

    def arm(self) -> None:
        """Before a flow: nothing is asked for yet, and a failure may be muted."""
        self.requested.clear()
        self.done = False
        self._may_mute = True

    def mute(self) -> None:
        """Keep the engine's Rust backtrace off the terminal; only the panic runs until `disarm`."""
        if self._may_mute and self._stderr is None:
            self._stderr = os.dup(2)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            os.close(null)

    def disarm(self) -> None:
        """After a flow: the real standard error again."""
        self._may_mute = False
        if self._stderr is not None:
            os.dup2(self._stderr, 2)
            os.close(self._stderr)
            self._stderr = None


STOP = Stop()


def hushed(function: Callable[P, T]) -> Callable[P, T]:
    """Mute the panic with which Bytewax answers an exception; `run_flow` raises the exception."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except (StopIteration, AbortExecution):
            raise
        except BaseException:
            STOP.mute()
            raise

    return call


class GracefulPart(StatefulSourcePartition[Item, State], Generic[Item, State]):
    """A source that stops after a snapshot, so that a resumed flow neither repeats nor misses.

    Bytewax has no graceful stop. It polls again only when the epoch before is stored, and an abort
    then loses nothing; ending through StopIteration would run the end-of-input logic instead.
    """

    _snapped = False  # the position was stored after the stop was asked for

    @hushed
    def next_batch(self) -> Iterable[Item]:
        if self._snapped:
            STOP.done = True
            raise AbortExecution
        return [] if STOP.requested.is_set() else self.poll()

    @hushed
    def snapshot(self) -> State:
        self._snapped = STOP.requested.is_set()
        return self.state()

    @abstractmethod
    def poll(self) -> Iterable[Item]:
        """As `StatefulSourcePartition.next_batch`."""

    @abstractmethod
    def state(self) -> State:
        """As `StatefulSourcePartition.snapshot`."""

    def close(self) -> None:
        """Release what the source holds."""
