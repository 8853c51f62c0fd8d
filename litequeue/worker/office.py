"""What the consumer does besides jobs: answers commands, reports events, proposes the pool's size.

It is what the panel sees of the worker (`litequeue.worker.worker_view.WorkerView`).
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from litequeue import __version__
from litequeue.clock import Clock
from litequeue.exceptions import StoreError
from litequeue.job import Lease, Outcome
from litequeue.store import Database, events, leases, mailbox, queues
from litequeue.store.events import EventRow
from litequeue.store.leases import Lost
from litequeue.store.wakeup import Ringer
from litequeue.store.workers import Identity
from litequeue.worker import link as messages
from litequeue.worker.accounts import Accounts
from litequeue.worker.autoscale import LOOK_EVERY, Autoscaler, Backlog
from litequeue.worker.evidence import signal_name
from litequeue.worker.intake import Intake
from litequeue.worker.link import Link, Manifest
from litequeue.worker.panel import Panel
from litequeue.worker.queue_choice import QueueChoice
from litequeue.worker.reporter import Reporter
from litequeue.worker.revoked import RevokedJobs
from litequeue.worker.slots import Slots
from litequeue.worker.worker_view import PoolState, Run

logger: Final = logging.getLogger("litequeue.worker")

MOST_COUNTED: Final = 1000
"""Waiting jobs that are counted for the size of the pool."""


class Office:
    """Everything about a worker that others may ask for or order."""

    def __init__(
        self,
        identity: Identity,
        *,
        database: Database,
        accounts: Accounts,
        intake: Intake,
        revoked: RevokedJobs,
        slots: Slots,
        link: Link,
        ringer: Ringer,
        clock: Clock,
    ) -> None:
        self.database = database
        self.name: str = identity.name
        self.pid: int = identity.pid
        self.started: float = clock.now()
        self.totals: Counter[str] = Counter()
        self.tasks: Mapping[str, Mapping[str, str]] = {}
        self.settings: Mapping[str, Any] = {}
        self._accounts = accounts
        self._intake = intake
        self._revoked = revoked
        self._slots = slots
        self._link = link
        self._ringer = ringer
        self._clock = clock
        self._reporter = Reporter(identity.name, identity.pid, version=__version__)
        self._rows: list[EventRow] = []
        self._ended: set[int] = set()
        self._facts: dict[str, Any] = {}
        self._scaler: Autoscaler | None = None
        self._scale_at = 0.0
        self._panel: Panel | None = None
        self._heard: int | None = None

    def open(self) -> None:
        """Note which commands are older than this worker, before it is registered and asked."""
        self._heard = mailbox.newest(self.database)

    def set_manifest(self, manifest: Manifest) -> None:
        """Learn what the supervisor knows: the app's tasks and settings, and about the pool."""
        self._facts = json.loads(manifest.facts)
        self.tasks, self.settings = self._facts["tasks"], json.loads(manifest.conf)
        self.started = self._facts["started"]
        self._reporter.silent = manifest.of_kind(messages.SILENT)
        self._reporter.on = manifest.events
        if self._facts["autoscale"] is not None and self._scaler is None:
            self._keep_to(*self._facts["autoscale"])
        if manifest.controlled and self._panel is None:
            self._panel = Panel(self, self._ringer, self._clock, last=self._heard)

    # By the clock

    def time_left(self, now: float) -> float:
        """Return the seconds until something is due."""
        wait = 60.0
        if (left := self._reporter.time_left(now)) is not None:
            wait = min(wait, left)
        if self._scaler is not None and (self._accounts or self._slots.count > self._scaler.least):
            wait = min(wait, max(0.0, self._scale_at - now))
        if self._panel is not None and self._panel.is_behind:
            wait = min(wait, LOOK_EVERY)
        if self._panel is not None and self._panel.has_more:
            return 0.0
        return 0.0 if self._rows else wait

    def run(self, now: float) -> None:
        """Do what is due."""
        if self._reporter.time_left(now) == 0.0:
            self._beat()
        if self._scaler is not None and now >= self._scale_at:
            self._scale_at = now + LOOK_EVERY
            self._scale(self._scaler, now)
        if self._panel is not None and (self._panel.is_behind or self._panel.has_more):
            self._panel.attend()

    def read_commands(self) -> None:
        """Obey what was left for us."""
        if self._panel is not None:
            self._panel.attend()

    def leave(self) -> None:
        """Report that the worker goes."""
        rows = self._reporter.leave(self._clock.now(), processed=self.totals.total())
        if not self._rows and not rows:
            return
        try:
            events.append(self.database, [*self._rows, *rows])
        except StoreError as error:
            logger.warning("that this worker leaves is not among the events: %s", error)
        self._ringer.ring_waiters([events.MARK])

    def _scale(self, scaler: Autoscaler, now: float) -> None:
        patterns, excluded = self._intake.patterns()
        count, oldest = queues.backlog(self.database, patterns, MOST_COUNTED, excluded=excluded)
        unread = max(0, len(self._accounts) - self._slots.count)
        age = 0.0 if oldest is None else self._clock.now() - oldest
        size = scaler.decide(
            now,
            size=self._slots.count,
            busy=min(len(self._accounts), self._slots.count),
            backlog=Backlog(count + unread, age),
        )
        if size != self._slots.count:
            self._link.send(messages.RESIZE, size)

    def _beat(self) -> None:
        self._rows += self._reporter.beat(
            self._clock.monotonic(), self._clock.now(),
            active=len(self._accounts), processed=self.totals.total(),
        )  # fmt: skip

    # Events

    def claimed(self, taken: Iterable[Lease]) -> None:
        """Take note of jobs that were claimed."""
        self._rows += self._reporter.received(taken, self._clock.now())

    def ended(self, outcome: Outcome, lease: Lease) -> None:
        """Take note of an outcome, which is about to be settled."""
        self.totals[lease.task] += 1
        self._ended.add(lease.seq)
        if self._reporter.on:
            self._rows += self._reporter.settled(outcome, lease, self._clock.now())

    def died(self, lost: Sequence[Lost], ended: Sequence[Lease], signum: int | None) -> None:
        """Take note of attempts that died with their processes; the last ones of ``ended`` jobs."""
        self.totals.update(lease.task for lease in ended)
        name = None if signum is None else signal_name(signum)
        self._rows += self._reporter.died(lost, ended, self._clock.now(), signum=name)

    def unrun(self, seqs: Sequence[int], *, expired: bool = False) -> None:
        """Take note of jobs that were claimed too late, or were revoked."""
        if seqs and self._reporter.on:
            found = leases.ended(self.database, seqs)
            self._rows += self._reporter.revoked(found, self._clock.now(), expired=expired)

    def news(self, started: Sequence[tuple[float, int, int, int]]) -> Sequence[EventRow]:
        """Return the events to write with the next commit; ``started`` are jobs seen running."""
        if self._reporter.on:
            found = ((self._accounts.lease(seq, token), at) for at, _, seq, token in started)
            self._rows += self._reporter.started(
                [(lease, at) for lease, at in found if lease is not None]
            )
        return tuple(self._rows)

    def told(self, count: int) -> None:
        """Take note that the first ``count`` of the news are in the file."""
        self._ended.clear()
        if count:
            del self._rows[:count]
            self._ringer.ring_waiters([events.MARK])

    # What the panel sees

    @property
    def prefetch(self) -> int:
        """How many leases may be out just now."""
        return self._intake.most_out()

    @property
    def pool(self) -> PoolState:
        """The pool."""
        facts, scaler = self._facts, self._scaler
        return PoolState(
            name=facts["pool"],
            concurrency=self._slots.count,
            pids=[pid for pid, _ in self._slots.all_children()] or [self.pid],
            honours=frozenset(facts["honours"]),
            most=self._slots.lines,
            soft_time_limit=facts["soft_time_limit"],
            time_limit=facts["time_limit"],
            max_tasks_per_child=facts["max_tasks_per_child"],
            max_memory_per_child=facts["max_memory_per_child"],
            autoscale=None if scaler is None else (scaler.most, scaler.least),
        )

    @property
    def queues(self) -> Sequence[str] | None:
        """The patterns of the queues that are read, None for all."""
        return self._intake.queues.names

    @property
    def excluded(self) -> Sequence[str]:
        """The patterns of the queues that are not."""
        return self._intake.queues.excluded

    @property
    def revoked(self) -> Collection[str]:
        """The ids whose revocations this worker knows."""
        return self._revoked.ids

    @property
    def sends_events(self) -> bool:
        """Whether task events are written."""
        return self._reporter.on

    def leases(self) -> Iterator[Lease]:
        """Return the leases that are out and whose outcomes have not come."""
        return (lease for lease in self._accounts if lease.seq not in self._ended)

    def runs(self) -> Iterator[Run]:
        """Return those of them that a line runs now."""
        for line in range(self._slots.lines):
            run = self._slots.running(line)
            lease = None if run is None else self._accounts.lease(run.seq, run.token)
            if run is not None and lease is not None and lease.seq not in self._ended:
                yield Run(lease, run.started, self._slots.pid_of(line))

    # What it orders

    def add_queue(self, name: str) -> None:
        """Claim from this queue, too, and from now on."""
        self._intake.queues = self._intake.queues.with_queue(name)
        self._hand_on()

    def cancel_queue(self, name: str) -> None:
        """Claim from this queue no more; what is leased runs."""
        self._intake.queues = self._intake.queues.without_queue(name)
        self._hand_on()

    def limit_time(self, task: str, soft: float | None, hard: float | None) -> None:
        """Give later leases of a task these limits."""
        self._intake.limit_time(task, soft, hard)
        self._hand_on()

    def send_events(self, on: bool) -> None:
        """Write task events from now on, or no more."""
        self._reporter.on = on
        self._hand_on()

    def send_heartbeat(self) -> None:
        """Write a worker-heartbeat event now, if events are written."""
        self._reporter.wake()
        self._beat()

    def resize_pool(self, by: int) -> None:
        """Have the supervisor run more jobs at once, or fewer."""
        self._link.send(messages.GROW, by)

    def autoscale(self, most: int, least: int) -> None:
        """Keep to this range from now on."""
        self._keep_to(most, least)
        self._hand_on()

    def _keep_to(self, most: int, least: int) -> None:
        keep_alive = self._facts["autoscale_keepalive"]
        self._scaler = Autoscaler(most, least, keep_alive=keep_alive)
        self._scale_at = 0.0

    def _hand_on(self) -> None:
        """Leave what was changed with the supervisor, for a consumer after this one."""
        scaler = self._scaler
        changed = {
            "queues": asdict(self._intake.queues),
            "limits": self._intake.limits,
            "events": self._reporter.on,
            "autoscale": None if scaler is None else (scaler.most, scaler.least),
        }
        self._link.send(messages.CHANGED, json.dumps(changed))

    def take_over(self, text: str) -> None:
        """Go on with what was changed under a consumer before this one."""
        changed = json.loads(text)
        self._intake.queues = QueueChoice.from_json(changed["queues"])
        for task, (soft, hard) in changed["limits"].items():
            self._intake.limit_time(task, soft, hard)
        self._reporter.on = changed["events"]
        if changed["autoscale"] is not None:
            self._keep_to(*changed["autoscale"])

    def restart_pool(self, *, reload: bool) -> None:
        """Have the supervisor replace the children; with ``reload`` start itself anew."""
        self._link.send(messages.RESTART, reload)

    def shut_down(self) -> None:
        """Have the supervisor stop warmly."""
        self._link.send(messages.SHUTDOWN, "asked by remote control")
