"""Pausing: no job of a paused queue is claimed by anybody; sending to it goes on."""

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
