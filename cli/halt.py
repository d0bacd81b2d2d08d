"""`trifecta halt` and `trifecta resume`: an operator's word to a run that is running."""

from pathlib import Path
from time import monotonic, sleep, time_ns

from cli.errors import talk
from cli.run_dir import open_log, running, running_pid
from flows.control import send_command
from schemas.kinds import Control
from schemas.topics import CONTROL

ANSWER_S = 10.0  # how long to wait for the run to record it
NAP_S = 0.05
PARTITION = (CONTROL.name, 0)
EFFECT = {
    Control.HALT: "from that row on no decision is approved; 'trifecta resume' lifts it",
    Control.RESUME: "from that row on the desk may trade again",
}


def tell(folder: Path | None, command: Control) -> int:
    """Send a command and wait until the run has written it into its log; returns the exit code."""
    console = talk()
    folder = running(folder)
    log = open_log(folder)
    try:
        before = log.ends([PARTITION])[PARTITION]
        send_command(folder, command, ts_ns=time_ns())
        until_s = monotonic() + ANSWER_S
        while log.ends([PARTITION])[PARTITION] == before:
            if running_pid(folder) is None:
                console.print(
                    f"{command.name} sent to {folder}, but the run ended before it took it; it "
                    "holds if the run goes on",
                    style="yellow",
                    soft_wrap=True,
                )
                return 0
            if monotonic() > until_s:
                console.print(
                    f"{command.name} sent to {folder}; the run takes it with its next rows",
                    style="yellow",
                    soft_wrap=True,
                )
                return 0
            sleep(NAP_S)
    finally:
        log.close()
    console.print(f"{command.name} is in the log of {folder}: {EFFECT[command]}", soft_wrap=True)
    return 0
