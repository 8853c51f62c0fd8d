"""Keeping the file small: old jobs go, the WAL is written back, free pages are returned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from litequeue import states
from litequeue.job import Outcome
from litequeue.store.claim import EXPIRED
from litequeue.store.connection import Database
from litequeue.store.driver import sqlite3
from litequeue.store.settle import ADD_ERROR, error_row

PRUNE_AT_ONCE: Final = 200
"""Jobs deleted per transaction (15 µs each), so that nobody waits long behind it."""
FREE_AT_ONCE: Final = 200
"""Pages given back to the filesystem per call."""

PRUNABLE: Final = """
SELECT seq, flow FROM litequeue_job WHERE phase = 'done' AND keep_until <= ?
ORDER BY keep_until LIMIT ?
"""
PRUNE_ERRORS: Final = "DELETE FROM litequeue_error WHERE job = ?"
PRUNE_LOGS: Final = "DELETE FROM litequeue_log WHERE job = ?"
PRUNE_STEPS: Final = "DELETE FROM litequeue_step WHERE job = ?"
PRUNE_PAYLOAD: Final = "DELETE FROM litequeue_payload WHERE seq = ?"
PRUNE_JOB: Final = "DELETE FROM litequeue_job WHERE seq = ?"
PRUNE_ALL: Final = (PRUNE_ERRORS, PRUNE_LOGS, PRUNE_STEPS, PRUNE_PAYLOAD, PRUNE_JOB)
"""Everything that the file has about a job, each by its number."""


def prune(database: Database, now: float, *, limit: int = PRUNE_AT_ONCE) -> int:
    """Delete at most ``limit`` finished jobs whose time is over; return how many it looked at."""
    with database.write(durable=False, rows=limit) as connection:
        found = connection.execute(PRUNABLE, (now, limit)).fetchall()
        delete(connection, found, now, keep_for=KEPT_FOR)
    return len(found)


# What has not begun may do so yet, if it is run again: it needs the results that it waited for.
_MAY_BEGIN: Final = """
(target.phase = 'waiting'
 OR target.phase = 'done' AND target.state NOT IN ('SUCCESS', 'IGNORED')
    AND (target.claims = 0 OR target.runtime IS NOT NULL AND target.started IS NULL)
    AND target.keep_until > ?2)
"""
STILL_NEEDED: Final = f"""
SELECT NULL FROM litequeue_advance WHERE job = ?1
UNION ALL SELECT NULL FROM litequeue_job AS job
JOIN litequeue_fanin AS fanin ON fanin.id = job.flow
WHERE job.seq = ?1 AND fanin.size IS NULL
UNION ALL SELECT target.keep_until FROM litequeue_job AS job
JOIN litequeue_fanin AS fanin ON fanin.id = job.flow
JOIN litequeue_job AS target ON target.seq = fanin.target
WHERE job.seq = ?1 AND fanin.spent < 2 AND {_MAY_BEGIN}
UNION ALL SELECT target.keep_until FROM litequeue_edge AS edge
JOIN litequeue_job AS target ON target.seq = edge.target
WHERE edge.source = ?1 AND edge.kind <> 'error' AND edge.spent < 2 AND {_MAY_BEGIN}
LIMIT 1
"""
KEEP_ON: Final = "UPDATE litequeue_job SET keep_until = ? WHERE seq = ?"
KEPT_FOR: Final = 600.0
"""Seconds for which a job stays whose result others of its workflow still wait for."""


def delete(
    connection: sqlite3.Connection,
    found: Iterable[tuple[int, int | None]],
    now: float = 0.0,
    *,
    keep_for: float = 0.0,
) -> None:
    """Delete finished jobs, each (seq, flow), but keep those that are still needed for longer.

    Needed is, too, what a job that may be run again would get; ``now`` is 0 for: however old.
    """
    rows = [
        (seq,) for seq, flow in found if flow is None or not _kept(connection, seq, now, keep_for)
    ]
    for statement in PRUNE_ALL:
        connection.executemany(statement, rows)


def _kept(connection: sqlite3.Connection, seq: int, now: float, keep_for: float) -> bool:
    """Keep a job of a workflow if it is still needed; tell whether it was."""
    row = connection.execute(STILL_NEEDED, (seq, now)).fetchone()
    if row is None:
        return False
    connection.execute(KEEP_ON, (max(now + keep_for, row[0] or 0.0), seq))
    return True


EXPIRE: Final = """
UPDATE litequeue_job SET phase = 'done', state = 'REVOKED', finished = ?, keep_until = ?
WHERE seq IN (SELECT seq FROM litequeue_job
              WHERE expires <= ? AND phase <> 'done' AND phase <> 'leased' LIMIT ?)
RETURNING CAST(id AS BLOB), seq, min(claims, 4611686018427387903) + 1
"""


def expire(
    database: Database, now: float, keep_until: float, *, limit: int = PRUNE_AT_ONCE
) -> list[tuple[str, int]]:
    """End waiting jobs that are too late as REVOKED; return their (id, seq).

    Too late is also what has not begun of a workflow that is given up.
    """
    with database.write(durable=False, rows=limit) as connection:
        _give_up(connection, now, limit)
        rows = connection.execute(EXPIRE, (now, keep_until, now, limit)).fetchall()
        # The claim that never comes has the reason.
        outcomes = [Outcome(seq, 0, claim, states.REVOKED) for _, seq, claim in rows]
        connection.executemany(ADD_ERROR, [error_row(each, EXPIRED, now) for each in outcomes])
    return [(bytes(id).decode("utf-8", "replace"), seq) for id, seq, _ in rows]


GIVEN_UP_AFTER: Final = 86_400.0
"""Seconds after which a workflow that is not yet complete in the file is given up."""

# As bytes: a name that others have written may be no text, and must not keep the rest from ending.
GIVEN_UP: Final = """
SELECT CAST(workflow AS BLOB), first, last FROM litequeue_part WHERE at <= ? ORDER BY at LIMIT 1
"""
BEGINS_AT: Final = "SELECT min(seq) FROM litequeue_job WHERE seq BETWEEN ? AND ?"
TOO_LATE: Final = """
UPDATE litequeue_job SET expires = ? WHERE seq BETWEEN ? AND ? AND phase <> 'done'
"""
CLOSE_GROUPS: Final = """
UPDATE litequeue_fanin
SET waiting = waiting - 1,
    size = (SELECT count(*) FROM litequeue_job WHERE flow = litequeue_fanin.id AND flow > 0)
WHERE id IN (SELECT flow FROM litequeue_job WHERE seq BETWEEN ? AND ?) AND size IS NULL
"""
_PART: Final = "WHERE workflow = CAST(? AS TEXT) AND first = ?"
PART_LEFT: Final = f"UPDATE litequeue_part SET first = ? {_PART}"
NO_PART_LEFT: Final = f"DELETE FROM litequeue_part {_PART}"


def _give_up(connection: sqlite3.Connection, now: float, limit: int) -> None:
    """Make steps of a workflow too late whose other part never came."""
    part = connection.execute(GIVEN_UP, (now - GIVEN_UP_AFTER,)).fetchone()
    if part is None:
        return
    workflow, first, last = part
    begin = connection.execute(BEGINS_AT, (first, last)).fetchone()[0]
    end = last if begin is None else min(last, begin + limit - 1)
    connection.execute(TOO_LATE, (now, first, end))
    connection.execute(CLOSE_GROUPS, (first, end))
    if end == last:
        connection.execute(NO_PART_LEFT, (workflow, first))
    else:
        connection.execute(PART_LEFT, (end + 1, workflow, first))


HAS_EXPIRED: Final = """
SELECT 1 FROM litequeue_job
WHERE expires <= ? AND phase <> 'done' AND phase <> 'leased' LIMIT 1
"""
HAS_GIVEN_UP: Final = "SELECT 1 FROM litequeue_part WHERE at <= ? LIMIT 1"


def has_expired(database: Database, now: float) -> bool:
    """Tell whether a waiting job is too late."""
    with database.read() as connection:
        return bool(
            connection.execute(HAS_EXPIRED, (now,)).fetchone()
            or connection.execute(HAS_GIVEN_UP, (now - GIVEN_UP_AFTER,)).fetchone()
        )


HAS_PRUNABLE: Final = """
SELECT 1 FROM litequeue_job WHERE phase = 'done' AND keep_until <= ? LIMIT 1
"""


def has_prunable(database: Database, now: float) -> bool:
    """Tell whether a finished job has been kept long enough."""
    with database.read() as connection:
        return connection.execute(HAS_PRUNABLE, (now,)).fetchone() is not None


NEXT_EXPIRY: Final = """
SELECT expires FROM litequeue_job
WHERE expires IS NOT NULL AND phase <> 'done' AND phase <> 'leased' ORDER BY expires LIMIT 1
"""
NEXT_GIVEN_UP: Final = f"SELECT min(at) + {GIVEN_UP_AFTER} FROM litequeue_part"
NEXT_PRUNE: Final = """
SELECT keep_until FROM litequeue_job
WHERE phase = 'done' AND keep_until IS NOT NULL ORDER BY keep_until LIMIT 1
"""


def next_moment(database: Database) -> float | None:
    """Return when the next job expires or may be pruned, in epoch seconds; None for never."""
    with database.read() as connection:
        found = [
            row[0]
            for statement in (NEXT_EXPIRY, NEXT_GIVEN_UP, NEXT_PRUNE)
            if (row := connection.execute(statement).fetchone()) is not None
        ]
    return min((moment for moment in found if moment is not None), default=None)


def give_back_pages(database: Database) -> None:
    """Return free pages to the filesystem, a few at a time."""
    with database.write(durable=False) as connection:
        free = connection.execute("PRAGMA freelist_count").fetchone()[0]
        for _ in range(min(free, FREE_AT_ONCE)):
            # It frees a page per step, and Python takes one step where no row comes back.
            connection.execute("PRAGMA incremental_vacuum(1)").fetchall()
