"""What a `Database` lends: its writer for one transaction, its reader for one look.

Both are critical sections: no soft time limit strikes between their beginning and their end.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from litequeue.interrupts import hold
from litequeue.store.driver import sqlite3
from litequeue.store.errors import raise_translated, translate

if TYPE_CHECKING:
    from litequeue.store.connection import Database


class Transaction:
    """One write transaction, as a context manager over the writer's connection."""

    __slots__ = ("_connection", "_database", "_guard", "_rows", "_synchronous", "_wait")

    def __init__(self, database: Database, synchronous: int, rows: int, wait: float | None) -> None:
        self._database = database
        self._synchronous = synchronous
        self._rows = rows
        self._wait = wait

    def __enter__(self) -> sqlite3.Connection:
        """Begin."""
        self._guard = guard = hold()
        try:
            self._connection = self._database.begin(self._synchronous, self._wait)
        except BaseException:
            if guard is not None:
                guard.let_go()
            raise
        return self._connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit, or roll back and say what the file refused."""
        try:
            if error is None:
                self._database.commit(self._connection, self._rows)
            else:
                self._database.rollback(self._connection)
                raise_translated(error, self._database.path)
        except sqlite3.Error as failure:
            raise translate(failure, self._database.path) from failure
        finally:
            if self._guard is not None:
                self._guard.let_go()


class Reading:
    """A look through the reader's connection, as a context manager."""

    __slots__ = ("_database", "_guard")

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> sqlite3.Connection:
        """Take the reader."""
        self._guard = guard = hold()
        try:
            return self._database.take_reader()
        except BaseException:
            if guard is not None:
                guard.let_go()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give it back, and say what the file refused."""
        try:
            self._database.give_reader_back()
            if error is not None:
                raise_translated(error, self._database.path)
        finally:
            if self._guard is not None:
                self._guard.let_go()
