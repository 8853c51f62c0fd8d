"""Mistakes planted into beat and its verbs, each of which a history must show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from litequeue import due
from litequeue.beat import plan, sender, steps
from litequeue.entry import Firing
from litequeue.schedules import interval
from litequeue.store import entries, firing, ticks
from tests.store.beat_world import World
from tests.store.test_beat_simulation import FAST, History
from tests.store.test_mutants import Plant, source, statement

# What happens


def chance(world: World) -> None:
    for seed in range(3):
        for name in world.expected:
            world.pause(name)
        world.expected.clear()
        with world.file.write(durable=False) as connection:
            for table in ("entry", "tick", "payload", "job"):
                connection.execute(f"DELETE FROM litequeue_{table}")
        History(world, Random(seed), FAST).run(120)


def kills(world: World) -> None:
    world.add("a", interval(10), misfire="all")
    for fuse in range(12):
        world.clock.advance(10.0)
        world.databases[0].fuse = fuse
        world.look(0)
        world.databases[0].fuse = None
        world.settle(1)
    world.check_all()


def clock_put_back(world: World) -> None:
    world.is_judged = False
    world.add("a", interval(10), misfire="all")
    world.live(200.0)
    world.clock.wall -= 150.0
    world.live(160.0)
    world.check_once()
    before = world.count("a")
    world.clock.wall -= 100 * 86_400.0
    world.live(41.0)
    assert world.count("a") > before, "it is silent"


def clock_put_right_after_a_start(world: World) -> None:
    world.is_judged = False
    world.add("a", interval(10))
    world.clock.wall += 100 * 86_400.0
    world.live(25.0)
    before = world.count("a")
    world.clock.wall -= 100 * 86_400.0
    world.start(0)
    world.live(41.0)
    assert world.count("a") > before, "it is silent"


def sleep(world: World) -> None:
    world.add("a", interval(3600))
    world.live(100.0)


def long_ago(world: World) -> None:
    world.add("a", interval(7), misfire="all", catch_up=300)
    world.add("b", interval(1800))
    world.add("c", interval(1800), misfire="skip")
    world.clock.advance(40_000.0)
    world.settle()
    world.check_all()


# What is wrong

COMMITTED_FIRST = """line = Line(*row)
    line.follow(firing.next_key, firing.next_at, firing.next_due, now)
    line.write(connection)
    connection.execute("COMMIT")
    connection.execute("BEGIN IMMEDIATE")"""


def rule(owner: Any, name: str, found: str, instead: str) -> Plant:
    """Change the text of a function or a method, for all who have imported it by name."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        source(owner, name, found, instead)(patch)
        for module in {plan, sender, entries} - {owner}:
            if hasattr(module, name):
                patch.setattr(module, name, getattr(owner, name))

    return plant


def both(*plants: Plant) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> None:
        for each in plants:
            each(patch)

    return plant


def counts_from_now(patch: pytest.MonkeyPatch) -> None:
    """The next tick is one period after this one was sent, as in Celery."""
    genuine = plan.plan

    def late(entry: Any, *, anchor: float, now: float, **more: Any) -> Firing:
        return genuine(entry, anchor=now, now=now, **more)

    patch.setattr(sender, "plan", late)


PLANTS: dict[str, tuple[Plant, Callable[[World], None]]] = {
    "a tick is no key": (
        statement(
            firing, "ADD_TICK", "DO NOTHING", "DO UPDATE SET fired = excluded.fired"
        ),
        clock_put_back,
    ),
    "an entry has no version": (
        statement(ticks, "AS_PLANNED", "version = ?", "? IS NOT NULL"), chance,
    ),
    "the next tick is not moved": (
        rule(firing.Line, "follow", "now, key, at, due", "now, key, at, now"),
        chance,
    ),
    "what is paused is sent": (both(
        statement(ticks, "DUE", "entry.paused IS NULL AND", ""),
        statement(ticks, "AS_PLANNED", " AND paused IS NULL", "")), chance),
    "the rest is skipped": (
        rule(plan, "plan", "following: Tick | None = sent[MOST_AT_ONCE]",
             "following: Tick | None = waiting or first(entry, anchor, now)"),
        long_ago,
    ),
    "intervals count from when they are sent": (counts_from_now, chance),
    "the entry moves on before its job is stored": (
        rule(ticks, "_fire", "line = Line(*row)", COMMITTED_FIRST), kills,
    ),
    "the look back is not doubled": (
        rule(plan, "_newest", "elif len(ticks) >= enough or is_whole:", "elif ticks:"), long_ago,
    ),
    "the newest is what came first": (
        rule(plan, "plan", "missed[-wanted:]", "missed[:wanted]"), chance,
    ),
    "one moment too late": (rule(plan, "plan", "> now else None", ">= now else None"), kills),
    "grace is not looked at": (rule(plan, "plan", "if grace is None or", "if True or"), chance),
    "what is skipped has no grace": (
        rule(plan, "plan", 'entry.misfire == "skip"', 'entry.misfire == "never"'), long_ago,
    ),
    "jitter reaches beyond the next tick": (
        rule(due, "due", "min(entry.jitter, following.at - tick.at)", "entry.jitter"), chance,
    ),
    "nothing comes after a start": (
        rule(due, "first", "math.nextafter(entry.start, -math.inf)", "entry.end or 0"), chance,
    ),
    "a clock that was put back is not noticed": (
        rule(steps.Steps, "went_back", "step < -STEP", "False"), clock_put_back,
    ),
    "a start does not look at the clock": (
        rule(sender.Beat, "__init__", "self._replan = True", "self._replan = False"),
        clock_put_right_after_a_start,
    ),
    "it sleeps until something is due": (
        rule(sender.Beat, "time_left", "self._look_at - self._clock.monotonic()", "math.inf"),
        sleep,
    ),
}  # fmt: skip
CASES: dict[str, Callable[[World], None]] = {
    each.__name__: each
    for each in (
        chance, kills, clock_put_back, clock_put_right_after_a_start, sleep, long_ago
    )
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_beat_passes(tmp_path: Path, case: str) -> None:
    play(tmp_path, CASES[case])


def play(folder: Path, case: Callable[[World], None]) -> None:
    world = World(folder / "jobs.sqlite", beats=5)
    try:
        case(world)
    finally:
        world.close()


@pytest.mark.parametrize("name", PLANTS)
def test_a_mistake_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    plant, case = PLANTS[name]
    plant(monkeypatch)
    with pytest.raises((AssertionError, TypeError)):
        play(tmp_path, case)
