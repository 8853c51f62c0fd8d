"""The supervisor: owns the processes of a worker, never its file.

It forks the consumer while it is still clean, then imports the app and forks the children.  It
restarts what dies, and ends what must not live on; every decision about jobs is the consumer's.
"""

from __future__ import annotations

import dataclasses
import enum
import gc
import logging
import os
import select
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from litequeue.app import LiteQueue
from litequeue.clock import SYSTEM, Clock
from litequeue.config import Settings
from litequeue.exceptions import StoreError
from litequeue.locks import HeldLock
from litequeue.store.filesystem import side_directory
from litequeue.worker import link as messages
from litequeue.worker.channel import Channel
from litequeue.worker.consumer import Consumer, ConsumerOptions
from litequeue.worker.duties import queues_as_json, remove_files
from litequeue.worker.link import Death, Link, Manifest, link_pair
from litequeue.worker.liveness import base_path, own_identity
from litequeue.worker.os_signals import STOP_SIGNALS, WakePipe, ignore_stop_signals
from litequeue.worker.pools.prefork import PoolOptions, Prefork
from litequeue.worker.slots import Slots

logger = logging.getLogger("litequeue.worker")

LOOK_AROUND: Final = 2.0
"""Seconds between two looks at what makes no noise: a consumer that hangs, a child that does."""
SILENCE: Final = 10.0
"""Seconds without a beat after which the consumer is replaced: it may hold the write lock."""
FAREWELL: Final = 10.0
"""Seconds that the consumer has to give the last leases back."""
LONGEST_PAUSE: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What ``litequeue worker`` was told.  ``load`` imports the app."""

    path: str
    app_name: str
    load: Callable[[], LiteQueue]
    settings: Settings
    concurrency: int
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
        self._began = clock.monotonic()
        directory = side_directory(options.path)
        if directory is None:
            raise StoreError(
                f"{options.path}.bell cannot be used as this worker's directory; it must be yours "
                f"and writable: try `ls -ld {options.path}.bell`"
            )
        self._identity = own_identity(directory, options.name, options.concurrency)
        base = base_path(self._identity)
        self._lock = HeldLock(base + ".lock")
        self._slots = Slots(base + ".slots", options.concurrency)
        self._channel = Channel(base)
        self._signals = WakePipe((*STOP_SIGNALS, signal.SIGCHLD))
        self._poll = select.poll()
        self._poll.register(self._signals.fd, select.POLLIN)
        self._phase = Phase.RUNNING
        self._exit_code = 0
        self._interrupts = 0
        self._deadline: float | None = None
        self._consumer = 0
        self._link: Link | None = None
        self._pool: Prefork | None = None
        self._manifest: Manifest | None = None
        self._deaths: dict[int, Death] = {}
        self._death_count = 0
        self._opened = False
        self._ready = False
        self._beats = (-1, 0.0)
        self._consumer_started = 0.0
        self._consumer_pause = 0.0

    def run(self) -> int:
        """Work until stopped; return the exit code."""
        try:
            self._start_consumer()
            app = self._options.load()
            self._manifest = _manifest(app)
            self._tell_manifest()
            self._pool = Prefork(app, self._pool_options(app), self._channel, self._slots,
                                 self._clock)  # fmt: skip
            gc.collect()
            gc.freeze()
            while self._phase is not Phase.GONE:
                self._step()
            return self._exit_code
        finally:
            self._clean_up()

    def _step(self) -> None:
        timeout = LOOK_AROUND
        if self._pool is not None and self._phase is Phase.RUNNING:
            timeout = min(timeout, self._pool.fill() or timeout)
        if not self._ready and self._phase is Phase.RUNNING:
            timeout = 0.01
        if self._deadline is not None:
            timeout = min(timeout, max(0.0, self._deadline - self._clock.monotonic()))
        self._poll.poll(timeout * 1000)
        for number in self._signals.read():
            self._on_signal(number)
        self._listen()
        self._notice_deaths()
        self._look_around()
        self._proceed()

    # Starting

    def _start_consumer(self) -> None:
        ours, theirs = link_pair()
        options = ConsumerOptions(
            path=self._options.path,
            settings=self._options.settings,
            identity=self._identity,
            queues=queues_as_json(self._options.queues),
        )
        pid = os.fork()
        if pid == 0:
            self._become_consumer(options, ours, theirs)
        theirs.close()
        self._consumer, self._link = pid, ours
        self._consumer_started = self._clock.monotonic()
        self._beats = (-1, self._consumer_started)
        self._poll.register(ours.socket, select.POLLIN)

    def _become_consumer(self, options: ConsumerOptions, ours: Link, theirs: Link) -> None:
        code = 1
        try:
            ours.close()
            self._signals.close()
            ignore_stop_signals()
            Consumer(options, theirs, self._channel, self._slots, self._clock).run()
            code = 0
        except BaseException:
            logger.exception("the consumer failed")
        finally:
            logging.shutdown()
            os._exit(code)

    def _tell_manifest(self) -> None:
        if self._manifest is not None and self._link is not None:
            self._link.send(messages.MANIFEST, *dataclasses.astuple(self._manifest))

    def _pool_options(self, app: LiteQueue) -> PoolOptions:
        return PoolOptions(
            app_name=self._options.app_name,
            hostname=self._identity.name,
            nonce=self._identity.nonce,
            spawn=self._must_spawn(app),
            close_in_child=self._close_in_child,
        )

    def _must_spawn(self, app: LiteQueue) -> bool:
        """Tell whether forking is unsafe here, and say why."""
        method = self._options.start_method
        if method is not None:
            return method == "spawn"
        app.close()
        threads = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
        handles = open_handles(app.path)
        if threads:
            logger.warning(
                "importing %s started threads (%s); children are started as new programs",
                self._options.app_name, ", ".join(threads),
            )  # fmt: skip
        if handles:
            logger.warning(
                "importing %s left %s open; children are started as new programs",
                self._options.app_name, ", ".join(handles),
            )  # fmt: skip
        return bool(threads or handles)

    def _close_in_child(self) -> None:
        """Close what belongs to the supervisor alone, in a forked child."""
        self._signals.close()
        self._lock.close()
        if self._link is not None:
            self._link.close()

    # What happens

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGINT:
            self._interrupts += 1
        if number == signal.SIGTERM or (number == signal.SIGINT and self._interrupts == 1):
            self._stop_warm()
        elif number == signal.SIGQUIT or (number == signal.SIGINT and self._interrupts == 2):
            self._stop_cold("asked to stop now")
        elif number == signal.SIGINT:
            self._leave_at_once()

    def _listen(self) -> None:
        if self._link is None:
            return
        try:
            for kind, *fields in self._link.receive():
                if kind == messages.OPENED:
                    self._opened = True
                elif kind == messages.ACKNOWLEDGED:
                    self._deaths.pop(fields[0], None)
                elif kind == messages.DRAINED:
                    self._leave()
                elif kind == messages.FATAL:
                    self._give_up(*fields)
        except EOFError:
            self._poll.unregister(self._link.socket)
            self._link.close()
            self._link = None  # its death is noticed by waiting for it

    def _notice_deaths(self) -> None:
        if self._pool is not None:
            for death in self._pool.bury():
                self._death_count += 1
                if self._phase < Phase.LEAVING:
                    self._deaths[self._death_count] = death
                    self._tell_death(self._death_count, death)
                    log = logger.info if not death.blame else logger.error
                    log("%s", death.reason.removesuffix(" while running it"))
        if self._consumer and os.waitpid(self._consumer, os.WNOHANG)[0]:
            self._consumer = 0
            self._on_consumer_death()
        _reap_adopted()

    def _tell_death(self, number: int, death: Death) -> None:
        if self._link is not None:
            self._link.send(messages.DIED, number, *dataclasses.astuple(death))

    def _on_consumer_death(self) -> None:
        if self._phase >= Phase.LEAVING:
            return
        now = self._clock.monotonic()
        quick = now - self._consumer_started < 1.0
        self._consumer_pause = min(LONGEST_PAUSE, self._consumer_pause * 2 or 0.1) if quick else 0.0
        logger.error("the consumer died; another one takes over in %g s", self._consumer_pause)
        self._clock.sleep(self._consumer_pause)
        if self._link is not None:
            self._poll.unregister(self._link.socket)
            self._link.close()
        self._start_consumer()
        self._tell_manifest()
        for number, death in self._deaths.items():
            self._tell_death(number, death)
        if self._phase > Phase.RUNNING and self._link is not None:
            self._link.send(messages.STOP)
            if self._phase is Phase.COLD and self._pool is not None and not len(self._pool):
                self._link.send(messages.RELEASE)

    def _look_around(self) -> None:
        """Notice what makes no noise."""
        now = self._clock.monotonic()
        if self._pool is not None:
            self._pool.kill_late_starters()
        beats = self._slots.beats()
        if beats != self._beats[0]:
            self._beats = (beats, now)
        elif self._consumer and now - self._beats[1] > SILENCE:
            logger.error("the consumer has been silent for %g s; it is replaced", SILENCE)
            os.kill(self._consumer, signal.SIGKILL)
            self._beats = (beats, now)
        if not self._ready and self._opened and self._pool is not None and self._pool.is_ready():
            self._ready = True
            logger.info("Ready in %.2f s", now - self._began)

    # Stopping

    def _stop_warm(self) -> None:
        if self._phase is not Phase.RUNNING:
            return
        grace = self._options.settings.worker_grace
        logger.info("stopping: running jobs have %g s to finish (Ctrl-C again: stop now)", grace)
        self._phase = Phase.WARM
        self._deadline = self._clock.monotonic() + grace
        if self._link is not None:
            self._link.send(messages.STOP)
        if self._manifest is None:
            self._leave()

    def _stop_cold(self, why: str) -> None:
        if self._phase >= Phase.COLD:
            return
        logger.warning("%s: unfinished jobs go back", why)
        if self._phase is Phase.RUNNING or self._interrupts > 1:
            self._exit_code = self._exit_code or 1
        self._phase = Phase.COLD
        self._deadline = self._clock.monotonic() + FAREWELL
        if self._link is not None:
            self._link.send(messages.STOP)
        if self._pool is not None:
            self._pool.kill_all()

    def _proceed(self) -> None:
        """Take the next step of a stop once it is due."""
        due = self._deadline is not None and self._clock.monotonic() >= self._deadline
        if self._phase is Phase.WARM and due:
            self._stop_cold("some jobs did not finish in time")
        elif self._phase is Phase.COLD:
            self._release_once()
            if due:
                logger.error("the consumer could not give back all leases; the next worker will")
                self._leave_at_once()
        elif self._phase is Phase.LEAVING and (due or self._nobody_left()):
            self._leave_at_once()

    def _release_once(self) -> None:
        if self._pool is not None and not len(self._pool) and not self._deaths:
            if self._link is not None:
                self._link.send(messages.RELEASE)

    def _leave(self) -> None:
        """Every lease is settled or given back: send everybody home."""
        if self._phase >= Phase.LEAVING:
            return
        self._phase = Phase.LEAVING
        self._deadline = self._clock.monotonic() + FAREWELL
        if self._link is not None:
            self._link.send(messages.EXIT)
        self._channel.hang_up()

    def _give_up(self, code: int, reason: str) -> None:
        logger.error("%s", reason)
        self._exit_code = code
        if self._pool is not None:
            self._pool.kill_all()
        self._leave()

    def _nobody_left(self) -> bool:
        return not self._consumer and (self._pool is None or not len(self._pool))

    def _leave_at_once(self) -> None:
        if not self._nobody_left():
            self._exit_code = self._exit_code or 1
        self._phase = Phase.GONE

    def _clean_up(self) -> None:
        """Leave no process and no file behind."""
        if self._pool is not None:
            self._pool.kill_all()
            while len(self._pool):
                for _ in self._pool.bury():
                    pass
                self._clock.sleep(0.001)
        if self._consumer:
            if self._link is not None:
                self._link.send(messages.EXIT)
            self._wait_for_consumer()
        self._channel.close()
        self._lock.close()
        remove_files(self._identity)

    def _wait_for_consumer(self) -> None:
        deadline = self._clock.monotonic() + LOOK_AROUND
        while not os.waitpid(self._consumer, os.WNOHANG)[0]:
            if self._clock.monotonic() > deadline:
                os.kill(self._consumer, signal.SIGKILL)
            self._clock.sleep(0.002)


def _manifest(app: LiteQueue) -> Manifest:
    conf = app.conf
    return Manifest(
        tasks=tuple(app.tasks),
        max_deliveries=conf.task_max_deliveries,
        result_expires=conf.result_expires,
        result_failure_expires=conf.result_failure_expires,
        visibility_timeout=conf.visibility_timeout,
    )


def open_handles(path: str) -> list[str]:
    """Return the queue file and its companions, as far as this process has them open (Linux)."""
    names = {path, path + "-wal", path + "-shm"}
    found = set()
    try:
        descriptors = os.listdir("/proc/self/fd")
    except OSError:
        return []
    for descriptor in descriptors:
        try:
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:
            continue
    real = {os.path.realpath(name): name for name in names}
    return sorted(real[name] for name in found & real.keys())


def _reap_adopted() -> None:
    """Reap processes that are nobody's any more: a worker may be PID 1 of a container."""
    if os.getpid() != 1:
        return
    try:
        while True:
            status = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if status is None or os.getsid(status.si_pid) == status.si_pid:
                return
            os.waitpid(status.si_pid, os.WNOHANG)
    except (ChildProcessError, ProcessLookupError):
        return
