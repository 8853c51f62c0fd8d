"""One look at one file, in a process of its own: `python -m benchmarks.growth_probe FILE SIZES`.

As many jobs are put in as are taken out, first come, first served; so what the file was filled
with is used up by whoever looks at a million waiting jobs, and is as much as before.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measures import rate
from benchmarks.probe import prepare_process
from benchmarks.seeding import TASK
from benchmarks.systems import PATIENCE
from benchmarks.systems.litequeue import LiteQueueSystem
from benchmarks.worker import Worker
from litequeue.job import Job, Lease, Outcome, new_id
from litequeue.store import Database, Keep, jobs, maintenance, workers
from litequeue.store.claim import Claim, has_parked
from litequeue.worker.liveness import own_identity
from litequeue.worker.pace import DEEPEST

BATCH = 2 * DEEPEST
"""What a worker with two children claims at once when jobs are short."""
KEEP = Keep(success=86_400.0, failure=604_800.0)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many jobs each part takes."""

    first: int = 100
    singles: int = 4000
    claims: int = 40_000
    drain: int = 60_000
    ramp: int = 20_000
    """Jobs of the drain that are run before the clock is started: the worker still wakes up."""


QUICK = Sizes(singles=1000, claims=10_000, drain=15_000, ramp=5000)


def look(file: Path, sizes: Sizes) -> dict[str, float]:
    """Measure everything once: rates in jobs per second, memory in MB."""
    system = LiteQueueSystem(file)
    with closing(system.app):
        system.enqueue(sizes.first)  # opens connections, wakes CPU and disk
        found = {"enqueue": rate(system.enqueue, sizes.singles)}
        found["producer"] = peak(os.getpid())
        system.enqueue_many(sizes.claims - sizes.singles - sizes.first)
        found["claim"] = claim_rate(system.app.store.database, sizes.claims)
        return found | drain(system, file, sizes)


def claim_rate(database: Database, count: int) -> float:
    """Claims alone, as a worker makes them; whatever was claimed is settled after the clock."""
    owner = register(database)
    leases: list[Lease] = []
    began = time.perf_counter()
    while len(leases) < count:
        leases += claim(database, owner, min(BATCH, count - len(leases)))
    seconds = time.perf_counter() - began
    settle(database, leases)
    workers.unregister(database, owner)
    return count / seconds


def register(database: Database) -> int:
    return workers.register(database, own_identity("", "benchmark"), time.time())


def claim(database: Database, owner: int, count: int) -> list[Lease]:
    asked = Claim(owner=owner, limit=count, tasks=frozenset({TASK}))
    leases = jobs.settle_and_claim(database, now=time.time(), keep=KEEP, claim=asked).leases
    if len(leases) < count:
        raise LookupError(f"{len(leases)} jobs were claimed, {count} must be waiting")
    return leases


def settle(database: Database, leases: Sequence[Lease]) -> None:
    outcomes = [Outcome(each.seq, each.token, each.claim, "SUCCESS", "1") for each in leases]
    jobs.settle_and_claim(database, now=time.time(), keep=KEEP, outcomes=outcomes)


FIRST_IN_LINE = """
SELECT seq, id FROM litequeue_job WHERE phase = 'ready' ORDER BY priority DESC, seq LIMIT ?
"""
MOMENTS = """
SELECT CAST(result AS INTEGER) FROM litequeue_job
WHERE seq BETWEEN ? AND ? AND state = 'SUCCESS' ORDER BY 1
"""


def drain(system: LiteQueueSystem, file: Path, sizes: Sizes) -> dict[str, float]:
    """A worker runs the first jobs in line, and is stopped before it gets through the others.

    The clock is the one that the jobs themselves read when they start.
    """
    system.enqueue_many(sizes.drain)
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as reader:
        line = reader.execute(FIRST_IN_LINE, (sizes.drain,)).fetchall()
        with Worker(system.worker(), file.with_name("worker.log")) as worker:
            system.app.AsyncResult(line[-1][1]).get(timeout=PATIENCE)
            memory = peaks(worker, file)
        moments = [row[0] for row in reader.execute(MOMENTS, (line[0][0], line[-1][0]))]
    timed = moments[sizes.ramp :]
    return {"drain": (len(timed) - 1) / (timed[-1] - timed[0]) * 1e9, **memory}


def peaks(worker: Worker, file: Path) -> dict[str, float]:
    """The consumer is the process that has the file open; of the children, the largest counts."""
    _, *others = worker.tree()  # the supervisor never grows: it does not see the jobs
    holders = {each.pid: file.name in opened(each.pid) for each in others}
    return {
        "consumer": max(peak(pid) for pid, holds in holders.items() if holds),
        "child": max(peak(pid) for pid, holds in holders.items() if not holds),
    }


def opened(pid: int) -> set[str]:
    """The names of the files that a process has open."""
    return {os.path.basename(file.path) for file in psutil.Process(pid).open_files()}


def peak(pid: int) -> float:
    """The largest resident set of a process since it began, in MB."""
    # Not getrusage: its figure survives exec, so a child starts with that of its parent.
    with open(f"/proc/{pid}/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


# Steps


def vm_steps(file: Path) -> dict[str, int]:
    """Count the steps of SQLite's virtual machine that each verb takes on this file: no noise."""
    with closing(Database(file)) as database:
        owner = register(database)
        send(database)  # whatever is done only once
        jobs.enqueue_many(database, [new_job() for _ in range(BATCH)], time.time())
        leases: list[Lease] = []
        found = {
            "enqueue one": steps(database, lambda: send(database)),
            f"claim {BATCH}": steps(database, lambda: leases.extend(claim(database, owner, BATCH))),
            f"settle {BATCH}": steps(database, lambda: settle(database, leases)),
            "a worker's duties": steps(database, lambda: duties(database)),
        }
        workers.unregister(database, owner)
        return found


def send(database: Database) -> None:
    jobs.enqueue(database, new_job(), time.time())


def new_job() -> Job:
    return Job(new_id(time.time()), TASK, "[[1,2],{}]", "default")


def duties(database: Database) -> None:
    """What a worker asks the file now and then, when somebody has written to it."""
    now = time.time()
    has_parked(database, [TASK])
    maintenance.has_expired(database, now)
    maintenance.has_prunable(database, now)
    maintenance.next_moment(database)


def steps(database: Database, action: Callable[[], Any]) -> int:
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1

    with database.read() as reader:
        pass
    with database.write(durable=False) as writer:
        pass
    for connection in (writer, reader):
        connection.set_progress_handler(tick, 1)
    action()
    for connection in (writer, reader):
        connection.set_progress_handler(None, 0)
    return count


def main() -> None:
    prepare_process()
    file, sizes = sys.argv[1:]
    print(json.dumps(look(Path(file), Sizes(**json.loads(sizes)))))


def arguments(file: Path, sizes: Sizes) -> list[str]:
    """The command line that has a process look at ``file``."""
    size = json.dumps(dataclasses.asdict(sizes))
    return [sys.executable, "-m", "benchmarks.growth_probe", str(file), size]


if __name__ == "__main__":
    main()
