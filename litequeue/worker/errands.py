"""Errands: the hooks of verdicts that were made without a child.

A job whose worker died too often, that came too late, or that nobody knows: the consumer decides
it, and runs no user code.  After the commit any child is sent to call the task's hooks and to send
the signals, once; whoever is killed in that moment takes the errand along.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from litequeue.job import Errand, Failure, Lease
from litequeue.store import Database, leases
from litequeue.worker.channel import Channel
from litequeue.worker.link import HOOKED, Manifest

FAILED: Final = "task_failure"
REVOKED: Final = "task_revoked"
UNKNOWN: Final = "task_unknown"
MANY: Final = 1000
"""Errands that may wait in memory, payloads and all."""


class Errands:
    """What the children have yet to tell.  Nothing is prepared for hooks that nobody has."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listens: frozenset[str] = frozenset()
        self._hooked: frozenset[str] = frozenset()
        self._due: deque[Errand] = deque()

    def set_manifest(self, manifest: Manifest) -> None:
        """Learn who wants to hear of what."""
        self._listens = frozenset(manifest.listens)
        self._hooked = manifest.of_kind(HOOKED)

    def __len__(self) -> int:
        """Return how many wait to be sent."""
        return len(self._due)

    def failed(self, given_up: Iterable[Lease], reason: str, kind: str = "WorkerLostError") -> None:
        """Tell that jobs have failed for good, because their worker was lost or killed."""
        wanted = [
            lease for lease in given_up if FAILED in self._listens or lease.task in self._hooked
        ]
        failure = Failure(kind, reason)
        self._due.extend(Errand(FAILED, lease, failure) for lease in self._complete(wanted))

    def revoked(self, seqs: Iterable[int], signum: int | None = None) -> None:
        """Tell that jobs were revoked; by a signal, those that ran."""
        if REVOKED in self._listens:
            failure = Failure("TaskRevokedError", "terminated" if signum else "revoked")
            found = leases.ended(self._database, seqs)
            self._due.extend(Errand(REVOKED, lease, failure, signum) for lease in found)

    def expired(self, seqs: Iterable[int]) -> None:
        """Tell that jobs have ended unrun: they came too late."""
        if REVOKED in self._listens:
            found = leases.ended(self._database, seqs)
            self._due.extend(Errand(REVOKED, lease) for lease in found)

    def unknown(self, parked: Iterable[Lease]) -> None:
        """Tell of jobs whose task is not known here."""
        if UNKNOWN in self._listens:
            self._due.extend(Errand(UNKNOWN, lease) for lease in parked)

    def again(self, unread: Iterable[Errand]) -> None:
        """Take back errands that no child has read, before those that are due."""
        self._due.extendleft(reversed(list(unread)))

    def are_many(self) -> bool:
        """Tell whether no more jobs should be taken until the children have caught up."""
        return len(self._due) >= MANY

    def hand_out(self, channel: Channel) -> None:
        """Send what there is room for."""
        while self._due and channel.send_errand(self._due[0]):
            self._due.popleft()

    def _complete(self, wanted: list[Lease]) -> list[Lease]:
        """Read the payloads, which a reaper does not have."""
        return leases.ended(self._database, [lease.seq for lease in wanted]) if wanted else []
