"""What the consumer does by the clock: renew its leases, watch its neighbours, tidy the file.

An idle worker does none of it: the file is looked at again only after somebody has committed.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from typing import Final

from litequeue import states
from litequeue.clock import Clock
from litequeue.exceptions import LiteQueueError, QueueBusy
from litequeue.store import (
    Database,
    Keep,
    claim,
    events,
    mailbox,
    maintenance,
    revocations,
    workers,
)
from litequeue.store.wakeup import Ringer
from litequeue.worker.ears import LOOK_EVERY
from litequeue.worker.link import Manifest
from litequeue.worker.neighbours import WAIT, WATCH_EVERY, Neighbours

logger: Final = logging.getLogger("litequeue.worker")

CHECKPOINT_AFTER: Final = 10.0
TIDY_EVERY: Final = 30.0
"""Seconds after which the next expiry and the next prune are looked up again in any case."""
TIDY_PAUSE: Final = 0.02
"""Seconds between two portions of what is to be deleted: some 10,000 jobs a second."""
BEATS_PER_LEASE: Final = 4


class Outlawed(LiteQueueError):
    """This worker was silent for so long that another one declared it dead; start it again."""


class Duties:
    """The consumer's timers.  All moments are monotonic seconds unless they say otherwise."""

    def __init__(
        self,
        database: Database,
        ringer: Ringer,
        neighbours: Neighbours,
        *,
        owner: int,
        nonce: str,
        clock: Clock,
        found_parked: Callable[[], None],
        expired: Callable[[Iterable[int]], None],
        renewed: Callable[[], None],
        queues: Callable[[], tuple[str | None, str]],
    ) -> None:
        self._database = database
        self._ringer = ringer
        self._neighbours = neighbours
        self._owner = owner
        self._nonce = nonce
        self._clock = clock
        self._found_parked = found_parked
        self._expired = expired
        self._on_renewed = renewed
        self._queues = queues
        self._manifest: Manifest | None = None
        self._keep = Keep(success=0.0, failure=0.0)
        self._seen = -1
        self._renewed = clock.boottime()
        self._look_at = self._watch_at = self._checkpoint_at = self._tidy_at = 0.0

    def set_manifest(self, manifest: Manifest, keep: Keep) -> None:
        """Start: the duties depend on the app's settings."""
        self._manifest = manifest
        self._keep = keep

    def time_left(self, now: float, version: int) -> float:
        """Return the seconds until something is due; ``version`` changes with every commit."""
        if self._manifest is None:
            return TIDY_EVERY
        moment = min(self._tidy_at, self._checkpoint_at, now + self._renewal_due())
        if version != self._seen:
            moment = min(moment, self._look_at)
        if self._neighbours.any_unseen():
            moment = min(moment, self._watch_at)
        return max(0.0, moment - now)

    def run(self, now: float, version: int) -> None:
        """Do what is due at ``now``."""
        manifest = self._manifest
        if manifest is None:
            return
        try:
            if self._renewal_due() <= 0:
                self._renew()
            if version != self._seen and now >= self._look_at:
                self._look(manifest, now, version)
            if self._neighbours.any_unseen() and now >= self._watch_at:
                self._watch_at = now + WATCH_EVERY
                self.watch()
            if now >= self._tidy_at:
                self._tidy(manifest, now)
            if now >= self._checkpoint_at:
                self._checkpoint_at = now + TIDY_EVERY
                self._database.checkpoint_if_written(WAIT)
        except QueueBusy:
            logger.debug("a duty waits for the write lock")

    def watch(self) -> None:
        """Look at the neighbours now: one of them may have died."""
        if self._manifest is not None:
            # If we could not renew, neither could they: their silence proves nothing.
            locked = self._renewal_due() < -WATCH_EVERY - WAIT
            self._neighbours.watch(
                self._keep,
                timeout=math.inf if locked else self._manifest.visibility_timeout,
                max_deliveries=self._manifest.max_deliveries,
            )

    def _renewal_due(self) -> float:
        """Return the seconds until our leases are renewed, well before others could doubt them."""
        timeout = 60.0 if self._manifest is None else self._manifest.visibility_timeout
        return timeout / BEATS_PER_LEASE - (self._clock.boottime() - self._renewed)

    def _renew(self) -> None:
        """Renew all our leases by one write."""
        late = self._renewal_due() < -WATCH_EVERY - WAIT
        renewed = workers.renew(
            self._database, self._owner, self._nonce, self._clock.now(), wait=WAIT
        )
        self._renewed = self._clock.boottime()
        self._on_renewed()
        if late:
            self._neighbours.give_everyone_time()
        if not renewed:
            raise Outlawed

    def _look(self, manifest: Manifest, now: float, version: int) -> None:
        """Take in what others changed: new workers, jobs that we know how to run."""
        self._look_at = now + LOOK_EVERY
        self._tidy_at = min(self._tidy_at, now + LOOK_EVERY)
        self._checkpoint_at = min(self._checkpoint_at, now + CHECKPOINT_AFTER)
        self.watch()
        if claim.has_parked(self._database, manifest.tasks, *self._queues()):
            self._found_parked()
        self._seen = version

    def _tidy(self, manifest: Manifest, now: float) -> None:
        """End jobs that are too late, delete those kept long enough; plan the next time."""
        wall = self._clock.now()
        if maintenance.has_expired(self._database, wall):
            until = self._keep.until(states.REVOKED, wall)
            ended = maintenance.expire(self._database, wall, until)
            self._ringer.ring_waiters([id for id, _ in ended])
            self._expired(seq for _, seq in ended)
            self._found_parked()  # the next claim looks at what waited for them
        if maintenance.has_prunable(self._database, wall):
            maintenance.prune(self._database, wall)
            maintenance.give_back_pages(self._database)
        mailbox.prune(self._database, wall)
        revocations.prune(self._database, wall)
        events.trim(self._database, manifest.event_ring_size)
        moment = maintenance.next_moment(self._database)
        wait = TIDY_EVERY if moment is None else max(TIDY_PAUSE, moment - wall)
        self._tidy_at = now + min(wait, TIDY_EVERY)
