"""What replacing children costs, and whether it leaks: `python -m benchmarks.recycling --help`.

rate    jobs per second with --max-tasks-per-child, as a share of the rate without, in pairs
leaks   descriptors and memory of supervisor and consumer before and after many replacements
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks import machine
from benchmarks.interval import interval
from benchmarks.probe import prepare_process
from benchmarks.table import cell, console, new_table, verdict_text
from benchmarks.worker import Worker, worker_of

if TYPE_CHECKING:
    from litequeue import LiteQueue

SHARE = 0.8
"""Of the rate without recycling, required at least."""
GROWTH = 2_000_000
"""Bytes that a process may have grown by after all replacements."""
CASES = {"millisecond": (100, 10_000), "nothing": (1000, 60_000)}
"""By the name of the task: its --max-tasks-per-child, and how many jobs are sent."""
PATIENCE = 600.0
READY_MARK = "Ready in "
_numbers = count()


@contextmanager
def worker(folder: Path, *options: str) -> Iterator[tuple[LiteQueue, Worker]]:
    """Run a worker on a file of its own."""
    path = folder / f"jobs-{next(_numbers)}.sqlite"
    from benchmarks.apps.recycling import app

    app.rebind(path)
    with worker_of(path, "recycling", *options, level="INFO") as running:
        running.wait_until_ready(READY_MARK)
        yield app, running
        app.close()


def rate(folder: Path, task: str, jobs: int, *options: str) -> float:
    """Return how many jobs per second a worker runs, from the start of the first to the last's."""
    with worker(folder, "-c", "2", *options) as (app, running):
        call = app.tasks[f"benchmarks.apps.recycling.{task}"]
        for _ in range(20):
            call.delay().get(timeout=30)
        running.suspend()
        results = app.enqueue_many([(call, ())] * jobs)
        running.resume()
        results[-1].get(timeout=PATIENCE)
        began = [result.get(timeout=PATIENCE) for result in results]
    return (jobs - 1) / ((max(began) - min(began)) / 1e9)


@dataclass(frozen=True, slots=True)
class State:
    """What a process holds; for a whole worker also its files beside the queue."""

    descriptors: int
    rss: int

    @classmethod
    def of(cls, process: psutil.Process) -> State:
        """Look some times: a descriptor that is open for a moment is none that leaks."""
        descriptors = process.num_fds()
        for _ in range(20):
            time.sleep(0.01)
            descriptors = min(descriptors, process.num_fds())
        return cls(descriptors, process.memory_info().rss)


@dataclass(frozen=True, slots=True)
class Leaks:
    """The supervisor and the consumer, before and after; ``files`` beside the queue; zombies."""

    replaced: int
    seconds: float
    before: tuple[State, State]
    after: tuple[State, State]
    files: tuple[int, int]
    zombies: int

    @property
    def descriptors(self) -> int:
        """How many descriptors more there are."""
        return sum(
            b.descriptors - a.descriptors for a, b in zip(self.before, self.after, strict=True)
        )

    @property
    def growth(self) -> int:
        """By how many bytes the one has grown that has grown more."""
        return max(b.rss - a.rss for a, b in zip(self.before, self.after, strict=True))


def leaks(folder: Path, replacements: int, *, warm: int = 300) -> Leaks:
    """Replace children so often, after ``warm`` times; raise TimeoutError if that hangs."""
    with worker(folder, "-c", "2", "--max-tasks-per-child", "1") as (app, running):
        parts = pair(running)
        bell = Path(f"{app.path}.bell")
        run(app, warm)
        began = time.monotonic()
        before, files = (State.of(parts[0]), State.of(parts[1])), len(list(bell.iterdir()))
        pids = run(app, replacements)
        seconds = time.monotonic() - began
        if len(set(pids)) < replacements * 0.9:  # pids come again, but not often
            raise AssertionError(f"{len(set(pids))} processes ran {replacements} jobs")
        zombies = lasting_zombies(running)
        return Leaks(
            replacements, seconds, before, (State.of(parts[0]), State.of(parts[1])),
            (files, len(list(bell.iterdir()))), zombies,
        )  # fmt: skip


def lasting_zombies(running: Worker) -> int:
    """Count the dead processes that nobody reaps."""
    deadline = time.monotonic() + 5
    while True:
        found = sum(each.status() == psutil.STATUS_ZOMBIE for each in running.tree())
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def pair(running: Worker) -> tuple[psutil.Process, psutil.Process]:
    """Return the supervisor and its consumer, which is the first that it forked."""
    supervisor = psutil.Process(running.process.pid)
    return supervisor, min(supervisor.children(), key=psutil.Process.create_time)


def run(app: LiteQueue, jobs: int) -> list[int]:
    """Run so many jobs, some at a time; return the processes that did."""
    call = app.tasks["benchmarks.apps.recycling.process"]
    pids: list[int] = []
    while len(pids) < jobs:
        results = app.enqueue_many([(call, ())] * min(500, jobs - len(pids)))
        pids += [result.get(timeout=60) for result in results]
    return pids


def compare(folder: Path, task: str, pairs: int) -> tuple[list[float], list[float]]:
    """Return the rates without and with recycling."""
    every, jobs = CASES[task]
    plain: list[float] = []
    recycled: list[float] = []
    for number in range(pairs):
        both = [
            lambda: plain.append(rate(folder, task, jobs)),
            lambda: recycled.append(rate(folder, task, jobs, "--max-tasks-per-child", str(every))),
        ]
        for take in both if number % 2 else both[::-1]:
            os.sync()
            take()
    return plain, recycled


def report_rates(folder: Path, pairs: int, *, judged: bool) -> bool:
    table = new_table(
        "jobs/s, median, lowest..highest",
        ("without", "with", "share\nmedian", "90 %\ninterval", "required", "verdict"),
    )
    passed = True
    for task, (every, _) in CASES.items():
        plain, recycled = compare(folder, task, pairs)
        share = interval([b / a for a, b in zip(plain, recycled, strict=True)])
        passed &= share.median >= SHARE
        table.add_row(
            f"{task}, every {every:,}", cell(plain, 0), cell(recycled, 0), f"{share.median:.2f}",
            f"{share.low:.2f}..{share.high:.2f}", f"≥ {SHARE:g}",
            verdict_text(share.median >= SHARE, judged=judged),
        )  # fmt: skip
    console().print(table)
    return passed


def report_leaks(found: Leaks) -> bool:
    passed = found.descriptors <= 0 and found.growth <= GROWTH and not found.zombies
    print(
        f"{found.replaced:,} replacements in {found.seconds:.1f} s "
        f"({found.seconds / found.replaced * 1e3:.1f} ms each): "
        f"{found.descriptors:+d} descriptors, {found.growth / 1e3:+,.0f} kB, "
        f"{found.files[0]} -> {found.files[1]} files, "
        f"{found.zombies} zombies: {'pass' if passed else 'FAIL'}"
    )
    return passed


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recycling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--replacements", type=int, default=10_000, help="for leaks (10,000)")
    parser.add_argument("--pairs", type=int, default=3, help="for the rate (3)")
    parser.add_argument("--only", choices=["rate", "leaks"])
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()))
    return parser.parse_args()


def main() -> int:
    prepare_process()
    chosen = options()
    load = machine.load()
    passed = True
    with tempfile.TemporaryDirectory(prefix="bench-", dir=chosen.dir) as folder:
        if chosen.only != "rate":
            passed &= report_leaks(leaks(Path(folder), chosen.replacements))
        if chosen.only != "leaks":
            judged = load <= machine.BUSY
            passed &= report_rates(Path(folder), chosen.pairs, judged=judged) or not judged
    print(f"load average {load:.2f} at the start")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
