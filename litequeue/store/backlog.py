"""What waits in the queues, as far as a worker has to know to choose its size."""

from __future__ import annotations

from typing import Final

from litequeue.store.connection import Database

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
