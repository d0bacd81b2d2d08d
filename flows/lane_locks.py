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
def lane_locks(servers: str, deployment: str, written: Sequence[tuple[str, int]]) -> Iterator[None]:
    """Hold what a worker writes, (topic, lane); LogLockedError names the process that has one.

    On other machines Kafka keeps a second worker of the same name out (`flows.log.kafka.KafkaLog`),
    not one with other lanes that overlap: its rows are the same, and readers drop them.
    """
    folder = Path(tempfile.gettempdir()) / f"trifecta-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    desk = hashlib.sha256(f"{servers}/{deployment}".encode()).hexdigest()[:16]
    with ExitStack() as held:
        for topic, lane in written:
            try:
                lock = FileLock(folder / f"{desk}.{topic}.{lane}.lock")
            except HeldError as error:
                raise LogLockedError(
                    f"{topic} lane {lane}: process {error.pid} on this machine works on it "
                    "already; stop it first, or take other --lanes"
                ) from None
            held.callback(lock.release)
        yield
