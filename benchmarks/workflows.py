"""What workflows cost: `python -m benchmarks.workflows --help`.

group   a million no-ops with a callback for the list of their results, beside as many plain ones:
        memory and seconds of the process that enqueues them, jobs per second of a worker
chain   from the end of a step to the start of the next one, as the steps note both
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks import machine, parts
from benchmarks.apps.workflows import app, step
from benchmarks.growth_probe import peaks
from benchmarks.rows import quantile
from benchmarks.table import console, new_table, verdict_text
from benchmarks.worker import ROOT, Worker, worker_of
from litequeue import chain

MEMBERS = 1_000_000
MOST_MEMORY = 200.0
"""MB that are required of the process that enqueues the group."""
SHARE = 0.6
"""Of the rate of plain jobs that is required of the group."""
STEPS = 500
CHAINS = 5
LATENCY = 1.0
"""Milliseconds: the p50 that is required from a step to the next."""
PATIENCE = 600.0
UNFINISHED = "SELECT 1 FROM litequeue_job WHERE phase IN ('ready', 'leased', 'waiting') LIMIT 1"
DRAINED = """
SELECT count(*), min(started), max(finished), count(*) FILTER (WHERE state <> 'SUCCESS')
FROM litequeue_job
"""


def worker(path: Path) -> Worker:
    return worker_of(path, "workflows", "-c", "2", "--no-beat")


# Group


@dataclass(frozen=True, slots=True)
class Drain:
    """Seconds to enqueue, MB of who did that and of the worker's processes, jobs per second."""

    enqueue: float
    producer: float
    consumer: float
    child: float
    rate: float


def drain(kind: str, count: int, directory: Path) -> Drain:
    """Enqueue no-ops of a kind into a file of its own, then have a worker run all of them."""
    os.sync()  # the disk owes nothing for the run before
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        path = Path(folder) / "jobs.sqlite"
        environment = {**os.environ, "LITEQUEUE_URL": str(path)}
        command = [sys.executable, "-m", "benchmarks.apps.workflows", kind, str(count)]
        told = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True
        ).stdout
        seconds, producer, last = json.loads(told)
        with worker(path) as running, closing(sqlite3.connect(path)) as file:
            wait_until_empty(file)
            memory = peaks(running, path)
            jobs, began, ended, failed = file.execute(DRAINED).fetchone()
            result = file.execute("SELECT result FROM litequeue_job WHERE id = ?", (last,))
            if failed or (kind == "group" and json.loads(result.fetchone()[0]) != count):
                raise AssertionError(f"{failed} jobs failed, or results are missing")
    return Drain(seconds, producer, rate=jobs / (ended - began), **memory)


def wait_until_empty(file: sqlite3.Connection) -> None:
    until = time.monotonic() + PATIENCE
    while file.execute(UNFINISHED).fetchone():
        if time.monotonic() > until:
            raise AssertionError(f"the worker was not done in {PATIENCE:g} s")
        time.sleep(0.2)


def report_group(directory: Path, count: int, judged: bool) -> bool:
    # Before and after: the machine may not be what it was a minute ago.
    sides = [drain(kind, count, directory) for kind in ("plain", "group", "plain")]
    table = new_table(
        f"{count:,} no-ops",
        ("enqueue\ns", "producer\nMB", "consumer\nMB", "child\nMB", "drain\njobs/s"),
    )
    for title, side in zip(("plain", "a group with a callback", "plain"), sides, strict=True):
        figures = (side.enqueue, side.producer, side.consumer, side.child)
        table.add_row(title, *(f"{figure:,.1f}" for figure in figures), f"{side.rate:,.0f}")
    before, group, after = sides
    share = group.rate / ((before.rate + after.rate) / 2)
    small, fast = group.producer < MOST_MEMORY, share >= SHARE
    required = ("", f"< {MOST_MEMORY:g}", "", "", f"{share:.2f} of plain,\nrequired ≥ {SHARE:g}")
    table.add_row("required", *required)
    table.add_row(
        "verdict", "", verdict_text(small, judged=True), "", "", verdict_text(fast, judged=judged)
    )  # the size of a process does not depend on its neighbours
    console().print(table)
    return small and (fast or not judged)


# Chain


def gaps(folder: Path, steps: int, chains: int) -> list[float]:
    """Return the milliseconds from each step of some chains to the next."""
    path = folder / "chain.sqlite"
    found = []
    app.rebind(path)
    with worker(path):
        for _ in range(chains + 1):
            last = chain(step.s() for _ in range(steps)).delay()
            last.get(timeout=PATIENCE)
            moments = [json.loads(text) for (text,) in results_of_newest(path, steps)]
            found.append([(b - a) * 1e3 for (_, a), (b, _) in pairwise(moments)])
    app.close()
    return [gap for some in found[1:] for gap in some]  # the first chain woke the worker up


def results_of_newest(path: Path, count: int) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as file:
        newest = "SELECT result FROM litequeue_job ORDER BY seq DESC LIMIT ?"
        return file.execute(newest, (count,)).fetchall()[::-1]


def report_chain(folder: Path, count: int, judged: bool) -> bool:
    found = gaps(folder, STEPS, CHAINS)
    middle = quantile(found, 0.5)
    table = new_table(
        f"{CHAINS} chains of {STEPS} steps: ms from the end of one to the start of the next",
        ("p50", "p99", "longest", "required\np50", "verdict"),
    )
    passed = middle <= LATENCY
    figures = (f"{each:.2f}" for each in (middle, quantile(found, 0.99), max(found)))
    table.add_row("step", *figures, f"≤ {LATENCY:g}", verdict_text(passed, judged=judged))
    console().print(table)
    print(f"fdatasync p50: {machine.sync_milliseconds(folder):.3f} ms")
    return passed or not judged


PARTS = {"group": report_group, "chain": report_chain}

if __name__ == "__main__":
    sys.exit(parts.main("workflows", __doc__, ("members", MEMBERS), PARTS))
