"""Ten thousand sleeping jobs in one process: `python -m benchmarks.aio_sleepers --help`.

Every job sleeps until all of them do, so none ends before all run at once.  The peak is that of
the process they run in, by the kernel's account.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from benchmarks import machine
from benchmarks.probe import prepare_process
from benchmarks.table import console, verdict_text
from benchmarks.worker import worker_of

READY_MARK = "Ready in "
BOUND = 300
"""MB that the process may take at its peak."""
PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Meeting:
    """``met`` jobs ran at once, in a process of ``peak`` MB at most; ``seconds`` for all."""

    met: int
    peak: float
    seconds: float


def measure(folder: Path, jobs: int) -> Meeting:
    """Have so many jobs sleep at once."""
    path = folder / "jobs.sqlite"
    os.environ["LITEQUEUE_URL"] = str(path)
    from benchmarks.apps.sleepers import app, meet

    app.rebind(path)
    handles = app.enqueue_many([(meet, (jobs, PATIENCE))] * jobs)
    try:
        began = time.monotonic()
        with worker_of(path, "sleepers", "-P", "aio", "-c", str(jobs)):
            results = [handle.get(timeout=PATIENCE) for handle in handles]
            seconds = time.monotonic() - began
    finally:
        app.close()
    met, peaks = zip(*results, strict=True)
    return Meeting(min(met), max(peaks) / 1024, seconds)


def main() -> int:
    prepare_process()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.aio_sleepers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--jobs", type=int, default=10_000, help="at once (10,000)")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()))
    chosen = parser.parse_args()
    load = machine.load()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=chosen.dir) as folder:
        meeting = measure(Path(folder), chosen.jobs)
    passed = meeting.met >= chosen.jobs and meeting.peak <= BOUND
    table = Table(title=f"{chosen.jobs:,} sleeping jobs in one process")
    for heading in ("at once", "peak MB", "required max", "start to last result", "verdict"):
        table.add_column(heading, justify="right")
    table.add_row(
        f"{meeting.met:,}", f"{meeting.peak:.0f}", f"≤ {BOUND}", f"{meeting.seconds:.1f} s",
        verdict_text(passed, judged=True),
    )  # fmt: skip
    out = console()
    out.print(table)
    out.print(f"load average {load:.2f} at the start", highlight=False)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
