"""`trifecta run`: one run, from tapes to a report."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import (
    Balance,
    Cadence,
    Config,
    From,
    Json,
    Rate,
    Rows,
    Seed,
    Simulate,
    Tapes,
    To,
)

app = typer.Typer()


@app.command(
    epilog="Exit codes: 0 a report was written; 2 refused, the reason is on stderr; 130 stopped by "
    "Ctrl-C or SIGTERM, the same command with its --out goes on."
)
def run(
    tape: Tapes = None,
    simulate: Simulate = False,
    from_topic: Annotated[
        str | None,
        typer.Option(
            metavar="RUN_DIR|NAME",
            help="What a run's folder, or a deployment of workers, has recorded; with a slash it "
            "is a folder.",
        ),
    ] = None,
    rows: Rows = None,
    rate: Rate = None,
    profile: Annotated[
        str,
        typer.Option(
            metavar="embedded|memory|kafka",
            help="Where the log is kept: a file of the run, nowhere, or brokers (TRIFECTA_KAFKA).",
        ),
    ] = "embedded",
    topology: Annotated[
        str,
        typer.Option(
            metavar="fused|split",
            help="One process, or a worker per flow on Kafka, in market time (--speed).",
        ),
    ] = "fused",
    mode: Annotated[
        str | None,
        typer.Option(
            metavar="backtest|shadow|paper",
            help="Backtest if not given; shadow decides and sends no order.",
        ),
    ] = None,
    cadence: Cadence = None,
    batch: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Rows per batch (24576; 64 with --speed); no result depends on it.",
        ),
    ] = None,
    balance: Balance = None,
    seed: Seed = None,
    from_: From = None,
    to: To = None,
    speed: Annotated[
        float | None,
        typer.Option(metavar="X", help="Multiple of real time; if not given, all it can."),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="SET,...",
            help="Features of the market layer to compute: sets, single ones, or all; see "
            "docs/features.md. None if not given.",
        ),
    ] = None,
    one_lane: Annotated[
        bool,
        typer.Option(
            "--one-lane",
            help="All assets of the tapes in one lane, so that features compare them.",
        ),
    ] = False,
    operator: Annotated[
        str | None,
        typer.Option(
            metavar="next-session|none",
            help="Who ends a cooldown after losses; in a backtest the next session, else nobody.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the run, runs/TIME-NAME if not given; unfinished goes on.",
        ),
    ] = None,
    completeness: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Least covered share of each stream; 0.95."),
    ] = None,
    allow_incomplete: Annotated[
        bool, typer.Option("--allow-incomplete", help="Run whatever the recordings lack.")
    ] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Run the desk on recorded tapes; with no option, on the sample that comes with it.

    It leaves report.html, report.json, trades.csv and its log in one folder.
    """
    from cli.errors import told

    with told():
        from cli.complete import least_of
        from cli.config import settings_of
        from cli.run import Request
        from cli.run import run as run_request
        from flows.settings import SettingsError

        if seed is not None and not simulate:
            raise SettingsError("--seed belongs to --simulate: a tape is what it is")
        settings = settings_of(
            config,
            {
                "mode": mode or ("paper" if topology == "split" else None), "cadence": cadence,
                "balance": balance, "seed": seed, "operator": operator,
                "features": None if features is None else features.split(","),
            },
        )  # fmt: skip
        request = Request(
            settings, tuple(tape or ()), simulate, rows, rate, profile, topology, from_, to, batch,
            speed, out, json, from_topic, least_of(completeness, allow_incomplete), one_lane,
        )  # fmt: skip
        code = run_request(request)
    raise typer.Exit(code)
