"""From what happens to jobs and workers to rows of the stored ring of events.

Pure: it is told what has happened and when, and returns rows for whoever commits.  Types and
fields are Celery's.  While it is off, every call returns at once with nothing.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from typing import Any, Final

from litequeue import states
from litequeue.events.rows import IDENTITY, moment, row, shown_arguments, shown_exception
from litequeue.job import Failure, Lease, Outcome
from litequeue.store.events import EventRow as Row
from litequeue.store.leases import Lost

HEARTBEAT: Final = 2.0
"""Seconds between two heartbeats of a worker (Celery's)."""
MOST_RESULT: Final = 1024
NO_ROWS: Final[tuple[Row, ...]] = ()


class Reporter:
    """What one worker reports, while it is ``on``.  ``silent`` are tasks with `send_events` off.

    `beat` tells of it when that has been switched.
    """

    def __init__(self, hostname: str, pid: int, *, on: bool = False, version: str = "") -> None:
        self.hostname: str = hostname
        self.pid: int = pid
        self.on: bool = on
        self.silent: frozenset[str] = frozenset()
        self._is_online = False
        self._software = {**IDENTITY, "sw_ver": version, "sw_sys": platform.system()}
        self._began: set[int] = set()
        self._next_beat = 0.0

    # The worker

    def wake(self) -> None:
        """Have `beat` report at its next call (the command "heartbeat")."""
        self._next_beat = 0.0

    def time_left(self, monotonic: float) -> float | None:
        """Return the seconds until `beat` has something to say, None while it is off."""
        if self.on != self._is_online:
            return 0.0
        return max(0.0, self._next_beat - monotonic) if self.on else None

    def beat(
        self, monotonic: float, now: float, *, active: int = 0, processed: int = 0
    ) -> Sequence[Row]:
        """Return what there is to tell of the worker: it is there, lives on, or reports no more.

        ``active`` jobs run, ``processed`` have been claimed since its start.
        """
        kind = "worker-heartbeat"
        if self.on != self._is_online:
            kind = "worker-online" if self.on else "worker-offline"
        elif not self.on or monotonic < self._next_beat:
            return NO_ROWS
        self._is_online = self.on
        self._next_beat = monotonic + HEARTBEAT
        if not self.on:
            self._began.clear()
        return (self._of_worker(kind, now, active, processed),)

    def leave(self, now: float, *, processed: int = 0) -> Sequence[Row]:
        """Return the last row of a worker that stops."""
        if not self._is_online:
            return NO_ROWS
        self.on = self._is_online = False
        return (self._of_worker("worker-offline", now, 0, processed),)

    # Jobs

    def received(self, leases: Iterable[Lease], now: float) -> Sequence[Row]:
        """Report jobs that were claimed."""
        if not self.on:
            return NO_ROWS
        return [self._received(lease, now) for lease in leases if self._tells(lease)]

    def started(self, begun: Iterable[tuple[Lease, float]]) -> Sequence[Row]:
        """Report jobs that run, with the epoch seconds of their start; each is told once."""
        if not self.on:
            return NO_ROWS
        return [
            self._started(lease, at)
            for lease, at in begun
            if lease.token not in self._began and self._tells(lease)
        ]

    def settled(self, outcome: Outcome, lease: Lease, now: float) -> Sequence[Row]:
        """Report the verdict of an attempt, and its start if nobody has."""
        if not self.on or not self._tells(lease):
            return NO_ROWS
        rows: list[Row] = []
        if outcome.started and lease.token not in self._began:
            rows.append(self._started(lease, outcome.started))
        self._began.discard(lease.token)
        rows.extend(self._verdict(lease, outcome, now))
        return rows

    def died(
        self, lost: Iterable[Lost], ended: Iterable[Lease], now: float, *, signum: str | None = None
    ) -> Sequence[Row]:
        """Report attempts that died with their process; those of ``ended`` jobs were the last.

        ``signum`` is the signal by which the job was to be terminated.
        """
        if not self.on:
            return NO_ROWS
        last = {lease.seq for lease in ended}
        rows: list[Row] = []
        for item in lost:
            unnamed = Failure("WorkerLostError", item.reason)
            state, failure = item.verdict or (states.FAILURE, unnamed)
            if item.lease.seq not in last:
                rows += self._all([item.lease], "task-retried", now, **_error(failure))
            elif state == states.REVOKED:
                rows += self.revoked([item.lease], now, terminated=True, signum=signum)
            else:
                rows += self._all([item.lease], "task-failed", now, **_error(failure))
        return rows

    def revoked(
        self,
        leases: Iterable[Lease],
        now: float,
        *,
        expired: bool = False,
        terminated: bool = False,
        signum: str | None = None,
    ) -> Sequence[Row]:
        """Report jobs that will not run, or will not go on."""
        if not self.on:
            return NO_ROWS
        return self._all(
            leases, "task-revoked", now, terminated=terminated, signum=signum, expired=expired
        )

    # Rows

    def _tells(self, lease: Lease) -> bool:
        return lease.task not in self.silent

    def _all(self, leases: Iterable[Lease], kind: str, now: float, **fields: Any) -> Sequence[Row]:
        told = [lease for lease in leases if self._tells(lease)]
        self._began.difference_update(lease.token for lease in told)
        return [self._of_job(kind, lease, now, **fields) for lease in told]

    def _of_job(self, kind: str, lease: Lease, at: float, **fields: Any) -> Row:
        return row(kind, at, job=lease.id, worker=self.hostname, pid=self.pid, **fields)

    def _received(self, lease: Lease, now: float) -> Row:
        args, kwargs, root = shown_arguments(lease.body, lease.options)
        return self._of_job(
            "task-received", lease, now, name=lease.task, args=args, kwargs=kwargs,
            root_id=root or lease.id, parent_id=lease.parent, retries=max(0, lease.retries),
            eta=moment(lease.eta), expires=moment(lease.expires),
        )  # fmt: skip

    def _started(self, lease: Lease, at: float) -> Row:
        self._began.add(lease.token)
        return self._of_job("task-started", lease, at)

    def _verdict(self, lease: Lease, outcome: Outcome, now: float) -> Iterable[Row]:
        failure = outcome.failure
        if outcome.state == states.SUCCESS:
            yield self._of_job(
                "task-succeeded", lease, now, result=_result(outcome), runtime=outcome.runtime
            )
        elif outcome.state == states.FAILURE:
            yield self._of_job("task-failed", lease, now, **_error(failure))
        elif outcome.state == states.REJECTED:
            yield self._of_job("task-rejected", lease, now, requeue=False)
        elif outcome.state == states.REVOKED:
            yield self._of_job(
                "task-revoked", lease, now, terminated=False, signum=None, expired=False
            )
        elif outcome.state == states.RETRY and outcome.counted:
            yield self._of_job("task-retried", lease, now, **_error(failure))
        elif outcome.state == states.RETRY and outcome.sequel is None:
            yield self._of_job("task-rejected", lease, now, requeue=True)
        # Of a job that ended in `Ignore`, or goes on as another, Celery reports nothing.

    def _of_worker(self, kind: str, now: float, active: int, processed: int) -> Row:
        return row(
            kind, now, job=None, worker=self.hostname, pid=self.pid, freq=HEARTBEAT,
            active=active, processed=processed, loadavg=[round(n, 2) for n in os.getloadavg()],
            **self._software,
        )  # fmt: skip


def _error(failure: Failure | None) -> dict[str, Any]:
    if failure is None:
        return {"exception": None, "traceback": None}
    return {
        "exception": shown_exception(failure.type, failure.args, failure.message),
        "traceback": failure.traceback,
    }


def _result(outcome: Outcome) -> str | None:
    """Return the result as Python shows it: as the child did, or as plain JSON allows."""
    if outcome.shown is not None:
        return outcome.shown
    text = outcome.result
    if text is None:
        return "None"
    if len(text) > MOST_RESULT or text.startswith("!"):
        return text[:MOST_RESULT]
    try:
        return repr(json.loads(text))[:MOST_RESULT]
    except ValueError:
        return text
