"""What pools of many jobs in one process share: their lines, and whose word on a job counts.

A job that is struck by its hard limit, or terminated, gets its verdict at once, and what its code
comes to later is not heard any more.  A child that leaves lets its successor begin: together they
run no more jobs than one of them would.
"""

from __future__ import annotations

import contextvars
import itertools
import logging
import os
import signal
import threading
from collections.abc import Callable, Container
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final, Protocol

from litequeue import states
from litequeue.context import current_request
from litequeue.interrupts import Guard
from litequeue.interrupts.guards import SOON
from litequeue.job import Errand, Failure, Lease, Outcome
from litequeue.worker.executor import Executor, Prepared
from litequeue.worker.hooks import run_errand
from litequeue.worker.pools import Station
from litequeue.worker.slots import Stage
from litequeue.worker.time_limits import FATAL_SIGNALS, REPEAT

logger: Final = logging.getLogger("litequeue.worker")

LOOK_EVERY: Final = 0.1
"""Seconds between two looks while two children share the lines, and the alarm wakes only one."""


class GivenUp(Exception):
    """What the code of a job came to is not heard any more."""


@dataclass(slots=True, eq=False)
class Run:
    """A job on a line.  ``began`` is in monotonic seconds.

    ``is_over`` once there is a verdict, ``has_ended`` once its code has come to its end.
    ``guard`` is there once its code may be interrupted, ``task`` if an event loop runs it.
    """

    line: int
    lease: Lease
    context: Context
    began: float
    guard: Guard | None = None
    task: Any = None
    was_told: bool = False
    is_over: bool = False
    has_ended: bool = False


class Crew(Protocol):
    """What a pool does for its `Lines`, always in the thread that reads leases."""

    def at(self, moment: float, act: Callable[[Run], None], run: Run) -> None:
        """Call ``act(run)`` at a moment (monotonic seconds), unless its code has ended by then."""

    def aside(self, act: Callable[[], None]) -> None:
        """Call something of the user's that may take long, beside the jobs."""

    def abort(self, run: Run) -> None:
        """Have the code of a run end, as far as that is possible: its verdict has been made."""

    def freed(self, run: Run) -> None:
        """Be told, in any thread, that a line is free again."""


class Lines:
    """The lines of one child."""

    def __init__(self, station: Station, crew: Crew) -> None:
        self._station = station
        self._slots = station.slots
        self._crew = crew
        self._context = contextvars.copy_context()
        self._free = list(reversed(station.lines))  # the lowest is taken first
        self._taken: dict[int, Run] = {}
        self._lock = threading.Lock()
        self._elders = [
            index
            for index in range(self._slots.children)
            if index != station.index and self._slots.stage(index) is Stage.LEAVING
        ]
        self._given_up: set[int] = set()
        self.leaves: bool = False
        self._slots.wake_at = 0.0  # nobody looks at these lines: limits are kept by `Crew.at`

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs, and nothing is left to say."""
        return not self._taken

    def room(self) -> int:
        """Return how many more jobs may begin."""
        if not self.leaves and self._station.is_spent():
            self.leave()
        if self.leaves:
            return 0
        count = min(self._slots.count, len(self._station.lines)) - len(self._taken)
        return count - self._elsewhere() if self._elders else count

    def patience(self) -> float | None:
        """Return the seconds until something may have changed that nobody tells of."""
        return LOOK_EVERY if self.leaves or self._elders else None

    def _elsewhere(self) -> int:
        """Return how many jobs still run in children that have made room for this one."""
        slots = self._slots
        self._elders = [
            index
            for index in self._elders
            if slots.stage(index) is Stage.LEAVING and _is_alive(slots.child(index)[0])
        ]
        lines = itertools.chain.from_iterable(map(slots.lines_of, self._elders))
        return sum(slots.running(line) is not None for line in lines)

    def leave(self) -> None:
        """Take no more jobs; let another child do that."""
        if not self.leaves:
            self.leaves = True
            if self._station.give_way is not None:
                self._station.give_way()

    def hang_up(self) -> None:
        """Take no more jobs: there will be none, or this child was dismissed."""
        if self._slots.is_dismissed(self._station.index):
            self.leave()
        self.leaves = True

    # A job

    def begin(self, lease: Lease) -> Run:
        """Put a job on a free line; `room` has said that there is one."""
        with self._lock:
            line = self._free.pop()
            run = Run(line, lease, self._context.copy(), self._station.clock.monotonic())
            self._taken[line] = run
        run.context.run(self._station.begin, line, lease)
        if lease.soft is not None:
            self._crew.at(run.began + lease.soft, self._soften, run)
        if lease.hard is not None:
            self._crew.at(run.began + lease.hard, self._end_late, run)
        return run

    def executor(self, guard: Guard | None = None) -> Executor:
        """Return what runs jobs of these lines; it raises `GivenUp` for one that has a verdict."""
        return _Heeding(self._station, guard, self._given_up)

    def finish(self, run: Run, outcome: Outcome) -> None:
        """Report what a job came to, unless it has got its verdict; in its context."""
        self._station.check_process()
        if self.end(run):
            return
        self._station.finish(run.line, run.lease, outcome)
        self._release(run)

    def end(self, run: Run) -> bool:
        """Take note that the code of a job has ended; tell whether it had got its verdict."""
        with self._lock:
            run.has_ended, was_over, run.is_over = True, run.is_over, True
            self._given_up.discard(run.lease.token)
        return was_over

    def _release(self, run: Run) -> None:
        with self._lock:
            del self._taken[run.line]
            self._free.append(run.line)
        self._crew.freed(run)

    # What limits and revocations do to it

    def look_for_orders(self) -> None:
        """End the jobs that somebody wants to be terminated."""
        if self._slots.is_dismissed(self._station.index):
            self.leave()
        for run in list(self._taken.values()):
            token, signum = self._slots.asked_to_end(run.line)
            if token != run.lease.token or run.is_over:
                continue
            self._slots.ask_to_end(run.line, 0, 0)
            if signum in FATAL_SIGNALS:
                words = f"terminated by {signal.Signals(signum).name}"
                self.give_up(run, states.REVOKED, Failure("TaskRevokedError", words))
            elif signum == signal.SIGUSR1 and run.guard is not None:
                self._soften(run)
            else:
                logger.warning("a job in the middle of a process takes no signal %d", signum)

    def _soften(self, run: Run) -> None:
        now = self._station.clock.monotonic()
        if run.guard is None or run.guard.interrupt(run.lease.token) is None:
            self._crew.at(now + SOON, self._soften, run)
        elif not run.was_told:
            run.was_told = True
            self._crew.at(now + REPEAT, self._soften, run)

    def _end_late(self, run: Run) -> None:
        words = f"the job ran longer than its time limit of {run.lease.hard or 0.0:g} s"
        self.give_up(run, states.FAILURE, Failure("TimeLimitExceeded", words))

    def give_up(self, run: Run, state: str, failure: Failure) -> None:
        """Give a job its verdict while its code runs on, and have that end if possible."""
        with self._lock:
            if run.is_over:
                return
            run.is_over = True
            self._given_up.add(run.lease.token)
        self._crew.abort(run)
        self._crew.aside(lambda: self._mourn(run, state, failure))

    def _mourn(self, run: Run, state: str, failure: Failure) -> None:
        """Call the hooks, and report the verdict."""
        station, lease = self._station, run.lease
        if state == states.FAILURE:  # of what was revoked the consumer tells
            try:
                run_errand(station.app, Errand("task_failure", lease, failure), station.hostname)
            except BaseException:  # not even a SystemExit costs the verdict
                logger.exception("a receiver of %s[%s] raised", lease.task, lease.id)
        now = station.clock.monotonic()
        station.give_up(
            run.line,
            Outcome(
                lease.seq, lease.token, lease.claim, state,
                started=station.clock.now() - (now - run.began), runtime=now - run.began,
                failure=failure,
            ),
        )  # fmt: skip
        self._release(run)

    def replace_if_stuck(self, run: Run) -> None:
        """Leave, if a job that was given up still runs: only the end of its process ends it."""
        can_leave = self._station.give_way is not None
        logger.warning(
            "%s[%s] has its verdict, and its code runs on%s",
            run.lease.task, run.lease.id,
            ": its process is replaced when its other jobs have finished" if can_leave else "",
        )  # fmt: skip
        if can_leave:
            self.leave()


class _Heeding(Executor):
    """Calls no hooks for a job whose verdict others have made, and told of."""

    def __init__(self, station: Station, guard: Guard | None, given_up: Container[int]) -> None:
        super().__init__(station.app, station.clock, station.hostname, guard)
        self._given_up = given_up

    def conclude(self, prepared: Prepared, value: Any, error: BaseException | None) -> Outcome:
        """Say what a call came to, unless that is known."""
        if prepared.lease.token in self._given_up:
            current_request.reset(prepared.mark)
            raise GivenUp
        return super().conclude(prepared, value, error)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
