"""One worker per flow and lane on one machine, whatever folders their state lies in."""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.log.errors import LogLockedError
from flows.log.lock import FileLock, HeldError


@contextmanager
def lane_locks(servers: str, deployment: str, flow: str, lanes: Sequence[int]) -> Iterator[None]:
    """Hold the lanes of a flow; LogLockedError names the process that has one of them.

    On other machines Kafka keeps a second worker out, see `flows.log.kafka.KafkaLog`.
    """
    folder = Path(tempfile.gettempdir()) / f"trifecta-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    desk = hashlib.sha256(f"{servers}/{deployment}".encode()).hexdigest()[:16]
    with ExitStack() as held:
        for lane in lanes:
            try:
                lock = FileLock(folder / f"{desk}.{flow}.{lane}.lock")
            except HeldError as error:
                raise LogLockedError(
                    f"{flow} lane {lane}: process {error.pid} on this machine works on it already; "
                    "stop it first, or take other --lanes"
                ) from None
            held.callback(lock.release)
        yield
