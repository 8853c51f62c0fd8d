"""Tasks of workflows.  The file comes from LITEQUEUE_URL.

`python -m benchmarks.apps.workflows KIND COUNT` enqueues so many no-ops, as a "group" with a
callback or "plain", and prints the seconds that took, the process's peak of memory in MB, and the
id of the last job.
"""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import repeat
from typing import Any

from benchmarks.growth_probe import peak
from litequeue import LiteQueue, chord

AT_ONCE = 10_000

app = LiteQueue(os.environ.get("LITEQUEUE_URL", "unbound.sqlite"))


@app.task
def nothing() -> None:
    """Do nothing."""


@app.task
def count(results: list[Any]) -> int:
    return len(results)


@app.task
def step(before: Any = None) -> list[float]:
    """Note when it began and when it ended."""
    return [time.time(), time.time()]


def enqueue_group(members: int) -> str:
    return str(chord((nothing.s() for _ in range(members)), count.s()).delay().id)


def enqueue_plain(jobs: int) -> str:
    last = None
    for first in range(0, jobs, AT_ONCE):
        *_, last = app.enqueue_many(repeat((nothing, ()), min(AT_ONCE, jobs - first)))
    return last.id if last else ""


def main() -> None:
    kind, number = sys.argv[1:]
    enqueue = enqueue_group if kind == "group" else enqueue_plain
    enqueue(1)  # opens connections, wakes CPU and disk
    began = time.perf_counter()
    last = enqueue(int(number))
    print(json.dumps([time.perf_counter() - began, peak(os.getpid()), last]))


if __name__ == "__main__":
    main()
