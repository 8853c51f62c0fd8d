"""A shift: one stretch of work of a worker whose consumer and pool are threads of this process.

What a supervisor is to its processes, a shift is to its threads, but for this: a thread cannot be
killed.  A job that does not end in time is given back to the file while it runs on, and what it
comes to is not taken any more.
"""

from __future__ import annotations

import contextlib
import logging
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from litequeue import signals
from litequeue.app import LiteQueue
from litequeue.clock import Clock
from litequeue.context import working_for
from litequeue.entry import Entry
from litequeue.exceptions import StoreError
from litequeue.facts import AppFacts
from litequeue.locks import HeldLock
from litequeue.periodic import owner_of
from litequeue.store.workers import Identity
from litequeue.worker import link as messages
from litequeue.worker.channel import Channel
from litequeue.worker.consumer import Consumer, ConsumerOptions
from litequeue.worker.introduction import about_app, about_entries
from litequeue.worker.link import Manifest, link_pair
from litequeue.worker.liveness import base_path
from litequeue.worker.neighbours import remove_files
from litequeue.worker.pool_plan import ROOM_TO_GROW
from litequeue.worker.pools import Pool, Station
from litequeue.worker.slots import MOST_LINES, Slots, Stage
from litequeue.worker.time_limits import Alarm

logger: Final = logging.getLogger("litequeue.worker")

FAREWELL: Final = 5.0
"""Seconds that the consumer has to give the last leases back."""
HEALTHY: Final = 1.0
LONGEST_PAUSE: Final = 10.0


class ShiftFailed(StoreError):
    """The worker in this program cannot go on; its log says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a shift is to do, and as whom.  ``options`` are for the consumer.

    ``entries`` are those of the app's code, None where beat is not wanted.
    """

    app: LiteQueue
    pool: type[Pool]
    concurrency: int
    options: ConsumerOptions
    manifest: Manifest
    facts: AppFacts
    entries: Sequence[Entry] | None

    @property
    def identity(self) -> Identity:
        """Who works."""
        return self.options.identity


class Shift:
    """From the entry into the file to the last lease that is given back.

    `run` is called by one thread; ``alarm`` wakes it after `stop`.  ``opened`` is called once
    jobs are taken, ``asked_to_stop`` when a job or a command wants the worker to stop.
    """

    def __init__(
        self,
        plan: Plan,
        alarm: Alarm,
        clock: Clock,
        *,
        opened: Callable[[], None],
        asked_to_stop: Callable[[], None],
    ) -> None:
        self._plan = plan
        self._alarm = alarm
        self._clock = clock
        self._opened = opened
        self._asked_to_stop = asked_to_stop
        base = base_path(plan.identity)
        self._lock = HeldLock(base + ".lock")
        lines = min(plan.concurrency + ROOM_TO_GROW, MOST_LINES)
        self._slots = Slots.create(base + ".slots", children=1, per_child=lines)
        self._slots.count = plan.concurrency
        # No pid: whoever cleans up after a worker ends its children, and this is the whole program.
        self._slots.assign(0, 0, 0)
        self._channel = Channel(base)
        self._limits = Alarm()
        self._poll = select.poll()
        self._poll.register(alarm.out, select.POLLIN)
        self._entries = plan.entries
        self._consumer: threading.Thread
        self._link: messages.Link
        self._pool = threading.Thread(target=self._serve, name="litequeue-pool", daemon=True)
        self._deadline: float | None = None
        self._stop_told = self._release_told = self._drained = False
        self._started = self._pause = 0.0
        self._users = 0
        self._using_lock = threading.Lock()
        self.gave_back: bool = False

    def stop(self, deadline: float) -> None:
        """Take no more jobs; give back at ``deadline`` (monotonic) what still runs by then."""
        if self._deadline is None or deadline < self._deadline:
            self._deadline = deadline
        self._alarm.ring()

    def run(self) -> None:
        """Work until told to stop.  Raises `ShiftFailed` when that is not possible any more."""
        with self._using():
            self._run()

    def _run(self) -> None:
        try:
            self._start_consumer()
            self._slots.set_stage(0, Stage.SERVING)
            self._pool.start()
            while not self._drained:
                wait = self._sleep_time()
                self._poll.poll(None if wait is None else wait * 1000)
                self._alarm.hear()
                self._listen()
                self._look_after()
                self._proceed()
                if self._is_overdue():
                    logger.error("not all leases could be given back; the next worker will")
                    return
        finally:
            self._clean_up()

    def close_in_fork(self) -> None:
        """Let go, in a forked process, of what belongs to this one's parent."""
        self._lock.close()
        self._channel.close()
        self._limits.close()
        if hasattr(self, "_link"):
            self._link.close()

    # The pool

    def _serve(self) -> None:
        plan = self._plan
        station = Station(
            app=plan.app,
            index=0,
            hostname=plan.identity.name,
            channel=self._channel,
            slots=self._slots,
            alarm=self._limits,
            clock=self._clock,
            stop_worker=lambda _: self._asked_to_stop(),
        )
        with self._using(), working_for(plan.app):
            try:
                plan.pool().serve(station)
            except Exception:
                logger.exception("the pool failed")
        self._alarm.ring()

    @contextlib.contextmanager
    def _using(self) -> Iterator[None]:
        """Have the last thread that needs them close what all share: jobs may run on for long."""
        with self._using_lock:
            self._users += 1
        try:
            yield
        finally:
            with self._using_lock:
                self._users -= 1
                if not self._users:
                    self._channel.close()
                    self._limits.close()

    # The consumer

    def _start_consumer(self) -> None:
        self._started = self._clock.monotonic()
        self._link, theirs = link_pair()
        self._poll.register(self._link.socket, select.POLLIN)
        self._consumer = threading.Thread(
            target=self._consume, args=(theirs,), name="litequeue-consumer", daemon=True
        )
        self._consumer.start()
        plan, link = self._plan, self._link
        for message in about_app(plan.manifest, plan.facts):
            link.send(*message)
        if self._entries is not None:
            for message in about_entries(owner_of(plan.facts), self._entries):
                link.send(*message)
        if self._stop_told:
            link.send(messages.STOP)
        self._release_told = False

    def _consume(self, link: messages.Link) -> None:
        plan, ties = self._plan, (link, self._channel, self._slots, self._limits)
        with self._using(), contextlib.closing(link):
            try:
                Consumer(plan.options, *ties, self._clock).run()
            except Exception:
                logger.exception("the consumer failed")

    def _listen(self) -> None:
        try:
            for kind, *fields in self._link.receive():
                self._obey(kind, *fields)
        except EOFError:
            return  # its end is noticed by looking after it

    def _obey(self, kind: str, *fields: Any) -> None:
        if kind == messages.OPENED:
            self._opened()
        elif kind == messages.RECONCILED:
            self._entries = None
        elif kind == messages.DRAINED:
            self._drained = True
        elif kind == messages.SHUTDOWN:
            self._asked_to_stop()
        elif kind in (messages.RESIZE, messages.GROW):
            base = self._slots.count if kind == messages.GROW else 0
            self._slots.count = max(1, min(base + int(fields[0]), self._slots.lines))
            self._limits.ring()  # the pool looks how many lines it may use
        elif kind == messages.RESTART:
            logger.warning("a worker inside a program cannot be restarted from outside")
        elif kind == messages.FATAL:
            raise ShiftFailed(str(fields[1]))

    def _look_after(self) -> None:
        """Start the next consumer when one has failed; the leases are the worker's, not its."""
        if not self._pool.is_alive() and not self._stop_told:
            raise ShiftFailed("the pool of this worker has ended")
        if self._consumer.is_alive() or self._drained:
            return
        quick = self._clock.monotonic() - self._started < HEALTHY
        self._pause = min(LONGEST_PAUSE, self._pause * 2 or 0.1) if quick else 0.0
        logger.error("the consumer ended; the next one starts in %g s", self._pause)
        self._poll.unregister(self._link.socket)
        self._link.close()
        self._clock.sleep(self._pause)
        self._start_consumer()

    # Stopping

    def _sleep_time(self) -> float | None:
        """Return the seconds until something is due, None for never: all else makes a noise."""
        if self._deadline is None:
            return None
        due = self._deadline + FAREWELL * self._release_told
        return max(0.0, due - self._clock.monotonic())

    def _proceed(self) -> None:
        """Take the next step of a stop once it is due."""
        if self._deadline is None:
            return
        if not self._stop_told:
            self._stop_told = True
            name = self._plan.identity.name
            signals.worker_shutting_down.send(sender=name, sig="", how="Warm", exitcode=0)
            self._link.send(messages.STOP)
        if not self._release_told and self._clock.monotonic() >= self._deadline:
            self._release_told = self.gave_back = True
            self._link.send(messages.RELEASE)

    def _is_overdue(self) -> bool:
        deadline = self._deadline
        return deadline is not None and self._clock.monotonic() >= deadline + FAREWELL

    def _clean_up(self) -> None:
        """Leave no thread behind but those of jobs that do not end, and no file."""
        if hasattr(self, "_consumer"):  # as far as starting got
            self._link.send(messages.EXIT)
            self._consumer.join(FAREWELL)
            self._link.close()
        # Shut down, not closed: threads that wait for them notice, even if a fork has them, too.
        for end in (self._channel.jobs_in, self._channel.outcomes_in):
            end.shutdown(socket.SHUT_RDWR)
        if self.gave_back:
            self._interrupt()
        elif self._pool.ident is not None:
            self._pool.join(FAREWELL)
        self._lock.close()
        if self._drained:
            remove_files(self._plan.identity)
        else:  # the lock stays, and is free: that tells the next worker whose leases to take
            self._slots.unlink()
        signals.worker_shutdown.send(sender=self)

    def _interrupt(self) -> None:
        """Have the code of jobs end that were given back: they may run elsewhere by now."""
        for line in range(self._slots.lines):
            run = self._slots.running(line)
            if run is not None:
                self._slots.ask_to_end(line, run.token, signal.SIGTERM)
        self._limits.ring()
