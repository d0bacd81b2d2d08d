"""The benchmark of the detectors: alarms and labels are matched one to one, repeatably."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import bench.detection_tune as tuning
from bench.detection import Asked, main, measure
from bench.detection_match import LATE_NS, interval, score
from bench.detection_orders import measure_orders, scores_by_order
from bench.detection_recorded import surrogate
from bench.detection_tuned import TUNED
from cli.main import app
from operators.features.detection.alarms import AlarmKind, AlarmRows
from operators.features.detection.thresholds import Thresholds
from schemas.kinds import Kind
from schemas.rows import concat, empty
from venues.lob import LabelRows, LobSimulator, Plant
from venues.lob.labels import blank_labels
from venues.tape import TapeError

S = 1_000_000_000
TICK = np.array([1.0, 1.0])
ICE, LAYERING = AlarmKind.ICEBERG, AlarmKind.LAYERING


def alarm(at_s: float, *, kind: AlarmKind = ICE, price: float = 100.0, side: int = 1,
          symbol: int = 0) -> AlarmRows:  # fmt: skip
    row = empty(AlarmRows, 1)
    row.kind[:], row.side[:], row.price[:], row.symbol[:] = kind, side, price, symbol
    row.ts_recv_ns[:] = int(at_s * S)
    return row


def label(from_s: float, to_s: float, *, kind: Plant = Plant.ICEBERG, price: float = 100.0,
          group: int = 0) -> LabelRows:  # fmt: skip
    row = blank_labels(1)
    row.kind[:], row.side[:], row.price[:], row.group[:] = kind, 1, price, group
    row.onset_ns[:], row.end_ns[:] = int(from_s * S), int(to_s * S)
    row.decoy[:] = kind == Plant.FLICKER
    return row


LATE_S = LATE_NS[ICE] / S

# fmt: off
CASES: list[tuple[str, list[AlarmRows], list[int], list[int]]] = [
    # alarms about an iceberg from 10 to 20 s at 100; which are right, and is it found
    ("while it lasts",          [alarm(15)],                          [1],    [1]),
    ("as it begins",            [alarm(10)],                          [1],    [1]),
    ("before it begins",        [alarm(9.999)],                       [0],    [0]),
    ("a little late",           [alarm(20 + LATE_S)],                 [1],    [1]),
    ("too late",                [alarm(20.001 + LATE_S)],             [0],    [0]),
    ("twice: one is too many",  [alarm(12), alarm(15)],               [1, 0], [1]),
    ("a tick beside it",        [alarm(15, price=101.0)],             [1],    [1]),
    ("two ticks beside it",     [alarm(15, price=102.0)],             [0],    [0]),
    ("the other side",          [alarm(15, side=-1)],                 [0],    [0]),
    ("another market",          [alarm(15, symbol=1)],                [0],    [0]),
    ("another kind",            [alarm(15, kind=AlarmKind.SPOOF)],    [],     [0]),
    ("no alarm",                [],                                   [],     [0]),
]
# fmt: on


@pytest.mark.parametrize(
    ("alarms", "right", "hit"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_case(alarms: list[AlarmRows], right: list[int], hit: list[int]) -> None:
    told = concat(alarms) if alarms else empty(AlarmRows, 0)
    found = score(told, label(10, 20), ICE, TICK)
    assert sorted(found.right.tolist(), reverse=True) == right
    assert found.hit.tolist() == hit
    assert found.latency_ns.size == sum(hit)


def test_as_many_as_possible_are_matched() -> None:
    """The first alarm fits both; taken for the first label it would leave the second without."""
    labels = concat([label(10, 20), label(14, 30, price=101.0, group=1)])
    alarms = concat([alarm(15, price=100.0), alarm(16, price=99.0)])
    found = score(alarms, labels, ICE, TICK)
    assert found.hit.tolist() == [1, 1]
    assert found.latency_ns.tolist() == [1 * S, 6 * S]


def test_orders_of_one_scheme_are_found_once() -> None:
    layers = [label(10, 11, kind=Plant.LAYERING, price=100.0 + k, group=7) for k in range(3)]
    alarms = concat([alarm(12, kind=LAYERING, price=102.0), alarm(12, kind=LAYERING, price=100.0)])
    found = score(alarms, concat(layers), LAYERING, TICK)
    assert found.hit.tolist() == [1]
    assert found.right.sum() == 1
    assert found.wrong_at == {"layering again": 1}
    assert score(alarms, concat(layers), AlarmKind.SPOOF, TICK).hit.tolist() == [1]


def test_wrong_alarms_are_told_by_what_was_there() -> None:
    labels = concat([label(10, 20), label(40, 41, kind=Plant.FLICKER, price=200.0)])
    alarms = concat([alarm(15), alarm(40.5, price=200.0), alarm(99)])
    assert score(alarms, labels, ICE, TICK).wrong_at == {"flicker": 1, "nothing": 1}


def test_interval_holds_the_share() -> None:
    found = interval(np.array([1] * 90 + [0] * 10, np.int8))
    assert found is not None
    assert found.value == 0.9
    # Of 100 draws the deviation of the mean is 0.03.
    assert found.low == pytest.approx(0.84, abs=0.01)
    assert found.high == pytest.approx(0.95, abs=0.01)
    assert interval(np.zeros(0, np.int8)) is None


def test_measure_repeats_itself_and_finds_what_was_planted() -> None:
    asked = Asked(seeds=(301,), minutes=20.0, strengths=(1.0,))
    found = measure(asked)
    assert measure(asked) == found
    kinds = found["thresholds"]["tuned"][0]["kinds"]
    assert kinds["iceberg"]["planted"] > 20
    assert kinds["iceberg"]["recall"]["value"] > 0.7
    assert kinds["layering"]["recall"]["value"] > 0.7


def test_tuning_writes_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Thresholds()
    few: dict[str, dict[str, tuple[Any, ...]]] = {
        "iceberg": {"refills_min": (3, 60)}, "spoof": {"layers_min": (3,)},
        "absorption": {"windows_min": (10**9, 60)},
    }  # fmt: skip
    monkeypatch.setattr(tuning, "GRIDS", few)
    best = tuning.tune((302,), 16.0)
    assert best == usual  # nothing has 60 refills or 10**9 windows before it
    text = tuning.written(Thresholds(iceberg=usual.iceberg._replace(refills_min=4)))
    made: dict[str, Any] = {}
    exec(text, made)  # the file is a module
    assert made["TUNED"].iceberg == usual.iceberg._replace(refills_min=4)


def test_what_is_used_is_what_tuning_wrote() -> None:
    assert tuning.FILE.read_text() == tuning.written(TUNED)


def test_surrogate_keeps_books_and_deals_trades_anew() -> None:
    rows = LobSimulator(seed=1, minutes=1.0).rows
    dealt = surrogate(rows, 1)
    trades = rows.kind == Kind.TRADE
    for name, column in rows._asdict().items():
        made = getattr(dealt, name)
        assert made[~trades].tobytes() == column[~trades].tobytes()
        assert np.array_equal(np.sort(made), np.sort(column), equal_nan=True)
    assert dealt.price[trades].tolist() != rows.price[trades].tolist()


def test_icebergs_by_order_are_scored_and_sizes_dealt_anew(data_path: Any) -> None:
    scores = scores_by_order((301,), 8.0, 1.0, [Thresholds()])[0]
    assert scores[0].hit.size > 5
    assert scores[0].hit.mean() > 0.8
    futures, shares = measure_orders(data_path("orders_l3").resolve().parent, Thresholds())
    assert futures["native"] > 10.0
    assert futures["refills"] >= futures["refills_surrogate"]
    assert shares["hidden"] == pytest.approx(61 / shares["hours"])


def test_without_recordings_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIFECTA_DATA", str(tmp_path))
    with pytest.raises(TapeError, match=r"not there\. Set TRIFECTA_DATA"):
        main(json_output=True)
    done = CliRunner().invoke(app, ["bench", "detection", "--json"])
    assert done.exit_code == 2
    assert "TRIFECTA_DATA" in done.stderr
