"""The folder of a run: whether one may begin in it, goes on in it, or is running in it."""

import fcntl
import json
import os
import secrets
from pathlib import Path

from cli.errors import Refused
from cli.files import REPORT_JSON
from console.report.collect import FINISHED
from flows.desk_run import RECORD, RunRecord
from flows.log.api import Log
from flows.log.embedded import EmbeddedLog
from flows.log.memory import MemoryLog
from flows.log.writer import Writer

RUNS = Path("runs")  # where runs go that name no folder
LOG = "log.sqlite"
WORKERS, LOCK = "workers", "up.lock"  # of a run as workers: their folder, held while they run
KAFKA = "kafka.json"  # where a run on Kafka keeps its log: brokers, and what its topics begin with
CUT = "cut"  # key in the log's meta table: --from and --to, which no source's rows may tell apart


def open_log(folder: Path) -> Log:
    """The log of a run's folder; Refused or LogError if there is none."""
    if not folder.is_dir():
        raise Refused(f"{folder}: there is no such folder; name the folder of a run")
    if (folder / KAFKA).exists():
        return _kafka_log(folder)
    if not (folder / LOG).exists():
        kind = "its log was in memory and is gone" if (folder / REPORT_JSON).exists() else "no run"
        raise Refused(f"{folder}: holds no {LOG} ({kind}); name the folder of an embedded run")
    return EmbeddedLog(folder / LOG)


def prepare(folder: Path, profile: str) -> tuple[Log, RunRecord | None]:
    """The log to run on, and the record of the run that goes on there, if one does.

    Refused if the folder holds a finished or a running run, or anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise Refused(f"{folder}: is a file; choose another --out")
    if not (folder / LOG).exists() and not (folder / KAFKA).exists():
        if folder.exists() and any(folder.iterdir()):
            what = "the report of a run" if (folder / REPORT_JSON).exists() else "other files"
            raise Refused(f"{folder}: holds {what} already; choose another --out")
        folder.mkdir(parents=True, exist_ok=True)
        return _new_log(folder, profile), None
    holds = "kafka" if (folder / KAFKA).exists() else "embedded"
    if profile != holds:
        raise Refused(
            f"{folder}: holds a run of profile {holds}; choose another --out, or go on with it by "
            f"--profile {holds}"
        )
    pid = running_pid(folder)
    if pid is not None:
        raise Refused(f"{folder}: process {pid} is running there; wait for it or stop it")
    # A run that was killed while its log was being made has an empty file, or no topics yet.
    log = _new_log(folder, profile)
    texts = log.texts()
    if FINISHED in texts and (folder / REPORT_JSON).exists():
        run_id = RunRecord.from_json(texts[RECORD]).run_id
        log.close()
        raise Refused(
            f"{folder}: run {run_id} is finished; choose another --out, or see its report with "
            f"'trifecta report {folder}'"
        )
    return log, RunRecord.from_json(texts[RECORD]) if RECORD in texts else None


def _new_log(folder: Path, profile: str) -> Log:
    if profile == "memory":
        return MemoryLog()
    if profile == "embedded":
        return EmbeddedLog(folder / LOG, create=True)
    from flows.log.kafka_client import servers_or_default
    from flows.log.kafka_topics import apply_topics, planned_topics

    if not (folder / KAFKA).exists():  # each run has topics of its own
        place = {"servers": servers_or_default(None), "deployment": f"run-{secrets.token_hex(6)}"}
        draft = folder / f"{KAFKA}.tmp"
        draft.write_text(json.dumps(place))
        draft.replace(folder / KAFKA)
    kept = json.loads((folder / KAFKA).read_text())
    apply_topics(kept["servers"], kept["deployment"], planned_topics())
    return _kafka_log(folder)


def _kafka_log(folder: Path) -> Log:
    from flows.log.kafka import KafkaLog

    kept = json.loads((folder / KAFKA).read_text())
    return KafkaLog(kept["servers"], deployment=kept["deployment"])


def check_cut(log: Log, begun: bool, cut: dict[str, int | None], folder: Path) -> None:
    """Keep the cut of a new run; Refused if the run that goes on has another."""
    text = json.dumps(cut, sort_keys=True)
    if begun:
        if log.texts().get(CUT) != text:
            raise Refused(
                f"{folder}: the run there has another --from or --to; repeat them to go on with "
                "it, or choose another --out"
            )
        return
    note(log, CUT, text)


def note(log: Log, key: str, text: str) -> None:
    """Put a text into the log's meta table."""
    writer: Writer = log.writer()
    try:
        writer.append([], {key: text})
    finally:
        writer.close()


def running_pid(folder: Path) -> str | None:
    """The process that writes the folder's log now, None if none does."""
    if not (folder / KAFKA).exists():
        return _holder(folder / f"{LOG}.lock")
    return _holder(folder / "recovery" / "lock") or _holder(folder / WORKERS / LOCK)


def desk_of(folder: Path) -> tuple[str, str] | None:
    """Brokers and deployment, if a desk of workers is running in the folder."""
    if _holder(folder / WORKERS / LOCK) is None:
        return None
    kept = json.loads((folder / KAFKA).read_text())
    return kept["servers"], kept["deployment"]


def _holder(lock: Path) -> str | None:
    """The process that holds a lock."""
    try:
        file = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(file, 32, 0).decode(errors="replace").strip() or "unknown"
    finally:
        os.close(file)
    return None


def running(folder: Path | None) -> Path:
    """That folder if a run is running there; without one, the only running run under `runs/`."""
    if folder is not None:
        open_log(folder).close()
        if running_pid(folder) is None:
            raise Refused(f"{folder}: no run is running there, so there is nothing to tell it")
        return folder
    found = [each for each in sorted(RUNS.glob("*")) if running_pid(each) is not None]
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(each) for each in found)
    raise Refused(
        f"{RUNS}: {len(found)} runs are running ({names}); name the folder of one"
        if found
        else f"{RUNS}: no run is running; name the folder of a run that is elsewhere, or a desk of "
        "workers by --deployment NAME (the one without a name by --deployment '')"
    )
