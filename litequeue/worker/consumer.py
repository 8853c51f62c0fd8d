"""The consumer: the worker's only user of the file.  It never forks and never runs user code.

One loop: gather outcomes, settle them and claim anew in one transaction, hand the leases out
(`Exchange`); and between two of those what is due by the clock (`Duties`), and what others ask
for (`Office`).
"""

from __future__ import annotations

import logging
import select
from dataclasses import dataclass, field
from typing import Any, Final

from litequeue.clock import Clock
from litequeue.config import Settings
from litequeue.exceptions import QueueBusy, QueueFileReplaced, QueueFull, StoreError
from litequeue.facts import AppFacts, TaskFacts
from litequeue.store import Database, Keep, registry, workers
from litequeue.store.errors import IOFailure
from litequeue.store.wakeup import NET, Ringer
from litequeue.store.workers import Identity
from litequeue.worker import link as messages
from litequeue.worker.accounts import Accounts
from litequeue.worker.channel import Channel
from litequeue.worker.duties import Duties, Outlawed
from litequeue.worker.ears import Ears
from litequeue.worker.errands import Errands
from litequeue.worker.exchange import Exchange
from litequeue.worker.intake import Intake
from litequeue.worker.link import Death, Link, Manifest
from litequeue.worker.liveness import Life, judge
from litequeue.worker.neighbours import Neighbours
from litequeue.worker.office import Office
from litequeue.worker.orphaned import bury_supervisor
from litequeue.worker.periodic import Periodic
from litequeue.worker.queue_choice import QueueChoice
from litequeue.worker.revoked import RevokedJobs
from litequeue.worker.slots import Slots
from litequeue.worker.strays import PATIENCE
from litequeue.worker.time_limits import Alarm

logger: Final = logging.getLogger("litequeue.worker")

PASSING: Final = (QueueBusy, QueueFull, IOFailure)
"""What may be over soon; everything is kept in memory meanwhile."""
BACK_OFF: Final = 0.5
MOST_NUDGES: Final = 100
"""Lines that are nudged at a time; the supervisor asks again while somebody has not left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerOptions:
    """What the supervisor tells before it forks.

    ``burst``: be done when nothing is left; ``max_jobs``: or after so many.  ``beat``: send what
    is due by a schedule.
    """

    path: str
    settings: Settings
    identity: Identity
    queues: QueueChoice = field(default_factory=QueueChoice)
    burst: bool = False
    max_jobs: int | None = None
    beat: bool = True


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
        self._options = options
        self._link = link
        self._channel = channel
        self._slots = slots
        self._clock = clock
        settings = options.settings
        self._database = Database(
            options.path,
            durability=settings.durability,
            busy_timeout=settings.queue_busy_timeout,
            create=True,
            clock=clock,
        )
        self._database.while_waiting = slots.beat
        self._ringer = Ringer(options.path, clock)
        self._errands = Errands(self._database)
        accounts = Accounts()
        revoked = RevokedJobs(self._database, accounts, slots, alarm, clock)
        self._intake = Intake(slots, options.queues, revoked, options.max_jobs)
        self._office = Office(
            options.identity,
            database=self._database,
            accounts=accounts,
            intake=self._intake,
            revoked=revoked,
            slots=slots,
            link=link,
            ringer=self._ringer,
            clock=clock,
        )
        self._exchange = Exchange(
            self._database,
            channel,
            slots,
            self._ringer,
            clock,
            accounts=accounts,
            intake=self._intake,
            errands=self._errands,
            revoked=revoked,
            office=self._office,
        )
        self._exchange.keep = Keep(
            success=settings.result_expires, failure=settings.result_failure_expires
        )
        self._owner = 0
        self._manifest: Manifest | None = None
        self._periodic = Periodic(
            self._database,
            self._exchange,
            self._ringer,
            link,
            clock,
            wanted=options.beat,
        )
        self._stopping = False
        self._leaving = False
        self._must_adopt = False
        self._abandoned = False
        self._told: set[str] = set()
        self._poll = select.poll()

    # Life

    def run(self) -> None:
        """Work until told to leave, or until the supervisor is gone."""
        try:
            self._open()
            while not self._leaving:
                self._step()
            self._leave()
        except EOFError:
            bury_supervisor(
                self._options.identity, self._slots, self._exchange, self._clock, self._unregister
            )
        except Outlawed as error:
            self._link.send(messages.FATAL, 1, str(error), True)
            self._wait_for_orders()
        except StoreError as error:
            self._link.send(messages.FATAL, 3, str(error), isinstance(error, QueueFileReplaced))
            self._wait_for_orders()
        finally:
            self._close()

    def _open(self) -> None:
        self._register()
        for source in (self._link.socket, self._channel.outcomes_out):
            self._poll.register(source, select.POLLIN)
        self._must_adopt = True
        self._link.send(messages.OPENED)

    def _register(self) -> None:
        """Enter the worker into the file, however long others keep it locked."""
        while not self._owner:
            try:
                self._office.open()
                self._owner = workers.register(
                    self._database, self._options.identity, self._clock.now()
                )
            except PASSING as error:
                if self._link.is_cut():
                    raise EOFError from None
                self._endure(error)
        self._warn_of_namesakes()
        self._ears = Ears(self._database, self._options.identity.nonce, self._poll, self._clock)
        self._duties = Duties(
            self._database,
            self._ringer,
            Neighbours(
                self._database,
                self._ringer,
                owner=self._owner,
                poll=self._poll,
                clock=self._clock,
                changed=self._exchange.look_again,
                given_up=self._errands.failed,
            ),
            owner=self._owner,
            nonce=self._options.identity.nonce,
            clock=self._clock,
            found_parked=self._exchange.take_parked,
            expired=self._errands.expired,
            renewed=self._ears.forget_own_write,
            queues=self._intake.patterns,
        )

    def _warn_of_namesakes(self) -> None:
        """Say that another worker has this name: whoever asks gets the answer of one of them."""
        mine = self._options.identity
        for other in (owner.identity for owner in workers.owners(self._database)):
            if other.name == mine.name and other.pid != mine.pid and judge(other) is Life.ALIVE:
                logger.warning(
                    "the worker with pid %d is called %s, too: inspect shows only one of them; "
                    "give each a name of its own with -n", other.pid, mine.name,
                )  # fmt: skip

    def _close(self) -> None:
        if hasattr(self, "_ears"):  # as far as opening got
            self._ears.close()
        self._ringer.close()
        self._database.close()

    # The loop

    def _step(self) -> None:
        exchange = self._exchange
        self._slots.beat()
        try:
            if self._must_adopt:  # before outcomes of these leases are read
                exchange.adopt(self._owner)
                self._must_adopt = False
            self._gather(self._sleep_time())
            now = self._clock.monotonic()
            exchange.hungry |= self._ears.look_now_and_then()
            if self._manifest is not None and self._ears.has_post():
                self._read_post()
            exchange.strays.settle_deaths(exchange.outcomes, self._link)
            exchange.strays.audit(now)
            ended = bool(exchange.outcomes)
            exchange.settle_and_claim(now, self._room(), self._owner, self._ears)
            if not self._stopping:
                exchange.hand_out()
            exchange.unstall(now)
            self._duties.run(now, self._ears.version)
            self._periodic.run(self._ears.version, ended=ended)
            self._office.run(now)
            self._finish()
        except PASSING as error:
            self._endure(error)

    def _endure(self, error: StoreError) -> None:
        """Keep everything in memory and try again: nothing has been lost yet."""
        if isinstance(error, IOFailure):
            self._database.forget_connections()
            self._must_adopt = bool(self._owner)
        if not isinstance(error, QueueBusy):
            logger.error("%s; trying again", error)
            self._clock.sleep(BACK_OFF)
        self._exchange.hungry = True

    def _room(self) -> int:
        """Return how many more leases to take."""
        if self._stopping or self._leaving or self._manifest is None or self._errands.are_many():
            return 0
        return self._intake.room(len(self._exchange.accounts) - len(self._exchange.outcomes))

    def _sleep_time(self) -> float:
        """Return how long to sleep; 0 when there is something to do."""
        exchange = self._exchange
        if exchange.outcomes or exchange.strays.deaths:
            return 0.0
        if self._room() > 0:
            exchange.hungry = exchange.hungry or self._ears.ask_to_be_rung()
            if exchange.hungry:
                return 0.0
        now = self._clock.monotonic()
        wait = min(
            self._ears.longest_sleep(),
            exchange.time_left(now),
            self._duties.time_left(now, self._ears.version),
            self._office.time_left(now),
            self._periodic.time_left(self._ears.version),
        )
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
                self._exchange.hungry = True
            elif not self._ears.stirs(fd) and fd != self._channel.outcomes_out.fileno():
                self._duties.watch()  # a neighbour died
        self._exchange.notice_due()
        self._exchange.gather()

    def _read_post(self) -> None:
        """Act on revocations and commands: somebody has left some."""
        self._exchange.heed_revocations()
        self._office.read_commands()

    def _finish(self) -> None:
        """When no more is to be done, tell the supervisor so, once."""
        if self._stopping:
            if self._exchange.drain(abandoned=self._abandoned):
                self._tell_once(messages.DRAINED)
        elif self._options.burst or self._intake.left <= 0:
            enough = not self._exchange.hungry or self._intake.left <= 0
            if enough and self._exchange.is_empty() and self._manifest is not None:
                self._tell_once(messages.DONE)

    def _tell_once(self, kind: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._link.send(kind)

    # Orders

    def _obey(self, kind: str, *fields: Any) -> None:
        if kind == messages.MANIFEST:
            self._learn(Manifest(*fields))
        elif kind == messages.APP:
            self._remember(*fields)
        elif kind == messages.ENTRIES:
            self._periodic.collect(*fields)
        elif kind == messages.CHANGED:
            self._office.take_over(*fields)
        elif kind == messages.DIED:
            number, *death = fields
            self._exchange.strays.deaths.append((number, Death(*death)))
            self._exchange.gather()
        elif kind == messages.NUDGE:
            self._channel.nudge(min(self._slots.count, MOST_NUDGES))
        elif kind == messages.STOP:
            self._stopping = True
            self._periodic.stop()
        elif kind == messages.RELEASE:
            self._stopping = self._abandoned = True
        elif kind == messages.EXIT:
            self._leaving = True

    def _learn(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._slots.remap()
        keep = Keep(success=manifest.result_expires, failure=manifest.result_failure_expires)
        self._database.set_durability(manifest.durability)
        self._intake.set_manifest(manifest)
        self._errands.set_manifest(manifest)
        self._duties.set_manifest(manifest, keep)
        self._exchange.set_manifest(manifest, keep)
        self._office.set_manifest(manifest)
        self._periodic.set_manifest(manifest, keep)
        self._read_post()  # what was revoked before we came

    def _remember(self, name: str | None, root: str, tasks: list[tuple[Any, ...]]) -> None:
        """Note in the file which app this worker runs, for people and for the next command."""
        app = AppFacts(name=name, root=root, tasks=[TaskFacts(*task) for task in tasks])
        try:
            registry.introduce(self._database, app, self._clock.now(), wait=PATIENCE)
        except PASSING as error:
            logger.warning("the file does not remember the app, as a hint: %s", error)

    def _leave(self) -> None:
        """Say good-bye, after the last step: who is not in the file any more can renew nothing."""
        self._office.leave()
        self._unregister()

    def _unregister(self) -> None:
        """Take this worker out of the file."""
        try:
            workers.unregister(self._database, self._owner, wait=PATIENCE)
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
