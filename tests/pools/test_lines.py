"""The lines of a child of many, without processes: who may begin, and whose word counts."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from litequeue import LiteQueue
from litequeue.interrupts import Guard
from litequeue.job import Failure, Lease, Outcome
from litequeue.worker.channel import Channel
from litequeue.worker.pools import Station
from litequeue.worker.pools.agenda import Agenda
from litequeue.worker.pools.aio import _Desk
from litequeue.worker.pools.many import GivenUp, Lines, Run
from litequeue.worker.pools.threads import Dispatcher, _interrupt, _threads
from litequeue.worker.slots import Slots, Stage
from litequeue.worker.time_limits import REPEAT, Alarm
from tests.conftest import FakeClock


@dataclass
class Crew:
    """Does nothing by itself."""

    planned: list[tuple[float, Callable[[Run], None], Run]] = field(default_factory=list)
    aborted: list[Run] = field(default_factory=list)
    left_to_do: list[Callable[[], None]] = field(default_factory=list)
    told: list[Run] = field(default_factory=list)

    def at(self, moment: float, act: Callable[[Run], None], run: Run) -> None:
        self.planned.append((moment, act, run))

    def aside(self, act: Callable[[], None]) -> None:
        self.left_to_do.append(act)

    def abort(self, run: Run) -> None:
        self.aborted.append(run)

    def freed(self, run: Run) -> None:
        self.told.append(run)


class Striking(Guard):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.struck: list[int] = []

    def interrupt(self, token: int, frame: Any = None) -> bool:
        self.struck.append(token)
        return True


def lease(number: int, **fields: Any) -> Lease:
    return Lease(
        number, 100 + number, 1, f"id-{number}", "tasks.add", "[[1, 2], {}]", None, "q", 0, 0, 0,
        None, None, None, **fields,
    )  # fmt: skip


def outcome(run: Run, state: str = "SUCCESS") -> Outcome:
    return Outcome(run.lease.seq, run.lease.token, run.lease.claim, state)


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    slots = Slots.create(str(tmp_path / "w.slots"), children=3, per_child=4)
    slots.count = 2
    return slots


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Channel]:
    channel = Channel(str(tmp_path / "w"))
    yield channel
    channel.close()


@pytest.fixture
def crew() -> Crew:
    return Crew()


@pytest.fixture
def station(app: LiteQueue, slots: Slots, channel: Channel, clock: FakeClock) -> Iterator[Station]:
    alarm = Alarm()
    yield Station(
        app=app, index=0, hostname="w", channel=channel, slots=slots, alarm=alarm, clock=clock,
        stop_worker=lambda number: None,
    )  # fmt: skip
    alarm.close()


class TestRoom:
    def test_it_follows_the_count(self, station: Station, slots: Slots, crew: Crew) -> None:
        lines = Lines(station, crew)
        assert lines.room() == 2
        runs = [lines.begin(lease(1)), lines.begin(lease(2))]
        assert lines.room() == 0
        slots.count = 3
        assert lines.room() == 1
        slots.count = 1
        assert lines.room() == -1
        for run in runs:
            lines.finish(run, outcome(run))
        assert lines.room() == 1
        assert crew.told == runs

    def test_a_line_is_used_again(self, station: Station, crew: Crew) -> None:
        lines = Lines(station, crew)
        first, second = lines.begin(lease(1)), lines.begin(lease(2))
        assert [first.line, second.line] == [0, 1]
        lines.finish(first, outcome(first))
        assert lines.begin(lease(3)).line == 0

    def test_what_runs_in_a_child_that_leaves_counts(
        self, station: Station, slots: Slots, crew: Crew
    ) -> None:
        slots.assign(1, os.getpid(), 0)
        slots.set_stage(1, Stage.LEAVING)
        slots.begin(4, 9, 1.0, 99)
        lines = Lines(station, crew)
        assert lines.room() == 1
        assert lines.patience() is not None, "nobody tells when it ends"
        slots.end(4)
        assert lines.room() == 2
        slots.begin(4, 9, 1.0, 99)
        slots.assign(1, 2**22, 0)  # no process has such a number
        slots.set_stage(1, Stage.LEAVING)
        slots.begin(4, 9, 1.0, 99)
        assert lines.room() == 2, "a dead one runs nothing"
        assert lines.patience() is None

    def test_who_leaves_makes_way_once(self, station: Station, crew: Crew) -> None:
        ways: list[int] = []
        station.give_way = lambda: ways.append(1)
        lines = Lines(station, crew)
        lines.begin(lease(1))
        lines.leave()
        lines.leave()
        assert ways == [1]
        assert lines.room() == 0
        assert not lines.is_idle

    def test_who_is_hung_up_on_makes_no_way(
        self, station: Station, slots: Slots, crew: Crew
    ) -> None:
        ways: list[int] = []
        station.give_way = lambda: ways.append(1)
        lines = Lines(station, crew)
        lines.hang_up()
        assert (lines.leaves, ways) == (True, [])

    def test_who_is_dismissed_does(self, station: Station, slots: Slots, crew: Crew) -> None:
        ways: list[int] = []
        station.give_way = lambda: ways.append(1)
        lines = Lines(station, crew)
        slots.dismiss(0)
        lines.look_for_orders()
        assert (lines.leaves, ways) == (True, [1])


class TestVerdicts:
    def test_limits_are_planned(self, station: Station, crew: Crew, clock: FakeClock) -> None:
        lines = Lines(station, crew)
        run = lines.begin(lease(1, soft=2.0, hard=3.0))
        run.guard = guard = Striking()
        (soft, soften, _), (hard, end_late, _) = crew.planned
        assert (soft, hard) == (run.began + 2.0, run.began + 3.0)
        soften(run)
        assert guard.struck == [101]
        assert crew.planned[2][0] == clock.monotonic() + REPEAT
        soften(run)
        assert len(crew.planned) == 3, "told twice at most"
        end_late(run)
        assert crew.aborted == [run]

    def test_the_first_word_counts(
        self, station: Station, crew: Crew, channel: Channel, slots: Slots
    ) -> None:
        lines = Lines(station, crew)
        run = lines.begin(lease(1, hard=3.0))
        lines.give_up(run, "FAILURE", Failure("TimeLimitExceeded", "late"))
        lines.finish(run, outcome(run))
        assert not list(channel.poll()), "neither has been reported yet"
        assert slots.running(0) is not None
        assert lines.room() == 1, "and the line is not free"
        (mourn,) = crew.left_to_do
        mourn()
        (told,) = channel.poll()
        assert (told.state, told.failure) == ("FAILURE", Failure("TimeLimitExceeded", "late"))
        assert slots.running(0) is None
        assert lines.room() == 2
        lines.give_up(run, "REVOKED", Failure("TaskRevokedError", "terminated"))
        assert len(crew.left_to_do) == 1

    def test_a_verdict_comes_too_late_for_what_has_finished(
        self, station: Station, crew: Crew, channel: Channel
    ) -> None:
        lines = Lines(station, crew)
        run = lines.begin(lease(1))
        lines.finish(run, outcome(run))
        lines.give_up(run, "FAILURE", Failure("TimeLimitExceeded", "late"))
        assert [each.state for each in channel.poll()] == ["SUCCESS"]
        assert not crew.left_to_do

    def test_the_code_of_a_job_that_was_given_up_calls_no_hooks(
        self, app: LiteQueue, station: Station, crew: Crew
    ) -> None:
        told: list[str] = []
        lines = Lines(station, crew)

        @app.task(name="tasks.add")
        def add(x: int, y: int) -> int:
            if run.lease.seq == 1:
                lines.give_up(run, "FAILURE", Failure("TimeLimitExceeded", "late"))
            return x + y

        add.on_success = lambda *_: told.append("on_success")  # type: ignore[method-assign]  # as a user may
        run = lines.begin(lease(1))
        executor = lines.executor()
        with pytest.raises(GivenUp):
            executor.execute(run.lease)
        assert told == []
        assert lines.end(run)
        run = lines.begin(lease(2))
        lines.finish(run, executor.execute(run.lease))
        assert told == ["on_success"], "of the next one it does"

    @pytest.mark.parametrize("can_leave", [True, False])
    def test_what_does_not_end_is_left_to_its_process(
        self, station: Station, crew: Crew, can_leave: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        station.give_way = (lambda: None) if can_leave else None
        lines = Lines(station, crew)
        run = lines.begin(lease(1))
        lines.give_up(run, "FAILURE", Failure("TimeLimitExceeded", "late"))
        lines.replace_if_stuck(run)
        assert lines.leaves is can_leave
        assert "its code runs on" in caplog.text

    @pytest.mark.parametrize(("signum", "state"), [(15, "REVOKED"), (10, None), (12, None)])
    def test_orders(
        self,
        station: Station,
        slots: Slots,
        crew: Crew,
        channel: Channel,
        signum: int,
        state: str | None,
    ) -> None:
        lines = Lines(station, crew)
        run = lines.begin(lease(1))
        run.guard = guard = Striking()
        slots.ask_to_end(run.line, 7, 15)
        lines.look_for_orders()
        assert not crew.aborted, "that was for another job"
        slots.ask_to_end(run.line, run.lease.token, signum)
        lines.look_for_orders()
        lines.look_for_orders()
        for act in crew.left_to_do:
            act()
        assert [each.state for each in channel.poll()] == ([state] if state else [])
        assert guard.struck == ([101] if signum == 10 else [])


class TestAgenda:
    def run(self, number: int) -> Run:
        import contextvars

        return Run(number, lease(number), contextvars.copy_context(), 0.0)

    def test_what_is_due_is_done_in_order(self) -> None:
        agenda, done = Agenda(), []
        first, second = self.run(1), self.run(2)
        assert agenda.add(5.0, lambda run: done.append(run.line), second)
        assert agenda.add(3.0, lambda run: done.append(run.line), first)
        assert not agenda.add(9.0, lambda run: done.append(9), first)
        agenda.run(4.0)
        assert (done, agenda.next_moment()) == ([1], 5.0)
        agenda.run(8.0)
        assert done == [1, 2]

    def test_nothing_is_done_to_what_has_ended(self) -> None:
        agenda = Agenda()
        done: list[Run] = []
        run = self.run(1)
        agenda.add(5.0, done.append, run)
        run.has_ended = True
        agenda.run(6.0)
        assert (done, agenda.next_moment()) == ([], None)

    def test_it_does_not_grow_with_jobs_that_end_in_time(self) -> None:
        agenda = Agenda()
        for number in range(10_000):
            run = self.run(number)
            agenda.add(3600.0, lambda run: None, run)
            run.has_ended = True
        assert len(agenda._due) < 200


class TestWaking:
    """A line that is freed while its reader looks for room is not overlooked."""

    def test_of_the_threads(self, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
        dispatcher = Dispatcher(station, _threads, _interrupt)
        run = dispatcher._lines.begin(lease(1))
        looks: list[int] = []

        def room() -> int:
            looks.append(1)
            dispatcher.freed(run)  # by another thread, right after the look
            return 0

        monkeypatch.setattr(dispatcher._lines, "room", room)
        monkeypatch.setattr(dispatcher._lines, "patience", lambda: 5.0)
        began = time.monotonic()
        dispatcher._step()
        assert looks
        assert time.monotonic() - began < 4, "the bell woke it"
        dispatcher._bell.close()

    def test_of_the_loop(self, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.new_event_loop()
        desk = _Desk(station, loop)
        run = desk._lines.begin(lease(1))
        looks: list[int] = []

        def room() -> int:
            looks.append(1)
            if len(looks) == 1:
                desk.freed(run)
            else:
                loop.call_soon(loop.stop)
            return 0

        monkeypatch.setattr(desk._lines, "room", room)
        loop.call_soon(desk._look)
        loop.call_later(10, loop.stop)
        loop.run_forever()
        loop.close()
        assert len(looks) == 2
