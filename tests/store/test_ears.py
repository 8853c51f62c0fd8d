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


def test_what_the_consumer_writes_itself_does_not_wake_it(
    ears: Ears, database: Database, poll: select.poll
) -> None:
    put(database, "b")
    ears.forget_own_write()
    assert not stirs(ears, poll)
    assert ears.longest_sleep() == CALM


def test_a_commit_of_others_before_that_is_seen_by_the_next_look(
    ears: Ears, database: Database, foreign: sqlite3.Connection
) -> None:
    ears.look()
    foreign.execute("INSERT INTO litequeue_enqueue (task) VALUES ('t')")
    put(database, "b")
    ears.forget_own_write()
    assert ears.look()


def test_a_write_that_is_not_committed_yet_is_not_forgotten(
    ears: Ears, database: Database, poll: select.poll, foreign: sqlite3.Connection
) -> None:
    put(database, "b")
    foreign.execute("BEGIN IMMEDIATE")  # it may have pages in the WAL already
    ears.forget_own_write()
    assert stirs(ears, poll)
    foreign.execute("ROLLBACK")


def test_who_wakes_looks_before_it_sleeps_again_and_only_then(
    ears: Ears, clock: FakeClock, foreign: sqlite3.Connection
) -> None:
    assert ears.ask_to_be_rung() is True  # it had never looked
    clock.advance(CALM)
    foreign.execute("INSERT INTO litequeue_enqueue (task) VALUES ('t')")
    ears.wake()
    assert not ears.look_now_and_then()
    assert ears.ask_to_be_rung()
    ears.wake()
    clock.advance(CALM)  # busy all the time
    foreign.execute("INSERT INTO litequeue_enqueue (task) VALUES ('t')")
    assert ears.look_now_and_then()
