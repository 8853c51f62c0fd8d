"""What one run of a beat does at most, and what it leaves for the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from litequeue import schedules
from litequeue.beat.sender import ENOUGH_TICKS, Beat
from litequeue.entry import Entry, jitter_of
from litequeue.store import Database, Keep, entries
from litequeue.store.firing import Fired
from tests.conftest import FakeClock


class Site:
    def __init__(self, path: Path) -> None:
        self.clock = FakeClock()
        self.database = Database(path, create=True)
        self.sent: list[tuple[str, str]] = []
        keep = Keep(success=1.0, failure=1.0)
        self.beat = Beat(self.database, self.clock, keep=keep, sent=self._note)

    def _note(self, fired: Fired) -> None:
        self.sent += [(name, key) for name, key, _ in fired.jobs]

    def add(self, name: str, every: float, *, jitter: float = 0.0) -> Entry:
        entry = Entry(
            name=name,
            schedule=schedules.dump(schedules.interval(every, aligned=True)),
            task="t",
            body="[[],{}]",
            queue="q",
            misfire="all",
            jitter=jitter,
        )
        entries.add(self.database, entry, self.clock.now())
        return entry


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "jobs.sqlite")


def test_many_entries_that_have_much_to_make_up_for(site: Site) -> None:
    for number in range(20):
        site.add(f"e{number}", 1.0)
    site.beat.run(1)
    site.clock.advance(200.5)
    runs = []
    while site.beat.time_left(1) == 0:
        before = len(site.sent)
        site.beat.run(1)
        runs.append(len(site.sent) - before)
    assert max(runs) <= ENOUGH_TICKS
    assert len(site.sent) == len(set(site.sent)) == 20 * 200


def test_what_was_not_taken_stays_due_when_the_clock_was_put_back(site: Site) -> None:
    for number in range(20):
        site.add(f"e{number}", 1.0)
    site.beat.run(1)
    site.clock.advance(200.5)
    with site.database.write(durable=False) as connection:
        connection.execute("UPDATE litequeue_entry SET planned = planned + 300")
    site.clock.wall -= 10
    while site.beat.time_left(1) == 0:
        site.beat.run(1)
    assert len(site.sent) == len(set(site.sent)) == 20 * 190


def test_a_tick_that_waits_for_its_jitter_stays_when_the_clock_was_put_back(site: Site) -> None:
    first = site.clock.now() // 60 * 60 + 60
    second = schedules.interval(60.0, aligned=True).after(first)
    assert second is not None
    name = next(
        f"e{number}" for number in range(1000) if jitter_of(f"e{number}", second.key, 60.0) > 40
    )
    site.add(name, 60.0, jitter=60.0)
    site.beat.run(1)
    site.clock.advance(second.at + 10 - site.clock.now())
    site.beat.run(1)  # too late for the first, too early for the second
    assert len(site.sent) == 1
    site.clock.steady += 1
    site.clock.wall -= 5
    site.beat.run(2)
    site.clock.advance(60)
    site.beat.run(3)
    assert site.sent[1] == (name, second.key)


@pytest.mark.parametrize(("longest", "wait"), [(1e-9, 0.01), (-1.0, 30.0), (0.0, 30.0), (5.0, 5.0)])
def test_a_beat_with_nothing_to_do_sleeps(tmp_path: Path, longest: float, wait: float) -> None:
    database = Database(tmp_path / "jobs.sqlite", create=True)
    keep = Keep(success=1.0, failure=1.0)
    beat = Beat(database, FakeClock(), keep=keep, sent=lambda fired: None, longest=longest)
    beat.run(1)
    assert beat.time_left(1) == pytest.approx(wait)
