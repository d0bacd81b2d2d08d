"""Recordings: what they hold, whether they are sound, what can be mended."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import Desk, Json, RunFolder

app = typer.Typer()


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
            help="Recorded frames (.jsonl.zst), or tapes of books and orders, and their quotes "
            "and snapshots (.parquet).",
            show_default=False,
        ),
    ],
    json: Json = False,
) -> None:
    """Rebuild the books of recordings and check that they are what the venue showed.

    The quotes of a tape have its name and lie beside its folder, in quotes/, or are given too, and
    so do the venue's own snapshots, in book_snapshots/.
    """
    from cli.errors import told

    with told():
        from cli.book import book as verify_books

        code = verify_books(files, as_json=json)
    raise typer.Exit(code)


@app.command(
    epilog="Exit codes: 0 no more rows are refused, or in quarantine, than --refused allows, and "
    "every stream is as complete as --completeness demands; 1 that is not so, and it is said what "
    "is not; 2 nothing could be judged, the reason is on stderr."
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
    completeness: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Least covered share of each stream; 0.95."),
    ] = None,
    refused: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0.0,
            max=1.0,
            help="Share of the rows that may be refused, or be in quarantine.",
        ),
    ] = 0.0,
    json: Json = False,
) -> None:
    """Run Great Expectations over a tape or over what a log holds, and write its Data Docs."""
    from cli.errors import told

    with told():
        from cli.complete import least_of
        from cli.quality import QualityRequest
        from cli.quality import quality as judge
        from console.quality.verdict import Demands

        demands = Demands(least_of(completeness, allow_incomplete=False), refused)
        code = judge(QualityRequest(place, deployment, out, json, demands))
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
