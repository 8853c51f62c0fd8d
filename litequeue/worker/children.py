"""The children as their supervisor sees them: start them, notice deaths, end them.

A child serves once it holds the *baton*, a byte of a pipe: there is one for every child that is
missing.  So replacements may be started ahead, and take over in the moment in which a child has
done its part, without anybody in between.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import logging
import math
import os
import resource
import termios
from collections.abc import Iterator
from typing import Final

from litequeue import signals
from litequeue.app import LiteQueue
from litequeue.clock import Clock
from litequeue.worker import capture, evidence
from litequeue.worker.child import Ties
from litequeue.worker.endings import Child, Endings, end
from litequeue.worker.link import Death
from litequeue.worker.liveness import kill_orphans
from litequeue.worker.nursery import ChildOptions, Forks, Nursery, Spawns
from litequeue.worker.slots import Stage

logger: Final = logging.getLogger("litequeue.worker")

HESITATION: Final = 0.001
"""Seconds within which a child that has read its baton has said so, some microseconds later."""
LONGEST_PAUSE: Final = 30.0
MOST_SPARES: Final = 4
FORKS_AT_ONCE: Final = 8
"""Children started before the supervisor looks after all else again (2 ms each); one, while jobs
have limits: where CPUs are wanted, a fork takes long."""
LOOK_EVERY: Final = 4.0
CRASHES: Final = 10
CRASH_WINDOW: Final = 30.0
"""So many children that die by themselves within so many seconds are worth an alarm."""


class Children:
    """The children of one worker, each at its place in the slots."""

    def __init__(self, app: LiteQueue, options: ChildOptions, ties: Ties, clock: Clock) -> None:
        self._app = app
        self._options = options
        self._ties = ties
        self._slots = ties.slots
        self._clock = clock
        self._children: dict[int, Child] = {}
        self.endings: Endings = Endings(self._children, ties.slots)
        """What is done to a child for the sake of one job."""
        self._not_before = 0.0
        self._pause = 0.0
        self._look_at = 0.0
        self._crashes: list[float] = []
        self._alarmed = -math.inf
        self._hesitated = False
        recycles = bool(options.recycling.tasks or options.recycling.memory)
        self._spares = min(MOST_SPARES, self._slots.processes) if recycles else 0
        self._oom_kills = evidence.OomKills()
        self.adopts: bool = options.method == "forkserver"
        """Orphans of children come to this process, too."""
        self._nursery = _nursery(app, options, ties)
        self.balance()

    def __len__(self) -> int:
        """Return how many children there are."""
        return len(self._children)

    def pids(self) -> set[int]:
        """Return the processes of the children."""
        return {child.pid for child in self._children.values()}

    def balance(self) -> bool:
        """Have as many children serve as the slots say; tell whether some are dismissed.

        Those leave after what they run; idle ones are to be nudged, until they are gone.
        """
        serving = [i for i in self._children if self._slots.stage(i) is Stage.SERVING]
        staying = [i for i in serving if not self._children[i].dismissed]
        batons = self._batons()
        # Who was dismissed and is still busy keeps its place: -c is never exceeded.
        missing = self._slots.processes - len(serving) - batons
        if missing > 0 and self._hesitate():
            return self.balance()
        self._hesitated = False
        if missing > 0:
            os.write(self._ties.baton[1], b"+" * missing)
        surplus = len(staying) + batons - self._slots.processes
        for index in sorted(staying, key=self._is_busy)[: max(0, surplus)]:
            self._dismiss(index)
        return self.has_dismissed()

    def _hesitate(self) -> bool:
        """Give a child that has just read its baton the time to say so, once; tell whether."""
        waits = any(self._slots.stage(index) is Stage.WAITING for index in self._children)
        if self._hesitated or not waits:
            return False
        self._hesitated = True
        self._clock.sleep(HESITATION)
        return True

    def replace_all(self) -> None:
        """Have every child leave after what it runs, for a new one."""
        for index in self._children:
            if self._slots.stage(index) is Stage.SERVING:
                self._dismiss(index)

    def _dismiss(self, index: int) -> None:
        self._children[index].dismissed = True
        self._slots.dismiss(index)

    def _is_busy(self, index: int) -> bool:
        return any(self._slots.running(line) for line in self._slots.lines_of(index))

    def _batons(self) -> int:
        """Return how many bytes nobody has read yet."""
        size = array.array("i", [0])
        fcntl.ioctl(self._ties.baton[0], termios.FIONREAD, size)
        return size[0]

    # Making them

    def fill(self) -> float | None:
        """Start the children that are missing; return the seconds until one may be tried again."""
        for _ in range(FORKS_AT_ONCE):
            if not self._is_short():
                return None
            wait = self._not_before - self._clock.monotonic()
            if wait > 0:
                return wait
            free = [i for i in range(self._slots.children) if i not in self._children]
            if not free:
                return None  # some must end first
            if not self._start(free[0]):
                return self._not_before - self._clock.monotonic()
            if 0.0 < self._slots.wake_at < math.inf:
                break
        return 0.0

    def _is_short(self) -> bool:
        present = sum(
            not child.dismissed and self._slots.stage(index) is not Stage.LEAVING
            for index, child in self._children.items()
        )
        return present < self._slots.processes + self._spares

    def _start(self, index: int) -> bool:
        self._slots.assign(index, 0, 0)
        signals.worker_before_create_process.send(sender=self)
        try:
            pid = self._nursery.make(self._options.spec(index))
        except OSError as error:  # no room for a process
            self._lengthen_pause()
            logger.error(
                "no child could be started (%s); the next try is in %g s", error, self._pause
            )
            return False
        self._children[index] = Child(pid, self._clock.monotonic())
        return True

    # How they do

    def is_ready(self) -> bool:
        """Tell whether as many children serve as are wanted."""
        serving = sum(self._slots.stage(index) is Stage.SERVING for index in self._children)
        return serving >= self._slots.processes

    def kill_late_starters(self) -> None:
        """End children that hang before they could take a job."""
        now, patience = self._clock.monotonic(), self._options.patience
        for index, child in self._children.items():
            late = now - child.started > patience
            if late and not child.doomed and self._slots.stage(index) is Stage.STARTING:
                logger.error("child %d did not start in %g s; it is replaced", child.pid, patience)
                child.doomed = True
                end(child)

    def look_around(self, now: float) -> None:
        """Notice what makes no noise: now and then, what may explain a later death, too."""
        self.kill_late_starters()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            self._oom_kills.look()
            if self._slots.per_child > 1:
                self.endings.end_stuck(now)

    def has_dismissed(self) -> bool:
        """Tell whether a child has yet to find out that it is to leave.

        One whose only line is busy looks after its job.
        """
        return any(
            child.dismissed and not (self._slots.per_child == 1 and self._is_busy(index))
            for index, child in self._children.items()
        )

    def begin_anew(self) -> None:
        """Count from now on how long children take to start: nobody watched."""
        for child in self._children.values():
            child.started = self._clock.monotonic()

    # Their end

    def kill_all(self) -> None:
        """End every child and what it started; their jobs are not to blame."""
        for child in self._children.values():
            child.doomed = True
            end(child)

    def let_go(self) -> None:
        """Have those leave, too, that wait for the baton: no job is left for them."""
        os.write(self._ties.baton[1], b"+" * len(self._children))

    def close(self) -> None:
        """End what is left besides children."""
        self._nursery.close()

    def bury(self) -> Iterator[Death]:
        """Reap the processes that have ended; yield the deaths of those that did not just leave.

        The group is ended while the dead child still holds its number.
        """
        for index, child in list(self._children.items()):
            found = self._reap(index, child)
            if found is None:
                continue
            del self._children[index]
            self._plan_restart(index, child)
            how, told = found
            if how == LEFT and not self._is_busy(index):
                logger.debug("child %d has left", child.pid)
            else:
                yield self._death(index, child, how, told)
            self._slots.vacate(index)
            if child.doomed:  # we did it: nobody who finds the slots is to blame its job
                for line in self._slots.lines_of(index):
                    self._slots.end(line)

    def _reap(self, index: int, child: Child) -> tuple[str, str | None] | None:
        """Say how the child ended, and what is known about it; None while it lives."""
        try:
            status = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # somebody else has reaped it: its number may be another's now
            kill_orphans(
                [self._slots.child(index)], self._options.nonce, self._slots.path, self._clock
            )
            return "ended", None
        if status is None:
            return None
        end(child)
        _, code, usage = os.wait4(child.pid, 0)
        return _how_it_ended(status), self._evidence(index, child, code, usage)

    def _evidence(
        self, index: int, child: Child, code: int, usage: resource.struct_rusage
    ) -> str | None:
        """Put together what is known of a death that a job had part in."""
        base = self._slots.path.removesuffix(".slots")
        fault = evidence.fault_path(base, index)
        lines = self._slots.lines_of(index)
        runs = [(line, run) for line in lines if (run := self._slots.running(line)) is not None]
        try:
            if not runs:
                return None
            output = capture.read(base, runs[0][0], runs[0][1].token) if len(runs) == 1 else None
            return evidence.collect(
                code, usage, fault=fault, output=output, ours=child.doomed,
                oom_kills=self._oom_kills,
            )  # fmt: skip
        finally:
            with contextlib.suppress(OSError):
                os.unlink(fault)

    def _death(self, index: int, child: Child, how: str, told: str | None) -> Death:
        found = map(self._slots.running, self._slots.lines_of(index))
        sentence, token, detail = child.sentence
        return Death(
            runs=tuple((run.seq, run.token, run.started) for run in found if run is not None),
            reason=f"child {child.pid} {how} while running it",
            blame=not child.doomed,
            sentence=sentence,
            sentenced=token,
            detail=detail,
            evidence=told,
        )

    def _plan_restart(self, index: int, child: Child) -> None:
        """Start again at once, but ever later while children die before they could take a job."""
        stage = self._slots.stage(index)
        if stage is not Stage.STARTING:
            self._pause = 0.0
            if stage is Stage.SERVING and not child.doomed:
                self._note_crash()
            return
        self._lengthen_pause()
        if not child.doomed:
            logger.error(
                "child %d died before it could take a job; the next try is in %g s",
                child.pid, self._pause,
            )  # fmt: skip

    def _note_crash(self) -> None:
        now = self._clock.monotonic()
        self._crashes = [at for at in self._crashes if now - at < CRASH_WINDOW] + [now]
        if len(self._crashes) >= CRASHES and now - self._alarmed > CRASH_WINDOW:
            self._alarmed = now
            logger.critical(
                "%d children died within %g s: some task kills its process; see which with "
                "`litequeue jobs DB --state failed`, and pause its queue with `litequeue pause`",
                len(self._crashes), CRASH_WINDOW,
            )  # fmt: skip

    def _lengthen_pause(self) -> None:
        self._pause = min(LONGEST_PAUSE, self._pause * 2 or 0.5)
        self._not_before = self._clock.monotonic() + self._pause


LEFT: Final = "exited with code 0"


def _nursery(app: LiteQueue, options: ChildOptions, ties: Ties) -> Nursery:
    if options.method == "fork":
        return Forks(app, options, ties)
    if options.method == "spawn":
        return Spawns(app, options, ties)
    from litequeue.worker.fork_server import ForkServer

    return ForkServer(app, options, ties)


def _how_it_ended(status: os.waitid_result) -> str:
    if status.si_code == os.CLD_EXITED:
        return f"exited with code {status.si_status}"
    return f"was killed by {evidence.signal_name(status.si_status)}"
