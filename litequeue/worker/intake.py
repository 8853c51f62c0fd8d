"""What a worker claims, how much of it, and what it adds to a lease."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from litequeue.job import Lease
from litequeue.store.claim import Claim
from litequeue.worker import link as messages
from litequeue.worker.link import Manifest
from litequeue.worker.pace import Pace
from litequeue.worker.queue_choice import QueueChoice
from litequeue.worker.revoked import RevokedJobs
from litequeue.worker.slots import RING, Slots

AT_ONCE: Final = 1000
"""Leases taken per transaction: some 20 ms of the write lock."""

Limits = tuple[float | None, float | None]
"""Soft and hard time limit, in seconds."""


class Intake:
    """Decides about claims.  ``most`` is how many jobs this worker takes, None for no end."""

    def __init__(
        self, slots: Slots, queues: QueueChoice, revoked: RevokedJobs, most: int | None
    ) -> None:
        self.queues = queues
        self.left: float = math.inf if most is None else most - slots.taken
        self.pace: Pace = Pace()
        self.tasks: frozenset[str] = frozenset()
        self.untracked: frozenset[str] = frozenset()
        self._once: frozenset[str] = frozenset()
        self._limits: dict[str, Limits] = {}
        self._slots = slots
        self._revoked = revoked

    def set_manifest(self, manifest: Manifest) -> None:
        """Learn which tasks there are, and what is special about them."""
        self.tasks = frozenset(manifest.tasks)
        self.untracked = manifest.of_kind(messages.UNTRACKED)
        self._once = manifest.of_kind(messages.ONCE)
        pairs = zip(manifest.tasks, manifest.limits, strict=True)
        self._limits = {task: limits for task, limits in pairs if limits != (None, None)}

    def limit_time(self, task: str, soft: float | None, hard: float | None) -> None:
        """Give later leases of a task other limits."""
        self._limits[task] = (soft, hard)

    @property
    def limits(self) -> Mapping[str, Limits]:
        """The limits of the tasks that have any."""
        return self._limits

    def patterns(self) -> tuple[str | None, str]:
        """Return the queues that are read, and those that are not, as JSON lists of patterns."""
        return self.queues.patterns, self.queues.excluded_patterns

    def most_out(self) -> int:
        """Return how many leases may be out: those that run, and a few ahead of each child."""
        slots = self._slots
        room = slots.count + slots.processes * (self.pace.depth() - 1)
        if self._once:  # one child may run them all, and has to note each
            room = min(room, max(slots.count, RING))
        return room

    def room(self, out: int) -> int:
        """Return how many more leases to take while ``out`` are out."""
        return int(max(0, min(self.most_out() - out, AT_ONCE, self.left)))

    def claim(self, owner: int, limit: int, *, parked: bool) -> Claim:
        """Return what to ask the file for."""
        return Claim(
            owner=owner,
            limit=limit,
            tasks=self.tasks,
            queues=self.queues.patterns,
            excluded=self.queues.excluded_patterns,
            in_order=self.queues.turns(),
            parked=parked,
            once=self._once,
            revoked=self._revoked.ids,
            stamps=self._revoked.stamps,
            loaded=self._revoked.last,
        )

    def accept(self, leases: Iterable[Lease]) -> list[Lease]:
        """Take note of leases that were taken; return them with their time limits."""
        accepted = [self._limited(lease) for lease in leases]
        self._count(len(accepted))
        return accepted

    def given_back(self, count: int) -> None:
        """Take note of leases that went back unharmed."""
        self._count(-count)

    def _count(self, taken: int) -> None:
        self.left -= taken
        self._slots.taken += taken

    def _limited(self, lease: Lease) -> Lease:
        limits = self._limits.get(lease.task)
        if lease.options is not None and '"timelimit"' in lease.options:
            limits = _own_limits(lease.options, limits or (None, None))
        return lease if limits is None else replace(lease, soft=limits[0], hard=limits[1])


def _own_limits(options: str, others: Limits) -> Limits:
    """Return the limits of a call, which may have one of its own and the other of its task."""
    try:
        hard, soft = map(_seconds, json.loads(options)["timelimit"])
    # No sender of ours writes such options.
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return others
    return others[0] if soft is None else soft, others[1] if hard is None else hard


def _seconds(value: object) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return float(value) if number else None  # type: ignore[arg-type]  # it is a number
