"""The processes of the WAL-reset probe: `python -m tests.crash.programs.wal_reset ...`.

They use litequeue's own `Database`, but with the large memory map that it forbids: a checkpoint
drops the map between its first and its second look at the WAL, which takes milliseconds.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from random import Random

from litequeue import QueueBusy
from litequeue.job import Job, new_id
from litequeue.store import Database, checkpoints, jobs, opening

SECONDS = 3.0
PAUSE = 0.015
"""The longest pause, in seconds, between two jobs of a writer: a WAL is written back meanwhile."""
MAP = ("mmap_size", 1 << 30)


def write(database: Database, path: str) -> None:
    """Enqueue every few milliseconds, and write down what was accepted."""
    random = Random(path)
    journal = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for now in moments():
        job = Job(id=new_id(now), task="probe", body="[[],{}]", queue="default")
        jobs.enqueue(database, job, now)
        os.write(journal, f"{job.id}\n".encode())
        time.sleep(random.uniform(0.0, PAUSE))


def write_back(database: Database, path: str) -> None:
    """Checkpoint all the time, so that the next commit may start the WAL anew."""
    for _ in moments():
        checkpoint(database)
        time.sleep(0.001)


def map_and_write_back(database: Database, path: str) -> None:
    """Checkpoint with the whole file mapped, soon after somebody else has."""
    random = Random(path)
    for _ in moments():
        with database.read() as reader:
            reader.execute("SELECT sum(rowid) FROM filling").fetchall()
        time.sleep(random.uniform(0.0, PAUSE))
        checkpoint(database)


def checkpoint(database: Database) -> None:
    try:
        database.checkpoint(wait=1.0)
    except QueueBusy:
        return


def moments() -> Iterator[float]:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        yield time.time()


ROLES: dict[str, Callable[[Database, str], None]] = {
    "write": write,
    "write-back": write_back,
    "map-and-write-back": map_and_write_back,
}


def main(role: str, path: str, accepted: str, guard: str) -> None:
    pragmas = [pragma for pragma in opening._PRAGMAS if pragma[0] != MAP[0]]
    opening._PRAGMAS = (*pragmas, MAP)
    checkpoints.CHECKPOINT_EVERY = 1 << 30
    if guard == "unguarded":
        Database.checkpoint = unguarded  # type: ignore[method-assign]  # the planted mistake
    database = Database(path, durability="process", busy_timeout=60.0)
    assert database.data_version()
    ROLES[role](database, accepted)
    os._exit(0)  # the last one to close must not tidy up before the judge


def unguarded(self: Database, wait: float | None = None) -> None:
    """Be the mistake that the probe must find: a checkpoint without the write lock."""
    with self.read() as reader:
        reader.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


if __name__ == "__main__":
    main(*sys.argv[1:])
