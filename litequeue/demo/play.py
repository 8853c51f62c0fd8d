"""What `litequeue demo` does: real jobs, real kills, every result held against plain Python."""

from __future__ import annotations

import math
import os
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from litequeue.clock import SYSTEM, Clock
from litequeue.demo import app, count, measure
from litequeue.demo.victim import LOOK, PATIENCE, Kill, WorkerProcess
from litequeue.exceptions import LiteQueueError
from litequeue.store import audit

KILL_CHILD_AT: Final = 0.3
KILL_WORKER_AT: Final = 0.6
LONGEST_PASS: Final = 25.0
"""Seconds that one pass over all files may take; on a slower machine only every n-th is read."""
SAMPLE: Final = 0.75


class Watcher(Protocol):
    """Whoever shows what happens."""

    def say(self, text: str) -> None:
        """Tell one fact."""

    def begin(self, what: str, total: int) -> None:
        """Start to show the progress of ``what``."""

    def reached(self, done: int) -> None:
        """Show how many are done."""


# What to do


@dataclass(frozen=True, slots=True)
class Plan:
    """Which files to read, and how often each."""

    files: tuple[str, ...]
    repeats: int


def library_files() -> list[str]:
    """Return the .py files of the running Python's standard library, in order."""
    found = []
    for directory, subdirectories, names in os.walk(sysconfig.get_path("stdlib")):
        subdirectories[:] = [
            name
            for name in subdirectories
            if name not in ("site-packages", "dist-packages", "__pycache__")
        ]
        found += [str(Path(directory, name)) for name in names if name.endswith(".py")]
    if not found:
        raise LiteQueueError(
            f"there is no .py file in {sysconfig.get_path('stdlib')}; "
            "run the demo with a Python that has its standard library as files"
        )
    return sorted(found)


def seconds_per_file(files: Sequence[str], clock: Clock = SYSTEM) -> float:
    """Time a sample spread evenly over ``files``, for less than a second."""
    began = clock.monotonic()
    done = 0
    for index in _spread(len(files)):
        count(files[index])
        done += 1
        if clock.monotonic() - began > SAMPLE:
            break
    return (clock.monotonic() - began) / done


def _spread(count: int) -> Iterator[int]:
    """Yield all indexes, in an order of which every beginning is spread evenly."""
    stride = max(1, int(count * 0.618))
    while math.gcd(stride, count) != 1:
        stride += 1
    return (index * stride % count for index in range(count))


def plan(files: Sequence[str], each: float, *, wanted: float | None, lanes: int) -> Plan:
    """Decide what to do: every file, as often as gives ``wanted`` seconds on ``lanes`` children.

    ``each`` is the seconds one file takes.  Without ``wanted`` all files are read, for at least 10
    seconds; less than one pass is an even part of the files.
    """
    whole = each * len(files)
    work = (10.0 if wanted is None else wanted) * lanes
    if wanted is None:
        share = min(1.0, LONGEST_PASS / whole)
    else:
        share = min(1.0, LONGEST_PASS / whole, work / whole)
    chosen = tuple(files[:: math.ceil(1 / share)])
    return Plan(chosen, max(1, math.ceil(work / (each * len(chosen)))) if share == 1.0 else 1)


# Doing it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """A job that a kill hit, and the seconds from the kill to its next start (None: never)."""

    kill: Kill
    id: str
    seconds: float | None


@dataclass(slots=True, kw_only=True)
class Report:
    """What the demo found.  `failures` says what is wrong with it."""

    jobs: int
    files: int
    kills: list[Kill] = field(default_factory=list)
    rescues: list[Rescue] = field(default_factory=list)
    missing: int = 0
    wrong: list[str] = field(default_factory=list)
    verdicts: int = 0
    judged_once: int = 0
    attempts: int = 0
    syntax_errors: int = 0
    damage: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    exit_code: int | None = None
    seconds: float = 0.0

    def failures(self) -> list[str]:
        """Return what went wrong, in words; empty when every promise held."""
        found = [
            (self.missing, f"{self.missing} result(s) are missing"),
            (
                self.wrong,
                f"{len(self.wrong)} result(s) are wrong, the first of {_first(self.wrong)}",
            ),
            (
                self.judged_once != self.jobs or self.verdicts != self.jobs,
                f"{self.jobs} jobs have {self.verdicts} verdicts "
                f"({self.judged_once} jobs have exactly one)",
            ),
            (len(self.kills) != 2, f"{len(self.kills)} of 2 kills took place"),
            (self.damage, f"integrity_check: {_first(self.damage)}"),
            (self.left_behind, f"left behind: {', '.join(self.left_behind)}"),
            (self.exit_code, f"the worker ended with code {self.exit_code} when told to stop"),
        ]
        found += [
            (True, f"job {rescue.id} was hit and never started again")
            for rescue in self.rescues
            if rescue.seconds is None
        ]
        return [words for wrong, words in found if wrong]


def _first(items: Sequence[str]) -> str:
    return items[0] if items else ""


def run(
    watcher: Watcher,
    *,
    seconds: float | None = None,
    lanes: int | None = None,
    clock: Clock = SYSTEM,
) -> Report:
    """Run the whole demo; leave no file and no process behind.

    Raises `LiteQueueError` when it cannot be finished.
    """
    began = clock.monotonic()
    files = library_files()
    lanes = lanes or min(os.cpu_count() or 1, 8)
    todo = plan(files, seconds_per_file(files, clock), wanted=seconds, lanes=lanes)
    paths = [path for _ in range(todo.repeats) for path in todo.files]
    share = "" if len(todo.files) == len(files) else f" of {len(files):,}"
    watcher.say(
        f"{len(todo.files):,}{share} files of Python {sys.version.split()[0]}, each read "
        f"{todo.repeats} time(s): {len(paths):,} jobs for {lanes} children"
    )
    report = Report(jobs=len(paths), files=len(todo.files))
    with tempfile.TemporaryDirectory(prefix="litequeue-demo-") as directory:
        app.rebind(Path(directory, "jobs.sqlite"))
        try:
            results = _run_jobs(paths, report, watcher, lanes, clock)
        finally:
            app.close()
    if Path(directory).exists():
        report.left_behind.append(directory)
    _compare(paths, results, report, watcher)
    report.seconds = clock.monotonic() - began
    return report


def _run_jobs(
    paths: list[str], report: Report, watcher: Watcher, lanes: int, clock: Clock
) -> list[Any]:
    """Run one job per path through a worker that is killed twice; return the results in order."""
    database = app.store.database
    audit.keep_ledger(database)
    handles = app.enqueue_many([(measure, (path,)) for path in paths])
    watcher.say(f"{len(handles):,} jobs accepted by {Path(app.path).name}")
    watcher.begin("jobs done", len(paths))
    worker = WorkerProcess(app.path, lanes, clock)
    try:
        progress = Progress(lambda: audit.how_many_done(database), watcher, worker, clock)
        progress.wait_until(math.ceil(len(paths) * KILL_CHILD_AT))
        report.kills.append(worker.kill_child())
        watcher.say("SIGKILL to a child in the middle of a job")
        progress.wait_until(math.ceil(len(paths) * KILL_WORKER_AT))
        report.kills.append(worker.kill())
        watcher.say("SIGKILL to the whole worker; another one is started")
        worker.start()
        progress.wait_until(len(paths))
        report.exit_code = worker.stop()
    finally:
        report.left_behind += worker.end()
    report.damage = audit.problems(database)
    _take_stock(report)
    return [
        handle.get(timeout=0, propagate=False) if handle.ready() else None for handle in handles
    ]


def _take_stock(report: Report) -> None:
    """Read from the file what became of the jobs."""
    endings = {ending.id: ending for ending in audit.endings(app.store.database)}
    report.missing = report.jobs - sum(ending.phase == "done" for ending in endings.values())
    report.verdicts = sum(ending.verdicts for ending in endings.values())
    report.judged_once = sum(ending.verdicts == 1 for ending in endings.values())
    report.attempts = sum(ending.claims for ending in endings.values())
    for loss in audit.losses(app.store.database):
        earlier = (kill for kill in reversed(report.kills) if kill.at <= loss.at)
        kill = next(earlier, Kill("something else", loss.at))
        started = endings[loss.id].started
        seconds = started - kill.at if started is not None and started > kill.at else None
        report.rescues.append(Rescue(kill=kill, id=loss.id, seconds=seconds))


def _compare(paths: list[str], results: list[Any], report: Report, watcher: Watcher) -> None:
    """Compute everything again without a queue."""
    watcher.begin("files checked", report.files)
    expected = {}
    for done, path in enumerate(paths[: report.files], 1):
        expected[path] = count(path)
        watcher.reached(done)
    report.syntax_errors = sum("error" in counts for counts in expected.values())
    report.wrong = [
        path for path, result in zip(paths, results, strict=True) if result != expected[path]
    ]


class Progress:
    """Waits for results, shows them come, and gives up when none does."""

    def __init__(
        self, done: Callable[[], int], watcher: Watcher, worker: WorkerProcess, clock: Clock
    ) -> None:
        self._done = done
        self._watcher = watcher
        self._worker = worker
        self._clock = clock

    def wait_until(self, wanted: int) -> None:
        """Return once ``wanted`` jobs are done."""
        last, since = -1, self._clock.monotonic()
        while (done := self._done()) < wanted:
            now = self._clock.monotonic()
            if done != last:
                last, since = done, now
                self._watcher.reached(done)
            if now - since > PATIENCE:
                raise LiteQueueError(
                    f"no result for {PATIENCE:g} s, {done} are there: {self._worker.last_words()}"
                )
            if self._worker.is_gone():
                raise LiteQueueError(f"the worker ended by itself: {self._worker.last_words()}")
            self._clock.sleep(LOOK)
        self._watcher.reached(done)
