"""A laptop that travels: entries in the machine's own zone follow it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from litequeue import schedules
from litequeue.beat.sender import Beat
from litequeue.entry import Entry
from litequeue.store import Database, Keep, entries
from litequeue.store.firing import Fired
from tests.conftest import FakeClock

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
HOUR = 3600.0


class Site:
    """A file with an entry at 15:00 by the machine's own clock, one by Berlin's, and a beat."""

    def __init__(self, path: Path) -> None:
        self.clock = FakeClock(NOON)
        self.database = Database(path, create=True)
        for name, zone in (("here", "local"), ("berlin", "Europe/Berlin")):
            schedule = schedules.dump(schedules.crontab("0 15 * * *", tz=zone))
            entry = Entry(name=name, schedule=schedule, task="t", body="[[],{}]", queue="q")
            entries.add(self.database, entry, NOON)
        self.sent: list[tuple[str, str]] = []
        self.beat = self.new_beat()

    def new_beat(self) -> Beat:
        keep = Keep(success=1.0, failure=1.0)
        return Beat(self.database, self.clock, keep=keep, sent=self._note)

    def _note(self, fired: Fired) -> None:
        self.sent += [(name, key) for name, key, _ in fired.jobs]

    def next_hour(self, name: str) -> float | None:
        found = entries.get(self.database, name).next_at
        return None if found is None else (found - NOON) / HOUR + 12


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("TZ", "UTC")
    return Site(tmp_path / "jobs.sqlite")


def test_entries_follow_the_machine(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.beat.run(1)
    assert (site.next_hour("here"), site.next_hour("berlin")) == (15, 14)
    monkeypatch.setenv("TZ", "America/New_York")
    site.clock.advance(30)  # beat never sleeps longer
    site.beat.run(1)
    assert (site.next_hour("here"), site.next_hour("berlin")) == (20, 14)


def test_also_one_that_moved_while_no_beat_ran(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    site.new_beat().run(1)
    assert site.next_hour("here") == 30  # 15:00 has passed there today


def test_a_wall_time_comes_once_though_the_machine_meets_it_twice(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.clock.advance(3 * HOUR)
    site.beat.run(1)
    assert site.sent == [
        ("berlin", "2026-03-01T15:00[Europe/Berlin]"), ("here", "2026-03-01T15:00[local]"),
    ]  # fmt: skip
    monkeypatch.setenv("TZ", "America/New_York")
    site.clock.advance(30)
    site.beat.run(1)
    site.clock.advance(5 * HOUR)  # it is 15:00 again
    site.beat.run(1)
    assert len(site.sent) == 2
    assert site.next_hour("here") == 24 + 20


def test_what_was_missed_before_is_not_forgotten(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    site.clock.advance(4 * HOUR)  # 15:00 came and went where the machine was
    site.new_beat().run(1)
    assert ("here", "2026-03-01T15:00[local]") in site.sent


def test_a_beat_that_starts_where_the_last_one_was_writes_nothing(site: Site) -> None:
    site.beat.run(1)
    before = entries.listed(site.database)
    site.new_beat().run(1)
    assert entries.listed(site.database) == before
