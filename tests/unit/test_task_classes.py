"""Options of tasks, their base classes, and tasks that are classes themselves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from litequeue import LiteQueue, Task
from litequeue.declaring import UNBUILT_TASK_OPTIONS
from litequeue.exceptions import ImproperlyConfigured, MaxRetriesExceededError
from tests.unit.bench import Bench, Heard


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
    assert (task.time_limit, task.soft_time_limit, task.send_events) == (None, None, True)
    assert task.capture is None
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
        bench.task(lambda: None, **{name: 5})
    assert "t" not in bench.app.tasks
    bench.task(lambda: None, **{name: None})
    assert "t" in bench.app.tasks, "None asks for nothing"


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
    other: Any = bench.app.task(name="other", base=DatabaseTask)(lambda: None)
    assert other.connection == [], "and one per task"


def test_options_of_a_base_class_may_be_given_and_win(bench: Bench) -> None:
    task: Any = bench.task(lambda: None, base=DatabaseTask, table="lines", max_retries=1)
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
    task: Any = bench.app.tasks["t"]
    assert (outcome.result, task.calls) == ("2", 1)


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

    assert bench.app.register_task(Model()).loads == [1]


def test_a_class_is_sent_with_the_arguments_of_its_run_method(bench: Bench) -> None:
    task = bench.app.register_task(Add())
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        task.delay()
    with pytest.raises(TypeError, match="too many"):
        task.delay(1, 2, 3)
