"""`trifecta models`: models that predict."""

import typer

from cli.commands.options import Json

app = typer.Typer(help="Models that predict.", no_args_is_help=True)


@app.callback()
def models() -> None:
    """Models that predict."""


@app.command()
def card(json: Json = False) -> None:
    """Print the card of the shipped model: what it reads, was trained on, and how good it was."""
    from cli.errors import told

    with told():
        from cli.lists import show_card

        show_card(as_json=json)
