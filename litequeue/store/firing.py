"""One transaction of beat: ticks are noted, their jobs stored, what stands in their way is heeded.

`Sending` collects what the transaction does, `Line` is the row of the entry it works on.  The verbs
that begin and end such a transaction are in `ticks` and `entries`.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from litequeue import states
from litequeue.exceptions import DuplicateJob
from litequeue.job import Job
from litequeue.store import events as happenings
from litequeue.store import gaps, revocations
from litequeue.store.connection import Database
from litequeue.store.driver import sqlite3
from litequeue.store.events import EventRow
from litequeue.store.jobs import ADD_JOB, ADD_PAYLOAD
from litequeue.store.settle import Keep
from litequeue.store.storing import ADD_QUEUE

KEPT_TICKS: Final = 100
"""Ticks that are kept of every entry: the newest, and those whose runs others wait for."""
FORGET_EVERY: Final = 10
"""Ticks between two looks for those that are too many: a tick costs a third less."""
SIGNAL: Final = "SIGTERM"
"""Ends the run that a tick is not to overlap with, under "cancel"."""

_REFUSED: Final = (sqlite3.IntegrityError, sqlite3.DataError)

OVERLAP: Final = "overlap"
HELD: Final = "held"
MANUAL: Final = "manual"
PAUSED: Final = "paused"

Moment = tuple[str, float, float]
"""A tick: its key, its moment, and that with the jitter."""
EventOf = Callable[[Job, float], EventRow | None]
"""Makes the event of a job that is being sent."""


@dataclass(frozen=True, slots=True)
class Fired:
    """What was done: ``jobs`` are (name of the entry, key of the tick, id) of what was sent.

    ``revoked`` are the runs that were called off, among them those that have ``ended`` by it;
    ``held`` counts the ticks that wait now.
    """

    jobs: list[tuple[str, str, str]] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    held: int = 0


MOST: Final = (1 << 62) - 1
NEXT_VERSION: Final = f"version = (version & {MOST}) + 1"
"""It grows; and a row that others have written has no last version, which none could follow."""
LINE: Final = """
    id, name, task, queue, priority, expires, overlap, options, body, held_key, held_at,
    held_due, last_at, last_due, last_fired, last_job, count, forgotten, version, planned, next_key,
    next_at, next_due, jitter, created"""
"""The columns of a `Line`, in the order of its fields."""
REMEMBER: Final = """
UPDATE litequeue_entry
SET held_key = ?, held_at = ?, held_due = ?, last_at = ?, last_due = ?, last_fired = ?,
    last_job = ?, count = ?, forgotten = ?, version = ?, planned = ?, next_key = ?, next_at = ?,
    next_due = ?
WHERE id = ?
"""


@dataclass(slots=True)
class Line:
    """An entry's row while a transaction works on it; its fields are those of `LINE`."""

    id: int
    name: str
    task: str
    queue: str
    priority: int
    expires: float | None
    overlap: str
    options: str | None
    body: str
    held_key: str | None
    held_at: float | None
    held_due: float | None
    last_at: float | None
    last_due: float | None
    last_fired: float | None
    last_job: str | None
    count: int
    forgotten: str | None
    version: int
    planned: float
    next_key: str | None
    next_at: float | None
    next_due: float | None
    jitter: float
    created: float
    has_many_ticks: bool = False

    def held(self) -> Moment | None:
        """Return the tick that waits for the run before it."""
        if self.held_key is None or self.held_at is None or self.held_due is None:
            return None
        return self.held_key, self.held_at, self.held_due

    def hold(self, tick: Moment | None) -> None:
        """Have a tick wait, or none."""
        self.held_key, self.held_at, self.held_due = tick or (None, None, None)

    def has_forgotten(self, at: float) -> bool:
        """Tell whether a tick was dealt with, and its row is gone."""
        return gaps.holds(self.forgotten, self.created, at)

    def follow(self, key: str | None, at: float | None, due: float | None, now: float) -> None:
        """Have the entry wait for its next tick, as planned at ``now``; None for none."""
        self.version = (self.version & MOST) + 1
        self.planned, self.next_key, self.next_at, self.next_due = now, key, at, due

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what has changed."""
        row = (
            self.held_key, self.held_at, self.held_due, self.last_at, self.last_due,
            self.last_fired, self.last_job, self.count, self.forgotten, self.version,
            self.planned, self.next_key, self.next_at, self.next_due, self.id,
        )  # fmt: skip
        connection.execute(REMEMBER, row)


class Unusable(Exception):
    """The row of an entry holds what cannot be used."""

    def __init__(self, id: int, version: int, name: str) -> None:
        super().__init__(name)
        self.id = id
        self.version = version
        self.name = name


@contextlib.contextmanager
def naming(line: Line) -> Iterator[None]:
    """Raise `Unusable` for what a row holds that cannot be: others may write to the file, too."""
    version = line.version  # as it was read
    try:
        yield
    except (ArithmeticError, TypeError, ValueError, *_REFUSED) as error:
        raise Unusable(line.id, version, line.name) from error


class Sending:
    """What one transaction sends at ``now`` (epoch seconds), with the queues and events of it."""

    __slots__ = ("_event_of", "_events", "_known", "_queues", "connection", "fired", "held", "now")

    def __init__(
        self,
        connection: sqlite3.Connection,
        database: Database,
        now: float,
        event_of: EventOf | None,
    ) -> None:
        self.connection: sqlite3.Connection = connection
        self.now: float = now
        self.fired: Fired = Fired()
        self.held: int = 0
        self._known = database.known_queues
        self._event_of = event_of
        self._queues: set[str] = set()
        self._events: list[EventRow] = []

    def send(self, line: Line, tick: Moment, id: str) -> Job:
        """Store the job of a tick; raises `DuplicateJob`."""
        key, at, due = tick
        expires = None if line.expires is None else self.now + line.expires
        job = Job(
            id, line.task, line.body, line.queue, line.priority,
            expires=expires, options=_options(line, at),
        )  # fmt: skip
        if job.queue not in self._known and job.queue not in self._queues:
            self.connection.execute(ADD_QUEUE, (job.queue,))
            self._queues.add(job.queue)
        row = (id, job.task, job.queue, job.priority, states.READY, None, expires, self.now, None)
        if not self.connection.execute(ADD_JOB, row).rowcount:
            raise DuplicateJob(id)
        self.connection.execute(ADD_PAYLOAD, (job.body, job.options))
        event = None if self._event_of is None else self._event_of(job, self.now)
        if event is not None:
            self._events.append(event)
        line.last_at, line.last_due, line.last_fired, line.last_job = at, due, self.now, id
        line.count = (line.count & MOST) + 1
        self.fired.jobs.append((line.name, key, id))
        return job

    def write_events(self) -> None:
        """Write the events of what was sent."""
        if self._events:
            happenings.add(self.connection, self._events)

    def done(self) -> Fired:
        """Return what the transaction did, once it is committed."""
        self._known.update(self._queues)
        made = self.fired
        return Fired(made.jobs, made.revoked, made.ended, self.held)


def _options(line: Line, at: float) -> str:
    try:
        options = json.loads(line.options or "{}")
    except (ValueError, RecursionError):  # no sender of ours writes such options
        options = {}
    if not isinstance(options, dict):
        options = {}
    told = {**options, "entry": line.name, "tick": at}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


# Ticks

ADD_TICK: Final = """
INSERT INTO litequeue_tick (entry, key, number, at, due, fired, job, note)
SELECT ?1, ?2, coalesce(max(number), 0) + 1, ?3, ?4, ?5, ?6, ?7 FROM litequeue_tick WHERE entry = ?1
ON CONFLICT (entry, key) DO NOTHING RETURNING number
"""
NOTE_TICK: Final = "UPDATE litequeue_tick SET job = NULL, note = ? WHERE entry = ? AND key = ?"


def add_tick(sending: Sending, line: Line, tick: Moment, id: str, note: str | None = None) -> bool:
    """Write the row of a tick; False when there was one."""
    row = (line.id, *tick, sending.now, id, note)
    added = sending.connection.execute(ADD_TICK, row).fetchall()
    for (number,) in added:
        line.has_many_ticks |= number % FORGET_EVERY == 0
    return bool(added)


HIGHEST: Final = "SELECT max(at) FROM litequeue_tick WHERE entry = ? AND note IS NOT 'manual'"


def skip(sending: Sending, line: Line, until: float) -> None:
    """Take note that the next tick of an entry and those before ``until`` are not sent."""
    if line.next_at is None or until <= line.next_at:
        return
    # Up to the highest that was dealt with the gaps are known: the clock may have been put back.
    row = sending.connection.execute(HIGHEST, (line.id,)).fetchone()
    known, _ = gaps.read(line.forgotten, line.created)
    start = max(line.next_at, math.nextafter(max(row[0] or 0.0, known), math.inf))
    if start < until:
        line.forgotten = gaps.opened(line.forgotten, line.created, (start, until), sending.now)


def fire_tick(sending: Sending, line: Line, tick: Moment, id: str, keep: Keep) -> None:
    """Deal with a tick as its entry's overlap says, unless that was done before."""
    key, at, _ = tick
    if line.has_forgotten(at):
        return
    if not add_tick(sending, line, tick, id):
        return  # it was, and then the clock was put back
    line.forgotten = gaps.closed(line.forgotten, line.created, at)
    note = None if line.overlap == "allow" else _stand_aside(sending, line, tick, keep)
    if note is None:
        sending.send(line, tick, id)
    else:
        sending.connection.execute(NOTE_TICK, (note, line.id, key))


PRUNE: Final = f"""
DELETE FROM litequeue_tick AS tick
WHERE entry = ?1
  AND number <= (SELECT max(number) FROM litequeue_tick WHERE entry = ?1) - {KEPT_TICKS}
  AND at <= ?2
RETURNING at, note
"""
# A run may take longer than a hundred ticks, and is to be seen as long as it takes.
PRUNE_ENDED: Final = PRUNE.replace(
    "RETURNING",
    """
  AND key IS NOT ?3
  AND NOT EXISTS (
      SELECT 1 FROM litequeue_job AS job WHERE job.id = tick.job AND job.phase <> 'done')
RETURNING""",
)


def forget(connection: sqlite3.Connection, line: Line, now: float) -> None:
    """Delete the oldest ticks of an entry; remember when all have been dealt with."""
    if not line.has_many_ticks:
        return
    # Jitter mixes the order of ticks: a younger one than this may have been sent before its elder.
    until = now - line.jitter
    if line.overlap == "allow" and line.held_key is None:
        gone = connection.execute(PRUNE, (line.id, until)).fetchall()
    else:
        gone = connection.execute(PRUNE_ENDED, (line.id, until, line.held_key)).fetchall()
    line.forgotten = gaps.extended(
        line.forgotten, line.created, [at for at, note in gone if note != MANUAL]
    )


# Overlap

# Of a task that it does not send any more an entry has no runs: nobody may know it any more.
UNFINISHED: Final = """
SELECT job.id FROM litequeue_tick AS tick CROSS JOIN litequeue_job AS job ON job.id = tick.job
WHERE tick.entry = ?1 AND job.phase <> 'done'
  AND job.task = (SELECT task FROM litequeue_entry WHERE id = ?1)
ORDER BY tick.number DESC LIMIT ?2
"""


def unfinished(connection: sqlite3.Connection, entry: int, limit: int) -> list[str]:
    """Return the newest runs of an entry that have not ended; ``limit`` -1 for all."""
    return [id for (id,) in connection.execute(UNFINISHED, (entry, limit)).fetchall()]


def _stand_aside(sending: Sending, line: Line, tick: Moment, keep: Keep) -> str | None:
    """Return why a tick is not sent now, None where it is."""
    if line.overlap == "cancel":
        return _cancel(sending, line, tick, keep)
    if line.overlap == "queue" and line.held_key is not None:
        return OVERLAP  # one waits; it goes first, even if the run has ended by now
    if not unfinished(sending.connection, line.id, 1):
        return None
    if line.overlap == "skip":
        return OVERLAP
    line.hold(tick)
    sending.held += 1
    return HELD


def _cancel(sending: Sending, line: Line, tick: Moment, keep: Keep) -> str | None:
    """Call the unfinished runs off; a tick waits until those that run have ended."""
    connection = sending.connection
    if line.held_key is not None:
        connection.execute(NOTE_TICK, (OVERLAP, line.id, line.held_key))
        line.hold(None)
    runs = unfinished(connection, line.id, -1)
    if not runs:
        return None
    revoked = revocations.revoke_within(
        connection, runs, terminate=True, signal=SIGNAL, now=sending.now, keep=keep
    )
    sending.fired.ended.extend(revoked.ended)
    sending.fired.revoked.extend(runs)
    if not revoked.stands:
        return None
    line.hold(tick)
    sending.held += 1
    return HELD
