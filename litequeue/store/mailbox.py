"""Remote control as rows: commands to workers, and what they answer.

Nothing here is needed for a job to run, so nothing is synced to the disk.  Who waits for replies
waits for `reply_mark`, and who answers rings it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from litequeue.store.connection import Database
from litequeue.store.driver import lenient
from litequeue.store.settle import ROW

REPLIES_STAY: Final = 60.0
"""Seconds for which replies can still be read when their command has expired."""
FORGET_AT_ONCE: Final = 200
"""Commands deleted per transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCommand:
    """What is to be posted: ``arguments`` is a JSON object, ``destination`` a JSON list of names.

    ``pattern`` is of names of workers, read as ``matcher`` says ("glob" or "pcre").  After
    ``expires`` (epoch seconds) no worker acts on it any more.
    """

    name: str
    arguments: str = "{}"
    destination: str | None = None
    pattern: str | None = None
    matcher: str | None = None
    reply: bool = False
    expires: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(NewCommand):
    """A command that was posted."""

    id: int


def reply_mark(command: int) -> str:
    """Return what to wait for, and what to ring: there is a reply to this command."""
    return f"command-{command}"


POST: Final = """
INSERT INTO litequeue_command
    (name, arguments, destination, pattern, matcher, reply, expires, at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""


def post(database: Database, command: NewCommand, now: float) -> int:
    """Leave a command for the workers; return its number.  Ring them with ``post=True``."""
    with database.write(durable=False, rows=1 + len(command.arguments) // ROW) as connection:
        fields = (
            command.name, command.arguments, command.destination, command.pattern,
            command.matcher, command.reply, command.expires, now,
        )  # fmt: skip
        return int(connection.execute(POST, fields).lastrowid or 0)


NEWEST: Final = "SELECT max(id) FROM litequeue_command"


def newest(database: Database) -> int:
    """Return the number of the last command that is there, 0 without one."""
    with database.read() as connection:
        return int(connection.execute(NEWEST).fetchone()[0] or 0)


SINCE: Final = """
SELECT id, name, arguments, destination, pattern, matcher, reply, expires FROM litequeue_command
WHERE id > ? AND expires > ? ORDER BY id
"""


def since(database: Database, last: int, now: float) -> list[Command]:
    """Return the commands after number ``last`` that have not expired."""
    with database.read() as connection, lenient(connection):
        rows = connection.execute(SINCE, (last, now)).fetchall()
    return [
        Command(
            id=id, name=name, arguments=arguments, destination=destination, pattern=pattern,
            matcher=matcher, reply=bool(reply), expires=expires,
        )
        for id, name, arguments, destination, pattern, matcher, reply, expires in rows
    ]  # fmt: skip


# Nothing for a command that is gone: nobody would ever read or delete it.
ANSWER: Final = """
INSERT OR REPLACE INTO litequeue_reply (command, worker, at, body)
SELECT id, ?2, ?3, ?4 FROM litequeue_command WHERE id = ?1
"""


def answer(database: Database, replies: Sequence[tuple[int, str, str]], now: float) -> None:
    """Store replies: (command, name of the worker, JSON).  Ring `reply_mark` of each after it."""
    if not replies:
        return
    size = sum(1 + len(body) // ROW for _, _, body in replies)
    with database.write(durable=False, rows=size) as connection:
        rows = [(command, worker, now, body) for command, worker, body in replies]
        connection.executemany(ANSWER, rows)


REPLIES: Final = "SELECT worker, body FROM litequeue_reply WHERE command = ? ORDER BY worker"


def replies(database: Database, command: int) -> dict[str, str]:
    """Return what the workers have answered so far: name to JSON."""
    with database.read() as connection, lenient(connection):
        return dict(connection.execute(REPLIES, (command,)).fetchall())


DISCARD_REPLIES: Final = "DELETE FROM litequeue_reply WHERE command = ?"
DISCARD: Final = "DELETE FROM litequeue_command WHERE id = ?"


def discard(database: Database, command: int) -> None:
    """Delete a command with its replies: nobody waits for more."""
    _discard(database, [command])


OUTDATED: Final = "SELECT id FROM litequeue_command WHERE expires <= ? ORDER BY id LIMIT ?"


def prune(database: Database, now: float) -> None:
    """Delete commands that have expired, a while ago, with their replies."""
    with database.read() as connection:
        rows = connection.execute(OUTDATED, (now - REPLIES_STAY, FORGET_AT_ONCE)).fetchall()
    if rows:
        _discard(database, [row[0] for row in rows])


def _discard(database: Database, commands: Sequence[int]) -> None:
    rows = [(command,) for command in commands]
    with database.write(durable=False, rows=len(rows)) as connection:
        connection.executemany(DISCARD_REPLIES, rows)
        connection.executemany(DISCARD, rows)
