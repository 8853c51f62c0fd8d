"""A worker under measurement: the process started here and all its descendants."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

ROOT = Path(__file__).parents[1]
READY_WITHIN = 30
STOPPED_WITHIN = 15


class WorkerFailed(Exception):
    """The worker ended, or was not ready in time."""


class Worker:
    """Start a worker and look at it from outside; leaving the `with` block ends its whole tree."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.log = log
        self.began = time.monotonic()
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,  # ^C reaches the benchmark, which stops the worker
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if error:
            error.add_note(f"the worker said:\n{self.log.read_text(errors='replace')[-3000:]}")

    def tree(self) -> list[psutil.Process]:
        """Every living process of the worker, its first one first."""
        try:
            top = psutil.Process(self.process.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def has(self, pid: int) -> bool:
        return any(process.pid == pid for process in self.tree())

    def wait_until_ready(self, mark: str) -> float:
        """Wait until the worker says so on stderr; return the seconds since its start."""
        while mark not in self.log.read_text(errors="replace"):
            if self.process.poll() is not None:
                raise WorkerFailed(f"the worker ended with exit code {self.process.returncode}")
            if time.monotonic() - self.began > READY_WITHIN:
                raise WorkerFailed(f"the worker was not ready within {READY_WITHIN} s")
            time.sleep(0.002)
        return time.monotonic() - self.began

    def suspend(self) -> None:
        for process in self.tree():
            process.suspend()

    def resume(self) -> None:
        for process in self.tree():
            process.resume()

    def cpu_seconds(self) -> float:
        """CPU time of all processes so far, in the kernel's own account of user and system."""
        times = [process.cpu_times() for process in self.tree()]
        return sum(each.user + each.system for each in times)

    def run_seconds(self) -> float:
        """Time on a CPU of all threads so far, to the nanosecond: for hardly any CPU time."""
        return sum(thread_nanoseconds(process.pid) for process in self.tree()) / 1e9

    def proportional_bytes(self) -> int:
        """PSS: memory of all processes, each shared page counted once."""
        pss: list[int] = [process.memory_full_info().pss for process in self.tree()]
        return sum(pss)

    def stop(self) -> None:
        """Stop warmly, then kill what is left of the tree, or was forked meanwhile."""
        tree = self.tree()
        self.process.terminate()
        _, alive = psutil.wait_procs(tree, STOPPED_WITHIN)
        kill([*alive, *self.session()])
        self.process.wait()

    def session(self) -> list[psutil.Process]:
        """Every process of the session that the worker leads, its orphans included."""
        return [each for each in psutil.process_iter() if session_of(each.pid) == self.process.pid]

    def kill(self) -> float:
        """SIGKILL every process of the tree, the first one first; return the moment before."""
        tree = self.tree()
        moment = time.monotonic()
        kill(tree)
        self.process.wait()
        return moment


def session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, STOPPED_WITHIN)


def thread_nanoseconds(pid: int) -> int:
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with Path(f"/proc/{pid}/task/{thread}/schedstat").open() as file:
            total += int(file.read().split()[0])
    return total


def worker_of(path: Path, app: str, *options: str, level: str = "WARNING") -> Worker:
    """Start `litequeue worker` on a file, with the app of a module in `benchmarks.apps`."""
    os.environ["LITEQUEUE_URL"] = str(path)
    command = [sys.executable, "-m", "litequeue", "worker", str(path), "-l", level]
    command += ["-A", f"benchmarks.apps.{app}:app", *options]
    return Worker(command, path.with_suffix(".log"))
