"""Where a flow keeps what it needs to go on after a stop or a crash, and who may use it."""

import hashlib
import importlib.util
import json
import logging
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cache
from itertools import count
from pathlib import Path
from types import TracebackType

from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir

from flows.log.lock import FileLock, HeldError

_log = logging.getLogger(__name__)

ROOMS = ("schemas", "operators", "models", "venues", "flows")  # everything that shapes a row
_WAYS_OUT = {
    "code_version": "run the version that began it, or start a new run",
    "settings_digest": "repeat the settings of the first start, or start a new run",
}


class RecoveryError(Exception):
    """A recovery directory cannot be used; the text says why and what to do."""


@dataclass(frozen=True)
class Manifest:
    """What must be the same whenever a flow goes on from a recovery directory.

    Bytewax finds saved state by step id alone: under another id a step silently starts empty, and
    a source under another id silently reads everything again on top of the old state.
    """

    run_id: str
    step_ids: tuple[str, ...]
    lanes: int
    code_version: str
    settings_digest: str

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, indent=2)


class RecoveryDir:
    """The recovery store of one flow, locked for this process until `close`.

    Parameters
    ----------
    path : Path
        Made on the first start.
    manifest : Manifest
        Compared with the one of the first start.

    Raises
    ------
    RecoveryError
        Another process uses the directory, or its manifest differs.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path, self.manifest = path, manifest
        try:
            self._lock = FileLock(path / "lock")
        except HeldError as held:
            raise RecoveryError(
                f"{path}: process {held.pid} runs this flow; wait for it or stop it"
            ) from None
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise

    @property
    def config(self) -> RecoveryConfig:
        """What Bytewax wants to know."""
        return RecoveryConfig(self.path / "store")

    def close(self) -> None:
        self._lock.release()

    def __enter__(self) -> "RecoveryDir":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> None:
        file, store = self.path / "manifest.json", self.path / "store"
        if file.exists():
            _compare(file, self.manifest)
            damage = _damage(store)
            if damage is None:
                return
            _set_aside(store, damage)
        # The manifest comes last, so a store without one was never used: begin again.
        shutil.rmtree(store, ignore_errors=True)
        store.mkdir()
        init_db_dir(store, 1)
        draft = file.with_suffix(".tmp")
        with draft.open("w") as text:
            text.write(self.manifest.to_json())
            text.flush()
            os.fsync(text.fileno())
        draft.replace(file)


def step_ids(flow: Dataflow) -> tuple[str, ...]:
    """The ids of a flow's top-level steps, sorted."""
    return tuple(sorted(step.step_id for step in flow.substeps))


@cache
def code_version() -> str:
    """SHA-256 over the Python sources of all rooms that shape a row; checkout and install agree."""
    digest = hashlib.sha256()
    for room in ROOMS:
        spec = importlib.util.find_spec(room)
        if spec is None or not spec.submodule_search_locations:
            raise RecoveryError(f"package {room} is not installed; install trifecta again")
        root = Path(next(iter(spec.submodule_search_locations)))
        for file in sorted(root.rglob("*.py"), key=lambda each: each.relative_to(root).as_posix()):
            source = file.read_bytes()
            name = f"{room}/{file.relative_to(root).as_posix()}"
            digest.update(f"{name}:{len(source)}:".encode() + source)
    return digest.hexdigest()


def _compare(file: Path, manifest: Manifest) -> None:
    try:
        found = json.loads(file.read_text())
    except ValueError as error:
        raise RecoveryError(
            f"{file}: not a manifest ({error}); remove {file.parent}: what it holds is derived "
            "again from the log or the tapes"
        ) from error
    for name, now in json.loads(manifest.to_json()).items():
        before = found.get(name)
        if before != now:
            way_out = _WAYS_OUT.get(name, "start it as before, or start a new run")
            raise RecoveryError(
                f"{file.parent}: {name} was {_short(before)} and is now {_short(now)}; {way_out}"
            )


def _damage(store: Path) -> str | None:
    """What is wrong with the files of a store; None if nothing is."""
    files = sorted(store.glob("*.sqlite3"))
    if not files:
        return "its files are gone"
    for file in files:
        try:
            with closing(sqlite3.connect(file)) as db:
                found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
                if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    found = "it is empty"
        except sqlite3.DatabaseError as error:
            found = str(error)
        if found != "ok":
            return f"{file.name}: {found}"
    return None


def _set_aside(store: Path, damage: str) -> None:
    """Keep a damaged store for who wants to look at it: all it held can be derived again."""
    kept = next(
        place for n in count(1) if not (place := store.with_name(f"store.damaged-{n}")).exists()
    )
    if store.exists():
        store.rename(kept)
    _log.warning(
        "the recovery store is damaged (%s) and was set aside as %s; every row is derived again "
        "from the beginning, and what the log holds already is left out",
        damage,
        kept,
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 64 else text[:61] + "..."
