"""Replay: decides a recorded log again and compares every row with what was recorded."""

from flows.replay.found import Span, Verification
from flows.replay.one_process import verify
from flows.replay.processes import verify_in_processes

__all__ = ["Span", "Verification", "verify", "verify_in_processes"]
