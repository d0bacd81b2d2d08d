"""The log in one SQLite file: no server, readable by other processes while it is written."""

import os
import sqlite3
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import NamedTuple

import pyarrow as pa

from flows.log.api import Fetched, Partition
from flows.log.errors import LogCorruptError, LogError, LogLockedError, PoisonMessageError
from flows.log.lock import FileLock, HeldError
from flows.log.message import Message
from flows.log.writer import Writer, check_schemas

APPLICATION_ID = 0x54524C47  # "TRLG": tells our files from other SQLite files
FORMAT = 1
PAGE_BYTES = 16384  # writes four times as fast as 4096 with bodies of 20 kB, and as 65536
COMPRESS_FROM_BYTES = 1024  # smaller bodies are JSON rows, which stay readable in the file
BUSY_TIMEOUT_S = 10.0

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE partitions (id INTEGER PRIMARY KEY, topic TEXT, lane INTEGER, UNIQUE (topic, lane));
CREATE TABLE messages (
    partition INTEGER NOT NULL,
    position INTEGER NOT NULL,  -- the offset in its partition, from 0
    header BLOB NOT NULL,
    body BLOB NOT NULL,
    n_body INTEGER NOT NULL,    -- bytes of the body before lz4; 0 where it is not compressed
    crc INTEGER NOT NULL,       -- CRC-32 of header and stored body
    PRIMARY KEY (partition, position)
);
"""
_SELECT = "SELECT position, header, body, n_body, crc FROM messages WHERE partition = ? "
# lz4 pays: market rows shrink to a third, and smaller writes save more than its 0.1 us per row.
_LZ4 = pa.Codec("lz4_raw")


class EmbeddedLog:
    """One file per run. Profile `embedded`.

    Commits survive kill -9 at once and a power cut from the next `flush` on. Nothing is ever
    deleted, so there is no retention.

    Parameters
    ----------
    path : Path
        The file; `-wal`, `-shm` and `.lock` files stand beside it while it is written.
    create : bool
        Make the file if there is none; else a missing file is a LogError.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self._path = path
        if not create and not path.is_file():
            raise LogError(f"{path}: there is no log here")
        self._db = _connect(path)
        try:
            with _clear(path):
                if create and not _is_initialised(self._db):
                    _initialise(self._db)
                _check_format(self._db, path)
        except BaseException:
            self._db.close()
            raise

    def writer(self) -> Writer:
        """The log's one writer; LogLockedError naming the process that holds it otherwise."""
        try:
            lock = FileLock(self._path.with_name(self._path.name + ".lock"))
        except HeldError as held:
            raise LogLockedError(
                f"{self._path}: process {held.pid} is writing this log; wait for it or stop it"
            ) from None
        try:
            return Writer(_EmbeddedStore(self._path, lock))
        except BaseException:
            lock.release()
            raise

    def reader(self, positions: Mapping[Partition, int]) -> "_EmbeddedReader":
        check_schemas(self.texts())
        return _EmbeddedReader(self._path, positions)

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        with _clear(self._path):
            return {p: _end(self._db, p) for p in partitions}

    def starts(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(partitions, 0)

    def texts(self) -> dict[str, str]:
        with _clear(self._path):
            return _texts(self._db)

    def close(self) -> None:
        self._db.close()


class _EmbeddedStore:
    """The writing connection, under the file's lock."""

    def __init__(self, path: Path, lock: FileLock) -> None:
        self._path, self._lock = path, lock
        self._db = _connect(path)
        self._place: dict[Partition, _Place] = {}
        self._unsynced = False

    def append(self, messages: Sequence[Message], texts: Mapping[str, str]) -> None:
        """One transaction over all partitions: either everything is in the log or nothing."""
        places = dict(self._place)  # kept only if the transaction is
        with _clear(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                rows = [self._row(message, places) for message in messages]
                self._db.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)", rows)
                self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", texts.items())
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has rolled back already
                    self._db.execute("ROLLBACK")
                raise
        self._place = places
        self._unsynced = True

    def flush(self) -> None:
        """Sync the write-ahead log: SQLite itself leaves that to the next checkpoint."""
        wal = self._path.with_name(self._path.name + "-wal")
        if self._unsynced and wal.exists():
            file = os.open(wal, os.O_RDONLY)
            try:
                os.fsync(file)
            finally:
                os.close(file)
        self._unsynced = False

    def last(self, partition: Partition) -> Message | None:
        with _clear(self._path):
            found = _partition_id(self._db, partition)
            query = _SELECT + "ORDER BY position DESC LIMIT 1"
            row = None if found is None else self._db.execute(query, (found,)).fetchone()
        return None if row is None else _message(partition, row)

    def end(self, partition: Partition) -> int:
        with _clear(self._path):
            return _end(self._db, partition)

    def texts(self) -> dict[str, str]:
        with _clear(self._path):
            return _texts(self._db)

    def close(self) -> None:
        self.flush()
        self._db.close()
        self._lock.release()

    def _row(
        self, message: Message, places: dict[Partition, "_Place"]
    ) -> tuple[int, int, bytes, bytes, int, int]:
        partition = (message.topic, message.lane)
        place = places.get(partition) or self._find(partition)
        places[partition] = place._replace(end=place.end + 1)
        body, header, n_body = message.body, message.header(), 0
        if len(body) >= COMPRESS_FROM_BYTES:
            body, n_body = _LZ4.compress(body, asbytes=True), len(body)
        crc = zlib.crc32(body, zlib.crc32(header))
        return place.identity, place.end, header, body, n_body, crc

    def _find(self, partition: Partition) -> "_Place":
        query = "INSERT OR IGNORE INTO partitions (topic, lane) VALUES (?, ?)"
        self._db.execute(query, partition)
        identity = _partition_id(self._db, partition)
        assert identity is not None
        return _Place(identity, _end(self._db, partition))


class _Place(NamedTuple):
    """Where the next message of a partition goes."""

    identity: int
    end: int


class _EmbeddedReader:
    """A connection of its own, so that it sees what other connections commit."""

    def __init__(self, path: Path, positions: Mapping[Partition, int]) -> None:
        self._path = path
        self._db = _connect(path)
        self._next = dict(positions)
        self._ids: dict[Partition, int] = {}
        self._version = -1  # SQLite's counter of foreign commits
        self._drained: set[Partition] = set()  # nothing left since that commit

    def poll(self, max_messages: int, paused: Collection[Partition] = ()) -> list[Fetched]:
        with _clear(self._path):
            version = self._db.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version:
                self._version = version
                self._drained.clear()
            fetched: list[Fetched] = []
            for partition in self._next:
                if partition not in paused and partition not in self._drained:
                    fetched += self._fetch(partition, max_messages)
        return fetched

    def position(self, partition: Partition) -> int:
        return self._next[partition]

    def behind(self, partition: Partition) -> int:
        with _clear(self._path):
            return max(0, _end(self._db, partition) - self._next[partition])

    def wait(self, seconds: float) -> None:
        sleep(seconds)

    def close(self) -> None:
        self._db.close()

    def _fetch(self, partition: Partition, max_messages: int) -> list[Fetched]:
        identity = self._ids.get(partition)
        if identity is None:
            identity = _partition_id(self._db, partition)
            if identity is None:
                self._drained.add(partition)
                return []
            self._ids[partition] = identity
        query = _SELECT + "AND position >= ? ORDER BY position LIMIT ?"
        rows = self._db.execute(query, (identity, self._next[partition], max_messages)).fetchall()
        if len(rows) < max_messages:
            self._drained.add(partition)
        if rows:
            self._next[partition] = rows[-1][0] + 1
        return [(row[0], _message(partition, row)) for row in rows]


def _connect(path: Path) -> sqlite3.Connection:
    with _clear(path):
        db = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        db.execute("PRAGMA synchronous = NORMAL")
        return db


def _is_initialised(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _initialise(db: sqlite3.Connection) -> None:
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(
        f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id = {APPLICATION_ID};"
        f"PRAGMA user_version = {FORMAT}; COMMIT;"
    )


def _check_format(db: sqlite3.Connection, path: Path) -> None:
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise LogCorruptError(f"{path}: this SQLite file is not a log")
    if version != FORMAT:
        raise LogError(f"{path}: the log has format {version}, this program reads {FORMAT}")


def _texts(db: sqlite3.Connection) -> dict[str, str]:
    return dict(db.execute("SELECT key, value FROM meta"))


def _partition_id(db: sqlite3.Connection, partition: Partition) -> int | None:
    query = "SELECT id FROM partitions WHERE topic = ? AND lane = ?"
    row = db.execute(query, partition).fetchone()
    return None if row is None else int(row[0])


def _end(db: sqlite3.Connection, partition: Partition) -> int:
    query = "SELECT max(position) FROM messages WHERE partition = ?"
    last = db.execute(query, (_partition_id(db, partition),)).fetchone()[0]
    return 0 if last is None else int(last) + 1


def _message(partition: Partition, row: tuple[int, bytes, bytes, int, int]) -> Message:
    offset, header, body, n_body, crc = row
    topic, lane = partition
    try:
        if zlib.crc32(body, zlib.crc32(header)) != crc:
            raise ValueError("its bytes do not match their checksum")
        if n_body:
            body = _LZ4.decompress(body, decompressed_size=n_body, asbytes=True)
        return Message.parse(topic=topic, lane=lane, header=header, body=body)
    except (ValueError, OSError) as error:
        raise PoisonMessageError(
            topic=topic, lane=lane, seq=_seq_of(header), offset=offset, why=str(error)
        ) from error


def _seq_of(header: bytes) -> int:
    """The first seq as far as the damaged header still tells; -1 if it does not."""
    try:
        return Message.parse(topic="", lane=0, header=header, body=b"").first_seq
    except ValueError:
        return -1


@contextmanager
def _clear(path: Path) -> Iterator[None]:
    """SQLite's errors in words that say which file and what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise LogError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise LogCorruptError(
            f"{path}: the log is damaged ({error}); restore it from a copy, or run again"
        ) from error
