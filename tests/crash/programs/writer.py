"""A writer of the WAL-reset probe: `python -m tests.crash.programs.writer PATH ACCEPTED SECONDS`.

It enqueues without a pause, writes down what was accepted, and checkpoints all the time, with
the memory map that litequeue forbids: that opens the window of SQLite's bug widest.
"""

from __future__ import annotations

import os
import sys
import time

from litequeue.job import Job, new_id
from litequeue.store import Database, connection, jobs

MAP = ("mmap_size", 1 << 30)
CHECKPOINT_EVERY = 5


def main(path: str, accepted: str, seconds: str) -> None:
    pragmas = [pragma for pragma in connection._PRAGMAS if pragma[0] != MAP[0]]
    connection._PRAGMAS = (*pragmas, MAP)
    connection.CHECKPOINT_EVERY = CHECKPOINT_EVERY
    database = Database(path, durability="process", busy_timeout=60.0)
    assert database.data_version()
    journal = os.open(accepted, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    deadline = time.monotonic() + float(seconds)
    while time.monotonic() < deadline:
        now = time.time()
        job = Job(id=new_id(now), task="probe", body="[[],{}]", queue="default")
        jobs.enqueue(database, job, now)
        os.write(journal, f"{job.id}\n".encode())
    database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
