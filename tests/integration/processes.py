"""Real processes under test: started here, looked at from outside, and gone at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from litequeue.worker.slots import Slots
from tests.conftest import wait_until

ROOT: Final = Path(__file__).parents[2]
APP: Final = "tests.integration.tasks:app"
MARK: Final = "LITEQUEUE_TEST_SITE"
"""Set in everything that a site starts, and inherited by what those start: how leftovers show."""
READY: Final = "Ready in"
UNSHARE: Final = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal: what a task told about itself.  ``at`` is in monotonic seconds."""

    event: str
    name: str
    id: str
    claim: int
    pid: int
    at: float


class Journal:
    """What the tasks of a site wrote."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self, event: str | None = None, name: str | None = None) -> list[Entry]:
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_text().splitlines():
            kind, title, id, claim, pid, ns = line.split("\t")
            if event in (None, kind) and name in (None, title):
                found.append(Entry(kind, title, id, int(claim), int(pid), int(ns) / 1e9))
        return found

    def starts(self, name: str | None = None) -> list[Entry]:
        return self.entries("start", name)

    def ends(self, name: str | None = None) -> list[Entry]:
        return self.entries("end", name)

    def wait_for_start(self, name: str, number: int = 1, timeout: float = 20.0) -> Entry:
        """Wait until the job has started for the ``number``-th time."""
        wait_until(lambda: len(self.starts(name)) >= number, timeout)
        return self.starts(name)[number - 1]


class Worker:
    """A worker as its user sees it, and the processes it consists of."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, path: Path) -> None:
        self.process = process
        self.began = time.monotonic()
        self.log = log
        self.path = path
        self.supervisor = process.pid
        self._slots: Slots | None = None

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_until_ready(self, timeout: float = 20.0) -> None:
        self.wait_until_said(READY, timeout)

    def wait_until_said(self, words: str, timeout: float = 20.0) -> None:
        def has_spoken() -> bool:
            if words in self.said():
                return True
            assert self.process.poll() is None, f"the worker ended:\n{self.said()}"
            return False

        try:
            wait_until(has_spoken, timeout)
        except pytest.fail.Exception as late:
            pytest.fail(f"{late}; it should have said {words!r}:\n{self.state()}")

    @property
    def slots(self) -> Slots:
        if self._slots is None or not self._slots.lines:  # laid out when the app is known
            self._slots = Slots(self._slots_path())
        return self._slots

    def _slots_path(self) -> str:
        maps = Path(f"/proc/{self.supervisor}/maps").read_text()
        return next(line.split(maxsplit=5)[5] for line in maps.splitlines() if ".slots" in line)

    def children(self) -> list[int]:
        """Return the processes of the pool."""
        pids = (self.slots.child(index)[0] for index in range(self.slots.children))
        return [pid for pid in pids if pid]

    def running(self) -> list[int]:
        """Return the processes of the pool that are running a job."""
        slots = self.slots
        return [slots.child(i)[0] for i in range(slots.lines) if slots.running(i) is not None]

    def find_consumer(self) -> int:
        """Return the process that has the file open, 0 while there is none."""
        for pid in children_of(self.supervisor):
            if session_of(pid) == session_of(self.supervisor) and has_open(pid, self.path):
                return pid
        return 0

    def consumer(self) -> int:
        """Return the process that has the file open; it opens it again after a death."""
        return wait_until(self.find_consumer)

    def processes(self) -> list[int]:
        return [self.supervisor, *descendants(self.supervisor)]

    def send(self, number: int) -> None:
        os.kill(self.supervisor, number)

    def wait(self, timeout: float = 20.0) -> int:
        """Wait for the end; return the exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker does not end:\n{self.state()}") from None

    def state(self) -> str:
        """Return what it said, and how its processes stand to signals."""
        told = [self.said()]
        for pid in self.processes():
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            kept = ("Pid", "State", "Threads", "SigPnd", "ShdPnd", "SigBlk", "SigCgt")
            told.append(" ".join(line.replace("\t", "") for line in lines if line.startswith(kept)))
        return "\n".join(told)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask for an end and wait for it; return the exit code."""
        self.send(number)
        return self.wait()

    def kill_all(self) -> None:
        """SIGKILL every process, as a container's end does."""
        everybody = self.processes()
        for pid in everybody:
            kill(pid)
        self.process.wait()


class Site:
    """A directory with a queue file, a journal, and whatever was started on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "jobs.sqlite"
        self.journal = Journal(folder / "journal")
        self._started: list[subprocess.Popen[bytes]] = []
        self.workers: list[Worker] = []

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            MARK: str(self.folder),
            "JOURNAL": str(self.journal.path),
            "PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT}",
            "PYTHONUNBUFFERED": "1",
            **more,
        }

    def start(
        self, command: Sequence[str], *, log: Path | None = None, **env: str
    ) -> subprocess.Popen[bytes]:
        """Start a program that is ended with the site."""
        target = (log or self.folder / "output").open("ab")
        with target:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment(**env),
                stdin=subprocess.DEVNULL,
                stdout=target if log else subprocess.PIPE,
                stderr=target,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def python(self, code: str, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a Python program whose standard output can be read."""
        env.setdefault("LITEQUEUE_URL", str(self.path))
        return self.start([sys.executable, "-c", code, *arguments], **env)

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run ``python ARGUMENTS`` to its end."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment(**env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def worker(
        self,
        *options: str,
        app: str = APP,
        children: int = 2,
        ready: bool = True,
        program: Sequence[str] = ("-m", "litequeue"),
        namespace: bool = False,
        **env: str,
    ) -> Worker:
        """Start a worker on the site's file; with ``ready`` wait until it is.

        With ``namespace`` it is process 1 of a pid namespace of its own, as in a container.
        """
        log = self.folder / f"worker-{len(self.workers)}.log"
        command = [*(UNSHARE if namespace else ()), sys.executable, *program]
        command += ["worker", str(self.path), "-A", app, "-c", str(children), *options]
        process = self.start(command, log=log, **env)
        worker = Worker(process, log, self.path)
        if namespace:
            worker.supervisor = wait_until(lambda: children_of(process.pid))[0]
        self.workers.append(worker)
        if ready:
            worker.wait_until_ready()
        return worker

    def write(self, name: str, text: str) -> Path:
        target = self.folder / name
        target.write_text(text)
        return target

    def open_gate(self, name: str) -> None:
        """Let the jobs `hold(name)` end."""
        (self.folder / f"{name}.go").touch()

    def leftovers(self) -> list[int]:
        """Return every living process that was started here, however far removed."""
        mark = f"{MARK}={self.folder}\0".encode()
        return [pid for pid in all_pids() if is_alive(pid) and mark in read_environment(pid)]

    def wait_until_empty(self, timeout: float = 10.0) -> None:
        wait_until(lambda: not self.leftovers(), timeout)

    def close(self) -> None:
        """End everything, and see that it has ended."""
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for worker in self.workers:
            if worker.process.poll() is None:
                kill(worker.supervisor, signal.SIGQUIT)
        for process in self._started:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        try:
            wait_until(lambda: not self.leftovers())
        finally:
            for pid in self.leftovers():
                kill(pid)


def children_of(pid: int) -> list[int]:
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []


def descendants(pid: int) -> list[int]:
    direct = children_of(pid)
    return [*direct, *(deeper for child in direct for deeper in descendants(child))]


def all_pids() -> Iterable[int]:
    return (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())


def state_of(pid: int) -> str:
    """Return the letter of the process's state, "" when there is no process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_alive(pid: int) -> bool:
    return state_of(pid) not in ("", "Z", "X")


def is_stopped(pid: int) -> bool:
    return state_of(pid) == "T"


def is_caught(pid: int, number: int) -> bool:
    """Tell whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = (int(line.split()[1], 16) for line in status.splitlines() if line[:6] == "SigCgt")
    return bool(mask >> (number - 1) & 1)


def read_environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def has_open(pid: int, path: Path) -> bool:
    try:
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
    for descriptor in descriptors:
        try:
            if descriptor.readlink() == path:
                return True
        except OSError:
            continue
    return False


def kill(pid: int, number: int = signal.SIGKILL) -> bool:
    """Send a signal; False when the process is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def suspend(pid: int) -> None:
    """Stop a process, and wait until it stands still."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: is_stopped(pid))


def resume(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)


def read_line(process: subprocess.Popen[bytes]) -> str:
    """Wait for the next line that a started program prints."""
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()
