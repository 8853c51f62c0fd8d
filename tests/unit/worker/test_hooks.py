"""The hooks and signals of a job: their order and arguments are Celery's (its trace.py)."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from litequeue import signals
from litequeue.context import current_request
from litequeue.exceptions import Ignore, Reject, Retry
from litequeue.job import Outcome
from litequeue.worker.failure import ExceptionInfo
from tests.unit.bench import NOW, Bench, Heard, raising

HOOKS = ("before_start", "on_success", "on_failure", "on_retry", "after_return")
JOB_SIGNALS = (
    signals.task_received,
    signals.task_prerun,
    signals.task_success,
    signals.task_failure,
    signals.task_retry,
    signals.task_postrun,
    signals.task_internal_error,
    signals.task_rejected,
    signals.task_revoked,
    signals.task_unknown,
)
BEGIN = ["task_received", "task_prerun", "before_start"]


@pytest.fixture
def heard(heard: Heard) -> Heard:
    heard.listen(*JOB_SIGNALS)
    return heard


def run(bench: Bench, heard: Heard, function: Any, **given: Any) -> Outcome:
    """Run a job of a task whose hooks are heard unless they are given."""
    hooks = {name: heard.hook(name) for name in HOOKS}
    return bench.run(function, **{**hooks, "args": [1], "kwargs": {"y": 2}, **given})


def accept(*_: Any, **__: Any) -> str:
    return "done"


class TestOrder:
    def test_of_success(self, bench: Bench, heard: Heard) -> None:
        run(bench, heard, accept)
        assert heard.names == [
            *BEGIN, "on_success", "task_success", "after_return", "task_postrun",
        ]  # fmt: skip

    def test_of_failure(self, bench: Bench, heard: Heard) -> None:
        run(bench, heard, raising(KeyError("k")))
        assert heard.names == [
            *BEGIN, "on_failure", "task_failure", "after_return", "task_postrun",
        ]  # fmt: skip

    @pytest.mark.parametrize("error", [Retry(), KeyError("k")])
    def test_of_retry(self, bench: Bench, heard: Heard, error: Exception) -> None:
        run(bench, heard, raising(error), autoretry_for=(KeyError,))
        assert heard.names == [*BEGIN, "on_retry", "task_retry", "task_postrun"]

    @pytest.mark.parametrize("error", [Ignore(), Reject("no"), Reject("no", requeue=True)])
    def test_of_control_flow(self, bench: Bench, heard: Heard, error: Exception) -> None:
        run(bench, heard, raising(error))
        rejected = ["task_rejected"] if isinstance(error, Reject) else []
        assert heard.names == [*BEGIN, "task_postrun", *rejected]

    def test_a_result_that_cannot_be_stored_has_failed(self, bench: Bench, heard: Heard) -> None:
        run(bench, heard, lambda *_, **__: object())
        assert heard.names == [
            *BEGIN, "on_failure", "task_failure", "after_return", "task_postrun",
        ]  # fmt: skip

    def test_before_start_decides_too(self, bench: Bench, heard: Heard) -> None:
        outcome = run(bench, heard, accept, before_start=raising(KeyError("early")))
        assert outcome.state == "FAILURE"
        assert heard.names[2:] == ["on_failure", "task_failure", "after_return", "task_postrun"]
        ignored = run(bench, heard, accept, before_start=raising(Ignore()))
        assert ignored.state == "IGNORED"

    def test_hooks_see_the_request(self, bench: Bench) -> None:
        seen: list[Any] = []

        def see(task: Any, *_: Any) -> None:
            seen.append((task.request.id, current_request.get() is task.request))

        bench.run(accept, **dict.fromkeys(("before_start", "on_success", "after_return"), see))
        assert seen == [("the-id", True)] * 3


class TestArguments:
    JOB = ("the-id", [1], {"y": 2})

    def test_of_success(self, bench: Bench, heard: Heard) -> None:
        def work(*_: Any, **__: Any) -> str:
            bench.clock.advance(2)
            return "done"

        run(bench, heard, work)
        task, job = bench.app.tasks["t"], {"task_id": "the-id", "args": [1], "kwargs": {"y": 2}}
        received = heard.of("task_received")
        assert (received["sender"], received["request"].id) == ("host", "the-id")
        assert heard.of("task_prerun") == {"sender": task, "task": task, **job}
        assert heard.of("before_start") == {"args": self.JOB}
        assert heard.of("on_success") == {"args": ("done", *self.JOB)}
        assert heard.of("task_success") == {"sender": task, "result": "done", "runtime": 2.0}
        assert heard.of("after_return") == {"args": ("SUCCESS", "done", *self.JOB, None)}
        assert heard.of("task_postrun") == {
            "sender": task, "task": task, **job, "retval": "done", "state": "SUCCESS",
        }  # fmt: skip

    def test_of_failure(self, bench: Bench, heard: Heard) -> None:
        error = KeyError("k")
        run(bench, heard, raising(error))
        task = bench.app.tasks["t"]
        *first, info = heard.of("on_failure")["args"]
        assert first == [error, *self.JOB]
        assert isinstance(info, ExceptionInfo)
        assert (info.exception, info.type, info.internal) == (error, KeyError, False)
        assert "KeyError: 'k'" in str(info)
        told = heard.of("task_failure")
        assert repr(told["einfo"]) == repr(info)
        assert str(told.pop("einfo")) == str(info)
        assert told.pop("traceback") is error.__traceback__
        assert told == {
            "sender": task, "task_id": "the-id", "exception": error, "args": [1],
            "kwargs": {"y": 2},
        }  # fmt: skip
        assert heard.of("after_return") == {"args": ("FAILURE", error, *self.JOB, None)}
        assert heard.of("task_postrun")["retval"] is error
        assert heard.of("task_postrun")["state"] == "FAILURE"

    def test_of_a_retry_that_was_asked_for(self, bench: Bench, heard: Heard) -> None:
        error = OSError("gone")

        def again(self: Any, *_: Any, **__: Any) -> None:
            self.retry(exc=error, countdown=5)

        run(bench, heard, again, bind=True)
        *first, info = heard.of("on_retry")["args"]
        assert first == [error, *self.JOB]
        told = heard.of("task_retry")
        assert (told["sender"], told["request"].id) == (bench.app.tasks["t"], "the-id")
        assert told["einfo"] is info
        assert isinstance(told["reason"], Retry)
        assert (told["reason"].exc, told["reason"].when) == (error, 5)
        assert heard.of("task_postrun")["state"] == "RETRY"

    def test_of_an_automatic_retry(self, bench: Bench, heard: Heard) -> None:
        error = OSError("gone")
        run(bench, heard, raising(error), autoretry_for=(OSError,), default_retry_delay=7)
        assert heard.of("on_retry")["args"][0] is error
        reason = heard.of("task_retry")["reason"]
        assert (type(reason), reason.exc, reason.when) == (Retry, error, 7)

    def test_what_the_signals_promise_is_what_they_bring(self, bench: Bench, heard: Heard) -> None:
        run(bench, heard, accept, on_success=raising(KeyError("hook")))
        run(bench, heard, raising(KeyError("k")))
        run(bench, heard, raising(Retry()))
        bench.execute(body="[")
        promised = {signal.name: signal.providing_args for signal in JOB_SIGNALS}
        told = {name: set(named) - {"sender"} for name, named in heard.calls if name in promised}
        assert len(told) == 8
        assert told == {name: set(promised[name]) for name in told}


class TestErrorsInHooks:
    @pytest.mark.parametrize("hook", ["on_success", "after_return"])
    def test_they_change_no_verdict_and_are_told(
        self, bench: Bench, heard: Heard, hook: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        error = ZeroDivisionError("hook")
        outcome = run(bench, heard, accept, **{hook: raising(error)})
        assert (outcome.state, outcome.result) == ("SUCCESS", '"done"')
        told = heard.of("task_internal_error")
        assert (told["sender"], told["task_id"]) == (bench.app.tasks["t"], "the-id")
        assert (told["exception"], told["args"], told["kwargs"]) == (error, [1], {"y": 2})
        assert told["traceback"] is error.__traceback__
        assert (told["request"].id, told["einfo"].internal) == ("the-id", True)
        assert heard.names[-1] == "task_postrun", "the others are called all the same"
        (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
        assert record.getMessage() == "a hook of t[the-id] raised"

    def test_of_a_failed_job(self, bench: Bench, heard: Heard) -> None:
        outcome = run(bench, heard, raising(KeyError("k")), on_failure=raising(OSError("hook")))
        assert outcome.failure is not None
        assert (outcome.state, outcome.failure.type) == ("FAILURE", "KeyError")
        assert heard.names[3:] == [
            "task_internal_error", "task_failure", "after_return", "task_postrun",
        ]  # fmt: skip

    def test_of_a_job_that_runs_again(self, bench: Bench, heard: Heard) -> None:
        outcome = run(bench, heard, raising(Retry(when=5)), on_retry=raising(OSError("hook")))
        assert (outcome.state, outcome.eta) == ("RETRY", NOW + 5)
        assert heard.names[3:] == ["task_internal_error", "task_retry", "task_postrun"]

    @pytest.mark.parametrize("hook", ["on_success", "on_failure", "on_retry", "after_return"])
    def test_not_even_one_that_ends_programs(self, bench: Bench, heard: Heard, hook: str) -> None:
        function = {"on_failure": raising(KeyError("k")), "on_retry": raising(Retry())}
        states = {"on_failure": "FAILURE", "on_retry": "RETRY"}
        outcome = run(bench, heard, function.get(hook, accept), **{hook: raising(SystemExit(3))})
        assert outcome.state == states.get(hook, "SUCCESS")

    def test_a_receiver_that_raises_changes_nothing(self, bench: Bench) -> None:
        for signal in JOB_SIGNALS:
            signal.connect(raising(ZeroDivisionError()), weak=False)
        assert bench.run(lambda: 5).result == "5"


class TestRetryInOnFailure:
    def test_it_runs_again(self, bench: Bench, heard: Heard) -> None:
        def on_failure(task: Any, exc: Exception, *_: Any) -> None:
            task.retry(exc=exc, countdown=9)

        outcome = run(bench, heard, raising(KeyError("k")), on_failure=on_failure)
        assert (outcome.state, outcome.eta) == ("RETRY", NOW + 9)
        assert outcome.failure is not None
        assert outcome.failure.type == "KeyError"
        assert heard.names[3:] == ["on_retry", "task_retry", "task_postrun"]

    def test_without_throw_it_does_so_too(self, bench: Bench, heard: Heard) -> None:
        def on_failure(task: Any, *_: Any) -> None:
            task.retry(throw=False, countdown=9)

        outcome = run(bench, heard, raising(KeyError("k")), on_failure=on_failure)
        assert (outcome.state, outcome.eta) == ("RETRY", NOW + 9)

    @pytest.mark.parametrize("throw", [True, False])
    def test_the_reason_is_what_the_job_failed_with(
        self, bench: Bench, heard: Heard, throw: bool
    ) -> None:
        error = KeyError("why")

        def on_failure(task: Any, *_: Any) -> None:
            task.retry(throw=throw, countdown=9)

        outcome = run(bench, heard, raising(error), on_failure=on_failure)
        assert outcome.failure is not None
        assert (outcome.failure.type, outcome.failure.message) == ("KeyError", "'why'")
        assert outcome.failure.traceback is not None
        assert "in function" in outcome.failure.traceback
        assert heard.of("on_retry")["args"][0] is error
        assert heard.of("task_retry")["reason"].exc is error

    def test_when_it_is_spent_the_job_has_failed(self, bench: Bench, heard: Heard) -> None:
        def on_failure(task: Any, exc: Exception, *_: Any) -> None:
            task.retry(exc=exc)

        outcome = run(bench, heard, raising(KeyError("k")), on_failure=on_failure, retries=3)
        assert outcome.state == "FAILURE"
        assert "task_failure" in heard.names


class TestRejected:
    def test_a_job_whose_arguments_cannot_be_read_is_rejected(
        self, bench: Bench, heard: Heard
    ) -> None:
        outcome = run(bench, heard, accept, body="[")
        assert outcome.state == "FAILURE"
        assert heard.names == ["task_rejected"]
        told = heard.of("task_rejected")
        assert (told["sender"], told["message"]) == ("host", "[")
        assert isinstance(told["exc"], ValueError)

    def test_so_is_one_that_its_task_rejects(self, bench: Bench, heard: Heard) -> None:
        error = Reject("no")
        run(bench, heard, raising(error), body="[[1],{}]")
        assert heard.of("task_rejected") == {
            "sender": "host", "message": "[[1],{}]", "exc": error,
        }  # fmt: skip


def test_without_receivers_and_hooks_nothing_is_prepared(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.app.finalize()

    def send(self: signals.Signal, *_: Any, **__: Any) -> None:
        pytest.fail(f"{self.name} was sent to nobody")

    monkeypatch.setattr(signals.Signal, "send", send)
    assert bench.run(lambda: 5).state == "SUCCESS"
    assert bench.run(raising(KeyError("k"))).state == "FAILURE"
    assert bench.run(raising(Retry())).state == "RETRY"
