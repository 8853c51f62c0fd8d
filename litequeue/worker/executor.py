"""One lease in, one outcome out.  Runs user code, decides, and writes nothing."""

from __future__ import annotations

import builtins
import json
import traceback
from collections.abc import Mapping
from typing import Any, Final

from litequeue import serialization, states
from litequeue.clock import Clock
from litequeue.config import Settings
from litequeue.context import current_request
from litequeue.exceptions import Ignore, LiteQueueError, Reject, Retry
from litequeue.job import Failure, Lease, Outcome
from litequeue.retry import is_spent
from litequeue.task import Task
from litequeue.worker.request import Request, request_for

MESSAGE_LIMIT: Final = 64 * 1024
"""Characters kept of an exception's text and of a traceback."""


class Executor:
    """Runs leases of one app in this process.  ``hostname`` is the worker's name."""

    def __init__(
        self, tasks: Mapping[str, Task[..., Any]], conf: Settings, clock: Clock, hostname: str
    ) -> None:
        self._tasks = tasks
        self._conf = conf
        self._clock = clock
        self._hostname = hostname

    def execute(self, lease: Lease) -> Outcome:
        """Resolve, decode, call, classify.  Never raises for what a task does."""
        started = self._clock.now()
        begun = self._clock.monotonic()
        verdict = self._attempt(lease)
        runtime = self._clock.monotonic() - begun
        state, result, eta, counted, body, failure = verdict
        return Outcome(
            lease.seq, lease.token, lease.claim, state, result, started, runtime, eta, counted,
            body, failure,
        )  # fmt: skip

    def _attempt(self, lease: Lease) -> Verdict:
        task = self._tasks.get(lease.task)
        if task is None:
            return _failed(Failure("NotRegistered", f"no task {lease.task!r} in this worker"))
        try:
            args, kwargs = serialization.loads_arguments(lease.body)
        except (TypeError, ValueError, AttributeError) as error:
            return _failed(Failure("ValueError", f"the arguments cannot be read: {error}"))
        request = request_for(lease, args, kwargs, self._hostname)
        mark = current_request.set(request)
        try:
            value = task.call(args, kwargs)
        except BaseException as error:
            return self._classify(error, task, request)
        finally:
            current_request.reset(mark)
        return self._succeeded(value, task)

    def _succeeded(self, value: Any, task: Task[..., Any]) -> Verdict:
        if value is None or task.options.ignore_result:
            return _SUCCESS
        try:
            result = serialization.dumps(value)
        except LiteQueueError as error:
            return _failed(Failure("NotSerializable", f"the return value is {error}"))
        size = len(result) if result.isascii() else len(result.encode())
        if size > self._conf.result_max_size:
            return _failed(
                Failure(
                    "ResultTooLarge",
                    f"the return value takes {size:,} bytes and result_max_size is "
                    f"{self._conf.result_max_size:,}",
                )
            )
        return states.SUCCESS, result, None, True, None, None

    def _classify(self, error: BaseException, task: Task[..., Any], request: Request) -> Verdict:
        """Say what an exception means for the job."""
        if isinstance(error, Retry):
            return self._retry_as_planned(error, task, request)
        if isinstance(error, Ignore):
            return states.IGNORED, None, None, True, None, None
        if isinstance(error, Reject):
            if error.requeue:
                return states.RETRY, None, None, False, None, None
            return states.REJECTED, None, None, True, None, describe(error, "RejectedError")
        policy = task.options.retry
        if policy.wants(error) and not is_spent(request.retries, policy.max_retries):
            eta = self._clock.now() + policy.countdown(request.retries)
            return states.RETRY, None, eta, True, None, describe(error)
        return _failed(describe(error))

    def _retry_as_planned(self, retry: Retry, task: Task[..., Any], request: Request) -> Verdict:
        plan = request.retry_plan
        failure = describe(retry.exc or retry)
        if plan is None:  # the task raised Retry by itself
            policy = task.options.retry
            if is_spent(request.retries, policy.max_retries):
                return _failed(failure)
            wait = retry.when or policy.default_retry_delay
            return states.RETRY, None, self._clock.now() + wait, True, None, failure
        body = None
        if plan.args is not None or plan.kwargs is not None:
            args = tuple(request.args) if plan.args is None else plan.args
            kwargs = request.kwargs if plan.kwargs is None else plan.kwargs
            try:
                body = serialization.dumps_arguments(
                    args, kwargs, limit=self._conf.task_max_arguments_size
                )
            except LiteQueueError as error:
                return _failed(describe(error))
        return states.RETRY, None, plan.when, True, body, failure


Verdict = tuple[str, str | None, float | None, bool, str | None, Failure | None]
_SUCCESS: Final[Verdict] = (states.SUCCESS, None, None, True, None, None)


def _failed(failure: Failure) -> Verdict:
    return states.FAILURE, None, None, True, None, failure


def describe(error: BaseException, type_name: str | None = None) -> Failure:
    """Put an exception into words that any process can store and read.

    Frames of the library are left out of the traceback: the user's own come first.
    """
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in (builtins.__name__, "litequeue.exceptions"):
        name = f"{kind.__module__}.{name}"
    try:
        message = str(error)
    except Exception as failure:  # a broken __str__ must not cost the job its verdict
        message = f"<{name} whose str() raised {type(failure).__name__}>"
    return Failure(
        type_name or name,
        _clean(message),
        _clean("".join(_lines(error))),
        _arguments(error),
    )


def _lines(error: BaseException) -> list[str]:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OUR_FRAMES:
        trace = trace.tb_next
    try:
        return traceback.format_exception(type(error), error, trace)
    except Exception as failure:
        return [f"<the traceback could not be written: {type(failure).__name__}>"]


_OUR_FRAMES: Final = (__name__, "litequeue.task")


def _arguments(error: BaseException) -> str:
    try:
        arguments = serialization.dumps(list(error.args))
    except LiteQueueError:
        arguments = ""
    if arguments and len(arguments) <= MESSAGE_LIMIT:
        return arguments
    return json.dumps([_clean(repr_safely(error))])


def repr_safely(value: object) -> str:
    """Return ``repr(value)``, or words about why there is none."""
    try:
        return repr(value)
    except Exception as failure:
        return f"<{type(value).__name__} whose repr() raised {type(failure).__name__}>"


def _clean(text: str) -> str:
    """Return text that SQLite can store: whole characters only, and not without end."""
    return text[:MESSAGE_LIMIT].encode("utf-8", "backslashreplace").decode()
