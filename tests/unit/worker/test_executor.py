"""What a job comes to.  Hooks and signals: test_hooks.py."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from litequeue import Task, serialization
from litequeue.context import current_request
from litequeue.exceptions import Ignore, Reject, Retry
from litequeue.job import Failure, Lease
from litequeue.result.failures import rebuild
from litequeue.worker.executor import Executor
from litequeue.worker.failure import MESSAGE_LIMIT
from tests.unit.bench import NOW, Bench, lease, raising


class Oops(Exception):
    """An exception of the user's own."""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, result_max_size=1_000, task_max_arguments_size=1_000)


def failure_of(outcome: Any) -> Failure:
    assert outcome.failure is not None
    failure: Failure = outcome.failure
    return failure


# Success


def test_a_return_value_is_a_result(bench: Bench) -> None:
    outcome = bench.run(lambda x, y: {"sum": x + y}, args=[1], kwargs={"y": 2})
    assert (outcome.state, outcome.result) == ("SUCCESS", '{"sum":3}')
    assert (outcome.seq, outcome.token, outcome.claim) == (7, 99, 1)
    assert outcome.failure is None


@pytest.mark.parametrize("value", [0, "", [], {}, False])
def test_a_value_that_is_false_is_a_result_too(bench: Bench, value: object) -> None:
    outcome = bench.run(lambda: value)
    assert outcome.result is not None
    assert serialization.loads(outcome.result) == value


def test_none_is_stored_as_nothing(bench: Bench) -> None:
    assert bench.run(lambda: None) == bench.run(lambda: 5, ignore_result=True)
    outcome = bench.run(lambda: None)
    assert (outcome.state, outcome.result) == ("SUCCESS", None)


def test_an_ignored_result_need_not_be_serializable(bench: Bench) -> None:
    assert bench.run(object, ignore_result=True).state == "SUCCESS"


def test_times_are_measured(bench: Bench) -> None:
    outcome = bench.run(lambda: bench.clock.advance(2.5))
    assert (outcome.started, outcome.runtime) == (1_700_000_000.0, 2.5)


def test_a_run_time_does_not_follow_the_wall_clock(bench: Bench) -> None:
    assert bench.run(lambda: bench.clock.set_wall(0)).runtime == 0


def test_the_request_says_what_runs(bench: Bench) -> None:
    seen: list[Any] = []
    bench.run(lambda self, x: seen.append(self.request), body="[[1],{}]", bind=True, retries=1,
              claim=3)  # fmt: skip
    (request,) = seen
    assert (request.id, request.task, request.args, request.kwargs) == ("the-id", "task", [1], {})
    assert (request.retries, request.claim, request.hostname) == (1, 3, "host")
    assert (request.eta, request.expires, request.parent_id) == (1.0, 2.0, "parent")
    assert not request.called_directly
    assert request.delivery_info == {
        "exchange": "",
        "routing_key": "mail",
        "priority": 5,
        "redelivered": True,
    }


def test_a_first_delivery_is_not_redelivered(bench: Bench) -> None:
    seen: list[Any] = []
    bench.run(lambda self: seen.append(self.request), bind=True, retries=2, claim=3)
    assert seen[0].delivery_info["redelivered"] is False


# Failure


def test_an_exception_is_a_failure_in_words(bench: Bench) -> None:
    outcome = bench.run(raising(ValueError("no", 5)))
    assert (outcome.state, outcome.result, outcome.eta) == ("FAILURE", None, None)
    failure = outcome.failure
    assert failure is not None
    assert (failure.type, failure.message, failure.args) == (
        "ValueError",
        "('no', 5)",
        '["no",5]',
    )
    assert failure.traceback is not None
    assert "in function" in failure.traceback
    assert failure.traceback.count("File ") == 1, "frames of the library are left out"


def test_a_users_exception_carries_its_module(bench: Bench) -> None:
    failure = bench.run(raising(Oops("x"))).failure
    assert failure is not None
    assert failure.type == f"{__name__}.Oops"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_what_would_end_a_program_only_fails_the_job(bench: Bench, error: BaseException) -> None:
    outcome = bench.run(raising(error))
    assert outcome.state == "FAILURE"
    assert outcome.failure is not None
    assert outcome.failure.type == type(error).__name__


def test_sys_exit_and_endless_recursion_only_fail_the_job(bench: Bench) -> None:
    def deep() -> None:
        deep()

    assert bench.run(sys.exit).state == "FAILURE"
    outcome = bench.run(deep)
    assert outcome.failure is not None
    assert outcome.failure.type == "RecursionError"


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not telling")

    __repr__ = __str__


def test_a_broken_str_does_not_cost_the_verdict(bench: Bench) -> None:
    outcome = bench.run(raising(Mute(object())))
    assert outcome.state == "FAILURE"
    assert outcome.failure is not None
    assert "whose str() raised RuntimeError" in outcome.failure.message
    json.loads(outcome.failure.args)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x" * 10_000_000),
        ValueError("lone \ud800 surrogate"),
        ValueError("\x00"),
        ValueError({1: 2}, object()),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        ExceptionGroup("many", [ValueError("one"), KeyError("two")]),
    ],
    ids=["huge", "surrogate", "nul", "objects", "decoding", "group"],
)
def test_whatever_an_exception_holds_can_be_stored(bench: Bench, error: Exception) -> None:
    failure = bench.run(raising(error)).failure
    assert failure is not None
    for text in (failure.type, failure.message, failure.traceback or "", failure.args):
        assert len(text.encode("utf-8")) <= 4 * MESSAGE_LIMIT
    assert isinstance(json.loads(failure.args), list)
    assert isinstance(rebuild(failure, "FAILURE"), Exception)


def test_wrong_arguments_are_the_jobs_failure(bench: Bench) -> None:
    failure = bench.run(lambda: None, body="[[1],{}]").failure
    assert failure is not None
    assert failure.type == "TypeError"


@pytest.mark.parametrize("body", ["", "{", "[]", '{"a":1}', "[[],[]]", "[" * 100_000, None])
def test_an_unreadable_body_is_a_failure(bench: Bench, body: Any) -> None:
    outcome = bench.run(lambda: pytest.fail("ran"), body=body)
    assert outcome.state == "FAILURE"
    assert outcome.failure is not None
    assert "cannot be read" in outcome.failure.message


def test_an_unknown_task_is_a_failure(bench: Bench) -> None:
    outcome = bench.run(lambda: None, name="nosuch")
    assert outcome.state == "FAILURE"
    assert outcome.failure is not None
    assert (outcome.failure.type, outcome.failure.message) == (
        "NotRegistered",
        "no task 'nosuch' in this worker",
    )


@pytest.mark.parametrize("value", [{1}, float("nan"), {1: 2}, "\ud800"])
def test_a_result_that_would_not_survive_is_a_failure(bench: Bench, value: object) -> None:
    outcome = bench.run(lambda: value)
    assert (outcome.state, outcome.result) == ("FAILURE", None)
    assert outcome.failure is not None
    assert outcome.failure.type == "NotSerializable"


@pytest.mark.parametrize(("text", "fits"), [("x" * 998, 1), ("x" * 999, 0), ("é" * 500, 0)])
def test_a_result_is_bounded_in_bytes(bench: Bench, text: str, fits: int) -> None:
    outcome = bench.run(lambda: text)
    if fits:
        assert outcome.state == "SUCCESS"
        return
    assert outcome.failure is not None
    assert outcome.failure.type == "ResultTooLarge"
    assert "result_max_size" in outcome.failure.message


# Control flow


def test_ignore_and_reject(bench: Bench) -> None:
    ignored = bench.run(raising(Ignore()))
    assert (ignored.state, ignored.result, ignored.failure) == ("IGNORED", None, None)
    rejected = bench.run(raising(Reject("bad input")))
    assert rejected.state == "REJECTED"
    assert rejected.failure is not None
    assert (rejected.failure.type, rejected.failure.message) == ("RejectedError", "bad input")


def test_reject_with_requeue_goes_back_at_once_and_uncounted(bench: Bench) -> None:
    outcome = bench.run(raising(Reject(requeue=True)))
    assert (outcome.state, outcome.eta, outcome.counted) == ("RETRY", None, False)


def test_retry_by_the_tasks_own_request(bench: Bench) -> None:
    now = bench.clock.now()
    outcome = bench.run(lambda self: self.retry(countdown=5, exc=OSError("later")), bind=True)
    assert (outcome.state, outcome.eta, outcome.counted) == ("RETRY", now + 5, True)
    assert outcome.body is None
    assert outcome.failure is not None
    assert (outcome.failure.type, outcome.failure.message) == ("OSError", "later")


def test_a_retry_raised_by_hand_counts_from_now(bench: Bench) -> None:
    outcome = bench.run(raising(Retry(when=7)))
    assert (outcome.state, outcome.eta) == ("RETRY", bench.clock.now() + 7)


def test_a_returned_retry_can_be_raised(bench: Bench) -> None:
    def task(self: Any) -> None:
        raise self.retry(throw=False, countdown=3)

    outcome = bench.run(task, bind=True)
    assert (outcome.state, outcome.eta) == ("RETRY", bench.clock.now() + 3)


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        ({"args": [9]}, '[[9],{"k":2}]'),
        ({"kwargs": {"k": 3}}, '[[1],{"k":3}]'),
        ({"args": [], "kwargs": {}}, "[[],{}]"),
    ],
    ids=["args", "kwargs", "both"],
)
def test_a_retry_with_other_arguments_keeps_the_rest(
    bench: Bench, changes: dict[str, Any], body: str
) -> None:
    outcome = bench.run(
        lambda self, *args, **kwargs: self.retry(**changes), bind=True, body='[[1],{"k":2}]'
    )
    assert outcome.body == body


@pytest.mark.parametrize(
    ("args", "type"), [([{1}], "NotSerializable"), (["x" * 2_000], "PayloadTooLarge")]
)
def test_a_retry_with_arguments_that_cannot_be_stored_fails(
    bench: Bench, args: list[Any], type: str
) -> None:
    outcome = bench.run(lambda self: self.retry(args=args), bind=True)
    assert outcome.state == "FAILURE"
    assert outcome.failure is not None
    assert outcome.failure.type == type


def test_the_last_retry_is_spent(bench: Bench) -> None:
    outcome = bench.run(lambda self: self.retry(), bind=True, max_retries=2, retries=2)
    assert outcome.state == "FAILURE"
    assert outcome.failure is not None
    assert outcome.failure.type == "MaxRetriesExceededError"


def test_autoretry_follows_the_policy(bench: Bench) -> None:
    policy = {"autoretry_for": (OSError,), "retry_backoff": 4, "retry_jitter": False}
    now = bench.clock.now()
    outcome = bench.run(raising(ConnectionError("x")), retries=2, **policy)
    assert (outcome.state, outcome.eta, outcome.counted) == ("RETRY", now + 16, True)
    assert outcome.failure is not None
    assert outcome.failure.type == "ConnectionError"
    assert bench.run(raising(ValueError()), **policy).state == "FAILURE"
    assert bench.run(raising(OSError()), retries=3, **policy).state == "FAILURE"
    assert bench.run(raising(OSError()), retries=99, max_retries=None, **policy).state == "RETRY"


def test_autoretry_never_overrules_control_flow(bench: Bench) -> None:
    policy: dict[str, Any] = {"autoretry_for": (Exception,), "max_retries": None}
    assert bench.run(raising(Ignore()), **policy).state == "IGNORED"
    assert bench.run(raising(Reject()), **policy).state == "REJECTED"
    outcome = bench.run(raising(Retry(when=1)), **policy)
    assert outcome.eta == bench.clock.now() + 1


def test_autoretry_excludes_what_it_is_told_to(bench: Bench) -> None:
    outcome = bench.run(
        raising(FileNotFoundError()),
        autoretry_for=(OSError,),
        dont_autoretry_for=(FileNotFoundError,),
    )
    assert outcome.state == "FAILURE"


def test_a_cause_is_told_in_the_traceback() -> None:
    try:
        try:
            raise OSError("first")
        except OSError as error:
            raise Oops("second") from error
    except Oops as error:
        failure = describe(error)
    assert failure.traceback is not None
    assert failure.traceback.index("first") < failure.traceback.index("second")
