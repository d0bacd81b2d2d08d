"""What a log tells: again, in SQL, as files and as a report."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import Desk, Json

app = typer.Typer()


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
