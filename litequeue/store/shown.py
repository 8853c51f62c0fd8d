"""What workers show of jobs to who asks by remote control, and do not know by themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from litequeue.store.connection import Database
from litequeue.store.driver import lenient

LONGEST_BODY: Final = 5000
"""Characters of a body that are read: a thousand jobs may have arguments of a megabyte each."""


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A job that waits for its ``eta`` (epoch seconds); a long ``body`` is cut."""

    id: str
    task: str
    queue: str
    priority: int
    deaths: int
    once: int
    eta: float
    body: str


NEXT_UP: Final = """
SELECT job.id, job.task, job.queue, job.priority, job.deaths, job.once, job.eta,
       substr(coalesce(payload.body, ''), 1, ?)
FROM litequeue_job AS job LEFT JOIN litequeue_payload AS payload ON payload.seq = job.seq
WHERE job.phase = 'scheduled' AND job.eta > -1e300 ORDER BY job.eta LIMIT ?
"""


def next_up(database: Database, limit: int) -> list[Upcoming]:
    """Return the jobs that are due later, the next one first."""
    with database.read() as connection, lenient(connection):
        rows = connection.execute(NEXT_UP, (LONGEST_BODY, limit)).fetchall()
    return [Upcoming(*row) for row in rows]


PAYLOAD: Final = """
SELECT substr(body, 1, ?), options FROM litequeue_payload WHERE seq = ?
"""


def payloads(database: Database, seqs: Iterable[int]) -> dict[int, tuple[str, str | None]]:
    """Return (body, options) of jobs by their numbers; a long body is cut."""
    found = {}
    with database.read() as connection, lenient(connection):
        for seq in seqs:
            for row in connection.execute(PAYLOAD, (LONGEST_BODY, seq)):
                found[seq] = row
    return found


AMONG: Final = """
SELECT job.id, job.task, job.queue, job.priority, job.deaths, job.once, job.eta,
       substr(coalesce(payload.body, ''), 1, ?)
FROM litequeue_job AS job LEFT JOIN litequeue_payload AS payload ON payload.seq = job.seq
WHERE job.id IN (SELECT value FROM json_each(?)) AND job.phase = 'scheduled'
"""


def among(database: Database, ids: Iterable[str]) -> list[Upcoming]:
    """Return those of the jobs that are due later."""
    with database.read() as connection, lenient(connection):
        rows = connection.execute(AMONG, (LONGEST_BODY, json.dumps(list(ids)))).fetchall()
    return [Upcoming(*row) for row in rows]
