"""The worker of the demo, as a program of its own.  Only it and what it starts are ever killed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from litequeue.clock import Clock
from litequeue.exceptions import LiteQueueError
from litequeue.worker.slots import Slots

PATIENCE: Final = 20.0
"""Seconds for anything a healthy worker does at once."""
FAREWELL: Final = 5.0
"""Seconds that the rest of a killed worker has to leave."""
LOOK: Final = 0.02
"""Seconds between two looks at what makes no noise."""


@dataclass(frozen=True, slots=True)
class Kill:
    """A SIGKILL: of what, and when (epoch seconds)."""

    what: str
    at: float


class WorkerProcess:
    """`litequeue worker` on one file; ``lanes`` is the number of its children."""

    def __init__(self, path: str, lanes: int, clock: Clock) -> None:
        self._path = Path(path)
        self._lanes = lanes
        self._clock = clock
        self._log = self._path.with_suffix(".log")
        self._seen: set[Any] = set()
        self.start()

    def start(self) -> None:
        """Start the worker."""
        command = [
            *(sys.executable, "-m", "litequeue", "worker", str(self._path)),
            *("-A", "litequeue.demo:app", "-c", str(self._lanes), "-l", "WARNING"),
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)

    def is_gone(self) -> bool:
        """Tell whether the worker has ended."""
        return self._process.poll() is not None

    def last_words(self) -> str:
        """Return the end of the worker's log."""
        said = self._log.read_text("utf-8", "replace")
        return said[-2000:].strip() or "it said nothing"

    def kill_child(self) -> Kill:
        """SIGKILL a child that runs a job: it is stopped first, so that it surely does."""
        import psutil

        deadline = self._clock.monotonic() + PATIENCE
        while self._clock.monotonic() < deadline:
            children = {child.pid: child for child in self._look()}
            for slots in self._slots():
                for index in range(slots.lines):
                    child = children.get(slots.child(index)[0])
                    with contextlib.suppress(psutil.NoSuchProcess):
                        if child is not None and self._is_caught(child, slots, index):
                            kill = Kill("a child", self._clock.now())
                            child.kill()
                            return kill
            self._clock.sleep(0.001)
        raise LiteQueueError(f"no child was seen at work: {self.last_words()}")

    def _is_caught(self, child: Any, slots: Slots, index: int) -> bool:
        """Stop a child; let it go on unless it is in the middle of a job."""
        child.suspend()
        deadline = self._clock.monotonic() + 1.0
        while child.status() != "stopped" and self._clock.monotonic() < deadline:
            self._clock.sleep(0.0005)
        if slots.running(index) is not None:
            return True
        child.resume()
        return False

    def kill(self) -> Kill:
        """SIGKILL the worker's supervisor: the rest of it has to notice."""
        self._look()
        kill = Kill("the worker", self._clock.now())
        self._process.kill()
        self._process.wait()
        return kill

    def stop(self) -> int:
        """Ask the worker to stop; return its exit code."""
        self._look()
        self._process.terminate()
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise LiteQueueError(f"the worker did not stop: {self.last_words()}") from None

    def end(self) -> list[str]:
        """See that every process is gone, by force if need be; return those that had to be forced.

        The consumer of a killed worker lives on for a moment, to give the jobs back.
        """
        import psutil

        self._look()
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        deadline = self._clock.monotonic() + FAREWELL
        while alive := [process for process in self._seen if _is_alive(process)]:
            if self._clock.monotonic() > deadline:
                break
            self._clock.sleep(LOOK)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return [f"process {process.pid}" for process in alive]

    def _look(self) -> list[Any]:
        """Return the worker's processes, and remember them."""
        import psutil

        try:
            found = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        self._seen.update(found)
        return found

    def _slots(self) -> Iterator[Slots]:
        for path in Path(f"{self._path}.bell").glob("worker-*.slots"):
            with contextlib.suppress(OSError, ValueError):
                yield Slots(str(path))


def _is_alive(process: Any) -> bool:
    """Tell whether a process runs; one that only waits to be reaped by PID 1 does not."""
    import psutil

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
