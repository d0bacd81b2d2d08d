"""Training material: recordings that went through the desk's own operators, cut by time."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.card import TrainingFile
from models.labels import HORIZON_TICKS, Labels, label
from models.recordings import load_quotes, sha256_of
from operators.features.tier import Features
from operators.sequence.inputs import F4
from operators.sequence.tier import N_OUTPUTS, Sequence
from schemas.rows import F8, I8, take

CHUNK_ROWS = 100_000  # rows on their way through the operators at a time; bounds the memory
TRAIN_SHARE, CALIBRATION_SHARE = 0.70, 0.15  # of a group's ticks, in order of time; the rest tests


@dataclass(frozen=True)
class Series:
    """The ticks of one file. All arrays have one row per tick."""

    file: TrainingFile
    group: str
    ts_ns: I8  # log time
    x: F4  # model inputs, (n, F)
    labels: Labels
    p_up_momentum: F8  # what the fallback says


class Parts(NamedTuple):
    """Which ticks of a series serve what; a tick whose horizon crosses a cut serves nothing."""

    train: NDArray[np.bool_]
    calibration: NDArray[np.bool_]
    test: NDArray[np.bool_]


class _Recorder:
    """A predictor that predicts nothing and keeps what the sequence tier would show a model."""

    digest = 1

    def __init__(self) -> None:
        self.seen: list[F4] = []

    def initial(self, n: int) -> F4:
        return np.zeros((n, 0), np.float32)

    def run(self, x: F4, h: F4) -> tuple[F4, F4]:
        self.seen.append(x[:, 0].copy())
        return np.zeros((x.shape[0], 1, N_OUTPUTS), np.float32), h


def prepare(folder: Path, name: str, group: str) -> Series:
    """Run one file of quotes through features and sequence inputs, and label its ticks."""
    instruments, rows = load_quotes(folder / name)
    features, recorder = Features(instruments), _Recorder()
    inputs, momentum = Sequence(instruments, recorder), Sequence(instruments)
    states = (features.initial(), inputs.initial(), momentum.initial())
    mids, sigmas, p_ups = [], [], []
    for start in range(0, rows.seq.size, CHUNK_ROWS):
        _, made = features.step(states[0], take(rows, slice(start, start + CHUNK_ROWS)))
        inputs.step(states[1], made)
        _, predicted = momentum.step(states[2], made)
        mids.append(made.mid)
        sigmas.append(made.sigma)
        p_ups.append(predicted.p_up)
    ts_ns = rows.ts_recv_ns
    return Series(
        file=TrainingFile(
            path=name,
            sha256=sha256_of(folder / name),
            rows=ts_ns.size,
            first_ns=int(ts_ns[0]),
            last_ns=int(ts_ns[-1]),
        ),
        group=group,
        ts_ns=ts_ns,
        x=np.concatenate(recorder.seen),
        labels=label(np.concatenate(mids), np.concatenate(sigmas)),
        p_up_momentum=np.concatenate(p_ups),
    )


def cuts(series: list[Series]) -> tuple[int, int]:
    """The two times, log time, that part training, calibration and test of a group of series."""
    ts_ns = np.sort(np.concatenate([one.ts_ns for one in series]))
    first, second = TRAIN_SHARE, TRAIN_SHARE + CALIBRATION_SHARE
    return int(ts_ns[int(first * ts_ns.size)]), int(ts_ns[int(second * ts_ns.size)])


def parts(one: Series, first_cut_ns: int, second_cut_ns: int) -> Parts:
    known, ts_ns = one.labels.known, one.ts_ns
    end_ns = np.full(ts_ns.size, np.iinfo(np.int64).max)
    end_ns[:-HORIZON_TICKS] = ts_ns[HORIZON_TICKS:]
    return Parts(
        train=known & (end_ns < first_cut_ns),
        calibration=known & (ts_ns >= first_cut_ns) & (end_ns < second_cut_ns),
        test=known & (ts_ns >= second_cut_ns),
    )
