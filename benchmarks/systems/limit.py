"""The client's side of the limit: plain INSERTs, and a SELECT when the bell rings."""

from __future__ import annotations

import json
import sys
import time
import uuid
from pathlib import Path
from typing import ClassVar

from benchmarks.apps import limit


def new_row() -> tuple[str, str, str, str, float]:
    return (str(uuid.uuid4()), "myapp.add", json.dumps([[1, 2], {}]), "default", time.time())


class LimitSystem:
    ready_mark: ClassVar[str] = "limit is ready"
    import_statement: ClassVar[str | None] = None
    has_bulk: ClassVar[bool] = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.connection = limit.connect(folder)
        self.connection.executescript(limit.SCHEMA)
        self.bell = limit.Bell(folder / "client.bell")
        self.writer = str(folder / "writer.bell")

    def worker(self, *, verbose: bool = False) -> list[str]:
        return [sys.executable, "-m", "benchmarks.apps.limit", str(self.folder)]

    def enqueue(self, count: int) -> list[str]:
        jobs = [self._insert() for _ in range(count)]
        self.bell.ring(self.writer)
        return jobs

    def enqueue_many(self, count: int) -> list[str]:
        rows = [new_row() for _ in range(count)]
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(limit.INSERT, rows)
        self.connection.execute("COMMIT")
        self.bell.ring(self.writer)
        return [row[0] for row in rows]

    def moments(self, jobs: list[str]) -> list[int]:
        self._poll(jobs[-1])
        return [self._poll(job) for job in jobs]

    def call(self) -> int:
        job = self._insert()
        self.bell.ring(self.writer)
        while True:
            self.bell.socket.recv(64)
            if (moment := self._moment(job)) is not None:
                return moment

    def close(self) -> None:
        self.connection.close()

    def _insert(self) -> str:
        row = new_row()
        self.connection.execute(limit.INSERT, row)
        return row[0]

    def _moment(self, job: str) -> int | None:
        row = self.connection.execute(limit.RESULT, (job,)).fetchone()
        return int(json.loads(row[0])[1]) if row else None

    def _poll(self, job: str) -> int:
        while (moment := self._moment(job)) is None:
            time.sleep(0.02)
        return moment


def open_in(folder: Path) -> LimitSystem:
    return LimitSystem(folder)
