"""The consumer: the worker's only user of the file.  It never forks and never runs user code.

One loop: gather outcomes, settle them and claim anew in one transaction, hand the leases out.
Under load a transaction carries many jobs, and that is where the speed comes from.
"""

from __future__ import annotations

import logging
import select
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from litequeue import states
from litequeue.clock import Clock
from litequeue.config import Settings
from litequeue.exceptions import QueueBusy, QueueFull, StoreError
from litequeue.facts import AppFacts, TaskFacts
from litequeue.job import Lease, Outcome
from litequeue.store import Database, Keep, jobs, leases, registry, workers
from litequeue.store.claim import Settled
from litequeue.store.errors import IOFailure
from litequeue.store.wakeup import NET, Ringer
from litequeue.store.workers import Identity
from litequeue.worker import link as messages
from litequeue.worker.accounts import Accounts
from litequeue.worker.channel import Channel
from litequeue.worker.duties import Duties, Outlawed
from litequeue.worker.ears import Ears
from litequeue.worker.errands import Errands
from litequeue.worker.intake import Intake
from litequeue.worker.journal import Journal
from litequeue.worker.link import Death, Link, Manifest
from litequeue.worker.neighbours import Neighbours
from litequeue.worker.office import Office
from litequeue.worker.orphaned import bury_supervisor
from litequeue.worker.queue_choice import QueueChoice
from litequeue.worker.revoked import RevokedJobs
from litequeue.worker.slots import Slots
from litequeue.worker.strays import PATIENCE, Strays
from litequeue.worker.time_limits import Alarm

logger: Final = logging.getLogger("litequeue.worker")

PASSING: Final = (QueueBusy, QueueFull, IOFailure)
"""What may be over soon; everything is kept in memory meanwhile."""
STALL: Final = 0.05
"""Seconds without an outcome after which unread leases are given back to the file."""
BACK_OFF: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerOptions:
    """What the supervisor tells before it forks.

    ``burst``: be done when nothing is left; ``max_jobs``: or after so many.
    """

    path: str
    settings: Settings
    identity: Identity
    queues: QueueChoice = field(default_factory=QueueChoice)
    burst: bool = False
    max_jobs: int | None = None


class Consumer:
    """The loop between the file and the children."""

    def __init__(
        self,
        options: ConsumerOptions,
        link: Link,
        channel: Channel,
        slots: Slots,
        alarm: Alarm,
        clock: Clock,
    ) -> None:
        self.options = options
        self.link = link
        self.slots = slots
        self.clock = clock
        self._channel = channel
        settings = options.settings
        self.database: Database = Database(
            options.path,
            durability=settings.durability,
            busy_timeout=settings.queue_busy_timeout,
            create=True,
            clock=clock,
        )
        self.database.while_waiting = slots.beat
        self.keep: Keep = Keep(
            success=settings.result_expires, failure=settings.result_failure_expires
        )
        self.owner: int = 0
        self.manifest: Manifest | None = None
        self.hungry: bool = True
        self.stopping: bool = False
        self.outcomes: list[Outcome] = []
        """Those that wait to be settled."""
        self.accounts: Accounts = Accounts()
        self.ringer: Ringer = Ringer(options.path, clock)
        self.journal: Journal = Journal(clock)
        self.errands: Errands = Errands(self.database)
        self.revoked: RevokedJobs = RevokedJobs(self.database, self.accounts, slots, alarm, clock)
        self.intake: Intake = Intake(slots, options.queues, self.revoked, options.max_jobs)
        self.strays: Strays = Strays(
            self.database,
            self.accounts,
            channel,
            slots,
            self.ringer,
            self.journal,
            self.errands,
            clock,
            gather=self.gather_outcomes,
            changed=self._look_again,
            given_back=self.intake.given_back,
        )
        self._leaving = False
        self._must_adopt = False
        self._parked = False
        self._abandoned = False
        self._next_due: float | None = None
        self._last_outcome = 0.0
        self._mark_at: float | None = None
        self._told: set[str] = set()
        self._poll = select.poll()

    @property
    def identity(self) -> Identity:
        """Who this worker is."""
        return self.options.identity

    # Life

    def run(self) -> None:
        """Work until told to leave, or until the supervisor is gone."""
        try:
            self._open()
            while not self._leaving:
                self._step()
        except EOFError:
            bury_supervisor(self)
        except Outlawed as error:
            self.link.send(messages.FATAL, 1, str(error))
            self._wait_for_orders()
        except StoreError as error:
            self.link.send(messages.FATAL, 3, str(error))
            self._wait_for_orders()
        finally:
            self._close()

    def _open(self) -> None:
        self._register()
        self._ears = Ears(self.database, self.options.identity.nonce, self._poll, self.clock)
        for source in (self.link.socket, self._channel.outcomes_out):
            self._poll.register(source, select.POLLIN)
        self._office = Office(
            self.options.identity,
            database=self.database,
            accounts=self.accounts,
            intake=self.intake,
            revoked=self.revoked,
            slots=self.slots,
            link=self.link,
            ringer=self.ringer,
            clock=self.clock,
        )
        self._must_adopt = True
        self.link.send(messages.OPENED)

    def _register(self) -> None:
        """Enter the worker into the file, however long others keep it locked."""
        while not self.owner:
            try:
                self.owner = workers.register(
                    self.database, self.options.identity, self.clock.now()
                )
            except PASSING as error:
                if self.link.is_cut():
                    raise EOFError from None
                self._endure(error)
        self._duties = Duties(
            self.database,
            self.ringer,
            Neighbours(
                self.database,
                self.ringer,
                owner=self.owner,
                poll=self._poll,
                clock=self.clock,
                changed=self._look_again,
                given_up=self.errands.failed,
            ),
            owner=self.owner,
            nonce=self.options.identity.nonce,
            clock=self.clock,
            found_parked=self._take_parked,
            expired=self.errands.expired,
        )

    def _look_again(self) -> None:
        self.hungry = True
        self.ringer.ring_workers()

    def _take_parked(self) -> None:
        self.hungry = self._parked = True

    def _adopt(self) -> None:
        """Enter the leases that the file says are ours, of which we may not know.

        A consumer before us took them (most of their jobs still run), or a commit of ours that
        seemed to fail.
        """
        for lease in leases.leases_of(self.database, self.owner):
            self.accounts.take(lease)
        self._must_adopt = False
        # A commit that seemed to fail may have claimed again what it settled.
        self.outcomes = [o for o in self.outcomes if self.accounts.is_ours(o.seq, o.token)]
        if self.accounts:
            self.strays.audit_at = self._mark_at = self.clock.monotonic()

    def _close(self) -> None:
        if hasattr(self, "_ears"):  # as far as opening got
            self._ears.close()
        self.database.close()

    # The loop

    def _step(self) -> None:
        self.slots.beat()
        try:
            if self._must_adopt:  # before outcomes of these leases are read
                self._adopt()
            self._gather(self._sleep_time())
            now = self.clock.monotonic()
            self.hungry |= self._ears.look_now_and_then()
            if self.manifest is not None and self._ears.has_post():
                self._read_post()
            self.strays.settle_deaths(self.outcomes, self.link)
            self.strays.audit(now)
            self._settle_and_claim(now)
            if not self.stopping:
                self._hand_out()
            self._unstall(now)
            self._duties.run(now, self._ears.version)
            self._office.run(now)
            if self.options.burst or self.intake.left <= 0:
                self._stop_when_done()
            if self.stopping:
                self._drain()
        except PASSING as error:
            self._endure(error)

    def _endure(self, error: StoreError) -> None:
        """Keep everything in memory and try again: nothing has been lost yet."""
        if isinstance(error, IOFailure):
            self.database.forget_connections()
            self._must_adopt = bool(self.owner)
        if not isinstance(error, QueueBusy):
            logger.error("%s; trying again", error)
            self.clock.sleep(BACK_OFF)
        self.hungry = True

    def room(self) -> int:
        """Return how many more leases to take."""
        if self.stopping or self.manifest is None or self.errands.are_many():
            return 0
        return self.intake.room(len(self.accounts) - len(self.outcomes))

    def _sleep_time(self) -> float:
        """Return how long to sleep; 0 when there is something to do."""
        if self.outcomes or self.strays.deaths:
            return 0.0
        now = self.clock.monotonic()
        wait = self._ears.longest_sleep()
        if self.room() > 0:
            self.hungry = self.hungry or self._ears.ask_to_be_rung()
            if self.hungry:
                return 0.0
            if self._next_due is not None:
                wait = min(wait, self._next_due - self.clock.now())
        wait = min(
            wait, self._duties.time_left(now, self._ears.version), self._office.time_left(now)
        )
        if self._mark_at is not None:
            wait = min(wait, self._mark_at - now)
        if len(self.accounts) > self.slots.count:
            wait = min(wait, STALL)
        if self.strays.audit_at is not None:
            wait = min(wait, self.strays.audit_at - now)
        return max(0.0, wait)

    def _gather(self, timeout: float) -> None:
        """Read everything that has arrived."""
        ready = [fd for fd, _ in self._poll.poll(timeout * 1000)]
        self._ears.wake()
        for fd in ready:
            if fd == self.link.socket.fileno():
                for message in self.link.receive():
                    self._obey(*message)
            elif self._ears.rings(fd):
                self.hungry = True
            elif not self._ears.stirs(fd) and fd != self._channel.outcomes_out.fileno():
                self._duties.watch()  # a neighbour died
        if self._next_due is not None and self._next_due <= self.clock.now():
            self.hungry = True
        self.gather_outcomes()

    def gather_outcomes(self) -> list[Outcome]:
        """Read the outcomes that have arrived; return all that wait to be settled."""
        total = 0.0
        count = 0
        for outcome in self._channel.poll():
            lease = self.accounts.lease(outcome.seq, outcome.token)
            if lease is None:
                logger.warning("an outcome came for a lease that was lost; it is discarded")
                continue
            outcome = self.revoked.overrule(outcome, lease)
            self.outcomes.append(outcome)
            self._office.ended(outcome, lease)
            total += outcome.runtime
            count += 1
        if count:
            self.intake.pace.record(total, count)
            self._last_outcome = self.clock.monotonic()
        return self.outcomes

    def _read_post(self) -> None:
        """Act on revocations and commands: somebody has left some."""
        ended, rest = self.revoked.look(self.strays.take_back)
        self.outcomes += ended
        self.strays.unsent.extend(rest)
        self._office.read_commands()

    def _settle_and_claim(self, now: float) -> None:
        room = self.room()
        claims = self.hungry and room > 0
        started = self._started(now)
        events = self._office.news(started)
        if not (self.outcomes or claims or started or events):
            return
        if claims:
            self._ears.look()  # or the commit that rang would be news once more, after the claim
        claim = self.intake.claim(self.owner, room, parked=self._parked) if claims else None
        settled = jobs.settle_and_claim(
            self.database,
            now=self.clock.now(),
            keep=self.keep,
            outcomes=self.outcomes,
            started=started,
            claim=claim,
            events=events,
            wait=PATIENCE,
        )
        self.accounts.mark(seq for _, _, seq, _ in started)
        self._office.told(len(events))
        if claims:
            self.hungry = settled.more
            self._parked = settled.parked_left
            self._next_due = settled.next_due
        self.after_commit(settled)

    def after_commit(self, settled: Settled) -> None:
        """Tell who waits, forget what is settled, queue what was claimed."""
        outcomes, self.outcomes = self.outcomes, []
        if outcomes or settled.ended:
            closed = self.accounts.close(outcomes)
            ended = [lease.id for lease in closed.values()]
            self.ringer.ring_waiters([*ended, *settled.ended])
            zombies = set(settled.zombies)
            if zombies:
                logger.warning("%d outcome(s) discarded: the lease was lost", len(zombies))
                outcomes = [outcome for outcome in outcomes if outcome.seq not in zombies]
            self.journal.settled(outcomes, closed)
            self._follow_up(outcomes, closed)
        if settled.parked:
            self.journal.parked(settled.parked)
            self.ringer.ring_workers()
        accepted = self.intake.accept(settled.leases)
        for lease in accepted:
            self.accounts.take(lease)
            self.strays.unsent.append(lease)
        self._office.claimed(accepted)
        self.errands.unknown(settled.parked)
        self.errands.expired(settled.expired)
        self.errands.revoked(settled.revoked)

    def _follow_up(self, outcomes: Sequence[Outcome], closed: dict[int, Lease]) -> None:
        for outcome in outcomes:
            if outcome.state == states.RETRY:
                self.hungry = True
            elif outcome.state == states.REVOKED:
                self.errands.revoked([closed[outcome.seq].seq])

    def _started(self, now: float) -> list[tuple[float, int, int, int]]:
        """Return what to mark as STARTED: jobs that have been running for a moment."""
        if self._mark_at is None or now < self._mark_at:
            return []
        self._mark_at = now + STALL if self.accounts.has_unmarked() else None
        return self.accounts.unmarked(self.slots, without=self.intake.untracked)

    def _hand_out(self) -> None:
        self.errands.hand_out(self._channel)
        unsent = self.strays.unsent
        while unsent:
            if not self._channel.submit(unsent[0]):
                return
            unsent.popleft()
            if self._mark_at is None:
                self._mark_at = self.clock.monotonic() + STALL

    def _unstall(self, now: float) -> None:
        """Give unread leases back while the children are busy with something longer."""
        waiting = len(self.accounts) - self.slots.count
        if waiting <= 0 or now - self._last_outcome < STALL:
            return
        running = self.slots.all_running()
        if len(running) < self.slots.count:
            return
        oldest = min(run.started for run in running.values())
        self.intake.pace.slow_down(max(STALL, self.clock.now() - oldest))
        self.strays.give_back(self.strays.take_back())

    # Orders

    def _obey(self, kind: str, *fields: Any) -> None:
        if kind == messages.MANIFEST:
            self._learn(Manifest(*fields))
        elif kind == messages.APP:
            self._remember(*fields)
        elif kind == messages.DIED:
            number, *death = fields
            self.strays.deaths.append((number, Death(*death)))
            self.gather_outcomes()
        elif kind == messages.NUDGE:
            self._channel.nudge(self.slots.count + 1)
        elif kind == messages.STOP:
            self.stopping = True
        elif kind == messages.RELEASE:
            self.stopping = self._abandoned = True
        elif kind == messages.EXIT:
            self._leaving = True
            self._office.leave()
            self.unregister()

    def _learn(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.slots.remap()
        self.keep = Keep(success=manifest.result_expires, failure=manifest.result_failure_expires)
        self.database.set_durability(manifest.durability)
        self.intake.set_manifest(manifest)
        self.errands.set_manifest(manifest)
        self._duties.set_manifest(manifest, self.keep)
        self.strays.set_manifest(manifest, self.keep)
        self._office.set_manifest(manifest)
        self._read_post()  # what was revoked before we came
        self.hungry = True

    def _remember(self, name: str | None, root: str, tasks: list[tuple[Any, ...]]) -> None:
        """Note in the file which app this worker runs, for people and for the next command."""
        app = AppFacts(name=name, root=root, tasks=[TaskFacts(*task) for task in tasks])
        try:
            registry.introduce(self.database, app, self.clock.now(), wait=PATIENCE)
        except PASSING as error:
            logger.warning("the file does not remember the app, as a hint: %s", error)

    def tell_once(self, kind: str) -> None:
        """Tell the supervisor something that is true from now on."""
        if kind not in self._told:
            self._told.add(kind)
            self.link.send(kind)

    def _stop_when_done(self) -> None:
        """Tell the supervisor when nothing is under way, and nothing was left at the last look."""
        busy = self.accounts or self.outcomes or self.strays.unsent or len(self.errands)
        empty = not self.hungry or self.intake.left <= 0
        if not busy and empty and self.manifest is not None:
            self.tell_once(messages.DONE)

    def _drain(self) -> None:
        """Give back what no child runs; tell the supervisor once nothing is left."""
        unread = self.strays.take_back()
        self.strays.give_back(self.accounts if self._abandoned else unread)
        self.errands.hand_out(self._channel)  # children read all before they leave
        if not self.accounts and not self.outcomes:
            self.tell_once(messages.DRAINED)

    def unregister(self) -> None:
        """Take this worker out of the file."""
        try:
            workers.unregister(self.database, self.owner, wait=PATIENCE)
        except StoreError as error:
            logger.warning("the worker's row stays until another worker starts: %s", error)

    def _wait_for_orders(self) -> None:
        """Keep the link open until the supervisor has ended the children."""
        waiting = select.poll()
        waiting.register(self.link.socket, select.POLLIN)
        try:
            while True:
                self.slots.beat()
                waiting.poll(NET * 1000)
                if any(kind == messages.EXIT for kind, *_ in self.link.receive()):
                    return
        except EOFError:
            return
