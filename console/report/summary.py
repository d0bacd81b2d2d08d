"""report.json: everything that a script may ask about a run."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from console.report.books import troubles, without_snapshot
from console.report.clocks import ahead
from console.report.data import RunData
from console.report.latency import percentiles
from console.report.metrics import (
    buy_and_hold,
    count_decisions,
    engine_results,
    equity_curve,
    first_priced,
    max_drawdown,
    sharpe,
)
from console.report.trips import OPEN, Trip, build_trips
from console.report.words import money, utc
from operators.ledger.views import verify
from schemas.kinds import Side
from schemas.reasons import Reason

Report = dict[str, Any]  # JSON-safe; the keys are those of `build_report`

REFUSED_WARNED = 0.2  # of the rows; FXCM's crossed quotes are a tenth
GAP_WARNED = 1e-4  # of the balance; a move between two marks is smaller, a lost fill is not


def build_report(data: RunData, trips: Sequence[Trip] | None = None) -> Report:
    """Everything a script may ask about a run, JSON-safe: unknown numbers are null.

    Parameters
    ----------
    trips : sequence of Trip, optional
        Those of `build_trips(data)` where they are at hand; else they are built.

    Notes
    -----
    Money is in the desk's currency; `at_par` are the assets that were counted as USD, one for
    one. `engines.*.pnl` is after fees, with open trips marked.
    `equity.ledger` is the exact ledger at the last marks; `equity.ledger_gap` what it was above the
    desk's own mark at the last decision: floats, marks up to one cadence old, and profits in other
    assets, which the ledger marks to the end and the desk takes at the rate of their day.
    `equity.buy_and_hold` is the end equity of the same balance held in `equity.held`, without
    costs. `latency_us`, `wall_s` and `ticks_per_s` are wall time, of the last stretch where a run
    was resumed; they and `run_id` differ between runs of the same rows, nothing else does.
    """
    trips = build_trips(data) if trips is None else trips
    decisions, trades, non_trades = count_decisions(data.decisions, data.refused)
    curve, ratio, held = equity_curve(data), sharpe(equity_curve(data)), buy_and_hold(data)
    verdict = verify(data.book, data.journal)
    rows = data.instruments.instruments
    first = first_priced(data)
    ticks = data.ticks if data.ticks_timed is None else data.ticks_timed
    end = float(curve.value[-1]) if curve.value.size else data.balance
    report: Report = {
        "run_id": data.run_id,
        "finished": data.finished,
        "as_of": None if data.as_of_ns is None else utc(data.as_of_ns),
        "mode": data.mode,
        "profile": data.profile,
        "topology": data.topology,
        "simulated": data.simulated,
        "seed": data.seed,
        "cadence": data.cadence,
        "tapes": list(data.tapes),
        "sources": list(data.sources),
        "currency": data.instruments.desk_currency,
        "at_par": data.instruments.counted_at_par(),
        "span": _span(data),
        "rows": data.rows,
        "rows_on_log": data.rows_on_log,
        "rows_quarantined": data.rows_quarantined,
        "quarantine": {reason: dict(found) for reason, found in data.quarantine.items()},
        "quarantine_first": {r: dict(found) for r, found in data.quarantine_first.items()},
        "books": [story.report() for story in data.books],
        "venue_clocks": [story.report() for story in data.clocks],
        "ticks": data.ticks,
        "wall_s": data.wall_s,
        "ticks_per_s": ticks / data.wall_s if data.wall_s > 0.0 else None,
        "decisions": decisions,
        "trades": trades,
        "non_trades": non_trades,
        "operator_resumes": data.operator_resumes,
        "decision_digest": data.decision_digest,
        "ledger_digest": data.ledger_digest,
        "engines": {name: asdict(found) for name, found in engine_results(trips).items()},
        "equity": {
            "start": data.balance,
            "end": end,
            "ledger": None if data.ledger is None else _text(data.ledger.equity),
            "ledger_gap": None if data.ledger is None else data.ledger.gap,
            "buy_and_hold": float(held.value[-1]) if held is not None else None,
            "held": rows[first].id if first is not None else None,
            "max_drawdown": max_drawdown(curve.value),
            "sharpe": ratio.value,
            "sharpe_note": ratio.note,
        },
        "fees": math.fsum(t.fees for t in trips),
        "ledger": {
            "transactions": verdict.transactions,
            "balanced": verdict.balanced,
            "drift": str(verdict.drift),
            "problems": list(verdict.problems),
        },
        "latency_us": percentiles(data.latency_us),
        "report_delay_ms": percentiles(data.report_delay_ms),
        "signals": dict(data.signals),
        "model": asdict(data.model),
        "open_positions": [_open_position(t) for t in trips if t.status == OPEN],
        "instruments": {
            "count": len(rows),
            "digest": data.instruments.digest(),
            "assumed": _assumptions(data),
        },
        "settings": dict(data.settings),
    }
    report["warnings"] = _warnings(data, report)
    safe: Report = json_safe(report)
    return safe


def json_safe(value: Any) -> Any:
    """The same with NaN and infinities as None, tuples as lists, NumPy scalars as Python's."""
    if isinstance(value, Mapping):
        return {str(k): json_safe(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(v) for v in value]
    if isinstance(value, str | bool | int) or value is None:
        return value
    if hasattr(value, "item"):
        return json_safe(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def write_json(report: Report, path: Path) -> None:
    """report.json: keys in their written order, UTF-8, one final newline."""
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _span(data: RunData) -> dict[str, str | None]:
    """First and last moment of the run, from decisions and prices."""
    moments = data.decisions.ts_recv_ns if data.marks is None else data.marks.ts_recv_ns
    times = [int(t) for t in moments[[0, -1]]] if moments.size else []
    for sample in data.prices.values():
        times += [int(sample.ts_recv_ns[0]), int(sample.ts_recv_ns[-1])]
    return {"from": utc(min(times)) if times else None, "to": utc(max(times)) if times else None}


def _text(amount: Decimal | None) -> str | None:
    """To the ledger's 8 digits; the marks behind it are floats."""
    return None if amount is None else f"{amount:.8f}"


def _open_position(trip: Trip) -> dict[str, Any]:
    return {
        "id": trip.id,
        "engine": trip.engine.name.lower(),
        "since": utc(trip.entry_ts_ns),
        "legs": [
            {
                "instrument": leg.instrument,
                "side": Side(leg.side).name,
                "qty": leg.qty,
                "unit": leg.unit,
                "entry_price": leg.entry_px,
                "mark": leg.mark_px,
            }
            for leg in trip.legs
        ],
        "pnl": trip.pnl,
        "fees": trip.fees,
    }


def _assumptions(data: RunData) -> dict[str, int]:
    """What is assumed about instruments, in words, and for how many of them."""
    found: dict[str, int] = {}
    for instrument in data.instruments.instruments:
        if instrument.assumed:
            found[instrument.assumed] = found.get(instrument.assumed, 0) + 1
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _warnings(data: RunData, report: Report) -> list[str]:
    """What a reader must know before believing the numbers."""
    ledger, found = report["ledger"], []
    if data.as_of_ns is not None:
        found.append(
            f"As of {utc(data.as_of_ns)[:19]}Z, market time: the desk goes on, or has stopped "
            "before its end, and all of its workers have come so far."
        )
    elif not data.finished:
        found.append("The run has not ended: this is what its log holds so far.")
    if data.simulated:
        found.append("The market is simulated: nothing here says how the desk does in a real one.")
    if data.model.overlap:
        found.append(
            "The run overlaps the span that the model was trained on: its results are too good."
        )
    if data.model.notice:
        found.append(data.model.notice)
    if not ledger["balanced"] or ledger["drift"] != "0" or ledger["problems"]:
        found.append(f"The ledger does not hold: {'; '.join(ledger['problems']) or 'it drifts'}.")
    gap = report["equity"]["ledger_gap"]
    if gap is not None and abs(gap) > GAP_WARNED * data.balance:
        found.append(
            "The ledger and the desk's own account differ by "
            + f"{money(gap, report['currency'], signed=True)}."
        )
    lost = data.rows - data.rows_on_log - data.rows_quarantined
    if lost:
        found.append(f"{lost:,} tape rows are neither on the log nor in quarantine.")
    if data.rows_quarantined > REFUSED_WARNED * data.rows:
        share = data.rows_quarantined / data.rows
        found.append(f"{share:.0%} of the rows were refused and are in quarantine; see why below.")
    elif data.rows and not data.ticks:
        found.append("The tapes hold no quotes and no trades, so there was nothing to decide on.")
    bare = [story.instrument for story in data.books if not story.has_snapshot]
    found += [text for text in (without_snapshot(bare), troubles(data.books)) if text is not None]
    found += [text for text in (ahead(data.clocks),) if text is not None]
    if report["non_trades"].get(Reason.DRAWDOWN_STOP.name):
        found.append("The desk stopped itself: " + Reason.DRAWDOWN_STOP.text + ".")
    if any(math.isnan(engine["pnl"]) for engine in report["engines"].values()):
        found.append("Some trades are in a currency without a rate: their result is unknown.")
    return found
