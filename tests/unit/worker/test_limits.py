"""Verdicts of jobs that are interrupted, awaited, or end their worker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from litequeue.context import current_request, working_for
from litequeue.exceptions import (
    SoftTimeLimitExceeded,
    WorkerShutdown,
    WorkerTerminate,
)
from litequeue.interrupts import Guard, SignalGuard, TaskGuard, ThreadGuard, is_guarded
from litequeue.job import Outcome
from litequeue.worker.executor import Executor, Prepared
from tests.unit.bench import NOW, Bench, Heard, lease, raising

TOKEN = 99
"""That of the leases of the bench."""


def striker(guard: Guard) -> Callable[[], None]:
    """Return what interrupts the job that runs, as the enforcer of its pool does."""

    def strike() -> None:
        if isinstance(guard, ThreadGuard):
            thread = threading.Thread(target=guard.interrupt, args=(TOKEN,))
            thread.start()
            thread.join()
        else:
            guard.interrupt(TOKEN)

    return strike


@pytest.fixture(params=[SignalGuard, ThreadGuard])
def guard(request: pytest.FixtureRequest) -> Guard:
    guard: Guard = request.param()
    return guard


def execute(bench: Bench, guard: Guard | None, **changes: Any) -> Outcome:
    with working_for(bench.app), closing(Executor(bench.app, bench.clock, "h", guard)) as executor:
        outcome = executor.execute(lease(**changes))
    assert current_request.get() is None
    assert not is_guarded()
    return outcome


def ended_as(outcome: Outcome) -> tuple[str, str | None]:
    return outcome.state, None if outcome.failure is None else outcome.failure.type


class TestSoftLimit:
    def test_a_job_that_exceeds_it_has_failed(self, bench: Bench, guard: Guard) -> None:
        bench.task(striker(guard))
        outcome = execute(bench, guard, soft=1.0)
        assert ended_as(outcome) == ("FAILURE", "SoftTimeLimitExceeded")
        assert outcome.failure is not None
        assert outcome.failure.message == "The job ran longer than its soft time limit."
        assert "litequeue/worker/executor.py" not in (outcome.failure.traceback or "")

    def test_a_task_may_catch_it(self, bench: Bench, guard: Guard) -> None:
        strike = striker(guard)

        def task() -> str:
            try:
                strike()
            except SoftTimeLimitExceeded:
                return "cleaned up"
            return ""

        bench.task(task)
        assert execute(bench, guard).result == '"cleaned up"'

    def test_it_is_retried_as_any_exception(self, bench: Bench, guard: Guard) -> None:
        bench.task(striker(guard), autoretry_for=(SoftTimeLimitExceeded,), default_retry_delay=5)
        outcome = execute(bench, guard)
        assert (outcome.state, outcome.eta) == ("RETRY", NOW + 5)
        assert ended_as(execute(bench, guard, retries=3))[0] == "FAILURE"

    def test_it_may_be_expected(self, bench: Bench, guard: Guard) -> None:
        bench.task(striker(guard), throws=(SoftTimeLimitExceeded,))
        failure = execute(bench, guard).failure
        assert failure is not None
        assert failure.expected

    def test_before_start_is_user_code(self, bench: Bench, guard: Guard) -> None:
        strike = striker(guard)
        bench.task(lambda: None, before_start=lambda *_: strike())
        assert ended_as(execute(bench, guard)) == ("FAILURE", "SoftTimeLimitExceeded")

    @pytest.mark.parametrize("hook", ["on_success", "after_return"])
    def test_what_comes_after_the_task_is_not_struck(
        self, bench: Bench, guard: Guard, heard: Heard, hook: str
    ) -> None:
        strike, called = striker(guard), []

        def late(*_: Any) -> None:
            strike()
            called.append(hook)

        bench.task(lambda: 1, **{hook: late})
        assert execute(bench, guard).result == "1"
        assert called == [hook]

    def test_nor_is_the_next_job(self, bench: Bench, guard: Guard) -> None:
        bench.task(lambda fails: striker(guard)() if fails else "fine")
        with closing(Executor(bench.app, bench.clock, "h", guard)) as executor:
            outcomes = [executor.execute(lease(args=[fails])) for fails in (True, False)]
        assert [outcome.state for outcome in outcomes] == ["FAILURE", "SUCCESS"]

    def test_a_task_that_has_returned_has_succeeded(self, bench: Bench) -> None:
        """It strikes between the return and the guard's end: in the executor's own frame."""

        class Late(SignalGuard):
            def end(self) -> None:
                self.interrupt(TOKEN)
                super().end()

        bench.task(lambda: "done")
        assert execute(bench, Late()).result == '"done"'

    def test_a_task_that_has_raised_has_raised_that(self, bench: Bench) -> None:
        class Late(SignalGuard):
            def end(self) -> None:
                self.interrupt(TOKEN)
                super().end()

        bench.task(raising(KeyError("mine")))
        assert ended_as(execute(bench, Late())) == ("FAILURE", "KeyError")

    def test_a_task_that_has_not_begun_is_too_late(self, bench: Bench) -> None:
        class Early(SignalGuard):
            def begin(self, token: int, *, awaits: bool = False) -> None:
                super().begin(token, awaits=awaits)
                self.interrupt(token)

        ran: list[bool] = []
        bench.task(lambda: ran.append(True))
        assert ended_as(execute(bench, Early())) == ("FAILURE", "SoftTimeLimitExceeded")
        assert not ran

    def test_a_job_inside_of_a_job_passes_it_on(self, bench: Bench, guard: Guard) -> None:
        inner = bench.app.task(name="inner")(striker(guard))
        seen: list[object] = []

        def outer() -> None:
            seen.append(inner.apply())

        bench.task(outer)
        assert ended_as(execute(bench, guard)) == ("FAILURE", "SoftTimeLimitExceeded")
        assert seen == []

    def test_a_job_without_a_worker_may_raise_it_itself(self, bench: Bench) -> None:
        """As tests of what happens at a time limit do."""
        result = bench.task(raising(SoftTimeLimitExceeded())).apply()
        assert result.state == "FAILURE"
        assert isinstance(result.result, SoftTimeLimitExceeded)

    def test_a_coroutine_inside_of_a_job_leaves_its_guard_alone(
        self, bench: Bench, guard: Guard
    ) -> None:
        async def inner() -> int:
            return 1

        waits = bench.app.task(name="inner")(inner)
        strike = striker(guard)

        def outer() -> None:
            assert waits.apply().result == 1
            assert is_guarded()
            strike()

        bench.task(outer)
        assert ended_as(execute(bench, guard)) == ("FAILURE", "SoftTimeLimitExceeded")


class TestCoroutines:
    def test_the_limit_is_thrown_in_where_it_awaits(self, bench: Bench, guard: Guard) -> None:
        strike = striker(guard)

        async def task() -> str:
            strike()
            try:
                await asyncio.sleep(3600)
            except SoftTimeLimitExceeded:
                return "cleaned up"
            return ""

        bench.task(task)
        assert execute(bench, guard).result == '"cleaned up"'

    def test_the_traceback_begins_in_the_task(self, bench: Bench, guard: Guard) -> None:
        async def task() -> None:
            await asyncio.sleep(0)
            raise KeyError("mine")

        bench.task(task)
        failure = execute(bench, guard).failure
        assert failure is not None
        assert failure.traceback is not None
        assert failure.traceback.splitlines()[1].startswith(f'  File "{__file__}"')

    def test_a_loop_that_was_struck_is_not_used_again(self, bench: Bench) -> None:
        """The first signal asks, and is not heard; the second one strikes, wherever that is."""
        guard = SignalGuard()
        loops: list[object] = []

        async def task(hangs: bool) -> str:
            loop = asyncio.get_running_loop()
            loops.append(loop)
            if hangs:
                guard.interrupt(TOKEN)
                guard._driven._ask = lambda: None  # type: ignore[union-attr, method-assign]  # deaf

                def strike() -> None:
                    del loop._run_once  # type: ignore[attr-defined]  # as it was
                    guard.interrupt(TOKEN)

                loop._run_once = strike  # type: ignore[attr-defined]  # in the loop's own frame
                await asyncio.sleep(3600)
            return "fine"

        bench.task(task)
        with closing(Executor(bench.app, bench.clock, "h", guard)) as executor:
            first = executor.execute(lease(args=[True]))
            second = executor.execute(lease(args=[False]))
        assert ended_as(first) == ("FAILURE", "SoftTimeLimitExceeded")
        assert second.result == '"fine"'
        assert loops[0] is not loops[1]


class TestOnALoop:
    """`Executor.execute_async`."""

    def run(self, bench: Bench, guard: TaskGuard | None = None, **changes: Any) -> Outcome:
        async def main() -> Outcome:
            outcome = await Executor(bench.app, bench.clock, "h").execute_async(
                lease(**changes), guard
            )
            assert current_request.get() is None
            return outcome

        with working_for(bench.app):
            return asyncio.run(main())

    def test_a_coroutine_is_awaited_there(self, bench: Bench) -> None:
        async def task() -> tuple[str, bool]:
            await asyncio.sleep(0)
            here = threading.current_thread() is threading.main_thread()
            return current_request.get().id, here  # type: ignore[union-attr]  # it runs

        bench.task(task)
        assert self.run(bench).result == '{"__type__":"tuple","__value__":["the-id",true]}'

    def test_a_function_has_a_thread(self, bench: Bench) -> None:
        def task() -> list[Any]:
            here = threading.current_thread() is threading.main_thread()
            return [current_request.get().id, here]  # type: ignore[union-attr]  # it runs

        bench.task(task)
        assert self.run(bench).result == '["the-id",false]'

    def test_a_function_that_returns_a_coroutine_has_it_awaited(self, bench: Bench) -> None:
        async def work() -> int:
            return 5

        bench.task(lambda: work())  # noqa: PLW0108 - not a coroutine function, but returns one
        assert self.run(bench).result == "5"

    def test_verdicts_are_the_same(self, bench: Bench) -> None:
        async def retry(self: Any) -> None:
            self.retry(countdown=2)

        bench.task(retry, bind=True)
        outcome = self.run(bench)
        assert (outcome.state, outcome.eta) == ("RETRY", NOW + 2)
        assert ended_as(self.run(bench, task="nosuch")) == ("FAILURE", "NotRegistered")

    def test_both_are_interrupted(self, bench: Bench) -> None:
        guard = TaskGuard()

        async def waits() -> None:
            guard.interrupt(TOKEN)
            await asyncio.sleep(3600)

        def works() -> None:
            striker(guard.thread)()

        for task in (waits, works):
            bench.app.tasks.pop("t", None)
            bench.task(task)
            assert ended_as(self.run(bench, guard)) == ("FAILURE", "SoftTimeLimitExceeded")

    def test_many_jobs_keep_their_requests_apart(self, bench: Bench) -> None:
        async def task(self: Any) -> str:
            await asyncio.sleep(0)
            return str(self.request.id)

        bench.task(task, bind=True)

        async def main() -> list[Outcome]:
            executor = Executor(bench.app, bench.clock, "h")
            return await asyncio.gather(
                *(executor.execute_async(lease(id=id)) for id in ("one", "two"))
            )

        assert [outcome.result for outcome in asyncio.run(main())] == ['"one"', '"two"']

    def test_a_pool_may_cancel_it(self, bench: Bench) -> None:
        async def task() -> None:
            await asyncio.sleep(3600)

        bench.task(task)

        async def main() -> None:
            job = asyncio.create_task(Executor(bench.app, bench.clock, "h").execute_async(lease()))
            await asyncio.sleep(0)
            job.cancel()
            with pytest.raises(asyncio.CancelledError):
                await job

        asyncio.run(main())


class TestSteps:
    def test_make_what_execute_makes(self, bench: Bench) -> None:
        bench.task(lambda x: x + 1)
        executor = Executor(bench.app, bench.clock, "h")
        prepared = executor.prepare(lease(args=[1]))
        assert isinstance(prepared, Prepared)
        assert current_request.get() is prepared.request
        value = prepared.task.run(*prepared.request.args)
        outcome = executor.conclude(prepared, value, None)
        assert current_request.get() is None
        assert outcome == executor.execute(lease(args=[1]))

    def test_what_cannot_run_has_its_verdict_at_once(self, bench: Bench) -> None:
        bench.task(lambda: None)
        outcome = Executor(bench.app, bench.clock, "h").prepare(lease(body="["))
        assert isinstance(outcome, Outcome)
        assert outcome.state == "FAILURE"
        assert current_request.get() is None


class TestLeaving:
    """`WorkerShutdown` and `WorkerTerminate`."""

    @pytest.mark.parametrize(
        ("error", "wanted", "code"),
        [
            (WorkerShutdown(), "shutdown", 0),
            (WorkerShutdown(3), "shutdown", 3),
            (WorkerTerminate("why"), "terminate", 1),
        ],
    )
    def test_the_worker_is_told_and_the_job_goes_back(
        self, bench: Bench, heard: Heard, error: SystemExit, wanted: str, code: int
    ) -> None:
        bench.task(raising(error), on_failure=heard.hook("on_failure"))
        executor = Executor(bench.app, bench.clock, "h")
        outcome = executor.execute(lease())
        assert (executor.stop_wanted, executor.stop_code) == (wanted, code)
        assert (outcome.state, outcome.counted, outcome.eta) == ("RETRY", False, None)
        assert heard.names == []

    def test_one_that_was_acknowledged_has_failed(self, bench: Bench) -> None:
        bench.task(raising(WorkerShutdown()))
        assert ended_as(execute(bench, None, once=1)) == ("FAILURE", "WorkerShutdown")

    def test_any_other_exit_is_the_jobs_own(self, bench: Bench) -> None:
        bench.task(raising(SystemExit(3)))
        executor = Executor(bench.app, bench.clock, "h")
        assert ended_as(executor.execute(lease())) == ("FAILURE", "SystemExit")
        assert executor.stop_wanted is None

    def test_a_coroutine_may_say_so_too(self, bench: Bench) -> None:
        async def task() -> None:
            await asyncio.sleep(0)
            raise WorkerShutdown

        bench.task(task)
        with closing(Executor(bench.app, bench.clock, "h")) as executor:
            outcome = executor.execute(lease())
            assert executor.stop_wanted == "shutdown"
            assert outcome.state == "RETRY"

    def test_without_a_worker_it_ends_the_program(self, bench: Bench) -> None:
        with pytest.raises(WorkerShutdown):
            bench.task(raising(WorkerShutdown())).apply()
