"""Guarded checkpoints: what moves the WAL's content into the file, and never meets a commit.

SQLite's own are off.  A checkpoint that runs while a commit starts the WAL over can lose that
commit (sqlite.org/wal.html#walresetbug, SQLite 3.7.0 to 3.51.2), so here each one holds the write
lock.  Every process checkpoints after so many rows of its own.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from litequeue.interrupts import critical
from litequeue.store.driver import sqlite3
from litequeue.store.errors import translate
from litequeue.store.fair_wait import try_begin

if TYPE_CHECKING:
    from litequeue.store.connection import Database

logger: Final = logging.getLogger("litequeue.store.connection")

CHECKPOINT_EVERY: Final = 1000
"""Rows written by this process between two checkpoints; 4 times more or fewer cost 10 %."""
COMMIT_ROWS: Final = 3
"""Rows that a commit counts as by itself: a lone row writes four pages, one in a group a third."""
LARGE_WAL: Final = 16 << 20
"""Bytes of a WAL that is checkpointed by the first commit: who wrote it was killed too soon."""


class Checkpoints:
    """The checkpoints of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = 0
        self._commits = 0
        self._seen = (0, 0)

    def count(self, rows: int) -> bool:
        """Count a commit of so many rows; tell whether a checkpoint is due."""
        self._commits += 1
        self._rows += rows + COMMIT_ROWS
        return self._rows >= CHECKPOINT_EVERY

    def heed(self, size: int) -> None:
        """Have the next commit followed by a checkpoint if the WAL has too many bytes."""
        if size > LARGE_WAL:
            self._rows = CHECKPOINT_EVERY

    def run(self, wait: float | None) -> None:
        """Make one.  Raises `QueueBusy` after ``wait`` seconds."""
        database = self._database
        with critical():
            connection = database.begin(None, wait)
            try:
                connection.execute("ROLLBACK")
                self._run(connection)
            except sqlite3.Error as error:
                raise translate(error, database.path) from error
            finally:
                database.release()

    def run_if_written(self, wait: float) -> None:
        """Make one when anybody has committed since the last call: producers may all be gone."""
        version = (self._database.data_version(), self._commits)
        if version != self._seen:
            self._seen = version
            self._database.checkpoint(wait)

    def run_after_commit(self, connection: sqlite3.Connection) -> None:
        """Make one; a failure must not make the commit before it look failed."""
        try:
            self._run(connection)
        except Exception as error:
            logger.warning("the WAL of %s was not checkpointed: %s", self._database.path, error)

    def _run(self, connection: sqlite3.Connection) -> None:
        """Run a checkpoint that cannot meet a commit: the write lock is ours meanwhile.

        Busy is no reason to wait: the next checkpoint takes up what this one left.
        """
        self._rows = 0
        if not try_begin(connection, None):
            return
        try:
            with self._database.lend_reader() as reader:
                reader.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        finally:
            connection.execute("ROLLBACK")
