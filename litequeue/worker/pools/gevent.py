"""Greenlets: for plain functions that wait in modules which gevent has made cooperative.

It is the pool of threads in a process where threads are greenlets.  A job that neither waits nor
yields holds up all others, limits included.  Coroutine functions run in real threads, each on an
event loop of its own.
"""

from __future__ import annotations

import contextvars
import functools
import importlib.util
import os
import time
from types import FrameType
from typing import Any, ClassVar

from litequeue.clock import SystemClock
from litequeue.exceptions import ImproperlyConfigured, SoftTimeLimitExceeded
from litequeue.interrupts import Guard, ThreadGuard
from litequeue.job import Outcome
from litequeue.worker.executor import Executor
from litequeue.worker.pools import OPTIONS, Pool, Station
from litequeue.worker.pools.aio import is_awaited
from litequeue.worker.pools.job_threads import JobThreads
from litequeue.worker.pools.many import Lines, Run
from litequeue.worker.pools.threads import Dispatcher

if importlib.util.find_spec("gevent") is None:
    raise ImproperlyConfigured(
        "the pool gevent needs the package gevent, which is not installed here: it is in the "
        "extra gevent (in a clone: pip install '.[gevent]')"
    )


class Gevent(Pool):
    """One process, a greenlet for every job that runs."""

    name = "gevent"
    many = True
    honours: ClassVar[frozenset[str]] = frozenset(OPTIONS) - {"embedded"}
    start_methods: ClassVar[tuple[str, ...]] = ("spawn",)

    @classmethod
    def prepare(cls) -> None:
        """Make the modules of Python that wait cooperative, before the app is imported."""
        from gevent import monkey

        monkey.patch_all()
        sleep = staticmethod(time.sleep)  # noqa: TID251 - the clock's own: it has the old one
        type.__setattr__(SystemClock, "sleep", sleep)

    def serve(self, station: Station) -> None:
        """Run leases, many at a time."""
        from gevent import monkey

        # gevent's own knows no MSG_DONTWAIT: it would wait, and keep the reader from all else.
        plain = monkey.get_original("socket", "socket")
        station.channel.jobs_out = plain(fileno=os.dup(station.channel.jobs_out.fileno()))
        Dispatcher(station, _threads, end).run()


class GreenletGuard(Guard):
    """For user code in a greenlet: it is struck where it waits or yields.

    Critical sections of the library's need no care here: within a transaction they do not yield.
    """

    def __init__(self) -> None:
        super().__init__()
        self._greenlet: Any = None

    def begin(self, token: int, *, awaits: bool = False) -> None:
        """Say that user code of the attempt ``token`` runs in this greenlet from now on."""
        from gevent import getcurrent

        self._greenlet, self._raised, self._token = getcurrent(), False, token

    def end(self) -> None:
        """Say that it has ended."""
        self._token = 0
        self._greenlet = None

    def interrupt(self, token: int, frame: FrameType | None = None) -> bool:
        """Have `SoftTimeLimitExceeded` thrown into the greenlet, once."""
        if token != self._token or self._raised:
            return False
        self._throw_soon(token, SoftTimeLimitExceeded)
        return True

    def kill(self, token: int) -> None:
        """Have the greenlet ended, as gevent does it."""
        from gevent import GreenletExit

        self._throw_soon(token, GreenletExit)

    def _throw_soon(self, token: int, kind: type[BaseException]) -> None:
        from gevent import get_hub

        get_hub().loop.run_callback(self._throw, token, kind)

    def _throw(self, token: int, kind: type[BaseException]) -> None:
        if token == self._token and self._greenlet is not None:
            self._raised = True
            self._greenlet.throw(kind)


def end(guard: Guard, token: int) -> None:
    """Have the code of a job end that has got its verdict."""
    if isinstance(guard, GreenletGuard):
        guard.kill(token)
    else:
        guard.interrupt(token)


class _GreenThreads(JobThreads):
    """Greenlets, since `threading.Thread` makes those here; and real threads for coroutines."""

    def execute(self, run: Run, executor: Executor) -> Outcome:
        """Run a job: a coroutine function in a real thread, since only one loop has room here."""
        task = self._station.app.tasks.get(run.lease.task)
        if task is None or not is_awaited(task):
            return executor.execute(run.lease)
        run.guard = ThreadGuard()
        real = self._lines.executor(run.guard)
        context = contextvars.copy_context()
        outcome: Outcome = self._real_threads.apply(
            context.run, (_execute_and_close, real, run.lease)
        )
        executor.stop_wanted = real.stop_wanted
        return outcome

    @functools.cached_property
    def _real_threads(self) -> Any:
        from gevent.threadpool import ThreadPool

        return ThreadPool(len(self._station.lines))


def _threads(station: Station, lines: Lines) -> JobThreads:
    return _GreenThreads(station, lines, GreenletGuard)


def _execute_and_close(executor: Executor, lease: Any) -> Outcome:
    try:
        return executor.execute(lease)
    finally:
        executor.close()
