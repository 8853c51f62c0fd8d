"""The queue file, and the only code that speaks SQL.

`Store` is one process's hold on one file: its connections, the bells, and the verbs of
jobs, results, workers and maintenance with the file filled in.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Sequence

from litequeue.clock import SYSTEM, Clock
from litequeue.config import Settings
from litequeue.job import Job
from litequeue.store import fork_gate, jobs, results
from litequeue.store.connection import Database
from litequeue.store.results import Record
from litequeue.store.settle import Keep
from litequeue.store.wakeup import ResultBell, Ringer, Waiting

__all__ = ["Database", "Keep", "Record", "Store", "Waiting"]


class Store:
    """What producers and readers of results do with the file; opens it at first use."""

    def __init__(self, path: str, settings: Settings, *, clock: Clock = SYSTEM) -> None:
        self.settings = settings
        self.clock = clock
        self.database = Database(
            path,
            durability=settings.durability,
            busy_timeout=settings.queue_busy_timeout,
            create=True,
            clock=clock,
        )
        self.path = self.database.path
        self.keep = Keep(success=settings.result_expires, failure=settings.result_failure_expires)
        self._ringer: Ringer | None = None
        self._ringing = threading.Lock()
        self._results = ResultBell(self.path)
        _stores.add(self)
        fork_gate.guard(self)

    def enqueue(self, job: Job) -> None:
        """Accept one job, and wake a worker."""
        jobs.enqueue(self.database, job, self.clock.now())
        self._ring()

    def enqueue_many(self, batch: Sequence[Job]) -> None:
        """Accept all of ``batch`` or none, and wake the workers."""
        jobs.enqueue_many(self.database, batch, self.clock.now())
        self._ring()

    def fetch(self, id: str) -> Record | None:
        """Return what the file says about a job, None for an unknown id."""
        return results.fetch(self.database, id)

    def forget(self, id: str) -> bool:
        """Delete a finished job with its result."""
        return results.forget(self.database, id)

    def revoke(self, id: str) -> bool:
        """End a waiting job as REVOKED, and tell who awaits it."""
        revoked = jobs.revoke(self.database, id, now=self.clock.now(), keep=self.keep)
        if revoked:
            with self._ringing:
                self._open_ringer().ring_waiters([id])
        return revoked

    def wait_for(self, id: str) -> Waiting:
        """Announce an interest in ``id``; look at the file after this call, then wait."""
        return self._results.register(id)

    def close(self) -> None:
        """Close the file and take the bell down; the next use opens both again."""
        self._results.close()
        with self._ringing:
            if self._ringer is not None:
                self._ringer.close()
        self.database.close()

    # The fork gate: locks that other threads held at the fork would stay shut in the child.

    def close_for_fork(self, patience: float) -> bool:
        """Have nothing to close: the database closes itself."""
        return True

    def resume_in_parent(self) -> None:
        """Have nothing to open."""

    def resume_in_child(self, clean: bool) -> None:
        """Start with bells of our own."""
        self._ringing = threading.Lock()
        self._ringer = None
        self._results = ResultBell(self.path)

    def _ring(self) -> None:
        with self._ringing:
            self._open_ringer().ring_workers()

    def _open_ringer(self) -> Ringer:
        if self._ringer is None:
            self._ringer = Ringer(self.path, self.clock)
        return self._ringer


_stores: weakref.WeakSet[Store] = weakref.WeakSet()
_pid = os.getpid()


@atexit.register
def _close_all() -> None:
    if os.getpid() == _pid:
        for store in list(_stores):
            store.close()
