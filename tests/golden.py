"""Golden runs: which tapes, and what their digests were. `python -m tests.golden` writes them anew.

`math.exp`, `log`, `tanh` and onnxruntime differ in the last bit between CPUs, so digests are kept
per fingerprint of a machine's arithmetic. A changed digest needs a decision record.
"""

import json
import tempfile
from pathlib import Path

from flows.numeric import fingerprint
from models.registry import SHIPPED, load
from tests.runs import BTC, EURUSD, run
from venues.tape import open_tapes

FILE = Path(__file__).with_name("golden.json")
SAMPLES = {"EURUSD": [EURUSD], "BTC on three markets": BTC}
RECORDED = {  # in the data folder
    "NZDUSD": ["quotes/fxcm_NZDUSD_20140505_20140509.parquet"],
    "ETH on two markets": [
        "quotes/binance_spot_ETHUSDT_20240808T2354.parquet",
        "quotes/binance_usdm_ETHUSDT_20240808T2354.parquet",
        "trades/binance_spot_ETHUSDT_20240808T2354.parquet",
        "trades/binance_usdm_ETHUSDT_20240808T2354.parquet",
    ],
}


def known() -> dict[str, list[str]]:
    """Tape to its two digests on this machine's arithmetic; empty if it has never been recorded."""
    found: dict[str, dict[str, list[str]]] = json.loads(FILE.read_text())
    return found.get(fingerprint(load(SHIPPED)), {})


def digests_of(paths: list[Path], folder: Path) -> list[str]:
    """Decision and ledger digest of a run over these tapes."""
    ran = run(open_tapes(paths), profile="memory", batch_rows=8192, folder=folder)
    return [ran.decision_digest, ran.ledger_digest]


def main(data: Path) -> None:
    """Run every golden tape and write its digests under this machine's fingerprint."""
    tapes = SAMPLES | {name: [data / each for each in paths] for name, paths in RECORDED.items()}
    found = json.loads(FILE.read_text()) if FILE.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        found[fingerprint(load(SHIPPED))] = {
            name: digests_of(paths, Path(folder)) for name, paths in tapes.items()
        }
    FILE.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    import os

    main(Path(os.environ.get("TRIFECTA_DATA", Path(__file__).parents[2] / "shared/data")))
