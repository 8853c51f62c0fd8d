"""The machine beside the figures: without its disk and its load they mean nothing."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

BUSY = 0.7
"""With a load average above this, before anything was started, the figures are not judged."""
SWING = 2.0
"""Nor if the disk's slowest p50 is so many times its fastest one."""


def load() -> float:
    """Processes that wanted a CPU in the last minute, on average."""
    return os.getloadavg()[0]


def sync_milliseconds(directory: Path) -> float:
    """The p50 of fdatasync after 4 kB, on the disk that the stores are on."""
    times = []
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(500):
            os.write(file.fileno(), b"x" * 4096)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3


def is_memory(directory: Path) -> bool:
    """Tell whether the directory is on no disk at all, where nothing is ever synced."""
    command = ["stat", "--file-system", "--format=%T", str(directory)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return answer.stdout.strip() in {"tmpfs", "ramfs"}


def objections(load: float, syncs: list[float], directory: Path) -> list[str]:
    """Why the figures of this run must not be judged."""
    found = []
    if load > BUSY:
        found.append(f"load average {load:.2f} at the start, more than {BUSY}")
    if max(syncs) > SWING * min(syncs):
        found.append(f"fdatasync p50 went from {min(syncs):.3f} to {max(syncs):.3f} ms")
    if is_memory(directory):
        found.append(f"{directory} is in memory: choose a directory on a disk with --dir")
    return found


def description() -> dict[str, str]:
    return {
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "cpu": f"{os.cpu_count()} x {processor()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "litequeue": installed("litequeue-jobs"),
        "huey": installed("huey"),
        "celery": installed("celery"),
        "redis": redis_version(),
    }


def processor() -> str:
    with Path("/proc/cpuinfo").open() as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.processor()


def installed(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "from this checkout"


def redis_version() -> str:
    if not shutil.which("redis-server"):
        return "not installed"
    answer = subprocess.run(
        ["redis-server", "--version"], capture_output=True, text=True, check=True
    )
    fields = dict(field.partition("=")[::2] for field in answer.stdout.split())
    return fields.get("v", "unknown")
