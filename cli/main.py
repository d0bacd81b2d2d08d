"""The command `trifecta`."""

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from cli import kafka, simulate
from cli.commands import bench, desk, log, models, recordings, run

app = typer.Typer(
    name="trifecta",
    help="A streaming trading desk built as a replayable log.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a defect shows its plain trace, everything else one line
    rich_markup_mode="rich",
)


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


for group in (run, desk, log, recordings):
    app.add_typer(group.app)
app.command()(simulate.simulate)
app.add_typer(models.app, name="models")
app.add_typer(kafka.app, name="kafka")
app.add_typer(bench.app, name="bench")


if __name__ == "__main__":
    app()
