"""`app.entries`: what people see of the lines of beat, and change, on a real file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from litequeue import (
    EntryExists,
    EntryNotFound,
    EntryOwned,
    ImproperlyConfigured,
    LiteQueue,
    ScheduleError,
    Task,
)
from litequeue.periodic import entries_of
from litequeue.schedules import clocked, crontab
from litequeue.store import entries as stored
from tests.conftest import FakeClock

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[LiteQueue]:
    app = LiteQueue(tmp_path / "jobs.sqlite", clock=FakeClock(NOW.timestamp()))

    @app.task(name="t")
    def t(x: int = 0, y: int = 0) -> int:
        return x + y

    yield app
    app.close()


@pytest.fixture
def task(app: LiteQueue) -> Task[..., Any]:
    return app.tasks["t"]


class TestAdding:
    def test_what_is_added_can_be_seen(self, app: LiteQueue, task: Task[..., Any]) -> None:
        made = app.entries.add(
            "nightly", crontab("0 3 * * *", tz="Europe/Berlin"), task, (1,), {"y": 2}, queue="mail"
        )
        assert made == app.entries.get("nightly")
        assert (made.name, made.task, made.args, made.kwargs) == ("nightly", "t", [1], {"y": 2})
        assert (made.owner, made.paused, made.count, made.drift) == (None, None, 0, None)
        assert (made.last_run, made.last_job, made.last_state) == (None, None, None)
        assert made.next_run == datetime(2026, 3, 2, 2, tzinfo=UTC)
        assert made.next_runs(2) == [made.next_run, datetime(2026, 3, 3, 2, tzinfo=UTC)]
        assert made.record.entry.queue == "mail"
        assert [each.name for each in app.entries] == ["nightly"]

    def test_a_name_is_taken_once(self, app: LiteQueue, task: Task[..., Any]) -> None:
        app.entries.add("e", 5, task)
        with pytest.raises(EntryExists, match="entry 'e' exists"):
            app.entries.add("e", 6, task)
        assert str(app.entries.get("e").schedule) == "every 5 s"

    def test_one_that_begins_paused(self, app: LiteQueue, task: Task[..., Any]) -> None:
        made = app.entries.add("e", 5, task, paused=True)
        assert (made.paused, made.next_run) == (NOW, None)

    @pytest.mark.parametrize(
        ("given", "options", "error"),
        [
            (("never", "t"), {}, ScheduleError),
            ((5, "t", (1, 2, 3)), {}, TypeError),
            ((5, "t"), {"overlap": "sometimes"}, ScheduleError),
            ((5, "t"), {"eta": 5}, ImproperlyConfigured),
        ],
    )
    def test_what_makes_no_sense_changes_nothing(
        self, app: LiteQueue, given: Any, options: dict[str, Any], error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            app.entries.add("e", *given, **options)
        assert app.entries.list() == []


class TestEditing:
    def test_what_is_not_given_stays(self, app: LiteQueue, task: Task[..., Any]) -> None:
        before = app.entries.add("e", 60, task, (1,), {"y": 2}, priority=3, misfire="all")
        after = app.entries.edit("e", kwargs={"y": 5}, jitter=timedelta(seconds=3))
        assert (after.args, after.kwargs) == ([1], {"y": 5})
        assert (after.record.entry.priority, after.record.entry.misfire) == (3, "all")
        assert after.record.entry.jitter == 3.0
        assert after.record.next_at == before.record.next_at

    def test_another_schedule_begins_anew(self, app: LiteQueue, task: Task[..., Any]) -> None:
        app.entries.add("e", 60, task)
        app.clock.sleep(100)
        after = app.entries.edit("e", schedule=crontab(minute=0), queue="mail", expires=5)
        assert after.next_run == datetime(2026, 3, 1, 13, tzinfo=UTC)
        assert (after.record.entry.queue, after.record.entry.expires) == ("mail", 5.0)

    def test_the_zone_stays_unless_the_new_schedule_names_one(
        self, app: LiteQueue, task: Task[..., Any]
    ) -> None:
        app.entries.add("e", crontab("0 3 * * *", tz="Asia/Tokyo"), task)
        assert str(app.entries.edit("e", schedule="30 3 * * *").schedule).endswith("Asia/Tokyo")
        assert str(app.entries.edit("e", schedule=crontab(tz="UTC")).schedule).endswith("UTC")

    def test_another_task(self, app: LiteQueue, task: Task[..., Any]) -> None:
        app.entries.add("e", 60, task, (1,))
        assert app.entries.edit("e", task="elsewhere").task == "elsewhere"
        assert app.entries.get("e").args == [1]

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"colour": 1}, TypeError),
            ({"name": "other"}, TypeError),
            ({"args": (1, 2, 3)}, TypeError),
            ({"schedule": "never"}, ScheduleError),
            ({"grace": -1}, ScheduleError),
        ],
    )
    def test_what_makes_no_sense_changes_nothing(
        self, app: LiteQueue, task: Task[..., Any], changes: dict[str, Any], error: type[Exception]
    ) -> None:
        before = app.entries.add("e", 60, task)
        with pytest.raises(error):
            app.entries.edit("e", **changes)
        assert app.entries.get("e") == before

    def test_a_signed_template_is_signed_anew(self, app: LiteQueue, task: Task[..., Any]) -> None:
        app.conf.update(
            security_key=("k" * 32,), task_serializer="signed", accept_content=["json", "signed"]
        )
        app.entries.add("e", 60, task, (1,))
        assert app.entries.edit("e", args=(2,)).args == [2]
        assert app.entries.get("e").record.entry.body.startswith("!signed")


class TestTheRest:
    def test_pause_and_resume(self, app: LiteQueue, task: Task[..., Any]) -> None:
        app.entries.add("e", 60, task)
        assert [app.entries.pause("e"), app.entries.pause("e")] == [True, False]
        assert app.entries.get("e").next_run is None
        app.clock.sleep(90)
        assert [app.entries.resume("e"), app.entries.resume("e")] == [True, False]
        assert app.entries.get("e").next_run == NOW + timedelta(seconds=120)

    @pytest.mark.parametrize("wanted", [True, False])
    def test_run_now_tells_of_its_job(
        self, app: LiteQueue, task: Task[..., Any], wanted: bool
    ) -> None:
        app.conf.task_send_sent_event = wanted
        app.entries.add("e", 60, task)
        app.entries.add("quiet", 60, app.task(name="quiet", send_events=False)(print))
        job = app.entries.run_now("e")
        app.entries.run_now("quiet")
        with app.store.database.read() as connection:
            told = connection.execute("SELECT type, job FROM litequeue_event").fetchall()
        assert told == ([("task-sent", job.id)] if wanted else [])

    def test_run_now(self, app: LiteQueue, task: Task[..., Any]) -> None:
        app.entries.add("e", 60, task, (1,), paused=True)
        job = app.entries.run_now("e")
        found = app.entries.get("e")
        assert (found.count, found.last_state, found.last_run) == (1, "PENDING", NOW)
        assert found.last_job == job
        assert job.args == [1]
        (row,) = app.entries.history("e")
        assert (row.note, row.job, row.state) == ("manual", job.id, "PENDING")
        assert row.at == row.due == row.fired == NOW

    def test_what_is_over_is_not_added(self, app: LiteQueue, task: Task[..., Any]) -> None:
        with pytest.raises(ScheduleError, match="would never be sent"):
            app.entries.add("e", clocked("2020-01-01T00:00Z"), task)
        assert "e" not in app.entries

    def test_a_prompt_shows_a_line(self, app: LiteQueue, task: Task[..., Any]) -> None:
        made = app.entries.add("e", crontab("0 3 * * *", tz="UTC"), task)
        assert repr(made) == "<EntryInfo e: t, next 2026-03-02 03:00:00 UTC>"
        app.entries.pause("e")
        assert repr(app.entries.get("e")) == "<EntryInfo e: t, paused>"
        assert "e" in app.entries

    def test_remove(self, app: LiteQueue, task: Task[..., Any]) -> None:
        app.entries.add("e", 60, task)
        job = app.entries.run_now("e")
        app.entries.remove("e")
        assert app.entries.list() == []
        assert job.state == "PENDING"

    def test_what_code_defines_is_not_changed_here(
        self, app: LiteQueue, task: Task[..., Any]
    ) -> None:
        app.add_periodic_task(60, task, name="e")
        database = app.store.database
        stored.reconcile(database, "shop:app", entries_of(app), NOW.timestamp())
        assert app.entries.get("e").owner == "shop:app"
        for change in (lambda: app.entries.edit("e", args=(1,)), lambda: app.entries.remove("e")):
            with pytest.raises(EntryOwned, match="defined by the code of shop:app"):
                change()
        assert app.entries.pause("e")
        assert app.entries.resume("e")
        assert app.entries.run_now("e").state == "PENDING"

    def test_of_an_app_that_is_gone_it_can_be_removed(
        self, app: LiteQueue, task: Task[..., Any]
    ) -> None:
        app.add_periodic_task(60, task, name="e")
        stored.reconcile(app.store.database, "gone:app", entries_of(app), NOW.timestamp())
        app.entries.remove("e", force=True)
        assert app.entries.list() == []

    def test_a_name_that_is_not_there(self, app: LiteQueue) -> None:
        entries = app.entries
        for ask in (
            lambda: entries.get("x"),
            lambda: entries.edit("x", args=()),
            lambda: entries.pause("x"),
            lambda: entries.resume("x"),
            lambda: entries.run_now("x"),
            lambda: entries.remove("x"),
            lambda: entries.history("x"),
        ):
            with pytest.raises(EntryNotFound, match="no entry 'x'"):
                ask()
