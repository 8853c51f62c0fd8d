"""Pools: how one child runs jobs on its lines.

Nothing is handed to a pool: it pulls, so no short job waits behind a long one, and what it has not
read can be taken back.  A `Station` is all that it knows of its worker, and `tests/pools` is what
every pool has to stand.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final, Protocol

from litequeue.clock import Clock
from litequeue.exceptions import ImproperlyConfigured
from litequeue.job import Errand, Lease, Nudge, Outcome
from litequeue.worker.capture import Capture
from litequeue.worker.capture import read as read_output
from litequeue.worker.channel import Channel
from litequeue.worker.executor import Executor
from litequeue.worker.hooks import run_errand
from litequeue.worker.slots import Slots
from litequeue.worker.time_limits import Alarm

GROUP: Final = "litequeue.pools"
"""The group of entry points by which a distribution offers pools of its own."""
BUILT_IN: Final = {
    "prefork": "litequeue.worker.pools.one_by_one:Prefork",
    "solo": "litequeue.worker.pools.one_by_one:Solo",
    "threads": "litequeue.worker.pools.threads:Threads",
    "aio": "litequeue.worker.pools.aio:Aio",
    "gevent": "litequeue.worker.pools.gevent:Gevent",
}
ALIASES: Final = {"processes": "prefork", "asyncio": "aio"}
"""Celery's other name of prefork, and the one that everybody tries."""
MEMORY_LOOK: Final = 0.02
"""Seconds between two looks at how much memory a child has (10 µs each)."""
JITTER: Final = 0.1
"""The share of a child's life that is left to chance, so that not all end at once."""


class Pool(Protocol):
    """How jobs are run in a child."""

    name: ClassVar[str]
    many: ClassVar[bool]
    """One child runs many jobs at once, and enforces their limits by itself."""
    honours: ClassVar[frozenset[str]]
    """What a worker with this pool may be asked for: names of `OPTIONS`."""
    start_methods: ClassVar[tuple[str, ...]]
    """How its children can be made: "fork", "forkserver", "spawn"; the first is the default."""

    @classmethod
    def prepare(cls) -> None:
        """Be called first of all in a child that is a new program, before the app is imported."""

    def serve(self, station: Station) -> None:
        """Run leases until `Station.next` returns None, and finish those that run."""


OPTIONS: Final = {
    "soft_time_limit": "a soft time limit",
    "time_limit": "a hard time limit",
    "max_tasks_per_child": "--max-tasks-per-child",
    "max_memory_per_child": "--max-memory-per-child",
    "concurrency": "a concurrency above 1",
    "autoscale": "--autoscale",
    "terminate": "revoke(terminate=True)",
    "embedded": "a worker inside a program (app.worker)",
}
"""What a pool may honour, in words."""
_MEMBERS: Final = ("name", "many", "honours", "start_methods", "prepare", "serve")


def find_pool(name: str) -> type[Pool]:
    """Return the pool ``name``: built in, an entry point of `GROUP`, or "module:Class".

    Raises `ImproperlyConfigured` for one that there is not.
    """
    name = ALIASES.get(name, name)
    if name == "eventlet":
        raise ImproperlyConfigured(
            "there is no eventlet pool, because eventlet is no longer maintained; use -P gevent, "
            "which runs the same code"
        )
    if name in BUILT_IN:
        return _load(BUILT_IN[name])
    from importlib.metadata import entry_points  # 2 MB: with email and zipfile

    for entry in entry_points(group=GROUP, name=name):
        return _load(entry.value)
    if ":" in name:
        return _load(name)
    raise ImproperlyConfigured(
        f"no pool {name!r}; the pools are {', '.join(BUILT_IN)}, those that installed packages "
        f"offer as entry points of {GROUP!r}, and module:Class"
    )


def _load(place: str) -> type[Pool]:
    module, _, attribute = place.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ImproperlyConfigured(f"the pool {place} cannot be loaded: {error}") from error
    if not isinstance(found, type) or any(not hasattr(found, name) for name in _MEMBERS):
        raise ImproperlyConfigured(
            f"{place} is no pool: a class with {', '.join(_MEMBERS)}, as docs/how-to/own-pool.md "
            "shows"
        )
    pool: type[Pool] = found
    return pool


def refuse_unhonoured(pool: type[Pool], wanted: dict[str, object]) -> None:
    """Raise `ImproperlyConfigured` for an option that was given and that the pool cannot honour."""
    for option, value in wanted.items():
        if value and option not in pool.honours:
            able = [name for name in BUILT_IN if _honours(name, option)]
            raise ImproperlyConfigured(
                f"the pool {pool.name} cannot honour {OPTIONS[option]}; ask for less, or take "
                f"another pool: -P {', '.join(able)}"
            )


def _honours(name: str, option: str) -> bool:
    try:
        return option in find_pool(name).honours
    except ImproperlyConfigured:  # an extra that is not installed
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recycling:
    """When a child makes room for a new one; 0 for never.  ``memory`` is in bytes of RSS."""

    tasks: int = 0
    memory: int = 0


@dataclass(slots=True, kw_only=True)
class Station:
    """What a pool knows of its worker.

    ``index`` is the child's place in the slots.  ``stop_worker`` is called with a signal's number
    when a task wants the worker to stop, ``give_way`` to let a successor begin while jobs still
    run here; None where there is none to come.
    """

    app: Any
    index: int
    hostname: str
    channel: Channel
    slots: Slots
    alarm: Alarm
    clock: Clock
    stop_worker: Callable[[int], None]
    give_way: Callable[[], None] | None = None
    recycling: Recycling = field(default_factory=Recycling)
    capture: Capture | None = None
    _marks: dict[int, Any] = field(default_factory=dict)
    _pid: int = field(default_factory=os.getpid)
    _tasks_left: float = float("inf")
    _memory: int = 0
    _looked: float = 0.0
    _gone: bool = False
    _noting: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Draw how long this child is to live."""
        if self.recycling.tasks:
            self._tasks_left = _shortened(self.recycling.tasks)
        if self.recycling.memory:
            self._memory = int(self.recycling.memory * (1 - JITTER * random.random() / 2))  # noqa: S311 - no secret

    @property
    def lines(self) -> range:
        """The lines of this child."""
        return self.slots.lines_of(self.index)

    def executor(self, guard: Any = None) -> Executor:
        """Return what runs the leases of one line."""
        return Executor(self.app, self.clock, self.hostname, guard)

    def next(self) -> Lease | None:
        """Wait for the next lease; None when no more are to be run here.

        Errands are run on the way.
        """
        while True:
            found = self.read()
            if not isinstance(found, Errand):
                return found
            run_errand(self.app, found, self.hostname)
            self.check_process()
            if self.slots.is_dismissed(self.index):
                return None

    def read(self, *, wait: bool = True) -> Lease | Errand | None:
        """Return what is to be done next, None when this child is to do no more.

        Raises BlockingIOError when there is nothing and ``wait`` is false.
        """
        flags = 0 if wait else socket.MSG_DONTWAIT
        while not self._gone:
            try:
                found = self.channel.next_lease(flags)
            except ConnectionError:  # the worker is gone: so are we, soon
                return None
            if not isinstance(found, Nudge):
                return found
            if self.slots.is_dismissed(self.index):
                return None
        return None

    def begin(self, line: int, lease: Lease) -> None:
        """Say that ``line`` runs a job, before it does."""
        self._tasks_left -= 1
        started = self.clock.now()
        if lease.soft is None and lease.hard is None:
            self.slots.begin(line, lease.seq, started, lease.token)
        else:
            self._begin_limited(line, lease, started)
        if lease.once:
            with self._noting:
                self.slots.begin_once(self.index, lease.token)
        if self.capture is not None and self._keeps_output(lease):
            with contextlib.suppress(OSError):  # no room for its output is no reason to fail
                self._marks[line] = self.capture.begin(line, lease.token)

    def _keeps_output(self, lease: Lease) -> bool:
        task = self.app.tasks.get(lease.task)
        own = None if task is None else task.capture
        return bool(self.app.conf.task_capture_output) if own is None else bool(own)

    def _begin_limited(self, line: int, lease: Lease, started: float) -> None:
        now = self.clock.monotonic()
        soft = 0.0 if lease.soft is None else now + lease.soft
        hard = 0.0 if lease.hard is None else now + lease.hard
        self.slots.begin(line, lease.seq, started, lease.token, soft, hard)
        if min(soft or hard, hard or soft) < self.slots.wake_at:
            self.alarm.ring()

    def finish(self, line: int, lease: Lease, outcome: Outcome) -> None:
        """Report what a job came to, and that the line is free; where and when it began."""
        self.check_process()
        if line in self._marks and self.capture is not None:
            text = self.capture.end(line, self._marks.pop(line))
            outcome = replace(outcome, log=text)
        if lease.soft is not None or lease.hard is not None:
            self.slots.disarm(line)
        self._report(line, outcome)

    def give_up(self, line: int, outcome: Outcome) -> None:
        """Report the verdict of a job whose code may run on, and that the line is free."""
        if self._marks.pop(line, None) is not None:
            base = self.slots.path.removesuffix(".slots")
            outcome = replace(outcome, log=read_output(base, line, outcome.token))
        self._report(line, outcome)

    def _report(self, line: int, outcome: Outcome) -> None:
        try:
            self.channel.report(outcome)
        except ConnectionError:  # the worker is gone: whoever takes the job back sees that it ran
            self._gone = True
        else:
            self.slots.end(line)

    def check_process(self) -> None:
        """End this process if it is a copy: user code forked and let its child return."""
        if os.getpid() != self._pid:
            os._exit(1)

    def is_spent(self) -> bool:
        """Tell whether this child has done its part, and is to take no more jobs."""
        if self._tasks_left <= 0 or self.slots.is_dismissed(self.index):
            return True
        if not self._memory:
            return False
        now = self.clock.monotonic()
        if now - self._looked < MEMORY_LOOK:
            return False
        self._looked = now
        import psutil

        return bool(psutil.Process().memory_info().rss > self._memory)

    def stop_if_asked(self, executor: Executor) -> None:
        """Stop the worker if a task raised `WorkerShutdown` or `WorkerTerminate`."""
        if executor.stop_wanted is not None:
            warm = executor.stop_wanted == "shutdown"
            self.stop_worker(signal.SIGTERM if warm else signal.SIGQUIT)
            executor.stop_wanted = None


def _shortened(tasks: int) -> int:
    """Return a number of tasks somewhat below ``tasks``, at least 1."""
    return tasks - random.randint(0, int(tasks * JITTER))  # noqa: S311 - no secret
