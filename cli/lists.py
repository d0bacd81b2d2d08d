"""What the desk knows before it runs: the shipped model's card, and the instruments of tapes."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from console.report.words import day
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
        ("file", f"{SHIPPED / 'model.onnx'}, sha256 {card.sha256}"),
        ("made by", card.created_by),
        ("reads", ", ".join(card.inputs)),
        ("predicts", ", ".join(card.outputs)),
        ("horizon", f"{card.horizon_ticks} ticks of one instrument"),
        *((f"label {name}", text) for name, text in card.labels.items()),
        *((f"test {name}", _measure(value)) for name, value in card.metrics.items()),
        *((f"base rate {name}", f"{rate:.4g}") for name, rate in card.base_rates.items()),
        *(("limit", text) for text in card.limits),
    ):
        facts.add_row(name, value)
    seen = _table("trained on", "rows", "from", "to", right=("rows",))
    for file in card.training:
        seen.add_row(file.path, f"{file.rows:,}", day(file.first_ns), day(file.last_ns))
    out = Console(highlight=False)
    out.print(facts)
    out.print(seen)


def show_instruments(tapes: Sequence[Path], *, as_json: bool) -> None:
    """Every market that tapes hold, with what the venue did not say and is assumed."""
    table = open_tapes(tapes).table
    if as_json:
        sys.stdout.write(json.dumps([asdict(i) for i in table.instruments], indent=2) + "\n")
        return
    shown = _table(
        "lane", "instrument", "kind", "quote", "size", "tick", "lot", "maker", "taker", "short",
        "binary", right=("lane", "size", "tick", "lot", "maker", "taker", "binary"),
    )  # fmt: skip
    for i in table.instruments:
        shown.add_row(
            f"{i.lane}.{i.symbol}", i.id, i.kind.name.lower(), i.quote, i.contract_size, i.tick,
            i.lot, i.fee_maker, i.fee_taker, "yes" if i.can_short else "no", i.binary_payout,
        )  # fmt: skip
    out = Console(highlight=False)
    out.print(shown)
    out.print(f"The desk counts in {table.desk_currency}. Assumed, where the tapes do not say:")
    for text in dict.fromkeys(i.assumed for i in table.instruments if i.assumed):
        out.print(f"  {text}", soft_wrap=True)


def _measure(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_measure(each)}" for name, each in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(*names: str, right: tuple[str, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for name in names:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table
