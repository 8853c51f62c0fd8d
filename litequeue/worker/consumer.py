"""The consumer: the worker's only user of the file.  It never forks and never runs user code.

One loop: gather outcomes, settle them and claim anew in one transaction, hand the leases out.
Under load a transaction carries many jobs, and that is where the speed comes from.
"""

from __future__ import annotations

import logging
import select
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from litequeue import states
from litequeue.clock import Clock
from litequeue.config import Settings
from litequeue.exceptions import QueueBusy, QueueFull, StoreError
from litequeue.facts import AppFacts, TaskFacts
from litequeue.job import Lease, Outcome
from litequeue.store import Database, Keep, jobs, leases, registry, workers
from litequeue.store.claim import Claim, Settled
from litequeue.store.errors import IOFailure
from litequeue.store.leases import Lost
from litequeue.store.wakeup import NET, Ringer
from litequeue.store.workers import Identity
from litequeue.worker import link as messages
from litequeue.worker.accounts import Accounts
from litequeue.worker.channel import Channel
from litequeue.worker.duties import Duties, Outlawed
from litequeue.worker.ears import Ears
from litequeue.worker.errands import Errands
from litequeue.worker.journal import Journal
from litequeue.worker.link import Death, Link, Manifest
from litequeue.worker.liveness import kill_orphans
from litequeue.worker.neighbours import Neighbours, remove_files
from litequeue.worker.pace import Pace
from litequeue.worker.slots import Slots

logger: Final = logging.getLogger("litequeue.worker")

PASSING: Final = (QueueBusy, QueueFull, IOFailure)
"""What may be over soon; everything is kept in memory meanwhile."""
STALL: Final = 0.05
"""Seconds without an outcome after which unread leases are given back to the file."""
PATIENCE: Final = 0.5
"""Seconds to wait for the write lock before looking at everything else again."""
BACK_OFF: Final = 0.5
LAST_WORDS: Final = 30.0
"""Seconds to keep trying to give leases back when the supervisor is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerOptions:
    """What the supervisor tells before it forks.  ``queues`` is JSON text, None for all."""

    path: str
    settings: Settings
    identity: Identity
    queues: str | None


class Consumer:
    """The loop between the file and the children."""

    def __init__(
        self, options: ConsumerOptions, link: Link, channel: Channel, slots: Slots, clock: Clock
    ) -> None:
        self._options = options
        self._link = link
        self._channel = channel
        self._slots = slots
        self._clock = clock
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
        self._leaving = False
        self._must_adopt = False
        self._parked = False
        self._abandoned = False
        self._tasks: frozenset[str] = frozenset()
        self._once: frozenset[str] = frozenset()
        self._fragile: frozenset[str] = frozenset()
        self._untracked: frozenset[str] = frozenset()
        self._accounts = Accounts()
        self._unsent: deque[Lease] = deque()
        self._outcomes: list[Outcome] = []
        self._deaths: deque[tuple[int, Death]] = deque()
        self._pace = Pace()
        self._journal = Journal(clock)
        self._errands = Errands(self.database)
        self._ringer = Ringer(options.path, clock)
        self._next_due: float | None = None
        self._last_outcome = 0.0
        self._audit_at: float | None = None
        self._mark_at: float | None = None
        self._drained_told = False
        self._poll = select.poll()

    # Life

    def run(self) -> None:
        """Work until told to leave, or until the supervisor is gone."""
        try:
            self._open()
            while not self._leaving:
                self._step()
        except EOFError:
            self._survive_supervisor()
        except Outlawed as error:
            self._link.send(messages.FATAL, 1, str(error))
            self._wait_for_orders()
        except StoreError as error:
            self._link.send(messages.FATAL, 3, str(error))
            self._wait_for_orders()
        finally:
            self._close()

    def _open(self) -> None:
        self._register()
        self._ears = Ears(self.database, self._options.identity.nonce, self._poll, self._clock)
        for source in (self._link.socket, self._channel.outcomes_out):
            self._poll.register(source, select.POLLIN)
        self._must_adopt = True
        self._link.send(messages.OPENED)

    def _register(self) -> None:
        """Enter the worker into the file, however long others keep it locked."""
        while not self.owner:
            try:
                self.owner = workers.register(
                    self.database, self._options.identity, self._clock.now()
                )
            except PASSING as error:
                if self._link.is_cut():
                    raise EOFError from None
                self._endure(error)
        self._duties = Duties(
            self.database,
            self._ringer,
            Neighbours(
                self.database,
                self._ringer,
                owner=self.owner,
                poll=self._poll,
                clock=self._clock,
                changed=self._look_again,
                given_up=self._errands.failed,
            ),
            owner=self.owner,
            nonce=self._options.identity.nonce,
            clock=self._clock,
            found_parked=self._take_parked,
            expired=self._errands.expired,
        )

    def _look_again(self) -> None:
        self.hungry = True
        self._ringer.ring_workers()

    def _take_parked(self) -> None:
        self.hungry = self._parked = True

    def _adopt(self) -> None:
        """Enter the leases that the file says are ours, of which we may not know.

        A consumer before us took them (most of their jobs still run), or a commit of ours that
        seemed to fail.
        """
        for lease in leases.leases_of(self.database, self.owner):
            self._accounts.take(lease)
        self._must_adopt = False
        if self._accounts:
            self._audit_at = self._mark_at = self._clock.monotonic()

    def _close(self) -> None:
        if hasattr(self, "_ears"):  # as far as opening got
            self._ears.close()
        self.database.close()

    # The loop

    def _step(self) -> None:
        self._slots.beat()
        try:
            if self._must_adopt:  # before outcomes of these leases are read
                self._adopt()
            self._gather(self._sleep_time())
            now = self._clock.monotonic()
            self.hungry |= self._ears.look_now_and_then()
            self._settle_deaths()
            self._audit(now)
            self._settle_and_claim(now)
            if not self.stopping:
                self._hand_out()
            self._unstall(now)
            self._duties.run(now, self._ears.version)
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
            self._clock.sleep(BACK_OFF)
        self.hungry = True

    def _room(self) -> int:
        if self.stopping or self.manifest is None:
            return 0
        out = len(self._accounts) - len(self._outcomes)
        return max(0, self._slots.count * self._pace.depth() - out)

    def _sleep_time(self) -> float:
        """Return how long to sleep; 0 when there is something to do."""
        if self._outcomes or self._deaths:
            return 0.0
        now = self._clock.monotonic()
        wait = self._ears.longest_sleep()
        if self._room() > 0:
            self.hungry = self.hungry or self._ears.ask_to_be_rung()
            if self.hungry:
                return 0.0
            if self._next_due is not None:
                wait = min(wait, self._next_due - self._clock.now())
        wait = min(wait, self._duties.time_left(now, self._ears.version))
        if self._mark_at is not None:
            wait = min(wait, self._mark_at - now)
        if len(self._accounts) > self._slots.count:
            wait = min(wait, STALL)
        if self._audit_at is not None:
            wait = min(wait, self._audit_at - now)
        return max(0.0, wait)

    def _gather(self, timeout: float) -> None:
        """Read everything that has arrived."""
        ready = [fd for fd, _ in self._poll.poll(timeout * 1000)]
        self._ears.wake()
        for fd in ready:
            if fd == self._link.socket.fileno():
                for message in self._link.receive():
                    self._obey(*message)
            elif self._ears.rings(fd):
                self.hungry = True
            elif not self._ears.stirs(fd) and fd != self._channel.outcomes_out.fileno():
                self._duties.watch()  # a neighbour died
        if self._next_due is not None and self._next_due <= self._clock.now():
            self.hungry = True
        self._gather_outcomes()

    def _gather_outcomes(self) -> None:
        total = 0.0
        count = 0
        for outcome in self._channel.poll():
            if self._accounts.is_ours(outcome.seq, outcome.token):
                self._outcomes.append(outcome)
                total += outcome.runtime
                count += 1
            else:
                logger.warning("an outcome came for a lease that was lost; it is discarded")
        if count:
            self._pace.record(total, count)
            self._last_outcome = self._clock.monotonic()

    def _settle_and_claim(self, now: float) -> None:
        room = self._room()
        claims = self.hungry and room > 0
        started = self._started(now)
        if not (self._outcomes or claims or started):
            return
        if claims:
            self._ears.look()  # or the commit that rang would be news once more, after the claim
        claim = Claim(
            owner=self.owner,
            limit=room,
            tasks=self._tasks,
            queues=self._options.queues,
            parked=self._parked,
            once=self._once,
        )
        settled = jobs.settle_and_claim(
            self.database,
            now=self._clock.now(),
            keep=self.keep,
            outcomes=self._outcomes,
            started=started,
            claim=claim if claims else None,
            wait=PATIENCE,
        )
        self._accounts.mark(seq for _, _, seq, _ in started)
        if claims:
            self.hungry = settled.more
            self._parked = settled.parked_left
            self._next_due = settled.next_due
        self._after_commit(settled)

    def _after_commit(self, settled: Settled) -> None:
        """Tell who waits, forget what is settled, queue what was claimed."""
        outcomes, self._outcomes = self._outcomes, []
        if outcomes or settled.ended:
            leases = self._accounts.close(outcomes)
            ended = [lease.id for lease in leases.values()]
            self._ringer.ring_waiters([*ended, *settled.ended])
            zombies = set(settled.zombies)
            if zombies:
                logger.warning("%d outcome(s) discarded: the lease was lost", len(zombies))
                outcomes = [outcome for outcome in outcomes if outcome.seq not in zombies]
            self._journal.settled(outcomes, leases)
            if any(outcome.state == states.RETRY for outcome in outcomes):
                self.hungry = True
        if settled.parked:
            self._journal.parked(settled.parked)
            self._ringer.ring_workers()
        for lease in settled.leases:
            self._accounts.take(lease)
            self._unsent.append(lease)
        self._errands.unknown(settled.parked)
        self._errands.expired(settled.expired)

    def _started(self, now: float) -> list[tuple[float, int, int, int]]:
        """Return what to mark as STARTED: jobs that have been running for a moment."""
        if self._mark_at is None or now < self._mark_at:
            return []
        self._mark_at = now + STALL if self._accounts.has_unmarked() else None
        return self._accounts.unmarked(self._slots, without=self._untracked)

    def _hand_out(self) -> None:
        self._errands.hand_out(self._channel)
        while self._unsent:
            if not self._channel.submit(self._unsent[0]):
                return
            self._unsent.popleft()
            if self._mark_at is None:
                self._mark_at = self._clock.monotonic() + STALL

    def _unstall(self, now: float) -> None:
        """Give unread leases back while the children are busy with something longer."""
        waiting = len(self._accounts) - self._slots.count
        if waiting <= 0 or now - self._last_outcome < STALL:
            return
        running = self._slots.all_running()
        if len(running) < self._slots.count:
            return
        oldest = min(run.started for run in running.values())
        self._pace.slow_down(max(STALL, self._clock.now() - oldest))
        self._give_back(self._take_back())

    # Leases that no child runs

    def _take_back(self) -> list[Lease]:
        unread = [*self._channel.take_back(), *self._unsent]
        self._unsent.clear()
        return [lease for lease in unread if self._accounts.is_ours(lease.seq, lease.token)]

    def _give_back(self, unharmed: Iterable[Lease]) -> None:
        """Release leases, unharmed and uncounted; not those that must not begin twice."""
        given = list(unharmed)
        if any(lease.once for lease in given):
            given = self._give_up_begun(given)
        held = [(lease.seq, lease.token) for lease in given]
        if not held:
            return
        self.hungry = True
        try:
            leases.release(self.database, held, wait=PATIENCE)
        except StoreError:
            self._audit_at = self._clock.monotonic()  # the audit finds them and tries again
            raise
        for seq, _ in held:
            self._accounts.drop(seq)
        self._ringer.ring_workers()

    def _give_up_begun(self, given: list[Lease]) -> list[Lease]:
        """End what had begun, acknowledged, and brought no verdict; return the others."""
        begun = self._slots.begun()
        lost = [lease for lease in given if lease.once and lease.token in begun]
        if lost:
            self._audit_at = self._clock.monotonic()  # if this fails, the audit finds them again
            reason = "it was stopped, or its verdict was lost with a process"
            self._reap([Lost(lease=lease, ran=True, reason=reason) for lease in lost])
        return [lease for lease in given if lease not in lost]

    def _settle_deaths(self) -> None:
        """Settle the jobs of dead children: their outcomes were read first."""
        while self._deaths:
            number, death = self._deaths[0]
            lease = self._accounts.find(death.seq, death.token, without=self._outcomes)
            if lease is not None and death.blame:
                self._reap([Lost(lease=lease, ran=True, reason=death.reason)])
            elif lease is not None:
                self._give_back([lease])
            self._deaths.popleft()
            self._link.send(messages.ACKNOWLEDGED, number)
            self._audit_at = self._clock.monotonic()

    def _reap(self, lost: list[Lost]) -> None:
        given_up = leases.reap(
            self.database,
            lost,
            now=self._clock.now(),
            keep=self.keep,
            max_deliveries=self.manifest.max_deliveries if self.manifest else 3,
            fragile=self._fragile,
            wait=PATIENCE,
        )
        poison = {lease.seq for lease in given_up}
        for item in lost:
            self._accounts.drop(item.lease.seq)
            words = f"{item.reason}; " + (
                "given up" if item.lease.seq in poison else "it runs again"
            )
            self._journal.event(item.lease, logging.ERROR, words)
        self._ringer.ring_waiters([lease.id for lease in given_up])
        self.hungry = True
        self._ringer.ring_workers()
        self._errands.failed(given_up, lost[0].reason)

    def _audit(self, now: float) -> None:
        """Find leases that went down with a process, between its reading and its slot."""
        if self._audit_at is None or now < self._audit_at:
            return
        self._audit_at = None
        unread = self._take_back()
        self._gather_outcomes()
        missing = self._accounts.missing(self._slots, unread, self._outcomes)
        self._unsent.extend(unread)
        if self._accounts.has_suspects():
            self._audit_at = now + self._accounts.AUDIT_DELAY
        if missing:
            logger.info("%d lease(s) went down with a process unstarted", len(missing))
            self._give_back(missing)

    # Orders

    def _obey(self, kind: str, *fields: Any) -> None:
        if kind == messages.MANIFEST:
            self.manifest = Manifest(*fields)
            self._tasks = frozenset(self.manifest.tasks)
            self._once = frozenset(self.manifest.once)
            self._fragile = frozenset(self.manifest.fragile)
            self._untracked = frozenset(self.manifest.untracked)
            self._errands.set_manifest(self.manifest)
            self.keep = Keep(
                success=self.manifest.result_expires, failure=self.manifest.result_failure_expires
            )
            self.database.set_durability(self.manifest.durability)
            self._duties.set_manifest(self.manifest, self.keep)
            self.hungry = True
        elif kind == messages.APP:
            self._remember(*fields)
        elif kind == messages.DIED:
            number, *death = fields
            self._deaths.append((number, Death(*death)))
            self._gather_outcomes()
        elif kind == messages.STOP:
            self.stopping = True
        elif kind == messages.RELEASE:
            self.stopping = self._abandoned = True
        elif kind == messages.EXIT:
            self._leaving = True
            self._unregister()

    def _remember(self, name: str | None, root: str, tasks: list[tuple[Any, ...]]) -> None:
        """Note in the file which app this worker runs, for people and for the next command."""
        app = AppFacts(name=name, root=root, tasks=[TaskFacts(*task) for task in tasks])
        try:
            registry.introduce(self.database, app, self._clock.now(), wait=PATIENCE)
        except PASSING as error:
            logger.warning("the file does not remember the app, as a hint: %s", error)

    def _drain(self) -> None:
        """Give back what no child runs; tell the supervisor once nothing is left."""
        unread = self._take_back()
        self._give_back(self._accounts if self._abandoned else unread)
        if not self._accounts and not self._outcomes and not self._drained_told:
            self._drained_told = True
            self._link.send(messages.DRAINED)

    def _unregister(self) -> None:
        try:
            workers.unregister(self.database, self.owner, wait=PATIENCE)
        except StoreError as error:
            logger.warning("the worker's row stays until another worker starts: %s", error)

    def _wait_for_orders(self) -> None:
        """Keep the link open until the supervisor has ended the children."""
        waiting = select.poll()
        waiting.register(self._link.socket, select.POLLIN)
        try:
            while True:
                self._slots.beat()
                waiting.poll(NET * 1000)
                if any(kind == messages.EXIT for kind, *_ in self._link.receive()):
                    return
        except EOFError:
            return

    # The supervisor died

    def _survive_supervisor(self) -> None:
        """End the children's sessions, settle what they finished, give back the rest."""
        children = [self._slots.child(index) for index in range(self._slots.count)]
        nonce = self._options.identity.nonce
        kill_orphans(children, nonce, self._slots.path, self._clock)
        logger.error("the supervisor was killed: its children are ended, their jobs given back")
        deadline = self._clock.monotonic() + LAST_WORDS
        while self._clock.monotonic() < deadline:
            try:
                self._last_settlement()
                break
            except StoreError as error:
                logger.warning("%s; trying again", error)
                self._clock.sleep(BACK_OFF)
        remove_files(self._options.identity)

    def _last_settlement(self) -> None:
        self._gather_outcomes()
        if self._outcomes:
            settled = jobs.settle_and_claim(
                self.database, now=self._clock.now(), keep=self.keep, outcomes=self._outcomes
            )
            self._after_commit(settled)
        running = self._slots.all_running()
        lost = [
            Lost(lease=lease, ran=True, reason="the worker was killed while running it")
            for lease in self._accounts
            if lease.seq in running and running[lease.seq].token == lease.token
        ]
        if lost:
            self._reap(lost)
        self._give_back(list(self._accounts))
        self._unregister()
