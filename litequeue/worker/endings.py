"""What limits and revocations do to children: tell one, or end it with all that it started."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from litequeue.worker.families import descendants, end_all
from litequeue.worker.slots import Running, Slots
from litequeue.worker.time_limits import FATAL_SIGNALS

logger: Final = logging.getLogger("litequeue.worker")

STOP_LOOKS: Final = 200
"""Looks whether a process stands still, 1 µs each: one that is on another CPU does so by then, and
one that waits for a CPU runs no more of its code before it does."""
STUCK: Final = 2.0
"""Seconds past a hard limit after which a child that is to keep it by itself is killed."""


@dataclass(slots=True)
class Child:
    """One process.  ``started`` is in monotonic seconds.

    ``doomed`` once we have killed it; ``sentence`` is then why, where it was for one job's sake:
    (why, token of the job, detail).  ``dismissed`` once it is to leave after what it runs.
    """

    pid: int
    started: float
    doomed: bool = False
    dismissed: bool = False
    sentence: tuple[str, int, float] = ("", 0, 0.0)


class Endings:
    """The hands of whoever enforces limits (`litequeue.worker.time_limits.Hands`)."""

    def __init__(self, children: Mapping[int, Child], slots: Slots) -> None:
        self._children = children
        self._slots = slots
        self._asked: dict[int, int] = {}

    def soften(self, line: int, run: Running) -> None:
        """Raise `SoftTimeLimitExceeded` in a job: its child looks whether it still runs it."""
        self._signal(line, signal.SIGUSR1)

    def end_late(self, line: int, run: Running) -> None:
        """End a job, and its child, by its hard limit."""
        self._end_if_still(line, run, ("time_limit", run.token, 0.0))

    def terminate(self, line: int, run: Running, signum: int) -> None:
        """End a job that was revoked, by a signal."""
        if signum in FATAL_SIGNALS:
            self._end_if_still(line, run, ("terminated", run.token, float(signum)))
        else:
            self._signal(line, signum)

    def _signal(self, index: int, signum: int) -> None:
        child = self._children.get(index)
        if child is not None:
            with contextlib.suppress(OSError):
                os.kill(child.pid, signum)

    def _end_if_still(self, index: int, run: Running, sentence: tuple[str, int, float]) -> None:
        """Stop the child, look again, and end it only if it is still at this job."""
        child = self._children.get(index)
        if child is None or child.doomed:
            return
        self._signal(index, signal.SIGSTOP)
        self._await_stop(child)
        again = self._slots.running(index)
        if again is not None and again.token == run.token and again.hard == run.hard:
            child.doomed, child.sentence = True, sentence
            end(child)
        else:
            self._signal(index, signal.SIGCONT)

    def _await_stop(self, child: Child) -> None:
        """See a process stand still, without giving the CPU to those that are to be stopped."""
        look = os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT
        with contextlib.suppress(ChildProcessError):
            for _ in range(STOP_LOOKS):
                if os.waitid(os.P_PID, child.pid, look) is not None:
                    return

    def end_stuck(self, now: float) -> None:
        """End children of many lines that do not keep the limits of their jobs.

        What runs there lets nobody else run, not even the clock.  The other jobs run again.
        """
        asked: dict[int, int] = {}
        for line, run in self._slots.busy():
            child = self._children.get(line // self._slots.per_child)
            token, signum = self._slots.asked_to_end(line)
            if child is None or child.doomed:
                continue
            if token == run.token:
                asked[line] = token
            if run.hard and now > run.hard + STUCK:
                child.sentence = ("time_limit", run.token, 0.0)
            elif token == run.token and self._asked.get(line) == token:
                child.sentence = ("terminated", token, float(signum))
            else:
                continue
            logger.error("child %d does not end a job that is over; it is killed", child.pid)
            child.doomed = True
            end(child)
        self._asked = asked


def end(child: Child) -> None:
    """End a process, and whatever it has started."""
    started = descendants(child.pid)  # of which some may lead a group of their own
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):  # before its setsid
        os.kill(child.pid, signal.SIGKILL)
    end_all(started)
