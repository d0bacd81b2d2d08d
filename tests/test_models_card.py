"""Promise: a card says what a model has seen, and a run on that time is told so."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from models.card import Card, ModelRefused, TrainingFile, overlaps
from models.evaluate import TREND_BASE_RATES
from models.metrics import BLOCKS_MIN
from models.registry import SHIPPED
from models.train import PROTECTED

DAY_NS = 86_400 * 10**9
MAY_2014_NS = 1_398_902_400 * 10**9  # 2014-05-01 00:00 UTC
AUGUST_2024_NS = 1_723_075_200 * 10**9  # 2024-08-08 00:00 UTC
CARD = Card.read(SHIPPED / "card.json")

# fmt: off
OVERLAPS = [  # the card's one file covers 100 to 200
    #                                      start  end  met
    ("before",                             10,    99,  False),
    ("up to the first row",                10,    100, True),
    ("inside",                             120,   130, True),
    ("around",                             10,    999, True),
    ("from the last row on",               200,   999, True),
    ("after",                              201,   999, False),
]
# fmt: on


@pytest.mark.parametrize(("what", "start", "end", "met"), OVERLAPS, ids=[o[0] for o in OVERLAPS])
def test_overlap(what: str, start: int, end: int, met: bool) -> None:
    file = TrainingFile(path="a", sha256="", rows=2, first_ns=100, last_ns=200)
    card = dataclasses.replace(CARD, training=(file,))
    assert overlaps(card, start, end) == ([file] if met else [])


def test_the_shipped_model_has_not_seen_the_time_of_sample_and_golden_tapes() -> None:
    spans = sorted(PROTECTED.values())
    assert [start for start, _ in spans] == [MAY_2014_NS, AUGUST_2024_NS]
    assert [end + 1 - start for start, end in spans] == [9 * DAY_NS, 2 * DAY_NS]
    for start, end in spans:
        assert overlaps(CARD, start, end) == []
    assert len(CARD.training) == 7


def test_the_card_names_its_recordings_as_they_are(data_path) -> None:
    manifest = json.loads(data_path("manifest.json").read_text())
    text = json.dumps(manifest)
    for file in CARD.training:
        assert file.sha256 in text, file.path


def test_metrics_stand_beside_those_of_the_base_rate() -> None:
    for group in ("us_equities", "crypto", "all"):
        found = CARD.metrics[group]
        assert set(found["direction"]) == {"model", "base_rate", "momentum"}
        gain = found["direction"]["base_rate"]["log_loss"] - found["direction"]["model"]["log_loss"]
        assert found["log_loss_gain_over_base_rate"] == pytest.approx(gain, abs=2e-6)
        error = found["log_loss_gain_standard_error"]
        enough = found["log_loss_gain_blocks"] >= BLOCKS_MIN
        assert found["beats_base_rate"] is bool(gain > 2 * error and enough)


def trend_strength(x: np.ndarray) -> np.ndarray:
    strength: np.ndarray = np.abs(x[..., -1] - x[..., 0]) / x.std(axis=-1)
    return strength


def test_the_base_rates_of_trend_strength_hold() -> None:
    """256 ticks: a straight line scores 3.45, and one random walk in twenty more than 3.84."""
    walks = np.cumsum(np.random.default_rng(5).normal(size=(20_000, 256)), axis=1)
    found = (np.quantile(trend_strength(walks), 0.95), trend_strength(np.arange(256.0)))
    assert found == pytest.approx(tuple(TREND_BASE_RATES.values()), abs=0.03)
    assert CARD.base_rates.items() >= TREND_BASE_RATES.items()


def test_a_card_survives_writing_and_reading(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(CARD.to_json())
    assert Card.read(tmp_path / "card.json") == CARD


# fmt: off
BROKEN = [
    ("no file",               None,                        "cannot be read"),
    ("no JSON",               "{",                         "is no JSON"),
    ("no object",             "[]",                        "no object"),
    ("a field is missing",    '{"name": "x"}',             "missing or unknown: .*version"),
]
# fmt: on


@pytest.mark.parametrize(("what", "text", "reason"), BROKEN, ids=[b[0] for b in BROKEN])
def test_a_broken_card_is_refused(tmp_path: Path, what: str, text: str | None, reason: str) -> None:
    if text is not None:
        (tmp_path / "card.json").write_text(text)
    with pytest.raises(ModelRefused, match=reason):
        Card.read(tmp_path / "card.json")
