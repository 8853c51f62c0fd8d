"""The app of the soak: every kind of job, and a count of the runs of each, in shared memory."""

from __future__ import annotations

import functools
import mmap
import os
import time
from pathlib import Path
from typing import Any, Final

from litequeue import LiteQueue
from litequeue.exceptions import SoftTimeLimitExceeded

KEEP: Final = 4.0
"""Seconds that results are kept: old jobs are deleted all the time."""
LARGE: Final = 200_000
SOFT: Final = 0.005
HARD: Final = 0.05

# Children are killed so often that the same innocent job may be hit many times.
app = LiteQueue(
    os.environ.get("LITEQUEUE_URL", "unbound.sqlite"),
    task_max_deliveries=1000,
    result_expires=KEEP,
    result_failure_expires=KEEP,
)


class Expected(Exception):
    """A failure that the soak wants."""


@functools.cache
def runs(pid: int) -> mmap.mmap:
    """Open the count: one byte per job."""
    with Path(os.environ["RUNS"]).open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)


def begin(number: int) -> None:
    """Count a run; only one process at a time runs a job."""
    runs(os.getpid())[number] += 1


@app.task
def nothing(number: int) -> None:
    begin(number)


@app.task
def short(number: int) -> int:
    """Use the CPU for 1 ms."""
    begin(number)
    until = time.monotonic() + 0.001
    while time.monotonic() < until:
        pass
    return number


@app.task(bind=True)
def again(self: Any, number: int) -> int:
    begin(number)
    if self.request.retries == 0:
        raise self.retry(countdown=number % 5 / 20)
    return number


@app.task(throws=(Expected,))
def fail(number: int) -> None:
    begin(number)
    raise Expected(number)


@app.task(soft_time_limit=SOFT, throws=(SoftTimeLimitExceeded,))
def exceed(number: int) -> None:
    begin(number)
    time.sleep(30.0)


@app.task(soft_time_limit=SOFT)
def swallow(number: int) -> int:
    begin(number)
    try:
        time.sleep(30.0)
    except SoftTimeLimitExceeded:
        return number
    return -1


@app.task(time_limit=HARD)
def outstay(number: int) -> None:
    begin(number)
    time.sleep(30.0)


@app.task
def hang(number: int) -> None:
    """Run until it is terminated."""
    begin(number)
    time.sleep(300.0)


@app.task
def large(number: int) -> str:
    begin(number)
    return str(number % 10) * LARGE


@app.task
def take(number: int, text: str) -> int:
    """Take a large argument."""
    begin(number)
    return len(text)
