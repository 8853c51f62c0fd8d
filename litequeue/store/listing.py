"""What people ask of a file: lists of jobs, one job in full, counts.

Nothing here is hot, and nothing holds a lock that a writer would wait for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from peewee import JOIN, Expression, fn

from litequeue import states
from litequeue.store import driver
from litequeue.store.connection import Database
from litequeue.store.driver import sqlite3
from litequeue.store.flow_models import FanIn
from litequeue.store.models import Error, Job, Log, Payload, WorkerName
from litequeue.store.models import Task as TaskRow

WAITING: Final = (states.READY, states.SCHEDULED, states.PARKED, states.WAITING)
SHOWN_CHILDREN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which jobs are meant: those that meet every condition; what is empty is no condition.

    ``phases`` and ``states`` are one condition: either may hold.  ``task`` is a GLOB pattern;
    ``since`` the epoch second after which a job was accepted.
    """

    phases: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    task: str | None = None
    queues: tuple[str, ...] = ()
    since: float | None = None

    def conditions(self) -> Iterator[Expression]:
        """Return what a job has to meet, for peewee."""
        if self.phases or self.states:
            yield Job.phase.in_(self.phases) | Job.state.in_(self.states)
        if self.task is not None:
            yield fn.GLOB(self.task, Job.task) == 1
        if self.queues:
            yield Job.queue.in_(self.queues)
        if self.since is not None:
            yield Job.created >= self.since


EVERYTHING: Final = Selection()


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job as a line of a list.  Times are epoch seconds, ``runtime`` seconds."""

    seq: int
    id: str
    task: str
    queue: str
    priority: int
    phase: str
    state: str
    created: float
    eta: float | None
    expires: float | None
    started: float | None
    finished: float | None
    runtime: float | None
    retries: int
    lost: int
    pid: int | None
    parent: str | None
    worker: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """Why one attempt ended without a result."""

    attempt: int
    at: float
    state: str
    type: str
    message: str
    traceback: str | None
    evidence: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What a list does not show of a job.  ``body`` and ``result`` are as they were stored."""

    body: str | None
    options: str | None
    result: str | None
    attempts: Sequence[Attempt]
    logs: Mapping[int, str]
    children: Sequence[str]
    children_count: int


_COLUMNS: Final = (
    Job.seq, Job.id, Job.task, Job.queue, Job.priority, Job.phase, Job.state, Job.created, Job.eta,
    Job.expires, Job.started, Job.finished, Job.runtime, Job.retries, Job.deaths, Job.pid,
    Job.parent, WorkerName.name,
)  # fmt: skip


@contextlib.contextmanager
def lenient(database: Database) -> Iterator[tuple[Any, sqlite3.Connection]]:
    """Lend the reader, through which text that is no UTF-8 can be read, too: others may write."""
    with database.query() as peewee:
        connection: sqlite3.Connection = peewee.connection()
        with driver.lenient(connection):
            yield peewee, connection


def _rows() -> Any:
    return Job.select(*_COLUMNS).join(WorkerName, JOIN.LEFT_OUTER, on=(WorkerName.id == Job.owner))


def jobs(
    database: Database, selection: Selection, *, limit: int, oldest_first: bool = False
) -> list[JobRow]:
    """Return at most ``limit`` jobs, the last accepted first."""
    order = Job.seq if oldest_first else Job.seq.desc()
    query = _rows().where(*selection.conditions(), True).order_by(order).limit(limit)
    with lenient(database) as (peewee, _):
        return [JobRow(*row) for row in query.tuples().execute(peewee)]


LEAST_PREFIX: Final = 4
LEAST_PART: Final = 6
"""Characters that abbreviate an id: at its beginning, and anywhere in it."""

MOST_FOUND: Final = 10


def find(database: Database, text: str, *, limit: int = MOST_FOUND) -> list[JobRow]:
    """Return the jobs that ``text`` may name: the id, else its beginning, else a part of it.

    Several when it is not clear; none for fewer than 4 characters that are no whole id.
    """
    with lenient(database) as (peewee, _):
        for means in _meanings(text):
            if found := _found(peewee, means, limit):
                return found
    return []


def find_with_groups(
    database: Database, text: str, *, limit: int = MOST_FOUND
) -> tuple[list[JobRow], list[str]]:
    """Return the jobs, and the ids of the groups, that ``text`` may name, as `find` does it.

    An id that is of both is the job's.
    """
    with lenient(database) as (peewee, _):
        for means in _meanings(text):
            found = _found(peewee, means, limit)
            query = FanIn.select(FanIn.name).where(means(FanIn.name)).order_by(FanIn.id)
            names = [name for (name,) in query.limit(limit).tuples().execute(peewee)]
            if found or names:
                ids = {job.id for job in found}
                return found, [name for name in names if name not in ids]
    return [], []


def _meanings(text: str) -> Iterator[Callable[[Any], Expression]]:
    """Yield what an id may have to do with a text, the likeliest first, as conditions."""
    yield lambda id: id == text
    if len(text) >= LEAST_PREFIX:
        yield lambda id: (id >= text) & (id < text + "\U0010ffff")
    if len(text) >= LEAST_PART:
        yield lambda id: fn.INSTR(id, text) > 0


def _found(peewee: Any, means: Callable[[Any], Expression], limit: int) -> list[JobRow]:
    query = _rows().where(means(Job.id)).order_by(Job.seq).limit(limit).tuples()
    return [JobRow(*row) for row in query.execute(peewee)]


def detail(database: Database, job: JobRow) -> Detail:
    """Return everything that the file has about ``job``."""
    payload = Payload.select(Payload.body, Payload.options).where(Payload.seq == job.seq)
    result = Job.select(Job.result).where(Job.seq == job.seq)
    errors = (
        Error.select(
            Error.claim,
            Error.at,
            Error.state,
            Error.type,
            Error.message,
            Error.traceback,
            Error.evidence,
        )
        .where(Error.job == job.seq)
        .order_by(Error.claim)
    )
    logs = Log.select(Log.claim, Log.text).where(Log.job == job.seq).order_by(Log.claim)
    children = Job.select(Job.id).where(Job.parent == job.id)
    with lenient(database) as (peewee, _):
        body, options = next(iter(payload.tuples().execute(peewee)), (None, None))
        stored = next(iter(result.tuples().execute(peewee)), (None,))
        first = children.order_by(Job.seq).limit(SHOWN_CHILDREN).tuples()
        return Detail(
            body=body,
            options=options,
            result=stored[0],
            attempts=[Attempt(*row) for row in errors.tuples().execute(peewee)],
            logs=dict(logs.tuples().execute(peewee)),
            children=[row[0] for row in first.execute(peewee)],
            children_count=children.count(peewee),
        )


# Counts


@dataclass(slots=True)
class QueueCounts:
    """How many jobs of a queue are where; ``due_since`` is when its oldest ready job was due.

    ``paused`` is when it was paused, None while it runs.
    """

    name: str
    ready: int = 0
    scheduled: int = 0
    parked: int = 0
    waiting: int = 0
    leased: int = 0
    due_since: float | None = None
    paused: float | None = None


QUEUE_NAMES: Final = "SELECT name, paused FROM litequeue_queue"
# One index per phase: finished jobs, of which there are the most, are never looked at.
QUEUE_COUNTS: Final = " UNION ALL ".join(
    f"SELECT queue, '{phase}', count(*), min(seq) FROM litequeue_job"
    f" WHERE phase = '{phase}' GROUP BY queue"
    for phase in (*WAITING, states.LEASED)
)
DUE_SINCE: Final = "SELECT max(created, coalesce(eta, created)) FROM litequeue_job WHERE seq = ?"


def queue_names(database: Database) -> list[str]:
    """Return the names of the queues that jobs were ever sent to."""
    with lenient(database) as (_, connection):
        return [name for name, _ in connection.execute(QUEUE_NAMES).fetchall()]


def queues(database: Database) -> list[QueueCounts]:
    """Return all queues in the order of their names."""
    with lenient(database) as (_, connection):
        named = connection.execute(QUEUE_NAMES).fetchall()
        found = {name: QueueCounts(name, paused=paused) for name, paused in named}
        for name, phase, count, oldest in connection.execute(QUEUE_COUNTS).fetchall():
            queue = found.setdefault(name, QueueCounts(name))
            setattr(queue, phase, count)
            if phase == states.READY:
                queue.due_since = connection.execute(DUE_SINCE, (oldest,)).fetchone()[0]
    return [found[name] for name in sorted(found)]


LEASED_BY: Final = """
SELECT owner, count(*) FROM litequeue_job WHERE phase = 'leased' GROUP BY owner
"""


def leased_by_worker(database: Database) -> dict[int, int]:
    """Return how many jobs each worker holds, by the worker's id."""
    with database.read() as connection:
        return dict(connection.execute(LEASED_BY).fetchall())


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """A task of the file, and how many of its jobs are in which state."""

    name: str
    signature: str
    summary: str
    queue: str | None
    app: str | None
    seen: float
    states: Mapping[str, int]


CREATED_NEAR: Final = "SELECT seq, created FROM litequeue_job WHERE seq >= ? ORDER BY seq LIMIT 1"
LAST_SEQ: Final = "SELECT coalesce(max(seq), 0) FROM litequeue_job"
STATES_SINCE: Final = """
SELECT task, state, count(*) FROM litequeue_job WHERE seq >= ? AND created >= ? GROUP BY task, state
"""


def tasks(database: Database, since: float) -> list[TaskCounts]:
    """Return the tasks that apps of this file have, with their jobs accepted after ``since``."""
    query = TaskRow.select(
        TaskRow.name, TaskRow.signature, TaskRow.summary, TaskRow.queue, TaskRow.app, TaskRow.seen
    ).order_by(TaskRow.name)
    counted: dict[str, dict[str, int]] = {}
    with lenient(database) as (peewee, connection):
        first = _first_since(connection, since)
        for task, state, count in connection.execute(STATES_SINCE, (first, since)).fetchall():
            counted.setdefault(task, {})[state] = count
        rows: list[Any] = list(query.tuples().execute(peewee))
    return [TaskCounts(*(*row, counted.get(row[0], {}))) for row in rows]


def _first_since(connection: sqlite3.Connection, moment: float) -> int:
    """Return the number of about the first job accepted after ``moment``, in a few looks.

    Numbers grow with time, unless somebody set the clock.
    """
    low, high = 1, int(connection.execute(LAST_SEQ).fetchone()[0]) + 1
    while low < high:
        middle = (low + high) // 2
        found = connection.execute(CREATED_NEAR, (middle,)).fetchone()
        if found is None or found[1] >= moment:
            high = middle
        else:
            low = found[0] + 1
    return low
