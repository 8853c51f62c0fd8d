"""How long jobs wait behind other jobs: measured by `python -m benchmarks.fairness`.

short    A stream of 1 ms jobs, below saturation, while two jobs of 5 s sleep in two of four
         children; against the same stream alone with two children, in turns.
urgent   A job of the highest priority, now and then, while all children have a deep backlog of
         jobs of 100 ms, or of 1 ms.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from rich.table import Table

from benchmarks.rows import quantile
from benchmarks.table import console, verdict_text
from benchmarks.worker import worker_of

if TYPE_CHECKING:
    from litequeue import LiteQueue

SLOWER = 2.0
"""How many times as long the p99 of short jobs may be, beside long ones."""
LONG = 5.0
SHORT = 0.001
EVERY = 0.005
"""Seconds between two short jobs, on average: a tenth of what two children could run."""
BACKLOGS = (0.1, SHORT)
"""Run time of the jobs in a backlog, in seconds."""
HEAD_START = 1.0
RESERVE = 5.0
"""Seconds of work of every child that must be left in the end, at least."""
URGENT_EVERY = 0.3
CLAIM = 0.02
"""Seconds beside a run time that an urgent job may wait: two commits on a busy disk."""
PATIENCE = 120.0
READY_MARK = "Ready in "
_numbers = count()


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds from before `delay()` to the job's first statement."""

    seconds: list[float]

    def at(self, share: float) -> float:
        """Return a quantile in milliseconds."""
        return quantile(self.seconds, share) * 1e3


@contextmanager
def worker(folder: Path, children: int) -> Iterator[LiteQueue]:
    """Run a worker on a file of its own."""
    path = folder / f"jobs-{next(_numbers)}.sqlite"
    os.environ["LITEQUEUE_URL"] = str(path)
    from benchmarks.apps.waiting import app, spin

    app.rebind(path)
    with worker_of(path, "waiting", "-c", str(children), level="INFO") as running:
        running.wait_until_ready(READY_MARK)
        for _ in range(20):
            spin.delay(SHORT).get(timeout=PATIENCE)
        yield app
        app.close()


class Long:
    """Keeps two long jobs running, never more."""

    def __init__(self, app: LiteQueue) -> None:
        self._task = app.tasks["benchmarks.apps.waiting.pause"]
        self._running: list[Any] = []

    def renew(self) -> None:
        self._running = [job for job in self._running if not job.ready()]
        while len(self._running) < 2:
            self._running.append(self._task.delay(LONG))

    def wait_for_start(self) -> None:
        """Wait until both run."""
        deadline = time.monotonic() + PATIENCE
        while any(job.state != "STARTED" for job in self._running):
            if time.monotonic() > deadline:
                raise TimeoutError("a long job does not start")
            time.sleep(0.01)


def short(folder: Path, seconds: float, *, beside_long: bool, seed: int) -> Waits:
    """Send short jobs at random moments; with ``beside_long`` while two long ones sleep."""
    random = Random(seed)
    sent: list[tuple[float, Any]] = []
    with worker(folder, 4 if beside_long else 2) as app:
        task = app.tasks["benchmarks.apps.waiting.spin"]
        long = Long(app)
        if beside_long:
            long.renew()
            long.wait_for_start()
        began = look_at = time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            if beside_long and now >= look_at:
                long.renew()
                look_at = now + 0.1
            sent.append((time.monotonic(), task.delay(SHORT)))
            time.sleep(random.expovariate(1.0 / EVERY))
        return waits(sent)


def urgent(folder: Path, seconds: float, run_time: float, *, seed: int) -> Waits:
    """Send urgent jobs at random moments while two children have plenty to do."""
    random = Random(seed)
    sent: list[tuple[float, Any]] = []
    with worker(folder, 2) as app:
        task = app.tasks["benchmarks.apps.waiting.spin"]
        busy = app.tasks["benchmarks.apps.waiting.pause"] if run_time > SHORT else task
        jobs = int(2 * (seconds + HEAD_START + RESERVE) / run_time)
        backlog = app.enqueue_many([(busy, (run_time,))] * jobs)
        time.sleep(HEAD_START)
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            time.sleep(random.expovariate(1.0 / URGENT_EVERY))
            sent.append((time.monotonic(), task.apply_async((0.0,), priority=9)))
        found = waits(sent)
        if backlog[-1].ready():
            raise RuntimeError("the backlog was not deep enough")
    return found


def waits(sent: list[tuple[float, Any]]) -> Waits:
    return Waits([job.get(timeout=PATIENCE) / 1e9 - moment for moment, job in sent])


def compare_short(folder: Path, runs: int, seconds: float, *, judged: bool) -> bool:
    """Print the waits of short jobs alone and beside long ones, in turns; judge the ratio."""
    alone: list[Waits] = []
    beside: list[Waits] = []
    table = Table(title=f"1 ms jobs, {1 / EVERY:g} per second: enqueue to start, ms")
    for heading in ("run", "alone p50", "p99", "max", "beside 5 s jobs p50", "p99", "max"):
        table.add_column(heading, justify="right")
    for number in range(runs):
        for found, beside_long in ((alone, False), (beside, True)):
            found.append(short(folder, seconds, beside_long=beside_long, seed=number))
        table.add_row(str(number + 1), *figures(alone[-1]), *figures(beside[-1]))
    ratio = quantile([each.at(0.99) for each in beside], 0.5) / quantile(
        [each.at(0.99) for each in alone], 0.5
    )
    out = console()
    out.print(table)
    out.print(f"p99 beside long ones / alone, of the medians: {ratio:.2f} (required ≤ {SLOWER:g}):")
    out.print(verdict_text(ratio <= SLOWER, judged=judged))
    return ratio <= SLOWER and judged


def compare_urgent(folder: Path, runs: int, seconds: float, *, judged: bool) -> bool:
    """Print how long urgent jobs wait in front of a backlog; judge the longest wait."""
    table = Table(title="priority 9 before a deep backlog: enqueue to start, ms")
    for heading in ("backlog of", "run", "jobs", "p50", "p99", "max", "required max"):
        table.add_column(heading, justify="right")
    longest = dict.fromkeys(BACKLOGS, 0.0)
    for number in range(runs):
        for run_time in BACKLOGS:
            found = urgent(folder, seconds, run_time, seed=number)
            longest[run_time] = max(longest[run_time], *found.seconds)
            bound = f"{(run_time + CLAIM) * 1e3:g}"
            row = (f"{run_time * 1e3:g} ms jobs", str(number + 1), str(len(found.seconds)))
            table.add_row(*row, *figures(found), bound)
    passed = all(wait <= run_time + CLAIM for run_time, wait in longest.items())
    out = console()
    out.print(table)
    out.print(verdict_text(passed, judged=judged))
    return passed and judged


def figures(found: Waits) -> tuple[str, str, str]:
    return f"{found.at(0.5):.2f}", f"{found.at(0.99):.2f}", f"{max(found.seconds) * 1e3:.2f}"
