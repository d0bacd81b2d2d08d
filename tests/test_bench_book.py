"""The book benchmark: it measures only what was found right, and says what it needs."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from bench.book import main
from cli.main import app
from operators.market.books.l2 import BookTopRows
from schemas.rows import empty
from tests.tape_files import T0
from venues.tape import TapeError
from venues.verify import compare


def test_each_change_is_compared_with_the_last_quote_not_after_it(tmp_path: Path) -> None:
    quotes = tmp_path / "quotes.parquet"
    columns = {
        "ts_ns": [T0, T0 + 1, T0 + 2, T0 + 3],
        "venue": ["binance_spot"] * 4, "symbol": ["BTCUSDT"] * 4,
        "seq": [10, 20, 20, 30], "bid_px": [1.0, 2.0, 3.0, 4.0], "bid_sz": [1.0] * 4,
        "ask_px": [9.0] * 4, "ask_sz": [1.0] * 4,
    }  # fmt: skip
    pq.write_table(pa.table(columns), quotes)
    top = empty(BookTopRows, 6)
    top.synced[:] = 1
    #                    snapshot, early, exact, between, wrong, empty side
    top.snapshot[:] = [1, 0, 0, 0, 0, 0]
    top.venue_seq[:] = [20, 9, 20, 29, 30, 31]
    top.bid_px[:] = [0.0, 1.0, 3.0, 3.0, 5.0, np.nan]
    top.bid_qty[:] = top.ask_qty[:] = 1.0
    top.ask_px[:] = 9.0
    found = compare(top, quotes)
    assert (found.early, found.compared, found.equal) == (1, 4, 2)


def test_without_recordings_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIFECTA_DATA", str(tmp_path))
    with pytest.raises(TapeError, match=r"not there\. Set TRIFECTA_DATA"):
        main(json_output=True)
    done = CliRunner().invoke(app, ["bench", "book", "--json"])
    assert done.exit_code == 2
    assert "TRIFECTA_DATA" in done.stderr


def test_it_is_called_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("bench.book.main", asked.append)
    for arguments in (["bench", "book", "--json"], ["bench", "book"]):
        assert CliRunner().invoke(app, arguments).exit_code == 0
    assert asked == [True, False]
