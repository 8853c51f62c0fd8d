"""What beat decides about one entry, beside what a list of all ticks says."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Any

import pytest

from litequeue import schedules
from litequeue.beat import plan as planning
from litequeue.beat.plan import MOST_AT_ONCE, ON_TIME, plan
from litequeue.due import due, first, upcoming
from litequeue.entry import Entry, Firing
from litequeue.schedules import Schedule, Tick, clocked, crontab, interval

NOW = 1_700_000_000.0
BERLIN = "Europe/Berlin"


def entry(schedule: Schedule, **more: Any) -> Entry:
    values: dict[str, Any] = {"task": "t", "body": "[[],{}]", "queue": "default"}
    return Entry(name="e", schedule=schedules.dump(schedule), **(values | more))


def decide(line: Entry, now: float, *, pending: Tick | None = None, anchor: float = NOW) -> Firing:
    """Plan from the first tick after the anchor on, unless another one is pending."""
    found = pending or first(line, anchor, anchor)
    assert found is not None
    ids = (f"id-{number}" for number in count())
    return plan(
        line, id=1, version=7, anchor=anchor, pending=found, now=now, new_id=lambda: next(ids)
    )


def sent(firing: Firing) -> list[float]:
    """Return the moments of what is sent, in seconds after NOW."""
    return [at - NOW for _, at, _, _ in firing.ticks]


def test_the_newest_of_the_missed_is_sent_however_late_it_is() -> None:
    firing = decide(entry(interval(10)), NOW + 86_405)
    assert sent(firing) == [86_400]
    assert firing.next_at == NOW + 86_410
    assert (firing.entry, firing.version) == (1, 7)
    assert firing.ticks[0][3] == "id-0"


def test_no_later_than_its_grace() -> None:
    line = entry(interval(3600), grace=60.0)
    assert sent(decide(line, NOW + 3660)) == [3600]
    assert sent(decide(line, NOW + 3660.5)) == []
    assert decide(line, NOW + 3660.5).next_at == NOW + 7200


def test_what_is_skipped_may_be_a_minute_late() -> None:
    line = entry(interval(3600), misfire="skip")
    assert sent(decide(line, NOW + 3600 + ON_TIME)) == [3600]
    assert sent(decide(line, NOW + 3601 + ON_TIME)) == []
    assert sent(decide(entry(interval(3600), misfire="skip", grace=90.0), NOW + 3690)) == [3600]


def test_all_are_sent_the_oldest_first() -> None:
    assert sent(decide(entry(interval(10), misfire="all"), NOW + 35)) == [10, 20, 30]


def test_no_more_than_it_may_catch_up() -> None:
    line = entry(interval(10), misfire="all", catch_up=2)
    assert sent(decide(line, NOW + 1_000_005)) == [999_990, 1_000_000]


def test_none_that_are_later_than_its_grace() -> None:
    line = entry(interval(10), misfire="all", grace=25.0)
    assert sent(decide(line, NOW + 105)) == [80, 90, 100]


def test_many_go_one_part_after_the_other() -> None:
    line = entry(interval(1), misfire="all")
    told, pending = list[float](), first(line, NOW, NOW)
    while pending is not None and pending.at <= NOW + 250.5:
        firing = decide(line, NOW + 250.5, pending=pending)
        assert len(firing.ticks) <= MOST_AT_ONCE
        told += sent(firing)
        assert firing.next_key is not None
        assert firing.next_at is not None
        pending = Tick(firing.next_key, firing.next_at)
    assert told == list(range(1, 251))


def test_nothing_comes_after_the_end() -> None:
    firing = decide(entry(interval(10), misfire="all", end=NOW + 20), NOW + 100)
    assert sent(firing) == [10, 20]
    assert (firing.next_key, firing.next_at, firing.next_due) == (None, None, None)


def test_once_is_once() -> None:
    firing = decide(entry(clocked(NOW + 5)), NOW + 9)
    assert sent(firing) == [5]
    assert firing.next_at is None


def test_a_tick_at_the_very_start_counts() -> None:
    line = entry(interval(10, aligned=True), start=NOW, end=NOW + 10)
    assert list(upcoming(line, 0.0, 0.0)) == [NOW, NOW + 10]


def test_a_tick_is_put_off_by_its_jitter() -> None:
    line = entry(interval(3600), jitter=600.0)
    tick = first(line, NOW, NOW)
    assert tick is not None
    moment = due(line, tick)
    assert tick.at < moment < tick.at + 600
    early = decide(line, moment - 0.001)
    assert sent(early) == []
    assert (early.next_at, early.next_due) == (tick.at, moment)
    assert sent(decide(line, moment)) == [3600]


def test_jitter_changes_neither_the_order_of_ticks_nor_their_number() -> None:
    """A jitter that reached beyond the next tick would make one look like a missed one."""
    line = entry(interval(10), jitter=3600.0)
    told = list(_ticks(line, NOW, NOW + 3000))
    moments = [due(line, tick) for tick in told]
    assert all(tick.at <= moment < tick.at + 10 for tick, moment in zip(told, moments, strict=True))
    assert len({moment % 10 for moment in moments}) > 100


def test_the_last_jitter_reaches_as_far_as_it_is_asked_to() -> None:
    line = entry(clocked(NOW + 5), jitter=3600.0)
    tick = first(line, NOW, NOW)
    assert tick is not None
    assert due(line, tick) > tick.at + 10


SCHEDULES: tuple[Schedule, ...] = (
    interval(0.25),
    interval(7),
    interval(600, aligned=True),
    interval(86_400),
    crontab("*/10 * * * *", tz=BERLIN),
    crontab("30 2 * * *", tz=BERLIN),
    crontab("*/20 8-17 * * 1-5", tz="America/New_York"),
    crontab("0 0 29 2 *", tz="UTC"),
    clocked(NOW + 3000),
)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("misfire", ["skip", "one", "all"])
def test_it_agrees_with_a_list_of_all_ticks(schedule: Schedule, misfire: str) -> None:
    random = Random(f"{schedule} {misfire}")
    scale = {str(interval(0.25)): 40.0, str(interval(7)): 2_000.0}.get(str(schedule), 40_000.0)
    for _ in range(30):
        line = entry(
            schedule,
            misfire=misfire,
            grace=random.choice([None, 0.0, scale / 10, scale]),
            catch_up=random.choice([1, 3, 1000]),
            jitter=random.choice([0.0, 0.0, 30.0, 86_400.0]),
            start=random.choice([None, NOW + scale / 20]),
            end=random.choice([None, NOW + scale / 2]),
        )
        now = NOW + random.choice([random.random(), 1.0, 3.0]) * scale
        ticks = list(_ticks(line, NOW, now))
        late = [tick for tick in ticks if due(line, tick) <= now]
        if not late:
            continue
        firing = decide(line, now, pending=ticks[0])
        assert [tick[0] for tick in firing.ticks] == _wanted(line, late, now)
        rest = [tick for tick in ticks if tick not in late]
        if len(_all_wanted(line, late, now)) <= MOST_AT_ONCE:
            following = rest[0] if rest else first(line, NOW, now)
            assert firing.next_key == (following and following.key)
            assert firing.next_due == (following and due(line, following))


def _ticks(line: Entry, after: float, until: float) -> Iterator[Tick]:
    """Ask the schedule alone, one tick after the other."""
    schedule = schedules.load(line.schedule)
    tick = schedule.after(after, anchor=after)
    while tick is not None and tick.at <= until:
        within = line.start is None or tick.at >= line.start
        if within and (line.end is None or tick.at <= line.end):
            yield tick
        tick = schedule.after(tick.at, anchor=after)


def _all_wanted(line: Entry, late: list[Tick], now: float) -> list[str]:
    grace = 60.0 if line.grace is None and line.misfire == "skip" else line.grace
    newest = late[-(line.catch_up if line.misfire == "all" else 1) :]
    return [each.key for each in newest if grace is None or now - due(line, each) <= grace]


def _wanted(line: Entry, late: list[Tick], now: float) -> list[str]:
    return _all_wanted(line, late, now)[:MOST_AT_ONCE]


@pytest.mark.parametrize(
    "schedule",
    [interval(0.01), crontab("* * * * * *", tz="UTC"), crontab("* * * * 1 *", tz="UTC")],
    ids=str,
)
@pytest.mark.parametrize(("misfire", "most"), [("one", 1_000), ("all", 200_000)])
def test_years_of_missed_ticks_are_not_counted(
    monkeypatch: pytest.MonkeyPatch, schedule: Schedule, misfire: str, most: int
) -> None:
    asked = count()

    def counting(*given: Any) -> Tick | None:
        next(asked)
        return first(*given)

    monkeypatch.setattr(planning, "first", counting)
    line = entry(schedule, misfire=misfire)
    firing = decide(line, NOW + 3 * 365.25 * 86_400)
    assert len(firing.ticks) == (1 if misfire == "one" else MOST_AT_ONCE)
    assert next(asked) < most


@pytest.mark.parametrize(("misfire", "missed"), [("all", [60, 120, 180]), ("one", [180])])
def test_what_came_before_the_entry_was_never_due(misfire: str, missed: list[float]) -> None:
    """A machine without a battery begins in 1970, and plans for then until its clock is set."""
    line = entry(interval(60), misfire=misfire)
    then = Tick("1970-01-01T00:01:00Z", 60.0)
    assert sent(decide(line, NOW + 185, pending=then)) == missed
    early = decide(line, NOW + 1, pending=then)
    assert (early.ticks, early.next_at) == ((), NOW + 60)
    assert sent(decide(line, 61.0, pending=then)) == [60 - NOW]  # while it is wrong, as ever
