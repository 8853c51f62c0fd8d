"""Tasks in the hands of `unittest.mock`: what is patched is what is called."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from litequeue import Task, shared_task
from litequeue.task import AsyncTask
from tests.unit.bench import Bench, raising


def test_delay_goes_through_a_patched_apply_async(bench: Bench) -> None:
    task = bench.task(lambda x, y: None)
    task.delay(0, y=0)
    with mock.patch.object(task, "apply_async") as apply_async:
        assert task.delay(1, y=2) is apply_async.return_value
    apply_async.assert_called_once_with((1,), {"y": 2})
    assert len(bench.outbox.jobs) == 1
    task.delay(3, y=4)
    assert bench.outbox.jobs[-1].body == '[[3],{"y":4}]'


@pytest.mark.parametrize("used", [False, True])
def test_so_it_does_where_the_class_of_all_tasks_is_patched(bench: Bench, used: bool) -> None:
    async def later() -> None: ...

    tasks = [bench.task(lambda: None), bench.app.task(name="later")(later)]
    assert isinstance(tasks[1], AsyncTask)
    if used:
        tasks[0].delay()
    with mock.patch.object(Task, "apply_async") as apply_async:
        for task in tasks:
            task.delay()
    assert apply_async.call_count == 2
    assert len(bench.outbox.jobs) == int(used)
    tasks[0].delay()
    assert len(bench.outbox.jobs) == int(used) + 1


def test_or_the_class_of_some(bench: Bench) -> None:
    class Mine(Task[..., Any]):
        pass

    mine, other = bench.task(lambda: None, base=Mine), bench.app.task(name="o")(lambda: None)
    with mock.patch.object(Mine, "apply_async") as apply_async:
        mine.delay()
        other.delay()
    apply_async.assert_called_once_with((), {})
    assert bench.outbox.job.task == "o"


def test_delay_and_run_may_be_patched(bench: Bench) -> None:
    task = bench.task(lambda: 1)
    with mock.patch.object(task, "delay") as delay:
        task.delay(5)
    delay.assert_called_once_with(5)
    with mock.patch.object(task, "run", return_value=7):
        assert (task(), bench.execute().result) == (7, "7")
    assert (task(), bench.execute().result) == (1, "1")


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize(
    ("hook", "function"),
    [
        ("before_start", lambda: 1),
        ("on_success", lambda: 1),
        ("on_failure", raising(KeyError())),
        ("after_return", lambda: 1),
    ],
)
def test_a_hook_may_be_patched_after_registration(
    bench: Bench, hook: str, function: Any, used: bool
) -> None:
    task = bench.task(function)
    if used:
        bench.execute()
    setting = mock.Mock(return_value=1)
    setattr(task, hook, setting)
    assert hook in task.hooks
    bench.execute()
    assert setting.call_count == 1
    delattr(task, hook)
    assert hook not in task.hooks
    with mock.patch.object(task, hook) as patched:
        bench.execute()
    assert (patched.call_count, setting.call_count) == (1, 1)
    bench.execute()
    assert patched.call_count == 1


def test_a_shadow_name_of_later_names_calls(bench: Bench) -> None:
    task = bench.task(lambda: None)
    with mock.patch.object(task, "shadow_name", return_value="other"):
        task.delay()
    task.delay()
    assert [job.options for job in bench.outbox.jobs] == ['{"shadow":"other"}', None]


def test_hooks_of_the_class_stay_when_a_patch_goes(bench: Bench) -> None:
    class Mine(Task[..., Any]):
        def on_success(self, *_: Any) -> None: ...

    task = bench.task(lambda: None, base=Mine)
    with mock.patch.object(task, "on_success"):
        assert task.hooks == {"on_success"}
    assert task.hooks == {"on_success"}


class TestShared:
    def test_what_is_patched_of_a_shared_task_is_its_apps(self, bench: Bench) -> None:
        @shared_task(name="shared")
        def shared(x: int) -> None: ...

        for name in ("delay", "apply_async"):
            with mock.patch.object(shared, name) as patched:
                shared.delay(1)
            assert patched.call_count == 1
        assert bench.outbox.jobs == []
        shared.delay(1)
        assert bench.outbox.job.task == "shared"

    def test_its_hooks_too(self, bench: Bench) -> None:
        shared_task(name="t")(lambda: None)
        task: Any = bench.app.tasks["t"]
        with mock.patch.object(task, "on_success") as on_success:
            bench.execute()
        assert on_success.call_count == 1
