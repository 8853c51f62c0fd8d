"""How many jobs to run at once, between two bounds, by how many wait and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KEEP_ALIVE: Final = 30.0
"""Seconds for which more than is needed is kept (Celery's AUTOSCALE_KEEPALIVE)."""
LOOK_EVERY: Final = 0.25
OLD: Final = 0.2
"""Seconds after which a waiting job is worth another child; many jobs are at once."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits: how many jobs (counted up to a bound), and for how many seconds the oldest."""

    jobs: int
    age: float


class Autoscaler:
    """Decides.  ``most`` and ``least`` bound the number of jobs at once."""

    def __init__(self, most: int, least: int, *, keep_alive: float = KEEP_ALIVE) -> None:
        self.most = most
        self.least = least
        self._keep_alive = keep_alive
        self._needed: float | None = None

    def decide(self, now: float, *, size: int, busy: int, backlog: Backlog) -> int:
        """Return how many jobs to run at once, ``busy`` of ``size`` running now."""
        if size < self.least or size > self.most:
            return max(self.least, min(self.most, size))
        if backlog.jobs and (backlog.age >= OLD or backlog.jobs >= size):
            self._needed = now
            return min(self.most, max(size, busy + backlog.jobs))
        if backlog.jobs or busy >= size or self._needed is None:
            self._needed = now
        if now - self._needed < self._keep_alive:
            return size
        self._needed = now  # the next step down takes as long again
        return max(self.least, busy)
