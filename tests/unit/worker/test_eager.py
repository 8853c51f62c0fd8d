from __future__ import annotations

import asyncio
import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest

from litequeue import EagerResult, signals
from litequeue.context import current_app, current_request
from litequeue.exceptions import (
    Ignore,
    ImproperlyConfigured,
    MaxRetriesExceededError,
    NotSerializable,
    PayloadTooLarge,
    Reject,
    Retry,
)
from tests.unit.bench import NOW, Bench, Heard, calling, raising


def descriptors() -> int:
    """Return how many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def third_time(self: Any) -> int:
    """Succeed at the third attempt."""
    if self.request.retries < 2:
        self.retry(countdown=1_000)
    return int(self.request.retries)


class TestVerdicts:
    def test_a_return_value(self, bench: Bench) -> None:
        result = bench.task(lambda x, y: x + y).apply((1,), {"y": 2})
        assert isinstance(result, EagerResult)
        assert (result.get(), result.state, result.name) == (3, "SUCCESS", "t")
        assert bench.outbox.jobs == []

    def test_an_exception_is_kept_as_it_is(self, bench: Bench) -> None:
        error = KeyError("k")
        result = bench.task(raising(error)).apply()
        assert (result.state, result.result) == ("FAILURE", error)
        assert "KeyError: 'k'" in (result.traceback or "")
        with pytest.raises(KeyError) as caught:
            result.get()
        assert caught.value is error

    @pytest.mark.parametrize(
        ("error", "state"), [(Ignore(), "IGNORED"), (Reject("no"), "REJECTED")]
    )
    def test_control_flow(self, bench: Bench, error: Exception, state: str) -> None:
        assert bench.task(raising(error)).apply().state == state

    @pytest.mark.parametrize(
        ("throw", "setting", "raises"),
        [(None, False, False), (None, True, True), (True, False, True), (False, True, False)],
    )
    def test_who_decides_whether_it_raises(
        self, bench: Bench, throw: bool | None, setting: bool, raises: bool
    ) -> None:
        bench.app.conf.task_eager_propagates = setting
        task = bench.task(raising(KeyError("k")))
        if not raises:
            assert task.apply(throw=throw).state == "FAILURE"
            return
        with pytest.raises(KeyError):
            task.apply(throw=throw)

    def test_ignore_raises_nothing(self, bench: Bench) -> None:
        assert bench.task(raising(Ignore())).apply(throw=True).state == "IGNORED"


class TestEnds:
    """What ends a program is the program's own affair: no worker stands between."""

    @pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
    @pytest.mark.parametrize("eager", [False, True])
    def test_what_ends_programs_propagates(
        self, bench: Bench, error: BaseException, eager: bool
    ) -> None:
        bench.app.conf.task_always_eager = eager
        task = bench.task(raising(error))
        with pytest.raises(type(error)) as caught:
            task.delay() if eager else task.apply(throw=False)
        assert caught.value is error
        assert current_request.get() is None

    def test_even_where_the_task_would_run_again_because_of_it(self, bench: Bench) -> None:
        runs: list[int] = []

        def leave() -> None:
            runs.append(1)
            if len(runs) == 1:
                raise SystemExit(3)

        task = bench.task(leave, autoretry_for=(SystemExit,))
        with pytest.raises(SystemExit):
            task.apply()
        assert runs == [1]

    @pytest.mark.parametrize("throw", [False, True])
    def test_who_rejects_has_no_queue_to_go_back_to(self, bench: Bench, throw: bool) -> None:
        runs: list[int] = []

        def reject() -> None:
            runs.append(1)
            raise Reject("no", requeue=True)

        task = bench.task(reject)
        if throw:
            with pytest.raises(Reject):
                task.apply(throw=True)
        else:
            assert task.apply().state == "REJECTED"
        assert runs == [1]

    def test_that_is_what_is_kept(self, bench: Bench) -> None:
        bench.app.conf.task_store_eager_result = True
        bench.task(raising(Reject("no", requeue=True))).apply()
        ((_, outcome, _),) = bench.outbox.ended
        assert outcome.state == "REJECTED"


class TestCoroutines:
    @staticmethod
    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    def test_they_leave_no_loop_behind(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        loops: list[asyncio.AbstractEventLoop] = []
        new = asyncio.new_event_loop

        def note() -> asyncio.AbstractEventLoop:
            loops.append(new())
            return loops[-1]

        monkeypatch.setattr(asyncio.events, "new_event_loop", note)
        task = bench.task(self.later)
        before = descriptors()
        assert [task.apply((x,)).get() for x in range(5)] == [1, 2, 3, 4, 5]
        assert descriptors() == before
        assert [loop.is_closed() for loop in loops] == [True] * 5

    def test_nor_does_one_that_fails_or_runs_again(self, bench: Bench) -> None:
        async def fail(self: Any) -> None:
            await asyncio.sleep(0)
            if self.request.retries == 0:
                self.retry()
            raise KeyError("k")

        before = descriptors()
        assert bench.task(fail, bind=True).apply().state == "FAILURE"
        assert descriptors() == before

    def test_one_may_run_inside_another(self, bench: Bench) -> None:
        task = bench.task(self.later)

        async def main() -> list[Any]:
            before = descriptors()
            results = [task.apply((x,)) for x in range(3)]
            assert descriptors() == before
            return [result.get() for result in results] + [await task.apply((9,))]

        assert asyncio.run(main()) == [1, 2, 3, 10]

    def test_there_it_has_its_request_and_its_errors(self, bench: Bench) -> None:
        async def work(self: Any, fail: bool) -> str:
            await asyncio.sleep(0)
            if fail:
                raise KeyError("k")
            return f"{self.request.id} {current_app() is bench.app}"

        task = bench.task(work, bind=True)

        async def main() -> tuple[Any, Any]:
            return task.apply((False,), task_id="mine"), task.apply((True,))

        fine, failed = asyncio.run(main())
        assert fine.get() == "mine True"
        assert (failed.state, type(failed.result)) == ("FAILURE", KeyError)
        assert "in work" in (failed.traceback or "")

    def test_what_ends_programs_propagates_from_there_too(self, bench: Bench) -> None:
        async def leave() -> None:
            raise SystemExit(3)

        task = bench.task(leave)

        async def main() -> None:
            with pytest.raises(SystemExit):
                task.apply()

        asyncio.run(main())
        assert [each.name for each in threading.enumerate() if "eager" in each.name] == []


@dataclasses.dataclass
class Order:
    number: int


class TestArguments:
    """With `task_always_eager` they are what they would be in a worker."""

    @pytest.fixture(autouse=True)
    def _eager(self, bench: Bench) -> None:
        bench.app.conf.task_always_eager = True

    def test_a_callers_list_stays_as_it_is(self, bench: Bench) -> None:
        def change(items: list[int], *, more: dict[str, int]) -> tuple[int, int]:
            items.append(2)
            more["b"] = 2
            return len(items), len(more)

        items, more = [1], {"a": 1}
        assert bench.task(change).delay(items, more=more).get() == (2, 2)
        assert (items, more) == ([1], {"a": 1})

    def test_a_dict_becomes_what_the_annotation_says(self, bench: Bench) -> None:
        def take(order: Order) -> Order:
            return order

        given = Order(1)
        task = bench.task(take)
        assert task.delay({"number": 5}).get() == Order(5)
        found = task.delay(given).get()
        assert found == given
        assert found is not given

    def test_they_go_the_way_of_the_tasks_serializer(self, bench: Bench) -> None:
        bench.app.conf["accept_content"] = ["json", "pickle"]
        task = bench.task(repr, serializer="pickle")
        assert task.delay({1: (2, complex(1, 2))}).get() == "{1: (2, (1+2j))}"
        with pytest.raises(NotSerializable):
            task.apply_async(({1: 2},), serializer="json")

    def test_what_is_not_accepted_does_not_run(self, bench: Bench) -> None:
        task = bench.task(raising(AssertionError("ran")), serializer="pickle")
        with pytest.raises(ImproperlyConfigured, match="accept_content"):
            task.delay()

    def test_apply_takes_them_as_they_are_as_in_celery(self, bench: Bench) -> None:
        items: list[Any] = [object()]
        assert bench.task(lambda x: x is items).apply((items,)).get() is True


class TestRetries:
    def test_they_come_at_once(self, bench: Bench) -> None:
        result = bench.task(third_time, bind=True).apply(task_id="mine")
        assert (result.get(), result.id) == (2, "mine")
        assert bench.clock.slept == []

    def test_they_have_an_end(self, bench: Bench) -> None:
        result = bench.task(third_time, bind=True, max_retries=1).apply()
        assert (result.state, type(result.result)) == ("FAILURE", MaxRetriesExceededError)

    def test_some_may_be_behind_it(self, bench: Bench) -> None:
        assert bench.task(third_time, bind=True).apply(retries=1).get() == 2
        assert bench.task(third_time, bind=True).apply(retries=5).get() == 5

    def test_automatic_ones(self, bench: Bench) -> None:
        runs: list[int] = []

        def fail(self: Any) -> None:
            runs.append(self.request.retries)
            raise OSError

        task = bench.task(fail, bind=True, autoretry_for=(OSError,), max_retries=2)
        assert task.apply().state == "FAILURE"
        assert runs == [0, 1, 2]

    def test_with_other_arguments(self, bench: Bench) -> None:
        def count(self: Any, x: int, *, y: int = 0) -> tuple[int, int]:
            if x < 3:
                self.retry((x + 1,))
            if y < 2:
                self.retry(kwargs={"y": y + 1}, max_retries=9)
            return x, y

        assert bench.task(count, bind=True).apply((1,)).get() == (3, 2)


class TestStoring:
    """`task_store_eager_result`."""

    @pytest.fixture(autouse=True)
    def _stored(self, bench: Bench) -> None:
        bench.app.conf.task_store_eager_result = True

    def test_a_verdict_is_kept_as_of_a_job(self, bench: Bench) -> None:
        def work(self: Any, x: int) -> int:
            bench.clock.advance(2)
            if self.request.retries < 2:
                self.retry()
            return x

        bench.task(work, bind=True, queue="mail").apply((5,), task_id="mine")
        ((job, outcome, retries),) = bench.outbox.ended
        assert (job.id, job.task, job.body, job.queue) == ("mine", "t", "[[5],{}]", "mail")
        assert (outcome.state, outcome.result, retries) == ("SUCCESS", "5", 2)
        assert (outcome.started, outcome.runtime) == (NOW + 4, 2)

    def test_so_is_a_failure_even_one_that_is_raised(self, bench: Bench) -> None:
        with pytest.raises(KeyError):
            bench.task(raising(KeyError("k"))).apply(throw=True)
        ((_, outcome, _),) = bench.outbox.ended
        assert outcome.state == "FAILURE"
        assert outcome.failure is not None
        assert outcome.failure.type == "KeyError"

    def test_what_a_task_ignores_is_not_kept(self, bench: Bench) -> None:
        bench.task(lambda: 5, ignore_result=True).apply()
        assert bench.outbox.ended == []

    def test_what_cannot_be_stored_is_refused_before_it_runs(self, bench: Bench) -> None:
        runs: list[int] = []
        task = bench.task(lambda x: runs.append(1))
        with pytest.raises(NotSerializable):
            task.apply((object(),))
        bench.app.conf.task_max_arguments_size = 100
        with pytest.raises(PayloadTooLarge):
            task.apply(("x" * 200,))
        assert (runs, bench.outbox.ended) == ([], [])

    def test_without_the_setting_nothing_is(self, bench: Bench) -> None:
        bench.app.conf.task_store_eager_result = False
        bench.task(lambda: 5).apply()
        assert bench.outbox.ended == []


class TestRequest:
    def test_it_says_what_it_is(self, bench: Bench) -> None:
        seen: list[Any] = []
        task = bench.task(lambda self, *a: seen.append(self.request), bind=True)
        task.apply((1,), task_id="mine", headers={"k": "v"})
        (request,) = seen
        assert (request.id, request.is_eager, request.called_directly) == ("mine", True, False)
        assert (request.args, request.headers, request.retries) == ([1], {"k": "v"}, 0)
        assert (request.parent_id, request.root_id) == (None, "mine")

    @pytest.mark.parametrize("ignores", [False, True])
    @pytest.mark.parametrize("eager", [False, True])
    def test_it_says_whether_the_result_is_ignored(
        self, bench: Bench, ignores: bool, eager: bool
    ) -> None:
        bench.app.conf.task_always_eager = eager
        task = bench.task(
            lambda self: seen.append(self.request.ignore_result), bind=True, ignore_result=ignores
        )
        seen: list[bool] = []
        task.delay() if eager else task.apply()
        assert seen == [ignores]

    def test_inside_a_job_it_has_a_parent(self, bench: Bench) -> None:
        seen: list[Any] = []
        inner = bench.app.task(name="inner", bind=True)(lambda self: seen.append(self.request))
        bench.task(calling(inner.apply))
        bench.execute(lease_options={"root": "root-id"})
        assert (seen[0].parent_id, seen[0].root_id) == ("the-id", "root-id")

    def test_states_of_ones_own_are_not_written_down(self, bench: Bench) -> None:
        task = bench.task(lambda self: self.update_state(state="PROGRESS"), bind=True)
        assert task.apply().state == "SUCCESS"
        assert bench.outbox.shown == []


class TestHooksAndOptions:
    def test_hooks_and_signals_are_those_of_a_worker(self, bench: Bench, heard: Heard) -> None:
        heard.listen(signals.task_prerun, signals.task_postrun, signals.task_success)
        bench.task(lambda: 5, on_success=heard.hook("on_success")).apply()
        assert heard.names == ["task_prerun", "on_success", "task_success", "task_postrun"]

    def test_what_needs_a_queue_changes_nothing(self, bench: Bench) -> None:
        task = bench.task(lambda: 5)
        result = task.apply(countdown=5, eta=None, queue="mail", priority=3, expires=1, shadow="x")
        assert result.get() == 5

    def test_what_is_not_built_or_unknown_is_refused(self, bench: Bench) -> None:
        task = bench.task(raising(AssertionError("ran")))
        with pytest.raises(NotImplementedError, match="concurrency_key"):
            task.apply(concurrency_key=5)
        with pytest.raises(TypeError, match="'contdown'"):
            task.apply(contdown=5)

    def test_retry_inside_a_nested_eager_task_is_its_own(self, bench: Bench) -> None:
        inner = bench.app.task(name="inner", bind=True)(third_time)
        bench.task(lambda: inner.apply().get(disable_sync_subtasks=False))
        assert bench.execute().result == "2"

    def test_a_task_whose_app_was_not_used_yet(self, bench: Bench) -> None:
        bench.app.conf.task_annotations = {"t": {"max_retries": 0}}
        result = bench.task(raising(Retry())).apply()
        assert result.state == "FAILURE"
