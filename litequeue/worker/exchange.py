"""Outcomes in, leases out: what the consumer settles and claims in one commit.

Under load a commit carries many jobs, and that is where the speed comes from.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from litequeue import states
from litequeue.clock import Clock
from litequeue.job import Lease, Outcome
from litequeue.store import Database, Keep, jobs, leases
from litequeue.store.claim import Settled
from litequeue.store.wakeup import Ringer
from litequeue.worker.accounts import Accounts
from litequeue.worker.channel import Channel
from litequeue.worker.ears import Ears
from litequeue.worker.errands import Errands
from litequeue.worker.intake import Intake
from litequeue.worker.journal import Journal
from litequeue.worker.link import Manifest
from litequeue.worker.office import Office
from litequeue.worker.revoked import RevokedJobs, signal_of
from litequeue.worker.slots import Slots
from litequeue.worker.strays import PATIENCE, Strays

logger: Final = logging.getLogger("litequeue.worker")

STALL: Final = 0.05
"""Seconds without an outcome after which unread leases are given back to the file."""
FAR_AHEAD: Final = 0.2
"""Seconds that unread leases may take to run: they were taken when jobs were shorter."""


class Exchange:
    """What is out, what has come back, and when the file is to be asked for more."""

    def __init__(
        self,
        database: Database,
        channel: Channel,
        slots: Slots,
        ringer: Ringer,
        clock: Clock,
        *,
        accounts: Accounts,
        intake: Intake,
        errands: Errands,
        revoked: RevokedJobs,
        office: Office,
    ) -> None:
        self.outcomes: list[Outcome] = []
        """Those that wait to be settled."""
        self.hungry: bool = True
        """There may be something to claim."""
        self.accounts = accounts
        self.keep: Keep = Keep(success=0.0, failure=0.0)
        self._database = database
        self._channel = channel
        self._slots = slots
        self._ringer = ringer
        self._clock = clock
        self._intake = intake
        self._errands = errands
        self._revoked = revoked
        self._office = office
        self._journal = Journal(clock)
        self.strays: Strays = Strays(
            database,
            accounts,
            channel,
            slots,
            ringer,
            self._journal,
            errands,
            clock,
            gather=self.gather,
            changed=self.look_again,
            died=office.died,
            given_back=intake.given_back,
        )
        self._parked = False
        self._next_due: float | None = None
        self._last_outcome = 0.0
        self._mark_at: float | None = None
        self._ahead = True  # perhaps of the consumer before us

    def set_manifest(self, manifest: Manifest, keep: Keep) -> None:
        """Learn what the app wants."""
        self.keep = keep
        self.strays.set_manifest(manifest, keep)
        self.hungry = True

    def look_again(self) -> None:
        """Take note that jobs may have become ready, and tell the other workers."""
        self.hungry = True
        self._ringer.ring_workers()

    def take_parked(self) -> None:
        """Take note that a job waits for a worker like us."""
        self.hungry = self._parked = True

    def is_empty(self) -> bool:
        """Tell whether nothing is under way."""
        return not (self.accounts or self.outcomes or self.strays.unsent or len(self._errands))

    def time_left(self, now: float) -> float:
        """Return the seconds until something is due that nobody tells us of."""
        wait = 60.0
        if self._next_due is not None:
            wait = min(wait, self._next_due - self._clock.now())
        if self._mark_at is not None:
            wait = min(wait, self._mark_at - now)
        if (self._ahead and len(self.accounts) > self._slots.count) or self._revoked.seeks:
            wait = min(wait, STALL)
        if self.strays.audit_at is not None:
            wait = min(wait, self.strays.audit_at - now)
        return wait

    def notice_due(self) -> None:
        """Look whether a scheduled job is due, and where one is that is to be terminated."""
        self._revoked.seek()
        if self._next_due is not None and self._next_due <= self._clock.now():
            self.hungry = True
            self._next_due = None  # the next claim says, however long there is no room for one

    # In

    def adopt(self, owner: int) -> None:
        """Enter the leases that the file says are ours, of which we may not know.

        A consumer before us took them (most of their jobs still run), or a commit of ours that
        seemed to fail.
        """
        for lease in leases.leases_of(self._database, owner):
            self.accounts.take(lease)
        # A commit that seemed to fail may have claimed again what it settled.
        self.outcomes = [o for o in self.outcomes if self.accounts.is_ours(o.seq, o.token)]
        if self.accounts:
            self.strays.audit_at = self._mark_at = self._clock.monotonic()

    def gather(self) -> list[Outcome]:
        """Read the outcomes that have arrived; return all that wait to be settled."""
        total = 0.0
        count = 0
        for told in self._channel.poll():
            lease = self.accounts.lease(told.seq, told.token)
            if lease is None:
                logger.warning("an outcome came for a lease that was lost; it is discarded")
                continue
            outcome = self._revoked.overrule(told, lease)
            self.outcomes.append(outcome)
            self._office.ended(outcome, lease)
            total += outcome.runtime
            count += 1
        if count:
            self._intake.pace.record(total, count)
            self._last_outcome = self._clock.monotonic()
        return self.outcomes

    def heed_revocations(self) -> None:
        """Act on what was revoked since the last look."""
        ended, rest = self._revoked.look(self.strays.take_back)
        self.outcomes += ended
        self.strays.unsent.extend(rest)

    # The commit

    def settle_and_claim(self, now: float, room: int, owner: int, ears: Ears) -> None:
        """Settle what has come, and take up to ``room`` leases if there may be some."""
        claims = self.hungry and room > 0
        started = self._started(now)
        events = self._office.news(started)
        if not (self.outcomes or claims or started or events):
            return
        if claims:
            ears.look()  # or the commit that rang would be news once more, after the claim
        may_claim = claims or (room > 0 and bool(self.outcomes))
        claim = self._intake.claim(owner, room, parked=self._parked) if may_claim else None
        settled = jobs.settle_and_claim(
            self._database,
            now=self._clock.now(),
            keep=self.keep,
            outcomes=self.outcomes,
            started=started,
            claim=claim,
            only_released=not claims,
            events=events,
            wait=PATIENCE,
        )
        self.accounts.mark(seq for _, _, seq, _ in started)
        self._office.told(len(events))
        if settled.claimed:
            self.hungry = settled.more
            self._parked = settled.parked_left
            self._next_due = settled.next_due
        self._after_commit(settled)

    def settle_last(self) -> None:
        """Settle what has come; claim no more."""
        if self.gather():
            self._after_commit(
                jobs.settle_and_claim(
                    self._database, now=self._clock.now(), keep=self.keep, outcomes=self.outcomes
                )
            )

    def _after_commit(self, settled: Settled) -> None:
        """Tell who waits, forget what is settled, queue what was claimed."""
        outcomes, self.outcomes = self.outcomes, []
        closed = self.accounts.close(outcomes)
        self._revoked.forget(settled.leases)
        accepted = self._intake.accept(settled.leases)
        for lease in accepted:  # first of all: what follows reads the file, and may fail
            self.accounts.take(lease)
            self.strays.unsent.append(lease)
        if outcomes or settled.ended:
            ended = [lease.id for lease in closed.values()]
            self._ringer.ring_waiters([*ended, *settled.ended])
            zombies = set(settled.zombies)
            if zombies:
                logger.warning("%d outcome(s) discarded: the lease was lost", len(zombies))
                outcomes = [outcome for outcome in outcomes if outcome.seq not in zombies]
            self._journal.settled(outcomes, closed)
            self._follow_up(outcomes)
        if settled.ready:
            self.look_again()
        if settled.parked:
            self._journal.parked(settled.parked)
            self._ringer.ring_workers()
        self._office.claimed(accepted)
        self._errands.unknown(settled.parked)
        self._office.unrun(settled.expired, expired=True)
        self._office.unrun(settled.revoked)
        self._errands.expired(settled.expired)
        self._errands.revoked(settled.revoked)

    def _follow_up(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.state == states.RETRY:
                self.hungry = True
            elif outcome.state == states.REVOKED:
                self._errands.revoked([outcome.seq], signal_of(outcome.failure))

    def _started(self, now: float) -> list[tuple[float, int, int, int]]:
        """Return what to mark as STARTED: jobs that have been running for a moment."""
        if self._mark_at is None or now < self._mark_at:
            return []
        self._mark_at = now + STALL if self.accounts.has_unmarked() else None
        return self.accounts.unmarked(self._slots, without=self._intake.untracked)

    # Out

    def hand_out(self) -> None:
        """Send what there is room for."""
        self._errands.hand_out(self._channel)
        unsent = self.strays.unsent
        while unsent:
            if not self._channel.submit(unsent[0]):
                return
            unsent.popleft()
            self._ahead = True
            if self._mark_at is None:
                self._mark_at = self._clock.monotonic() + STALL

    def unstall(self, now: float) -> None:
        """Give unread leases back while the children are busy with something longer."""
        waiting = len(self.accounts) - self._slots.count
        if waiting <= 0:
            return
        if self._ahead and self._intake.pace.time_of(waiting) > FAR_AHEAD * self._slots.count:
            self._give_back_unread()
        if now - self._last_outcome < STALL:
            return
        running = self._slots.all_running()
        if len(running) < self._slots.count:
            return
        oldest = min(run.started for run in running.values())
        self._intake.pace.slow_down(max(STALL, self._clock.now() - oldest))
        self._give_back_unread()

    def _give_back_unread(self) -> None:
        self._ahead = False
        self.strays.give_back(self.strays.take_back())

    def drain(self, *, abandoned: bool) -> bool:
        """Give back what no child runs, or all if they are gone; tell whether nothing is left."""
        unread: Sequence[Lease] = self.strays.take_back()
        self.strays.give_back(self.accounts if abandoned else unread)
        self._errands.hand_out(self._channel)  # children read all before they leave
        return not self.accounts and not self.outcomes
