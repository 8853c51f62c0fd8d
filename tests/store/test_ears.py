from __future__ import annotations

import select
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from litequeue.store import Database
from litequeue.store.wakeup import NET
from litequeue.worker.ears import CALM, STIRRED, Ears
from tests.conftest import FakeClock
from tests.store.steps import put


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def poll() -> select.poll:
    return select.poll()


@pytest.fixture
def ears(database: Database, poll: select.poll, clock: FakeClock) -> Iterator[Ears]:
    put(database, "a")
    ears = Ears(database, "abc", poll, clock)
    yield ears
    ears.close()


def stirs(ears: Ears, poll: select.poll) -> bool:
    stirred = [ears.stirs(fd) for fd, _ in poll.poll(0)]
    return any(stirred)


def test_a_write_of_somebody_who_cannot_ring_is_heard(
    ears: Ears, poll: select.poll, clock: FakeClock, foreign: sqlite3.Connection
) -> None:
    ears.look()
    assert ears.longest_sleep() == CALM
    foreign.execute("INSERT INTO litequeue_enqueue (task) VALUES ('t')")
    assert stirs(ears, poll)
    assert ears.longest_sleep() == NET
    assert ears.look()
    clock.advance(STIRRED + 1)
    assert ears.longest_sleep() == CALM


def test_a_wal_made_anew_is_heard_too(
    ears: Ears, database: Database, poll: select.poll, clock: FakeClock
) -> None:
    database.close()  # the last to close deletes the WAL
    assert not Path(f"{database.path}-wal").exists()
    assert stirs(ears, poll)
    clock.advance(STIRRED + 1)
    assert ears.longest_sleep() == NET, "deaf"
    ears.look()
    ears.look()
    clock.advance(STIRRED + 1)
    assert ears.longest_sleep() == CALM
    while stirs(ears, poll):
        pass
    ears.look()
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("INSERT INTO litequeue_enqueue (task) VALUES ('t')")
    other.close()
    assert stirs(ears, poll)
