"""The limit's own measure: another program that measures raw SQLite, if LIMIT_YARDSTICK names one.

It is run as `python $LIMIT_YARDSTICK JOBS` with LIMIT_DIR set to the directory of the stores, and
prints one JSON line. A limit of ours that is slower than it would flatter litequeue.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measures import Series

NAME = "yardstick"
TOLERANCE = 0.1
RUNS = 3
"""In each repetition, of which the median counts: one run moves by 10 % and more."""
KEYS = {
    "enqueue": "enqueue_per_s",
    "bulk": "bulk_per_s",
    "drain": "drain_per_s",
    "start": "latency_ms_p50",
    "get": "roundtrip_ms_p50",
}
ROWS = ("enqueue", "bulk", "drain", "start-p50", "get-p50")
"""Those in which the two can be compared."""


def path() -> str | None:
    return os.environ.get("LIMIT_YARDSTICK")


def samples(program: str, jobs: int, directory: Path) -> Series:
    reports = [run(program, jobs, directory) for _ in range(RUNS)]
    return {series: [report[key] for report in reports] for series, key in KEYS.items()}


def run(program: str, jobs: int, directory: Path) -> dict[str, float]:
    os.sync()  # the disk owes nothing for the run before
    with tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as folder:
        answer = subprocess.run(
            [sys.executable, program, str(jobs)],
            env=os.environ | {"LIMIT_DIR": folder, "SYNC": "full"},
            capture_output=True,
            text=True,
            check=True,
        )
    report: dict[str, float] = json.loads(answer.stdout)
    return report
