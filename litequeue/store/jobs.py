"""The verbs of a job's life: enqueue, settle and claim, run again.

Each statement stands above the function that runs it.  Every write about an attempt carries the
token of its lease; where no row matches, the writer has lost the lease and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from litequeue import states
from litequeue.exceptions import DuplicateJob, EnqueueUncertain
from litequeue.job import Job, Outcome
from litequeue.store import events as happenings
from litequeue.store import registry, revocations
from litequeue.store.advance import Advanced, advance, advance_all
from litequeue.store.claim import Claim, Settled, is_unreadable, promote, quarantine, take
from litequeue.store.connection import Database
from litequeue.store.driver import sqlite3
from litequeue.store.errors import IOFailure
from litequeue.store.events import EventRow
from litequeue.store.settle import (
    ADD_ERROR,
    MARK_STARTED,
    ROW,
    Keep,
    LeaseLost,
    error_row,
    is_about_a_value,
    settle,
    weight,
)
from litequeue.store.storing import ADD_PAYLOADS, ADD_QUEUE, LAST_SEQ

# Enqueue

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


def enqueue(
    database: Database,
    job: Job,
    now: float,
    *,
    wait: float | None = None,
    event: EventRow | None = None,
) -> bool:
    """Store ``job``; False when the very same job was stored before.

    ``wait`` is how many seconds to wait for other writers (default: the file's); ``event`` is
    stored with a job that was not.  Raises `DuplicateJob`, `QueueBusy` and `QueueFull` (definitely
    not accepted), and `EnqueueUncertain` (unknown; sending the same id again is safe).
    """
    try:
        with database.write(durable=True, rows=1 + len(job.body) // ROW, wait=wait) as connection:
            is_new = job.queue not in database.known_queues
            if is_new:
                connection.execute(ADD_QUEUE, (job.queue,))
            added = _add(connection, job, now)
            if event is not None and added:
                happenings.add(connection, [event])
            if (newcomer := database.newcomer) is not None:
                registry.record(connection, database.path, newcomer, now)
    except IOFailure as error:
        database.forget_connections()
        raise EnqueueUncertain(job.id, error) from error
    if is_new:
        database.known_queues.add(job.queue)
    if newcomer is not None:
        database.newcomer = None
    return added


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


ADD_JOBS: Final = """
INSERT INTO litequeue_job (id, task, queue, priority, phase, eta, expires, created, parent, seq)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def enqueue_many(
    database: Database, jobs: Sequence[Job], now: float, *, events: Sequence[EventRow] = ()
) -> None:
    """Store all ``jobs`` in one transaction, or none; those stored before are left alone.

    ``events`` are stored with them.  Raises as `enqueue` does; `EnqueueUncertain` names the first
    id, and all share its fate.
    """
    if not jobs:
        return
    try:
        rows = sum(1 + len(job.body) // ROW for job in jobs)
        with database.write(durable=True, rows=rows) as connection:
            connection.executemany(ADD_QUEUE, [(name,) for name in {job.queue for job in jobs}])
            connection.execute("SAVEPOINT litequeue_many")
            try:
                _add_all(connection, jobs, now)
            except sqlite3.IntegrityError:
                connection.execute("ROLLBACK TO litequeue_many")
                for job in jobs:
                    _add(connection, job, now)
            if events:
                happenings.add(connection, events)
            if (newcomer := database.newcomer) is not None:
                registry.record(connection, database.path, newcomer, now)
    except IOFailure as error:
        database.forget_connections()
        raise EnqueueUncertain(jobs[0].id, error) from error
    if newcomer is not None:
        database.newcomer = None


def _add_all(connection: sqlite3.Connection, jobs: Sequence[Job], now: float) -> None:
    first = connection.execute(LAST_SEQ).fetchone()[0] + 1
    # Made as SQLite takes them: lists of them would take 150 bytes per job.
    rows = ((*_job_row(job, now), seq) for seq, job in enumerate(jobs, first))
    connection.executemany(ADD_JOBS, rows)
    payloads = ((job.body, job.options, seq) for seq, job in enumerate(jobs, first))
    connection.executemany(ADD_PAYLOADS, payloads)


ADD_ENDED: Final = """
INSERT INTO litequeue_job
    (id, task, queue, priority, phase, state, created, parent, claims, retries, started, runtime,
     finished, keep_until, result)
VALUES (?, ?, ?, ?, 'done', ?, ?, ?, 1, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
RETURNING seq
"""


def add_ended(
    database: Database, job: Job, outcome: Outcome, *, retries: int, now: float, keep: Keep
) -> None:
    """Store a job that has run already, without a queue, with its verdict.

    Raises `DuplicateJob` when its id is taken.
    """
    row = (
        job.id, job.task, job.queue, job.priority, outcome.state, outcome.started, job.parent,
        retries, outcome.started, outcome.runtime, now, keep.until(outcome.state, now),
        outcome.result,
    )  # fmt: skip
    with database.write(durable=True, rows=1 + weight(outcome)) as connection:
        added = connection.execute(ADD_ENDED, row).fetchall()
        if not added:
            raise DuplicateJob(job.id)
        connection.execute(ADD_PAYLOAD, (job.body, job.options))
        if outcome.failure is not None:
            told = replace(outcome, seq=added[0][0], claim=1)
            connection.execute(ADD_ERROR, error_row(told, outcome.failure, now))


# Settle and claim


def settle_and_claim(
    database: Database,
    *,
    now: float,
    keep: Keep,
    outcomes: Sequence[Outcome] = (),
    started: Sequence[tuple[float, int, int, int]] = (),
    claim: Claim | None = None,
    only_released: bool = False,
    events: Sequence[EventRow] = (),
    wait: float | None = None,
) -> Settled:
    """Make outcomes true and take new leases, in one transaction.

    With ``only_released`` leases are taken only if the outcomes have released jobs that waited for
    them: so a step of a workflow that is alone in the file begins with the commit before it.

    ``started`` holds (start time, pid, seq, token) of jobs seen running; ``events`` tell of the
    outcomes, and those of outcomes whose lease was lost are left out.  ``wait`` is seconds.
    Raises `StoreError`; then nothing happened, or (after an I/O error) all of it: done again, the
    outcomes that made it are zombies of themselves and change nothing.
    """
    careful = readable = False
    limit = 0 if claim is None or only_released else claim.limit
    while True:
        try:
            with database.write(
                durable=bool(outcomes) or bool(claim and claim.once),
                rows=sum(map(weight, outcomes)) + len(events) + limit,
                wait=wait,
            ) as connection:
                zombies = settle(connection, outcomes, now, keep, careful=careful)
                if started:
                    connection.executemany(MARK_STARTED, started)
                if events:
                    told = _without(connection, zombies, events) if zombies else events
                    happenings.add(connection, told, careful=careful)
                advanced = advance(connection, now, keep)
                # What a job handed on may run now, and who sleeps does not know.
                advanced.ready |= any(outcome.sequel for outcome in outcomes)
                may_claim = not only_released or advanced.ready or bool(advanced.released)
                if claim is None or not may_claim:
                    return _told(_nothing_claimed(zombies), advanced)
                settled = _claim(connection, claim, now, keep, readable=readable)
                settled.zombies.extend(zombies)
                return _told(settled, advanced)
        except LeaseLost:
            careful = True
        except Exception as error:
            if not careful and (outcomes or events) and is_about_a_value(error):
                careful = True
            elif not readable and is_unreadable(error):
                readable = True
            else:
                raise


def _claim(
    connection: sqlite3.Connection, claim: Claim, now: float, keep: Keep, *, readable: bool
) -> Settled:
    next_due = promote(connection, now)
    ended = quarantine(connection, claim, now, keep) if readable else []
    if ended:  # behind them stand others, of which some may be unreadable too
        settled = _nothing_claimed([], ended, next_due, parked_left=claim.parked)
        settled = replace(settled, claimed=True)
    else:
        settled = take(connection, claim, now, keep, next_due)
    if settled.ended:
        return _told(settled, advance(connection, now, keep))
    return settled


ID_OF: Final = "SELECT id FROM litequeue_job WHERE seq = ?"


def _without(
    connection: sqlite3.Connection, seqs: Sequence[int], events: Sequence[EventRow]
) -> list[EventRow]:
    """Return the events that are not about these jobs."""
    ids = {id for seq in seqs for (id,) in connection.execute(ID_OF, (seq,)).fetchall()}
    return [event for event in events if event[2] not in ids]


def _nothing_claimed(
    zombies: list[int],
    ended: Sequence[str] = (),
    next_due: float | None = None,
    *,
    parked_left: bool = False,
) -> Settled:
    return Settled(
        leases=[],
        zombies=zombies,
        ended=list(ended),
        expired=[],
        revoked=[],
        parked=[],
        more=bool(ended),
        parked_left=parked_left,
        next_due=next_due,
        claimed=False,
    )


def _told(settled: Settled, advanced: Advanced) -> Settled:
    """Add what became of jobs that waited for others."""
    settled.ended.extend(advanced.ended)
    untold = advanced.ready or advanced.more
    if advanced.released and not untold:
        untold = not {lease.seq for lease in settled.leases}.issuperset(advanced.released)
    return replace(settled, ready=True) if untold else settled


# What a running task says of itself

REPORT: Final = """
UPDATE litequeue_job SET state = coalesce(?, state), result = ?
WHERE id = ? AND token = ? AND phase = 'leased'
"""
REPORT_FOR_ANOTHER: Final = """
UPDATE litequeue_job SET state = coalesce(?, state), result = ?
WHERE id = ? AND phase <> 'done'
"""


def update_state(
    database: Database, id: str, *, state: str | None, meta: str | None, token: int | None
) -> bool:
    """Show ``state`` (None: as it is) with ``meta`` (encoded) for a job until its next verdict.

    ``token`` is of the caller's own lease, None to speak of somebody else's job.  Returns False
    when there is no such job that still runs.  It may be lost with the power: not so verdicts.
    """
    with database.write(durable=False, rows=1 + len(meta or "") // ROW) as connection:
        if token is None:
            changed = connection.execute(REPORT_FOR_ANOTHER, (state, meta, id))
        else:
            changed = connection.execute(REPORT, (state, meta, id, token))
        return changed.rowcount == 1


# Run again

# One that has run was given all it waited for, unless it has become another one since: then it has
# a runtime, but no start.
RERUN: Final = """
UPDATE litequeue_job
SET phase = CASE WHEN flow IS NOT NULL AND EXISTS (
            SELECT 1 FROM litequeue_edge
            WHERE target = litequeue_job.seq AND spent < 2
            UNION ALL SELECT 1 FROM litequeue_fanin
            WHERE target = litequeue_job.seq AND spent < 2)
          AND (claims = 0 OR runtime IS NOT NULL AND started IS NULL)
        THEN 'waiting' ELSE 'ready' END,
    state = 'PENDING', result = NULL, retries = 0, deaths = 0, once = 0,
    eta = NULL, expires = NULL, started = NULL,
    runtime = CASE WHEN started IS NULL THEN runtime END, finished = NULL, keep_until = NULL,
    owner = NULL, pid = NULL
WHERE id = ? AND phase = 'done' AND state <> 'SUCCESS'
  AND (flow IS NULL OR NOT EXISTS (
      SELECT 1 FROM litequeue_edge WHERE target = litequeue_job.seq AND spent = 1
      UNION ALL SELECT 1 FROM litequeue_fanin WHERE target = litequeue_job.seq AND spent = 1
      UNION ALL SELECT 1 FROM litequeue_error
      WHERE job = litequeue_job.seq AND claim = 0 AND evidence GLOB '{"step":*'))
"""


def rerun(database: Database, id: str, *, now: float, keep: Keep) -> bool:
    """Open a new run of a finished job under its id; False when it is not one to run again.

    A job that succeeded, still waits or runs is left alone, and so is one that ended because of
    another of its workflow: it comes back with that one.  What was revoked may run again, after
    all that it waited for.
    """
    with database.write(durable=True) as connection:
        if not connection.execute(RERUN, (id,)).rowcount:
            return False
        connection.execute(revocations.CLEAR, (id,))
        advanced = advance(connection, now, keep)
    advance_all(database, advanced, now, keep)
    return True
