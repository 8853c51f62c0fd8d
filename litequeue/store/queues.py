"""Pausing queues, and what waits in them.

No job of a paused queue is claimed by anybody; sending to it goes on.
"""

from __future__ import annotations

from typing import Final

from litequeue.store.connection import Database
from litequeue.store.driver import lenient

PAUSE: Final = """
INSERT INTO litequeue_queue (name, paused) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET paused = excluded.paused WHERE paused IS NULL
"""


def pause(database: Database, name: str, now: float) -> bool:
    """Have no more jobs of a queue claimed; False when it was paused before.

    A queue that nobody has used yet may be paused too.
    """
    with database.write(durable=True) as connection:
        return connection.execute(PAUSE, (name, now)).rowcount == 1


RESUME: Final = "UPDATE litequeue_queue SET paused = NULL WHERE name = ? AND paused IS NOT NULL"


def resume(database: Database, name: str) -> bool:
    """Have the jobs of a queue claimed again; False when it was not paused."""
    with database.write(durable=True) as connection:
        return connection.execute(RESUME, (name,)).rowcount == 1


PAUSED: Final = "SELECT name FROM litequeue_queue WHERE paused IS NOT NULL ORDER BY name"


def paused(database: Database) -> list[str]:
    """Return the names of the paused queues."""
    with database.read() as connection, lenient(connection):
        return [row[0] for row in connection.execute(PAUSED).fetchall()]


BACKLOG: Final = """
SELECT count(*), min(created) FROM (
    SELECT created FROM litequeue_job
    WHERE phase = 'ready' AND queue IN (
        SELECT name FROM litequeue_queue
        WHERE paused IS NULL AND (?1 IS NULL OR EXISTS (
            SELECT 1 FROM json_each(?1) WHERE name = value OR name GLOB value))
        AND NOT EXISTS (
            SELECT 1 FROM json_each(?3) WHERE name = value OR name GLOB value))
    LIMIT ?2)
"""


def backlog(
    database: Database, queues: str | None, limit: int, *, excluded: str = "[]"
) -> tuple[int, float | None]:
    """Return how many jobs are ready, at most ``limit``, and when the oldest was accepted.

    ``queues`` is a JSON list of patterns, None for all, and so is ``excluded``.
    """
    with database.read() as connection:
        count, oldest = connection.execute(BACKLOG, (queues, limit, excluded)).fetchone()
    return int(count), oldest
