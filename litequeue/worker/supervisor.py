"""The supervisor: owns the processes of a worker, never its file.

It forks the consumer while it is still clean, then imports the app and starts the children.  It
restarts what dies, ends what must not live on, and enforces time limits, also while the file is
locked; every decision about jobs is the consumer's.
"""

from __future__ import annotations

import contextlib
import enum
import gc
import logging
import os
import select
import signal
import threading
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from litequeue import signals
from litequeue.app import LiteQueue
from litequeue.clock import SYSTEM, Clock
from litequeue.config import Settings
from litequeue.exceptions import ImproperlyConfigured, StoreError
from litequeue.locks import HeldLock
from litequeue.store import migrations  # noqa: F401 - with peewee, loaded before any fork
from litequeue.store.filesystem import side_directory
from litequeue.worker import link as messages
from litequeue.worker import systemd
from litequeue.worker.channel import Channel
from litequeue.worker.child import Ties
from litequeue.worker.children import ChildOptions, Children
from litequeue.worker.consumer import ConsumerOptions
from litequeue.worker.consumer_process import ConsumerProcess
from litequeue.worker.liveness import base_path, own_identity
from litequeue.worker.manifest import manifest_of, warm_up
from litequeue.worker.naming import expand
from litequeue.worker.neighbours import remove_files
from litequeue.worker.os_signals import STOP_SIGNALS, WakePipe
from litequeue.worker.pools import Pool, Recycling, find_pool, refuse_unhonoured
from litequeue.worker.queue_choice import QueueChoice
from litequeue.worker.slots import CAPACITY, MOST_LINES, Slots
from litequeue.worker.time_limits import Alarm, Enforcer
from litequeue.worker.titles import set_title

logger: Final = logging.getLogger("litequeue.worker")

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
FAREWELL: Final = 10.0
"""Seconds that the consumer has to give the last leases back."""
REMAP_VARIABLE: Final = "REMAP_SIGTERM"
"""Celery's: "SIGQUIT" makes SIGTERM a cold stop, for platforms that send nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What ``litequeue worker`` was told.  ``load`` imports the app.

    ``overrules`` are settings of the command line; ``autoscale`` is (most, least); ``max_time``
    and ``max_jobs`` end the worker after so many seconds and jobs.
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


class Phase(enum.IntEnum):
    """How far a worker's stop has come."""

    RUNNING = 0
    WARM = 1
    SOFT = 2
    COLD = 3
    LEAVING = 4
    GONE = 5


class Supervisor:
    """One worker, from its start to its end.  ``starts_anew`` tells that it is to be restarted."""

    def __init__(self, options: WorkerOptions, clock: Clock = SYSTEM) -> None:
        self.starts_anew: bool = False
        self._options = options
        self._clock = clock
        self._began = self._loaded = self._looked = clock.monotonic()
        self._started_at = clock.now()
        self._signals = WakePipe((*STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD))
        name = None if options.name is None else expand(options.name)
        self._identity = own_identity(_directory(options.path), name)
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
            ),
            self._channel,
            self._slots,
            self._alarm,
            self._lock,
            poll=self._poll,
            clock=clock,
            close_in_child=self._signals.close,
        )
        self._pool: Children | None = None
        self._enforcer: Enforcer | None = None
        self._watchdog = systemd.Watchdog(clock)
        self._phase = Phase.RUNNING
        self._exit_code = 0
        self._grace = self._soft_grace = 0.0
        self._interrupts = 0
        self._last_signal = ""
        self._deadline: float | None = None
        self._nudge_at: float | None = None
        self._end_at = None if options.max_time is None else self._began + options.max_time
        self._opened = False
        self._ready = False

    def run(self) -> int:
        """Work until stopped; return the exit code."""
        try:
            set_title(f"worker {self._identity.name}")
            self._consumer.start()
            app = self._load()
            warm_up(app)
            self._grace = app.conf.worker_grace
            self._soft_grace = app.conf.worker_soft_shutdown_timeout
            self._make_pool(app)
            gc.collect()
            gc.freeze()
            while self._phase is not Phase.GONE:
                self._step()
            return self._exit_code
        finally:
            self._clean_up()

    def _load(self) -> LiteQueue:
        with self._signals.ending_at_once():
            app = self._options.load()
            app.conf.overrule(**self._options.overrules)
            name = self._identity.name
            signals.celeryd_init.send(sender=name, instance=self, conf=app.conf, options={})
            signals.celeryd_after_setup.send(sender=name, instance=self, conf=app.conf)
            signals.worker_init.send(sender=self)
        self._loaded = self._clock.monotonic()
        return app

    def _step(self) -> None:
        self._poll.poll(self._sleep_time() * 1000)
        self._notice_standstill()
        for number in self._signals.read():
            self._on_signal(number)
        for kind, *fields in self._consumer.listen():
            self._on_message(kind, *fields)
        if self._enforcer is not None:
            self._enforcer.run()
        self._bury_children()
        self._consumer.look_after()
        self._reap_adopted()
        self._nudge_dismissed()
        self._proceed()

    def _sleep_time(self) -> float:
        now = self._clock.monotonic()
        moments = [LOOK_AROUND, self._consumer.time_left(), self._watchdog.time_left()]
        if self._phase is Phase.RUNNING:
            moments.append(self._pool.fill() if self._pool is not None else None)
            moments.append(None if self._ready else self._starting_pace())
        if self._enforcer is not None:
            moments.append(self._enforcer.time_left())
        moments += [
            None if moment is None else moment - now
            for moment in (self._deadline, self._nudge_at, self._end_at)
        ]
        return max(0.0, min(moment for moment in moments if moment is not None))

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
        conf = app.conf
        pool = find_pool(conf.worker_pool)
        least, most = self._size(app, pool)
        refuse_unhonoured(
            pool,
            {
                "max_tasks_per_child": conf.worker_max_tasks_per_child,
                "max_memory_per_child": conf.worker_max_memory_per_child,
                "autoscale": self._options.autoscale,
                "soft_time_limit": conf.task_soft_time_limit,
                "time_limit": conf.task_time_limit,
            },
        )
        if pool.many:
            self._slots.lay_out(children=4, per_child=most)
        else:
            self._slots.lay_out(children=min(CAPACITY, 2 * most + 16), per_child=1)
        self._slots.count = least
        options = self._child_options(app, pool)
        self._consumer.spawns = options.method != "fork"
        self._consumer.tell_manifest(manifest_of(app, self._facts(app, pool)), app.facts())
        ties = Ties(
            channel=self._channel, slots=self._slots, alarm=self._alarm, baton=self._baton
        )
        self._pool = Children(app, options, ties, self._clock)
        if not pool.many:
            self._poll.register(self._alarm.out, select.POLLIN)
            self._enforcer = Enforcer(
                self._slots, self._alarm, self._pool, self._clock, lambda: range(self._slots.lines)
            )

    def _size(self, app: LiteQueue, pool: type[Pool]) -> tuple[int, int]:
        """Return how many jobs to run at once at first, and at most."""
        count = app.conf.worker_concurrency or os.cpu_count() or 1
        if "concurrency" not in pool.honours:
            if app.conf.worker_concurrency > 1:
                refuse_unhonoured(pool, {"concurrency": True})
            return 1, 1
        if self._options.autoscale is not None:
            most, least = self._options.autoscale
            return max(1, least), most
        return count, min(count + 1000, MOST_LINES) if pool.many else count

    def _child_options(self, app: LiteQueue, pool: type[Pool]) -> ChildOptions:
        conf = app.conf
        return ChildOptions(
            app_name=self._options.app_name,
            hostname=self._identity.name,
            nonce=self._identity.nonce,
            pool=conf.worker_pool,
            method=self._start_method(app, pool),
            # A program of its own imports the app anew, and all of them at the same time.
            patience=max(conf.worker_proc_alive_timeout, 4 * (self._loaded - self._began)),
            recycling=Recycling(
                tasks=conf.worker_max_tasks_per_child or 0,
                memory=(conf.worker_max_memory_per_child or 0) * 1024,
            ),
            close_in_child=self._close_in_child,
        )

    def _start_method(self, app: LiteQueue, pool: type[Pool]) -> str:
        """Return how to make children: as told, or by fork unless that is unsafe here."""
        wanted = app.conf.worker_pool_start_method
        if wanted and wanted not in pool.start_methods:
            raise ImproperlyConfigured(
                f"the pool {pool.name} cannot start its children by {wanted}; leave it out, or "
                f"use one of {', '.join(pool.start_methods)}"
            )
        if wanted or pool.start_methods[0] != "fork":
            return wanted or pool.start_methods[0]
        app.close()
        threads = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
        left = [f"thread {name}" for name in threads] + open_handles(app.path)
        if left:
            logger.warning(
                "importing %s left behind %s, which no fork may copy: children are started as "
                "new programs",
                self._options.app_name, ", ".join(left),
            )  # fmt: skip
        return "spawn" if left else "fork"

    def _facts(self, app: LiteQueue, pool: type[Pool]) -> dict[str, Any]:
        """Return what people may ask of the pool."""
        conf = app.conf
        return {
            "pool": pool.name,
            "honours": sorted(pool.honours),
            "started": self._started_at,
            "autoscale": self._options.autoscale,
            "soft_time_limit": conf.task_soft_time_limit,
            "time_limit": conf.task_time_limit,
            "max_tasks_per_child": conf.worker_max_tasks_per_child,
            "max_memory_per_child": conf.worker_max_memory_per_child,
        }

    def _close_in_child(self) -> None:
        """Close what belongs to the supervisor alone, in a forked child."""
        self._signals.close()
        self._lock.close()
        self._consumer.close_in_child()

    def _bury_children(self) -> None:
        if self._pool is None:
            return
        self._pool.look_around(self._clock.monotonic())
        deaths = list(self._pool.bury())
        for death in deaths:
            if self._phase < Phase.LEAVING:
                logger.log(
                    logging.ERROR if death.blame else logging.INFO,
                    "%s", death.reason.removesuffix(" while running it"),
                )  # fmt: skip
                self._consumer.tell_death(death)
        if deaths:
            self._balance()

    def _balance(self) -> None:
        if self._pool is not None and self._phase is Phase.RUNNING and self._pool.balance():
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
        self._slots.count = max(1, min(count, self._slots.lines))
        self._alarm.ring()  # a child of many lines looks how many it may use
        self._balance()

    # What happens

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGTERM and os.environ.get(REMAP_VARIABLE) == "SIGQUIT":
            number = signal.SIGQUIT
        if number == signal.SIGCHLD:
            return
        self._last_signal = signal.Signals(number).name
        if number == signal.SIGINT:
            self._interrupts += 1
        first = number == signal.SIGINT and self._interrupts == 1
        if number == signal.SIGHUP:
            self._restart()
        elif first or number == signal.SIGTERM:
            self._stop_warm()
        elif number == signal.SIGQUIT or (number == signal.SIGINT and self._interrupts == 2):
            self._exit_code = self._exit_code or 1
            self._stop_soft()
        elif number == signal.SIGINT:
            self._leave_at_once()

    def _on_message(self, kind: str, *fields: Any) -> None:
        if kind == messages.OPENED:
            self._opened = True
        elif kind == messages.DRAINED:
            self._leave()
        elif kind == messages.RESIZE:
            self._resize(int(fields[0]))
        elif kind == messages.RESTART:
            self._on_restart(anew=bool(fields[0]))
        elif kind in (messages.DONE, messages.SHUTDOWN):
            self._stop_warm()
        elif kind == messages.FATAL:
            code, reason = fields
            logger.error("%s", reason)
            self._exit_code = int(str(code))
            if self._pool is not None:
                self._pool.kill_all()
            self._leave()

    def _on_restart(self, *, anew: bool) -> None:
        if anew:
            self._restart()
        elif self._pool is not None:
            self._pool.replace_all()
            self._nudge_at = self._clock.monotonic()

    # Stopping

    def _restart(self) -> None:
        """Stop warmly, and begin anew as a fresh program."""
        if self._phase is Phase.RUNNING:
            self.starts_anew = True
            systemd.notify("RELOADING=1", monotonic=self._clock.monotonic())
            self._stop_warm()

    def _stop_warm(self) -> None:
        if self._phase is not Phase.RUNNING:
            return
        self._begin_stop("Warm", Phase.WARM, self._grace)
        logger.info(
            "stopping: running jobs have %g s to finish (Ctrl-C again: stop now)", self._grace
        )

    def _stop_soft(self) -> None:
        """Stop cold, after what `worker_soft_shutdown_timeout` leaves for running jobs."""
        if self._phase < Phase.SOFT and self._soft_grace:
            self._begin_stop("Soft", Phase.SOFT, self._soft_grace)
            logger.warning("stopping: running jobs have %g s to finish", self._soft_grace)
        else:
            self._stop_cold("asked to stop now")

    def _begin_stop(self, how: str, phase: Phase, grace: float) -> None:
        self._consumer.tell_stop()
        self._announce_stop(how)
        if not self.starts_anew:
            systemd.notify("STOPPING=1")
        self._phase = phase
        self._deadline = self._clock.monotonic() + grace

    def _stop_cold(self, why: str) -> None:
        if self._phase >= Phase.COLD:
            return
        logger.warning("%s: unfinished jobs go back", why)
        if self._phase is Phase.RUNNING:
            self._announce_stop("Cold")
        self._phase = Phase.COLD
        self._deadline = self._clock.monotonic() + FAREWELL
        self._consumer.tell_stop()
        if self._pool is not None:
            self._pool.kill_all()

    def _announce_stop(self, how: str) -> None:
        signals.worker_shutting_down.send(
            sender=self._identity.name, sig=self._last_signal, how=how, exitcode=self._exit_code
        )

    def _proceed(self) -> None:
        """Say when the worker is ready, and take the next step of a stop once it is due."""
        if not self._ready and self._opened and self._pool is not None and self._pool.is_ready():
            self._announce_ready()
        now = self._clock.monotonic()
        if self._end_at is not None and now >= self._end_at:
            self._end_at = None
            self._stop_warm()
        due = self._deadline is not None and now >= self._deadline
        if self._phase in (Phase.WARM, Phase.SOFT) and due:
            self._stop_cold("some jobs did not finish in time")
        elif self._phase is Phase.COLD:
            if not self._has_children() and not self._consumer.has_untold:
                self._consumer.tell_release()
            if due:
                logger.error("not all leases could be given back; the next worker will")
                self._leave_at_once()
        elif self._phase is Phase.LEAVING and (due or self._nobody_left()):
            self._leave_at_once()

    def _announce_ready(self) -> None:
        self._ready = True
        logger.info(
            "Ready in %.2f s, running %d job(s) at a time",
            self._clock.monotonic() - self._began, self._slots.count,
        )  # fmt: skip
        systemd.notify("READY=1", f"STATUS=running {self._slots.count} job(s) at a time")
        signals.worker_ready.send(sender=self)

    def _leave(self) -> None:
        """Every lease is settled or given back: send everybody home."""
        if self._phase < Phase.LEAVING:
            self._phase = Phase.LEAVING
            self._deadline = self._clock.monotonic() + FAREWELL
            self._consumer.tell_exit()
            self._channel.hang_up()
            os.close(self._baton[1])
            self._baton = (self._baton[0], -1)

    def _leave_at_once(self) -> None:
        if not self._nobody_left():
            self._exit_code = self._exit_code or 1
        self._phase = Phase.GONE

    def _has_children(self) -> bool:
        return self._pool is not None and len(self._pool) > 0

    def _nobody_left(self) -> bool:
        return not self._consumer.is_running and not self._has_children()

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
            with contextlib.suppress(OSError):
                os.close(end)
        self._lock.close()
        remove_files(self._identity)


def _directory(path: str) -> str:
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        raise StoreError(f"there is no directory {parent}; make it, or check the path of the file")
    directory = side_directory(path)
    if directory is None:
        raise StoreError(
            f"{path}.bell cannot be this worker's directory: it must be yours and writable; "
            f"look at it with `ls -ld {path}.bell`"
        )
    return directory


def open_handles(path: str) -> list[str]:
    """Return the queue file and its companions, as far as this process has them open (Linux)."""
    names = [path, path + "-wal", path + "-shm"]
    try:
        descriptors = os.listdir("/proc/self/fd")
    except OSError:
        return []
    found = set()
    for descriptor in descriptors:
        try:
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:
            continue  # the descriptor of the listing itself
    return [name for name in names if os.path.realpath(name) in found]


def reap_all_but(own: Container[int]) -> None:
    """Reap dead children; stop at one of ours, which is for `bury` and `look_after` to reap."""
    try:
        while (status := os.waitid(os.P_ALL, 0, _LOOK)) is not None and status.si_pid not in own:
            os.waitpid(status.si_pid, os.WNOHANG)
    except ChildProcessError:
        return
