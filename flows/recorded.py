"""What a log says about the run that it holds."""

import json

from flows.desk_run import RECORD, SIGNAL_NAMES, TABLE, RunRecord
from flows.log.api import Log
from flows.log.errors import LogError
from models.registry import load_or_fallback
from models.session import StreamModel
from schemas.instruments import InstrumentTable


def recorded_run(log: Log) -> tuple[RunRecord, InstrumentTable]:
    """The first record and the instruments; LogError if the log holds no run."""
    texts = log.texts()
    if RECORD not in texts or TABLE not in texts:
        raise LogError("the log holds no run: its first record is missing")
    return RunRecord.from_json(texts[RECORD]), InstrumentTable.from_json(texts[TABLE])


def signal_names(log: Log) -> tuple[str, ...]:
    """The columns of `values` in `signals.v1`; none where the run has enabled no feature."""
    return tuple(json.loads(log.texts().get(SIGNAL_NAMES, "[]")))


def model_of(record: RunRecord) -> StreamModel | None:
    """The model that decided, None for the momentum fallback; LogError if it is not here."""
    due = record.model["sha256"]
    if not due:
        return None
    model, notice = load_or_fallback()
    if model is None or model.card.sha256 != due:
        raise LogError(
            f"the run was decided by model {record.model['name']} {record.model['version']} "
            f"(SHA-256 {due[:16]}), which is not installed here{': ' + notice if notice else ''}; "
            "install that version of the registry"
        )
    return model
