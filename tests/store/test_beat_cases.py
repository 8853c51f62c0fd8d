"""What went wrong with the periodic jobs of others, played with our beat."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from litequeue.schedules import crontab, dump, interval
from tests.store.beat_world import World
from tests.store.steps import problems

BERLIN, PARIS = "Europe/Berlin", "Europe/Paris"
NEW_YORK, LOS_ANGELES = "America/New_York", "America/Los_Angeles"
DAY = 86_400.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "jobs.sqlite", beats=5)
    world.is_judged = False
    yield world
    world.close()
    world.check_once()
    assert problems(world.path) == []


def at(world: World, zone: str, text: str) -> None:
    """Set the clock: nothing has been added yet."""
    world.clock.set_wall(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


def shown(world: World, zone: str, name: str = "e") -> list[str]:
    """Return what the clocks of a zone showed when ticks were due."""
    moments = (datetime.fromtimestamp(each, ZoneInfo(zone)) for each in world.sent()[name])
    return [f"{each:%m-%d %H:%M}" for each in moments]


def test_a_job_at_noon_does_not_run_at_eleven_too(world: World) -> None:
    """celery#1604: on the day after the clocks were put back it ran an hour early, and again."""
    at(world, BERLIN, "2013-10-27T00:30")
    world.add("e", crontab(hour=12, minute=0, day_of_week=1, tz=BERLIN))
    world.live(3 * DAY)
    assert shown(world, BERLIN) == ["10-28 12:00"]


def test_a_job_of_every_minute_goes_on_when_clocks_are_put_back(world: World) -> None:
    """celery#6438: beat sent nothing in the hour that came twice."""
    at(world, PARIS, "2020-10-25T01:50")
    world.add("e", crontab(tz=PARIS), misfire="all")
    world.live(2.5 * 3600)
    sent = world.sent()["e"]
    assert [b - a for a, b in pairwise(sent)] == [60.0] * 149


def test_an_interval_goes_on_through_the_hour_that_comes_twice(world: World) -> None:
    """django-celery-beat#604: beat crashed, for the time of the last run was ambiguous."""
    at(world, LOS_ANGELES, "2022-11-06T00:55")
    world.add("e", interval(600))
    world.add("day", crontab(hour=1, minute=30, tz=LOS_ANGELES))
    world.live(3 * 3600)
    assert world.count("e") == 18
    assert shown(world, LOS_ANGELES, "day") == ["11-06 01:30"]


def test_the_system_date_is_put_years_back(world: World) -> None:
    """celery#6742, celery#3685: `date -s` to an earlier year, and beat slept until a new start."""
    world.add("e", interval(20))
    world.add("day", crontab(hour=4, minute=0, tz="UTC"))
    world.live(100.0)
    world.clock.wall -= 4 * 365 * DAY
    before = world.count("e")
    world.live(20.0 + 30.0)
    assert world.count("e") > before
    world.live(DAY)
    assert world.count("day") == 1


def test_the_system_date_is_put_years_forward(world: World) -> None:
    """celery#5892: beat caught up in an endless loop."""
    world.add("one", interval(1))
    world.add("all", interval(1), misfire="all", catch_up=250)
    world.live(10.0)
    world.clock.wall += 20 * 365 * DAY
    assert world.settle() > 0
    assert world.count("one") == 11
    assert world.count("all") == 260


def test_a_job_is_not_sent_thousands_of_times(world: World) -> None:
    """celery#4041: it was due again at once, 32,000 times, after the zone had been changed."""
    world.add("e", crontab(hour=9, minute=0, tz="UTC"))
    for zone in ("Asia/Tokyo", "America/New_York", "UTC"):
        world.edit("e", schedule=dump(crontab(hour=9, minute=0, tz=zone)))
        world.live(60.0)
        world.start(0)
    for _ in range(100):
        world.look()
    assert world.count("e") == 0
    world.live(DAY)
    assert world.count("e") == 1


def test_a_new_entry_has_no_first_run_of_its_own(world: World) -> None:
    """redbeat#81, redbeat#154: without a last run it was due at once, and again when it was due."""
    at(world, "UTC", "2020-03-20T23:55")
    world.add("e", crontab(hour=0, minute=0, tz="UTC"))
    world.add("often", interval(3600))
    world.live(600.0)
    assert shown(world, "UTC") == ["03-21 00:00"]
    assert world.count("often") == 0


def test_five_beats_send_what_one_would(world: World) -> None:
    """Celery's own page warns of it: with a second beat every job is sent twice."""
    world.add("e", interval(10), misfire="all")
    for _ in range(200):
        world.clock.advance(3.7)
        for number in range(5):
            world.databases[number].meanwhile = partial(world.look, (number + 2) % 5)
            world.look(number)
    assert world.count("e") == 74


@pytest.mark.parametrize("minute", ["00", "30"])
def test_a_rule_of_the_hour_that_comes_twice_has_an_end(world: World, minute: str) -> None:
    """apscheduler#1021, #980: the next run was the same one for ever, and the program hung."""
    at(world, NEW_YORK, "2025-11-02T00:00")
    world.add("e", crontab(hour="01", minute=minute, second=10, tz=NEW_YORK), misfire="all")
    world.add("two", crontab(hour="*/2", minute=0, tz=NEW_YORK), misfire="all")
    world.live(DAY)
    assert shown(world, NEW_YORK) == [f"11-02 01:{minute}"]
    assert world.count("two") == 11  # a day of 25 hours, without its midnights


def test_a_rule_of_the_hour_that_does_not_come(world: World) -> None:
    """apscheduler#1036: after the clocks had been put forward nothing was sent any more."""
    at(world, NEW_YORK, "2025-03-09T00:10")
    world.add("e", crontab(hour=2, minute=30, tz=NEW_YORK))
    after = world.now + 7800.0
    world.add("fast", crontab("*/7 * * * * *", tz=NEW_YORK), start=after, end=after + 599.0)
    world.live(DAY + 9000.0)
    assert shown(world, NEW_YORK) == ["03-09 03:00", "03-10 02:30"]
    assert world.count("fast") == 90


def test_a_laptop_that_slept_sends_what_it_missed_once(world: World) -> None:
    """vorta#2537, vorta#347: timers stood still with the machine, and backups were not made."""
    at(world, BERLIN, "2026-06-01T20:00")
    world.add("backup", crontab(hour=3, minute=42, tz=BERLIN))
    world.live(3600.0)
    world.clock.suspend(12 * 3600.0)
    assert world.settle() > 0
    assert shown(world, BERLIN, "backup") == ["06-02 03:42"]
    world.live(DAY)
    assert shown(world, BERLIN, "backup") == ["06-02 03:42", "06-03 03:42"]


def test_it_awakes_within_half_a_minute(world: World) -> None:
    """solid_queue#763: after sleep the scheduler was there, and scheduled nothing."""
    world.add("e", interval(3600))
    world.live(10.0)
    left = world.look()
    assert left <= 30.0
    world.clock.suspend(7200.0)  # in the middle of its sleep: the rest of it is still to come
    world.clock.advance(left)
    world.look()
    assert world.count("e") == 1


@pytest.mark.parametrize(("misfire", "sent"), [("skip", 0), ("one", 1), ("all", 3)])
def test_nobody_was_there_when_it_was_due(world: World, misfire: str, sent: int) -> None:
    """rails/solid_queue#535: runs that came due during a deploy were never made."""
    at(world, "UTC", "2026-01-05T00:00")
    world.add("e", crontab(hour=3, minute=0, tz="UTC"), misfire=misfire)
    world.clock.advance(timedelta(days=3).total_seconds())
    world.start(0)
    world.settle()
    assert world.count("e") == sent
    world.live(DAY)
    assert world.count("e") == sent + 1
