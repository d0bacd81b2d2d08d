"""Apache Kafka's jars and the Java that runs them; nothing is installed on the machine."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from flows.log.errors import LogError

JAVA_MIN = 17  # what Kafka 4 brokers are compiled for
MAVEN_TIMEOUT_S = 600  # 45 MB over a slow line


class BrokerError(LogError):
    """A local broker cannot be started or stopped as asked; the text says what to do."""


class MissingToolError(BrokerError):
    """Java or Maven is not there; the text says what to install."""


def infra_file(name: str) -> Path:
    """A file of infra/kafka. BrokerError where the program was installed without it."""
    path = Path(__file__).resolve().parents[1] / "infra" / "kafka" / name
    if not path.is_file():
        raise BrokerError(f"{path}: not installed; run trifecta from a checkout of the project")
    return path


def find_java() -> Path:
    """The `java` of JAVA_HOME or the PATH, 17 or newer; MissingToolError saying what to install."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    found = found or shutil.which("java")
    told = "" if found is None else _version_text(found)
    version = re.search(r'version "(\d+)', told)
    if found is None or version is None or int(version.group(1)) < JAVA_MIN:
        has = "found none" if found is None else f"{found} is {_first_line(told)}"
        raise MissingToolError(
            f"Kafka needs Java {JAVA_MIN} or newer ({has}); install it, for example with "
            "'apt install openjdk-17-jre-headless' or 'brew install openjdk@17'"
        )
    return Path(found)


def find_jars() -> Path:
    """The folder of the jars that infra/kafka/pom.xml pins, resolved by Maven the first time.

    It lies in `.cache/kafka` of the checkout, or of the user where the checkout cannot be written,
    and its name holds a digest of the pom, so that another pin is another folder.
    """
    pom = infra_file("pom.xml")
    folder = _cache() / f"lib-{hashlib.sha256(pom.read_bytes()).hexdigest()[:16]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="resolving-") as scratch:
            resolved = Path(scratch) / "lib"
            _resolve(pom, resolved)
            try:
                resolved.rename(folder)  # at once, so that nobody sees half of it
            except OSError:
                if not folder.is_dir():  # else another process was faster
                    raise
    return folder


def _cache() -> Path:
    root = Path(__file__).resolve().parents[1]
    home = root if os.access(root, os.W_OK) else Path.home()
    return home / ".cache" / "kafka"


def _resolve(pom: Path, into: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingToolError(
            "Kafka's jars are resolved by Maven (mvn, found none); install it, for example with "
            "'apt install maven' or 'brew install maven'"
        )
    command = [
        maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies",
        "-DincludeScope=runtime", f"-DoutputDirectory={into}",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=MAVEN_TIMEOUT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BrokerError(
            f"Maven did not resolve {pom} within {MAVEN_TIMEOUT_S} s; check the network, run again"
        ) from None
    if done.returncode or not any(into.glob("kafka_*.jar")):
        said = next((x for x in done.stdout.splitlines() if "ERROR" in x), _first_line(done.stderr))
        raise BrokerError(f"Maven could not resolve {pom}: {said or 'it said nothing'}")


def _version_text(java: str) -> str:
    done = subprocess.run(
        [java, "-version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return done.stderr + done.stdout


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "without a version"
