"""`trifecta report`: the report files of a run, made again from its log."""

from pathlib import Path

from cli.errors import Refused, talk
from cli.run import show
from cli.run_dir import open_log, running_pid


def report(folder: Path, *, as_json: bool) -> None:
    """Write them into the run's folder. Refused while the run is running: its end is not known."""
    log = open_log(folder)
    try:
        pid = running_pid(folder)
        if pid is not None:
            raise Refused(f"{folder}: process {pid} is running there; wait for it or stop it first")
        show(log, folder, talk(), json=as_json)
    finally:
        log.close()
