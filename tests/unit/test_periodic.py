from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from litequeue import LiteQueue, Task, chord, group
from litequeue.entry import Entry
from litequeue.exceptions import ImproperlyConfigured, ScheduleError
from litequeue.facts import AppFacts
from litequeue.job import bound_to
from litequeue.periodic import MOST_ARGUMENTS, entries_of, owner_of
from litequeue.schedules import clocked, crontab, interval
from tests.unit.bench import Bench


def entry(bench: Bench, *given: Any, **options: Any) -> Entry:
    """Return the entry of one more periodic call of "t"."""
    options.setdefault("name", "e")
    bench.app.add_periodic_task(*given, **options)
    return {each.name: each for each in entries_of(bench.app)}[options["name"]]


@pytest.fixture
def task(bench: Bench) -> Task[..., Any]:
    return bench.task(lambda x=0, y=0: None)


class TestFromCode:
    def test_a_call_becomes_a_template(self, bench: Bench, task: Task[..., Any]) -> None:
        made = entry(bench, crontab("0 3 * * *", tz="Europe/Berlin"), task, (1,), {"y": 2})
        assert made.schedule == '{"crontab":"0 3 * * *","tz":"Europe/Berlin"}'
        assert (made.task, made.queue, made.priority) == ("t", "default", 0)
        assert json.loads(made.body) == [[1], {"y": 2}]
        assert json.loads(made.options or "") == {"entry": "e"}

    @pytest.mark.parametrize(
        ("given", "text"),
        [
            (30, '{"interval":30.0}'),
            (timedelta(minutes=1), '{"interval":60.0}'),
            ("*/5 * * * *", '{"crontab":"*/5 * * * *","tz":"UTC"}'),
            (interval(5, aligned=True), '{"interval":5.0,"aligned":true}'),
        ],
    )
    def test_what_a_schedule_may_be(
        self, bench: Bench, task: Task[..., Any], given: Any, text: str
    ) -> None:
        assert entry(bench, given, task).schedule == text

    def test_the_zone_is_that_of_the_settings_when_a_worker_starts(
        self, bench: Bench, task: Task[..., Any]
    ) -> None:
        bench.app.add_periodic_task(crontab(minute=0), task, name="e")
        bench.app.conf.timezone = "Asia/Tokyo"
        (made,) = entries_of(bench.app)
        assert '"tz":"Asia/Tokyo"' in made.schedule
        bench.app.conf.timezone = UTC
        assert '"tz":"UTC"' in entries_of(bench.app)[0].schedule

    def test_a_zone_without_a_name_is_refused(self, bench: Bench, task: Task[..., Any]) -> None:
        bench.app.add_periodic_task(crontab(minute=0), task, name="e")
        bench.app.conf.timezone = timezone(timedelta(hours=5, minutes=30))
        with pytest.raises(ImproperlyConfigured, match=r"the entry 'e'.*zone with a name"):
            entries_of(bench.app)

    def test_options_of_a_call(self, bench: Bench, task: Task[..., Any]) -> None:
        made = entry(
            bench, 30, task, queue="mail", priority=7, expires=timedelta(minutes=1),
            headers={"a": 1}, time_limit=5,
        )  # fmt: skip
        assert (made.queue, made.priority, made.expires) == ("mail", 7, 60.0)
        extras = json.loads(made.options or "")
        assert extras == {"entry": "e", "headers": {"a": 1}, "timelimit": [5, None]}

    def test_routes_and_the_task_count(self, bench: Bench, task: Task[..., Any]) -> None:
        bench.app.conf.task_routes = {"t": {"queue": "route"}}
        task.priority, task.expires = 3, 90
        made = entry(bench, 30, task)
        assert (made.queue, made.priority, made.expires) == ("route", 3, 90.0)

    def test_policies(self, bench: Bench, task: Task[..., Any]) -> None:
        made = entry(
            bench, 30, task, misfire="all", grace=timedelta(hours=1), catch_up=7, overlap="skip",
            jitter=timedelta(seconds=5), start=datetime(2026, 1, 1, tzinfo=UTC), end=2e9,
        )  # fmt: skip
        assert (made.misfire, made.grace, made.catch_up, made.overlap) == ("all", 3600.0, 7, "skip")
        assert (made.jitter, made.start, made.end) == (5.0, 1767225600.0, 2e9)

    def test_the_deadline_of_the_settings_is_the_grace_of_crontabs(
        self, bench: Bench, task: Task[..., Any]
    ) -> None:
        bench.app.conf.beat_cron_starting_deadline = 120
        assert entry(bench, crontab(), task, name="a").grace == 120.0
        assert entry(bench, crontab(), task, name="b", grace=5).grace == 5.0
        assert entry(bench, 30, task, name="c").grace is None

    def test_a_name_of_its_own_is_the_call(self, bench: Bench, task: Task[..., Any]) -> None:
        assert bench.app.add_periodic_task(30, task, (1,), {"y": "a"}) == "t(1, y='a')"

    def test_the_last_of_a_name_counts(self, bench: Bench, task: Task[..., Any]) -> None:
        bench.app.conf.beat_schedule = {"e": {"task": "t", "schedule": 10}}
        bench.app.add_periodic_task(20, task, name="e")
        assert entry(bench, 30, task).schedule == '{"interval":30.0}'
        assert len(entries_of(bench.app)) == 1

    def test_a_decorator(self, bench: Bench) -> None:
        app = bench.app

        @app.periodic(10, args=(1,), misfire="skip")
        @app.periodic(20, args=(2,), name="slow")
        @app.task(name="t")
        def add(x: int) -> int:
            return x + 1

        assert add(1) == 2
        assert {each.name: json.loads(each.body)[0] for each in entries_of(app)} == {
            "t": [1],
            "slow": [2],
        }

    def test_a_mapping_is_a_signature(self, bench: Bench, task: Task[..., Any]) -> None:
        call = {"task": "t", "args": (2,), "kwargs": {}, "options": {"queue": "mail"}}
        made = entry(bench, 30, call, (1,))
        assert (json.loads(made.body), made.queue) == ([[1, 2], {}], "mail")

    def test_a_task_of_another_app_is_known_by_its_name(self, bench: Bench) -> None:
        assert entry(bench, 30, "elsewhere.task", (1, 2, 3)).task == "elsewhere.task"


class TestBeatSchedule:
    def test_celerys_form(self, bench: Bench, task: Task[..., Any]) -> None:
        bench.app.conf.beat_schedule = {
            "add": {
                "task": "t",
                "schedule": timedelta(seconds=30),
                "args": (1, 2),
                "options": {"queue": "mail", "expires": 15.0},
                "relative": True,
                "overlap": "queue",
            },
        }
        (made,) = entries_of(bench.app)
        assert (made.name, made.schedule) == ("add", '{"interval":30.0,"aligned":true}')
        assert (made.queue, made.expires, made.overlap) == ("mail", 15.0, "queue")

    def test_it_may_be_changed_in_place(self, bench: Bench, task: Task[..., Any]) -> None:
        bench.app.conf.beat_schedule["a"] = {"task": "t", "schedule": 5}
        assert [each.name for each in entries_of(bench.app)] == ["a"]
        assert LiteQueue("other.sqlite").conf.beat_schedule == {}

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ({"task": "t"}, "schedule"),
            ({"schedule": 30}, "sends a signature, a task or the name of one"),
            (
                {"task": "t", "schedule": 30, "shcedule": 1},
                r"it has no 'shcedule' \(did you mean 'schedule'\?\)",
            ),
            (
                {"task": "t", "schedule": 30, "queue": "mail"},
                "it has no 'queue'; what is for the call stands in options, {'queue': …}",
            ),
            ({"task": "t", "schedule": crontab, "args": ()}, "schedule"),
            ({"task": "t", "schedule": 30, "args": "text"}, "task args must be a list or tuple"),
            ({"task": "t", "schedule": 30, "options": {"eta": 5}}, "takes no eta"),
            ({"task": "t", "schedule": 30, "options": {"colour": 5}}, "no option 'colour'"),
            ({"task": "t", "schedule": 30, "args": (1, 2, 3)}, "too many positional arguments"),
            ({"task": "t", "schedule": 30, "misfire": "never"}, "misfire is skip, one or all"),
            ({"task": "t", "schedule": 30, "grace": "1h"}, "grace is a number of seconds"),
            ({"task": "t", "schedule": 30, "start": 5, "end": 4}, "start is at or after end"),
            ({"task": "t", "schedule": "61 * * * *"}, "minute"),
            ("0 3 * * *", "a mapping with task and schedule"),
            ({"task": "t", "schedule": 30, "args": ["x" * MOST_ARGUMENTS]}, "at most 131,072"),
            ({"task": "t", "schedule": clocked("2026-01-01T00:00"), "args": [object()]}, "object"),
        ],
    )
    def test_what_makes_no_sense_is_refused_by_name(
        self, bench: Bench, task: Task[..., Any], line: Any, why: str
    ) -> None:
        bench.app.conf.beat_schedule = {"good": {"task": "t", "schedule": 1}, "nightly": line}
        with pytest.raises(ImproperlyConfigured, match=rf"^the entry 'nightly'.*{why}") as caught:
            entries_of(bench.app)
        assert str(caught.value).count("entry 'nightly'") == 1

    def test_what_is_no_mapping_is_refused(self, bench: Bench) -> None:
        bench.app.conf.beat_schedule = [1]
        with pytest.raises(ImproperlyConfigured, match="beat_schedule is a mapping"):
            entries_of(bench.app)


class TestAtOnce:
    """What can be told without the app's settings is refused where it is said."""

    @pytest.mark.parametrize(
        ("given", "options", "error"),
        [
            ((0, "t"), {}, ValueError),
            (("* * * *", "t"), {}, ValueError),
            ((30, 5), {}, TypeError),
            ((30, "t", 5), {}, TypeError),
            ((30, "t"), {"countdown": 5}, ImproperlyConfigured),
            ((30, "t"), {"task_id": "x"}, ImproperlyConfigured),
            ((30, "t"), {"colour": 5}, TypeError),
            ((30, "t"), {"link": 5}, TypeError),
            ((30, "t"), {"mifsire": "one"}, TypeError),
            ((30, "t"), {"overlap": "never"}, ScheduleError),
            ((30, "t"), {"grace": "10m"}, ImproperlyConfigured),
            ((30, "t"), {"grace": -1}, ScheduleError),
            ((30, "t"), {"start": 6, "end": 5}, ScheduleError),
            ((30, "t"), {"name": 5}, ScheduleError),
            ((30, "t"), {"name": "x" * 300}, ScheduleError),
            ((30, "t"), {"name": ""}, ScheduleError),
            ((30, "t"), {"expires": datetime(2026, 1, 1, tzinfo=UTC)}, ImproperlyConfigured),
            ((30, "t"), {"stamped_headers": ["a"]}, TypeError),
        ],
    )
    def test_refused(
        self, bench: Bench, given: tuple[Any, ...], options: dict[str, Any], error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            bench.app.add_periodic_task(*given, **options)
        assert bench.app.periodics == []

    def test_the_decorator_stands_above_the_task(self, bench: Bench) -> None:
        with pytest.raises(TypeError, match=r"stands above @app\.task"):
            bench.app.periodic(30)(lambda: None)  # type: ignore[type-var]  # on purpose

    def test_the_decorator_takes_a_schedule(self, bench: Bench, task: Task[..., Any]) -> None:
        with pytest.raises(TypeError, match=r"as in @app\.periodic\(60\)"):
            bench.app.periodic(task)

    def test_an_option_that_is_nearly_right(self, bench: Bench) -> None:
        with pytest.raises(TypeError, match=r"no option 'mifsire' \(did you mean 'misfire'\?\)"):
            bench.app.add_periodic_task(30, "t", mifsire="one")  # type: ignore[call-arg]  # on purpose


class TestWhatIsSaid:
    """What a worker does all the same, and says."""

    def test_a_task_that_the_app_does_not_have(
        self, bench: Bench, task: Task[..., Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.app.register_task(type("Add", (Task,), {"name": "base.add", "run": lambda self: 1}))
        entry(bench, 30, "base.ad")
        (record,) = caplog.records
        assert "sends base.ad, which this app does not have (did you mean 'base.add'?)" in (
            record.getMessage()
        )

    def test_a_call_that_was_named_by_itself_twice(
        self, bench: Bench, task: Task[..., Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.app.add_periodic_task(30, task, (1,))
        bench.app.add_periodic_task(30, task, (2,))
        assert caplog.records == []
        bench.app.add_periodic_task(60, task, (1,))
        assert "t(1) replaces another one of this call" in caplog.text

    def test_a_receiver_that_failed_keeps_the_entries_from_being_taken_for_all(
        self, bench: Bench, task: Task[..., Any]
    ) -> None:
        app = bench.app

        @app.on_after_finalize.connect
        def set_up(sender: LiteQueue, **_: Any) -> None:
            sender.add_periodic_task(30, task, name="a")
            sender.add_periodic_task("30 99 * * *", task, name="b")

        app._registry._announced = False  # it has been finalized before
        with pytest.raises(ImproperlyConfigured, match=r"the receiver .*set_up raised Sched.*hour"):
            entries_of(app)


class TestSignatures:
    """A signature binds what beat sends to its entry: beat has no key."""

    def test_the_entry_stands_in_for_the_id(self) -> None:
        options = '{"entry":"nightly"}'
        assert bound_to("t", "1", options) == bound_to("t", "2", options)
        assert bound_to("t", "1", options) != bound_to("t", "1", '{"entry":"other"}')
        assert bound_to("t", "1", options) != bound_to("u", "1", options)

    @pytest.mark.parametrize("options", [None, "", "{", '{"entry":5}', '["entry"]', '{"a":1}'])
    def test_everything_else_is_bound_to_its_id(self, options: str | None) -> None:
        assert bound_to("t", "1", options) == bound_to("t", "1")

    def test_no_id_speaks_for_an_entry(self) -> None:
        assert bound_to("t", "entry:1:t:nightly") != bound_to("t", "x", '{"entry":"nightly"}')

    def test_a_signed_template_is_read_for_every_tick(self, bench: Bench) -> None:
        bench.app.conf.security_key = ("0123456789abcdef0123456789abcdef",)
        seen: list[int] = []
        bench.task(seen.append)
        bench.app.conf.accept_content = ("json", "signed")
        made = entry(bench, 30, "t", (5,), serializer="signed")
        for id in ("one", "two"):
            outcome = bench.execute(
                body=made.body, id=id, lease_options=json.loads(made.options or "")
            )
            assert outcome.state == "SUCCESS"
        assert seen == [5, 5]
        refused = bench.execute(body=made.body, id="one", lease_options={"entry": "other"})
        assert refused.state == "FAILURE"


class TestTheRequest:
    def test_a_task_sees_its_entry_and_its_tick(self, bench: Bench) -> None:
        bench.task(lambda: None)
        with bench.running(lease_options={"entry": "nightly", "tick": 0.5}) as request:
            assert request.entry == "nightly"
            assert request.tick == datetime(1970, 1, 1, 0, 0, 0, 500_000, UTC)
        with bench.running() as request:
            assert (request.entry, request.tick) == (None, None)


def test_who_owns_the_entries_of_code() -> None:
    assert owner_of(AppFacts(name="shop:app", root="/srv", tasks=[])) == "shop:app"
    assert owner_of(AppFacts(name=None, root="/srv", tasks=[])) == "(/srv)"


class TestWorkflows:
    """An entry of a workflow sends a built-in task, which the workflow then replaces."""

    def test_it_is_an_argument(self, bench: Bench, task: Task[..., Any]) -> None:
        sig = task.s(1) | task.s(2)
        made = entry(bench, 30, sig, queue="mail", overlap="skip")
        assert (made.task, made.queue, made.overlap) == ("litequeue.workflow", "mail", "skip")
        assert json.loads(made.body)[1] == {
            "sig": {**json.loads(json.dumps(sig)), "options": {"queue": "mail"}}
        }

    def test_its_name_is_the_workflow(self, bench: Bench, task: Task[..., Any]) -> None:
        bench.app.add_periodic_task(30, task.s(1) | task.s(2))
        assert [each.name for each in entries_of(bench.app)] == ["t(1) | t(2)"]

    def test_in_the_setting(self, bench: Bench, task: Task[..., Any]) -> None:
        sig = json.loads(json.dumps(task.s(1) | task.s(2)))
        bench.app.conf.beat_schedule = {"e": {"task": sig, "schedule": 30}}
        (made,) = entries_of(bench.app)
        assert json.loads(made.body)[1]["sig"] == sig

    @pytest.mark.parametrize("where", ["signature", "entry"])
    def test_links_make_one_of_a_call(self, bench: Bench, task: Task[..., Any], where: str) -> None:
        sig, links = task.s(1), {"link": task.s(2), "link_error": [task.s(3)]}
        if where == "signature":
            sig.link(links["link"])
            sig.link_error(*links["link_error"])
        made = entry(bench, 30, sig, **({} if where == "signature" else links))
        told = json.loads(made.body)[1]["sig"]["options"]
        assert made.task == "litequeue.workflow"
        assert [told[name][0]["args"] for name in ("link", "link_error")] == [[2], [3]]

    def test_a_frozen_one_is_refused(self, bench: Bench, task: Task[..., Any]) -> None:
        for sig in (
            task.s(1) | task.s(2),
            group(task.s(1), task.s(2)),
            group(task.s(1)) | task.s(2),
            chord([task.s(1), task.s(3)], task.s(2)),
        ):
            sig.freeze()
            with pytest.raises(
                ImproperlyConfigured, match="no task_id, and its workflow was frozen"
            ):
                bench.app.add_periodic_task(30, sig, name="e")
