"""What an attempt comes to: from what a task returned or raised to a verdict, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from litequeue import states
from litequeue.calling import moment
from litequeue.clock import Clock
from litequeue.config import Settings
from litequeue.exceptions import (
    Ignore,
    LiteQueueError,
    Reject,
    Retry,
    WorkerShutdown,
    WorkerTerminate,
)
from litequeue.flow import Sequel, to_text
from litequeue.job import Failure, bound_to, result_of
from litequeue.retry import is_spent
from litequeue.serialization import Codec, Types, dumps
from litequeue.task import Task
from litequeue.worker.failure import clean, describe
from litequeue.worker.request import Request, RetryPlan


class Workplace(Protocol):
    """What running jobs needs of an app."""

    @property
    def conf(self) -> Settings:
        """The settings."""

    @property
    def tasks(self) -> dict[str, Task[..., Any]]:
        """The tasks by name."""

    @property
    def codec(self) -> Codec:
        """What reads arguments and writes results."""

    @property
    def types(self) -> Types:
        """The classes that arguments may be of."""


@dataclass(slots=True)
class Attempt:
    """What one attempt came to.  ``value`` is what was returned or raised, ``result`` its text."""

    state: str
    value: Any = None
    result: str | None = None
    failure: Failure | None = None
    eta: float | None = None
    counted: bool = True
    plan: RetryPlan | None = None
    body: str | None = None
    retry: Retry | None = None
    sequel: str | None = None


class Verdicts:
    """Decides what attempts of one app come to."""

    def __init__(self, app: Workplace, clock: Clock) -> None:
        self._conf = app.conf
        self._codec = app.codec
        self._clock = clock

    def of_value(self, value: Any, request: Request) -> Attempt:
        """Return the verdict of a task that has returned."""
        sequel = _sequel(request) if request.plans else None
        if value is None or request.ignore_result:
            return Attempt(states.SUCCESS, value, sequel=sequel)
        try:
            result = self._codec.dumps(value, context=result_of(request.id))
        except LiteQueueError as error:
            words = clean(f"the return value cannot be kept: {error}")
            return failed(Failure("NotSerializable", words), error)
        size = len(result) if result.isascii() else len(result.encode())
        limit = self._conf.result_max_size
        if size > limit:
            words = f"the return value takes {size:,} bytes and result_max_size is {limit:,}"
            return failed(Failure("ResultTooLarge", words), LiteQueueError(words))
        return Attempt(states.SUCCESS, value, result, sequel=sequel)

    def of_error(self, error: BaseException, task: Task[..., Any], request: Request) -> Attempt:
        """Say what an exception means for the job."""
        if isinstance(error, WorkerShutdown | WorkerTerminate):
            return self._of_leaving(error, request)
        if isinstance(error, Ignore | Reject) and request.retry_plan is not None:
            return self.of_retry(error, task, request)
        if isinstance(error, Ignore):
            return _replaced(error, request) if request.is_replaced else _as_shown(error, request)
        if isinstance(error, Reject):
            if error.requeue:
                return Attempt(states.RETRY, error, counted=False)
            return Attempt(states.REJECTED, error, failure=describe(error, "RejectedError"))
        if isinstance(error, Retry) or request.retry_plan is not None:
            return self.of_retry(error, task, request)
        policy = task.retry_policy()
        limit = policy.max_retries if request.limit is None else request.limit
        if policy.wants(error) and not is_spent(request.retries, limit):
            wait = policy.countdown(request.retries)
            return Attempt(
                states.RETRY, error, failure=describe(error), eta=self._clock.now() + wait,
                retry=Retry(exc=error, when=wait),
            )  # fmt: skip
        expected = bool(task.throws) and isinstance(error, task.throws)
        return failed(describe(error, expected=expected), error)

    def _of_leaving(self, error: BaseException, request: Request) -> Attempt:
        """Give the job back, as Celery does with a message that is not acknowledged."""
        if request.once:
            return failed(describe(error), error)
        return Attempt(states.RETRY, error, counted=False)

    def of_retry(self, error: BaseException, task: Task[..., Any], request: Request) -> Attempt:
        """Return the verdict of a task that asked to run again."""
        plan = request.retry_plan
        retry = error if isinstance(error, Retry) else Retry(exc=error)
        reason = retry.exc or error
        failure = describe(reason, raised_as=error)
        if plan is None:  # the task raised Retry by itself
            policy = task.retry_policy()
            if is_spent(request.retries, policy.max_retries):
                return failed(failure, reason)
            when = self._clock.now() + _wait(retry, task, self._clock.now())
            return Attempt(states.RETRY, reason, failure=failure, eta=when, retry=retry)
        body = None
        if plan.args is not None and plan.kwargs is not None:
            try:
                body = self._codec.dumps_arguments(
                    plan.args,
                    plan.kwargs,
                    limit=self._conf.task_max_arguments_size,
                    context=bound_to(request.task, request.id, request.options),
                    serializer=task.serializer,
                    compression=task.compression,
                )
            except LiteQueueError as problem:
                return failed(describe(problem), problem)
        return Attempt(
            states.RETRY, reason, failure=failure, eta=plan.when, plan=plan, body=body, retry=retry
        )


def _wait(retry: Retry, task: Task[..., Any], now: float) -> float:
    """Return the seconds until a retry that the task raised by itself."""
    if retry.when is None:
        return float(task.default_retry_delay)
    if isinstance(retry.when, datetime):
        return max(0.0, (moment(retry.when) or now) - now)
    return float(retry.when)


def _replaced(error: Ignore, request: Request) -> Attempt:
    """Return the verdict of a job that goes on as another: nothing has ended."""
    return Attempt(states.RETRY, error, counted=False, sequel=_sequel(request))


def _sequel(request: Request) -> str:
    return to_text(Sequel(tuple(request.plans), request.is_replaced))


def _as_shown(error: Ignore, request: Request) -> Attempt:
    """Return the verdict of a task that has said itself how it ends, by `update_state`."""
    if request.shown is None:
        return Attempt(states.IGNORED, error)
    state, meta, text = request.shown
    if state == states.RETRY:  # to run again is asked for by retry(), which counts
        return Attempt(states.IGNORED, error)
    if state == states.FAILURE and isinstance(meta, Mapping) and "exc_type" in meta:
        module, name = meta.get("exc_module"), str(meta["exc_type"])
        given = meta.get("exc_message", "")
        args = list(given) if isinstance(given, list | tuple) else [given]
        failure = Failure(
            name if module in (None, "builtins") else f"{module}.{name}",
            " ".join(map(str, args)),
            args=dumps([str(each) for each in args]),
        )
        return Attempt(state, error, failure=failure)
    return Attempt(state, error, text)


def failed(failure: Failure, error: BaseException | None = None) -> Attempt:
    """Return the verdict of a job that has failed for good."""
    value = error if error is not None else LiteQueueError(failure.message)
    return Attempt(states.FAILURE, value, failure=failure)
