"""Runs one Bytewax flow in this process: signals in, a plain result or exception out."""

import ctypes
import gc
import os
import signal
import sys
from datetime import timedelta
from types import FrameType
from typing import Literal

from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.run import cli_main

from flows.log.stop import STOP
from flows.recovery import RecoveryDir

SIGNALS = (signal.SIGTERM, signal.SIGINT)
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of mallopt(3)
KEPT_BYTES = 256 << 20
GARBAGE_AFTER = 50_000  # new objects; flows make few cycles


def run_flow(
    flow: Dataflow, *, recovery: RecoveryDir | None, epoch_interval: timedelta
) -> Literal["finished", "stopped"]:
    """Run until the sources end ("finished") or SIGTERM or SIGINT asks to stop ("stopped").

    A stop waits for the next snapshot, at most one epoch; a second signal ends at once. From the
    main thread only. Exceptions of the flow's own code come out as they are, without Bytewax's
    wrapping and without its Rust backtrace on standard error: our steps mute it where they raise,
    and for exceptions in bare functions of a graph three lines remain.
    """
    os.environ["RUST_BACKTRACE"] = "0"  # read at the first panic
    _settle_memory()
    STOP.arm()
    before = {number: signal.signal(number, _ask) for number in SIGNALS}
    try:
        cli_main(
            flow,
            epoch_interval=epoch_interval,
            recovery_config=None if recovery is None else recovery.config,
        )
    except BytewaxRuntimeError as error:
        raise _root(error) from None
    finally:
        STOP.disarm()
        for number, handler in before.items():
            signal.signal(number, handler)
    return "stopped" if STOP.done else "finished"


def _ask(number: int, frame: FrameType | None) -> None:
    STOP.requested.set()
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)


def _root(error: BaseException) -> BaseException:
    """The innermost exception that is not Bytewax's own."""
    while isinstance(error, BytewaxRuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _settle_memory() -> None:
    """A flow makes the same arrays again and again: keep their pages, and leave old objects alone.

    glibc gives every block over 128 kB back at once and takes it again as fresh, zeroed pages, and
    each garbage collection walks all that was imported: about 5 % of a fused run each.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # not every C library is glibc
            libc.mallopt(MMAP_THRESHOLD, KEPT_BYTES)
            libc.mallopt(TRIM_THRESHOLD, KEPT_BYTES)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER)
