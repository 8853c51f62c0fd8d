"""The prefork pool as its supervisor sees it: start children, notice deaths, end them."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from litequeue import signals
from litequeue.app import LiteQueue
from litequeue.clock import Clock
from litequeue.worker.channel import Channel
from litequeue.worker.link import Death
from litequeue.worker.liveness import OWNER_VARIABLE, kill_orphans, start_time
from litequeue.worker.os_signals import fork, signals_held
from litequeue.worker.pools.child import ChildSpec, leave, serve, settle_in, spawn_command
from litequeue.worker.slots import Slots

logger: Final = logging.getLogger("litequeue.worker")

HANDSHAKE: Final = 15.0
"""Seconds a child may take at least until it listens."""
LONGEST_PAUSE: Final = 30.0


@dataclass(slots=True)
class Child:
    """One process.  ``started`` is in monotonic seconds; ``doomed`` once we have killed it."""

    pid: int
    started: float
    doomed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """How children are made: by fork, or as new programs when ``spawn``.

    ``patience``: how many seconds one may take until it listens.
    """

    app_name: str
    hostname: str
    nonce: str
    spawn: bool
    patience: float
    close_in_child: Callable[[], None]


class Prefork:
    """The children of one worker, one per line of the slots."""

    def __init__(
        self, app: LiteQueue, options: PoolOptions, channel: Channel, slots: Slots, clock: Clock
    ) -> None:
        self._app = app
        self._options = options
        self._channel = channel
        self._slots = slots
        self._clock = clock
        self._children: dict[int, Child] = {}
        self._not_before = [0.0] * slots.count
        self._pause = [0.0] * slots.count

    def __len__(self) -> int:
        """Return how many children there are."""
        return len(self._children)

    def pids(self) -> set[int]:
        """Return the processes of the children."""
        return {child.pid for child in self._children.values()}

    def fill(self) -> float | None:
        """Start the children that are missing; return the seconds until one may be tried again."""
        now = self._clock.monotonic()
        later: list[float] = []
        for index in range(self._slots.count):
            if index not in self._children:
                if now >= self._not_before[index]:
                    self._start(index)
                if index not in self._children:
                    later.append(self._not_before[index] - now)
        return min(later, default=None)

    def is_ready(self) -> bool:
        """Tell whether every child listens."""
        return all(self._slots.listens(index) for index in range(self._slots.count))

    def kill_late_starters(self) -> None:
        """End children that hang before they listen."""
        now, patience = self._clock.monotonic(), self._options.patience
        for index, child in self._children.items():
            late = now - child.started > patience and not self._slots.listens(index)
            if late and not child.doomed:
                logger.error("child %d did not start in %g s; it is replaced", child.pid, patience)
                child.doomed = True
                self._end(child)

    def begin_anew(self) -> None:
        """Count from now on how long children take to start: nobody watched."""
        for child in self._children.values():
            child.started = self._clock.monotonic()

    def kill_all(self) -> None:
        """End every child and what it started; their jobs are not to blame."""
        for child in self._children.values():
            child.doomed = True
            self._end(child)

    def bury(self) -> Iterator[Death]:
        """Yield the deaths since the last call, and reap the processes.

        The group is ended while the dead child still holds its number.
        """
        for index, child in list(self._children.items()):
            how = self._reap(index, child)
            if how is None:
                continue
            del self._children[index]
            self._plan_restart(index, child)
            yield self._death(index, child, how)

    def _reap(self, index: int, child: Child) -> str | None:
        """Say how the child ended, None while it lives."""
        try:
            status = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # somebody else has reaped it: its number may be another's now
            kill_orphans(
                [self._slots.child(index)], self._options.nonce, self._slots.path, self._clock
            )
            return "ended"
        if status is None:
            return None
        self._end(child)
        os.waitpid(child.pid, 0)
        return describe_end(status)

    def _death(self, index: int, child: Child, how: str) -> Death:
        running = self._slots.running(index)
        return Death(
            seq=0 if running is None else running.seq,
            token=0 if running is None else running.token,
            reason=f"child {child.pid} {how} while running it",
            blame=not child.doomed,
        )

    def _plan_restart(self, index: int, child: Child) -> None:
        """Start again at once, but ever later while children die before they listen."""
        if self._slots.listens(index):
            self._pause[index] = 0.0
            return
        pause = self._lengthen_pause(index)
        self._not_before[index] = self._clock.monotonic() + pause
        if not child.doomed:
            logger.error(
                "child %d died before it could take a job; the next try is in %g s",
                child.pid, pause,
            )  # fmt: skip

    def _lengthen_pause(self, index: int) -> float:
        self._pause[index] = min(LONGEST_PAUSE, self._pause[index] * 2 or 0.5)
        return self._pause[index]

    def _end(self, child: Child) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):  # before its setsid
            os.kill(child.pid, signal.SIGKILL)

    def _start(self, index: int) -> None:
        spec = ChildSpec(
            index=index,
            hostname=self._options.hostname,
            nonce=self._options.nonce,
            supervisor=os.getpid(),
        )
        self._slots.assign(index, 0, 0)
        signals.worker_before_create_process.send(sender=self)
        try:
            pid = self._spawn(spec) if self._options.spawn else self._fork(spec)
        except OSError as error:  # no room for a process: nor is there for the others
            pause = self._lengthen_pause(index)
            due = self._clock.monotonic() + pause
            self._not_before = [max(due, each) for each in self._not_before]
            logger.error("no child could be started (%s); the next try is in %g s", error, pause)
            return
        self._children[index] = Child(pid, self._clock.monotonic())

    def _fork(self, spec: ChildSpec) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = fork()
        if pid:
            return pid
        try:
            self._slots.assign(spec.index, os.getpid(), start_time(os.getpid()) or 0)
            settle_in(spec)
            self._options.close_in_child()
            self._channel.keep_child_side()
            serve(self._app, spec, self._channel, self._slots)
        except BaseException:
            logger.exception("a child of the pool failed outside a task")
            os._exit(1)
        leave()
        raise AssertionError("unreachable")

    def _spawn(self, spec: ChildSpec) -> int:
        command, descriptors = spawn_command(
            self._options.app_name, self._app.path, spec, self._channel, self._slots,
        )  # fmt: skip
        # Popen would reap by itself; only `bury` does.
        environment = {**os.environ, OWNER_VARIABLE: spec.nonce}
        with signals_held():
            process = subprocess.Popen(
                command, pass_fds=descriptors, start_new_session=True, env=environment
            )
        process.returncode = 0
        self._slots.assign(spec.index, process.pid, start_time(process.pid) or 0)
        return process.pid


def describe_end(status: os.waitid_result) -> str:
    """Say how a process ended."""
    if status.si_code == os.CLD_EXITED:
        return f"exited with code {status.si_status}"
    try:
        name = signal.Signals(status.si_status).name
    except ValueError:
        name = f"signal {status.si_status}"
    return f"was killed by {name}"
