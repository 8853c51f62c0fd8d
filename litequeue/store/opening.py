"""Opening a queue file: a connection that keeps our rules, in WAL mode, with our schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from litequeue.clock import Clock
from litequeue.exceptions import QueueNotFound, SchemaMismatch, StoreError
from litequeue.store.checkpoints import LARGE_WAL
from litequeue.store.driver import sqlite3
from litequeue.store.errors import is_busy, sqlite_error
from litequeue.store.fair_wait import pause

T = TypeVar("T")

LENGTH_LIMIT: Final = 64 << 20
"""Bytes of the longest value this process is willing to read."""
FULL: Final = 2
NORMAL: Final = 1
"""SQLite's numbers for ``PRAGMA synchronous``."""
_PRAGMAS: Final = (
    # Without a guard, a checkpoint races a commit that resets the WAL and loses it
    # (sqlite.org/wal.html#walresetbug, SQLite 3.7.0 to 3.51.2); see `checkpoints`.
    ("wal_autocheckpoint", 0),
    ("mmap_size", 0),
    ("journal_size_limit", LARGE_WAL),
    ("foreign_keys", 1),
    ("trusted_schema", 0),
    ("cell_size_check", 1),
    ("cache_size", -8000),
    ("fullfsync", 1),
)


class Patience:
    """Waits while SQLite is busy: opening meets recoveries, and the last of others to close.

    ``seconds`` is how long, for each action.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds

    def __call__(self, action: Callable[[], T]) -> T:
        """Run ``action`` until SQLite is not busy."""
        deadline = self._clock.monotonic() + self._seconds
        while True:
            try:
                return action()
            except Exception as error:
                if not is_busy(sqlite_error(error)) or self._clock.monotonic() > deadline:
                    raise
            self._clock.sleep(pause(quick=False))


def connect(path: str, patiently: Patience, *, timeout: float) -> tuple[Any, sqlite3.Connection]:
    """Return a peewee database and its connection.  ``timeout``: seconds that SQLite waits in C."""
    import peewee  # see driver.py

    if getattr(peewee, "sqlite3", None) is not sqlite3:
        raise StoreError("peewee and litequeue found different SQLite libraries; reinstall")
    database = peewee.SqliteDatabase(
        path,
        thread_safe=False,
        pragmas=_PRAGMAS,
        timeout=timeout,
        check_same_thread=False,
        cached_statements=256,
    )
    patiently(database.connect)
    connection: sqlite3.Connection = database.connection()  # type: ignore[no-untyped-call]  # peewee
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LENGTH_LIMIT)
    return database, connection


def prepare(
    database: Any, connection: sqlite3.Connection, patiently: Patience, *, path: str, create: bool
) -> None:
    """Make sure of WAL and of the schema."""
    from litequeue.store import migrations  # with peewee: see driver.py

    version = patiently(lambda: migrations.current_version(database))
    if version == 0 and not create:
        raise QueueNotFound(
            f"{path} holds no queue yet; it is made by the first delay(), "
            f"or by `litequeue migrate {path}`"
        )
    if version == 0:
        patiently(lambda: connection.execute("PRAGMA auto_vacuum = INCREMENTAL"))
    mode = patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone())
    if mode != ("wal",):
        raise StoreError(f"SQLite refuses the WAL journal for {path} (it stays {mode})")
    if version == migrations.newest():
        return
    if version and not create:
        raise SchemaMismatch(f"{path} has schema {version}; run `litequeue migrate {path}`")
    connection.execute(f"PRAGMA synchronous = {FULL}")
    patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
    try:
        migrations.migrate(database)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
