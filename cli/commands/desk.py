"""A desk of workers, and what stops and resumes it or a run."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import (
    AnyRunFolder,
    Balance,
    Cadence,
    Config,
    Deployment,
    Desk,
    Feeds,
    From,
    HaltedBook,
    Json,
    PaperMode,
    Rate,
    Record,
    Rows,
    Seed,
    Simulate,
    Tapes,
    To,
)

app = typer.Typer()


@app.command(
    epilog="Exit codes: 0 the log has ended; 2 refused, the reason is on stderr; 75 Kafka or a "
    "venue does not answer, try again; 130 stopped by Ctrl-C or SIGTERM after a snapshot, the same "
    "command goes on."
)
def worker(
    flow: Annotated[
        str,
        typer.Argument(metavar="ingest|features|decide|execute|account|store", show_default=False),
    ],
    deployment: Deployment = "",
    profile: Annotated[
        str, typer.Option(metavar="kafka", help="Workers share their log on brokers alone.")
    ] = "kafka",
    lanes: Annotated[
        str | None,
        typer.Option(metavar="0-3", help="Of features and of decide --stage lane; else all."),
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(metavar="lane|portfolio", help="Decide in two processes instead of one."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where it keeps its state, runs/desk if not given."),
    ] = None,
    port: Annotated[
        int,
        typer.Option(metavar="PORT", min=0, max=65535, help="Of /healthz and /metrics; 0: any."),
    ] = 0,
    log: Annotated[
        str, typer.Option(metavar="auto|json|text", help="How log lines look on stderr.")
    ] = "auto",
    tape: Tapes = None,
    feed: Feeds = None,
    record: Record = False,
    simulate: Simulate = False,
    rows: Rows = None,
    rate: Rate = None,
    speed: Annotated[
        float, typer.Option(metavar="X", min=0.0, help="Multiple of real time; 0 is all it can.")
    ] = 1.0,
    from_: From = None,
    to: To = None,
    mode: PaperMode = None,
    cadence: Cadence = None,
    balance: Balance = None,
    seed: Seed = None,
    config: Config = None,
) -> None:
    """Run one flow of a desk for as long as its log goes on.

    What is read (--tape, --feed, --simulate, and what belongs to them) and the settings are
    ingest's; the others find them on the log.
    """
    from cli.errors import AGAIN, told

    with told(away=AGAIN):
        from cli.config import settings_of
        from cli.worker import WorkerRequest, work
        from flows.settings import SettingsError

        if profile != "kafka":
            raise SettingsError(f"profile of a worker must be kafka, was {profile!r}")
        code = work(
            WorkerRequest(
                flow, deployment, lanes, stage, state, port, tuple(tape or ()), simulate, rows,
                rate, from_, to, speed or None,
                settings_of(
                    config,
                    {"mode": mode or "paper", "cadence": cadence, "balance": balance, "seed": seed},
                ),
                tuple(feed or ()),
                record,
            ),
            log_style=log,
        )  # fmt: skip
    raise typer.Exit(code)


@app.command(
    epilog="Exit codes: 0 all workers have finished; 2 refused, or none is left and one was "
    "refused; 130 stopped by Ctrl-C or SIGTERM, the same command goes on."
)
def up(
    deployment: Deployment = "",
    lanes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="0-3", help="Lanes of one features worker; once for each. All in one if not."
        ),
    ] = None,
    tape: Tapes = None,
    feed: Feeds = None,
    record: Record = False,
    simulate: Simulate = False,
    speed: Annotated[
        float | None, typer.Option(metavar="X", help="Multiple of real time, of what is ingested.")
    ] = None,
    mode: PaperMode = None,
    cadence: Cadence = None,
    balance: Balance = None,
    from_: From = None,
    to: To = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Recovery, locks and logs; runs/desk or runs/desk-NAME if not given.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            min=1024,
            max=65_000,
            help="First port of the workers' /healthz and /metrics; any free ones if not given.",
        ),
    ] = None,
    rows: Rows = None,
    rate: Rate = None,
    seed: Seed = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Run a whole desk on Kafka: one worker per flow, restarted when it crashes.

    The brokers are those of TRIFECTA_KAFKA, by default the local ones of 'trifecta kafka up'.
    """
    from cli.errors import told

    with told():
        from cli.up import Request
        from cli.up import up as run_desk

        request = Request(
            deployment, tuple(lanes or ()), tuple(tape or ()), simulate, speed, from_, to, mode,
            cadence, balance, state, port, json, rows, rate, seed, config, tuple(feed or ()),
            record,
        )  # fmt: skip
        code = run_desk(request)
    raise typer.Exit(code)


@app.command()
def halt(run_dir: AnyRunFolder = None, deployment: Desk = None, book: HaltedBook = None) -> None:
    """Stop a running run, or a desk of workers, from trading; cancels and exits still pass."""
    _tell(run_dir, deployment, book, "HALT")


@app.command()
def resume(run_dir: AnyRunFolder = None, deployment: Desk = None, book: HaltedBook = None) -> None:
    """Let a run or a desk trade again: lifts a halt, a cooldown and a drawdown stop."""
    _tell(run_dir, deployment, book, "RESUME")


def _tell(run_dir: Path | None, deployment: str | None, book: str | None, command: str) -> None:
    from cli.errors import Refused, told

    with told():
        from cli.halt import tell, tell_desk
        from schemas.kinds import Control

        which = Control[command if book is None else f"{command}_BOOK"]
        if deployment is None:
            code = tell(run_dir, which, book=book)
        elif run_dir is None:
            code = tell_desk(deployment, which, book=book)
        else:
            raise Refused("name either the folder of a run or the --deployment of a desk")
    raise typer.Exit(code)
