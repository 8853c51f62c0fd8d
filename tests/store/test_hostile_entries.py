"""Rows of beat that somebody else has written: they harm nobody but themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from litequeue import schedules
from litequeue.beat.sender import Beat
from litequeue.entry import Entry
from litequeue.exceptions import EntryNotFound
from litequeue.job import new_id
from litequeue.store import Database, Keep, entries
from litequeue.store.driver import sqlite3
from litequeue.store.firing import Fired
from tests.conftest import FakeClock

NO_UTF8 = "CAST(X'ff' AS TEXT)"
HOSTILE = [
    "version = 9223372036854775807",
    "count = 9223372036854775807",
    "options = '[1]'",
    "options = 'null'",
    f"options = '{'[' * 100_000}'",
    f"forgotten = '[1{'0' * 400},[[1,2]]]'",
    f"forgotten = '[1,[{'[1,2],' * 50_000}[1,2]]]'",
    "next_at = 9e999",
    "next_at = -9e999, jitter = 10",
    "held_key = 'k', held_at = 9e999, held_due = -9e999, overlap = 'queue'",
    "held_key = 'k', held_at = 1, held_due = 1, count = 9223372036854775807, overlap = 'queue'",
    "starts = -1e11, ends = 1e11",
    f"task = CAST(X'{'ff' * 255}' AS TEXT)",
    *(f"{column} = {NO_UTF8}" for column in "name task queue body options schedule".split()),  # noqa: SIM905 - one line
    *(f"{column} = {NO_UTF8}" for column in ("next_key", "last_job", "forgotten")),
]
UNCHECKED = ["anchor = 9e999", "priority = 1000000000000000000", "misfire = 'x'", "catch_up = 0"]
A_TICK = """
INSERT INTO litequeue_tick (entry, key, number, at, due, fired)
SELECT id, 'k', 9223372036854775807, 0, 0, 0 FROM litequeue_entry WHERE name = 'bad'
"""


class Site:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = FakeClock()
        self.database = Database(path, create=True)
        self.sent: list[str] = []
        keep = Keep(success=1.0, failure=1.0)
        self.beat = Beat(self.database, self.clock, keep=keep, sent=self._note)
        for name in ("bad", "good"):
            entry = Entry(
                name=name,
                schedule=schedules.dump(schedules.interval(60)),
                task="t",
                body="[[],{}]",
                queue="q",
            )
            entries.add(self.database, entry, self.clock.now())

    def _note(self, fired: Fired) -> None:
        self.sent += [name for name, _, _ in fired.jobs]

    def write(self, statement: str, *, checked: bool = True) -> None:
        """Write as another program does."""
        connection = sqlite3.connect(self.path)
        if not checked:
            connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(statement)
        connection.commit()
        connection.close()

    def live(self, minutes: int) -> None:
        for _ in range(minutes):
            self.clock.advance(60.5)
            for _ in range(4):
                self.beat.run(1)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "jobs.sqlite")


@pytest.mark.parametrize("change", HOSTILE, ids=lambda change: change[:30])
def test_the_others_are_sent(site: Site, change: str) -> None:
    site.write(f"UPDATE litequeue_entry SET {change} WHERE name = 'bad'")
    site.live(12)
    assert site.sent.count("good") == 12
    assert site.beat.time_left(1) > 0


@pytest.mark.parametrize("change", UNCHECKED)
def test_so_they_are_when_the_checks_of_the_table_are_off(site: Site, change: str) -> None:
    site.write(f"UPDATE litequeue_entry SET {change} WHERE name = 'bad'", checked=False)
    site.live(3)
    assert site.sent.count("good") == 3
    assert site.beat.time_left(1) > 0


def test_so_they_are_with_a_tick_after_which_none_can_come(site: Site) -> None:
    site.write(A_TICK)
    site.live(3)
    assert site.sent == ["good"] * 3


def test_an_interval_counts_from_a_moment(site: Site) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        site.write("UPDATE litequeue_entry SET anchor = 9e999")


@pytest.mark.parametrize("column", ["task", "queue", "body", "options"])
def test_people_see_and_remove_what_is_no_text(site: Site, column: str) -> None:
    site.write(f"UPDATE litequeue_entry SET {column} = {NO_UTF8} WHERE name = 'bad'")
    assert [record.entry.name for record in entries.listed(site.database)] == ["bad", "good"]
    now: Any = site.clock.now()
    assert entries.pause(site.database, "bad", now)
    assert entries.resume(site.database, "bad", now)
    entries.run_now(site.database, "bad", new_id(now), now)
    entries.remove(site.database, "bad")
    with pytest.raises(EntryNotFound):
        entries.get(site.database, "bad")


@pytest.mark.timeout(10)  # a beat that compares for ever
def test_an_owner_that_is_no_text_loses_its_entries(site: Site) -> None:
    site.write(f"UPDATE litequeue_entry SET owner = {NO_UTF8}")
    bad = entries.get(site.database, "bad").entry
    done = entries.reconcile(site.database, "app", [bad], site.clock.now())
    assert (done.changed, done.removed, done.taken) == (["bad"], [], {"bad": "\ufffd"})
    entries.remove(site.database, "good", force=True)
    assert [(r.entry.name, r.owner) for r in entries.listed(site.database)] == [("bad", "app")]
    assert entries.reconcile(site.database, "app", [], site.clock.now()).removed == ["bad"]
    assert entries.listed(site.database) == []


def test_no_version_is_the_last(site: Site) -> None:
    """Neither for code that has changed, nor for a clock that was put back, nor for people."""
    last = "UPDATE litequeue_entry SET version = 9223372036854775807, count = 9223372036854775807"
    site.write(f"{last}, owner = 'app', planned = 9e999")
    good = entries.get(site.database, "good").entry
    site.beat.define("app", [replace(good, queue="other")])
    site.beat.run(1)
    assert [each.entry.queue for each in entries.listed(site.database)] == ["other"]
    now = site.clock.now()
    for act in (entries.pause, entries.resume):
        site.write(last)
        assert act(site.database, "good", now)
    site.write(last)
    entries.run_now(site.database, "good", new_id(now), now)
    site.live(1)
    assert site.sent == ["good"]
