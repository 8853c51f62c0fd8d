"""The supervisor: owns the processes of a worker, never its file.

It forks the consumer while it is still clean, then imports the app and forks the children.  It
restarts what dies, and ends what must not live on; every decision about jobs is the consumer's.
"""

from __future__ import annotations

import contextlib
import enum
import gc
import json
import logging
import os
import select
import signal
import threading
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any, Final

from litequeue import signals
from litequeue.app import LiteQueue
from litequeue.clock import SYSTEM, Clock
from litequeue.config import Settings
from litequeue.exceptions import StoreError
from litequeue.locks import HeldLock
from litequeue.store import migrations  # noqa: F401 - with peewee, loaded before any fork
from litequeue.store.filesystem import side_directory
from litequeue.task import Task
from litequeue.worker import link as messages
from litequeue.worker.channel import Channel
from litequeue.worker.consumer import ConsumerOptions
from litequeue.worker.consumer_process import ConsumerProcess
from litequeue.worker.link import Manifest
from litequeue.worker.liveness import base_path, own_identity
from litequeue.worker.neighbours import remove_files
from litequeue.worker.os_signals import STOP_SIGNALS, WakePipe
from litequeue.worker.pools.prefork import HANDSHAKE, PoolOptions, Prefork
from litequeue.worker.slots import CAPACITY, Slots

logger: Final = logging.getLogger("litequeue.worker")

LOOK_AROUND: Final = 4.0
"""Seconds between two looks at what makes no noise: a consumer or a child that hangs."""
OVERDUE: Final = 1.5
"""How many times `LOOK_AROUND` without a look mean that this process stood still, perhaps all."""
STARTING: Final = 0.01
"""Seconds between two looks whether all children listen; `SLOW_START` after `SOON` seconds."""
SLOW_START: Final = 0.25
SOON: Final = 2.0
PARTING: Final = 2.0
"""Seconds that a consumer has to leave once it was told to."""
_LOOK: Final = os.WEXITED | os.WNOHANG | os.WNOWAIT
FAREWELL: Final = 10.0
"""Seconds that the consumer has to give the last leases back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What ``litequeue worker`` was told.  ``load`` imports the app."""

    path: str
    app_name: str
    load: Callable[[], LiteQueue]
    settings: Settings
    concurrency: int | None = None
    queues: tuple[str, ...] = ()
    name: str | None = None
    start_method: str | None = None


class Phase(enum.IntEnum):
    """How far a worker's stop has come."""

    RUNNING = 0
    WARM = 1
    COLD = 2
    LEAVING = 3
    GONE = 4


class Supervisor:
    """One worker, from its start to its end."""

    def __init__(self, options: WorkerOptions, clock: Clock = SYSTEM) -> None:
        self._options = options
        self._clock = clock
        self._began = self._loaded = self._looked = clock.monotonic()
        self._signals = WakePipe((*STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD))
        self._identity = own_identity(_directory(options.path), options.name)
        base = base_path(self._identity)
        self._lock = HeldLock(base + ".lock")
        self._slots = Slots(base + ".slots", capacity=CAPACITY)
        self._channel = Channel(base)
        self._poll = select.poll()
        self._poll.register(self._signals.fd, select.POLLIN)
        self._consumer = ConsumerProcess(
            ConsumerOptions(
                path=options.path,
                settings=options.settings,
                identity=self._identity,
                queues=json.dumps(options.queues) if options.queues else None,
            ),
            self._channel,
            self._slots,
            self._lock,
            poll=self._poll,
            clock=clock,
            close_in_child=self._signals.close,
        )
        self._pool: Prefork | None = None
        self._phase = Phase.RUNNING
        self._exit_code = 0
        self._grace = 0.0
        self._interrupts = 0
        self._last_signal = ""
        self._deadline: float | None = None
        self._opened = False
        self._ready = False

    def run(self) -> int:
        """Work until stopped; return the exit code."""
        try:
            self._consumer.start()
            app = self._load()
            warm_up(app)
            self._grace = app.conf.worker_grace
            self._slots.count = (
                self._options.concurrency or app.conf.worker_concurrency or os.cpu_count() or 1
            )
            self._consumer.tell_manifest(manifest_of(app), app.facts())
            options = self._pool_options(app)
            self._consumer.spawns = options.spawn
            self._pool = Prefork(app, options, self._channel, self._slots, self._clock)
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
        self._bury_children()
        self._consumer.look_after()
        self._reap_adopted()
        self._proceed()

    def _sleep_time(self) -> float:
        moments = [LOOK_AROUND, self._consumer.time_left()]
        if self._phase is Phase.RUNNING:
            moments.append(self._pool.fill() if self._pool is not None else None)
            moments.append(None if self._ready else self._starting_pace())
        if self._deadline is not None:
            moments.append(self._deadline - self._clock.monotonic())
        return max(0.0, min(moment for moment in moments if moment is not None))

    def _starting_pace(self) -> float:
        return STARTING if self._clock.monotonic() - self._loaded < SOON else SLOW_START

    def _notice_standstill(self) -> None:
        """After a Ctrl-Z or `docker pause` of all, the silence of the others says nothing."""
        now, before = self._clock.monotonic(), self._looked
        self._looked = now
        if now - before > OVERDUE * LOOK_AROUND:
            self._consumer.begin_anew()
            if self._pool is not None:
                self._pool.begin_anew()

    def _reap_adopted(self) -> None:
        """Reap orphans that the kernel gave to us: a worker may be PID 1 of a container."""
        if os.getpid() == 1:
            pool = self._pool.pids() if self._pool is not None else set()
            reap_all_but({self._consumer.pid, *pool})

    # Children

    def _pool_options(self, app: LiteQueue) -> PoolOptions:
        return PoolOptions(
            app_name=self._options.app_name,
            hostname=self._identity.name,
            nonce=self._identity.nonce,
            spawn=self._must_spawn(app),
            # A program of its own imports the app anew, and all of them at the same time.
            patience=max(HANDSHAKE, 4 * (self._loaded - self._began)),
            close_in_child=self._close_in_child,
        )

    def _must_spawn(self, app: LiteQueue) -> bool:
        """Tell whether forking is unsafe here, and say why."""
        method = self._options.start_method
        if method is not None:
            return method == "spawn"
        app.close()
        threads = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
        left = [f"thread {name}" for name in threads] + open_handles(app.path)
        if left:
            logger.warning(
                "importing %s left behind %s, which no fork may copy: children are started as "
                "new programs",
                self._options.app_name, ", ".join(left),
            )  # fmt: skip
        return bool(left)

    def _close_in_child(self) -> None:
        """Close what belongs to the supervisor alone, in a forked child."""
        self._signals.close()
        self._lock.close()
        self._consumer.close_in_child()

    def _bury_children(self) -> None:
        if self._pool is None:
            return
        self._pool.kill_late_starters()
        for death in self._pool.bury():
            if self._phase < Phase.LEAVING:
                logger.log(
                    logging.ERROR if death.blame else logging.INFO,
                    "%s", death.reason.removesuffix(" while running it"),
                )  # fmt: skip
                self._consumer.tell_death(death)

    # What happens

    def _on_signal(self, number: int) -> None:
        self._last_signal = signal.Signals(number).name
        if number == signal.SIGINT:
            self._interrupts += 1
        first = number == signal.SIGINT and self._interrupts == 1
        if first or number in (signal.SIGTERM, signal.SIGHUP):
            self._stop_warm()
        elif number == signal.SIGQUIT or (number == signal.SIGINT and self._interrupts == 2):
            self._exit_code = self._exit_code or 1
            self._stop_cold("asked to stop now")
        elif number == signal.SIGINT:
            self._leave_at_once()

    def _on_message(self, kind: str, *fields: object) -> None:
        if kind == messages.OPENED:
            self._opened = True
        elif kind == messages.DRAINED:
            self._leave()
        elif kind == messages.FATAL:
            code, reason = fields
            logger.error("%s", reason)
            self._exit_code = int(str(code))
            if self._pool is not None:
                self._pool.kill_all()
            self._leave()

    # Stopping

    def _stop_warm(self) -> None:
        if self._phase is not Phase.RUNNING:
            return
        self._consumer.tell_stop()
        self._announce_stop("Warm")
        logger.info(
            "stopping: running jobs have %g s to finish (Ctrl-C again: stop now)", self._grace
        )
        self._phase = Phase.WARM
        self._deadline = self._clock.monotonic() + self._grace

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
            self._ready = True
            logger.info(
                "Ready in %.2f s, running %d job(s) at a time",
                self._clock.monotonic() - self._began,
                len(self._pool),
            )
            signals.worker_ready.send(sender=self)
        due = self._deadline is not None and self._clock.monotonic() >= self._deadline
        if self._phase is Phase.WARM and due:
            self._stop_cold("some jobs did not finish in time")
        elif self._phase is Phase.COLD:
            if not self._has_children() and not self._consumer.has_untold:
                self._consumer.tell_release()
            if due:
                logger.error("not all leases could be given back; the next worker will")
                self._leave_at_once()
        elif self._phase is Phase.LEAVING and (due or self._nobody_left()):
            self._leave_at_once()

    def _leave(self) -> None:
        """Every lease is settled or given back: send everybody home."""
        if self._phase < Phase.LEAVING:
            self._phase = Phase.LEAVING
            self._deadline = self._clock.monotonic() + FAREWELL
            self._consumer.tell_exit()
            self._channel.hang_up()

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
        if self._pool is not None:
            signals.worker_shutdown.send(sender=self)
        self._consumer.tell_exit()
        self._consumer.end(PARTING)
        self._channel.close()
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


def _kind(task: Task[..., Any]) -> int:
    return (
        (0 if task.acks_late else messages.ONCE)
        | (0 if task.reject_on_worker_lost else messages.FRAGILE)
        | (0 if task.track_started else messages.UNTRACKED)
        | (messages.HOOKED if task.hooks & {"on_failure", "after_return"} else 0)
    )


def warm_up(app: LiteQueue) -> None:
    """Load before the fork what every child would load by itself at its first job."""
    body = app.codec.dumps_arguments((), {}, limit=99)
    app.codec.loads_arguments(body)
    for task in app.tasks.values():
        with contextlib.suppress(ValueError):  # a task's own affair, when it runs
            app.types.fit(task.run, (), {})


def manifest_of(app: LiteQueue) -> Manifest:
    """Return what the consumer must know of an app."""
    conf, tasks = app.conf, app.tasks
    return Manifest(
        tasks=tuple(tasks),
        kinds=tuple(map(_kind, tasks.values())),
        listens=tuple(signals.connected()),
        max_deliveries=conf.task_max_deliveries,
        result_expires=conf.result_expires,
        result_failure_expires=conf.result_failure_expires,
        visibility_timeout=conf.visibility_timeout,
        durability=conf.durability,
    )


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
