"""The verbs of a job's life: enqueue, settle and claim, release, reap, revoke.

Each statement stands above the function that runs it.  Every write about an attempt carries the
token of its lease; where no row matches, the writer has lost the lease and changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from litequeue import states
from litequeue.exceptions import DuplicateJob, EnqueueUncertain
from litequeue.job import Failure, Job, Lease, Outcome
from litequeue.store.connection import Database, IOFailure, sqlite_error
from litequeue.store.driver import sqlite3

PROMOTE_AT_ONCE: Final = 500
"""Due jobs made ready per transaction (6 µs each)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How many seconds finished jobs stay: succeeded ones, and the others."""

    success: float
    failure: float

    def until(self, state: str, now: float) -> float:
        """Return the time after which a job that ended in ``state`` may be pruned."""
        return now + (self.failure if state == states.FAILURE else self.success)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a worker asks for: at most ``limit`` jobs of ``queues`` (None: all) that it knows."""

    owner: int
    limit: int
    tasks: frozenset[str]
    queues: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What `settle_and_claim` did.

    ``zombies`` are the seqs of outcomes whose lease was lost; ``ended`` the ids of other jobs
    that ended here (expired, unreadable); ``more`` tells that a claim found all it asked for;
    ``next_due`` is when the next scheduled job is due.
    """

    leases: list[Lease]
    zombies: list[int]
    ended: list[str]
    parked: list[Lease]
    more: bool
    next_due: float | None


# Enqueue

ADD_QUEUE: Final = "INSERT OR IGNORE INTO litequeue_queue (name) VALUES (?)"
ADD_JOB: Final = """
INSERT INTO litequeue_job (id, task, queue, priority, phase, eta, expires, created, parent)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""
ADD_PAYLOAD: Final = """
INSERT INTO litequeue_payload (seq, body, options) VALUES (last_insert_rowid(), ?, ?)
"""
STORED_AS: Final = """
SELECT job.task, payload.body, payload.options
FROM litequeue_job AS job JOIN litequeue_payload AS payload ON payload.seq = job.seq
WHERE job.id = ?
"""


def enqueue(database: Database, job: Job, now: float) -> bool:
    """Store ``job``; False when the very same job was stored before.

    Raises `DuplicateJob`, `QueueBusy` and `QueueFull` (definitely not accepted), and
    `EnqueueUncertain` (unknown; sending the same id again is safe).
    """
    try:
        with database.write(durable=True) as connection:
            connection.execute(ADD_QUEUE, (job.queue,))
            return _add(connection, job, now)
    except IOFailure as error:
        database.forget_connections()
        raise EnqueueUncertain(job.id, error) from error


def _add(connection: sqlite3.Connection, job: Job, now: float) -> bool:
    if connection.execute(ADD_JOB, _job_row(job, now)).rowcount:
        connection.execute(ADD_PAYLOAD, (job.body, job.options))
        return True
    if connection.execute(STORED_AS, (job.id,)).fetchone() != (job.task, job.body, job.options):
        raise DuplicateJob(job.id)
    return False


def _job_row(job: Job, now: float) -> tuple[Any, ...]:
    phase = states.SCHEDULED if job.eta is not None and job.eta > now else states.READY
    return (
        job.id, job.task, job.queue, job.priority, phase, job.eta, job.expires, now, job.parent,
    )  # fmt: skip


LAST_SEQ: Final = "SELECT coalesce(max(seq), 0) FROM litequeue_job"
ADD_JOBS: Final = """
INSERT INTO litequeue_job (id, task, queue, priority, phase, eta, expires, created, parent, seq)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
ADD_PAYLOADS: Final = "INSERT INTO litequeue_payload (body, options, seq) VALUES (?, ?, ?)"


def enqueue_many(database: Database, jobs: Sequence[Job], now: float) -> None:
    """Store all ``jobs`` in one transaction, or none; those stored before are left alone.

    Raises as `enqueue` does; `EnqueueUncertain` names the first id, and all share its fate.
    """
    if not jobs:
        return
    try:
        with database.write(durable=True, rows=len(jobs)) as connection:
            connection.executemany(ADD_QUEUE, [(name,) for name in {job.queue for job in jobs}])
            connection.execute("SAVEPOINT litequeue_many")
            try:
                _add_all(connection, jobs, now)
            except sqlite3.IntegrityError:
                connection.execute("ROLLBACK TO litequeue_many")
                for job in jobs:
                    _add(connection, job, now)
    except IOFailure as error:
        database.forget_connections()
        raise EnqueueUncertain(jobs[0].id, error) from error


def _add_all(connection: sqlite3.Connection, jobs: Sequence[Job], now: float) -> None:
    first = connection.execute(LAST_SEQ).fetchone()[0] + 1
    numbered = list(enumerate(jobs, first))
    connection.executemany(ADD_JOBS, [(*_job_row(job, now), seq) for seq, job in numbered])
    connection.executemany(ADD_PAYLOADS, [(job.body, job.options, seq) for seq, job in numbered])


# Settle and claim

SETTLE: Final = """
UPDATE litequeue_job
SET phase = 'done', state = ?, result = ?, started = ?, runtime = ?, finished = ?, keep_until = ?,
    token = NULL
WHERE seq = ? AND token = ?
"""
SETTLE_RETRY: Final = """
UPDATE litequeue_job
SET phase = ?, state = 'RETRY', eta = ?, retries = retries + ?, started = NULL, pid = NULL,
    owner = NULL, token = NULL
WHERE seq = ? AND token = ?
"""
CHANGE_BODY: Final = "UPDATE litequeue_payload SET body = ? WHERE seq = ?"
ADD_ERROR: Final = """
INSERT OR REPLACE INTO litequeue_error (job, claim, at, state, type, message, args, traceback)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
MARK_STARTED: Final = """
UPDATE litequeue_job SET state = 'STARTED', started = ?, pid = ? WHERE seq = ? AND token = ?
"""


class _LeaseLost(Exception):
    """Some outcome's lease was lost: the transaction is done again, row by row."""


def settle_and_claim(
    database: Database,
    *,
    now: float,
    keep: Keep,
    outcomes: Sequence[Outcome] = (),
    started: Sequence[tuple[float, int, int, int]] = (),
    claim: Claim | None = None,
    wait: float | None = None,
) -> Settled:
    """Make outcomes true and take new leases, in one transaction.

    ``started`` holds (start time, pid, seq, token) of jobs seen running.  ``wait`` is seconds.
    Raises `StoreError`; then nothing happened, or (after an I/O error) all of it: done again, the
    outcomes that made it are zombies of themselves and change nothing.
    """
    careful = readable = False
    while True:
        try:
            with database.write(
                durable=bool(outcomes),
                rows=len(outcomes) + (claim.limit if claim else 0),
                wait=wait,
            ) as connection:
                zombies = _settle(connection, outcomes, now, keep, careful=careful)
                if started:
                    connection.executemany(MARK_STARTED, started)
                if claim is None:
                    return _nothing_claimed(zombies)
                next_due = _promote(connection, now)
                ended = _quarantine(connection, claim, now, keep) if readable else []
                if ended:  # behind them stand others, of which some may be unreadable too
                    return _nothing_claimed(zombies, ended, next_due)
                settled = _claim(connection, claim, now, keep, next_due)
                settled.zombies.extend(zombies)
                return settled
        except _LeaseLost:
            careful = True
        except Exception as error:
            if readable or not is_unreadable(error):
                raise
            readable = True


def _nothing_claimed(
    zombies: list[int], ended: Sequence[str] = (), next_due: float | None = None
) -> Settled:
    return Settled(
        leases=[],
        zombies=zombies,
        ended=list(ended),
        parked=[],
        more=bool(ended),
        next_due=next_due,
    )


def _settle(
    connection: sqlite3.Connection,
    outcomes: Sequence[Outcome],
    now: float,
    keep: Keep,
    *,
    careful: bool,
) -> list[int]:
    """Write the verdicts; return the seqs whose lease was lost (only when ``careful``)."""
    ends = [outcome for outcome in outcomes if outcome.state != states.RETRY]
    retries = [outcome for outcome in outcomes if outcome.state == states.RETRY]
    lost = _write(connection, SETTLE, ends, [_end_row(o, now, keep) for o in ends], careful)
    lost |= _write(
        connection, SETTLE_RETRY, retries, [_retry_row(o, now) for o in retries], careful
    )
    for outcome in outcomes:
        if outcome.seq in lost:
            continue
        if outcome.failure is not None:
            connection.execute(ADD_ERROR, _error_row(outcome, outcome.failure, now))
        if outcome.body is not None:
            connection.execute(CHANGE_BODY, (outcome.body, outcome.seq))
    return sorted(lost)


def _write(
    connection: sqlite3.Connection,
    statement: str,
    outcomes: Sequence[Outcome],
    rows: Sequence[tuple[Any, ...]],
    careful: bool,
) -> set[int]:
    if not rows:
        return set()
    if careful:
        return {
            outcome.seq
            for outcome, row in zip(outcomes, rows, strict=True)
            if connection.execute(statement, row).rowcount == 0
        }
    if connection.executemany(statement, rows).rowcount != len(rows):
        raise _LeaseLost
    return set()


def _end_row(outcome: Outcome, now: float, keep: Keep) -> tuple[Any, ...]:
    return (
        outcome.state, outcome.result, outcome.started, outcome.runtime, now,
        keep.until(outcome.state, now), outcome.seq, outcome.token,
    )  # fmt: skip


def _retry_row(outcome: Outcome, now: float) -> tuple[Any, ...]:
    due = outcome.eta is None or outcome.eta <= now
    phase = states.READY if due else states.SCHEDULED
    return phase, outcome.eta, int(outcome.counted), outcome.seq, outcome.token


def _error_row(outcome: Outcome, failure: Failure, now: float) -> tuple[Any, ...]:
    return (
        outcome.seq, outcome.claim, now, outcome.state, failure.type, failure.message,
        failure.args, failure.traceback,
    )  # fmt: skip


NEXT_DUE: Final = """
SELECT eta FROM litequeue_job WHERE phase = 'scheduled' ORDER BY eta LIMIT 1
"""
PROMOTE: Final = """
UPDATE litequeue_job SET phase = 'ready'
WHERE seq IN (SELECT seq FROM litequeue_job WHERE phase = 'scheduled' AND eta <= ?
              ORDER BY eta LIMIT ?)
"""
# RETURNING gives the rows in the order of their seq, so the caller sorts by priority.
CLAIM: Final = """
UPDATE litequeue_job
SET phase = 'leased', state = 'RECEIVED', owner = ?, token = random(), claims = claims + 1
WHERE seq IN (
    SELECT seq FROM litequeue_job
    WHERE phase = 'ready'
      AND queue IN (SELECT name FROM litequeue_queue)
    ORDER BY priority DESC, seq LIMIT ?)
RETURNING seq, token, claims, id, task,
    (SELECT body FROM litequeue_payload AS payload WHERE payload.seq = litequeue_job.seq),
    (SELECT options FROM litequeue_payload AS payload WHERE payload.seq = litequeue_job.seq),
    queue, priority, retries, deaths, eta, expires, parent
"""
CLAIM_FROM: Final = CLAIM.replace(
    "(SELECT name FROM litequeue_queue)", "(SELECT value FROM json_each(?))"
)


def _promote(connection: sqlite3.Connection, now: float) -> float | None:
    """Make due jobs ready; return when the next one is due."""
    next_due = _next_due(connection)
    if next_due is not None and next_due <= now:
        connection.execute(PROMOTE, (now, PROMOTE_AT_ONCE))
        next_due = _next_due(connection)
    return next_due


def _claim(
    connection: sqlite3.Connection, claim: Claim, now: float, keep: Keep, next_due: float | None
) -> Settled:
    if claim.queues is None:
        rows = connection.execute(CLAIM, (claim.owner, claim.limit)).fetchall()
    else:
        rows = connection.execute(CLAIM_FROM, (claim.owner, claim.queues, claim.limit)).fetchall()
    rows.sort(key=_order)
    leases = [Lease(*row) for row in rows]
    parked: list[Lease] = []
    ended: list[str] = []
    if any(lease.expires is not None or lease.task not in claim.tasks for lease in leases):
        leases, parked, expired = _sift(leases, claim, now)
        connection.executemany(PARK, [(lease.seq, lease.token) for lease in parked])
        _end(connection, expired, states.REVOKED, EXPIRED, now=now, keep=keep)
        ended = [lease.id for lease in expired]
    return Settled(
        leases=leases,
        zombies=[],
        ended=ended,
        parked=parked,
        more=len(rows) == claim.limit,
        next_due=next_due,
    )


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
UNPARK: Final = """
UPDATE litequeue_job SET phase = 'ready'
WHERE seq IN (SELECT seq FROM litequeue_job
              WHERE phase = 'parked' AND task IN (SELECT value FROM json_each(?)) LIMIT ?)
"""


def unpark(database: Database, tasks: Iterable[str], *, limit: int = PROMOTE_AT_ONCE) -> int:
    """Make at most ``limit`` parked jobs of ``tasks`` ready: a worker that knows them is here."""
    with database.write(durable=False) as connection:
        return connection.execute(UNPARK, (json.dumps(sorted(tasks)), limit)).rowcount


HAS_PARKED: Final = """
SELECT 1 FROM litequeue_job
WHERE phase = 'parked' AND task IN (SELECT value FROM json_each(?)) LIMIT 1
"""


def has_parked(database: Database, tasks: Iterable[str]) -> bool:
    """Tell whether a job of one of ``tasks`` is parked."""
    with database.read() as connection:
        row = connection.execute(HAS_PARKED, (json.dumps(sorted(tasks)),)).fetchone()
    return row is not None


# Verdicts made by the worker, not by a task

EXPIRED: Final = Failure("TaskRevokedError", "expired before it could run")
UNREADABLE: Final = Failure("ValueError", "the row cannot be read")


def _end(
    connection: sqlite3.Connection,
    leases: Iterable[Lease],
    state: str,
    failure: Failure,
    *,
    now: float,
    keep: Keep,
) -> list[Lease]:
    """End jobs with one verdict; return those whose lease still held."""
    ended: list[Lease] = []
    for lease in leases:
        outcome = Outcome(lease.seq, lease.token, lease.claim, state, failure=failure)
        if connection.execute(SETTLE, _end_row(outcome, now, keep)).rowcount:
            connection.execute(ADD_ERROR, _error_row(outcome, failure, now))
            ended.append(lease)
    return ended


# A row that Python cannot read must not stop the others (invalid UTF-8, a value too long).

CANDIDATES: Final = """
SELECT seq FROM litequeue_job
WHERE phase = 'ready'
  AND queue IN (SELECT name FROM litequeue_queue WHERE ?1 IS NULL
                UNION ALL SELECT value FROM json_each(coalesce(?1, '[]')))
ORDER BY priority DESC, seq LIMIT ?2
"""
PROBE: Final = """
SELECT job.id, job.task, job.queue, job.parent, payload.body, payload.options
FROM litequeue_job AS job LEFT JOIN litequeue_payload AS payload ON payload.seq = job.seq
WHERE job.seq = ?
"""
QUARANTINE: Final = """
UPDATE litequeue_job SET phase = 'done', state = 'FAILURE', finished = ?, keep_until = ?
WHERE seq = ? AND phase = 'ready'
"""


def is_unreadable(error: BaseException) -> bool:
    """Tell whether ``error`` is about one row's content and not about the file."""
    cause = sqlite_error(error.__cause__ or error)
    return cause is not None and (
        isinstance(cause, sqlite3.DataError) or "Could not decode to UTF-8" in str(cause)
    )


def _quarantine(connection: sqlite3.Connection, claim: Claim, now: float, keep: Keep) -> list[str]:
    """Fail the unreadable rows among the next candidates, each with its reason."""
    ended: list[str] = []
    for (seq,) in connection.execute(CANDIDATES, (claim.queues, claim.limit)).fetchall():
        try:
            connection.execute(PROBE, (seq,)).fetchall()
        except (sqlite3.DataError, sqlite3.OperationalError) as error:
            if not is_unreadable(error):
                raise
            outcome = Outcome(seq, 0, 0, states.FAILURE)
            reason = Failure(UNREADABLE.type, f"{UNREADABLE.message}: {type(error).__name__}")
            connection.execute(QUARANTINE, (now, keep.until(states.FAILURE, now), seq))
            connection.execute(ADD_ERROR, _error_row(outcome, reason, now))
            ended.append(f"(row {seq})")
    return ended


# Release and reap

RELEASE: Final = """
UPDATE litequeue_job
SET phase = 'ready', state = CASE WHEN retries THEN 'RETRY' ELSE 'PENDING' END, deaths = deaths + ?,
    started = NULL, pid = NULL, owner = NULL, token = NULL
WHERE seq = ? AND token = ?
"""


def release(
    database: Database, leases: Iterable[tuple[int, int]], *, wait: float | None = None
) -> int:
    """Give (seq, token) leases back unharmed and uncounted; return how many were still ours."""
    rows = [(0, seq, token) for seq, token in leases]
    if not rows:
        return 0
    with database.write(durable=False, rows=len(rows), wait=wait) as connection:
        return connection.executemany(RELEASE, rows).rowcount


LEASES_OF: Final = """
SELECT seq, token, claims, id, task, '', NULL, queue, priority, retries, deaths, eta, expires,
       parent
FROM litequeue_job WHERE phase = 'leased' AND owner = ?
"""


def leases_of(database: Database, owner: int) -> list[Lease]:
    """Return the leases of a worker, without their payloads."""
    with database.read() as connection:
        return [Lease(*row) for row in connection.execute(LEASES_OF, (owner,)).fetchall()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A lease whose worker or child died: did it run, and with what reason is it given up?"""

    lease: Lease
    ran: bool
    reason: str


def reap(
    database: Database,
    lost: Sequence[Lost],
    *,
    now: float,
    keep: Keep,
    max_deliveries: int,
    wait: float | None = None,
) -> list[Lease]:
    """Take leases back from the dead; return those that were given up as poison.

    Only a job that was running is blamed.  One that killed its worker ``max_deliveries`` times
    ends as FAILURE with `WorkerLostError`; the others are ready again.
    """
    given_up: list[Lease] = []
    with database.write(durable=True, rows=len(lost), wait=wait) as connection:
        for item in lost:
            lease = item.lease
            if item.ran and lease.deaths + 1 >= max_deliveries:
                failure = Failure("WorkerLostError", f"{item.reason}, {lease.deaths + 1} times")
                given_up += _end(connection, [lease], states.FAILURE, failure, now=now, keep=keep)
                continue
            row = (int(item.ran), lease.seq, lease.token)
            if connection.execute(RELEASE, row).rowcount and item.ran:
                outcome = Outcome(lease.seq, lease.token, lease.claim, states.RETRY)
                failure = Failure("WorkerLostError", item.reason)
                connection.execute(ADD_ERROR, _error_row(outcome, failure, now))
    return given_up


# Revoke, forget

REVOKE: Final = """
UPDATE litequeue_job SET phase = 'done', state = 'REVOKED', finished = ?, keep_until = ?
WHERE id = ? AND phase <> 'done' AND phase <> 'leased'
"""


def revoke(database: Database, id: str, *, now: float, keep: Keep) -> bool:
    """End a waiting job as REVOKED; False when it is not waiting (running, done, unknown)."""
    with database.write(durable=True) as connection:
        row = (now, keep.until(states.REVOKED, now), id)
        return connection.execute(REVOKE, row).rowcount == 1
