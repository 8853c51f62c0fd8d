"""One verdict for each lease, whatever user code does: `Executor.execute` never raises."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from typing import Any

import pytest

from litequeue import signals
from litequeue.context import current_request
from litequeue.exceptions import Reject, Retry
from litequeue.job import Failure, Outcome
from tests.unit.bench import Bench, raising


def failure_of(outcome: Outcome) -> Failure:
    assert outcome.failure is not None
    return outcome.failure


class NoText(Exception):
    def __str__(self) -> str:
        raise SystemExit(4)

    def __repr__(self) -> str:
        raise KeyboardInterrupt


class NoArguments(Exception):
    @property
    def args(self) -> Any:  # type: ignore[override]  # hostile on purpose
        raise GeneratorExit


class NoAttributes(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(f"no {name}")


class StrangeArguments(Exception):
    args = property(lambda self: 5)


class Interrupting:
    """Arguments and annotations that end programs."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise self.error


ENDS = [SystemExit(3), KeyboardInterrupt(), GeneratorExit()]


@dataclasses.dataclass
class Leaving:
    number: int

    def __post_init__(self) -> None:
        sys.exit(3)


@pytest.mark.parametrize("kind", [NoText, NoArguments, NoAttributes, StrangeArguments])
@pytest.mark.parametrize("options", [{}, {"throws": (OSError,)}, {"autoretry_for": (OSError,)}])
def test_an_exception_that_cannot_be_asked(
    bench: Bench, kind: type[Exception], options: dict[str, Any]
) -> None:
    outcome = bench.run(raising(kind()), **options)
    assert (outcome.seq, outcome.token, outcome.state) == (7, 99, "FAILURE")
    assert failure_of(outcome).type
    assert isinstance(json.loads(failure_of(outcome).args or "[]"), list)


def test_it_is_still_known_by_its_name(bench: Bench) -> None:
    failure = failure_of(bench.run(raising(NoText(object()))))
    assert failure.type == f"{__name__}.NoText"
    assert "whose str() raised SystemExit" in failure.message
    assert "whose repr() raised KeyboardInterrupt" in (failure.args or "")


@pytest.mark.parametrize("error", ENDS)
@pytest.mark.parametrize(
    "signal",
    [
        signals.task_received,
        signals.task_prerun,
        signals.task_success,
        signals.task_postrun,
    ],
    ids=lambda signal: str(signal.name),
)
def test_a_receiver_that_ends_programs_costs_the_job_and_no_more(
    bench: Bench, signal: signals.Signal, error: BaseException
) -> None:
    signal.connect(raising(error), weak=False)
    outcome = bench.run(lambda: 5)
    assert (outcome.state, failure_of(outcome).type) == ("FAILURE", type(error).__name__)


@pytest.mark.parametrize(
    ("signal", "error"),
    [
        (signals.task_failure, KeyError("k")),
        (signals.task_retry, Retry()),
        (signals.task_rejected, Reject("no")),
    ],
    ids=["task_failure", "task_retry", "task_rejected"],
)
def test_so_does_one_that_hears_of_trouble(
    bench: Bench, signal: signals.Signal, error: Exception
) -> None:
    signal.connect(raising(SystemExit(3)), weak=False)
    outcome = bench.run(raising(error))
    assert (outcome.state, failure_of(outcome).type) == ("FAILURE", "SystemExit")


def test_one_that_hears_of_arguments_that_cannot_be_read(bench: Bench) -> None:
    signals.task_rejected.connect(raising(SystemExit(3)), weak=False)
    assert bench.run(lambda: 5, body="[").state == "FAILURE"


@pytest.mark.parametrize("error", ENDS)
def test_arguments_whose_reading_ends_programs(
    bench: Bench, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.task(raising(AssertionError("ran")))
    monkeypatch.setattr(type(bench.app.codec), "loads_arguments", Interrupting(error))
    outcome = bench.execute()
    assert (outcome.state, failure_of(outcome).type) == ("FAILURE", type(error).__name__)


def test_arguments_of_a_class_whose_making_ends_programs(bench: Bench) -> None:
    def work(order: Leaving) -> None:
        pytest.fail("ran")

    outcome = bench.run(work, args=[{"number": 5}])
    assert (outcome.state, failure_of(outcome).type) == ("FAILURE", "SystemExit")


def test_the_request_is_gone_afterwards(bench: Bench) -> None:
    signals.task_prerun.connect(raising(SystemExit(3)), weak=False)
    bench.run(lambda: 5)
    signals.task_prerun.receivers = ()
    assert current_request.get() is None
    assert bench.execute().result == "5"


def test_a_result_that_cannot_be_shown_is_a_result(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    class Shy(str):
        __slots__ = ()

        def __repr__(self) -> str:
            raise SystemExit(3)

    with caplog.at_level(logging.INFO, "litequeue.worker"):
        outcome = bench.run(lambda: [Shy("x")], ignore_result=True)
    assert outcome.state == "SUCCESS"
    assert outcome.shown == "<list whose repr() raised SystemExit>"
