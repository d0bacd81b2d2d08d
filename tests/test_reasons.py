"""Promise: every reason that the log can give is provoked by a test that names it."""

import ast
from pathlib import Path

from schemas.reasons import Reason

HERE = Path(__file__).resolve()
NAMES = {reason.name for reason in Reason}


def named(source: str) -> set[str]:
    """Members of Reason that the code names; comments and texts do not count."""
    return {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Reason"
    }


def test_every_reason_is_provoked_by_a_test() -> None:
    found: set[str] = set()
    for file in HERE.parent.glob("test_*.py"):
        if file != HERE:
            found |= named(file.read_text())
    missing = [reason.name for reason in Reason if reason.name not in found]
    assert not missing, f"no test in tests/test_*.py provokes {', '.join(missing)}"


def test_only_code_counts_as_a_provocation() -> None:
    source = """
from schemas.reasons import Reason
x = [Reason.HALTED, Reason.OK.value]  # Reason.NO_RATE
"Reason.LOSS_STREAK"
Other.DAILY_LOSS
"""
    assert named(source) == {"HALTED", "OK"}
    assert named(source) < NAMES
