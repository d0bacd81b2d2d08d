"""The folder of a store: whose it is, who writes it, how far it is; every file whole or not there.

STORE/store.json                     the run and its instruments
STORE/positions.json                 per topic and lane: what is in files that will not change
STORE/TOPIC/day=/venue=/symbol=/     Parquet files, see `flows.store.layout`
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.log.api import Partition
from flows.log.errors import LogError
from flows.log.lock import FileLock, HeldError
from flows.log.reader import Position
from schemas.instruments import InstrumentTable

FORMAT = 1  # of names, columns and block length
STORE, POSITIONS, LOCK = "store.json", "positions.json", "lock"


class StoreError(LogError):
    """A store cannot be used as asked; the text says what, where and what to do."""


class StoreHeldError(StoreError):
    """Another process writes this store."""


class StoreFolder:
    """The one writer of a store.

    Parameters
    ----------
    path : Path
        Made if it is not there.
    run_id, instruments : str, InstrumentTable
        A store holds one run.
    signals : sequence of str
        The names of its signals.

    Raises
    ------
    StoreHeldError, StoreError
    """

    def __init__(
        self,
        path: Path,
        *,
        run_id: str,
        instruments: InstrumentTable,
        signals: Sequence[str] = (),
    ) -> None:
        self.path, self.instruments, self.signals = path, instruments, tuple(signals)
        if path.exists() and not (path / STORE).exists() and any(_not_lock(path)):
            raise StoreError(f"{path}: holds other files already; choose another folder")
        path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = FileLock(path / LOCK)
        except HeldError as held:
            raise StoreHeldError(
                f"{path}: process {held.pid} is writing this store; wait for it or stop it"
            ) from None
        try:
            self._check(run_id)
            self._positions = self._read_positions()
        except BaseException:
            self._lock.release()
            raise

    def position(self, partition: Partition) -> Position:
        """Where the blocks of a partition end that are full, or that its lane's end has closed."""
        return self._positions.get(partition, Position())

    def write(self, files: Iterable[tuple[Path, pa.Table]]) -> int:
        """Put files in their places; returns how many were written. Durable when this returns.

        The rows of a file are those of one cell in the order of `seq`, from the first on. So one
        that reaches as far already stays, and a restart, which reads an open block from its
        beginning, never takes a row out.
        """
        written = [self._put(path, table) for path, table in files]
        for folder in {above for path in filter(None, written) for above in path.parents}:
            if folder == Path("."):
                _sync(self.path)
            else:
                _sync(self.path / folder)
        return sum(path is not None for path in written)

    def reached(self, positions: Mapping[Partition, Position]) -> None:
        """Everything before these positions is in files that never change."""
        self._positions.update(positions)
        stored: dict[str, dict[str, list[int | bool]]] = {}
        for (topic, lane), position in sorted(self._positions.items()):
            stored.setdefault(topic, {})[str(lane)] = list(position)
        self._replace(POSITIONS, json.dumps(stored, indent=1))

    def close(self) -> None:
        self._lock.release()

    def __enter__(self) -> "StoreFolder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check(self, run_id: str) -> None:
        if not (self.path / STORE).exists():
            table = json.loads(self.instruments.to_json())
            run = {
                "format": FORMAT,
                "run_id": run_id,
                "instruments": table,
                "signals": list(self.signals),
            }
            self._replace(STORE, json.dumps(run, indent=1))
            return
        found = described(self.path)
        if found.run_id != run_id:
            raise StoreError(
                f"{self.path}: holds run {found.run_id}, not {run_id}; choose another folder"
            )

    def _read_positions(self) -> dict[Partition, Position]:
        path = self.path / POSITIONS
        if not path.exists():
            return {}
        stored = json.loads(path.read_text())
        return {
            (topic, int(lane)): Position(*position)
            for topic, lanes in stored.items()
            for lane, position in lanes.items()
        }

    def _put(self, path: Path, table: pa.Table) -> Path | None:
        place = self.path / path
        if place.exists():
            seqs = table["seq"]
            first, last = seqs[0].as_py(), seqs[-1].as_py()
            stored_first, stored_last = _seqs(place)
            if stored_last >= last:
                return None
            if stored_first < first:  # the log has lost since where the block began
                stored = pq.ParquetFile(place).read()
                table = pa.concat_tables([stored.filter(pc.field("seq") < first), table])
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = _draft(place)
        pq.write_table(table, draft, compression="zstd", **_encodings(table.schema))
        _sync(draft)
        draft.replace(place)
        return path

    def _replace(self, name: str, text: str) -> None:
        draft = _draft(self.path / name)
        draft.write_text(text + "\n")
        _sync(draft)
        draft.replace(self.path / name)
        _sync(self.path)


class Described(NamedTuple):
    """What a store says about itself."""

    run_id: str
    instruments: InstrumentTable
    signals: tuple[str, ...]  # names of the columns of `signals.v1`


def described(path: Path) -> Described:
    """StoreError if there is no store, or one of another program."""
    if not (path / STORE).is_file():
        raise StoreError(
            f"{path}: there is no store; make one with 'trifecta export' or 'trifecta worker store'"
        )
    found = json.loads((path / STORE).read_text())
    if found["format"] != FORMAT:
        raise StoreError(
            f"{path}: has format {found['format']}, this program writes {FORMAT}; export the log "
            "again to another folder"
        )
    instruments = InstrumentTable.from_json(json.dumps(found["instruments"]))
    return Described(found["run_id"], instruments, tuple(found.get("signals", ())))


def _draft(place: Path) -> Path:
    """Its name in the making: no reader's pattern matches it, the next attempt writes over it."""
    return place.with_name(f".{place.name}.tmp")


def _not_lock(path: Path) -> Iterable[Path]:
    """A store that was killed before its first file has these alone."""
    return (each for each in path.iterdir() if each.name not in (LOCK, _draft(path / STORE).name))


def _seqs(path: Path) -> tuple[int, int]:
    """The first and the last `seq` of a file."""
    try:
        found = pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"{path}: cannot be read ({str(error).splitlines()[0]}); delete the store, it is "
            "written again from the log"
        ) from error
    groups = [found.row_group(k).column(0).statistics for k in range(found.num_row_groups)]
    return int(groups[0].min), int(groups[-1].max)


def _encodings(schema: pa.Schema) -> dict[str, Any]:
    """Names by dictionary, counts and times by their steps, prices as they are.

    With PyArrow's own choice, dictionaries for all, files are 1.5 times as large and take 2 to 3
    times as long; BYTE_STREAM_SPLIT for floats makes features 15 % smaller and quotes 50 % larger.
    """
    steps = [f.name for f in schema if pa.types.is_integer(f.type) or pa.types.is_timestamp(f.type)]
    steps = [name for name in steps if schema.field(name).type.bit_width >= 32]
    return {
        "use_dictionary": [f.name for f in schema if pa.types.is_dictionary(f.type)],
        "column_encoding": dict.fromkeys(steps, "DELTA_BINARY_PACKED"),
    }


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
