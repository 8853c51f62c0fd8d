"""Tasks as their users see them: classes, options, calls, requests.  Retries: test_retry.py."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from litequeue import LiteQueue, Task
from litequeue.calling import UNBUILT_CALL_OPTIONS
from litequeue.exceptions import ImproperlyConfigured, MaxRetriesExceededError, NotRegistered
from litequeue.task import UNBUILT_TASK_OPTIONS, AsyncTask
from tests.unit.bench import NOW, Bench, Heard


class DatabaseTask(Task[..., Any]):
    """A base class as Celery's guide has it."""

    abstract = True
    table = "orders"
    max_retries = 7
    queue = "databases"
    _connection: list[int] | None = None

    @property
    def connection(self) -> list[int]:
        if self._connection is None:
            self._connection = []
        return self._connection


class Add(Task[..., Any]):
    """Add two numbers."""

    priority = 4

    def run(self, x: int, y: int = 0) -> int:
        return x + y


# A task is a function


def test_a_task_is_still_a_function(bench: Bench) -> None:
    def add(x: int, y: int) -> int:
        """Add."""
        return x + y

    task = bench.task(add)
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


# Options are attributes


def test_the_defaults_are_celerys(bench: Bench) -> None:
    task = bench.task(lambda: None)
    assert (task.max_retries, task.default_retry_delay) == (3, 180)
    assert (task.retry_backoff, task.retry_backoff_max, task.retry_jitter) == (False, 600, True)
    assert (task.autoretry_for, task.throws, task.typing, task.trail) == ((), (), True, True)
    assert (task.queue, task.priority, task.expires, task.resultrepr_maxsize) == (
        *(None, None, None),
        1024,
    )
    assert Task.MaxRetriesExceededError is MaxRetriesExceededError


def test_options_are_attributes_of_this_task_alone(bench: Bench) -> None:
    task = bench.task(lambda: None, max_retries=None, queue="mail", priority=-3)
    assert (task.max_retries, task.queue, task.priority) == (None, "mail", -3)
    other = bench.app.task(name="other")(lambda: None)
    assert (other.max_retries, other.queue, other.priority) == (3, None, None)
    assert Task.max_retries == 3


@pytest.mark.parametrize("name", sorted(UNBUILT_TASK_OPTIONS))
def test_options_still_to_come_are_refused_by_name(bench: Bench, name: str) -> None:
    with pytest.raises(NotImplementedError, match=name):
        bench.task(lambda: None, **{name: None})
    assert "t" not in bench.app.tasks


@pytest.mark.parametrize("name", ["max_retry", "run", "app", "delay", "abstract", "request"])
def test_what_is_no_option_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(TypeError, match=f"no option '{name}'"):
        bench.task(lambda: None, **{name: 5})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"queue": "two\nlines"}, "queue"),
        ({"priority": "high"}, "priority"),
    ],
)
def test_options_that_the_file_would_not_take_are_refused(
    bench: Bench, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=words):
        bench.task(lambda: None, **options)


def test_retry_options_take_celerys_forms(bench: Bench) -> None:
    def policy(**options: Any) -> Any:
        return bench.app.task(name="p", **options)(test_retry_options_take_celerys_forms)

    assert policy(retry_backoff=True).retry_policy().retry_backoff == 1.0
    assert policy(retry_backoff=5).retry_policy().retry_backoff == 5.0
    assert policy(retry_backoff=False).retry_policy().retry_backoff == 0.0
    assert policy(autoretry_for=[OSError]).retry_policy().autoretry_for == (OSError,)
    assert policy(retry_kwargs={"max_retries": 9}).retry_policy().max_retries == 9
    assert policy(retry_kwargs={"countdown": 5}).retry_policy().countdown(0) == 5
    assert policy(max_retries=None).retry_policy().max_retries is None
    with pytest.raises(NotImplementedError, match="throw"):
        policy(retry_kwargs={"throw": False})


def test_attributes_that_change_later_count(bench: Bench) -> None:
    task = bench.task(lambda: None)
    task.max_retries = 9
    assert task.retry_policy().max_retries == 9


# Base classes


def test_a_base_class_gives_options_attributes_and_shared_state(bench: Bench) -> None:
    task = bench.task(lambda self: self.connection, bind=True, base=DatabaseTask)
    assert isinstance(task, DatabaseTask)
    assert (task.max_retries, task.queue, task.table) == (7, "databases", "orders")
    task().append(1)
    assert task() == [1], "one instance per process"
    other = bench.app.task(name="other", base=DatabaseTask)(lambda: None)
    assert other.connection == [], "and one per task"


def test_options_of_a_base_class_may_be_given_and_win(bench: Bench) -> None:
    task = bench.task(lambda: None, base=DatabaseTask, table="lines", max_retries=1)
    assert (task.table, task.max_retries, task.queue) == ("lines", 1, "databases")
    with pytest.raises(TypeError, match="no option 'tabel'"):
        bench.app.task(name="other", base=DatabaseTask, tabel="lines")(lambda: None)


def test_task_cls_is_the_base_of_all(bench: Bench, tmp_path: Any) -> None:
    app = LiteQueue(tmp_path / "x.sqlite", task_cls=DatabaseTask)
    assert app.Task is DatabaseTask
    assert isinstance(app.task(lambda: None), DatabaseTask)
    named = LiteQueue(tmp_path / "x.sqlite", task_cls=f"{__name__}:DatabaseTask")
    dotted = LiteQueue(tmp_path / "x.sqlite", task_cls=f"{__name__}.DatabaseTask")
    assert named.Task is dotted.Task is DatabaseTask


def test_a_coroutine_keeps_the_base_it_is_given(bench: Bench) -> None:
    async def later() -> int:
        return 1

    task = bench.task(later, base=DatabaseTask)
    assert (type(task).__mro__[1], asyncio.run(task())) == (DatabaseTask, 1)


def test_hooks_may_be_given_as_options(bench: Bench, heard: Heard) -> None:
    hooks = {
        name: heard.hook(name)
        for name in ("before_start", "on_success", "on_failure", "on_retry", "after_return")
    }
    bench.run(lambda: 5, **hooks)
    assert heard.names == ["before_start", "on_success", "after_return"]


def test_being_called_may_be_overridden(bench: Bench) -> None:
    class Counting(Task[..., Any]):
        calls = 0

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return self.run(*args, **kwargs)

    outcome = bench.run(lambda x: x + 1, base=Counting, args=[1])
    assert (outcome.result, bench.app.tasks["t"].calls) == ("2", 1)


# Class-based tasks


def test_a_class_with_a_run_method_is_a_task(bench: Bench) -> None:
    task = bench.app.register_task(Add())
    assert (task.name, task.app) == (f"{__name__}.Add", bench.app)
    assert bench.app.tasks[f"{__name__}.Add"] is task
    assert task(1, y=2) == 3
    task.delay(1)
    assert (bench.outbox.job.task, bench.outbox.job.priority) == (task.name, 4)
    assert bench.execute(task.name, args=[2, 3]).result == "5"


def test_the_class_may_be_registered_itself(bench: Bench) -> None:
    task = bench.app.register_task(Add)
    assert type(task) is Add


def test_a_class_may_name_itself(bench: Bench) -> None:
    class Named(Add):
        name = "shop.add"

    assert bench.app.register_task(Named()).name == "shop.add"


def test_a_class_is_told_when_it_has_an_app(bench: Bench) -> None:
    class Told(Add):
        told: Any = None

        @classmethod
        def on_bound(cls, app: Any) -> None:
            cls.told = app

    bench.app.register_task(Told())
    assert Told.told is bench.app


def test_a_class_without_a_run_method_says_so(bench: Bench) -> None:
    class Nothing(Task[..., Any]):
        pass

    task = bench.app.register_task(Nothing())
    with pytest.raises(NotImplementedError, match="must define the run method"):
        task()


def test_what_init_made_is_kept(bench: Bench) -> None:
    class Model(Add):
        def __init__(self) -> None:
            self.loads = [1]

    assert bench.app.register_task(Model()).loads == [1]  # type: ignore[attr-defined]  # its own


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


def test_countdown_and_eta_exclude_each_other(bench: Bench) -> None:
    with pytest.raises(ImproperlyConfigured, match="not both"):
        bench.task(lambda: None).apply_async(countdown=1, eta=NOW)


@pytest.mark.parametrize("name", sorted(UNBUILT_CALL_OPTIONS))
def test_call_options_still_to_come_are_refused_by_name(bench: Bench, name: str) -> None:
    task = bench.task(lambda: None)
    with pytest.raises(NotImplementedError, match=name):
        task.apply_async(**{name: None})
    with pytest.raises(TypeError, match="'contdown'"):
        task.apply_async(contdown=5)
    assert bench.outbox.jobs == []


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


def test_a_class_based_bound_run_counts_without_self(bench: Bench) -> None:
    task = bench.app.register_task(Add())
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        task.delay()
    with pytest.raises(TypeError, match="too many"):
        task.delay(1, 2, 3)


def test_shadow_name_names_one_call(bench: Bench) -> None:
    def shadow_name(task: Any, args: Any, kwargs: Any, options: Any) -> str:
        return f"import {args[0]}"

    task = bench.task(lambda x: None, shadow_name=shadow_name)
    task.apply_async(("orders",))
    task.apply_async(("orders",), shadow="mine")
    shadows = [json.loads(job.options or "{}")["shadow"] for job in bench.outbox.jobs]
    assert shadows == ["import orders", "mine"]


def test_retry_options_of_a_call_say_how_long_to_wait(bench: Bench) -> None:
    task = bench.task(lambda: None)
    task.apply_async(retry=False)
    task.apply_async(retry_policy={"timeout": 2})
    task.apply_async()
    assert bench.outbox.waits == [0.0, 2.0, None]
    with pytest.raises(TypeError, match="'retries'"):
        task.apply_async(retry_policy={"retries": 3})


@pytest.mark.parametrize(
    "name", ["s", "si", "signature", "subtask", "map", "starmap", "chunks", "replace"]
)
def test_what_is_not_built_yet_says_so(bench: Bench, name: str) -> None:
    with pytest.raises(NotImplementedError, match="signatures"):
        getattr(bench.task(lambda: None), name)(1)


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
