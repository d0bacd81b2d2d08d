"""Verifies a log in this process: every stage over all lanes, in one flow."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import timedelta
from functools import partial

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from flows.chain import Chain
from flows.log.api import Log
from flows.log.errors import PoisonMessageError
from flows.log.stop import hushed
from flows.numeric import fingerprint
from flows.recorded import model_of
from flows.replay.compare import Comparison
from flows.replay.cursor import Cursor
from flows.replay.extent import Recorded, recorded_now
from flows.replay.found import DifferentError, Span, Verification, unreadable
from flows.replay.placed import ReportsPlaced, SourceRowsPlaced
from flows.replay.source import BATCH_ROWS, ReplaySource
from flows.replay.steps import (
    DESK_TOPICS,
    LANE_TOPICS,
    MONEY_TOPICS,
    Money,
    desk_steps,
    lane_steps,
    money_steps,
)
from flows.runtime import run_flow
from flows.settings import RunSettings
from flows.stages import parcel_of
from models.session import StreamModel
from schemas.topics import MARKET, ORDERS

NO_RECOVERY = timedelta(days=1)  # nothing is stored, so one epoch is enough


def verify(log: Log, *, progress: Callable[[int], None], span: Span | None = None) -> Verification:
    """Decide a recorded run again, up to where its topics end now; stops at the first difference.

    Deciding begins at the log's first row whatever the span is, since every row counts for those
    behind it; the span says which rows are compared, and where to stop.
    LogError if the log holds no run, or one of another model than this installation's.
    """
    span, found = span or Span(), Verification()
    finding(found, partial(_decide, log, span, found, progress))
    return found


def _decide(log: Log, span: Span, found: Verification, progress: Callable[[int], None]) -> None:
    run = recorded_now(log)
    model = model_of(run.record)
    found.ended, found.numeric_matches = run.ended, fingerprint(model) == run.record.numeric
    lanes = run.table.active_lanes()
    chain, certain_ns = chain_of(run, model), run.certain_before_ns(MARKET)
    with ExitStack() as things:
        of_lanes, of_desk = (
            things.enter_context(
                closing(Comparison(log, run, topics, lanes=lanes, span=span, found=found))
            )
            for topics in (LANE_TOPICS, DESK_TOPICS[run.split])
        )
        money = things.enter_context(closing(open_money(log, run, span, found, progress)))
        flow = Dataflow("replay")
        inputs = [(MARKET.name, lane) for lane in lanes]
        source = ReplaySource(log, inputs, ends=run.ends, to_ns=span.to_ns)
        market = op.map_value("parcel", op.input("market", flow, source), hushed(parcel_of))
        desk_steps(lane_steps(market, chain, of_lanes), chain, run, of_desk, certain_ns)
        money_steps(market, chain, money, certain_ns)
        flow_through(flow)
        of_lanes.finish()
        of_desk.finish()
        money.finish()
    read_orders(log, run)


def finding(found: Verification, decide: Callable[[], None]) -> None:
    """Run `decide`; a difference or a damaged message ends it, and is what was found."""
    try:
        decide()
    except DifferentError as different:
        found.difference = different.told
    except PoisonMessageError as poison:
        found.difference = unreadable(poison)


def open_money(
    log: Log,
    run: Recorded,
    span: Span,
    found: Verification,
    progress: Callable[[int], None],
) -> Money:
    """What is compared of `market.v1` itself and of the journal."""
    lanes = run.table.active_lanes()
    sources = SourceRowsPlaced(log, run, span=span)
    compare = Comparison(log, run, MONEY_TOPICS, lanes=lanes, span=span, found=found)
    return Money(compare, ReportsPlaced(log, run, span=span), sources, progress, span, found)


def chain_of(run: Recorded, model: StreamModel | None) -> Chain:
    """What decided, as the log's first record says."""
    settings = RunSettings(**run.record.settings)
    return Chain(
        run.table,
        len(run.record.sources),
        model,
        settings.rules(run.table, model.digest if model else 0),
        settings.balance,
        run.record.code_version,
        settings.signals(run.table, run.record.sources),
    )


def flow_through(flow: Dataflow) -> None:
    """Run a replay's flow to its end; KeyboardInterrupt if it was asked to stop."""
    if run_flow(flow, recovery=None, epoch_interval=NO_RECOVERY) == "stopped":
        raise KeyboardInterrupt


def read_orders(log: Log, run: Recorded) -> None:
    """Read the orders of a fused log, which are no function of it alone, to find damage."""
    for lane in [] if run.split else run.table.active_lanes():
        with closing(Cursor(log, ORDERS, lane, run.ends)) as cursor:
            while cursor.next(BATCH_ROWS) is not None:
                pass
            if cursor.poison is not None:
                raise cursor.poison
