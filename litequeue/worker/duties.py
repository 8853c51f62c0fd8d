"""What the consumer does by the clock: renew its leases, bury dead workers, keep the file small."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from litequeue.clock import Clock
from litequeue.exceptions import QueueBusy
from litequeue.job import Lease
from litequeue.store import Database, Keep, jobs, maintenance, workers
from litequeue.store.jobs import Lost
from litequeue.store.wakeup import Ringer
from litequeue.store.workers import Identity, Owner
from litequeue.worker.link import Manifest
from litequeue.worker.liveness import Life, base_path, can_see, judge, kill_orphans
from litequeue.worker.slots import Slots

logger = logging.getLogger("litequeue.worker")

WATCH_EVERY: Final = 0.5
TIDY_EVERY: Final = 1.0
CHECKPOINT_EVERY: Final = 10.0
BEATS_PER_LEASE: Final = 4
WAIT: Final = 0.2
"""Seconds a duty waits for the write lock; it comes again soon."""


@dataclass(slots=True)
class Watched:
    """A worker that cannot be seen from here: its last beat, and when it was first read."""

    beats: int
    since: float


class Duties:
    """The consumer's timers.  ``changed`` is called when jobs may have become ready."""

    def __init__(
        self,
        database: Database,
        ringer: Ringer,
        identity: Identity,
        *,
        owner: int,
        clock: Clock,
        changed: Callable[[], None],
        outlawed: Callable[[], None],
    ) -> None:
        self._database = database
        self._ringer = ringer
        self._identity = identity
        self._owner = owner
        self._clock = clock
        self._changed = changed
        self._outlawed = outlawed
        self._manifest: Manifest | None = None
        self._keep = Keep(success=0.0, failure=0.0)
        self._watched: dict[int, Watched] = {}
        self._renewed = clock.boottime()
        self._watch_at = self._tidy_at = self._checkpoint_at = 0.0
        self._pruned_all = True

    def set_manifest(self, manifest: Manifest, keep: Keep) -> None:
        """Start the duties that depend on the app."""
        self._manifest = manifest
        self._keep = keep

    def run(self, now: float) -> None:
        """Do what is due at ``now`` (monotonic seconds)."""
        if self._manifest is None or now < self._watch_at:
            return
        self._watch_at = now + WATCH_EVERY
        try:
            self._renew(self._manifest.visibility_timeout)
            self._watch(self._manifest)
            if now >= self._tidy_at:
                self._tidy_at = now + TIDY_EVERY
                self._tidy(self._manifest)
            if now >= self._checkpoint_at:
                self._checkpoint_at = now + CHECKPOINT_EVERY
                self._database.checkpoint_if_written(WAIT)
                self._pruned_all = False
        except QueueBusy:
            logger.debug("a duty waits for the write lock")

    # Our own lease

    def _renew(self, visibility_timeout: float) -> None:
        """Renew all our leases by one write, well before they could be taken for abandoned."""
        now = self._clock.boottime()
        interval = visibility_timeout / BEATS_PER_LEASE
        gap = now - self._renewed
        if gap < interval:
            return
        if gap > 2 * interval:
            # The machine slept, or nobody could write: that silence of others proves nothing.
            self._watched.clear()
        renewed = workers.renew(
            self._database, self._owner, self._identity.nonce, self._clock.now(), wait=WAIT
        )
        self._renewed = now
        if not renewed:
            self._outlawed()

    # Other workers

    def _watch(self, manifest: Manifest) -> None:
        for owner in workers.owners(self._database):
            if owner.id == self._owner:
                continue
            life = judge(owner.identity)
            if life is Life.DEAD or (
                life is Life.UNSEEN and self._is_silent(owner, manifest.visibility_timeout)
            ):
                self._bury(owner, manifest.max_deliveries)

    def _is_silent(self, owner: Owner, timeout: float) -> bool:
        """Tell whether an unseen worker has not renewed for ``timeout`` of our own seconds."""
        now = self._clock.boottime()
        watched = self._watched.get(owner.id)
        if watched is None or watched.beats != owner.beats:
            self._watched[owner.id] = Watched(owner.beats, now)
            return False
        return now - watched.since > timeout

    def _bury(self, owner: Owner, max_deliveries: int) -> None:
        """End what a dead worker left running, take its leases back, forget it."""
        running = _end_processes(owner.identity, self._clock)
        held = jobs.leases_of(self._database, owner.id)
        lost = [
            Lost(
                lease=lease,
                ran=running.get(lease.seq) == lease.token,
                reason=f"worker {owner.identity.name} died while running it",
            )
            for lease in held
        ]
        given_up: Sequence[Lease] = ()
        if lost:
            given_up = jobs.reap(
                self._database,
                lost,
                now=self._clock.now(),
                keep=self._keep,
                max_deliveries=max_deliveries,
                wait=WAIT,
            )
            self._changed()
            self._ringer.ring_waiters([lease.id for lease in given_up])
        if workers.unregister(self._database, owner.id, wait=WAIT):
            remove_files(owner.identity)
        logger.warning(
            "worker %s is dead: %d job(s) taken back, %d of them given up",
            owner.identity.name, len(lost), len(given_up),
        )  # fmt: skip

    # The file

    def _tidy(self, manifest: Manifest) -> None:
        now = self._clock.now()
        if jobs.has_parked(self._database, manifest.tasks):
            jobs.unpark(self._database, manifest.tasks)
            self._changed()
        if maintenance.has_expired(self._database, now):
            until = self._keep.until("REVOKED", now)
            self._ringer.ring_waiters(maintenance.expire(self._database, now, until))
        if not self._pruned_all:
            pruned = maintenance.prune(self._database, now)
            self._pruned_all = pruned < maintenance.PRUNE_AT_ONCE
            if pruned:
                maintenance.give_back_pages(self._database)


def _end_processes(identity: Identity, clock: Clock) -> dict[int, int]:
    """End the children of a dead worker; return what they were running, as seq: token."""
    try:
        slots = Slots(base_path(identity) + ".slots")
    except (OSError, ValueError):
        return {}
    if can_see(identity):
        children = [slots.child(index) for index in range(slots.count)]
        kill_orphans(children, identity.nonce, slots.path, clock)
    return {seq: running.token for seq, running in slots.all_running().items()}


def remove_files(identity: Identity) -> None:
    """Remove what a worker that is gone left beside the file."""
    import contextlib
    import glob
    import os

    for path in glob.glob(glob.escape(base_path(identity)) + ".*"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def queues_as_json(queues: Sequence[str]) -> str | None:
    """Return the queues as the claim wants them; None for all."""
    return json.dumps(list(queues)) if queues else None
