"""Reading what became of jobs: one, hot and narrow; many at once; and all that is known of one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from litequeue import states
from litequeue.job import Failure
from litequeue.store.connection import Database
from litequeue.store.driver import lenient, sqlite3
from litequeue.store.maintenance import delete

AT_ONCE: Final = 500
"""Jobs per statement (2 µs each): while one runs, no other thread can read."""
_HAVE_A_FAILURE: Final = states.PROPAGATE_STATES | {states.RETRY}


@dataclass(frozen=True, slots=True)
class Record:
    """What the file says about a job.

    ``result`` is encoded text, None where there is none.  Until the job is done it is what the
    task said of itself with a state of its own, such as PROGRESS.
    """

    phase: str
    state: str
    result: str | None
    retries: int
    finished: float | None
    failure: Failure | None

    @property
    def is_done(self) -> bool:
        """Tell whether the job has its verdict."""
        return self.phase == states.DONE


# One job

FETCH: Final = """
SELECT phase, state, result, retries, finished, seq FROM litequeue_job WHERE id = ?
"""
LAST_ERROR: Final = """
SELECT type, message, traceback, args, 0, evidence FROM litequeue_error WHERE job = ? AND state = ?
ORDER BY claim DESC LIMIT 1
"""


def fetch(database: Database, id: str) -> Record | None:
    """Return the record of a job, None for an unknown id."""
    with database.read() as connection:
        row = connection.execute(FETCH, (id,)).fetchone()
        if row is None or row[0] != states.DONE:
            # The reader of a file that was replaced would wait for ever for news.
            database.check_identity()
        if row is None:
            return None
        failure: tuple[Any, ...] | None = None
        if row[1] in _HAVE_A_FAILURE:
            failure = connection.execute(LAST_ERROR, (row[5], row[1])).fetchone()
    return Record(*(*row[:5], None if failure is None else Failure(*failure)))


# Many jobs: ids travel as one JSON list, and are told apart by their place in it.  CROSS JOIN keeps
# SQLite from beginning with the jobs.

FETCH_MANY: Final = """
SELECT json_each.key, job.phase, job.state, job.result, job.retries, job.finished, job.seq
FROM json_each(?) LEFT JOIN litequeue_job AS job ON job.id = json_each.value
"""
FETCH_ENDED: Final = f"{FETCH_MANY}WHERE job.phase = 'done' OR job.phase IS NULL\n"
LAST_ERRORS: Final = """
SELECT error.job, error.state, error.type, error.message, error.traceback, error.args, 0,
       error.evidence
FROM json_each(?) CROSS JOIN litequeue_error AS error ON error.job = json_each.value
ORDER BY error.job, error.claim
"""


def fetch_many(database: Database, ids: Iterable[str]) -> dict[str, Record | None]:
    """Return the record of every job, None for an unknown id."""
    return _fetch_all(database, FETCH_MANY, ids)


def fetch_ended(database: Database, ids: Iterable[str]) -> dict[str, Record | None]:
    """Return the records of those among the jobs that have ended; None for an unknown id."""
    return _fetch_all(database, FETCH_ENDED, ids)


def _fetch_all(database: Database, query: str, ids: Iterable[str]) -> dict[str, Record | None]:
    found: dict[str, Record | None] = {}
    for some in _portions(ids):
        with database.read() as connection:
            database.check_identity()
            rows = connection.execute(query, (json.dumps(some),)).fetchall()
            failures = _failures(connection, rows)
        for place, phase, *fields, seq in rows:
            record = None if phase is None else Record(*(phase, *fields, failures.get(seq)))
            found[some[place]] = record
    return found


def _failures(
    connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]
) -> dict[int, Failure]:
    """Return the last failure of each row that has one: seq to failure."""
    failed = {row[6]: row[2] for row in rows if row[2] in _HAVE_A_FAILURE}
    if not failed:
        return {}
    errors = connection.execute(LAST_ERRORS, (json.dumps(list(failed)),)).fetchall()
    return {seq: Failure(*fields) for seq, state, *fields in errors if failed[seq] == state}


COUNT_STATES: Final = """
SELECT job.phase IS 'done', job.state, count(*)
FROM json_each(?) LEFT JOIN litequeue_job AS job ON job.id = json_each.value
GROUP BY 1, 2
"""


def count_states(database: Database, ids: Iterable[str]) -> dict[tuple[bool, str], int]:
    """Return how many of the jobs are (done or not, in this state); unknown ids are PENDING."""
    counts: dict[tuple[bool, str], int] = {}
    for some in _portions(ids):
        with database.read() as connection:
            database.check_identity()
            rows = connection.execute(COUNT_STATES, (json.dumps(some),)).fetchall()
        for done, state, count in rows:
            key = (bool(done), state or states.PENDING)
            counts[key] = counts.get(key, 0) + count
    return counts


def version(database: Database) -> tuple[object, int]:
    """Return what changes when anybody has committed; ask before looking, to miss nothing."""
    with database.read() as connection:
        database.check_identity()
        return connection, int(connection.execute("PRAGMA data_version").fetchone()[0])


def _portions(ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while some := list(islice(rest, AT_ONCE)):
        yield some


# All that is known of a job


@dataclass(frozen=True, slots=True)
class Details:
    """What is asked for now and then: ``body`` is the text of the arguments, times are epoch."""

    task: str
    queue: str
    priority: int
    body: str | None
    parent: str | None
    worker: str | None
    deaths: int
    created: float
    eta: float | None
    expires: float | None
    started: float | None
    runtime: float | None
    options: str | None = None


ErrorRow = tuple[int, float, str, str, str, str | None]
"""Attempt, epoch seconds, state, type, message, traceback."""

DETAILS: Final = """
SELECT job.task, job.queue, job.priority, payload.body, job.parent, worker.name, job.deaths,
       job.created, job.eta, job.expires, job.started, job.runtime, payload.options
FROM litequeue_job AS job
LEFT JOIN litequeue_payload AS payload ON payload.seq = job.seq
LEFT JOIN litequeue_worker_name AS worker ON worker.id = job.owner
WHERE job.id = ?
"""


def details(database: Database, id: str) -> Details | None:
    """Return what a job was asked to do, by whom, and who ran it; None for an unknown id."""
    with database.read() as connection:
        row = connection.execute(DETAILS, (id,)).fetchone()
    return None if row is None else Details(*row)


ERRORS_OF: Final = """
SELECT error.claim, error.at, error.state, error.type, error.message, error.traceback
FROM litequeue_job AS job JOIN litequeue_error AS error ON error.job = job.seq
WHERE job.id = ? ORDER BY error.claim
"""


def errors_of(database: Database, id: str) -> list[ErrorRow]:
    """Return why each failed attempt of a job failed, in their order."""
    with database.read() as connection:
        return connection.execute(ERRORS_OF, (id,)).fetchall()


LOGS_OF: Final = """
SELECT log.claim, log.text FROM litequeue_job AS job JOIN litequeue_log AS log ON log.job = job.seq
WHERE job.id = ? ORDER BY log.claim
"""


def logs_of(database: Database, id: str) -> list[tuple[int, str]]:
    """Return what each attempt of a job printed, where that was kept: (attempt, text)."""
    with database.read() as connection, lenient(connection):
        return connection.execute(LOGS_OF, (id,)).fetchall()


CHILDREN_OF: Final = "SELECT id FROM litequeue_job WHERE parent = ? ORDER BY seq"


def children_of(database: Database, id: str) -> list[str]:
    """Return the ids of the jobs that this one sent, in their order."""
    with database.read() as connection:
        return [row[0] for row in connection.execute(CHILDREN_OF, (id,)).fetchall()]


CHILDREN_OF_MANY: Final = """
SELECT json_each.key, job.id
FROM json_each(?) CROSS JOIN litequeue_job AS job ON job.parent = json_each.value
ORDER BY job.seq
"""


def children_of_many(database: Database, ids: Iterable[str]) -> dict[str, list[str]]:
    """Return the ids of the jobs that each of these sent; without an entry where none."""
    found: dict[str, list[str]] = {}
    for some in _portions(ids):
        with database.read() as connection:
            rows = connection.execute(CHILDREN_OF_MANY, (json.dumps(some),)).fetchall()
        for place, child in rows:
            found.setdefault(some[place], []).append(child)
    return found


# Forgetting

FORGETTABLE: Final = "SELECT seq, flow FROM litequeue_job WHERE id = ? AND phase = 'done'"


def forget(database: Database, id: str) -> bool:
    """Delete a finished job with its result; False when it is not finished, or unknown.

    A result that others of its workflow still wait for goes once they have got it.
    """
    return bool(_forget(database, FORGETTABLE, id))


FORGETTABLE_AMONG: Final = """
SELECT job.seq, job.flow
FROM json_each(?) CROSS JOIN litequeue_job AS job ON job.id = json_each.value
WHERE job.phase = 'done'
"""


def forget_many(database: Database, ids: Iterable[str]) -> int:
    """Delete those among the jobs that have ended, some at a time; return how many."""
    return sum(
        _forget(database, FORGETTABLE_AMONG, json.dumps(some), rows=len(some))
        for some in _portions(ids)
    )


def _forget(database: Database, query: str, argument: str, *, rows: int = 1) -> int:
    with database.write(durable=True, rows=rows) as connection:
        found = connection.execute(query, (argument,)).fetchall()
        delete(connection, found)
    return len(found)
