"""No row waits for a compiler: what a worker or a run warms is all that its rows need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# A process of its own: in this one, other tests have compiled what they needed.
_INGEST = """
import gc
from numba.core.dispatcher import Dispatcher
from flows.books import book_feeds
from operators.market.intake import Intake
from venues.simulator import Simulator

def compiled():
    found = [each for each in gc.get_objects() if isinstance(each, Dispatcher)]
    return {id(each): (each.py_func.__qualname__, len(each.overloads)) for each in found}

feed = Simulator(seed=1, n_rows=3_000, rate_hz=200.0)
intake = Intake(feed.table.arrays(), len(feed.names), book_feeds(feed))
intake.compile()
before, state = compiled(), intake.initial()
assert before
for rows in feed.read(0, 1_000):
    state, out = intake.step(state, rows)
print(sorted(new[0] for k, new in compiled().items() if new[1] > before.get(k, new)[1]))
"""
_SIGNALS = """
import gc
from numba.core.dispatcher import Dispatcher
from operators.features.feature import Terms
from operators.features.signal_log import SignalLog
from operators.features.signals import Signals
from operators.market.books.words import BookState, OrderAction
from schemas.kinds import Kind
from tests.test_signals import mixed

def compiled():
    found = [each for each in gc.get_objects() if isinstance(each, Dispatcher)]
    return {id(each): (each.py_func.__qualname__, len(each.overloads)) for each in found}

table, rows = mixed(600, seed=4)
signals = SignalLog(table.arrays(), Signals(Terms.of(table), ["orders", "depth", "cvd"]))
signals.compile()
before = compiled()
assert before
rows.code[rows.kind == Kind.BOOK] = OrderAction.ADD
rows.kind[::50], rows.code[::50] = Kind.BOOK_STATUS, BookState.GAP
signals.step(signals.initial(), rows)
print(sorted(new[0] for k, new in compiled().items() if new[1] > before.get(k, new)[1]))
"""
_NUMBERS = """
import numpy as np
from operators.market import sequencer

numbers = sequencer.Sequencer(2)
few = np.zeros(1, np.int16)
state, _ = numbers.number(numbers.initial(), few)
numbers.number(state, np.zeros((5, 3), np.int64)[:, 1])  # a field of records
print(len(sequencer._number.overloads))
"""


@pytest.mark.skipif(os.environ.get("TRIFECTA_NO_NUMBA") == "1", reason="nothing is compiled")
@pytest.mark.parametrize(("program", "said"), [(_INGEST, "[]"), (_SIGNALS, "[]"), (_NUMBERS, "1")])
def test_rows_compile_nothing_behind_the_warm_up(program: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.stdout.strip(), done.returncode) == (said, 0), done.stderr
