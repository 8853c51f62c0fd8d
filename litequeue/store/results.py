"""Reading what became of a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from litequeue import states
from litequeue.job import Failure
from litequeue.store.connection import Database
from litequeue.store.maintenance import PRUNE_ERRORS, PRUNE_JOB, PRUNE_PAYLOAD

FETCH: Final = """
SELECT phase, state, result, retries, task, queue, finished, seq FROM litequeue_job WHERE id = ?
"""
LAST_ERROR: Final = """
SELECT type, message, traceback, args FROM litequeue_error WHERE job = ? AND state = ?
ORDER BY claim DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Record:
    """What the file says about a job.  ``result`` is JSON text, None where there is none."""

    phase: str
    state: str
    result: str | None
    retries: int
    task: str
    queue: str
    finished: float | None
    failure: Failure | None

    @property
    def is_done(self) -> bool:
        """Tell whether the job has its verdict."""
        return self.phase == states.DONE


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
        if row[1] not in (states.SUCCESS, states.PENDING, states.RECEIVED, states.STARTED):
            failure = connection.execute(LAST_ERROR, (row[7], row[1])).fetchone()
    return Record(*(*row[:7], None if failure is None else Failure(*failure)))


FORGETTABLE: Final = "SELECT seq FROM litequeue_job WHERE id = ? AND phase = 'done'"


def forget(database: Database, id: str) -> bool:
    """Delete a finished job with its result; False when it is not finished, or unknown."""
    with database.write(durable=True) as connection:
        rows = connection.execute(FORGETTABLE, (id,)).fetchall()
        for statement in (PRUNE_ERRORS, PRUNE_PAYLOAD, PRUNE_JOB):
            connection.executemany(statement, rows)
    return bool(rows)
