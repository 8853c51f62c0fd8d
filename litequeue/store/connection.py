"""One process's hold on one queue file.

Two SQLite connections for all threads: a writer and a reader, each behind a lock, because the
file has one writer anyway.  Here live the rules that keep the file whole: a fair wait for the
write lock, durability chosen per transaction, one connection per process; `checkpoints` has the
guarded checkpoints, `opening` what every connection is set to.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from litequeue import fork_gate
from litequeue.clock import SYSTEM, Clock
from litequeue.exceptions import (
    ForkedMidTransaction,
    QueueBusy,
    QueueFileReplaced,
    QueueNotFound,
    StoreError,
)
from litequeue.facts import AppFacts
from litequeue.interrupts import critical, relieve
from litequeue.locks import Gate
from litequeue.place import normalise
from litequeue.store import filesystem, opening
from litequeue.store.checkpoints import Checkpoints
from litequeue.store.driver import sqlite3
from litequeue.store.errors import raise_translated
from litequeue.store.fair_wait import try_begin, wait_for_begin
from litequeue.store.filesystem import side_directory
from litequeue.store.opening import FULL, NORMAL
from litequeue.store.transaction import Reading, Transaction

RUSH: Final = 0.005
"""Seconds since its last commit within which a writer is one that may starve others."""
OPEN_PATIENCE: Final = 5.0
_READ_BUSY: Final = 1.0
"""Seconds a reader waits, in C: only for a recovery, or for the last of others to close."""


class Database:
    """The writer and the reader of one file; safe to share between threads.

    ``busy_timeout`` is in seconds.  Opens at first use; ``create`` allows to make the file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: str = "full",
        busy_timeout: float = 5.0,
        create: bool = False,
        clock: Clock = SYSTEM,
    ) -> None:
        self.path: str = normalise(path)
        self.busy_timeout = busy_timeout
        self.clock = clock
        self.while_waiting: Callable[[], None] = lambda: None
        self._create = create
        self.set_durability(durability)
        self._lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._pid = os.getpid()
        self._holder = 0
        self._poisoned = False
        self._identity: tuple[int, int] | None = None
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._peewee: tuple[Any, ...] = ()
        self._gate: Gate | None = None
        self._synchronous = 0
        self.known_queues: set[str] = set()
        self.newcomer: AppFacts | None = None
        self._last_commit = 0.0
        self._checkpoints = Checkpoints(self)
        fork_gate.guard(self)

    def set_durability(self, durability: str) -> None:
        """Choose what a durable transaction is: "full" (synced) or "process"."""
        self._full = FULL if durability == "full" else NORMAL

    # Transactions

    def write(self, *, durable: bool, rows: int = 1, wait: float | None = None) -> Transaction:
        """Return a context manager: BEGIN IMMEDIATE … COMMIT, or ROLLBACK on an exception.

        ``durable`` syncs the commit to the disk (a transaction with an enqueue or an outcome);
        ``rows`` counts towards the next checkpoint; ``wait`` is how many seconds to wait for
        other writers (default: ``busy_timeout``), then `QueueBusy`.
        """
        return Transaction(self, self._full if durable else NORMAL, rows, wait)

    def read(self) -> Reading:
        """Return a context manager that lends the reader.  It never waits for a writer."""
        return Reading(self)

    @contextlib.contextmanager
    def query(self) -> Iterator[Any]:
        """Lend the reader as a peewee database, for queries that are not hot."""
        with self.read():
            yield self._peewee[1]

    def data_version(self) -> int:
        """Return a number that changes when another connection has committed.

        Raises `QueueFileReplaced` when it never will again, because the file is another one.
        """
        if self._pid != os.getpid():
            self._notice_fork()
        with critical(), self._lock:
            try:
                connection = self._writer or self._open()
                self.check_identity()
                return int(connection.execute("PRAGMA data_version").fetchone()[0])
            except Exception as error:
                raise_translated(error, self.path)
                raise

    def take_reader(self) -> sqlite3.Connection:
        """Take the reader's lock.  For `Reading` only."""
        if self._pid != os.getpid():
            self._notice_fork()
        while True:
            if self._reader is None:
                self._open_reader()
            self._read_lock.acquire()
            if self._reader is not None:
                return self._reader
            self._read_lock.release()  # closed by a fork in another thread

    def give_reader_back(self) -> None:
        """Release the reader's lock.  For `Reading` only."""
        self._read_lock.release()

    def begin(self, synchronous: int | None, wait: float | None) -> sqlite3.Connection:
        """Take the thread lock and the write lock.  For `Transaction` and `Checkpoints` only."""
        if self._pid != os.getpid():
            self._notice_fork()
        timeout = self.busy_timeout if wait is None else wait
        deadline = self.clock.monotonic() + timeout
        if not self._lock.acquire(timeout=max(timeout, 0)):
            raise _busy(self.path, timeout)
        try:
            self._holder = threading.get_ident()
            connection = self._writer or self._open()
            if synchronous is None:  # as it is
                synchronous = self._synchronous or self._full
            if self._synchronous != synchronous:
                connection.execute(f"PRAGMA synchronous = {synchronous}")
                self._synchronous = synchronous
            # The gate is for those who write without a pause; others need not look at it.
            rushes = deadline - timeout - self._last_commit < RUSH
            if not try_begin(connection, self._gate if rushes else None) and not wait_for_begin(
                connection,
                self._gate,
                deadline=deadline,
                clock=self.clock,
                while_waiting=self._while_waiting,
            ):
                raise _busy(self.path, timeout)
            self.check_identity()
            return connection
        except BaseException as error:
            if self._writer is not None and self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            self.release()
            raise_translated(error, self.path)
            raise

    def _while_waiting(self) -> None:
        self.while_waiting()
        relieve()

    def commit(self, connection: sqlite3.Connection, rows: int) -> None:
        """Commit; and checkpoint when enough has been written.  For `Transaction` only."""
        try:
            try:
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            self._last_commit = self.clock.monotonic()
            if self._checkpoints.count(rows):
                self._checkpoints.run_after_commit(connection)
        finally:
            self._holder = 0
            self._lock.release()

    def rollback(self, connection: sqlite3.Connection) -> None:
        """Roll back, whether or not SQLite already did.  For `Transaction` only."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            with self._read_lock:
                self._close()  # closing rolls back, and the next use starts clean
        finally:
            self.release()

    def forget_connections(self) -> None:
        """Close both connections; the next use opens the file anew (after an I/O error)."""
        with critical(), self._lock, self._read_lock:
            self._close()

    close = forget_connections

    def release(self) -> None:
        """Let go of the thread lock.  For `Checkpoints` only."""
        self._holder = 0
        self._lock.release()

    # Checkpoints

    def checkpoint(self, wait: float | None = None) -> None:
        """Move the WAL's content into the file, under the write lock."""
        self._checkpoints.run(wait)

    def checkpoint_if_written(self, wait: float) -> None:
        """Checkpoint when anybody has committed since the last call: producers may all be gone."""
        self._checkpoints.run_if_written(wait)

    @contextlib.contextmanager
    def lend_reader(self) -> Iterator[sqlite3.Connection]:
        """Lend the reader to who holds the write lock.  For `Checkpoints` only."""
        with self._read_lock:
            yield self._reader or self._connect_reader()

    # Opening and closing

    def _open(self) -> sqlite3.Connection:
        """Open the writer; make the file and its schema where that is allowed."""
        if self._poisoned:
            raise ForkedMidTransaction(
                f"this process was forked while its parent was writing to {self.path}; "
                "start it with a fresh interpreter (spawn), or fork when no thread enqueues"
            )
        if not os.path.exists(self.path):
            if not self._create or self._identity is not None:
                raise self._missing()
            filesystem.check(self.path)
            self._make_file()
        elif self._identity is None:
            filesystem.check(self.path)
        before = self._stat()
        if self._identity is not None and before != self._identity:
            raise QueueFileReplaced(_replaced(self.path))
        database, connection = self._connect()
        try:
            opening.prepare(
                database, connection, self._patience(), path=self.path, create=self._create
            )
        except BaseException:
            connection.close()
            raise
        if self._stat() != before:
            connection.close()
            raise QueueFileReplaced(_replaced(self.path))
        self._identity = before
        self._peewee = (database, *self._peewee[1:])
        self._writer = connection
        self.known_queues.clear()
        self._synchronous = 0
        self._checkpoints.heed(self._wal_size())
        directory = side_directory(self.path)
        self._gate = Gate(os.path.join(directory, "gate")) if directory else None
        return connection

    def _make_file(self) -> None:
        try:
            filesystem.create_private(self.path)
        except OSError as error:
            raise StoreError(f"cannot make {self.path}: {error.strerror or error}") from error

    def _open_reader(self) -> None:
        try:
            with self._lock:
                if self._writer is None:
                    self._open()
                with self._read_lock:
                    if self._reader is None:
                        self._connect_reader()
        except Exception as error:
            raise_translated(error, self.path)
            raise

    def _connect_reader(self) -> sqlite3.Connection:
        self.check_identity()
        database, connection = self._connect(_READ_BUSY)
        self._peewee = (self._peewee[0], database)
        self._reader = connection
        return connection

    def _connect(self, timeout: float = 0.0) -> tuple[Any, sqlite3.Connection]:
        return opening.connect(self.path, self._patience(), timeout=timeout)

    def _patience(self) -> opening.Patience:
        return opening.Patience(self.clock, max(self.busy_timeout, OPEN_PATIENCE))

    def _wal_size(self) -> int:
        try:
            return os.stat(self.path + "-wal").st_size
        except FileNotFoundError:
            return 0

    def _stat(self) -> tuple[int, int]:
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            raise self._missing() from None
        except OSError as error:
            raise StoreError(f"cannot look at {self.path}: {error.strerror or error}") from error
        return status.st_dev, status.st_ino

    def _missing(self) -> StoreError:
        if self._identity is not None:
            return QueueFileReplaced(_replaced(self.path))
        return QueueNotFound(
            f"there is no queue file {self.path}; it is made by the first delay(), "
            f"or by `litequeue migrate {self.path}`"
        )

    def check_identity(self) -> None:
        """Raise `QueueFileReplaced` when writes would go to a file nobody can find any more."""
        if self._stat() != self._identity:
            raise QueueFileReplaced(_replaced(self.path))

    def _close(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        if self._gate is not None:
            self._gate.close()
        self._reader = self._writer = self._gate = None
        self._peewee = ()

    # The fork gate (see fork_gate.py)

    def _notice_fork(self) -> None:
        """Treat a fork that ran no hooks (made in C) as one in the middle of a write."""
        self.resume_in_child(clean=self._writer is None)

    def close_for_fork(self, patience: float) -> bool:
        """Wait for the open transactions of this process, then close the connections."""
        if self._holder == threading.get_ident() or not self._lock.acquire(timeout=patience):
            return False
        if not self._read_lock.acquire(timeout=patience):
            self._lock.release()
            return False
        self._close()
        return True

    def resume_in_parent(self) -> None:
        """Allow transactions again."""
        self._read_lock.release()
        self._lock.release()

    def resume_in_child(self, clean: bool) -> None:
        """Start with fresh locks, and with a poisoned file where a transaction was copied."""
        self._lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._pid = os.getpid()
        self._holder = 0
        if not clean:
            # Closing an inherited connection would drop the parent's locks: keep it for ever.
            _inherited.append((self._writer, self._reader, self._peewee))
            self._writer = self._reader = self._gate = None
            self._peewee = ()
            self._poisoned = True


_inherited: list[Any] = []


def _busy(path: str, timeout: float) -> QueueBusy:
    return QueueBusy(
        f"{path} was locked by other writers for {timeout:g} s; nothing was accepted: send again, "
        "or raise queue_busy_timeout"
    )


def _replaced(path: str) -> str:
    return (
        f"{path} was removed or replaced since it was opened, so writes to it would be lost; "
        "restart this process"
    )
