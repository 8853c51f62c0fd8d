"""huey on SQLite, with its defaults."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.systems import PATIENCE


class HueySystem:
    ready_mark: ClassVar[str] = "Huey consumer started"
    import_statement: ClassVar[str | None] = "from huey import SqliteHuey"
    has_bulk: ClassVar[bool] = False

    def __init__(self, file: Path) -> None:
        os.environ["HUEY_FILE"] = str(file)
        from benchmarks.apps.huey import began

        self.began = began

    def worker(self, *, verbose: bool = False) -> list[str]:
        command = [sys.executable, "-m", "huey.bin.huey_consumer", "benchmarks.apps.huey.app"]
        return [*command, "-k", "process", "-w", "2", *([] if verbose else ["--quiet"])]

    def enqueue(self, count: int) -> list[Any]:
        return [self.began(1, 2) for _ in range(count)]

    def enqueue_many(self, count: int) -> list[Any]:
        raise NotImplementedError("huey sends jobs one at a time")

    def moments(self, jobs: list[Any]) -> list[int]:
        jobs[-1].get(blocking=True, timeout=PATIENCE)
        return [job.get(blocking=True, timeout=PATIENCE) for job in jobs]

    def call(self) -> int:
        moment: int = self.began(1, 2).get(blocking=True, timeout=PATIENCE)
        return moment

    def close(self) -> None:
        """Nothing runs beside the worker."""


def open_in(folder: Path) -> HueySystem:
    return HueySystem(folder / "huey.sqlite")
