"""`trifecta simulate`: write a simulated market of limit order books as tapes, with its labels."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer


def simulate(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the files.")],
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="The same gives the same rows.")
    ] = 0,
    minutes: Annotated[float, typer.Option(metavar="X", help="Of market time.")] = 30.0,
    strength: Annotated[
        float,
        typer.Option(metavar="X", help="Of planted events; 1 is as declared, less is weaker."),
    ] = 1.0,
    faults: Annotated[
        float, typer.Option(metavar="X", help="Lost, doubled or late messages per venue and hour.")
    ] = 4.0,
    json_: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Write a made-up market of several venues as tapes, with labels of what was planted.

    Limit order books with Hawkes order flow; all its venues are called sim_. The folder holds
    trades/, quotes/, book/ and labels.parquet.
    """
    from cli.errors import Refused, talk, told

    with told():
        from venues.lob import LobSimulator, Plant
        from venues.lob.tapes import write_tapes

        if out.exists() and not out.is_dir():
            raise Refused(f"{out}: not a folder. Give --out a folder, or a name that is not there")
        try:
            simulator = LobSimulator(
                seed=seed, minutes=minutes, strength=strength, faults_per_hour=faults
            )
        except ValueError as error:
            raise Refused(f"simulate: {error}") from error
        files = write_tapes(simulator, out)
        labels = Counter(Plant(kind).name.lower() for kind in simulator.labels.kind)
        if json_:
            found = {
                "simulated": True, "seed": seed, "rows": simulator.n_rows, "labels": labels,
                "files": [str(file) for file in files],
            }  # fmt: skip
            sys.stdout.write(json.dumps(found, indent=2) + "\n")
            return
        for file in files:
            print(file)
        talk().print(
            f"simulated: {simulator.n_rows:,} rows of {minutes:g} minutes, seed {seed}; labels: "
            + (", ".join(f"{n} {kind}" for kind, n in sorted(labels.items())) or "none")
        )
