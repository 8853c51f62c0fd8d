"""The hot verbs of beat: what is due, firing it, and sending what had to wait.

A tick, its job and the entry's next moment are one commit, and the row of a tick has a unique key:
however many beats there are, and wherever one dies, nothing is sent twice and nothing is lost.
Beat plans outside of the write lock, and says which version of an entry it has planned for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from litequeue.entry import Entry, Firing
from litequeue.schedules import Tick
from litequeue.store.connection import Database
from litequeue.store.driver import lenient
from litequeue.store.firing import (
    LINE,
    NEXT_VERSION,
    EventOf,
    Fired,
    Line,
    Sending,
    fire_tick,
    forget,
    naming,
    skip,
    unfinished,
)
from litequeue.store.settle import Keep

AT_ONCE: Final = 100
"""Ticks that have waited, sent per transaction."""
REPLANNED_AT_ONCE: Final = 500

COLUMNS: Final = """
    entry.name, entry.schedule, entry.task, entry.body, entry.queue, entry.priority, entry.options,
    entry.expires, entry.misfire, entry.grace, entry.catch_up, entry.overlap, entry.jitter,
    entry.starts, entry.ends"""
"""The fields of an `Entry`, in their order."""
FIELDS: Final = tuple(Entry.__dataclass_fields__)


def entry_of(values: Sequence[Any]) -> Entry:
    """Make an entry of what `COLUMNS` gave, as it is: what is wrong with it, its use will show.

    A row that `Entry` refuses would else keep its reader from all others.
    """
    entry = object.__new__(Entry)
    for name, value in zip(FIELDS, values, strict=True):
        object.__setattr__(entry, name, value)
    return entry


@dataclass(frozen=True, slots=True)
class Planned:
    """An entry as it was at ``version``: its row's id, and what an interval counts from."""

    entry: Entry
    id: int
    version: int
    anchor: float


@dataclass(frozen=True, slots=True)
class DueEntry(Planned):
    """An entry with the tick that is due: its key, its moment, and that with the jitter."""

    next_key: str
    next_at: float
    next_due: float


# What is due

_NONE: Final[Mapping[int, int]] = {}
NEXT_DUE: Final = """
SELECT id, version, next_due FROM litequeue_entry
WHERE next_due IS NOT NULL AND paused IS NULL ORDER BY next_due LIMIT ?
"""


def next_due(database: Database, ignoring: Mapping[int, int] = _NONE) -> float | None:
    """Return when the next entry is due (epoch seconds), None without one.

    ``ignoring`` are entries (id to version) that do not count.
    """
    with database.read() as connection:
        rows = connection.execute(NEXT_DUE, (1 + len(ignoring),)).fetchall()
    return next((due for id, version, due in rows if ignoring.get(id) != version), None)


DUE: Final = f"""
SELECT entry.id, entry.version, entry.anchor, entry.next_key, entry.next_at, entry.next_due,
       {COLUMNS}
FROM litequeue_entry AS entry
WHERE entry.paused IS NULL AND entry.next_due <= ? ORDER BY entry.next_due LIMIT ?
"""


def due(database: Database, now: float, limit: int) -> list[DueEntry]:
    """Return at most ``limit`` entries that are due at ``now``, those that wait longest first."""
    with database.read() as connection, lenient(connection):
        rows = connection.execute(DUE, (now, limit)).fetchall()
    return [
        DueEntry(entry_of(values), id, version, anchor, key, at, moment)
        for id, version, anchor, key, at, moment, *values in rows
    ]


# Firing

AS_PLANNED: Final = (
    f"SELECT {LINE} FROM litequeue_entry WHERE id = ? AND version = ? AND paused IS NULL"
)


def fire(
    database: Database,
    firings: Sequence[Firing],
    now: float,
    *,
    keep: Keep,
    wait: float | None = None,
    event_of: EventOf | None = None,
) -> Fired:
    """Send what was planned and have each entry wait for its next tick, in one transaction.

    What another beat or a change has overtaken is left alone.  ``wait`` is how many seconds to
    wait for other writers.  Raises `StoreError`; then nothing happened, or (after an I/O error)
    all of it; and `Unusable`, after which nothing happened.
    """
    if not firings:
        return Fired()
    rows = sum(2 + 3 * len(firing.ticks) for firing in firings)
    with (
        database.write(durable=True, rows=rows, wait=wait) as connection,
        lenient(connection),
    ):
        sending = Sending(connection, database, now, event_of)
        for firing in firings:
            _fire(sending, firing, keep)
        sending.write_events()
    return sending.done()


def _fire(sending: Sending, firing: Firing, keep: Keep) -> None:
    connection, now = sending.connection, sending.now
    row = connection.execute(AS_PLANNED, (firing.entry, firing.version)).fetchone()
    if row is None:
        return
    line = Line(*row)
    with naming(line):
        sent = [tick[1] for tick in firing.ticks]
        skip(sending, line, (sent or [firing.next_at or now])[0])
        for key, at, due, id in firing.ticks:
            fire_tick(sending, line, (key, at, due), id, keep)
        forget(connection, line, now)
        line.follow(firing.next_key, firing.next_at, firing.next_due, now)
        line.write(connection)


# What waits for the run before it

ANY_HELD: Final = """
SELECT held_due FROM litequeue_entry
WHERE held_due IS NOT NULL AND paused IS NULL ORDER BY held_due LIMIT 1
"""


def held(database: Database) -> bool:
    """Tell whether a tick waits for an unfinished run."""
    with database.read() as connection:
        return connection.execute(ANY_HELD).fetchone() is not None


# The last run is asked about first: it is the one that has not ended, as a rule.
FREE: Final = """
SELECT entry.id, entry.version FROM litequeue_entry AS entry
WHERE entry.held_due IS NOT NULL AND entry.paused IS NULL
  AND NOT EXISTS (
      SELECT 1 FROM litequeue_job AS job
      WHERE job.id = entry.last_job AND job.phase <> 'done' AND job.task = entry.task)
  AND NOT EXISTS (
      SELECT 1 FROM litequeue_tick AS tick CROSS JOIN litequeue_job AS job ON job.id = tick.job
      WHERE tick.entry = entry.id AND job.phase <> 'done' AND job.task = entry.task)
ORDER BY entry.held_due LIMIT ?
"""
AS_HELD: Final = (
    f"SELECT {LINE} FROM litequeue_entry WHERE id = ? AND held_due IS NOT NULL AND paused IS NULL"
)
SEND_TICK: Final = "UPDATE litequeue_tick SET job = ?, fired = ? WHERE entry = ? AND key = ?"


def release_held(
    database: Database,
    now: float,
    make_id: Callable[[], str],
    *,
    ignoring: Mapping[int, int] = _NONE,
    wait: float | None = None,
    event_of: EventOf | None = None,
) -> Fired:
    """Send the ticks whose entries have no unfinished run any more, some per call.

    ``ignoring`` are entries (id to version) to leave alone, ``wait`` is how many seconds to wait
    for other writers.  Raises as `fire` does.
    """
    with database.read() as connection:
        rows = connection.execute(FREE, (AT_ONCE + len(ignoring),)).fetchall()
    free = [entry for entry, version in rows if ignoring.get(entry) != version]
    if not free:
        return Fired()
    with (
        database.write(durable=True, rows=4 * len(free), wait=wait) as connection,
        lenient(connection),
    ):
        sending = Sending(connection, database, now, event_of)
        for entry in free:
            row = connection.execute(AS_HELD, (entry,)).fetchone()
            if row is not None and not unfinished(connection, entry, 1):
                _release(sending, Line(*row), make_id())
        sending.write_events()
    return sending.done()


def _release(sending: Sending, line: Line, id: str) -> None:
    if (tick := line.held()) is None:
        return
    with naming(line):
        sending.send(line, tick, id)
        sending.connection.execute(SEND_TICK, (id, sending.now, line.id, tick[0]))
        line.hold(None)
        line.write(sending.connection)


# After the clock was put back

_PLANNED: Final = f"entry.id, entry.version, entry.anchor, {COLUMNS} FROM litequeue_entry AS entry"
BEHIND: Final = f"""
SELECT {_PLANNED}
WHERE entry.planned > ?1 AND entry.paused IS NULL
  AND (entry.next_at IS NULL OR entry.next_at > ?1)
"""


def behind(database: Database, now: float) -> list[Planned]:
    """Return the entries that were planned after ``now``, which is when the clock was wrong.

    Not those whose next tick has come all the same: it is still to be sent.  It reads all
    entries: for a start, and for when the clock was put back.
    """
    return _planned(database, BEHIND, now)


LOCAL: Final = f"""
SELECT {_PLANNED}
WHERE entry.schedule LIKE '%"tz":"local"%' AND entry.next_at > ? AND entry.paused IS NULL
"""


def local(database: Database, now: float) -> list[Planned]:
    """Return the entries in the machine's own zone whose next tick is later than ``now``.

    It reads all entries: for a start, and for when the machine has moved to another zone.
    """
    return _planned(database, LOCAL, now)


def _planned(database: Database, query: str, now: float) -> list[Planned]:
    with database.read() as connection, lenient(connection):
        rows = connection.execute(query, (now,)).fetchall()
    return [Planned(entry_of(values), id, version, anchor) for id, version, anchor, *values in rows]


REPLAN: Final = f"""
UPDATE litequeue_entry
SET {NEXT_VERSION}, planned = ?1, next_key = ?2, next_at = ?3, next_due = ?4
WHERE id = ?5 AND version = ?6 AND paused IS NULL AND (planned > ?1 OR next_at IS NOT ?3)
"""


def replan(
    database: Database, plans: Sequence[tuple[Planned, Tick | None, float | None]], now: float
) -> int:
    """Have entries wait for other ticks (each with when it is due); return how many do.

    What was changed since it was read is left alone, and so is what waits for that tick already.
    """
    changed = 0
    for start in range(0, len(plans), REPLANNED_AT_ONCE):
        some = plans[start : start + REPLANNED_AT_ONCE]
        rows = [
            (now, tick and tick.key, tick and tick.at, due, each.id, each.version)
            for each, tick, due in some
        ]
        with database.write(durable=True, rows=len(rows)) as connection:
            changed += connection.executemany(REPLAN, rows).rowcount
    return changed
