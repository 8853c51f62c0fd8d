"""A thread per job, in one process: for tasks that wait, or that spend their time in C.

The main thread reads leases while there is room, and keeps the time limits.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import ClassVar

from litequeue.interrupts import Guard, ThreadGuard
from litequeue.job import Errand
from litequeue.worker.hooks import run_errand
from litequeue.worker.pools import OPTIONS, Pool, Station
from litequeue.worker.pools.agenda import Agenda
from litequeue.worker.pools.job_threads import JobThreads
from litequeue.worker.pools.many import Lines, Run
from litequeue.worker.time_limits import REPEAT, Alarm


class Threads(Pool):
    """One process, a thread for every job that runs."""

    name = "threads"
    many = True
    honours: ClassVar[frozenset[str]] = frozenset(OPTIONS)
    start_methods: ClassVar[tuple[str, ...]] = ("fork", "forkserver", "spawn")

    def serve(self, station: Station) -> None:
        """Run leases, many at a time."""
        Dispatcher(station, _threads, _interrupt).run()


class Dispatcher:
    """Hands leases to threads, from the one that calls `run`.

    ``end`` interrupts the code of a job, given its guard and token, that has got its verdict.
    """

    def __init__(
        self,
        station: Station,
        make_threads: Callable[[Station, Lines], JobThreads],
        end: Callable[[Guard, int], object],
    ) -> None:
        self._station = station
        self._end = end
        self._agenda = Agenda()
        self._bell = Alarm()
        self._alarm = station.alarm
        self._waits = False
        self._jobs = station.channel.jobs_out.fileno()
        self._poll = select.poll()
        self._poll.register(self._bell.out, select.POLLIN)
        self._heard = {self._bell.out}
        self._lines = Lines(station, self)
        self._threads = make_threads(station, self._lines)

    def run(self) -> None:
        """Work until there is no more, and what runs has finished."""
        try:
            while not (self._lines.leaves and self._lines.is_idle):
                self._step()
        finally:
            self._threads.close()
            self._bell.close()

    def _step(self) -> None:
        self._waits = True  # said before the look: who frees a line looks after that
        has_room = self._lines.room() > 0
        self._hear(self._jobs, has_room)
        self._hear(self._alarm.out, not self._lines.leaves)
        if self._lines.leaves and self._lines.is_idle:
            return
        ready = {fd for fd, _ in self._poll.poll(self._timeout())}
        self._waits = False
        if self._bell.out in ready:
            self._bell.hear()
        if self._lines.leaves or self._alarm.out in ready:
            if not self._lines.leaves:
                self._alarm.hear()
            self._lines.look_for_orders()
        self._agenda.run(self._station.clock.monotonic())
        if self._jobs in ready:
            self._read()

    def _hear(self, fd: int, wants: bool) -> None:
        if wants and fd not in self._heard:
            self._poll.register(fd, select.POLLIN)
            self._heard.add(fd)
        elif not wants and fd in self._heard:
            self._poll.unregister(fd)
            self._heard.remove(fd)

    def _timeout(self) -> float | None:
        """Return the milliseconds until something is due, None for never."""
        seconds = self._lines.patience()
        moment = self._agenda.next_moment()
        if moment is not None:
            left = max(0.0, moment - self._station.clock.monotonic())
            seconds = left if seconds is None else min(left, seconds)
        return None if seconds is None else 1000 * seconds + 1

    def _read(self) -> None:
        station, lines = self._station, self._lines
        while lines.room() > 0:
            try:
                found = station.read(wait=False)
            except BlockingIOError:
                return
            if found is None:
                lines.hang_up()
            elif isinstance(found, Errand):
                self.aside(_errand(station, found))
            else:
                self._threads.run(lines.begin(found))

    # For the lines

    def at(self, moment: float, act: Callable[[Run], None], run: Run) -> None:
        """Call ``act(run)`` at a moment."""
        self._agenda.add(moment, act, run)

    def aside(self, act: Callable[[], None]) -> None:
        """Call something in a thread of its own."""
        self._threads.do(lambda executor, guard: act())

    def abort(self, run: Run) -> None:
        """Interrupt the thread; if it does not end, have the process do so."""
        if run.guard is not None:
            self._end(run.guard, run.lease.token)
        self.at(self._station.clock.monotonic() + REPEAT, self._lines.replace_if_stuck, run)

    def freed(self, run: Run) -> None:
        """Wake the reader, if it has waited for this."""
        if self._waits:
            self._bell.ring()


def _threads(station: Station, lines: Lines) -> JobThreads:
    return JobThreads(station, lines, ThreadGuard)


def _interrupt(guard: Guard, token: int) -> None:
    guard.interrupt(token)


def _errand(station: Station, errand: Errand) -> Callable[[], None]:
    return lambda: run_errand(station.app, errand, station.hostname)
