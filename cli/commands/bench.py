"""`trifecta bench`: what the documents claim."""

import typer

from cli.commands.options import Json

app = typer.Typer(help="Measure what the documents claim.", no_args_is_help=True)


@app.command("chain")
def chain(json: Json = False) -> None:
    """Rows per second of the whole chain on one core, beside the bare model's."""
    from cli.errors import told

    with told():
        from bench.chain import main as measure

        measure(json)


@app.command("book")
def book(json: Json = False) -> None:
    """Level updates per second of a full-depth recorded book, beside the cost of reading them."""
    from cli.errors import told

    with told():
        from bench.book import main as measure

        measure(json)


@app.command("features")
def features(json: Json = False) -> None:
    """Rows per second of all order-flow features, beside the cost of reading their inputs."""
    from cli.errors import told

    with told():
        from bench.features import main as measure

        measure(json)


@app.command("split")
def split(json: Json = False) -> None:
    """Ticks per second through workers on Kafka and tick to order by hop, beside bare Kafka."""
    from cli.errors import told

    with told():
        from bench.split import main as measure

        measure(json)


@app.command("detection")
def detection(json: Json = False) -> None:
    """What detectors find of planted events, and how often they speak on a recording."""
    from cli.errors import told

    with told():
        from bench.detection import main as measure

        measure(json)
