"""What the desk knows before it runs: the shipped model's card, and the instruments of tapes."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from console.report.words import day, par_words
from models.card import Card
from models.registry import SHIPPED
from venues.tape import open_tapes


def show_card(*, as_json: bool) -> None:
    """The card of the model that ships with the desk. ModelRefused if it cannot be read."""
    card = Card.read(SHIPPED / "card.json")
    if as_json:
        sys.stdout.write(card.to_json())
        return
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in (
        ("model", f"{card.name} {card.version}"),
        ("sha256", card.sha256),
        ("made by", card.created_by),
        ("reads", ", ".join(card.inputs)),
        ("predicts", ", ".join(card.outputs)),
        *((f"  {name}", text) for name, text in card.labels.items()),
        *(("limits" if k == 0 else "", text) for k, text in enumerate(card.limits)),
    ):
        facts.add_row(name, value)
    seen = _table("trained on", "rows", "from", "until", right=("rows",))
    for file in card.training:
        seen.add_row(
            file.path.removesuffix(".parquet"),
            f"{file.rows:,}",
            day(file.first_ns),
            day(file.last_ns),
        )
    scores = _table(
        "tested on", "moves", "model", "base rate", "momentum",
        right=("moves", "model", "base rate", "momentum"),
    )  # fmt: skip
    for market, found in card.metrics.items():
        losses = [found["direction"][who]["log_loss"] for who in ("model", "base_rate", "momentum")]
        scores.add_row(market, f"{found['test_rows_moved']:,}", *(f"{x:.4f}" for x in losses))
    out = Console(highlight=False)
    out.print(facts)
    out.print(Padding(seen, (1, 0)))
    out.print("Log loss of the direction, on rows that nothing was fitted on:")
    out.print(scores)


def show_instruments(tapes: Sequence[Path], *, as_json: bool) -> None:
    """Every market that tapes hold, with what the venue did not say and is assumed."""
    table = open_tapes(tapes).table
    if as_json:
        sys.stdout.write(json.dumps([asdict(i) for i in table.instruments], indent=2) + "\n")
        return
    shown = _table(
        "lane", "instrument", "kind", "size", "tick", "lot", "maker", "taker", "short", "binary",
        right=("size", "tick", "lot", "maker", "taker", "binary"),
    )  # fmt: skip
    for i in table.instruments:
        shown.add_row(
            str(i.lane), i.id, i.kind.name.lower(), i.contract_size, i.tick, i.lot, i.fee_maker,
            i.fee_taker, "yes" if i.can_short else "no", i.binary_payout,
        )  # fmt: skip
    out = Console(highlight=False)
    out.print(shown)
    par = par_words(table.counted_at_par())
    out.print(f"The desk counts in {table.desk_currency}{f', {par}' if par else ''}.")
    out.print("Assumed, where the tapes do not say:")
    for text in dict.fromkeys(i.assumed for i in table.instruments if i.assumed):
        out.print(f"  {text}", soft_wrap=True)


def _table(*names: str, right: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in names:
        justify: Literal["left", "right"] = "right" if name in right else "left"
        table.add_column(name, justify=justify, no_wrap=name != "instrument", overflow="fold")
    return table
