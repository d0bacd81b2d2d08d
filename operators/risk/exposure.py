"""The desk's open envelopes, as money: what they hold, reserve and are worth at the last marks."""

from operators.arrays import F8, kernel
from operators.records import InstrumentRecords, Record, Records
from operators.risk.worth import rate, worth
from schemas.kinds import NO_ID, Engine

BINARY = int(Engine.BINARY)
ENVELOPES = 64  # open at the same time; one more is refused with ENVELOPES_FULL
ENVELOPE_FIELDS = {
    "id": "<i8",  # seq of its decision; NO_ID where the place is free
    "engine": "<i8",
    "row": "<i8",  # instrument rows; the second is -1 where there is one leg
    "row_second": "<i8",
    "answered": "<i8",  # 1: the venue has filled or rejected the entry
    "answered_second": "<i8",
    "flow": "<f8",  # what its fills brought in, see `worth.flow`
    "net": "<f8",  # signed quantity held
    "flow_second": "<f8",
    "net_second": "<f8",
    "fees": "<f8",  # desk currency
    "worst": "<f8",  # reserved loss, desk currency
    "held": "<f8",  # signed notional at approval, or stake; desk currency
    "held_second": "<f8",
}


@kernel
def place_of(envelopes: Records, envelope_id: int) -> int:
    """Where an envelope stands, or -1."""
    for e in range(ENVELOPES):
        if envelopes[e].id == envelope_id:
            return e
    return -1


@kernel
def free_place(envelopes: Records) -> int:
    """Where the next envelope goes; -1 if the table is full."""
    return place_of(envelopes, NO_ID)


@kernel
def net(envelopes: Records, k: int) -> float:
    """Signed notional in instrument row `k` over all engines, desk currency."""
    total = 0.0
    for e in range(ENVELOPES):
        envelope = envelopes[e]
        if envelope.id != NO_ID and envelope.engine != BINARY:
            if envelope.row == k:
                total += envelope.held
            elif envelope.row_second == k:
                total += envelope.held_second
    return total


@kernel
def stakes(envelopes: Records, k: int) -> float:
    """Staked on instrument row `k`, desk currency."""
    total = 0.0
    for e in range(ENVELOPES):
        envelope = envelopes[e]
        if envelope.id != NO_ID and envelope.engine == BINARY and envelope.row == k:
            total += envelope.held
    return total


@kernel
def exposure(envelopes: Records) -> float:
    """All envelopes together, a pair by its larger leg, desk currency."""
    total = 0.0
    for e in range(ENVELOPES):
        total += max(abs(envelopes[e].held), abs(envelopes[e].held_second))
    return total


@kernel
def reserved(envelopes: Records) -> float:
    """Worst losses of all envelopes together, desk currency."""
    total = 0.0
    for e in range(ENVELOPES):
        total += envelopes[e].worst
    return total


@kernel
def pnl(instruments: InstrumentRecords, mid: F8, envelope: Record) -> float:
    """Flows so far, closing at the last marks, less fees; desk currency."""
    k = envelope.row
    total = -envelope.fees
    if envelope.flow != 0.0:
        value = worth(instruments, k, envelope.flow, envelope.net, mid[k])
        total += value * rate(instruments, mid, k)
    k = envelope.row_second
    if k >= 0 and envelope.flow_second != 0.0:
        value = worth(instruments, k, envelope.flow_second, envelope.net_second, mid[k])
        total += value * rate(instruments, mid, k)
    return float(total)


@kernel
def equity_now(
    instruments: InstrumentRecords, mid: F8, envelopes: Records, balance: float
) -> float:
    """Desk currency: what is booked, plus every open envelope at its last marks."""
    total = balance
    for e in range(ENVELOPES):
        envelope = envelopes[e]
        if envelope.id != NO_ID and envelope.engine != BINARY:
            total += pnl(instruments, mid, envelope)
    return float(total)
