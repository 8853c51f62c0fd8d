"""When an entry is due: its schedule, between its start and its end, put off by its jitter."""

from __future__ import annotations

import math
from collections.abc import Iterator

from litequeue import schedules
from litequeue.entry import Entry, jitter_of
from litequeue.schedules import Tick


def first(entry: Entry, anchor: float, moment: float) -> Tick | None:
    """Return the first tick of ``entry`` that is later than ``moment``, None without one.

    ``anchor`` is what an interval counts from, all in epoch seconds.
    """
    if entry.start is not None and entry.start > moment:
        moment = math.nextafter(entry.start, -math.inf)  # a tick at the very start counts
    tick = schedules.load(entry.schedule).after(moment, anchor=anchor)
    if tick is None or (entry.end is not None and tick.at > entry.end):
        return None
    return tick


def due(entry: Entry, tick: Tick) -> float:
    """Return when a tick is to be sent: before the next one, whatever the jitter.

    So ticks keep their order, and one that is put off is never taken for a missed one.
    """
    if not entry.jitter:
        return tick.at
    following = schedules.load(entry.schedule).after(tick.at, anchor=tick.at)
    room = entry.jitter if following is None else min(entry.jitter, following.at - tick.at)
    return tick.at + jitter_of(entry.name, tick.key, room)


def upcoming(entry: Entry, anchor: float, moment: float) -> Iterator[float]:
    """Yield the moments of the ticks after ``moment``, without jitter."""
    tick = first(entry, anchor, moment)
    while tick is not None:
        yield tick.at
        tick = first(entry, anchor, tick.at)
