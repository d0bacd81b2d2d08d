"""`trifecta halt` and `trifecta resume`: an operator's word to a run or to a desk of workers."""

import shlex
from pathlib import Path
from time import monotonic, sleep, time_ns

from cli.errors import talk
from cli.run_dir import desk_of, open_log, running, running_pid
from flows.control import is_taken, send_command, send_to_desk
from flows.log.api import Log
from flows.log.errors import LogLockedError
from flows.log.writer import Writer
from flows.recorded import recorded_run
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
    desk = desk_of(folder)
    if desk is not None:
        return tell_desk(desk[1], command, servers=desk[0])
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


def tell_desk(deployment: str, command: Control, *, servers: str | None = None) -> int:
    """Write a command for a desk of workers and wait until ingest has taken it in."""
    from flows.log.kafka import KafkaLog

    console = talk()
    name = deployment or "the desk"
    log = KafkaLog(servers, deployment=deployment, fence=True, writer_id="control")
    try:
        _, table = recorded_run(log)
        writer = _sent(log, command)
        try:
            until_s = monotonic() + ANSWER_S
            while not is_taken(writer, table.active_lanes()):
                if monotonic() > until_s:
                    console.print(
                        f"{command.name} is written for {name}; its ingest takes it when it runs, "
                        "unless the desk has come to its end",
                        style="yellow",
                        soft_wrap=True,
                    )
                    return 0
                sleep(NAP_S)
        finally:
            writer.close()
    finally:
        log.close()
    effect = EFFECT[command].replace("resume'", f"resume --deployment {shlex.quote(deployment)}'")
    console.print(f"{command.name} is in the log of {name}: {effect}", soft_wrap=True)
    return 0


def _sent(log: Log, command: Control) -> Writer:
    """Written, also when others send commands at this moment."""
    ts_ns, until_s = time_ns(), monotonic() + ANSWER_S
    while True:
        try:
            return send_to_desk(log, command, ts_ns=ts_ns)
        except LogLockedError:
            if monotonic() > until_s:
                raise
