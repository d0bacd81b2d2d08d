"""`trifecta report`: the report files of a run or of a desk of workers, made from its log."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cli.errors import Refused, talk
from cli.export import open_place
from cli.run import show
from cli.run_dir import running_pid
from cli.worker import state_folder

REPORT = "report"  # of a desk: its folder in that of the desk's state


@dataclass(frozen=True)
class ReportRequest:
    """What `trifecta report` was asked for; see its options."""

    run_dir: Path | None = None
    deployment: str | None = None
    out: Path | None = None
    json: bool = False

    def __post_init__(self) -> None:
        if (self.run_dir is None) == (self.deployment is None):
            raise Refused("name either the folder of a run or the --deployment of a desk")
        if self.out is not None and self.out.exists() and not self.out.is_dir():
            raise Refused(f"{self.out}: is a file; choose another --out")


def report(request: ReportRequest) -> None:
    """Write the files of a run into its folder, of a desk into that of its state, or elsewhere.

    Refused while a run is running: its end is not known. A desk of workers may go on.
    """
    if request.run_dir is not None:
        folder = request.out or request.run_dir
    else:
        folder = request.out or state_folder(request.deployment or "") / REPORT
    with closing(open_place(request.run_dir, request.deployment)) as log:
        pid = None if request.run_dir is None else running_pid(request.run_dir)
        if pid is not None:
            raise Refused(
                f"{request.run_dir}: process {pid} is running there; wait for it or stop it first"
            )
        show(log, folder, talk(), json=request.json)
