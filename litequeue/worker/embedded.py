"""A worker inside a program: its consumer and its pool are threads beside the program's own.

It takes no signals, prints nothing, configures no logging, and starts no process.  Of many
programs that may have one for the same file, ``single`` has one work at a time.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import logging
import os
import select
import socket
import threading
import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final

from litequeue import signals
from litequeue.app import LiteQueue
from litequeue.clock import Clock
from litequeue.exceptions import ImproperlyConfigured, LiteQueueError, StoreError
from litequeue.locks import Election
from litequeue.periodic import entries_of
from litequeue.worker.consumer import ConsumerOptions
from litequeue.worker.liveness import own_identity, worker_directory
from litequeue.worker.manifest import manifest_of
from litequeue.worker.pool_plan import facts_of, limits_of
from litequeue.worker.pools import ALIASES, Pool, find_pool, refuse_unhonoured
from litequeue.worker.queue_choice import QueueChoice
from litequeue.worker.shift import FAREWELL, Plan, Shift
from litequeue.worker.time_limits import Alarm

logger: Final = logging.getLogger("litequeue.worker")
logger.addHandler(logging.NullHandler())  # or Python would print what nobody asked for

TRY_AGAIN: Final = 0.5
"""Seconds between two tries to be the one that works."""
LONGEST_PAUSE: Final = 30.0
ELECTION: Final = "single.lock"
"""The name of the file by which one of many is chosen."""
AT_EXIT: Final = 1.0
"""Seconds that running jobs have to finish when the program ends and did not stop its worker."""
EMBEDDABLE: Final = ("threads", "aio", "solo")

_workers: weakref.WeakSet[EmbeddedWorker] = weakref.WeakSet()
_count = itertools.count(1)


class EmbeddedWorker:
    """A worker that this program may start and stop, as often as it likes, from any thread.

    ``pool`` is "threads", "aio" or "solo", ``concurrency`` how many jobs it runs at once, and
    ``queues`` which ones it reads (default: all).  With ``single`` it works only while no other
    such worker of the file does, in this program or another; it takes over within a second.
    ``on_working`` is called, in a thread of the worker's, whenever it begins to take jobs.
    ``beat`` says whether it sends periodic jobs, too.

    In a ``with`` block it works, or raises what keeps it from that.  Raises `ImproperlyConfigured`
    for what makes no sense.
    """

    def __init__(
        self,
        app: LiteQueue,
        *,
        pool: str = "threads",
        concurrency: int = 2,
        queues: Iterable[str] | str | None = None,
        name: str | None = None,
        single: bool = False,
        on_working: Callable[[], object] | None = None,
        beat: bool = True,
    ) -> None:
        self._app = app
        self._pool, self._concurrency = _checked(pool, concurrency)
        self._queues = _listed(queues)
        self._name = name or _default_name()
        self._single = single
        self._on_working = on_working
        self._beat = beat
        self._clock: Clock = app.clock
        self._lock = threading.RLock()
        self._keeper: threading.Thread | None = None
        self._alarm: Alarm | None = None
        self._closing: weakref.finalize[..., EmbeddedWorker]
        self._shift: Shift | None = None
        self._deadline: float | None = None
        self._settled = threading.Event()
        self._working = False
        self._all_finished = True
        self.failure: LiteQueueError | None = None
        """Why it does not work; it goes on trying."""
        _workers.add(self)

    @property
    def name(self) -> str:
        """The worker's name, as `litequeue workers` shows it."""
        return self._name

    @property
    def is_running(self) -> bool:
        """Whether it has been started, and not stopped since."""
        return self._keeper is not None and self._keeper.is_alive() and self._deadline is None

    @property
    def is_working(self) -> bool:
        """Whether it takes jobs: with ``single``, only one of many does."""
        return self._working and self.is_running

    def start(self) -> EmbeddedWorker:
        """Start, and return at once; the file is opened by a thread.  A second call does nothing.

        Raises what the modules raise that the app includes, and `StoreError` where there is no
        directory for the file.
        """
        with self._lock:
            if self.is_running:
                return self
            self._join(None)  # a stop that is under way
            plan = self._plan()
            signals.worker_init.send(sender=self)
            if self._beat:
                signals.beat_embedded_init.send(sender=self)
            self._deadline = self.failure = None
            self._all_finished = True
            self._settled.clear()
            if self._alarm is None:
                self._alarm = Alarm()
                self._closing = weakref.finalize(self, self._alarm.close)
                self._closing.atexit = False  # or it would come before the last stop
            self._keeper = threading.Thread(
                target=self._keep, args=(plan, self._alarm), name="litequeue-worker", daemon=True
            )
            self._keeper.start()
        return self

    def _plan(self) -> Plan:
        app = self._app
        app.import_modules()
        refuse_unhonoured(self._pool, limits_of(app.conf))
        facts = facts_of(self._pool, app.conf, started=app.clock.now())
        options = ConsumerOptions(
            path=app.path,
            settings=app.conf,
            identity=own_identity(worker_directory(app.path), self._name),
            queues=QueueChoice(names=self._queues),
            beat=self._beat,
        )
        return Plan(
            app=app,
            pool=self._pool,
            concurrency=self._concurrency,
            options=options,
            manifest=manifest_of(app, facts),
            facts=app.facts(),
            entries=entries_of(app) if self._beat else None,
        )

    def stop(self, timeout: float | None = None) -> bool:
        """Take no more jobs, and wait for those that run; tell whether all of them finished.

        After ``timeout`` seconds (default: the setting `worker_grace`) they are given back to the
        file and run again elsewhere.  Their threads cannot be killed and go on until they notice.
        """
        grace = self._app.conf.worker_grace if timeout is None else timeout
        with self._lock:
            self._ask_to_stop(grace)
        return self._join(grace + 2 * FAREWELL) and self._all_finished

    def __enter__(self) -> EmbeddedWorker:
        """Start, and wait until it works; with ``single``, or while the file is locked, later."""
        self.start()
        if not self._single:
            self._settled.wait(self._app.conf.queue_busy_timeout)
            if self.failure is not None:
                self.stop(0.0)
                raise self.failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop: at once when the block failed."""
        self.stop(None if error is None else 0.0)

    def _ask_to_stop(self, grace: float) -> None:
        deadline = self._clock.monotonic() + grace
        self._deadline = deadline if self._deadline is None else min(self._deadline, deadline)
        shift, alarm = self._shift, self._alarm
        if shift is not None:
            shift.stop(self._deadline)
        if alarm is not None:
            alarm.ring()

    def _join(self, patience: float | None) -> bool:
        keeper = self._keeper
        if keeper is None or keeper is threading.current_thread():
            return keeper is None
        keeper.join(patience)
        return not keeper.is_alive()

    # In the thread that keeps it going

    def _keep(self, plan: Plan, alarm: Alarm) -> None:
        pause = 0.0
        work = self._work_once_elected if self._single else self._work
        try:
            while self._deadline is None:
                try:
                    work(plan, alarm)
                except (LiteQueueError, OSError) as error:
                    failure = error if isinstance(error, LiteQueueError) else StoreError(str(error))
                    self.failure = failure
                    self._settled.set()
                    pause = min(LONGEST_PAUSE, pause * 2 or 1.0)
                    logger.error("%s; trying again in %g s", error, pause)
                    self._sleep(alarm, pause)
        finally:
            self._settled.set()

    def _work_once_elected(self, plan: Plan, alarm: Alarm) -> None:
        election = Election(os.path.join(plan.identity.directory, ELECTION))
        while not election.win():
            self._sleep(alarm, TRY_AGAIN)
            if self._deadline is not None:
                return
        try:
            self._work(plan, alarm)
        finally:
            election.resign()

    def _work(self, plan: Plan, alarm: Alarm) -> None:
        self._shift = shift = Shift(
            plan,
            alarm,
            self._clock,
            opened=self._opened,
            asked_to_stop=lambda: self._ask_to_stop(self._app.conf.worker_grace),
        )
        try:
            if self._deadline is not None:  # it came before there was a shift to tell
                shift.stop(self._deadline)
            shift.run()
        finally:
            self._working = False
            self._all_finished = not shift.gave_back
            self._shift = None

    def _opened(self) -> None:
        self._app.introduced = self._working = True
        self.failure = None
        self._settled.set()
        signals.worker_ready.send(sender=self)
        if self._on_working is not None:
            try:
                self._on_working()
            except Exception:
                logger.exception("on_working failed")

    def _sleep(self, alarm: Alarm, seconds: float) -> None:
        waiting = select.poll()
        waiting.register(alarm.out, select.POLLIN)
        until = self._clock.monotonic() + seconds
        while self._deadline is None and (left := until - self._clock.monotonic()) > 0:
            waiting.poll(left * 1000)
            alarm.hear()

    def _forget(self) -> None:
        """Be a worker that was never started: in a fork there are no threads."""
        if self._shift is not None:
            self._shift.close_in_fork()
        if self._alarm is not None:
            self._closing.detach()
            self._alarm.close()
        self._lock = threading.RLock()
        self._settled = threading.Event()
        self._keeper = self._shift = self._alarm = self._deadline = None
        self._working = False


def _checked(pool: str, concurrency: int) -> tuple[type[Pool], int]:
    """Return the pool and its size; raise `ImproperlyConfigured` for what cannot be had here."""
    name = ALIASES.get(pool, pool)
    if type(concurrency) is not int or concurrency < 1:
        raise ImproperlyConfigured(f"concurrency is a number above 0, not {concurrency!r}")
    if name == "solo":
        return find_pool("threads"), 1
    found = None if name in ("prefork", "gevent") else find_pool(name)
    if found is None or "embedded" not in found.honours:
        raise ImproperlyConfigured(
            f"the pool {pool!r} needs processes of its own, and this worker is a part of yours; "
            f"use {', '.join(map(repr, EMBEDDABLE[:-1]))} or {EMBEDDABLE[-1]!r}, or run "
            f"`litequeue worker -P {pool}` beside your program"
        )
    return found, concurrency


def _listed(queues: Iterable[str] | str | None) -> tuple[str, ...] | None:
    if queues is None:
        return None
    parts = queues.split(",") if isinstance(queues, str) else queues
    return tuple(part.strip() for part in parts if part.strip()) or None


def _default_name() -> str:
    number = next(_count)
    return f"{socket.gethostname()}-{os.getpid()}" + (f"-{number}" if number > 1 else "")


def _stop_all() -> None:
    """Give the leases back when the program ends and nobody has stopped its workers."""
    for worker in list(_workers):
        if worker.is_running:
            worker._ask_to_stop(AT_EXIT)
    for worker in list(_workers):
        with contextlib.suppress(RuntimeError):
            worker._join(AT_EXIT + FAREWELL)


def _forget_all() -> None:
    for worker in list(_workers):
        worker._forget()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
