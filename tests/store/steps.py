"""The verbs of the store with everything filled in that a test does not care about."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import fields
from itertools import count
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from litequeue.job import Failure, Job, Lease, Outcome
from litequeue.store import Database, Keep, jobs, revocations
from litequeue.store import leases as held
from litequeue.store.claim import Claim, Settled
from litequeue.store.leases import Lost

NOW = 1_700_000_000.0
KEEP = Keep(success=100.0, failure=1_000.0)
TASKS = frozenset({"t"})
_ASKED = {field.name for field in fields(Claim)}
_numbers = count(1)


def job(id: str | None = None, **more: Any) -> Job:
    values: dict[str, Any] = {"task": "t", "body": "[[],{}]", "queue": "default"}
    return Job(id or f"job-{next(_numbers):06}", **(values | more))


def put(database: Database, *ids: str, now: float = NOW, **fields: Any) -> None:
    """Enqueue jobs of these ids, one by one."""
    for id in ids:
        jobs.enqueue(database, job(id, **fields), now)


def step(
    database: Database,
    *outcomes: Outcome,
    limit: int = 0,
    now: float = NOW,
    owner: int = 1,
    tasks: frozenset[str] = TASKS,
    **more: Any,
) -> Settled:
    """Settle ``outcomes`` and claim ``limit`` jobs; ``more`` is for either."""
    asked = {name: more.pop(name) for name in _ASKED & more.keys()}
    if limit:
        enlist(database, owner)
    claim = Claim(owner=owner, limit=limit, tasks=tasks, **asked) if limit else None
    return jobs.settle_and_claim(
        database, now=now, keep=KEEP, outcomes=outcomes, claim=claim, **more
    )


_enlisted: WeakKeyDictionary[Database, set[int]] = WeakKeyDictionary()


def enlist(database: Database, *owners: int) -> None:
    """Register workers by number: nobody else may claim."""
    known = _enlisted.setdefault(database, set())
    new = [(owner, f"{owner:x}") for owner in owners if owner not in known]
    if not new:
        return
    with database.write(durable=False) as connection:
        connection.executemany(
            """
            INSERT OR IGNORE INTO litequeue_worker
                (id, name, nonce, boot, namespace, pid, start_time, started, heartbeat)
            VALUES (?, 'w', ?, '', '', 1, 1, 0, 0)
            """,
            new,
        )
        connection.executemany(
            "INSERT OR IGNORE INTO litequeue_worker_name (id, name, seen) VALUES (?, 'w', 0)",
            [(owner,) for owner, _ in new],
        )
    known.update(owners)


def claim(database: Database, limit: int = 1, **more: Any) -> list[Lease]:
    return step(database, limit=limit, **more).leases


def claim_one(database: Database, **more: Any) -> Lease:
    (lease,) = claim(database, 1, **more)
    return lease


def success(lease: Lease, result: str | None = None, **more: Any) -> Outcome:
    return Outcome(lease.seq, lease.token, lease.claim, "SUCCESS", result, **more)


def failure(lease: Lease, message: str = "no") -> Outcome:
    return Outcome(
        lease.seq, lease.token, lease.claim, "FAILURE", failure=Failure("ValueError", message)
    )


def retry(lease: Lease, eta: float | None = None, **more: Any) -> Outcome:
    more.setdefault("failure", Failure("OSError", "again"))
    return Outcome(lease.seq, lease.token, lease.claim, "RETRY", eta=eta, **more)


def reap(
    database: Database, *leases: Lease, ran: bool = True, most: int = 3, now: float = NOW
) -> list[Lease]:
    lost = [Lost(lease=lease, ran=ran, reason="worker w died") for lease in leases]
    return held.reap(database, lost, now=now, keep=KEEP, max_deliveries=most)


def rows(path: str | Path, query: str, *values: Any) -> list[Any]:
    """Ask the file as somebody else would."""
    with closing(sqlite3.connect(path, timeout=5)) as connection:
        return connection.execute(query, values).fetchall()


def phases(path: str | Path) -> dict[str, str]:
    return dict(rows(path, "SELECT id, phase FROM litequeue_job"))


def row_of(path: str | Path, id: str) -> dict[str, Any]:
    with closing(sqlite3.connect(path, timeout=5)) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute("SELECT * FROM litequeue_job WHERE id = ?", (id,)).fetchone()
    return dict(found)


def problems(path: str | Path) -> list[str]:
    """Return what is wrong with the file, by SQLite's eyes and by ours."""
    with closing(sqlite3.connect(path, timeout=5)) as connection:  # one: each reads the schema
        found = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
        for words, query in _RULES.items():
            found += [f"{words}: {row}" for row in connection.execute(query)]
    return found


_RULES = {
    "a job without its payload": """
        SELECT id FROM litequeue_job WHERE seq NOT IN (SELECT seq FROM litequeue_payload)""",
    "a payload without its job": """
        SELECT seq FROM litequeue_payload WHERE seq NOT IN (SELECT seq FROM litequeue_job)""",
    "an error without its job": """
        SELECT job FROM litequeue_error WHERE job NOT IN (SELECT seq FROM litequeue_job)""",
    "a log without its job": """
        SELECT job FROM litequeue_log WHERE job NOT IN (SELECT seq FROM litequeue_job)""",
    "a step without its job": """
        SELECT job FROM litequeue_step WHERE job NOT IN (SELECT seq FROM litequeue_job)""",
    "a reply without its command": """
        SELECT command FROM litequeue_reply
        WHERE command NOT IN (SELECT id FROM litequeue_command)""",
    "a queue that no claim looks into": """
        SELECT id FROM litequeue_job WHERE queue NOT IN (SELECT name FROM litequeue_queue)""",
    "phase and state do not agree": """
        SELECT id, phase, state FROM litequeue_job WHERE NOT CASE phase
            WHEN 'leased' THEN state IN ('RECEIVED', 'STARTED', 'PROGRESS')
            WHEN 'done' THEN state IN ('SUCCESS', 'FAILURE', 'REVOKED', 'REJECTED', 'IGNORED')
            ELSE state IN ('PENDING', 'RETRY', 'PROGRESS') END""",
    "acknowledged, and nobody has it": """
        SELECT id, phase FROM litequeue_job WHERE once AND phase NOT IN ('leased', 'done')""",
    "a lease and its owner do not agree": """
        SELECT id, phase, owner, token FROM litequeue_job
        WHERE phase <> 'done'
          AND (phase = 'leased') <> (owner IS NOT NULL AND token IS NOT NULL)""",
    "a group that counts its members wrong": """
        SELECT id, waiting, failed FROM litequeue_fanin AS fanin
        WHERE waiting <> (size IS NULL) + (
                SELECT count(*) FROM litequeue_job WHERE flow = fanin.id AND phase <> 'done')
           OR failed < (SELECT count(*) FROM litequeue_job
                        WHERE flow = fanin.id AND phase = 'done' AND state <> 'SUCCESS')""",
    "a job that waits for what has ended": """
        SELECT job.id FROM litequeue_job AS job
        WHERE job.phase = 'waiting' AND job.seq NOT IN (SELECT job FROM litequeue_advance)
          AND (EXISTS (SELECT 1 FROM litequeue_fanin
                       WHERE target = job.seq AND waiting = 0 AND spent < 2)
               OR EXISTS (SELECT 1 FROM litequeue_edge AS edge
                          JOIN litequeue_job AS source ON source.seq = edge.source
                          WHERE edge.target = job.seq AND edge.kind <> 'error'
                            AND edge.spent < 2 AND source.phase = 'done'
                            AND source.seq NOT IN (SELECT job FROM litequeue_advance)))""",
    "an edge without its target": """
        SELECT source, place FROM litequeue_edge
        WHERE target NOT IN (SELECT seq FROM litequeue_job)""",
    "a job that did not wait": """
        SELECT job.id FROM litequeue_edge AS edge
        JOIN litequeue_job AS job ON job.seq = edge.target
        JOIN litequeue_job AS source ON source.seq = edge.source
        WHERE edge.kind <> 'error' AND edge.spent < 2 AND source.phase <> 'done'
          AND job.phase IN ('ready', 'scheduled', 'parked', 'leased')""",
    "a finished job that is kept for ever": """
        SELECT id FROM litequeue_job WHERE (phase = 'done') <> (keep_until IS NOT NULL)""",
}


def revoke(database: Database, id: str, *, now: float = NOW, keep: Keep = KEEP) -> bool:
    """Revoke one job; tell whether it has ended by that."""
    return bool(revocations.revoke(database, [id], now=now, keep=keep).ended)
