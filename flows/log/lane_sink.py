"""The one sink of every flow that writes the log."""

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from flows.log.api import Partition
from flows.log.flight import Flight
from flows.log.lane_source import ALL
from flows.log.message import Message
from flows.log.stop import hushed
from flows.log.writer import Writer

Bundle = list[Message]
State = dict[Partition, int]  # last seq written per partition


class LaneSink(FixedPartitionedSink[Bundle, State]):
    """Appends bundles of messages, items ("all", [Message, ...]), of any topics and lanes.

    What one call of Bytewax brings is appended at once: on the embedded profile one transaction.
    Never a `DynamicSink`: those stand outside Bytewax's recovery and can lose rows.
    `flight` is the source's, of a flow that makes one bundle of each batch.
    """

    def __init__(self, writer: Writer, flight: Flight | None = None) -> None:
        self._writer, self._flight = writer, flight or Flight()

    def list_parts(self) -> list[str]:
        return [ALL]

    def part_fn(self, item_key: str) -> int:
        return 0

    @hushed
    def build_part(self, step_id: str, for_part: str, resume_state: State | None) -> "_LanePart":
        return _LanePart(self._writer, self._flight, resume_state or {})


class _LanePart(StatefulSinkPartition[Bundle, State]):
    def __init__(self, writer: Writer, flight: Flight, state: State) -> None:
        self._writer, self._flight, self._last_seq = writer, flight, dict(state)
        for (topic, lane), last_seq in state.items():
            writer.resume(topic, lane, last_seq)

    @hushed
    def write_batch(self, values: list[Bundle]) -> None:
        messages = [message for bundle in values for message in bundle]
        self._writer.append(messages)
        for message in messages:
            self._last_seq[(message.topic, message.lane)] = message.last_seq
        self._flight.landed(len(values))

    @hushed
    def snapshot(self) -> State:
        self._writer.flush()  # before Bytewax stores that this epoch is done
        return dict(self._last_seq)
