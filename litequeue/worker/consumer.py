"""The consumer: the worker's only user of the file.  It never forks and never runs user code.

One loop: gather outcomes, settle them and claim anew in one transaction, hand the leases out.
Under load a transaction carries many jobs, and that is where the speed comes from.
"""

from __future__ import annotations

import logging
import select
from dataclasses import dataclass
from typing import Any, Final

from litequeue import states
from litequeue.clock import Clock
from litequeue.config import Settings
from litequeue.exceptions import QueueBusy, QueueFull, StoreError
from litequeue.facts import AppFacts, TaskFacts
from litequeue.job import Outcome
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
from litequeue.worker.slots import RING, Slots
from litequeue.worker.strays import PATIENCE, Strays

logger: Final = logging.getLogger("litequeue.worker")

PASSING: Final = (QueueBusy, QueueFull, IOFailure)
"""What may be over soon; everything is kept in memory meanwhile."""
STALL: Final = 0.05
"""Seconds without an outcome after which unread leases are given back to the file."""
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
        self._untracked: frozenset[str] = frozenset()
        self._accounts = Accounts()
        self._outcomes: list[Outcome] = []
        self._pace = Pace()
        self._journal = Journal(clock)
        self._errands = Errands(self.database)
        self._ringer = Ringer(options.path, clock)
        self._strays = Strays(
            self.database,
            self._accounts,
            channel,
            slots,
            self._ringer,
            self._journal,
            self._errands,
            clock,
            gather=self._gather_outcomes,
            changed=self._look_again,
        )
        self._next_due: float | None = None
        self._last_outcome = 0.0
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
        # A commit that seemed to fail may have claimed again what it settled.
        self._outcomes = [o for o in self._outcomes if self._accounts.is_ours(o.seq, o.token)]
        if self._accounts:
            self._strays.audit_at = self._mark_at = self._clock.monotonic()

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
            self._strays.settle_deaths(self._outcomes, self._link)
            self._strays.audit(now)
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
        if self._errands.are_many():
            return 0
        out = len(self._accounts) - len(self._outcomes)
        room = self._slots.count * self._pace.depth()
        if self._once:  # one child may run them all, and has to note each
            room = min(room, max(self._slots.count, RING))
        return max(0, room - out)

    def _sleep_time(self) -> float:
        """Return how long to sleep; 0 when there is something to do."""
        if self._outcomes or self._strays.deaths:
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
        if self._strays.audit_at is not None:
            wait = min(wait, self._strays.audit_at - now)
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

    def _gather_outcomes(self) -> list[Outcome]:
        """Read the outcomes that have arrived; return all that wait to be settled."""
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
        return self._outcomes

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
            self._strays.unsent.append(lease)
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
        unsent = self._strays.unsent
        while unsent:
            if not self._channel.submit(unsent[0]):
                return
            unsent.popleft()
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
        self._strays.give_back(self._strays.take_back())

    # Orders

    def _obey(self, kind: str, *fields: Any) -> None:
        if kind == messages.MANIFEST:
            self.manifest = Manifest(*fields)
            self._tasks = frozenset(self.manifest.tasks)
            self._once = self.manifest.of_kind(messages.ONCE)
            self._untracked = self.manifest.of_kind(messages.UNTRACKED)
            self._errands.set_manifest(self.manifest)
            self.keep = Keep(
                success=self.manifest.result_expires, failure=self.manifest.result_failure_expires
            )
            self.database.set_durability(self.manifest.durability)
            self._duties.set_manifest(self.manifest, self.keep)
            self._strays.set_manifest(self.manifest, self.keep)
            self.hungry = True
        elif kind == messages.APP:
            self._remember(*fields)
        elif kind == messages.DIED:
            number, *death = fields
            self._strays.deaths.append((number, Death(*death)))
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
        unread = self._strays.take_back()
        self._strays.give_back(self._accounts if self._abandoned else unread)
        self._errands.hand_out(self._channel)  # children read all before they leave
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
            self._strays.reap(lost, with_worker=True)
        self._strays.give_back(list(self._accounts))
        self._unregister()
