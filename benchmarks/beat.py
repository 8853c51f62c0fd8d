"""What 10,000 entries cost a worker, and how late they are: `python -m benchmarks.beat --help`.

lag     100 ticks per second: how late each is sent, and its job started; CPU of the consumer
idle    CPU of a worker whose entries are not due, beside one that has none
start   writing the entries that code defines: the first time, and unchanged
"""

from __future__ import annotations

import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil

from benchmarks import parts
from benchmarks.table import console, new_table, verdict_text
from benchmarks.worker import Worker, thread_nanoseconds, worker_of
from litequeue import schedules
from litequeue.entry import Entry
from litequeue.schedules import Schedule, crontab, interval
from litequeue.store import Database, entries

ENTRIES = 10_000
RATE = 100.0
"""Ticks per second, of all entries."""
LATE = 0.050
"""Seconds: the p99 that is required."""
IDLE = 0.2
"""Per cent of a CPU that is required."""
SECONDS = 30.0
SETTLED = 3.0
"""Seconds after a worker's start that do not count."""
DAY = 86_400.0
READY_MARK = "Ready in "
LAGS = """
SELECT tick.fired - tick.due, job.started - tick.due
FROM litequeue_tick AS tick JOIN litequeue_job AS job ON job.id = tick.job
WHERE tick.due BETWEEN ? AND ? AND job.started IS NOT NULL
"""


def entry(number: int, schedule: Schedule) -> Entry:
    return Entry(
        name=f"entry-{number}", schedule=schedules.dump(schedule), queue="default",
        task="benchmarks.apps.beating.nothing", body="[[],{}]",
    )  # fmt: skip


def worker(path: Path) -> Worker:
    return worker_of(path, "beating", "-c", "2")


# Lag


def lag(folder: Path, count: int) -> tuple[list[float], list[float], float]:
    """Return how late ticks were sent, how late their jobs started, and the consumer's CPU (%)."""
    path = folder / "lag.sqlite"
    every = count / RATE
    with closing(Database(path, create=True, durability="process")) as database:
        began = time.time() + count / 1000 + 5.0  # writing them takes this long at most
        for number in range(count):
            # Each began at a moment of its own, one interval before it is due first.
            entries.add(database, entry(number, interval(every)), began - every + number / RATE)
    time.sleep(max(0.0, began - 5.0 - time.time()))
    with worker(path) as running:
        time.sleep(max(0.0, began + SETTLED - time.time()))
        top = psutil.Process(running.process.pid)
        pid = min(top.children(), key=psutil.Process.create_time).pid
        since, used = time.time(), thread_nanoseconds(pid)
        time.sleep(SECONDS)
        until, used = time.time(), thread_nanoseconds(pid) - used
        time.sleep(1.0)
    with closing(sqlite3.connect(path)) as file:
        found = file.execute(LAGS, (since, until)).fetchall()
    wanted = (until - since) * RATE
    if abs(len(found) - wanted) > RATE / 10:
        raise AssertionError(f"{len(found)} ticks in place of {wanted:.0f}")
    cpu = used / (until - since) / 1e7
    return sorted(sent for sent, _ in found), sorted(started for _, started in found), cpu


def report_lag(folder: Path, count: int, judged: bool) -> bool:
    sent, started, cpu = lag(folder, count)
    table = new_table(
        f"{count:,} entries, {len(sent):,} ticks in {SECONDS:g} s; ms after they were due",
        ("p50", "p99", "longest", "required\np99", "verdict"),
    )
    passed = at(sent, 0.99) <= LATE
    table.add_row("sent", *figures(sent), f"≤ {LATE * 1e3:g}", verdict_text(passed, judged=judged))
    table.add_row("the job started", *figures(started), "", "")
    console().print(table)
    print(f"CPU of the consumer, which runs the beat: {cpu:.1f} %")
    return passed or not judged


def at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def figures(ordered: list[float]) -> tuple[str, ...]:
    return tuple(
        f"{value * 1e3:,.1f}" for value in (at(ordered, 0.5), at(ordered, 0.99), ordered[-1])
    )


# Idle


def idle(folder: Path, count: int) -> tuple[float, float]:
    """Return the CPU in per cent of a worker with entries, and of one without, at the same time."""
    paths = folder / "many.sqlite", folder / "none.sqlite"
    now = time.time()
    for path, size in zip(paths, (count, 0), strict=True):
        with closing(Database(path, create=True, durability="process")) as database:
            lines = [entry(number, interval(DAY + number)) for number in range(size)]
            entries.reconcile(database, "benchmark", lines, now)
    with worker(paths[0]) as many, worker(paths[1]) as none:
        time.sleep(2 * SETTLED)
        before, since = (many.run_seconds(), none.run_seconds()), time.monotonic()
        time.sleep(SECONDS)
        after, seconds = (many.run_seconds(), none.run_seconds()), time.monotonic() - since
    with_entries, without = ((b - a) / seconds * 100 for a, b in zip(before, after, strict=True))
    return with_entries, without


def report_idle(folder: Path, count: int, judged: bool) -> bool:
    with_entries, without = idle(folder, count)
    table = new_table("CPU of a worker at rest, per cent", ("CPU", "required", "verdict"))
    passed = with_entries <= IDLE
    verdict = verdict_text(passed, judged=judged)
    table.add_row(f"{count:,} entries", f"{with_entries:.3f}", f"≤ {IDLE:g}", verdict)
    table.add_row("none", f"{without:.3f}", "", "")
    console().print(table)
    return passed or not judged


# Start


class Timed(Database):
    """Notes how long its transactions hold the write lock."""

    held = 0.0
    _began = 0.0

    def begin(self, *given: Any) -> Any:
        connection = super().begin(*given)
        self._began = time.perf_counter()
        return connection

    def commit(self, connection: Any, rows: int) -> None:
        super().commit(connection, rows)
        self.held = max(self.held, time.perf_counter() - self._began)


def start(folder: Path, count: int) -> list[tuple[float, float]]:
    """Return (seconds, of these under the write lock) for the first start and for the second."""
    found = []
    for _ in range(2):
        lines = [
            entry(
                each,
                crontab(each % 60, each % 24, tz="Europe/Berlin") if each % 2 else interval(60),
            )
            for each in range(count)
        ]
        with closing(Timed(folder / "start.sqlite", create=True)) as database:
            database.data_version()
            began = time.perf_counter()
            entries.reconcile(database, "benchmark", lines, time.time())
            found.append((time.perf_counter() - began, database.held))
        schedules.load.cache_clear()
    return found


def report_start(folder: Path, count: int, judged: bool) -> bool:
    table = new_table(
        f"writing {count:,} entries of code, seconds", ("all of it", "under the\nwrite lock")
    )
    for title, (seconds, held) in zip(("first", "unchanged"), start(folder, count), strict=True):
        table.add_row(title, f"{seconds:.3f}", f"{held:.3f}")
    console().print(table)
    return True


PARTS = {"start": report_start, "idle": report_idle, "lag": report_lag}

if __name__ == "__main__":
    sys.exit(parts.main("beat", __doc__, ("entries", ENTRIES), PARTS))
