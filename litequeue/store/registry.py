"""What the file remembers of the apps that used it: their names and their tasks.

A hint for commands that were not told an app, and for people who look.  Nothing in here is ever
trusted: `litequeue.finding.find_app` imports by its own rules, and a worker knows its own tasks.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Final

from litequeue.facts import AppFacts, TaskFacts
from litequeue.store.connection import Database
from litequeue.store.driver import lenient, sqlite3


@dataclass(frozen=True, slots=True)
class RecordedApp:
    """An app that used this very file; ``recorded`` is in epoch seconds."""

    name: str
    root: str
    python: str
    recorded: float


RECORD_APP: Final = """
INSERT INTO litequeue_app (name, root, python, path, device, inode, recorded)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET root = excluded.root, python = excluded.python,
    path = excluded.path, device = excluded.device, inode = excluded.inode,
    recorded = excluded.recorded
"""
RECORD_TASK: Final = """
INSERT INTO litequeue_task (name, signature, summary, queue, app, seen) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET signature = excluded.signature, summary = excluded.summary,
    queue = excluded.queue, app = excluded.app, seen = excluded.seen
"""


def record(connection: sqlite3.Connection, path: str, app: AppFacts, now: float) -> None:
    """Note that ``app`` uses the file at ``path``, within the caller's transaction."""
    if app.name is not None:
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        named = map(storable, (app.name, app.root, python, path))
        row = (*named, *_identity(path), now)
        connection.execute(RECORD_APP, row)
    connection.executemany(
        RECORD_TASK,
        [
            (*map(storable, (t.name, t.signature, t.summary)), t.queue, app.name, now)
            for t in app.tasks
        ],
    )


def introduce(database: Database, app: AppFacts, now: float, *, wait: float | None = None) -> None:
    """Note that ``app`` uses the file."""
    with database.write(durable=False, rows=1 + len(app.tasks), wait=wait) as connection:
        record(connection, database.path, app, now)


APPS: Final = """
SELECT name, root, python, recorded FROM litequeue_app
WHERE path = ? AND device = ? AND inode = ? ORDER BY recorded DESC
"""


def apps(database: Database) -> list[RecordedApp]:
    """Return the apps that were recorded for this file where it is now, the last first."""
    with database.read() as connection, lenient(connection):
        row = (storable(database.path), *_identity(database.path))
        return [RecordedApp(*found) for found in connection.execute(APPS, row).fetchall()]


def storable(text: str) -> str:
    """Return text that SQLite takes: a path, or a default's repr, need not be UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _identity(path: str) -> tuple[str, str]:
    """Return device and inode: as text, because they may be larger than SQLite's integers."""
    status = os.stat(path)
    return str(status.st_dev), str(status.st_ino)


TASKS: Final = "SELECT name, signature, summary, queue FROM litequeue_task ORDER BY name"


def tasks(database: Database) -> list[TaskFacts]:
    """Return every task that an app of this file was seen with."""
    with database.read() as connection, lenient(connection):
        return [TaskFacts(*row) for row in connection.execute(TASKS).fetchall()]
