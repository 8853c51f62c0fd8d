from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from litequeue import LiteQueue, signals
from litequeue.exceptions import DuplicateJob, ImproperlyConfigured
from litequeue.job import Job
from tests.conftest import FakeClock
from tests.unit.bench import NOW, Bench, Heard, calling


def extras(job: Job) -> dict[str, Any]:
    """Return what few jobs have."""
    found: dict[str, Any] = json.loads(job.options or "{}")
    return found


def sent(bench: Bench, **options: Any) -> Job:
    """Return the job of one more call of "t"."""
    bench.app.tasks["t"].apply_async(**options)
    return bench.outbox.jobs[-1]


class TestRoutes:
    """Precedence is Celery's: the call, the task, the route, the default."""

    def test_the_call_the_task_the_route_the_default(self, bench: Bench) -> None:
        conf = bench.app.conf
        bench.task(lambda: None)
        assert sent(bench).queue == "default"
        conf.task_routes = {"t": {"queue": "route", "priority": 1}}
        assert (sent(bench).queue, sent(bench).priority) == ("route", 1)
        task = bench.app.tasks["t"]
        task.queue, task.priority = "task", 2
        assert (sent(bench).queue, sent(bench).priority) == ("task", 2)
        job = sent(bench, queue="call", priority=3)
        assert (job.queue, job.priority) == ("call", 3)

    def test_a_priority_of_zero_is_one(self, bench: Bench) -> None:
        bench.app.conf.task_default_priority = 7
        bench.app.conf.task_routes = {"t": {"priority": 5}}
        bench.task(lambda: None)
        assert [sent(bench).priority, sent(bench, priority=0).priority] == [5, 0]
        bench.app.tasks["t"].priority = 0
        assert sent(bench).priority == 0
        bench.app.conf.task_routes = None
        bench.app.tasks["t"].priority = None
        assert sent(bench).priority == 7

    @pytest.mark.parametrize(
        ("routes", "queue"),
        [
            ({"t": "mail"}, "mail"),
            ({"t": {"queue": "mail"}}, "mail"),
            ({"*": "glob"}, "glob"),
            ([("other.*", "no"), ("t*", "glob")], "glob"),
            ({re.compile("t|u"): "regex"}, "regex"),
            ({"*": "glob", "t": "name"}, "name"),
            ({"other": "no"}, "default"),
            (lambda name, *_, task=None, **__: {"queue": f"f-{task.name}"}, "f-t"),
            ([lambda *_, **__: None, {"t": "second"}], "second"),
        ],
    )  # fmt: skip
    def test_every_form_of_routes(self, bench: Bench, routes: Any, queue: str) -> None:
        bench.task(lambda: None)
        bench.app.conf.task_routes = routes
        assert sent(bench).queue == queue

    def test_a_function_sees_the_call(self, bench: Bench) -> None:
        seen: list[Any] = []

        def route(name: str, args: Any, kwargs: Any, options: Any, **named: Any) -> None:
            seen.append((name, list(args), dict(kwargs), dict(options), named["task"].name))

        bench.app.conf.task_routes = route
        bench.task(lambda x, y: None).apply_async((1,), {"y": 2}, priority=3)
        assert seen == [("t", [1], {"y": 2}, {"priority": 3}, "t")]

    def test_a_queue_that_a_route_names_is_held_to_the_rules(self, bench: Bench) -> None:
        bench.app.conf.task_routes = lambda *_, **__: {"queue": "two\nlines"}
        bench.task(lambda: None)
        with pytest.raises(ImproperlyConfigured, match="queue"):
            sent(bench)
        bench.app.conf.task_routes = lambda *_, **__: {"priority": 1.5}
        with pytest.raises(ImproperlyConfigured, match="priority"):
            sent(bench)

    def test_a_route_may_say_how_it_travels(self, bench: Bench) -> None:
        bench.app.conf["accept_content"] = ["json", "yaml"]
        bench.app.conf.task_routes = {"t": {"serializer": "yaml", "ignore_result": True}}
        bench.task(lambda: None)
        job = sent(bench)
        assert job.body.startswith("!yaml")
        assert extras(job) == {"ignore_result": True}
        assert sent(bench, serializer="json").body == "[[],{}]"


class TestExpiry:
    @pytest.mark.parametrize(
        ("expires", "moment"),
        [(60, NOW + 60), (0.5, NOW + 0.5), (datetime.fromtimestamp(NOW + 9, UTC), NOW + 9)],
    )
    def test_a_task_or_a_route_may_expire(self, bench: Bench, expires: Any, moment: float) -> None:
        bench.task(lambda: None)
        bench.app.conf.task_routes = {"t": {"expires": expires}}
        assert sent(bench).expires == moment
        bench.app.conf.task_routes = None
        bench.app.tasks["t"].expires = expires
        assert sent(bench).expires == moment

    def test_the_call_wins_over_the_task_and_the_task_over_the_route(self, bench: Bench) -> None:
        bench.app.conf.task_routes = {"t": {"expires": 1}}
        bench.task(lambda: None, expires=2)
        assert sent(bench).expires == NOW + 2
        assert sent(bench, expires=3).expires == NOW + 3

    def test_each_call_counts_anew(self, bench: Bench) -> None:
        task = bench.task(lambda: None, expires=60)
        task.delay()
        bench.clock.advance(100)
        task.delay()
        assert [job.expires for job in bench.outbox.jobs] == [NOW + 60, NOW + 160]


class TestWhatTravels:
    def test_most_jobs_need_nothing_more(self, bench: Bench) -> None:
        bench.task(lambda: None).delay()
        assert bench.outbox.job.options is None

    def test_headers_shadow_and_ignore_result(self, bench: Bench) -> None:
        bench.task(lambda: None)
        job = sent(bench, headers={"trace": 5}, shadow="shown", ignore_result=False)
        assert extras(job) == {"headers": {"trace": 5}, "shadow": "shown", "ignore_result": False}

    @pytest.mark.parametrize(
        ("options", "stored"),
        [
            ({"time_limit": 9}, [9, None]),
            ({"soft_time_limit": 0.5}, [None, 0.5]),
            ({"time_limit": 9, "soft_time_limit": 8}, [9, 8]),
            ({"time_limit": None}, None),
        ],
    )
    def test_limits_of_a_call_are_stored_hard_first(
        self, bench: Bench, options: dict[str, Any], stored: Any
    ) -> None:
        bench.task(lambda: None, time_limit=20, soft_time_limit=10)
        assert extras(sent(bench, **options)).get("timelimit") == stored

    def test_limits_of_a_task_are_its_workers_affair(self, bench: Bench) -> None:
        bench.task(lambda: None, time_limit=20, soft_time_limit=10)
        assert sent(bench).options is None

    def test_limits_that_make_no_sense_are_refused(self, bench: Bench) -> None:
        bench.task(lambda: None, soft_time_limit=10)
        with pytest.raises(ImproperlyConfigured, match="time_limit"):
            sent(bench, time_limit=0)
        with pytest.raises(ValueError, match="soft_time_limit must be less than or equal to"):
            sent(bench, time_limit=5, soft_time_limit=6)
        assert bench.outbox.jobs == []
        assert extras(sent(bench, time_limit=5)) == {"timelimit": [5, None]}, (
            "a call may shorten the hard limit alone, as in Celery"
        )

    def test_stamps_are_stored_by_their_names(self, bench: Bench) -> None:
        bench.task(lambda: None)
        job = sent(bench, stamped_headers=["tenant", "tags"], tenant=7, tags=("a", "b"))
        assert extras(job) == {"stamps": {"tenant": 7, "tags": ["a", "b"]}}
        assert sent(bench, stamped_headers=[]).options is None

    def test_an_option_is_no_stamp_unless_it_is_named(self, bench: Bench) -> None:
        bench.task(lambda: None)
        with pytest.raises(TypeError, match=r"apply_async\(\) has no option 'tenant'"):
            sent(bench, tenant="ann")
        with pytest.raises(TypeError, match="stamped_headers names 'tenant'"):
            sent(bench, stamped_headers=["tenant"])
        with pytest.raises(TypeError):
            sent(bench, stamped_headers=["tenant"], tenant=object())
        assert bench.outbox.jobs == []

    def test_a_task_known_by_its_name_takes_both(self, bench: Bench) -> None:
        bench.app.send_task("far", stamped_headers=["tenant"], tenant="ann", time_limit=9)
        assert extras(bench.outbox.job) == {"timelimit": [9, None], "stamps": {"tenant": "ann"}}

    def test_children_are_not_stamped(self, bench: Bench) -> None:
        bench.task(lambda: None)
        with bench.running(lease_options={"stamps": {"tenant": "ann"}, "timelimit": [9, 8]}):
            assert extras(sent(bench)) == {"root": "the-id"}, "nor are they in Celery"

    def test_they_are_what_the_request_shows(self, bench: Bench) -> None:
        bench.task(lambda: None)
        job = sent(bench, headers={"trace": 5}, shadow="shown", ignore_result=True)
        with bench.running(lease_options=extras(job)) as request:
            assert (request.headers, request.shadow, request.ignore_result) == (
                {"trace": 5},
                "shown",
                True,
            )
            assert (request.trace, request.get("trace"), request.get("nosuch", 7)) == (5, 5, 7)

    def test_what_a_header_cannot_be_is_refused(self, bench: Bench) -> None:
        bench.task(lambda: None)
        with pytest.raises(TypeError):
            sent(bench, headers={"x": object()})
        assert bench.outbox.jobs == []


class TestFamily:
    def test_a_job_of_a_job_knows_its_parent_and_its_root(self, bench: Bench) -> None:
        bench.task(lambda: None)
        with bench.running():
            job = sent(bench)
        assert (job.parent, extras(job)) == ("the-id", {"root": "the-id"})
        with bench.running(id="child", lease_options=extras(job)):
            grandchild = sent(bench)
        assert (grandchild.parent, extras(grandchild)["root"]) == ("child", "the-id")

    def test_outside_a_job_there_is_no_parent(self, bench: Bench) -> None:
        bench.task(lambda: None)
        assert sent(bench).parent is None

    def test_a_call_may_be_left_out(self, bench: Bench) -> None:
        bench.task(lambda: None)
        with bench.running():
            job = sent(bench, add_to_parent=False)
        assert (job.parent, job.options) == (None, None)

    def test_a_task_without_a_trail_has_no_children(self, bench: Bench) -> None:
        bench.app.task(name="child")(lambda: None)
        child = bench.app.tasks["child"]
        bench.run(calling(child.delay), trail=False)
        bench.run(calling(child.delay), trail=True)
        assert [job.parent for job in bench.outbox.jobs] == [None, "the-id"]

    def test_many_at_once_have_a_parent_too(self, bench: Bench) -> None:
        task = bench.task(lambda: None)
        with bench.running():
            bench.app.enqueue_many([(task, ())])
        assert bench.outbox.job.parent == "the-id"

    def test_priority_is_inherited_when_asked_for(self, bench: Bench) -> None:
        bench.task(lambda: None)
        with bench.running():
            assert sent(bench).priority == 0
            bench.app.conf.task_inherit_parent_priority = True
            assert sent(bench).priority == 5
            assert sent(bench, priority=1).priority == 1
            assert sent(bench, add_to_parent=False).priority == 5
        assert sent(bench).priority == 0


class TestSignals:
    def test_both_say_what_is_sent_as_celery_does(self, bench: Bench, heard: Heard) -> None:
        heard.listen(signals.before_task_publish, signals.after_task_publish)
        bench.task(lambda x, y: None)
        job = sent(
            bench, args=(1,), kwargs={"y": 2}, queue="mail", priority=3, countdown=5, shadow="s",
            headers={"mine": 1},
        )  # fmt: skip
        assert heard.names == ["before_task_publish", "after_task_publish"]
        headers = {
            "lang": "py", "task": "t", "id": job.id, "root_id": job.id, "parent_id": None,
            "group": None, "shadow": "s", "eta": NOW + 5, "expires": None, "retries": 0,
            "timelimit": [None, None], "ignore_result": False, "stamped_headers": [],
            "stamps": {}, "mine": 1,
        }  # fmt: skip
        common = {"sender": "t", "body": ((1,), {"y": 2}, {}), "exchange": "",
                  "routing_key": "mail", "headers": headers}  # fmt: skip
        assert heard.of("after_task_publish") == common
        assert heard.of("before_task_publish") == {
            **common,
            "declare": [],
            "retry_policy": None,
            "properties": {"correlation_id": job.id, "priority": 3},
        }

    def test_limits_and_stamps_are_headers_as_in_celery(self, bench: Bench, heard: Heard) -> None:
        heard.listen(signals.after_task_publish)
        bench.task(lambda: None, time_limit=20, soft_time_limit=10)
        sent(bench, soft_time_limit=5, stamped_headers=["tenant"], tenant="ann")
        headers = heard.of("after_task_publish")["headers"]
        assert headers["timelimit"] == [20, 5]
        assert (headers["stamped_headers"], headers["stamps"]) == (["tenant"], {"tenant": "ann"})

    def test_after_comes_after_the_commit_and_before_comes_before(
        self, bench: Bench, heard: Heard
    ) -> None:
        counts: list[int] = []
        for signal in (signals.before_task_publish, signals.after_task_publish):
            signal.connect(lambda **_: counts.append(len(bench.outbox.jobs)), weak=False)
        bench.task(lambda: None).delay()
        assert counts == [0, 1]

    def test_a_receiver_may_listen_to_one_task(self, bench: Bench, heard: Heard) -> None:
        heard.listen(signals.before_task_publish, sender="other")
        bench.task(lambda: None).delay()
        assert heard.calls == []

    def test_headers_that_a_receiver_adds_travel(self, bench: Bench) -> None:
        @signals.before_task_publish.connect
        def trace(headers: dict[str, Any], **_: Any) -> None:
            headers["trace"] = "5f"

        task = bench.task(lambda: None)
        task.delay()
        job = sent(bench, headers={"mine": 1}, shadow="s", queue="q", priority=2)
        assert extras(bench.outbox.jobs[0]) == {"headers": {"trace": "5f"}}
        assert extras(job) == {"headers": {"mine": 1, "trace": "5f"}, "shadow": "s"}
        assert (job.queue, job.priority) == ("q", 2)

    def test_so_do_those_that_it_changes(self, bench: Bench) -> None:
        @signals.before_task_publish.connect
        def trace(headers: dict[str, Any], **_: Any) -> None:
            headers["trace"] = "new"

        bench.task(lambda: None)
        job = sent(bench, headers={"trace": "old", "mine": 1})
        assert extras(job) == {"headers": {"trace": "new", "mine": 1}}

    def test_what_is_no_header_of_the_senders_is_not_changed_by_them(self, bench: Bench) -> None:
        @signals.before_task_publish.connect
        def change(headers: dict[str, Any], properties: dict[str, Any], **_: Any) -> None:
            headers.update(expires="2030-01-01", shadow="other", eta=None, id="other")
            properties["priority"] = 9

        bench.task(lambda: None)
        job = sent(bench, task_id="mine", shadow="s", priority=2, countdown=5)
        assert (job.id, job.priority, job.eta, job.expires) == ("mine", 2, NOW + 5, None)
        assert extras(job) == {"shadow": "s"}

    def test_a_receiver_that_raises_stops_nothing(self, bench: Bench) -> None:
        @signals.before_task_publish.connect
        def fail(**_: Any) -> None:
            raise ZeroDivisionError

        bench.task(lambda: None).delay()
        assert bench.outbox.job.task == "t"

    def test_many_at_once_are_not_announced(self, bench: Bench, heard: Heard) -> None:
        heard.listen(signals.before_task_publish, signals.after_task_publish)
        bench.app.enqueue_many([(bench.task(lambda: None), ())])
        assert heard.calls == []


class TestEvents:
    """The event task-sent goes into the file with its job."""

    def test_nothing_is_told_unless_it_is_asked_for(self, bench: Bench) -> None:
        task = bench.task(lambda: None)
        task.delay()
        bench.app.enqueue_many([(task, ())])
        assert bench.outbox.events == []

    def test_a_job_is_told_with_its_arguments_and_its_queue(self, bench: Bench) -> None:
        bench.app.conf.task_send_sent_event = True
        bench.task(lambda x: None).apply_async((5,), queue="mail", countdown=5)
        (event,) = bench.outbox.events
        at, kind, job, _, body = event
        told = json.loads(body)
        assert (at, kind, job) == (NOW, "task-sent", bench.outbox.job.id)
        assert (told["name"], told["args"], told["queue"]) == ("t", "(5,)", "mail")

    def test_each_of_many_is_told(self, bench: Bench) -> None:
        bench.app.conf.task_send_sent_event = True
        task = bench.task(lambda x: None)
        results = bench.app.enqueue_many([(task, (1,)), (task, (2,))])
        assert [event[2] for event in bench.outbox.events] == [each.id for each in results]

    def test_a_task_may_be_left_out(self, bench: Bench) -> None:
        bench.app.conf.task_send_sent_event = True
        loud = bench.app.task(name="loud")(lambda: None)
        task = bench.task(lambda: None, send_events=False)
        task.delay()
        bench.app.enqueue_many([(task, ()), (loud, ())])
        assert [json.loads(event[4])["name"] for event in bench.outbox.events] == ["loud"]


def test_the_app_is_introduced_once(bench: Bench) -> None:
    task = bench.task(lambda: None)
    task.delay()
    task.apply_async()
    bench.app.enqueue_many([(task, ())])
    bench.app.send_task("elsewhere")
    (facts,) = bench.outbox.introduced
    assert [each.name for each in facts.tasks] == ["t"]


@pytest.mark.parametrize("error", [OSError("no repr"), RecursionError(), ValueError()])
def test_a_signature_whose_default_cannot_be_shown_stops_nothing(
    bench: Bench, error: Exception
) -> None:
    class Shy:
        def __repr__(self) -> str:
            raise error

    def pay(order: Any = Shy()) -> None:  # noqa: B008 - a default of its own, on purpose
        """Pay."""

    bench.task(pay).delay(1)
    (facts,) = bench.outbox.introduced
    assert [(each.signature, each.summary) for each in facts.tasks] == [("(...)", "Pay.")]


def test_a_signature_that_has_no_end_has_one(bench: Bench) -> None:
    def pay(order: str = "x" * 10_000) -> None: ...

    bench.task(pay).delay("y")
    (facts,) = bench.outbox.introduced
    assert len(facts.tasks[0].signature) == 500


def test_in_a_worker_it_is_not_introduced_again(bench: Bench) -> None:
    bench.app.introduced = True
    bench.task(lambda: None).delay()
    assert bench.outbox.introduced == []


def test_settings_say_how_long_to_wait_for_other_writers(bench: Bench) -> None:
    task, conf = bench.task(lambda: None), bench.app.conf
    task.delay()
    conf.task_publish_retry_policy = {"timeout": 7}
    task.delay()
    task.apply_async(retry_policy={"timeout": 3})
    conf.task_publish_retry = False
    task.delay()
    task.apply_async(retry_policy={"timeout": 3})
    assert bench.outbox.waits == [None, 7.0, 3.0, 0.0, 3.0]


def test_ids_grow_with_the_clock_of_the_app(bench: Bench) -> None:
    task = bench.task(lambda: None)
    ids = []
    for _ in range(3):
        ids.append(task.delay().id)
        bench.clock.advance(1)
    assert ids == sorted(ids)
    assert int(ids[0].replace("-", "")[:12], 16) == NOW * 1000


class TestSameJobTwice:
    """With a real file: it decides what is the same."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Iterator[LiteQueue]:
        app = LiteQueue(tmp_path / "jobs.sqlite", clock=FakeClock(NOW), durability="process")
        app.task(name="pay")(lambda order, now=False: None)
        app.task(name="mail")(lambda order: None)
        yield app
        app.close()

    def test_a_key_means_one_job(self, file: LiteQueue) -> None:
        pay = file.tasks["pay"]
        first = pay.apply_async((1,), idempotency_key="order-1")
        again = pay.apply_async((1,), idempotency_key="order-1")
        other = pay.apply_async((1,), idempotency_key="order-2")
        assert first.id == again.id != other.id

    def test_another_payload_is_refused(self, file: LiteQueue) -> None:
        pay = file.tasks["pay"]
        first = pay.apply_async((1,), idempotency_key="order-1")
        with pytest.raises(DuplicateJob, match=first.id):
            pay.apply_async((2,), idempotency_key="order-1")
        assert list(first.args or ()) == [1]

    def test_a_key_is_of_its_task(self, file: LiteQueue) -> None:
        one = file.tasks["pay"].apply_async((1,), idempotency_key="order-1")
        two = file.tasks["mail"].apply_async((1,), idempotency_key="order-1")
        assert one.id != two.id
        assert (one.name, two.name) == ("pay", "mail")

    def test_an_id_means_one_job_too(self, file: LiteQueue) -> None:
        pay = file.tasks["pay"]
        pay.apply_async((1,), task_id="mine")
        assert pay.apply_async((1,), task_id="mine").id == "mine"
        with pytest.raises(DuplicateJob):
            pay.apply_async((2,), task_id="mine")

    def test_a_sent_task_takes_a_key(self, file: LiteQueue) -> None:
        one = file.send_task("pay", (1,), idempotency_key="k")
        assert file.tasks["pay"].apply_async((1,), idempotency_key="k").id == one.id
