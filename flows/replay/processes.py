"""Verifies a log in several processes, as workers decided it: lanes apart, then the portfolio.

Each process takes a part of the lanes, compares their features and proposals, and writes its
proposals to a scratch log. Then this one merges them for the portfolio and compares the rest.
"""

import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from flows.encode import encode
from flows.log.api import Log, Partition
from flows.log.embedded import EmbeddedLog
from flows.log.errors import LogError
from flows.log.lane_sink import LaneSink
from flows.log.message import Message
from flows.log.stop import hushed
from flows.numeric import fingerprint
from flows.parcel import Parcel
from flows.recorded import model_of
from flows.replay.compare import Comparison
from flows.replay.extent import Recorded, recorded_now
from flows.replay.found import Span, Verification
from flows.replay.joined_log import JoinedLog
from flows.replay.one_process import chain_of, finding, flow_through, open_money, read_orders
from flows.replay.source import ReplaySource
from flows.replay.steps import DESK_TOPICS, LANE_TOPICS, desk_steps, lane_steps, money_steps
from flows.stages import parcel_of
from schemas.topics import FEATURES, MARKET, PROPOSALS

POLL_S = 0.2  # between looks at how far the processes are

OpenLog = Callable[[], Log]


def verify_in_processes(
    open_log: OpenLog,
    *,
    workers: int,
    progress: Callable[[int], None],
    span: Span | None = None,
) -> Verification:
    """What `verify` does, as `workers` processes of some lanes each and a portfolio behind them.

    Parameters
    ----------
    open_log : callable
        Opens the recorded log; called in each process, so it must be picklable.
    workers : int, > 0
        At most one per lane is started.
    progress : callable
        Told the source rows that have passed both stages, on average.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, was {workers}")
    span = span or Span()
    found = Verification()
    with ExitStack() as things:
        log = things.enter_context(closing(open_log()))
        scratch = Path(things.enter_context(tempfile.TemporaryDirectory(prefix="trifecta-replay-")))
        decide = partial(_decide, log, open_log, scratch, workers, span, found, progress)
        finding(found, decide)
    return found


@dataclass(frozen=True)
class Part:
    """What one process is told."""

    run: Recorded
    lanes: Sequence[int]
    scratch: Path
    span: Span


def _decide(
    log: Log,
    open_log: OpenLog,
    scratch: Path,
    workers: int,
    span: Span,
    found: Verification,
    progress: Callable[[int], None],
) -> None:
    run = recorded_now(log)
    found.ended = run.ended
    found.numeric_matches = fingerprint(model_of(run.record)) == run.record.numeric
    lanes = run.table.active_lanes()
    groups = [lanes[i::workers] for i in range(min(workers, len(lanes)))]
    parts = [Part(run, group, scratch / f"part-{i}.sqlite", span) for i, group in enumerate(groups)]
    rows = 0

    def decided(n: int) -> None:
        nonlocal rows
        rows = n
        progress(rows // 2)

    for told in _in_processes(open_log, parts, decided):
        found.join(told)
    if found.difference is None:
        _portfolio(log, run, parts, span, found, lambda n: progress((rows + n) // 2))


def _in_processes(
    open_log: OpenLog, parts: Sequence[Part], progress: Callable[[int], None]
) -> list[Verification]:
    """What each process found, in the order of `parts`. LogError with what one could not do."""
    context = multiprocessing.get_context("spawn")  # a flow needs a main thread of its own
    rows = context.Array("q", len(parts), lock=False)
    running: dict[Connection, tuple[int, SpawnProcess]] = {}
    answers: dict[int, Verification] = {}
    try:
        for i, part in enumerate(parts):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(open_log, part, i, rows, theirs))
            process.start()
            theirs.close()
            running[ours] = (i, process)
        while running:
            for ready in wait(list(running), timeout=POLL_S):
                assert isinstance(ready, Connection)
                i, process = running[ready]
                answers[i] = _answer(ready, process)
                del running[ready]
            progress(sum(rows))
    finally:
        for _, process in running.values():
            process.terminate()
            process.join()
    return [answers[i] for i in range(len(parts))]


def _answer(connection: Connection, process: SpawnProcess) -> Verification:
    try:
        answer: Verification | str = connection.recv()
    except EOFError:
        process.join()
        raise LogError(
            f"a process of the replay ended with code {process.exitcode}; see above why"
        ) from None
    process.join()
    if isinstance(answer, str):
        raise LogError(answer)
    return answer


def _work(open_log: OpenLog, part: Part, number: int, rows: Any, connection: Connection) -> None:
    """The main function of a process."""

    def progress(n: int) -> None:
        rows[number] = n

    try:
        with closing(open_log()) as log:
            connection.send(_lanes(log, part, progress))
    except LogError as error:
        connection.send(str(error))
    except KeyboardInterrupt:
        connection.send("stopped")
    finally:
        connection.close()


def _lanes(log: Log, part: Part, progress: Callable[[int], None]) -> Verification:
    """Decide some lanes again, up to their proposals, which go to a scratch log as well."""
    run, found = part.run, Verification()
    chain = chain_of(run, model_of(run.record))
    n_rows = 0

    def messages_of(parcel: Parcel) -> list[Message]:
        nonlocal n_rows
        n_rows += int((parcel.market.source >= 0).sum())
        progress(n_rows)
        return encode(PROPOSALS, parcel.proposals, chain.code_version)

    def decide(compare: Comparison, out: EmbeddedLog) -> None:
        with closing(out.writer()) as writer:
            flow = Dataflow("replay_lanes")
            inputs = [(MARKET.name, lane) for lane in part.lanes]
            source = ReplaySource(log, inputs, ends=run.ends, to_ns=part.span.to_ns)
            market = op.map_value("parcel", op.input("market", flow, source), hushed(parcel_of))
            stream = lane_steps(market, chain, compare)
            bundles = op.map_value("encode", stream, hushed(messages_of))
            op.output("scratch", bundles, LaneSink(writer))
            flow_through(flow)
            writer.flush()
        compare.finish()

    with (
        closing(
            Comparison(log, run, LANE_TOPICS, lanes=part.lanes, span=part.span, found=found)
        ) as compare,
        closing(EmbeddedLog(part.scratch, create=True)) as out,
    ):
        finding(found, partial(decide, compare, out))
    return found


def _portfolio(
    log: Log,
    run: Recorded,
    parts: Sequence[Part],
    span: Span,
    found: Verification,
    progress: Callable[[int], None],
) -> None:
    """Decide on the proposals of all scratch logs, and compare what followed from it."""
    lanes = run.table.active_lanes()
    chain = chain_of(run, model_of(run.record))
    final_ns = run.certain_before_ns(MARKET)
    # Execute reads the recorded features, which have been compared: as far as they are written.
    certain_ns = min(final_ns, run.certain_before_ns(FEATURES))
    topics = [MARKET, FEATURES] if run.split else [MARKET]
    with ExitStack() as things:
        scratch: dict[Partition, Log] = {}
        for part in parts:
            out = things.enter_context(closing(EmbeddedLog(part.scratch)))
            scratch |= {(PROPOSALS.name, lane): out for lane in part.lanes}
        joined = JoinedLog(log, scratch)
        inputs = [(topic.name, lane) for topic in topics for lane in lanes]
        ends = {each: run.ends[each] for each in inputs} | joined.ends(scratch)
        desk = things.enter_context(
            closing(
                Comparison(log, run, DESK_TOPICS[run.split], lanes=lanes, span=span, found=found)
            )
        )
        money = things.enter_context(closing(open_money(log, run, span, found, progress)))
        flow = Dataflow("replay_portfolio")
        source = ReplaySource(joined, [*inputs, *scratch], ends=ends, to_ns=span.to_ns)
        stream = op.map_value("parcel", op.input("log", flow, source), hushed(parcel_of))
        desk_steps(stream, chain, run, desk, certain_ns)
        money_steps(stream, chain, money, final_ns)
        flow_through(flow)
        desk.finish()
        money.finish()
    read_orders(log, run)
