"""Entries that a beat cannot read: of a newer litequeue, by a library that is missing here."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest

from litequeue import schedules
from litequeue.beat.sender import LOOK_EVERY, MOST_ENTRIES, Beat
from litequeue.entry import Entry
from litequeue.store import Database, Keep, entries
from litequeue.store.firing import Fired
from tests.conftest import FakeClock

EVERY_MINUTE = schedules.dump(schedules.interval(60))
FROM_THE_FUTURE = '{"moon":"full"}'


class Site:
    def __init__(self, path: Path) -> None:
        self.clock = FakeClock()
        self.database = Database(path, create=True)
        self.sent: list[str] = []
        keep = Keep(success=1.0, failure=1.0)
        self.beat = Beat(self.database, self.clock, keep=keep, sent=self._note)

    def _note(self, fired: Fired) -> None:
        self.sent += [name for name, _, _ in fired.jobs]

    def add(self, name: str) -> None:
        entry = Entry(name=name, schedule=EVERY_MINUTE, task="t", body="[[],{}]", queue="q")
        entries.add(self.database, entry, self.clock.now())

    def spoil(self, name: str) -> None:
        self.write("UPDATE litequeue_entry SET schedule = ?2 WHERE name = ?1", name)

    def write(self, statement: str, name: str, schedule: str = FROM_THE_FUTURE) -> None:
        with self.database.write(durable=True) as connection:
            connection.execute(statement, (name, schedule))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "jobs.sqlite")


def test_the_others_are_sent_and_it_is_said_once(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "litequeue.beat")
    for name in ("bad", "good"):
        site.add(name)
    site.spoil("bad")
    for minute in range(1, 4):
        site.clock.advance(60.5)
        site.beat.run(1)
        assert site.sent == ["good"] * minute
        assert site.beat.time_left(1) > 20, "an entry that nobody can send keeps nobody busy"
    (record,) = caplog.records
    assert "this beat cannot send the entry bad: schedule" in record.message
    assert entries.get(site.database, "bad").paused is None, "another beat may know it"


def test_however_many_there_are(site: Site) -> None:
    for number in range(MOST_ENTRIES + 20):
        site.add(f"bad{number}")
        site.spoil(f"bad{number}")
    site.clock.advance(30)
    site.add("good")
    site.clock.advance(60)
    while site.beat.time_left(1) <= 0:
        site.beat.run(1)
    assert site.sent == ["good"]
    assert math.isfinite(site.beat.time_left(1))


def test_one_that_is_mended_is_sent(site: Site) -> None:
    site.add("bad")
    site.spoil("bad")
    site.clock.advance(61)
    site.beat.run(1)
    mending = "UPDATE litequeue_entry SET schedule = ?2, version = version + 1 WHERE name = ?1"
    site.write(mending, "bad", EVERY_MINUTE)
    site.clock.advance(LOOK_EVERY)
    site.beat.run(2)
    assert site.sent == ["bad"]
