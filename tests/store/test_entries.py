"""Entries: what code defines, what people add, and who may change what."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest

from litequeue.exceptions import (
    DuplicateJob,
    EntryExists,
    EntryNotFound,
    EntryOwned,
    ScheduleError,
)
from litequeue.job import Job
from litequeue.store import Database, entries, ticks
from litequeue.store.entries import EntryRecord, Reconciled
from litequeue.store.firing import Fired
from tests.store.beat_steps import add, beat, every, line, notes, release, run_one, sent
from tests.store.steps import NOW, put, row_of, rows

MINE, OTHERS = "tasks:app", "other:app"


def reconcile(database: Database, *wanted: Any, owner: str = MINE, now: float = NOW) -> Reconciled:
    return entries.reconcile(database, owner, wanted, now)


def names(database: Database) -> list[str]:
    return [record.entry.name for record in entries.listed(database)]


def written(database: Database) -> list[Any]:
    return rows(database.path, "SELECT * FROM litequeue_entry ORDER BY id")


# People's


def test_what_was_added_is_as_it_was_given(database: Database) -> None:
    entry = line(
        "nightly", priority=-4, options='{"entry":"nightly"}', expires=60, misfire="all", grace=5.0,
        catch_up=7, overlap="queue", jitter=1.5, start=NOW - 1, end=NOW + 1000, queue="mail",
    )  # fmt: skip
    entries.add(database, entry, NOW)
    record = entries.get(database, "nightly")
    assert record.entry == entry
    assert record == entries.listed(database)[0]
    assert record == EntryRecord(
        entry=entry, id=record.id, owner=None, version=1, created=NOW, paused=None, anchor=NOW,
        planned=NOW, next_key="2023-11-14T22:13:30Z", next_at=NOW + 10, next_due=record.next_due,
        held_key=None, held_at=None, held_due=None, last_at=None, last_due=None, last_fired=None,
        last_job=None, count=0, forgotten=None, last_state=None,
    )  # fmt: skip


def test_a_name_is_taken_once(database: Database) -> None:
    add(database, "nightly")
    with pytest.raises(EntryExists, match="'nightly' exists"):
        entries.add(database, line(seconds=99), NOW)
    assert entries.get(database, "nightly").entry == line()


def test_a_schedule_that_makes_no_sense_is_not_stored(database: Database) -> None:
    add(database, "nightly")
    for schedule in ("nonsense", '{"kind":"?"}', "[]"):
        with pytest.raises(ScheduleError):
            entries.add(database, line("x", schedule=schedule), NOW)
        with pytest.raises(ScheduleError):
            entries.change(database, "nightly", {"schedule": schedule}, NOW)
    assert names(database) == ["nightly"]
    assert entries.get(database, "nightly").version == 1


def test_an_entry_that_starts_later_is_due_then(database: Database) -> None:
    add(database, "nightly", start=NOW + 100)
    assert entries.get(database, "nightly").next_at == NOW + 100


def test_an_entry_that_was_over_before_it_began_is_never_due(database: Database) -> None:
    add(database, "nightly", end=NOW + 5)
    assert entries.get(database, "nightly").next_at is None
    assert ticks.next_due(database) is None


@pytest.mark.parametrize(
    ("verb", "more"),
    [
        (entries.get, ()),
        (entries.change, ({"priority": 1}, NOW)),
        (entries.remove, ()),
        (entries.pause, (NOW,)),
        (entries.resume, (NOW,)),
        (entries.run_now, ("id", NOW)),
        (entries.history, (5,)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_who_is_not_there_cannot_be_meant(
    database: Database, verb: Any, more: tuple[Any, ...]
) -> None:
    add(database, "nightly")
    with pytest.raises(EntryNotFound, match="no entry 'none'"):
        verb(database, "none", *more)


def test_another_schedule_begins_anew(database: Database) -> None:
    add(database, "nightly")
    for changes, at in (
        ({"schedule": every(60)}, NOW + 63),
        ({"start": NOW + 500}, NOW + 543),
        ({"start": None, "end": NOW + 20}, None),
        ({"end": None}, NOW + 63),
    ):
        record = entries.change(database, "nightly", changes, NOW + 3)
        assert (record.anchor, record.planned, record.next_at) == (NOW + 3, NOW + 3, at)
        assert record == entries.get(database, "nightly")


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "u"},
        {"body": "[[1],{}]"},
        {"queue": "mail"},
        {"priority": 9},
        {"options": '{"entry":"nightly"}'},
        {"expires": 5.0},
        {"misfire": "skip"},
        {"grace": 1.0},
        {"catch_up": 3},
        {"overlap": "cancel"},
        {"jitter": 3.0},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_other_changes_leave_the_next_tick_alone(
    database: Database, changes: dict[str, Any]
) -> None:
    add(database, "nightly")
    record = entries.change(database, "nightly", changes, NOW + 3)
    assert record.entry == line(**changes)
    assert (record.anchor, record.next_at, record.next_due) == (NOW, NOW + 10, NOW + 10)
    assert record.version == 2


def test_a_change_of_nothing_writes_nothing(database: Database) -> None:
    add(database, "nightly")
    before = written(database)
    entries.change(database, "nightly", {"priority": 0, "schedule": every(10)}, NOW + 3)
    assert written(database) == before


def test_what_makes_no_sense_is_refused_and_changes_nothing(database: Database) -> None:
    add(database, "nightly")
    before = written(database)
    for changes in ({"name": "other"}, {"misfire": "two"}, {"jitter": -1.0}, {"queue": ""}):
        with pytest.raises(ScheduleError):
            entries.change(database, "nightly", changes, NOW)
    assert written(database) == before


def test_what_was_removed_is_gone_and_its_jobs_are_not(database: Database) -> None:
    add(database, "nightly", "other")
    beat(database, NOW + 10)
    entries.remove(database, "nightly")
    assert names(database) == ["other"]
    assert rows(database.path, "SELECT count(*) FROM litequeue_tick") == [(1,)]
    assert len(sent(database)) == 2


def test_an_entry_of_an_old_name_has_no_history(database: Database) -> None:
    add(database, "nightly")
    old = entries.get(database, "nightly").id
    beat(database, NOW + 10)
    entries.remove(database, "nightly")
    add(database, "nightly")
    assert entries.get(database, "nightly").id > old
    assert notes(database) == []
    assert len(beat(database, NOW + 10).jobs) == 1


# Pausing


def test_a_paused_entry_is_not_due_until_it_is_resumed(database: Database) -> None:
    add(database, "nightly")
    assert entries.pause(database, "nightly", NOW + 5)
    assert not entries.pause(database, "nightly", NOW + 6)
    assert entries.get(database, "nightly").paused == NOW + 5
    assert beat(database, NOW + 10) == Fired()
    assert entries.resume(database, "nightly", NOW + 44)
    assert not entries.resume(database, "nightly", NOW + 45)
    record = entries.get(database, "nightly")
    assert (record.paused, record.next_at, record.planned) == (None, NOW + 50, NOW + 44)
    assert (record.anchor, record.version) == (NOW, 3)


def test_an_entry_may_be_added_paused(database: Database) -> None:
    entries.add(database, line(), NOW, paused=True)
    assert entries.get(database, "nightly").paused == NOW
    assert ticks.next_due(database) is None
    assert entries.resume(database, "nightly", NOW + 5)
    assert ticks.next_due(database) == NOW + 10


# Running now


def test_run_now_sends_a_job_and_leaves_the_next_tick_alone(database: Database) -> None:
    add(database, "nightly", queue="mail", expires=9.0, overlap="skip")
    before = entries.get(database, "nightly")
    job = entries.run_now(database, "nightly", "mine", NOW + 3)
    assert job == Job(
        "mine", "t", "[[],{}]", "mail", expires=NOW + 12,
        options=json.dumps({"entry": "nightly", "tick": NOW + 3}, separators=(",", ":")),
    )  # fmt: skip
    assert row_of(database.path, "mine")["phase"] == "ready"
    record = entries.get(database, "nightly")
    assert (record.next_at, record.version) == (before.next_at, before.version)
    assert (record.last_job, record.last_fired, record.last_due) == ("mine", NOW + 3, NOW + 3)
    assert record.count == 1
    (row,) = entries.history(database, "nightly", 9)
    assert (row.key, row.job, row.note, row.state) == ("manual mine", "mine", "manual", "PENDING")
    assert beat(database, NOW + 10).jobs == []
    assert notes(database) == [(3, "manual"), (10, "overlap")]


def test_run_now_asks_neither_for_a_pause_nor_for_a_run(database: Database) -> None:
    add(database, "nightly", overlap="queue")
    entries.pause(database, "nightly", NOW)
    for id in ("a", "b"):
        entries.run_now(database, "nightly", id, NOW + 1)
    assert sent(database) == ["a", "b"]


def test_a_manual_run_has_a_tick_wait(database: Database) -> None:
    add(database, "nightly", overlap="queue")
    entries.run_now(database, "nightly", "a", NOW + 9)
    assert beat(database, NOW + 10).held == 1
    run_one(database, NOW + 11)
    assert len(release(database, NOW + 12).jobs) == 1


def test_an_id_runs_once(database: Database) -> None:
    add(database, "nightly")
    put(database, "taken")
    with pytest.raises(DuplicateJob):
        entries.run_now(database, "nightly", "taken", NOW)
    assert entries.get(database, "nightly").count == 0


def test_a_manual_run_has_its_event(database: Database) -> None:
    add(database, "nightly")
    entries.run_now(
        database, "nightly", "a", NOW,
        event_of=lambda job, now: (now, "task-sent", job.id, None, "{}"),
    )  # fmt: skip
    assert rows(database.path, "SELECT type, id FROM litequeue_events") == [("task-sent", "a")]


# What code defines


def test_what_code_defines_is_added_once(database: Database) -> None:
    done = reconcile(database, line("a"), line("b", overlap="skip"))
    assert done == Reconciled(added=["a", "b"])
    record = entries.get(database, "b")
    assert (record.entry, record.owner) == (line("b", overlap="skip"), MINE)
    assert (record.anchor, record.next_at) == (NOW, NOW + 10)


def test_a_restart_writes_nothing(database: Database) -> None:
    reconcile(database, line("a"), line("b"))
    beat(database, NOW + 10)
    before, version = written(database), database.data_version()
    other = Database(database.path)
    assert reconcile(other, line("a"), line("b"), now=NOW + 99) == Reconciled()
    other.close()
    assert written(database) == before
    assert database.data_version() == version


def test_an_anchor_survives_a_restart(database: Database) -> None:
    reconcile(database, line("a"))
    reconcile(database, line("a"), now=NOW + 7)
    assert entries.get(database, "a").next_at == NOW + 10


def test_what_differs_is_changed_and_keeps_its_moment(database: Database) -> None:
    reconcile(database, line("a"), line("b"))
    done = reconcile(database, line("a", queue="mail"), line("b"), now=NOW + 3)
    assert done == Reconciled(changed=["a"])
    record = entries.get(database, "a")
    assert record.entry.queue == "mail"
    assert (record.next_at, record.anchor, record.version) == (NOW + 10, NOW, 2)
    assert entries.get(database, "b").version == 1


def test_another_schedule_in_the_code_begins_anew(database: Database) -> None:
    reconcile(database, line("a"))
    reconcile(database, line("a", seconds=60), now=NOW + 3)
    record = entries.get(database, "a")
    assert (record.next_at, record.anchor) == (NOW + 63, NOW + 3)


def test_what_code_has_no_more_is_removed(database: Database) -> None:
    add(database, "peoples")
    reconcile(database, line("theirs"), owner=OTHERS)
    reconcile(database, line("a"), line("b"))
    beat(database, NOW + 10)
    assert reconcile(database, line("b")) == Reconciled(removed=["a"])
    assert names(database) == ["b", "peoples", "theirs"]
    assert rows(database.path, "SELECT count(*) FROM litequeue_tick") == [(3,)]
    assert reconcile(database) == Reconciled(removed=["b"])


def test_peoples_entry_stays_and_the_codes_is_refused(database: Database) -> None:
    add(database, "a", seconds=5)
    done = reconcile(database, line("a"), line("b"))
    assert done.added == ["b"]
    assert list(done.refused) == ["a"]
    assert "another name" in done.refused["a"]
    record = entries.get(database, "a")
    assert (record.owner, record.entry) == (None, line("a", seconds=5))
    assert reconcile(database) == Reconciled(removed=["b"])
    assert names(database) == ["a"]


def test_an_entry_goes_over_to_the_app_that_comes_last(database: Database) -> None:
    reconcile(database, line("a"), line("same"), owner=OTHERS)
    done = reconcile(database, line("a", queue="mail"), line("same"), now=NOW + 3)
    assert done == Reconciled(changed=["a", "same"], taken={"a": OTHERS, "same": OTHERS})
    assert entries.get(database, "a").owner == MINE
    assert entries.get(database, "same").next_at == NOW + 10
    assert reconcile(database, owner=OTHERS) == Reconciled()
    assert names(database) == ["a", "same"]


def test_an_app_without_a_name_owns_too(database: Database) -> None:
    reconcile(database, line("a"), owner="")
    assert entries.get(database, "a").owner == ""
    with pytest.raises(EntryOwned, match="defined by code; change it there, or pause it here"):
        entries.remove(database, "a")


def test_a_pause_survives_a_deploy(database: Database) -> None:
    reconcile(database, line("a"))
    entries.pause(database, "a", NOW + 1)
    reconcile(database, line("a", seconds=60), now=NOW + 3)
    assert entries.get(database, "a").paused == NOW + 1
    assert ticks.next_due(database) is None


def test_what_makes_no_sense_does_not_keep_the_others_out(database: Database) -> None:
    done = reconcile(database, line("a"), line("bad", schedule="nonsense"))
    assert done.added == ["a"]
    assert list(done.refused) == ["bad"]


def test_people_pause_what_code_defines_and_do_not_change_it(database: Database) -> None:
    reconcile(database, line("a"))
    for verb in (
        lambda: entries.change(database, "a", {"priority": 1}, NOW),
        lambda: entries.remove(database, "a"),
    ):
        with pytest.raises(EntryOwned, match="defined by the code of tasks:app; change it there"):
            verb()
    assert entries.pause(database, "a", NOW)
    assert entries.resume(database, "a", NOW)
    entries.run_now(database, "a", "x", NOW)
    assert entries.get(database, "a").owner == MINE


@pytest.mark.parametrize("what", ["added", "removed", "owned"])
def test_who_comes_between_is_taken_into_account(
    database: Database, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Somebody changes the entries between the look and the lock: it looks again."""
    reconcile(database, line("a"))
    other = Database(database.path)
    genuine = Database.write
    wanted = [line("a", priority=5), line("b")]

    def write(self: Database, **more: Any) -> Any:
        if self is database:
            monkeypatch.setattr(Database, "write", genuine)
            if what == "added":
                add(other, "b", seconds=3)
            elif what == "removed":
                reconcile(other)
            else:
                reconcile(other, *wanted, owner=OTHERS)
        return genuine(self, **more)

    monkeypatch.setattr(Database, "write", write)
    done = reconcile(database, *wanted)
    other.close()
    if what == "added":
        assert (done.changed, list(done.refused)) == (["a"], ["b"])
        assert entries.get(database, "b").entry == line("b", seconds=3)
    elif what == "removed":
        assert done.added == ["a", "b"]
    else:
        assert done.taken == {"a": OTHERS, "b": OTHERS}
    assert entries.get(database, "a").entry.priority == 5


def test_two_workers_that_start_together_define_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Database(database.path, create=True)
    genuine = Database.write

    def write(self: Database, **more: Any) -> Any:
        if self is database:
            monkeypatch.setattr(Database, "write", genuine)
            reconcile(other, line("a"))
        return genuine(self, **more)

    database.data_version()
    monkeypatch.setattr(Database, "write", write)
    assert reconcile(database, line("a"), now=NOW + 1) == Reconciled()
    other.close()
    assert entries.get(database, "a").anchor == NOW


# What the file itself refuses, and shows


@pytest.mark.parametrize(
    "change",
    [
        "name = ''", "name = printf('%256d', 1)", "task = ''", "queue = ''", "misfire = 'two'",
        "overlap = 'maybe'", "catch_up = 0", "catch_up = 1000001", "jitter = -1", "jitter = 86401",
        "grace = -1", "expires = 1e11", "priority = 1000000001", "starts = 5, ends = 5",
        "starts = 1e12", "ends = -1e12", "next_due = NULL", "next_key = NULL", "held_key = 'x'",
        "held_at = 1.0", "schedule = NULL", "version = 'x'", "next_at = 'x'",
    ],
)  # fmt: skip
def test_the_file_refuses_what_makes_no_entry(
    database: Database, foreign: sqlite3.Connection, change: str
) -> None:
    add(database, "nightly")
    with pytest.raises(sqlite3.IntegrityError):
        foreign.execute(f"UPDATE litequeue_entry SET {change}")


def test_a_tick_has_one_row(database: Database, foreign: sqlite3.Connection) -> None:
    add(database, "nightly")
    beat(database, NOW + 10)
    with pytest.raises(sqlite3.IntegrityError):
        foreign.execute(
            "INSERT INTO litequeue_tick SELECT entry, key, 2, at, due, fired, NULL, NULL"
            " FROM litequeue_tick"
        )


def test_the_view_shows_what_people_ask_for(database: Database) -> None:
    reconcile(database, line("a"))
    add(database, "b", now=NOW + 1)
    entries.pause(database, "b", NOW + 1)
    ((_, _, id),) = beat(database, NOW + 12).jobs
    assert rows(database.path, "SELECT * FROM litequeue_schedule ORDER BY name") == [
        ("a", "t", every(10), MINE, None, "2023-11-14 22:13:40", "2023-11-14 22:13:32", id,
         "PENDING", 1),
        ("b", "t", every(10), None, "2023-11-14 22:13:21", None, None, None, None, 0),
    ]  # fmt: skip
