"""Promise: a clone installs on Python 3.11 and 3.12 from its locks, and every room is in it."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
CORE = PROJECT["project"]["dependencies"]
LOCKS = {  # lock: what was asked for
    "requirements.lock": CORE,
    "requirements-dev.lock": CORE + EXTRAS["dev"],
    "requirements-train.lock": CORE + EXTRAS["train"],
}


def pins(lock: str) -> dict[str, str]:
    text = (HOUSE / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, flags=re.MULTILINE))


def name_of(requirement: str) -> str:
    return re.split(r"[<>=\[]", requirement, maxsplit=1)[0]


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_pins_and_hashes_everything_without_an_address(lock: str) -> None:
    text = (HOUSE / lock).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", text.split("\n", 1)[1])
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+ \\\n", entry), entry.splitlines()[0]
        assert "--hash=sha256:" in entry, entry.splitlines()[0]
    assert "://" not in text
    assert not re.search(r"\.(org|com|io|net)\b", text)
    assert not re.search(r"^-", text, flags=re.MULTILINE), "an option of pip in a lock"


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_holds_what_pyproject_asks_for(lock: str) -> None:
    missing = {name_of(wanted) for wanted in LOCKS[lock]} - set(pins(lock))
    assert missing == set(), "run `make lock`"
    for wanted in LOCKS[lock]:
        if "==" in wanted:
            assert pins(lock)[name_of(wanted)] == wanted.split("==")[1]


@pytest.mark.parametrize("lock", ["requirements-dev.lock", "requirements-train.lock"])
def test_other_locks_keep_the_pins_of_the_core(lock: str) -> None:
    core = pins("requirements.lock")
    assert {name: version for name, version in pins(lock).items() if name in core} == core


def test_core_lock_can_build_the_project_and_brings_no_torch() -> None:
    assert "setuptools" in pins("requirements.lock")  # make installs without build isolation
    assert not {"torch", "pytest"} & set(pins("requirements.lock"))


def test_every_dependency_says_why() -> None:
    lines = (HOUSE / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    for wanted in [*CORE, *EXTRAS["dev"], *EXTRAS["train"]]:
        line = next(line for line in lines if line.startswith(f'  "{wanted}"'))
        assert "# " in line, f"{wanted}: no reason beside it"


def test_every_folder_with_code_is_a_package() -> None:
    patterns = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    rooms = [pattern.rstrip("*") for pattern in patterns]
    folders = {file.parent for room in rooms for file in (HOUSE / room).rglob("*.py")}
    bare = [str(f.relative_to(HOUSE)) for f in folders if not (f / "__init__.py").is_file()]
    assert bare == [], "an install would miss them: each needs an __init__.py"


# fmt: off
PYTHONS = [  # which commands answer with which version ("": does not start), and what is said
    ("none at all",  {},                                     "no python3.12, python3.11 or"),
    ("only an old",  {"python3": "3.9.2"},                   "found: python3 is 3.9.2"),
    ("only a newer", {"python3": "3.13.0"},                  "found: python3 is 3.13.0"),
    ("shim and old", {"python3.12": "", "python3": "3.8.1"}, "start), python3 is 3.8.1"),
    ("without venv", {"python3.11": "3.11.2"},               "python3.11 is 3.11.2 but has no"),
]
# fmt: on


@pytest.mark.parametrize(("what", "commands", "said"), PYTHONS, ids=[p[0] for p in PYTHONS])
def test_setup_says_which_python_is_missing(
    tmp_path: Path, what: str, commands: dict[str, str], said: str
) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "bin").mkdir()
    for name in ("tools/setup", "pyproject.toml", "requirements.lock"):
        shutil.copy(HOUSE / name, tmp_path / name)
    for tool in ("sh", "dirname", "cat", "cksum", "sed"):
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    for command, version in commands.items():  # answers the version, cannot do anything else
        script = tmp_path / "bin" / command
        script.write_text(
            f'#!/bin/sh\ncase "$2" in *version_info*) [ -n "{version}" ] && echo "{version}" ;; '
            "*) exit 1 ;; esac\n"
        )
        script.chmod(0o755)
    done = subprocess.run(
        ["tools/setup", "core"],
        cwd=tmp_path,
        env={"PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert said in done.stderr
    assert "needs Python 3.11 or 3.12" in done.stderr
    assert "pyenv install 3.12" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_wheel_holds_rooms_models_and_command(tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__", ".*", "runs", "build", "*.egg-info", "tests")
    shutil.copytree(HOUSE, source, ignore=ignored)
    card = source / "models" / "registry" / "planted" / "card.json"
    card.parent.mkdir(parents=True)
    card.write_text("{}")
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    command = [sys.executable, "-c", build, str(tmp_path)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shutil.unpack_archive(next(tmp_path.glob("*.whl")), tmp_path / "wheel", format="zip")
    installed = tmp_path / "wheel"
    for file in ("schemas/rows.py", "models/registry/planted/card.json"):
        assert (installed / file).is_file(), file
    assert not (installed / "tools").exists()
    entry_points = next(installed.glob("*.dist-info/entry_points.txt")).read_text()
    assert "trifecta = cli.main:app" in entry_points
