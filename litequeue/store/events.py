"""Events: stored facts in a ring, of which the oldest go when there are too many.

They are written in the transaction that makes them true where there is one (an enqueue, an
outcome).  Who follows them waits for `MARK`, and who writes them rings it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from litequeue.store.connection import Database
from litequeue.store.driver import lenient, sqlite3
from litequeue.store.settle import is_about_a_value

logger: Final = logging.getLogger(__name__)

EventRow = tuple[float, str, str | None, str | None, str]
"""When (epoch seconds), type, id of the job, name of the worker, JSON object with the rest."""
MARK: Final = "events"
TRIM_AT_ONCE: Final = 1000
"""Events deleted per transaction."""


@dataclass(frozen=True, slots=True)
class Event:
    """A stored fact.  ``at`` is epoch seconds, ``body`` the JSON object with the other fields."""

    seq: int
    at: float
    type: str
    job: str | None
    worker: str | None
    body: str


ADD: Final = "INSERT INTO litequeue_event (at, type, job, worker, body) VALUES (?, ?, ?, ?, ?)"


def add(connection: sqlite3.Connection, rows: Sequence[EventRow], *, careful: bool = False) -> None:
    """Write events within the caller's transaction.

    ``careful``ly: one by one, and what SQLite cannot take is left out, with a warning.
    """
    if not careful:
        connection.executemany(ADD, rows)
        return
    for row in rows:
        try:
            connection.execute(ADD, row)
        except Exception as error:
            if not is_about_a_value(error):
                raise
            logger.warning("an event of type %s cannot be stored: %s", row[1], error)


def append(database: Database, rows: Sequence[EventRow]) -> None:
    """Write events in a transaction of their own, which is not synced to the disk."""
    if rows:
        with database.write(durable=False, rows=len(rows)) as connection:
            add(connection, rows)


READ: Final = """
SELECT seq, at, type, job, worker, body FROM litequeue_event WHERE seq > ? ORDER BY seq LIMIT ?
"""
READ_SOME: Final = READ.replace(
    "WHERE seq > ?", "WHERE seq > ? AND type IN (SELECT value FROM json_each(?))"
)


def read(
    database: Database, after: int, *, types: Sequence[str] | None = None, limit: int
) -> list[Event]:
    """Return at most ``limit`` events after number ``after``, of all types or of these."""
    with database.read() as connection, lenient(connection):
        if types is None:
            rows = connection.execute(READ, (after, limit)).fetchall()
        else:
            rows = connection.execute(READ_SOME, (after, json.dumps(list(types)), limit)).fetchall()
    return [Event(*row) for row in rows]


LAST: Final = "SELECT max(seq) FROM litequeue_event"


def last(database: Database) -> int:
    """Return the number of the last event that is there, 0 without one."""
    with database.read() as connection:
        return int(connection.execute(LAST).fetchone()[0] or 0)


FIRST: Final = "SELECT min(seq) FROM litequeue_event"
TRIM: Final = "DELETE FROM litequeue_event WHERE seq < ?"


def trim(database: Database, keep: int) -> int:
    """Delete the oldest events beyond the last ``keep``, some per call; return how many."""
    with database.read() as connection:
        first = connection.execute(FIRST).fetchone()[0] or 0
        end = connection.execute(LAST).fetchone()[0] or 0
    surplus = min(end - first + 1 - keep, TRIM_AT_ONCE)
    if surplus <= 0:
        return 0
    with database.write(durable=False, rows=surplus // 4) as connection:
        return connection.execute(TRIM, (first + surplus,)).rowcount
