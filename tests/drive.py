"""A worker without processes: what is stored is claimed, run and settled here, as fast as it goes.

The store's verbs and the executor are the real ones; the clock is moved to what is due next.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from litequeue import LiteQueue
from litequeue.context import working_for
from litequeue.job import Outcome
from litequeue.store import jobs, workers
from litequeue.store.claim import Claim
from litequeue.worker.executor import Executor
from tests.conftest import FakeClock

AT_ONCE = 20
MOST_ROUNDS = 10_000
_numbers = itertools.count(1)


class Drive:
    """Runs all that is in the file of ``app``, whose clock is a `FakeClock`."""

    def __init__(self, app: LiteQueue) -> None:
        self.app = app
        self._clock = app.clock
        self._executor = Executor(app, app.clock, "drive")
        self.tasks: frozenset[str] = frozenset(app.tasks)
        nonce = f"{next(_numbers):x}"
        who = workers.Identity(
            name="drive", nonce=nonce, boot="", namespace="", pid=1, start_time=1, directory=""
        )
        self._owner = workers.register(app.store.database, who, app.clock.now())

    def run(self, *, attempts: int | None = None) -> int:
        """Run until nothing is left that could, or so many attempts; return how many it took."""
        outcomes: list[Outcome] = []
        ran = 0
        for _ in range(MOST_ROUNDS):
            limit = AT_ONCE if attempts is None else min(AT_ONCE, attempts - ran)
            settled = jobs.settle_and_claim(
                self.app.store.database,
                now=self._clock.now(),
                keep=self.app.store.keep,
                outcomes=outcomes,
                claim=Claim(owner=self._owner, limit=limit, tasks=self.tasks) if limit else None,
            )
            outcomes = [self._executor.execute(lease) for lease in settled.leases]
            ran += len(outcomes)
            if outcomes:
                continue
            if settled.next_due is None or not limit:
                return ran
            assert isinstance(self._clock, FakeClock)
            self._clock.advance(max(0.0, settled.next_due - self._clock.now()))
        raise AssertionError("it never ends")


@contextmanager
def driving(app: LiteQueue) -> Iterator[Drive]:
    """Be a worker of ``app`` in this block."""
    drive = Drive(app)
    with working_for(app):
        yield drive
    drive._executor.close()


def unfinished(app: LiteQueue) -> list[Any]:
    """Return (id, task, phase, state) of the jobs that have not ended."""
    with app.store.database.read() as connection:
        return connection.execute(
            "SELECT id, task, phase, state FROM litequeue_job WHERE phase <> 'done'"
        ).fetchall()
