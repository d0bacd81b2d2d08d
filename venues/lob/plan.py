"""When and where what is planted: agents with their scripts, drawn before the market begins."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from operators.records import Record, Records, blank_records
from schemas.rows import F8, I8
from venues.lob.engine.agents import AGENT_FIELDS, DRAWS, NEVER_NS, Script
from venues.lob.engine.flow import MARKET_LOTS, MEDIAN_LOTS
from venues.lob.labels import Plant
from venues.lob.strength import (
    DECOYS_PER_PLANT,
    FLASH_CRASH,
    MS_NS,
    S_NS,
    STOP_RUN,
    PushStrength,
    Strength,
)

QUIET_NS = 180 * S_NS  # at the start nothing is planted: detectors learn what is usual
VOLUME_Q95_LOTS = (
    3_000.0  # 95 % quantile of the signed volume of 3 s of the leader, nothing planted
)
MEDIAN_LEVEL_LOTS = 400.0  # of the best five levels of a side, nothing planted
_APART_NS = 4 * S_NS  # from the end of a plant to the next one at its venue
_LAST_NS = 40 * S_NS  # before the end nothing begins
_GAP_NS = 120 * MS_NS  # mean time between those who sell into a wall
_LIFE_NS = {  # the longest that each can take
    Plant.ICEBERG: 20 * S_NS, Plant.SPOOF: 4 * S_NS, Plant.LAYERING: 4 * S_NS,
    Plant.ABSORPTION: 8 * S_NS, Plant.STOP_RUN: 16 * S_NS, Plant.FLASH_CRASH: 40 * S_NS,
}  # fmt: skip


@dataclass(frozen=True)
class Density:
    """How many are planted in an hour: at each venue, or (from `absorptions` on) at the leader."""

    icebergs: float = 40.0
    spoofs: float = 40.0
    absorptions: float = 12.0
    stop_runs: float = 4.0
    flash_crashes: float = 1.0


USUAL = Density()
NOTHING = Density(0.0, 0.0, 0.0, 0.0, 0.0)


class Plan(NamedTuple):
    """Agents sorted by onset, and what each is."""

    agents: Records  # (n,) AGENT_FIELDS
    draws: F8  # (n, DRAWS)
    kind: I8  # Plant
    group: I8


def make_plan(
    random: np.random.Generator, *, venues: int, total_s: float, strength: Strength,
    density: Density,
) -> Plan:  # fmt: skip
    """Draw the plan. Plants of a venue do not overlap; decoys come at any time."""
    total_ns = int(total_s * S_NS)
    made: list[tuple[Record, Plant, int]] = []
    group = 0
    for v in range(venues):
        for kind, onset_ns in _slots(random, v, total_ns, density, strength):
            for agent in _plant(random, kind, v, onset_ns, strength):
                made.append((agent, kind, group))
            group += 1
            if kind not in (Plant.STOP_RUN, Plant.FLASH_CRASH):
                for _ in range(DECOYS_PER_PLANT):
                    at_ns = int(random.integers(QUIET_NS, total_ns - _LAST_NS))
                    agent, decoy = _decoy(random, v, at_ns, strength)
                    made.append((agent, decoy, group))
                    group += 1
    made.sort(key=lambda one: (int(one[0]["onset_ns"]), one[2]))
    agents = blank_records(AGENT_FIELDS, len(made))
    for k, (agent, _, _) in enumerate(made):
        agents[k] = agent
    return Plan(
        agents,
        random.random((len(made), DRAWS)),
        np.array([kind for _, kind, _ in made], np.int64),
        np.array([number for _, _, number in made], np.int64),
    )


def _slots(
    random: np.random.Generator, v: int, total_ns: int, density: Density, strength: Strength
) -> list[tuple[Plant, int]]:
    """What is planted at a venue, in an order drawn by chance, with chance gaps between."""
    span_ns = total_ns - QUIET_NS - _LAST_NS
    if span_ns <= 0:
        return []
    hours = span_ns / (3_600 * S_NS)
    wanted = {Plant.ICEBERG: density.icebergs, Plant.SPOOF: density.spoofs}
    if v == 0:
        wanted |= {
            Plant.ABSORPTION: density.absorptions, Plant.STOP_RUN: density.stop_runs,
            Plant.FLASH_CRASH: density.flash_crashes,
        }  # fmt: skip
    kinds = []
    for kind, per_hour in wanted.items():
        for _ in range(round(per_hour * hours)):
            layered = random.random() < strength.spoof.layering_share
            kinds.append(Plant.LAYERING if kind == Plant.SPOOF and layered else kind)
    kinds = [kinds[k] for k in random.permutation(len(kinds))]
    needed_ns = sum(_LIFE_NS[kind] + _APART_NS for kind in kinds)
    if needed_ns > span_ns:
        raise ValueError(
            f"{len(kinds)} plants need {needed_ns / S_NS:,.0f} s of a venue, and there are "
            f"{span_ns / S_NS:,.0f} s"
        )
    gaps = np.diff(np.sort(random.random(len(kinds))), prepend=0.0)
    slots, at_ns = [], QUIET_NS
    for kind, gap in zip(kinds, gaps, strict=True):
        at_ns += int(gap * (span_ns - needed_ns))
        slots.append((kind, at_ns))
        at_ns += _LIFE_NS[kind] + _APART_NS
    return slots


def _plant(
    random: np.random.Generator, kind: Plant, v: int, onset_ns: int, strength: Strength
) -> list[Record]:
    side = int(random.integers(2))
    if kind == Plant.ICEBERG:
        ice = strength.iceberg
        lots = round(ice.displayed * MEDIAN_LOTS)
        return [
            _agent(
                Script.ICEBERG, v, side, onset_ns, life_ns=_LIFE_NS[kind], lots=lots,
                reserve=round(lots * ice.hidden_ratio),
                native=int(random.random() < ice.native_share), delay_ns=ice.refill_delay_ns,
                gap_ns=ice.taken_gap_ns, taken=lots,
            )
        ]  # fmt: skip
    if kind in (Plant.SPOOF, Plant.LAYERING):
        spoof = strength.spoof
        layers = spoof.layers if kind == Plant.LAYERING else 1
        return [
            _agent(
                Script.LARGE, v, side, onset_ns,
                life_ns=spoof.life_ns,
                lots=round(spoof.size_ratio * MEDIAN_LEVEL_LOTS * (0.9 + 0.2 * random.random())),
                gap_ns=spoof.life_ns // 2 if layer == 0 else 0, taken=round(0.5 * MEDIAN_LOTS),
                distance=spoof.distance_ticks + layer,
            )
            for layer in range(layers)
        ]  # fmt: skip
    if kind == Plant.ABSORPTION:
        absorbed = strength.absorption
        bar_lots = absorbed.volume_ratio * VOLUME_Q95_LOTS
        return [
            _agent(
                Script.WALL, v, side, onset_ns, life_ns=absorbed.life_ns,
                lots=round(1.3 * bar_lots * absorbed.life_ns / (3 * S_NS)), gap_ns=_GAP_NS,
                taken=round(bar_lots * _GAP_NS / (3 * S_NS)),
            )
        ]  # fmt: skip
    push = STOP_RUN if kind == Plant.STOP_RUN else FLASH_CRASH
    return [_push(v, 0 if kind == Plant.FLASH_CRASH else side, onset_ns, push)]


def _push(v: int, side: int, onset_ns: int, push: PushStrength) -> Record:
    return _agent(
        Script.PUSH, v, side, onset_ns, life_ns=push.life_ns, gap_ns=push.gap_ns,
        back_gap_ns=push.back_gap_ns, taken=round(MEDIAN_LOTS), distance=push.ticks,
        back=round(push.ticks * push.back_share),
    )  # fmt: skip


def _decoy(
    random: np.random.Generator, v: int, onset_ns: int, strength: Strength
) -> tuple[Record, Plant]:
    """What happens in any market: none of it is a plant, however strong those are."""
    side, what, lots = int(random.integers(2)), random.random(), _ordinary_lots(random)
    if what < 0.4:  # once or twice somebody steps in again, with another size, sooner or later
        refill = _agent(
            Script.ICEBERG, v, side, onset_ns, life_ns=8 * S_NS, lots=lots,
            reserve=int(lots * random.integers(1, 3)), delay_ns=300 * MS_NS, gap_ns=500 * MS_NS,
            taken=round(MARKET_LOTS), vary=1,
        )  # fmt: skip
        return refill, Plant.REFILL
    if what < 0.8:
        large = random.random() < 0.5
        ratio = strength.spoof.size_ratio if large else 0.25 + 0.75 * random.random()
        life_ns = random.integers(8_000, 20_000) if large else random.integers(100, 2_000)
        order = _agent(
            Script.LARGE, v, side, onset_ns, life_ns=int(life_ns) * MS_NS,
            lots=round(ratio * MEDIAN_LEVEL_LOTS), distance=int(random.integers(2, 12)), vary=1,
        )  # fmt: skip
        return order, Plant.CANCEL
    flicker = _agent(
        Script.FLICKER, v, side, onset_ns, life_ns=NEVER_NS // 2, lots=lots,
        reserve=int(random.integers(3, 9)), delay_ns=int(random.integers(50, 300)) * MS_NS,
        gap_ns=int(random.integers(50, 300)) * MS_NS,
    )  # fmt: skip
    return flicker, Plant.FLICKER


def _ordinary_lots(random: np.random.Generator) -> int:
    return max(1, round(MEDIAN_LOTS * float(np.exp(0.5 * random.standard_normal()))))


def _agent(script: Script, v: int, side: int, onset_ns: int, **fields: int) -> Record:
    agent = blank_records(AGENT_FIELDS, 1)[0]
    values = {"script": int(script), "venue": v, "side": side, "onset_ns": onset_ns} | fields
    for name, value in values.items():
        agent[name] = value
    agent["order"] = -1
    agent["refill_ns"] = agent["hit_ns"] = NEVER_NS
    return agent
