"""Threads that run jobs, made when they are needed, and kept."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Final

from litequeue.interrupts import Guard
from litequeue.job import Outcome
from litequeue.worker.executor import Executor
from litequeue.worker.pools import Station
from litequeue.worker.pools.many import GivenUp, Lines, Run

logger: Final = logging.getLogger("litequeue.worker")


class JobThreads:
    """Threads that do what they are given, as many as are busy at once, each with an executor.

    They keep no program from ending.
    """

    def __init__(self, station: Station, lines: Lines, make_guard: Callable[[], Guard]) -> None:
        self._station = station
        self._lines = lines
        self._make_guard = make_guard
        self._work: queue.SimpleQueue[Callable[[Executor, Guard], None] | None]
        self._work = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = self._count = 0
        self._is_closed = False

    def do(self, work: Callable[[Executor, Guard], None]) -> None:
        """Have an idle thread do it, or a new one, or the next one that is done."""
        with self._lock:
            is_new = not self._idle
            self._idle -= not is_new
        self._work.put(work)
        if not is_new:
            return
        try:
            threading.Thread(target=self._run, name="litequeue-job", daemon=True).start()
        except RuntimeError as error:  # the system has no room for more
            if not self._count:
                raise
            logger.error("no thread could be started (%s); a job waits for another's", error)
        else:
            self._count += 1

    def run(self, run: Run) -> None:
        """Have a thread run a job."""

        def work(executor: Executor, guard: Guard) -> None:
            run.guard = guard
            try:
                outcome = self.execute(run, executor)
            except GivenUp:
                self._lines.end(run)
                return
            self._lines.finish(run, outcome)
            self._station.stop_if_asked(executor)

        self.do(lambda executor, guard: run.context.run(work, executor, guard))

    def execute(self, run: Run, executor: Executor) -> Outcome:
        """Run a job in this thread."""
        return executor.execute(run.lease)

    def close(self) -> None:
        """Have them end, each after what it does."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, 0
        for _ in range(idle):
            self._work.put(None)

    def _run(self) -> None:
        guard = self._make_guard()
        executor = self._lines.executor(guard)
        while (work := self._work.get()) is not None:
            try:
                work(executor, guard)
            except Exception:
                logger.exception("a thread of the pool failed outside a task")
            with self._lock:
                if self._is_closed:
                    break
                self._idle += 1
        executor.close()
