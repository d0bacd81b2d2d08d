"""`trifecta export`: the rows of a log into a store of Parquet files, as far as it goes now.

Or, of a desk whose ingest recorded them, the frames of its venues into files for `trifecta book`.
"""

import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from cli.errors import Refused, talk
from cli.recorded import open_recorded
from cli.run_dir import open_log
from cli.worker import STORE, state_folder
from flows.desk_run import RECORD, RunRecord
from flows.log.api import Log
from flows.raw import recorded_lines
from flows.store.copy import Exported, export
from flows.store.layout import STORED
from schemas.topics import Topic
from venues.frames.files import write_recording


@dataclass(frozen=True)
class ExportRequest:
    """What `trifecta export` was asked for; see its options."""

    run_dir: Path | None
    deployment: str | None
    out: Path | None
    json: bool

    def __post_init__(self) -> None:
        if (self.run_dir is None) == (self.deployment is None):
            raise Refused("name either the folder of a run or the --deployment of a desk")


def write_store(request: ExportRequest) -> None:
    """Bring the store up to the end of its log."""
    folder = request.out or default_store(request.run_dir, request.deployment)
    with closing(open_place(request.run_dir, request.deployment)) as log:
        found = brought_up(log, folder, STORED)
    if request.json:
        sys.stdout.write(json.dumps({**asdict(found), "store": str(folder)}, indent=2) + "\n")
        return
    for topic, rows in found.rows.items():
        talk().print(f"{topic:<15}{rows:>14,} rows", highlight=False)
    talk().print(f"{folder}: run {found.run_id}; ask it with 'trifecta query'", soft_wrap=True)


def write_frames(request: ExportRequest) -> None:
    """Write the frames of each venue to a file of its own: what the topic holds now."""
    folder = request.out or default_store(request.run_dir, request.deployment).parent / "frames"
    found: list[dict[str, object]] = []
    with closing(open_place(request.run_dir, request.deployment)) as log:
        texts = log.texts()
        if RECORD not in texts:
            raise Refused("the log has no run yet; start its ingest first")
        folder.mkdir(parents=True, exist_ok=True)
        for k, source in enumerate(RunRecord.from_json(texts[RECORD]).sources):
            path = folder / f"{source['name']}_recorded.jsonl.zst"
            n = write_recording(path, recorded_lines(log, k)) if source["kind"] == "live" else 0
            if n:
                found.append({"venue": source["name"], "lines": n, "file": str(path)})
            else:
                path.unlink(missing_ok=True)
    if not found:
        raise Refused("no frames were recorded; let ingest keep them with --feed and --record")
    if request.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    for one in found:
        talk().print(f"{one['file']}: {one['lines']:,} lines", highlight=False, soft_wrap=True)


def open_place(run_dir: Path | None, deployment: str | None) -> Log:
    """The log of a run's folder or, without one, of a deployment."""
    return open_log(run_dir) if run_dir is not None else open_recorded(deployment or "")


def default_store(run_dir: Path | None, deployment: str | None) -> Path:
    """Where the store of a run or of a deployment is if no folder is named."""
    return (run_dir if run_dir is not None else state_folder(deployment or "")) / STORE


def brought_up(log: Log, folder: Path, topics: Sequence[Topic]) -> Exported:
    """Export with the number of rows shown on a terminal."""
    console = talk()
    with console.status("reading the log") as status:
        return export(
            log,
            folder,
            topics=topics,
            progress=lambda n: status.update(f"reading the log: {n:,} rows"),
        )
