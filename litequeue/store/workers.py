"""The workers of a file: who they are, and that they still are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from litequeue.store.connection import Database
from litequeue.store.driver import lenient
from litequeue.store.filesystem import side_directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What proves that a supervisor is the one that wrote its row, and not its pid's next user.

    ``boot`` is the kernel's boot id, ``namespace`` the inode of the pid namespace, ``start_time``
    in the kernel's ticks.  ``directory`` holds its lock and its slots, named by ``nonce``; it is
    not stored, because the same directory has other paths in other containers.
    """

    name: str
    nonce: str
    boot: str
    namespace: str
    pid: int
    start_time: int
    directory: str


@dataclass(frozen=True, slots=True)
class Owner:
    """A registered worker; ``beats`` grows while it lives."""

    id: int
    identity: Identity
    started: float
    heartbeat: float
    beats: int


# A counter that somebody else has put to its end must not end the worker.
_ONE_MORE: Final = f"beats = (beats & {(1 << 62) - 1}) + 1"
REGISTER: Final = f"""
INSERT INTO litequeue_worker
    (name, nonce, boot, namespace, pid, start_time, started, heartbeat)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (nonce) DO UPDATE SET heartbeat = excluded.heartbeat, {_ONE_MORE}
RETURNING id
"""

REMEMBER_NAME: Final = """
INSERT OR IGNORE INTO litequeue_worker_name (id, name, seen) VALUES (?, ?, ?)
"""
FORGET_NAMES: Final = """
DELETE FROM litequeue_worker_name
WHERE seen < ? AND id NOT IN (SELECT id FROM litequeue_worker)
"""
NAMES_KEPT: Final = 30 * 86_400.0
"""Seconds after which nobody asks any more which worker ran a job."""


def register(database: Database, identity: Identity, now: float) -> int:
    """Store a worker, or find it again by its nonce; return its id, the owner of its leases."""
    row = (
        identity.name, identity.nonce, identity.boot, identity.namespace, identity.pid,
        identity.start_time, now, now,
    )  # fmt: skip
    with database.write(durable=False) as connection:
        id = int(connection.execute(REGISTER, row).fetchall()[0][0])
        connection.execute(REMEMBER_NAME, (id, identity.name, now))
        connection.execute(FORGET_NAMES, (now - NAMES_KEPT,))
        return id


RENEW: Final = f"""
UPDATE litequeue_worker SET heartbeat = ?, {_ONE_MORE} WHERE id = ? AND nonce = ?
"""


def renew(
    database: Database, owner: int, nonce: str, now: float, *, wait: float | None = None
) -> bool:
    """Extend all leases of a worker; False when it was declared dead and its row is gone."""
    with database.write(durable=False, wait=wait) as connection:
        return connection.execute(RENEW, (now, owner, nonce)).rowcount == 1


OWNERS: Final = """
SELECT id, started, heartbeat, beats,
       name, nonce, boot, namespace, pid, start_time
FROM litequeue_worker
"""


def owners(database: Database) -> list[Owner]:
    """Return all registered workers."""
    with database.read() as connection, lenient(connection):
        rows = connection.execute(OWNERS).fetchall()
    directory = side_directory(database.path) or ""  # made only beside a file that is there
    return [
        Owner(
            id,
            Identity(
                name=name,
                nonce=nonce,
                boot=boot,
                namespace=namespace,
                pid=pid,
                start_time=start_time,
                directory=directory,
            ),
            started,
            heartbeat,
            beats,
        )
        for id, started, heartbeat, beats, name, nonce, boot, namespace, pid, start_time in rows
    ]


LAST_SEEN: Final = """
UPDATE litequeue_worker_name
SET seen = (SELECT heartbeat FROM litequeue_worker AS worker
            WHERE worker.id = litequeue_worker_name.id)
WHERE id = ? AND id IN (SELECT id FROM litequeue_worker)
"""
UNREGISTER: Final = """
DELETE FROM litequeue_worker WHERE id = ?
    AND NOT EXISTS (SELECT 1 FROM litequeue_job WHERE phase = 'leased' AND owner = ?)
"""


def unregister(database: Database, owner: int, *, wait: float | None = None) -> bool:
    """Remove a worker that holds no lease any more; False while it still does."""
    with database.write(durable=False, wait=wait) as connection:
        connection.execute(LAST_SEEN, (owner,))
        return connection.execute(UNREGISTER, (owner, owner)).rowcount == 1
