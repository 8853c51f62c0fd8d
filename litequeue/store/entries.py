"""What beat's entries are: those that code defines, those that people add, and how they change.

Code and people share the names.  What an app's code defines is brought up to date by
`reconcile`; what people added only they change, and pausing is theirs for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from litequeue.due import due, first
from litequeue.entry import Entry
from litequeue.exceptions import EntryExists, EntryNotFound, EntryOwned, ScheduleError
from litequeue.job import Job
from litequeue.store.connection import Database
from litequeue.store.driver import lenient, sqlite3
from litequeue.store.firing import (
    LINE,
    MANUAL,
    NEXT_VERSION,
    NOTE_TICK,
    PAUSED,
    EventOf,
    Line,
    Sending,
    add_tick,
    forget,
)
from litequeue.store.ticks import COLUMNS, FIELDS, entry_of

RESCHEDULED_BY: Final = ("schedule", "start", "end")
"""The fields whose change has an entry begin anew."""
TAKEN: Final = (
    "people have added an entry of this name to the file; remove that one, or give the one in the "
    "code another name"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRecord:
    """An entry and what became of it.  Moments are epoch seconds.

    ``owner`` is the app whose code defines it, None for people's.  ``next_*`` is the tick that
    comes next, ``held_*`` one that waits for the run before it, ``last_*`` the one that was sent
    last, when, and as which job; ``count`` is how many were sent.
    """

    entry: Entry
    id: int
    owner: str | None
    version: int
    created: float
    paused: float | None
    anchor: float
    planned: float
    next_key: str | None
    next_at: float | None
    next_due: float | None
    held_key: str | None
    held_at: float | None
    held_due: float | None
    last_at: float | None
    last_due: float | None
    last_fired: float | None
    last_job: str | None
    count: int
    forgotten: str | None
    last_state: str | None


@dataclass(frozen=True, slots=True)
class TickRow:
    """A tick that was dealt with.  ``note`` says why no job was sent, or why one was."""

    key: str
    at: float
    due: float
    fired: float
    job: str | None
    note: str | None
    state: str | None


# Looking

_STATE: Final = (
    "id", "owner", "version", "created", "paused", "anchor", "planned", "next_key", "next_at",
    "next_due", "held_key", "held_at", "held_due", "last_at", "last_due", "last_fired", "last_job",
    "count", "forgotten",
)  # fmt: skip
RECORDS: Final = f"""
SELECT {", ".join(f"entry.{name}" for name in _STATE)}, job.state, {COLUMNS}
FROM litequeue_entry AS entry LEFT JOIN litequeue_job AS job ON job.id = entry.last_job
ORDER BY entry.name
"""
RECORD: Final = RECORDS.replace("ORDER BY entry.name", "WHERE entry.name = ?")


def listed(database: Database) -> list[EntryRecord]:
    """Return all entries, by name."""
    with database.read() as connection, lenient(connection):
        return [_record_of(row) for row in connection.execute(RECORDS).fetchall()]


def get(database: Database, name: str) -> EntryRecord:
    """Return an entry; raises `EntryNotFound`."""
    with database.read() as connection, lenient(connection):
        return _get(connection, name)


def _get(connection: sqlite3.Connection, name: str) -> EntryRecord:
    row = connection.execute(RECORD, (name,)).fetchone()
    if row is None:
        raise EntryNotFound(name)
    return _record_of(row)


def _record_of(row: Sequence[Any]) -> EntryRecord:
    size = len(_STATE)
    state: dict[str, Any] = dict(zip(_STATE, row[:size], strict=True))
    return EntryRecord(entry=entry_of(row[size + 1 :]), last_state=row[size], **state)


HISTORY: Final = """
SELECT tick.key, tick.at, tick.due, tick.fired, tick.job, tick.note, job.state
FROM litequeue_entry AS entry CROSS JOIN litequeue_tick AS tick ON tick.entry = entry.id
LEFT JOIN litequeue_job AS job ON job.id = tick.job
WHERE entry.name = ? ORDER BY tick.number DESC LIMIT ?
"""


def history(database: Database, name: str, limit: int) -> list[TickRow]:
    """Return at most ``limit`` ticks that were dealt with, the newest first.

    Raises `EntryNotFound`.
    """
    with database.read() as connection, lenient(connection):
        _get(connection, name)
        return [TickRow(*row) for row in connection.execute(HISTORY, (name, limit)).fetchall()]


# What people do

ADD: Final = f"""
INSERT INTO litequeue_entry
    ({COLUMNS.replace("entry.", "")}, owner, created, paused, anchor, planned,
     next_key, next_at, next_due)
VALUES ({", ".join("?" * len(FIELDS))}, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING
"""


def add(database: Database, entry: Entry, now: float, *, paused: bool = False) -> None:
    """Store an entry of people's.  Raises `EntryExists`, and `ScheduleError` for its schedule."""
    row = _new_row(entry, None, now, paused=paused)
    with database.write(durable=True, rows=2) as connection:
        if not connection.execute(ADD, row).rowcount:
            raise EntryExists(entry.name)


def _new_row(
    entry: Entry, owner: str | None, now: float, *, paused: bool = False
) -> tuple[Any, ...]:
    since = now if paused else None
    return *_values(entry), owner, now, since, now, now, *_next(entry, now, now)


def _values(entry: Entry) -> tuple[Any, ...]:
    return tuple(getattr(entry, name) for name in FIELDS)


def _next(entry: Entry, anchor: float, now: float) -> tuple[Any, ...]:
    tick = first(entry, anchor, now)
    return (None, None, None) if tick is None else (tick.key, tick.at, due(entry, tick))


CHANGE: Final = f"""
UPDATE litequeue_entry
SET {", ".join(f"{name} = ?" for name in COLUMNS.replace("entry.", "").split(","))},
    owner = ?, {NEXT_VERSION}
WHERE id = ? AND CAST(owner AS BLOB) IS ?
"""
RESCHEDULE: Final = f"""
UPDATE litequeue_entry
SET anchor = ?, planned = ?, next_key = ?, next_at = ?, next_due = ?, {NEXT_VERSION}
WHERE id = ?
"""


def change(database: Database, name: str, changes: Mapping[str, Any], now: float) -> EntryRecord:
    """Change fields of an entry of people's; return what it is then.

    With another schedule, start or end it begins anew at ``now``; else its next tick stays.
    Raises `EntryNotFound`, `EntryOwned`, and `ScheduleError` for what makes no sense.
    """
    with database.write(durable=True, rows=2) as connection, lenient(connection):
        record = _own(connection, name)
        entry = replace(record.entry, **changes)
        if entry.name != name:
            raise ScheduleError(
                f"entry {name!r}: a name cannot be changed; add an entry of the new name, "
                "and remove this one"
            )
        if entry == record.entry:
            return record
        connection.execute(CHANGE, (*_values(entry), None, record.id, None))
        if _begins_anew(record.entry, entry):
            connection.execute(RESCHEDULE, (now, now, *_next(entry, now, now), record.id))
        return _get(connection, name)


def _own(connection: sqlite3.Connection, name: str) -> EntryRecord:
    """Return an entry of people's."""
    record = _get(connection, name)
    if record.owner is not None:
        raise EntryOwned(name, record.owner)
    return record


def _begins_anew(old: Entry, new: Entry) -> bool:
    return any(getattr(old, name) != getattr(new, name) for name in RESCHEDULED_BY)


REMOVE: Final = "DELETE FROM litequeue_entry WHERE id = ?"
REMOVE_TICKS: Final = "DELETE FROM litequeue_tick WHERE entry = ?"


def remove(database: Database, name: str, *, force: bool = False) -> None:
    """Delete an entry of people's and its history; the jobs it has sent stay.

    ``force``: also one that code defines.  Raises `EntryNotFound` and `EntryOwned`.
    """
    with database.write(durable=True, rows=2) as connection, lenient(connection):
        record = _get(connection, name) if force else _own(connection, name)
        connection.execute(REMOVE, (record.id,))
        connection.execute(REMOVE_TICKS, (record.id,))


PAUSE: Final = f"""
UPDATE litequeue_entry
SET paused = ?, held_key = NULL, held_at = NULL, held_due = NULL, {NEXT_VERSION}
WHERE id = ?
"""


def pause(database: Database, name: str, now: float) -> bool:
    """Have an entry send nothing, whoever defines it; False when it was paused before.

    A tick that waits for the run before it is dropped.  Raises `EntryNotFound`.
    """
    with database.write(durable=True, rows=2) as connection, lenient(connection):
        record = _get(connection, name)
        if record.paused is not None:
            return False
        connection.execute(PAUSE, (now, record.id))
        if record.held_key is not None:
            connection.execute(NOTE_TICK, (PAUSED, record.id, record.held_key))
        return True


RESUME: Final = f"""
UPDATE litequeue_entry
SET paused = NULL, planned = ?, next_key = ?, next_at = ?, next_due = ?, {NEXT_VERSION}
WHERE id = ?
"""


def resume(database: Database, name: str, now: float) -> bool:
    """Have an entry send again from ``now`` on; False when it was not paused.

    What was due meanwhile is not missed.  Raises `EntryNotFound`.
    """
    with database.write(durable=True, rows=2) as connection, lenient(connection):
        record = _get(connection, name)
        if record.paused is None:
            return False
        connection.execute(RESUME, (now, *_next(record.entry, record.anchor, now), record.id))
        return True


NAMED: Final = f"SELECT {LINE} FROM litequeue_entry WHERE name = ?"


def run_now(
    database: Database, name: str, job_id: str, now: float, *, event_of: EventOf | None = None
) -> Job:
    """Send an entry's job at once, even if it is paused or its last run has not ended.

    Its next tick stays.  Raises `EntryNotFound`, and `DuplicateJob` when the id is taken.
    """
    with database.write(durable=True, rows=4) as connection, lenient(connection):
        row = connection.execute(NAMED, (name,)).fetchone()
        if row is None:
            raise EntryNotFound(name)
        line = Line(*row)
        sending = Sending(connection, database, now, event_of)
        key = f"{MANUAL} {job_id}"
        job = sending.send(line, (key, now, now), job_id)
        add_tick(sending, line, (key, now, now), job_id, MANUAL)
        forget(connection, line, now)
        line.write(connection)
        sending.write_events()
    sending.done()
    return job


# What code defines


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What `reconcile` did: names of entries.

    ``taken`` are those that another app's code had defined, with that app; ``refused`` says of
    each why it is not used.
    """

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    taken: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


# An owner that others have written may be no text, and has to be said again as it is.
DEFINED: Final = f"""
SELECT entry.id, CAST(entry.owner AS BLOB), {COLUMNS} FROM litequeue_entry AS entry
"""
REMOVE_OWN: Final = f"{REMOVE} AND CAST(owner AS BLOB) IS ?"


class _Overtaken(Exception):
    """Somebody else has changed the entries meanwhile."""


def reconcile(database: Database, owner: str, entries: Iterable[Entry], now: float) -> Reconciled:
    """Have the file hold what the code of ``owner`` defines, and no more of that owner.

    An entry of people's stays, and the code's of the same name is refused; one of another app's
    code goes over.  Pauses stay.  What is unchanged is not written.
    """
    wanted = {entry.name: entry for entry in entries}
    while True:
        done, steps = _compare(database, owner, wanted, now)
        if not steps:
            return done
        try:
            with database.write(durable=True, rows=2 * len(steps)) as connection:
                for leading, *others in steps:
                    if not connection.execute(*leading).rowcount:
                        raise _Overtaken
                    for statement in others:
                        connection.execute(*statement)
            return done
        except _Overtaken:
            continue


_Step = tuple[tuple[str, tuple[Any, ...]], ...]
"""Statements about one entry; where the first finds no row, somebody else was there."""


def _compare(
    database: Database, owner: str, wanted: Mapping[str, Entry], now: float
) -> tuple[Reconciled, list[_Step]]:
    """Return what is to be done, outside of the write lock: it takes long for many entries."""
    with database.read() as connection, lenient(connection):
        rows = connection.execute(DEFINED).fetchall()
    found = {name: (id, whose, (name, *rest)) for id, whose, name, *rest in rows}
    done, steps, own = Reconciled(), list[_Step](), owner.encode()
    for name, entry in wanted.items():
        try:
            if name not in found:
                steps.append(((ADD, _new_row(entry, owner, now)),))
                done.added.append(name)
                continue
            id, whose, values = found[name]
            if whose is None:
                done.refused[name] = TAKEN
            elif whose != own or values != _values(entry):
                steps.append(_changed(id, (whose, owner), entry_of(values), entry, now))
                done.changed.append(name)
                if whose != own:
                    done.taken[name] = whose.decode(errors="replace")
        except ScheduleError as error:
            done.refused[name] = str(error)
    for name, (id, whose, _) in found.items():
        if whose == own and name not in wanted:
            steps.append(((REMOVE_OWN, (id, own)), (REMOVE_TICKS, (id,))))
            done.removed.append(name)
    return done, steps


def _changed(id: int, owners: tuple[bytes, str], old: Entry, new: Entry, now: float) -> _Step:
    whose, owner = owners
    changing = (CHANGE, (*_values(new), owner, id, whose))
    if not _begins_anew(old, new):
        return (changing,)
    return changing, (RESCHEDULE, (now, now, *_next(new, now, now), id))
