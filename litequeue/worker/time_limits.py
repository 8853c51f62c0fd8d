"""Time limits, and jobs to be terminated: noticed by looking at the lines, not by messages.

A child writes the moments of its job's limits beside what it runs.  Whoever enforces them says when
he will look again, so that only a child with an earlier limit has to wake him.  In pools of one job
per process that is the supervisor, who can kill; the others keep limits by themselves.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
from typing import Final, Protocol

from litequeue.clock import Clock
from litequeue.worker.slots import Running, Slots

REPEAT: Final = 1.0
"""Seconds after which a soft limit is told once more to a job that seems to have swallowed it."""
FATAL_SIGNALS: Final = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGKILL}
)
"""By these a job is terminated with its child; any other is its own affair."""


class Alarm:
    """Wakes whoever enforces limits.  Its descriptors are inherited by all of a worker."""

    def __init__(self, ends: tuple[int, int] | None = None) -> None:
        self.out: int
        self.into: int
        self.out, self.into = os.pipe() if ends is None else ends
        for end in (self.out, self.into):
            os.set_blocking(end, False)

    def ring(self) -> None:
        """Wake him; a full pipe has been rung already."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self.into, b"!")

    def hear(self) -> bool:
        """Tell whether it rang since the last call."""
        with contextlib.suppress(BlockingIOError):
            return bool(os.read(self.out, 4096))
        return False

    def close(self) -> None:
        """Close both ends."""
        for end in (self.out, self.into):
            os.close(end)


class Hands(Protocol):
    """What is done to a job, by whoever can."""

    def soften(self, line: int, run: Running) -> None:
        """Raise `SoftTimeLimitExceeded` in it."""

    def end_late(self, line: int, run: Running) -> None:
        """End it: its hard limit has come."""

    def terminate(self, line: int, run: Running, signum: int) -> None:
        """End it, because it was revoked."""


class Enforcer:
    """Looks at all lines when something is due."""

    def __init__(self, slots: Slots, alarm: Alarm, hands: Hands, clock: Clock) -> None:
        self._slots = slots
        self._alarm = alarm
        self._hands = hands
        self._clock = clock
        self._due = math.inf
        self._told: dict[int, tuple[int, float]] = {}
        self._asked: dict[int, tuple[int, int]] = {}
        slots.wake_at = math.inf

    def time_left(self) -> float | None:
        """Return the seconds until something is due, None for never."""
        return None if math.isinf(self._due) else max(0.0, self._due - self._clock.monotonic())

    def run(self) -> None:
        """Do what is due, and say when the next look is."""
        if not self._alarm.hear() and self._clock.monotonic() < self._due:
            return
        # Said first: a limit that is written after its line was looked at rings, and whoever waits
        # for the alarm comes back at once, after he has looked after all else.
        self._slots.wake_at = math.inf
        lines = range(self._slots.lines)
        self._slots.wake_at = self._due = min(map(self._look_at, lines), default=math.inf)

    def _look_at(self, line: int) -> float:
        """Do what is due on one line; return when something is due there again."""
        run = self._slots.running(line)
        if run is None:
            return math.inf
        now = self._clock.monotonic()
        asked = token, signum = self._slots.asked_to_end(line)
        if token == run.token and self._asked.get(line) != asked:
            self._asked[line] = asked  # the field stays: the child looks at it, too
            self._hands.terminate(line, run, signum)
        if run.hard and now >= run.hard:
            self._hands.end_late(line, run)
            return math.inf
        due = run.hard or math.inf
        if run.soft:
            due = min(due, self._soften_when_due(line, run, now))
        return due

    def _soften_when_due(self, line: int, run: Running, now: float) -> float:
        if now < run.soft:
            return run.soft
        token, at = self._told.get(line, (0, 0.0))
        if token == run.token and at < 0:  # told twice
            return math.inf
        if token == run.token and now < at + REPEAT:
            return at + REPEAT
        self._told[line] = (run.token, -1.0 if token == run.token else now)
        self._hands.soften(line, run)
        return math.inf if token == run.token else now + REPEAT
