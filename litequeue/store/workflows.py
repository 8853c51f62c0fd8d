"""Storing workflows, and what concerns all of one.  What moves them on is `advance`.

A small workflow is stored in one transaction, or not at all.  A huge one comes in parts: its first
steps run meanwhile, as if they had been sent one by one, but what waits for a group waits for the
last part, too.  Who was cut off between two of them stores the same plan again, which goes on where
it was.  If nobody does within `GIVEN_UP_AFTER`, or if the making of the rest fails, `expire` in
`maintenance` ends what has not begun of it as REVOKED.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import Any, Final

from litequeue.exceptions import EnqueueUncertain, QueueBusy, QueueFull, StoreError
from litequeue.flow import Edge, Plan, Step
from litequeue.store import events as happenings
from litequeue.store import registry, revocations
from litequeue.store.connection import Database
from litequeue.store.driver import sqlite3
from litequeue.store.errors import IOFailure
from litequeue.store.events import EventRow
from litequeue.store.maintenance import GIVEN_UP_AFTER
from litequeue.store.revocations import Revoked
from litequeue.store.settle import ROW, Keep
from litequeue.store.storing import IS_STORED, Storing, is_unfinished

CHUNK: Final = 10_000
"""Steps or edges stored per transaction."""
PATIENCE: Final = 60.0
"""Seconds to wait for other writers where a part of the workflow is in the file already."""


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
    storing = Storing(plan, now)
    steps, edges = _chunks(plan.steps, chunk), _chunks(plan.edges, chunk)
    first, second = next(steps, []), next(steps, [])
    newcomer = database.newcomer
    try:
        with _transaction(database, first, wait) as connection:
            span = storing.add(connection, first)
            if newcomer is not None:
                registry.record(connection, database.path, newcomer, now)
            is_new = span is not None or not first or is_unfinished(connection, plan.result)
            if is_new and span is None:
                connection.execute(GO_ON, (now, plan.result))
            if is_new and not second:
                storing.connect(connection, (edge for some in edges for edge in some))
                storing.seal(connection)
                happenings.add(connection, events)
            elif span is not None:
                connection.execute(ADD_PART, (plan.result, *span, now))
        if not is_new:
            _check_whole(database, storing.name, chain((second,), steps))
        elif second:
            _insert_rest(database, storing, chain((second,), steps), edges, events)
    except IOFailure as error:
        database.forget_connections()
        raise EnqueueUncertain(plan.result, error) from error
    if newcomer is not None:
        database.newcomer = None


ADD_PART: Final = "INSERT INTO litequeue_part (workflow, first, last, at) VALUES (?, ?, ?, ?)"
FINISH: Final = "DELETE FROM litequeue_part WHERE workflow = ?"
GO_ON: Final = "UPDATE litequeue_part SET at = ? WHERE workflow = ?"
GIVE_UP: Final = "UPDATE litequeue_part SET at = 0 WHERE workflow = ?"


def _insert_rest(
    database: Database,
    storing: Storing,
    parts: Iterable[list[Step]],
    edges: Iterable[list[Edge]],
    events: Sequence[EventRow],
) -> None:
    name = storing.name
    try:
        for some in parts:
            with _transaction(database, some, PATIENCE) as connection:
                _check_unfinished(connection, name)
                span = storing.add(connection, some)
                if span is not None:
                    connection.execute(ADD_PART, (name, *span, storing.now))
        for few in edges:
            with database.write(durable=True, rows=len(few), wait=PATIENCE) as connection:
                storing.connect(connection, few)
        with database.write(durable=True, rows=len(storing.fanins), wait=PATIENCE) as connection:
            _check_unfinished(connection, name)
            storing.seal(connection)
            connection.execute(FINISH, (name,))
            happenings.add(connection, events)
    except IOFailure:
        raise
    except BaseException as error:
        with suppress(StoreError), database.write(durable=False) as connection:
            connection.execute(GIVE_UP, (name,))
        if isinstance(error, QueueBusy | QueueFull):  # which say that nothing was accepted
            raise EnqueueUncertain(name, error) from error
        raise


def _check_whole(database: Database, name: str, parts: Iterable[list[Step]]) -> None:
    """Raise `StoreError` unless what was stored before, and is not being stored, is all there."""
    for some in parts:
        with database.read() as connection:
            if some and connection.execute(IS_STORED, (some[-1].job.id,)).fetchone() is None:
                raise _given_up(name)


def _given_up(name: str) -> StoreError:
    return StoreError(
        f"the workflow {name} was given up: its sender failed, or it was not complete after "
        f"{GIVEN_UP_AFTER / 3600:g} hours; send it again under another task_id"
    )


def _check_unfinished(connection: sqlite3.Connection, name: str) -> None:
    if not is_unfinished(connection, name):
        raise _given_up(name)


def _transaction(database: Database, steps: Sequence[Step], wait: float | None) -> Any:
    rows = sum(1 + len(step.job.body) // ROW for step in steps)
    return database.write(durable=True, rows=rows, wait=wait)


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


# All of a workflow

LOOKED_AT_ONCE: Final = 2_000
"""Jobs whose neighbours are looked up at a time (3 µs each): no other thread can read meanwhile."""
NUMBER: Final = "SELECT seq FROM litequeue_job WHERE id = ?"
NUMBER_OF_GROUP: Final = "SELECT id FROM litequeue_fanin WHERE name = ?"
NEIGHBOURS: Final = """
SELECT edge.target FROM json_each(?1)
CROSS JOIN litequeue_edge AS edge ON edge.source = json_each.value
UNION SELECT edge.source FROM json_each(?1)
CROSS JOIN litequeue_edge AS edge ON edge.target = json_each.value
"""
GROUPS: Final = """
SELECT job.flow FROM json_each(?1)
CROSS JOIN litequeue_job AS job ON job.seq = json_each.value AND job.flow > 0
UNION SELECT fanin.id FROM json_each(?1)
CROSS JOIN litequeue_fanin AS fanin ON fanin.target = json_each.value
"""
OF_GROUP: Final = """
SELECT seq FROM litequeue_job WHERE flow = ?1 AND flow > 0
UNION ALL SELECT target FROM litequeue_fanin WHERE id = ?1 AND target IS NOT NULL
"""
UNFINISHED: Final = """
SELECT job.id FROM json_each(?) CROSS JOIN litequeue_job AS job ON job.seq = json_each.value
WHERE job.phase <> 'done'
"""


def jobs_of(database: Database, id: str) -> list[int]:
    """Return the numbers of all jobs of a workflow: ``id`` is one of them, or of its group."""
    with database.read() as connection:
        found = {seq for (seq,) in connection.execute(NUMBER, (id,)).fetchall()}
        first = connection.execute(NUMBER_OF_GROUP, (id,)).fetchall()
    groups: set[int] = set()
    new = found | _members(database, groups, first)
    found |= new
    while new:
        near: set[int] = set()
        for some in _chunks(new, LOOKED_AT_ONCE):
            numbers = json.dumps(some)
            with database.read() as connection:
                near.update(seq for (seq,) in connection.execute(NEIGHBOURS, (numbers,)))
                entered = connection.execute(GROUPS, (numbers,)).fetchall()
            near |= _members(database, groups, entered)
        new = near - found
        found |= new
    return sorted(found)


def _members(database: Database, known: set[int], groups: Iterable[tuple[int]]) -> set[int]:
    """Return the members and targets of groups that are not ``known`` yet."""
    found: set[int] = set()
    for (group,) in groups:
        if group not in known:
            known.add(group)
            with database.read() as connection:
                found.update(seq for (seq,) in connection.execute(OF_GROUP, (group,)))
    return found


def _unfinished(database: Database, numbers: Iterable[int]) -> Iterator[str]:
    for some in _chunks(numbers, LOOKED_AT_ONCE):
        with database.read() as connection:
            ids = connection.execute(UNFINISHED, (json.dumps(some),)).fetchall()
        yield from (id for (id,) in ids)


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
    # Those that wait for others come last in the file, and first in here.
    ids = _unfinished(database, reversed(jobs_of(database, id)))
    return revocations.revoke(database, ids, terminate=terminate, signal=signal, now=now, keep=keep)
