"""Where a recorded log is that a command names: the folder of a run, or a desk on brokers."""

from pathlib import Path

from cli.run_dir import open_log
from flows.log.api import Log


def open_recorded(place: str) -> Log:
    """The log of a run's folder, or of a deployment of workers; Refused or LogError if none.

    A folder that is there, or a text with a slash, is the folder of a run (`./name` where a
    deployment has the same name); everything else is a deployment's name, empty for the one
    without a name.
    """
    if place and ("/" in place or Path(place).is_dir()):
        return open_log(Path(place))
    from flows.log.kafka import KafkaLog

    return KafkaLog(deployment=place)


def name_of(place: str) -> str:
    """What to call a run that reads it."""
    return Path(place).name or "desk"
