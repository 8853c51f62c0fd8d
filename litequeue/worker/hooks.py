"""A task's hooks and the signals of a verdict, called before it is recorded.

What a hook raises is logged and told by `task_internal_error`; it changes no verdict.  Only
`on_failure` may ask for something: another attempt.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from litequeue import signals, states
from litequeue.context import current_request
from litequeue.exceptions import NotRegistered, Retry, TimeLimitExceeded, WorkerLostError
from litequeue.job import Errand, Failure, bound_to
from litequeue.task import Task
from litequeue.worker.failure import ExceptionInfo, describe
from litequeue.worker.request import Request, request_for

logger: Final = logging.getLogger("litequeue.worker")


def succeeded(task: Task[..., Any], request: Request, value: Any, *, runtime: float) -> None:
    """Tell that a job has returned ``value``, ``runtime`` seconds after its start."""
    if "on_success" in task.hooks:
        _guard(task, request, "on_success", value, request.id, request.args, request.kwargs)
    if signals.task_success.receivers:
        signals.task_success.send(sender=task, result=value, runtime=runtime)


def retried(task: Task[..., Any], request: Request, reason: Any, retry: Any, trace: str) -> None:
    """Tell that a job will run again: because of ``reason``, as ``retry`` says."""
    info = ExceptionInfo(reason, trace, internal=False)
    if "on_retry" in task.hooks:
        _guard(task, request, "on_retry", reason, request.id, request.args, request.kwargs, info)
    if signals.task_retry.receivers:
        signals.task_retry.send(sender=task, request=request, reason=retry, einfo=info)


def asked_to_retry(
    task: Task[..., Any], request: Request, error: BaseException, trace: str | None
) -> BaseException | None:
    """Call `on_failure`; return what it says to retry for, None when the job has failed."""
    if "on_failure" not in task.hooks:
        return None
    info = ExceptionInfo(error, trace, internal=False)
    try:
        task.on_failure(error, request.id, request.args, request.kwargs, info)
    except Retry as retry:
        retry.exc = retry.exc or error
        return retry
    except BaseException as problem:  # not even a SystemExit costs the verdict
        _report(task, request, problem)
    return None if request.retry_plan is None else error


def failed(
    task: Task[..., Any],
    request: Request,
    error: BaseException,
    trace: str | None,
    info: ExceptionInfo | None = None,
) -> None:
    """Send the signal of a job that has failed for good."""
    if signals.task_failure.receivers:
        signals.task_failure.send(
            sender=task, task_id=request.id, exception=error, args=request.args,
            kwargs=request.kwargs, traceback=error.__traceback__,
            einfo=info or ExceptionInfo(error, trace, internal=False),
        )  # fmt: skip


def returned(task: Task[..., Any], request: Request, state: str, value: Any) -> None:
    """Call `after_return`, which comes last."""
    if "after_return" in task.hooks:
        args, kwargs = request.args, request.kwargs
        _guard(task, request, "after_return", state, value, request.id, args, kwargs, None)


def run_errand(app: Any, errand: Errand, hostname: str) -> None:
    """Call the hooks and send the signal of a verdict that was made without a child."""
    lease, failure = errand.lease, errand.failure
    task = app.tasks.get(lease.task)
    try:
        args, kwargs = app.codec.loads_arguments(
            lease.body, context=bound_to(lease.task, lease.id, lease.options)
        )
    except BaseException as error:  # a pickle may raise anything
        logger.warning("the arguments of %s[%s] cannot be read: %s", lease.task, lease.id, error)
        args, kwargs = [], {}
    request = request_for(lease, args, kwargs, hostname)
    if errand.why == "task_unknown":
        signals.task_unknown.send(
            sender=hostname, message=lease.body, exc=NotRegistered(lease.task), name=lease.task,
            id=lease.id,
        )  # fmt: skip
    elif errand.why == "task_revoked":
        signals.task_revoked.send(
            sender=task, request=request, terminated=errand.signum is not None,
            signum=errand.signum, expired=failure is None,
        )  # fmt: skip
    elif failure is not None and task is not None:
        _mourn(task, request, failure)


def _mourn(task: Task[..., Any], request: Request, failure: Failure) -> None:
    """Call the hooks of a job that has failed without running to its end."""
    kind = TimeLimitExceeded if failure.type == TimeLimitExceeded.__name__ else WorkerLostError
    error = kind(failure.message)
    info = ExceptionInfo(error, None, internal=True)
    mark = current_request.set(request)
    try:
        if "on_failure" in task.hooks:
            args, kwargs = request.args, request.kwargs
            _guard(task, request, "on_failure", error, request.id, args, kwargs, info)
        returned(task, request, states.FAILURE, error)
        failed(task, request, error, None, info)
    finally:
        current_request.reset(mark)


def _guard(task: Task[..., Any], request: Request, hook: str, *arguments: Any) -> None:
    """Call a hook; its error is logged, and changes no verdict: not even a `SystemExit`."""
    try:
        getattr(task, hook)(*arguments)
    except BaseException as problem:
        _report(task, request, problem)


def _report(task: Task[..., Any], request: Request, problem: BaseException) -> None:
    """Tell of an exception that user code raised where no job can fail any more."""
    logger.error("a hook of %s[%s] raised", task.name, request.id, exc_info=problem)
    if signals.task_internal_error.receivers:
        words = describe(problem)
        signals.task_internal_error.send(
            sender=task, task_id=request.id, args=request.args, kwargs=request.kwargs,
            request=request, exception=problem, traceback=problem.__traceback__,
            einfo=ExceptionInfo(problem, words.traceback, internal=True),
        )  # fmt: skip
