"""Promise: what trains, measures and exports the model does what the card says it does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from models.card import Card, TrainingFile
from models.export import IR_VERSION, OPSET, Weights, stream_graph
from models.labels import HORIZON_TICKS, RANGE, TREND_DOWN, TREND_UP, VOLATILE, label
from models.material import Series, cuts, parts, prepare
from models.metrics import brier, calibration_error, log_losses, mean_and_error
from models.network import PIECE_TICKS, cut_pieces
from models.onnx_header import versions
from models.recordings import incomplete, load_quotes
from models.registry import SHIPPED
from models.session import StreamModel, open_session
from models.train import main
from operators.sequence.inputs import N_INPUTS
from schemas.kinds import Kind

IBM = "quotes/us_nbbo_IBM_20131007_20131009.parquet"
CARD = Card.read(SHIPPED / "card.json")

# Labels. A horizon is 64 ticks long; sigma is 1e-3 in all of these.
STEPS = np.arange(HORIZON_TICKS + 1)
ZIGZAG = (STEPS % 2) * 1e-4
# fmt: off
PATHS = [  # what the log price does,      ln(mid),                          up,   regime
    ("a straight climb",                   STEPS * 1e-4,                     1.0,  TREND_UP),
    ("a straight fall",                    STEPS * -1e-4,                    0.0,  TREND_DOWN),
    ("a zigzag that ends a little higher", ZIGZAG + (STEPS == 64) * 1e-5,    1.0,  RANGE),
    ("a zigzag back to the start",         ZIGZAG,                           0.5,  RANGE),
    ("nothing moves",                      STEPS * 0.0,                      0.5,  RANGE),
    ("a stormy climb",                     STEPS * 2e-3,                     1.0,  VOLATILE),
]
# fmt: on


@pytest.mark.parametrize(("what", "path", "up", "regime"), PATHS, ids=[p[0] for p in PATHS])
def test_label_of_a_path(what: str, path: Any, up: float, regime: int) -> None:
    found = label(100.0 * np.exp(path), np.full(path.size, 1e-3))
    assert found.known.tolist() == [True] + [False] * HORIZON_TICKS
    assert (found.up[0], found.moved[0], found.regime[0]) == (up, up != 0.5, regime)


def test_labels_equal_their_definition_on_a_walk() -> None:
    random = np.random.default_rng(11)
    x = np.cumsum(random.normal(0, 1e-4, 900) * (random.random(900) < 0.5))
    sigma = random.uniform(2e-5, 2e-4, 900) * (random.random(900) < 0.9)
    found = label(np.exp(x), sigma)
    assert set(found.regime[found.known]) == {TREND_UP, TREND_DOWN, RANGE, VOLATILE}
    np.testing.assert_array_equal(found.known, (sigma > 0) & (np.arange(900) < 900 - 64))
    for i in np.flatnonzero(found.known):
        ahead = x[i : i + HORIZON_TICKS + 1]
        ratio = np.sqrt(np.mean(np.diff(ahead) ** 2)) / sigma[i]
        strength = (ahead[-1] - ahead[0]) / ahead.std()
        trend = RANGE if abs(strength) < 2.5 else TREND_UP if strength > 0 else TREND_DOWN
        assert found.ln_ratio[i] == pytest.approx(np.log(np.clip(ratio, 0.05, 20.0)))
        assert found.regime[i] == (VOLATILE if ratio >= 1.5 else trend)
        assert found.up[i] == (ahead[-1] > ahead[0])


def test_scores_are_those_of_the_textbook_library() -> None:
    random = np.random.default_rng(2)
    p, up = random.random(500), (random.random(500) < 0.4).astype(float)
    assert np.mean(log_losses(p, up)) == pytest.approx(log_loss(up, p))
    assert brier(p, up) == pytest.approx(brier_score_loss(up, p))
    assert np.mean(log_losses(np.full(4, 0.5), up[:4])) == pytest.approx(np.log(2.0))


def test_calibration_error() -> None:
    """Honest forecasts score near 0, shifted ones their shift, constant ones share one bin."""
    random = np.random.default_rng(3)
    p = random.uniform(0.2, 0.8, 200_000)
    up = (random.random(p.size) < p).astype(float)
    assert calibration_error(p, up) < 0.005
    assert calibration_error(p + 0.1, up) == pytest.approx(0.1, abs=0.005)
    in_turn = (np.arange(p.size) >= p.size // 2).astype(float)
    assert calibration_error(np.full(p.size, 0.5), in_turn) == 0.0


def test_the_standard_error_counts_blocks_not_rows() -> None:
    """100 rows of each of 400 blocks are equal: there are 400 observations, not 40,000."""
    blocks = np.random.default_rng(4).normal(0.3, 1.0, 400)
    mean, error = mean_and_error(np.repeat(blocks, 100), np.repeat(np.arange(400), 100))
    assert mean == pytest.approx(blocks.mean())
    assert error == pytest.approx(blocks.std(ddof=1) / np.sqrt(400))
    assert np.isnan(mean_and_error(np.ones(5), np.zeros(5, np.int64))[1])


def sigmoid(z: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-z))


def test_the_graph_computes_the_equations_of_the_unit() -> None:
    """Cho et al. (2014), reset after the recurrence, written out in double precision."""
    random = np.random.default_rng(6)
    size = 5

    def draw(*shape: int) -> Any:
        return random.normal(0.0, 0.7, shape).astype(np.float32)

    weights = Weights(
        draw(15, N_INPUTS), draw(15, size), draw(15), draw(15), draw(size, 6) * 6, draw(6)
    )
    graph = stream_graph(weights)
    assert versions(graph) == (IR_VERSION, {"": OPSET})
    model = StreamModel(CARD, open_session(graph))
    x, h = draw(40, 1, N_INPUTS), draw(1, 1, size)
    y, h1 = model.run(x, h)
    state, expected = h[0, 0].astype(float), []
    for step in x[:, 0].astype(float):
        of_input = np.split(weights.w @ step + weights.b_w, 3)
        of_state = np.split(weights.r @ state + weights.b_r, 3)
        update, reset = (sigmoid(of_input[k] + of_state[k]) for k in (0, 1))
        candidate = np.tanh(of_input[2] + reset * of_state[2])
        state = (1.0 - update) * candidate + update * state
        z = state @ weights.head + weights.head_bias
        powers = np.exp(z[2:])
        expected.append([sigmoid(z[0]), np.clip(np.exp(z[1]), 0.05, 20.0), *powers / powers.sum()])
    ratios = np.array(expected)[:, 1]
    assert ratios.min() == 0.05
    assert ratios.max() == 20.0  # both ends of the clip are met
    np.testing.assert_allclose(y[:, 0], expected, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(h1[0, 0], state, atol=1e-6)


def series(ts_ns: Any, known: Any = None) -> Series:
    n = len(ts_ns)
    labels = label(np.full(n, 1.0), np.full(n, 1e-3))
    if known is not None:
        labels = labels._replace(known=known)
    file = TrainingFile(path="a", sha256="", rows=n, first_ns=0, last_ns=0)
    x = np.tile(np.arange(n, dtype=np.float32)[:, None], N_INPUTS)
    return Series(file, "group", np.asarray(ts_ns, np.int64), x, labels, np.full(n, 0.5))


def test_no_horizon_looks_across_a_cut() -> None:
    one = series(np.arange(1000) * 10)
    first, second = cuts([one])
    assert (first, second) == (7000, 8500)
    found = parts(one, first, second)
    # tick i ends at tick i + 64, which must lie before the cut
    assert np.flatnonzero(found.train).tolist() == list(range(700 - 64))
    assert np.flatnonzero(found.calibration).tolist() == list(range(700, 850 - 64))
    assert np.flatnonzero(found.test).tolist() == list(range(850, 1000 - 64))


def test_pieces_are_scaled_padded_and_say_what_counts() -> None:
    one = series(np.arange(PIECE_TICKS + 100))
    used = one.labels.known & (np.arange(PIECE_TICKS + 100) >= PIECE_TICKS - 5)
    pieces = cut_pieces([one], [used], np.full(N_INPUTS, 1.0), np.full(N_INPUTS, 2.0))
    assert pieces.x.shape == (2, PIECE_TICKS, N_INPUTS)
    assert pieces.x[1, :3, 0].tolist() == [(PIECE_TICKS + k - 1) / 2 for k in range(3)]
    assert pieces.use.sum(axis=1).tolist() == [5.0, 100.0 - HORIZON_TICKS]
    assert (pieces.x[1, 100:] == 0).all()
    assert pieces.moved.sum() == 0.0


def test_mirrored_prices_are_exchanged_directions() -> None:
    from models.network import _mirror

    one = series(np.arange(PIECE_TICKS))
    one.labels.up[:3], one.labels.regime[:4] = [1.0, 0.0, 0.5], [0, 1, 2, 3]
    used = np.ones(PIECE_TICKS, np.bool_)
    pieces = cut_pieces([one, one], [used, used], np.zeros(N_INPUTS), np.ones(N_INPUTS))
    _mirror(pieces, np.array([True, False]))
    assert pieces.x[0, 2].tolist() == [-2, -2, -2, 2, 2, 2]
    assert pieces.up[0, :3].tolist() == [0.0, 1.0, 0.5]
    assert pieces.regime[0, :4].tolist() == [1, 0, 2, 3]
    np.testing.assert_array_equal(pieces.x[1], one.x)
    assert pieces.regime[1, :4].tolist() == [0, 1, 2, 3]


def quotes(path: Path, **columns: Any) -> Path:
    n = len(columns.get("bid_px", [0] * 4))
    usual = {
        "ts_ns": list(range(10, 10 + n)), "venue": ["V"] * n, "symbol": ["S"] * n,
        "bid_px": [1.0] * n, "bid_sz": [1.0] * n, "ask_px": [2.0] * n, "ask_sz": [None] * n,
        "recv_ns": [None] * n,
    }  # fmt: skip
    types = {"recv_ns": pa.int64(), "ask_sz": pa.float64(), "bid_px": pa.float64()}
    content = {
        name: pa.array(values, types.get(name))
        for name, values in {**usual, **columns}.items()
        if values != "absent"
    }
    pq.write_table(pa.table(content), path)
    return path


def test_recorded_quotes_come_in_as_the_desk_would_let_them(tmp_path: Path) -> None:
    bid = [1.0, None, np.nan, np.inf, 0.0, -1.0, 2.0, 3.0, 1.5]
    ask = [2.0, 2.0, 2.0, np.inf, 2.0, 2.0, 2.0, 2.0, 2.0]
    path = quotes(tmp_path / "q.parquet", bid_px=bid, ask_px=ask)
    _, rows = load_quotes(path)
    assert rows.source_row.tolist() == [0, 6, 8]  # a locked quote may pass, a crossed one not
    assert rows.seq.tolist() == [0, 1, 2]
    assert set(rows.kind) == {Kind.QUOTE}
    assert rows.ts_recv_ns.tolist() == rows.ts_event_ns.tolist() == [10, 16, 18]


# fmt: off
CLOCKS = [
    ("every row has a receive time",   [5, 6, 9, 9],     [5, 6, 9, 9]),
    ("one row has none: venue time",   [5, None, 9, 9],  [10, 11, 12, 13]),
    ("receive time goes backwards",    [5, 9, 6, 9],     [5, 9, 9]),
]
# fmt: on


@pytest.mark.parametrize(("what", "recv_ns", "log_ns"), CLOCKS, ids=[c[0] for c in CLOCKS])
def test_log_time(tmp_path: Path, what: str, recv_ns: Any, log_ns: Any) -> None:
    _, rows = load_quotes(quotes(tmp_path / "q.parquet", recv_ns=recv_ns))
    assert rows.ts_recv_ns.tolist() == log_ns


def test_files_that_cannot_train(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs the columns \['ask_px', 'bid_px'\]"):
        load_quotes(quotes(tmp_path / "a.parquet", bid_px="absent", ask_px="absent"))
    with pytest.raises(ValueError, match=r"one symbol per file, found \['V'\], \['S', 'T'\]"):
        load_quotes(quotes(tmp_path / "b.parquet", symbol=["S", "S", "T", "S"]))


def test_a_recording_becomes_material(data_path: Callable[[str], Path]) -> None:
    path = data_path(IBM)
    one = prepare(path.parents[1], IBM, "us_equities")
    assert one.file in CARD.training  # rows, times and digest are those of the shipped card
    assert one.x.shape == (one.file.rows, N_INPUTS)
    assert np.isfinite(one.x).all()
    assert 0.3 < one.labels.up[one.labels.moved].mean() < 0.7
    assert one.labels.known[:-HORIZON_TICKS].mean() > 0.9
    assert np.isfinite(one.p_up_momentum).all()


def test_training_says_what_it_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path), "--out", str(tmp_path / "m")]) == 1
    said = capsys.readouterr().err
    assert "these recordings are missing" in said or "training needs torch" in said
    assert not (tmp_path / "m").exists()


MINUTES = [k * 60_000_000_000 for k in range(101)]
GAPPED = [*MINUTES[:40], *MINUTES[49:]]  # no row covers nine of the hundred minutes
BACK = [*MINUTES[:50], 0, *MINUTES[51:]]  # a row that is left out stands where time had come to
SWAPPED = {"bid_px": [3.0 if 40 <= k < 44 else 1.0 for k in range(101)], "ask_px": [2.0] * 101}
FX = {"venue": ["fxcm"] * 101}
# fmt: off
COMPLETE = [  # columns, at least, what is said
    ("a row each minute",           {"ts_ns": MINUTES},                   1.0,  ""),
    ("nine minutes are missing",    {"ts_ns": GAPPED},                    0.9,  ""),
    ("and more are asked for",      {"ts_ns": GAPPED},                    0.99, "91.0 % complete"),
    ("crossed rows cover nothing",  {"ts_ns": MINUTES, **SWAPPED},        0.99, "96.0 % complete"),
    ("but where quotes may cross",  {"ts_ns": MINUTES, **FX, **SWAPPED},  0.99, ""),
    ("time that goes back",         {"ts_ns": BACK},                      0.99, "98.0 % complete"),
]
# fmt: on


@pytest.mark.parametrize(
    ("what", "columns", "least", "said"), COMPLETE, ids=[c[0] for c in COMPLETE]
)
def test_what_a_recording_lacks(
    what: str, columns: dict[str, Any], least: float, said: str, tmp_path: Path
) -> None:
    n = len(columns["ts_ns"])
    prices = {"bid_px": [1.0] * n, "ask_px": [2.0] * n}
    path = quotes(tmp_path / "q.parquet", **prices | columns)
    found = incomplete(path, least)
    assert bool(found) == bool(said)
    assert said in found


def test_an_incomplete_recording_is_not_trained_on_unless_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []
    monkeypatch.setattr("models.train.find_spec", lambda name: name)
    monkeypatch.setattr("models.train.GROUPS", {"all": ("q.parquet",)})
    monkeypatch.setattr("models.train.train", lambda *args, **kwargs: trained.append(1))
    n = len(GAPPED)
    quotes(tmp_path / "q.parquet", ts_ns=GAPPED, bid_px=[1.0] * n, ask_px=[2.0] * n)
    command = ["--data", str(tmp_path), "--out", str(tmp_path / "m")]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "V:S quote is 91.0 % complete, at least 99 % are needed" in said
    assert "--allow-incomplete" in said
    assert not trained
    assert main([*command, "--completeness", "0.9"]) == 0
    assert main([*command, "--allow-incomplete"]) == 0
    assert len(trained) == 2
