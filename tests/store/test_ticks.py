"""Firing: once, whoever else does it, and however the clock goes."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from litequeue.entry import Firing
from litequeue.exceptions import DuplicateJob, QueueNotFound
from litequeue.job import Job
from litequeue.store import Database, entries, gaps, jobs, ticks
from litequeue.store.firing import FORGET_EVERY, KEPT_TICKS, Fired
from tests.store.beat_steps import (
    add,
    beat,
    every,
    fire_often,
    notes,
    plan_all,
    replan,
    run_one,
    sent,
)
from tests.store.steps import KEEP, NOW, claim_one, put, row_of, rows


def fire(database: Database, firings: list[Any], now: float, **more: Any) -> Fired:
    return ticks.fire(database, firings, now, keep=KEEP, **more)


# What is due


def test_nothing_is_due_where_nothing_is(database: Database) -> None:
    assert ticks.next_due(database) is None
    assert ticks.due(database, NOW, 10) == []
    assert ticks.fire(database, [], NOW, keep=KEEP) == Fired()


def test_the_earliest_is_due_first_and_no_paused_one(database: Database) -> None:
    add(database, "slow", seconds=50)
    add(database, "fast", seconds=5)
    add(database, "paused", seconds=1)
    entries.pause(database, "paused", NOW)
    assert ticks.next_due(database) == NOW + 5
    assert ticks.due(database, NOW + 4.9, 10) == []
    assert [row.entry.name for row in ticks.due(database, NOW + 60, 10)] == ["fast", "slow"]
    assert [row.entry.name for row in ticks.due(database, NOW + 60, 1)] == ["fast"]
    (row,) = ticks.due(database, NOW + 5, 10)
    assert (row.next_at, row.next_due, row.anchor, row.version) == (NOW + 5, NOW + 5, NOW, 1)
    assert row.entry == entries.get(database, "fast").entry


def test_jitter_puts_off_what_is_due_and_not_what_is_meant(database: Database) -> None:
    add(database, "nightly", jitter=8.0)
    record = entries.get(database, "nightly")
    assert record.next_at == NOW + 10
    assert record.next_due is not None
    assert NOW + 10 < record.next_due < NOW + 18
    assert ticks.due(database, NOW + 10, 1) == []
    beat(database, record.next_due)
    ((at, due),) = rows(database.path, "SELECT at, due FROM litequeue_tick")
    assert (at, due) == (NOW + 10, record.next_due)


# Firing


def test_a_tick_its_job_and_the_next_moment_are_written_together(database: Database) -> None:
    add(
        database, "nightly", task="reports.make", queue="mail", priority=3, expires=60.0,
        body='[[1],{"b":2}]', options='{"entry":"nightly","shadow":"r"}',
    )  # fmt: skip
    fired = beat(database, NOW + 10.25)
    ((name, key, id),) = fired.jobs
    assert (name, key) == ("nightly", "2023-11-14T22:13:30Z")
    row = row_of(database.path, id)
    assert (row["task"], row["queue"], row["priority"]) == ("reports.make", "mail", 3)
    assert (row["phase"], row["eta"], row["expires"]) == ("ready", None, NOW + 70.25)
    assert row["created"] == NOW + 10.25
    ((body, options),) = rows(database.path, "SELECT body, options FROM litequeue_payload")
    assert body == '[[1],{"b":2}]'
    assert json.loads(options) == {"entry": "nightly", "shadow": "r", "tick": NOW + 10}
    record = entries.get(database, "nightly")
    assert (record.next_at, record.planned) == (NOW + 20, NOW + 10.25)
    assert (record.last_at, record.last_due) == (NOW + 10, NOW + 10)
    assert (record.last_fired, record.last_job) == (NOW + 10.25, id)
    assert (record.count, record.last_state, record.version) == (1, "PENDING", 2)
    assert entries.history(database, "nightly", 9) == [
        entries.TickRow(key, NOW + 10, NOW + 10, NOW + 10.25, id, None, "PENDING")
    ]


def test_a_job_of_a_new_queue_can_be_claimed(database: Database) -> None:
    add(database, "nightly", queue="new")
    beat(database, NOW + 10)
    assert claim_one(database, queues='["new"]').queue == "new"
    assert "new" in database.known_queues


def test_many_ticks_of_one_entry_are_sent_in_their_order(database: Database) -> None:
    add(database, "nightly", misfire="all")
    fired = beat(database, NOW + 35, most=9)
    assert len(fired.jobs) == 3
    assert [id for _, _, id in fired.jobs] == sent(database)
    assert notes(database) == [(10, "sent"), (20, "sent"), (30, "sent")]
    assert entries.get(database, "nightly").last_at == NOW + 30
    assert entries.get(database, "nightly").count == 3


def test_events_are_written_with_the_jobs(database: Database) -> None:
    add(database, "a", "b")

    def event_of(job: Job, now: float) -> tuple[float, str, str, str, str]:
        return now, "task-sent", job.id, "gen1@host", "{}"

    fired = fire(database, plan_all(database, NOW + 10), NOW + 10, event_of=event_of)
    assert rows(database.path, "SELECT at, type, id FROM litequeue_events") == [
        ("2023-11-14 22:13:30.000", "task-sent", id) for _, _, id in fired.jobs
    ]


def test_an_entry_without_another_tick_is_never_due_again(database: Database) -> None:
    add(database, "nightly", end=NOW + 15)
    beat(database, NOW + 12)
    assert ticks.next_due(database) is None
    assert len(sent(database)) == 1


# Two beats


def test_of_two_beats_with_the_same_plan_one_fires(database: Database) -> None:
    add(database, "nightly")
    first, second = plan_all(database, NOW + 10), plan_all(database, NOW + 10)
    other = Database(database.path)
    assert len(fire(database, first, NOW + 10).jobs) == 1
    assert fire(other, second, NOW + 10) == Fired()
    other.close()
    assert len(sent(database)) == 1


def test_five_beats_at_once_send_each_tick_once(database: Database) -> None:
    add(database, "a", "b", "c", seconds=1, misfire="all")
    barrier = threading.Barrier(5)

    def one_of_them(_: int) -> int:
        file = Database(database.path, durability="process", busy_timeout=30.0)
        barrier.wait(10)
        done = sum(len(beat(file, NOW + 1 + second, most=99).jobs) for second in range(30))
        file.close()
        return done

    with ThreadPoolExecutor(5) as threads:
        assert sum(threads.map(one_of_them, range(5))) == 90
    for name in ("a", "b", "c"):
        assert notes(database, name) == [(second, "sent") for second in range(1, 31)]
    assert len(sent(database)) == 90


def test_what_was_planned_before_a_change_is_not_done(database: Database) -> None:
    add(database, "edited", "paused", "removed", "resumed", "fired")
    old = plan_all(database, NOW + 10)
    assert len(old) == 5
    entries.change(database, "edited", {"schedule": every(60)}, NOW + 10)
    entries.pause(database, "paused", NOW + 10)
    entries.remove(database, "removed")
    entries.pause(database, "resumed", NOW + 10)
    entries.resume(database, "resumed", NOW + 10)
    (own,) = [plan for plan in plan_all(database, NOW + 10) if plan.version == 1]
    fire(database, [own], NOW + 10)
    assert fire(database, old, NOW + 11) == Fired()
    assert len(sent(database)) == 1
    assert entries.get(database, "edited").next_at == NOW + 70


def test_a_change_of_no_moment_has_the_tick_planned_again(database: Database) -> None:
    """The version grows with every change: a late beat never sends an old template."""
    add(database, "nightly")
    old = plan_all(database, NOW + 10)
    entries.change(database, "nightly", {"queue": "mail"}, NOW + 10)
    assert fire(database, old, NOW + 10) == Fired()
    (fired,) = beat(database, NOW + 10).jobs
    assert row_of(database.path, fired[2])["queue"] == "mail"


def test_an_id_that_is_taken_is_an_error_and_nothing_happens(database: Database) -> None:
    add(database, "nightly")
    (firing,) = plan_all(database, NOW + 10)
    put(database, firing.ticks[0][3])
    with pytest.raises(DuplicateJob):
        fire(database, [firing], NOW + 10)
    assert notes(database) == []
    assert entries.get(database, "nightly").version == 1


# The clock


def test_a_clock_that_was_put_back_sends_nothing_twice(database: Database) -> None:
    add(database, "nightly")
    for seconds in (10, 20, 30):
        beat(database, NOW + seconds)
    assert replan(database, NOW + 12) == 1
    assert entries.get(database, "nightly").next_at == NOW + 20
    assert entries.get(database, "nightly").planned == NOW + 12
    for seconds in (20, 30):
        assert beat(database, NOW + seconds).jobs == []
    assert len(beat(database, NOW + 40).jobs) == 1
    assert len(sent(database)) == 4
    assert replan(database, NOW + 40) == 0


def test_what_was_planned_again_meanwhile_is_left_alone(database: Database) -> None:
    add(database, "nightly", "paused")
    beat(database, NOW + 1000)
    entries.pause(database, "paused", NOW + 1000)
    (row,) = ticks.behind(database, NOW)
    entries.change(database, "nightly", {"priority": 1}, NOW)
    assert ticks.replan(database, [(row, None, None)], NOW) == 0
    assert entries.get(database, "nightly").next_at == NOW + 1010


def test_an_entry_that_was_over_by_a_wrong_clock_comes_back(database: Database) -> None:
    add(database, "nightly", end=NOW + 100)
    beat(database, NOW + 5000)
    assert entries.get(database, "nightly").next_at is None
    assert replan(database, NOW + 1) == 1
    assert entries.get(database, "nightly").next_at == NOW + 10


def test_the_newest_ticks_are_kept_and_older_ones_are_not_sent_again(database: Database) -> None:
    add(database, "nightly")
    fire_often(database, NOW, KEPT_TICKS + FORGET_EVERY - 1)
    assert len(entries.history(database, "nightly", 1000)) == KEPT_TICKS + FORGET_EVERY - 1
    beat(database, NOW + 1100)
    history = entries.history(database, "nightly", 1000)
    assert (len(history), history[-1].at) == (KEPT_TICKS, NOW + 110)
    assert entries.get(database, "nightly").forgotten == gaps.extended(None, NOW, [NOW + 100])
    replan(database, NOW + 1)
    assert len(sent(database)) == 110
    fire_often(database, NOW, 111)
    assert len(sent(database)) == 111


@pytest.mark.parametrize("ahead", [2_000.0, 20_000.0, 200_000.0])
def test_a_clock_that_was_ahead_silences_nothing(database: Database, ahead: float) -> None:
    """Its ticks have filled the history, and are all younger than those of the right time."""
    add(database, "nightly")
    fire_often(database, NOW, 5)
    fire_often(database, NOW + ahead, 2 * KEPT_TICKS)
    replan(database, NOW + 55)
    before = len(sent(database))
    fire_often(database, NOW + 55, 3)
    assert len(sent(database)) == before + 3


def test_what_was_sent_ahead_is_not_sent_when_its_time_has_come(database: Database) -> None:
    add(database, "nightly")
    fire_often(database, NOW + 1_000, 2 * KEPT_TICKS)
    replan(database, NOW + 1_001)
    before = len(sent(database))
    fire_often(database, NOW + 1_000, 2 * KEPT_TICKS)
    assert len(sent(database)) == before
    assert len(beat(database, entries.get(database, "nightly").next_due or 0).jobs) == 1


def test_a_tick_that_jitter_has_put_off_is_not_taken_for_an_old_one(database: Database) -> None:
    """A hundred and more younger ones are sent before it."""
    database.set_durability("process")
    add(database, "nightly", jitter=5_000.0)
    (row,) = ticks.due(database, NOW + 10_000, 1)
    younger = [(f"k{n}", NOW + 20 + n, NOW + 300, f"id-{n}") for n in range(KEPT_TICKS + 50)]
    old = (row.next_key, row.next_at, row.next_due)
    fire(database, [Firing(row.id, row.version, tuple(younger), *old)], NOW + 300)
    (row,) = ticks.due(database, NOW + 10_000, 1)
    ((_, key, _),) = beat(database, row.next_due).jobs
    assert key == old[0]


def test_manual_runs_forget_no_tick(database: Database) -> None:
    add(database, "nightly")
    database.set_durability("process")
    for number in range(KEPT_TICKS + FORGET_EVERY - 1):
        entries.run_now(database, "nightly", f"m{number}", NOW + 15)
    beat(database, NOW + 16)
    assert entries.get(database, "nightly").forgotten is None
    assert ("sent" in dict(notes(database)).values()) is True
    assert len(entries.history(database, "nightly", 1000)) == KEPT_TICKS


# What others have left in the file


def test_options_that_are_no_json_do_not_stop_beat(database: Database) -> None:
    add(database, "nightly")
    with database.write(durable=False) as connection:
        connection.execute("UPDATE litequeue_entry SET options = 'nonsense'")
    beat(database, NOW + 10)
    ((options,),) = rows(database.path, "SELECT options FROM litequeue_payload")
    assert json.loads(options) == {"entry": "nightly", "tick": NOW + 10}


def test_the_events_of_a_firing_that_fails_are_not_written(database: Database) -> None:
    add(database, "nightly")
    (firing,) = plan_all(database, NOW + 10)

    def event_of(job: Job, now: float) -> tuple[float, str, str, str, str]:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        fire(database, [firing], NOW + 10, event_of=event_of)
    assert sent(database) == []
    assert len(fire(database, [firing], NOW + 10).jobs) == 1


def test_a_firing_without_ticks_moves_on(database: Database) -> None:
    add(database, "nightly")
    (firing,) = plan_all(database, NOW + 10)
    fire(database, [replace(firing, ticks=())], NOW + 10)
    assert entries.get(database, "nightly").next_at == NOW + 20
    assert (sent(database), notes(database)) == ([], [])


def test_a_beat_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(QueueNotFound):
        ticks.next_due(Database(tmp_path / "none.sqlite"))


def test_a_job_that_was_sent_runs_as_any_other(database: Database) -> None:
    add(database, "nightly")
    ((_, _, id),) = beat(database, NOW + 10).jobs
    assert run_one(database, NOW + 11) == id
    assert entries.get(database, "nightly").last_state == "SUCCESS"
    assert jobs.rerun(database, id, now=NOW, keep=KEEP) is False
