"""One lease in, one outcome out.  Runs user code, decides, and writes nothing."""

from __future__ import annotations

import contextvars
import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from litequeue import signals, states
from litequeue.clock import SYSTEM, Clock
from litequeue.config import Settings
from litequeue.context import current_request, working_for
from litequeue.exceptions import (
    Ignore,
    LiteQueueError,
    NotRegistered,
    Reject,
    Retry,
    WorkerLostError,
)
from litequeue.job import Errand, Failure, Lease, Outcome, arguments_of, result_of
from litequeue.retry import is_spent
from litequeue.serialization import Codec, Types, dumps
from litequeue.task import Task
from litequeue.worker.failure import ExceptionInfo, describe, repr_safely
from litequeue.worker.request import Request, RetryPlan, request_for

logger: Final = logging.getLogger("litequeue.worker")

_NEEDS_AFTER_RETURN: Final = frozenset({states.SUCCESS, states.FAILURE})


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


class Executor:
    """Runs leases of one app in this process.  ``hostname`` is the worker's name."""

    def __init__(self, app: Workplace, clock: Clock, hostname: str) -> None:
        self._app = app
        self._tasks = app.tasks
        self._conf = app.conf
        self._codec = app.codec
        self._clock = clock
        self._hostname = hostname
        self._runner: Any = None
        self._informs = logger.isEnabledFor(logging.INFO)

    def execute(self, lease: Lease) -> Outcome:
        """Resolve, decode, call, classify.  Never raises for what a task does."""
        started = self._clock.now()
        begun = self._clock.monotonic()
        task = self._tasks.get(lease.task)
        attempt = self._attempt(lease, task)
        runtime = self._clock.monotonic() - begun
        plan = attempt.plan
        shown = None
        if self._informs and task is not None and attempt.state == states.SUCCESS:
            shown = repr_safely(attempt.value)[: task.resultrepr_maxsize]
        return Outcome(
            lease.seq, lease.token, lease.claim, attempt.state, attempt.result, started, runtime,
            attempt.eta, attempt.counted, attempt.body, attempt.failure,
            None if plan is None else plan.moves, shown,
        )  # fmt: skip

    def _attempt(self, lease: Lease, task: Task[..., Any] | None) -> Attempt:
        if task is None:
            return _failed(Failure("NotRegistered", f"no task {lease.task!r} in this worker"))
        try:
            context = arguments_of(lease.task, lease.id)
            given, named = self._codec.loads_arguments(lease.body, context=context)
            args, kwargs = self._app.types.fit(task.run, given, named)
        except (TypeError, ValueError, AttributeError) as error:
            if signals.task_rejected.receivers:
                self._tell_rejected(lease, error)
            kind = type(error).__name__
            return _failed(Failure(kind, f"the arguments cannot be read: {error}"))
        request = request_for(lease, args, kwargs, self._hostname, trail=task.trail)
        try:
            request.check_options()
        except ValueError as error:
            return _failed(Failure("ValueError", f"the options cannot be read: {error}"))
        attempt = self.run(task, request)
        if isinstance(attempt.value, Reject) and signals.task_rejected.receivers:
            self._tell_rejected(lease, attempt.value)
        return attempt

    def _tell_rejected(self, lease: Lease, error: BaseException) -> None:
        signals.task_rejected.send(sender=self._hostname, message=lease.body, exc=error)

    def run(self, task: Task[..., Any], request: Request) -> Attempt:
        """Run one attempt with its signals and hooks."""
        mark = current_request.set(request)
        try:
            return self._run(task, request)
        finally:
            current_request.reset(mark)

    def _run(self, task: Task[..., Any], request: Request) -> Attempt:
        id, args, kwargs = request.id, request.args, request.kwargs
        if signals.task_received.receivers:
            signals.task_received.send(sender=self._hostname, request=request)
        if signals.task_prerun.receivers:
            signals.task_prerun.send(sender=task, task_id=id, task=task, args=args, kwargs=kwargs)
        begun = self._clock.monotonic()
        attempt = self._call(task, request)
        attempt = self._conclude(attempt, task, request, runtime=self._clock.monotonic() - begun)
        if signals.task_postrun.receivers:
            signals.task_postrun.send(
                sender=task, task_id=id, task=task, args=args, kwargs=kwargs,
                retval=attempt.value, state=attempt.state,
            )  # fmt: skip
        return attempt

    def _call(self, task: Task[..., Any], request: Request) -> Attempt:
        try:
            if "before_start" in task.hooks:
                task.before_start(request.id, request.args, request.kwargs)
            # A task that overrides being called wants to be called, not run.
            function = task if "__call__" in task.hooks else task.run
            value = function(*request.args, **request.kwargs)
            if inspect.iscoroutine(value):
                value = self._await(value)
        except BaseException as error:
            return self._classify(error, task, request)
        if request.retry_plan is not None:  # of a retry(throw=False), or one that was swallowed
            return self._retry_as_planned(Retry(when=0.0), task, request)
        return self._succeeded(value, task, request)

    def _await(self, coroutine: Any) -> Any:
        """Run a coroutine on this process's event loop, which lives as long as the process."""
        import asyncio

        if self._runner is None:
            self._runner = asyncio.Runner()
        # Else it would see the context of the first job for ever: its request, its app.
        return self._runner.run(coroutine, context=contextvars.copy_context())

    # Verdicts

    def _succeeded(self, value: Any, task: Task[..., Any], request: Request) -> Attempt:
        if value is None or self._ignores_result(task, request):
            return Attempt(states.SUCCESS, value)
        try:
            result = self._codec.dumps(value, context=result_of(request.id))
        except LiteQueueError as error:
            words = f"the return value is {error}"
            return _failed(Failure("NotSerializable", words), error)
        size = len(result) if result.isascii() else len(result.encode())
        limit = self._conf.result_max_size
        if size > limit:
            words = f"the return value takes {size:,} bytes and result_max_size is {limit:,}"
            return _failed(Failure("ResultTooLarge", words), LiteQueueError(words))
        return Attempt(states.SUCCESS, value, result)

    def _ignores_result(self, task: Task[..., Any], request: Request) -> bool:
        if request.options is not None and (own := request.extras.get("ignore_result")) is not None:
            return bool(own)
        return bool(task.ignore_result)

    def _classify(self, error: BaseException, task: Task[..., Any], request: Request) -> Attempt:
        """Say what an exception means for the job."""
        if isinstance(error, Ignore):
            return _as_shown(error, request)
        if isinstance(error, Reject):
            if error.requeue:
                return Attempt(states.RETRY, error, counted=False)
            return Attempt(states.REJECTED, error, failure=describe(error, "RejectedError"))
        if isinstance(error, Retry) or request.retry_plan is not None:
            return self._retry_as_planned(error, task, request)
        policy = task.retry_policy()
        limit = policy.max_retries if request.limit is None else request.limit
        if policy.wants(error) and not is_spent(request.retries, limit):
            wait = policy.countdown(request.retries)
            return Attempt(
                states.RETRY, error, failure=describe(error), eta=self._clock.now() + wait,
                retry=Retry(exc=error, when=wait),
            )  # fmt: skip
        expected = bool(task.throws) and isinstance(error, task.throws)
        return _failed(describe(error, expected=expected), error)

    def _retry_as_planned(
        self, error: BaseException, task: Task[..., Any], request: Request
    ) -> Attempt:
        plan = request.retry_plan
        retry = error if isinstance(error, Retry) else Retry(exc=error)
        reason = retry.exc or error
        failure = describe(reason, raised_as=error)
        if plan is None:  # the task raised Retry by itself
            policy = task.retry_policy()
            if is_spent(request.retries, policy.max_retries):
                return _failed(failure, reason)
            when = self._clock.now() + (retry.when or task.default_retry_delay)
            return Attempt(states.RETRY, reason, failure=failure, eta=when, retry=retry)
        body = None
        if plan.args is not None or plan.kwargs is not None:
            args = tuple(request.args) if plan.args is None else plan.args
            kwargs = request.kwargs if plan.kwargs is None else plan.kwargs
            try:
                body = self._codec.dumps_arguments(
                    args,
                    kwargs,
                    limit=self._conf.task_max_arguments_size,
                    context=arguments_of(request.task, request.id),
                    serializer=task.serializer,
                    compression=task.compression,
                )
            except LiteQueueError as problem:
                return _failed(describe(problem), problem)
        return Attempt(
            states.RETRY, reason, failure=failure, eta=plan.when, plan=plan, body=body, retry=retry
        )

    # Hooks

    def _conclude(
        self, attempt: Attempt, task: Task[..., Any], request: Request, *, runtime: float
    ) -> Attempt:
        """Call the hooks and send the signals of a verdict, before it is recorded."""
        id, args, kwargs = request.id, request.args, request.kwargs
        if attempt.state == states.SUCCESS:
            if "on_success" in task.hooks:
                self._guard(task, request, task.on_success, attempt.value, id, args, kwargs)
            if signals.task_success.receivers:
                signals.task_success.send(sender=task, result=attempt.value, runtime=runtime)
        elif attempt.state == states.FAILURE and attempt.failure is not None:
            attempt = self._conclude_failure(attempt, task, request)
        elif attempt.state == states.RETRY and attempt.counted:
            self._conclude_retry(attempt, task, request)
        if attempt.state in _NEEDS_AFTER_RETURN and "after_return" in task.hooks:
            self._guard(
                task, request, task.after_return, attempt.state, attempt.value, id, args, kwargs,
                None,
            )  # fmt: skip
        return attempt

    def _conclude_failure(
        self, attempt: Attempt, task: Task[..., Any], request: Request
    ) -> Attempt:
        id, args, kwargs = request.id, request.args, request.kwargs
        error, failure = attempt.value, attempt.failure
        if failure is None:
            return attempt
        info = ExceptionInfo(error, failure.traceback, internal=False)
        if "on_failure" in task.hooks:
            try:
                task.on_failure(error, id, args, kwargs, info)
            except Retry as retry:
                attempt = self._retry_as_planned(retry, task, request)
            except BaseException as problem:
                self._report(task, request, problem)
            if request.retry_plan is not None and attempt.state == states.FAILURE:
                attempt = self._retry_as_planned(error, task, request)
            if attempt.state == states.RETRY:
                self._conclude_retry(attempt, task, request)
                return attempt
        if signals.task_failure.receivers:
            signals.task_failure.send(
                sender=task, task_id=id, exception=error, args=args, kwargs=kwargs,
                traceback=error.__traceback__, einfo=info,
            )  # fmt: skip
        return attempt

    def _conclude_retry(self, attempt: Attempt, task: Task[..., Any], request: Request) -> None:
        failure = attempt.failure
        info = ExceptionInfo(attempt.value, failure.traceback if failure else None, internal=False)
        if "on_retry" in task.hooks:
            self._guard(
                task, request, task.on_retry, attempt.value, request.id, request.args,
                request.kwargs, info,
            )  # fmt: skip
        if signals.task_retry.receivers:
            signals.task_retry.send(sender=task, request=request, reason=attempt.retry, einfo=info)

    def mourn(
        self, task: Task[..., Any], request: Request, error: Exception, info: ExceptionInfo
    ) -> None:
        """Call the hooks of a job that has failed without running to its end."""
        mark = current_request.set(request)
        id, args, kwargs = request.id, request.args, request.kwargs
        try:
            if "on_failure" in task.hooks:
                self._guard(task, request, task.on_failure, error, id, args, kwargs, info)
            if "after_return" in task.hooks:
                self._guard(
                    task, request, task.after_return, states.FAILURE, error, id, args, kwargs, None
                )
            if signals.task_failure.receivers:
                signals.task_failure.send(
                    sender=task, task_id=id, exception=error, args=args, kwargs=kwargs,
                    traceback=None, einfo=info,
                )  # fmt: skip
        finally:
            current_request.reset(mark)

    def _guard(self, task: Task[..., Any], request: Request, hook: Any, *arguments: Any) -> None:
        """Call a hook; its error is logged, and changes no verdict: not even a `SystemExit`."""
        try:
            hook(*arguments)
        except BaseException as problem:
            self._report(task, request, problem)

    def _report(self, task: Task[..., Any], request: Request, problem: BaseException) -> None:
        """Tell of an exception that user code raised where no job can fail any more."""
        logger.error("a hook of %s[%s] raised", task.name, request.id, exc_info=problem)
        if signals.task_internal_error.receivers:
            words = describe(problem)
            signals.task_internal_error.send(
                sender=task, task_id=request.id, args=request.args, kwargs=request.kwargs,
                request=request, exception=problem, traceback=problem.__traceback__,
                einfo=ExceptionInfo(problem, words.traceback, internal=True),
            )  # fmt: skip


def run_errand(app: Workplace, errand: Errand, hostname: str) -> None:
    """Call the hooks and send the signal of a verdict that was made without a child."""
    lease, failure = errand.lease, errand.failure
    task = app.tasks.get(lease.task)
    try:
        args, kwargs = app.codec.loads_arguments(
            lease.body, context=arguments_of(lease.task, lease.id)
        )
    except ValueError as error:
        logger.warning("the arguments of %s[%s] cannot be read: %s", lease.task, lease.id, error)
        args, kwargs = [], {}
    request = request_for(lease, args, kwargs, hostname)
    with working_for(app):
        if errand.why == "task_unknown":
            signals.task_unknown.send(
                sender=hostname, message=lease.body, exc=NotRegistered(lease.task),
                name=lease.task, id=lease.id,
            )  # fmt: skip
        elif errand.why == "task_revoked":
            signals.task_revoked.send(
                sender=task, request=request, terminated=False, signum=None, expired=True
            )
        elif failure is not None and task is not None:
            lost = WorkerLostError(failure.message)
            info = ExceptionInfo(lost, None, internal=True)
            Executor(app, SYSTEM, hostname).mourn(task, request, lost, info)


def _as_shown(error: Ignore, request: Request) -> Attempt:
    """Return the verdict of a task that has said itself how it ends, by `update_state`."""
    if request.shown is None:
        return Attempt(states.IGNORED, error)
    state, meta, text = request.shown
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


def _failed(failure: Failure, error: BaseException | None = None) -> Attempt:
    value = error if error is not None else LiteQueueError(failure.message)
    return Attempt(states.FAILURE, value, failure=failure)
