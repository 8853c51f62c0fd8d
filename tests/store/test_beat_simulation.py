"""Histories of beats that share a file: time, kills, a busy file, people; and a wrong clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from litequeue.schedules import Schedule, clocked, crontab, dump, interval
from tests.store.beat_world import World
from tests.store.steps import problems

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
BEFORE_AUTUMN = 1_792_800_000.0  # 2026-10-24 00:00 UTC; Berlin puts its clocks back a day later
BEFORE_SPRING = 1_774_656_000.0  # 2026-03-28 00:00 UTC
POLICIES: tuple[dict[str, Any], ...] = (
    {"misfire": "all"},
    {"misfire": "all", "jitter": 40.0},
    {"misfire": "all", "grace": 90.0},
    {"misfire": "all", "catch_up": 3},
    {"misfire": "one"},
    {"misfire": "one", "grace": 20.0},
    {"misfire": "one", "jitter": 5.0},
    {"misfire": "skip"},
    {"misfire": "skip", "grace": 5.0, "jitter": 5.0},
)
FAST: tuple[Schedule, ...] = (
    interval(0.5),
    interval(3.0),
    interval(10, aligned=True),
    interval(47),
    crontab("*/7 * * * * *", tz="UTC"),
    crontab("* * * * *", tz=BERLIN),
)
SLOW: tuple[Schedule, ...] = (
    interval(1800),
    interval(86_400, aligned=True),
    crontab("*/20 * * * *", tz=BERLIN),
    crontab("30 2 * * *", tz=BERLIN),
    crontab("0 0-23/2 * * *", tz=NEW_YORK),
    crontab("15 2,3 * * sun", tz=BERLIN),
)


def seeds(some: int, most: int) -> list[object]:
    """Return ``some`` seeds for every run, and the rest of ``most`` for -m slow."""
    more = (pytest.param(seed, marks=pytest.mark.slow) for seed in range(some, most))
    return [*range(some), *more]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "jobs.sqlite", beats=5)
    yield world
    world.close()
    assert problems(world.path) == []


class History:
    """What happens to a world by chance, without anybody who touches its clock."""

    def __init__(self, world: World, random: Random, schedules: tuple[Schedule, ...]) -> None:
        self.world = world
        self.random = random
        self.is_slow = schedules is SLOW
        for number, schedule in enumerate(schedules):
            more = dict(random.choice(POLICIES))
            now = world.now
            if random.random() < 0.2:
                more["start"] = now + (40_000 if self.is_slow else 30)
            if random.random() < 0.2:
                more["end"] = now + (90_000 if self.is_slow else 200)
            world.add(f"entry-{number}", schedule, **more)
        world.add("once", clocked(world.now + 100), misfire="all")
        self.names = list(world.expected)
        self.schedules = schedules

    def run(self, steps: int) -> None:
        acts: tuple[Callable[[], object], ...] = (
            self.time_passes, self.time_passes, self.time_passes, self.somebody_looks,
            self.somebody_looks, self.somebody_dies, self.somebody_is_overtaken,
            self.the_file_is_busy, self.people_meddle,
        )  # fmt: skip
        for _ in range(steps):
            self.random.choice(acts)()
        self.world.settle(self.somebody())
        self.world.check_all()

    def somebody(self) -> int:
        return self.random.randrange(len(self.world.beats))

    def time_passes(self) -> None:
        scale = self.random.choice((0.1, 1.0, 10.0, 60.0))
        seconds = self.random.random() * scale * (400 if self.is_slow else 1)
        if self.random.random() < 0.1:
            self.world.clock.suspend(seconds * 4)
        else:
            self.world.clock.advance(seconds)
        self.world.look(self.somebody())

    def somebody_looks(self) -> None:
        self.world.settle(self.somebody())

    def somebody_dies(self) -> None:
        number = self.somebody()
        self.world.databases[number].fuse = self.random.randrange(40)
        self.world.look(number)
        self.world.databases[number].fuse = None

    def somebody_is_overtaken(self) -> None:
        one, other = self.random.sample(range(len(self.world.beats)), 2)
        self.world.databases[one].meanwhile = lambda: self._overtake(other)
        self.world.look(one)
        self.world.databases[one].meanwhile = None

    def _overtake(self, other: int) -> None:
        self.world.clock.advance(self.random.choice((0.0, 0.2, 5.0)))
        if self.random.random() < 0.5:
            self.world.look(other)
        else:
            self._meddle()

    def the_file_is_busy(self) -> None:
        number = self.somebody()
        with self.world.busy(number):
            for _ in range(3):
                self.world.look(number)
                self.world.clock.advance(self.random.random())

    def people_meddle(self) -> None:
        if self.random.random() < 0.3:
            self._meddle()

    def _meddle(self) -> None:
        name, kind = self.random.choice(self.names), self.random.randrange(4)
        if kind == 0:
            self.world.pause(name)
        elif kind == 1:
            self.world.edit(name, schedule=dump(self.random.choice(self.schedules)))
        elif kind == 2:
            self.world.edit(name, misfire=self.random.choice(("one", "all", "skip")))
        else:
            self.world.resume(name)


@pytest.mark.parametrize("seed", seeds(6, 24))
def test_what_is_sent_is_what_the_policies_say(world: World, seed: int) -> None:
    History(world, Random(seed), FAST).run(150)


@pytest.mark.parametrize("since", [BEFORE_SPRING, BEFORE_AUTUMN])
@pytest.mark.parametrize("seed", seeds(2, 12))
def test_and_when_clocks_change(world: World, seed: int, since: float) -> None:
    world.clock.set_wall(since)
    History(world, Random(seed), SLOW).run(80)


@pytest.mark.parametrize("overlap", ["allow", "skip", "queue", "cancel"])
def test_a_kill_at_every_statement_neither_loses_nor_doubles(world: World, overlap: str) -> None:
    """Three entries are due; the beat is killed before each of its statements, and comes again."""
    world.add("a", interval(10), misfire="all")
    world.add("b", interval(10), misfire="one")
    world.add("c", interval(7), misfire="all", overlap=overlap)
    died, fuse = 0, 0
    while True:
        world.clock.advance(10.0)
        database = world.databases[0]
        database.fuse = fuse
        world.look(0)
        if database is world.databases[0]:  # it has survived them all
            break
        died += 1
        world.settle(1 + fuse % 4)
        fuse += 1
    assert died > 12
    database.fuse = None
    world.settle(0)
    for name, steps in (("a", 10), ("b", 10)):
        sent = world.sent()[name]
        anchor = world.expected[name].anchor
        assert sent == [anchor + steps * (number + 1) for number in range(died + 1)]
    world.check_once()


# A clock that is wrong


@pytest.fixture
def wrong(world: World) -> World:
    world.is_judged = False
    return world


@pytest.mark.parametrize("seed", seeds(4, 20))
def test_a_clock_that_jumps_sends_no_tick_twice(wrong: World, seed: int) -> None:
    """Forward, back, asleep, from seconds to days, with five beats; nobody sleeps for long."""
    random = Random(seed)
    for number, schedule in enumerate(FAST):
        misfire = random.choice(("one", "all", "skip"))
        wrong.add(f"entry-{number}", schedule, misfire=misfire, catch_up=40)
    for _ in range(120):
        size = random.random() * random.choice((2.0, 60.0, 3600.0, 200_000.0))
        kind = random.randrange(6)
        if kind == 0:
            wrong.clock.wall += size
        elif kind == 1:
            wrong.clock.wall -= size
        elif kind == 2:
            wrong.clock.suspend(size)
        else:
            wrong.clock.advance(random.random() * 20)
        if random.random() < 0.2:
            wrong.start(random.randrange(5))
        with wrong.busy(0):
            wrong.look(0)
        wrong.look(random.randrange(5))
    wrong.check_once()


FAR = (
    5.0,
    pytest.param(60.0, marks=pytest.mark.slow),
    3600.0,
    pytest.param(43_200.0, marks=pytest.mark.slow),
    86_400.0,
    pytest.param(40 * 86_400.0, marks=pytest.mark.slow),
    4e9,
)


@pytest.mark.parametrize("ahead", [pytest.param(4.5, marks=pytest.mark.slow), 300.0])
@pytest.mark.parametrize("misfire", ["one", "all", "skip"])
@pytest.mark.parametrize("seconds", FAR)
def test_a_clock_that_was_ahead_for_a_while_silences_nobody(
    wrong: World, seconds: float, misfire: str, ahead: float
) -> None:
    """A machine without a battery, a double boot: the clock is wrong, then it is put right.

    What was sent while it was ahead is not sent again when its time has come, hence the grace:
    without one, all that seemed to be missed was sent ahead.
    """
    more = {"grace": 1.0} if misfire == "all" else {}
    wrong.add("fast", interval(2.0), misfire=misfire, **more)
    wrong.add("slow", interval(600.0), misfire=misfire, **more)
    wrong.add("calendar", crontab("*/5 * * * *", tz=BERLIN), misfire=misfire, **more)
    wrong.live(700.0)
    wrong.clock.wall += seconds
    wrong.live(ahead)
    wrong.clock.wall -= seconds
    sent_ahead = min(seconds, ahead)
    before = {name: wrong.count(name) for name in ("fast", "calendar", "slow")}
    passed = 0.0
    for name, period in (("fast", 2.0), ("calendar", 300.0), ("slow", 600.0)):
        silent = period + 31.0 + sent_ahead
        wrong.live(silent - passed)
        passed = silent
        assert wrong.count(name) > before[name], name
    wrong.check_once()


def test_a_clock_that_is_put_back_sends_nothing_again(wrong: World) -> None:
    wrong.add("all", interval(2.0), misfire="all")
    wrong.add("one", interval(10.0))
    wrong.live(1000.0)
    before = wrong.sent()
    wrong.clock.wall -= 900.0
    wrong.live(899.0)
    assert wrong.sent() == before
    wrong.live(60.0)
    assert wrong.count("all") > len(before["all"])
    assert wrong.count("one") > len(before["one"])
    wrong.check_once()


def test_a_clock_is_put_back_while_the_file_is_busy(wrong: World) -> None:
    """What the beat has seen of the clock it must not forget with the transaction that failed."""
    wrong.add("e", interval(10.0))
    wrong.live(25.0)
    wrong.clock.wall += 86_400.0 * 30
    wrong.live(25.0)
    wrong.clock.wall -= 86_400.0 * 30
    with wrong.busy():
        for _ in range(10):
            wrong.clock.advance(wrong.look())
    before = wrong.count("e")
    wrong.live(41.0)
    assert wrong.count("e") >= before + 3


def test_a_clock_is_put_back_a_little_while_much_is_to_be_caught_up(wrong: World) -> None:
    """What is due still, and not sent yet, is not dropped with what was planned too late."""
    wrong.add("e", interval(1.0), misfire="all")
    wrong.clock.advance(450.5)
    wrong.look()
    wrong.clock.wall -= 5.0
    wrong.clock.advance(0.1)
    wrong.live(20.0)
    anchor = wrong.expected["e"].anchor
    assert sorted(wrong.sent()["e"]) == [anchor + each for each in range(1, 466)]


@pytest.mark.parametrize("bad", [1, 120])
def test_entries_that_make_no_sense_keep_no_other_from_a_clock_put_back(
    wrong: World, bad: int
) -> None:
    """They are due for ever, and more of them than a beat takes at once."""
    wrong.add("good", interval(10.0))
    for number in range(bad):
        wrong.add(f"bad-{number}", interval(10.0))
    wrong.live(25.0)
    wrong.clock.wall += 86_400.0
    wrong.live(25.0)
    with wrong.file.write(durable=False) as connection:
        connection.execute(
            "UPDATE litequeue_entry SET schedule = '?', next_at = 0, next_due = 0 "
            "WHERE name <> 'good'"
        )
    wrong.clock.wall -= 86_400.0
    before = wrong.count("good")
    wrong.live(61.0)
    assert wrong.count("good") >= before + 3


def test_nights_do_not_hide_that_a_clock_was_ahead(wrong: World) -> None:
    """What is not sent by night is no gap; what a clock that was ahead has left out is one."""
    wrong.add("office", crontab("*", "9-17", tz="UTC"))
    wrong.clock.advance(-wrong.now % 86_400.0)
    wrong.live(5 * 86_400.0 + 9.5 * 3600.0)
    wrong.clock.wall += 6 * 3600.0
    wrong.live(2 * 3600.0)
    wrong.clock.wall -= 6 * 3600.0
    before = wrong.count("office")
    wrong.live(600.0)
    assert wrong.count("office") >= before + 9
    wrong.check_once()
