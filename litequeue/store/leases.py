"""Giving leases back: unharmed by their worker, or taken from the dead."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from litequeue import states
from litequeue.job import Failure, Lease, Outcome
from litequeue.store.connection import Database
from litequeue.store.driver import lenient, sqlite3
from litequeue.store.settle import ADD_ERROR, Keep, end, error_row

RELEASE: Final = """
UPDATE litequeue_job
SET phase = 'ready', state = CASE WHEN retries THEN 'RETRY' ELSE 'PENDING' END,
    deaths = min(deaths, 4611686018427387903) + ?,
    once = 0, result = NULL, started = NULL, pid = NULL, owner = NULL, token = NULL
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
SELECT seq, token, claims, id, task, '',
       (SELECT options FROM litequeue_payload AS payload WHERE payload.seq = litequeue_job.seq),
       queue, priority, retries, deaths, eta, expires, parent, once
FROM litequeue_job WHERE phase = 'leased' AND owner = ?
"""


def leases_of(database: Database, owner: int) -> list[Lease]:
    """Return the leases of a worker, without their arguments."""
    with database.read() as connection, lenient(connection):
        return [Lease(*row) for row in connection.execute(LEASES_OF, (owner,)).fetchall()]


ENDED: Final = """
SELECT job.seq, 0, claims, id, task, body, options, queue, priority, retries, deaths, eta, expires,
       parent, once
FROM litequeue_job AS job JOIN litequeue_payload AS payload ON payload.seq = job.seq
WHERE job.seq = ? AND phase = 'done'
"""


def ended(database: Database, seqs: Iterable[int]) -> list[Lease]:
    """Return finished jobs with their payloads, as leases without a token."""
    wanted = list(seqs)
    if not wanted:
        return []
    with database.read() as connection, lenient(connection):
        rows = [row for seq in wanted for row in connection.execute(ENDED, (seq,)).fetchall()]
    return [Lease(*row) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A lease whose worker or child died: did it run, and with what reason is it given up?

    ``evidence`` is a JSON object: how the process died.  ``verdict`` is a state that ends the job
    and why, whatever else would have become of it; ``started`` is in epoch seconds.
    """

    lease: Lease
    ran: bool
    reason: str
    evidence: str | None = None
    verdict: tuple[str, Failure] | None = None
    started: float | None = None


PROGRESS_SHOWN: Final = 2048
"""Characters of what a job last told of itself that are kept when it dies."""
TOLD: Final = """
SELECT state, substr(result, 1, ?) FROM litequeue_job WHERE seq = ? AND token = ?
"""


def reap(
    database: Database,
    lost: Sequence[Lost],
    *,
    now: float,
    keep: Keep,
    max_deliveries: int,
    fragile: frozenset[str] = frozenset(),
    wait: float | None = None,
) -> list[Lease]:
    """Take leases back from the dead; return those that were given up as poison, or by a verdict.

    Only a job that was running is blamed.  One that killed its worker ``max_deliveries`` times,
    was acknowledged before it ran, or is of a task in ``fragile``, ends as FAILURE with
    `WorkerLostError`; the others are ready again.
    """
    given_up: list[Lease] = []
    with database.write(durable=True, rows=len(lost), wait=wait) as connection:
        for item in lost:
            lease = item.lease
            failure = Failure("WorkerLostError", item.reason, evidence=_evidence(connection, item))
            verdict = item.verdict
            last = lease.once or lease.task in fragile or lease.deaths + 1 >= max_deliveries
            if verdict is None and item.ran and last:
                verdict = states.FAILURE, replace(failure, message=_why(item))
            if verdict is not None:
                state, reason = verdict
                reason = replace(reason, evidence=failure.evidence)
                given_up += end(
                    connection, [lease], state, reason, now=now, keep=keep, started=item.started
                )
                continue
            row = (int(item.ran), lease.seq, lease.token)
            if connection.execute(RELEASE, row).rowcount and item.ran:
                outcome = Outcome(lease.seq, lease.token, lease.claim, states.RETRY)
                connection.execute(ADD_ERROR, error_row(outcome, failure, now))
    return given_up


def _evidence(connection: sqlite3.Connection, item: Lost) -> str | None:
    """Return the evidence, with what the job last told of itself."""
    lease = item.lease
    with lenient(connection):
        row = connection.execute(TOLD, (PROGRESS_SHOWN, lease.seq, lease.token)).fetchone()
    if row is None or row[0] in states.ALL_STATES:
        return item.evidence
    told = {"state": row[0], "result": row[1]}
    return json.dumps(json.loads(item.evidence or "{}") | {"progress": told})


def _why(item: Lost) -> str:
    """Say why a job is given up."""
    if item.lease.once:
        return f"{item.reason}, and it was acknowledged before it ran"
    return f"{item.reason}, {item.lease.deaths + 1} times"
