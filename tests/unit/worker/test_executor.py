"""What a job comes to.  Hooks and signals: test_hooks.py; without a queue: test_eager.py;
what no job may do to its worker: test_hostile_tasks.py.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from litequeue import Task, serialization
from litequeue.context import current_request
from litequeue.exceptions import Ignore, Reject, Retry
from litequeue.job import Failure, Outcome
from litequeue.worker.executor import Executor
from tests.unit.bench import NOW, Bench, lease, raising


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, result_max_size=1_000, task_max_arguments_size=1_000)


def failure_of(outcome: Outcome) -> Failure:
    assert outcome.failure is not None
    return outcome.failure


class TestSuccess:
    def test_a_return_value_is_a_result(self, bench: Bench) -> None:
        outcome = bench.run(lambda x, y: {"sum": x + y}, args=[1], kwargs={"y": 2}, claim=4)
        assert (outcome.state, outcome.result) == ("SUCCESS", '{"sum":3}')
        assert outcome.failure is None
        assert (outcome.seq, outcome.token, outcome.claim) == (7, 99, 4)

    @pytest.mark.parametrize("value", [0, "", [], {}, False])
    def test_a_value_that_is_false_is_a_result_too(self, bench: Bench, value: object) -> None:
        outcome = bench.run(lambda: value)
        assert outcome.result is not None
        assert serialization.loads(outcome.result) == value

    def test_none_is_stored_as_nothing(self, bench: Bench) -> None:
        outcome = bench.run(lambda: None)
        assert (outcome.state, outcome.result) == ("SUCCESS", None)

    def test_times_are_measured(self, bench: Bench) -> None:
        outcome = bench.run(lambda: bench.clock.advance(2.5))
        assert (outcome.started, outcome.runtime) == (NOW, 2.5)

    def test_a_run_time_does_not_follow_the_wall_clock(self, bench: Bench) -> None:
        assert bench.run(lambda: bench.clock.set_wall(0)).runtime == 0

    @pytest.mark.parametrize("value", [{object()}, float("nan"), {1: 2}, "\ud800", object()])
    def test_a_result_that_would_not_survive_is_a_failure(
        self, bench: Bench, value: object
    ) -> None:
        outcome = bench.run(lambda: value)
        assert (outcome.state, outcome.result) == ("FAILURE", None)
        assert failure_of(outcome).type == "NotSerializable"
        assert failure_of(outcome).message.startswith("the return value cannot be kept: $")

    @pytest.mark.parametrize(("text", "fits"), [("x" * 998, 1), ("x" * 999, 0), ("é" * 500, 0)])
    def test_a_result_is_bounded_in_bytes(self, bench: Bench, text: str, fits: int) -> None:
        outcome = bench.run(lambda: text)
        if fits:
            assert outcome.state == "SUCCESS"
            return
        assert failure_of(outcome).type == "ResultTooLarge"
        assert "result_max_size" in failure_of(outcome).message

    def test_at_info_the_log_may_show_the_result(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, "litequeue.worker"):
            assert bench.run(lambda: ("x" * 50,)).shown == f"('{'x' * 50}',)"
            assert bench.run(lambda: "x" * 50, resultrepr_maxsize=5).shown == "'xxxx"
            assert bench.run(lambda: 5, ignore_result=True).shown == "5"
            assert bench.run(raising(KeyError())).shown is None
        with caplog.at_level(logging.WARNING, "litequeue.worker"):
            assert bench.run(lambda: 5).shown is None


class TestIgnoredResults:
    """The call wins over the task, and the task over the setting."""

    @pytest.mark.parametrize(
        ("setting", "task", "call", "result"),
        [
            (False, None, None, "5"),
            (True, None, None, None),
            (False, True, None, None),
            (True, False, None, "5"),
            (False, True, False, "5"),
            (False, None, True, None),
            (True, False, True, None),
        ],
    )
    def test_who_decides(
        self,
        bench: Bench,
        setting: bool,
        task: bool | None,
        call: bool | None,
        result: str | None,
    ) -> None:
        bench.app.conf.task_ignore_result = setting
        given = {} if call is None else {"lease_options": {"ignore_result": call}}
        outcome = bench.run(lambda: 5, ignore_result=task, **given)
        assert (outcome.state, outcome.result) == ("SUCCESS", result)

    @pytest.mark.parametrize(
        ("task", "call", "ignored"),
        [(False, None, False), (True, None, True), (True, False, False), (False, True, True)],
    )
    def test_a_task_may_ask(
        self, bench: Bench, task: bool, call: bool | None, ignored: bool
    ) -> None:
        seen: list[bool] = []
        given = {} if call is None else {"lease_options": {"ignore_result": call}}
        bench.run(
            lambda self: seen.append(self.request.ignore_result),
            bind=True,
            ignore_result=task,
            **given,
        )
        assert seen == [ignored]

    def test_it_need_not_be_serializable(self, bench: Bench) -> None:
        assert bench.run(object, ignore_result=True).state == "SUCCESS"

    def test_a_failure_is_told_all_the_same(self, bench: Bench) -> None:
        outcome = bench.run(raising(KeyError("k")), ignore_result=True)
        assert failure_of(outcome).type == "KeyError"


class TestFailure:
    def test_an_exception_is_a_failure_in_words(self, bench: Bench) -> None:
        outcome = bench.run(raising(ValueError("no", 5)))
        assert (outcome.state, outcome.result, outcome.eta) == ("FAILURE", None, None)
        failure = failure_of(outcome)
        assert (failure.type, failure.message, failure.args) == (
            "ValueError",
            "('no', 5)",
            '["no",5]',
        )
        assert failure.traceback is not None
        assert "in function" in failure.traceback
        assert failure.traceback.count("File ") == 1, "frames of the library are left out"

    @pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
    def test_what_would_end_a_program_only_fails_the_job(
        self, bench: Bench, error: BaseException
    ) -> None:
        outcome = bench.run(raising(error))
        assert outcome.state == "FAILURE"
        assert failure_of(outcome).type == type(error).__name__

    def test_sys_exit_and_endless_recursion_only_fail_the_job(self, bench: Bench) -> None:
        def deep() -> None:
            deep()

        assert bench.run(sys.exit).state == "FAILURE"
        assert failure_of(bench.run(deep)).type == "RecursionError"

    @pytest.mark.parametrize(
        ("throws", "error", "expected"),
        [
            ((), KeyError(), False),
            ((KeyError, OSError), KeyError(), True),
            (LookupError, KeyError(), True),
            ((OSError,), KeyError(), False),
        ],
    )
    def test_what_a_task_may_throw_is_expected(
        self, bench: Bench, throws: Any, error: Exception, expected: bool
    ) -> None:
        outcome = bench.run(raising(error), throws=throws)
        assert (outcome.state, failure_of(outcome).expected) == ("FAILURE", expected)

    def test_wrong_arguments_are_the_jobs_failure(self, bench: Bench) -> None:
        assert failure_of(bench.run(lambda: None, args=[1])).type == "TypeError"

    @pytest.mark.parametrize("body", ["", "{", "[]", '{"a":1}', "[[],[]]", "[" * 100_000, None])
    def test_an_unreadable_body_is_a_failure(self, bench: Bench, body: Any) -> None:
        outcome = bench.run(lambda: pytest.fail("ran"), body=body)
        assert outcome.state == "FAILURE"
        assert "cannot be read" in failure_of(outcome).message

    def test_an_unknown_task_is_a_failure(self, bench: Bench) -> None:
        outcome = bench.execute("nosuch")
        assert outcome.state == "FAILURE"
        assert failure_of(outcome).type == "NotRegistered"
        assert failure_of(outcome).message == "no task 'nosuch' in this worker"


class TestControlFlow:
    def test_ignore_and_reject(self, bench: Bench) -> None:
        ignored = bench.run(raising(Ignore()))
        assert (ignored.state, ignored.result, ignored.failure) == ("IGNORED", None, None)
        rejected = bench.run(raising(Reject("bad input")))
        assert rejected.state == "REJECTED"
        failure = failure_of(rejected)
        assert (failure.type, failure.message) == ("RejectedError", "bad input")

    def test_reject_with_requeue_goes_back_at_once_and_uncounted(self, bench: Bench) -> None:
        outcome = bench.run(raising(Reject(requeue=True)))
        assert (outcome.state, outcome.eta, outcome.counted) == ("RETRY", None, False)

    @pytest.mark.parametrize("state", ["FAILURE", "SUCCESS", "REVOKED"])
    def test_a_task_may_end_in_a_state_it_has_shown(self, bench: Bench, state: str) -> None:
        def end(self: Any) -> None:
            self.update_state(state="PROGRESS", meta={"done": 1})
            self.update_state(state=state, meta={"why": "so"})
            raise Ignore

        outcome = bench.run(end, bind=True)
        assert (outcome.state, outcome.result) == (state, '{"why":"so"}')
        assert bench.outbox.shown == [("the-id", "PROGRESS", '{"done":1}', 99)]

    def test_without_ignore_what_it_has_shown_does_not_count(self, bench: Bench) -> None:
        def end(self: Any) -> int:
            self.update_state(state="FAILURE", meta={"why": "so"})
            return 5

        outcome = bench.run(end, bind=True)
        assert (outcome.state, outcome.result) == ("SUCCESS", "5")

    def test_a_state_of_another_job_is_no_verdict(self, bench: Bench) -> None:
        def end(self: Any) -> None:
            self.update_state(task_id="other", state="FAILURE")
            raise Ignore

        assert bench.run(end, bind=True).state == "IGNORED"
        assert bench.outbox.shown == [("other", "FAILURE", None, None)]

    def test_a_failure_in_celerys_form_is_told_as_one(self, bench: Bench) -> None:
        def end(self: Any) -> None:
            meta = {"exc_type": "KeyError", "exc_module": "builtins", "exc_message": ["k"]}
            self.update_state(state="FAILURE", meta=meta)
            raise Ignore

        outcome = bench.run(end, bind=True)
        assert outcome.state == "FAILURE"
        assert (failure_of(outcome).type, failure_of(outcome).args) == ("KeyError", '["k"]')


class TestRetry:
    def test_by_the_tasks_own_request(self, bench: Bench) -> None:
        outcome = bench.run(lambda self: self.retry(countdown=5, exc=OSError("later")), bind=True)
        assert (outcome.state, outcome.eta, outcome.counted) == ("RETRY", NOW + 5, True)
        assert (outcome.body, outcome.moves) == (None, None)
        assert (failure_of(outcome).type, failure_of(outcome).message) == ("OSError", "later")

    def test_raised_by_hand_it_counts_from_now(self, bench: Bench) -> None:
        outcome = bench.run(raising(Retry(when=7)))
        assert (outcome.state, outcome.eta) == ("RETRY", NOW + 7)
        assert bench.run(raising(Retry()), default_retry_delay=9).eta == NOW + 9
        assert bench.run(raising(Retry("again", when=0)), default_retry_delay=9).eta == NOW

    @pytest.mark.parametrize(
        ("when", "seconds"),
        [
            (datetime.fromtimestamp(NOW + 60, UTC), 60),
            (datetime.fromtimestamp(NOW + 60, timezone(timedelta(hours=5))), 60),
            (datetime.fromtimestamp(NOW + 60), 60),  # noqa: DTZ006 - naive is local
            (datetime.fromtimestamp(NOW - 60, UTC), 0),
            (1.5, 1.5),
        ],
    )
    def test_raised_by_hand_it_may_name_a_moment(
        self, bench: Bench, when: Any, seconds: float
    ) -> None:
        assert bench.run(raising(Retry("again", when=when))).eta == NOW + seconds

    def test_raised_by_hand_it_is_limited_too(self, bench: Bench) -> None:
        error = Retry(exc=OSError("gone"))
        assert bench.run(raising(error), max_retries=2, retries=1).state == "RETRY"
        outcome = bench.run(raising(error), max_retries=2, retries=2)
        assert (outcome.state, failure_of(outcome).type) == ("FAILURE", "OSError")

    def test_returned_it_can_be_raised(self, bench: Bench) -> None:
        def task(self: Any) -> None:
            raise self.retry(throw=False, countdown=3)

        outcome = bench.run(task, bind=True)
        assert (outcome.state, outcome.eta) == ("RETRY", NOW + 3)

    @pytest.mark.parametrize("then", ["return", "raise", "swallow"])
    def test_it_holds_however_the_attempt_ends(self, bench: Bench, then: str) -> None:
        def task(self: Any) -> str:
            if then == "swallow":
                try:
                    self.retry(countdown=3)
                except Retry:
                    return "done"
            self.retry(throw=False, countdown=3)
            if then == "raise":
                raise KeyError("k")
            return "done"

        outcome = bench.run(task, bind=True)
        assert (outcome.state, outcome.eta, outcome.result) == ("RETRY", NOW + 3, None)
        expected = "KeyError" if then == "raise" else "Retry"
        assert failure_of(outcome).type == expected

    @pytest.mark.parametrize("error", [Ignore(), Reject("no"), Reject("no", requeue=True)])
    def test_also_when_it_ends_in_control_flow(self, bench: Bench, error: Exception) -> None:
        def task(self: Any) -> None:
            self.retry(throw=False, countdown=3)
            raise error

        outcome = bench.run(task, bind=True)
        assert (outcome.state, outcome.eta, outcome.counted) == ("RETRY", NOW + 3, True)

    @pytest.mark.parametrize(
        ("changes", "body"),
        [
            ({"args": [9]}, '[[9],{"k":2}]'),
            ({"kwargs": {"k": 3}}, '[[1],{"k":3}]'),
            ({"args": [], "kwargs": {}}, "[[],{}]"),
        ],
        ids=["args", "kwargs", "both"],
    )
    def test_with_other_arguments_it_keeps_the_rest(
        self, bench: Bench, changes: dict[str, Any], body: str
    ) -> None:
        def task(self: Any, *args: Any, **kwargs: Any) -> None:
            self.retry(**changes)

        assert bench.run(task, bind=True, args=[1], kwargs={"k": 2}).body == body

    def test_it_may_move_the_job(self, bench: Bench) -> None:
        def task(self: Any) -> None:
            self.retry(queue="slow", expires=60)

        assert bench.run(task, bind=True).moves == ("slow", None, NOW + 60)

    @pytest.mark.parametrize(
        ("args", "type"), [([object()], "NotSerializable"), (["x" * 2_000], "PayloadTooLarge")]
    )
    def test_with_arguments_that_cannot_be_stored_it_fails(
        self, bench: Bench, args: list[Any], type: str
    ) -> None:
        outcome = bench.run(lambda self: self.retry(args=args), bind=True)
        assert (outcome.state, failure_of(outcome).type) == ("FAILURE", type)

    def test_the_last_one_is_spent(self, bench: Bench) -> None:
        outcome = bench.run(lambda self: self.retry(), bind=True, max_retries=2, retries=2)
        assert (outcome.state, failure_of(outcome).type) == ("FAILURE", "MaxRetriesExceededError")


class TestAutoretry:
    def test_it_follows_the_policy(self, bench: Bench) -> None:
        policy = {"autoretry_for": (OSError,), "retry_backoff": 4, "retry_jitter": False}
        outcome = bench.run(raising(ConnectionError("x")), retries=2, **policy)
        assert (outcome.state, outcome.eta, outcome.counted) == ("RETRY", NOW + 16, True)
        assert failure_of(outcome).type == "ConnectionError"
        assert bench.run(raising(ValueError()), **policy).state == "FAILURE"
        assert bench.run(raising(OSError()), retries=3, **policy).state == "FAILURE"
        unlimited = bench.run(raising(OSError()), retries=99, max_retries=None, **policy)
        assert unlimited.state == "RETRY"

    def test_it_never_overrules_control_flow(self, bench: Bench) -> None:
        policy: dict[str, Any] = {"autoretry_for": (Exception,), "max_retries": None}
        assert bench.run(raising(Ignore()), **policy).state == "IGNORED"
        assert bench.run(raising(Reject()), **policy).state == "REJECTED"
        assert bench.run(raising(Retry(when=1)), **policy).eta == NOW + 1

    @pytest.mark.parametrize(("retries", "state"), [(0, "RETRY"), (1, "FAILURE")])
    @pytest.mark.parametrize("exc", [None, KeyError("k")])
    def test_it_keeps_to_a_limit_that_the_task_itself_gave(
        self, bench: Bench, retries: int, state: str, exc: Exception | None
    ) -> None:
        def task(self: Any) -> None:
            self.retry(exc=exc, max_retries=1)

        policy: dict[str, Any] = {"autoretry_for": (Exception,), "max_retries": 9}
        outcome = bench.run(task, bind=True, retries=retries, **policy)
        assert outcome.state == state
        if state == "FAILURE":
            expected = "KeyError" if exc else "MaxRetriesExceededError"
            assert failure_of(outcome).type == expected

    def test_it_excludes_what_it_is_told_to(self, bench: Bench) -> None:
        outcome = bench.run(
            raising(FileNotFoundError()),
            autoretry_for=(OSError,),
            dont_autoretry_for=(FileNotFoundError,),
        )
        assert outcome.state == "FAILURE"


class TestCalling:
    def test_a_task_that_overrides_being_called_is_called(self, bench: Bench) -> None:
        class Doubling(Task[..., Any]):
            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                result: Any = self.run(*args, **kwargs)
                return 2 * result

        assert bench.run(lambda x: x, base=Doubling, args=[4]).result == "8"

    def test_coroutines_share_one_loop(self, bench: Bench) -> None:
        seen: list[Any] = []

        async def task() -> str:
            seen.append((asyncio.get_running_loop(), current_request.get().id))  # type: ignore[union-attr]  # it runs
            await asyncio.sleep(0)
            return "done"

        bench.task(task)
        executor = Executor(bench.app, bench.clock, "host")
        outcomes = [executor.execute(lease(id=id)) for id in ("one", "two")]
        assert [outcome.result for outcome in outcomes] == ['"done"'] * 2
        (loop, first), (other, second) = seen
        assert loop is other
        assert (first, second) == ("one", "two")
        executor.close()

    def test_a_coroutine_may_fail_and_retry(self, bench: Bench) -> None:
        async def fail(self: Any, again: bool) -> None:
            await asyncio.sleep(0)
            if again:
                self.retry(countdown=1)
            raise KeyError("k")

        bench.task(fail, bind=True)
        executor = Executor(bench.app, bench.clock, "host")
        failed, again = (executor.execute(lease(args=[value])) for value in (False, True))
        assert failure_of(failed).type == "KeyError"
        assert (again.state, again.eta) == ("RETRY", NOW + 1)
        executor.close()
