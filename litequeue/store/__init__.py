"""The queue file, and the only code that speaks SQL.

`Store` is one process's hold on one file: its connections, the bells, and the verbs of
jobs, results, workers and maintenance with the file filled in.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Iterable, Sequence

from litequeue.clock import SYSTEM, Clock
from litequeue.config import Settings
from litequeue.facts import AppFacts
from litequeue.job import Job, Outcome
from litequeue.store import fork_gate, jobs, results
from litequeue.store.connection import Database
from litequeue.store.result_bell import ResultBell, Waiting
from litequeue.store.results import Details, ErrorRow, Record
from litequeue.store.settle import Keep
from litequeue.store.wakeup import Ringer
from litequeue.store.watcher import News, Told, Watch, Watcher

__all__ = ["Database", "Details", "Keep", "News", "Record", "Store", "Waiting", "Watch"]


class Store:
    """What producers and readers of results do with the file; opens it at first use."""

    def __init__(self, path: str, settings: Settings, *, clock: Clock = SYSTEM) -> None:
        self.settings = settings
        self.clock = clock
        self.database: Database = Database(
            path,
            durability=settings.durability,
            busy_timeout=settings.queue_busy_timeout,
            create=True,
            clock=clock,
        )
        self.path: str = self.database.path
        self.keep: Keep = Keep(
            success=settings.result_expires, failure=settings.result_failure_expires
        )
        self._ringer: Ringer | None = None
        self._ringing = threading.Lock()
        self._results = ResultBell(self.path)
        self._watcher = Watcher(self.database, self._results, clock)
        _stores.add(self)
        fork_gate.guard(self)

    def introduce(self, app: AppFacts) -> None:
        """Have the next commit of an enqueue note what is known of ``app``, for who looks."""
        self.database.newcomer = app

    def enqueue(self, job: Job, *, wait: float | None = None) -> None:
        """Accept one job, and wake a worker; ``wait`` is seconds to wait for other writers."""
        jobs.enqueue(self.database, job, self.clock.now(), wait=wait)
        self._ring()

    def add_ended(self, job: Job, outcome: Outcome, *, retries: int) -> None:
        """Store a job that has run without a queue."""
        jobs.add_ended(
            self.database, job, outcome, retries=retries, now=self.clock.now(), keep=self.keep
        )

    def update_state(
        self, id: str, *, state: str | None, meta: str | None, token: int | None
    ) -> None:
        """Show a state of a job that runs, and tell who awaits it."""
        if jobs.update_state(self.database, id, state=state, meta=meta, token=token):
            with self._ringing:
                self._open_ringer().ring_waiters([id])

    def enqueue_many(self, batch: Sequence[Job]) -> None:
        """Accept all of ``batch`` or none, and wake the workers."""
        jobs.enqueue_many(self.database, batch, self.clock.now())
        self._ring()

    def fetch(self, id: str) -> Record | None:
        """Return what the file says about a job, None for an unknown id."""
        return results.fetch(self.database, id)

    def fetch_many(self, ids: Iterable[str]) -> dict[str, Record | None]:
        """Return what the file says about every job, None for an unknown id."""
        return results.fetch_many(self.database, ids)

    def fetch_ended(self, ids: Iterable[str]) -> dict[str, Record | None]:
        """Return the records of those among the jobs that have ended; None for an unknown id."""
        return results.fetch_ended(self.database, ids)

    def count_states(self, ids: Iterable[str]) -> dict[tuple[bool, str], int]:
        """Return how many of the jobs are (done or not, in this state)."""
        return results.count_states(self.database, ids)

    def details(self, id: str) -> Details | None:
        """Return what a job was asked to do, by whom, and who ran it; None for an unknown id."""
        return results.details(self.database, id)

    def errors_of(self, id: str) -> list[ErrorRow]:
        """Return why each failed attempt of a job failed."""
        return results.errors_of(self.database, id)

    def children_of(self, id: str) -> list[str]:
        """Return the ids of the jobs that this one sent, in their order."""
        return results.children_of(self.database, id)

    def children_of_many(self, ids: Iterable[str]) -> dict[str, list[str]]:
        """Return the ids of the jobs that each of these sent; without an entry where none."""
        return results.children_of_many(self.database, ids)

    def forget(self, id: str) -> bool:
        """Delete a finished job with its result."""
        return results.forget(self.database, id)

    def forget_many(self, ids: Iterable[str]) -> int:
        """Delete those among the jobs that have ended; return how many."""
        return results.forget_many(self.database, ids)

    def revoke(self, id: str) -> bool:
        """End a waiting job as REVOKED, and tell who awaits it."""
        revoked = jobs.revoke(self.database, id, now=self.clock.now(), keep=self.keep)
        if revoked:
            with self._ringing:
                self._open_ringer().ring_waiters([id])
        return revoked

    def revoke_many(self, ids: Iterable[str]) -> list[str]:
        """End those among the jobs that wait as REVOKED; tell who awaits them, return their ids."""
        now = self.clock.now()
        revoked = results.revoke_many(self.database, ids, now=now, keep=self.keep)
        with self._ringing:
            self._open_ringer().ring_waiters(revoked)
        return revoked

    def wait_for(self, id: str) -> Waiting:
        """Announce an interest in ``id``; look at the file after this call, then wait."""
        return self._results.register(id)

    def watch(self, ids: Iterable[str], told: Told) -> Watch:
        """Have ``told(id, record)`` called once for each job when it ends, or at once."""
        return self._watcher.watch(ids, told)

    def close(self, *, for_good: bool = False) -> None:
        """Close the file and take the bell down; the next use opens both again.

        Whoever waits for a result or watches one goes on, unless it is ``for_good``.
        """
        self._watcher.close(drop=for_good)
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
        self._watcher = Watcher(self.database, self._results, self.clock)

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
            store.close(for_good=True)
