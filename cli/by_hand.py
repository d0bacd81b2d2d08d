"""An ingest that somebody started by hand, as `trifecta up` knows it: by what it wrote down."""

import json
import os
from pathlib import Path

from cli.supervisor import Status, Worker, health_of, measured

FILE = "ingest.json"  # in the desk's folder: the last ingest's process, port and lanes


def tell_where(folder: Path, lanes: str, port: int) -> None:
    """Of an ingest that begins: write down where its /healthz is.

    It stays there when the process is gone: whoever reads it asks the process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{FILE}.{os.getpid()}"
    draft.write_text(json.dumps({"pid": os.getpid(), "port": port, "lanes": lanes}))
    draft.replace(folder / FILE)


def ingest_by_hand(folder: Path) -> Status | None:
    """How the ingest of that folder is; None if none runs there."""
    try:
        told = json.loads((folder / FILE).read_text())
    except FileNotFoundError:
        return None
    pid, port = int(told["pid"]), int(told["port"])
    if not _runs(pid):
        return None
    answer = health_of(port, pid)
    return Status(
        worker=Worker("ingest", told["lanes"], (), port),
        phase="silent" if answer is None else "up",
        state="no answer" if answer is None else answer["state"],
        pid=pid,
        restarts=0,
        kills=0,
        last_error="" if answer is None else answer["trouble"] or "",
        log=None,
        **measured(answer, answer or {}),
    )


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True
