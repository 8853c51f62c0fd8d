from __future__ import annotations

import gc
import inspect
import pickle
import weakref
from pathlib import Path
from typing import Any

import pytest

from litequeue import LiteQueue, Task, current_app, current_task, shared_task
from litequeue.exceptions import ImproperlyConfigured, NotRegistered
from litequeue.task import AsyncTask
from tests.unit.bench import Bench, calling


def make(folder: Path, name: str, **options: Any) -> LiteQueue:
    return LiteQueue(folder / f"{name}.sqlite", **options)


# The current app


def test_without_an_app_there_is_no_current_one() -> None:
    with pytest.raises(ImproperlyConfigured, match="there is no app yet"):
        _ = current_app.conf


def test_the_current_app_is_the_last_one_made(tmp_path: Path) -> None:
    first = make(tmp_path, "first")
    assert current_app == first
    second = make(tmp_path, "second")
    assert current_app == second
    make(tmp_path, "third", set_as_current=False)
    assert current_app == second


def test_inside_a_job_it_is_the_jobs(bench: Bench, tmp_path: Path) -> None:
    seen: list[Any] = []
    bench.task(lambda: seen.append((hash(current_app), current_task.name)))
    last = make(tmp_path, "last")
    bench.execute()
    assert seen == [(hash(bench.app), "t")]
    assert current_app == last


def test_it_stands_for_the_app_in_every_way(tmp_path: Path) -> None:
    app = make(tmp_path, "a")
    assert repr(current_app) == repr(app)
    assert hash(current_app) == hash(app)
    assert bool(current_app)
    assert current_app.conf is app.conf
    current_app.introduced = True
    assert app.introduced is True
    assert current_app == current_app


def test_outside_a_job_there_is_no_current_task(bench: Bench) -> None:
    assert bool(current_task) is False
    task = bench.task(lambda: None)
    with bench.running():
        assert bool(current_task) is True
        assert current_task == task
        assert current_task.request.id == "the-id"
    assert bool(current_task) is False


# Shared tasks


def test_a_shared_task_is_a_task_of_every_app(tmp_path: Path) -> None:
    early = make(tmp_path, "early")

    @shared_task
    def add(x: int, y: int) -> int:
        return x + y

    late = make(tmp_path, "late")
    name = f"{__name__}.add"
    assert early.tasks[name].app is early
    assert late.tasks[name].app is late
    assert early.tasks[name] is not late.tasks[name]
    assert early.tasks[name](1, 2) == 3


def test_an_app_that_is_in_use_gets_it_too(bench: Bench) -> None:
    assert dict(bench.app.tasks) == {}

    @shared_task(name="late")
    def late() -> int:
        return 1

    bench.app.conf.task_annotations = {"late": {"priority": 3}}
    assert bench.app.tasks["late"].priority == 3


def test_it_acts_as_the_task_of_the_current_app(bench: Bench, tmp_path: Path) -> None:
    @shared_task(name="shop.pay", bind=True, max_retries=9)
    def pay(self: Any, x: int) -> tuple[Any, int]:
        return self, x

    assert (pay.name, pay.max_retries, pay.app) == ("shop.pay", 9, bench.app)
    assert pay(5) == (bench.app.tasks["shop.pay"], 5)
    pay.delay(5)
    assert bench.outbox.job.task == "shop.pay"
    other = make(tmp_path, "other")
    assert pay.app is other


def test_inside_a_job_it_is_the_task_of_the_jobs_app(bench: Bench, tmp_path: Path) -> None:
    @shared_task(name="shared")
    def shared() -> None: ...

    bench.task(calling(shared.delay))
    make(tmp_path, "last")
    assert bench.execute().state == "SUCCESS"
    assert (bench.outbox.job.task, bench.outbox.job.parent) == ("shared", "the-id")


def test_without_an_app_it_cannot_be_used() -> None:
    @shared_task(name="nowhere")
    def nowhere() -> None: ...

    with pytest.raises(ImproperlyConfigured, match="there is no app yet"):
        nowhere.delay()


def test_an_unknown_option_is_refused_when_an_app_gets_the_task(bench: Bench) -> None:
    @shared_task(name="bad", max_retry=5)
    def bad() -> None: ...

    with pytest.raises(TypeError, match="max_retry"):
        _ = bench.app.tasks


def test_the_options_are_not_used_up_by_the_first_app(tmp_path: Path) -> None:
    @shared_task(bind=True, name="own", queue="mail")
    def own(self: Any) -> str:
        return str(self.queue)

    apps = [make(tmp_path, name) for name in ("one", "two")]
    assert [app.tasks["own"]() for app in apps] == ["mail", "mail"]


def test_a_shared_task_travels_as_its_name(bench: Bench) -> None:
    @shared_task(name="shared")
    def shared() -> None: ...

    assert pickle.loads(pickle.dumps(shared)) is bench.app.tasks["shared"]


def test_it_is_a_task_to_whoever_asks(bench: Bench) -> None:
    @shared_task(name="shared")
    def shared(x: int) -> int:
        """Share."""
        return x

    async def later() -> None: ...

    coroutine = shared_task(name="later")(later)
    assert isinstance(shared, Task)
    assert not isinstance(shared, AsyncTask)
    assert isinstance(coroutine, AsyncTask)
    assert (shared.__doc__, shared.__module__) == ("Share.", __name__)
    stand: Any = shared
    assert (stand.__name__, inspect.getdoc(shared)) == ("shared", "Share.")
    assert isinstance(current_app, LiteQueue)


def test_what_is_set_on_it_is_set_on_the_task_and_can_be_deleted(bench: Bench) -> None:
    @shared_task(name="shared")
    def shared() -> None: ...

    stand: Any = shared
    stand.priority = 7
    assert vars(bench.app.tasks["shared"])["priority"] == 7
    del stand.priority
    assert "priority" not in vars(bench.app.tasks["shared"])
    assert shared.priority is None


def test_without_an_app_it_is_no_task_and_can_be_asked() -> None:
    @shared_task(name="nowhere")
    def nowhere() -> None: ...

    assert not isinstance(nowhere, Task)
    assert not isinstance(current_app, LiteQueue)
    assert not isinstance(current_task, Task)


def test_apps_that_are_gone_are_not_kept_by_shared_tasks(tmp_path: Path) -> None:
    app = make(tmp_path, "gone", set_as_current=False)
    gone = weakref.ref(app)

    @shared_task(name="shared")
    def shared() -> None: ...

    assert "shared" in app.tasks
    del app
    gc.collect()
    assert gone() is None


def test_a_name_that_nobody_registered_says_so(bench: Bench) -> None:
    bench.app.task(name="shop.pay")(lambda: None)
    with pytest.raises(NotRegistered, match=r"named 'shop\.pya'; did you mean 'shop\.pay'"):
        _ = bench.app.tasks["shop.pya"]
