"""What a failed job had in its hands is let go of, before its verdict is told."""

from __future__ import annotations

import gc
import sqlite3
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from litequeue.exceptions import SoftTimeLimitExceeded
from litequeue.interrupts import SignalGuard
from litequeue.worker.executor import Executor
from tests.unit.bench import Bench, lease


class Thing:
    """Something that is to be closed when nobody holds it."""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_what_an_exception_went_through_is_forgotten(bench: Bench) -> None:
    things: list[weakref.ref[Thing]] = []

    def inner() -> None:
        thing = Thing()
        things.append(weakref.ref(thing))
        raise ValueError(thing is None)

    def work() -> None:
        try:
            inner()
        except ValueError as error:
            raise RuntimeError("because of it") from error

    assert bench.run(work).state == "FAILURE"
    assert [thing() for thing in things] == [None]


def test_a_transaction_that_a_soft_limit_cut_short_is_rolled_back(
    bench: Bench, tmp_path: Path
) -> None:
    path = tmp_path / "own.sqlite"
    guard = SignalGuard()

    def work() -> None:
        file = sqlite3.connect(path, isolation_level=None)
        file.execute("CREATE TABLE entry (key)")
        file.execute("BEGIN IMMEDIATE")
        guard.interrupt(lease("work").token)

    task = bench.app.task(work, name="work")
    outcome = Executor(bench.app, bench.clock, "here", guard).execute(lease(task.name))
    assert outcome.failure is not None
    assert outcome.failure.type == SoftTimeLimitExceeded.__name__
    other = sqlite3.connect(path, isolation_level=None, timeout=0.0)
    other.execute("BEGIN IMMEDIATE")
    other.close()
