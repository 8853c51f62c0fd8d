"""Claiming: leases on the jobs that are due, known, and first in line.

A claim steps over nothing: rows that are not due, not known or finished stand under other
indexes.  What it should not have taken (too late, unknown, unreadable) it puts where it belongs,
in the same transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Final

from litequeue import states
from litequeue.job import Failure, Lease, Outcome
from litequeue.store import revocations
from litequeue.store.connection import Database
from litequeue.store.driver import sqlite3
from litequeue.store.errors import sqlite_error
from litequeue.store.settle import ADD_ERROR, Keep, end, error_row

PROMOTE_AT_ONCE: Final = 500
"""Due jobs made ready per transaction (6 µs each)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a worker asks for: at most ``limit`` jobs of ``queues`` (None: all) that it knows.

    ``queues`` is a JSON list of GLOB patterns, and so is ``excluded``; with ``in_order``, several
    such lists, the queues of the first come first, and so on, instead of ``queues``.  With
    ``parked``, jobs that waited for such a worker come first.  Paused queues are left alone.
    Jobs of tasks in ``once`` are acknowledged by the claim: no other will follow.  A worker that
    is not registered (any more) gets nothing.

    ``revoked`` and ``stamps`` are what the worker remembers of revocations, up to the number
    ``loaded``; later ones are looked up, or with None are not.
    """

    owner: int
    limit: int
    tasks: frozenset[str]
    queues: str | None = None
    excluded: str = "[]"
    in_order: tuple[str, ...] = ()
    parked: bool = False
    once: frozenset[str] = frozenset()
    revoked: frozenset[str] = frozenset()
    stamps: Mapping[str, frozenset[str]] = field(default_factory=dict)
    loaded: int | None = None

    @property
    def choices(self) -> tuple[str | None, ...]:
        """Return the lists of patterns to try, one after the other; None for all queues."""
        return self.in_order or (self.queues,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What `settle_and_claim` did.

    ``zombies`` are the seqs of outcomes whose lease was lost; ``ended`` the ids of other jobs
    that ended here (expired, revoked, unreadable), ``expired`` and ``revoked`` the seqs of the
    former; ``more`` tells that a claim found all it asked for, and ``parked_left`` that some of it
    may still be parked; ``next_due`` is when the next scheduled job is due.  ``ready``: jobs that
    waited for others may run now, are not among the leases, and nobody was told.  ``claimed``: it
    was looked for jobs to take.
    """

    leases: list[Lease]
    zombies: list[int]
    ended: list[str]
    expired: list[int]
    revoked: list[int]
    parked: list[Lease]
    more: bool
    parked_left: bool
    next_due: float | None
    ready: bool = False
    claimed: bool = True


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
SET phase = 'leased', state = 'RECEIVED', owner = ?1, token = random(),
    claims = min(claims, 4611686018427387903) + 1
WHERE seq IN (
    SELECT job.seq FROM litequeue_queue AS queue CROSS JOIN litequeue_job AS job
    WHERE queue.paused IS NULL AND job.phase = 'ready' AND job.queue = queue.name
    ORDER BY job.priority DESC, job.seq LIMIT ?2)
  AND EXISTS (SELECT 1 FROM litequeue_worker AS worker WHERE worker.id = ?1)
RETURNING seq, token, claims, id, task,
    (SELECT body FROM litequeue_payload AS payload WHERE payload.seq = litequeue_job.seq),
    (SELECT options FROM litequeue_payload AS payload WHERE payload.seq = litequeue_job.seq),
    queue, priority, retries, deaths, eta, expires, parent, once
"""
# A queue whose name looks like a pattern is still found by its name.
OPEN_QUEUE: Final = "queue.paused IS NULL"
CHOSEN_QUEUE: Final = f"""{OPEN_QUEUE}
      AND (?3 IS NULL OR EXISTS (
          SELECT 1 FROM json_each(?3) WHERE queue.name = value OR queue.name GLOB value))
      AND NOT EXISTS (
          SELECT 1 FROM json_each(?4) WHERE queue.name = value OR queue.name GLOB value)
     """
CLAIM_FROM: Final = CLAIM.replace(OPEN_QUEUE, CHOSEN_QUEUE)


# Jobs that wait for a worker which knows their task go to one straight away: made ready first,
# they would be claimed and parked again by those who do not.
KNOWN_HERE: Final = "job.phase = 'parked' AND job.task IN (SELECT value FROM json_each(?5))"
CLAIM_PARKED: Final = CLAIM_FROM.replace("job.phase = 'ready'", KNOWN_HERE).replace(
    "ORDER BY job.priority DESC, job.seq ", ""
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
    """Lease up to ``claim.limit`` ready jobs; park the unknown, end the late and the revoked."""
    leases = _take_parked(connection, claim) if claim.parked else []
    parked_left = claim.parked and len(leases) == claim.limit
    leases += _take_ready(connection, claim, claim.limit - len(leases))
    if not claim.in_order:
        _put_in_order(leases)
    settled = Settled(
        leases=leases,
        zombies=[],
        ended=[],
        expired=[],
        revoked=[],
        parked=[],
        more=len(leases) == claim.limit,
        parked_left=parked_left,
        next_due=next_due,
    )
    if claim.revoked or claim.stamps or claim.loaded is not None:
        _end_revoked(connection, claim, settled, now, keep)
    if any(lease.expires is not None or lease.task not in claim.tasks for lease in leases):
        _sift(connection, claim, settled, now, keep)
    if claim.once:
        leases[:] = [_acknowledge(connection, lease, claim) for lease in leases]
    return settled


def _take_ready(connection: sqlite3.Connection, claim: Claim, limit: int) -> list[Lease]:
    if claim.queues is None and claim.excluded == "[]" and not claim.in_order:
        rows = connection.execute(CLAIM, (claim.owner, limit)).fetchall()
        return [Lease(*row) for row in rows]
    leases: list[Lease] = []
    for queues in claim.choices:
        parameters = (claim.owner, limit - len(leases), queues, claim.excluded)
        some = [Lease(*row) for row in connection.execute(CLAIM_FROM, parameters).fetchall()]
        _put_in_order(some)
        leases += some
        if len(leases) == limit:
            break
    return leases


def _take_parked(connection: sqlite3.Connection, claim: Claim) -> list[Lease]:
    tasks = json.dumps(sorted(claim.tasks))
    leases: list[Lease] = []
    for queues in claim.choices:
        left = claim.limit - len(leases)
        parameters = (claim.owner, left, queues, claim.excluded, tasks)
        some = [Lease(*row) for row in connection.execute(CLAIM_PARKED, parameters).fetchall()]
        _put_in_order(some)
        leases += some
    return leases


def _acknowledge(connection: sqlite3.Connection, lease: Lease, claim: Claim) -> Lease:
    if lease.task not in claim.once:
        return lease
    connection.execute(ACKNOWLEDGE, (lease.seq, lease.token))
    return replace(lease, once=1)


def _next_due(connection: sqlite3.Connection) -> float | None:
    row = connection.execute(NEXT_DUE).fetchone()
    return None if row is None else float(row[0])


def _put_in_order(leases: list[Lease]) -> None:
    """Sort by priority, the higher ones first, and those of one by their age."""
    leases.sort(key=_SEQ)
    leases.sort(key=_PRIORITY, reverse=True)


_SEQ: Final = attrgetter("seq")
_PRIORITY: Final = attrgetter("priority")


def _end_revoked(
    connection: sqlite3.Connection, claim: Claim, settled: Settled, now: float, keep: Keep
) -> None:
    revoked = revocations.revoked_among(
        connection,
        settled.leases,
        ids=claim.revoked,
        stamps=claim.stamps,
        after=claim.loaded,
        now=now,
    )
    if revoked:
        end(connection, revoked, states.REVOKED, REVOKED, now=now, keep=keep)
        settled.ended.extend(lease.id for lease in revoked)
        settled.revoked.extend(lease.seq for lease in revoked)
        gone = set(settled.revoked)
        settled.leases[:] = [lease for lease in settled.leases if lease.seq not in gone]


def _sift(
    connection: sqlite3.Connection, claim: Claim, settled: Settled, now: float, keep: Keep
) -> None:
    """Park what nobody here knows, end what came too late; leave what may run."""
    may_run: list[Lease] = []
    expired: list[Lease] = []
    for lease in settled.leases:
        if lease.expires is not None and lease.expires <= now:
            expired.append(lease)
        elif lease.task not in claim.tasks:
            settled.parked.append(lease)
        else:
            may_run.append(lease)
    connection.executemany(PARK, [(lease.seq, lease.token) for lease in settled.parked])
    end(connection, expired, states.REVOKED, EXPIRED, now=now, keep=keep)
    settled.ended.extend(lease.id for lease in expired)
    settled.expired.extend(lease.seq for lease in expired)
    settled.leases[:] = may_run


PARK: Final = """
UPDATE litequeue_job
SET phase = 'parked', state = CASE WHEN retries THEN 'RETRY' ELSE 'PENDING' END,
    owner = NULL, token = NULL
WHERE seq = ? AND token = ?
"""
HAS_PARKED: Final = f"""
SELECT 1 FROM json_each(?3)
CROSS JOIN litequeue_queue AS queue CROSS JOIN litequeue_job AS job
WHERE EXISTS (SELECT 1 FROM litequeue_job AS any
              WHERE any.phase = 'parked' AND any.task = json_each.value)
  AND {CHOSEN_QUEUE.replace("?3", "?1").replace("?4", "?2")}
  AND job.phase = 'parked' AND job.task = json_each.value AND job.queue = queue.name
LIMIT 1
"""


def has_parked(
    database: Database, tasks: Iterable[str], queues: str | None = None, excluded: str = "[]"
) -> bool:
    """Tell whether a job of one of ``tasks`` is parked, in a queue that may be claimed from."""
    with database.read() as connection:
        parameters = (queues, excluded, json.dumps(sorted(tasks)))
        return connection.execute(HAS_PARKED, parameters).fetchone() is not None


EXPIRED: Final = Failure("TaskRevokedError", "expired before it could run")
REVOKED: Final = Failure("TaskRevokedError", "revoked")
UNREADABLE: Final = Failure("ValueError", "the row cannot be read")

# A row that Python cannot read must not stop the others (invalid UTF-8, a value too long).

CANDIDATES: Final = f"""
SELECT job.seq FROM litequeue_queue AS queue CROSS JOIN litequeue_job AS job
WHERE {CHOSEN_QUEUE} AND job.phase = 'ready' AND job.queue = queue.name
ORDER BY job.priority DESC, job.seq LIMIT ?2
"""
PARKED_CANDIDATES: Final = CANDIDATES.replace("job.phase = 'ready'", KNOWN_HERE).replace(
    "ORDER BY job.priority DESC, job.seq ", ""
)
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
    tasks = json.dumps(sorted(claim.tasks))
    candidates: list[tuple[int]] = []
    for queues in claim.choices:
        # ?1 is the owner in a claim.
        parameters = (None, claim.limit, queues, claim.excluded)
        candidates += connection.execute(CANDIDATES, parameters).fetchall()
        if claim.parked:
            candidates += connection.execute(PARKED_CANDIDATES, (*parameters, tasks)).fetchall()
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
