"""`trifecta run --topology split`: a desk of workers for one run, and the report at its end."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from rich.console import Console

from cli import up
from cli.complete import require_complete
from cli.config import PREFIX, settings_toml
from cli.errors import REFUSED, STOPPED
from cli.run import SAMPLE, Request, again, feed_of, show
from cli.run_dir import KAFKA, RUNS, WORKERS, note, prepare
from cli.times import parse_cut, stamp
from console.report.collect import FINISHED
from console.report.timing import Timing
from flows.log.kafka_client import SERVERS_VARIABLE
from flows.recorded import recorded_run

SETTINGS = "desk.toml"


def run_split(request: Request, console: Console) -> int:
    """Run the workers on topics of their own until they have finished; returns the exit code."""
    tapes = request.tapes or (() if request.simulate else (SAMPLE,))
    cut = parse_cut(request.from_utc, request.to_utc)
    if tapes:
        feed = feed_of(
            tapes,
            simulate=False,
            rows=None,
            rate_hz=None,
            seed=0,
            cut=cut,
            at_par=request.settings.at_par,
        )
        require_complete(feed, request.completeness, console)
    name = "simulated" if request.simulate else Path(tapes[0]).stem
    folder = request.out or RUNS / f"{stamp(datetime.now(UTC))}-{name}"
    log, _ = prepare(folder, "kafka")
    try:
        place = json.loads((folder / KAFKA).read_text())
        os.environ[SERVERS_VARIABLE] = place["servers"]  # the workers': a run stays where it began
        (folder / SETTINGS).write_text(settings_toml(request.settings))
        for name in [each for each in os.environ if each.startswith(PREFIX)]:
            del os.environ[name]  # the file holds them, and what the command line said on top
        desk = up.Request(
            deployment=place["deployment"],
            tapes=tapes,
            simulate=request.simulate,
            speed=request.speed,
            from_utc=request.from_utc,
            to_utc=request.to_utc,
            state=folder / WORKERS,
            rows=request.rows,
            rate_hz=request.rate_hz,
            seed=request.settings.seed,
            config=folder / SETTINGS,
        )
        started_s = perf_counter()
        outcome = up.supervise(desk, console, all_or_none=True)
        if outcome == "stopped":
            console.print(f"stopped; {again(request, folder)}", style="yellow", soft_wrap=True)
            return STOPPED
        if outcome == "refused":
            console.print(
                f"not all workers have finished: see {desk.folder / 'logs'}", style="bold red"
            )
            return REFUSED
        if FINISHED not in log.texts():
            record, _ = recorded_run(log)
            rows = sum(source["rows"] for source in record.sources)
            note(log, FINISHED, Timing(perf_counter() - started_s, rows).to_json())
        show(log, folder, console, json=request.json)
        return 0
    finally:
        log.close()
