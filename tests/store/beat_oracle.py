"""What beat has to send, from the enumeration of schedules and the words of the policies alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from litequeue import schedules
from litequeue.entry import Entry, jitter_of
from litequeue.schedules import Tick

AT_ONCE = 100
"""Ticks of one entry that may go in one transaction; the rest is decided about anew."""


def ticks_of(entry: Entry, anchor: float, since: float) -> Iterator[Tick]:
    """Yield the ticks of an entry that are later than ``since``, between its start and its end."""
    schedule = schedules.load(entry.schedule)
    tick = schedule.after(since, anchor=anchor)
    while tick is not None and (entry.end is None or tick.at <= entry.end):
        if entry.start is None or tick.at >= entry.start:
            yield tick
        tick = schedule.after(tick.at, anchor=anchor)


def due_at(entry: Entry, tick: Tick) -> float:
    """Return when a tick is to be sent: put off by less than the time to the next one."""
    following = schedules.load(entry.schedule).after(tick.at, anchor=tick.at)
    room = entry.jitter if following is None else min(entry.jitter, following.at - tick.at)
    return tick.at + (jitter_of(entry.name, tick.key, room) if room else 0.0)


@dataclass(slots=True)
class Expected:
    """One entry as it should be: ``since`` is up to when its ticks are dealt with."""

    entry: Entry
    anchor: float
    since: float
    is_paused: bool = False
    version: int = 0
    """Grows with everything that happens to it."""
    sent: list[float] = field(default_factory=list)

    def missed(self, now: float) -> list[Tick]:
        found: list[Tick] = []
        for tick in ticks_of(self.entry, self.anchor, self.since):
            if due_at(self.entry, tick) > now:
                return found
            found.append(tick)
        return found

    def serve(self, now: float) -> None:
        """Have a beat deal with it, in one transaction."""
        missed = [] if self.is_paused else self.missed(now)
        if not missed:
            return
        entry = self.entry
        grace = 60.0 if entry.grace is None and entry.misfire == "skip" else entry.grace
        newest = missed[-entry.catch_up :] if entry.misfire == "all" else missed[-1:]
        wanted = [tick for tick in newest if grace is None or now - due_at(entry, tick) <= grace]
        self.version += 1
        self.sent += [tick.at for tick in wanted[:AT_ONCE]]
        self.since = wanted[AT_ONCE - 1].at if len(wanted) > AT_ONCE else missed[-1].at

    def edit(self, changes: dict[str, Any], now: float) -> None:
        self.version += 1
        old, self.entry = self.entry, replace(self.entry, **changes)
        if old.schedule != self.entry.schedule:
            self.anchor = self.since = now

    def pause(self) -> None:
        self.is_paused = True
        self.version += 1

    def resume(self, now: float) -> None:
        if self.is_paused:
            self.is_paused, self.since = False, now
            self.version += 1
