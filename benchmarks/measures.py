"""What is measured, each in the same way for every system. README.md says why that way."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.systems import System, open_system
from benchmarks.worker import ROOT, Worker

Series = dict[str, list[float]]
"""The samples of one measurement, by the name of what they are samples of."""

PAUSE = 0.01
"""Between two calls, so that each meets a worker at rest."""
SETTLE = 0.5
"""Before the worker is held, and before its idle time is read."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything."""

    first: int = 100
    singles: int = 2000
    bulk: int = 38_000
    drains: int = 3
    drain_bulk: int = 40_000
    """Jobs to drain for a system that can send them in one go..."""
    drain_singles: int = 4000
    """...and for one that cannot: those are slower at running them, too."""
    calls: int = 200
    starts: int = 3
    imports: int = 15
    idle: float = 60
    warm_calls: int = 30


QUICK = Sizes(
    bulk=8000,
    drains=1,
    drain_bulk=10_000,
    drain_singles=1000,
    calls=50,
    starts=1,
    imports=5,
    idle=5,
)


def enqueue(system: System, folder: Path, sizes: Sizes) -> Series:
    """Jobs per second into a store without a worker."""
    system.enqueue(sizes.first)  # creates the store, opens connections, wakes CPU and disk
    series = {"enqueue": [rate(system.enqueue, sizes.singles)]}
    if system.has_bulk:
        series["bulk"] = [rate(system.enqueue_many, sizes.bulk)]
    return series


def rate(send: Callable[[int], object], count: int) -> float:
    began = time.perf_counter()
    send(count)
    return count / (time.perf_counter() - began)


def serve(system: System, folder: Path, sizes: Sizes) -> Series:
    """One worker: a full queue to drain, then latency while it is at rest, then its memory."""
    with Worker(system.worker(), folder / "worker.log") as worker:
        call(system, sizes.warm_calls)
        drains = [drain(system, worker, sizes) for _ in range(sizes.drains)]
        return {
            "drain": [rate for rate, _ in drains],
            "cpu": [cpu for _, cpu in drains],
            **call(system, sizes.calls),
            "pss": [worker.proportional_bytes() / 1e6],
        }


def call(system: System, count: int) -> Series:
    """Milliseconds until a job starts, and until its sender has the result."""
    start, get = [], []
    for _ in range(count):
        sent = time.monotonic_ns()
        began = system.call()
        got = time.monotonic_ns()
        start.append((began - sent) / 1e6)
        get.append((got - sent) / 1e6)
        time.sleep(PAUSE)
    return {"start": start, "get": get}


def drain(system: System, worker: Worker, sizes: Sizes) -> tuple[float, float]:
    """Jobs per second from the first job's start to the last's, and microseconds of CPU per job.

    The worker is warm and held by SIGSTOP while the queue is filled.
    """
    time.sleep(SETTLE)
    worker.suspend()
    jobs = fill(system, sizes)
    cpu = worker.cpu_seconds()
    worker.resume()
    moments = system.moments(jobs)
    cpu = worker.cpu_seconds() - cpu
    seconds = (max(moments) - min(moments)) / 1e9
    return (len(jobs) - 1) / seconds, cpu / len(jobs) * 1e6


def fill(system: System, sizes: Sizes) -> Sequence[Any]:
    if system.has_bulk:
        return system.enqueue_many(sizes.drain_bulk)
    return system.enqueue(sizes.drain_singles)


def idle(system: System, folder: Path, sizes: Sizes) -> Series:
    """Percent of one CPU that a worker takes which has worked and now waits."""
    with Worker(system.worker(), folder / "worker.log") as worker:
        call(system, sizes.warm_calls)
        time.sleep(10 * SETTLE)
        cpu, began = worker.run_seconds(), time.perf_counter()
        time.sleep(sizes.idle)
        share = (worker.run_seconds() - cpu) / (time.perf_counter() - began)
        return {"idle": [share * 100]}


def ready(system: System, folder: Path, sizes: Sizes) -> Series:
    """Seconds from the start of a worker until it says that it is ready."""
    system.enqueue(1)  # creates the store
    seconds = []
    for number in range(sizes.starts):
        with Worker(system.worker(verbose=True), folder / f"worker-{number}.log") as worker:
            seconds.append(worker.wait_until_ready(system.ready_mark))
    return {"ready": seconds}


def importing(system: System, folder: Path, sizes: Sizes) -> Series:
    """Milliseconds that a program's import of the system adds to a bare Python."""
    if system.import_statement is None:
        return {}
    python_seconds(system.import_statement)  # fills the disk cache, writes the byte code
    added = []
    for _ in range(sizes.imports):
        bare = python_seconds("pass")
        added.append((python_seconds(system.import_statement) - bare) * 1e3)
    return {"import": added}


def python_seconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    return time.perf_counter() - began


MEASURES = {
    "enqueue": enqueue,
    "serve": serve,
    "ready": ready,
    "importing": importing,
    "idle": idle,
}


def measure(name: str, system_name: str, folder: Path, sizes: Sizes) -> Series:
    with closing(open_system(system_name, folder)) as system:
        return MEASURES[name](system, folder, sizes)
