"""Promise: docs/reference says what the schemas say, and a stale page does not pass."""

from pathlib import Path

import pytest

from schemas.reasons import Reason
from schemas.rows import FeatureRows, MarketRows
from schemas.topics import TOPICS
from tools import reference


def page(name: str) -> str:
    return (reference.HOUSE / reference.FOLDER / name).read_text(encoding="utf-8")


def test_pages_are_up_to_date() -> None:
    assert reference.stale() == [], "run `make docs` and commit what it writes"


@pytest.mark.parametrize("name", sorted(reference.PAGES))
def test_edited_or_missing_page_is_stale(tmp_path: Path, name: str) -> None:
    reference.write(tmp_path)
    assert reference.stale(tmp_path) == []
    path = tmp_path / reference.FOLDER / name
    path.write_text(path.read_text(encoding="utf-8").replace("| ", "|", 1), encoding="utf-8")
    assert reference.stale(tmp_path) == [str(reference.FOLDER / name)]
    path.unlink()
    assert reference.stale(tmp_path) == [str(reference.FOLDER / name)]


def test_every_reason_has_its_line_meaning_and_group() -> None:
    text = page("reasons.md")
    for reason in Reason:
        line = next(s for s in text.splitlines() if s.startswith(f"| {int(reason)} |"))
        code, name, meaning, group = (cell.strip() for cell in line.strip("|").split("|"))
        assert (int(code), name, meaning) == (reason, f"`{reason.name}`", reason.text)
        assert bool(group) == (reason != Reason.OK)


def test_code_outside_its_group_is_refused() -> None:
    with pytest.raises(
        ValueError, match="CROSSED_QUOTE = 4 stands in the group 'venue: 200 to 229'"
    ):
        reference._check_range(Reason.CROSSED_QUOTE, "venue: 200 to 229")


def test_topics_and_columns_are_all_there_with_their_comments() -> None:
    text = page("topics.md")
    for topic in TOPICS.values():
        assert f"| `{topic.name}` | {topic.schema_id} |" in text
        assert topic.fingerprint() in text
    market, features = (text.split(f"## {name}\n")[1] for name in ("MarketRows", "FeatureRows"))
    for column in MarketRows._fields:
        assert f"| `{column}` |" in market.split("\n## ")[0]
    for column in FeatureRows._fields:
        assert f"| `{column}` |" in features.split("\n## ")[0]
    assert "| `seq` | int64 | never | contiguous per lane from 0 |" in market
    assert "| `atr` | float64 | may be | quote units, Wilder |" in features


def test_kinds_hold_every_code_with_its_comment() -> None:
    text = page("kinds.md")
    assert "| 2 | `SNAPSHOT` | the row is part of a book snapshot |" in text
    assert "| -1 | `SELL` |" in text
    assert "## InstrumentKind" in text
    assert "## Reason" not in text
