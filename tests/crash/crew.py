"""Processes that SIGKILL hits at random moments, and that are started again: what campaigns share.

A campaign says what is started and what is to come of it; here it is kept alive, struck, waited
for, stopped, and its logs are read.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

from litequeue.worker.slots import Stage
from tests.conftest import wait_until
from tests.crash.checker import Kill
from tests.crash.table import Findings
from tests.integration.processes import Site, Worker, kill

OF_WORKERS: Final = ("child", "consumer", "supervisor")
WAL_LIMIT: Final = 64 << 20
GONE_WITHIN: Final = 10.0
PATIENCE: Final = 60.0
"""Seconds without any progress after which a campaign gives up."""
_SAY_EVERY: Final = 5.0


@dataclass(slots=True)
class Program:
    """What else is killed; if it ends by itself with exit code 0, it is done.

    ``is_at_it`` tells whether it does just what a kill is to hit.
    """

    role: str
    start: Callable[[], subprocess.Popen[bytes]]
    is_at_it: Callable[[], bool]
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.process = self.start()


class Crew:
    """The workers and programs of a campaign on a site.

    ``say`` is told ``progress()`` now and then.
    """

    def __init__(
        self, site: Site, random: Random, say: Callable[[str], None], progress: Callable[[], str]
    ) -> None:
        self.site = site
        self.random = random
        self.kills: list[Kill] = []
        self.wal = 0
        self.programs: list[Program] = []
        self.workers: list[Worker] = []
        self._start_worker: Callable[[], Worker]
        self._ends: list[str] = []
        self._say = say
        self._progress = progress
        self._said = 0.0

    def start_workers(self, count: int, start: Callable[[], Worker]) -> None:
        self._start_worker = start
        self.workers = [start() for _ in range(count)]

    def add(
        self,
        role: str,
        start: Callable[[], subprocess.Popen[bytes]],
        is_at_it: Callable[[], bool] = lambda: True,
    ) -> None:
        """Start a program, now and whenever it was killed."""
        self.programs.append(Program(role, start, is_at_it))

    # While it goes on

    def tend(self) -> None:
        """Start again what was killed, and watch what must stay small."""
        for index, worker in enumerate(self.workers):
            if worker.process.poll() is not None:
                self._note_end("worker", worker.process.returncode)
                self.workers[index] = self._start_worker()
        for program in self.programs:
            if program.process.poll() not in (None, 0):
                self._note_end(program.role, program.process.returncode)
                program.process = program.start()
        wal = Path(f"{self.site.path}-wal")
        self.wal = max(self.wal, wal.stat().st_size if wal.exists() else 0)
        if time.monotonic() - self._said > _SAY_EVERY:
            self._said = time.monotonic()
            self._say(f"{len(self.kills)} kills, {self._progress()}")

    def _note_end(self, what: str, code: int) -> None:
        if code != -signal.SIGKILL:
            self._ends.append(f"a {what} ended by itself with exit code {code}")

    def wait(self, seconds: float) -> None:
        moment = time.monotonic() + seconds
        while (left := moment - time.monotonic()) > 0:
            self.tend()
            time.sleep(min(left, 0.02))

    def strike(self, role: str, *, blindly: bool) -> None:
        """Kill a process of the role: when it is at it, or ``blindly`` at once."""
        deadline = time.monotonic() + PATIENCE
        while True:
            target = self._choose(role, blindly)
            if target is not None:
                pid, children = target
                at = time.monotonic_ns()
                if kill(pid, signal.SIGKILL):
                    self.kills.append(Kill(role, pid, children, at))
                    return
            if time.monotonic() > deadline:
                raise RuntimeError(f"no {role} to kill in {PATIENCE:g} s")
            self.tend()
            time.sleep(0.0005)

    def _choose(self, role: str, blindly: bool) -> tuple[int, tuple[int, ...]] | None:
        """Return a process of the role, and those that may run a job whose fate hangs on it."""
        if role not in OF_WORKERS:
            alive = [
                each.process.pid
                for each in self.programs
                if each.role == role and each.process.poll() is None
                and (blindly or each.is_at_it())
            ]  # fmt: skip
            return (self.random.choice(alive), ()) if alive else None
        worker = self.random.choice(self.workers)
        try:
            running = worker.children() if blindly else worker.running()
        except (OSError, StopIteration):
            return None  # it is just starting
        if not running:
            return None
        if role == "child":
            pid = self.random.choice(running)
            return pid, (pid,)
        pid = worker.supervisor if role == "supervisor" else worker.find_consumer()
        return (pid, tuple(running)) if pid else None

    # The end

    def drain(self, look: Callable[[], tuple[int, Any]], patience: float = PATIENCE) -> None:
        """Keep it alive until ``look`` says that 0 is left.

        Gives up when all of what it says stays the same for ``patience`` seconds.
        """
        last, since = None, time.monotonic()
        while (found := look())[0]:
            self.tend()
            if found != last:
                last, since = found, time.monotonic()
            elif time.monotonic() - since > patience:
                self._ends.append(f"no progress with {found[0]} left")
                return
            time.sleep(0.1)

    def is_sending(self) -> bool:
        """Tell whether a program is not done."""
        return any(each.process.poll() != 0 for each in self.programs)

    def stop(self, findings: Findings) -> None:
        """Stop the workers warmly; note what does not end well, or leaves something behind."""
        for worker in self.workers:
            wait_until(partial(_is_up, worker))  # before that, TERM may meet Python's own start
            worker.send(signal.SIGTERM)
        codes = [(worker.log.name, worker.wait()) for worker in self.workers]
        findings.add("exit code not 0", [f"{name}: {code}" for name, code in codes if code])
        deadline = time.monotonic() + GONE_WITHIN
        while (left := self.site.leftovers()) and time.monotonic() < deadline:
            time.sleep(0.01)
        findings.add("processes left", left)

    def judge(self, findings: Findings) -> None:
        """Note what was seen of all processes."""
        bells = Path(f"{self.site.path}.bell")
        litter = sorted(each.name for each in bells.iterdir() if each.name != "gate")
        findings.add("left in the bell directory", litter)
        findings.add("tracebacks in logs", self._tracebacks())
        findings.add("unexpected ends", self._ends)
        findings.add("WAL too large", [f"{self.wal:,}"] if self.wal > WAL_LIMIT else [])

    def _tracebacks(self) -> list[str]:
        found = []
        for log in sorted(self.site.folder.glob("*.log")):
            _, mark, text = log.read_text(errors="replace").partition("Traceback")
            if mark:
                found.append(f"{log.name}: {text[-1500:]}")
        return found


def _is_up(worker: Worker) -> bool:
    try:
        slots = worker.slots
        serving = [slots.stage(index) is Stage.SERVING for index in range(slots.children)]
        return 0 < slots.count <= sum(serving)
    except (OSError, StopIteration):
        return False


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Look at a queue file from outside."""
    file = sqlite3.connect(path, isolation_level=None, timeout=10.0)
    try:
        file.execute("PRAGMA wal_autocheckpoint = 0")  # only litequeue's own ones are guarded
        yield file
    finally:
        file.close()


def is_sending(journal: Path) -> bool:
    """Tell whether a producer has begun to send a job, and does not yet know its fate."""
    if not journal.exists():
        return False
    with journal.open("rb") as file:
        file.seek(max(0, journal.stat().st_size - 200))
        lines = file.read().splitlines()
    return bool(lines) and lines[-1].startswith(b"?")
