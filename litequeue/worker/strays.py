"""Leases that no child runs: unread ones, those of dead children, and those that are missing.

They go back to the file unharmed, or are reaped.  What was acknowledged before it ran and has
begun is never given back: it would begin twice.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from litequeue import states
from litequeue.clock import Clock
from litequeue.exceptions import StoreError
from litequeue.job import Errand, Failure, Lease, Outcome
from litequeue.store import Database, Keep, leases
from litequeue.store.leases import Lost
from litequeue.store.wakeup import Ringer
from litequeue.worker import evidence
from litequeue.worker import link as messages
from litequeue.worker.accounts import Accounts
from litequeue.worker.channel import Channel
from litequeue.worker.errands import Errands
from litequeue.worker.journal import Journal
from litequeue.worker.link import Death, Link, Manifest
from litequeue.worker.slots import Slots

logger: Final = logging.getLogger("litequeue.worker")

TIME_LIMIT: Final = "time_limit"
PATIENCE: Final = 0.5
"""Seconds to wait for the write lock before looking at everything else again."""


class Strays:
    """What of the ``accounts`` is not with a child that runs it.

    ``gather`` reads the outcomes that have arrived and returns all that wait to be settled;
    ``changed`` is called when jobs may have become ready, ``given_back`` with how many leases
    went back unharmed.
    """

    def __init__(
        self,
        database: Database,
        accounts: Accounts,
        channel: Channel,
        slots: Slots,
        ringer: Ringer,
        journal: Journal,
        errands: Errands,
        clock: Clock,
        *,
        gather: Callable[[], Sequence[Outcome]],
        changed: Callable[[], None],
        died: Callable[[Sequence[Lost], Sequence[Lease], int | None], None],
        given_back: Callable[[int], None],
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._channel = channel
        self._slots = slots
        self._ringer = ringer
        self._journal = journal
        self._errands = errands
        self._clock = clock
        self._gather = gather
        self._changed = changed
        self._died = died
        self._given_back = given_back
        self.unsent: deque[Lease] = deque()
        """Leases on their way to a child, for which the socket has no room yet."""
        self.deaths: deque[tuple[int, Death]] = deque()
        self.audit_at: float | None = None
        self._keep = Keep(success=0.0, failure=0.0)
        self._max_deliveries = 3
        self._fragile: frozenset[str] = frozenset()

    def set_manifest(self, manifest: Manifest, keep: Keep) -> None:
        """Learn how the app wants lost jobs to be treated."""
        self._keep = keep
        self._max_deliveries = manifest.max_deliveries
        self._fragile = manifest.of_kind(messages.FRAGILE)

    def audit_soon(self) -> None:
        """Look for missing leases at the next step."""
        self.audit_at = self._clock.monotonic()

    def take_back(self) -> list[Lease]:
        """Take the leases back that no child has read; errands among them are sent again."""
        unread = [*self._channel.take_back(), *self.unsent]
        self.unsent.clear()
        self._errands.again(each for each in unread if isinstance(each, Errand))
        return [
            lease
            for lease in unread
            if isinstance(lease, Lease) and self._accounts.is_ours(lease.seq, lease.token)
        ]

    def give_back(self, unharmed: Iterable[Lease]) -> None:
        """Release leases, unharmed and uncounted; not those that must not begin twice."""
        given = list(unharmed)
        if any(lease.once for lease in given):
            given = self._give_up_begun(given)
        held = [(lease.seq, lease.token) for lease in given]
        if not held:
            return
        try:
            leases.release(self._database, held, wait=PATIENCE)
        except StoreError:
            self.audit_soon()  # the audit finds them and tries again
            raise
        for seq, _ in held:
            self._accounts.drop(seq)
        self._given_back(len(held))
        self._changed()

    def _give_up_begun(self, given: list[Lease]) -> list[Lease]:
        """End what had begun, acknowledged, and brought no verdict; return the others."""
        begun = self._slots.begun()
        lost = [lease for lease in given if lease.once and lease.token in begun]
        if lost:
            self.audit_soon()  # if this fails, the audit finds them again
            reason = "it was stopped, or its verdict was lost with a process"
            self.reap([Lost(lease=lease, ran=True, reason=reason) for lease in lost])
        return [lease for lease in given if lease not in lost]

    def settle_deaths(self, outcomes: Sequence[Outcome], link: Link) -> None:
        """Settle the jobs of dead children: their outcomes were read first."""
        while self.deaths:
            number, death = self.deaths[0]
            for seq, token, started in death.runs:
                lease = self._accounts.find(seq, token, without=outcomes)
                if lease is not None:
                    self._settle_death(death, lease, started)
            self.deaths.popleft()
            link.send(messages.ACKNOWLEDGED, number)
            self.audit_soon()

    def _settle_death(self, death: Death, lease: Lease, started: float) -> None:
        """Settle one job that a dead child ran."""
        if death.sentence and lease.token == death.sentenced:
            self._carry_out(death, lease, started)
        elif death.blame:
            lost = Lost(
                lease=lease, ran=True, reason=death.reason, evidence=death.evidence,
                started=started,
            )  # fmt: skip
            self.reap([lost])
        else:
            self.give_back([lease])

    def _carry_out(self, death: Death, lease: Lease, started: float) -> None:
        """End a job for whose sake its child was killed."""
        if death.sentence == TIME_LIMIT:
            limit = "" if lease.hard is None else f" of {lease.hard:g} s"  # or it was adopted
            words = f"the job ran longer than its time limit{limit}"
            state, failure = states.FAILURE, Failure("TimeLimitExceeded", words)
        else:
            words = f"terminated by {evidence.signal_name(int(death.detail))}"
            state, failure = states.REVOKED, Failure("TaskRevokedError", words)
        lost = Lost(
            lease=lease,
            ran=True,
            reason=words,
            evidence=death.evidence,
            verdict=(state, failure),
            started=started,
        )
        signum = None if death.sentence == TIME_LIMIT else int(death.detail)
        ended = self._end([lost], frozenset(), signum)
        level = logging.ERROR if death.sentence == TIME_LIMIT else logging.WARNING
        self._journal.event(lease, level, f"{words}; its child was killed")
        if death.sentence == TIME_LIMIT:
            self._errands.failed(ended, words, failure.type)
        else:
            self._errands.revoked([each.seq for each in ended], int(death.detail))

    def reap(self, lost: list[Lost], *, with_worker: bool = False) -> None:
        """Take leases back from the dead; ``with_worker`` when not only a child of it died."""
        given_up = self._end(lost, frozenset() if with_worker else self._fragile)
        poison = {lease.seq for lease in given_up}
        for item in lost:
            words = "given up" if item.lease.seq in poison else "it runs again"
            told = evidence.summary(item.evidence)
            about = f" ({told})" if told else ""
            self._journal.event(item.lease, logging.ERROR, f"{item.reason}{about}; {words}")
        self._errands.failed(given_up, lost[0].reason)

    def _end(
        self, lost: list[Lost], fragile: frozenset[str], signum: int | None = None
    ) -> list[Lease]:
        """Write what becomes of lost leases; return those of jobs that have ended."""
        ended = leases.reap(
            self._database,
            lost,
            now=self._clock.now(),
            keep=self._keep,
            max_deliveries=self._max_deliveries,
            fragile=fragile,
            wait=PATIENCE,
        )
        for item in lost:
            self._accounts.drop(item.lease.seq)
        self._ringer.ring_waiters([lease.id for lease in ended])
        self._died(lost, ended, signum)
        self._changed()
        return ended

    def audit(self, now: float) -> None:
        """Find leases that went down with a process, between its reading and its slot."""
        if self.audit_at is None or now < self.audit_at:
            return
        self.audit_at = None
        unread = self.take_back()
        outcomes = self._gather()
        missing = self._accounts.missing(self._slots, unread, outcomes)
        self.unsent.extend(unread)
        if self._accounts.has_suspects():
            self.audit_at = now + self._accounts.AUDIT_DELAY
        if missing:
            logger.info("%d lease(s) went down with a process unstarted", len(missing))
            self.give_back(missing)
