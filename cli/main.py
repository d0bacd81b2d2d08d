"""The command `trifecta`. Each command lives in a file of its own, loaded when it is called."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from cli import kafka, simulate

app = typer.Typer(
    name="trifecta",
    help="A streaming trading desk built as a replayable log.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a defect shows its plain trace, everything else one line
    rich_markup_mode="rich",
)
models = typer.Typer(help="Models that predict.", no_args_is_help=True)
bench = typer.Typer(help="Measure what the documents claim.", no_args_is_help=True)
app.add_typer(models, name="models")
app.add_typer(bench, name="bench")
app.add_typer(kafka.app, name="kafka")
app.command()(simulate.simulate)

RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN_DIR", help="Folder of the run.", show_default=False)
]
AnyRunFolder = Annotated[
    Path | None,
    typer.Argument(
        metavar="RUN_DIR",
        help="Folder of the run; without it, the only one running under runs/.",
        show_default=False,
    ),
]
Desk = Annotated[
    str | None,
    typer.Option("--deployment", metavar="NAME", help="A desk of workers instead of a run."),
]
Rows = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Rows of the made-up market; 500000 if not given."),
]
Rate = Annotated[
    float | None,
    typer.Option(metavar="HZ", min=0.01, help="Its rows per second; 50 if not given."),
]
Cadence = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="How often to decide: tick, 500ms, 1s (if not given), 2m."),
]
Balance = Annotated[
    str | None,
    typer.Option(
        metavar="MONEY",
        help="What it starts with, in the currency most tapes quote; 100000 if not given.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Settings in TOML; trifecta.toml here if it exists."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, and nothing else there.")]


def _version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"trifecta {version('trifecta')}")
        except PackageNotFoundError:
            typer.echo("trifecta, from a checkout that is not installed")
        raise typer.Exit


@app.callback()
def main(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """A streaming trading desk built as a replayable log."""


@app.command(
    epilog="Exit codes: 0 a report was written; 2 refused, the reason is on stderr; 130 stopped by "
    "Ctrl-C or SIGTERM, the same command with its --out goes on."
)
def run(
    tape: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A recording in Parquet; once for each."),
    ] = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="A made-up market instead of tapes.")
    ] = False,
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
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Of --simulate: another seed, another market.")
    ] = 0,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="UTC", help="First moment of the tapes to read.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="UTC", help="First moment no longer to be read.")
    ] = None,
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
            speed, out, json, from_topic, least_of(completeness, allow_incomplete),
        )  # fmt: skip
        code = run_request(request)
    raise typer.Exit(code)


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
    deployment: Annotated[
        str, typer.Option(metavar="NAME", help="Of the desk; stands before the topics' names.")
    ] = "",
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
    tape: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Ingest: a recording in Parquet; once for each."),
    ] = None,
    feed: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VENUE:MARKET", help="Ingest: a live market, kraken:BTC/USD; once for each."
        ),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Ingest: keep what venues send in raw.v1.")
    ] = False,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Ingest: a made-up market instead of tapes.")
    ] = False,
    rows: Rows = None,
    rate: Rate = None,
    speed: Annotated[
        float, typer.Option(metavar="X", min=0.0, help="Multiple of real time; 0 is all it can.")
    ] = 1.0,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="UTC", help="First moment of the tapes to read.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="UTC", help="First moment no longer to be read.")
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            metavar="paper|shadow",
            help="Paper if not given; shadow decides and sends no order.",
        ),
    ] = None,
    cadence: Cadence = None,
    balance: Balance = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of --simulate.")] = 0,
    config: Config = None,
) -> None:
    """Run one flow of a desk for as long as its log goes on; the settings are ingest's."""
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
    deployment: Annotated[
        str, typer.Option(metavar="NAME", help="Stands before the topics' names.")
    ] = "",
    lanes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="0-3", help="Lanes of one features worker; once for each. All in one if not."
        ),
    ] = None,
    tape: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A recording in Parquet to ingest; once for each."),
    ] = None,
    feed: Annotated[
        list[str] | None,
        typer.Option(metavar="VENUE:MARKET", help="A live market to ingest; once for each."),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Of --feed: keep what venues send in raw.v1.")
    ] = False,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Ingest a made-up market instead of tapes.")
    ] = False,
    speed: Annotated[
        float | None, typer.Option(metavar="X", help="Multiple of real time, of what is ingested.")
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(metavar="paper|shadow", help="Shadow decides and sends no order."),
    ] = None,
    cadence: Cadence = None,
    balance: Balance = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="UTC", help="First moment of the tapes to read.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="UTC", help="First moment no longer to be read.")
    ] = None,
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
    seed: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Of --simulate; 0 if not given.")
    ] = None,
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


@app.command(
    epilog="Exit codes: 0 every row is the same; 1 one differs, both sides are shown; 2 refused."
)
def replay(
    run_dir: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN_DIR]", help="Folder of the run.", show_default=False),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare every row with what was recorded.")
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(metavar="kafka", help="A desk of workers on brokers instead of a run."),
    ] = None,
    deployment: Desk = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="UTC", help="First moment to compare; all is decided."),
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="UTC", help="First moment no longer to be decided.")
    ] = None,
    topology: Annotated[
        str,
        typer.Option(metavar="fused|split", help="Decide in this process, or lanes in others."),
    ] = "fused",
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Of split: processes, 2 if not given."),
    ] = None,
    json: Json = False,
) -> None:
    """Decide a recorded run again and compare; exit code 1 at the first difference.

    It ends where the log ended when it began, so a desk may go on meanwhile.
    """
    from cli.errors import Refused, told

    with told():
        from cli.replay import ReplayRequest
        from cli.replay import replay as replay_run

        if not verify:
            raise Refused("replay: say what to do with what is decided again: --verify compares it")
        request = ReplayRequest(run_dir, profile, deployment, from_, to, topology, workers, json)
        code = replay_run(request)
    raise typer.Exit(code)


@app.command(
    epilog="Exit codes: 0 the store holds the log as it was at the start; 2 refused; 130 stopped, "
    "the same command goes on."
)
def export(
    run_dir: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN_DIR]", help="Folder of the run.", show_default=False),
    ] = None,
    deployment: Desk = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the store; store/ in that of the run, or of the desk's state, if not "
            "given.",
        ),
    ] = None,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="The frames that --record kept instead, a file for each venue."),
    ] = False,
    json: Json = False,
) -> None:
    """Write a log's rows to Parquet files by day, venue and symbol, each row once.

    A run that goes on may be exported again: what came since is added.
    """
    from cli.errors import told

    with told():
        from cli.export import ExportRequest, write_frames, write_store

        request = ExportRequest(run_dir, deployment, out, json)
        (write_frames if raw else write_store)(request)


@app.command(
    epilog="""Examples: the last quote of each minute, why it did not trade, what was quarantined.

trifecta query "SELECT time_bucket(INTERVAL 1 minute, ts_recv) AS minute,
last(bid_px ORDER BY seq) AS bid, last(ask_px ORDER BY seq) AS ask FROM market
WHERE kind = 'QUOTE' AND symbol = 'BTCUSDT' GROUP BY minute ORDER BY minute"

trifecta query "SELECT reason, count(*) AS n FROM decisions
WHERE kind = 'DECISION' AND NOT approved GROUP BY reason ORDER BY n DESC"

trifecta query "SELECT * FROM quarantine WHERE symbol = 'BTCUSDT'
AND ts_recv >= '2024-08-08 23:54' AND ts_recv < '2024-08-08 23:55'"

trifecta query "FROM book('binance_usdm:BTCUSDT', '2024-08-08 23:55') WHERE level <= 5"

Exit codes: 0 answered; 2 refused, the reason is on stderr."""
)
def query(
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="One SELECT, in DuckDB's SQL.", show_default=False)
    ],
    run_dir: Annotated[
        Path | None,
        typer.Option(
            "--run", metavar="RUN_DIR", help="Folder of a run; the newest in runs/ if not given."
        ),
    ] = None,
    store: Annotated[Path | None, typer.Option(metavar="DIR", help="A store, as it is.")] = None,
    deployment: Desk = None,
    format_: Annotated[
        str, typer.Option("--format", metavar="table|csv|json", help="Of the answer.")
    ] = "table",
) -> None:
    """Ask a run or a desk in SQL: market, features, signals, quarantine, decisions, orders,
    reports, ledger, and book(instrument, time).

    DESCRIBE market lists columns. What is asked for is first copied from the log to its store.
    """
    from cli.errors import told

    with told():
        from cli.query import QueryRequest
        from cli.query import query as ask

        ask(QueryRequest(sql, run_dir, store, deployment, format_))


@app.command()
def report(
    run_dir: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN_DIR]", help="Folder of the run.", show_default=False),
    ] = None,
    deployment: Desk = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the files; that of the run, or report/ in that of the desk's state, if "
            "not given.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write the report of a run again, from its log alone; also of one that was stopped.

    Of a desk of workers also while it goes on: as of where all of its workers are.
    """
    from cli.errors import told

    with told():
        from cli.report import ReportRequest
        from cli.report import report as write_again

        write_again(ReportRequest(run_dir, deployment, out, json))


@app.command(
    epilog="Exit codes: 0 every expectation is met; 1 one is not, its first rows are told; 2 "
    "refused."
)
def quality(
    place: Annotated[
        Path | None,
        typer.Argument(
            metavar="TAPE|RUN_DIR",
            help="A recording in Parquet, or the folder of a run.",
            show_default=False,
        ),
    ] = None,
    deployment: Desk = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Of the pages; runs/quality/NAME-TIME if not given."),
    ] = None,
    json: Json = False,
) -> None:
    """Run Great Expectations over a tape or over what a log holds, and write its Data Docs."""
    from cli.errors import told

    with told():
        from cli.quality import QualityRequest
        from cli.quality import quality as judge

        code = judge(QualityRequest(place, deployment, out, json))
    raise typer.Exit(code)


@app.command(
    epilog="Exit codes: 0 a report was written; 2 refused, the reason is on stderr; 130 stopped by "
    "Ctrl-C or SIGTERM, the same command goes on."
)
def repair(
    run_dir: RunFolder,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the new run.")],
    json: Json = False,
) -> None:
    """Mend what a run has refused, where that can be done, and run the desk on all of it again.

    The new log has a run id of its own, and its first record says what was repaired; the old one
    stays as it is.
    """
    from cli.errors import told

    with told():
        from cli.repair import RepairRequest
        from cli.repair import repair as mend

        code = mend(RepairRequest(run_dir, out, json))
    raise typer.Exit(code)


@app.command()
def halt(run_dir: AnyRunFolder = None, deployment: Desk = None) -> None:
    """Stop a running run, or a desk of workers, from trading; cancels and exits still pass."""
    _tell(run_dir, deployment, "HALT")


@app.command()
def resume(run_dir: AnyRunFolder = None, deployment: Desk = None) -> None:
    """Let a run or a desk trade again: lifts a halt, a cooldown and a drawdown stop."""
    _tell(run_dir, deployment, "RESUME")


@app.command()
def instruments(
    tape: Annotated[
        list[Path], typer.Option(metavar="FILE", help="A recording in Parquet; once for each.")
    ],
    json: Json = False,
) -> None:
    """List the markets that tapes hold, and what is assumed about them."""
    from cli.errors import told

    with told():
        from cli.lists import show_instruments

        show_instruments(tape, as_json=json)


@app.command(
    epilog="Exit codes: 0 all that could be checked holds; 1 a check failed; 2 a file was refused, "
    "or nothing could be verified."
)
def book(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Recorded frames (.jsonl.zst), or tapes of books and their quotes (.parquet).",
            show_default=False,
        ),
    ],
    json: Json = False,
) -> None:
    """Rebuild the books of recordings and check that they are what the venue showed.

    The quotes of a tape have its name and lie beside its folder, in quotes/, or are given too.
    """
    from cli.errors import told

    with told():
        from cli.book import book as verify_books

        code = verify_books(files, as_json=json)
    raise typer.Exit(code)


@models.command("card")
def card(json: Json = False) -> None:
    """Print the card of the shipped model: what it reads, was trained on, and how good it was."""
    from cli.errors import told

    with told():
        from cli.lists import show_card

        show_card(as_json=json)


@bench.command("chain")
def bench_chain(json: Json = False) -> None:
    """Rows per second of the whole chain on one core, beside the bare model's."""
    from cli.errors import told

    with told():
        from bench.chain import main as measure

        measure(json)


@bench.command("book")
def bench_book(json: Json = False) -> None:
    """Level updates per second of a full-depth recorded book, beside the cost of reading them."""
    from cli.errors import told

    with told():
        from bench.book import main as measure

        measure(json)


@bench.command("features")
def bench_features(json: Json = False) -> None:
    """Rows per second of all order-flow features, beside the cost of reading their inputs."""
    from cli.errors import told

    with told():
        from bench.features import main as measure

        measure(json)


@bench.command("split")
def bench_split(json: Json = False) -> None:
    """Ticks per second through workers on Kafka and tick to order by hop, beside bare Kafka."""
    from cli.errors import told

    with told():
        from bench.split import main as measure

        measure(json)


@bench.command("detection")
def bench_detection(json: Json = False) -> None:
    """What detectors find of planted events, and how often they speak on a recording."""
    from cli.errors import told

    with told():
        from bench.detection import main as measure

        measure(json)


def _tell(run_dir: Path | None, deployment: str | None, command: str) -> None:
    from cli.errors import Refused, told

    with told():
        from cli.halt import tell, tell_desk
        from schemas.kinds import Control

        if deployment is None:
            code = tell(run_dir, Control[command])
        elif run_dir is None:
            code = tell_desk(deployment, Control[command])
        else:
            raise Refused("name either the folder of a run or the --deployment of a desk")
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
