"""The other workers of the file: notice their deaths, and bury them.

The death of one that can be seen is told by the kernel (a pidfd), without looking; one that
cannot be seen is looked at by its lock and its beats.
"""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import select
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from litequeue.clock import Clock
from litequeue.job import Lease
from litequeue.store import Database, Keep, leases, workers
from litequeue.store.leases import Lost
from litequeue.store.wakeup import Ringer
from litequeue.store.workers import Identity, Owner
from litequeue.worker.journal import safe
from litequeue.worker.liveness import Life, base_path, booted_here, can_see, judge, kill_orphans
from litequeue.worker.slots import Slots

logger: Final = logging.getLogger("litequeue.worker")

WATCH_EVERY: Final = 0.5
"""Seconds between two looks at a worker whose death the kernel does not tell."""
SLEPT: Final = 5.0
"""Seconds between two looks after which nobody's silence counts: we were not there to hear."""
WAIT: Final = 0.2
"""Seconds to wait for the write lock; the funeral is tried again soon."""


@dataclass(slots=True)
class Neighbour:
    """Another worker: a descriptor that tells its death, or the beat that was last seen."""

    owner: Owner
    pidfd: int
    silent_since: float


class Neighbours:
    """Watches the other workers.  ``changed`` is called when jobs became ready again, and
    ``given_up`` with those that did not, and the reason.
    """

    def __init__(
        self,
        database: Database,
        ringer: Ringer,
        *,
        owner: int,
        poll: select.poll,
        clock: Clock,
        changed: Callable[[], None],
        given_up: Callable[[Sequence[Lease], str], None],
    ) -> None:
        self._database = database
        self._ringer = ringer
        self._owner = owner
        self._poll = poll
        self._clock = clock
        self._changed = changed
        self._given_up = given_up
        self._known: dict[int, Neighbour] = {}
        self._watched = 0.0

    def _meet(self) -> None:
        """Read who is there, and how they do."""
        present = {
            owner.id: owner for owner in workers.owners(self._database) if owner.id != self._owner
        }
        for id in self._known.keys() - present.keys():
            self._forget(id)
        for id, owner in present.items():
            self._note(id, owner)

    def any_unseen(self) -> bool:
        """Tell whether somebody's death would not be told by the kernel."""
        return any(neighbour.pidfd < 0 for neighbour in self._known.values())

    def watch(self, keep: Keep, *, timeout: float, max_deliveries: int) -> None:
        """Bury the dead, and who cannot be seen and was silent for ``timeout`` seconds."""
        self._meet()
        now = self._clock.boottime()
        if now - self._watched > SLEPT:
            self.give_everyone_time()
        self._watched = now
        for id, neighbour in list(self._known.items()):
            life = judge(neighbour.owner.identity)
            silent = now - neighbour.silent_since > timeout
            dead = life is Life.DEAD or (life is Life.UNSEEN and silent)
            if dead and self._bury(neighbour.owner, life, keep, max_deliveries):
                self._forget(id)

    def give_everyone_time(self) -> None:
        """We slept, or saw nobody to watch: the silence of others proves nothing."""
        for neighbour in self._known.values():
            neighbour.silent_since = self._clock.boottime()

    def _note(self, id: int, owner: Owner) -> None:
        known = self._known.get(id)
        if known is None:
            pidfd = _pidfd(owner.identity)
            if pidfd >= 0:
                self._poll.register(pidfd, select.POLLIN)
            self._known[id] = Neighbour(owner, pidfd, self._clock.boottime())
        elif known.owner.beats != owner.beats:
            known.owner = owner
            known.silent_since = self._clock.boottime()

    def _forget(self, id: int) -> None:
        neighbour = self._known.pop(id)
        if neighbour.pidfd >= 0:
            self._poll.unregister(neighbour.pidfd)
            os.close(neighbour.pidfd)

    def _bury(self, owner: Owner, life: Life, keep: Keep, max_deliveries: int) -> bool:
        """End what a dead worker left running, take its leases back, remove its traces.

        False when somebody else is at it, or it was not so dead: look again.
        """
        begun = _end_processes(owner.identity, self._clock)
        lost = [
            Lost(
                lease=lease,
                ran=_ran(lease, begun, sure=life is Life.DEAD),
                reason=f"worker {owner.identity.name} died while running it",
            )
            for lease in leases.leases_of(self._database, owner.id)
        ]
        given_up = []
        if lost:
            given_up = leases.reap(
                self._database,
                lost,
                now=self._clock.now(),
                keep=keep,
                max_deliveries=max_deliveries,
                wait=WAIT,
            )
            self._changed()
            self._ringer.ring_waiters([lease.id for lease in given_up])
            self._given_up(given_up, lost[0].reason)
        if leases.leases_of(self._database, owner.id):
            return False
        if workers.unregister(self._database, owner.id, wait=WAIT):
            remove_files(owner.identity)
            logger.warning(
                "worker %s is dead: %d job(s) taken back, %d of them given up",
                safe(owner.identity.name), len(lost), len(given_up),
            )  # fmt: skip
        return True


def _pidfd(identity: Identity) -> int:
    """Open a descriptor that is readable once the supervisor is dead; -1 where there is none."""
    if not hasattr(os, "pidfd_open") or not can_see(identity):
        return -1
    try:
        return os.pidfd_open(identity.pid)
    except (OSError, OverflowError):
        return -1


def _ran(lease: Lease, begun: set[int] | None, *, sure: bool) -> bool:
    """Tell whether a lease had begun; where nobody can know, it is as its task prefers.

    Only of a worker that is surely dead can it be said that it will not begin any more.
    """
    if lease.once and (begun is None or not sure):
        return True
    return begun is not None and lease.token in begun


def _end_processes(identity: Identity, clock: Clock) -> set[int] | None:
    """End the children of a dead worker; return the tokens of what they had begun.

    None when its slots are gone, or their last lines with the power: then nobody knows.
    """
    if not booted_here(identity):
        return None
    try:
        slots = Slots(base_path(identity) + ".slots")
    except (OSError, ValueError):
        return None
    if can_see(identity):
        kill_orphans(slots.all_children(), identity.nonce, slots.path, clock)
    return slots.begun() | {running.token for running in slots.all_running().values()}


def remove_files(identity: Identity) -> None:
    """Remove what a worker that is gone left beside the file."""
    for path in glob.glob(glob.escape(base_path(identity)) + ".*"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
