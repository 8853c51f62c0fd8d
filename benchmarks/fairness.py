"""Does anybody wait for others longer than need be? `python -m benchmarks.fairness --help`.

writers  Some processes enqueue as fast as they can, all at once. The share is the commits of the
         one served least, divided by those of the one served most; the wait is the longest single
         `delay()` of any.
short    1 ms jobs beside two that sleep for 5 s, four children; against two children without those.
urgent   Jobs of the highest priority before a deep backlog of 100 ms jobs, and of 1 ms jobs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import machine, waiting
from benchmarks.probe import prepare_process
from benchmarks.rows import quantile
from benchmarks.table import console, verdict_text
from benchmarks.worker import ROOT

SHARE = 0.6
"""Required at least, in the median of the runs."""
WAIT = 0.5
"""Required at most, in the median of the runs."""
PARTS = ("writers", "short", "urgent")
HEAD_START = 4.0
"""Seconds that the writers have to be there when all begin."""


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one run."""

    commits: list[int]
    longest: float
    errors: list[str]

    @property
    def share(self) -> float:
        return min(self.commits) / max(self.commits)


def run(writers: int, seconds: float, directory: Path, *, stock: bool) -> Run:
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as folder,
        ExitStack() as stack,
    ):
        start = time.monotonic() + HEAD_START
        command = [sys.executable, "-m", "benchmarks.fairness", "--write", folder, str(start)]
        command += ["--seconds", str(seconds), *(["--stock"] if stock else [])]
        processes = [
            stack.enter_context(
                subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(writers)
        ]
        for process in processes:  # an interrupted run leaves no writer behind
            stack.callback(process.terminate)
        reports = [json.loads(process.communicate()[0]) for process in processes]
    return Run(
        commits=[report["commits"] for report in reports],
        longest=max(report["longest"] for report in reports),
        errors=[error for report in reports for error in report["errors"]],
    )


def write(send: Callable[[], Any], start: float, seconds: float) -> dict[str, Any]:
    """Be a writer: from the agreed moment on, send one job after the other."""
    send()  # opens the store
    if (early := start - time.monotonic()) <= 0:
        raise TimeoutError(f"the writer was not there in time: {-early:.1f} s late")
    time.sleep(early)
    commits, longest, errors = 0, 0.0, []
    while (began := time.monotonic()) < start + seconds:
        try:
            send()
        except Exception as error:
            errors.append(repr(error))
        else:
            commits += 1
        longest = max(longest, time.monotonic() - began)
    return {"commits": commits, "longest": longest, "errors": errors}


def sender(folder: Path, *, stock: bool) -> Callable[[], Any]:
    if stock:
        return stock_sender(folder)
    os.environ["LITEQUEUE_URL"] = str(folder / "jobs.sqlite")
    from benchmarks.apps.litequeue import began

    return lambda: began.delay(1, 2)


def stock_sender(folder: Path) -> Callable[[], Any]:
    """Return what most programs do: SQLite's own wait for the write lock."""
    from benchmarks.apps import limit
    from benchmarks.systems.limit import new_row

    connection = limit.connect(folder)
    connection.execute("CREATE TABLE IF NOT EXISTS job (uuid UNIQUE, task, args, queue, created)")
    return lambda: connection.execute(limit.INSERT, new_row())


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fairness",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--stock", action="store_true", help="plain SQLite instead of litequeue")
    parser.add_argument(
        "--dir", type=Path, default=Path(tempfile.gettempdir()), help="where the store goes: a disk"
    )
    parser.add_argument("--write", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def report(runs: list[Run], seconds: float, *, judged: bool) -> bool:
    """Print a line per run and the medians; return whether all that is required is shown."""
    table = Table(title="writers that enqueue as fast as they can")
    for heading in ("run", "jobs/s", "share, least / most", "longest wait, s", "errors"):
        table.add_column(heading, justify="right")
    for number, each in enumerate(runs, 1):
        speed = f"{sum(each.commits) / seconds:,.0f}"
        figures = (f"{each.share:.2f}", f"{each.longest:.3f}", str(len(each.errors)))
        table.add_row(str(number), speed, *figures)
    share = quantile([each.share for each in runs], 0.5)
    longest = quantile([each.longest for each in runs], 0.5)
    errors = [error for each in runs for error in each.errors]
    passed = share >= SHARE and longest <= WAIT and not errors
    out = console()
    out.print(table)
    out.print(
        f"median share {share:.2f} (required ≥ {SHARE:g}), median longest wait {longest:.3f} s"
    )
    out.print(f"(required ≤ {WAIT:g}), {len(errors)} errors (required 0):", end=" ")
    out.print(verdict_text(passed, judged=judged))
    for error in sorted(set(errors)):
        out.print(error, markup=False)
    return passed and judged


def measure(part: str, chosen: argparse.Namespace, *, judged: bool) -> bool:
    if part == "writers":
        runs = [
            run(chosen.writers, chosen.seconds, chosen.dir, stock=chosen.stock)
            for _ in range(chosen.runs)
        ]
        return report(runs, chosen.seconds, judged=judged)
    compare = waiting.compare_short if part == "short" else waiting.compare_urgent
    with tempfile.TemporaryDirectory(prefix="bench-", dir=chosen.dir) as folder:
        return compare(Path(folder), chosen.runs, chosen.seconds, judged=judged)


def main() -> int:
    prepare_process()
    chosen = options()
    if chosen.write:
        folder, start = chosen.write
        send = sender(Path(folder), stock=chosen.stock)
        print(json.dumps(write(send, float(start), chosen.seconds)))
        return 0
    load, sync = machine.load(), machine.sync_milliseconds(chosen.dir)
    judged = not machine.objections(load, [sync], chosen.dir)
    passed = [measure(part, chosen, judged=judged) for part in PARTS if chosen.only in (None, part)]
    print(f"fdatasync p50 {sync:.3f} ms, load average {load:.2f} at the start")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
