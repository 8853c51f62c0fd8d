"""Who enforces limits looks at the lines in time, and does to each job what is due, once."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from litequeue.clock import Clock
from litequeue.job import Lease
from litequeue.worker.pools import JITTER, Recycling, Station
from litequeue.worker.slots import Running, Slots
from litequeue.worker.time_limits import REPEAT, Alarm, Enforcer
from tests.conftest import FakeClock

NOW = 1_000.0
"""What the tests' clock shows at first."""


class Hands:
    """Notes what is done to which job."""

    def __init__(self) -> None:
        self.did: list[tuple[object, ...]] = []

    def soften(self, line: int, run: Running) -> None:
        self.did.append(("soften", line, run.token))

    def end_late(self, line: int, run: Running) -> None:
        self.did.append(("end", line, run.token))

    def terminate(self, line: int, run: Running, signum: int) -> None:
        self.did.append(("terminate", line, run.token, signum))

    def take(self) -> list[tuple[object, ...]]:
        did, self.did = self.did, []
        return did


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    slots = Slots.create(str(tmp_path / "w.slots"), children=4)
    slots.count = 4
    return slots


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    alarm = Alarm()
    yield alarm
    alarm.close()


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def enforcer(slots: Slots, alarm: Alarm, hands: Hands, clock: FakeClock) -> Enforcer:
    return Enforcer(slots, alarm, hands, clock)


def begin(
    slots: Slots, alarm: Alarm, line: int, token: int, *, soft: float = 0.0, hard: float = 0.0
) -> None:
    """Do as a child does: write the line, and ring if nobody would look in time."""
    slots.begin(line, token, 1.0, token, soft, hard)
    if min(soft or hard, hard or soft) < slots.wake_at:
        alarm.ring()


def rings(alarm: Alarm) -> bool:
    return bool(select.select([alarm.out], [], [], 0)[0])


def test_without_limits_nothing_is_ever_due(enforcer: Enforcer, slots: Slots) -> None:
    slots.begin(0, 1, 1.0, 5)
    enforcer.run()
    assert enforcer.time_left() is None


def test_a_job_is_ended_at_its_moment(
    enforcer: Enforcer, slots: Slots, alarm: Alarm, hands: Hands, clock: FakeClock
) -> None:
    begin(slots, alarm, 1, 5, hard=NOW + 3)
    enforcer.run()
    assert enforcer.time_left() == 3.0
    assert hands.take() == []
    clock.advance(2.9)
    enforcer.run()
    assert hands.take() == []
    clock.advance(0.1)
    enforcer.run()
    assert hands.take() == [("end", 1, 5)]


def test_only_an_earlier_limit_rings(
    enforcer: Enforcer, slots: Slots, alarm: Alarm, hands: Hands, clock: FakeClock
) -> None:
    begin(slots, alarm, 0, 5, hard=NOW + 3)
    assert rings(alarm)
    enforcer.run()
    assert not rings(alarm)
    begin(slots, alarm, 1, 6, hard=NOW + 4)
    assert not rings(alarm), "he looks at second 3 anyway, and then learns of it"
    begin(slots, alarm, 2, 7, hard=NOW + 1)
    assert rings(alarm)
    enforcer.run()
    assert enforcer.time_left() == 1.0
    clock.advance(1.0)
    enforcer.run()
    assert hands.take() == [("end", 2, 7)]
    slots.end(2)
    clock.advance(2.0)
    enforcer.run()
    assert hands.take() == [("end", 0, 5)]
    slots.end(0)
    clock.advance(1.0)
    enforcer.run()
    assert hands.take() == [("end", 1, 6)]


def test_all_that_are_due_are_ended_in_one_look(
    enforcer: Enforcer, slots: Slots, alarm: Alarm, hands: Hands, clock: FakeClock
) -> None:
    for line in range(4):
        begin(slots, alarm, line, line + 5, hard=NOW + 1)
    enforcer.run()
    clock.advance(1.0)
    enforcer.run()
    assert hands.take() == [("end", line, line + 5) for line in range(4)]


def test_a_limit_that_is_written_while_he_looks_is_seen(
    slots: Slots, alarm: Alarm, clock: FakeClock
) -> None:
    """Its line has been looked at already: it rings, and he looks again."""

    class Writing(Hands):
        def end_late(self, line: int, run: Running) -> None:
            super().end_late(line, run)
            slots.end(line)
            begin(slots, alarm, 0, 9, hard=NOW + 2)

    enforcer = Enforcer(slots, alarm, Writing(), clock)
    begin(slots, alarm, 3, 5, hard=NOW + 1)
    enforcer.run()
    clock.advance(1.0)
    enforcer.run()
    assert select.select([alarm.out], [], [], 0)[0], "he does not come back at once"
    enforcer.run()
    assert enforcer.time_left() == 1.0


def test_a_soft_limit_is_told_once_and_once_more(
    enforcer: Enforcer, slots: Slots, alarm: Alarm, hands: Hands, clock: FakeClock
) -> None:
    begin(slots, alarm, 0, 5, soft=NOW + 2, hard=NOW + 60)
    enforcer.run()
    clock.advance(2.0)
    enforcer.run()
    assert hands.take() == [("soften", 0, 5)]
    assert enforcer.time_left() == REPEAT
    clock.advance(REPEAT)
    enforcer.run()
    assert hands.take() == [("soften", 0, 5)]
    clock.advance(REPEAT)
    alarm.ring()
    enforcer.run()
    assert hands.take() == []
    assert enforcer.time_left() == 60 - 2 - 2 * REPEAT
    clock.advance(60)
    enforcer.run()
    assert hands.take() == [("end", 0, 5)]


def test_the_next_job_of_the_line_is_told_for_itself(
    enforcer: Enforcer, slots: Slots, alarm: Alarm, hands: Hands, clock: FakeClock
) -> None:
    begin(slots, alarm, 0, 5, soft=NOW + 1)
    enforcer.run()
    clock.advance(1.0)
    enforcer.run()
    begin(slots, alarm, 0, 6, soft=NOW + 1.5)
    enforcer.run()
    clock.advance(0.5)
    enforcer.run()
    assert hands.take() == [("soften", 0, 5), ("soften", 0, 6)]


def test_a_job_that_has_ended_is_left_alone(
    enforcer: Enforcer, slots: Slots, alarm: Alarm, hands: Hands, clock: FakeClock
) -> None:
    begin(slots, alarm, 0, 5, soft=NOW + 1, hard=NOW + 2)
    begin(slots, alarm, 1, 6, soft=NOW + 1, hard=NOW + 2)
    enforcer.run()
    slots.end(0)
    slots.disarm(1)
    clock.advance(5.0)
    enforcer.run()
    assert hands.take() == []
    assert enforcer.time_left() is None


def test_a_job_is_terminated_once_and_only_that_one(
    enforcer: Enforcer, slots: Slots, alarm: Alarm, hands: Hands
) -> None:
    slots.begin(0, 5, 1.0, 5)
    slots.begin(1, 6, 1.0, 6)
    slots.ask_to_end(0, 5, 15)
    slots.ask_to_end(1, 99, 15)  # it has made room for another job since
    alarm.ring()
    enforcer.run()
    assert hands.take() == [("terminate", 0, 5, 15)]
    alarm.ring()
    enforcer.run()
    assert hands.take() == []


def test_an_alarm_rings_until_it_is_heard(alarm: Alarm) -> None:
    assert not alarm.hear()
    for _ in range(100_000):
        alarm.ring()  # a full pipe is no error
    assert alarm.hear()
    while alarm.hear():
        pass
    assert not rings(alarm)


# How long a child lives


def station(slots: Slots, clock: Clock, recycling: Recycling) -> Station:
    return Station(
        app=None, index=0, hostname="w", channel=None, slots=slots, alarm=None, clock=clock,
        stop_worker=lambda number: os.kill(0, 0), recycling=recycling,
    )  # type: ignore[arg-type]  # no lease comes here  # fmt: skip


def test_children_do_not_all_end_at_once(slots: Slots, clock: FakeClock) -> None:
    """Each draws how long it lives: a little less than it may, never more."""
    lives = [station(slots, clock, Recycling(tasks=1000))._tasks_left for _ in range(300)]
    assert max(lives) <= 1000
    assert min(lives) >= 1000 * (1 - JITTER)
    assert len(set(lives)) > 50
    sizes = [station(slots, clock, Recycling(memory=1_000_000))._memory for _ in range(300)]
    assert max(sizes) <= 1_000_000
    assert min(sizes) >= 1_000_000 * (1 - JITTER)
    assert len(set(sizes)) > 50


@pytest.mark.parametrize("tasks", [1, 2, 9])
def test_a_short_life_is_exact(slots: Slots, clock: FakeClock, tasks: int) -> None:
    assert {station(slots, clock, Recycling(tasks=tasks))._tasks_left for _ in range(50)} == {tasks}


def test_without_recycling_a_child_lives_on(slots: Slots, clock: FakeClock) -> None:
    made = station(slots, clock, Recycling())
    assert not made.is_spent()
    slots.dismiss(0)
    assert made.is_spent()


def test_memory_is_looked_at_now_and_then(slots: Slots, clock: FakeClock) -> None:
    made = station(slots, clock, Recycling(memory=1000))
    assert made.is_spent()
    made = station(slots, clock, Recycling(memory=1 << 50))
    assert not made.is_spent()


def test_a_limit_is_written_with_the_line(slots: Slots, clock: FakeClock, alarm: Alarm) -> None:
    made = station(slots, clock, Recycling())
    made.alarm = alarm
    slots.wake_at = NOW + 1
    lease = Lease(
        seq=1, token=5, claim=1, id="id", task="t", body="[]", options=None, queue="q", priority=0,
        retries=0, deaths=0, eta=None, expires=None, parent=None, soft=2.0, hard=3.0,
    )  # fmt: skip
    made.begin(0, lease)
    run = slots.running(0)
    assert run is not None
    assert (run.soft, run.hard) == (NOW + 2.0, NOW + 3.0)
    assert not rings(alarm)
    slots.wake_at = NOW + 2.5
    made.begin(0, lease)
    assert rings(alarm)
