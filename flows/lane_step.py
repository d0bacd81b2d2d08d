"""Runs any operator as a step of a Bytewax flow."""

import logging
from typing import Any

from bytewax.operators import StatefulBatchLogic

from flows.log.stop import hushed
from operators.arrays import Operator

STATE_WARN_BYTES = 1 << 20  # a snapshot of 1 MB stalls an epoch by a few milliseconds
STATE_MAX_BYTES = 64 << 20

_log = logging.getLogger(__name__)


class StateSizeError(ValueError):
    """The state of an operator is larger than can be saved once a second."""


class LaneStep(StatefulBatchLogic[Any, Any, bytes]):
    """Hosts one operator under one key. Its state is saved, and comes back, as bytes.

    StateSizeError at a snapshot whose state is larger than STATE_MAX_BYTES; a warning, once, from
    STATE_WARN_BYTES on.
    """

    def __init__(self, operator: Operator[Any, Any, Any], saved: bytes | None) -> None:
        self._operator = operator
        self._state = operator.initial() if saved is None else operator.load(saved)
        self._warned = False

    @hushed
    def on_batch(self, values: list[Any]) -> tuple[list[Any], bool]:
        made = []
        for rows in values:
            self._state, out = self._operator.step(self._state, rows)
            made.append(out)
        return made, StatefulBatchLogic.RETAIN

    @hushed
    def snapshot(self) -> bytes:
        saved = self._operator.dump(self._state)
        name = type(self._operator).__name__
        if len(saved) > STATE_MAX_BYTES:
            raise StateSizeError(
                f"{name}: the state has {len(saved):,} bytes, at most {STATE_MAX_BYTES:,} are "
                "saved each second; choose fewer features, or fewer instruments, or spread the "
                "instruments over more lanes"
            )
        if len(saved) > STATE_WARN_BYTES and not self._warned:
            _log.warning("large_state operator=%s bytes=%d", name, len(saved))
            self._warned = True
        return saved
