"""Market structure by its definitions: plain Python over whole lists of bars, all from scratch.

Written from the words of `docs`, without the operators. Everything is said for highs; lows are the
highs of the bars turned upside down, which `turned` does.
"""

import math
from itertools import pairwise
from typing import NamedTuple

from tests.structure_cases import Bar

AROUND, WITHIN, SWINGS = 5, 3, 32


class Swing(NamedTuple):
    bar: int
    px: float
    known: int  # number of the bar whose close made it known


class Event(NamedTuple):
    bar: int
    what: str  # bos, choch, grab
    side: int
    px: float  # the swing's
    swing: int  # its bar


class Zone(NamedTuple):
    born: int
    side: int  # +1 below the price
    low: float
    high: float
    origin: int  # bar that it begins with


def turned(bars: list[Bar], side: int) -> list[Bar]:
    if side > 0:
        return bars
    return [Bar(-b.open, -b.low, -b.high, -b.close, b.qty) for b in bars]


def atr(bars: list[Bar]) -> list[float]:
    """Wilder's, as of each bar's close."""
    out, mean, ranges = [math.nan], math.nan, []
    for before, bar in pairwise(bars):
        ranges.append(max(bar.high, before.close) - min(bar.low, before.close))
        if len(ranges) == 14:
            mean = sum(ranges) / 14
        elif len(ranges) > 14:
            mean = (13 * mean + ranges[-1]) / 14
        out.append(mean)
    return out


def swings(bars: list[Bar], side: int) -> list[Swing]:
    high = [b.high for b in turned(bars, side)]
    return [
        Swing(p, side * high[p], p + AROUND)
        for p in range(AROUND, len(bars) - AROUND)
        if high[p] > max(high[p - AROUND : p]) and high[p] >= max(high[p + 1 : p + 1 + AROUND])
    ]


def _spans(bars: list[Bar], side: int) -> list[tuple[Swing, range]]:
    """Each swing with the bars for which it was the last one known."""
    found = swings(bars, side)
    ends = [*(s.known for s in found[1:]), len(bars) - 1]
    return [(s, range(s.known + 1, end + 1)) for s, end in zip(found, ends, strict=False)]


def breaks(bars: list[Bar]) -> list[Event]:
    broken = []
    for side in (1, -1):
        close = [b.close for b in turned(bars, side)]
        for swing, span in _spans(bars, side):
            beyond = [b for b in span if close[b] > side * swing.px]
            if beyond:
                broken.append((beyond[0], side, swing))
    trend, events = 0, []
    for bar, side, swing in sorted(broken):
        events.append(Event(bar, "choch" if trend == -side else "bos", side, swing.px, swing.bar))
        trend = side
    return events


def blocks(bars: list[Bar]) -> list[Zone]:
    found: list[Zone] = []
    for event in breaks(bars):
        seen = turned(bars, event.side)
        fell = [j for j in range(event.swing, event.bar) if seen[j].close < seen[j].open]
        if not fell or any(z.side == event.side and z.origin == fell[-1] for z in found):
            continue
        if seen[event.bar].close > seen[fell[-1]].high:
            bar = bars[fell[-1]]
            found.append(Zone(event.bar, event.side, bar.low, bar.high, fell[-1]))
    return found


def gaps(bars: list[Bar]) -> list[Zone]:
    found, ranges = [], atr(bars)
    for side in (1, -1):
        seen = turned(bars, side)
        for b in range(2, len(bars)):
            low, high = seen[b - 2].high, seen[b].low
            if (
                high > low
                and seen[b - 1].close > seen[b - 1].open
                and high - low >= 0.1 * ranges[b]
            ):
                ends = sorted((side * low, side * high))
                found.append(Zone(b, side, ends[0], ends[1], b - 1))
    return found


def nearest_open(bars: list[Bar], zones: list[Zone], side: int) -> tuple[float, float]:
    """Of the zones that no bar since has reached."""
    seen = turned(bars, side)

    def near(z: Zone) -> float:
        return z.high if side > 0 else -z.low

    still = [
        z for z in zones
        if z.side == side and all(seen[c].low > near(z) for c in range(z.born + 1, len(bars)))
    ]  # fmt: skip
    if not still:
        return math.nan, math.nan
    best = max(still, key=near)
    return best.low, best.high


def grabs(bars: list[Bar]) -> list[Event]:
    events = []
    for side in (1, -1):
        seen, pierced = turned(bars, side), []
        for swing, span in _spans(bars, side):
            beyond = [b for b in span if seen[b].high > side * swing.px]
            if beyond:
                pierced.append((beyond[0], swing))
        for j, (bar, swing) in enumerate(pierced):
            newer = pierced[j + 1][0] if j + 1 < len(pierced) else len(bars)
            last = min(bar + WITHIN, newer - 1, len(bars) - 1)
            back = [c for c in range(bar, last + 1) if seen[c].close < side * swing.px]
            if back:
                events.append(Event(back[0], "grab", -side, swing.px, swing.bar))
    return sorted(events)


def cluster(bars: list[Bar], side: int) -> tuple[float, float, float]:
    """Price, strength and chance of the strongest place beyond the last close."""
    ranges, seen = atr(bars), turned(bars, side)
    width = 0.25 * ranges[-1]
    last = {s: swings(bars, s)[-SWINGS:] for s in (1, -1)}
    mine, every = last[side], [s.px for s in last[1] + last[-1]]
    standing = [
        side * s.px for s in mine
        if all(
            seen[c].high - (0.0 if math.isnan(ranges[c]) else 0.25 * ranges[c]) <= side * s.px
            for c in range(s.known + 1, len(bars))
        )
    ]  # fmt: skip
    found = []
    for px in (p for p in standing if p > seen[-1].close and width > 0):
        near = [p for p in standing if abs(p - px) <= 3 * width]
        weights = [_bell((p - px) / width) * (1 + 0.5 * _bell(_off(p) / width)) for p in near]
        total = sum(weights)
        together = sum(abs(p - px) <= width for p in standing)
        mean = sum(w * p for w, p in zip(weights, near, strict=True)) / total
        found.append((total, mean, together))
    if not found:
        return math.nan, math.nan, math.nan
    strength, px, together = max(found, key=lambda f: f[0])
    share = min(2 * width / max(max(every) - min(every), 1e-300), 1.0)
    return side * px, strength, chance(len(mine), together, share)


def chance(m: int, together: int, share: float) -> float:
    tail = math.fsum(
        math.comb(m - 1, j) * share**j * (1 - share) ** (m - 1 - j) for j in range(together - 1, m)
    )
    return min(m * tail, 1.0)


def _bell(u: float) -> float:
    return math.exp(-u * u / 2)


def _off(px: float) -> float:
    """How far from the next number of three digits; of prices from 100 to 999 a whole one."""
    assert 100 <= abs(px) < 1000
    return px - math.floor(px + 0.5)
