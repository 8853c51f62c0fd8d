"""Claiming: leases on the jobs that are due, known, and first in line.

A claim steps over nothing: rows that are not due, not known or finished stand under other
indexes.  What it should not have taken (too late, unknown, unreadable) it puts where it belongs,
in the same transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from litequeue import states
from litequeue.job import Failure, Lease, Outcome
from litequeue.store.connection import Database
from litequeue.store.driver import sqlite3
from litequeue.store.errors import sqlite_error
from litequeue.store.settle import ADD_ERROR, Keep, end, error_row

PROMOTE_AT_ONCE: Final = 500
"""Due jobs made ready per transaction (6 µs each)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a worker asks for: at most ``limit`` jobs of ``queues`` (None: all) that it knows.

    ``queues`` is a JSON list; with ``parked``, jobs that waited for such a worker come first.
    Jobs of tasks in ``once`` are acknowledged by the claim: no other will follow.  A worker that
    is not registered (any more) gets nothing.
    """

    owner: int
    limit: int
    tasks: frozenset[str]
    queues: str | None = None
    parked: bool = False
    once: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What `settle_and_claim` did.

    ``zombies`` are the seqs of outcomes whose lease was lost; ``ended`` the ids of other jobs
    that ended here (expired, unreadable), ``expired`` the seqs of the former; ``more`` tells that
    a claim found all it asked for, and ``parked_left`` that some of it may still be parked;
    ``next_due`` is when the next scheduled job is due.
    """

    leases: list[Lease]
    zombies: list[int]
    ended: list[str]
    expired: list[int]
    parked: list[Lease]
    more: bool
    parked_left: bool
    next_due: float | None


NEXT_DUE: Final = """
SELECT eta FROM litequeue_job WHERE phase = 'scheduled' ORDER BY eta LIMIT 1
"""
PROMOTE: Final = """
UPDATE litequeue_job SET phase = 'ready'
WHERE seq IN (SELECT seq FROM litequeue_job WHERE phase = 'scheduled' AND eta <= ?
              ORDER BY eta LIMIT ?)
"""
ACKNOWLEDGE: Final = "UPDATE litequeue_job SET once = 1 WHERE seq = ? AND token = ?"
# RETURNING gives the rows in the order of their seq, so the caller sorts by priority.
# Others may write to the file: a counter that is at its end already must not stop the claim.
CLAIM: Final = """
UPDATE litequeue_job
SET phase = 'leased', state = 'RECEIVED', owner = ?, token = random(),
    claims = min(claims, 4611686018427387903) + 1
WHERE seq IN (
    SELECT seq FROM litequeue_job
    WHERE phase = 'ready'
      AND queue IN (SELECT name FROM litequeue_queue)
    ORDER BY priority DESC, seq LIMIT ?)
  AND EXISTS (SELECT 1 FROM litequeue_worker AS worker WHERE worker.id = ?)
RETURNING seq, token, claims, id, task,
    (SELECT body FROM litequeue_payload AS payload WHERE payload.seq = litequeue_job.seq),
    (SELECT options FROM litequeue_payload AS payload WHERE payload.seq = litequeue_job.seq),
    queue, priority, retries, deaths, eta, expires, parent, once
"""
CLAIM_FROM: Final = CLAIM.replace(
    "(SELECT name FROM litequeue_queue)", "(SELECT value FROM json_each(?))"
)


# Jobs that wait for a worker which knows their task go to one straight away: made ready first,
# they would be claimed and parked again by those who do not.
CLAIM_PARKED: Final = CLAIM.replace(
    """WHERE phase = 'ready'
      AND queue IN (SELECT name FROM litequeue_queue)
    ORDER BY priority DESC, seq LIMIT ?""",
    """WHERE phase = 'parked' AND task IN (SELECT value FROM json_each(?))
      AND (? IS NULL OR queue IN (SELECT value FROM json_each(?)))
    LIMIT ?""",
)


def promote(connection: sqlite3.Connection, now: float) -> float | None:
    """Make due jobs ready; return when the next one is due."""
    next_due = _next_due(connection)
    if next_due is not None and next_due <= now:
        connection.execute(PROMOTE, (now, PROMOTE_AT_ONCE))
        next_due = _next_due(connection)
    return next_due


def take(
    connection: sqlite3.Connection, claim: Claim, now: float, keep: Keep, next_due: float | None
) -> Settled:
    """Lease up to ``claim.limit`` ready jobs; park the unknown and end the late among them."""
    rows = _take_parked(connection, claim) if claim.parked else []
    parked_left = claim.parked and len(rows) == claim.limit
    limit = claim.limit - len(rows)
    if claim.queues is None:
        parameters: tuple[Any, ...] = (claim.owner, limit, claim.owner)
        rows += connection.execute(CLAIM, parameters).fetchall()
    else:
        parameters = (claim.owner, claim.queues, limit, claim.owner)
        rows += connection.execute(CLAIM_FROM, parameters).fetchall()
    rows.sort(key=_order)
    leases = [Lease(*row) for row in rows]
    parked: list[Lease] = []
    ended: list[str] = []
    late: list[int] = []
    if any(lease.expires is not None or lease.task not in claim.tasks for lease in leases):
        leases, parked, expired = _sift(leases, claim, now)
        connection.executemany(PARK, [(lease.seq, lease.token) for lease in parked])
        end(connection, expired, states.REVOKED, EXPIRED, now=now, keep=keep)
        ended = [lease.id for lease in expired]
        late = [lease.seq for lease in expired]
    if claim.once:
        leases = [_acknowledge(connection, lease, claim) for lease in leases]
    return Settled(
        leases=leases,
        zombies=[],
        ended=ended,
        expired=late,
        parked=parked,
        more=len(rows) == claim.limit,
        parked_left=parked_left,
        next_due=next_due,
    )


def _acknowledge(connection: sqlite3.Connection, lease: Lease, claim: Claim) -> Lease:
    if lease.task not in claim.once:
        return lease
    connection.execute(ACKNOWLEDGE, (lease.seq, lease.token))
    return replace(lease, once=1)


def _take_parked(connection: sqlite3.Connection, claim: Claim) -> list[tuple[Any, ...]]:
    tasks = json.dumps(sorted(claim.tasks))
    parameters = (claim.owner, tasks, claim.queues, claim.queues, claim.limit, claim.owner)
    return connection.execute(CLAIM_PARKED, parameters).fetchall()


def _next_due(connection: sqlite3.Connection) -> float | None:
    row = connection.execute(NEXT_DUE).fetchone()
    return None if row is None else float(row[0])


def _order(row: tuple[Any, ...]) -> tuple[int, int]:
    return -row[8], row[0]


def _sift(
    leases: list[Lease], claim: Claim, now: float
) -> tuple[list[Lease], list[Lease], list[Lease]]:
    """Split what was claimed into what may run, what nobody here knows, and what came too late."""
    may_run: list[Lease] = []
    unknown: list[Lease] = []
    expired: list[Lease] = []
    for lease in leases:
        if lease.expires is not None and lease.expires <= now:
            expired.append(lease)
        elif lease.task not in claim.tasks:
            unknown.append(lease)
        else:
            may_run.append(lease)
    return may_run, unknown, expired


PARK: Final = """
UPDATE litequeue_job
SET phase = 'parked', state = CASE WHEN retries THEN 'RETRY' ELSE 'PENDING' END,
    owner = NULL, token = NULL
WHERE seq = ? AND token = ?
"""
HAS_PARKED: Final = """
SELECT 1 FROM litequeue_job
WHERE phase = 'parked' AND task IN (SELECT value FROM json_each(?)) LIMIT 1
"""


def has_parked(database: Database, tasks: Iterable[str]) -> bool:
    """Tell whether a job of one of ``tasks`` is parked."""
    with database.read() as connection:
        row = connection.execute(HAS_PARKED, (json.dumps(sorted(tasks)),)).fetchone()
    return row is not None


EXPIRED: Final = Failure("TaskRevokedError", "expired before it could run")
UNREADABLE: Final = Failure("ValueError", "the row cannot be read")

# A row that Python cannot read must not stop the others (invalid UTF-8, a value too long).

CANDIDATES: Final = """
SELECT seq FROM litequeue_job
WHERE phase = 'ready'
  AND queue IN (SELECT name FROM litequeue_queue WHERE ?1 IS NULL
                UNION ALL SELECT value FROM json_each(coalesce(?1, '[]')))
ORDER BY priority DESC, seq LIMIT ?2
"""
PARKED_CANDIDATES: Final = """
SELECT seq FROM litequeue_job
WHERE phase = 'parked' AND task IN (SELECT value FROM json_each(?))
  AND (? IS NULL OR queue IN (SELECT value FROM json_each(?)))
LIMIT ?
"""
PROBE: Final = """
SELECT job.id, job.task, job.queue, job.parent, payload.body, payload.options
FROM litequeue_job AS job LEFT JOIN litequeue_payload AS payload ON payload.seq = job.seq
WHERE job.seq = ?
"""
QUARANTINE: Final = """
UPDATE litequeue_job SET phase = 'done', state = 'FAILURE', finished = ?, keep_until = ?
WHERE seq = ? AND phase IN ('ready', 'parked')
"""


def is_unreadable(error: BaseException) -> bool:
    """Tell whether ``error`` is about one row's content and not about the file."""
    cause = sqlite_error(error.__cause__ or error)
    return cause is not None and (
        isinstance(cause, sqlite3.DataError) or "Could not decode to UTF-8" in str(cause)
    )


def quarantine(connection: sqlite3.Connection, claim: Claim, now: float, keep: Keep) -> list[str]:
    """Fail the unreadable rows among the next candidates, each with its reason."""
    ended: list[str] = []
    candidates = connection.execute(CANDIDATES, (claim.queues, claim.limit)).fetchall()
    if claim.parked:
        tasks = json.dumps(sorted(claim.tasks))
        parameters = (tasks, claim.queues, claim.queues, claim.limit)
        candidates += connection.execute(PARKED_CANDIDATES, parameters).fetchall()
    for (seq,) in candidates:
        try:
            connection.execute(PROBE, (seq,)).fetchall()
        except (sqlite3.DataError, sqlite3.OperationalError) as error:
            if not is_unreadable(error):
                raise
            outcome = Outcome(seq, 0, 0, states.FAILURE)
            reason = Failure(UNREADABLE.type, f"{UNREADABLE.message}: {type(error).__name__}")
            connection.execute(QUARANTINE, (now, keep.until(states.FAILURE, now), seq))
            connection.execute(ADD_ERROR, error_row(outcome, reason, now))
            ended.append(f"(row {seq})")
    return ended
