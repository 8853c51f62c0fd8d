"""The systems that are compared, behind one protocol.

A system is one queue on a fresh, empty store in a folder of its own. Its one task takes two
integers and returns the moment it began (`time.monotonic_ns()`, one clock for all processes), so
that every figure about time comes from the results themselves, in the same way for all.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

NAMES = ("limit", "litequeue", "huey", "celery")
PATIENCE = 60
"""Seconds until a job that does not end is a failed measurement."""


class System(Protocol):
    # The worker's words on stderr when it is ready.
    ready_mark: ClassVar[str]
    # What a program has to import in order to send a job; None if there is nothing to compare.
    import_statement: ClassVar[str | None]
    # Whether many jobs can be sent in one go.
    has_bulk: ClassVar[bool]

    def worker(self, *, verbose: bool = False) -> list[str]:
        """The command line of a worker with two processes, at log level WARNING (or INFO)."""

    def enqueue(self, count: int) -> Sequence[Any]:
        """Send jobs one at a time."""

    def enqueue_many(self, count: int) -> Sequence[Any]:
        """Send jobs in one go."""

    def moments(self, jobs: Sequence[Any]) -> list[int]:
        """Wait, without disturbing the worker, until all have ended; return when each began."""

    def call(self) -> int:
        """Send one job, wait for its result, return when it began."""

    def close(self) -> None:
        """Stop what was started for this system."""


def open_system(name: str, folder: Path) -> System:
    # Only the system that is measured is loaded: each runs in a process of its own.
    system: System = importlib.import_module(f"benchmarks.systems.{name}").open_in(folder)
    return system
