"""An event loop: for coroutine functions that wait, thousands of them in one process.

Plain functions run in threads beside it.  What blocks the loop blocks everything, limits included.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable
from typing import ClassVar, Final

from litequeue import states
from litequeue.interrupts import TaskGuard, ThreadGuard
from litequeue.job import Errand, Failure, Lease
from litequeue.worker.hooks import run_errand
from litequeue.worker.pools import OPTIONS, Pool, Station
from litequeue.worker.pools.agenda import Agenda
from litequeue.worker.pools.job_threads import JobThreads
from litequeue.worker.pools.many import GivenUp, Lines, Run
from litequeue.worker.time_limits import REPEAT

AT_ONCE: Final = 64
"""Leases that are read before jobs have their turn."""
PARTING: Final = 1.0
"""Seconds that tasks have to take their cancellation when the loop is closed."""


class Aio(Pool):
    """One process, one event loop."""

    name = "aio"
    many = True
    honours: ClassVar[frozenset[str]] = frozenset(OPTIONS)
    start_methods: ClassVar[tuple[str, ...]] = ("fork", "forkserver", "spawn")

    def serve(self, station: Station) -> None:
        """Run leases, many at a time."""
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            _Desk(station, loop).run()
        finally:
            asyncio.set_event_loop(None)
            loop.close()


class _Desk:
    """Reads leases in the loop's thread while lines are free, and makes tasks of them."""

    def __init__(self, station: Station, loop: asyncio.AbstractEventLoop) -> None:
        self._station = station
        self._loop = loop
        self._agenda = Agenda()
        self._timer: asyncio.TimerHandle | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._jobs = station.channel.jobs_out.fileno()
        self._alarm = station.alarm
        self._reads = self._waits = False
        self._gone = loop.create_future()
        self._awaited: dict[str, bool] = {}
        self._lines = Lines(station, self)
        self._executor = self._lines.executor()
        self._threads = JobThreads(station, self._lines, ThreadGuard)

    def run(self) -> None:
        """Work until there is no more, and what runs has finished."""
        self._loop.add_reader(self._alarm.out, self._on_alarm)
        self._look()
        try:
            self._loop.run_until_complete(self._gone)
        finally:
            self._threads.close()
            self._wind_up()

    def _wind_up(self) -> None:
        """Cancel what is left: jobs that have got their verdicts, and tasks that jobs made."""
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        if left:
            self._loop.run_until_complete(asyncio.wait(left, timeout=PARTING))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    # In the loop

    def _look(self) -> None:
        """Read leases while there is room; be gone once there is nothing left to do."""
        self._waits = True  # said before the look: who frees a line looks after that
        reads = self._lines.room() > 0
        if reads and not self._reads:
            self._loop.add_reader(self._jobs, self._read)
        elif not reads and self._reads:
            self._loop.remove_reader(self._jobs)
        self._reads = reads
        self._waits = not reads
        if self._lines.leaves and self._lines.is_idle and not self._gone.done():
            self._gone.set_result(None)
        self._look_later()

    def _look_later(self) -> None:
        """Look again in a while where nobody tells."""
        wait = self._lines.patience()
        if self._lines.leaves:
            self._loop.remove_reader(self._alarm.out)
        if wait is not None and self._pause is None:
            self._pause = self._loop.call_later(wait, self._look_again)

    def _look_again(self) -> None:
        self._pause = None
        self._lines.look_for_orders()
        self._look()

    def _on_alarm(self) -> None:
        self._alarm.hear()
        self._lines.look_for_orders()
        self._look()

    def _read(self) -> None:
        for _ in range(AT_ONCE):
            if self._lines.room() <= 0:
                break
            try:
                found = self._station.read(wait=False)
            except BlockingIOError:
                break
            if found is None:
                self._lines.hang_up()
            else:
                self._start(found)
        self._look()

    def _start(self, found: Lease | Errand) -> None:
        station = self._station
        if isinstance(found, Errand):
            self.aside(lambda: run_errand(station.app, found, station.hostname))
            return
        run = self._lines.begin(found)
        if not self._is_awaited(found.task):
            self._threads.run(run)
            return
        run.guard = guard = TaskGuard()
        run.task = self._loop.create_task(self._run(run, guard), context=run.context)

    def _is_awaited(self, name: str) -> bool:
        known = self._awaited.get(name)
        if known is None:
            task = self._station.app.tasks.get(name)
            known = task is not None and is_awaited(task)
            self._awaited[name] = known
        return known

    async def _run(self, run: Run, guard: TaskGuard) -> None:
        try:
            outcome = await self._executor.execute_async(run.lease, guard)
        except asyncio.CancelledError:
            run.task = None
            words = "something in its process cancelled the task of the job"
            failure = Failure("asyncio.exceptions.CancelledError", words)
            self._lines.give_up(run, states.FAILURE, failure)  # unless it was ourselves
            self._lines.end(run)
            return
        except GivenUp:
            self._lines.end(run)
            return
        self._lines.finish(run, outcome)
        self._station.stop_if_asked(self._executor)

    def _run_agenda(self) -> None:
        self._timer = None
        self._agenda.run(self._station.clock.monotonic())
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        moment = self._agenda.next_moment()
        if moment is not None:  # the loop's clock is the monotonic one
            self._timer = self._loop.call_at(moment, self._run_agenda)

    # For the lines

    def at(self, moment: float, act: Callable[[Run], None], run: Run) -> None:
        """Call ``act(run)`` at a moment."""
        if self._agenda.add(moment, act, run):
            self._set_timer()

    def aside(self, act: Callable[[], None]) -> None:
        """Call something in a thread."""
        self._threads.do(lambda executor, guard: act())

    def abort(self, run: Run) -> None:
        """Cancel its task, or interrupt its thread; if it goes on, have the process end."""
        if run.task is not None:
            run.task.cancel()
        elif run.guard is not None:
            run.guard.interrupt(run.lease.token)
        self.at(self._station.clock.monotonic() + REPEAT, self._lines.replace_if_stuck, run)

    def freed(self, run: Run) -> None:
        """Read again, if there was no room, or leave: in the loop's thread."""
        if not self._waits:
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            self._loop.call_soon_threadsafe(self._look)


def is_awaited(task: object) -> bool:
    """Tell whether a task is a coroutine function."""
    return inspect.iscoroutinefunction(getattr(task, "run", None))
