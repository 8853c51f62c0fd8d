"""Tasks as their users see them: calls, requests, states of their own.

Options and classes: test_task_classes.py; retries: test_retry.py.
"""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from litequeue import LiteQueue, Task, built_in
from litequeue.calling import UNBUILT_CALL_OPTIONS
from litequeue.exceptions import ImproperlyConfigured, NotRegistered
from litequeue.routing import Queue
from litequeue.task import AsyncTask
from tests.unit.bench import NOW, Bench

# A task is a function


def test_a_task_is_still_a_function(bench: Bench) -> None:
    def add(x: int, y: int) -> int:
        """Add."""
        return x + y

    task: Any = bench.task(add)
    assert task(1, y=2) == 3
    assert (task.__name__, task.__doc__, task.__module__) == ("add", "Add.", __name__)
    assert task.__wrapped__ is add
    assert repr(task) == "<@task: t>"
    assert bench.outbox.jobs == []


def test_a_bound_task_gets_itself_first(bench: Bench) -> None:
    task = bench.task(lambda self, x: (self, x), bind=True)
    assert task(5) == (task, 5)


def test_an_async_function_is_a_task_whose_call_is_a_coroutine(bench: Bench) -> None:
    async def later(x: int) -> int:
        return x + 1

    task = bench.task(later)
    assert isinstance(task, AsyncTask)
    assert asyncio.run(task(1)) == 2
    task.delay(1)
    assert bench.outbox.job.task == "t"


def test_a_task_travels_as_its_name(bench: Bench, tmp_path: Any) -> None:
    task = bench.task(lambda: None)
    assert pickle.loads(pickle.dumps(task)) is task
    packed = pickle.dumps(task)
    other = LiteQueue(tmp_path / "other.sqlite")
    with pytest.raises(NotRegistered):
        pickle.loads(packed)
    there = other.task(name="t")(lambda: None)
    assert pickle.loads(packed) is there, "the one of the current app"


# Calling


def test_delay_sends_its_arguments(bench: Bench) -> None:
    result = bench.task(lambda x, y=0: None).delay(1, y=2)
    job = bench.outbox.job
    assert (job.id, job.task, json.loads(job.body)) == (result.id, "t", [[1], {"y": 2}])
    assert (job.queue, job.priority, job.eta, job.expires) == ("default", 0, None, None)
    assert (job.options, job.parent) == (None, None)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"countdown": 5}, {"eta": NOW + 5}),
        ({"countdown": 0}, {"eta": NOW}),
        ({"eta": NOW + 7.5}, {"eta": NOW + 7.5}),
        ({"eta": datetime.fromtimestamp(NOW + 60, UTC)}, {"eta": NOW + 60}),
        ({"eta": datetime.fromtimestamp(NOW, timezone(timedelta(hours=5)))}, {"eta": NOW}),
        ({"expires": 60}, {"expires": NOW + 60}),
        ({"expires": datetime.fromtimestamp(NOW + 9, UTC)}, {"expires": NOW + 9}),
        ({"priority": 9, "queue": "mail"}, {"priority": 9, "queue": "mail"}),
        ({"priority": 0}, {"priority": 0}),
        ({"task_id": "mine"}, {"id": "mine"}),
    ],
)
def test_apply_async_turns_options_into_facts(
    bench: Bench, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    bench.task(lambda: None, priority=3).apply_async(**options)
    job = bench.outbox.job
    assert {name: getattr(job, name) for name in expected} == expected


def test_a_datetime_without_a_zone_is_of_the_apps(tmp_path: Any) -> None:
    bench = Bench(tmp_path, timezone="Europe/Berlin")
    naive = datetime(2026, 7, 1, 12, 0)  # noqa: DTZ001 - on purpose
    bench.task(lambda: None).apply_async(eta=naive, expires=naive)
    utc = datetime(2026, 7, 1, 10, 0, tzinfo=UTC).timestamp()
    assert (bench.outbox.job.eta, bench.outbox.job.expires) == (utc, utc)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-07-01T12:00:00+02:00", datetime(2026, 7, 1, 10, 0, tzinfo=UTC)),
        ("2026-07-01T12:00:00", datetime(2026, 7, 1, 10, 0, tzinfo=UTC)),
        ("2026-07-01", datetime(2026, 6, 30, 22, 0, tzinfo=UTC)),
    ],
)
def test_a_moment_may_be_text_as_in_celery(bench: Bench, text: str, moment: datetime) -> None:
    bench.app.conf.timezone = "Europe/Berlin"
    bench.task(lambda: None).apply_async(eta=text, expires=text)
    job = bench.outbox.job
    assert (job.eta, job.expires) == (moment.timestamp(), moment.timestamp())


@pytest.mark.parametrize("option", ["eta", "expires"])
def test_text_that_is_no_moment_is_refused(bench: Bench, option: str) -> None:
    task: Any = bench.task(lambda: None)
    with pytest.raises(ImproperlyConfigured, match=r"'tomorrow' is no moment in ISO 8601"):
        task.apply_async(**{option: "tomorrow"})
    assert bench.outbox.jobs == []


@pytest.mark.parametrize("verb", ["apply_async", "apply"])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("ab",), "task args must be a list or tuple, not str"),
        (({"x": 1},), "task args must be a list or tuple, not dict"),
        ((5,), "task args must be a list or tuple, not int"),
        (({1, 2},), "task args must be a list or tuple, not set"),
        (((1,), ["y"]), "task keyword arguments must be a mapping, not list"),
        (((1,), "y"), "task keyword arguments must be a mapping, not str"),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused(
    bench: Bench, verb: str, given: Any, words: str
) -> None:
    task = bench.task(lambda x, y=0: pytest.fail("ran"))
    with pytest.raises(TypeError, match=words):
        getattr(task, verb)(*given)
    with pytest.raises(TypeError, match=words):
        bench.app.send_task("t", *given)
    assert bench.outbox.jobs == []


@pytest.mark.parametrize("given", [(None, None), ([], {}), ((), None)])
def test_no_arguments_may_be_said_in_many_ways(bench: Bench, given: Any) -> None:
    bench.task(lambda: None).apply_async(*given)
    assert bench.outbox.job.body == "[[],{}]"


def test_a_queue_may_be_an_object(bench: Bench) -> None:
    task = bench.task(lambda: None)
    task.apply_async(queue=Queue("mail"))
    assert bench.outbox.job.queue == "mail"
    assert bench.app.send_task("elsewhere", queue=Queue("far")).id
    assert bench.outbox.jobs[-1].queue == "far"


def test_countdown_and_eta_exclude_each_other(bench: Bench) -> None:
    with pytest.raises(ImproperlyConfigured, match="not both"):
        bench.task(lambda: None).apply_async(countdown=1, eta=NOW)


@pytest.mark.parametrize("name", sorted(UNBUILT_CALL_OPTIONS))
def test_call_options_still_to_come_are_refused_by_name(bench: Bench, name: str) -> None:
    task: Any = bench.task(lambda: None)
    with pytest.raises(NotImplementedError, match=name):
        task.apply_async(**{name: 5})
    with pytest.raises(TypeError, match="'contdown'"):
        task.apply_async(contdown=5)
    assert bench.outbox.jobs == []
    task.apply_async(**{name: None})
    assert len(bench.outbox.jobs) == 1, "None asks for nothing"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda task: task.delay(1), r"^add\(\): missing a required argument: 'y'"),
        (lambda task: task.apply_async((1, 2, 3)), r"^add\(\): too many positional arguments"),
        (lambda task: task.apply_async((1,), {"z": 2}), r"^add\(\): missing a required"),
    ],
)
def test_wrong_arguments_are_refused_at_the_call(
    bench: Bench, call: Callable[[Any], Any], words: str
) -> None:
    def add(x: int, y: int) -> int:
        return x + y

    with pytest.raises(TypeError, match=words):
        call(bench.task(add))
    assert bench.outbox.jobs == []


def test_a_task_without_typing_takes_them(bench: Bench) -> None:
    task = bench.task(lambda x: x, typing=False)
    task.delay()
    task.apply_async((1, 2, 3))
    assert len(bench.outbox.jobs) == 2


def test_shadow_name_names_one_call(bench: Bench) -> None:
    def shadow_name(task: Any, args: Any, kwargs: Any, options: Any) -> str:
        return f"import {args[0]}"

    task = bench.task(lambda x: None, shadow_name=shadow_name)
    task.delay("first")
    task.apply_async(("orders",))
    task.apply_async(("orders",), shadow="mine")
    shadows = [json.loads(job.options or "{}")["shadow"] for job in bench.outbox.jobs]
    assert shadows == ["import first", "import orders", "mine"]


def test_delay_goes_through_an_apply_async_of_ones_own(bench: Bench) -> None:
    class Hurried(Task[..., Any]):
        def apply_async(self, *args: Any, **options: Any) -> Any:
            return super().apply_async(*args, **{**options, "priority": 9})

    bench.task(lambda x, y: None, base=Hurried).delay(1, y=2)
    assert (bench.outbox.job.priority, bench.outbox.job.body) == (9, '[[1],{"y":2}]')


def test_retry_options_of_a_call_say_how_long_to_wait(bench: Bench) -> None:
    task = bench.task(lambda: None)
    task.apply_async(retry=False)
    task.apply_async(retry_policy={"timeout": 2})
    task.apply_async()
    assert bench.outbox.waits == [0.0, 2.0, None]
    with pytest.raises(TypeError, match="'retries'"):
        task.apply_async(retry_policy={"retries": 3})


def test_here_and_now_options_of_a_queue_change_nothing(bench: Bench) -> None:
    task: Any = bench.task(lambda: "done")
    assert task.apply(time_limit=5, soft_time_limit=3, countdown=9, queue="mail").get() == "done"
    assert task.apply(stamped_headers=["tenant"], tenant="ann").get() == "done"
    with pytest.raises(TypeError, match="'tenant'"):
        task.apply(tenant="ann")
    with pytest.raises(TypeError, match="stamped_headers names 'tenant'"):
        task.apply(stamped_headers=["tenant"])


def test_an_event_of_a_task_speaks_of_its_job(bench: Bench) -> None:
    events: list[tuple[str, dict[str, Any]]] = []
    vars(bench.app)["send_event"] = lambda type, **fields: events.append((type, fields))
    task = bench.task(lambda: None)
    with bench.running():
        task.send_event("task-halfway", done=5)
        task.send_event("task-halfway", retry=False, retry_policy={}, done=6)
    assert events == [
        ("task-halfway", {"uuid": "the-id", "done": 5}),
        ("task-halfway", {"uuid": "the-id", "done": 6}),
    ]


# The request


def test_outside_a_job_the_request_says_so(bench: Bench) -> None:
    request = bench.task(lambda: None).request
    assert (request.called_directly, request.id, request.retries) == (True, None, 0)
    assert not request.is_eager


def test_a_job_has_its_request_and_other_tasks_do_not(bench: Bench) -> None:
    task, other = bench.task(lambda: None), bench.app.task(name="other")(lambda: None)
    with bench.running("t", retries=2) as request:
        assert task.request is request
        assert (task.request.id, task.request.called_directly) == ("the-id", False)
        assert other.request.called_directly, "another task that is called as a function"
        assert (other.request.id, other.request.retries) == (None, 0)
    assert task.request.called_directly


# States of one's own


def test_a_job_shows_a_state_of_its_own(bench: Bench) -> None:
    task = bench.task(lambda: None)
    with bench.running():
        task.update_state(state="PROGRESS", meta={"done": 5})
        task.update_state(meta={"done": 6})
    assert bench.outbox.shown == [
        ("the-id", "PROGRESS", '{"done":5}', 99),
        ("the-id", None, '{"done":6}', 99),
    ]


def test_a_job_shows_a_state_of_another(bench: Bench) -> None:
    task = bench.task(lambda: None)
    with bench.running():
        task.update_state("other-id", "PROGRESS", {"done": 5})
    task.update_state(task_id="third-id", state="CUSTOM")
    assert bench.outbox.shown == [
        ("other-id", "PROGRESS", '{"done":5}', None),
        ("third-id", "CUSTOM", None, None),
    ]


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "REVOKED", "REJECTED", "IGNORED"])
def test_a_state_that_ends_the_job_waits_for_the_verdict(bench: Bench, state: str) -> None:
    task = bench.task(lambda: None)
    with bench.running() as request:
        task.update_state(state=state, meta={"why": 1})
        assert request.shown == (state, {"why": 1}, '{"why":1}')
    assert bench.outbox.shown == []


def test_outside_a_job_a_state_needs_an_id(bench: Bench) -> None:
    with pytest.raises(ImproperlyConfigured, match="needs the task_id"):
        bench.task(lambda: None).update_state(state="PROGRESS")


def test_meta_must_be_serializable(bench: Bench) -> None:
    task = bench.task(lambda: None)
    with bench.running(), pytest.raises(TypeError):
        task.update_state(state="PROGRESS", meta={"x": object()})
    assert bench.outbox.shown == []


def test_a_task_makes_calls_for_many_items(bench: Bench) -> None:
    built_in.declare(bench.app)
    task = bench.task(lambda x, y=0: x + y)
    assert (repr(task.map([1, 2])), repr(task.starmap([(1, 2)]))) == (
        "[t(x) for x in [1, 2]]",
        "[t(*x) for x in [(1, 2)]]",
    )
    assert task.map(iter([1, 2])).apply().get() == [1, 2]
    assert task.starmap([(1, 2), (3, 4)]).apply().get() == [3, 7]
    assert task.chunks(((n, n) for n in range(5)), 2).group().apply().get() == [[0, 2], [4, 6], [8]]
    task.map(iter([1, 2])).delay()
    sig = {**task.s(), "args": []}
    assert bench.outbox.job.task == "celery.map"
    assert json.loads(bench.outbox.job.body) == [[], {"task": sig, "it": [1, 2]}]
