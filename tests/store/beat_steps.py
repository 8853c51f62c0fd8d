"""The verbs of entries and ticks with everything filled in that a test does not care about."""

from __future__ import annotations

import os
from itertools import count
from typing import Any

from litequeue import schedules
from litequeue.due import due, first
from litequeue.entry import Entry, Firing
from litequeue.schedules import Tick
from litequeue.store import Database, entries, ticks
from litequeue.store.firing import Fired
from litequeue.store.ticks import Planned
from tests.store.steps import KEEP, NOW, claim_one, rows, step, success

_numbers = count(1)


def every(seconds: float, *, aligned: bool = False) -> str:
    return schedules.dump(schedules.interval(seconds, aligned=aligned))


def line(name: str = "nightly", seconds: float = 10.0, **more: Any) -> Entry:
    """Make an entry that is due every ``seconds``."""
    values: dict[str, Any] = {
        "schedule": every(seconds), "task": "t", "body": "[[],{}]", "queue": "default",
    }  # fmt: skip
    return Entry(name=name, **(values | more))


def add(database: Database, *names: str, now: float = NOW, **fields: Any) -> None:
    for name in names:
        entries.add(database, line(name, **fields), now)


def new_id() -> str:
    return f"sent-{os.getpid()}-{next(_numbers):06}"


def planned(row: Planned, now: float, *, pending: Tick, most: int = 1) -> Firing:
    """Plan the newest ``most`` ticks that are due at ``now``, from ``pending`` on."""
    found, tick = [pending], first(row.entry, row.anchor, pending.at)
    while tick is not None and due(row.entry, tick) <= now:
        found.append(tick)
        tick = first(row.entry, row.anchor, tick.at)
    told = tuple((each.key, each.at, due(row.entry, each), new_id()) for each in found[-most:])
    if tick is None:
        return Firing(row.id, row.version, told, None, None, None)
    return Firing(row.id, row.version, told, tick.key, tick.at, due(row.entry, tick))


def plan_all(database: Database, now: float, *, most: int = 1) -> list[Firing]:
    return [
        planned(row, now, pending=Tick(row.next_key, row.next_at), most=most)
        for row in ticks.due(database, now, 100)
    ]


def beat(database: Database, now: float, *, most: int = 1) -> Fired:
    """Send all that is due, as one beat would."""
    return ticks.fire(database, plan_all(database, now, most=most), now, keep=KEEP)


def release(database: Database, now: float) -> Fired:
    return ticks.release_held(database, now, new_id)


def replan(database: Database, now: float) -> int:
    plans = []
    for row in ticks.behind(database, now):
        tick = first(row.entry, row.anchor, now)
        plans.append((row, tick, None if tick is None else due(row.entry, tick)))
    return ticks.replan(database, plans, now)


def sent(database: Database) -> list[str]:
    """Return the ids of the jobs in the order in which they were stored."""
    return [id for (id,) in rows(database.path, "SELECT id FROM litequeue_job ORDER BY seq")]


def notes(database: Database, name: str = "nightly") -> list[tuple[float, str | None]]:
    """Return (seconds after NOW, note, or "sent") of every tick, the oldest first."""
    told = entries.history(database, name, 1000)
    return [(row.at - NOW, row.note or (row.job and "sent")) for row in reversed(told)]


def fire_often(database: Database, start: float, count: int) -> None:
    """Send ``count`` ticks, ten seconds apart."""
    database.set_durability("process")  # what is synced after each is tested elsewhere
    for number in range(1, count + 1):
        beat(database, start + 10 * number)


def run_one(database: Database, now: float) -> str:
    """Run the job that waits longest to its end; return its id."""
    lease = claim_one(database, now=now)
    step(database, success(lease), now=now)
    return lease.id
