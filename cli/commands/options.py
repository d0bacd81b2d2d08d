"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

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
HaltedBook = Annotated[
    str | None,
    typer.Option(
        "--book",
        metavar="VENUE:MARKET",
        help="Only the order book of one market; also one that was given up.",
    ),
]
Rows = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Rows of the made-up market; 500000 if not given."),
]
Rate = Annotated[
    float | None,
    typer.Option(metavar="HZ", min=0.01, help="Its rows per second; 50 if not given."),
]
Tapes = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="A recording in Parquet; once for each."),
]
Feeds = Annotated[
    list[str] | None,
    typer.Option(metavar="VENUE:MARKET", help="A live market, kraken:BTC/USD; once for each."),
]
Record = Annotated[
    bool, typer.Option("--record", help="Of --feed: keep what venues send in raw.v1.")
]
Simulate = Annotated[bool, typer.Option("--simulate", help="A made-up market instead of tapes.")]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=0, help="Of --simulate: another seed, another market; 0 if not given."
    ),
]
From = Annotated[
    str | None, typer.Option("--from", metavar="UTC", help="First moment of the tapes to read.")
]
To = Annotated[str | None, typer.Option(metavar="UTC", help="First moment no longer to be read.")]
Deployment = Annotated[
    str, typer.Option(metavar="NAME", help="Of the desk; stands before the topics' names.")
]
PaperMode = Annotated[
    str | None,
    typer.Option(
        metavar="paper|shadow", help="Paper if not given; shadow decides and sends no order."
    ),
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
