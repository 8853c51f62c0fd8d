"""Soft limits at random moments: ``python -m tests.integration.struck signal|thread JOBS SEED``.

One process runs jobs that write through the store, and is interrupted for real: by signals of a
timer that knows nothing of where the program is, or by another thread.  It prints what is wrong.
"""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from litequeue import LiteQueue, TimeoutError
from litequeue.clock import SYSTEM
from litequeue.context import working_for
from litequeue.exceptions import SoftTimeLimitExceeded
from litequeue.interrupts import Guard, SignalGuard, ThreadGuard, is_guarded
from litequeue.job import Job, Lease, Outcome
from litequeue.worker.executor import Executor

LONGEST = 0.012
"""Seconds after its start at which a job is interrupted at the latest: most take a few ms."""


class Field:
    """An app with a real file, and tasks that are never out of the library for long."""

    def __init__(self, folder: Path) -> None:
        self.app = LiteQueue(folder / "jobs.sqlite", durability="process")
        self.saw: set[int] = set()
        ended = Job(id="ended", task="leaf", body="[[],{}]", queue="default")
        self.app.store.add_ended(ended, Outcome(0, 0, 1, "SUCCESS", "1"), retries=0)
        leaf = self.app.task(name="leaf")(lambda: None)
        waiting = leaf.delay().id

        def write(task: Any, depth: int) -> None:
            try:
                leaf.delay()
                task.update_state(state="PROGRESS", meta={"depth": depth})
                if depth:
                    write(task, depth - 1)
                self.app.AsyncResult("ended").get(timeout=9, disable_sync_subtasks=False)
                with contextlib.suppress(TimeoutError):
                    self.app.AsyncResult(waiting).get(timeout=1e-4, disable_sync_subtasks=False)
            finally:
                leaf.apply_async(countdown=5)

        def work(task: Any) -> str:
            try:
                write(task, 3)
            except SoftTimeLimitExceeded:
                self.saw.add(task.request.token)
                leaf.delay()  # whoever is interrupted may clean up
                raise
            return "done"

        self.app.task(work, name="work", bind=True)

    def faults(self, token: int, outcome: Outcome) -> list[str]:
        """Say what an attempt has left behind, and whether its verdict is what it saw."""
        database, store = self.app.store.database, self.app.store
        writer = database._writer
        found = {
            "an open transaction": writer is not None and writer.in_transaction,
            "a held lock of the file": database._lock.locked() or database._read_lock.locked(),
            "a held lock of the bells": store._ringing.locked() or store._results._lock.locked(),
            "a listener for ever": store._results._listening,
            "somebody who waits for ever": bool(store._results._waiting),
            "a guarded thread": is_guarded(),
            "a lost exception": outcome.state == "SUCCESS" and token in self.saw,
        }
        failure = outcome.failure
        if failure is not None and failure.type != "SoftTimeLimitExceeded":
            found[f"{failure.type}: {failure.message}\n{failure.traceback}"] = True
        return [fault for fault, is_there in found.items() if is_there]


def lease(token: int) -> Lease:
    """Return the right to a job of "work"."""
    return Lease(
        7, token, 1, "the-id", "work", "[[],{}]", None, "default", 0, 0, 0, None, None, None,
    )  # fmt: skip


def run(field: Field, guard: Guard, jobs: int, arm: Callable[[int], object]) -> int:
    """Run jobs; print what is wrong, and return how many were interrupted."""
    executor = Executor(field.app, SYSTEM, "here", guard)
    with working_for(field.app):
        for token in range(1, jobs + 1):
            arm(token)
            outcome = executor.execute(lease(token))
            for fault in field.faults(token, outcome):
                sys.stdout.write(f"after job {token}: {fault}\n")
    executor.close()
    return len(field.saw)


def by_signal(field: Field, jobs: int, chance: random.Random) -> int:
    """Interrupt the main thread by a timer's signals."""
    guard = SignalGuard()
    running = [0]

    def interrupt(signum: int, frame: FrameType | None) -> None:
        guard.interrupt(running[0], frame)

    def arm(token: int) -> None:
        running[0] = token
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, LONGEST))

    for number in (signal.SIGALRM, signal.SIGUSR1):
        signal.signal(number, interrupt)
    interrupted = run(field, guard, jobs, arm)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return interrupted


def by_thread(field: Field, jobs: int, chance: random.Random) -> int:
    """Interrupt one thread from another."""
    guard = ThreadGuard()
    armed: list[tuple[int, float]] = []
    interrupted: list[int] = []

    def arm(token: int) -> None:
        armed[:] = [(token, time.monotonic() + chance.uniform(0, LONGEST))]

    def work() -> None:
        interrupted.append(run(field, guard, jobs, arm))

    worker = threading.Thread(target=work)
    worker.start()
    done = 0
    while worker.is_alive():
        token, due = armed[0] if armed else (0, 0.0)
        if token != done and time.monotonic() >= due:
            done = token
            guard.interrupt(token)
        time.sleep(5e-5)
    return interrupted[0]


def main(how: str, jobs: str, seed: str) -> None:
    sys.setswitchinterval(1e-5)
    with tempfile.TemporaryDirectory() as folder:
        field = Field(Path(folder))
        interrupt = by_signal if how == "signal" else by_thread
        interrupted = interrupt(field, int(jobs), random.Random(seed))
        field.app.close()
    sys.stdout.write(f"interrupted {interrupted}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
