"""Promise: a room sees only the floors below it, and operators see no clock, I/O or chance.

Every Python file of the house is read with `ast`; nothing is imported. What is looked for is then
planted, line by line, to see that it is found.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[1]

BELOW = {  # room: the rooms that it may import, besides itself
    "schemas": set(),
    "operators": {"schemas"},
    "models": {"schemas", "operators"},  # training runs the feature operators themselves
    "venues": {"schemas", "operators", "models"},
    "flows": {"schemas", "operators", "models", "venues"},
    "console": {"schemas", "operators", "models", "venues", "flows"},
    "cli": {"schemas", "operators", "models", "venues", "flows", "console", "bench"},  # the roof
}
ROOMS = frozenset(BELOW)
BESIDE = frozenset({"bench", "tests", "tools"})  # they look at the rooms, no room looks at them

TOOLS = frozenset({"kernel_cache.py"})  # no operator: it says where numba keeps what it compiled

# fmt: off
OUTSIDE_WORLD = frozenset({  # modules that no operator imports
    # the flows' business
    "bytewax", "confluent_kafka",
    # files
    "sqlite3", "duckdb", "shutil", "tempfile", "pathlib", "glob", "fileinput",
    # the network
    "socket", "ssl", "http", "urllib", "requests", "httpx", "aiohttp", "websockets",
    # an order of arrival
    "asyncio", "threading", "multiprocessing", "concurrent", "subprocess", "signal",
    # the clock and chance
    "time", "sched", "random", "secrets", "uuid",
    # talk
    "logging", "structlog", "prometheus_client",
})
IMPORTERS = frozenset({"import_module", "__import__"})
OUTSIDE_CALLS = frozenset({"open", "print", "input", "breakpoint"})
CLOCK_CALLS = frozenset({"now", "utcnow", "today"})  # of datetime and date
CHANCE_ATTRIBUTES = frozenset({"np.random", "numpy.random", "os.urandom", "os.getrandom"})
LOSES_DATA = frozenset({"DynamicSink"})  # its offsets are not part of a snapshot
LOSES_DATA_MODULE = "bytewax.connectors.kafka"
# fmt: on


def files(room: str, house: Path = HOUSE) -> list[Path]:
    return sorted((house / room).rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything that a file imports from other packages."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _dotted(node.func).split(".")[-1] in IMPORTERS:
            yield from (
                (node.lineno, str(a.value)) for a in node.args if isinstance(a, ast.Constant)
            )


def looks_upstairs(room: str, tree: ast.AST) -> Iterator[str]:
    forbidden = (ROOMS | BESIDE) - BELOW[room] - {room}
    for line, name in imported(tree):
        if name.split(".")[0] in forbidden:
            yield f"{line}: {room} imports {name}; it may import {sorted(BELOW[room])}"


def reaches_outside(tree: ast.AST) -> Iterator[str]:
    """What an operator must not do: its `step` would no longer be a function of its input."""
    for line, name in imported(tree):
        if name.split(".")[0] in OUTSIDE_WORLD or name.startswith("numpy.random"):
            yield f"{line}: an operator imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = _dotted(node.func)
            owner, _, method = called.rpartition(".")
            if called in OUTSIDE_CALLS:
                yield f"{node.lineno}: an operator calls {called}()"
            if method in CLOCK_CALLS and owner.split(".")[-1] in {"datetime", "date"}:
                yield f"{node.lineno}: an operator asks the clock, {called}()"
        elif isinstance(node, ast.Attribute) and _dotted(node) in CHANCE_ATTRIBUTES:
            yield f"{node.lineno}: an operator uses chance, {_dotted(node)}"


def loses_data(tree: ast.AST) -> Iterator[str]:
    """Sources and sinks of Bytewax that lose rows when a worker is killed."""
    for line, name in imported(tree):
        if f"{name}.".startswith(f"{LOSES_DATA_MODULE}.") or name.split(".")[-1] in LOSES_DATA:
            yield f"{line}: a flow imports {name}; use the lane source and sink"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            dotted = _dotted(node)
            if node.attr in LOSES_DATA or dotted == LOSES_DATA_MODULE:
                yield f"{node.lineno}: a flow uses {dotted}; use the lane source and sink"


def complaints(room: str, house: Path = HOUSE) -> list[str]:
    found = []
    for path in files(room, house):
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        rules = [looks_upstairs(room, tree)]
        rules += [reaches_outside(tree)] if room == "operators" and path.name not in TOOLS else []
        rules += [loses_data(tree)] if room == "flows" else []
        found += [f"{path.relative_to(house)}:{text}" for rule in rules for text in rule]
    return found


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_room_keeps_to_its_floor(room: str) -> None:
    assert files(room), f"{room}/ holds no Python file, so nothing was checked"
    assert complaints(room) == []


# fmt: off
PLANTED = [  # what is planted, where, and what is said about it; "" where it is allowed
    ("the floor below",   "flows",     "from operators.risk.gate import Gate",    ""),
    ("the room itself",   "operators", "from operators.arrays import kernel",     ""),
    ("relative",          "operators", "from .arrays import kernel",              ""),
    ("begins so only",    "schemas",   "import flowstate",                        ""),
    ("training",          "models",    "from operators.features import tier",     ""),
    ("the floor above",   "operators", "import flows.lanes",                      "flows.lanes"),
    ("a model",           "operators", "from models import registry",             "models.regis"),
    ("anything of ours",  "schemas",   "from operators import arrays",            "operators.arr"),
    ("a venue",           "models",    "import venues.tape",                      "venues.tape"),
    ("the roof",          "flows",     "from console.report import page",         "console.report"),
    ("a command",         "console",   "import cli.main",                         "cli.main"),
    ("a test helper",     "venues",    "from tests.helpers import rows",          "tests.helpers"),
    ("in a function",     "operators", "def f():\n    import flows",              "2: operators"),
    ("by name",           "operators", "importlib.import_module('flows')",        "imports flows"),
    ("for types only",    "schemas",   "if TYPE_CHECKING:\n    import flows",     "imports flows"),
    ("Bytewax",           "operators", "from bytewax.dataflow import Dataflow",   "bytewax"),
    ("in a flow",         "flows",     "from bytewax.dataflow import Dataflow",   ""),
    ("Kafka",             "operators", "import confluent_kafka",                  "confluent"),
    ("a file",            "operators", "open('x')",                               "calls open()"),
    ("SQLite",            "operators", "import sqlite3",                          "sqlite3"),
    ("DuckDB",            "operators", "import duckdb as d",                      "duckdb"),
    ("the network",       "operators", "import urllib.request",                   "urllib"),
    ("a socket",          "operators", "from socket import create_connection",    "socket"),
    ("chance",            "operators", "from random import random",               "random.random"),
    ("NumPy's chance",    "operators", "x = np.random.default_rng()",             "chance"),
    ("chance, imported",  "operators", "from numpy.random import default_rng",    "numpy.random"),
    ("the clock",         "operators", "import time",                             "imports time"),
    ("the calendar",      "operators", "x = datetime.datetime.now(UTC)",          "asks the clock"),
    ("today",             "operators", "x = date.today()",                        "asks the clock"),
    ("a date of the log", "operators", "x = datetime.fromtimestamp(s, UTC)",      ""),
    ("a venue's clock",   "venues",    "import time",                             ""),
    ("stateless sink",    "flows",     "from bytewax.outputs import DynamicSink", "DynamicSink"),
    ("by attribute",      "flows",     "x = bytewax.outputs.DynamicSink()",       "DynamicSink"),
    ("connectors",        "flows",     "from bytewax.connectors import kafka",    ".kafka"),
    ("a part of them",    "flows",     "import bytewax.connectors.kafka.serde",   ".kafka"),
    ("one in use",        "flows",     "x = bytewax.connectors.kafka.Source()",   ".kafka"),
]
# fmt: on


@pytest.mark.parametrize(("what", "room", "source", "said"), PLANTED, ids=[p[0] for p in PLANTED])
def test_planted_line_is_judged(
    tmp_path: Path, what: str, room: str, source: str, said: str
) -> None:
    planted = tmp_path / room / "deep" / "file.py"
    planted.parent.mkdir(parents=True)
    planted.write_text(source + "\n", encoding="utf-8")
    found = complaints(room, tmp_path)
    if said:
        assert len(found) >= 1
        assert said in found[0]
        assert found[0].startswith(f"{room}/deep/file.py:")
    else:
        assert found == []
