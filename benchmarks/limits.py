"""How late a hard time limit is: `python -m benchmarks.limits --help`.

All jobs run at once and outstay the same limit; from the moment of each one's limit until the
kernel says that its process is dead:
sleep    in time.sleep
compute  in one call of C code
refuse   with every signal ignored that can be
spin     in a busy loop, so that all want the CPUs
locked   as sleep, while another process holds the write lock of the file
"""

from __future__ import annotations

import argparse
import os
import select
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from benchmarks import machine
from benchmarks.probe import prepare_process
from benchmarks.rows import quantile
from benchmarks.table import console, verdict_text
from benchmarks.worker import worker_of

WAYS = ("sleep", "compute", "refuse", "spin", "locked")
BOUND = 0.2
"""Seconds of lateness that are allowed, while the CPUs are not all wanted."""
PATIENCE = 60.0
READY_MARK = "Ready in "


@dataclass(frozen=True, slots=True)
class Ends:
    """``late``: how late each job was ended; ``verdicts``: how long after that all were written.

    With a lock, ``verdicts`` counts from its end.
    """

    late: list[float]
    verdicts: float


@contextmanager
def write_lock(path: Path) -> Iterator[sqlite3.Connection]:
    """Hold the write lock of the file, as a stranger would."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    finally:
        connection.close()


def starts(journal: Path, count: int) -> dict[int, float]:
    """Wait until ``count`` jobs have begun; return their processes and the moments."""
    deadline = time.monotonic() + PATIENCE
    while True:
        lines = journal.read_text().splitlines() if journal.exists() else []
        if len(lines) >= count:
            pairs = (map(int, line.split()) for line in lines)
            return {pid: moment / 1e9 for pid, moment in pairs}
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(lines)} of {count} jobs have begun")
        time.sleep(0.005)


def deaths(pids: Iterator[int]) -> dict[int, float]:
    """Return when each process died."""
    poll = select.poll()
    waiting = {os.pidfd_open(pid): pid for pid in pids}
    for descriptor in waiting:
        poll.register(descriptor, select.POLLIN)
    died: dict[int, float] = {}
    while waiting:
        ready = poll.poll(PATIENCE * 1000)
        if not ready:
            raise TimeoutError(f"{len(waiting)} jobs have outlived their limit")
        for descriptor, _ in ready:
            died[waiting.pop(descriptor)] = time.monotonic()
            poll.unregister(descriptor)
            os.close(descriptor)
    return died


def measure(folder: Path, way: str, *, jobs: int, limit: float, lock: float) -> Ends:
    """Run ``jobs`` at once with a hard limit of ``limit`` s; hold the lock ``lock`` s if asked."""
    path, journal = folder / "jobs.sqlite", folder / "journal"
    os.environ["LITEQUEUE_URL"], os.environ["JOURNAL"] = str(path), str(journal)
    from benchmarks.apps.limits import app, outstay

    app.rebind(path)
    with worker_of(path, "limits", "-c", str(jobs), level="INFO") as worker:
        worker.wait_until_ready(READY_MARK)
        results = [
            outstay.apply_async(("sleep" if way == "locked" else way,), time_limit=limit)
            for _ in range(jobs)
        ]
        begun = starts(journal, jobs)
        if way == "locked":
            with write_lock(path):
                died = deaths(iter(begun))
                time.sleep(max(0.0, lock + limit - (time.monotonic() - min(begun.values()))))
        else:
            died = deaths(iter(begun))
        free = time.monotonic()
        errors = {str(type(each.get(timeout=PATIENCE, propagate=False))) for each in results}
        seconds = time.monotonic() - free
        app.close()
    if "TimeLimitExceeded" not in "".join(errors) or len(errors) != 1:
        raise AssertionError(f"the jobs ended as {errors}")
    return Ends([died[pid] - moment - limit for pid, moment in begun.items()], seconds)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.limits",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--jobs", type=int, default=50, help="at once (50)")
    parser.add_argument("--limit", type=float, default=2.0, help="seconds (2)")
    parser.add_argument("--lock", type=float, default=10.0, help="seconds of write lock (10)")
    parser.add_argument("--only", choices=WAYS)
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()))
    return parser.parse_args()


def main() -> int:
    prepare_process()
    chosen = options()
    load = machine.load()
    table = Table(title=f"{chosen.jobs} jobs at once, a hard limit of {chosen.limit:g} s")
    for heading in ("way", "late p50", "late max", "verdicts after", "required max", "verdict"):
        table.add_column(heading, justify="right")
    passed = True
    for way in [chosen.only] if chosen.only else WAYS:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=chosen.dir) as folder:
            ends = measure(
                Path(folder), way, jobs=chosen.jobs, limit=chosen.limit, lock=chosen.lock
            )
        judged = way not in ("spin", "compute")  # more of them than CPUs: the kernel's affair
        in_time = max(ends.late) <= BOUND
        passed &= in_time or not judged
        table.add_row(
            way, f"{quantile(ends.late, 0.5):.3f}", f"{max(ends.late):.3f}",
            f"{ends.verdicts:.3f}", f"≤ {BOUND:g}" if judged else "-",
            verdict_text(in_time, judged=judged),
        )  # fmt: skip
    out = console()
    out.print(table)
    out.print(f"load average {load:.2f} at the start", highlight=False)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
