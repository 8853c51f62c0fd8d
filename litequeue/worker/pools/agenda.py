"""What is to be done to jobs, and when: time limits, in pools that keep them by themselves."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Final

from litequeue.worker.pools.many import Run

_SOME: Final = 64


class Agenda:
    """What is to be done to runs, and when."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[Run], None], Run]] = []
        self._count = itertools.count()
        self._limit = _SOME

    def add(self, moment: float, act: Callable[[Run], None], run: Run) -> bool:
        """Enter something; tell whether it is what comes first now."""
        if len(self._due) > self._limit:  # runs that end in time leave their entries behind
            self._due = [entry for entry in self._due if not entry[3].has_ended]
            heapq.heapify(self._due)
            self._limit = 2 * len(self._due) + _SOME
        entry = moment, next(self._count), act, run
        heapq.heappush(self._due, entry)
        return self._due[0] is entry

    def next_moment(self) -> float | None:
        """Return when something is due (monotonic seconds), None for never."""
        return self._due[0][0] if self._due else None

    def run(self, now: float) -> None:
        """Do what is due."""
        while self._due and self._due[0][0] <= now:
            _, _, act, run = heapq.heappop(self._due)
            if not run.has_ended:
                act(run)
