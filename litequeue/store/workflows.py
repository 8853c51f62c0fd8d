"""Storing workflows, and what concerns all of one.  What moves them on is `advance`.

A small workflow is stored in one transaction, or not at all.  A huge group comes in chunks: its
members run meanwhile, but nothing gets their results before the last chunk is in.  Who was cut off
between two of them stores the same plan again, which goes on where it was.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final

from litequeue import states
from litequeue.exceptions import DuplicateJob, EnqueueUncertain
from litequeue.flow import Edge, FanIn, Plan, Step
from litequeue.store import events as happenings
from litequeue.store import revocations
from litequeue.store.connection import Database
from litequeue.store.driver import sqlite3
from litequeue.store.errors import IOFailure
from litequeue.store.events import EventRow
from litequeue.store.jobs import ADD_PAYLOADS, ADD_QUEUE, LAST_SEQ
from litequeue.store.revocations import Revoked
from litequeue.store.settle import ROW, Keep

CHUNK: Final = 10_000
"""Steps or edges stored per transaction."""

ADD_FANIN: Final = """
INSERT INTO litequeue_fanin (name, policy) VALUES (?, ?) ON CONFLICT (name) DO NOTHING
"""
FANINS: Final = """
SELECT name, id FROM litequeue_fanin WHERE name IN (SELECT value FROM json_each(?))
"""
ADD_STEP: Final = """
INSERT INTO litequeue_job
    (id, task, queue, priority, phase, eta, expires, created, parent, flow, seq)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
GROW: Final = "UPDATE litequeue_fanin SET waiting = waiting + ? WHERE id = ?"
IS_STORED: Final = "SELECT 1 FROM litequeue_job WHERE id = ?"
ADD_EDGE: Final = """
INSERT INTO litequeue_edge (source, place, target, kind)
SELECT source.seq, ?, target.seq, ? FROM litequeue_job AS source, litequeue_job AS target
WHERE source.id = ? AND target.id = ? ON CONFLICT (source, place) DO NOTHING
"""
# What has ended before its edges came is looked at again.
LOOK_AGAIN: Final = """
INSERT OR REPLACE INTO litequeue_advance (job)
SELECT seq FROM litequeue_job WHERE id = ? AND phase = 'done'
"""
SEAL: Final = """
UPDATE litequeue_fanin
SET target = (SELECT seq FROM litequeue_job WHERE id = ?2), waiting = waiting - 1,
    size = (SELECT count(*) FROM litequeue_job WHERE flow = ?1 AND flow > 0)
WHERE id = ?1 AND size IS NULL
"""
LOOK_AT_TARGET: Final = """
INSERT OR REPLACE INTO litequeue_advance (job)
SELECT target FROM litequeue_fanin WHERE id = ? AND waiting = 0 AND target IS NOT NULL
"""


def insert(
    database: Database,
    plan: Plan,
    now: float,
    *,
    events: Sequence[EventRow] = (),
    wait: float | None = None,
    chunk: int = CHUNK,
) -> None:
    """Store a workflow; ``events`` are stored with its end.

    ``wait`` is in seconds, for other writers, before the first of it is stored.

    Storing the very same plan again changes nothing, or goes on where it was cut off.  Raises as
    `litequeue.store.jobs.enqueue_many` does.
    """
    storing = _Storing(plan, now)
    steps, edges = _chunks(plan.steps, chunk), _chunks(plan.edges, chunk)
    first = next(steps, [])
    second = next(steps, [])
    try:
        if not second:
            with _transaction(database, first, wait) as connection:
                storing.add(connection, first)
                storing.connect(connection, (edge for some in edges for edge in some))
                storing.seal(connection)
                happenings.add(connection, events)
            return
        for some in chain((first, second), steps):
            with _transaction(database, some, wait) as connection:
                storing.add(connection, some)
            wait = None
        for few in edges:
            with database.write(durable=True, rows=len(few)) as connection:
                storing.connect(connection, few)
        with database.write(durable=True, rows=len(plan.fanins)) as connection:
            storing.seal(connection)
            happenings.add(connection, events)
    except IOFailure as error:
        database.forget_connections()
        raise EnqueueUncertain(plan.result, error) from error


def insert_within(connection: sqlite3.Connection, plan: Plan, now: float) -> None:
    """Do what `insert` does, all within the caller's transaction."""
    storing = _Storing(plan, now)
    for some in _chunks(plan.steps, CHUNK):
        storing.add(connection, some)
    storing.connect(connection, plan.edges)
    storing.seal(connection)


def _transaction(database: Database, steps: Sequence[Step], wait: float | None) -> Any:
    rows = sum(1 + len(step.job.body) // ROW for step in steps)
    return database.write(durable=True, rows=rows, wait=wait)


class _Storing:
    """A plan on its way into the file."""

    def __init__(self, plan: Plan, now: float) -> None:
        self._fanins: Sequence[FanIn] = plan.fanins
        self._now = now
        self._place = 0

    def add(self, connection: sqlite3.Connection, steps: Sequence[Step]) -> None:
        """Store steps with what they report to, unless they are there."""
        if steps and connection.execute(IS_STORED, (steps[0].job.id,)).fetchone():
            self._check_all_stored(connection, steps)
            return
        fanins = self._add_fanins(connection)
        connection.executemany(ADD_QUEUE, [(name,) for name in {s.job.queue for s in steps}])
        numbered = list(enumerate(steps, connection.execute(LAST_SEQ).fetchone()[0] + 1))
        try:
            connection.executemany(ADD_STEP, (self._row(s, seq, fanins) for seq, s in numbered))
        except sqlite3.IntegrityError:
            for step in steps:
                if connection.execute(IS_STORED, (step.job.id,)).fetchone():
                    raise DuplicateJob(step.job.id) from None
            raise
        connection.executemany(
            ADD_PAYLOADS, ((step.job.body, step.job.options, seq) for seq, step in numbered)
        )
        sizes = Counter(step.group for step in steps if step.group is not None)
        connection.executemany(GROW, [(size, fanins[name]) for name, size in sizes.items()])

    def _check_all_stored(self, connection: sqlite3.Connection, steps: Sequence[Step]) -> None:
        """Raise `DuplicateJob` when not all of what went in together is there, or as other jobs."""
        for step in (steps[0], steps[-1]):
            row = connection.execute(STORED_STEP, (step.job.id,)).fetchone()
            if row is None or row != (step.job.task, step.job.body):
                raise DuplicateJob(step.job.id)

    def _add_fanins(self, connection: sqlite3.Connection) -> dict[str, int]:
        if not self._fanins:
            return {}
        connection.executemany(ADD_FANIN, [(each.group, each.policy) for each in self._fanins])
        return _numbers(connection, self._fanins)

    def _row(self, step: Step, seq: int, fanins: dict[str, int]) -> tuple[Any, ...]:
        job = step.job
        if step.waits:
            phase = states.WAITING
        else:
            is_late = job.eta is not None and job.eta > self._now
            phase = states.SCHEDULED if is_late else states.READY
        flow = 0 if step.group is None else fanins[step.group]
        return (
            job.id, job.task, job.queue, job.priority, phase, job.eta, job.expires, self._now,
            job.parent, flow, seq,
        )  # fmt: skip

    def connect(self, connection: sqlite3.Connection, edges: Iterable[Edge]) -> None:
        """Store edges between steps that are stored."""
        for edge in edges:
            self._place += 1
            row = (self._place, edge.kind, edge.source, edge.target)
            if connection.execute(ADD_EDGE, row).rowcount:
                connection.execute(LOOK_AGAIN, (edge.source,))

    def seal(self, connection: sqlite3.Connection) -> None:
        """Say that the groups are complete."""
        fanins = self._add_fanins(connection)
        for each in self._fanins:
            number = fanins[each.group]
            if connection.execute(SEAL, (number, each.target)).rowcount:
                connection.execute(LOOK_AT_TARGET, (number,))


STORED_STEP: Final = """
SELECT job.task, payload.body
FROM litequeue_job AS job JOIN litequeue_payload AS payload ON payload.seq = job.seq
WHERE job.id = ?
"""


def _numbers(connection: sqlite3.Connection, fanins: Sequence[FanIn]) -> dict[str, int]:
    names = json.dumps([each.group for each in fanins])
    return dict(connection.execute(FANINS, (names,)).fetchall())


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


# All of a workflow

NUMBER: Final = "SELECT seq FROM litequeue_job WHERE id = ?"
MEMBERS_OF: Final = """
SELECT job.seq FROM litequeue_fanin AS fanin JOIN litequeue_job AS job
ON job.flow = fanin.id AND job.flow > 0 WHERE fanin.name = ?
"""
# One step away from a job, by edges and groups, in both directions.
NEIGHBOURS: Final = """
SELECT target FROM litequeue_edge WHERE source = ?1
UNION SELECT source FROM litequeue_edge WHERE target = ?1
UNION SELECT fanin.target FROM litequeue_job AS job JOIN litequeue_fanin AS fanin
    ON fanin.id = job.flow WHERE job.seq = ?1 AND fanin.target IS NOT NULL
UNION SELECT job.seq FROM litequeue_fanin AS fanin JOIN litequeue_job AS job
    ON job.flow = fanin.id AND job.flow > 0 WHERE fanin.target = ?1
"""
UNFINISHED: Final = """
SELECT job.id FROM json_each(?) CROSS JOIN litequeue_job AS job ON job.seq = json_each.value
WHERE job.phase <> 'done' ORDER BY job.seq
"""


def jobs_of(database: Database, id: str) -> list[int]:
    """Return the numbers of all jobs of a workflow: ``id`` is one of them, or of its group."""
    with database.read() as connection:
        found = {seq for (seq,) in connection.execute(MEMBERS_OF, (id,)).fetchall()}
        found |= {seq for (seq,) in connection.execute(NUMBER, (id,)).fetchall()}
        new = list(found)
        while new:
            near = connection.execute(NEIGHBOURS, (new.pop(),)).fetchall()
            further = {seq for (seq,) in near} - found
            found |= further
            new += further
    return sorted(found)


def revoke(
    database: Database,
    id: str,
    *,
    terminate: bool = False,
    signal: str | None = None,
    now: float,
    keep: Keep,
) -> Revoked:
    """Revoke what has not ended of a workflow: ``id`` is a job of it, or its group."""
    numbers = json.dumps(jobs_of(database, id))
    with database.read() as connection:
        # Those that wait for others come last in the file, and first in here.
        ids = [each for (each,) in connection.execute(UNFINISHED, (numbers,)).fetchall()]
    return revocations.revoke(
        database, reversed(ids), terminate=terminate, signal=signal, now=now, keep=keep
    )
