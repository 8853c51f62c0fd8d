"""The supervisor: owns the processes of a worker, never its file.

It forks the consumer while it is still clean, then imports the app and starts the children.  It
restarts what dies, ends what must not live on, and enforces time limits, also while the file is
locked; every decision about jobs is the consumer's.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import signal
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from litequeue import periodic, signals
from litequeue.app import LiteQueue
from litequeue.clock import SYSTEM, Clock
from litequeue.config import Settings
from litequeue.entry import Entry
from litequeue.locks import HeldLock
from litequeue.os_signals import STOP_SIGNALS, HungUp, WakePipe
from litequeue.store import migrations  # noqa: F401 - with peewee, loaded before any fork
from litequeue.worker import link as messages
from litequeue.worker import systemd
from litequeue.worker.channel import Channel
from litequeue.worker.child import Ties
from litequeue.worker.children import Children
from litequeue.worker.consumer import ConsumerOptions
from litequeue.worker.consumer_process import ConsumerProcess
from litequeue.worker.liveness import base_path, own_identity, worker_directory
from litequeue.worker.manifest import manifest_of, warm_up
from litequeue.worker.naming import expand
from litequeue.worker.neighbours import remove_files
from litequeue.worker.nursery import ChildOptions
from litequeue.worker.pool_plan import (
    PoolPlan,
    facts_of,
    plan_pool,
    recycling_of,
    start_method,
)
from litequeue.worker.queue_choice import QueueChoice
from litequeue.worker.restart import hold_signals
from litequeue.worker.shutdown import Phase, Shutdown
from litequeue.worker.slots import Slots
from litequeue.worker.time_limits import Alarm, Enforcer
from litequeue.worker.titles import set_title

logger: Final = logging.getLogger("litequeue.worker")

HEARTBEAT: Final = 2.0
"""Seconds between two signals of a worker that is well (Celery's)."""
LOOK_AROUND: Final = 4.0
"""Seconds between two looks at what makes no noise: a consumer or a child that hangs."""
OVERDUE: Final = 1.5
"""How many times `LOOK_AROUND` without a look mean that this process stood still, perhaps all."""
STARTING: Final = 0.01
"""Seconds between two looks whether all children serve; `SLOW_START` after `SOON` seconds."""
SLOW_START: Final = 0.25
SOON: Final = 2.0
PARTING: Final = 2.0
"""Seconds that a consumer has to leave once it was told to."""
NUDGE_EVERY: Final = 0.1
"""Seconds between two nudges while dismissed children have not left."""
_LOOK: Final = os.WEXITED | os.WNOHANG | os.WNOWAIT


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What ``litequeue worker`` was told.  ``load`` imports the app.

    ``overrules`` are settings of the command line; ``autoscale`` is (most, least); ``max_time``
    and ``max_jobs`` end the worker after so many seconds and jobs; ``beat``: send periodic jobs.
    """

    path: str
    app_name: str
    load: Callable[[], LiteQueue]
    settings: Settings
    overrules: Mapping[str, Any] = field(default_factory=dict)
    queues: QueueChoice = field(default_factory=QueueChoice)
    name: str | None = None
    autoscale: tuple[int, int] | None = None
    burst: bool = False
    max_jobs: int | None = None
    max_time: float | None = None
    beat: bool = True


class Supervisor:
    """One worker, from its start to its end."""

    def __init__(self, options: WorkerOptions, clock: Clock = SYSTEM) -> None:
        self._options = options
        self._clock = clock
        self._began = self._loaded = self._looked = clock.monotonic()
        self._started_at = clock.now()
        self._signals = WakePipe((*STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD))
        name = None if options.name is None else expand(options.name)
        self._identity = own_identity(worker_directory(options.path), name)
        base = base_path(self._identity)
        self._lock = HeldLock(base + ".lock")
        self._slots = Slots.create(base + ".slots")
        self._channel = Channel(base)
        self._alarm = Alarm()
        self._baton = os.pipe()
        self._poll = select.poll()
        self._poll.register(self._signals.fd, select.POLLIN)
        self._consumer = ConsumerProcess(
            ConsumerOptions(
                path=options.path,
                settings=options.settings,
                identity=self._identity,
                queues=options.queues,
                burst=options.burst,
                max_jobs=options.max_jobs,
                beat=options.beat,
            ),
            self._channel,
            self._slots,
            self._alarm,
            self._lock,
            poll=self._poll,
            clock=clock,
            close_in_child=self._signals.close,
        )
        self._entries: list[Entry] = []
        self._pool: Children | None = None
        self._enforcer: Enforcer | None = None
        self._watchdog = systemd.Watchdog(clock)
        self._stop = Shutdown(self._identity.name, self._consumer, self._channel, clock)
        self._nudge_at: float | None = None
        self._end_at = None if options.max_time is None else self._began + options.max_time
        self._opened = self._drained = False
        self._ready = False
        self._beat_at = 0.0

    @property
    def starts_anew(self) -> bool:
        """Tell whether the worker was asked to begin anew as a fresh program."""
        return self._stop.starts_anew

    def run(self) -> int:
        """Work until stopped; return the exit code."""
        try:
            set_title(f"worker {self._identity.name}")
            gc.freeze()  # what the collector does not touch, the consumer goes on sharing with us
            self._consumer.start()
            app = self._signals.ending_at_once(self._load)
            warm_up(app)
            self._stop.set_graces(app.conf)
            self._make_pool(app)
            gc.collect()
            gc.freeze()
            while self._stop.phase is not Phase.GONE:
                self._step()
            return self._stop.exit_code
        except HungUp:
            self._stop.on_early_hangup()
            return 0
        finally:
            self._clean_up()

    def _load(self) -> LiteQueue:
        app = self._options.load()
        app.conf.overrule(**self._options.overrules)
        name = self._identity.name
        signals.celeryd_init.send(sender=name, instance=self, conf=app.conf, options={})
        signals.celeryd_after_setup.send(sender=name, instance=self, conf=app.conf)
        signals.worker_init.send(sender=self)
        if self._options.beat:
            self._entries = periodic.entries_of(app)
        self._loaded = self._clock.monotonic()
        return app

    def _step(self) -> None:
        self._poll.poll(self._sleep_time() * 1000)
        self._notice_standstill()
        for number in self._signals.read():
            self._stop.on_signal(number)
        for kind, *fields in self._consumer.listen():
            self._on_message(kind, *fields)
        if self._enforcer is not None:
            self._enforcer.run()
        self._bury_children()
        self._consumer.look_after()
        self._send_heartbeat()
        self._reap_adopted()
        self._nudge_dismissed()
        self._proceed()

    def _sleep_time(self) -> float:
        now = self._clock.monotonic()
        rest = HEARTBEAT if signals.heartbeat_sent.receivers else LOOK_AROUND
        moments = [rest, self._consumer.time_left(), self._watchdog.time_left()]
        if not self._stop.is_wanted:
            moments.append(self._pool.fill() if self._pool is not None else None)
            moments.append(None if self._ready else self._starting_pace())
        if self._enforcer is not None:
            moments.append(self._enforcer.time_left())
        moments.append(self._stop.time_left())
        moments += [at - now for at in (self._nudge_at, self._end_at) if at is not None]
        return max(0.0, min(moment for moment in moments if moment is not None))

    def _send_heartbeat(self) -> None:
        """Send `heartbeat_sent` while the worker is well; a consumer that hangs is ended before."""
        now = self._clock.monotonic()
        if signals.heartbeat_sent.receivers and self._ready and now >= self._beat_at:
            self._beat_at = now + HEARTBEAT
            if self._consumer.is_running:
                signals.heartbeat_sent.send(sender=self)

    def _starting_pace(self) -> float:
        return STARTING if self._clock.monotonic() - self._loaded < SOON else SLOW_START

    def _notice_standstill(self) -> None:
        """After a Ctrl-Z or `docker pause` of all, the silence of the others says nothing."""
        now, before = self._clock.monotonic(), self._looked
        self._looked = now
        self._watchdog.feed()
        if now - before > OVERDUE * LOOK_AROUND:
            self._consumer.begin_anew()
            if self._pool is not None:
                self._pool.begin_anew()

    def _reap_adopted(self) -> None:
        """Reap orphans that the kernel gave to us: a worker may be PID 1 of a container."""
        if os.getpid() == 1 or (self._pool is not None and self._pool.adopts):
            pool = self._pool.pids() if self._pool is not None else set()
            reap_all_but({self._consumer.pid, *pool})

    # Children

    def _make_pool(self, app: LiteQueue) -> None:
        """Choose the pool, tell the consumer of it, and make the first children."""
        plan = plan_pool(app.conf, self._options.autoscale)
        plan.lay_out(self._slots)
        options = self._child_options(app, plan)
        self._consumer.spawns = options.method != "fork"
        facts = facts_of(plan.pool, app.conf, started=self._started_at, autoscale=plan.autoscale)
        described = app.facts()
        self._consumer.tell_manifest(manifest_of(app, facts), described)
        if self._options.beat:
            signals.beat_embedded_init.send(sender=self)
            self._consumer.tell_entries(periodic.owner_of(described), self._entries)
        ties = Ties(channel=self._channel, slots=self._slots, alarm=self._alarm, baton=self._baton)
        self._pool = self._stop.pool = Children(app, options, ties, self._clock)
        if not plan.pool.many:
            self._poll.register(self._alarm.out, select.POLLIN)
            self._enforcer = Enforcer(self._slots, self._alarm, self._pool.endings, self._clock)

    def _child_options(self, app: LiteQueue, plan: PoolPlan) -> ChildOptions:
        conf = app.conf
        return ChildOptions(
            app_name=self._options.app_name,
            hostname=self._identity.name,
            nonce=self._identity.nonce,
            pool=conf.worker_pool,
            method=start_method(app, plan.pool, self._options.app_name),
            # A program of its own imports the app anew, and all of them at the same time.
            patience=max(conf.worker_proc_alive_timeout, 4 * (self._loaded - self._began)),
            recycling=recycling_of(conf),
            close_in_child=self._close_in_child,
        )

    def _close_in_child(self) -> None:
        """Close what belongs to the supervisor alone, in a forked child."""
        self._signals.close()
        self._lock.close()
        self._consumer.close_in_child()

    def _bury_children(self) -> None:
        if self._pool is None:
            return
        self._pool.look_around(self._clock.monotonic())
        before = len(self._pool)
        for death in self._pool.bury():
            if self._stop.phase < Phase.LEAVING:
                logger.log(
                    logging.ERROR if death.blame else logging.INFO,
                    "%s", death.reason.removesuffix(" while running it"),
                )  # fmt: skip
                self._consumer.tell_death(death)
        if len(self._pool) < before:
            self._balance()

    def _balance(self) -> None:
        if self._pool is not None and not self._stop.is_wanted and self._pool.balance():
            self._nudge_at = self._nudge_at or self._clock.monotonic()

    def _nudge_dismissed(self) -> None:
        """Have idle children find out that they are to leave."""
        if self._nudge_at is None or self._clock.monotonic() < self._nudge_at:
            return
        waits = self._pool is not None and self._pool.has_dismissed()
        self._nudge_at = self._clock.monotonic() + NUDGE_EVERY if waits else None
        if waits:
            self._consumer.tell_nudge()

    def _resize(self, count: int) -> None:
        """Run ``count`` jobs at once from now on."""
        many = self._slots.per_child > 1  # one child, however many lines it has room for
        most = self._slots.per_child if many else self._slots.lines
        self._slots.count = max(1, min(count, most))
        self._alarm.ring()  # a child of many lines looks how many it may use
        self._balance()

    # What happens

    def _on_message(self, kind: str, *fields: Any) -> None:
        if kind == messages.OPENED:
            self._opened = True
        elif kind == messages.DRAINED:
            self._drained = True
            self._stop.leave()
        elif kind == messages.RESIZE:
            self._resize(int(fields[0]))
        elif kind == messages.GROW:
            self._resize(self._slots.count + int(fields[0]))
        elif kind == messages.RESTART:
            self._replace(anew=bool(fields[0]))
        elif kind == messages.DONE:
            self._stop.stop_warm("stopping by itself: --burst or --max-jobs is fulfilled")
        elif kind == messages.SHUTDOWN:
            self._stop.stop_warm()
        elif kind == messages.FATAL:
            code, reason, self._drained = fields
            logger.error("%s", reason)
            self._stop.fail(int(str(code)))

    def _replace(self, *, anew: bool) -> None:
        """Replace the children after what they run; or all of the worker."""
        if anew:
            self._stop.restart()
        elif self._pool is not None:
            self._pool.replace_all()
            self._alarm.ring()  # a child of many lines, all of them busy, reads no nudge
            self._nudge_at = self._clock.monotonic()

    def _proceed(self) -> None:
        """Say when the worker is ready, and stop it when its time is over."""
        if not self._ready and self._opened and self._pool is not None and self._pool.is_ready():
            self._announce_ready()
        if self._end_at is not None and self._clock.monotonic() >= self._end_at:
            self._end_at = None
            self._stop.stop_warm("stopping by itself: --max-time is over")
        self._stop.proceed()

    def _announce_ready(self) -> None:
        self._ready = True
        logger.info(
            "Ready in %.2f s, running %d job(s) at a time",
            self._clock.monotonic() - self._began, self._slots.count,
        )  # fmt: skip
        systemd.notify("READY=1", f"STATUS=running {self._slots.count} job(s) at a time")
        signals.worker_ready.send(sender=self)

    def _clean_up(self) -> None:
        """Leave no process and no file behind."""
        if self._pool is not None:
            self._pool.kill_all()
            while len(self._pool):
                for _ in self._pool.bury():
                    pass
                self._clock.sleep(0.001)
            self._pool.close()
            signals.worker_shutdown.send(sender=self)
        self._consumer.tell_exit()
        self._consumer.end(PARTING)
        self._channel.close()
        self._alarm.close()
        for end in self._baton:
            os.close(end)
        self._lock.close()
        if not self._may_hold_leases():  # else the slots tell the next worker what has begun
            remove_files(self._identity)
        if not os.path.exists(self._options.path):  # it was never made
            with contextlib.suppress(OSError):
                os.rmdir(self._identity.directory)
        if self._stop.starts_anew:
            hold_signals()
            for number in self._signals.read():  # the last ones that are for this program
                self._stop.on_signal(number)

    def _may_hold_leases(self) -> bool:
        return self._opened and self._pool is not None and not self._drained


def reap_all_but(own: Container[int]) -> None:
    """Reap dead children; stop at one of ours, which is for `bury` and `look_after` to reap."""
    try:
        while (status := os.waitid(os.P_ALL, 0, _LOOK)) is not None and status.si_pid not in own:
            os.waitpid(status.si_pid, os.WNOHANG)
    except ChildProcessError:
        return
