"""litequeue in its default durability."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from benchmarks.systems import PATIENCE

if TYPE_CHECKING:
    from litequeue.result import AsyncResult


class LiteQueueSystem:
    ready_mark: ClassVar[str] = "Ready in "
    import_statement: ClassVar[str | None] = "from litequeue import LiteQueue"
    has_bulk: ClassVar[bool] = True

    def __init__(self, file: Path) -> None:
        os.environ["LITEQUEUE_URL"] = self.file = str(file)
        from benchmarks.apps.litequeue import app, began

        self.app, self.began = app, began

    def worker(self, *, verbose: bool = False) -> list[str]:
        level = "INFO" if verbose else "WARNING"
        app = "benchmarks.apps.litequeue:app"
        command = [sys.executable, "-m", "litequeue", "worker", self.file, "-A", app]
        return [*command, "-c", "2", "-l", level]

    def enqueue(self, count: int) -> list[AsyncResult[int]]:
        return [self.began.delay(1, 2) for _ in range(count)]

    def enqueue_many(self, count: int) -> list[AsyncResult[int]]:
        return self.app.enqueue_many([(self.began, (1, 2))] * count)

    def moments(self, jobs: list[AsyncResult[int]]) -> list[int]:
        jobs[-1].get(timeout=PATIENCE)
        return [job.get(timeout=PATIENCE) for job in jobs]

    def call(self) -> int:
        return self.began.delay(1, 2).get(timeout=PATIENCE)

    def close(self) -> None:
        """Nothing runs beside the worker."""


def open_in(folder: Path) -> LiteQueueSystem:
    return LiteQueueSystem(folder / "jobs.sqlite")
