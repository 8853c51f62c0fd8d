"""The queue file, and the only code that speaks SQL.

`Store` is one process's hold on one file: its connections, the bells, and the verbs of
jobs, results, workers and maintenance with the file filled in.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence

from litequeue import fork_gate
from litequeue.clock import SYSTEM, Clock
from litequeue.config import Settings
from litequeue.facts import AppFacts
from litequeue.flow import Drawing, Group, Offspring, Plan
from litequeue.job import Job, Outcome
from litequeue.store import (
    drawings,
    events,
    flows,
    jobs,
    mailbox,
    queues,
    remembering,
    results,
    revocations,
    workflows,
)
from litequeue.store.connection import Database
from litequeue.store.events import Event, EventRow
from litequeue.store.mailbox import NewCommand
from litequeue.store.result_bell import ResultBell, Waiting
from litequeue.store.results import Details, ErrorRow, Record
from litequeue.store.revocations import Revoked
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

    def enqueue(
        self, job: Job, *, wait: float | None = None, event: EventRow | None = None
    ) -> None:
        """Accept one job, and wake a worker; ``wait`` is seconds to wait for other writers."""
        jobs.enqueue(self.database, job, self.clock.now(), wait=wait, event=event)
        self.ring(happened=event is not None)

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
            self._tell(id)

    def enqueue_many(self, batch: Sequence[Job], *, happened: Sequence[EventRow] = ()) -> None:
        """Accept all of ``batch`` or none, and wake the workers; ``happened`` are its events."""
        jobs.enqueue_many(self.database, batch, self.clock.now(), events=happened)
        self.ring(happened=bool(happened))

    def add_workflow(
        self, plan: Plan, *, happened: Sequence[EventRow] = (), wait: float | None = None
    ) -> None:
        """Accept all jobs of a workflow, and wake the workers; ``happened`` are their events."""
        workflows.insert(self.database, plan, self.clock.now(), events=happened, wait=wait)
        self.ring(happened=bool(happened))

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

    def logs_of(self, id: str) -> list[tuple[int, str]]:
        """Return what each attempt of a job printed, where that was kept: (attempt, text)."""
        return results.logs_of(self.database, id)

    # Workflows

    def group(self, name: str) -> Group | None:
        """Return how far a group is, None for an unknown one."""
        return flows.group(self.database, name)

    def members_of(self, name: str) -> Iterator[list[str]]:
        """Yield the ids of a group's members in their order, some at a time."""
        return flows.members_of(self.database, name)

    def count_members(self, name: str) -> dict[tuple[bool, str], int]:
        """Return how many members of a group are (done or not, in this state)."""
        return flows.count_members(self.database, name)

    def before(self, id: str) -> tuple[list[str], str | None]:
        """Return the jobs that a job waits or waited for, and the group whose results it gets."""
        return flows.before(self.database, id)

    def after(self, id: str) -> tuple[list[str], list[str], str | None]:
        """Return what waits for a job: jobs, errbacks, and the group that it is a member of."""
        return flows.after(self.database, id)

    def offspring(self, id: str) -> list[Offspring]:
        """Return the jobs whose parent is ``id`` in their order; members of one group are one."""
        return flows.offspring(self.database, id)

    def drawing(self, id: str, most: int = 50) -> Drawing | None:
        """Return the workflow of a job or group for the eye, None where there is none.

        Of a group with more than ``most`` members only some are shown.
        """
        return drawings.drawing(self.database, id, most=most)

    def remember_step(self, id: str, *, token: int, name: str, text: str) -> bool:
        """Keep the result of a step inside a job; False when its lease was lost."""
        return remembering.remember(self.database, id, token=token, name=name, text=text)

    def steps_of(self, id: str) -> dict[str, str]:
        """Return the results of the steps inside a job: name to encoded text."""
        return remembering.steps_of(self.database, id)

    def revoke_workflow(
        self, id: str, *, terminate: bool = False, signal: str | None = None
    ) -> Revoked:
        """Revoke what has not ended of the workflow of a job or group; tell who awaits it."""
        return self._told(
            workflows.revoke(
                self.database,
                id,
                terminate=terminate,
                signal=signal,
                now=self.clock.now(),
                keep=self.keep,
            )
        )

    # Revoking

    def revoke(self, id: str, *, terminate: bool = False, signal: str | None = None) -> bool:
        """End a waiting job as REVOKED; have it stand for one that runs.  Tell if it has ended."""
        return bool(self.revoke_all([id], terminate=terminate, signal=signal).ended)

    def revoke_all(
        self, ids: Iterable[str], *, terminate: bool = False, signal: str | None = None
    ) -> Revoked:
        """End those that wait, have it stand for the others, tell workers and who awaits them."""
        return self._told(
            revocations.revoke(
                self.database,
                ids,
                terminate=terminate,
                signal=signal,
                now=self.clock.now(),
                keep=self.keep,
            )
        )

    def revoke_stamped(
        self,
        header: str,
        values: Iterable[str],
        *,
        terminate: bool = False,
        signal: str | None = None,
    ) -> Revoked:
        """Revoke all jobs whose stamp ``header`` holds one of ``values``, later ones too."""
        return self._told(
            revocations.revoke_stamped(
                self.database,
                header,
                values,
                terminate=terminate,
                signal=signal,
                now=self.clock.now(),
                keep=self.keep,
            )
        )

    def _told(self, done: Revoked) -> Revoked:
        with self._ringing:
            ringer = self._open_ringer()
            ringer.ring_waiters([*done.ended, *done.followed])
            ringer.ring_workers(post=True)
        return done

    # Queues, commands, events

    def pause(self, queue: str) -> bool:
        """Have no more jobs of a queue claimed; False when it was paused before."""
        return queues.pause(self.database, queue, self.clock.now())

    def resume(self, queue: str) -> bool:
        """Have the jobs of a queue claimed again; False when it was not paused."""
        resumed = queues.resume(self.database, queue)
        self.ring()
        return resumed

    def paused(self) -> list[str]:
        """Return the names of the paused queues."""
        return queues.paused(self.database)

    def post_command(self, command: NewCommand) -> int:
        """Leave a command for the workers and wake them; return its number."""
        number = mailbox.post(self.database, command, self.clock.now())
        with self._ringing:
            self._open_ringer().ring_workers(post=True)
        return number

    def replies(self, command: int) -> dict[str, str]:
        """Return what the workers have answered so far: name to JSON.

        To wait for more: ``wait_for(mailbox.reply_mark(command))``.
        """
        return mailbox.replies(self.database, command)

    def discard_command(self, command: int) -> None:
        """Delete a command with its replies: nobody waits for more."""
        mailbox.discard(self.database, command)

    def append_events(self, rows: Sequence[EventRow]) -> None:
        """Store events, and tell who follows them."""
        events.append(self.database, rows)
        self._tell(events.MARK)

    def events_after(
        self, after: int, *, types: Sequence[str] | None = None, limit: int = 1000
    ) -> list[Event]:
        """Return events after number ``after``; to wait for more: ``wait_for(events.MARK)``."""
        return events.read(self.database, after, types=types, limit=limit)

    def last_event(self) -> int:
        """Return the number of the last event, 0 without one."""
        return events.last(self.database)

    # Waiting

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

    def ring(self, *, happened: bool = False) -> None:
        """Wake the workers: a job has been stored; ``happened``: who follows events, too."""
        with self._ringing:
            ringer = self._open_ringer()
            ringer.ring_workers()
            if happened:
                ringer.ring_waiters([events.MARK])

    def _tell(self, mark: str) -> None:
        with self._ringing:
            self._open_ringer().ring_waiters([mark])

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
